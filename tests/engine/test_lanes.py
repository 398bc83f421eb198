"""Lanes: who may start a row, in which order rows leave, and that no outcome is ever lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from gateway.engine import lane as lane_module
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.lane import Grant, Lane, NotStarted
from gateway.store.apply import Applied, Batch, Job
from gateway.store.leases import FREED
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Unit
from tests.engine.lane_bench import WAIT_S, Desk, Lease, Process, Shelf, Steady, Write, a_row, about, process


@pytest.fixture
def now() -> Steady:
    return Steady()


@pytest.fixture
def shelf(now: Steady) -> Shelf:
    return Shelf(now)


async def test_a_committed_row_is_carried_out_and_its_outcome_removes_it(shelf: Shelf) -> None:
    async with process(shelf) as here:
        await here.write(a_row("a"))
        await here.settled()
        assert here.desk.finished == ["a"] and here.desk.maybe_sent == []
        assert here.lanes.counters()["sms:acme:0"].executed == 1


async def test_a_fresh_row_goes_straight_to_memory_without_being_read_back(shelf: Shelf) -> None:
    async with process(shelf, poll_s=3600.0) as here:
        await here.desk.until(lambda: here.lanes.owned_epoch("sms:acme:0") is not None or nudge(here))
        await here.write(a_row("a"))
        await here.settled()
        assert here.desk.finished == ["a"]


def nudge(here: Process) -> bool:
    """The first claim opens the lane; let it be seen."""
    asyncio.get_running_loop().call_later(0.001, here.desk._changed.set)
    return False


async def test_a_row_that_is_not_due_waits_for_its_time(shelf: Shelf, now: Steady) -> None:
    async with process(shelf) as here:
        await here.write(a_row("later", due_at_ms=1_060_000), a_row("now"))
        await here.desk.until(lambda: "now" in here.desk.finished)
        assert "later" not in here.desk.began
        for _ in range(6):
            now.s += 10
            await here.lanes._beat()
        await here.settled()
        assert here.desk.finished == ["now", "later"]


async def test_rows_of_one_key_leave_one_after_another_and_other_keys_side_by_side(shelf: Shelf) -> None:
    async with process(shelf) as here:
        first_may_go = here.desk.block("a1")
        await here.write(*(a_row(f"a{n}", group_key="a") for n in (1, 2, 3)), a_row("b1", group_key="b"))
        await here.desk.until(lambda: "b1" in here.desk.finished)
        assert here.desk.began[:2] == ["a1", "b1"] and "a2" not in here.desk.began
        first_may_go.set()
        await here.settled()
        assert [row for row in here.desk.finished if row[0] == "a"] == ["a1", "a2", "a3"]


async def test_the_next_row_of_a_key_starts_only_when_the_outcome_of_the_one_before_is_on_disk(shelf: Shelf) -> None:
    async with process(shelf, heartbeat_s=3600.0, poll_s=3600.0) as here:
        hold = here.desk.block("a1")
        await here.write(a_row("a1", group_key="a"), a_row("a2", group_key="a"))
        await here.desk.until(lambda: "a1" in here.desk.began)
        here.gate.clear()
        hold.set()
        await here.desk.until(lambda: "a1" in here.desk.finished)
        await asyncio.to_thread(lambda: None)
        assert "a2" not in here.desk.began
        here.gate.set()
        await here.settled()
        assert here.desk.finished == ["a1", "a2"]


async def test_no_more_rows_are_under_way_than_the_executor_allows(shelf: Shelf) -> None:
    async with process(shelf, desk=Desk(shelf, concurrency=3)) as here:
        for n in range(10):
            here.desk.block(f"r{n}")
        await here.write(*(a_row(f"r{n}") for n in range(10)))
        await here.desk.until(lambda: len(here.desk.began) == 3)
        for gate in here.desk.gates.values():
            gate.set()
        await here.settled()
        assert here.desk.most_at_once == 3 and len(here.desk.finished) == 10


async def test_a_later_text_about_a_payment_takes_the_place_of_its_unsent_ones(shelf: Shelf) -> None:
    async with process(shelf) as here:
        hold = here.desk.block("before")
        await here.write(a_row("before", group_key="phone"))
        await here.desk.until(lambda: "before" in here.desk.began)
        await here.write(about("P", "ask"), about("Q", "other ask"))
        await here.write(about("P", "cancelled", created_at_ms=1_000_001, due_at_ms=1_000_000))
        await here.desk.until(lambda: bool(here.desk.dropped))
        hold.set()
        await here.settled()
        assert here.desk.dropped == ["ask"]
        assert here.desk.finished == ["before", "other ask", "cancelled"]


async def test_an_older_text_that_is_read_late_does_not_follow_the_newer_one() -> None:
    async with lane_alone() as (lane, desk):
        lane.accept([about("P", "result", created_at_ms=5)])
        lane.accept([about("P", "ask", created_at_ms=4)])
        assert desk.began == []
        await desk.until(lambda: desk.dropped == ["ask"])


async def test_a_text_that_supersedes_nothing_and_was_written_in_the_same_moment_is_kept() -> None:
    async with lane_alone() as (lane, desk):
        note = a_row("note", payment_id="P", group_key="phone", created_at_ms=5)
        lane.accept([about("P", "result", created_at_ms=5), note])
        assert lane.depth == 2 and desk.dropped == []


async def test_the_answer_to_stop_takes_the_place_of_all_unsent_asks_of_its_phone() -> None:
    async with lane_alone() as (lane, desk):
        lane.accept([an_ask("first"), an_ask("second"), an_ask("another phone's", group_key="other")])
        lane.accept([a_row("a result", group_key="phone")])
        lane.accept([a_row("stopped", group_key="phone", body={"ends_asks": True})])
        await desk.until(lambda: len(desk.dropped) == 2)
        assert desk.dropped == ["first", "second"]


async def test_an_ask_that_was_written_behind_a_stop_is_kept_to_end_its_payment() -> None:
    async with lane_alone() as (lane, desk):
        lane.accept([an_ask("of a stopped phone", stopped=True)])
        lane.accept([a_row("stopped", group_key="phone", body={"ends_asks": True})])
        assert lane.depth == 2 and desk.dropped == []


async def test_the_answer_to_stop_of_one_shop_leaves_the_asks_of_others() -> None:
    async with lane_alone() as (lane, desk):
        lane.accept([an_ask("Asha's", merchant_id="mer_1"), an_ask("Juma's", merchant_id="mer_2")])
        lane.accept([a_row("stopped", group_key="phone", body={"ends_asks": True, "ends_asks_of": "mer_1"})])
        await desk.until(lambda: bool(desk.dropped))
        assert desk.dropped == ["Asha's"]


def an_ask(row_id: str, *, group_key: str = "phone", stopped: bool = False, merchant_id: str = "mer_1") -> OutboxRow:
    body = {"is_ask": True, "stopped": stopped, "merchant_id": merchant_id}
    return a_row(row_id, payment_id=row_id, group_key=group_key, body=body)


@asynccontextmanager
async def lane_alone(*, may_start: bool = False) -> AsyncIterator[tuple[Lane, Desk]]:
    """A lane without its manager; unless *may_start* its lease is already over."""
    steady = Steady()
    shelf = Shelf(steady)
    desk = Desk(shelf)

    def apply(jobs: Sequence[Job]) -> Batch:
        return Batch([Applied(job.run(cast(Unit, None))) for job in jobs], [])

    batcher = Batcher(apply, settings=BatchSettings(pace_ms=0, ride_along_ms=1), quarantine=lambda job, error: None)
    batcher.start()
    lane = Lane("sms:acme:0", desk, batcher, room_max=10, now_s=steady)
    lane.own(Grant(1, steady.s + (100 if may_start else 0), steady))
    lane.is_behind = False
    yield lane, desk
    await lane.finish(1)
    await batcher.stop(limit_s=5)


async def test_a_row_is_not_started_when_the_lease_may_end_before_the_request(shelf: Shelf, now: Steady) -> None:
    async with process(shelf, heartbeat_s=3600.0, lease_s=20.0) as here:
        now.s += 15.5  # 4.5 s are left of the lease, a request may take 5.
        await here.write(a_row("a"))
        for _ in range(3):
            await here.batcher.call(lambda unit: None)
        assert here.desk.began == [] and "a" in shelf.rows
        await here.lanes._beat()
        await here.settled()
        assert here.desk.finished == ["a"]


async def test_rows_of_a_dead_owner_are_taken_over_as_maybe_sent(shelf: Shelf, now: Steady) -> None:
    async with process(shelf, "dead", heartbeat_s=3600.0) as dead:
        dead.desk.block("a")
        await dead.write(a_row("a"), a_row("never written to", due_at_ms=1_000_000_000))
        await dead.desk.until(lambda: "a" in dead.desk.began)
        async with process(shelf, "heir") as heir:
            assert not heir.lanes.owns("sms:acme:0")
            now.s += 21
            await heir.desk.until(lambda: "a" in heir.desk.finished)
            assert heir.desk.maybe_sent == ["a"]
            assert not dead.lanes.owns("sms:acme:0")


async def test_what_runs_when_a_lease_is_lost_is_still_recorded(shelf: Shelf, now: Steady) -> None:
    async with process(shelf, "old", heartbeat_s=3600.0) as old:
        answered = old.desk.block("running")
        await old.write(a_row("running", group_key="k"), a_row("waiting", group_key="k"))
        await old.desk.until(lambda: "running" in old.desk.began)
        now.s += 21
        new_desk = Desk(shelf)
        new_desk.block("running")
        async with process(shelf, "new", desk=new_desk) as new:
            await new_desk.until(lambda: "running" in new_desk.began)
            await old.lanes._beat()
            answered.set()
            async with asyncio.timeout(WAIT_S):
                while "running" in shelf.rows:
                    await old.batcher.call(lambda unit: None)
            assert any("Done" in batch for batch in old.batches)
            assert old.desk.began == ["running"], "the old owner starts nothing more"
            assert not old.lanes.owns("sms:acme:0") and new.lanes.owns("sms:acme:0")


async def test_a_process_that_was_frozen_leaves_its_new_rows_to_the_heir_unsuspected(shelf: Shelf, now: Steady) -> None:
    async with process(shelf, "frozen", heartbeat_s=3600.0, poll_s=3600.0) as frozen:
        await frozen.write(a_row("before"))
        await frozen.desk.until(lambda: "before" in frozen.desk.finished)
        now.s += 21
        await frozen.write(a_row("after"))
        async with process(shelf, "heir") as heir:
            await heir.desk.until(lambda: "after" in heir.desk.finished)
            assert heir.desk.maybe_sent == [] and frozen.desk.began == ["before"]


async def test_a_single_process_keeps_its_lanes_without_a_lease(shelf: Shelf, now: Steady) -> None:
    async with process(shelf, single_process=True, heartbeat_s=3600.0) as here:
        now.s += 1_000_000
        assert here.lanes.owns("sms:acme:0")
        await here.write(a_row("a"))
        await here.settled()
        assert here.desk.finished == ["a"]


async def test_a_lane_without_an_executor_is_owned_and_nothing_more(shelf: Shelf) -> None:
    async with process(shelf, lane_names=("sms:acme:0", "deadlines")) as here:
        assert here.lanes.owns("deadlines")
        assert here.lanes.owned_epoch("deadlines") is None


async def test_rows_for_another_owner_are_announced_once_a_batch(shelf: Shelf) -> None:
    shelf.leases["sms:acme:1"] = Lease("another", 1, 10**12)
    async with process(shelf, lane_names=("sms:acme:0", "sms:acme:1")) as here:
        await here.write(a_row("a", lane="sms:acme:1"), a_row("b", lane="sms:acme:1"), a_row("c"))
        assert here.told == [{"sms:acme:1"}]
        assert shelf.rows["a"].epoch is None


async def test_a_surplus_lane_is_finished_and_given_back_with_its_unstarted_rows_unsuspected(shelf: Shelf) -> None:
    async with process(shelf, desk=Desk(shelf, concurrency=1)) as here:
        answered = here.desk.block("running")
        await here.write(a_row("running"), a_row("unstarted"))
        await here.desk.until(lambda: "running" in here.desk.began)
        shelf.surplus["one"] = ["sms:acme:0"]
        await here.lanes._beat()
        leaving = here.lanes._leaving["sms:acme:0"]
        await asyncio.to_thread(lambda: None)
        answered.set()
        shelf.surplus.clear()
        shelf.leases["sms:acme:0"].until_ms = 10**12
        await leaving
        assert "running" not in shelf.rows
        assert here.desk.finished[0] == "running"
        await here.settled()  # The process itself takes the free lane again.
        assert here.desk.maybe_sent == []


async def test_an_outcome_that_finds_no_room_is_offered_again(shelf: Shelf) -> None:
    batch = BatchSettings(queue_max=1, reserved_share=0.0, pace_ms=0, ride_along_ms=1, retry_after_s=0.005)
    async with process(shelf, batch=batch, heartbeat_s=3600.0, poll_s=3600.0) as here:
        hold = here.desk.block("a")
        await here.write(a_row("a"))
        await here.desk.until(lambda: "a" in here.desk.began)
        here.gate.clear()
        in_hand = here.batcher.offer(Write([]))
        async with asyncio.timeout(WAIT_S):
            while here.batcher.depth:  # Until the writer has it in hand.
                await asyncio.to_thread(lambda: None)
        queued = here.batcher.offer(Write([]))
        hold.set()
        async with asyncio.timeout(WAIT_S):
            while not here.batcher.shed:
                await asyncio.to_thread(lambda: None)
        here.gate.set()
        await asyncio.gather(in_hand, queued)
        async with asyncio.timeout(WAIT_S):
            while shelf.rows:
                await asyncio.to_thread(lambda: None)


async def test_a_row_that_ends_while_rows_are_being_read_is_not_run_again() -> None:
    async with lane_alone(may_start=True) as (lane, desk):
        lane.accept([a_row("a")])
        lane.begin_claim()
        await desk.until(lambda: "a" in desk.finished)
        async with asyncio.timeout(WAIT_S):
            while lane.depth:
                await asyncio.to_thread(lambda: None)
        lane.end_claim(1, [a_row("a", maybe_sent=True), a_row("b")], is_complete=True)
        await desk.until(lambda: "b" in desk.finished)
        assert desk.began == ["a", "b"]


async def test_a_row_that_is_in_memory_is_not_taken_twice() -> None:
    async with lane_alone(may_start=True) as (lane, desk):
        desk.block("a")
        lane.accept([a_row("a")])
        await desk.until(lambda: "a" in desk.began)
        lane.begin_claim()
        lane.end_claim(1, [a_row("a", maybe_sent=True)], is_complete=True)
        assert lane.depth == 1
        desk.gates["a"].set()


async def test_fresh_rows_wait_behind_the_older_ones_that_are_being_read() -> None:
    async with lane_alone(may_start=True) as (lane, desk):
        lane.is_behind = True
        lane.begin_claim()
        lane.accept([a_row("newer", group_key="phone", created_at_ms=2)])
        await asyncio.to_thread(lambda: None)
        assert desk.began == []
        lane.end_claim(1, [a_row("older", group_key="phone", created_at_ms=1)], is_complete=True)
        await desk.until(lambda: len(desk.finished) == 2)
        assert desk.finished == ["older", "newer"]


async def test_more_rows_than_there_is_room_for_all_leave_in_order_in_the_end(shelf: Shelf) -> None:
    async with process(shelf, desk=Desk(shelf, concurrency=2), room_max=10) as here:
        for burst in range(20):
            await here.write(
                *(
                    a_row(f"{key}{burst:02}", group_key=key, created_at_ms=1_000_000 + burst, due_at_ms=1_000_000)
                    for key in "abc"
                )
            )
        await here.settled()
        for key in "abc":
            assert [row for row in here.desk.finished if row[0] == key] == [f"{key}{n:02}" for n in range(20)]
        assert len(here.desk.began) == 60 and here.desk.maybe_sent == []


async def test_a_link_that_is_down_holds_the_lane_and_an_up_link_lets_it_go(shelf: Shelf) -> None:
    async with process(shelf) as here:
        here.desk.up = False
        await here.write(a_row("a"))
        await here.batcher.call(lambda unit: None)
        assert here.desk.began == [] and here.lanes.counters()["sms:acme:0"].depth == 1
        here.desk.up = True
        here.lanes.wake("sms:acme:0")
        await here.settled()


async def test_rows_of_a_kind_that_cannot_leave_keep_only_those_of_their_own_key_waiting(shelf: Shelf) -> None:
    async with process(shelf) as here:
        here.desk.down_for = "sms"
        await here.write(
            a_row("text", group_key="a"),
            a_row("push behind it", group_key="a", kind="ussd", created_at_ms=1_000_001),
            *(a_row(f"push {n}", kind="ussd", created_at_ms=1_000_002) for n in range(3)),
        )
        await here.desk.until(lambda: len(here.desk.finished) == 3)
        assert sorted(here.desk.began) == ["push 0", "push 1", "push 2"]
        here.desk.down_for = ""
        here.lanes.wake("sms:acme:0")
        await here.settled()
        assert here.desk.finished[3:] == ["text", "push behind it"]


async def test_an_executor_that_breaks_down_is_tried_again_as_maybe_sent(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "FAILED_PAUSE_S", 0.0)
    async with process(shelf) as here:
        here.desk.errors["a"] = [RuntimeError("a bug")]
        await here.write(a_row("a"))
        await here.settled()
        assert here.desk.began == ["a", "a"] and here.desk.maybe_sent == ["a"]
        assert here.lanes.counters()["sms:acme:0"].failures == 1


async def test_a_row_that_was_given_back_unstarted_is_tried_again_without_suspicion(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "HOLD_RECHECK_S", 0.0)
    async with process(shelf) as here:
        here.desk.errors["a"] = [NotStarted()]
        await here.write(a_row("a"))
        await here.settled()
        assert here.desk.began == ["a", "a"] and here.desk.maybe_sent == []


async def test_a_row_that_a_new_epoch_claimed_before_it_was_given_back_is_not_forgotten(shelf: Shelf) -> None:
    async with process(shelf) as here:
        here.desk.errors["a"] = [NotStarted()]
        await here.write(a_row("a"))
        await here.desk.until(lambda: "a" in here.desk.began)
        before = shelf.leases["sms:acme:0"].epoch
        for lease in shelf.leases.values():
            lease.owner = None
        await here.lanes._beat()
        assert shelf.leases["sms:acme:0"].epoch == before + 1
        await here.settled()
        assert here.desk.began == ["a", "a"] and here.desk.maybe_sent == []


async def test_a_row_whose_outcome_cannot_be_recorded_is_not_carried_out_again(shelf: Shelf) -> None:
    async with process(shelf) as here:
        here.desk.broken_outcomes = {"a"}
        await here.write(a_row("a", group_key="k"), a_row("b", group_key="k"))
        await here.desk.until(lambda: "b" in here.desk.finished)
        await here.lanes._beat()
        assert here.desk.began == ["a", "b"]
        assert here.lanes.counters()["sms:acme:0"].stuck == 1


async def test_a_stop_waits_for_what_runs_and_frees_what_never_started(shelf: Shelf) -> None:
    async with process(shelf, desk=Desk(shelf, concurrency=1)) as here:
        answered = here.desk.block("running")
        await here.write(a_row("running"), a_row("unstarted"))
        await here.desk.until(lambda: "running" in here.desk.began)
        stopping = asyncio.create_task(here.lanes.stop(limit_s=WAIT_S))
        await asyncio.to_thread(lambda: None)
        answered.set()
        await stopping
        assert list(shelf.rows) == ["unstarted"] and shelf.rows["unstarted"].epoch is None
        assert here.desk.began == ["running"]
        assert shelf.leases["sms:acme:0"].owner is None


async def test_a_link_is_let_go_before_its_lane_is_given_back(shelf: Shelf) -> None:
    async with process(shelf) as here:
        owners: list[str | None] = []

        async def let_go() -> None:
            owners.append(shelf.leases["sms:acme:0"].owner)

        await here.lanes.stop(limit_s=WAIT_S, let_go=let_go)
        assert owners == ["one"] and shelf.leases["sms:acme:0"].owner is None


async def test_lanes_that_others_give_back_are_taken_before_the_next_heartbeat(shelf: Shelf) -> None:
    async with process(shelf) as first, process(shelf, "next", heartbeat_s=1_000.0) as following:
        assert not following.lanes.owns("sms:acme:0")
        await first.lanes.stop(limit_s=WAIT_S)
        following.lanes.wake(FREED)
        await following.write(a_row("a"))
        await following.settled()
        assert following.desk.began == ["a"]


async def test_what_runs_longer_than_the_stop_allows_is_left_to_the_next_owner_as_maybe_sent(shelf: Shelf) -> None:
    async with process(shelf) as here:
        here.desk.block("hangs")
        await here.write(a_row("hangs"))
        await here.desk.until(lambda: "hangs" in here.desk.began)
        await here.lanes.stop(limit_s=0.01)
    async with process(shelf, "next") as following:
        await following.settled()
        assert following.desk.maybe_sent == ["hangs"]
