"""A row about what came back of a charge tells nothing of the charge itself: if it was paid, or is missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.file_bench import Bench, a_bench
from tests.engine.test_reconciliation import break_of, given_up, gives_up, named, receivable
from tests.store.bench import applied, rows
from tests.store.refund_bench import a_refund, done
from tests.store.settling_bench import a_store_later, settle

pytestmark = pytest.mark.money
CHARGE = 125_000


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


def test_a_part_that_came_back_does_not_pay_a_merchant_what_never_came(bench: Bench) -> None:
    paid = bench.charge("1")
    bench.take(bench.file(f"{paid},SR1,-300.00,KES,REV,", trailer="T,1,,-300.00"))
    gives_up(bench, break_of(bench, "remittance", 30_000))
    assert bench.entries("remittance"), "the file's sum is settled"
    with a_store_later(bench.url, days=40) as later:
        assert settle(later) == [], "and still the carrier has paid nothing of the charge"


def test_a_charge_of_which_only_the_reversal_is_told_is_missed_and_owed(bench: Bench) -> None:
    paid = bench.charge("1")
    report = bench.take(bench.file(f"{paid},SR1,-1250.00,KES,REV,", trailer="T,1,,-1250.00", name=named(0, 1)))
    assert (bench.state(paid), report.file.remittance) == ("reversed", "posted")
    assert (bench.breaks(), receivable(bench)) == ({"missing_at_carrier": CHARGE}, CHARGE)
    gives_up(bench, break_of(bench, "missing_at_carrier", CHARGE))
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, CHARGE, 0)
    later = bench.file(f"{paid},SR1,1250.00,KES,OK,", trailer="T,1,,1250.00", name=named(1, 2))
    assert bench.take(later).file.remittance == "posted"
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({"late": CHARGE}, CHARGE, 0)
    assert len(bench.entries("write_off_undone")) == 2


def test_what_came_back_is_no_word_that_ends_the_search_for_its_charge(bench: Bench) -> None:
    paid = bench.charge("1")
    bench.take(bench.file(name=named(0, 1)))
    gives_up(bench, break_of(bench, "missing_at_carrier", CHARGE))
    line = f"{paid},SR1,-1250.00,KES,REV,"
    assert bench.take(bench.file(line, name=named(1, 2)), dry_run=True).found.breaks["late"] == 0
    bench.take(bench.file(line, trailer="T,1,,-1250.00", name=named(1, 2)))
    assert bench.entries("write_off_undone") == []
    assert (bench.breaks(), receivable(bench)) == ({}, 0)


def test_a_charge_told_under_the_name_of_its_refund_is_not_the_charge(bench: Bench) -> None:
    """A row that contradicts itself is a break, and no sum of ours is held against it."""
    paid = bench.charge("1")
    [payment] = rows(bench.url, "SELECT payment_id AS id FROM attempt WHERE id = :id", id=paid)
    [order] = [row for row in applied(bench.store, a_refund(payment.id, 30_000)).rows if row.kind == "refund"]
    applied(bench.store, done(order))
    refund_id = order.body["attempt_id"]
    path = bench.file(f"{refund_id},SR9,300.00,KES,OK,", trailer="T,1,,0.00")
    assert bench.take(path).file.remittance == "posted"
    assert bench.breaks().keys() == {"status", "missing_at_carrier"}
    with a_store_later(bench.url, days=40) as later:
        assert all(one.net_minor < 0 for one in settle(later)), "only what was given back is taken off"
