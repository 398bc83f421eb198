"""One batch, one transaction: load and lock what the jobs need, run them in order, write everything at once, commit.

The lock order is the same everywhere: consumers by number, payments by id, the turn of a carrier's files, limit
counters, feed rows by merchant. What two processes may both insert (an idempotency key, a live reference, a new
consumer) is guarded by a unique index: the loser's whole batch is rolled back and run again, and then finds the winner.

Knows no rule about payments: that is `gateway.core.decide`, called by the jobs through the `Unit`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from gateway import failpoints
from gateway.store import tables
from gateway.store.engine import begin_write, database_now_ms
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow
from gateway.store.times import Times
from gateway.store.unit import Move, Needs, Policy, Unit


class Job(Protocol):
    """One thing for the writer to do. `run` may be called again after a rollback, so it keeps no state of its own."""

    @property
    def action(self) -> str:
        """`ask`, `reply`, `charge`, `webhook`, `reversal` for the fail-points, else empty."""
        ...

    @property
    def is_carrier_fact(self) -> bool:
        """A fact that must never be dropped, even if it cannot be applied."""
        ...

    def needs(self) -> Needs: ...

    def run(self, unit: Unit) -> object: ...


class Applied(msgspec.Struct, frozen=True):
    """What became of one job: its future's result or its error."""

    result: object = None
    error: BaseException | None = None


class Batch(msgspec.Struct, frozen=True):
    """A committed batch: an `Applied` for each job, and what it wrote."""

    applied: list[Applied]
    rows: list[OutboxRow]
    moves: Sequence[Move] = ()
    """Which payments came into another public state."""
    reported: Sequence[str] = ()
    """For each report of a phone's owner, the carrier."""


class RetryBatch(Exception):
    """The batch left no trace and may be tried again as it is (lost connection, deadlock, lost race for a key)."""


class LostRace(RetryBatch):
    """Another process was first with a unique value; the batch, run again, finds it. Losing for ever is a bug."""


class Store:
    """The writer's side of the database. Used by one thread."""

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        *,
        clock_offset_ms: Callable[[], int] = lambda: 0,
        owned_epoch: Callable[[str], int | None] = lambda lane: None,
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._clock_offset_ms = clock_offset_ms
        self.owned_epoch = owned_epoch
        self.commits = Times()
        self._is_remote = engine.dialect.name != "sqlite"

    def apply(self, jobs: Sequence[Job]) -> Batch:
        """Run *jobs* in one transaction. Raise RetryBatch if nothing was written and trying again makes sense."""
        batch_id = new_id("bat_")
        unit: Unit | None = None
        results: list[Applied] = []
        reported: list[str] = []
        committing = False
        try:
            with begin_write(self._engine) as conn:
                unit = Unit(conn, self._policy, owned_epoch=self.owned_epoch)
                needs = [job.needs() for job in jobs]
                unit.load(needs)
                unit.now_ms = database_now_ms(conn) + self._clock_offset_ms()
                unit.hold_limits(needs)
                results = [Applied(job.run(unit)) for job in jobs]
                reported = [row["carrier"] for row in unit.fresh(tables.report)]
                unit.flush()
                if self._is_remote:
                    conn.execute(insert(tables.batch).values(id=batch_id, at_ms=unit.now_ms))
                _pass_failpoints(jobs, "before_commit")
                committing = True
                began_s = time.perf_counter()
            self.commits.note(time.perf_counter() - began_s)
        except DBAPIError as error:
            if not (committing and self._is_committed(batch_id, error)):
                raise _sorted_out(error) from error
        _pass_failpoints(jobs, "after_commit")
        assert unit is not None
        return Batch(results, unit.outbox_rows(), unit.moves, reported)

    def _is_committed(self, batch_id: str, error: DBAPIError) -> bool:
        """After a lost answer to COMMIT: did it happen? Wait for the database; nothing else may be written before."""
        if not self._is_remote or not error.connection_invalidated:
            return False
        for _ in range(LOST_COMMIT_TRIES):
            try:
                with self._engine.connect() as conn:
                    return _has_batch(conn, batch_id)
            except DBAPIError:
                time.sleep(LOST_COMMIT_PAUSE_S)
        raise error


# A fail-over takes 4 to 25 s; after two minutes the process stops rather than guess.
LOST_COMMIT_TRIES = 240
LOST_COMMIT_PAUSE_S = 0.5


def _has_batch(conn: Connection, batch_id: str) -> bool:
    return conn.execute(select(tables.batch.c.id).where(tables.batch.c.id == batch_id)).first() is not None


# Unique indexes that two processes may race for; the loser of the race runs its batch again.
RACED = frozenset(
    {
        *("idempotency_pkey", "payment_live_reference", "consumer_msisdn", "consumer_now", "mo_provider", "feed_pkey"),
        *("item_number", "pay_code_held"),
        # Two seal for a moment if the first was frozen just before it sealed.
        *("ledger_seal_pkey", "ledger_seal_entry_id_key", "balance_snapshot_pkey"),
        # Two owners of a lane, one of them late, both put off the same webhook of a replay.
        "outbox_pkey",
    }
)
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01", "25006", "25P03", "55P03"})
# Resources are short, an operator intervenes, the system fails: nothing that is wrong with the batch.
_RETRYABLE_CLASSES = ("53", "57", "58")


def _sorted_out(error: DBAPIError) -> Exception:
    """RetryBatch for trouble that passes, the error itself for a bug of ours."""
    origin = error.orig
    if isinstance(error, IntegrityError):
        name = getattr(getattr(origin, "diag", None), "constraint_name", None)
        return LostRace(f"lost a race for {name}") if name in RACED else error
    state = getattr(origin, "sqlstate", None)
    is_passing = state is not None and (state in _RETRYABLE_SQLSTATES or state.startswith(_RETRYABLE_CLASSES))
    passing = error.connection_invalidated or is_passing or isinstance(error, InterfaceError)
    no_answer = isinstance(error, OperationalError) and (state is None or state.startswith("08"))
    return RetryBatch(str(origin)) if passing or no_answer else error


def _pass_failpoints(jobs: Sequence[Job], place: str) -> None:
    for job in jobs:
        if job.action:
            failpoints.hit(f"{job.action}.{place}")
