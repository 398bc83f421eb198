"""What the merchants' API reads and writes outside of payments' batches: lists, records, events.

Every look-up by id takes the merchant and the mode with it, so that nobody sees another's things. All reads are as of
the last commit and lock nothing.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, insert, select

from gateway.core.payment import EventType, Payment
from gateway.core.public import with_number
from gateway.store import tables
from gateway.store.queries import payment_from_row

Rows = Sequence[Row[Any]]  # Any: rows of the table that the function names.


class Owner(msgspec.Struct, frozen=True):
    """Whose things are looked at: a merchant in one mode."""

    merchant_id: str
    mode: str


def shops(conn: Connection) -> list[str]:
    """What phones are shown of every merchant."""
    return list(conn.execute(select(tables.merchant.c.shop)).scalars())


def keyword_is_taken(conn: Connection, keyword: str) -> bool:
    return conn.execute(select(tables.merchant.c.id).where(tables.merchant.c.keyword == keyword)).first() is not None


def insert_merchant(conn: Connection, merchant: dict[str, Any], keys: Sequence[dict[str, Any]]) -> None:
    """A merchant and its first keys, as rows."""
    conn.execute(insert(tables.merchant), [merchant])
    conn.execute(insert(tables.api_key), list(keys))


class Shown(msgspec.Struct, frozen=True):
    """A payment and the number of its phone."""

    payment: Payment
    msisdn: str


SHOWN = select(tables.payment, tables.consumer.c.msisdn).join(
    tables.consumer, tables.consumer.c.id == tables.payment.c.consumer_id
)


def owned(owner: Owner) -> Any:  # Any: SQLAlchemy's clause types say nothing more.
    """The clause that lets nobody see another's payments."""
    return and_(tables.payment.c.merchant_id == owner.merchant_id, tables.payment.c.mode == owner.mode)


def owned_among(table: Table, owner: Owner) -> ColumnElement[bool]:
    """The same for the few rows that another column's index finds.

    Two columns that are equal look like a better index than one, and all that the merchant has would be read. Of what
    a function gives there is no index.
    """
    column = table.c
    return and_(
        func.coalesce(column.merchant_id, "") == owner.merchant_id, func.coalesce(column.mode, "") == owner.mode
    )


def payment(conn: Connection, owner: Owner, payment_id: str) -> Shown | None:
    """The payment, if it is the owner's."""
    row = conn.execute(SHOWN.where(owned(owner), tables.payment.c.id == payment_id)).first()
    return None if row is None else Shown(payment_from_row(row), row.msisdn)


def owner_of(conn: Connection, payment_id: str) -> Owner | None:
    """Whose payment it is; for operators, who see every merchant's."""
    column = tables.payment.c
    row = conn.execute(select(column.merchant_id, column.mode).where(column.id == payment_id)).first()
    return None if row is None else Owner(row.merchant_id, row.mode)


def traces(conn: Connection, payment_id: str) -> Rows:
    """What was exchanged with carriers about the payment, oldest first; for operators."""
    return _about(conn, tables.trace, "at_ms", payment_id)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """All rows about one payment, each list oldest first."""

    payment: Payment
    order: Row[Any] | None
    transitions: Rows
    messages: Rows
    pushes: Rows
    replies: Rows
    consents: Rows
    attempts: Rows
    entries: Rows
    events: Rows
    deliveries: Rows
    waiting: Rows
    """Webhooks that are still to be delivered, rows of the outbox."""
    fulfilment: Row[Any] | None


# A shop asks for the money soon after the order; an older one is another purchase.
_ORDER_BELONGS_MS = 3_600_000
_ROWS_MAX = 500


def record(conn: Connection, owner: Owner, payment_id: str) -> Record | None:
    """Everything about the payment, if it is the owner's."""
    shown = payment(conn, owner, payment_id)
    if shown is None:
        return None
    found = shown.payment
    return Record(
        payment=found,
        order=_order(conn, found),
        transitions=_about(conn, tables.transition, "version", payment_id),
        messages=_about(conn, tables.message, "at_ms", payment_id),
        pushes=_about(conn, tables.push, "began_at_ms", payment_id),
        replies=_replies(conn, found),
        consents=_about(conn, tables.consent, "at_ms", payment_id),
        attempts=_about(conn, tables.attempt, "created_at_ms", payment_id),
        entries=_about(conn, tables.entry, "at_ms", payment_id),
        events=_about(conn, tables.event, "seq", payment_id),
        deliveries=_deliveries(conn, payment_id),
        waiting=_waiting(conn, payment_id),
        fulfilment=conn.execute(select(tables.fulfilment).where(tables.fulfilment.c.payment_id == payment_id)).first(),
    )


def _about(conn: Connection, table: Any, order_by: str, payment_id: str) -> Rows:  # Any: a Table.
    statement = select(table).where(table.c.payment_id == payment_id).order_by(table.c[order_by]).limit(_ROWS_MAX)
    return conn.execute(statement).all()


def _order(conn: Connection, found: Payment) -> Row[Any] | None:
    order = tables.order_request.c
    statement = (
        select(tables.order_request)
        .where(
            order.consumer_id == found.consumer_id,
            order.merchant_id == found.merchant_id,
            order.mode == found.mode,
            order.amount_minor == found.amount.amount_minor,
            order.currency == found.amount.currency,
            order.at_ms.between(found.created_at_ms - _ORDER_BELONGS_MS, found.created_at_ms),
        )
        .order_by(order.at_ms.desc())
        .limit(1)
    )
    return conn.execute(statement).first()


def _replies(conn: Connection, found: Payment) -> Rows:
    # By the phone's index: there is none by payment, and a phone does not text that much.
    mo = tables.mo.c
    statement = (
        select(tables.mo)
        .where(mo.consumer_id == found.consumer_id, mo.at_ms >= found.created_at_ms, mo.payment_id == found.id)
        .order_by(mo.at_ms)
        .limit(_ROWS_MAX)
    )
    return conn.execute(statement).all()


def _deliveries(conn: Connection, payment_id: str) -> Rows:
    delivery, event = tables.webhook_attempt, tables.event
    statement = (
        select(delivery, event.c.type)
        .join(event, event.c.id == delivery.c.event_id)
        .where(event.c.payment_id == payment_id)
        # The newest, should there be more: what became of an event in the end says most.
        .order_by(delivery.c.at_ms.desc(), delivery.c.tries.desc())
        .limit(_ROWS_MAX)
    )
    return conn.execute(statement).all()[::-1]


def _waiting(conn: Connection, payment_id: str) -> Rows:
    outbox = tables.outbox.c
    statement = (
        select(tables.outbox)
        .where(outbox.payment_id == payment_id, outbox.kind == "webhook")
        .order_by(outbox.created_at_ms)
        .limit(_ROWS_MAX)
    )
    return conn.execute(statement).all()


class FeedRow(msgspec.Struct, frozen=True):
    """One event: its place and its JSON."""

    seq: int
    body: str


def events(conn: Connection, owner: Owner, *, after_seq: int, limit: int) -> list[FeedRow]:
    """The owner's events behind *after_seq*, oldest first."""
    event = tables.event.c
    statement = (
        with_numbers(event.seq)
        .where(event.merchant_id == owner.merchant_id, event.mode == owner.mode, event.seq > after_seq)
        .order_by(event.seq)
        .limit(limit)
    )
    return [FeedRow(row.seq, body_of(row)) for row in conn.execute(statement)]


# How much of the feed one request looks through for what it wants.
EVENTS_LOOKED_AT_MAX = 10_000


class FeedPage(msgspec.Struct, frozen=True):
    """Some events, and up to where the feed was looked through for them."""

    rows: list[FeedRow]
    looked_to_seq: int
    has_more: bool


def chosen_events(
    conn: Connection,
    owner: Owner,
    *,
    after_seq: int,
    limit: int,
    kind: EventType | None = None,
    payment_id: str | None = None,
) -> FeedPage:
    """At most *limit* events behind *after_seq* of a kind or a payment, oldest first."""
    event = tables.event.c
    newest_seq = last_seq(conn, owner)
    statement = with_numbers(event.seq)
    if payment_id is not None:
        end_seq = newest_seq
        statement = statement.where(event.payment_id == payment_id, owned_among(tables.event, owner))
    else:
        end_seq = min(newest_seq, after_seq + EVENTS_LOOKED_AT_MAX)
        statement = statement.where(event.merchant_id == owner.merchant_id, event.mode == owner.mode)
    if kind is not None:
        statement = statement.where(event.type == kind)
    ordered = statement.where(event.seq > after_seq, event.seq <= end_seq).order_by(event.seq).limit(limit + 1)
    rows = [FeedRow(row.seq, body_of(row)) for row in conn.execute(ordered)]
    if len(rows) > limit:
        return FeedPage(rows[:limit], rows[limit - 1].seq, True)
    return FeedPage(rows, max(after_seq, end_seq), end_seq < newest_seq)


def last_seq(conn: Connection, owner: Owner) -> int:
    """The newest event's number; 0 before the first. Every event up to it is in sight."""
    feed = tables.feed.c
    statement = select(feed.last_seq).where(feed.merchant_id == owner.merchant_id, feed.mode == owner.mode)
    return conn.execute(statement).scalar_one_or_none() or 0


def event_body(conn: Connection, event_id: str) -> str | None:
    """An event's JSON by its id; for those who deliver it, not for merchants."""
    row = conn.execute(with_numbers().where(tables.event.c.id == event_id)).first()
    return None if row is None else body_of(row)


def with_numbers(*columns: ColumnElement[Any]) -> Select[Any]:  # Any: whatever is asked for besides.
    """Events with what `body_of` needs."""
    event, consumer = tables.event, tables.consumer
    joined = event.outerjoin(consumer, consumer.c.id == event.c.consumer_id)
    return select(*columns, event.c.body, consumer.c.msisdn).select_from(joined)


def body_of(row: Row[Any]) -> str:  # Any: a row of `with_numbers`.
    """The event's JSON, the number in its place."""
    body: str = row.body
    return body if row.msisdn is None else with_number(body, row.msisdn)
