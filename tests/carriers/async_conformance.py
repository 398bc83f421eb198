"""What every biller must do whose orders are only accepted at once: a phone approves them, and an inquiry ends them.

A test module subclasses the suite and gives it a `bench` fixture, as for the suites in `conformance`, whose words it
uses. What a dialect words less exactly, or cannot do at all, it says in class variables.
"""

import asyncio
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import pytest

from carriers import base
from gateway.core.money import Money
from tests.carriers.conformance import (
    PRICE,
    WAIT_S,
    FaultyBillerBench,
    charge_order,
    reverse_order,
    word,
)


class AsynchronousBillerBench(FaultyBillerBench, Protocol):
    """A biller whose other side accepts first and decides later."""

    def accepted_at_most_once(self) -> bool:
        """By the journal: no charge was executed twice under one key."""
        ...


class Knob(NamedTuple):
    """What one knob of the other side must look like from here."""

    answer: str
    """To the order itself, as `word` says it."""
    found: str
    """By an inquiry afterwards."""
    moved: int
    """Times that money moved by then."""
    settled: str = ""
    """By an inquiry after the other side has ended what it held back; then money has moved once."""
    hangs: bool = False
    callbacks: int = 1


KNOBS = {
    "insufficient_funds": Knob("pending", "declined insufficient_funds", 0),
    "limit_exceeded": Knob("pending", "declined limit_exceeded", 0),
    "not_subscriber": Knob("pending", "declined not_subscriber", 0),
    "barred": Knob("pending", "declined carrier_declined", 0),
    "refused": Knob("pending", "declined refused", 0),
    "expired": Knob("pending", "declined expired", 0),
    "refused_at_once": Knob("declined not_subscriber", "not found", 0, callbacks=0),
    "timeout_charged": Knob("unknown", "charged", 1, hangs=True),
    "timeout_declined": Knob("unknown", "declined limit_exceeded", 0, hangs=True),
    "timeout_lost": Knob("unknown", "not found", 0, hangs=True, callbacks=0),
    "late": Knob("unknown", "not found", 0, settled="charged", hangs=True),
    "processing": Knob("pending", "pending", 0, settled="charged"),
    "silent": Knob("pending", "pending", 0, settled="charged", callbacks=0),
    "error_before": Knob("unknown", "not found", 0, callbacks=0),
    "error_after": Knob("unknown", "charged", 1),
    "garbage": Knob("unknown", "charged", 1),
    "slow": Knob("pending", "charged", 1),
    "reset": Knob("unknown", "charged", 1),
    "duplicate": Knob("unknown", "charged", 1),
    "rate_limited": Knob("unknown", "not found", 0, callbacks=0),
    "token_expired": Knob("pending", "charged", 1),
    "inquiry_lag": Knob("pending", "pending", 1, settled="charged"),
    "callback_lost": Knob("pending", "charged", 1, callbacks=0),
    "callback_twice": Knob("pending", "charged", 1, callbacks=2),
    "callback_before": Knob("pending", "charged", 1),
    "callback_late": Knob("pending", "charged", 1),
    "callback_forged": Knob("pending", "charged", 1, callbacks=0),
    "callback_disordered": Knob("pending", "charged", 1, callbacks=2),
}
INQUIRY_KNOBS = {
    "error_before": "unknown",
    "garbage": "unknown",
    "slow": "charged",
    "timeout_lost": "unknown",
    "reset": "unknown",
    "processing": "pending",
    "not_found": "not found",
    "wrong_amount": "unknown",
    "wrong_number": "unknown",
    "rate_limited": "unknown",
    "token_expired": "charged",
}
TOKEN_KNOBS = ("error_before", "garbage", "timeout_lost", "refused")
# Of a refund that is answered at once and that nobody can be asked about.
REFUND_AT_ONCE_KNOBS = {
    "barred": ("declined carrier_declined", 0),
    "timeout_charged": ("unknown", 1),
    "timeout_declined": ("unknown", 0),
    "timeout_lost": ("unknown", 0),
    "error_before": ("unknown", 0),
    "error_after": ("unknown", 1),
    "garbage": ("unknown", 1),
    "slow": ("charged", 1),
    "reset": ("unknown", 1),
    "duplicate": ("unknown", 1),
    "rate_limited": ("unknown", 0),
    "token_expired": ("charged", 1),
}


class AsynchronousBillerConformance:
    """Every knob of the simulator stands in a table."""

    knobs: ClassVar[frozenset[str]]
    """Of the simulator, for orders."""
    inquiry_knobs: ClassVar[frozenset[str]]
    reasons: ClassVar[Mapping[str, str]] = {}
    """Of declines that this dialect words otherwise."""
    refunds_at_once: ClassVar[bool] = False
    """A refund is answered at once, whole only, without a key of ours and without an inquiry."""

    def test_every_knob_is_tried(self) -> None:
        assert self.knobs == KNOBS.keys()
        assert self.inquiry_knobs == INQUIRY_KNOBS.keys()

    async def test_a_charge_is_accepted_and_then_an_explicit_yes(self, bench: AsynchronousBillerBench) -> None:
        order = charge_order(bench)
        assert word(await bench.biller.charge(order)) == "pending"
        charged = await bench.biller.inquire(order)
        assert word(charged) == "charged"
        assert await bench.biller.inquire(order) == charged
        assert bench.executed() == (1, 0)

    async def test_the_same_attempt_twice_charges_once(self, bench: AsynchronousBillerBench) -> None:
        order = charge_order(bench)
        await bench.biller.charge(order)
        assert word(await bench.biller.charge(order)) == "unknown"
        assert word(await bench.biller.inquire(order)) == "charged"
        assert bench.executed() == (1, 0)

    async def test_twins_at_the_same_moment_charge_once(self, bench: AsynchronousBillerBench) -> None:
        order = charge_order(bench)
        answers = await asyncio.gather(*(bench.biller.charge(order) for _ in range(8)))
        assert sorted(word(answer) for answer in answers) == ["pending", *["unknown"] * 7]
        assert bench.executed() == (1, 0)

    async def test_the_same_attempt_with_another_amount_is_no_yes_and_no_no(
        self, bench: AsynchronousBillerBench
    ) -> None:
        await bench.biller.charge(charge_order(bench))
        other = charge_order(bench, amount=Money(PRICE.amount_minor + 1, PRICE.currency))
        assert word(await bench.biller.charge(other)) == "unknown"
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("amount", [Money(1, "KES"), Money(100_05, "KES"), Money(500, "UGX"), Money(1_001, "TND")])
    async def test_an_amount_comes_back_to_the_last_minor_unit(
        self, bench: AsynchronousBillerBench, amount: Money
    ) -> None:
        order = charge_order(bench, amount=amount)
        assert word(await bench.biller.charge(order)) == "pending"
        assert word(await bench.biller.inquire(order), amount) == "charged"

    async def test_an_attempt_that_was_never_sent_is_not_found(self, bench: AsynchronousBillerBench) -> None:
        assert word(await bench.biller.inquire(charge_order(bench, "att_never"))) == "not found"
        expected = "unknown" if self.refunds_at_once else "not found"
        assert word(await bench.biller.inquire_reverse(reverse_order(bench, "rev_never"))) == expected

    async def test_a_reversal_gives_the_money_back_once(self, bench: AsynchronousBillerBench) -> None:
        charged = await self._charged(bench)
        order = reverse_order(bench, reference=charged.carrier_reference)
        back = word(await bench.biller.reverse(order))
        assert back == ("charged" if self.refunds_at_once else "pending")
        assert word(await bench.biller.reverse(order)) == "unknown"
        assert word(await bench.biller.inquire_reverse(order)) == ("unknown" if self.refunds_at_once else "charged")
        assert bench.executed() == (1, 1)

    async def test_a_charge_whose_reference_was_never_learned_can_be_reversed(
        self, bench: AsynchronousBillerBench
    ) -> None:
        await self._charged(bench)
        await bench.biller.reverse(reverse_order(bench))
        assert bench.executed() == (1, 1)

    async def test_no_more_than_was_charged_is_given_back(self, bench: AsynchronousBillerBench) -> None:
        charged = await self._charged(bench)
        assert bench.biller.capabilities.partial_refund is not self.refunds_at_once
        part = PRICE if self.refunds_at_once else Money(PRICE.amount_minor - 1, PRICE.currency)
        first, order = (
            reverse_order(bench, attempt_id, amount=part, reference=charged.carrier_reference)
            for attempt_id in ("rev_1", "rev_2")
        )
        await bench.biller.reverse(first)
        answer = word(await bench.biller.reverse(order), part)
        if not self.refunds_at_once:
            answer = word(await bench.biller.inquire_reverse(order), part)
        assert answer == ("unknown" if self.refunds_at_once else "declined carrier_declined")
        assert bench.executed() == (1, 1)

    async def test_what_was_never_charged_cannot_be_given_back(self, bench: AsynchronousBillerBench) -> None:
        order = reverse_order(bench, of="att_never")
        answer = word(await bench.biller.reverse(order))
        # Unsent where the charge must be found first, and is not.
        assert answer in ("unsent", "pending")
        if answer == "pending":
            assert word(await bench.biller.inquire_reverse(order)) == "declined carrier_declined"
        assert bench.executed() == (0, 0)

    @pytest.mark.parametrize("name", KNOBS)
    async def test_a_charge_that_meets_a_fault(self, bench: AsynchronousBillerBench, name: str) -> None:
        knob, order = self._knob(name), charge_order(bench)
        bench.strike("charge", name)
        # Where a time-out is tried, the token is there already.
        await bench.hasty.inquire(order)
        biller = bench.hasty if knob.hangs else bench.biller
        assert word(await biller.charge(order)) == knob.answer
        assert word(await bench.biller.inquire(order)) == knob.found
        assert bench.executed() == (knob.moved, 0)
        if knob.settled:
            bench.settle(order.attempt_id)
            assert word(await bench.biller.inquire(order)) == knob.settled
            assert bench.executed() == (1, 0)
        await self._hear(bench, knob.callbacks, order.attempt_id)

    @pytest.mark.parametrize("name", KNOBS)
    async def test_a_reversal_that_meets_a_fault(self, bench: AsynchronousBillerBench, name: str) -> None:
        charged = await self._charged(bench)
        await self._hear(bench, 1, "att_1")
        knob, order = self._knob(name), reverse_order(bench, reference=charged.carrier_reference)
        bench.strike("refund", name)
        await bench.hasty.inquire(charge_order(bench))
        await bench.hasty.inquire_reverse(order)
        biller = bench.hasty if knob.hangs else bench.biller
        if self.refunds_at_once:
            answer, moved = REFUND_AT_ONCE_KNOBS.get(name, (None, 0))
            if answer is not None:
                assert word(await biller.reverse(order)) == answer
                assert word(await bench.biller.inquire_reverse(order)) == "unknown"
                assert bench.executed() == (1, moved)
            return
        answered, found = word(await biller.reverse(order)), word(await bench.biller.inquire_reverse(order))
        assert answered.replace("not_subscriber", "carrier_declined") == knob.answer.replace(
            "not_subscriber", "carrier_declined"
        )
        assert found == knob.found
        assert bench.executed() == (1, knob.moved)
        if knob.settled:
            bench.settle(order.attempt_id)
            assert word(await bench.biller.inquire_reverse(order)) == knob.settled
            assert bench.executed() == (1, 1)
        await self._hear(bench, knob.callbacks, order.attempt_id)

    @pytest.mark.parametrize("name", INQUIRY_KNOBS)
    async def test_an_inquiry_that_meets_a_fault(self, bench: AsynchronousBillerBench, name: str) -> None:
        order = charge_order(bench)
        await bench.biller.charge(order)
        await bench.hasty.inquire(order)
        bench.strike("inquiry", name)
        biller = bench.hasty if name == "timeout_lost" else bench.biller
        assert word(await biller.inquire(order)) == INQUIRY_KNOBS[name]
        assert word(await bench.biller.inquire(order)) == "charged"
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("name", TOKEN_KNOBS)
    async def test_without_a_token_nothing_is_sent(self, bench: AsynchronousBillerBench, name: str) -> None:
        order = charge_order(bench)
        bench.strike("token", name)
        assert word(await bench.hasty.charge(order)) == "unsent"
        assert bench.executed() == (0, 0)
        bench.strike("token", name)
        assert word(await bench.hasty.inquire(order)) == "unknown"
        assert word(await bench.hasty.charge(order)) == "pending"

    async def test_nothing_is_sent_where_nobody_listens(self, bench: AsynchronousBillerBench) -> None:
        charged = await self._charged(bench)
        await bench.stop_listening()
        order = reverse_order(bench, reference=charged.carrier_reference)
        assert word(await bench.biller.charge(charge_order(bench, "att_2"))) == "unsent"
        assert word(await bench.biller.reverse(order)) == "unsent"
        assert word(await bench.biller.inquire(charge_order(bench))) == "unknown"
        assert word(await bench.biller.inquire_reverse(order)) == "unknown"
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("token", ["wrong", "another"])
    async def test_a_forged_callback_is_not_found_and_reaches_nobody(
        self, bench: AsynchronousBillerBench, token: str
    ) -> None:
        await self._charged(bench)
        await self._hear(bench, 1, "att_1")
        assert await bench.call_back("att_1", token) == 404
        assert bench.heard.empty()

    async def test_a_callback_is_acknowledged_once_it_was_taken(self, bench: AsynchronousBillerBench) -> None:
        await self._charged(bench)
        await self._hear(bench, 1, "att_1")
        bench.is_overloaded = True
        assert await bench.call_back("att_1", "right") == 503
        bench.is_overloaded = False
        assert await bench.call_back("att_1", "right") in (200, 204)
        await self._hear(bench, 1, "att_1")

    def _knob(self, name: str) -> Knob:
        knob = KNOBS[name]
        reason = self.reasons.get(name)
        if reason is None:
            return knob
        worded = f"declined {reason}"
        return knob._replace(answer=worded) if knob.answer.startswith("declined") else knob._replace(found=worded)

    async def _charged(self, bench: AsynchronousBillerBench) -> base.Charged:
        order = charge_order(bench)
        assert word(await bench.biller.charge(order)) == "pending"
        charged = await bench.biller.inquire(order)
        assert isinstance(charged, base.Charged)
        return charged

    async def _hear(self, bench: AsynchronousBillerBench, times: int, attempt_id: str) -> None:
        for _ in range(times):
            heard = await asyncio.wait_for(bench.heard.get(), WAIT_S)
            assert (heard.attempt_id, heard.authenticated) == (attempt_id, True)
        assert bench.heard.empty()
