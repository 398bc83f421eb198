"""The batch: repeated requests, live references, jobs that break, what is lost with a rollback, odd characters."""

import json

import pytest

from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.merchant_jobs import Problem, live_codes
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.quarantine import Quarantine
from gateway.store.unit import Needs, Unit
from tests.store.bench import (
    PHONE,
    POLICY,
    SIMULATED,
    Odd,
    a_captured_payment,
    a_create,
    a_store,
    a_text,
    an_engine,
    answers,
    applied,
    count,
    rows,
)


def test_twins_of_one_key_in_one_batch_make_one_payment(database_url: str) -> None:
    with a_store(database_url) as store:
        batch = applied(store, *(a_create("k-1") for _ in range(5)))
        first, *others = answers(batch)
        assert all(other.body == first.body and other.replayed for other in others)
        assert len(batch.rows) == 1, "one ask"
    assert (count(database_url, "payment"), count(database_url, "idempotency")) == (1, 1)


def test_a_repeat_in_another_batch_gets_the_same_bytes(database_url: str) -> None:
    with a_store(database_url) as store:
        [first] = answers(applied(store, a_create("k-1")))
        again = applied(store, a_create("k-1"))
        assert answers(again)[0].body == first.body and again.rows == []
    assert count(database_url, "payment") == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_a_key_with_another_body_is_refused(database_url: str, together: bool) -> None:
    jobs = [a_create("k-1"), a_create("k-1", body_hash="another")]
    with a_store(database_url) as store:
        done = applied(store, *jobs).applied if together else [applied(store, job).applied[0] for job in jobs]
    assert isinstance(done[1].result, Problem) and done[1].result.code == "idempotency_mismatch"
    assert count(database_url, "payment") == 1


def test_the_same_key_of_another_merchant_or_mode_is_another_key(database_url: str) -> None:
    with a_store(database_url) as store:
        bodies = {
            answer.body
            for answer in answers(
                applied(store, a_create("k-1"), a_create("k-1", merchant_id="mer_2"), a_create("k-1", mode="live"))
            )
        }
    assert len(bodies) == count(database_url, "payment") == 3


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_a_live_reference_is_refused_with_the_id_of_its_payment(database_url: str, together: bool) -> None:
    jobs = [a_create("k-1", reference="order-1"), a_create("k-2", reference="order-1")]
    with a_store(database_url) as store:
        done = applied(store, *jobs).applied if together else [applied(store, job).applied[0] for job in jobs]
        [payment] = rows(database_url, "SELECT id FROM payment")
        refused = done[1].result
        assert isinstance(refused, Problem)
        assert (refused.code, refused.extra) == ("reference_in_use", {"payment_id": payment.id})
        # A reference whose payment is dead is free again.
        applied(store, a_text("0"))
        answers(applied(store, a_create("k-3", reference="order-1")))


def test_codes_of_one_phone_differ_although_they_are_made_in_one_batch(database_url: str) -> None:
    with a_store(database_url) as store:
        asks = applied(store, *(a_create(f"k-{n}") for n in range(50))).rows
        codes = {(row.body["payment_id"], row.body["code_n"]) for row in asks}
        assert len(codes) == 50
        live = applied(store, Odd(_codes, Needs(phones=(SIMULATED,)))).applied[0].result
        assert live == 50


def _codes(unit: Unit) -> int:
    return len(live_codes(unit, unit.consumer(SIMULATED).id))


def _raises(unit: Unit) -> object:
    raise AssertionError(f"this job is a bug about {PHONE}")


def _cannot_be_written(unit: Unit) -> object:
    unit.put(tables.mo, {"id": "mo_1", "carrier": None})
    return "never"


def _names_a_table_twice(unit: Unit) -> object:
    for _ in range(2):
        unit.put(tables.fulfilment, {"payment_id": "pay_1", "body": "{}", "at_ms": 1})
    return "never"


@pytest.mark.parametrize("bug", [_raises, _cannot_be_written, _names_a_table_twice])
async def test_a_job_that_breaks_is_set_aside_alone(database_url: str, bug: object) -> None:
    with an_engine(database_url) as engine, a_store(database_url) as store:
        batcher = Batcher(store.apply, settings=BatchSettings(), quarantine=Quarantine(engine))
        batcher.start()
        good = [batcher.offer(a_create(f"k-{n}")) for n in range(5)]
        assert callable(bug)
        bad = batcher.offer(Odd(bug))
        good += [batcher.offer(a_create(f"k-{n}")) for n in range(5, 10)]
        for future in good:
            await future
        with pytest.raises(Exception, match=r"this job is a bug|NOT NULL|not-null|UNIQUE|unique"):
            await bad
        assert batcher.quarantined == 1
        await batcher.stop()
    assert count(database_url, "payment") == 10
    [kept] = rows(database_url, "SELECT job, error, is_carrier_fact FROM quarantine")
    assert kept.is_carrier_fact == 1 and "Odd" in kept.job and PHONE not in kept.error


def test_what_breaks_leaves_nothing_of_its_batch(database_url: str) -> None:
    with a_store(database_url) as store:
        with pytest.raises(AssertionError, match="this job is a bug"):
            store.apply([a_create("k-1"), Odd(_raises)])
        for table in ("payment", "consumer", "outbox", "event", "feed", "idempotency", "batch"):
            assert count(database_url, table) == 0, table
        answers(applied(store, a_create("k-1")))


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_a_text_that_the_channel_hands_over_twice_is_taken_once(database_url: str, together: bool) -> None:
    twins = [a_text("4821", provider_id="SM1") for _ in range(2)]
    with a_store(database_url) as store:
        batches = [store.apply(twins)] if together else [store.apply([twin]) for twin in twins]
        assert sum(len(batch.rows) for batch in batches) == 1, "one answer"
    assert count(database_url, "mo") == 1


@pytest.mark.money
def test_odd_characters_are_stored_and_do_not_stop_a_payment(database_url: str) -> None:
    words = "a\0b \N{GRINNING FACE} \u202e \\u0000 ' \" %s :x"
    with a_store(database_url) as store:
        a_captured_payment(store, description=f"Box\0 {words}", metadata={"note": words})
        applied(store, a_text(words))
    texts = [row.text for row in rows(database_url, "SELECT text FROM mo ORDER BY id")]
    assert texts[1] == words.replace("\0", "\ufffd")
    [stored] = rows(database_url, "SELECT description, metadata FROM payment")
    assert stored.description == f"Box\0 {words}".replace("\0", "\ufffd")
    assert json.loads(stored.metadata)["note"] in (words, words.replace("\0", "\ufffd"))
    for row in rows(database_url, "SELECT body FROM event"):
        json.loads(row.body)


def test_the_clock_of_a_batch_can_be_moved_forward(database_url: str) -> None:
    with an_engine(database_url) as engine:
        moved = Store(engine, POLICY, clock_offset_ms=lambda: 3_600_000)
        with a_store(database_url) as store:
            now = applied(store, Odd(lambda unit: unit.now_ms)).applied[0].result
            later = applied(moved, Odd(lambda unit: unit.now_ms)).applied[0].result
    assert isinstance(now, int) and isinstance(later, int)
    assert 3_590_000 < later - now < 3_660_000
