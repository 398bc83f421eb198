"""Merchants' settlement terms as they are kept, and what settlement has advanced."""

import msgspec
from sqlalchemy import ColumnElement, Connection, case, exists, func, select

from gateway.core.payment import EntryKind
from gateway.core.settling import Terms
from gateway.store import bulk, tables
from gateway.store.account_changes import note_change
from gateway.store.write_offs import is_given_up

WAITING_KINDS = (EntryKind.CAPTURE, EntryKind.ESCROW_RELEASED)
"""Only money that a carrier has to bring waits, until two persons give it up: that is our loss, not the merchant's.
What a merchant owes does not wait."""


class Advanced(msgspec.Struct, frozen=True):
    """What was settled to merchants of what a carrier has taken and not remitted, and nobody has given up."""

    carrier: str
    mode: str
    currency: str
    captures: int
    amount_minor: int


def read_terms(conn: Connection, merchant_id: str) -> Terms:
    """The merchant's terms, or those of a merchant that has none."""
    row = conn.execute(select(tables.merchant_terms).where(tables.merchant_terms.c.merchant_id == merchant_id)).first()
    if row is None:
        return Terms()
    columns = {name: value for name, value in row._mapping.items() if name != "merchant_id"}
    return Terms(**(columns | {"waits": msgspec.json.decode(row.waits)}))


def write_terms(conn: Connection, merchant_id: str, terms: Terms, *, by: str) -> None:
    """Replace the merchant's terms. What is settled is settled on those of before; a draft keeps its account."""
    note_change(conn, merchant_id, terms, by=by)
    columns = msgspec.structs.asdict(terms) | {"waits": msgspec.json.encode(terms.waits).decode()}
    bulk.delete_rows(conn, tables.merchant_terms, "merchant_id", [merchant_id])
    bulk.insert_rows(conn, tables.merchant_terms, [{"merchant_id": merchant_id} | columns])


def advanced(conn: Connection) -> list[Advanced]:
    """By carrier, mode and currency."""
    claim, entry, leg = tables.claim.c, tables.entry.c, tables.leg.c
    payment = tables.payment.c
    statement = (
        select(payment.carrier, entry.mode, entry.currency, func.count(), func.sum(-leg.amount_minor))
        .select_from(tables.claim)
        .join(tables.entry, entry.id == claim.entry_id)
        .join(tables.leg, (leg.entry_id == claim.entry_id) & (leg.account == claim.account))
        .join(tables.payment, payment.id == entry.payment_id)
        .where(entry.kind.in_(WAITING_KINDS), ~waits_no_more())
        .group_by(payment.carrier, entry.mode, entry.currency)
        .order_by(payment.carrier, entry.mode, entry.currency)
    )
    return [Advanced(row[0], row[1], row[2], int(row[3]), int(row[4])) for row in conn.execute(statement)]


def waits_no_more() -> ColumnElement[bool]:
    """Of an entry of `WAITING_KINDS` and its payment: the carrier has brought the money, or two persons gave it up."""
    entry, payment, remitted = tables.entry.c, tables.payment.c, tables.remitted_attempt.c
    # What leaves escrow names its payment, and waits for the money of the charge all the same.
    attempt_id = case((entry.kind == EntryKind.CAPTURE, entry.source_id), else_=payment.attempt_id)
    return exists().where(remitted.attempt_id == attempt_id) | is_given_up(payment.id, attempt_id)
