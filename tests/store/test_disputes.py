"""Disputes in the store, on both databases: money set aside, and to whom it goes in the end."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from carriers import base
from gateway.consumer.disputes import dispute as on_dispute
from gateway.core.dispute import ANSWER_WITHIN_MS, DAY_MS, Act, Dispute
from gateway.core.fees import FeeSchedule, Rates
from gateway.core.payment import Capture, ChargeTakenBack, Fulfilled, Payment
from gateway.core.reply import Meaning
from gateway.engine.carrier_jobs import DeadlineReached
from gateway.engine.dispute_jobs import AnswerDispute, DecideDispute, OpenDispute, answer_missed
from gateway.engine.inbox import MoReceived
from gateway.engine.merchant_jobs import Answer, Problem
from gateway.engine.refund_jobs import RefundDone
from gateway.store.apply import Batch, Job, Store
from gateway.store.fee_schedules import add_schedule
from gateway.store.unit import Needs, Unit
from gateway.store.verify import verify
from tests.store.bench import PHONE, Odd, a_captured_payment, a_store, an_engine, applied, count, rows, without_guards
from tests.store.refund_bench import a_refund, amounts, balances, declined, done, kinds, problem_of, refunded
from tests.stores import reading

PENDING, RECEIVABLE = "merchant:mer_1:pending", "carrier:acme:receivable"


def texted(store: Store, words: str, msisdn: str = PHONE) -> Batch:
    mo = base.Mo(carrier="acme", msisdn=msisdn, to="22345", text=words, read_at_ms=1)
    return applied(store, MoReceived(mo, {Meaning.DISPUTE: on_dispute}, "test"))


def templates(batch: Batch) -> list[str]:
    return [row.body["template"] for row in batch.rows if row.kind == "sms"]


def disputed(store: Store, url: str, payment: Payment) -> str:
    """The id of a dispute that the phone opened."""
    assert templates(texted(store, f"DISPUTE {payment.ref}")) == ["dispute_opened"]
    return str(rows(url, "SELECT id FROM dispute WHERE state = 'open'")[0].id)


def answer(dispute_id: str, act: Act, key: str = "d-1", **changes: Any) -> AnswerDispute:  # Any: the job's fields.
    fields: dict[str, Any] = {"merchant_id": "mer_1", "mode": "test", "body_hash": "hash"}
    return AnswerDispute(dispute_id=dispute_id, done=act, key=key, **(fields | changes))


def state(url: str) -> str:
    return str(rows(url, "SELECT state FROM dispute")[0].state)


def verified(url: str) -> list[str]:
    with reading(url) as conn:
        return verify(conn)


def test_a_phone_disputes_a_payment_and_its_money_is_set_aside(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        disputed(store, database_url, payment)
        assert amounts(database_url, payment) == (125_000, 0, 0, 125_000)
        assert balances(database_url) == {RECEIVABLE: 125_000, "dispute_held": -125_000}
        assert problem_of(store, a_refund(payment.id, 1)) == "payment_disputed"
        assert templates(texted(store, f"DISPUTE {payment.ref}")) == ["dispute_opened"]  # Told again, not opened again.
    assert count(database_url, "dispute") == 1 and verified(database_url) == []


def test_what_the_merchant_wins_is_its_own_again_and_is_not_disputed_twice(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        dispute_id = disputed(store, database_url, payment)
        result = applied(store, answer(dispute_id, Act.ANSWER, evidence="signed for")).applied[0].result
        assert isinstance(result, Answer) and msgspec.json.decode(result.body)["status"] == "under_review"
        assert applied(store, answer_missed(dispute_id)).applied[0].result is None
        batch = applied(store, DecideDispute(dispute_id=dispute_id, done=Act.WIN, note="seen"))
        assert templates(batch) == ["dispute_rejected"]
        assert balances(database_url) == {RECEIVABLE: 125_000, PENDING: -125_000}
        assert templates(texted(store, f"DISPUTE {payment.ref}")) == ["dispute_impossible"]
        refunded(store, payment, 1)
    events = [row.type for row in rows(database_url, "SELECT type FROM event ORDER BY seq")]
    assert events[-4:] == ["dispute.opened", "dispute.under_review", "dispute.won", "refund.created"]
    assert verified(database_url) == []


@pytest.mark.parametrize("how", ["lost", "accepted"])
def test_what_the_merchant_loses_becomes_a_refund_out_of_the_same_money(database_url: str, how: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        dispute_id = disputed(store, database_url, payment)
        job = (
            answer(dispute_id, Act.ACCEPT) if how == "accepted" else DecideDispute(dispute_id=dispute_id, done=Act.LOSE)
        )
        batch = applied(store, job)
        assert templates(batch) == ["dispute_upheld"]
        assert balances(database_url) == {RECEIVABLE: 125_000, "refund_clearing": -125_000}
        assert amounts(database_url, payment) == (125_000, 125_000, 0, 0)
        [order] = [row for row in batch.rows if row.kind == "refund"]
        assert templates(applied(store, done(order))) == ["refunded"]
    assert state(database_url) == how and balances(database_url) == {}
    assert kinds(database_url, payment).count("refund_created") == 0
    assert [row.dispute_id for row in rows(database_url, "SELECT dispute_id FROM refund")] == [dispute_id]
    assert verified(database_url) == []


def test_no_answer_in_time_is_lost_and_not_before(database_url: str) -> None:
    with a_store(database_url) as store:
        dispute_id = disputed(store, database_url, a_captured_payment(store))
        assert applied(store, answer_missed(dispute_id)).applied[0].result is None
    with a_store(database_url) as later:
        later._clock_offset_ms = lambda: ANSWER_WITHIN_MS
        applied(later, answer_missed(dispute_id))
        late = applied(later, answer(dispute_id, Act.ANSWER, evidence="wait")).applied[0].result
    assert isinstance(late, Problem) and late.code == "dispute_closed"
    assert state(database_url) == "lost" and count(database_url, "refund") == 1


def test_a_dispute_is_about_what_has_not_gone_back(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        applied(store, done(refunded(store, payment, 25_000)))
        dispute_id = disputed(store, database_url, payment)
        assert amounts(database_url, payment) == (125_000, 0, 25_000, 100_000)
        applied(store, DecideDispute(dispute_id=dispute_id, done=Act.LOSE))
    assert amounts(database_url, payment) == (125_000, 100_000, 25_000, 0)
    assert verified(database_url) == []


@pytest.mark.parametrize(
    ("ends", "fee_minor"),
    [(Act.LOSE, 50_000), (Act.MISS, 50_000), (Act.ACCEPT, 50_000), (Act.WIN, 0), (Act.WITHDRAW, 0)],
)
def test_a_dispute_that_is_lost_costs_what_the_payments_schedule_says(
    database_url: str, ends: Act, fee_minor: int
) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, fee_schedule=a_schedule(store, 50_000))
        a_schedule(store, 60_000)  # A later version changes nothing for it.
        dispute_id = disputed(store, database_url, payment)
        if ends is Act.MISS:
            store._clock_offset_ms = lambda: ANSWER_WITHIN_MS
        ending: dict[Act, Job] = {Act.ACCEPT: answer(dispute_id, ends), Act.WITHDRAW: taking_back(payment)}
        applied(store, ending.get(ends, DecideDispute(dispute_id=dispute_id, done=ends)))
    assert kinds(database_url, payment).count("dispute_fee") == (fee_minor > 0)
    assert balances(database_url).get("dispute_fee", 0) == -fee_minor
    assert verified(database_url) == []


def a_schedule(store: Store, dispute_minor: int) -> str:
    """The id of a version that takes nothing but this of a lost dispute."""
    schedule = FeeSchedule(name="costly", rates=(Rates(currency="KES", dispute_minor=dispute_minor),))
    return str(applied(store, Odd(lambda unit: add_schedule(unit.conn, schedule, 1).id)).applied[0].result)


def test_a_dispute_fee_that_is_another_or_none_is_found(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        payment = a_captured_payment(store, fee_schedule=a_schedule(store, 50_000))
        dispute_id = disputed(store, sqlite_url, payment)
        applied(store, DecideDispute(dispute_id=dispute_id, done=Act.LOSE))
    of_fee = "WHERE entry_id = (SELECT id FROM entry WHERE kind = 'dispute_fee')"
    for tampering in ("UPDATE leg SET amount_minor = amount_minor * 2 ", "DELETE FROM leg "):
        with an_engine(sqlite_url) as engine, engine.connect() as conn:
            without_guards(conn)
            conn.execute(text(tampering + of_fee))
            assert f"dispute fees differ from the payment's schedule: {payment.id}" in verify(conn)
            conn.rollback()


def taking_back(payment: Payment) -> Odd:
    """The carrier took the charge back."""

    def take_back(unit: Unit) -> None:
        unit.decide(payment.id, ChargeTakenBack(at_ms=unit.now_ms, attempt_id=payment.attempt_id or ""))

    return Odd(take_back, Needs(payment_ids=(payment.id,)))


@pytest.mark.parametrize(("capture", "answered"), [(Capture.AUTOMATIC, False), (Capture.ESCROW, True)])
def test_a_charge_that_the_carrier_takes_back_ends_its_dispute_at_once(
    database_url: str, capture: Capture, answered: bool
) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, capture=capture)
        dispute_id = disputed(store, database_url, payment)
        if answered:
            applied(store, answer(dispute_id, Act.ANSWER, evidence="signed for"))
        assert templates(applied(store, taking_back(payment))) == ["reversed"]
        assert state(database_url) == "withdrawn" and balances(database_url) == {}
        assert amounts(database_url, payment) == (125_000, 0, 0, 0)
        assert kinds(database_url, payment)[-2:] == ["dispute_won", "clawback"]
        events = rows(database_url, "SELECT type FROM event ORDER BY seq")
        assert [row.type for row in events][-2:] == ["dispute.withdrawn", "payment.reversed"]
        for late in (DecideDispute(dispute_id=dispute_id, done=Act.LOSE), answer_missed(dispute_id)):
            assert applied(store, late).applied[0].result is None
        refused = applied(store, answer(dispute_id, Act.ACCEPT, "d-2")).applied[0].result
        assert isinstance(refused, Problem) and refused.code == "dispute_closed"
    assert count(database_url, "refund") == 0 and verified(database_url) == []


def test_a_dispute_that_was_opened_in_the_same_batch_ends_with_the_charge(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        payment = a_captured_payment(store)
        applied(store, OpenDispute(payment_id=payment.id), taking_back(payment))
    assert state(sqlite_url) == "withdrawn" and balances(sqlite_url) == {} and verified(sqlite_url) == []


def test_a_dispute_and_a_refund_beside_each_other_when_the_carrier_takes_the_charge_back(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        order = refunded(store, payment, 25_000)
        disputed(store, database_url, payment)
        applied(store, taking_back(payment))
        assert state(database_url) == "withdrawn"
        assert balances(database_url) == {RECEIVABLE: 25_000, "refund_clearing": -25_000}
        never_left = RefundDone(order, base.Unsent(detail="no link"))
        assert applied(store, never_left).rows == [], "it is not sent again"
    assert balances(database_url) == {} and amounts(database_url, payment) == (125_000, 0, 0, 0)
    assert [row.state for row in rows(database_url, "SELECT state FROM refund")] == ["failed"]
    assert verified(database_url) == []


@pytest.mark.parametrize("how", ["a dispute that was lost", "no delivery in time"])
def test_what_escrow_owes_the_buyer_is_not_the_shops_by_a_late_delivery(database_url: str, how: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, capture=Capture.ESCROW)
        if how == "no delivery in time":
            store._clock_offset_ms = lambda: 8 * DAY_MS
            batch = applied(store, DeadlineReached(payment.id))
        else:
            dispute_id = disputed(store, database_url, payment)
            batch = applied(store, DecideDispute(dispute_id=dispute_id, done=Act.LOSE))
        [order] = [row for row in batch.rows if row.kind == "refund"]
        applied(store, declined(order))
        told = applied(store, Odd(lambda unit: deliver(unit, payment), Needs(payment_ids=(payment.id,))))
        assert templates(told) == [], "the buyer's silence counts no more"
        store._clock_offset_ms = lambda: 30 * DAY_MS
        applied(store, DeadlineReached(payment.id))
        assert balances(database_url) == {RECEIVABLE: 125_000, "escrow": -125_000}
        kept = rows(database_url, "SELECT escrow, deadline_at_ms FROM payment")[0]
        assert tuple(kept) == ("held", None)
        # A person who finds that the shop is right after all says so by another dispute.
        opened = applied(store, OpenDispute(payment_id=payment.id)).applied[0].result
        assert isinstance(opened, Dispute)
        applied(store, DecideDispute(dispute_id=opened.id, done=Act.WIN))
    assert balances(database_url) == {RECEIVABLE: 125_000, PENDING: -125_000}
    assert [row.kind for row in rows(database_url, 'SELECT kind FROM "break"')] == ["not_carried_out"]
    assert verified(database_url) == []


def deliver(unit: Unit, payment: Payment) -> None:
    unit.decide(payment.id, Fulfilled(at_ms=unit.now_ms))


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ("UPDATE dispute SET state = 'withdrawn'", "disputed_minor differs from the disputes: {payment}"),
        ("UPDATE dispute SET state = 'withdrawn'", "dispute without its entry dispute_won: dsp_"),
        ("UPDATE dispute SET amount_minor = 1", "disputed_minor differs from the disputes: {payment}"),
        ("UPDATE dispute SET amount_minor = 1", "dispute_opened that its dispute does not bear out: ent_"),
        ("UPDATE refund SET state = 'failed'", "refund_reserved_minor differs from the refunds: {payment}"),
        ("UPDATE refund SET state = 'failed'", "refund without its entry refund_failed: ref_"),
    ],
)
def test_what_is_set_aside_for_nothing_is_found(sqlite_url: str, tampering: str, finding: str) -> None:
    with a_store(sqlite_url) as store:
        payment = a_captured_payment(store)
        refunded(store, payment, 25_000)
        disputed(store, sqlite_url, payment)
    with an_engine(sqlite_url) as engine, engine.connect() as conn:
        conn.execute(text(tampering))
        found = verify(conn)
        assert len(found) == 2 and any(one.startswith(finding.format(payment=payment.id)) for one in found), found
        conn.rollback()


def test_dispute_alone_opens_none_and_names_the_newest_payment_that_can_be_disputed(database_url: str) -> None:
    with a_store(database_url) as store:
        assert templates(texted(store, "DISPUTE")) == ["dispute_none"]
        older, newer = a_captured_payment(store, "k-1"), a_captured_payment(store, "k-2")
        for payment in (newer, older):
            [told] = texted(store, "DISPUTE please").rows
            assert (told.body["template"], told.body["ref"]) == ("dispute_how", payment.ref)
            disputed_before = count(database_url, "dispute")
            assert templates(texted(store, f"DISPUTE {payment.ref} please")) == ["dispute_opened"]
            assert count(database_url, "dispute") == disputed_before + 1
        assert templates(texted(store, "DISPUTE")) == ["dispute_none"]
        assert templates(texted(store, "DISPUTE", "+254700000009")) == ["dispute_none"]


def test_nobody_disputes_what_is_not_theirs_or_was_not_charged(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        payment = a_captured_payment(store)
        assert templates(texted(store, f"DISPUTE {payment.ref}", "+254700000009")) == ["receipt_not_found"]
        assert applied(store, OpenDispute(payment_id="pay_none")).applied[0].result is None
        applied(store, OpenDispute(payment_id=payment.id))
        other = answer("dsp_none", Act.ACCEPT)
        mine = rows(sqlite_url, "SELECT id, opened_by FROM dispute")[0]
        strange = answer(mine.id, Act.ACCEPT, merchant_id="mer_2")
        for job in (other, strange):
            result = applied(store, job).applied[0].result
            assert isinstance(result, Problem) and result.code == "not_found"
    assert mine.opened_by == "operator"
