"""Payments as a shop asks for them: a closed loop with so many in flight, or an open loop at a steady rate.

A payment is done when its `payment.succeeded` has arrived at the merchant and was verified.
"""

import asyncio
import itertools
from collections import Counter

import msgspec

from benchmarks.house import House
from gateway.http_client import HttpClient, HttpTrouble, Limits
from simulators.journal import Record

PHONES = 20_000
CREATE_TIMEOUT_S = 30.0
DONE_TIMEOUT_S = 60.0


class _Data(msgspec.Struct, frozen=True):
    id: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    data: _Data = _Data()


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_payment = msgspec.json.Decoder(_Data).decode


# Of the whole process: every payment has an Idempotency-Key of its own.
_numbers = itertools.count()


class Load:
    """Asks for payments and sees them through."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._client = HttpClient(Limits(connections_per_host_max=512))
        self._done: dict[str, asyncio.Future[None]] = {}
        self._early: set[str] = set()
        self.latencies_ms: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.finished = 0
        self.unfinished = 0
        house.world.journals.listeners.append(self._record)

    def _record(self, name: str, record: Record) -> None:
        if name != "merchant" or record["type"] != "payment.succeeded" or not record["verified"]:
            return
        payment_id = _decode_event(record["body"]).data.id
        waiting = self._done.pop(payment_id, None)
        if waiting is None:
            self._early.add(payment_id)
        elif not waiting.done():
            waiting.set_result(None)

    async def closed_loop(self, in_flight: int, seconds: float) -> None:
        """Keep *in_flight* payments under way for *seconds*, then let them end."""
        ends_s = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._shopper(ends_s) for _ in range(in_flight)))

    async def _shopper(self, ends_s: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < ends_s:
            await self.pay()

    async def open_loop(self, per_second: float, seconds: float) -> None:
        """Begin a payment every so often, whatever became of the ones before."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        running: set[asyncio.Task[None]] = set()
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(max(0.0, began_s + number / per_second - loop.time()))
            task = asyncio.create_task(self.pay())
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def pay(self) -> None:
        """One payment from the request to its verified webhook."""
        number = next(_numbers)
        payment_id = await self._create(number)
        if payment_id is None:
            return
        if payment_id not in self._early:
            done = self._done[payment_id] = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(done, DONE_TIMEOUT_S)
            except TimeoutError:
                self.unfinished += 1
                return
        self._early.discard(payment_id)
        self.finished += 1

    async def _create(self, number: int) -> str | None:
        msisdn = f"+2547{number % PHONES:08d}"
        body = f'{{"amount":{100 + number % 900}00,"currency":"KES","msisdn":"{msisdn}","description":"Vegetable box"}}'
        headers = {
            "Authorization": f"Bearer {self._house.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"bench-{number}",
        }
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            answer = await self._client.request(
                "POST",
                f"{self._house.url}/v1/payments",
                headers=headers,
                body=body.encode(),
                timeout_s=CREATE_TIMEOUT_S,
            )
        except HttpTrouble:
            self.statuses[0] += 1
            return None
        self.statuses[answer.status] += 1
        if answer.status != 201:
            return None
        self.latencies_ms.append((loop.time() - began_s) * 1000)
        return _decode_payment(answer.body).id

    async def close(self) -> None:
        await self._client.close()
