"""Two writers on one database: who loses a race runs again and finds the winner; the feed has no gap at any time."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from gateway.engine.merchant_jobs import Answer, CreatePayment, Problem
from gateway.store.apply import Batch, RetryBatch
from gateway.store.unit import Unit
from tests.store.bench import PHONE, SOMEBODY_WAITS, Odd, a_create, a_store, a_text, answers, applied, count, rows

LIMIT_S = 20.0
WRITERS = 2
BATCHES_EACH = 25


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def until_somebody_waits(url: str) -> Callable[[Unit], None]:
    """For a job: hold the batch open until another transaction waits for a lock."""

    def hold(unit: Unit) -> None:
        ends_s = time.monotonic() + LIMIT_S
        while not rows(url, SOMEBODY_WAITS):
            assert time.monotonic() < ends_s, "nobody came to wait"
            time.sleep(0.005)

    return hold


def test_of_two_requests_under_one_key_the_loser_gets_the_winners_answer(postgres_url: str) -> None:
    both_have_looked = threading.Barrier(2)
    lost: list[str] = []

    def race(msisdn: str) -> Batch:
        job = a_create("k-1", msisdn=msisdn)
        with a_store(postgres_url) as store:
            try:
                return store.apply([Odd(lambda unit: both_have_looked.wait(LIMIT_S)), job])
            except RetryBatch as error:
                lost.append(str(error))
                return applied(store, Odd(lambda unit: None), job)

    with threads() as pool:
        batches = list(pool.map(race, ("+254700000001", "+254700000002")))
    assert lost == ["lost a race for idempotency_pkey"]
    first, second = [batch.applied[1].result for batch in batches]
    assert isinstance(first, Answer) and isinstance(second, Answer)
    assert first.body == second.body and first.replayed != second.replayed
    assert (count(postgres_url, "payment"), sum(len(batch.rows) for batch in batches)) == (1, 1)


def test_of_two_requests_with_one_reference_the_loser_is_told_the_winners_id(postgres_url: str) -> None:
    both_have_looked = threading.Barrier(2)

    lost: list[str] = []

    def race(n: int) -> object:
        job = a_create(f"k-{n}", msisdn=f"+25470000000{n}", reference="order-1")
        with a_store(postgres_url) as store:
            try:
                return store.apply([Odd(lambda unit: both_have_looked.wait(LIMIT_S)), job]).applied[1].result
            except RetryBatch as error:
                lost.append(str(error))
                return applied(store, job).applied[0].result

    with threads() as pool:
        results = list(pool.map(race, (1, 2)))
    assert lost == ["lost a race for payment_live_reference"]
    [refused] = [result for result in results if isinstance(result, Problem)]
    [payment] = rows(postgres_url, "SELECT id FROM payment")
    assert (refused.code, refused.extra["payment_id"]) == ("reference_in_use", payment.id)


def test_two_requests_for_a_new_phone_make_one_consumer_and_two_codes(postgres_url: str) -> None:
    has_begun = threading.Event()

    def first() -> Batch:
        def begin(unit: Unit) -> None:
            has_begun.set()
            until_somebody_waits(postgres_url)(unit)

        with a_store(postgres_url) as store:
            return applied(store, a_create("k-1"), Odd(begin))

    def second() -> Batch:
        assert has_begun.wait(LIMIT_S)
        with a_store(postgres_url) as store:
            return applied(store, a_create("k-2"))

    with threads() as pool:
        one, other = [future.result() for future in (pool.submit(first), pool.submit(second))]
    assert isinstance(one.applied[0].result, Answer) and answers(other)
    assert (count(postgres_url, "consumer"), count(postgres_url, "payment")) == (1, 2)


def test_a_stop_cannot_be_overtaken_by_a_request_on_another_process(postgres_url: str) -> None:
    """Whichever comes first, the reply decides about all that waits: none is left that was made before it."""
    has_begun = threading.Event()

    def create() -> Batch:
        def begin(unit: Unit) -> None:
            has_begun.set()
            until_somebody_waits(postgres_url)(unit)

        with a_store(postgres_url) as store:
            return applied(store, a_create("k-1"), Odd(begin))

    def refuse() -> Batch:
        assert has_begun.wait(LIMIT_S)
        with a_store(postgres_url) as store:
            return applied(store, a_text("0"))

    with a_store(postgres_url) as store:
        applied(store, a_create("k-0"))
    with threads() as pool:
        for future in (pool.submit(create), pool.submit(refuse)):
            future.result()
    assert {row.reason for row in rows(postgres_url, "SELECT reason FROM payment")} == {"refused"}


def test_the_feed_has_no_gap_at_any_time_under_two_writers(database_url: str) -> None:
    """Order of sight is order of number: whoever has seen n will never see a new number below it."""
    done = threading.Event()

    def write(writer: int) -> None:
        with a_store(database_url) as store:
            for n in range(BATCHES_EACH):
                # Both write to both merchants, named in opposite order.
                merchants = ("mer_1", "mer_2") if writer else ("mer_2", "mer_1")
                applied(store, *(_request(merchant, writer, n) for merchant in merchants))

    def read() -> int:
        looks = 0
        while not done.is_set():
            for merchant in ("mer_1", "mer_2"):
                statement = "SELECT seq FROM event WHERE merchant_id = :merchant ORDER BY seq"
                seen = [row.seq for row in rows(database_url, statement, merchant=merchant)]
                assert seen == list(range(1, len(seen) + 1)), f"a gap in {merchant}: {seen}"
            looks += 1
        return looks

    with threads() as pool:
        reader = pool.submit(read)
        writers: list[Future[None]] = [pool.submit(write, writer) for writer in range(WRITERS)]
        try:
            for writer in writers:
                writer.result(60)
        finally:
            done.set()
        assert reader.result() > 0
    assert count(database_url, "event") == 2 * WRITERS * BATCHES_EACH


def _request(merchant: str, writer: int, n: int) -> CreatePayment:
    return a_create(f"k-{writer}-{n}", merchant_id=merchant, msisdn=f"{PHONE[:-4]}{writer}{n:03d}")


def test_a_writer_frozen_in_mid_transaction_lets_go_of_its_locks_and_runs_again(postgres_url: str) -> None:
    is_frozen, is_thawed = threading.Event(), threading.Event()

    def freeze(unit: Unit) -> None:
        if is_frozen.is_set():
            return
        unit.conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 50")
        is_frozen.set()
        assert is_thawed.wait(LIMIT_S)

    def write_frozen() -> Batch:
        with a_store(postgres_url) as store:
            with pytest.raises(RetryBatch):
                store.apply([a_create("k-1"), Odd(freeze)])
            return applied(store, a_create("k-1"))

    with threads() as pool, a_store(postgres_url) as awake:
        frozen: Future[Batch] = pool.submit(write_frozen)
        assert is_frozen.wait(LIMIT_S)
        answers(applied(awake, a_create("k-2")))  # Of the same phone: it has to wait for the consumer's lock.
        is_thawed.set()
        answers(frozen.result(LIMIT_S))
    assert count(postgres_url, "payment") == 2


def test_a_writer_does_not_hold_locks_for_long_if_it_is_frozen(postgres_url: str) -> None:
    with a_store(postgres_url) as store:
        shown = applied(store, Odd(lambda unit: unit.conn.exec_driver_sql(IDLE_LIMIT).scalar_one())).applied[0].result
    assert shown == "5s"


IDLE_LIMIT = "SHOW idle_in_transaction_session_timeout"
