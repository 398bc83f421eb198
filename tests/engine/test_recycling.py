"""A number with a new owner: nothing of the former one is known or charged, and nothing of it is lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from carriers import base
from gateway.core.codes import choose_code
from gateway.core.money import Money
from gateway.core.payment import Capture
from gateway.core.pins import made
from gateway.engine.carrier_jobs import OrderDone, TextDone
from gateway.engine.lane import _supersedes
from gateway.engine.merchant_jobs import Answer, taken_codes
from gateway.engine.recycling import Outcome, Recycled, RecycleNumber
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit
from tests.consumer.bench import Clock, add_shops, answer, said, texted, texts_of, the_consumer
from tests.store.bench import (
    CODE_KEY,
    PHONE,
    SIMULATED,
    Odd,
    a_captured_payment,
    a_create,
    a_store,
    an_order,
    applied,
    charged,
    count,
    rows,
)
from tests.store.refund_bench import a_refund, done

ROUNDS = 25


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with a_store(database_url) as opened:
        opened._clock_offset_ms = lambda: clock.offset_ms
        applied(opened, Odd(add_shops))
        yield opened


def recycled(store: Store, **changes: int) -> Recycled:
    result = applied(store, RecycleNumber(phone=SIMULATED, **changes)).applied[0].result
    assert isinstance(result, Recycled)
    return result


def code_of(row: OutboxRow) -> str:
    """The code in an ask."""
    assert row.payment_id is not None
    return choose_code(CODE_KEY, row.payment_id, row.body["code_digits"], (), row.body["code_n"])[0]


def test_the_new_owner_is_nobody_we_know(store: Store, database_url: str, clock: Clock) -> None:
    payment = a_captured_payment(store)
    said(store, "LANG SW", "LIMIT 5000", "STOP JUMA", "HIST")
    former = the_consumer(store)
    pin = made((CODE_KEY,), former.id, "8264", 1)
    applied(store, Odd(lambda unit: unit.ussd.keep_pin(pin), Needs(phones=(SIMULATED,))))
    assert recycled(store) == (Outcome.RECYCLED, 0, "")
    owner = the_consumer(store)
    assert (owner.id != former.id, owner.generation, owner.language, owner.limit_minor, owner.more) == (
        True,
        2,
        "",
        None,
        "",
    )
    assert [answer(store, words).split()[0] for words in ("HIST", "STATUS", "MORE")] == [
        *("statement_empty", "status_none", "more_nothing")
    ]
    clock.advance(61)
    for words in ("RECEIPT", "STATUS", "DISPUTE", "REPORT"):
        assert answer(store, f"{words} {payment.ref}") == f"receipt_not_found ref={payment.ref}"
    [ask] = applied(store, a_create("k-2", merchant_id="mer_2")).rows
    assert not ask.body["stopped"] and count(database_url, "consumer_pin") == 0
    [kept] = rows(database_url, "SELECT consumer_id, state FROM payment WHERE id = :id", id=payment.id)
    assert tuple(kept) == (former.id, "captured") and count(database_url, "entry") > 0


def test_what_waits_ends_and_its_code_pays_nothing(store: Store, database_url: str) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    assert recycled(store).closed == 1
    assert answer(store, code_of(ask)).startswith("not_understood_nothing_waiting")
    assert tuple(rows(database_url, "SELECT state, reason FROM payment")[0]) == ("ended", "refused")
    assert count(database_url, "consent") == 0


def test_no_new_code_equals_one_that_the_former_owner_may_still_answer(
    store: Store, database_url: str, clock: Clock
) -> None:
    [ask] = applied(store, a_create("k-1")).rows

    def taken(unit: Unit) -> bool:
        return code_of(ask) in taken_codes(unit, unit.consumer(SIMULATED).id, "acme", Money(1, "KES"))

    def is_taken() -> object:
        return applied(store, Odd(taken, Needs(phones=(SIMULATED,)))).applied[0].result

    recycled(store)
    assert is_taken()
    applied(store, a_create("k-2"))
    assert said(store, code_of(ask))[0].body["template"] == "wrong_code" and count(database_url, "consent") == 0
    clock.advance(2 * 86_400 + 1)
    assert not is_taken()


def test_what_was_agreed_to_and_not_taken_ends_without_a_text(store: Store, database_url: str) -> None:
    [ask] = applied(store, a_create("k-1", capture=Capture.MANUAL)).rows
    applied(store, texted(code_of(ask), read_at_ms=ask.created_at_ms))
    batch = applied(store, RecycleNumber(phone=SIMULATED))
    assert texts_of(batch) == [] and batch.applied[0].result == (Outcome.RECYCLED, 1, "")
    assert tuple(rows(database_url, "SELECT state, reason FROM payment")[0]) == ("ended", "refused")


@pytest.mark.money
def test_while_a_charge_may_leave_nothing_is_done(store: Store, database_url: str, clock: Clock) -> None:
    order = an_order(store)
    result = recycled(store)
    assert result == (Outcome.CHARGING, 0, order.payment_id) and the_consumer(store).generation == 1
    applied(store, OrderDone(order, base.Unknown(detail="no answer")))
    assert recycled(store).outcome is Outcome.CHARGING, "it may be sent once more"
    clock.advance(601)
    assert recycled(store).outcome is Outcome.RECYCLED
    batch = applied(store, charged(order))
    assert texts_of(batch) == [] and rows(database_url, "SELECT state FROM payment")[0].state == "captured"
    assert answer(store, "HIST").startswith("statement_empty")


@pytest.mark.parametrize(
    ("capture", "outcome", "state"),
    [(Capture.AUTOMATIC, Outcome.CHARGING, "charging"), (Capture.MANUAL, Outcome.RECYCLED, "ended")],
    ids=["a charge", "an authorization"],
)
def test_a_consent_of_the_same_batch_is_seen(
    store: Store, database_url: str, capture: Capture, outcome: Outcome, state: str
) -> None:
    [ask] = applied(store, a_create("k-1", capture=capture)).rows
    batch = applied(store, texted(code_of(ask), read_at_ms=ask.created_at_ms), RecycleNumber(phone=SIMULATED))
    result = batch.applied[1].result
    assert isinstance(result, Recycled) and result.outcome is outcome
    assert rows(database_url, "SELECT state FROM payment")[0].state == state
    assert len([row for row in batch.rows if row.kind == "charge"]) == (outcome is Outcome.CHARGING)


@pytest.mark.money
def test_a_decline_for_funds_asks_nobody_again(store: Store, database_url: str, clock: Clock) -> None:
    order = an_order(store, expires_in_ms=3_600_000)
    applied(store, OrderDone(order, base.Unknown(detail="no answer")))
    clock.advance(601)
    recycled(store)
    [ask] = [
        row
        for row in applied(store, OrderDone(order, base.Declined(reason="insufficient_funds", detail="E51"))).rows
        if row.kind == "sms"
    ]
    assert ask.body["is_ask"] and ask.body["stopped"], "it is looked at once more, and does not leave"
    a_captured_payment(store, "k-2")


@pytest.mark.money
def test_money_that_goes_back_is_told_to_nobody(store: Store, database_url: str) -> None:
    payment = a_captured_payment(store)
    recycled(store)
    order = next(row for row in applied(store, a_refund(payment.id, None)).rows if row.kind == "refund")
    assert order.msisdn == PHONE and texts_of(applied(store, done(order))) == []
    assert rows(database_url, "SELECT refunded_minor FROM payment")[0].refunded_minor == 125_000


def test_texts_that_have_not_left_are_taken_back(store: Store, database_url: str) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    [told] = said(store, "HELP")
    batch = applied(store, RecycleNumber(phone=SIMULATED))
    [mute] = batch.rows
    assert mute.body["is_mute"] and [row.id for row in rows(database_url, "SELECT id FROM outbox")] == [mute.id]
    assert _supersedes(mute, ask) and _supersedes(mute, told) and not _supersedes(told, mute)
    # The ask was under way all the same.
    applied(store, TextDone(ask, base.Submitted(message_ids=("1",), segments=1)))
    [about] = said(store, "HELP")
    assert about.consumer_id != ask.consumer_id and not _supersedes(mute, about)


def test_jobs_of_one_batch_see_the_new_owner(store: Store, database_url: str) -> None:
    jobs = (a_create("k-1"), texted("LANG SW"), RecycleNumber(phone=SIMULATED), texted("LANG FR"), a_create("k-2"))
    applied(store, *jobs)
    found = rows(
        database_url, "SELECT generation, language, retired_at_ms IS NULL AS n FROM consumer ORDER BY generation"
    )
    assert [tuple(row) for row in found] == [(1, "sw", 0), (2, "fr", 1)]
    owners = rows(
        database_url, "SELECT c.generation FROM payment p JOIN consumer c ON c.id = p.consumer_id ORDER BY p.id"
    )
    assert [row.generation for row in owners] == [1, 2]
    recycled(store)
    assert the_consumer(store).generation == 3


def test_a_notice_that_is_told_twice_forgets_once(store: Store, clock: Clock) -> None:
    said(store, "LANG SW")
    since_ms = the_consumer(store).created_at_ms + 86_400_000
    told = {"changed_from_ms": since_ms, "changed_to_ms": since_ms + 86_400_000}
    clock.advance(2 * 86_400)
    assert recycled(store, **told).outcome is Outcome.RECYCLED
    said(store, "LANG FR")
    assert recycled(store, **told).outcome is Outcome.ALREADY
    assert the_consumer(store).language == "fr"
    assert recycled(store).outcome is Outcome.RECYCLED, "without a date it is news each time"


def test_a_number_that_we_first_saw_after_the_change_is_the_new_owners(store: Store) -> None:
    said(store, "LANG SW")
    made_ms = the_consumer(store).created_at_ms
    assert recycled(store, changed_from_ms=made_ms - 2, changed_to_ms=made_ms - 1).outcome is Outcome.ALREADY
    assert the_consumer(store).language == "sw"


def test_the_real_phone_with_that_number_is_another_one(store: Store, database_url: str) -> None:
    applied(store, a_create("k-1", mode="live"))
    assert recycled(store).closed == 0
    found = rows(database_url, "SELECT p.state, c.retired_at_ms FROM payment p JOIN consumer c ON c.id = p.consumer_id")
    assert [tuple(row) for row in found] == [("created", None)]


def test_a_reply_and_the_notice_at_once_pay_or_recycle_and_never_both(postgres_url: str) -> None:
    """Two processes: whoever is first decides, and the other one sees it."""
    outcomes = set()
    with a_store(postgres_url) as one, a_store(postgres_url) as other, ThreadPoolExecutor(2) as pool:
        applied(one, Odd(add_shops))
        for n in range(ROUNDS):
            [ask] = applied(one, a_create(f"k-{n}")).rows
            reply = texted(code_of(ask), read_at_ms=ask.created_at_ms)
            first = pool.submit(applied, other, reply)
            second = pool.submit(recycled, one)
            first.result()
            result = second.result()
            [state] = rows(postgres_url, "SELECT state FROM payment WHERE id = :id", id=ask.payment_id)
            assert (state.state, result.outcome) in {("charging", Outcome.CHARGING), ("ended", Outcome.RECYCLED)}
            outcomes.add(result.outcome)
            for row in first.result().rows:
                if row.kind == "charge":
                    applied(one, OrderDone(row, base.Declined(reason="carrier_declined", detail="E1")))
        consents = rows(postgres_url, "SELECT p.state, p.attempts FROM consent c JOIN payment p ON p.id = c.payment_id")
        assert all(row.attempts == 1 for row in consents)


def test_requests_and_the_notice_at_once_leave_nothing_open_with_the_former_owner(postgres_url: str) -> None:
    with a_store(postgres_url) as one, a_store(postgres_url) as other, ThreadPoolExecutor(2) as pool:
        applied(one, a_create("k-0"))
        for n in range(ROUNDS):
            asked = pool.submit(applied, other, a_create(f"k-a{n}"), a_create(f"k-b{n}", merchant_id="mer_2"))
            told = pool.submit(recycled, one)
            assert all(isinstance(done.result, Answer) for done in asked.result().applied)
            assert told.result().outcome is Outcome.RECYCLED
            stale = (
                "SELECT p.id FROM payment p JOIN consumer c ON c.id = p.consumer_id"
                " WHERE p.state <> 'ended' AND c.retired_at_ms IS NOT NULL"
            )
            assert rows(postgres_url, stale) == []
        owners = "SELECT count(*) AS n FROM consumer WHERE retired_at_ms IS NULL"
        assert rows(postgres_url, owners)[0].n == 1
        assert rows(postgres_url, "SELECT max(generation) AS n FROM consumer")[0].n == ROUNDS + 1
