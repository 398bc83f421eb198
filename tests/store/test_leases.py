"""Leases on lanes, and the rows that an owner claims, releases, or leaves behind."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.store import bulk, tables
from gateway.store.engine import begin_write
from gateway.store.leases import Held, Leases
from gateway.store.outbox import OutboxRow
from tests.store.bench import an_engine, rows

NAMES = ("charge:acme:0", "deadlines", "sms:acme:0", "webhook:0")
LANE = "sms:acme:0"
LEASE_MS = 10_000
NOW_MS = 1_800_000_000_000


class Desk:
    """The lease table as processes use it; time is what the test says."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._leases = Leases()
        self.now_ms = NOW_MS

    def beat(self, owner: str, *, lease_ms: int | None = LEASE_MS) -> Held:
        with begin_write(self._engine) as conn:
            return self._leases.heartbeat(conn, owner=owner, names=NAMES, now_ms=self.now_ms, lease_ms=lease_ms)

    def claim(self, epoch: int, limit: int = 100) -> dict[str, bool]:
        """Id → maybe sent."""
        with begin_write(self._engine) as conn:
            found = self._leases.claim_due(conn, lane=LANE, epoch=epoch, now_ms=self.now_ms, limit=limit)
        assert all(row.epoch == epoch for row in found)
        return {row.id: row.maybe_sent for row in found}

    def release(self, owner: str, epochs: dict[str, int], unstarted: tuple[str, ...] = ()) -> None:
        with begin_write(self._engine) as conn:
            self._leases.release(conn, owner=owner, epochs=epochs, unstarted=unstarted)

    def leave(self, owner: str) -> None:
        with begin_write(self._engine) as conn:
            self._leases.leave(conn, owner=owner)

    def write(self, *ids: str, due_in_ms: int = 0, epoch: int | None = None) -> None:
        made = [_row(row_id, self.now_ms, due_in_ms, epoch) for row_id in ids]
        with begin_write(self._engine) as conn:
            bulk.insert_rows(conn, tables.outbox, made)


def _row(row_id: str, now_ms: int, due_in_ms: int, epoch: int | None) -> dict[str, Any]:  # Any: a row's columns.
    row = OutboxRow(
        id=row_id,
        lane=LANE,
        kind="sms",
        group_key=row_id,
        payment_id=None,
        consumer_id="csm_1",
        body={},
        due_at_ms=now_ms + due_in_ms,
        created_at_ms=now_ms,
        epoch=epoch,
    )
    return {column.name: getattr(row, column.name) for column in tables.outbox.c} | {"body": "{}"}


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    with an_engine(database_url) as engine:
        yield Desk(engine)


def test_one_process_takes_all_lanes_and_keeps_their_epochs(desk: Desk) -> None:
    first = desk.beat("one")
    assert set(first.owned) == set(NAMES) and first.surplus == []
    desk.now_ms += LEASE_MS - 1
    assert desk.beat("one").owned == first.owned


def test_two_processes_share_the_lanes(desk: Desk) -> None:
    mine = desk.beat("one").owned
    assert desk.beat("two").owned == {}
    held = desk.beat("one")
    assert held.owned == mine and len(held.surplus) == 2
    desk.release("one", {name: mine[name] for name in held.surplus})
    others = desk.beat("two").owned
    assert set(others) == set(held.surplus) and desk.beat("two").surplus == []
    assert all(others[name] == mine[name] + 1 for name in others)
    kept = desk.beat("one")
    assert set(kept.owned) | set(others) == set(NAMES) and not set(kept.owned) & set(others)
    # When one leaves, the other has everything at once or as soon as its leases are free.
    desk.release("two", others)
    desk.leave("two")
    assert set(desk.beat("one").owned) == set(NAMES)


def test_a_lease_that_ran_out_is_taken_over_in_a_new_epoch(desk: Desk) -> None:
    dead = desk.beat("one").owned
    desk.now_ms += LEASE_MS
    heir = desk.beat("two").owned
    assert heir == {name: epoch + 1 for name, epoch in dead.items()}
    assert desk.beat("one").owned == {}


def test_even_ones_own_lease_that_ran_out_is_another_epoch(desk: Desk) -> None:
    before = desk.beat("one").owned
    desk.now_ms += LEASE_MS
    assert desk.beat("one").owned == {name: epoch + 1 for name, epoch in before.items()}


def test_a_row_is_claimed_once_an_epoch_and_only_when_it_is_due(desk: Desk) -> None:
    epoch = desk.beat("one").owned[LANE]
    desk.write("a", "b")
    desk.write("later", due_in_ms=1_000)
    desk.write("in memory already", epoch=epoch)
    assert desk.claim(epoch, limit=1) == {"a": False}
    assert desk.claim(epoch) == {"b": False}
    assert desk.claim(epoch) == {}
    desk.now_ms += 1_000
    assert desk.claim(epoch) == {"later": False}


def test_what_a_dead_owner_had_claimed_may_have_been_sent(desk: Desk) -> None:
    dead = desk.beat("one").owned[LANE]
    desk.write("claimed")
    desk.claim(dead)
    desk.write("straight to memory", epoch=dead)
    desk.write("never seen")
    desk.now_ms += LEASE_MS
    heir = desk.beat("two").owned[LANE]
    assert desk.claim(dead) == {}, "the dead owner's epoch claims nothing"
    assert desk.claim(heir) == {"claimed": True, "straight to memory": True, "never seen": False}
    assert desk.claim(dead) == {}


def test_what_was_not_started_before_a_release_was_not_sent(desk: Desk, database_url: str) -> None:
    epoch = desk.beat("one").owned[LANE]
    desk.write("started", "unstarted")
    desk.claim(epoch)
    desk.release("one", {LANE: epoch}, unstarted=("unstarted",))
    kept = {row.id: row.epoch for row in rows(database_url, "SELECT id, epoch FROM outbox")}
    assert kept == {"started": epoch, "unstarted": None}
    heir = desk.beat("two", lease_ms=None).owned[LANE]
    assert desk.claim(heir) == {"started": True, "unstarted": False}


def test_a_release_that_comes_too_late_takes_nothing_from_the_heir(desk: Desk) -> None:
    dead = desk.beat("one").owned
    desk.write("claimed")
    desk.claim(dead[LANE])
    desk.now_ms += LEASE_MS
    heir = desk.beat("two").owned
    desk.claim(heir[LANE])
    desk.release("one", dead, unstarted=("claimed",))
    assert desk.beat("two").owned == heir
    assert desk.claim(heir[LANE]) == {}, "still the heir's"


def test_alone_a_process_waits_for_no_lease(desk: Desk) -> None:
    dead = desk.beat("before the crash", lease_ms=None).owned
    assert desk.beat("after it", lease_ms=None).owned == {name: epoch + 1 for name, epoch in dead.items()}
