"""The house of the walk: a real store with its lanes, in a process that may die, and what a walk sees of it.

Time is moved, never waited for; what makes ids has the same clock. Only what is outside is played, by `walk_truth`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest
import uuid_utils
from hypothesis.stateful import RuleBasedStateMachine
from msgspec.structs import replace
from sqlalchemy import Engine, event, text

from gateway.core import caps
from gateway.core.carrier_files import Files
from gateway.core.fees import FeeSchedule, Rates, Tier
from gateway.core.limits import Limits
from gateway.core.payment import Payment, Rules
from gateway.core.reply import Meaning
from gateway.core.sim_rule import SimRule
from gateway.engine.clock import wall_ms
from gateway.engine.executors import OrderExecutor
from gateway.engine.inbox import KeywordHandler
from gateway.engine.reconciliation import Reconciler, Terms
from gateway.store import identity
from gateway.store.apply import Batch, Job, Store
from gateway.store.engine import connect
from gateway.store.heads import Anchor
from gateway.store.leases import Leases
from gateway.store.outbox import LanePlan, OutboxRow
from gateway.store.queries import is_in_vain, payment_from_row
from gateway.store.unit import Policy, Unit
from tests.engine.lane_bench import Always
from tests.store.bench import POLICY, Odd, applied
from tests.store.walk_truth import Bank, Carrier, Mood

ZONE: Final = ZoneInfo("Africa/Nairobi")
LANES: Final = ("charge:acme:0", "sms:acme:0", "sim:acme:0")
LIMITS: Final = Limits(
    phone_day_count=6,
    merchant_day_count=12,
    merchant_day_amount=1_300_000,
    merchant_month_count=1_000_000,
    carrier_day_amount=1_400_000,
    carrier_month_count=1_000_000,
)
# A short ladder: a person is called soon.
PLAIN: Final = Rules(
    holds=True,
    partial_capture=True,
    hold_ms=3_600_000,
    max_processing_ms=1_000,
    inquiry_ladder_ms=(10_000, 60_000, 300_000),
)
RULES: Final = (
    PLAIN,
    PLAIN,
    replace(PLAIN, opt_in="twice"),
    replace(PLAIN, sim=SimRule(answer_within_s=90.0)),
    replace(PLAIN, sim=SimRule(answer_within_s=90.0, on_error="allow", floor=50_000), opt_in="twice"),
)
"""What a carrier asks of phones: once, twice, and with a SIM that is not fresh."""
WALKING: Final[Policy] = replace(
    POLICY,
    rules={"acme": PLAIN},
    lanes=LanePlan(sms={"acme": 1}, charge={"acme": 1}, sim=("acme",)),
    modes={"acme": "test"},
    terms={"acme": caps.Terms(limits=LIMITS, zone=ZONE)},
)
FILES: Final = Files(
    pattern="acme_{date}_{sequence}.csv",
    columns={"attempt_id": "id", "amount": "minor", "status": "result"},
    statuses={said: said for said in ("charged", "refunded", "reversed", "failed")},
    amounts="minor",
    trailer="T",
    trailer_columns={"rows": "2", "total": "3", "remitted": "4"},
    grace_s=0.0,
)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk is about: amounts, and the fees on them."""

    prices_minor: tuple[int, ...]
    parts_minor: tuple[int, ...]
    rates: Rates | None = None
    is_remitted: bool = True
    """The carrier pays with its files. Not where a share of a part is no whole number: when a refund brings back which
    minor unit depends on the order in which both sides learn of refunds."""

    @property
    def share_bps(self) -> int:
        return 0 if self.rates is None else self.rates.carrier_share_basis_points


_ODD: Final = Rates(
    currency="KES",
    carrier_share_basis_points=2_437,
    vat_basis_points=1_650,
    withholding_basis_points=333,
    dispute_minor=1_501,
    tiers=(Tier(up_to_minor=60_000, basis_points=515, min_minor=777), Tier(fixed_minor=333, basis_points=215)),
)
WORLDS: Final = (
    World(prices_minor=(125_000, 99_999), parts_minor=(1, 30_000, 60_000, 99_999)),
    World(
        prices_minor=(125_000, 99_975),
        parts_minor=(25, 30_000, 60_025, 99_975),
        rates=replace(_ODD, carrier_share_basis_points=2_400),
    ),
    World(prices_minor=(125_001, 33_333), parts_minor=(1, 11_111, 33_332), rates=_ODD, is_remitted=False),
    World(
        prices_minor=(125_001, 33_333),
        parts_minor=(1, 11_111, 33_332),
        rates=replace(_ODD, returned=("carrier_share", "withholding")),
        is_remitted=False,
    ),
)


class CommitLost(Exception):
    """The database did not take a commit."""


class House:
    """One database for many walks after each other; `died` and `opened` again between any two batches."""

    def __init__(
        self, url: str, folder: Path, keywords: Mapping[Meaning, KeywordHandler], patch: pytest.MonkeyPatch
    ) -> None:
        self.url = url
        self.folder = folder
        self.keywords = dict(keywords)
        self.offset_ms = 0
        self.opened = self.walks = self.steps = self.files = self.fates = 0
        self.sealed_to = ""
        self.heads: list[Anchor] = []
        # One for all processes of the house: what it has compiled is no state, and its connections end with each.
        self._engine = connect(url)
        _spare_the_disk(self._engine)
        self.reads = connect(url, read_only=True)
        self.loop = asyncio.new_event_loop()
        self.lanes: dict[str, OutboxRow] = {}
        self.policy = WALKING
        self.broken: BaseException | None = None
        """The first failure. What comes when the walk is tried again is on top of what this one left."""
        self._epochs: dict[str, int] = {}
        patch.setattr(identity, "uuid_utils", _Uuids(self))
        self._open()

    def close(self) -> None:
        self._engine.dispose()
        self.reads.dispose()
        self.loop.close()

    def now_ms(self) -> int:
        return wall_ms() + self.offset_ms

    def _open(self) -> None:
        offset, epoch = (lambda: self.offset_ms), (lambda lane: self._epochs.get(lane))  # noqa: PLW0108 - of then, not of now.
        self.store = Store(self._engine, self.policy, clock_offset_ms=offset, owned_epoch=epoch)
        self.opened += 1
        beat = partial(Leases().heartbeat, owner=f"process {self.opened}", names=LANES, lease_ms=None)

        def take_lanes(unit: Unit) -> None:
            self._epochs = beat(unit.conn, now_ms=unit.now_ms).owned

        self.claim(Odd(take_lanes))

    def die(self) -> None:
        """The process ends, with all that it had in memory, and another one takes over."""
        self._engine.dispose()
        self.lanes, self._epochs = {}, {}
        self._open()

    def go_by(self, rules: Rules) -> None:
        """Another configuration, for which a process begins anew."""
        if rules != self.policy.rules["acme"]:
            self.policy = replace(WALKING, rules={"acme": rules})
            self.die()

    def claim(self, *jobs: Job) -> None:
        """Take what has become due, as the lanes do again and again; *jobs* first, in the same batch."""

        def claim(unit: Unit) -> list[OutboxRow]:
            due = partial(Leases().claim_due, unit.conn, now_ms=unit.now_ms, limit=500)
            return [row for lane, epoch in self._epochs.items() for row in due(lane=lane, epoch=epoch)]

        claimed = self.do(*jobs, Odd(claim)).applied[-1].result
        assert isinstance(claimed, list)
        self.lanes |= {row.id: row for row in claimed}

    def do(self, *jobs: Job) -> Batch:
        batch = applied(self.store, *jobs)
        self.lanes |= {row.id: row for row in batch.rows if row.epoch is not None}
        return batch

    def do_in_vain(self, *jobs: Job) -> None:
        """The same, and the database loses it at the commit."""

        def lose(conn: object) -> None:
            raise CommitLost

        event.listen(self._engine, "commit", lose)
        try:
            with pytest.raises(CommitLost):
                self.store.apply(jobs)
        finally:
            event.remove(self._engine, "commit", lose)

    def rows(self, statement: str, **values: object) -> list[Any]:  # Any: rows of the walk's own questions.
        with self.reads.connect() as conn:
            return list(conn.execute(text(statement), values))

    def take_file(self, path: Path) -> str:
        """Read a carrier's file, perhaps once more; what became of its remittance."""
        terms = Terms(carrier="acme", mode="test", currency="KES", zone=ZONE, files=FILES)
        # Another process: it owns no lane.
        store = Store(self._engine, self.policy, clock_offset_ms=lambda: self.offset_ms)
        return Reconciler(store, self.reads, terms).take(path).file.remittance

    def schedule(self, rates: Rates | None) -> FeeSchedule | None:
        return None if rates is None else FeeSchedule(name=f"walk{WORLDS_RATES.index(rates)}", rates=(rates,))


def _spare_the_disk(engine: Engine) -> None:
    """Do not wait for the disk at each commit: two thirds of the walk's time.

    A commit is seen by all as before. It would be lost if the machine or PostgreSQL died, and here only our process
    dies.
    """
    statement = "PRAGMA synchronous=OFF" if engine.dialect.name == "sqlite" else "SET synchronous_commit = off"

    @event.listens_for(engine, "connect")
    def spare(connection: Any, record: object) -> None:  # Any: the driver's connection.
        connection.execute(statement).close()
        connection.commit()


WORLDS_RATES: Final = [world.rates for world in WORLDS]


class _Uuids:
    """Time-ordered ids by the house's clock."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._latest_ns = 0

    def uuid7(self) -> uuid_utils.UUID:
        self._latest_ns = max(self._latest_ns + 1_000_000, self._house.now_ms() * 1_000_000)
        return uuid_utils.uuid7(nanoseconds=self._latest_ns)


class Story(RuleBasedStateMachine):
    """One walk: one merchant, three phones, a carrier and a bank of its own."""

    house: House

    def __init__(self) -> None:
        super().__init__()
        self.house.walks += 1
        self.house.offset_ms += 60_000
        if self.house.lanes:
            self.house.die()
        self.merchant = f"mer_walk{self.house.walks}"
        self.world = WORLDS[0]
        self.fee_schedule: str | None = None
        self.carrier = Carrier(self.is_kept, client_keyed=True)
        self.bank = Bank()
        self.keys = 0
        self._mine: list[Payment] | None = None

    def is_kept(self, attempt_id: str) -> bool:
        return bool(self.rows("SELECT 1 AS n FROM attempt WHERE id = :id", id=attempt_id))

    def rows(self, statement: str, **values: object) -> list[Any]:  # Any: rows of the walk's own questions.
        """`:me` is the walk's merchant."""
        return self.house.rows(statement, me=self.merchant, **values)

    def do(self, *jobs: Job) -> Batch:
        self._mine = None
        return self.house.do(*jobs)

    def changed(self) -> None:
        """Something moved payments that did not go through `do`."""
        self._mine = None

    @property
    def mine(self) -> list[Payment]:
        """The walk's payments, oldest first."""
        if self._mine is None:
            found = self.rows("SELECT * FROM payment WHERE merchant_id = :me ORDER BY id")
            self._mine = [payment_from_row(row) for row in found]
        return self._mine

    def those(self, *states: str) -> list[Payment]:
        return [payment for payment in self.mine if payment.state in states]

    @property
    def orders(self) -> list[OutboxRow]:
        """What the lanes have for the biller, oldest first."""
        return self._in_lanes(lambda row: row.kind not in ("sms", "sim"))

    @property
    def sim_questions(self) -> list[OutboxRow]:
        return self._in_lanes(lambda row: row.kind == "sim")

    def _in_lanes(self, is_meant: Callable[[OutboxRow], bool]) -> list[OutboxRow]:
        return sorted((row for row in self.house.lanes.values() if is_meant(row)), key=lambda row: row.id)

    def tell_the_biller(self, row: OutboxRow, mood: Mood) -> Job:
        """Send *row* as the lane does. The job that records what came of it."""

        async def number(consumer_id: str) -> str:
            return str(self.rows("SELECT msisdn FROM consumer WHERE id = :id", id=consumer_id)[0].msisdn)

        async def in_vain(attempt_id: str) -> bool:
            with self.house.reads.connect() as conn:
                return is_in_vain(conn, attempt_id)

        self.carrier.mood = mood
        executor = OrderExecutor(self.carrier, number, in_vain, self.house.now_ms, concurrency=1)
        return self.house.loop.run_until_complete(executor.run(row, Always()))

    def done(self, row: OutboxRow, job: Job) -> None:
        """Record it."""
        self.house.lanes.pop(row.id, None)
        self.do(job)

    def odd(self, run: Any) -> Any:  # Any: what a test has the batch do, and its result.
        return self.do(Odd(run)).applied[0].result


Thing = TypeVar("Thing")


def pick(things: Sequence[Thing], which: int) -> Thing:
    return things[which % len(things)]
