"""The maker of big books: what it makes passes for what the gateway leaves, whatever the database."""

import pytest

from benchmarks.fill import fill
from tests.store.bench import count, rows


@pytest.mark.money
def test_filled_books_are_in_order_and_sealed_as_a_whole(database_url: str) -> None:
    fill(database_url, payments=100, merchants=7)
    assert count(database_url, "payment") == count(database_url, "ledger_seal") == count(database_url, "consent") == 100
    [feeds] = rows(database_url, "SELECT count(*) AS feeds, sum(last_seq) AS events FROM feed")
    assert (feeds.feeds, feeds.events) == (7, 100)
    [net] = rows(database_url, "SELECT sum(amount_minor) AS net, max(position) AS counted FROM balance_snapshot")
    assert (net.net, net.counted) == (0, 100)
