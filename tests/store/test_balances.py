"""Balances are exact at every moment: sealed, unsealed, out of order, by two processes; and cost the same for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, text

from gateway.core.ids import first_id_at, made_at_ms
from gateway.core.ledger import merchant_available, merchant_pending
from gateway.core.payment import Payment
from gateway.store import balances as module
from gateway.store.apply import LostRace
from gateway.store.balances import balances, count_sealed
from gateway.store.engine import begin_write
from gateway.store.identity import new_id
from gateway.store.seal import seal_next
from gateway.store.unit import Unit
from gateway.store.verify import verify
from tests.store.bench import Odd, a_captured_payment, a_store, an_engine, applied, call_reversed, rows
from tests.store.test_races import until_somebody_waits
from tests.stores import reading

PENDING = merchant_pending("mer_1")
PRICE = 125_000
LIMIT_S = 20.0
_phones = count(1)


@pytest.fixture
def payments(database_url: str) -> str:
    """The URL of a database in which three payments of one merchant are captured."""
    for _ in range(3):
        pay(database_url)
    return database_url


def pay(url: str, **changes: Any) -> Payment:  # Any: fields of the request.
    n = next(_phones)
    with a_store(url) as store:
        return a_captured_payment(store, f"k-{n}", msisdn=f"+2547{n:08d}", **changes)


def pending(url: str, mode: str = "test") -> dict[str, int]:
    with reading(url) as conn:
        return {found.currency: found.amount_minor for found in balances(conn, (PENDING,), mode)}


def seal(url: str, *, limit: int = 1000, counting: int = 1000) -> int:
    with an_engine(url) as engine, begin_write(engine) as conn:
        seal_next(conn, after_id="", limit=limit)
        return count_sealed(conn, limit=counting)


def snapshots(url: str) -> dict[str, tuple[int, int]]:
    found = rows(url, "SELECT account, position, amount_minor FROM balance_snapshot")
    return {row.account: (row.position, row.amount_minor) for row in found}


@pytest.mark.money
def test_sealing_and_counting_change_no_balance(payments: str) -> None:
    assert pending(payments) == {"KES": -3 * PRICE}
    assert seal(payments, limit=2) == 2
    assert snapshots(payments)[PENDING] == (2, -2 * PRICE)
    assert pending(payments) == {"KES": -3 * PRICE}
    pay(payments)
    assert pending(payments) == {"KES": -4 * PRICE}
    assert seal(payments, counting=1) == 1
    assert snapshots(payments)[PENDING] == (3, -3 * PRICE)
    assert pending(payments) == {"KES": -4 * PRICE}
    assert seal(payments) == 1 and seal(payments) == 0
    assert snapshots(payments) == {PENDING: (4, -4 * PRICE), "carrier:acme:receivable": (4, 4 * PRICE)}
    assert pending(payments) == {"KES": -4 * PRICE}


@pytest.mark.money
def test_modes_and_other_accounts_are_not_mixed(payments: str) -> None:
    for sealing in (lambda: None, lambda: seal(payments)):
        pay(payments, mode="live")
        sealing()
    pay(payments, merchant_id="mer_2")
    assert (pending(payments), pending(payments, "live")) == ({"KES": -3 * PRICE}, {"KES": -2 * PRICE})
    with reading(payments) as conn:
        assert balances(conn, (merchant_available("mer_1"),), "test") == []


@pytest.mark.money
def test_an_entry_that_commits_behind_a_younger_one_is_never_missing(payments: str) -> None:
    seal(payments)
    [newest] = rows(payments, "SELECT max(id) AS id FROM entry")
    late_id = first_id_at("ent_", made_at_ms(newest.id) - 60_000)
    paid = pay(payments)
    seal(payments)
    with an_engine(payments) as engine, begin_write(engine) as conn:
        post(conn, late_id, paid, "clawback", PRICE)
        call_reversed(conn, paid.id)
    assert pending(payments) == {"KES": -3 * PRICE}
    assert seal(payments) == 1
    assert rows(payments, "SELECT entry_id FROM ledger_seal ORDER BY position")[-1].entry_id == late_id
    assert snapshots(payments)[PENDING] == (5, -3 * PRICE)
    assert pending(payments) == {"KES": -3 * PRICE}


def post(conn: Connection, entry_id: str, paid: Payment, kind: str, amount_minor: int) -> None:
    values = {"id": entry_id, "kind": kind, "payment": paid.id, "attempt": paid.attempt_id, "amount": amount_minor}
    conn.execute(text("INSERT INTO entry VALUES (:id, 'attempt', :attempt, :kind, 'test', 'KES', :payment, 1)"), values)
    legs = "INSERT INTO leg VALUES (:id, 0, :account, :amount), (:id, 1, 'carrier:acme:receivable', -:amount)"
    conn.execute(text(legs), {**values, "account": PENDING})


@pytest.mark.money
def test_a_balance_is_exact_while_two_processes_commit_out_of_order(postgres_url: str) -> None:
    first, _ = pay(postgres_url), pay(postgres_url)
    has_posted, may_commit = threading.Event(), threading.Event()

    def held_open() -> None:
        with an_engine(postgres_url) as engine, begin_write(engine) as conn:
            post(conn, new_id("ent_"), first, "clawback", PRICE)
            call_reversed(conn, first.id)
            has_posted.set()
            assert may_commit.wait(LIMIT_S)

    with ThreadPoolExecutor(1) as pool:
        older = pool.submit(held_open)
        assert has_posted.wait(LIMIT_S)
        pay(postgres_url)
        assert seal(postgres_url) == 3
        assert pending(postgres_url) == {"KES": -3 * PRICE}
        may_commit.set()
        older.result(LIMIT_S)
    assert pending(postgres_url) == {"KES": -2 * PRICE}
    assert seal(postgres_url) == 1
    assert pending(postgres_url) == {"KES": -2 * PRICE}


@pytest.mark.money
@pytest.mark.parametrize("counted_before", [0, 1])
def test_of_two_that_count_at_once_one_loses_and_nothing_is_counted_twice(
    postgres_url: str, counted_before: int
) -> None:
    for _ in range(3):
        pay(postgres_url)
    if counted_before:
        seal(postgres_url, counting=counted_before)
    has_counted = threading.Event()
    lost = []

    def counting(unit: Unit) -> int:
        seal_next(unit.conn, after_id="", limit=10)
        counted = count_sealed(unit.conn, limit=10)
        has_counted.set()
        return counted

    def second() -> None:
        with a_store(postgres_url) as store:
            try:
                store.apply([Odd(counting)])
            except LostRace as error:
                lost.append(str(error))
                applied(store, Odd(counting))

    if not counted_before:
        seal(postgres_url, counting=0)
    with ThreadPoolExecutor(2) as pool, a_store(postgres_url) as store:
        hold = until_somebody_waits(postgres_url)

        def first() -> None:
            store.apply([Odd(counting), Odd(hold)])

        racers = [pool.submit(first)]
        assert has_counted.wait(LIMIT_S)
        racers.append(pool.submit(second))
        for racer in racers:
            racer.result(LIMIT_S)
    assert len(lost) == 1
    assert snapshots(postgres_url)[PENDING] == (3, -3 * PRICE)


@pytest.mark.money
def test_a_wrong_balance_is_found(payments: str) -> None:
    seal(payments)
    with an_engine(payments) as engine, engine.connect() as conn:
        assert verify(conn) == []
        for statement, wrong in (
            ("UPDATE balance_snapshot SET amount_minor = amount_minor + 1", "balance differs from its entries"),
            ("DELETE FROM balance_snapshot WHERE account = 'carrier:acme:receivable'", "balance differs"),
            ("UPDATE balance_snapshot SET position = 9", "balance that counts what is not sealed"),
        ):
            savepoint = conn.begin_nested()
            conn.execute(text(statement))
            assert any(found.startswith(wrong) for found in verify(conn)), statement
            savepoint.rollback()
        conn.rollback()


@pytest.mark.money
def test_a_read_looks_at_the_tail_only(payments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seal(payments)
    monkeypatch.setattr(module, "TAIL_MS", -1)  # The sealed entries are of this very moment.
    pay(payments)
    with reading(payments) as conn:
        begin = module._tail_begin(conn, PENDING)
        legs = "SELECT count(*) FROM leg WHERE account = :account AND entry_id >= :begin"
        seen = conn.execute(text(legs), {"account": PENDING, "begin": begin}).scalar_one()
        assert seen == 1, "of four entries"
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain = "EXPLAIN "
        else:
            explain = "EXPLAIN QUERY PLAN "
        statement = module.tail(PENDING, begin, "test").compile(conn, compile_kwargs={"literal_binds": True})
        plan = "\n".join(str(row) for row in conn.exec_driver_sql(explain + str(statement)))
    assert "leg_by_account" in plan
    assert "SCAN" not in plan.replace("SCAN seal", "") and "Seq Scan" not in plan
    assert pending(payments) == {"KES": -4 * PRICE}
