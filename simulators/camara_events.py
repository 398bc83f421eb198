"""CloudEvents of the CAMARA operator: each to the sink of its payment or refund."""

import asyncio
import itertools

import aiohttp
import msgspec

from simulators import camara_wire as wire
from simulators.camara_book import Item
from simulators.journal import Journal
from simulators.web import LOOPBACK

CALLBACK_TIMEOUT_S = 10.0
CALLBACKS_IN_FLIGHT_MAX = 1000


class Events:
    """Posts them, now or later; nothing waits for it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def idle(self) -> None:
        """Return once nobody is to be called any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def call(
        self, item: Item, *, times: int = 1, after_s: float = 0.0, is_forged: bool = False, older: str = ""
    ) -> None:
        """*older*: a status from before that is told last."""
        if item.order.sink is None or len(self._tasks) >= CALLBACKS_IN_FLIGHT_MAX:
            return
        task = asyncio.create_task(self._call_later(item, times, after_s, is_forged, older))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def post(self, item: Item, *, status: str = "", is_forged: bool = False) -> int | None:
        """Call about an item now; the status of the answer, None if there was none."""
        sink = item.order.sink
        if sink is None:
            return None
        # Nobody has a certificate on the loopback, and a sink of another scheme would break the definition.
        url = sink.replace(f"https://{LOOPBACK}", f"http://{LOOPBACK}", 1)
        if is_forged:
            url = url[:-1] + ("0" if url[-1] != "0" else "1")
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALLBACK_TIMEOUT_S))
        body = msgspec.json.encode(wire.event(item, next(self._numbers), status=status))
        headers = {"Content-Type": "application/cloudevents+json", "x-correlator": item.order.correlator}
        answered, detail = None, ""
        try:
            async with self._client.post(url, data=body, headers=headers) as answer:
                answered = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            detail = type(error).__name__
        self._journal.write(
            "callback", correlator=item.order.correlator, answered=answered, detail=detail, forged=is_forged
        )
        return answered

    async def _call_later(self, item: Item, times: int, after_s: float, is_forged: bool, older: str) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        for _ in range(times):
            await self.post(item, is_forged=is_forged)
        if older:
            await self.post(item, status=older)
