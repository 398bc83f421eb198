"""Merchants' settlement terms as they are kept, and what settlement has advanced."""

import msgspec
from sqlalchemy import Connection, func, select

from gateway.core.payment import EntryKind
from gateway.core.settling import Terms
from gateway.store import bulk, tables


class Advanced(msgspec.Struct, frozen=True):
    """What was settled to merchants of what a carrier has taken and not remitted."""

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


def write_terms(conn: Connection, merchant_id: str, terms: Terms) -> None:
    """Replace the merchant's terms. What is settled already is settled on those of before."""
    columns = msgspec.structs.asdict(terms) | {"waits": msgspec.json.encode(terms.waits).decode()}
    bulk.delete_rows(conn, tables.merchant_terms, "merchant_id", [merchant_id])
    bulk.insert_rows(conn, tables.merchant_terms, [{"merchant_id": merchant_id} | columns])


def advanced(conn: Connection) -> list[Advanced]:
    """By carrier, mode and currency."""
    claim, entry, payment, remitted = tables.claim.c, tables.entry.c, tables.payment.c, tables.remitted_attempt.c
    statement = (
        select(payment.carrier, entry.mode, entry.currency, func.count(), func.sum(payment.captured_minor))
        .select_from(tables.claim)
        .join(tables.entry, entry.id == claim.entry_id)
        .join(tables.payment, payment.id == entry.payment_id)
        .outerjoin(tables.remitted_attempt, remitted.attempt_id == entry.source_id)
        .where(entry.kind == EntryKind.CAPTURE, remitted.attempt_id.is_(None))
        .group_by(payment.carrier, entry.mode, entry.currency)
        .order_by(payment.carrier, entry.mode, entry.currency)
    )
    return [Advanced(row[0], row[1], row[2], int(row[3]), int(row[4])) for row in conn.execute(statement)]
