"""Pauses of asks, a row each in `ask_pause`: where pumping is looked for, what is paused, and when it is forgotten.

Who pumps lets a gateway send texts to a range of numbers for a share of what they cost. It shows: many asks from one
shop, or to neighbouring numbers, and next to nobody answers.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, delete

from gateway.core.caps import DAY_MS, HOUR_MS, block_of
from gateway.store import bulk, tables
from gateway.store.phone_records import first_payment_id

# So young an ask may still be answered; it proves nothing.
YOUNG_MS: Final = 120_000
# Of more than these in an hour the newest are looked at: nobody pumps a few texts among so many.
LOOKED_AT_MAX: Final = 20_000


def merchant_subject(merchant_id: str, mode: str) -> str:
    return f"merchant:{merchant_id}{_world(mode)}"


def block_subject(msisdn: str, mode: str) -> str:
    """Of the thousand numbers that differ from *msisdn* in the last three digits only."""
    return f"block:{block_of(msisdn)}{_world(mode)}"


def _world(mode: str) -> str:
    """Simulated phones say nothing about real ones."""
    return "" if mode == "live" else f":{mode}"


class Asks(NamedTuple):
    """What an hour of asks about one subject came to. Merchants' and blocks' subjects are those of `ask_pause`."""

    subject: str
    carrier: str
    asked: int
    answered: int


def silent_asks(conn: Connection, carriers: Sequence[str], now_ms: int) -> list[Asks]:
    """By subject and carrier, the last hour's asks that had time to be answered; not those before its last pause."""
    since_ms = now_ms - HOUR_MS
    values = (
        msgspec.json.encode(list(carriers)).decode(),
        *(first_payment_id(since_ms), since_ms, now_ms - YOUNG_MS, LOOKED_AT_MAX),
    )
    return [Asks(*row) for row in conn.exec_driver_sql(_SILENT[conn.dialect.name], values)]


def begin(conn: Connection, found: Sequence[tuple[Asks, str, int]], now_ms: int) -> None:
    """Pause each subject, for the reason given, until the time given."""
    bulk.delete_rows(conn, tables.ask_pause, "subject", [asks.subject for asks, _, _ in found])
    rows = [
        {"subject": asks.subject, "detail": detail, "at_ms": now_ms, "until_ms": until_ms}
        for asks, detail, until_ms in found
    ]
    bulk.insert_rows(conn, tables.ask_pause, rows)


def forget(conn: Connection, now_ms: int) -> None:
    """Delete pauses that were over long ago: until then they tell which asks were looked at before."""
    pause = tables.ask_pause.c
    conn.execute(delete(tables.ask_pause).where((pause.until_ms < now_ms) & (pause.at_ms < now_ms - DAY_MS)))


# Answered in any way: confirmed, be it the first of two times, refused, stopped or mistyped. What was not sent to the
# phone is no ask.
_SQL: Final = (
    "WITH recent AS (SELECT p.merchant_id, p.carrier, p.created_at_ms, c.msisdn,"
    " CASE WHEN p.mode = 'live' THEN '' ELSE ':' || p.mode END AS world,"
    " CASE WHEN p.attempt_id IS NOT NULL OR p.stage IS NOT NULL OR p.wrong_codes > 0"
    " OR p.reason IN ('refused', 'wrong_code') THEN 1 ELSE 0 END AS answered"
    " FROM (SELECT * FROM payment WHERE carrier @carriers AND id >= @ AND created_at_ms >= @ AND created_at_ms < @"
    " AND (attempt_id IS NOT NULL OR reason IS NULL OR reason NOT IN ('unavailable', 'limit_exceeded'))"
    " AND state <> 'created' ORDER BY id DESC LIMIT @) AS p JOIN consumer c ON c.id = p.consumer_id),"
    " subjects AS (SELECT 'merchant:' || merchant_id || world AS subject, carrier, created_at_ms, answered FROM recent"
    " UNION ALL SELECT 'block:' || substr(msisdn, 1, length(msisdn) - 3) || world, carrier, created_at_ms, answered"
    " FROM recent)"
    " SELECT s.subject, s.carrier, count(*) AS asked, sum(s.answered) AS answered FROM subjects s"
    " LEFT JOIN ask_pause a ON a.subject = s.subject WHERE a.subject IS NULL OR s.created_at_ms > a.at_ms"
    " GROUP BY s.subject, s.carrier"
)
_SILENT: Final = {
    "sqlite": _SQL.replace("@carriers", "IN (SELECT value FROM json_each(?))").replace("@", "?"),
    "postgresql": _SQL.replace("@carriers", "= ANY (ARRAY(SELECT json_array_elements_text(%s::json)))").replace(
        "@", "%s"
    ),
}
