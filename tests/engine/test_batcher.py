"""The group commit: pacing, order, back-pressure, and what happens to a batch that cannot be applied."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
from sqlalchemy.exc import OperationalError

from gateway.engine.batcher import Batcher, BatchSettings, Busy, Stopped
from gateway.store.apply import Applied, Batch, Job, RetryBatch
from gateway.store.unit import Needs, Unit

# Longer than any test lives: what happens all the same did not wait for it.
FOR_EVER_MS = 3_600_000


class Named:
    """A job that is only a name."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.name = name

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> object:
        raise AssertionError("the journal below applies jobs by their names")


class Journal:
    """Stands for the store: keeps the names that were written, batch by batch; can be told to fail or to wait."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.tries: list[list[str]] = []
        self.threads: set[str] = set()
        self.poison: set[str] = set()
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def apply(self, jobs: Sequence[Job]) -> Batch:
        names = [job.name for job in jobs if isinstance(job, Named)]
        self.threads.add(threading.current_thread().name)
        self.tries.append(names)
        self.entered.set()
        assert self.gate.wait(20)
        if self.errors:
            raise self.errors.pop(0)
        if self.poison & set(names):
            raise AssertionError(f"cannot apply {sorted(self.poison & set(names))}")
        self.batches.append(names)
        return Batch([Applied(result=name.upper()) for name in names], [])

    @property
    def written(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


@asynccontextmanager
async def running(
    journal: Journal,
    *,
    quarantine: Callable[[Job, Exception], None] = lambda job, error: None,
    after_commit: Callable[[Batch], None] = lambda batch: None,
    **settings: float,
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        journal.apply,
        settings=BatchSettings(**settings),  # type: ignore[arg-type]  # Numbers of the right kind.
        quarantine=quarantine,
        after_commit=after_commit,
    )
    batcher.start()
    try:
        yield batcher
    finally:
        journal.gate.set()
        await batcher.stop(limit_s=5)


async def entered(journal: Journal) -> None:
    """Wait until the writer is inside a batch."""
    await asyncio.to_thread(journal.entered.wait, 20)
    journal.entered.clear()


async def test_each_future_gets_its_own_result_and_the_work_is_done_in_one_other_thread() -> None:
    journal = Journal()
    async with running(journal) as batcher:
        assert await asyncio.gather(*(batcher.offer(Named(name)) for name in "abc")) == ["A", "B", "C"]
    assert journal.written == ["a", "b", "c"]
    assert journal.threads == {"writer"}
    assert (batcher.batches, batcher.events) == (len(journal.batches), 3)


async def test_jobs_offered_while_a_batch_is_written_become_the_next_batch() -> None:
    journal = Journal()
    async with running(journal, pace_ms=0) as batcher:
        journal.gate.clear()
        first = batcher.offer(Named("first"))
        await entered(journal)
        rest = [batcher.offer(Named(name)) for name in "abc"]
        journal.gate.set()
        await asyncio.gather(first, *rest)
    assert journal.batches == [["first"], ["a", "b", "c"]]


async def test_the_first_job_after_idle_goes_at_once_and_the_next_waits_for_its_pace() -> None:
    journal = Journal()
    async with running(journal, pace_ms=FOR_EVER_MS, eager_at=3) as batcher:
        await batcher.offer(Named("first"))
        paced = [batcher.offer(Named(name)) for name in "ab"]
        # Without its pace the writer would take these two alone before the third is offered.
        await asyncio.to_thread(lambda: None)
        assert journal.batches == [["first"]]
        paced.append(batcher.offer(Named("c")))
        await asyncio.gather(*paced)
    assert journal.batches == [["first"], ["a", "b", "c"]]


async def test_batches_begin_no_closer_together_than_the_pace() -> None:
    journal = Journal()
    loop = asyncio.get_running_loop()
    async with running(journal, pace_ms=20, eager_at=1000) as batcher:
        began_s = loop.time()
        for name in "abcd":
            await batcher.offer(Named(name))
        assert loop.time() - began_s >= 3 * 0.020
    assert len(journal.batches) == 4


async def test_a_batch_has_a_maximum() -> None:
    journal = Journal()
    async with running(journal, batch_events_max=2, pace_ms=0) as batcher:
        await asyncio.gather(*(batcher.offer(Named(name)) for name in "abcde"))
    assert [len(batch) for batch in journal.batches] == [2, 2, 1]
    assert journal.written == list("abcde")


async def test_a_completion_wakes_nobody_and_rides_along_with_the_next_batch() -> None:
    journal = Journal()
    async with running(journal, pace_ms=0, ride_along_ms=FOR_EVER_MS) as batcher:
        completion = batcher.offer(Named("completion"), wake=False)
        await asyncio.to_thread(lambda: None)
        assert journal.tries == []
        await batcher.offer(Named("request"))
        assert await completion == "COMPLETION"
    assert journal.batches == [["completion", "request"]]


async def test_a_completion_that_nobody_takes_along_goes_by_itself_after_a_while() -> None:
    journal = Journal()
    async with running(journal, ride_along_ms=1) as batcher:
        assert await batcher.offer(Named("completion"), wake=False) == "COMPLETION"


async def test_a_job_ahead_goes_before_what_is_queued() -> None:
    journal = Journal()
    async with running(journal, pace_ms=0) as batcher:
        later = batcher.offer(Named("queued"))
        await batcher.offer(Named("claim"), ahead=True)
        await later
    assert journal.batches == [["claim", "queued"]]


async def test_a_full_queue_sheds_requests_but_keeps_room_for_replies_up_to_its_maximum() -> None:
    journal = Journal()
    async with running(journal, queue_max=8, reserved_share=0.25, pace_ms=FOR_EVER_MS, eager_at=1000) as batcher:
        await batcher.offer(Named("first"))
        taken = [batcher.offer(Named(f"request{n}")) for n in range(6)]
        with pytest.raises(Busy) as busy:
            batcher.offer(Named("too many"))
        assert busy.value.retry_after_s > 0
        taken += [batcher.offer(Named(f"reply{n}"), vital=True) for n in range(2)]
        with pytest.raises(Busy):
            batcher.offer(Named("one reply too many"), vital=True)
        assert (batcher.depth, batcher.shed) == (8, 2)
    assert len(await asyncio.gather(*taken)) == 8


async def test_a_batch_that_left_no_trace_is_tried_again_as_it_was() -> None:
    journal = Journal()
    journal.errors = [RetryBatch("deadlock"), RetryBatch("lost connection")]
    async with running(journal) as batcher:
        assert await asyncio.gather(*(batcher.offer(Named(name)) for name in "ab")) == ["A", "B"]
        assert batcher.retries == 2
    assert journal.tries == [["a", "b"]] * 3
    assert journal.batches == [["a", "b"]]


@pytest.mark.parametrize("culprit", range(7))
async def test_one_job_that_cannot_be_applied_is_isolated_and_the_others_are_written_in_order(culprit: int) -> None:
    journal = Journal()
    names = [f"job{n}" for n in range(7)]
    journal.poison = {names[culprit]}
    quarantined: list[tuple[str, str, str]] = []

    def quarantine(job: Job, error: Exception) -> None:
        assert isinstance(job, Named)
        quarantined.append((job.name, type(error).__name__, threading.current_thread().name))

    async with running(journal, quarantine=quarantine) as batcher:
        outcomes = await asyncio.gather(*(batcher.offer(Named(name)) for name in names), return_exceptions=True)
        assert batcher.quarantined == 1
    assert quarantined == [(names[culprit], "AssertionError", "writer")]
    assert isinstance(outcomes[culprit], AssertionError)
    innocent = [name for name in names if name != names[culprit]]
    assert journal.written == innocent
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == [name.upper() for name in innocent]


async def test_an_error_that_passes_is_not_taken_for_a_culprit_while_a_batch_is_divided() -> None:
    journal = Journal()
    journal.poison = {"bad"}
    quarantined: list[Job] = []
    async with running(journal, quarantine=lambda job, error: quarantined.append(job)) as batcher:
        journal.gate.clear()
        offered = [batcher.offer(Named(name)) for name in ("good", "bad")]
        await entered(journal)
        # The whole batch fails, then the good half meets a deadlock of its own.
        journal.errors = [AssertionError("whole"), RetryBatch("deadlock")]
        journal.gate.set()
        outcomes = await asyncio.gather(*offered, return_exceptions=True)
    assert outcomes[0] == "GOOD" and isinstance(outcomes[1], AssertionError)
    assert len(quarantined) == 1


async def test_an_unknown_commit_ends_the_writer_instead_of_being_run_again() -> None:
    journal = Journal()
    journal.errors = [OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)]
    async with running(journal) as batcher:
        with pytest.raises(OperationalError):
            await batcher.offer(Named("a"))
        with pytest.raises(OperationalError):
            await batcher.failed
        with pytest.raises(Stopped):
            batcher.offer(Named("b"))
    assert journal.tries == [["a"]]


async def test_a_stop_writes_what_is_queued_and_takes_nothing_more() -> None:
    journal = Journal()
    async with running(journal, pace_ms=FOR_EVER_MS, ride_along_ms=FOR_EVER_MS, batch_events_max=2) as batcher:
        await batcher.offer(Named("first"))
        queued = [batcher.offer(Named(f"request{n}")) for n in range(3)]
        queued.append(batcher.offer(Named("completion"), wake=False))
        await batcher.stop()
        assert all(future.done() for future in queued)
        with pytest.raises(Stopped):
            batcher.offer(Named("late"))
    assert journal.written == ["first", "request0", "request1", "request2", "completion"]


async def test_a_stop_during_an_outage_gives_up_after_its_limit_and_says_so_to_whoever_waits() -> None:
    journal = Journal()
    journal.errors = [RetryBatch("no database") for _ in range(1000)]
    async with running(journal) as batcher:
        waiting = batcher.offer(Named("a"))
        await entered(journal)
        await batcher.stop(limit_s=0.05)
        with pytest.raises(Stopped):
            await waiting
    assert journal.written == []


async def test_whoever_stops_waiting_changes_nothing_for_the_others() -> None:
    journal = Journal()
    async with running(journal) as batcher:
        journal.gate.clear()
        gone, stays = batcher.offer(Named("gone")), batcher.offer(Named("stays"))
        await entered(journal)
        gone.cancel()
        journal.gate.set()
        assert await stays == "STAYS"
    assert journal.written == ["gone", "stays"]


async def test_the_hook_after_the_commit_runs_on_the_loop_once_a_batch() -> None:
    journal, seen = Journal(), []

    def after_commit(batch: Batch) -> None:
        assert asyncio.get_running_loop() is not None
        seen.append([applied.result for applied in batch.applied])

    async with running(journal, after_commit=after_commit) as batcher:
        await asyncio.gather(*(batcher.offer(Named(name)) for name in "ab"))
    assert seen == [["A", "B"]]
