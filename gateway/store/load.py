"""What a batch reads before it decides: keys, consumers, payments, sent messages — locked, in the house's order.

Each function takes sets and makes at most one or two statements, whatever the batch's size.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.core.payment import Payment
from gateway.store import bulk, tables
from gateway.store.engine import database_now_ms
from gateway.store.identity import new_id
from gateway.store.queries import payment_from_row
from gateway.store.rows import Consumer, Key, KeyRecord, MessageRow, Phone


def keys(conn: Connection, wanted: Collection[Key]) -> dict[Key, KeyRecord]:
    """The stored answers under *wanted*."""
    if not wanted:
        return {}
    names = [{"merchant_id": k.merchant_id, "mode": k.mode, "route": k.route, "key": k.key} for k in wanted]
    rows = bulk.select_same(conn, tables.idempotency, names)
    found = {
        Key(row.merchant_id, row.mode, row.route, row.key): KeyRecord(
            hash=row.hash, object_id=row.object_id, status=row.status or 0, response=row.response or ""
        )
        for row in rows
    }
    return {key: found[key] for key in wanted if key in found}


def consumers(
    conn: Connection, phones: Collection[Phone], consumer_ids: Collection[str], *, lock: bool = True
) -> list[Consumer]:
    """The consumers of these phones (made if missing) and of these ids, locked in the order of their numbers.

    A phone's consumer is its present owner; a former one is found by id only.
    """
    if not phones and not consumer_ids:
        return []
    found = _select_consumers(conn, phones, consumer_ids, lock=lock)
    missing = sorted(set(phones) - {consumer.phone for consumer in found if consumer.retired_at_ms is None})
    if not missing:
        return found
    now_ms = database_now_ms(conn)
    bulk.insert_rows(
        conn, tables.consumer, [_new_consumer(phone, now_ms) for phone in missing], on_conflict_ignore=True
    )
    return _select_consumers(conn, phones, consumer_ids, lock=lock)


def _select_consumers(
    conn: Connection, phones: Collection[Phone], consumer_ids: Collection[str], *, lock: bool
) -> list[Consumer]:
    msisdns = {phone.msisdn for phone in phones}
    postgresql = conn.dialect.name == "postgresql"
    statement = _CONSUMERS_POSTGRESQL if postgresql else _CONSUMERS_SQLITE
    locked = " FOR UPDATE" if postgresql and lock else ""
    rows = conn.exec_driver_sql(statement + locked, (_json(msisdns), _json(consumer_ids)))
    found = [Consumer(**row._mapping) for row in rows]
    # By number, both worlds' phones come; there are two at most.
    return [one for one in found if one.phone in phones or one.id in consumer_ids]


_COLUMNS = ", ".join(Consumer.__struct_fields__)
_CONSUMERS_SQLITE = (
    f"SELECT {_COLUMNS} FROM consumer WHERE (msisdn IN (SELECT value FROM json_each(?)) AND retired_at_ms IS NULL)"
    " OR id IN (SELECT value FROM json_each(?)) ORDER BY msisdn, mode, generation"
)
_CONSUMERS_POSTGRESQL = (
    f"SELECT {_COLUMNS} FROM consumer"
    " WHERE (msisdn = ANY (ARRAY(SELECT json_array_elements_text(%s::json))) AND retired_at_ms IS NULL)"
    " OR id = ANY (ARRAY(SELECT json_array_elements_text(%s::json))) ORDER BY msisdn, mode, generation"
)


def _new_consumer(phone: Phone, now_ms: int) -> dict[str, Any]:  # Any: a row's columns.
    new = Consumer(id=new_id("csm_"), msisdn=phone.msisdn, mode=phone.mode, created_at_ms=now_ms)
    return msgspec.structs.asdict(new)


def shop_stops(conn: Connection, consumer_ids: Collection[str]) -> dict[str, set[str]]:
    """Of each of these consumers, the merchants that may not ask it."""
    found: dict[str, set[str]] = {consumer_id: set() for consumer_id in consumer_ids}
    for row in bulk.select_in(conn, tables.consumer_stop, "consumer_id", sorted(consumer_ids)):
        found[row.consumer_id].add(row.merchant_id)
    return found


def payments(conn: Connection, payment_ids: Collection[str], consumer_ids: Collection[str]) -> list[Payment]:
    """These payments, and what waits for an answer of these consumers; locked in the order of their ids."""
    if not payment_ids and not consumer_ids:
        return []
    statement = _PAYMENTS_POSTGRESQL if conn.dialect.name == "postgresql" else _PAYMENTS_SQLITE
    rows = conn.exec_driver_sql(statement, (_json(payment_ids), _json(consumer_ids)))
    return [payment_from_row(row) for row in rows]


def payments_of(conn: Connection, attempt_ids: Collection[str]) -> set[str]:
    """The ids of the payments that these orders are of."""
    return {row.payment_id for row in bulk.select_in(conn, tables.attempt, "id", sorted(attempt_ids))}


_WAITING = "state IN ('created', 'awaiting_consent')"
_PAYMENTS_SQLITE = (
    "SELECT * FROM payment WHERE id IN (SELECT value FROM json_each(?)"
    " UNION SELECT p.id FROM json_each(?) c JOIN payment p ON p.consumer_id = c.value"
    f" AND p.{_WAITING}) ORDER BY id"
)
_PAYMENTS_POSTGRESQL = (
    "SELECT * FROM payment WHERE id = ANY (ARRAY("
    " SELECT json_array_elements_text(%s::json)"
    " UNION SELECT id FROM payment WHERE consumer_id = ANY (ARRAY("
    f" SELECT json_array_elements_text(%s::json))) AND {_WAITING})) ORDER BY id FOR UPDATE"
)


def references(conn: Connection, wanted: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """(merchant, mode, reference) → the id of its live payment."""
    if not wanted:
        return {}
    names = [{"merchant_id": m, "mode": mode, "reference": reference} for m, mode, reference in wanted]
    # In the words of the partial index, so that it is used.
    rows = bulk.select_same(conn, tables.payment, names, where=bulk.LIVE_REFERENCE)
    return {(row.merchant_id, row.mode, row.reference): row.id for row in rows}


def messages(conn: Connection, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[MessageRow]]:
    """(carrier, the carrier's message id) → the messages sent under it."""
    if not wanted:
        return {}
    names = [{"carrier": carrier, "carrier_message_id": message_id} for carrier, message_id in wanted]
    parts = bulk.select_same(conn, tables.message_part, names)
    rows = bulk.select_in(conn, tables.message, "id", sorted({part.message_id for part in parts}))
    sent = {row.id: MessageRow(**{name: row._mapping[name] for name in MessageRow.__struct_fields__}) for row in rows}
    found: dict[tuple[str, str], list[MessageRow]] = {}
    for part in parts:
        found.setdefault((part.carrier, part.carrier_message_id), []).append(sent[part.message_id])
    return found


def is_barred_ask(conn: Connection, message_id: str) -> bool:
    """Whether this ask waits in the outbox only to be found barred: its phone took none when it was written."""
    place = "%s" if conn.dialect.name == "postgresql" else "?"
    row = conn.exec_driver_sql(f"SELECT body FROM outbox WHERE id = {place}", (message_id,)).first()
    return row is not None and bool(msgspec.json.decode(row.body).get("stopped"))


def ask_template(conn: Connection, message_id: str) -> str | None:
    """By which template this ask was, or is to be, written; None: nothing of it is left."""
    message, outbox = tables.message.c, tables.outbox.c
    sent = conn.execute(select(message.template).where(message.id == message_id)).first()
    if sent is not None:
        return str(sent.template)
    row = conn.execute(select(outbox.body).where(outbox.id == message_id)).first()
    return None if row is None else str(msgspec.json.decode(row.body)["template"])


def _json(values: Collection[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()
