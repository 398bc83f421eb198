"""What every adapter must do, whatever its dialect: one suite for billers, one for bearers.

A test module subclasses a suite and gives it a `bench` fixture: the adapter beside its own simulator, and a way to ask
the simulator what truly happened. The suites know no dialect; `word` puts a result into one word that tables can hold.
"""

import asyncio
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import pytest

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Reason

WAIT_S = 20.0
PRICE = Money(125_000, "KES")

Result = base.ChargeResult | base.InquiryResult


def word(result: Result, amount: Money = PRICE) -> str:
    """One word for each kind of result; `charged otherwise` is a yes over another amount."""
    match result:
        case base.Charged():
            return "charged" if result.amount == amount else "charged otherwise"
        case base.Declined():
            return f"declined {Reason(result.reason)}"
        case base.Unsent():
            return "unsent"
        case base.Unknown():
            return "unknown"
        case base.Pending():
            return "pending"
        case base.NotFound():
            return "not found"


class BillerBench(Protocol):
    """A biller, and the other side's own count of what it did."""

    msisdn: str

    @property
    def biller(self) -> base.Biller: ...

    def executed(self) -> tuple[int, int]:
        """Charges and refunds that moved money."""
        ...


class FaultyBillerBench(BillerBench, Protocol):
    """A biller whose other side can be told to fail."""

    @property
    def hasty(self) -> base.Biller:
        """The same, with a time-out that a hanging server exceeds soon."""
        ...

    heard: "asyncio.Queue[base.Callback]"
    """What the adapter's routes handed to the sink."""
    is_overloaded: bool
    """The sink has no room."""

    def strike(self, point: str, knob: str) -> None:
        """The next event at *point* (charge, refund, inquiry) meets *knob*."""
        ...

    def settle(self, attempt_id: str) -> None:
        """The other side ends what it held back, and its inquiry catches up."""
        ...

    async def stop_listening(self) -> None: ...

    async def call_back(self, attempt_id: str, token: str) -> int:
        """The status of a callback whose token is `right`, `wrong` or that of `another` attempt."""
        ...


def charge_order(bench: BillerBench, attempt_id: str = "att_1", amount: Money = PRICE) -> base.ChargeOrder:
    return base.ChargeOrder(
        attempt_id=attempt_id, msisdn=bench.msisdn, amount=amount, description="2 goats", reference="7K2M4Q9A"
    )


def reverse_order(
    bench: BillerBench,
    attempt_id: str = "rev_1",
    *,
    of: str = "att_1",
    amount: Money = PRICE,
    reference: str | None = None,
) -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id=attempt_id, charge_attempt_id=of, charge_reference=reference, msisdn=bench.msisdn, amount=amount
    )


class BillerConformance:
    """What every biller does when nothing goes wrong."""

    async def test_a_charge_is_an_explicit_yes_over_the_amount(self, bench: BillerBench) -> None:
        order = charge_order(bench)
        charged = await bench.biller.charge(order)
        assert word(charged) == "charged"
        assert await bench.biller.inquire(order) == charged
        assert bench.executed() == (1, 0)

    async def test_the_same_attempt_twice_charges_once(self, bench: BillerBench) -> None:
        order = charge_order(bench)
        first = await bench.biller.charge(order)
        assert await bench.biller.charge(order) == first
        assert bench.executed() == (1, 0)

    async def test_twins_at_the_same_moment_charge_once(self, bench: BillerBench) -> None:
        order = charge_order(bench)
        answers = await asyncio.gather(*(bench.biller.charge(order) for _ in range(8)))
        assert {word(answer) for answer in answers} == {"charged"}
        assert bench.executed() == (1, 0)

    async def test_the_same_attempt_with_another_amount_is_no_yes_and_no_no(self, bench: BillerBench) -> None:
        await bench.biller.charge(charge_order(bench))
        other = charge_order(bench, amount=Money(PRICE.amount_minor + 1, PRICE.currency))
        assert word(await bench.biller.charge(other)) == "unknown"
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("amount", [Money(1, "KES"), Money(100_05, "KES"), Money(500, "UGX"), Money(1_001, "TND")])
    async def test_an_amount_comes_back_to_the_last_minor_unit(self, bench: BillerBench, amount: Money) -> None:
        assert word(await bench.biller.charge(charge_order(bench, amount=amount)), amount) == "charged"

    async def test_an_attempt_that_was_never_sent_is_not_found(self, bench: BillerBench) -> None:
        assert word(await bench.biller.inquire(charge_order(bench, "att_never"))) == "not found"
        assert word(await bench.biller.inquire_reverse(reverse_order(bench, "rev_never"))) == "not found"

    async def test_another_phones_attempt_is_not_found(self, bench: BillerBench) -> None:
        order = charge_order(bench)
        await bench.biller.charge(order)
        stranger = base.ChargeOrder(
            attempt_id=order.attempt_id,
            msisdn=bench.msisdn[:-1] + "7",
            amount=order.amount,
            description=order.description,
            reference=order.reference,
        )
        assert word(await bench.biller.inquire(stranger)) == "not found"

    async def test_a_reversal_gives_the_money_back_once(self, bench: BillerBench) -> None:
        charged = await bench.biller.charge(charge_order(bench))
        assert isinstance(charged, base.Charged)
        order = reverse_order(bench, reference=charged.carrier_reference)
        back = await bench.biller.reverse(order)
        assert word(back) == "charged"
        assert await bench.biller.reverse(order) == back
        assert await bench.biller.inquire_reverse(order) == back
        assert bench.executed() == (1, 1)

    async def test_a_charge_whose_reference_was_never_learned_can_be_reversed(self, bench: BillerBench) -> None:
        await bench.biller.charge(charge_order(bench))
        assert word(await bench.biller.reverse(reverse_order(bench))) == "charged"

    async def test_no_more_than_was_charged_is_given_back(self, bench: BillerBench) -> None:
        assert bench.biller.capabilities.partial_refund
        await bench.biller.charge(charge_order(bench))
        part = Money(PRICE.amount_minor - 1, PRICE.currency)
        assert word(await bench.biller.reverse(reverse_order(bench, "rev_1", amount=part)), part) == "charged"
        assert (
            word(await bench.biller.reverse(reverse_order(bench, "rev_2", amount=part))) == "declined carrier_declined"
        )
        assert bench.executed() == (1, 1)

    async def test_what_was_never_charged_cannot_be_given_back(self, bench: BillerBench) -> None:
        order = reverse_order(bench, of="att_never")
        assert word(await bench.biller.reverse(order)) == "declined carrier_declined"
        assert word(await bench.biller.inquire_reverse(order)) == "declined carrier_declined"
        assert bench.executed() == (0, 0)

    async def test_it_is_keyed_by_our_attempt(self, bench: BillerBench) -> None:
        assert bench.biller.capabilities.client_keyed
        assert bench.biller.timeout_s > 0

    async def test_it_runs_until_it_is_cancelled(self, bench: BillerBench) -> None:
        async def sink(_: object) -> None:
            pytest.fail("nothing happened")

        running = asyncio.create_task(bench.biller.run(sink))
        await asyncio.sleep(0)
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


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
    callbacks: int = 0


KNOBS = {
    "insufficient_funds": Knob("declined insufficient_funds", "declined insufficient_funds", 0),
    "limit_exceeded": Knob("declined limit_exceeded", "declined limit_exceeded", 0),
    "not_subscriber": Knob("declined not_subscriber", "declined not_subscriber", 0),
    "barred": Knob("declined carrier_declined", "declined carrier_declined", 0),
    "timeout_charged": Knob("unknown", "charged", 1, hangs=True),
    "timeout_declined": Knob("unknown", "declined limit_exceeded", 0, hangs=True),
    "timeout_lost": Knob("unknown", "not found", 0, hangs=True),
    "late": Knob("unknown", "not found", 0, settled="charged", hangs=True, callbacks=1),
    "error_before": Knob("unknown", "not found", 0),
    "error_after": Knob("unknown", "charged", 1),
    "garbage": Knob("unknown", "charged", 1),
    "wrong_amount": Knob("charged otherwise", "charged", 1),
    "slow": Knob("charged", "charged", 1),
    "reset": Knob("unknown", "charged", 1),
    "inquiry_lag": Knob("unknown", "pending", 1, settled="charged", hangs=True),
    "processing": Knob("unknown", "pending", 0, settled="charged", callbacks=1),
    "callback_once": Knob("charged", "charged", 1, callbacks=1),
    "callback_twice": Knob("charged", "charged", 1, callbacks=2),
    "callback_before": Knob("charged", "charged", 1, callbacks=1),
    "callback_late": Knob("charged", "charged", 1, callbacks=1),
}
INQUIRY_KNOBS = {
    "error_before": "unknown",
    "garbage": "unknown",
    "slow": "charged",
    "timeout_lost": "unknown",
    "reset": "unknown",
    "processing": "pending",
    "not_found": "not found",
}


class FaultyBillerConformance(BillerConformance):
    """What a biller over a network does when something goes wrong. Every knob of its simulator stands in a table."""

    knobs: ClassVar[frozenset[str]]
    """Of the simulator, for orders."""
    inquiry_knobs: ClassVar[frozenset[str]]
    own: ClassVar[Mapping[str, Knob]] = {}
    """Knobs that this dialect words otherwise, or that only it has."""
    own_refunds: ClassVar[Mapping[str, Knob]] = {}
    """The same of refunds, before `own`."""
    own_inquiries: ClassVar[Mapping[str, str]] = {}

    def test_every_knob_is_tried(self) -> None:
        assert self.knobs == KNOBS.keys() | self.own.keys()
        assert self.inquiry_knobs == INQUIRY_KNOBS.keys() | self.own_inquiries.keys()

    @pytest.mark.parametrize("name", KNOBS)
    async def test_a_charge_that_meets_a_fault(self, bench: FaultyBillerBench, name: str) -> None:
        knob, order = {**KNOBS, **self.own}[name], charge_order(bench)
        bench.strike("charge", name)
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
    async def test_a_reversal_that_meets_a_fault(self, bench: FaultyBillerBench, name: str) -> None:
        knob, order = {**KNOBS, **self.own, **self.own_refunds}[name], reverse_order(bench)
        assert word(await bench.biller.charge(charge_order(bench))) == "charged"
        bench.strike("refund", name)
        biller = bench.hasty if knob.hangs else bench.biller
        assert word(await biller.reverse(order)) == knob.answer
        assert word(await bench.biller.inquire_reverse(order)) == knob.found
        assert bench.executed() == (1, knob.moved)
        if knob.settled:
            bench.settle(order.attempt_id)
            assert word(await bench.biller.inquire_reverse(order)) == knob.settled
            assert bench.executed() == (1, 1)
        await self._hear(bench, knob.callbacks, order.attempt_id)

    @pytest.mark.parametrize("name", INQUIRY_KNOBS)
    async def test_an_inquiry_that_meets_a_fault(self, bench: FaultyBillerBench, name: str) -> None:
        order = charge_order(bench)
        await bench.biller.charge(order)
        bench.strike("inquiry", name)
        biller = bench.hasty if name == "timeout_lost" else bench.biller
        assert word(await biller.inquire(order)) == {**INQUIRY_KNOBS, **self.own_inquiries}[name]
        assert word(await bench.biller.inquire(order)) == "charged"
        assert bench.executed() == (1, 0)

    async def test_nothing_is_sent_where_nobody_listens(self, bench: FaultyBillerBench) -> None:
        await bench.biller.charge(charge_order(bench))
        await bench.stop_listening()
        assert word(await bench.biller.charge(charge_order(bench, "att_2"))) == "unsent"
        assert word(await bench.biller.reverse(reverse_order(bench))) == "unsent"
        # Whether the operator knows the attempt is another matter than whether our question left.
        assert word(await bench.biller.inquire(charge_order(bench))) == "unknown"
        assert word(await bench.biller.inquire_reverse(reverse_order(bench))) == "unknown"
        assert bench.executed() == (1, 0)

    @pytest.mark.parametrize("token", ["wrong", "another"])
    async def test_a_forged_callback_is_not_found_and_reaches_nobody(
        self, bench: FaultyBillerBench, token: str
    ) -> None:
        await bench.biller.charge(charge_order(bench))
        assert await bench.call_back("att_1", token) == 404
        assert bench.heard.empty()

    async def test_a_callback_is_acknowledged_once_it_was_taken(self, bench: FaultyBillerBench) -> None:
        await bench.biller.charge(charge_order(bench))
        bench.is_overloaded = True
        assert await bench.call_back("att_1", "right") == 503
        bench.is_overloaded = False
        assert await bench.call_back("att_1", "right") in (200, 204)
        await self._hear(bench, 1, "att_1")

    async def _hear(self, bench: FaultyBillerBench, times: int, attempt_id: str) -> None:
        for _ in range(times):
            heard = await asyncio.wait_for(bench.heard.get(), WAIT_S)
            assert (heard.attempt_id, heard.authenticated) == (attempt_id, True)
        assert bench.heard.empty()


class BearerBench(Protocol):
    """A bearer that is up, and phones that answer an ask with its code."""

    @property
    def bearer(self) -> base.Bearer: ...

    carrier: str
    msisdn: str
    heard: "asyncio.Queue[base.Mo | base.Receipt]"
    """What the sink took."""
    refusals: int
    """So many of the next things the sink refuses, because the gateway is overloaded."""

    async def go_down(self) -> None:
        """Returns once no text can leave any more."""
        ...


def an_ask(bench: BearerBench, code: str, *, words: int = 1, want_receipt: bool = True) -> base.Mt:
    item = " ".join(["goats"] * words)
    text = f"ASHA asks KES 1,250.00 for {item}. To PAY reply {code}. To refuse reply 0. No reply, no charge."
    return base.Mt(id=f"msg_{code}", msisdn=bench.msisdn, text=text, want_receipt=want_receipt)


class BearerConformance:
    """What every bearer does."""

    async def test_a_text_is_taken_and_its_receipt_and_reply_come_back(self, bench: BearerBench) -> None:
        submitted = await bench.bearer.submit(an_ask(bench, "4711"))
        assert isinstance(submitted, base.Submitted)
        assert submitted.segments == len(submitted.message_ids) == 1
        receipts, replies = await self._hear(bench, receipts=1, replies=1)
        assert set(receipts[0].message_ids) & set(submitted.message_ids)
        assert (receipts[0].carrier, receipts[0].state) == (bench.carrier, "delivered")
        assert (replies[0].carrier, replies[0].msisdn, replies[0].text) == (bench.carrier, bench.msisdn, "4711")
        assert replies[0].to

    async def test_a_long_text_is_one_message_of_several_parts(self, bench: BearerBench) -> None:
        submitted = await bench.bearer.submit(an_ask(bench, "4712", words=40))
        assert isinstance(submitted, base.Submitted)
        assert submitted.segments > 1
        # Either each part has an answer and a receipt of its own, or the text as a whole.
        assert len(submitted.message_ids) in (1, submitted.segments)
        receipts, replies = await self._hear(bench, receipts=len(submitted.message_ids), replies=1)
        assert [reply.text for reply in replies] == ["4712"]
        assert {receipt.state for receipt in receipts} == {"delivered"}

    async def test_no_receipt_comes_that_was_not_wanted(self, bench: BearerBench) -> None:
        await bench.bearer.submit(an_ask(bench, "4713", want_receipt=False))
        await self._hear(bench, receipts=0, replies=1)

    async def test_messages_have_ids_of_their_own(self, bench: BearerBench) -> None:
        submitted = [await bench.bearer.submit(an_ask(bench, str(code))) for code in range(4720, 4730)]
        ids = [one.message_ids for one in submitted if isinstance(one, base.Submitted)]
        assert len(set(ids)) == len(submitted) == 10
        await self._hear(bench, receipts=10, replies=10)

    async def test_what_the_gateway_cannot_take_now_is_offered_again(self, bench: BearerBench) -> None:
        bench.refusals = 2
        await bench.bearer.submit(an_ask(bench, "4714"))
        await self._hear(bench, receipts=1, replies=1)

    async def test_a_text_over_a_link_that_is_down_is_handed_back(self, bench: BearerBench) -> None:
        assert bench.bearer.is_up()
        await bench.go_down()
        assert not bench.bearer.is_up()
        refused = await bench.bearer.submit(an_ask(bench, "4715"))
        assert isinstance(refused, base.Refused)
        assert refused.retryable

    async def _hear(
        self, bench: BearerBench, *, receipts: int, replies: int
    ) -> tuple[list[base.Receipt], list[base.Mo]]:
        """So much of each and no more; a bearer may hand something over twice, but not at its own whim."""
        heard = [await asyncio.wait_for(bench.heard.get(), WAIT_S) for _ in range(receipts + replies)]
        found = [one for one in heard if isinstance(one, base.Receipt)]
        texts = [one for one in heard if isinstance(one, base.Mo)]
        assert (len(found), len(texts), bench.heard.qsize()) == (receipts, replies, 0)
        return found, texts
