"""Who owns which lane: leases in the database, kept by one heartbeat a process, and the rows that an owner claims.

The epoch of a lane rises with each change of owner. It guards the right to start work; facts are recorded whoever
brings them. The clock is the batch's, so that no two machines' clocks are compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store import bulk, tables
from gateway.store.outbox import OutboxRow

# One process alone holds its lanes by the lock on its database file; nobody compares this time.
FOR_EVER_MS = 2**62
NOBODY = ""
CHANNEL = "gateway_lanes"
"""On which processes on one PostgreSQL tell each other about lanes."""
FREED = "freed"
"""Said there when lanes are given back, so that the others need not wait for their next heartbeat."""

_decode_body = msgspec.json.Decoder(dict[str, Any]).decode


class Held(msgspec.Struct, frozen=True):
    """What a heartbeat found: lane → epoch, and what of it a process with fewer lanes should have."""

    owned: dict[str, int]
    surplus: list[str]


class Leases:
    """The statements behind `gateway.engine.lanes`; each runs inside a batch's transaction."""

    def heartbeat(
        self, conn: Connection, *, owner: str, names: Sequence[str], now_ms: int, lease_ms: int | None
    ) -> Held:
        """Extend *owner*'s leases and take free or expired lanes, up to its share; alone it takes all of them."""
        lane = tables.lane
        rows = [{"name": name, "owner": NOBODY, "epoch": 0, "until_ms": 0} for name in sorted(names)]
        bulk.insert_rows(conn, lane, rows, on_conflict_ignore=True)
        until_ms = FOR_EVER_MS if lease_ms is None else now_ms + lease_ms
        share = len(names) if lease_ms is None else self._share(conn, owner, len(names), now_ms, until_ms)
        held = bulk.select_in(conn, lane, "name", sorted(names), lock=True, order_by="name")
        owned: dict[str, int] = {}
        free = []
        for row in held:
            # An expired lease of one's own is another epoch all the same: what was claimed may have been sent.
            if row.owner == owner and row.until_ms > now_ms:
                owned[row.name] = row.epoch
            elif lease_ms is None or row.until_ms <= now_ms:
                free.append(row)
        for row in free[: max(0, share - len(owned))]:
            owned[row.name] = row.epoch + 1
        kept = [{"name": n, "owner": owner, "epoch": e, "until_ms": until_ms} for n, e in sorted(owned.items())]
        bulk.update_rows(conn, lane, "name", kept)
        return Held(owned, sorted(owned)[share:])

    def _share(self, conn: Connection, owner: str, lanes: int, now_ms: int, until_ms: int) -> int:
        """How many lanes each of the processes that are alive should have."""
        process = tables.process
        conn.execute(delete(process).where(process.c.until_ms <= now_ms))
        insert = postgresql.insert(process) if conn.dialect.name == "postgresql" else sqlite.insert(process)
        conn.execute(
            insert.values(owner=owner, until_ms=until_ms).on_conflict_do_update(
                index_elements=["owner"], set_={"until_ms": until_ms}
            )
        )
        alive = len(conn.execute(select(process.c.owner)).all())
        return -(-lanes // alive)

    def claim_due(self, conn: Connection, *, lane: str, epoch: int, now_ms: int, limit: int) -> list[OutboxRow]:
        """Due rows of *lane* that this epoch has not claimed, oldest first; none if the lane has another epoch now."""
        # Locked, so that a take-over waits for this claim, and sees what it claimed.
        held = conn.execute(select(tables.lane.c.epoch).where(tables.lane.c.name == lane).with_for_update(read=True))
        if held.scalar_one_or_none() != epoch:
            return []
        outbox = tables.outbox.c
        statement = (
            select(tables.outbox)
            .where(
                (outbox.lane == lane)
                & (outbox.due_at_ms <= now_ms)
                & (outbox.epoch.is_(None) | (outbox.epoch != epoch))
            )
            .order_by(outbox.due_at_ms, outbox.created_at_ms, outbox.id)
            .limit(limit)
            # What somebody is recording the outcome of just now is not due any more, or comes with the next look.
            .with_for_update(skip_locked=True)
        )
        rows = [_outbox_row(row, epoch) for row in conn.execute(statement)]
        bulk.update_rows(conn, tables.outbox, "id", [{"id": row.id, "epoch": epoch} for row in rows])
        return rows

    def release(self, conn: Connection, *, owner: str, epochs: Mapping[str, int], unstarted: Sequence[str]) -> None:
        """Give back lanes still in these epochs. *unstarted* rows lose their epoch: nothing of them was sent."""
        lane, outbox = tables.lane, tables.outbox
        for name, epoch in sorted(epochs.items()):
            mine = (lane.c.name == name) & (lane.c.owner == owner) & (lane.c.epoch == epoch)
            conn.execute(update(lane).where(mine).values(owner=NOBODY, until_ms=0))
        mine_rows = bulk.select_in(conn, outbox, "id", sorted(unstarted), lock=True, order_by="id")
        freed = [{"id": row.id, "epoch": None} for row in mine_rows if row.epoch == epochs.get(row.lane)]
        bulk.update_rows(conn, outbox, "id", freed)
        _tell_freed(conn)

    def leave(self, conn: Connection, *, owner: str) -> None:
        """The process ends: the others need not wait for its lease to count one fewer."""
        conn.execute(delete(tables.process).where(tables.process.c.owner == owner))
        _tell_freed(conn)


def _tell_freed(conn: Connection) -> None:
    """With the commit; nothing that is paced or hot gives lanes back."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_notify(CHANNEL, FREED)))


def _outbox_row(row: Row[Any], epoch: int) -> OutboxRow:  # Any: a row of the table `outbox`.
    return OutboxRow(
        id=row.id,
        lane=row.lane,
        kind=row.kind,
        group_key=row.group_key,
        payment_id=row.payment_id,
        consumer_id=row.consumer_id,
        body=_decode_body(row.body),
        due_at_ms=row.due_at_ms,
        tries=row.tries,
        created_at_ms=row.created_at_ms,
        epoch=epoch,
        maybe_sent=row.epoch is not None,
    )
