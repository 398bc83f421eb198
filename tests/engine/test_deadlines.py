"""Deadlines: found by the batch's clock, told once, only by the owner. The payment table here is a real one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest
from sqlalchemy import create_engine, insert, update
from sqlalchemy.pool import StaticPool

from gateway.engine import deadlines as deadlines_module
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.clock import Clock
from gateway.engine.deadlines import Deadlines
from gateway.store import tables
from gateway.store.apply import Applied, Batch, Job
from gateway.store.unit import Needs, Unit


@dataclass
class Reached:
    """The word to one payment; it clears the deadline unless it is told to break."""

    payment_id: str
    told: list[str]
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        self.told.append(self.payment_id)
        assert "broken" not in self.payment_id
        payment = tables.payment
        unit.conn.execute(update(payment).where(payment.c.id == self.payment_id).values(deadline_at_ms=None))


class Bench:
    """A database with payments and a clock that a test moves."""

    def __init__(self) -> None:
        self.clock = Clock(lambda: 1_000_000)
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        tables.payment.create(self.engine)
        self.told: list[str] = []
        self.is_owner = True
        self.batcher = Batcher(self._apply, settings=BatchSettings(pace_ms=0), quarantine=lambda job, error: None)
        self.deadlines = Deadlines(
            self.batcher,
            lambda lane: self.is_owner and lane == "deadlines",
            lambda payment_id: Reached(payment_id, self.told),
        )

    def _apply(self, jobs: Sequence[Job]) -> Batch:
        with self.engine.begin() as conn:
            unit = cast(Unit, SimpleNamespace(conn=conn, now_ms=self.clock.now_ms()))
            return Batch([Applied(job.run(unit)) for job in jobs], [])

    def add(self, **deadlines_ms: int | None) -> None:
        """Payments by name with their deadlines."""
        texts = dict.fromkeys(
            "merchant_id mode consumer_id carrier shop currency description metadata capture language ref"
            " state".split(),
            "x",
        )
        numbers = dict.fromkeys(
            "amount_minor code_n code_digits version created_at_ms updated_at_ms consent_expires_at_ms wrong_codes"
            " attempts cancel_requested".split(),
            1,
        )
        with self.engine.begin() as conn:
            for name, deadline_at_ms in deadlines_ms.items():
                row = {**texts, **numbers, "id": name, "deadline_at_ms": deadline_at_ms}
                conn.execute(insert(tables.payment).values(row))


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    here = Bench()
    here.batcher.start()
    yield here
    await here.batcher.stop(limit_s=5)
    here.engine.dispose()


async def test_a_payment_is_told_when_its_deadline_is_over_and_not_a_millisecond_before() -> None:
    async with bench() as here:
        here.add(over=1_000_000, soon=1_000_001, never=None)
        assert await here.deadlines.look() == 1
        assert here.told == ["over"]
        here.clock.advance(0.001)
        assert await here.deadlines.look() == 1
        assert here.told == ["over", "soon"]


async def test_a_payment_that_has_decided_is_not_told_again() -> None:
    async with bench() as here:
        here.add(over=1)
        await here.deadlines.look()
        assert await here.deadlines.look() == 0
        assert here.told == ["over"]


async def test_a_process_that_does_not_own_the_lane_tells_nobody() -> None:
    async with bench() as here:
        here.add(over=1)
        here.is_owner = False
        assert await here.deadlines.look() == 0
        assert here.told == []


async def test_the_longest_waiting_are_told_first_and_never_too_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines_module, "FOUND_MAX", 2)
    async with bench() as here:
        here.add(third=3, first=1, second=2)
        assert await here.deadlines.look() == 2
        assert here.told == ["first", "second"]
        assert await here.deadlines.look() == 1


async def test_a_payment_that_cannot_be_told_does_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines_module, "FOUND_MAX", 1)
    async with bench() as here:
        here.add(broken=1, fine=2)
        await here.deadlines.look()
        await here.deadlines.look()
        await here.deadlines.look()
        # Twice each at most: the batch that broke is run again without its culprit.
        assert here.told.count("broken") == 1
        assert here.told.count("fine") == 1


async def test_it_looks_again_at_once_while_there_is_more_and_else_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadlines_module, "FOUND_MAX", 1)
    paused = asyncio.Event()
    async with bench() as here:
        here.add(a=1, b=2, c=3)

        async def pause() -> None:
            paused.set()
            await asyncio.Event().wait()

        looking = asyncio.create_task(
            Deadlines(
                here.batcher, lambda lane: True, lambda payment_id: Reached(payment_id, here.told), pause=pause
            ).run()
        )
        async with asyncio.timeout(20):
            await paused.wait()
        assert here.told == ["a", "b", "c"]
        looking.cancel()
        await asyncio.wait([looking])


def test_a_clock_never_goes_back_and_its_offset_can_be_handed_on() -> None:
    wall = [1000]
    clock = Clock(lambda: wall[0])
    assert clock.now_ms() == 1000
    wall[0] = 400
    assert clock.now_ms() == 1000
    clock.advance(2.5)
    assert (clock.offset_ms, clock.now_ms()) == (2500, 2900)
    with pytest.raises(AssertionError):
        clock.advance(-1)
