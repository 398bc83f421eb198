"""What a batch reads before it decides: keys, consumers, payments, sent messages — locked, in the house's order.

Each function takes sets and makes at most one or two statements, whatever the batch's size.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, text

from gateway.core.payment import Payment
from gateway.store import bulk, tables
from gateway.store.engine import database_now_ms
from gateway.store.identity import new_id
from gateway.store.queries import payment_from_row
from gateway.store.rows import Consumer, Key, KeyRecord, MessageRow


def keys(conn: Connection, wanted: Collection[Key]) -> dict[Key, KeyRecord]:
    """The stored answers under *wanted*."""
    if not wanted:
        return {}
    rows = bulk.select_in(conn, tables.idempotency, "key", sorted({key.key for key in wanted}))
    found = {
        Key(row.merchant_id, row.mode, row.route, row.key): KeyRecord(
            hash=row.hash, object_id=row.object_id, status=row.status or 0, response=row.response or ""
        )
        for row in rows
    }
    return {key: found[key] for key in wanted if key in found}


def consumers(
    conn: Connection, msisdns: Collection[str], consumer_ids: Collection[str], *, lock: bool = True
) -> list[Consumer]:
    """The consumers of these numbers (made if missing) and of these ids, locked in the order of their numbers."""
    if not msisdns and not consumer_ids:
        return []
    rows = _select_consumers(conn, msisdns, consumer_ids, lock=lock)
    missing = sorted(set(msisdns) - {row.msisdn for row in rows})
    if not missing:
        return [_consumer(row) for row in rows]
    now_ms = database_now_ms(conn)
    bulk.insert_rows(
        conn, tables.consumer, [_new_consumer(msisdn, now_ms) for msisdn in missing], on_conflict_ignore=True
    )
    return [_consumer(row) for row in _select_consumers(conn, msisdns, consumer_ids, lock=lock)]


def _select_consumers(
    conn: Connection, msisdns: Collection[str], consumer_ids: Collection[str], *, lock: bool
) -> list[Row[Any]]:  # Any: a row of the table.
    postgresql = conn.dialect.name == "postgresql"
    parameters = {"msisdns": _json(msisdns), "ids": _json(consumer_ids)}
    statement = _CONSUMERS_POSTGRESQL if postgresql else _CONSUMERS_SQLITE
    if postgresql and lock:
        statement = _CONSUMERS_POSTGRESQL_LOCKED
    return list(conn.execute(statement, parameters))


_COLUMNS = "id, msisdn, language, stopped_at_ms, unclear_at_ms, unclear_count"
_CONSUMERS_SQLITE = text(
    f"SELECT {_COLUMNS} FROM consumer WHERE msisdn IN (SELECT value FROM json_each(:msisdns))"
    " OR id IN (SELECT value FROM json_each(:ids)) ORDER BY msisdn"
)
_POSTGRESQL = (
    f"SELECT {_COLUMNS} FROM consumer"
    " WHERE msisdn = ANY (ARRAY(SELECT json_array_elements_text(CAST(:msisdns AS json))))"
    " OR id = ANY (ARRAY(SELECT json_array_elements_text(CAST(:ids AS json)))) ORDER BY msisdn"
)
_CONSUMERS_POSTGRESQL = text(_POSTGRESQL)
_CONSUMERS_POSTGRESQL_LOCKED = text(_POSTGRESQL + " FOR UPDATE")


def _consumer(row: Row[Any]) -> Consumer:  # Any: a row of the table.
    return Consumer(
        id=row.id,
        msisdn=row.msisdn,
        language=row.language,
        stopped_at_ms=row.stopped_at_ms,
        unclear_at_ms=row.unclear_at_ms,
        unclear_count=row.unclear_count,
    )


def _new_consumer(msisdn: str, now_ms: int) -> dict[str, Any]:  # Any: a row's columns.
    return {
        "id": new_id("csm_"),
        "msisdn": msisdn,
        "generation": 1,
        "language": "",
        "stopped_at_ms": None,
        "unclear_at_ms": None,
        "unclear_count": 0,
        "created_at_ms": now_ms,
    }


def payments(conn: Connection, payment_ids: Collection[str], consumer_ids: Collection[str]) -> list[Payment]:
    """These payments, and what waits for an answer of these consumers; locked in the order of their ids."""
    if not payment_ids and not consumer_ids:
        return []
    statement = _PAYMENTS_POSTGRESQL if conn.dialect.name == "postgresql" else _PAYMENTS_SQLITE
    rows = conn.execute(statement, {"ids": _json(payment_ids), "consumers": _json(consumer_ids)})
    return [payment_from_row(row) for row in rows]


_WAITING = "state IN ('created', 'awaiting_consent')"
_PAYMENTS_SQLITE = text(
    "SELECT * FROM payment WHERE id IN (SELECT value FROM json_each(:ids)"
    " UNION SELECT p.id FROM json_each(:consumers) c JOIN payment p ON p.consumer_id = c.value"
    f" AND p.{_WAITING}) ORDER BY id"
)
_PAYMENTS_POSTGRESQL = text(
    "SELECT * FROM payment WHERE id = ANY (ARRAY("
    " SELECT json_array_elements_text(CAST(:ids AS json))"
    " UNION SELECT id FROM payment WHERE consumer_id = ANY (ARRAY("
    f" SELECT json_array_elements_text(CAST(:consumers AS json)))) AND {_WAITING})) ORDER BY id FOR UPDATE"
)


def references(conn: Connection, wanted: Collection[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """(merchant, mode, reference) → the id of its live payment."""
    if not wanted:
        return {}
    rows = conn.execute(
        text(
            "SELECT merchant_id, mode, reference, id FROM payment"
            " WHERE reference IN :references AND merchant_id IN :merchants AND state NOT IN ('ended', 'reversed')"
        ).bindparams(bindparam("references", expanding=True), bindparam("merchants", expanding=True)),
        {"references": sorted({r for _, _, r in wanted}), "merchants": sorted({m for m, _, _ in wanted})},
    )
    return {(row.merchant_id, row.mode, row.reference): row.id for row in rows}


def messages(conn: Connection, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[MessageRow]]:
    """(carrier, the carrier's message id) → the messages sent under it."""
    if not wanted:
        return {}
    statement = _MESSAGES_POSTGRESQL if conn.dialect.name == "postgresql" else _MESSAGES_SQLITE
    found: dict[tuple[str, str], list[MessageRow]] = {}
    for row in conn.execute(statement, {"ids": _json({message_id for _, message_id in wanted})}):
        known = MessageRow(id=row.id, payment_id=row.payment_id, template=row.template, status=row.status)
        found.setdefault((row.carrier, row.carrier_message_id), []).append(known)
    return found


_MESSAGES = (
    "SELECT part.carrier, part.carrier_message_id, m.id, m.payment_id, m.template, m.status"
    " FROM message_part part JOIN message m ON m.id = part.message_id WHERE part.carrier_message_id "
)
_MESSAGES_SQLITE = text(_MESSAGES + "IN (SELECT value FROM json_each(:ids))")
_MESSAGES_POSTGRESQL = text(_MESSAGES + "= ANY (ARRAY(SELECT json_array_elements_text(CAST(:ids AS json))))")


def _json(values: Collection[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()
