"""Statements and payouts as a merchant asks for them: what was settled, line by line, from opening to closing.

A statement runs from its settlement to the next one: each leg of `available` stands on exactly one, in the order of
the entries' ids. So a statement opens with what the one before it closed with, and the last closes with what is
available. Whoever posts there holds the merchant's mark as a settlement does, so nothing joins a closed statement.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, func, literal, or_, select

from gateway.core.ledger import merchant_available
from gateway.core.payment import EntryKind
from gateway.core.settling import PARTS
from gateway.store import tables
from gateway.store.merchant_reads import Owner
from gateway.store.payouts import Payout, payout_of

AFTERWARDS: Final = {
    EntryKind.RESERVE_RELEASED: "reserve_released",
    EntryKind.PAYOUT_CREATED: "payouts",
    EntryKind.PAYOUT_FAILED: "payouts_failed",
    EntryKind.PAYOUT_RETURNED: "payouts_returned",
}
"""The lines of what moves `available` besides the settlement, in their order."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement and what came after it. The sum of `lines`, which are in the order shown, is `closing`."""

    id: str
    merchant_name: str
    mode: str
    currency: str
    cut_off_ms: int
    at_ms: int
    lines: tuple[tuple[str, int], ...]
    closing_minor: int
    payout_ids: tuple[str, ...]
    """Those that were drafted, failed, were cancelled or came back meanwhile, in this order."""
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
    opening_minor, moves = _opening(conn, row), _moves(conn, row)
    lines = (("opening", opening_minor), *_settled(conn, row), *_afterwards(moves))
    closing_minor = opening_minor + sum(move.amount_minor for move in moves)
    told_minor = sum(amount_minor for _, amount_minor in lines)
    assert told_minor == closing_minor, f"{row.id}: lines sum to {told_minor}, and {closing_minor} is left"
    name = conn.execute(select(tables.merchant.c.name).where(tables.merchant.c.id == row.merchant_id)).scalar()
    return Statement(
        id=row.id,
        merchant_name=name or row.merchant_id,
        mode=row.mode,
        currency=row.currency,
        cut_off_ms=row.cut_off_ms,
        at_ms=row.at_ms,
        lines=lines,
        closing_minor=closing_minor,
        payout_ids=tuple(dict.fromkeys(move.source_id for move in moves if move.source_type == "payout")),
        head_position=row.head_position,
        head_hash=row.head_hash,
    )


class _Move(msgspec.Struct, frozen=True):
    """What one entry moved on `available`, in the merchant's favour > 0."""

    kind: str
    source_type: str
    source_id: str
    amount_minor: int


def _legs(row: Row[Any]) -> Select[Any]:  # Any: a row of the table; columns to be chosen.
    leg, entry = tables.leg, tables.entry
    return (
        select()
        .select_from(leg)
        .join(entry, entry.c.id == leg.c.entry_id)
        .where(leg.c.account == merchant_available(row.merchant_id))
        .where(entry.c.mode == row.mode, entry.c.currency == row.currency)
    )


def _first_entry(settlement_id: str) -> str:
    """Ids of all kinds are made by one clock: the settlement's stands before its own entry."""
    return "ent_" + settlement_id.removeprefix("set_")


def _opening(conn: Connection, row: Row[Any]) -> int:  # Any: a row of the table.
    before = _legs(row).where(tables.leg.c.entry_id < _first_entry(row.id))
    summed = before.with_only_columns(func.coalesce(func.sum(tables.leg.c.amount_minor), 0))
    return -int(conn.execute(summed).scalar_one())


def _moves(conn: Connection, row: Row[Any]) -> list[_Move]:  # Any: a row of the table.
    """In one statement with the question for the next settlement, so that none comes between the two."""
    of, entry, leg = tables.settlement.alias("next_settlement").c, tables.entry.c, tables.leg.c
    following = select(func.min(of.id)).where(
        of.merchant_id == row.merchant_id, of.mode == row.mode, of.currency == row.currency, of.id > row.id
    )
    next_id = following.scalar_subquery()
    until = literal("ent_") + func.substr(next_id, len("set_") + 1)
    found = (
        _legs(row)
        .where(leg.entry_id >= _first_entry(row.id), or_(next_id.is_(None), leg.entry_id < until))
        .with_only_columns(entry.kind, entry.source_type, entry.source_id, -leg.amount_minor)
        .order_by(leg.entry_id)
    )
    return [_Move(one[0], one[1], one[2], int(one[3])) for one in conn.execute(found)]


def _settled(conn: Connection, row: Row[Any]) -> list[tuple[str, int]]:  # Any: a row.
    line = tables.settlement_line.c
    found = conn.execute(select(line.part, line.amount_minor).where(line.settlement_id == row.id))
    parts = {row.part: int(row.amount_minor) for row in found}
    kept = [("reserve", -row.reserve_minor)] if row.reserve_minor else []
    return [*((part, parts[part]) for part in PARTS if part in parts), *kept]


def _afterwards(moves: list[_Move]) -> list[tuple[str, int]]:
    sums = {line: sum(move.amount_minor for move in moves if move.kind == kind) for kind, line in AFTERWARDS.items()}
    return [(line, amount_minor) for line, amount_minor in sums.items() if amount_minor]
