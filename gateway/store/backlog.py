"""How long the oldest row of a lane has waited in the outbox."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from gateway.store import tables


def oldest_due_ms(conn: Connection, lanes: Sequence[str]) -> dict[str, int]:
    """Lane → since when its oldest row is due; lanes without rows are left out."""
    outbox = tables.outbox.c
    oldest = {}
    for lane in lanes:
        # One look at the front of an index each; a GROUP BY would read every waiting row.
        due_ms = conn.execute(select(func.min(outbox.due_at_ms)).where(outbox.lane == lane)).scalar_one()
        if due_ms is not None:
            oldest[lane] = due_ms
    return oldest
