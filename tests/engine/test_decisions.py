"""An operator's word about each kind of order that nobody knows the end of: what it moves, and when it is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Capture, Rules
from gateway.engine.carrier_facts import OrderResult
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.decisions import EndOrder, Outcome, needs_of
from gateway.engine.given_up import RowGivenUp
from gateway.engine.merchant_jobs import CancelPayment, CapturePayment
from gateway.engine.refund_jobs import RefundDone
from gateway.store import merchant_reads
from gateway.store.apply import Job
from gateway.store.cases import Case, resolve
from gateway.store.merchant_reads import Owner
from gateway.store.outbox import OutboxRow
from gateway.store.verify import verify
from merchants.timeline import timeline
from tests.engine.file_bench import Bench, a_bench
from tests.store.bench import CARRIERS, Odd, an_order, applied, rows
from tests.store.refund_bench import a_refund, balances

# A short ladder: two questions, and a person is called. That it does not know an order is believed at once.
RULES: Final = Rules(
    holds=True,
    partial_capture=True,
    inquiry_ladder_ms=(1, 1),
    max_processing_ms=0,
    not_found_answers=1,
    not_found_gap_ms=0,
)
PRICE: Final = Money(125_000, "KES")
HELD: Final = base.Held(carrier_reference="SR1", amount=PRICE)
CHARGED: Final = base.Charged(carrier_reference="SR1", amount=PRICE)
# (order, what the carrier told) → the payment's state and reason, the last entry about it, the breaks that are left.
ENDS: Final = {
    ("charge", "happened"): ("captured", None, "capture", ()),
    ("charge", "did-not-happen"): ("ended", "not_charged", None, ()),
    ("reserve", "happened"): ("authorized", None, "hold", ()),
    ("reserve", "did-not-happen"): ("ended", "not_charged", None, ()),
    ("capture", "happened"): ("captured", None, "capture", ()),
    ("capture", "did-not-happen"): ("authorized", None, "hold", ()),
    ("release", "happened"): ("ended", "cancelled", "hold_ended", ()),
    ("release", "did-not-happen"): ("voiding", None, "hold", ("not_carried_out",)),
    ("refund", "happened"): ("captured", None, "refund_succeeded", ()),
    ("refund", "did-not-happen"): ("captured", None, "refund_failed", ()),
    ("reverse", "happened"): ("ended", "cancelled", "reversal", ()),
    ("reverse", "did-not-happen"): ("reversing", None, "late_charge", ("reversal_declined",)),
}


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path, rules=dict.fromkeys(CARRIERS, RULES)) as opened:
        yield opened


class Doubt:
    """An order of one payment of which no inquiry says what became of it."""

    def __init__(self, bench: Bench, kind: str, n: int) -> None:
        self.bench = bench
        capture = Capture.MANUAL if kind in ("reserve", "capture", "release") else Capture.AUTOMATIC
        first = an_order(bench.store, f"k-{n}", capture=capture, msisdn=f"+2547000000{n:02}", reference=f"order {n}")
        self.payment_id = str(first.payment_id)
        order = first if kind in ("charge", "reserve") else self._ordered(kind, first)
        self.order_id = str(order.body["attempt_id"])
        for _ in range(len(RULES.inquiry_ladder_ms) + 1):
            [order] = [one for one in self._tell(order, base.Unknown(detail="silence")) if one.kind == "inquire"]
        [case] = rows(bench.url, 'SELECT id FROM "break" WHERE payment_id = :id', id=self.payment_id)
        self.break_id = str(case.id)
        self.inquiry = order

    def ask_again(self) -> None:
        """The carrier is asked once more, and says nothing."""
        self._tell(self.inquiry, base.Unknown(detail="silence"))

    def send_again(self) -> OutboxRow:
        """The carrier says that it never got the order, and is believed."""
        is_hold = self.order_id.startswith(("cap_", "rel_"))
        [order] = self._tell(self.inquiry, HELD if is_hold else base.NotFound())
        assert order.kind != "inquire" and order.body["attempt_id"] == self.order_id
        return order

    def asked_again(self, order: OutboxRow, result: OrderResult) -> OutboxRow:
        """The inquiry that follows, as nobody knows what became of *order*."""
        [inquiry] = [one for one in self._tell(order, result) if one.kind == "inquire"]
        return inquiry

    def _ordered(self, kind: str, first: OutboxRow) -> OutboxRow:
        words: dict[str, Any] = {"merchant_id": "mer_1", "mode": "test", "key": None, "body_hash": ""}  # Any: fields.
        words["payment_id"] = self.payment_id
        if kind == "reverse":  # Cancelled while it is charged.
            applied(self.bench.store, CancelPayment(**words))
            made = self._tell(first, CHARGED)
        else:
            self._tell(first, CHARGED if kind == "refund" else HELD)
            refund = a_refund(self.payment_id, 30_000, key=f"r-{self.payment_id}")
            orders: dict[str, Job] = {"capture": CapturePayment(**words), "release": CancelPayment(**words)}
            job = orders.get(kind, refund)
            made = list(applied(self.bench.store, job).rows)
        [order] = [one for one in made if one.kind == kind]
        return order

    def _tell(self, order: OutboxRow, result: OrderResult) -> list[OutboxRow]:
        done = RefundDone if order.kind == "refund" or order.body.get("of") == "refund" else OrderDone
        return list(applied(self.bench.store, done(order, result)).rows)

    def decide(self, outcome: str, **words: str) -> Case:
        with self.bench.reads.connect() as conn:
            wanted = needs_of(conn, self.break_id)
        job = EndOrder(self.break_id, Outcome(outcome), "asha", "ticket 17", wanted=wanted, **words)
        result = applied(self.bench.store, job).applied[0].result
        assert isinstance(result, Case)
        return result

    def resolve(self) -> None:
        words = {"by": "juma", "note": "looks good"}
        job = Odd(lambda unit: resolve(unit.conn, "break", self.break_id, now_ms=unit.now_ms, **words))
        applied(self.bench.store, job)

    def asks(self) -> int:
        """How many inquiries about the payment are to come."""
        statement = "SELECT count(*) AS n FROM outbox WHERE payment_id = :id AND kind = 'inquire'"
        return int(rows(self.bench.url, statement, id=self.payment_id)[0].n)

    def became(self) -> tuple[str, str | None, str | None, tuple[str, ...]]:
        [payment] = rows(self.bench.url, "SELECT state, reason FROM payment WHERE id = :id", id=self.payment_id)
        entries = rows(
            self.bench.url, "SELECT kind FROM entry WHERE payment_id = :id ORDER BY at_ms, id", id=self.payment_id
        )
        left = rows(
            self.bench.url,
            'SELECT kind FROM "break" WHERE payment_id = :id AND resolved_at_ms IS NULL',
            id=self.payment_id,
        )
        last = entries[-1].kind if entries else None
        return payment.state, payment.reason, last, tuple(one.kind for one in left)


@pytest.mark.money
def test_each_order_ends_as_the_carrier_told_an_operator(bench: Bench) -> None:
    for n, ((kind, outcome), ends) in enumerate(ENDS.items(), start=10):
        doubt = Doubt(bench, kind, n)
        decided = doubt.decide(outcome, reference="SR1" if kind == "reserve" else "")
        assert doubt.became() == ends, (kind, outcome)
        words = f"{doubt.order_id} {outcome}, as the carrier told asha: ticket 17"
        assert (decided.resolved_by, decided.resolution) == ("asha", words)
        # Of a release that was not carried out the carrier is asked again; nothing else is.
        assert doubt.asks() == ((kind, outcome) == ("release", "did-not-happen")), (kind, outcome)
        with pytest.raises(ValueError, match="was resolved before, by asha"):
            doubt.decide(outcome)
    with bench.reads.connect() as conn:
        assert verify(conn) == []


@pytest.mark.money
def test_the_carriers_reference_that_was_told_is_the_one_that_a_refund_names(bench: Bench) -> None:
    doubt = Doubt(bench, "charge", 10)
    doubt.decide("happened", reference="SR4711")
    [order] = [one for one in applied(bench.store, a_refund(doubt.payment_id, 30_000)).rows if one.kind == "refund"]
    assert "SR4711" in order.body.values()


@pytest.mark.money
@pytest.mark.parametrize(
    ("reference", "named"),
    [("SR1", "SR1"), ("SR1/R9", "SR1/R9"), ("", "SR1"), ("SR2", None), ("SR12", None)],
    ids=repr,
)
def test_the_name_by_which_the_carrier_called_an_order_is_not_taken_for_another(
    bench: Bench, reference: str, named: str | None
) -> None:
    """A slip of the pen would give another phone's charge back."""
    doubt = Doubt(bench, "charge", 10)
    applied(bench.store, OrderDone(doubt.inquiry, base.Pending(carrier_reference="SR1")))
    if named is None:
        with pytest.raises(ValueError, match=f"acme calls {doubt.order_id} 'SR1', and not '{reference}': leave"):
            doubt.decide("happened", reference=reference)
        assert doubt.became()[0] == "charging"
        reference, named = "", "SR1"
    doubt.decide("happened", reference=reference)
    [order] = [one for one in applied(bench.store, a_refund(doubt.payment_id, 30_000)).rows if one.kind == "refund"]
    assert order.body["carrier_reference"] == named


@pytest.mark.money
def test_a_charge_whose_reference_nobody_told_has_none(bench: Bench) -> None:
    """Whoever gives it back then looks for it by our own id."""
    doubt = Doubt(bench, "charge", 10)
    doubt.decide("happened")
    [order] = [one for one in applied(bench.store, a_refund(doubt.payment_id, 30_000)).rows if one.kind == "refund"]
    assert order.body["carrier_reference"] is None
    with bench.reads.connect() as conn:
        record = merchant_reads.record(conn, Owner("mer_1", "test"), doubt.payment_id)
    assert record is not None
    assert "carrier acme" in [step.detail for step in timeline(record).steps]


@pytest.mark.money
def test_what_is_held_is_not_taken_for_held_without_the_name_that_ends_it(bench: Bench) -> None:
    doubt = Doubt(bench, "reserve", 10)
    with pytest.raises(ValueError, match="ask it for that too, and say it with `--reference`"):
        doubt.decide("happened")
    assert (doubt.became()[0], doubt.asks()) == ("charging", 1)
    doubt.decide("happened", reference="SR1")
    assert doubt.became() == ("authorized", None, "hold", ())


@pytest.mark.money
def test_what_became_known_meanwhile_is_not_decided(bench: Bench) -> None:
    doubt = Doubt(bench, "charge", 10)
    applied(bench.store, OrderDone(doubt.inquiry, CHARGED))
    with pytest.raises(ValueError, match="is known, it has succeeded; resolve the break"):
        doubt.decide("did-not-happen")
    assert doubt.became() == ("captured", None, "capture", ("unknown_outcome",))


SENT_AGAIN: Final = [(kind, outcome) for kind, outcome in ENDS if kind in ("capture", "release", "refund", "reverse")]


@pytest.mark.money
@pytest.mark.parametrize(("kind", "outcome"), SENT_AGAIN)
@pytest.mark.parametrize("answer", [base.Pending(detail="accepted"), base.Unknown(detail="silence")])
def test_nobody_decides_about_an_order_that_the_carrier_gets_once_more(
    sqlite_url: str, tmp_path: Path, kind: str, outcome: str, answer: OrderResult
) -> None:
    """What a person was told was about the first time. Once nobody knows again, a person decides."""
    with a_bench(sqlite_url, tmp_path, rules=dict.fromkeys(CARRIERS, RULES)) as bench:
        doubt = Doubt(bench, kind, 10)
        order, before = doubt.send_again(), doubt.became()
        with pytest.raises(ValueError, match=f"{doubt.order_id} is on its way to the carrier once more: wait for the"):
            doubt.decide(outcome)
        for n in range(1, len(RULES.inquiry_ladder_ms) + 1):
            order = doubt.asked_again(order, answer)
            with pytest.raises(ValueError, match=f"inquiry {n} of 2 about {doubt.order_id} is still to come"):
                doubt.decide(outcome)
        assert doubt.became() == before and doubt.asks() == 1
        doubt.asked_again(order, answer)
        doubt.decide(outcome)
        assert doubt.became() == ENDS[kind, outcome]
        assert doubt.asks() == ((kind, outcome) == ("release", "did-not-happen"))


@pytest.mark.money
def test_an_order_that_is_lost_again_and_again_is_not_decided_while_it_is_on_its_way(bench: Bench) -> None:
    """Whose inquiries do not begin anew any more."""
    doubt = Doubt(bench, "refund", 10)
    for _ in RULES.resend_ladder_ms:
        doubt.inquiry = doubt.asked_again(doubt.send_again(), base.Unknown(detail="silence"))
    for _ in RULES.inquiry_ladder_ms:
        doubt.inquiry = doubt.asked_again(doubt.inquiry, base.Unknown(detail="silence"))
    doubt.send_again()
    with pytest.raises(ValueError, match="is on its way to the carrier once more"):
        doubt.decide("did-not-happen")


@pytest.mark.money
def test_an_order_that_no_lane_could_carry_out_once_more_is_decided(bench: Bench) -> None:
    """Its questions begin anew as well: some of it may have left."""
    doubt = Doubt(bench, "refund", 10)
    [inquiry] = applied(bench.store, RowGivenUp(doubt.send_again(), "KeyError")).rows
    for n in range(1, len(RULES.inquiry_ladder_ms) + 1):
        with pytest.raises(ValueError, match=f"inquiry {n} of 2 about {doubt.order_id} is still to come"):
            doubt.decide("did-not-happen")
        inquiry = doubt.asked_again(inquiry, base.Unknown(detail="silence"))
    doubt.decide("did-not-happen")
    assert doubt.became() == ("captured", None, "refund_failed", ("not_carried_out",))


@pytest.mark.money
def test_a_reversal_that_was_declined_and_goes_out_once_more_is_not_paid_by_hand(bench: Bench) -> None:
    """A file told that it was declined; an inquiry that was under way then found nothing."""
    doubt = Doubt(bench, "reverse", 10)
    bench.take(bench.file(f"{doubt.order_id},,-1250.00,KES,KO,"))
    [kept] = rows(bench.url, "SELECT id FROM \"break\" WHERE kind = 'reversal_declined'")
    doubt.break_id = kept.id
    order = doubt.send_again()
    with pytest.raises(ValueError, match="is on its way to the carrier once more"):
        doubt.decide("happened")
    applied(bench.store, OrderDone(order, base.Declined(reason="carrier_declined", detail="no receipt")))
    doubt.decide("happened")
    assert doubt.became()[:3] == ("ended", "cancelled", "reversal")


@pytest.mark.parametrize("kind", ["charge", "refund"])
def test_nobody_silences_an_order_that_has_not_ended(bench: Bench, kind: str) -> None:
    doubt = Doubt(bench, kind, 10)
    with pytest.raises(ValueError, match=f"{doubt.order_id} has not ended, and to resolve this would only hide it"):
        doubt.resolve()
    doubt.decide("did-not-happen")


@pytest.mark.money
def test_what_became_known_by_itself_is_resolved(bench: Bench) -> None:
    doubt = Doubt(bench, "charge", 10)
    applied(bench.store, OrderDone(doubt.inquiry, CHARGED))
    doubt.resolve()
    assert doubt.became()[3] == ()


@pytest.mark.money
def test_a_reversal_that_was_declined_is_not_silenced(bench: Bench) -> None:
    doubt = Doubt(bench, "reverse", 10)
    doubt.decide("did-not-happen")
    [kept] = rows(bench.url, "SELECT id FROM \"break\" WHERE kind = 'reversal_declined'")
    doubt.break_id = kept.id
    with pytest.raises(ValueError, match="its payment is not over: once the phone's owner has the money, `gateway"):
        doubt.resolve()


@pytest.mark.money
def test_a_doubt_that_comes_again_is_a_break_again(bench: Bench) -> None:
    doubt = Doubt(bench, "release", 10)
    doubt.decide("did-not-happen")  # And the carrier is asked again.
    assert doubt.became()[3] == ("not_carried_out",)
    doubt.ask_again()
    assert sorted(doubt.became()[3]) == ["not_carried_out", "unknown_outcome"]
    doubt.decide("happened")
    assert doubt.became() == ("ended", "cancelled", "hold_ended", ("not_carried_out",))


@pytest.mark.parametrize(("kind", "outcome"), [("charge", "did-not-happen"), ("release", "happened")])
def test_nobody_decides_against_a_file_of_the_carrier(bench: Bench, kind: str, outcome: str) -> None:
    doubt = Doubt(bench, kind, 10)
    [named] = rows(bench.url, "SELECT charge_attempt_id AS id FROM attempt WHERE id = :id", id=doubt.order_id)
    before = doubt.became()
    bench.take(bench.file(f"{named.id},SR1,1249.99,KES,OK,"))
    with pytest.raises(ValueError, match=f"{outcome} contradicts the carrier's file, which tells charged"):
        doubt.decide(outcome)
    assert doubt.became()[:3] == before[:3]


@pytest.mark.money
@pytest.mark.parametrize("told", ["by its answer", "by its file", "by both"])
def test_a_reversal_that_was_declined_ends_when_the_money_has_gone_back_after_all(bench: Bench, told: str) -> None:
    doubt = Doubt(bench, "reverse", 10)
    if told != "by its file":
        applied(bench.store, OrderDone(doubt.inquiry, base.Declined(reason="carrier_declined", detail="no receipt")))
    if told != "by its answer":
        report = bench.take(bench.file(f"{doubt.order_id},,-1250.00,KES,KO,"))
        assert report.found.breaks["reversal_declined"] == (told == "by its file"), (
            "told once more it is no other break"
        )
    assert balances(bench.url) == {"carrier:acme:receivable": 125_000, "suspense": -125_000}
    [kept] = rows(bench.url, "SELECT id FROM \"break\" WHERE kind = 'reversal_declined'")
    doubt.break_id = kept.id
    with pytest.raises(ValueError, match="the carrier has said already; once the phone's owner has the money again"):
        doubt.decide("did-not-happen")
    decided = doubt.decide("happened", reference="portal 9")
    assert decided.resolution == f"{doubt.order_id} happened, as the carrier told asha: ticket 17"
    assert doubt.became()[:3] == ("ended", "cancelled", "reversal")
    assert balances(bench.url) == {}
    with bench.reads.connect() as conn:
        assert verify(conn) == []
    an_order(bench.store, "k-11", reference="order 10")  # Whose reference is free again.


def test_a_break_about_something_else_is_not_decided(bench: Bench) -> None:
    doubt = Doubt(bench, "release", 10)
    doubt.decide("did-not-happen")
    [other] = rows(bench.url, "SELECT id FROM \"break\" WHERE kind = 'not_carried_out'")
    doubt.break_id = other.id
    with pytest.raises(ValueError, match="this not_carried_out names no order: settle it, then"):
        doubt.decide("happened")
    doubt.break_id = "brk_nobody"
    with pytest.raises(LookupError, match="brk_nobody"):
        doubt.decide("happened")
