"""How the whole gateway stands, read from the database alone: the same whoever asks, also when no process runs.

Every question is answered from the front of an index or from a small table, so that it may be asked every few seconds
beside any load; counts stop at a maximum.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select

from gateway.core.ids import first_id_at
from gateway.core.payment import PUBLIC_STATES, Operation, State
from gateway.store import tables

COUNTED_MAX = 10_000
"""No count goes further: beyond it is only «many»."""
LATELY_MS = 300_000

_operation = msgspec.json.Decoder(Operation).decode


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in one lane, in memory or not."""

    rows: int = 0
    """At most `COUNTED_MAX`."""
    due_since_ms: int | None = None
    """When the oldest row became due; in the future if all wait for their next try. None: no rows."""
    written_at_ms: int | None = None
    """When the oldest of these rows was written."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """So many, the oldest since then."""

    count: int = 0
    since_ms: int | None = None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Times are milliseconds since 1970 UTC."""

    waiting: dict[str, Waiting]
    """By lane."""
    unknown: Count
    """Orders of which nobody knows whether money moved."""
    breaks: dict[str, Count]
    """Open ones, by kind."""
    quarantined: Count
    """Jobs that could not be applied and that nobody has settled."""
    unsealed_since_ms: int | None
    """The oldest entry behind the newest seal."""
    deadline_since_ms: int | None
    """The oldest deadline that no payment was told; usually in the future."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a lane. `owner` is empty if nobody has."""

    owner: str
    epoch: int
    until_ms: int


def overview(conn: Connection, lanes: Sequence[str]) -> Overview:
    """How *lanes* and everything else stand."""
    return Overview(
        waiting={lane: _waiting(conn, lane) for lane in lanes},
        unknown=_unknown(conn, [lane for lane in lanes if lane.startswith("charge:")]),
        breaks=_breaks(conn),
        quarantined=_quarantined(conn),
        unsealed_since_ms=_unsealed_since_ms(conn),
        deadline_since_ms=_deadline_since_ms(conn),
    )


def _waiting(conn: Connection, lane: str) -> Waiting:
    outbox = tables.outbox.c
    front = (
        select(outbox.due_at_ms, outbox.created_at_ms)
        .where(outbox.lane == lane)
        .order_by(outbox.due_at_ms)
        .limit(COUNTED_MAX)
        .subquery()
    )
    counted = select(func.count(), func.min(front.c.due_at_ms), func.min(front.c.created_at_ms)).select_from(front)
    rows, due_ms, written_ms = conn.execute(counted).one()
    return Waiting(rows=rows, due_since_ms=due_ms, written_at_ms=written_ms)


def _unknown(conn: Connection, charge_lanes: Sequence[str]) -> Count:
    """Whatever is unknown is asked about, so each has its row in a lane to a biller. A refund's order is its own."""
    outbox, payment, refund = tables.outbox.c, tables.payment.c, tables.refund.c
    asked = select(outbox.payment_id).where(outbox.lane.in_(charge_lanes) & (outbox.kind == "inquire"))
    since_ms = []
    for payment_id, operation in ((payment.id, payment.operation), (refund.payment_id, refund.operation)):
        statement = select(operation).where(payment_id.in_(asked) & operation.is_not(None)).order_by(payment_id)
        found = conn.execute(statement.limit(COUNTED_MAX)).scalars()
        since_ms += [known for row in found if (known := _operation(row).unknown_since_ms) is not None]
    return Count(count=min(len(since_ms), COUNTED_MAX), since_ms=min(since_ms, default=None))


def _breaks(conn: Connection) -> dict[str, Count]:
    open_break = tables.open_break.c
    statement = (
        select(open_break.kind, func.count().label("found"), func.min(open_break.at_ms).label("since_ms"))
        .where(open_break.resolved_at_ms.is_(None))
        .group_by(open_break.kind)
    )
    return {row.kind: Count(count=row.found, since_ms=row.since_ms) for row in conn.execute(statement)}


def _quarantined(conn: Connection) -> Count:
    held = tables.quarantine.c
    row = conn.execute(select(func.count(), func.min(held.at_ms)).where(held.resolved_at_ms.is_(None))).one()
    return Count(count=row[0], since_ms=row[1])


def _unsealed_since_ms(conn: Connection) -> int | None:
    entry, seal = tables.entry.c, tables.ledger_seal.c
    newest = conn.execute(select(seal.entry_id).order_by(seal.position.desc()).limit(1)).scalar_one_or_none()
    behind = select(entry.at_ms).where(entry.id > (newest or "")).order_by(entry.id).limit(1)
    found: int | None = conn.execute(behind).scalar_one_or_none()
    return found


def _deadline_since_ms(conn: Connection) -> int | None:
    deadline_ms = tables.payment.c.deadline_at_ms
    # Not `min`: SQLite takes the partial index only for a condition that is spelt out.
    front = select(deadline_ms).where(deadline_ms.is_not(None)).order_by(deadline_ms).limit(1)
    found: int | None = conn.execute(front).scalar_one_or_none()
    return found


def owners(conn: Connection) -> dict[str, Owner]:
    """Lane → who has it."""
    rows: Sequence[Row[Any]] = conn.execute(select(tables.lane).order_by(tables.lane.c.name)).all()  # Any: `lane`.
    return {row.name: Owner(owner=row.owner, epoch=row.epoch, until_ms=row.until_ms) for row in rows}


def processes(conn: Connection) -> dict[str, int]:
    """Process → until when it is known to live. SQLite's one process is not listed."""
    return {row.owner: row.until_ms for row in conn.execute(select(tables.process).order_by(tables.process.c.owner))}


def lately(conn: Connection, now_ms: int) -> dict[str, int]:
    """Public state → payments in it, of those asked for in the last `LATELY_MS`."""
    payment = tables.payment.c
    statement = (
        select(payment.state, func.count().label("found"))
        .where(payment.id >= first_id_at("pay_", now_ms - LATELY_MS))
        .group_by(payment.state)
    )
    found: dict[str, int] = {}
    for row in conn.execute(statement):
        state = str(PUBLIC_STATES[State(row.state)])
        found[state] = found.get(state, 0) + row.found
    return found
