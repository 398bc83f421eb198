"""What webhooks need of the database outside of payments' batches: endpoints, the log of tries, events to send again.

Whatever a merchant names by id is looked up with its owner. The log is read by an index that begins with endpoint and
status, so that a page costs the same whichever tries are asked for and however many there are.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    delete,
    func,
    select,
    tuple_,
    union_all,
    update,
)

from gateway.store import tables
from gateway.store.merchant_reads import Owner, Rows, body_of, with_numbers
from gateway.store.outbox import AttemptStatus, replay_key, webhook_id

STATUSES: Final[tuple[str, ...]] = get_args(AttemptStatus)
EVENT_ATTEMPTS_MAX: Final = 1_000
"""Of one event, at all endpoints: more are not looked through."""

_endpoint = tables.webhook_endpoint.c
_attempt = tables.webhook_attempt.c


def _owned(owner: Owner) -> ColumnElement[bool]:
    return and_(_endpoint.merchant_id == owner.merchant_id, _endpoint.mode == owner.mode)


def endpoints(conn: Connection, owner: Owner) -> Rows:
    """The owner's endpoints, oldest first."""
    statement = select(tables.webhook_endpoint).where(_owned(owner)).order_by(_endpoint.id)
    return conn.execute(statement).all()


def count_endpoints(conn: Connection, owner: Owner) -> int:
    return conn.execute(select(func.count()).select_from(tables.webhook_endpoint).where(_owned(owner))).scalar_one()


def endpoint(conn: Connection, endpoint_id: str) -> Row[Any] | None:  # Any: a row of `webhook_endpoint`.
    """An endpoint by its id; for those who deliver to it."""
    return conn.execute(select(tables.webhook_endpoint).where(_endpoint.id == endpoint_id)).first()


def owned_endpoint(
    conn: Connection, owner: Owner, endpoint_id: str, *, lock: bool = False
) -> Row[Any] | None:  # Any: a row of `webhook_endpoint`.
    """An endpoint by its id, if it is the owner's."""
    statement = select(tables.webhook_endpoint).where(_owned(owner), _endpoint.id == endpoint_id)
    return conn.execute(statement.with_for_update() if lock else statement).first()


def change_endpoint(conn: Connection, endpoint_id: str, values: Mapping[str, Any]) -> None:  # Any: a row's columns.
    """Set columns of an endpoint that was locked."""
    if values:
        conn.execute(update(tables.webhook_endpoint).where(_endpoint.id == endpoint_id).values(**values))


def delete_endpoint(conn: Connection, owner: Owner, endpoint_id: str) -> bool:
    """True if there was one and it was the owner's."""
    statement = delete(tables.webhook_endpoint).where(_owned(owner), _endpoint.id == endpoint_id)
    return conn.execute(statement).rowcount == 1


def disable_endpoint(conn: Connection, endpoint_id: str, at_ms: int) -> None:
    """Send it nothing more; the first time counts."""
    statement = (
        update(tables.webhook_endpoint)
        .where(_endpoint.id == endpoint_id, _endpoint.disabled_at_ms.is_(None))
        .values(disabled_at_ms=at_ms)
    )
    conn.execute(statement)


def attempt_at_ms(conn: Connection, endpoint_id: str, attempt_id: str) -> int | None:
    """When a try was recorded, if it is in the log of this endpoint."""
    statement = select(_attempt.at_ms).where(_attempt.id == attempt_id, _attempt.endpoint_id == endpoint_id)
    return conn.execute(statement).scalar_one_or_none()


def attempts(
    conn: Connection,
    endpoint_id: str,
    *,
    limit: int,
    before: tuple[int, str] | None = None,
    status: AttemptStatus | None = None,
    event_id: str | None = None,
) -> Rows:
    """The endpoint's tries, newest first, at most *limit*; *before* is time and id of the last one that was shown."""
    if event_id is not None:
        # Limited, so that the planner takes them by their event: they are few, the endpoint's are many.
        of_event = _newest(tables.webhook_attempt, [_attempt.event_id == event_id], EVENT_ATTEMPTS_MAX).subquery()
        return conn.execute(_newest(of_event, _wanted(of_event, endpoint_id, status, before), limit)).all()
    # One look into the index for each status, each no longer than the page.
    log = tables.webhook_attempt
    each = [
        select(_newest(log, _wanted(log, endpoint_id, one, before), limit).subquery())
        for one in ([status] if status is not None else STATUSES)
    ]
    return conn.execute(_newest(union_all(*each).subquery(), [], limit)).all()


def _wanted(
    log: FromClause, endpoint_id: str, status: str | None, before: tuple[int, str] | None
) -> list[ColumnElement[bool]]:
    wanted = [log.c.endpoint_id == endpoint_id]
    if status is not None:
        wanted.append(log.c.status == status)
    if before is not None:
        wanted.append(tuple_(log.c.at_ms, log.c.id) < tuple_(*before))
    return wanted


def _newest(
    log: FromClause, wanted: Sequence[ColumnElement[bool]], limit: int
) -> Select[Any]:  # Any: the columns of the log.
    return select(log).where(*wanted).order_by(log.c.at_ms.desc(), log.c.id.desc()).limit(limit)


class Place(msgspec.Struct, frozen=True):
    """Where an event stands in its feed."""

    seq: int
    type: str


_event = tables.event.c


def _in_feed(owner: Owner, after_seq: int, through_seq: int, types: Collection[str] | None) -> ColumnElement[bool]:
    inside = and_(
        _event.merchant_id == owner.merchant_id,
        _event.mode == owner.mode,
        _event.seq > after_seq,
        _event.seq <= through_seq,
    )
    return inside if types is None else and_(inside, _event.type.in_(sorted(types)))


def place(conn: Connection, owner: Owner, event_id: str) -> Place | None:
    """The event's place, if it is the owner's."""
    statement = select(_event.seq, _event.type).where(
        _event.id == event_id, _event.merchant_id == owner.merchant_id, _event.mode == owner.mode
    )
    row = conn.execute(statement).first()
    return None if row is None else Place(row.seq, row.type)


def count_events(
    conn: Connection, owner: Owner, *, after_seq: int, through_seq: int, types: Collection[str] | None
) -> int:
    """How many events of *types* (None: of all) stand in that part of the feed."""
    statement = select(func.count()).select_from(tables.event).where(_in_feed(owner, after_seq, through_seq, types))
    return conn.execute(statement).scalar_one()


def count_replays(conn: Connection, endpoint_id: str, *, limit: int) -> int:
    """How many replays to this endpoint are under way, counted up to *limit*."""
    outbox = tables.outbox.c
    # Their ids begin with `rpl_`: a look at the few replays that there are, not at the whole outbox.
    found = select(outbox.id).where(
        outbox.id >= "rpl", outbox.id < "rpm", outbox.kind == "replay", outbox.group_key == replay_key(endpoint_id)
    )
    return conn.execute(select(func.count()).select_from(found.limit(limit).subquery())).scalar_one()


class OldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is to be sent again."""

    seq: int
    id: str
    payment_id: str | None
    body: bytes
    is_on_its_way: bool
    """Its own delivery to this endpoint has not ended."""


def old_events(
    conn: Connection,
    owner: Owner,
    endpoint_id: str,
    *,
    after_seq: int,
    through_seq: int,
    types: Sequence[str] | None,
    limit: int,
) -> list[OldEvent]:
    """The next events of a replay, oldest first."""
    statement = (
        with_numbers(_event.seq, _event.id, _event.payment_id)
        .where(_in_feed(owner, after_seq, through_seq, types))
        .order_by(_event.seq)
        .limit(limit)
    )
    rows = conn.execute(statement).all()
    names = [webhook_id(row.id, endpoint_id) for row in rows]
    waiting = set(conn.execute(select(tables.outbox.c.id).where(tables.outbox.c.id.in_(names))).scalars())
    return [
        OldEvent(
            seq=row.seq,
            id=row.id,
            payment_id=row.payment_id,
            body=body_of(row).encode(),
            is_on_its_way=name in waiting,
        )
        for row, name in zip(rows, names, strict=True)
    ]
