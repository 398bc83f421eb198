"""The maker of big books: what it makes passes for what the gateway leaves, and what is planted in it is found."""

import pytest

from benchmarks.fill import fill
from benchmarks.tampering import PLANTED, heads_of, plant
from gateway.store.engine import begin_write
from gateway.store.verify import examine
from tests.store.bench import an_engine, count, rows


@pytest.mark.money
def test_filled_books_are_in_order_and_sealed_as_a_whole(database_url: str) -> None:
    fill(database_url, payments=100, merchants=7)
    assert count(database_url, "payment") == count(database_url, "ledger_seal") == count(database_url, "consent") == 100
    [feeds] = rows(database_url, "SELECT count(*) AS feeds, sum(last_seq) AS events FROM feed")
    assert (feeds.feeds, feeds.events) == (7, 100)
    [net] = rows(database_url, "SELECT sum(amount_minor) AS net, max(position) AS counted FROM balance_snapshot")
    assert (net.net, net.counted) == (0, 100)


@pytest.mark.money
def test_tamperings_at_once_are_each_found_at_their_place(database_url: str) -> None:
    payments = 480
    fill(database_url, payments=payments, merchants=payments)
    with an_engine(database_url) as engine, engine.connect() as conn:
        kept = heads_of(conn, payments)
        assert examine(conn, outside=kept).wrong == ()
    with an_engine(database_url) as engine, begin_write(engine) as conn:
        expected = plant(conn, payments)
        found = examine(conn, outside=kept).wrong
        conn.rollback()
    assert len(expected) == len(PLANTED) == 13
    assert [line for line in expected.values() if not any(one.startswith(line) for one in found)] == []
