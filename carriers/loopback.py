"""A carrier without a network, for dry runs: its phones answer asks by themselves, its biller is a book in memory.

Nothing leaves the process and nothing survives it. It has no faults; those are in the simulators.
"""

import asyncio
import itertools
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from carriers import base
from gateway.core.bounds import Count, NotNegative, Positive, Words, expect_bounds
from gateway.core.gsm import segment
from gateway.core.payment import Reason

TEXTS_IN_FLIGHT_MAX = 10_000
# As carriers do: an MO that we cannot take is offered again, and given up after a while.
OFFERS_MAX = 10
# What a person looks for in an ask, in each language that the gateway speaks.
_CODE: Final = re.compile(
    r"(?:PAY|KULIPA|PAYER)\b.*?\b(?:reply|jibu|répondez) (?P<code>\d{4,6})\b|回(?P<han>\d{4,6})付款", re.DOTALL
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.bearer]` and `[carriers.<name>.biller]` with `type = "loopback"`; each reads its own part."""

    answers: Literal["pays", "refuses", "silent"] = "pays"
    """What every phone does with an ask. Bearer."""
    answer_after_s: NotNegative = 0.0
    """How long a person takes. Bearer."""
    short_code: Words = "22345"
    """Where replies are sent to. Bearer."""
    concurrency: Count = 64
    """How many texts may be on their way out. Bearer."""
    offer_again_s: NotNegative = 1.0
    """When the gateway is overloaded. Bearer."""
    charges: Literal["accepted", "insufficient_funds", "limit_exceeded", "not_subscriber", "carrier_declined"] = (
        "accepted"
    )
    """What becomes of every charge. Biller."""
    timeout_s: Positive = 1.0
    """Biller."""
    orders_max: Count = 100_000
    """How many orders the book keeps; the oldest are forgotten. Biller."""

    def __post_init__(self) -> None:
        """Raise ValueError that names every mistake."""
        expect_bounds(self)


class Bearer:
    """Every text arrives at once; the person's answer follows."""

    def __init__(
        self,
        carrier: str,
        settings: Settings,
        *,
        now_ms: Callable[[], int],
        on_up: Callable[[], None] | None = None,
    ) -> None:
        """*on_up* is called whenever texts can leave again."""
        self.concurrency = settings.concurrency
        self.hard_timeout_s = 1.0
        """No submit takes longer; in fact none takes any time."""
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._on_up = on_up
        self._sink: base.Sink | None = None
        self._people: set[asyncio.Task[None]] = set()
        self._ids = itertools.count(1)

    def routes(self) -> Sequence[base.Route]:
        return ()

    async def run(self, sink: base.Sink) -> None:
        self._sink = sink
        if self._on_up is not None:
            self._on_up()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._sink = None
            for person in self._people:
                person.cancel()
            await asyncio.gather(*self._people, return_exceptions=True)

    def is_up(self) -> bool:
        return self._sink is not None

    async def submit(self, message: base.Mt) -> base.SubmitResult:
        sink = self._sink
        if sink is None:
            return base.Refused(code="down", detail="the loopback is not running", retryable=True)
        if len(self._people) >= TEXTS_IN_FLIGHT_MAX:
            return base.Refused(code="full", detail=f"{TEXTS_IN_FLIGHT_MAX} texts are under way", retryable=True)
        segments = len(segment(message.text).parts)
        number = next(self._ids)
        ids = tuple(f"{number:x}.{part}" for part in range(segments))
        person = asyncio.create_task(self._arrive(sink, message, ids))
        self._people.add(person)
        person.add_done_callback(self._people.discard)
        return base.Submitted(message_ids=ids, segments=segments)

    async def _arrive(self, sink: base.Sink, message: base.Mt, ids: tuple[str, ...]) -> None:
        if message.want_receipt:
            for message_id in ids:
                receipt = base.Receipt(
                    carrier=self._carrier, message_ids=(message_id,), state="delivered", read_at_ms=self._now_ms()
                )
                await self._offer(sink, receipt)
        text = self._answer_to(message.text)
        if text is None:
            return
        if self._settings.answer_after_s:
            await asyncio.sleep(self._settings.answer_after_s)
        reply = base.Mo(
            carrier=self._carrier,
            msisdn=message.msisdn,
            to=self._settings.short_code,
            text=text,
            read_at_ms=self._now_ms(),
            provider_id=f"reply.{ids[0]}",
        )
        await self._offer(sink, reply)

    def _answer_to(self, text: str) -> str | None:
        found = _CODE.search(text)
        if found is None or self._settings.answers == "silent":
            return None
        return (found["code"] or found["han"]) if self._settings.answers == "pays" else "0"

    async def _offer(self, sink: base.Sink, thing: base.Mo | base.Receipt) -> None:
        for _ in range(OFFERS_MAX):
            try:
                await sink(thing)
            except base.Overloaded:
                await asyncio.sleep(self._settings.offer_again_s)
            else:
                return


class Biller:
    """A book of orders by attempt id; the same id again gets the same answer."""

    def __init__(self, carrier: str, settings: Settings, *, now_ms: Callable[[], int]) -> None:
        """*carrier* and *now_ms* are what every adapter gets; this one has no callbacks and needs no clock."""
        self.capabilities = base.Capabilities(client_keyed=True, refund=True, partial_refund=True, max_processing_s=0.0)
        self.timeout_s = settings.timeout_s
        self._settings = settings
        self._book: dict[str, tuple[base.ChargeOrder | base.ReverseOrder, base.Charged | base.Declined]] = {}
        self._oldest: deque[str] = deque()
        self._given_back: dict[str, int] = {}

    def routes(self) -> Sequence[base.Route]:
        return ()

    async def run(self, sink: base.Sink) -> None:
        await asyncio.get_running_loop().create_future()

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        return self._known(order) or self._keep(order, self._charge(order))

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        return self._found(order)

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        return self._known(order) or self._keep(order, self._reverse(order))

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        return self._found(order)

    def _charge(self, order: base.ChargeOrder) -> base.Charged | base.Declined:
        if self._settings.charges != "accepted":
            return base.Declined(reason=Reason(self._settings.charges), detail="as configured")
        return base.Charged(carrier_reference=f"loop-{order.attempt_id}", amount=order.amount)

    def _reverse(self, order: base.ReverseOrder) -> base.Charged | base.Declined:
        charge, result = self._book.get(order.charge_attempt_id, (None, None))
        if not isinstance(charge, base.ChargeOrder) or not isinstance(result, base.Charged):
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail="there is no such charge")
        if (charge.msisdn, charge.amount.currency) != (order.msisdn, order.amount.currency):
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail="the charge has another number or currency")
        total = self._given_back.get(charge.attempt_id, 0) + order.amount.amount_minor
        if total > charge.amount.amount_minor:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail="more than was charged")
        self._given_back[charge.attempt_id] = total
        return base.Charged(carrier_reference=f"loop-{order.attempt_id}", amount=order.amount)

    def _known(self, order: base.ChargeOrder | base.ReverseOrder) -> base.Charged | base.Declined | base.Unknown | None:
        was, result = self._book.get(order.attempt_id, (None, None))
        if was is None or result is None:
            return None
        return result if was == order else base.Unknown(detail="this attempt's id is known with other content")

    def _found(self, order: base.ChargeOrder | base.ReverseOrder) -> base.InquiryResult:
        was, result = self._book.get(order.attempt_id, (None, None))
        if was is None or result is None or was.msisdn != order.msisdn:
            return base.NotFound()
        return result

    def _keep(
        self, order: base.ChargeOrder | base.ReverseOrder, result: base.Charged | base.Declined
    ) -> base.Charged | base.Declined:
        self._book[order.attempt_id] = order, result
        self._oldest.append(order.attempt_id)
        if len(self._oldest) > self._settings.orders_max:
            oldest = self._oldest.popleft()
            del self._book[oldest]
            self._given_back.pop(oldest, None)
        return result
