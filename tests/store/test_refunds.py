"""Refunds in the store, on both databases: money set aside, given back or returned, and never more than was taken."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from carriers import base
from gateway.core.payment import Capture, ChargeTakenBack
from gateway.engine.carrier_jobs import CallbackRead
from gateway.engine.merchant_jobs import Answer, Problem
from gateway.engine.refund_jobs import RefundDone
from gateway.store.engine import begin_write
from gateway.store.seal import seal_next
from gateway.store.unit import Needs, Unit
from gateway.store.verify import verify
from tests.store.bench import Odd, a_captured_payment, a_store, an_engine, applied, count, rows
from tests.store.refund_bench import a_refund, amounts, balances, declined, done, kinds, problem_of, refunded
from tests.stores import reading

PENDING, RECEIVABLE = "merchant:mer_1:pending", "carrier:acme:receivable"
NO_REFUNDS = {"acme": base.Capabilities(client_keyed=True, refund=False, partial_refund=False)}
WHOLE_ONLY = {"acme": base.Capabilities(client_keyed=True, refund=True, partial_refund=False)}


def verified(url: str) -> list[str]:
    with reading(url) as conn:
        return verify(conn)


def test_a_refund_sets_money_aside_and_gives_it_back(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        order = refunded(store, payment, 25_000)
        assert order.body["of"] == "refund" and order.body["amount_minor"] == 25_000
        assert amounts(database_url, payment) == (125_000, 25_000, 0, 0)
        assert balances(database_url) == {RECEIVABLE: 125_000, PENDING: -100_000, "refund_clearing": -25_000}
        batch = applied(store, done(order))
    assert amounts(database_url, payment) == (125_000, 0, 25_000, 0)
    assert balances(database_url) == {RECEIVABLE: 100_000, PENDING: -100_000}
    assert kinds(database_url, payment) == ["capture", "refund_created", "refund_succeeded"]
    [text] = [row for row in batch.rows if row.kind == "sms"]
    assert (text.body["template"], text.body["amount_minor"]) == ("refunded", 25_000)
    events = rows(database_url, "SELECT type FROM event ORDER BY seq")
    assert [row.type for row in events][-2:] == ["refund.created", "refund.succeeded"]
    assert verified(database_url) == []


def test_a_refund_that_the_carrier_declines_gives_the_money_to_the_merchant_again(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        batch = applied(store, declined(refunded(store, payment)))
        assert [row.kind for row in batch.rows] == []
        assert amounts(database_url, payment) == (125_000, 0, 0, 0)
        assert balances(database_url) == {RECEIVABLE: 125_000, PENDING: -125_000}
        refunded(store, payment, key="r-2")
    [failed] = rows(database_url, "SELECT state, detail FROM refund ORDER BY id LIMIT 1")
    assert (failed.state, failed.detail) == ("failed", "too old")
    assert verified(database_url) == []


def test_an_answer_that_is_lost_is_asked_for_under_the_same_id(database_url: str) -> None:
    with a_store(database_url) as store:
        order = refunded(store, a_captured_payment(store))
        [inquiry] = applied(store, RefundDone(order, base.Unknown(detail="timeout"))).rows
        assert (inquiry.kind, inquiry.body["of"]) == ("inquire", "refund")
        assert inquiry.body["attempt_id"] == order.body["attempt_id"]
        applied(store, done(inquiry))
        applied(store, done(inquiry))  # Told twice.
    [refund] = rows(database_url, "SELECT state FROM refund")
    assert refund.state == "succeeded" and count(database_url, "refund") == 1
    assert [row.status for row in rows(database_url, "SELECT status FROM attempt WHERE kind = 'refund'")] == [
        "succeeded"
    ]
    assert verified(database_url) == []


def test_a_callback_about_a_refund_only_makes_us_ask(database_url: str) -> None:
    with a_store(database_url) as store:
        order = refunded(store, a_captured_payment(store))
        called = CallbackRead(base.Callback(carrier="acme", attempt_id=order.body["attempt_id"], authenticated=True))
        [inquiry] = applied(store, called).rows
        assert (inquiry.kind, inquiry.body["of"]) == ("inquire", "refund")
        assert applied(store, RefundDone(inquiry, base.Unknown(detail="?"))).rows == []
        applied(store, done(order))
        assert applied(store, called).rows == []
    assert count(database_url, '"break"') == 0


def test_a_yes_to_another_amount_calls_a_person_and_ends_nothing(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        order = refunded(store, payment, 25_000)
        wrong = base.Charged(carrier_reference="SR9", amount=payment.amount)
        applied(store, RefundDone(order, wrong))
    [opened] = rows(database_url, 'SELECT kind FROM "break"')
    [refund] = rows(database_url, "SELECT state FROM refund")
    assert (opened.kind, refund.state) == ("mismatch", "processing")


def test_a_repeat_under_the_same_key_is_the_same_refund(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        batch = applied(store, a_refund(payment.id, 100), a_refund(payment.id, 100))
        first, second = [one.result for one in batch.applied]
        assert isinstance(first, Answer) and isinstance(second, Answer)
        assert first.body == second.body and (first.replayed, second.replayed) == (False, True)
        assert problem_of(store, a_refund(payment.id, 100, body_hash="another")) == "idempotency_mismatch"
    assert count(database_url, "refund") == 1


def test_what_cannot_be_refunded_is_refused(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        payment = a_captured_payment(store)
        refused = {
            "refund_exceeds_payment": a_refund(payment.id, 125_001),
            "not_found": a_refund(payment.id, 1, merchant_id="mer_2"),
            "refunds_not_supported": a_refund(payment.id, 1, capabilities=NO_REFUNDS),
            "partial_refunds_not_supported": a_refund(payment.id, 1, capabilities=WHOLE_ONLY),
        }
        for code, job in refused.items():
            assert problem_of(store, job) == code
        assert count(sqlite_url, "refund") == 0
        refunded(store, payment)
        assert problem_of(store, a_refund(payment.id, None, "r-2")) == "refund_exceeds_payment"


def test_a_charge_that_the_carrier_takes_back_leaves_running_refunds_their_money(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        first, second = refunded(store, payment, 25_000), refunded(store, payment, 30_000, "r-2")

        def take_back(unit: Unit) -> None:
            unit.decide(payment.id, ChargeTakenBack(at_ms=unit.now_ms, attempt_id=payment.attempt_id or ""))

        applied(store, Odd(take_back, Needs(payment_ids=(payment.id,))))
        assert balances(database_url) == {RECEIVABLE: 55_000, "refund_clearing": -55_000}
        applied(store, declined(first))
        assert balances(database_url) == {RECEIVABLE: 30_000, "refund_clearing": -30_000}
        applied(store, done(second))
        assert balances(database_url) == {}
        assert problem_of(store, a_refund(payment.id, 1, "r-3")) == "invalid_state"
    assert [row.kind for row in rows(database_url, 'SELECT kind FROM "break"')] == ["mismatch"]
    assert verified(database_url) == []
    # A refund is the source of its own entries, and of one as an order: sealed alone, each reads the same.
    with an_engine(database_url) as engine:
        after_id: str | None = ""
        while after_id is not None:
            with begin_write(engine) as conn:
                after_id = seal_next(conn, after_id=after_id, limit=1)[1]
    assert verified(database_url) == []


@pytest.mark.money
def test_a_refund_that_had_failed_and_is_carried_out_after_all_has_succeeded(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        order = refunded(store, payment, 25_000)
        applied(store, declined(order))
        called = CallbackRead(base.Callback(carrier="acme", attempt_id=order.body["attempt_id"], authenticated=True))
        [inquiry] = applied(store, called).rows
        batch = applied(store, done(inquiry))
        assert [row.body["template"] for row in batch.rows if row.kind == "sms"] == ["refunded"]
        assert applied(store, done(inquiry), called).rows == []  # Told once more.
    assert amounts(database_url, payment) == (125_000, 0, 25_000, 0)
    assert balances(database_url) == {RECEIVABLE: 100_000, PENDING: -100_000}
    assert kinds(database_url, payment) == ["capture", "refund_created", "refund_failed", "late_refund"]
    [refund] = rows(database_url, "SELECT state, detail FROM refund")
    assert tuple(refund) == ("succeeded", "")
    events = rows(database_url, "SELECT type FROM event ORDER BY seq")
    assert [row.type for row in events][-2:] == ["refund.failed", "refund.succeeded"]
    assert count(database_url, '"break"') == 0
    assert verified(database_url) == []


@pytest.mark.money
def test_what_is_given_back_after_all_comes_out_of_escrow_to_the_last_part(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store, capture=Capture.ESCROW)
        parts = [refunded(store, payment, part, key) for key, part in (("r-1", 25_000), ("r-2", 100_000))]
        applied(store, *(declined(order) for order in parts))
        for order, left_minor in zip(parts, (100_000, 0), strict=True):
            applied(store, done(order))
            assert sum(balances(database_url).values()) == 0
            assert -balances(database_url).get("escrow", 0) == left_minor
    assert balances(database_url) == {}
    assert [row.escrow for row in rows(database_url, "SELECT escrow FROM payment")] == ["refunded"]
    assert verified(database_url) == []


@pytest.mark.money
def test_what_failed_and_was_ordered_again_is_given_back_twice_only_with_an_alarm(database_url: str) -> None:
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        first = refunded(store, payment)
        applied(store, declined(first))
        applied(store, done(refunded(store, payment, key="r-2")))
        applied(store, done(first))
    assert amounts(database_url, payment) == (125_000, 0, 125_000, 0)
    assert balances(database_url) == {}
    assert [row.kind for row in rows(database_url, 'SELECT kind FROM "break"')] == ["mismatch"]
    assert verified(database_url) == []


PARALLEL = 50
EACH = 10_000  # Twelve of them are less than was taken, thirteen are more.


@pytest.mark.parametrize("seed", range(3))
def test_of_fifty_refunds_side_by_side_no_more_is_given_back_than_was_taken(postgres_url: str, seed: int) -> None:
    """Two writers, each with threads of its own, as two processes have them."""
    with a_store(postgres_url) as store:
        payment = a_captured_payment(store)
    barrier = threading.Barrier(4)

    def ask(writer: int) -> list[object]:
        with a_store(postgres_url) as mine:
            barrier.wait(20)
            jobs = [a_refund(payment.id, EACH, f"r-{seed}-{n}") for n in range(writer, PARALLEL, 4)]
            found: list[object] = []
            for first in range(0, len(jobs), 3):
                batch = applied(mine, *jobs[first : first + 3])
                found += [one.result for one in batch.applied]
                for order in [row for row in batch.rows if row.kind == "refund"]:
                    applied(mine, done(order))
            return found

    with ThreadPoolExecutor(4) as pool:
        results = [result for some in pool.map(ask, range(4)) for result in some]
    lost = [result.code for result in results if isinstance(result, Problem)]
    assert len(results) == PARALLEL and lost == ["refund_exceeds_payment"] * (PARALLEL - 12)
    assert amounts(postgres_url, payment) == (125_000, 0, 120_000, 0)
    assert balances(postgres_url) == {RECEIVABLE: 5_000, PENDING: -5_000}
    assert verified(postgres_url) == []
