"""Statements and payouts as a merchant asks for them: what was settled, line by line, from opening to closing."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, and_, func, select

from gateway.core.ledger import merchant_available
from gateway.core.payment import EntryKind
from gateway.core.settling import PARTS
from gateway.store import tables
from gateway.store.merchant_reads import Owner
from gateway.store.payouts import Payout, payout_of


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement with its payout. `lines` are in the order in which they are shown; their sum is `closing`."""

    id: str
    merchant_name: str
    mode: str
    currency: str
    cut_off_ms: int
    at_ms: int
    lines: tuple[tuple[str, int], ...]
    closing_minor: int
    payout_id: str | None
    head_position: int
    head_hash: str


def statements(conn: Connection, owner: Owner, *, limit: int, older_than: str | None) -> list[Statement]:
    """The owner's, newest first."""
    of = tables.settlement.c
    statement = _of(owner).order_by(of.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(of.id < older_than)
    return [_statement(conn, row) for row in conn.execute(statement).all()]


def statement(conn: Connection, owner: Owner, settlement_id: str) -> Statement | None:
    """The owner's statement with this id."""
    row = conn.execute(_of(owner).where(tables.settlement.c.id == settlement_id)).first()
    return None if row is None else _statement(conn, row)


def payouts(conn: Connection, owner: Owner, *, limit: int, older_than: str | None) -> list[Payout]:
    """The owner's, newest first."""
    of = tables.payout.c
    wanted = select(tables.payout).where(of.merchant_id == owner.merchant_id, of.mode == owner.mode)
    if older_than is not None:
        wanted = wanted.where(of.id < older_than)
    return [payout_of(row) for row in conn.execute(wanted.order_by(of.id.desc()).limit(limit))]


def _of(owner: Owner) -> Select[Any]:  # Any: rows of the table.
    of = tables.settlement.c
    return select(tables.settlement).where(of.merchant_id == owner.merchant_id, of.mode == owner.mode)


def _statement(conn: Connection, row: Row[Any]) -> Statement:  # Any: a row of the table.
    line = tables.settlement_line.c
    found = conn.execute(select(line.part, line.amount_minor).where(line.settlement_id == row.id))
    parts = {row.part: int(row.amount_minor) for row in found}
    payout = _payout(conn, row)
    lines = [("opening", row.opening_minor), *((part, parts[part]) for part in PARTS if part in parts)]
    more = (
        ("reserve", -row.reserve_minor),
        ("reserve_released", _released(conn, row)),
        ("payout", 0 if payout is None else -payout.amount_minor),
    )
    lines += [(name, amount_minor) for name, amount_minor in more if amount_minor]
    name = conn.execute(select(tables.merchant.c.name).where(tables.merchant.c.id == row.merchant_id)).scalar()
    return Statement(
        id=row.id,
        merchant_name=name or row.merchant_id,
        mode=row.mode,
        currency=row.currency,
        cut_off_ms=row.cut_off_ms,
        at_ms=row.at_ms,
        lines=tuple(lines),
        closing_minor=sum(amount_minor for _, amount_minor in lines),
        payout_id=None if payout is None else payout.id,
        head_position=row.head_position,
        head_hash=row.head_hash,
    )


def _released(conn: Connection, row: Row[Any]) -> int:  # Any: a row of the table.
    """What the same run released of earlier reserves."""
    of = tables.settlement.c
    same = and_(of.merchant_id == row.merchant_id, of.mode == row.mode, of.currency == row.currency)
    released = select(func.coalesce(func.sum(of.reserve_minor), 0)).where(same, of.reserve_released_at_ms == row.at_ms)
    return int(conn.execute(released).scalar_one())


def _payout(conn: Connection, row: Row[Any]) -> Payout | None:  # Any: a row of the table.
    """The payout that has this settlement's money, if this is the last that it has."""
    claim, entry, of = tables.claim.c, tables.entry.c, tables.payout.c
    account = merchant_available(row.merchant_id)
    claimant = (
        select(claim.claimant_id)
        .join(tables.entry, entry.id == claim.entry_id)
        .where(claim.account == account, entry.kind == EntryKind.SETTLEMENT)
        .where(entry.source_type == "settlement", entry.source_id == row.id)
    )
    found = conn.execute(select(tables.payout).where(of.id == claimant.scalar_subquery())).first()
    if found is None:
        return None
    last = (
        select(func.max(entry.source_id))
        .select_from(tables.claim)
        .join(tables.entry, entry.id == claim.entry_id)
        .where(claim.claimant_id == found.id, entry.kind == EntryKind.SETTLEMENT)
    )
    return payout_of(found) if conn.execute(last).scalar_one() == row.id else None
