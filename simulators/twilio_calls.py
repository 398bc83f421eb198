"""Signed webhooks of the Twilio simulator, each handed in until it is answered with 2xx or for good."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Literal

import aiohttp

from simulators.journal import Journal
from simulators.twilio_wire import signature

CALL_TIMEOUT_S = 15.0
TASKS_MAX = 100_000

Signed = Literal["rightly", "wrongly", "not"]


class Calls:
    """Posts them. What is to be done meanwhile or later is a task of its own."""

    def __init__(self, journal: Journal, auth_token: str, *, tries_max: int, retry_s: float) -> None:
        self._journal = journal
        self._auth_token = auth_token
        self._tries_max = tries_max
        self._retry_s = retry_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None

    def do(self, work: Coroutine[None, None, None]) -> None:
        if len(self._tasks) >= TASKS_MAX:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return once nobody is to be called any more."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def give_up(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        tasks = tuple(self._tasks)
        self.give_up()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def hand_in(self, url: str, form: Mapping[str, str], *, what: str, signed: Signed = "rightly") -> None:
        """Again and again while the answer is 5xx or none, as an account can be set up to."""
        for attempt in range(1, self._tries_max + 1):
            answered = await self.post(url, form, signed=signed)
            self._journal.write("called", what=what, sid=form["MessageSid"], attempt=attempt, answered=answered)
            if answered is not None and answered < 500:
                return
            await asyncio.sleep(self._retry_s)
        self._journal.write("abandoned", what=what, sid=form["MessageSid"], attempts=self._tries_max)

    async def post(self, url: str, form: Mapping[str, str], *, signed: Signed = "rightly") -> int | None:
        """Once; the status of the answer, None if there was none."""
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S))
        token = self._auth_token if signed == "rightly" else self._auth_token[::-1]
        headers = {} if signed == "not" else {"X-Twilio-Signature": signature(token, url, form)}
        try:
            async with self._client.post(url, data=dict(form), headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
