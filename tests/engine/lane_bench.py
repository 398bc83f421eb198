"""A bench for lanes: a database in memory, an executor that journals, and whole processes that share the database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from msgspec.structs import replace
from sqlalchemy import Connection

from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.lane import Grant
from gateway.engine.lanes import Lanes, LaneSettings
from gateway.store.apply import Applied, Batch, Job
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit

WAIT_S = 20.0


class Always:
    """A lane's grant that never ends."""

    def may_start(self, hard_timeout_s: float) -> bool:
        return True


class Steady:
    """A steady clock that stands until it is moved."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@dataclass
class Held:
    owned: dict[str, int]
    surplus: list[str]


@dataclass
class Lease:
    owner: str | None = None
    epoch: int = 0
    until_ms: float = 0


class Shelf:
    """A database in memory: the outbox and the leases, with the promises that `LaneTable` asks for."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.now_s = now_s
        self.rows: dict[str, OutboxRow] = {}
        self.leases: dict[str, Lease] = {}
        self.surplus: dict[str, list[str]] = {}
        self.lock = threading.RLock()

    @property
    def now_ms(self) -> int:
        return int(self.now_s() * 1000)

    def heartbeat(
        self, conn: Connection, *, owner: str, names: Sequence[str], now_ms: int, lease_ms: int | None
    ) -> Held:
        owned = {}
        for name in names:
            lease = self.leases.setdefault(name, Lease())
            if lease.owner not in (owner, None) and lease.until_ms > now_ms and lease_ms is not None:
                continue
            if lease.owner != owner or lease.epoch == 0:
                lease.owner, lease.epoch = owner, lease.epoch + 1
            lease.until_ms = now_ms + (lease_ms or 0)
            owned[name] = lease.epoch
        return Held(owned, [name for name in self.surplus.get(owner, []) if name in owned])

    def claim_due(self, conn: Connection, *, lane: str, epoch: int, now_ms: int, limit: int) -> list[OutboxRow]:
        if self.leases[lane].epoch != epoch:
            return []
        due = [r for r in self.rows.values() if r.lane == lane and r.due_at_ms <= now_ms and r.epoch != epoch]
        claimed = []
        for row in sorted(due, key=lambda row: (row.due_at_ms, row.created_at_ms))[:limit]:
            self.rows[row.id] = replace(row, epoch=epoch)
            claimed.append(replace(row, epoch=epoch, maybe_sent=row.epoch is not None))
        return claimed

    def release(self, conn: Connection, *, owner: str, epochs: Mapping[str, int], unstarted: Sequence[str]) -> None:
        for name, epoch in epochs.items():
            if self.leases[name].epoch == epoch:
                self.leases[name].owner = None
        for row_id in unstarted:
            if row_id in self.rows:
                self.rows[row_id] = replace(self.rows[row_id], epoch=None)


@dataclass
class Done:
    """The job that records an outcome: the row is gone from the outbox."""

    shelf: Shelf
    row: OutboxRow
    word: str
    broken: bool = False
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> str:
        assert not self.broken, "this outcome cannot be applied"
        self.shelf.rows.pop(self.row.id, None)
        return self.word


@dataclass
class Write:
    """A job that writes rows, as a decision's effects do."""

    rows: list[OutboxRow]
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        for row in self.rows:
            unit.queue(row)


class Desk:
    """An executor that journals what it does; a row may be made to wait, to fail, or not to start."""

    def __init__(self, shelf: Shelf, *, concurrency: int = 100) -> None:
        self.shelf = shelf
        self.concurrency = concurrency
        self.hard_timeout_s = 5.0
        self.up = True
        self.down_for = ""
        """The kind of rows that cannot leave."""
        self.began: list[str] = []
        self.finished: list[str] = []
        self.dropped: list[str] = []
        self.maybe_sent: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.errors: dict[str, list[Exception]] = {}
        self.broken_outcomes: set[str] = set()
        self.at_once = 0
        self.most_at_once = 0
        self._changed = asyncio.Event()

    def is_up(self, row: OutboxRow) -> bool:
        return self.up and row.kind != self.down_for

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        self.began.append(row.id)
        if row.maybe_sent:
            self.maybe_sent.append(row.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._changed.set()
        try:
            if row.id in self.gates:
                await self.gates[row.id].wait()
            if self.errors.get(row.id):
                raise self.errors[row.id].pop(0)
        finally:
            self.at_once -= 1
        self.finished.append(row.id)
        self._changed.set()
        return Done(self.shelf, row, "sent", broken=row.id in self.broken_outcomes)

    def drop(self, row: OutboxRow) -> Job:
        self.dropped.append(row.id)
        self._changed.set()
        return Done(self.shelf, row, "dropped")

    def block(self, row_id: str) -> asyncio.Event:
        return self.gates.setdefault(row_id, asyncio.Event())

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until *is_so*; looked at whenever something happens here."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Process:
    """One gateway process: its batcher, its lanes, its view of the steady clock."""

    shelf: Shelf
    batcher: Batcher
    lanes: Lanes
    desk: Desk
    told: list[set[str]] = field(default_factory=list)
    batches: list[list[str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    async def write(self, *rows: OutboxRow) -> None:
        await self.batcher.offer(Write(list(rows)))

    async def settled(self) -> None:
        """Wait until every row of the shelf is gone."""
        async with asyncio.timeout(WAIT_S):
            while self.shelf.rows:
                await self.batcher.call(lambda unit: None)


class TinyUnit:
    """What the jobs of these tests use of a unit."""

    def __init__(self, shelf: Shelf, owned_epoch: Callable[[str], int | None]) -> None:
        self.conn = SimpleNamespace()
        self.now_ms = shelf.now_ms
        self.queued: list[OutboxRow] = []
        self._owned_epoch = owned_epoch

    def queue(self, row: OutboxRow) -> None:
        if row.due_at_ms <= self.now_ms:
            row = replace(row, epoch=self._owned_epoch(row.lane))
        self.queued.append(row)


@asynccontextmanager
async def process(
    shelf: Shelf,
    name: str = "one",
    *,
    desk: Desk | None = None,
    lane_names: Sequence[str] = ("sms:acme:0",),
    single_process: bool = False,
    batch: BatchSettings | None = None,
    **settings: float,
) -> AsyncIterator[Process]:
    desk = desk or Desk(shelf)

    def apply(jobs: Sequence[Job]) -> Batch:
        assert here.gate.wait(WAIT_S)
        with shelf.lock:
            unit = TinyUnit(shelf, here.lanes.owned_epoch)
            applied = [Applied(job.run(cast(Unit, unit))) for job in jobs]
            shelf.rows.update({row.id: row for row in unit.queued})
            here.batches.append([type(job).__name__ for job in jobs])
        return Batch(applied, unit.queued)

    batcher = Batcher(
        apply,
        settings=batch or BatchSettings(pace_ms=0, ride_along_ms=1),
        quarantine=lambda job, error: None,
        after_commit=lambda done: here.lanes.hand_over(done.rows),
    )
    numbers = {"heartbeat_s": 0.01, "poll_s": 0.01, "lease_s": 20.0} | settings
    told: list[set[str]] = []
    lanes = Lanes(
        name,
        batcher,
        dict.fromkeys([lane for lane in lane_names if lane != "deadlines"], desk),
        lane_names,
        table=shelf,
        settings=LaneSettings(**numbers),  # type: ignore[arg-type]  # Numbers of the right kind.
        single_process=single_process,
        notify_others=told.append,
        now_s=shelf.now_s,
    )
    here = Process(shelf, batcher, lanes, desk, told)
    here.gate.set()
    batcher.start()
    await lanes.start()
    try:
        yield here
    finally:
        here.gate.set()
        await lanes.stop(limit_s=0.05)
        await batcher.stop(limit_s=5)


def a_row(row_id: str, **changes: Any) -> OutboxRow:  # Any: the row's fields.
    fields: dict[str, Any] = {
        "id": row_id,
        "lane": "sms:acme:0",
        "kind": "sms",
        "group_key": row_id,
        "payment_id": None,
        "consumer_id": None,
        "body": {},
        "due_at_ms": 1_000_000,
        "created_at_ms": 1_000_000,
    }
    return OutboxRow(**(fields | changes))


def about(payment_id: str, row_id: str, **changes: Any) -> OutboxRow:  # Any: the row's fields.
    """A text about a payment that makes its earlier ones pointless."""
    return a_row(row_id, payment_id=payment_id, group_key="phone", body={"supersedes": True}, **changes)
