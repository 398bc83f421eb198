"""A row about what came back of a charge tells nothing of the charge itself: if it was paid, or is missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.fees import FeeSchedule, Rates
from gateway.core.payment import Capture
from gateway.store.engine import begin_write
from gateway.store.fee_schedules import add_schedule
from gateway.store.verify import verify
from tests.engine.file_bench import FILES, Bench, a_bench
from tests.engine.test_reconciliation import break_of, given_up, gives_up, named, receivable
from tests.store.bench import a_captured_payment, an_engine, applied, count, rows
from tests.store.refund_bench import a_refund, balances, declined, done, refunded
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


REFUNDED = 30_000


def a_refunded_charge(bench: Bench, *, capture: Capture = Capture.AUTOMATIC) -> tuple[list[str], str]:
    """A charge of which a part was refunded: the lines of both, and the id of the charge."""
    payment = a_captured_payment(bench.store, capture=capture)
    order = refunded(bench.store, payment, REFUNDED)
    applied(bench.store, done(order))
    lines = [f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{order.body['attempt_id']},SR9,-300.00,KES,REFUND,"]
    return lines, str(payment.attempt_id)


def expect_books_in_order(bench: Bench) -> None:
    with an_engine(bench.url) as engine, engine.connect() as conn:
        assert verify(conn) == []


@pytest.mark.parametrize("capture", [Capture.AUTOMATIC, Capture.ESCROW])
def test_the_rest_that_the_carrier_took_back_after_a_refund_the_merchant_gives_back(
    bench: Bench, capture: Capture
) -> None:
    told, charge_id = a_refunded_charge(bench, capture=capture)
    bench.take(bench.file(*told, trailer="T,2,,950.00", name=named(0, 1)))
    report = bench.take(bench.file(f"{charge_id},SR1,-950.00,KES,REV,", trailer="T,1,,-950.00", name=named(1, 2)))
    assert (bench.state(charge_id), bench.breaks(), report.file.remittance) == ("reversed", {}, "posted")
    assert balances(bench.url) == {}, "neither we nor the merchant keep or lose anything of it"
    assert count(bench.url, "event WHERE type = 'payment.reversed'") == 1
    expect_books_in_order(bench)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
@pytest.mark.parametrize("is_own_id", [True, False], ids=["its own id", "the charge's id"])
def test_a_refund_that_the_same_file_tells_of_is_known_before_the_rest(
    bench: Bench, order: tuple[int, ...], is_own_id: bool
) -> None:
    """Our books did not know the end of the refund until then."""
    payment = a_captured_payment(bench.store)
    refund_id = refunded(bench.store, payment, REFUNDED).body["attempt_id"]
    lines = (
        f"{payment.attempt_id},SR1,1250.00,KES,OK,",
        f"{refund_id if is_own_id else payment.attempt_id},SR1,-300.00,KES,REFUND,",
        f"{payment.attempt_id},SR1,-950.00,KES,REV,",
    )
    report = bench.take(bench.file(*(lines[n] for n in order), trailer="T,3,,0.00"))
    assert (bench.state(str(payment.attempt_id)), bench.breaks()) == ("reversed", {})
    assert (report.file.remittance, balances(bench.url)) == ("posted", {})


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_all_that_the_carrier_took_back_waits_for_a_refund_though_as_much_was_declined_before(
    bench: Bench, order: tuple[int, int]
) -> None:
    payment = a_captured_payment(bench.store)
    applied(bench.store, declined(refunded(bench.store, payment, 125_000, "r-1")))
    refunded(bench.store, payment, REFUNDED, "r-2")
    back = [f"{payment.attempt_id},SR1,-{amount}.00,KES,REV," for amount in (1250, 300)]
    path = bench.file(f"{payment.attempt_id},SR1,1250.00,KES,OK,", *(back[n] for n in order), trailer="T,3,,1.00")
    for _ in range(2):
        bench.take(path)
        assert bench.breaks() == {"amount": REFUNDED, "remittance": -100}, "what went back twice"
    assert bench.state(str(payment.attempt_id)) == "reversed"


def test_the_rest_that_is_told_the_day_before_its_refund_leaves_the_refund_its_own_row(bench: Bench) -> None:
    """Until our books know of the refund it is a part; then the rest goes back with a second look."""
    payment = a_captured_payment(bench.store)
    refund_id = refunded(bench.store, payment, REFUNDED).body["attempt_id"]
    charge_id = str(payment.attempt_id)
    lines = (f"{charge_id},SR1,1250.00,KES,OK,", f"{charge_id},SR1,-950.00,KES,REV,")
    first = bench.file(*lines, trailer="T,2,,300.00", name=named(0, 1))
    bench.take(first)
    assert (bench.state(charge_id), bench.breaks()) == ("captured", {"amount": 95_000, "remittance": 95_000})
    second = bench.file(f"{refund_id},SR9,-300.00,KES,REFUND,", trailer="T,1,,-300.00", name=named(1, 2))
    assert bench.take(second).file.remittance == "posted"
    assert bench.take(first).file.remittance == "posted"
    assert (bench.state(charge_id), bench.breaks(), balances(bench.url)) == ("reversed", {"amount": 95_000}, {})
    expect_books_in_order(bench)


@pytest.mark.parametrize("is_done", [True, False], ids=["the refund is carried out", "the refund is declined"])
def test_all_that_the_carrier_took_back_beside_a_refund_under_way_goes_as_the_refund_ends(
    bench: Bench, is_done: bool
) -> None:
    payment = a_captured_payment(bench.store)
    order = refunded(bench.store, payment, REFUNDED)
    lines = (f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{payment.attempt_id},SR1,-1250.00,KES,REV,")
    bench.take(bench.file(*lines))
    assert (bench.state(str(payment.attempt_id)), bench.breaks()) == ("reversed", {})
    applied(bench.store, done(order) if is_done else declined(order))
    assert bench.breaks() == ({"mismatch": None} if is_done else {})
    assert balances(bench.url) == {}
    expect_books_in_order(bench)


def test_all_that_the_carrier_took_back_after_a_refund_is_told_and_what_it_took_twice_is_a_break(bench: Bench) -> None:
    told, charge_id = a_refunded_charge(bench)
    bench.take(bench.file(*told, trailer="T,2,,950.00", name=named(0, 1)))
    bench.take(bench.file(f"{charge_id},SR1,-1250.00,KES,REV,", trailer="T,1,,-1250.00", name=named(1, 2)))
    assert (bench.state(charge_id), bench.breaks()) == ("reversed", {"amount": REFUNDED, "remittance": REFUNDED})
    gives_up(bench, break_of(bench, "remittance", REFUNDED))
    assert (given_up(bench), receivable(bench)) == (REFUNDED, 0)
    expect_books_in_order(bench)


@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "a file each"])
def test_of_a_part_that_the_carrier_took_back_just_that_is_at_risk(bench: Bench, is_one_file: bool) -> None:
    """No command takes it from the merchant: two persons give it up, once."""
    told, charge_id = a_refunded_charge(bench)
    part = f"{charge_id},SR1,-500.00,KES,REV,"
    if is_one_file:
        bench.take(bench.file(*told, part, trailer="T,3,,450.00"))
    else:
        bench.take(bench.file(*told, trailer="T,2,,950.00", name=named(0, 1)))
        bench.take(bench.file(part, trailer="T,1,,-500.00", name=named(1, 2)))
    assert (bench.state(charge_id), bench.breaks()) == ("captured", {"amount": 50_000, "remittance": 50_000})
    gives_up(bench, break_of(bench, "amount" if is_one_file else "remittance", 50_000))
    assert (given_up(bench), receivable(bench)) == (50_000, 0)
    assert {row.remittance for row in rows(bench.url, "SELECT remittance FROM carrier_file")} == {"posted"}


@pytest.mark.parametrize("capture", [Capture.AUTOMATIC, Capture.ESCROW])
def test_of_a_part_that_the_carrier_took_back_it_keeps_no_share(bench: Bench, capture: Capture) -> None:
    rates = Rates(currency="KES", carrier_share_basis_points=2_400, returned=("carrier_share",))
    with begin_write(bench.store._engine) as conn:
        fees = add_schedule(conn, FeeSchedule(name="standard", rates=(rates,)), 1).id
    paid = a_captured_payment(bench.store, capture=capture, fee_schedule=fees).attempt_id
    bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", trailer="T,1,,950.00", name=named(0, 1)))
    bench.take(bench.file(f"{paid},SR1,-500.00,KES,REV,", trailer="T,1,,-380.00", name=named(1, 2)))
    assert bench.breaks() == {"amount": 50_000, "remittance": 38_000}


def test_nobody_is_told_of_what_a_row_with_another_phones_number_takes_back(bench: Bench) -> None:
    told, charge_id = a_refunded_charge(bench)
    columns = {name: column for name, column in FILES.columns.items() if name != "fee"} | {"msisdn": "fee"}
    back = f"{charge_id},SR1,-1250.00,KES,REV,254711111111"
    bench.take(bench.file(*told, back), replace(FILES, columns=columns))
    assert (bench.state(charge_id), list(bench.breaks())) == ("captured", ["mismatch"])
