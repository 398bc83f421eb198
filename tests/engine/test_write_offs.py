"""What is given up of a payment of which the carrier has neither the charge nor what was given back of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from carriers import base
from gateway.core.codes import choose_code
from gateway.core.payment import Capture, Charged, ChargeTakenBack, Payment, Rules
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.write_offs import WriteOff
from gateway.store.apply import Store
from gateway.store.unit import Needs
from gateway.store.verify import verify
from tests.engine.file_bench import Bench, a_bench
from tests.engine.test_reconciliation import break_of, given_up, gives_up, named, receivable
from tests.store.bench import (
    CARRIERS,
    CODE_KEY,
    POLICY,
    Odd,
    a_captured_payment,
    a_text,
    an_engine,
    an_order,
    applied,
    charged,
    rows,
    without_guards,
)
from tests.store.refund_bench import done, refunded

pytestmark = pytest.mark.money
CHARGE, REFUND = 125_000, -30_000
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


def a_refunded_payment(bench: Bench) -> tuple[Payment, str]:
    """A payment of which a part was given back, and that refund."""
    payment = a_captured_payment(bench.store)
    order = refunded(bench.store, payment, -REFUND)
    applied(bench.store, done(order))
    return payment, order.body["attempt_id"]


def both_missing(bench: Bench) -> tuple[Payment, str]:
    """The same, and the day's file has neither."""
    payment, refund_id = a_refunded_payment(bench)
    bench.take(bench.file(name=named(0, 1)))
    missing = rows(bench.url, "SELECT amount_minor AS n FROM \"break\" WHERE kind = 'missing_at_carrier' ORDER BY n")
    assert [row.n for row in missing] == [REFUND, CHARGE]
    return payment, refund_id


def the_books_hold(bench: Bench) -> None:
    with bench.reads.connect() as conn:
        assert verify(conn) == []


def test_a_charge_and_its_refund_that_no_file_has_are_given_up_as_their_difference(bench: Bench) -> None:
    both_missing(bench)
    refund = break_of(bench, "missing_at_carrier", REFUND)
    with pytest.raises(ValueError, match="expected money that a carrier owes us"):
        gives_up(bench, refund)  # As long as the charge counts, what is not taken off for it is no loss.
    gives_up(bench, break_of(bench, "missing_at_carrier", CHARGE))
    gives_up(bench, refund)
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, CHARGE + REFUND, 0)
    the_books_hold(bench)


@pytest.mark.parametrize(
    ("told", "late", "left_minor"),
    [
        ([("{paid},SR1,1250.00,KES,OK,", 125_000)], {"late": CHARGE + REFUND}, REFUND),
        ([("{refund},SR9,-300.00,KES,REFUND,", -30_000)], {"late": REFUND}, 0),
        ([("{paid},SR1,1250.00,KES,OK,", 125_000), ("{refund},SR9,-300.00,KES,REFUND,", -30_000)], None, 0),
        ([("{refund},SR9,-300.00,KES,REFUND,", -30_000), ("{paid},SR1,1250.00,KES,OK,", 125_000)], None, 0),
    ],
    ids=["the charge", "the refund", "both", "the refund first"],
)
def test_what_a_later_file_tells_of_it_counts_again(
    bench: Bench, told: list[tuple[str, int]], late: dict[str, int] | None, left_minor: int
) -> None:
    payment, refund_id = both_missing(bench)
    for minor in (CHARGE, REFUND):
        gives_up(bench, break_of(bench, "missing_at_carrier", minor))
    lines = [line.format(paid=payment.attempt_id, refund=refund_id) for line, _ in told]
    paid = sum(minor for _, minor in told)
    report = bench.take(bench.file(*lines, trailer=f"T,{len(lines)},,{paid / 100:.2f}", name=named(1, 2)))
    assert (report.file.remittance, receivable(bench)) == ("posted", left_minor)
    assert late is None or {kind: minor for kind, minor in bench.breaks().items() if minor} == late
    the_books_hold(bench)


def test_a_refund_that_the_carrier_never_took_off_is_no_gain_while_its_charge_was_paid(bench: Bench) -> None:
    payment = a_refunded_payment(bench)[0]
    bench.take(bench.file(f"{payment.attempt_id},SR1,1250.00,KES,OK,", trailer="T,1,,1250.00"))
    with pytest.raises(ValueError, match="expected money that a carrier owes us"):
        gives_up(bench, break_of(bench, "missing_at_carrier", REFUND))
    assert bench.entries("write_off") == []


def test_what_the_carrier_took_back_unasked_is_not_given_up_once_more(bench: Bench) -> None:
    payment = a_refunded_payment(bench)[0]
    event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id or "")
    applied(bench.store, Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))
    bench.take(bench.file())
    charge = break_of(bench, "missing_at_carrier", CHARGE)
    gives_up(bench, charge)
    gives_up(bench, break_of(bench, "missing_at_carrier", REFUND))
    assert rows(bench.url, 'SELECT amount_minor FROM "break" WHERE id = :id', id=charge)[0].amount_minor == -REFUND
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, 0, 0)


def test_what_one_person_proposed_of_another_sum_is_proposed_anew(bench: Bench) -> None:
    payment = a_refunded_payment(bench)[0]
    bench.take(bench.file())
    charge = break_of(bench, "missing_at_carrier", CHARGE)
    applied(bench.store, WriteOff(charge, "asha", "all of it"))
    event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id or "")
    applied(bench.store, Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))
    applied(bench.store, WriteOff(charge, "juma", "agreed"))
    assert bench.entries("write_off") == [], "nobody has agreed to what is left"
    applied(bench.store, WriteOff(charge, "asha", "what is left"))
    assert given_up(bench) == -REFUND


def test_what_a_file_says_both_failed_is_given_up_one_by_one(bench: Bench) -> None:
    payment, refund_id = a_refunded_payment(bench)
    bench.take(bench.file(f"{payment.attempt_id},SR1,1250.00,KES,KO,", f"{refund_id},SR9,-300.00,KES,KO,"))
    for minor in (CHARGE, REFUND):
        gives_up(bench, break_of(bench, "status", minor))
        with pytest.raises(ValueError, match=r"owes nothing more|expected money"):
            gives_up(bench, break_of(bench, "missing_at_carrier", minor))
    assert (given_up(bench), receivable(bench)) == (CHARGE + REFUND, 0)
    bench.take(bench.file(f"{refund_id},SR9,-300.00,KES,REFUND,", trailer="T,1,,-300.00", name=named(1, 2)))
    assert (len(bench.entries("write_off_undone")), receivable(bench)) == (2, 0), "of the refund alone"
    the_books_hold(bench)


def charged_twice(bench: Bench) -> dict[str, str]:
    """A payment that was declined for funds, charged by a second consent and by the first after all, which went back.

    Its orders and their ids.
    """
    first = an_order(bench.store)
    low = base.Declined(reason="insufficient_funds", detail="low")
    [asked] = [row for row in applied(bench.store, OrderDone(first, low)).rows if row.kind == "sms"]
    body = asked.body
    code = choose_code(CODE_KEY, first.payment_id or "", body["code_digits"], (), body["code_n"])[0]
    again = applied(bench.store, a_text(code, read_at_ms=asked.created_at_ms)).rows
    [second] = [row for row in again if row.kind == "charge"]
    applied(bench.store, charged(second))
    payment_id, late_id = str(first.payment_id), str(first.body["attempt_id"])
    event = Charged(at_ms=asked.created_at_ms, attempt_id=late_id, carrier_reference="SR0")
    told = applied(bench.store, Odd(lambda unit: unit.decide(payment_id, event), Needs(payment_ids=(payment_id,))))
    [order] = [row for row in told.rows if row.kind == "reverse"]
    applied(bench.store, OrderDone(order, base.Charged(carrier_reference="SR9")))
    return {"late": late_id, "kept": str(second.body["attempt_id"]), "back": str(order.body["attempt_id"])}


def test_of_two_charges_each_is_given_up_with_what_went_back_of_it(bench: Bench) -> None:
    ids = charged_twice(bench)
    bench.take(bench.file(name=named(0, 1)))
    found = rows(bench.url, "SELECT id, detail FROM \"break\" WHERE kind = 'missing_at_carrier'")
    missing = {name: row.id for name, order_id in ids.items() for row in found if order_id in row.detail}
    gives_up(bench, missing["kept"])
    with pytest.raises(ValueError, match="expected money that a carrier owes us"):
        gives_up(bench, missing["back"])  # Its own charge still counts.
    gives_up(bench, missing["late"])
    gives_up(bench, missing["back"])
    assert (given_up(bench), receivable(bench)) == (CHARGE, 0)
    bench.take(bench.file(f"{ids['kept']},SR1,1250.00,KES,OK,", trailer="T,1,,1250.00", name=named(1, 2)))
    assert receivable(bench) == 0, "what went back of the other one stays given up"
    assert len(bench.entries("write_off_undone")) == 2
    the_books_hold(bench)


def test_one_of_two_charges_is_given_up_once_whatever_says_that_it_was_not_made(bench: Bench) -> None:
    ids = charged_twice(bench)
    both = [f"{ids['late']},SR0,1250.00,KES,OK,", f"{ids['back']},SR9,-1250.00,KES,REV,"]
    bench.take(bench.file(*both, f"{ids['kept']},SR1,1250.00,KES,KO,", name=named(0, 1)))
    gives_up(bench, break_of(bench, "status", CHARGE))
    with pytest.raises(ValueError, match="owes nothing more"):
        gives_up(bench, break_of(bench, "missing_at_carrier", CHARGE))
    assert (given_up(bench), receivable(bench)) == (CHARGE, 0)
    the_books_hold(bench)


def test_what_was_to_be_held_and_was_taken_unasked_is_missed_like_a_charge(database_url: str, tmp_path: Path) -> None:
    with a_bench(database_url, tmp_path, rules=dict.fromkeys(CARRIERS, Rules(holds=True))) as bench:
        order = an_order(bench.store, capture=Capture.MANUAL)
        [back] = [row for row in applied(bench.store, charged(order)).rows if row.kind == "reverse"]
        applied(bench.store, OrderDone(back, base.Charged(carrier_reference="SR9")))
        bench.take(bench.file(name=named(0, 1)))
        gives_up(bench, break_of(bench, "missing_at_carrier", CHARGE))
        gives_up(bench, break_of(bench, "missing_at_carrier", -CHARGE))
        assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, 0, 0)
        the_books_hold(bench)
        both = [f"{order.body['attempt_id']},SR1,1250.00,KES,OK,", f"{back.body['attempt_id']},SR9,-1250.00,KES,REV,"]
        bench.take(bench.file(*both, trailer="T,2,,0.00", name=named(1, 2)))
        assert (given_up(bench), receivable(bench)) == (0, 0)
        the_books_hold(bench)


def test_what_ended_weeks_after_it_was_ordered_is_missed_as_well(bench: Bench) -> None:
    order = refunded(bench.store, a_captured_payment(bench.store), -REFUND)
    with an_engine(bench.url) as engine:
        later = Store(engine, POLICY, clock_offset_ms=lambda: 20 * DAY_MS)
        applied(later, done(order))
        Bench(bench.url, later, bench.reads, bench.folder).take(bench.file(name=named(20, 1)))
    assert bench.breaks() == {"missing_at_carrier": REFUND}


def test_a_difference_that_has_grown_is_given_up_as_it_is_now_or_not_at_all(bench: Bench) -> None:
    """Else the break would end, and the rest of it would keep the file's payment from being booked for ever."""
    order = bench.order("2")
    bench.answer(order, base.Unknown(detail="timed out"))
    told = (f"{bench.charge('1')},SR1,1250.00,KES,OK,", f"{order.body['attempt_id']},SR2,1200.00,KES,OK,")
    path = bench.file(*told, trailer="T,2,,1200.00")
    bench.take(path)
    difference = break_of(bench, "remittance", 5_000)
    applied(bench.store, WriteOff(difference, "asha", "their rounding"))
    applied(bench.store, charged(order))
    applied(bench.store, WriteOff(difference, "juma", "agreed"))
    assert (bench.entries("write_off"), bench.breaks()["remittance"]) == ([], CHARGE + 5_000)
    applied(bench.store, WriteOff(difference, "asha", "all of it"))
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({"amount": 5_000}, CHARGE + 5_000, 0)
    the_books_hold(bench)


def test_what_a_carrier_pays_too_much_two_persons_take_and_the_rest_is_booked_with_it(bench: Bench) -> None:
    line = f"{bench.charge('1')},SR1,1250.00,KES,OK,"
    bench.take(bench.file(line, trailer="T,1,1250.00,1300.00", name=named(0, 1)))
    surplus = break_of(bench, "remittance", -5_000)
    assert bench.entries("remittance") == []
    gives_up(bench, surplus)
    assert bench.entries("remittance") == [("bank:main", 130_000), ("carrier:acme:receivable", -130_000)]
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, -5_000, 0)
    with pytest.raises(ValueError, match="was resolved before"):
        gives_up(bench, surplus)
    line = f"{bench.charge('2')},SR2,1250.00,KES,OK,"
    bench.take(bench.file(line, trailer="T,1,1250.00,1200.00", name=named(1, 2)))
    gives_up(bench, break_of(bench, "remittance", 5_000))
    assert (given_up(bench), receivable(bench)) == (0, 0), "they took it off again"
    the_books_hold(bench)


TAMPERINGS = {
    "one person for two": (
        'UPDATE "break" SET proposed_by = resolved_by',
        "write_off that its break does not bear out",
    ),
    "nobody who proposed it": ("UPDATE \"break\" SET proposed_by = ''", "write_off that its break does not bear out"),
    "a break that is open": ('UPDATE "break" SET resolved_at_ms = NULL', "write_off that its break does not bear out"),
    "another amount": (
        'UPDATE "break" SET amount_minor = amount_minor + 1',
        "write_off that its break does not bear out",
    ),
    "another account": (
        "UPDATE leg SET account = 'merchant:mer_1:available' WHERE account = 'write_off'",
        "write_off that its break does not bear out",
    ),
    "another payment of the carrier": (
        "UPDATE carrier_file SET remitted_minor = remitted_minor + 1",
        "remittance that its carrier file does not bear out",
    ),
    "a payment that did not come": (
        "UPDATE carrier_file SET remittance = 'open'",
        "remittance that its carrier file does not bear out",
    ),
}


def test_what_is_given_up_or_paid_otherwise_than_the_books_say_is_found(bench: Bench) -> None:
    line = f"{bench.charge('1')},SR1,1250.00,KES,OK,"
    bench.take(bench.file(line, trailer="T,1,1250.00,1200.00", name=named(0, 1)))
    gives_up(bench, break_of(bench, "remittance", 5_000))
    with an_engine(bench.url) as engine, engine.connect() as books:
        assert verify(books) == []
        without_guards(books)
        for label, (statement, expected) in TAMPERINGS.items():
            savepoint = books.begin_nested()
            assert books.execute(text(statement)).rowcount > 0, label
            assert any(wrong.startswith(f"{expected}: ent_") for wrong in verify(books)), label
            savepoint.rollback()
        books.rollback()
