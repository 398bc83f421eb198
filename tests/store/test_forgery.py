"""Entries and rows that fit together by themselves, and say what nothing else bears out."""

from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import Connection, text

from gateway.core.dispute import Act
from gateway.core.payment import EntryKind
from gateway.core.payouts import PayoutState
from gateway.engine.dispute_jobs import DecideDispute, OpenDispute
from gateway.store.verify import verify
from tests.store.bench import an_engine, applied, rows, without_guards
from tests.store.refund_bench import declined, done, refunded
from tests.store.settling_bench import AT_ONCE, a_capture, a_store_later, settle, with_terms
from tests.store.test_disputes import taking_back
from tests.store.test_payouts import drafted, submitted, word

pytestmark = pytest.mark.money

MADE_FOR = {
    **dict.fromkeys(("hold", "hold_ended", "capture", "late_charge", "reversal", "clawback"), "attempt"),
    **dict.fromkeys(("refund_created", "refund_succeeded", "refund_failed", "late_refund"), "refund"),
    **dict.fromkeys(("dispute_opened", "dispute_won", "dispute_lost", "dispute_fee"), "dispute"),
    **dict.fromkeys(("settlement", "reserve_released"), "settlement"),
    **dict.fromkeys(("payout_created", "payout_paid", "payout_failed", "payout_returned"), "payout"),
    **dict.fromkeys(("write_off", "write_off_undone"), "break"),
    "escrow_released": "payment",
    "remittance": "carrier_file",
}
"""Kind of entry → the table of what it is made for."""
OF_NO_PAYMENT = ("settlement", "payout", "carrier_file")


def forge(conn: Connection, kind: str, made_for: str, payment_id: str) -> None:
    """KES 77.77 for the merchant, in an entry that sums to zero."""
    entry = "INSERT INTO entry VALUES ('ent_0', :made_for, 'none', :kind, 'test', 'KES', :payment, 1)"
    conn.execute(text(entry), {"made_for": made_for, "kind": kind, "payment": payment_id})
    legs = "('ent_0', 0, 'carrier:acme:receivable', 7777), ('ent_0', 1, 'merchant:mer_1:pending', -7777)"
    conn.execute(text(f"INSERT INTO leg VALUES {legs}"))  # noqa: S608 - words of our own


def test_an_entry_of_any_kind_that_is_made_for_nothing_is_found(database_url: str) -> None:
    with a_store_later(database_url) as store:
        payment = a_capture(store)
    missed = {}
    with an_engine(database_url) as engine, engine.connect() as books:
        for kind in EntryKind:
            made_for = MADE_FOR[kind]
            payment_id = "" if made_for in OF_NO_PAYMENT else payment.id
            savepoint = books.begin_nested()
            forge(books, kind, made_for, payment_id)
            found = verify(books)
            if f"{kind} that its {made_for.replace('_', ' ')} does not bear out: ent_0, {payment_id}" not in found:
                missed[kind] = found
            savepoint.rollback()
            savepoint = books.begin_nested()
            forge(books, kind, "order", payment_id)
            assert f"entry whose kind is none, or is made for something else: ent_0, {payment_id}" in verify(books)
            savepoint.rollback()
        books.rollback()
    assert missed == {}


@pytest.fixture
def busy_books(database_url: str) -> Iterator[Connection]:
    """Of one merchant: refunds, disputes, settlements with a reserve, payouts. What a test does to them is undone."""
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, reserve_bps=1_000, reserve_days=3))
        first, second, third = (a_capture(store, n) for n in range(3))
        applied(store, done(refunded(store, first, 30_000)))
        applied(store, declined(refunded(store, first, 10_000, "r-2")))
        for act in (Act.WIN, Act.LOSE):
            applied(store, OpenDispute(payment_id=second.id))
            [opened] = rows(database_url, "SELECT id FROM dispute WHERE state = 'open'")
            applied(store, DecideDispute(dispute_id=opened.id, done=act))
        applied(store, taking_back(third))
        a_capture(store, 4)
    with a_store_later(database_url, days=1) as store:
        settle(store)
        [payout] = drafted(store)
        word(store, submitted(store, payout), PayoutState.PAID)
        a_capture(store, 5)
    with a_store_later(database_url, days=2) as store:
        settle(store)
        [payout] = drafted(store)
        word(store, payout, PayoutState.CANCELLED)
    with a_store_later(database_url, days=4.5) as store:
        settle(store)
    with an_engine(database_url) as engine, engine.connect() as conn:
        without_guards(conn)
        yield conn
        conn.rollback()


ONE_CELL = {
    "a hundred times the reserve, to be paid out later": (
        "UPDATE settlement SET reserve_minor = reserve_minor * 100 WHERE reserve_released_at_ms IS NULL",
        "settlement that its settlement does not bear out: ent_",
    ),
    "a reserve to be released once more": (
        "UPDATE settlement SET reserve_released_at_ms = NULL",
        "reserve_released that its settlement does not bear out: ent_",
    ),
    "a reserve called released": (
        "UPDATE settlement SET reserve_released_at_ms = 1 WHERE reserve_released_at_ms IS NULL",
        "settlement without its entry reserve_released: set_",
    ),
    "a payment to be refunded once more": (
        "UPDATE payment SET refunded_minor = 0 WHERE refunded_minor > 0",
        "refunded_minor differs from the refunds: pay_",
    ),
    "more captured than was": (
        "UPDATE payment SET amount_minor = amount_minor + 1, captured_minor = captured_minor + 1",
        "capture that its attempt does not bear out: ent_",
    ),
    "captured without a charge": (
        "UPDATE attempt SET status = 'failed' WHERE kind = 'charge'",
        "capture that its attempt does not bear out: ent_",
    ),
    "a payment that the carrier took back called captured": (
        "UPDATE payment SET state = 'captured' WHERE state = 'reversed'",
        "clawback that its attempt does not bear out: ent_",
    ),
    "a refund called failed": (
        "UPDATE refund SET state = 'failed' WHERE state = 'succeeded'",
        "refund_succeeded that its refund does not bear out: ent_",
    ),
    "a refund called done": (
        "UPDATE refund SET state = 'succeeded' WHERE state = 'failed'",
        "refund without its entry refund_succeeded: ref_",
    ),
    "a smaller refund": (
        "UPDATE refund SET amount_minor = amount_minor - 1",
        "refund_created that its refund does not bear out: ent_",
    ),
    "a dispute called won": (
        "UPDATE dispute SET state = 'won' WHERE state = 'lost'",
        "dispute_lost that its dispute does not bear out: ent_",
    ),
    "a dispute called lost": (
        "UPDATE dispute SET state = 'lost' WHERE state = 'won'",
        "dispute without its entry dispute_lost: dsp_",
    ),
    "a payout called failed": (
        "UPDATE payout SET state = 'failed' WHERE state = 'paid'",
        "payout_paid that its payout does not bear out: ent_",
    ),
    "a larger payout": (
        "UPDATE payout SET amount_minor = amount_minor + 1",
        "payout_created that its payout does not bear out: ent_",
    ),
    "a cancelled payout approved": (
        "UPDATE payout SET state = 'approved' WHERE state = 'cancelled'",
        "payout that two others than its drafter did not approve: po_",
    ),
    "one person's approval for two": (
        "UPDATE payout SET second_approval_by = first_approval_by",
        "payout that two others than its drafter did not approve: po_",
    ),
    "the drafter's own approval": (
        "UPDATE payout SET first_approval_by = drafted_by",
        "payout that two others than its drafter did not approve: po_",
    ),
    "what is settled paid to another merchant": (
        "UPDATE leg SET account = 'merchant:mer_2:available' WHERE account = 'merchant:mer_1:available'",
        "settlement that its settlement does not bear out: ent_",
    ),
    "a refund out of another merchant's money": (
        "UPDATE leg SET account = 'merchant:mer_2:pending' WHERE account = 'merchant:mer_1:pending'",
        "refund_created that its refund does not bear out: ent_",
    ),
}


def test_one_cell_that_moves_money_is_found(busy_books: Connection) -> None:
    assert verify(busy_books) == []
    missed = {}
    for label, (statement, expected) in ONE_CELL.items():
        savepoint = busy_books.begin_nested()
        assert busy_books.execute(text(statement)).rowcount > 0, f"{label}: {statement} tampered with nothing"
        found = verify(busy_books)
        if not any(wrong.startswith(expected) for wrong in found):
            missed[label] = found
        savepoint.rollback()
    assert missed == {}
