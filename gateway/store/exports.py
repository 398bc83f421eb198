"""Exports and their chunks: what merchants see of them, and how far the lane that writes them has come.

A chunk is written together with the place that it reached, so an export goes on where it ended, whoever writes it.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, func, insert, select, update

from gateway.core.payment import PublicState
from gateway.store import tables
from gateway.store.merchant_reads import Owner, Rows, last_seq

OPEN = ("pending", "running")
# Events' times are the batch's, one process's after another's: they may go back by less than this.
TIMES_GO_BACK_MS = 120_000


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds, as it is stored with it."""

    created_from_ms: int
    created_before_ms: int
    status: PublicState | None = None


class ExportRow(msgspec.Struct, frozen=True, kw_only=True):
    """An export as it is stored; `query` is an `ExportQuery` in JSON."""

    id: str
    merchant_id: str
    mode: str
    kind: str
    query: str
    status: str
    row_count: int
    reached: str
    detail: str
    created_at_ms: int
    ended_at_ms: int | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export has come."""

    id: str
    owner: Owner
    kind: str
    query: ExportQuery
    chunks: int
    rows: int
    reached: str


_decode_query = msgspec.json.Decoder(ExportQuery).decode


def query_of(row: ExportRow) -> ExportQuery:
    return _decode_query(row.query)


def _row(row: Row[Any]) -> ExportRow:  # Any: a row of `export`.
    return ExportRow(**row._mapping)


def _of(owner: Owner) -> Select[Any]:  # Any: all columns of `export`.
    column = tables.export.c
    return select(tables.export).where(
        column.merchant_id == owner.merchant_id, column.mode == owner.mode, column.status != "deleted"
    )


def export(conn: Connection, owner: Owner, export_id: str) -> ExportRow | None:
    """The export, if it is the owner's."""
    row = conn.execute(_of(owner).where(tables.export.c.id == export_id)).first()
    return None if row is None else _row(row)


def exports(conn: Connection, owner: Owner, *, limit: int, older_than: str | None) -> list[ExportRow]:
    """The owner's exports, newest first."""
    statement = _of(owner).order_by(tables.export.c.id.desc()).limit(limit)
    if older_than is not None:
        statement = statement.where(tables.export.c.id < older_than)
    return [_row(row) for row in conn.execute(statement)]


def count_exports(conn: Connection, owner: Owner) -> int:
    return conn.execute(select(func.count()).select_from(_of(owner).subquery())).scalar_one()


def delete_export(conn: Connection, owner: Owner, export_id: str) -> bool:
    """True if there was one and it was the owner's. Its chunks are taken away later, a few at a time."""
    column = tables.export.c
    mine = (column.id == export_id) & (column.merchant_id == owner.merchant_id) & (column.mode == owner.mode)
    statement = update(tables.export).where(mine, column.status != "deleted").values(status="deleted")
    return conn.execute(statement).rowcount == 1


def chunk(conn: Connection, export_id: str, n: int) -> str | None:
    """The n-th chunk, from 0 on."""
    column = tables.export_chunk.c
    statement = select(column.body).where(column.export_id == export_id, column.n == n)
    return conn.execute(statement).scalar_one_or_none()


def count_chunks(conn: Connection, export_id: str) -> int:
    column = tables.export_chunk.c
    last = conn.execute(select(func.max(column.n)).where(column.export_id == export_id)).scalar_one()
    return 0 if last is None else last + 1


def progress(conn: Connection, export_id: str, *, lock: bool = False) -> Progress | None:
    """How far it has come; None if nothing is left to be written."""
    statement = select(tables.export).where(tables.export.c.id == export_id)
    found = conn.execute(statement.with_for_update() if lock else statement).first()
    if found is None or found.status not in OPEN:
        return None
    row = _row(found)
    return Progress(
        id=row.id,
        owner=Owner(row.merchant_id, row.mode),
        kind=row.kind,
        query=query_of(row),
        chunks=count_chunks(conn, export_id),
        rows=row.row_count,
        reached=row.reached,
    )


def add_chunk(conn: Connection, export_id: str, n: int, body: str) -> None:
    conn.execute(insert(tables.export_chunk).values(export_id=export_id, n=n, body=body))


def set_progress(conn: Connection, export_id: str, **columns: Any) -> None:  # Any: the columns of `export`.
    conn.execute(update(tables.export).where(tables.export.c.id == export_id).values(**columns))


def events_onward(conn: Connection, owner: Owner, query: ExportQuery, *, after_seq: int, limit: int) -> Rows:
    """At most *limit* events of the query's time behind *after_seq*, oldest first, without numbers."""
    event = tables.event.c
    first_seq = _first_seq_at(conn, owner, query.created_from_ms - TIMES_GO_BACK_MS)
    end_seq = _first_seq_at(conn, owner, query.created_before_ms + TIMES_GO_BACK_MS)
    statement = (
        select(tables.event)
        .where(event.merchant_id == owner.merchant_id, event.mode == owner.mode)
        .where(event.seq > max(after_seq, first_seq - 1), event.seq < end_seq)
        .where(event.created_at_ms >= query.created_from_ms, event.created_at_ms < query.created_before_ms)
        .order_by(event.seq)
        .limit(limit)
    )
    return conn.execute(statement).all()


def _first_seq_at(conn: Connection, owner: Owner, at_ms: int) -> int:
    """About the first event at *at_ms* or later, found by halving: the feed has no gaps."""
    event = tables.event.c
    low, high = 1, last_seq(conn, owner) + 1
    mine = select(event.created_at_ms).where(event.merchant_id == owner.merchant_id, event.mode == owner.mode)
    while low < high:
        middle = (low + high) // 2
        if conn.execute(mine.where(event.seq == middle)).scalar_one() < at_ms:
            low = middle + 1
        else:
            high = middle
    return low
