"""One lane: the outbox rows of its name that this process holds in memory, and the order in which they leave.

Rows of one key (a phone, a payment, an endpoint) leave one after another, each only after the outcome of the one
before is on disk; different keys leave side by side. A lane starts nothing without a lease that outlives what it
starts; what has been started is recorded whatever became of the lease. Knows no database: rows come in by `accept`,
outcomes go out to the batcher.
"""

import asyncio
import logging
from bisect import insort
from collections.abc import Callable, Coroutine, Iterable
from typing import Protocol

from msgspec.structs import replace

from gateway.engine.batcher import Batcher, Busy, Stopped
from gateway.engine.given_up import RowGivenUp
from gateway.store.apply import Job
from gateway.store.outbox import OutboxRow

log = logging.getLogger(__name__)

# How often a lane that may not start (link down, lease in doubt) looks again.
HOLD_RECHECK_S = 0.2
# A row whose executor broke down is a bug of ours: rare enough to be patient, and the log should stay readable.
FAILED_PAUSE_S = 10.0
FAILURES_MAX = 5

NEVER_S = float("-inf")
TEXTS = ("sms", "ussd")
"""Kinds of rows by which a phone is told or asked something."""


class NotStarted(Exception):
    """An executor gave the row back: no byte has left, the row waits as it was."""


class Grant:
    """The right to start work in one epoch of a lane."""

    def __init__(self, epoch: int, until_s: float, now_s: Callable[[], float]) -> None:
        self.epoch = epoch
        self._until_s = until_s
        self._now_s = now_s

    def may_start(self, hard_timeout_s: float) -> bool:
        """True if the lease outlives a request that is started now."""
        return self._now_s() + hard_timeout_s < self._until_s

    def renew(self, until_s: float) -> None:
        self._until_s = until_s

    def end(self) -> None:
        self._until_s = NEVER_S


class Executor(Protocol):
    """Does what rows of one lane want. `run` ends by itself within `hard_timeout_s`."""

    @property
    def concurrency(self) -> int:
        """How many rows may be under way at once."""
        ...

    @property
    def hard_timeout_s(self) -> float: ...

    def is_up(self, row: OutboxRow) -> bool:
        """False while *row* cannot leave; the lane then holds it, and all of its key behind it."""
        ...

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        """Carry out *row* and return the job that records what came of it. Results are data, not exceptions."""
        ...

    def drop(self, row: OutboxRow) -> Job:
        """The job that records that *row* was superseded before it left."""
        ...


class Lane:
    """Rows of one lane in memory. Lives as long as the process, through all changes of ownership."""

    def __init__(
        self,
        name: str,
        executor: Executor,
        batcher: Batcher,
        *,
        room_max: int,
        now_s: Callable[[], float],
        on_room: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.name = name
        self.grant: Grant | None = None
        self.is_behind = True
        """The database may hold due rows that are not in memory; new ones must queue behind them there."""
        self.executed = 0
        self.retried = 0
        """Of `executed`, those that had been tried before."""
        self.failures = 0
        self.stuck = 0
        """Rows whose outcome could not be recorded; they are not touched again by this process."""
        self._executor = executor
        self._batcher = batcher
        self._room_max = room_max
        self._now_s = now_s
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, list[OutboxRow]] = {}
        self._ready: dict[str, None] = {}
        self._held: dict[str, None] = {}
        """Keys whose first row cannot leave until the lane looks again."""
        self._busy: set[str] = set()
        self._known: dict[str, OutboxRow] = {}
        self._ended_lately: dict[str, int] = {}
        """Row → which try of it ended."""
        self._held_back: list[OutboxRow] | None = None
        self._failed: dict[str, int] = {}
        """Row → how often its executor broke down on it."""
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._recheck: asyncio.TimerHandle | None = None
        self._is_stopping = False

    def own(self, grant: Grant) -> None:
        """This process owns the lane in a new epoch."""
        self.lose()
        self.grant = grant
        self.is_behind = True

    def lose(self) -> None:
        """Forget what has not been started; what runs goes on, and its outcome is recorded."""
        if self.grant is not None:
            self.grant.end()
        self.grant = None
        for rows in self._waiting.values():
            for row in rows:
                del self._known[row.id]
        self._waiting.clear()
        self._ready.clear()
        self._held.clear()

    def is_owned(self) -> bool:
        """True while the lease certainly holds."""
        return self.grant is not None and self.grant.may_start(0)

    @property
    def room(self) -> int:
        """How many more rows should come into memory."""
        return self._room_max - len(self._known)

    def accept(self, rows: Iterable[OutboxRow]) -> None:
        """Take freshly committed rows that carry this lane's epoch. They are always taken: nobody else would."""
        if self._held_back is not None:
            self._held_back.extend(rows)
            return
        for row in rows:
            self._accept(row)
        self._start_ready()

    def begin_claim(self) -> None:
        """Rows are being read from the database. What a lane that is behind gets meanwhile stays behind them."""
        self._ended_lately.clear()
        if self.is_behind and self._held_back is None:
            self._held_back = []

    def end_claim(self, epoch: int, rows: Iterable[OutboxRow], *, is_complete: bool) -> None:
        """Take the rows that were read, except those that were in memory or ended since the reading began."""
        held_back, self._held_back = self._held_back or [], None
        if self.grant is None or self.grant.epoch != epoch:
            return
        self.is_behind = not is_complete
        for row in rows:
            if row.tries > self._ended_lately.get(row.id, -1):  # A row that was requeued meanwhile is another try.
                self._accept(row)
        self.accept(held_back)

    def _accept(self, row: OutboxRow) -> None:
        known = self._known.get(row.id)
        if known is not None:
            # Claimed in a new epoch while the old one's is still in hand: whoever gives that back queues this one.
            if known.epoch != row.epoch:
                self._known[row.id] = row
            return
        self._known[row.id] = row
        rows = self._waiting.setdefault(row.group_key, [])
        for older in [other for other in rows if _supersedes(row, other)]:
            rows.remove(older)
            self._drop(older)
        # Read late from the database: a later text is here already, though of one moment the one that came last counts.
        if any(_supersedes(other, row) and other.created_at_ms > row.created_at_ms for other in rows):
            self._drop(row)
            return
        insort(rows, row, key=_age)
        if row.group_key not in self._busy:
            self._ready[row.group_key] = None

    def _start_ready(self) -> None:
        while self._ready and self._running < self._executor.concurrency:
            if self._is_stopping or self.grant is None:
                return
            if not self.grant.may_start(self._executor.hard_timeout_s):
                self._hold()
                return
            key = next(iter(self._ready))
            del self._ready[key]
            if not self._executor.is_up(self._waiting[key][0]):
                self._held[key] = None
                self._hold()
                continue
            self._held.pop(key, None)  # What it was held for was dropped meanwhile.
            self._busy.add(key)
            self._running += 1
            self._spawn(self._carry_out(self._waiting[key].pop(0), self.grant))

    def _hold(self) -> None:
        if self._recheck is None:
            self._recheck = self._loop.call_later(HOLD_RECHECK_S, self.nudge)

    def nudge(self) -> None:
        """Look again whether something may start; for instance when a link is up again."""
        if self._recheck is not None:
            self._recheck.cancel()
            self._recheck = None
        # They came before what has become ready meanwhile.
        self._ready = self._held | self._ready
        self._held = {}
        self._start_ready()

    async def _carry_out(self, row: OutboxRow, grant: Grant) -> None:
        job: Job
        try:
            job = await self._executor.run(row, grant)
        except NotStarted:
            self._loop.call_later(HOLD_RECHECK_S, self._give_back, row, grant)
            return
        except Exception as error:  # A loop's top: a bug in an executor must not stop the lane or send anything twice.
            self.failures += 1
            failed = self._failed[row.id] = self._failed.get(row.id, 0) + 1
            log.exception("lane %s: row %s failed and will be tried again as maybe sent", self.name, row.id)
            if failed < FAILURES_MAX:
                self._loop.call_later(FAILED_PAUSE_S, self._give_back, replace(row, maybe_sent=True), grant)
                return
            job = RowGivenUp(row, repr(error))
        finally:
            self._running -= 1
            self._start_ready()
        self.executed += 1
        self.retried += row.tries > 0
        if await self._record(row, job):
            self._forget(row)
        self._free(row.group_key)

    def _give_back(self, row: OutboxRow, grant: Grant) -> None:
        newest = self._known.get(row.id, row)
        if grant is self.grant:
            self._waiting.setdefault(row.group_key, []).insert(0, row)
        elif self.grant is not None and newest.epoch == self.grant.epoch:
            # What this process knows of its own try is the truth; the claim could only suspect it.
            kept = self._known[row.id] = replace(newest, maybe_sent=row.maybe_sent)
            self._waiting.setdefault(row.group_key, []).insert(0, kept)
        else:  # It has not ended: a claim that is being read may bring it again.
            self._known.pop(row.id, None)
        self._free(row.group_key)

    def _free(self, key: str) -> None:
        self._busy.discard(key)
        if self._waiting.get(key):
            self._ready[key] = None
        else:
            self._waiting.pop(key, None)
        self._start_ready()

    def _forget(self, row: OutboxRow) -> None:
        self._known.pop(row.id, None)
        self._failed.pop(row.id, None)
        self._ended_lately[row.id] = row.tries
        if self.is_behind and len(self._known) <= self._room_max // 2:
            self._on_room(self.name)

    def _drop(self, row: OutboxRow) -> None:
        self._spawn(self._record_dropped(row))

    async def _record_dropped(self, row: OutboxRow) -> None:
        if await self._record(row, self._executor.drop(row)):
            self._forget(row)

    async def _record(self, row: OutboxRow, job: Job) -> bool:
        """Bring the outcome to disk, however long that takes. False if it cannot be done in this process."""
        try:
            recorded = await self._offer(job)
        except Stopped:
            return False
        await asyncio.wait([recorded])
        error = recorded.exception()
        if error is not None and not isinstance(error, Stopped):
            self.stuck += 1
            log.error("lane %s: the outcome of row %s could not be recorded: %r", self.name, row.id, error)
        return error is None

    async def _offer(self, job: Job) -> "asyncio.Future[object]":
        while True:
            try:
                return self._batcher.offer(job, wake=False, vital=True)
            except Stopped:
                raise
            except Busy as busy:
                await asyncio.sleep(busy.retry_after_s)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop_starting(self) -> None:
        self._is_stopping = True
        if self._recheck is not None:
            self._recheck.cancel()

    def resume(self) -> None:
        self._is_stopping = False
        self._start_ready()

    async def finish(self, limit_s: float) -> list[str]:
        """Wait for what runs, cancel what runs longer; return the ids of rows that were never started."""
        self.stop_starting()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        return [row.id for rows in self._waiting.values() for row in rows if not row.maybe_sent]

    @property
    def depth(self) -> int:
        """Rows in memory: waiting, running, or waiting for their outcome to be on disk."""
        return len(self._known)

    @property
    def running(self) -> int:
        return self._running


def _age(row: OutboxRow) -> int:
    return row.created_at_ms


def _supersedes(newer: OutboxRow, older: OutboxRow) -> bool:
    """A later text about a payment makes its earlier ones that have not left pointless; STOP the asks of its phone."""
    are_texts = newer.kind == "sms" and older.kind in TEXTS
    is_later_text = are_texts and newer.created_at_ms >= older.created_at_ms
    if not is_later_text or newer.id == older.id:
        return False
    if newer.body.get("ends_texts") and newer.group_key == older.group_key:
        return True
    if newer.body.get("ends_asks") and newer.group_key == older.group_key:
        # An ask that was written behind the STOP knows of it and ends its payment by itself.
        is_unaware = bool(older.body.get("is_ask")) and not older.body.get("stopped")
        return is_unaware and newer.body.get("ends_asks_of", "") in ("", older.body.get("merchant_id"))
    is_about_the_same = newer.payment_id is not None and newer.payment_id == older.payment_id
    return bool(newer.body.get("supersedes")) and is_about_the_same
