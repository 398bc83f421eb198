"""Which lanes this process owns, and how rows get from the database into them.

One heartbeat keeps all leases of a process; a slow poll and wake-ups read what is due; freshly committed rows go
straight to memory. The right to start work hangs on the lease, the right to record a fact on nothing. Knows neither
texts nor money: executors do.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from gateway.engine.batcher import Batcher, Stopped
from gateway.engine.clock import steady_s
from gateway.engine.lane import Executor, Grant, Lane
from gateway.store.leases import FREED
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

# Rows read from the database in one go, for one lane.
CLAIM_MAX = 500


class LaneSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Leases, pauses and memory of a process's lanes."""

    lease_s: float = 20.0
    heartbeat_s: float = 3.0
    poll_s: float = 1.0
    room_max: int = 2000
    """Rows of one lane in memory."""


class LaneCounters(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen of one lane from outside."""

    is_owned: bool
    is_behind: bool
    depth: int
    running: int
    executed: int
    retried: int
    failures: int
    stuck: int


class Held(Protocol):
    """What a heartbeat found."""

    @property
    def owned(self) -> Mapping[str, int]:
        """Lane → epoch, for every lane that this process owns now."""
        ...

    @property
    def surplus(self) -> Sequence[str]:
        """Owned lanes that a process with fewer of them should have."""
        ...


class LaneTable(Protocol):
    """The statements behind the lanes; each runs in the writer's thread, inside the batch's transaction."""

    def heartbeat(
        self, conn: Connection, *, owner: str, names: Sequence[str], now_ms: int, lease_ms: int | None
    ) -> Held:
        """Extend this owner's leases and take free or expired lanes; without a lease time take all of them."""
        ...

    def claim_due(self, conn: Connection, *, lane: str, epoch: int, now_ms: int, limit: int) -> list[OutboxRow]:
        """Due rows of *lane* that this epoch has not claimed, oldest first; from now on they carry *epoch*.

        `maybe_sent` is set on those that another epoch had claimed. None if the lane is in another epoch by now.
        """
        ...

    def release(self, conn: Connection, *, owner: str, epochs: Mapping[str, int], unstarted: Sequence[str]) -> None:
        """Give back lanes still in these epochs. *unstarted* rows lose their epoch: nothing of them was sent."""
        ...


async def _nothing() -> None:
    return


class Lanes:
    """All lanes of one process. Lanes without an executor (`deadlines`, `sealer`) are only owned."""

    def __init__(
        self,
        owner: str,
        batcher: Batcher,
        executors: Mapping[str, Executor],
        lane_names: Sequence[str],
        *,
        table: LaneTable,
        settings: LaneSettings,
        single_process: bool,
        notify_others: Callable[[set[str]], None] = lambda names: None,
        now_s: Callable[[], float] = steady_s,
    ) -> None:
        self._owner = owner
        self._batcher = batcher
        self._executors = executors
        self._names = tuple(lane_names)
        self._table = table
        self._settings = settings
        self._single_process = single_process
        self._notify_others = notify_others
        self._now_s = now_s
        self._grants: dict[str, Grant] = {}
        self._lanes: dict[str, Lane] = {}
        self._open: dict[str, Grant] = {}
        """Of lanes that take fresh rows straight to memory. Read by the writer's thread."""
        self._wanted: set[str] = set()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    async def start(self) -> None:
        """Take what lanes can be had, and keep them."""
        settings = self._settings
        for name, executor in self._executors.items():
            self._lanes[name] = Lane(
                name, executor, self._batcher, room_max=settings.room_max, now_s=self._now_s, on_room=self.wake
            )
        self._wake = asyncio.Event()
        self._beat_now = asyncio.Event()
        await self._beat()
        self._tasks = [
            asyncio.create_task(self._keep_beating(), name="lanes: heartbeat"),
            asyncio.create_task(self._keep_claiming(), name="lanes: claim"),
        ]

    async def stop(self, *, limit_s: float = 10.0, let_go: Callable[[], Awaitable[None]] = _nothing) -> None:
        """Start nothing more, wait for what runs, then give the lanes back.

        *let_go* is awaited before that: it ends what only one owner may have, such as a link.
        """
        self._is_stopping = True
        heartbeat, claim = self._tasks
        for lane in self._lanes.values():
            lane.stop_starting()
        self._wake.set()
        # Not cut short: rows that are being read just now would look as if they had been started.
        await asyncio.wait([claim], timeout=limit_s)
        await _cancel(claim)
        await self._last_rows()
        unstarted = await asyncio.gather(*(lane.finish(limit_s) for lane in self._lanes.values()))
        await let_go()
        await _cancel(heartbeat)
        for leaving in tuple(self._leaving.values()):
            await _cancel(leaving)
        await self._give_back(tuple(self._grants), [row_id for ids in unstarted for row_id in ids])

    def owned_epoch(self, name: str) -> int | None:
        """The epoch to write into a fresh row of lane *name*, if this process takes it straight to memory.

        Called in the writer's thread: one look into a dict. A process that was frozen may not know yet that it lost
        the lane; its new rows must not look as if they had been begun.
        """
        grant = None if self._is_stopping else self._open.get(name)
        return grant.epoch if grant is not None and grant.may_start(0) else None

    def hand_over(self, rows: Iterable[OutboxRow]) -> None:
        """Rows of a committed batch: into memory, or a word to whoever owns their lane. Runs on the loop."""
        taken: dict[str, list[OutboxRow]] = {}
        elsewhere: set[str] = set()
        for row in rows:
            grant = self._grants.get(row.lane)
            if row.due_at_ms > row.created_at_ms:
                continue
            if grant is None:
                elsewhere.add(row.lane)
            elif row.epoch == grant.epoch:
                taken.setdefault(row.lane, []).append(row)
            else:
                self._wake_for(row.lane)
        for name, fresh in taken.items():
            self._take(self._lanes[name], fresh)
        if elsewhere:
            self._notify_others(elsewhere)

    def _take(self, lane: Lane, rows: list[OutboxRow]) -> None:
        lane.accept(rows)
        if lane.room <= 0:
            # From now on rows wait in the database, and those that come later wait behind them.
            lane.is_behind = True
            self._open.pop(lane.name, None)

    def wake(self, name: str) -> None:
        """There may be due rows for lane *name*, or its link is up again; or others have `FREED` lanes."""
        if name == FREED:
            self._beat_now.set()
        if name in self._lanes and name in self._grants:
            self._lanes[name].nudge()
            self._wake_for(name)

    def _wake_for(self, name: str) -> None:
        self._wanted.add(name)
        self._wake.set()

    def owns(self, name: str) -> bool:
        """True while this process certainly owns lane *name*."""
        grant = self._grants.get(name)
        return grant is not None and not self._is_stopping and grant.may_start(0)

    def counters(self) -> dict[str, LaneCounters]:
        """By lane, for the metrics."""
        return {
            name: LaneCounters(
                is_owned=lane.is_owned(),
                is_behind=lane.is_behind,
                depth=lane.depth,
                running=lane.running,
                executed=lane.executed,
                retried=lane.retried,
                failures=lane.failures,
                stuck=lane.stuck,
            )
            for name, lane in self._lanes.items()
        }

    async def _keep_beating(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._beat_now.wait(), self._settings.heartbeat_s)
            self._beat_now.clear()
            try:
                await self._beat()
            except Exception:  # A loop's top: without a lease nothing starts, so trying again is all there is to do.
                log.exception("the heartbeat of %s failed", self._owner)

    async def _beat(self) -> None:
        """Extend the leases, take free lanes, notice what was lost, leave what is more than our share."""
        lease_ms = None if self._single_process else round(self._settings.lease_s * 1000)
        # Counted from before the request, so that our view of the lease never outlives the database's.
        asked_at_s = self._now_s()
        held = await self._batcher.call(
            lambda unit: self._table.heartbeat(
                unit.conn, owner=self._owner, names=self._names, now_ms=unit.now_ms, lease_ms=lease_ms
            ),
            ahead=True,
        )
        # One process alone holds its lanes by the lock on the database's file, for as long as it lives.
        lease_s = math.inf if lease_ms is None else self._settings.lease_s
        for name in self._grants.keys() - held.owned.keys():
            self._lose(name)
        for name, epoch in held.owned.items():
            if name in self._leaving and name not in self._grants:
                continue  # The release is on its way and was not seen yet.
            self._own(name, epoch, asked_at_s + lease_s)
        for name in held.surplus:
            if name not in self._leaving and not self._is_stopping:
                self._leaving[name] = asyncio.create_task(self._leave(name), name=f"lanes: leave {name}")

    def _own(self, name: str, epoch: int, until_s: float) -> None:
        grant = self._grants.get(name)
        if grant is not None and grant.epoch == epoch:
            grant.renew(until_s)
            return
        if grant is not None:
            self._lose(name)
        self._grants[name] = Grant(epoch, until_s, self._now_s)
        if name in self._lanes:
            self._lanes[name].own(self._grants[name])
            self._wake_for(name)

    def _lose(self, name: str) -> None:
        log.warning("%s lost lane %s", self._owner, name)
        self._open.pop(name, None)
        self._grants.pop(name).end()
        if name in self._lanes:
            self._lanes[name].lose()

    async def _leave(self, name: str) -> None:
        """Hand a surplus lane over: finish what runs, start nothing more, release."""
        self._open.pop(name, None)
        lane = self._lanes.get(name)
        if lane is not None:
            lane.stop_starting()
            await self._last_rows()
        unstarted = [] if lane is None else await lane.finish(self._settings.lease_s)
        try:
            await self._give_back([name], unstarted)
        finally:
            del self._leaving[name]
            if lane is not None:
                lane.resume()

    async def _last_rows(self) -> None:
        """Wait for the batch in hand: its rows may still carry our epoch, and must be given back as never started."""
        with contextlib.suppress(Stopped):
            await self._batcher.call(lambda unit: None)

    async def _give_back(self, names: Sequence[str], unstarted: Sequence[str]) -> None:
        """Release *names*; rows that were never started are free of the suspicion that they may have been sent."""
        grants = {name: self._grants.pop(name) for name in names if name in self._grants}
        for name, grant in grants.items():
            grant.end()
            if name in self._lanes:
                self._lanes[name].lose()
        epochs = {name: grant.epoch for name, grant in grants.items()}
        await self._batcher.call(
            lambda unit: self._table.release(unit.conn, owner=self._owner, epochs=epochs, unstarted=unstarted)
        )

    async def _keep_claiming(self) -> None:
        poll_s = self._settings.poll_s
        next_poll_s = self._now_s() + poll_s
        while not self._is_stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, min(poll_s, next_poll_s - self._now_s())))
            # A wake-up names its lanes; the slow poll looks at all, and many wake-ups must not put it off.
            is_poll = self._now_s() >= next_poll_s or not self._wake.is_set()
            if is_poll:
                next_poll_s = self._now_s() + poll_s
            names = set(self._grants) if is_poll else self._wanted
            self._wanted = set()
            self._wake.clear()
            try:
                await self._claim([name for name in names if self._can_claim(name)], wake=not is_poll)
            except Exception:  # A loop's top: the rows are safe in the database, the next poll reads them.
                log.exception("claiming due rows for %s failed", self._owner)

    def _can_claim(self, name: str) -> bool:
        return self.owns(name) and name in self._lanes and name not in self._leaving and self._lanes[name].room > 0

    async def _claim(self, names: Sequence[str], *, wake: bool) -> None:
        if not names:
            return
        # Sorted, as the heartbeat locks them.
        asked = {name: (self._grants[name], min(CLAIM_MAX, self._lanes[name].room)) for name in sorted(names)}
        for name in names:
            self._lanes[name].begin_claim()
        found: dict[str, list[OutboxRow]] = {}
        try:
            # Ahead of what is queued: rows written later in the same batch may then go straight to memory.
            found = await self._batcher.call(lambda unit: self._claim_due(unit, asked), wake=wake, ahead=True)
        finally:
            for name, (grant, limit) in asked.items():
                rows = found.get(name)
                is_complete = rows is not None and len(rows) < limit
                self._lanes[name].end_claim(grant.epoch, rows or (), is_complete=is_complete)
                if not is_complete and self._can_claim(name) and rows is not None:
                    self._wake_for(name)

    def _claim_due(self, unit: Unit, asked: Mapping[str, tuple[Grant, int]]) -> dict[str, list[OutboxRow]]:
        """In the writer's thread: read what is due, and open the lanes whose whole backlog came along."""
        found = {}
        for name, (grant, limit) in asked.items():
            rows = self._table.claim_due(unit.conn, lane=name, epoch=grant.epoch, now_ms=unit.now_ms, limit=limit)
            found[name] = rows
            if len(rows) < limit and name not in self._leaving:
                self._open[name] = grant
            else:
                self._open.pop(name, None)
        return found


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
