"""Rows of fee schedules: added, found, given to merchants. None is ever changed."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from gateway.core.fees import FeeSchedule
from gateway.store import tables
from gateway.store.identity import new_id

_KNOWN_MAX: Final = 1_000
_known: dict[str, FeeSchedule] = {}
"""By id. What an id names never changes, so the process need not ask twice."""


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a schedule."""

    id: str
    name: str
    version: int
    body: str
    created_at_ms: int

    @property
    def schedule(self) -> FeeSchedule:
        return msgspec.json.decode(self.body, type=FeeSchedule)


_TABLE = tables.fee_schedule
_COLUMN = _TABLE.c


def schedule(conn: Connection, schedule_id: str) -> FeeSchedule:
    """The schedule that a payment was made under; a payment names none that was not stored before."""
    found = _known.get(schedule_id)
    if found is None:
        row = schedule_row(conn, schedule_id)
        assert row is not None, f"expected the fee schedule {schedule_id}"
        found = row.schedule
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[schedule_id] = found
    return found


def add_schedule(conn: Connection, added: FeeSchedule, now_ms: int) -> ScheduleRow:
    """Store *added* as the next version of its name; the newest one if that is the same."""
    newest = schedule_row(conn, added.name)
    if newest is not None and newest.schedule == added:
        return newest
    row = ScheduleRow(
        id=new_id("fee_"),
        name=added.name,
        version=1 if newest is None else newest.version + 1,
        body=msgspec.json.encode(added).decode(),
        created_at_ms=now_ms,
    )
    conn.execute(insert(_TABLE), [msgspec.structs.asdict(row)])
    return row


def schedule_row(conn: Connection, named: str) -> ScheduleRow | None:
    """The schedule with that id, or the newest version of that name."""
    statement = select(_TABLE).where((_COLUMN.id == named) | (_COLUMN.name == named))
    row = conn.execute(statement.order_by(_COLUMN.version.desc()).limit(1)).first()
    return None if row is None else ScheduleRow(**row._mapping)


class Listed(msgspec.Struct, frozen=True):
    """A version, and how many merchants' new payments get it."""

    row: ScheduleRow
    merchants: int


def schedules(conn: Connection) -> Sequence[Listed]:
    """All of them, by name, the newest version first."""
    merchant = tables.merchant.c
    used = select(func.count()).where(merchant.fee_schedule == _COLUMN.id).scalar_subquery()
    statement = select(_TABLE, used.label("merchants")).order_by(_COLUMN.name, _COLUMN.version.desc())
    return [
        Listed(ScheduleRow(**{name: row._mapping[name] for name in ScheduleRow.__struct_fields__}), row.merchants)
        for row in conn.execute(statement)
    ]


def assign(conn: Connection, merchant_id: str, schedule_id: str | None) -> None:
    """The merchant's payments get it from now on, or none; those that were made before keep theirs."""
    merchant = tables.merchant
    conn.execute(update(merchant).where(merchant.c.id == merchant_id).values(fee_schedule=schedule_id))
