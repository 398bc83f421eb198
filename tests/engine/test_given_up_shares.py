"""A charge that the carrier never took and two persons gave up: whose loss it is, with a carrier that keeps a share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Capture, Payment, Rules
from gateway.engine.merchant_jobs import CapturePayment
from gateway.store.terms import advanced
from gateway.store.verify import verify
from tests.engine.file_bench import Bench, a_bench
from tests.engine.test_reconciliation import break_of, gives_up, named, receivable
from tests.store.bench import (
    CARRIERS,
    a_captured_payment,
    an_engine,
    an_order,
    applied,
    charged,
    rows,
    without_guards,
)
from tests.store.refund_bench import balances, done, refunded
from tests.store.settling_bench import a_store_later, available, settle
from tests.store.test_fees import added, changed, moved, release, taken_back

pytestmark = pytest.mark.money
CHARGE, REFUND = 125_000, -30_000
SHARE: Final = 30_000
"""24 % of the charge, which is what the carrier would have kept."""
SHARE_OF_REFUND: Final = 7_200
NET: Final = 88_774
"""What is the merchant's of the charge."""


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path, rules=dict.fromkeys(CARRIERS, Rules(holds=True))) as opened:
        yield opened


def paid(bench: Bench, capture: Capture = Capture.AUTOMATIC) -> Payment:
    return a_captured_payment(bench.store, fee_schedule=added(bench.url), capture=capture)


def gives_back(bench: Bench, payment: Payment) -> str:
    order = refunded(bench.store, payment, -REFUND)
    applied(bench.store, done(order))
    return str(order.body["attempt_id"])


def given_up_of(bench: Bench, *amounts_minor: int) -> None:
    for minor in amounts_minor:
        gives_up(bench, break_of(bench, "missing_at_carrier", minor))


def accounts(bench: Bench) -> dict[str, int]:
    """What is left between the carrier and us, and what we lose."""
    names = ("carrier:acme:receivable", "carrier:acme:share_payable", "write_off")
    found = balances(bench.url)
    return {name.split(":")[-1]: found[name] for name in names if name in found}


def the_books_hold(bench: Bench) -> None:
    with bench.reads.connect() as conn:
        assert verify(conn) == []


def test_the_share_of_a_charge_that_was_never_taken_is_not_owed(bench: Bench) -> None:
    payment = paid(bench)
    bench.take(bench.file())
    given_up_of(bench, CHARGE)
    assert bench.entries("write_off") == [
        ("carrier:acme:receivable", -CHARGE),
        ("carrier:acme:share_payable", SHARE),
        ("write_off", CHARGE - SHARE),
    ]
    assert accounts(bench) == {"write_off": CHARGE - SHARE}
    assert moved(bench.url, payment)[1].carrier_share_minor == 0, "the merchant has paid it all the same"
    the_books_hold(bench)


def nothing_more(bench: Bench, payment: Payment) -> None:
    pass


def a_refund(bench: Bench, payment: Payment) -> None:
    gives_back(bench, payment)


def the_whole(bench: Bench, payment: Payment) -> None:
    applied(bench.store, done(refunded(bench.store, payment)))


def a_clawback(bench: Bench, payment: Payment) -> None:
    gives_back(bench, payment)
    changed(bench.store, payment, taken_back(payment))


def a_release(bench: Bench, payment: Payment) -> None:
    changed(bench.store, payment, release(payment))


def a_refund_and_a_release(bench: Bench, payment: Payment) -> None:
    gives_back(bench, payment)
    a_release(bench, payment)


LESS_REFUND: Final = CHARGE - SHARE + REFUND + SHARE_OF_REFUND
# (capture, what happens before, what is given up, what happens then) → what we lose
STORIES: Final = {
    "a refund": (Capture.AUTOMATIC, a_refund, (CHARGE, REFUND), nothing_more, LESS_REFUND),
    "all of it given back": (Capture.AUTOMATIC, the_whole, (CHARGE, -CHARGE), nothing_more, 0),
    "taken back by the carrier": (Capture.AUTOMATIC, a_clawback, (CHARGE, REFUND), nothing_more, 0),
    "escrow before its release": (Capture.ESCROW, nothing_more, (CHARGE,), a_release, CHARGE - SHARE),
    "escrow after its release": (Capture.ESCROW, a_release, (CHARGE,), nothing_more, CHARGE - SHARE),
    "escrow with a refund": (Capture.ESCROW, a_refund, (CHARGE, REFUND), a_release, LESS_REFUND),
    "a refund, then the release": (Capture.ESCROW, a_refund_and_a_release, (CHARGE, REFUND), nothing_more, LESS_REFUND),
}
Step = Callable[[Bench, Payment], None]


@pytest.mark.parametrize("story", STORIES)
def test_whatever_went_before_or_comes_after_no_share_is_left(bench: Bench, story: str) -> None:
    capture, before, amounts, after, lost_minor = STORIES[story]
    payment = paid(bench, capture)
    before(bench, payment)
    bench.take(bench.file())
    given_up_of(bench, *amounts)
    after(bench, payment)
    assert accounts(bench) == ({"write_off": lost_minor} if lost_minor else {})
    the_books_hold(bench)


@pytest.mark.parametrize("capture", [Capture.AUTOMATIC, Capture.ESCROW])
def test_what_a_later_file_tells_and_pays_leaves_nothing(bench: Bench, capture: Capture) -> None:
    payment = paid(bench, capture)
    refund_id = gives_back(bench, payment)
    bench.take(bench.file(name=named(0, 1)))
    given_up_of(bench, CHARGE, REFUND)
    lines = (f"{refund_id},SR9,-300.00,KES,REFUND,", f"{payment.attempt_id},SR1,1250.00,KES,OK,")
    report = bench.take(bench.file(*lines, trailer="T,2,,722.00", name=named(1, 2)))
    if capture is Capture.ESCROW:
        a_release(bench, payment)
    assert (report.file.remittance, accounts(bench)) == ("posted", {})
    assert bench.breaks()["late"] is not None
    the_books_hold(bench)


def test_a_refund_that_the_carrier_took_off_of_a_charge_that_was_given_up_brings_its_share(bench: Bench) -> None:
    payment = paid(bench)
    refund_id = gives_back(bench, payment)
    bench.take(bench.file(f"{refund_id},SR9,-300.00,KES,REFUND,", trailer="T,1,,-228.00"))
    given_up_of(bench, CHARGE)
    assert accounts(bench) == {"write_off": CHARGE - SHARE}


def test_what_a_file_tells_both_ways_keeps_no_share(bench: Bench) -> None:
    attempt_id = paid(bench).attempt_id
    path = bench.file(f"{attempt_id},SR1,1250.00,KES,OK,", f"{attempt_id},SR1,1250.00,KES,KO,", trailer="T,2,,0.00")
    bench.take(path)
    gives_up(bench, break_of(bench, "status", CHARGE))
    assert bench.take(path).file.remittance == "posted"
    assert accounts(bench) == {"write_off": CHARGE - SHARE}


def test_what_is_lacking_of_a_row_leaves_the_carrier_its_share(bench: Bench) -> None:
    line = f"{paid(bench).attempt_id},SR1,1200.00,KES,OK,"
    bench.take(bench.file(line, trailer="T,1,,900.00"))
    gives_up(bench, break_of(bench, "amount", 5_000))
    assert accounts(bench) == {"write_off": 5_000}


def test_who_waits_for_the_carriers_money_is_paid_what_was_given_up_once(bench: Bench) -> None:
    payment = paid(bench)
    bench.take(bench.file(name=named(0, 1)))
    with a_store_later(bench.url, days=40) as later:
        assert settle(later) == []
        given_up_of(bench, CHARGE)
        assert [one.net_minor for one in settle(later)] == [NET]
        with bench.reads.connect() as conn:
            assert advanced(conn) == [], "nobody waits for it any more"
        line = f"{payment.attempt_id},SR1,1250.00,KES,OK,"
        assert bench.take(bench.file(line, trailer="T,1,,950.00", name=named(1, 2))).file.remittance == "posted"
        assert settle(later) == [] and available(later) == NET
    assert receivable(bench) == 0
    the_books_hold(bench)


def test_what_counts_again_before_it_is_settled_waits_again(bench: Bench) -> None:
    payment = paid(bench)
    bench.take(bench.file(name=named(0, 1)))
    given_up_of(bench, CHARGE)
    line = f"{payment.attempt_id},SR1,1250.00,KES,OK,"
    bench.take(bench.file(line, trailer="T,1,,0.00", name=named(1, 2)))
    with a_store_later(bench.url, days=40) as later:
        assert settle(later) == [], "the carrier has told of it and not paid it"
        gives_up(bench, break_of(bench, "remittance", CHARGE - SHARE))
        assert [one.net_minor for one in settle(later)] == [NET]
        assert settle(later) == []


def reserved_and_captured(bench: Bench) -> None:
    order = an_order(bench.store, capture=Capture.MANUAL, fee_schedule=added(bench.url))
    bench.answer(order, base.Held(carrier_reference="SR1", amount=Money(CHARGE, "KES")))
    capture = CapturePayment(merchant_id="mer_1", mode="test", payment_id=str(order.payment_id), key=None, body_hash="")
    made = applied(bench.store, capture).rows
    [order] = [row for row in made if row.kind == "capture"]
    applied(bench.store, charged(order))


def released_from_escrow(bench: Bench) -> None:
    a_release(bench, paid(bench, Capture.ESCROW))


@pytest.mark.parametrize("is_made", [reserved_and_captured, released_from_escrow])
def test_whatever_became_the_merchants_is_paid_when_it_is_given_up(
    bench: Bench, is_made: Callable[[Bench], None]
) -> None:
    is_made(bench)
    bench.take(bench.file())
    with a_store_later(bench.url, days=2) as later:
        assert settle(later) == []
        given_up_of(bench, CHARGE)
        assert [one.net_minor for one in settle(later)] == [NET]
    assert accounts(bench) == {"write_off": CHARGE - SHARE}


def test_a_share_that_is_left_of_what_was_given_up_is_found(bench: Bench) -> None:
    paid(bench)
    bench.take(bench.file())
    given_up_of(bench, CHARGE)
    of = "WHERE entry_id = (SELECT id FROM entry WHERE kind = 'write_off')"
    with an_engine(bench.url) as engine, engine.connect() as conn:
        without_guards(conn)
        conn.execute(text(f"DELETE FROM leg {of} AND account LIKE '%share_payable'"))  # noqa: S608
        conn.execute(text(f"UPDATE leg SET amount_minor = {CHARGE} {of} AND account = 'write_off'"))  # noqa: S608
        found = verify(conn)
        conn.rollback()
    [payment] = rows(bench.url, "SELECT id FROM payment")
    assert f"carrier's share that is owed of a charge that was given up: {payment.id}" in found
