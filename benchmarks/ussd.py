"""Phones that dial: sessions begin at a steady rate, whatever became of the ones before, and type screen after screen.

Each step goes over HTTP in the form style, as an aggregator would bring it, and is on disk before it is answered.
"""

import asyncio
import itertools
from typing import Final
from urllib.parse import urlencode

from benchmarks.house import House
from gateway.http_client import HttpClient, HttpTrouble, Limits

SESSIONS_PER_S: Final = 200
TYPED: Final = ("", "3", "0", "5", "00")
"""The menu, what was paid, the menu, limits, good-bye."""
PHONES: Final = 20_000
THINKS_S: Final = 0.2
STEP_TIMEOUT_S: Final = 15.0

# Of the whole process: no session has another's id.
_numbers = itertools.count()


class Diallers:
    """All phones; each has one session at a time."""

    def __init__(self, house: House) -> None:
        self._url = house.ussd_url
        self._client = HttpClient(Limits(connections_per_host_max=512))
        self.latencies_ms: list[float] = []
        """Of each step that was answered with a screen."""
        self.failed = 0

    async def open_loop(self, per_second: float, seconds: float) -> None:
        """Begin a session every so often, and see all of them to their end."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        running: set[asyncio.Task[None]] = set()
        for number in range(round(per_second * seconds)):
            due_s = began_s + number / per_second
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            task = asyncio.create_task(self._session(due_s))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def _session(self, due_s: float) -> None:
        """*due_s*: when the phone dialled; a load that is late counts its own delay, too."""
        number = next(_numbers)
        fields = {
            "sessionId": f"bench-{number}",
            "phoneNumber": f"+2547{number % PHONES:08d}",
            "networkCode": "99999",
            "serviceCode": "*384#",
        }
        loop = asyncio.get_running_loop()
        for count in range(len(TYPED)):
            is_over = count == len(TYPED) - 1
            body = urlencode({**fields, "text": "*".join(TYPED[1 : count + 1])}).encode()
            if not await self._step(body, b"END " if is_over else b"CON ", due_s):
                return
            await asyncio.sleep(0 if is_over else THINKS_S)
            due_s = loop.time()

    async def _step(self, body: bytes, expected: bytes, due_s: float) -> bool:
        try:
            answer = await self._client.request(
                "POST",
                self._url,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=body,
                timeout_s=STEP_TIMEOUT_S,
            )
        except HttpTrouble:
            self.failed += 1
            return False
        self.latencies_ms.append((asyncio.get_running_loop().time() - due_s) * 1000)
        is_right = answer.status == 200 and answer.body.startswith(expected)
        self.failed += not is_right
        return is_right

    async def close(self) -> None:
        await self._client.close()
