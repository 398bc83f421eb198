"""Small things that must happen now and then: join receipts that came too early, forget what nobody can ask for.

Runs on the one process that owns the lane `deadlines`. Nothing here moves a payment by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, delete, select, text, update

from gateway.core.ids import first_id_at
from gateway.engine.batcher import Batcher
from gateway.engine.carrier_jobs import MatchParkedReceipts
from gateway.engine.deadlines import LANE
from gateway.store import bulk, tables
from gateway.store.page import forget_page
from gateway.store.request_log import forget_requests
from gateway.store.unit import Unit
from gateway.store.ussd import SESSIONS_KEPT_MS, forget_sessions

log = logging.getLogger(__name__)

PAUSE_S = 2.0
DAY_MS = 24 * 3600 * 1000
# A batch's id answers one question, after a lost COMMIT, within two minutes.
BATCH_IDS_KEPT_MS = 600_000
# A receipt whose submit was never answered belongs to nobody after three days: SMSCs give up before.
PARKED_KEPT_MS = 3 * DAY_MS
# What phones wrote, word by word. The words of a consent stand with the consent, for ever.
TEXTS_KEPT_MS = 90 * DAY_MS
# Octets of exchanges, for whoever looks into a complaint.
TRACES_KEPT_MS = 7 * DAY_MS
# The key, its hash and its payment are kept for ever: a repeat later than this is shown the payment as it is then.
RESPONSES_KEPT_MS = 30 * DAY_MS
# What merchants' developers asked for and were told.
REQUESTS_KEPT_MS = 7 * DAY_MS
# A look; many more than can come in the two seconds between looks.
REQUESTS_FORGOTTEN_MAX = 5_000
EXPORTS_KEPT_MS = 7 * DAY_MS
# A chunk is large: what is taken away at once must not keep payments waiting, but it must go faster than it comes.
CHUNKS_FORGOTTEN_MAX = 50
# The events themselves stay in the feed.
ATTEMPTS_KEPT_MS = 30 * DAY_MS
FORGOTTEN_MAX = 1_000
# Every payment leaves several: less than this could not keep pace with a busy day of a month ago.
ATTEMPTS_FORGOTTEN_MAX = TRACES_FORGOTTEN_MAX = 5_000

NO_OTHERS: Final[Mapping[str, int]] = MappingProxyType({})
NOTHING_LOOKED_AT: Final[Mapping[int, str]] = MappingProxyType({})


class Housekeeping:
    """Looks every two seconds."""

    def __init__(
        self, batcher: Batcher, owns: Callable[[str], bool], *, texts_kept_ms: Mapping[str, int] = NO_OTHERS
    ) -> None:
        """*texts_kept_ms*: by carrier, how long what its phones wrote is kept, where the law says another time."""
        self._batcher = batcher
        self._owns = owns
        self._texts_kept_ms = texts_kept_ms
        self._looked: Mapping[int, str] = NOTHING_LOOKED_AT

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_S)
            if not self._owns(LANE):
                continue
            try:
                await self._match_parked()
                look = partial(_forget, texts_kept_ms=self._texts_kept_ms, looked=self._looked)
                self._looked = await self._batcher.call(look, wake=False)
            except Exception:  # A loop's top: all of it can wait for the next look.
                log.exception("housekeeping failed")

    async def _match_parked(self) -> None:
        stopped = await self._batcher.offer(MatchParkedReceipts(), wake=False, vital=True)
        if stopped:
            assert isinstance(stopped, tuple)
            await self._batcher.offer(MatchParkedReceipts(stopped), wake=False, vital=True)


_NAME_ONLY: Final[Mapping[str, str | None]] = MappingProxyType(
    {"consumer_id": "", "sent_to": "", "text": "", "meaning": "", "payment_id": None}
)


def _forget_texts(
    conn: Connection, now_ms: int, kept_ms: Mapping[str, int], looked: Mapping[int, str]
) -> dict[int, str]:
    """Texts that are kept for one time lie between those that are kept for another: a page is looked at and not again.

    Of a text that its channel has named the name is left, and nothing of what was written or by whom: calls of such
    channels carry no time, and one that comes again after years must still be known.

    *looked* is, by how long they are kept, the last text that was looked at; returned is what it is then.
    """
    mo, then = tables.mo.c, dict(looked)
    for ms in {TEXTS_KEPT_MS, *kept_ms.values()}:
        old = (mo.id > looked.get(ms, "")) & (mo.id < first_id_at("mo_", now_ms - ms))
        page = conn.execute(select(tables.mo).where(old).order_by(mo.id).limit(FORGOTTEN_MAX)).all()
        told = [row for row in page if row.consumer_id]  # Of the others only the name is left.
        due = [row for row in told if kept_ms.get(row.carrier, TEXTS_KEPT_MS) == ms]
        bulk.delete_rows(conn, tables.mo, "id", [row.id for row in due])
        # Such a row never changes: another one takes its place.
        names = [{**row._mapping, **_NAME_ONLY} for row in due if row.provider_id is not None]
        bulk.insert_rows(conn, tables.mo, names)
        if page:
            then[ms] = page[-1].id
    return then


def _forget(
    unit: Unit, texts_kept_ms: Mapping[str, int] = NO_OTHERS, looked: Mapping[int, str] = NOTHING_LOOKED_AT
) -> Mapping[int, str]:
    looked = _forget_texts(unit.conn, unit.now_ms, texts_kept_ms, looked)
    conn, now_ms = unit.conn, unit.now_ms
    batch, parked, key = tables.batch.c, tables.orphan_receipt.c, tables.idempotency.c
    conn.execute(delete(tables.batch).where(batch.id < first_id_at("bat_", now_ms - BATCH_IDS_KEPT_MS)))
    conn.execute(delete(tables.orphan_receipt).where(parked.at_ms < now_ms - PARKED_KEPT_MS))
    tries = tables.webhook_attempt.c
    old = select(tries.id).where(tries.at_ms < now_ms - ATTEMPTS_KEPT_MS).order_by(tries.at_ms)
    conn.execute(
        delete(tables.webhook_attempt).where(tries.id.in_(old.limit(ATTEMPTS_FORGOTTEN_MAX).scalar_subquery()))
    )
    trace = tables.trace.c
    cut = first_id_at("trc_", now_ms - TRACES_KEPT_MS)
    over = select(trace.id).where(trace.id < cut).order_by(trace.id).limit(TRACES_FORGOTTEN_MAX)
    conn.execute(delete(tables.trace).where(trace.id.in_(over.scalar_subquery())))
    answered = key.response.is_not(None) & (key.created_at_ms < now_ms - RESPONSES_KEPT_MS)
    forget_requests(conn, now_ms - REQUESTS_KEPT_MS, REQUESTS_FORGOTTEN_MAX)
    forget_sessions(conn, now_ms - SESSIONS_KEPT_MS, FORGOTTEN_MAX)
    forget_page(conn, now_ms, FORGOTTEN_MAX)
    conn.execute(update(tables.idempotency).where(answered).values(response=None))
    _forget_export(conn, now_ms)
    return looked


def _forget_export(conn: Connection, now_ms: int) -> None:
    """A portion of one that was deleted or has become too old; the rest of it next time."""
    export, chunk = tables.export.c, tables.export_chunk.c
    # In the words of the partial index, so that it is used.
    deleted = select(export.id).where(text("status = 'deleted'"))
    old = select(export.id).where(export.id < first_id_at("exp_", now_ms - EXPORTS_KEPT_MS))
    for found in (deleted, old):
        export_id = conn.execute(found.order_by(export.id).limit(1)).scalar_one_or_none()
        if export_id is None:
            continue
        portion = select(chunk.n).where(chunk.export_id == export_id).limit(CHUNKS_FORGOTTEN_MAX)
        gone = conn.execute(
            delete(tables.export_chunk).where(chunk.export_id == export_id, chunk.n.in_(portion.scalar_subquery()))
        )
        if gone.rowcount < CHUNKS_FORGOTTEN_MAX:
            conn.execute(delete(tables.export).where(export.id == export_id))
