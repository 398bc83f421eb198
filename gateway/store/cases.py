"""Breaks and quarantined jobs, as the person sees them who must look at each: list them, and say how one was settled.

Nothing here moves a payment. What was settled stays on record with who said so, when, and in which words.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from gateway.store import tables

TABLES = {"break": tables.open_break, "quarantine": tables.quarantine}
LISTED_MAX = 1_000
NOTE_CHARACTERS_MAX = 1_000


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. `kind` of a quarantined job is `carrier_fact` or `own_job`."""

    id: str
    kind: str
    payment_id: str | None
    detail: str
    at_ms: int
    resolved_at_ms: int | None
    resolved_by: str
    resolution: str
    owner: str = ""
    """Of a break, as the next three: who looks at it."""
    amount_minor: int | None = None
    """Money at risk; None: nobody can say."""
    currency: str = ""
    proposed_by: str = ""
    """Who would write it off; another person has to agree."""


def list_cases(conn: Connection, name: str, *, with_resolved: bool = False) -> list[Case]:
    """The open cases of table *name*, oldest first; with *with_resolved* also the others. At most `LISTED_MAX`."""
    table = TABLES[name]
    statement = select(table).order_by(table.c.at_ms, table.c.id).limit(LISTED_MAX)
    if not with_resolved:
        statement = statement.where(table.c.resolved_at_ms.is_(None))
    return [_case(name, row) for row in conn.execute(statement)]


def _case(name: str, row: Row[Any]) -> Case:  # Any: a row of one of the two tables.
    is_break = name == "break"
    return Case(
        id=row.id,
        kind=row.kind if is_break else ("carrier_fact" if row.is_carrier_fact else "own_job"),
        payment_id=row.payment_id if is_break else None,
        detail=row.detail if is_break else f"{row.error} in {row.job}",
        at_ms=row.at_ms,
        resolved_at_ms=row.resolved_at_ms,
        resolved_by=row.resolved_by,
        resolution=row.resolution,
        owner=row.owner if is_break else "",
        amount_minor=row.amount_minor if is_break else None,
        currency=row.currency if is_break else "",
        proposed_by=row.proposed_by if is_break else "",
    )


def assign(conn: Connection, break_id: str, owner: str) -> Case:
    """Say who looks at an open break. Raise LookupError or ValueError as `resolve`."""
    table = tables.open_break
    case = open_case(conn, "break", break_id)
    conn.execute(update(table).where(table.c.id == break_id).values(owner=owner))
    return msgspec.structs.replace(case, owner=owner)


def open_case(conn: Connection, name: str, case_id: str) -> Case:
    """The case, locked. Raise LookupError if there is none, ValueError if it was settled before."""
    table = TABLES[name]
    found = conn.execute(select(table).where(table.c.id == case_id).with_for_update()).first()
    if found is None:
        raise LookupError(f"expected the id of a {name} row, got {case_id!r}: there is none")
    if found.resolved_at_ms is not None:
        raise ValueError(f"{case_id} was resolved before, by {found.resolved_by or 'somebody'}: {found.resolution}")
    return _case(name, found)


def settle_breaks(conn: Connection, ids: Sequence[str], words: str, now_ms: int) -> int:
    """What a carrier's file explained needs no person any more. Return how many of the breaks were open."""
    if not ids:
        return 0
    table = TABLES["break"]
    settled = {"resolved_at_ms": now_ms, "resolved_by": "reconcile", "resolution": words}
    still_open = update(table).where(table.c.id.in_(ids), table.c.resolved_at_ms.is_(None))
    return conn.execute(still_open.values(**settled)).rowcount


def resolve(conn: Connection, name: str, case_id: str, *, by: str, note: str, now_ms: int) -> Case:
    """Record that a person settled the case. Raise LookupError if there is none, ValueError if it was settled before.

    The first word stands: two people who settle the same break must learn of each other.
    """
    table = TABLES[name]
    case = open_case(conn, name, case_id)
    settled = {"resolved_at_ms": now_ms, "resolved_by": by, "resolution": note}
    conn.execute(update(table).where(table.c.id == case_id).values(**settled))
    return msgspec.structs.replace(case, **settled)
