"""A dispute that nobody decides by the day that its phone was told calls a person, once, and until it is decided."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.core.dispute import Act
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.dispute_jobs import DecideDispute
from gateway.engine.dispute_watch import DisputeWatch
from gateway.store.apply import Store
from gateway.store.cases import resolve
from gateway.store.engine import connect
from gateway.store.quarantine import Quarantine
from gateway.store.reads import Reads
from tests.store.bench import Odd, a_captured_payment, an_engine, applied, rows
from tests.store.settling_bench import DAY_MS, a_store_later
from tests.store.test_disputes import answer, disputed

pytestmark = pytest.mark.money


@asynccontextmanager
async def watching(url: str, days: float, *, owns: bool = True) -> AsyncIterator[tuple[DisputeWatch, Store]]:
    reads = Reads(connect(url, read_only=True))
    with an_engine(url) as engine, a_store_later(url, days) as store:
        settings = BatchSettings(pace_ms=0, ride_along_ms=0)
        batcher = Batcher(store.apply, settings=settings, quarantine=Quarantine(engine))
        batcher.start()
        try:
            now_ms = round(time.time() * 1000 + days * DAY_MS)
            yield DisputeWatch(batcher, reads, lambda lane: owns, lambda: now_ms), store
        finally:
            await batcher.stop()
            reads.close()


def under_review(url: str) -> str:
    with a_store_later(url) as store:
        dispute_id = disputed(store, url, a_captured_payment(store))
        applied(store, answer(dispute_id, Act.ANSWER, evidence="she signed"))
    return dispute_id


def found(url: str) -> list[tuple[str, int, bool]]:
    statement = 'SELECT kind, amount_minor, resolved_at_ms FROM "break"'
    return [(row.kind, row.amount_minor, row.resolved_at_ms is None) for row in rows(url, statement)]


async def test_what_nobody_decides_by_the_day_that_was_told_is_a_break(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    dispute_id = under_review(database_url)
    async with watching(database_url, 13.9) as (watch, _):
        await watch.look()
    async with watching(database_url, 14.1, owns=False) as (watch, _):
        await watch.look()
    assert found(database_url) == []
    async with watching(database_url, 14.1) as (watch, store):
        await watch.look()
        await watch.look()
        assert found(database_url) == [("dispute", 125_000, True)]
        [message] = caplog.messages
        assert message.startswith(f"nobody has decided: dispute {dispute_id} was to be decided by 20")
        [case] = rows(database_url, 'SELECT id FROM "break"')
        silence = Odd(lambda unit: resolve(unit.conn, "break", case.id, by="juma", note="later", now_ms=1))
        with pytest.raises(ValueError, match=f"`gateway dispute decide {dispute_id}` ends it"):
            applied(store, silence)
        applied(store, DecideDispute(dispute_id=dispute_id, done=Act.WIN))
        assert found(database_url) == [("dispute", 125_000, False)]
        await watch.look()
    assert found(database_url) == [("dispute", 125_000, False)]


async def test_what_was_decided_in_time_calls_nobody(database_url: str) -> None:
    dispute_id = under_review(database_url)
    with a_store_later(database_url, days=1) as store:
        applied(store, DecideDispute(dispute_id=dispute_id, done=Act.LOSE))
    async with watching(database_url, 15) as (watch, _):
        await watch.look()
    assert found(database_url) == []
