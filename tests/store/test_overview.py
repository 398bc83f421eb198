"""How everything stands, read from the database: what is unknown, unsealed, late, waiting, and who owns what."""

import pytest

from carriers import base
from gateway.core.codes import choose_code
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.refund_jobs import RefundDone
from gateway.store.engine import begin_write
from gateway.store.leases import Leases
from gateway.store.outbox import OutboxRow
from gateway.store.overview import Overview, lately, overview, owners, processes
from gateway.store.seal import seal_next
from tests.store.bench import CODE_KEY, POLICY, a_captured_payment, a_create, a_store, a_text, an_engine, applied
from tests.store.refund_bench import done, refunded
from tests.stores import reading

LANES = POLICY.lanes.names()


def code_of(ask: OutboxRow) -> str:
    assert ask.payment_id is not None
    return choose_code(CODE_KEY, ask.payment_id, ask.body["code_digits"], (), ask.body["code_n"])[0]


def look(url: str) -> Overview:
    with reading(url) as conn:
        return overview(conn, LANES)


def test_an_empty_database_has_nothing_that_waits(database_url: str) -> None:
    found = look(database_url)
    assert {waiting.rows for waiting in found.waiting.values()} == {0}
    assert (found.unknown.count, found.breaks, found.quarantined.count) == (0, {}, 0)
    assert (found.unsealed_since_ms, found.deadline_since_ms) == (None, None)


def test_an_unknown_outcome_is_counted_until_it_is_known(database_url: str) -> None:
    with a_store(database_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        [order] = [
            row
            for row in applied(store, a_text(code_of(ask), read_at_ms=ask.created_at_ms)).rows
            if row.kind == "charge"
        ]
        assert look(database_url).unknown.count == 0
        [inquiry] = applied(store, OrderDone(order, base.Unknown(detail="no answer"))).rows
        found = look(database_url)
        assert found.unknown.count == 1 and (found.unknown.since_ms or 0) >= order.created_at_ms
        assert found.waiting["charge:acme:0"].rows == 1
        applied(store, OrderDone(inquiry, base.Declined(reason="carrier_declined", detail="no")))
        assert look(database_url).unknown.count == 0
        with reading(database_url) as conn:
            assert lately(conn, order.created_at_ms + 1_000) == {"failed": 1}
            assert lately(conn, order.created_at_ms + 3_600_000) == {}


@pytest.mark.money
def test_a_refund_of_which_nobody_knows_is_counted_until_it_is_known(database_url: str) -> None:
    with a_store(database_url) as store:
        order = refunded(store, a_captured_payment(store), 25_000)
        assert look(database_url).unknown.count == 0
        [inquiry] = applied(store, RefundDone(order, base.Unknown(detail="no answer"))).rows
        found = look(database_url)
        assert found.unknown.count == 1 and (found.unknown.since_ms or 0) >= order.created_at_ms
        applied(store, done(inquiry))
        assert look(database_url).unknown.count == 0


@pytest.mark.money
def test_an_entry_is_behind_until_it_is_sealed(database_url: str) -> None:
    with a_store(database_url) as store, an_engine(database_url) as engine:
        a_captured_payment(store, "k-1")
        assert look(database_url).unsealed_since_ms is not None
        with begin_write(engine) as conn:
            seal_next(conn, after_id="", limit=10)
        assert look(database_url).unsealed_since_ms is None


def test_a_payment_that_waits_has_a_deadline(database_url: str) -> None:
    with a_store(database_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        found = look(database_url)
        assert (found.deadline_since_ms or 0) > ask.created_at_ms
        assert found.waiting["sms:acme:0"].rows == 1
        assert found.waiting["sms:acme:0"].due_since_ms == ask.due_at_ms


def test_owners_and_processes_are_those_of_the_leases(postgres_url: str) -> None:
    with an_engine(postgres_url) as engine, begin_write(engine) as conn:
        Leases().heartbeat(conn, owner="pay-1", names=LANES, now_ms=1_000, lease_ms=500)
    with reading(postgres_url) as conn:
        assert {owner.owner for owner in owners(conn).values()} == {"pay-1"}
        assert {(owner.epoch, owner.until_ms) for owner in owners(conn).values()} == {(1, 1_500)}
        assert processes(conn) == {"pay-1": 1_500}
