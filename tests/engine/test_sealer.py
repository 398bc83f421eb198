"""The sealer: chains what is new, counts it, and comes back to what came into sight behind younger entries."""

from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.core.ids import first_id_at
from gateway.core.public import rfc3339
from gateway.engine.batcher import Batcher, BatchSettings, Call
from gateway.engine.clock import wall_ms
from gateway.engine.sealer import LOOK_AGAIN_MS, Sealer
from gateway.store.apply import Store
from gateway.store.unit import Unit
from tests.store.bench import POLICY, a_captured_payment, a_store, an_engine, call_reversed, count, rows

pytestmark = pytest.mark.money


def no_quarantine(job: object, error: Exception) -> None:
    raise AssertionError(f"{job} was quarantined") from error


async def test_an_owner_seals_and_counts_and_a_stranger_does_nothing(database_url: str) -> None:
    with a_store(database_url) as store:
        a_captured_payment(store)
    owned = {"sealer": False}
    with an_engine(database_url) as engine:
        batcher = Batcher(Store(engine, POLICY).apply, settings=BatchSettings(), quarantine=no_quarantine)
        batcher.start()
        sealer = Sealer(batcher, lambda lane: owned[lane])
        assert await sealer.seal() is False and count(database_url, "ledger_seal") == 0
        owned["sealer"] = True
        assert await sealer.seal() is False
        await batcher.stop()
    assert sealer.sealed == count(database_url, "ledger_seal") == 1
    assert {row.position for row in rows(database_url, "SELECT position FROM balance_snapshot")} == {1}


async def test_heads_are_published_in_the_table_and_behind_the_commit_in_the_file(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_bytes(b'{"position": 7, "ha')  # A machine that went down.
    with a_store(database_url) as store:
        a_captured_payment(store)
    with an_engine(database_url) as engine:
        batcher = Batcher(Store(engine, POLICY).apply, settings=BatchSettings(), quarantine=no_quarantine)
        batcher.start()
        for _ in range(2):
            sealer = Sealer(batcher, lambda lane: True, anchor_file=path)
            await sealer.seal()
            await sealer.seal()
        await batcher.stop()
    [seal] = rows(database_url, "SELECT position, hash FROM ledger_seal")
    [published] = rows(database_url, "SELECT position, hash, at_ms FROM ledger_head")
    assert (published.position, published.hash) == (seal.position, seal.hash) == (1, seal.hash)
    line = f'{{"position":1,"hash":"{seal.hash}","at":"{rfc3339(published.at_ms)}"}}'
    assert path.read_text().splitlines()[1:] == [line]


async def test_an_entry_that_comes_into_sight_late_is_sealed_by_a_later_round(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        paid = a_captured_payment(store)
    now = {"ms": wall_ms() + LOOK_AGAIN_MS}
    late = {"id": first_id_at("ent_", wall_ms() - 30_000), "attempt": paid.attempt_id, "payment": paid.id}
    entry = "INSERT INTO entry VALUES (:id, 'attempt', :attempt, 'clawback', 'test', 'KES', :payment, 1)"
    values = "(:id, 0, 'merchant:mer_1:pending', 125000), (:id, 1, 'carrier:acme:receivable', -125000)"
    legs = f"INSERT INTO leg VALUES {values}"  # noqa: S608 - words of our own

    def post(unit: Unit) -> None:
        for statement in (entry, legs):
            unit.conn.execute(text(statement), late)
        call_reversed(unit.conn, paid.id)

    with an_engine(sqlite_url) as engine:
        batcher = Batcher(Store(engine, POLICY).apply, settings=BatchSettings(), quarantine=no_quarantine)
        batcher.start()
        sealer = Sealer(batcher, lambda lane: True, now_ms=lambda: now["ms"])
        sealer._after_id = first_id_at("ent_", wall_ms() - 10_000)
        await sealer.seal()
        await batcher.offer(Call(post))
        await sealer.seal()
        assert sealer.sealed == 1, "it lies behind what was gone through"
        now["ms"] += LOOK_AGAIN_MS
        await sealer.seal()
        await sealer.seal()
        await batcher.stop()
    assert sealer.sealed == 2
