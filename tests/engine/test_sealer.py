"""The sealer: chains what is new, counts it, and comes back to what came into sight behind younger entries."""

import pytest
from sqlalchemy import text

from gateway.core.ids import first_id_at
from gateway.engine.batcher import Batcher, BatchSettings, Call
from gateway.engine.clock import wall_ms
from gateway.engine.sealer import LOOK_AGAIN_MS, Sealer
from gateway.store.apply import Store
from gateway.store.unit import Unit
from tests.store.bench import POLICY, a_captured_payment, a_store, an_engine, count, rows

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


async def test_an_entry_that_comes_into_sight_late_is_sealed_by_a_later_round(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        paid = a_captured_payment(store)
    now = {"ms": wall_ms() + LOOK_AGAIN_MS}
    late = {"id": first_id_at("ent_", wall_ms() - 30_000), "attempt": paid.attempt_id, "payment": paid.id}
    entry = "INSERT INTO entry VALUES (:id, 'attempt', :attempt, 'clawback', 'test', 'KES', :payment, 1)"
    legs = "INSERT INTO leg VALUES (:id, 0, 'merchant:mer_1:pending', 125000), (:id, 1, 'suspense', -125000)"

    def post(unit: Unit) -> None:
        for statement in (entry, legs, "UPDATE payment SET state = 'reversed' WHERE id = :payment"):
            unit.conn.execute(text(statement), late)

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
