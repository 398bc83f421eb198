"""The group commit: jobs offered while one batch is being written become the next one.

The event loop owns the queue and decides when the next batch leaves; one writer thread applies it. Nothing is shared
between the two but the handed batch and its outcome, so there is no lock. Knows no SQL and no payment: `apply` does
the work, `quarantine` takes what cannot be applied, `after_commit` hands committed outbox rows on.
"""

import asyncio
import logging
import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, TypeVar, cast

import msgspec
from sqlalchemy.exc import DBAPIError

from gateway.store.apply import Applied, Batch, Job, LostRace, RetryBatch
from gateway.store.unit import Needs, Unit

log = logging.getLogger(__name__)

T = TypeVar("T")

# Pauses before a batch is tried again, the last one for ever: a fail-over of the database takes seconds to minutes.
RETRY_PAUSES_S = (0.0, 0.01, 0.05, 0.2, 1.0)
JOIN_LIMIT_S = 5.0
# The winner of a race is there when the loser runs again; who loses this often races against itself.
LOST_RACES_MAX = 5


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and pauses of the group commit."""

    batch_events_max: int = 256
    queue_max: int = 4096
    reserved_share: float = 0.25
    """This share of the queue is kept for vital jobs: replies and carriers' answers."""
    pace_ms: int = 10
    """Batches begin no closer together than this, unless `eager_at` jobs wait."""
    eager_at: int = 128
    ride_along_ms: int = 50
    """Jobs that wake nobody wait this long for a batch to ride along with."""
    retry_after_s: float = 1.0
    """What `Busy` recommends."""


class Busy(Exception):
    """There is no room in the queue; try again after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"no room in the queue, try again after {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Stopped(Busy):
    """The writer has ended and takes nothing any more; the outcome of what was queued is not known."""


class Call:
    """An odd job for the next batch: whatever *fn* does with the unit. It may run again after a rollback."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def __init__(self, fn: Callable[[Unit], object]) -> None:
        self._fn = fn

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> object:
        return self._fn(unit)


class _Waiting(NamedTuple):
    job: Job
    future: "asyncio.Future[object]"
    offered_at_s: float
    wake: bool


class Batcher:
    """Takes jobs on the event loop and resolves each one's future once its outcome is on disk."""

    def __init__(
        self,
        apply: Callable[[Sequence[Job]], Batch],
        *,
        settings: BatchSettings,
        quarantine: Callable[[Job, Exception], None],
        after_commit: Callable[[Batch], None] = lambda batch: None,
    ) -> None:
        self._settings = settings
        self._writer = _Writer(apply, quarantine, self._batch_written, self._writer_failed)
        self._after_commit = after_commit
        self._queue: deque[_Waiting] = deque()
        self._waking = 0
        self._in_hand: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = 0.0
        self._last_begun_s = float("-inf")
        self._room_for_all = int(settings.queue_max * (1 - settings.reserved_share))
        self._stopping = False
        self._closed = True
        self.batches = 0
        self.events = 0
        self.last_batch_events = 0
        self.shed = 0

    def start(self) -> None:
        """Start the writer thread; call from the event loop that will offer."""
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._idle.set()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Gets an exception if the writer can no longer be trusted; the process should end then."""
        self._closed = False
        self._writer.start(self._loop)

    async def stop(self, *, limit_s: float = 30.0) -> None:
        """Write what is queued, then end the thread. What is left after *limit_s* ends with `Stopped`."""
        self._stopping = True
        self._schedule()
        try:
            await asyncio.wait_for(self._idle.wait(), limit_s)
        except TimeoutError:
            log.error("%d jobs were not written within %s s of the stop", self.depth + len(self._in_hand), limit_s)
            self._writer.abandon()
        self._closed = True
        self._writer.end()
        await self._loop.run_in_executor(None, self._writer.join)
        self._drop_all(Stopped(self._settings.retry_after_s))

    def offer(
        self, job: Job, *, wake: bool = True, vital: bool = False, ahead: bool = False
    ) -> "asyncio.Future[object]":
        """Queue *job*; the future resolves once its outcome is on disk. Raise Busy when there is no room.

        A job with `wake=False` is in no hurry: it rides along with the next batch. One with `ahead=True` goes before
        what is queued; such a job must not be about a payment, whose facts keep the order in which they came.
        """
        if self._closed:
            raise Stopped(self._settings.retry_after_s)
        if len(self._queue) >= (self._settings.queue_max if vital else self._room_for_all):
            self.shed += 1
            raise Busy(self._settings.retry_after_s)
        future: asyncio.Future[object] = self._loop.create_future()
        waiting = _Waiting(job, future, self._loop.time(), wake)
        if ahead:
            self._queue.appendleft(waiting)
        else:
            self._queue.append(waiting)
        self._waking += wake
        self._idle.clear()
        self._schedule()
        return future

    async def call(self, fn: Callable[[Unit], T], *, wake: bool = True, ahead: bool = False) -> T:
        """Run *fn* inside the next batch's transaction and return what it returned. It is never shed for others."""
        offered = self.offer(Call(fn), wake=wake, vital=True, ahead=ahead)
        return cast(T, await offered)  # `Call.run` returns what fn returned.

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    @property
    def retries(self) -> int:
        """Batches tried again since the start."""
        return self._writer.retries

    @property
    def quarantined(self) -> int:
        """Jobs that could not be applied."""
        return self._writer.quarantined

    def oldest_waiting_s(self) -> float:
        """How long the oldest job has waited for its batch to begin."""
        return self._loop.time() - self._queue[0].offered_at_s if self._queue else 0.0

    def _schedule(self) -> None:
        """Arm the timer for the next batch, unless one is being written."""
        if self._in_hand or not self._queue:
            return
        due_s = self._due_s()
        if self._timer is not None:
            if self._timer_due_s <= due_s:
                return
            self._timer.cancel()
        self._timer_due_s = due_s
        # Even a batch that is due now begins by the loop's next round, so that it takes this round's other jobs along.
        self._timer = self._loop.call_at(due_s, self._begin)

    def _due_s(self) -> float:
        settings = self._settings
        if self._stopping or len(self._queue) >= settings.eager_at:
            return self._loop.time()
        paced_s = self._last_begun_s + settings.pace_ms / 1000
        if self._waking:
            return max(self._loop.time(), paced_s)
        return max(self._queue[0].offered_at_s + settings.ride_along_ms / 1000, paced_s)

    def _begin(self) -> None:
        self._timer = None
        count = min(len(self._queue), self._settings.batch_events_max)
        self._in_hand = [self._queue.popleft() for _ in range(count)]
        self._waking -= sum(waiting.wake for waiting in self._in_hand)
        self._last_begun_s = self._loop.time()
        self._writer.hand([waiting.job for waiting in self._in_hand])

    def _batch_written(self, batch: Batch) -> None:
        written, self._in_hand = self._in_hand, []
        self.batches += 1
        self.events += len(written)
        self.last_batch_events = len(written)
        self._schedule()
        for waiting, applied in zip(written, batch.applied, strict=True):
            _resolve(waiting.future, applied)
        self._set_idle()
        self._after_commit(batch)

    def _writer_failed(self, error: Exception) -> None:
        log.critical("the writer ended: %s", error)
        self._closed = True
        self._drop_all(error)
        if not self.failed.done():
            self.failed.set_exception(error)

    def _drop_all(self, error: Exception) -> None:
        left = [*self._in_hand, *self._queue]
        self._in_hand = []
        self._queue.clear()
        self._waking = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in left:
            _resolve(waiting.future, Applied(error=error))
        self._set_idle()

    def _set_idle(self) -> None:
        if not self._queue and not self._in_hand:
            self._idle.set()


def _resolve(future: "asyncio.Future[object]", applied: Applied) -> None:
    if future.done():  # Whoever waited has gone; the outcome stands all the same.
        return
    if applied.error is None:
        future.set_result(applied.result)
    else:
        future.set_exception(applied.error)


class _Writer:
    """The thread: applies one batch after another, tries again what may be, isolates what never will be."""

    def __init__(
        self,
        apply: Callable[[Sequence[Job]], Batch],
        quarantine: Callable[[Job, Exception], None],
        written: Callable[[Batch], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._apply = apply
        self._quarantine = quarantine
        self._written = written
        self._failed = failed
        self._handed: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._abandoned = threading.Event()
        self.retries = 0
        self.quarantined = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._thread = threading.Thread(target=self._run, args=(loop,), name="writer", daemon=True)
        self._thread.start()

    def hand(self, jobs: list[Job]) -> None:
        self._handed.put(jobs)

    def abandon(self) -> None:
        """Try nothing again from now on."""
        self._abandoned.set()

    def end(self) -> None:
        self._handed.put(None)

    def join(self) -> None:
        # A writer that hangs in the database ends with the process.
        self._thread.join(JOIN_LIMIT_S)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while (jobs := self._handed.get()) is not None:
                loop.call_soon_threadsafe(self._written, self._apply_all(jobs))
        except Stopped:
            pass
        except Exception as error:  # The loop's top: nothing may be written any more, and the process must know.
            log.exception("the writer cannot go on")
            loop.call_soon_threadsafe(self._failed, error)

    def _apply_all(self, jobs: list[Job]) -> Batch:
        """Apply *jobs*, if need be in ever smaller parts until a culprit stands alone with its error."""
        try:
            return self._apply_patiently(jobs)
        except Stopped:
            raise
        except Exception as error:  # Whatever a job raises is a bug of ours in that one job; the others go on.
            if _is_commit_unknown(error):
                raise
            if len(jobs) == 1:
                self.quarantined += 1
                log.exception("quarantined %s", type(jobs[0]).__name__)
                self._quarantine(jobs[0], error)
                return Batch([Applied(error=error)], [])
        middle = len(jobs) // 2
        # In order, one after the other: the second half may be about the same payments.
        first, second = self._apply_all(jobs[:middle]), self._apply_all(jobs[middle:])
        return Batch(
            first.applied + second.applied,
            first.rows + second.rows,
            [*first.moves, *second.moves],
            [*first.reported, *second.reported],
        )

    def _apply_patiently(self, jobs: list[Job]) -> Batch:
        tries = 0
        while True:
            try:
                batch = self._apply(jobs)
            except RetryBatch as error:
                if isinstance(error, LostRace) and tries >= LOST_RACES_MAX:
                    raise
                log.warning("a batch of %d is tried again: %s", len(jobs), error)
            else:
                assert len(batch.applied) == len(jobs), "apply must answer for each job"
                return batch
            self.retries += 1
            pause_s = RETRY_PAUSES_S[min(tries, len(RETRY_PAUSES_S) - 1)]
            # Uneven pauses, so that two processes that block each other do not meet again at once.
            if self._abandoned.wait(pause_s * random.uniform(0.5, 1.5)):
                raise Stopped(0)
            tries += 1


def _is_commit_unknown(error: Exception) -> bool:
    """The answer to COMMIT was lost and could not be looked up. Everything else of that sort arrives as RetryBatch."""
    return isinstance(error, DBAPIError) and error.connection_invalidated
