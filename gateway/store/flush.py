"""Writes a unit's decisions: one statement a table, in a fixed order, the feed last.

The feed comes last because its rows are the only ones that every batch of a merchant wants: they are locked for the
few statements before the commit, and order of sight is order of `seq`, without a gap.
"""

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Table

from gateway.core.payment import Payment
from gateway.core.public import API_VERSION, rfc3339, without_number
from gateway.store import bulk, tables
from gateway.store.cases import reopen_doubts
from gateway.store.effects import FeedEvent
from gateway.store.outbox import OutboxRow, webhook_row
from gateway.store.queries import payment_row

if TYPE_CHECKING:
    from gateway.store.unit import Unit

_MUTABLE = (
    "id",
    "state",
    "reason",
    "version",
    "updated_at_ms",
    "code_n",
    "deadline_at_ms",
    "charge_not_after_ms",
    "wrong_codes",
    "attempts",
    "attempt_id",
    "operation",
    "cancel_requested",
    "reversed_attempt_id",
    "carrier_reference",
    "ended_at_ms",
    "fulfilled_at_ms",
    "captured_minor",
    "refund_reserved_minor",
    "refunded_minor",
    "disputed_minor",
    "escrow",
    "hold_expires_at_ms",
    "stage",
)

# Written in this order.
_INSERT_ORDER: tuple[Table, ...] = (
    tables.merchant,
    tables.api_key,
    tables.transition,
    tables.attempt,
    tables.attempt_name,
    tables.consent,
    tables.entry,
    tables.leg,
    tables.fulfilment,
    tables.mo,
    tables.order_request,
    tables.report,
    tables.message,
    tables.message_part,
    tables.orphan_receipt,
    tables.webhook_endpoint,
    tables.webhook_attempt,
    tables.carrier_file,
    tables.carrier_match,
    tables.open_break,
    tables.request_log,
    tables.export,
    tables.export_chunk,
    tables.trace,
)


# After a lease was lost, two owners may have done the same row; the first record of it stands, and neither batch fails.
_MAY_BE_TOLD_TWICE = frozenset(
    {
        *(tables.message, tables.message_part, tables.webhook_attempt),
        *(tables.open_break, tables.carrier_match, tables.attempt_name),
    }
)


def write(unit: "Unit") -> None:
    """Write all that *unit* gathered."""
    conn = unit.conn
    # Changed before created: a payment that ends in this batch leaves its reference free for one that begins in it.
    bulk.update_rows(conn, tables.payment, "id", [_mutable(payment) for payment in unit.current(unit.changed)])
    bulk.update_rows(conn, tables.payment, "id", [_noted(payment) for payment in unit.current(unit.annotated)])
    bulk.insert_rows(conn, tables.payment, [payment_row(payment) for payment in unit.created.values()])
    unit.attempts.write_ended()
    _write_keys(unit)
    _write_consumers(unit)
    _write_shop_stops(unit)
    reopen_doubts(conn, unit.inserts.get(tables.open_break, ()))
    for table in _INSERT_ORDER:
        bulk.insert_rows(conn, table, unit.inserts.pop(table, []), on_conflict_ignore=table in _MAY_BE_TOLD_TWICE)
    assert not unit.inserts, f"no place in the order for {[table.name for table in unit.inserts]}"
    unit.attempts.write_names()
    bulk.update_rows(conn, tables.message, "id", [{"id": m, "status": s} for m, s in unit.message_states.items()])
    bills = [{"id": m, "billed_segments": told, "price": price} for m, (told, price) in unit.message_bills.items()]
    bulk.update_rows(conn, tables.message, "id", bills)
    unit.refunds.write()
    unit.disputes.write()
    unit.ussd.write()
    unit.pushes.write()
    unit.catalogue.write()
    unit.counters.write()
    _end_outbox(unit)
    _write_feed(unit)
    bulk.insert_rows(conn, tables.outbox, [_outbox_row(row) for row in unit.outbox.values()])


def _mutable(payment: Payment) -> dict[str, Any]:  # Any: a row's columns.
    row = payment_row(payment)
    return {column: row[column] for column in _MUTABLE}


def _noted(payment: Payment) -> dict[str, Any]:  # Any: a row's columns.
    # Apart from `_MUTABLE`: metadata can be large, and no step of a payment should write them again.
    return {"id": payment.id, "metadata": payment_row(payment)["metadata"]}


def _write_keys(unit: "Unit") -> None:
    rows = [
        {
            "merchant_id": key.merchant_id,
            "mode": key.mode,
            "route": key.route,
            "key": key.key,
            "hash": record.hash,
            "object_id": record.object_id,
            "status": record.status,
            "response": record.response,
            "created_at_ms": unit.now_ms,
        }
        # Sorted: two processes that race for the same keys wait for each other in one order.
        for key, record in sorted(unit.new_keys.items(), key=lambda item: item[0].key)
    ]
    bulk.insert_rows(unit.conn, tables.idempotency, rows)


def _write_consumers(unit: "Unit") -> None:
    rows = [
        {
            "id": consumer.id,
            "language": consumer.language,
            "stopped_at_ms": consumer.stopped_at_ms,
            "unclear_at_ms": consumer.unclear_at_ms,
            "unclear_count": consumer.unclear_count,
            "answers_at_ms": consumer.answers_at_ms,
            "answers_count": consumer.answers_count,
            "answers_minute_count": consumer.answers_minute_count,
            "wrong_at_ms": consumer.wrong_at_ms,
            "wrong_count": consumer.wrong_count,
            "locked_until_ms": consumer.locked_until_ms,
            "more": consumer.more,
            "limit_minor": consumer.limit_minor,
            "limit_currency": consumer.limit_currency,
            "limit_next_minor": consumer.limit_next_minor,
            "limit_next_at_ms": consumer.limit_next_at_ms,
            "ordered_at_ms": consumer.ordered_at_ms,
            "retired_at_ms": consumer.retired_at_ms,
        }
        for consumer in unit.touched_consumers()
    ]
    # Changed before new: a number has one owner at a time.
    bulk.update_rows(unit.conn, tables.consumer, "id", rows)
    bulk.insert_rows(unit.conn, tables.consumer, [msgspec.structs.asdict(one) for one in unit.successors.values()])


def _write_shop_stops(unit: "Unit") -> None:
    put, lifted = unit.changed_shop_stops()
    rows = [{"consumer_id": consumer, "merchant_id": merchant, "at_ms": unit.now_ms} for consumer, merchant in put]
    gone = [{"consumer_id": consumer, "merchant_id": merchant} for consumer, merchant in lifted]
    bulk.delete_same(unit.conn, tables.consumer_stop, gone)
    bulk.insert_rows(unit.conn, tables.consumer_stop, rows)


def _end_outbox(unit: "Unit") -> None:
    """Before the feed is locked: whoever claims rows locks them first and the feed afterwards, too."""
    bulk.delete_rows(unit.conn, tables.outbox, "id", list(unit.completed))
    requeued = [
        {"id": row.id, "due_at_ms": row.due_at_ms, "tries": row.tries, "epoch": None}
        for row in unit.requeued.values()
        if row.id not in unit.completed
    ]
    bulk.update_rows(unit.conn, tables.outbox, "id", requeued)


def _outbox_row(row: OutboxRow) -> dict[str, Any]:  # Any: a row's columns.
    return {
        "id": row.id,
        "lane": row.lane,
        "kind": row.kind,
        "group_key": row.group_key,
        "payment_id": row.payment_id,
        "consumer_id": row.consumer_id,
        "body": msgspec.json.encode(row.body).decode(),
        "due_at_ms": row.due_at_ms,
        "tries": row.tries,
        "epoch": row.epoch,
        "created_at_ms": row.created_at_ms,
    }


def _write_feed(unit: "Unit") -> None:
    events = unit.effects.events
    if not events:
        return
    endpoints = _endpoints(unit, {event.merchant_id for event in events})
    last = _reserve(unit, events)
    rows = []
    for event in events:
        feed_key = (event.merchant_id, event.mode)
        last[feed_key] += 1
        body = event_body(event, last[feed_key], unit.now_ms)
        rows.append(
            {
                "merchant_id": event.merchant_id,
                "mode": event.mode,
                "seq": last[feed_key],
                "id": event.id,
                "type": event.type,
                "payment_id": event.payment_id,
                "consumer_id": event.consumer_id,
                "body": _as_stored(unit, event, body),
                "created_at_ms": unit.now_ms,
            }
        )
        for endpoint in endpoints.get(feed_key, ()):
            if not endpoint.types or event.type in endpoint.types:
                unit.queue(
                    webhook_row(
                        unit.policy.lanes,
                        event_id=event.id,
                        payment_id=event.payment_id,
                        endpoint_id=endpoint.id,
                        now_ms=unit.now_ms,
                        payload=body,
                    )
                )
    bulk.insert_rows(unit.conn, tables.event, rows)


def _as_stored(unit: "Unit", event: FeedEvent, body: bytes) -> str:
    if event.consumer_id is None:
        return body.decode()
    return without_number(body.decode(), unit.consumer_by_id(event.consumer_id).msisdn)


def _reserve(unit: "Unit", events: list[FeedEvent]) -> dict[tuple[str, str], int]:
    """Lock the feeds in merchant order and take the numbers that *events* need; return the last one before them."""
    count: dict[tuple[str, str], int] = {}
    for event in events:
        feed_key = (event.merchant_id, event.mode)
        count[feed_key] = count.get(feed_key, 0) + 1
    merchants = sorted({merchant_id for merchant_id, _ in count})
    held = bulk.select_in(unit.conn, tables.feed, "merchant_id", merchants, lock=True, order_by="merchant_id, mode")
    last = {(row.merchant_id, row.mode): row.last_seq for row in held}
    rows = [
        {"merchant_id": merchant_id, "mode": mode, "last_seq": last.get((merchant_id, mode), 0) + n}
        for (merchant_id, mode), n in sorted(count.items())
    ]
    known = [row for row in rows if (row["merchant_id"], row["mode"]) in last]
    new = [row for row in rows if (row["merchant_id"], row["mode"]) not in last]
    bulk.update_rows(unit.conn, tables.feed, ("merchant_id", "mode"), known)
    bulk.insert_rows(unit.conn, tables.feed, new)
    return {feed_key: last.get(feed_key, 0) for feed_key in count}


def event_body(event: FeedEvent, seq: int, now_ms: int) -> bytes:
    """The event's JSON: the same bytes in the feed and in every try of every webhook."""
    return msgspec.json.encode(
        {
            "id": event.id,
            "object": "event",
            "api_version": API_VERSION,
            "seq": seq,
            "type": event.type,
            "created_at": rfc3339(now_ms),
            "mode": event.mode,
            "data": event.data,
        }
    )


class _Endpoint(msgspec.Struct, frozen=True):
    id: str
    types: frozenset[str]


def _endpoints(unit: "Unit", merchants: set[str]) -> dict[tuple[str, str], list[_Endpoint]]:
    found: dict[tuple[str, str], list[_Endpoint]] = {}
    for row in bulk.select_in(unit.conn, tables.webhook_endpoint, "merchant_id", sorted(merchants)):
        if row.disabled_at_ms is None:
            types = frozenset(msgspec.json.decode(row.types, type=list[str]))
            found.setdefault((row.merchant_id, row.mode), []).append(_Endpoint(row.id, types))
    return found
