"""Reads of the request log: pages of a merchant's requests, newest first, and one of them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, select

from gateway.store import tables
from gateway.store.merchant_reads import Owner

# A filter that nothing matches would read seven days of requests otherwise.
LOOKED_THROUGH_MAX: Final = 10_000

_LOG = tables.request_log.c
_WITHOUT_BODIES = [column for column in tables.request_log.c if not column.name.endswith("_body")]


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests are wanted; None: all."""

    key_id: str | None = None
    statuses: tuple[int, int] | None = None
    """From the first to the last one, both included."""
    route: str | None = None


class Found(msgspec.Struct, frozen=True):
    """Rows without bodies, and the id to go on before; None: there are no older ones."""

    rows: Sequence[Row[Any]]  # Any: the columns of `_WITHOUT_BODIES`.
    next_before_id: str | None


def requests(
    conn: Connection, owner: Owner, wanted: RequestFilter, *, limit: int, before_id: str | None = None
) -> Found:
    """The owner's requests, newest first: at most *limit*, and those among `LOOKED_THROUGH_MAX` at most."""
    mine = [_LOG.merchant_id == owner.merchant_id, _LOG.mode == owner.mode]
    if before_id is not None:
        mine.append(_LOG.id < before_id)
    last_id = conn.execute(
        select(_LOG.id).where(*mine).order_by(_LOG.id.desc()).offset(LOOKED_THROUGH_MAX - 1).limit(1)
    ).scalar()
    statement = select(*_WITHOUT_BODIES).where(*mine, *_wanted(wanted)).order_by(_LOG.id.desc()).limit(limit + 1)
    if last_id is not None:
        statement = statement.where(_LOG.id >= last_id)
    rows = conn.execute(statement).all()
    return Found(rows[:limit], rows[limit - 1].id if len(rows) > limit else last_id)


def _wanted(wanted: RequestFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.key_id is not None:
        conditions.append(_LOG.key_id == wanted.key_id)
    if wanted.statuses is not None:
        conditions.append(_LOG.status.between(*wanted.statuses))
    if wanted.route is not None:
        conditions.append(_LOG.route == wanted.route)
    return conditions


def request(conn: Connection, owner: Owner, request_id: str) -> Row[Any] | None:  # Any: a row of the table.
    """The request with its bodies, if it is the owner's."""
    statement = select(tables.request_log).where(
        _LOG.id == request_id, _LOG.merchant_id == owner.merchant_id, _LOG.mode == owner.mode
    )
    return conn.execute(statement).first()


def forget_requests(conn: Connection, before_ms: int, count_max: int) -> None:
    """Delete the oldest *count_max* of those that came before that time."""
    # An id begins with its time: `req_` and a UUIDv7 in hexadecimal digits.
    old = select(_LOG.id).where(_LOG.id < f"req_{before_ms:012x}").order_by(_LOG.id).limit(count_max)
    conn.execute(delete(tables.request_log).where(_LOG.id.in_(old.scalar_subquery())))
