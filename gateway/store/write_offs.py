"""What the books say of money that two persons may give up, or gave up: per payment, and per order of it."""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, select, text

from gateway.core.ledger import carrier_receivable, carrier_share
from gateway.core.payment import BreakKind, Capture, EntryKind, OperationKind, Payment
from gateway.core.reconcile import Ours
from gateway.store import carrier_shares, tables

NOT_DONE: Final[Collection[BreakKind]] = (BreakKind.MISSING_AT_CARRIER, BreakKind.STATUS)
"""Breaks about an order that the carrier did not carry out, if it is right."""
# A write-off of what was taken credits the receivable; one of what was given back debits it.
OF_TAKEN: Final = "(e.kind = 'write_off' AND l.amount_minor < 0 OR e.kind = 'write_off_undone' AND l.amount_minor > 0)"
_OF_GIVEN_BACK: Final = (
    "(e.kind = 'write_off' AND l.amount_minor > 0 OR e.kind = 'write_off_undone' AND l.amount_minor < 0)"
)


def about(words: str, order_id: str) -> str:
    """In SQL, whether these *words* are about that order. Not every order whose id begins so: `…-3` is none of `…-30`.

    Behind an id there is a blank, a colon or nothing.
    """
    return f"replace({words}, ':', ' ') || ' ' LIKE '% ' || {order_id} || ' %'"


def is_given_up(payment_id: ColumnElement[str], charge_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether two persons say that the charge was never taken, and no later file tells of it after all."""
    booked, undone = tables.entry.alias(), tables.entry.alias()
    table, order = tables.open_break.alias("given_up"), tables.attempt.alias("not_done")
    told_since = exists().where(
        undone.c.source_type == "break",
        undone.c.source_id == table.c.id,
        undone.c.kind == EntryKind.WRITE_OFF_UNDONE,
    )
    return exists().where(
        booked.c.payment_id == payment_id,
        booked.c.kind == EntryKind.WRITE_OFF,
        table.c.id == booked.c.source_id,
        table.c.kind.in_(NOT_DONE),
        order.c.payment_id == payment_id,
        order.c.charge_attempt_id == charge_id,
        order.c.kind.in_((OperationKind.CHARGE, OperationKind.RESERVE, OperationKind.CAPTURE)),
        text(about("given_up.detail", "not_done.id")),
        ~told_since,
    )


class Owed(NamedTuple):
    """What of one charge the carrier's files have not settled yet, by our books."""

    taken_minor: int
    """What the carrier still owes of what it took."""
    given_back_minor: int
    """What it may still take off for what we ordered it to give back: less than zero, or nothing."""
    not_taken_minor: int
    """What was given up because the charge was never taken, less what was therefore not given back either."""


def owed(conn: Connection, payment_id: str, carrier: str, words: str) -> Owed:
    """What is open between us and the carrier of one charge. *words*: they name an order of that charge."""
    values = {"payment_id": payment_id, "receivable": carrier_receivable(carrier), "words": words}
    row = conn.execute(_OWED, values).one()
    return Owed(int(row.taken), int(row.given_back), int(row.not_taken))


# No file that was paid tells of it; what the carrier took back unasked stands under the name of its charge.
_UNPAID: Final = (
    "NOT (e.kind = 'clawback' AND EXISTS (SELECT 1 FROM attempt t"
    " JOIN carrier_match m ON m.attempt_id = t.id AND m.said = 'reversed'"
    " JOIN carrier_file f ON f.id = m.carrier_file_id AND f.remittance = 'posted'"
    " WHERE t.payment_id = e.payment_id AND t.kind NOT IN ('reverse', 'refund')))"
    " AND "
    "NOT EXISTS (SELECT 1 FROM remitted_attempt r WHERE r.attempt_id ="
    " CASE e.kind WHEN 'reversal' THEN (SELECT max(a.id) FROM attempt a WHERE a.payment_id = e.payment_id"
    " AND a.kind = 'reverse' AND a.charge_attempt_id = e.source_id) ELSE e.source_id END)"
)
# What the carrier gave back unasked, it owes no more: of that no order of ours is missing.
_OWED = text(
    "SELECT coalesce(sum(CASE WHEN e.kind IN ('capture', 'late_charge', 'clawback')"
    f" OR {OF_TAKEN} THEN l.amount_minor ELSE 0 END), 0) AS taken,"
    f" coalesce(sum(CASE WHEN e.kind IN ('refund_succeeded', 'late_refund', 'reversal') OR {_OF_GIVEN_BACK}"
    " THEN l.amount_minor ELSE 0 END), 0) AS given_back,"
    " coalesce(-sum(CASE WHEN b.kind IN ('missing_at_carrier', 'status') THEN l.amount_minor ELSE 0 END), 0)"
    " AS not_taken FROM entry e JOIN leg l ON l.entry_id = e.id AND l.account = :receivable"
    " LEFT JOIN \"break\" b ON e.source_type = 'break' AND b.id = e.source_id"
    f" WHERE e.payment_id = :payment_id AND {_UNPAID}"
    # Of a phone that was charged twice the carrier may have one of the charges only.
    " AND EXISTS (SELECT 1 FROM attempt a"
    " JOIN attempt o ON o.payment_id = a.payment_id AND o.charge_attempt_id = a.charge_attempt_id"
    f" WHERE a.payment_id = e.payment_id AND (a.id = e.source_id OR {about('b.detail', 'a.id')})"
    f" AND {about('CAST(:words AS text)', 'o.id')})"
)


def share_not_kept(conn: Connection, payment: Payment, words: str, amount_minor: int) -> int:
    """What the carrier would have kept of *amount_minor* that is given up, of an order that it never carried out.

    *words*: they name the order. Less than zero: it would have given that back, with what was given back.
    """
    row = tables.payment.c
    order = conn.execute(_NAMED, {"payment_id": payment.id, "words": words}).one()
    is_back = amount_minor < 0
    if payment.capture is not Capture.ESCROW:
        values = {
            "payment_id": payment.id,
            "share": carrier_share(payment.carrier),
            "refund_id": order.id,
            "charge_id": "" if is_back else order.charge_attempt_id,
            "captured_id": payment.attempt_id,
        }
        return int(conn.execute(_SHARE, values).scalar_one())
    if order.charge_attempt_id != payment.attempt_id or not payment.captured_minor:
        return 0
    kept = conn.execute(select(tables.payment).where(row.id == payment.id)).one()
    share_minor = carrier_shares.in_escrow(conn, kept, abs(amount_minor), is_back=is_back)
    return -share_minor if is_back else share_minor


_NAMED = text(f"SELECT * FROM attempt WHERE payment_id = :payment_id AND {about('CAST(:words AS text)', 'id')}")
# As it was posted, so that nothing is left of it.
_SHARE = text(
    "SELECT coalesce(-sum(l.amount_minor), 0) FROM entry e JOIN leg l ON l.entry_id = e.id AND l.account = :share"
    " WHERE e.payment_id = :payment_id AND (e.kind IN ('refund_succeeded', 'late_refund') AND e.source_id = :refund_id"
    " OR e.kind = 'capture' AND e.source_id = :charge_id OR e.kind = 'clawback' AND :charge_id = :captured_id)"
    f" AND {_UNPAID}"
)


class WrittenOff(NamedTuple):
    """What one break gave up of an order."""

    amount_minor: int
    share_minor: int
    """How much of that the carrier would have kept."""


def written_off(conn: Connection, order: Ours, carrier: str, missing_id: str) -> dict[str, WrittenOff]:
    """By break: those that say that *order* did not happen, and are written off and not undone.

    Of a charge also those of what was given back of it, less than zero: they were given up because it was.
    *missing_id*: the break that says that no file has it.
    """
    values = {
        "payment_id": order.payment_id,
        "told_failed": f"%failed {order.id}:%",
        "missing_id": missing_id,
        "charge_id": "" if order.gives_back else order.charge_attempt_id,
        "receivable": carrier_receivable(carrier),
        "share": carrier_share(carrier),
    }
    return {row.id: WrittenOff(int(row.amount_minor), int(row.share_minor)) for row in conn.execute(_NOT_DONE, values)}


_NOT_DONE = text(
    'SELECT b.id, -l.amount_minor AS amount_minor, coalesce(k.amount_minor, 0) AS share_minor FROM "break" b'
    " JOIN entry e ON e.source_type = 'break' AND e.source_id = b.id AND e.kind = 'write_off'"
    " JOIN leg l ON l.entry_id = e.id AND l.account = :receivable"
    " LEFT JOIN leg k ON k.entry_id = e.id AND k.account = :share"
    " WHERE e.payment_id = :payment_id AND (b.id = :missing_id OR b.kind = 'status' AND b.detail LIKE :told_failed"
    " OR l.amount_minor > 0 AND EXISTS (SELECT 1 FROM attempt a WHERE a.payment_id = e.payment_id"
    f" AND a.charge_attempt_id = :charge_id AND {about('b.detail', 'a.id')}))"
    " AND NOT EXISTS (SELECT 1 FROM entry u WHERE u.source_type = 'break' AND u.source_id = b.id"
    " AND u.kind = 'write_off_undone') ORDER BY b.id"
)
