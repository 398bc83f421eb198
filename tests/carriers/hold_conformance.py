"""What every biller must do that sets money aside first: reserve, capture all or a part, release, and be asked.

A test module subclasses the suite and gives it a `bench` fixture, as for the suites in `conformance`. Every test is
judged once more at its end by what the other side's journal says of the money.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import ClassVar, NamedTuple, Protocol

import pytest

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Reason
from tests.carriers.conformance import INQUIRY_KNOBS, PRICE, FaultyBillerBench, charge_order, reverse_order

PART = Money(50_000, "KES")
Result = base.ReserveResult | base.ReleaseResult | base.ChargeResult | base.HoldInquiryResult


class Moved(NamedTuple):
    """One movement of money about a reservation, as the other side's journal has it."""

    what: str
    """held, captured, released or expired"""
    attempt_id: str
    """Of the reservation."""
    amount: Decimal


class HoldingBillerBench(FaultyBillerBench, Protocol):
    """A biller that holds, and whose other side can be told to fail."""

    @property
    def holding(self) -> base.HoldingBiller: ...

    @property
    def hasty_holding(self) -> base.HoldingBiller: ...

    def moved(self) -> list[Moved]:
        """In order."""
        ...

    def expire(self, attempt_id: str) -> None:
        """The other side lets the reservation go by itself."""
        ...


def word(result: Result, amount: Money = PRICE) -> str:
    """One word for each kind of result; `otherwise` is a yes over another amount."""
    match result:
        case base.Held():
            return "held" if result.amount == amount else "held otherwise"
        case base.Charged():
            return "charged" if result.amount == amount else "charged otherwise"
        case base.Declined():
            return f"declined {Reason(result.reason)}"
        case base.NotFound():
            return "not found"
        case base.Released() | base.Unsent() | base.Unknown() | base.Pending():
            return type(result).__name__.lower()


def hold_order(
    bench: HoldingBillerBench, attempt_id: str, held: base.Held, amount: Money = PRICE, *, of: str = "att_1"
) -> base.HoldOrder:
    return base.HoldOrder(
        attempt_id=attempt_id,
        hold_attempt_id=of,
        hold_reference=held.carrier_reference,
        msisdn=bench.msisdn,
        amount=amount,
        description="2 goats",
        reference="7K2M4Q9A",
    )


async def hold(bench: HoldingBillerBench, attempt_id: str = "att_1") -> base.Held:
    held = await bench.holding.reserve(charge_order(bench, attempt_id))
    assert isinstance(held, base.Held), held
    return held


class Knob(NamedTuple):
    """What one knob of the other side must look like from here."""

    answer: str
    """To the order itself, as `word` says it."""
    found: str
    """By an inquiry about the reservation afterwards."""
    settled: str = ""
    """The same, after the other side has ended what it held back."""
    hangs: bool = False
    callbacks: int = 0


DECLINES = {
    "insufficient_funds": "declined insufficient_funds",
    "limit_exceeded": "declined limit_exceeded",
    "not_subscriber": "declined not_subscriber",
    "barred": "declined carrier_declined",
}


def _knobs(yes: str, done: str, before: str, silent_no: str) -> dict[str, Knob]:
    """*yes*: the answer that says so; *done*: what is found then; *before*: what is found if nothing was done."""
    return {
        "timeout_charged": Knob("unknown", done, hangs=True),
        "timeout_declined": Knob("unknown", silent_no, hangs=True),
        "timeout_lost": Knob("unknown", before, hangs=True),
        "late": Knob("unknown", before, settled=done, hangs=True, callbacks=1),
        "error_before": Knob("unknown", before),
        "error_after": Knob("unknown", done),
        "garbage": Knob("unknown", done),
        "slow": Knob(yes, done),
        "reset": Knob("unknown", done),
        "inquiry_lag": Knob("unknown", "pending", settled=done, hangs=True),
        "processing": Knob("unknown", "pending", settled=done, callbacks=1),
        "callback_once": Knob(yes, done, callbacks=1),
        "callback_twice": Knob(yes, done, callbacks=2),
        "callback_before": Knob(yes, done, callbacks=1),
        "callback_late": Knob(yes, done, callbacks=1),
    }


RESERVE_KNOBS = {
    **{name: Knob(said, said) for name, said in DECLINES.items()},
    **_knobs("held", "held", "not found", "declined limit_exceeded"),
    "wrong_amount": Knob("held otherwise", "held"),
    "hold_expires": Knob("held", "held", settled="released"),
}
CAPTURE_KNOBS = {
    **{name: Knob(said, "held") for name, said in DECLINES.items()},
    **_knobs("charged", "charged", "held", "held"),
    "wrong_amount": Knob("charged otherwise", "charged"),
}
RELEASE_KNOBS = {
    "barred": Knob("declined carrier_declined", "held"),
    **_knobs("released", "released", "held", "held"),
}


class HoldingBillerConformance:
    """Every knob of the simulator stands in a table."""

    reserve_knobs: ClassVar[frozenset[str]]
    capture_knobs: ClassVar[frozenset[str]]
    release_knobs: ClassVar[frozenset[str]]
    """Of the simulator."""

    @pytest.fixture(autouse=True)
    def _money_is_sane(self, bench: HoldingBillerBench) -> Iterator[None]:
        yield
        held: dict[str, Decimal] = {}
        ended: dict[str, list[Moved]] = {}
        for one in bench.moved():
            if one.what == "held":
                assert one.attempt_id not in held, "reserved twice"
                held[one.attempt_id] = one.amount
                continue
            before = ended.setdefault(one.attempt_id, [])
            assert one.what != "captured" or not before, "captured twice, or after it was let go"
            before.append(one)
            assert sum(each.amount for each in before) <= held[one.attempt_id], "more than was held"

    def test_every_knob_is_tried(self) -> None:
        assert self.reserve_knobs == RESERVE_KNOBS.keys()
        assert self.capture_knobs == CAPTURE_KNOBS.keys()
        assert self.release_knobs == RELEASE_KNOBS.keys()

    async def test_it_says_that_it_holds(self, bench: HoldingBillerBench) -> None:
        assert isinstance(bench.biller, base.HoldingBiller)
        assert bench.biller.capabilities.holds
        assert bench.biller.capabilities.partial_capture

    async def test_a_reservation_is_an_explicit_yes_and_takes_nothing(self, bench: HoldingBillerBench) -> None:
        held = await hold(bench)
        assert word(held) == "held"
        assert await bench.holding.inquire_hold(charge_order(bench)) == held
        assert await bench.holding.reserve(charge_order(bench)) == held
        assert bench.executed() == (0, 0)

    async def test_twins_at_the_same_moment_reserve_and_capture_once(self, bench: HoldingBillerBench) -> None:
        reserved = await asyncio.gather(*(bench.holding.reserve(charge_order(bench)) for _ in range(8)))
        assert {word(one) for one in reserved} == {"held"}
        order = hold_order(bench, "cap_1", await hold(bench))
        taken = await asyncio.gather(*(bench.holding.capture(order) for _ in range(8)))
        assert {word(one) for one in taken} == {"charged"}
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("amount", [PRICE, PART, Money(1, "KES")])
    async def test_what_is_held_is_captured_in_whole_or_in_part(self, bench: HoldingBillerBench, amount: Money) -> None:
        order = hold_order(bench, "cap_1", await hold(bench), amount)
        taken = await bench.holding.capture(order)
        assert word(taken, amount) == "charged"
        assert await bench.holding.capture(order) == taken
        assert word(await bench.holding.inquire_hold(charge_order(bench)), amount) == "charged"
        assert bench.executed() == (1, 0)
        assert sum(one.amount for one in bench.moved() if one.what != "held") == _whole(bench), "the rest is free"

    async def test_the_rest_is_free_although_the_capture_was_not_answered(self, bench: HoldingBillerBench) -> None:
        order = hold_order(bench, "cap_1", await hold(bench), PART)
        bench.strike("capture", "error_after")
        assert word(await bench.holding.capture(order)) == "unknown"
        for _ in range(2):
            assert word(await bench.holding.inquire_hold(charge_order(bench)), PART) == "charged"
        assert [one.what for one in bench.moved()] == ["held", "captured", "released"]

    @pytest.mark.parametrize("knob", ["error_before", "garbage", "reset", "barred"])
    async def test_what_becomes_of_the_rest_changes_nothing_of_the_capture(
        self, bench: HoldingBillerBench, knob: str
    ) -> None:
        order = hold_order(bench, "cap_1", await hold(bench), PART)
        bench.strike("release", knob)
        assert word(await bench.holding.capture(order), PART) == "charged"
        assert word(await bench.holding.inquire_hold(charge_order(bench)), PART) == "charged"
        assert bench.executed() == (1, 0)

    async def test_no_more_than_is_held_is_captured(self, bench: HoldingBillerBench) -> None:
        more = Money(PRICE.amount_minor + 1, PRICE.currency)
        order = hold_order(bench, "cap_1", await hold(bench), more)
        assert word(await bench.holding.capture(order)) == "declined carrier_declined"
        assert bench.executed() == (0, 0)

    async def test_a_second_capture_takes_nothing(self, bench: HoldingBillerBench) -> None:
        held = await hold(bench)
        await bench.holding.capture(hold_order(bench, "cap_1", held, PART))
        assert word(await bench.holding.capture(hold_order(bench, "cap_2", held, PART))) == "unknown"
        assert bench.executed() == (1, 0)

    async def test_what_is_released_is_captured_no_more(self, bench: HoldingBillerBench) -> None:
        held = await hold(bench)
        order = hold_order(bench, "rel_1", held)
        assert word(await bench.holding.release(order)) == "released"
        assert word(await bench.holding.release(order)) == "released"
        assert word(await bench.holding.capture(hold_order(bench, "cap_1", held))) == "unknown"
        assert word(await bench.holding.inquire_hold(charge_order(bench))) == "released"
        assert bench.executed() == (0, 0)

    async def test_what_has_lapsed_is_found_to_be_free(self, bench: HoldingBillerBench) -> None:
        held = await hold(bench)
        bench.expire("att_1")
        # Only an inquiry tells whether it was taken, let go or has lapsed, so neither order is told a no.
        assert word(await bench.holding.capture(hold_order(bench, "cap_1", held))) == "unknown"
        assert word(await bench.holding.release(hold_order(bench, "rel_1", held))) == "unknown"
        assert word(await bench.holding.inquire_hold(charge_order(bench))) == "released"
        assert bench.executed() == (0, 0)

    async def test_what_is_captured_is_not_released(self, bench: HoldingBillerBench) -> None:
        held = await hold(bench)
        await bench.holding.capture(hold_order(bench, "cap_1", held))
        assert word(await bench.holding.release(hold_order(bench, "rel_1", held))) == "unknown"
        assert word(await bench.holding.inquire_hold(charge_order(bench))) == "charged"

    async def test_a_captured_reservation_is_refunded_like_a_charge(self, bench: HoldingBillerBench) -> None:
        taken = await bench.holding.capture(hold_order(bench, "cap_1", await hold(bench), PART))
        assert isinstance(taken, base.Charged)
        whole = reverse_order(bench, "rev_1", reference=taken.carrier_reference)
        assert word(await bench.biller.reverse(whole)) == "declined carrier_declined"
        part = reverse_order(bench, "rev_2", amount=PART, reference=taken.carrier_reference)
        assert word(await bench.biller.reverse(part), PART) == "charged"
        assert bench.executed() == (1, 1)

    async def test_a_reservation_and_a_charge_do_not_answer_for_each_other(self, bench: HoldingBillerBench) -> None:
        await hold(bench)
        assert word(await bench.biller.inquire(charge_order(bench))) == "not found"
        await bench.biller.charge(charge_order(bench, "att_2"))
        assert word(await bench.holding.inquire_hold(charge_order(bench, "att_2"))) == "not found"

    @pytest.mark.parametrize("name", RESERVE_KNOBS)
    async def test_a_reservation_that_meets_a_fault(self, bench: HoldingBillerBench, name: str) -> None:
        bench.strike("reserve", name)

        async def reserve(biller: base.HoldingBiller) -> Result:
            return await biller.reserve(charge_order(bench))

        await self._meet(bench, RESERVE_KNOBS[name], "att_1", reserve)
        assert bench.executed() == (0, 0)

    @pytest.mark.parametrize("name", CAPTURE_KNOBS)
    async def test_a_capture_that_meets_a_fault(self, bench: HoldingBillerBench, name: str) -> None:
        knob, order = CAPTURE_KNOBS[name], hold_order(bench, "cap_1", await hold(bench))
        bench.strike("capture", name)

        async def capture(biller: base.HoldingBiller) -> Result:
            return await biller.capture(order)

        await self._meet(bench, knob, "cap_1", capture)
        assert bench.executed() == (int("charged" in (knob.settled or knob.found) or name == "inquiry_lag"), 0)

    @pytest.mark.parametrize("name", RELEASE_KNOBS)
    async def test_a_release_that_meets_a_fault(self, bench: HoldingBillerBench, name: str) -> None:
        order = hold_order(bench, "rel_1", await hold(bench))
        bench.strike("release", name)

        async def release(biller: base.HoldingBiller) -> Result:
            return await biller.release(order)

        await self._meet(bench, RELEASE_KNOBS[name], "rel_1", release)
        assert bench.executed() == (0, 0)

    @pytest.mark.parametrize("name", INQUIRY_KNOBS)
    async def test_an_inquiry_about_a_hold_that_meets_a_fault(self, bench: HoldingBillerBench, name: str) -> None:
        await hold(bench)
        bench.strike("inquiry", name)
        holding = bench.hasty_holding if name == "timeout_lost" else bench.holding
        found = INQUIRY_KNOBS[name].replace("charged", "held")
        assert word(await holding.inquire_hold(charge_order(bench))) == found
        assert word(await bench.holding.inquire_hold(charge_order(bench))) == "held"

    async def test_nothing_about_a_hold_is_sent_where_nobody_listens(self, bench: HoldingBillerBench) -> None:
        held = await hold(bench)
        await bench.stop_listening()
        assert word(await bench.holding.reserve(charge_order(bench, "att_2"))) == "unsent"
        assert word(await bench.holding.capture(hold_order(bench, "cap_1", held))) == "unsent"
        assert word(await bench.holding.release(hold_order(bench, "rel_1", held))) == "unsent"
        assert word(await bench.holding.inquire_hold(charge_order(bench))) == "unknown"

    async def _meet(
        self,
        bench: HoldingBillerBench,
        knob: Knob,
        attempt_id: str,
        order: Callable[[base.HoldingBiller], Coroutine[None, None, Result]],
    ) -> None:
        asked = charge_order(bench)
        assert word(await order(bench.hasty_holding if knob.hangs else bench.holding)) == knob.answer
        assert word(await bench.holding.inquire_hold(asked)) == knob.found
        if knob.settled:
            bench.settle(attempt_id)
            assert word(await bench.holding.inquire_hold(asked)) == knob.settled
        for _ in range(knob.callbacks):
            heard = await asyncio.wait_for(bench.heard.get(), 20.0)
            assert (heard.attempt_id, heard.authenticated) == (attempt_id, True)
        assert bench.heard.empty()


def _whole(bench: HoldingBillerBench) -> Decimal:
    return sum((one.amount for one in bench.moved() if one.what == "held"), Decimal(0))
