"""A link is there exactly while its lane is owned, and nobody's cancellation is taken for somebody else's."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from carriers import base
from gateway.app import bearers
from gateway.app.bearers import keep_link


class Line:
    """A bearer that only runs; its goodbye can be made to take as long as the test wants."""

    concurrency = 1
    hard_timeout_s = 1.0

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.leaving = asyncio.Event()
        self.may_leave = asyncio.Event()
        self.runs = 0

    def routes(self) -> Sequence[base.Route]:
        return ()

    async def run(self, sink: base.Sink) -> None:
        self.runs += 1
        self.began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.leaving.set()
            await self.may_leave.wait()

    async def submit(self, message: base.Mt) -> base.SubmitResult:
        raise AssertionError("nobody submits here")

    def is_up(self) -> bool:
        return self.began.is_set()


async def sink(said: base.Mo | base.Receipt | base.Callback) -> None:
    raise AssertionError("nobody speaks here")


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "LOOK_S", 0.001)


class Lane:
    """A lane that is owned or not; it knows how often the keeper has looked."""

    def __init__(self, *, owned: bool) -> None:
        self.owned = owned
        self._looks = asyncio.Semaphore(0)

    def owns(self, name: str) -> bool:
        self._looks.release()
        return self.owned

    async def looked_at(self, times: int) -> None:
        """Return once the keeper has looked that often."""
        for _ in range(times):
            await asyncio.wait_for(self._looks.acquire(), 5)


# A look asks about the lane twice at most.
TWO_LOOKS = 4
# A cancellation is delivered in the loop's next turn, and a task that it ends is done in that turn.
TURNS = 3


async def test_a_link_comes_and_goes_with_its_lane() -> None:
    lane = Lane(owned=False)
    line = Line()
    line.may_leave.set()
    keeper = asyncio.create_task(keep_link("sms:acme:0", partial(line.run, sink), lane.owns))
    await lane.looked_at(TWO_LOOKS)
    assert line.runs == 0
    lane.owned = True
    await asyncio.wait_for(line.began.wait(), 5)
    lane.owned = False
    await asyncio.wait_for(line.leaving.wait(), 5)
    keeper.cancel()
    await asyncio.wait_for(asyncio.wait({keeper}), 5)
    assert keeper.cancelled() and line.runs == 1


async def test_a_keeper_that_is_cancelled_during_the_goodbye_ends() -> None:
    lane = Lane(owned=True)
    line = Line()
    keeper = asyncio.create_task(keep_link("sms:acme:0", partial(line.run, sink), lane.owns))
    await asyncio.wait_for(line.began.wait(), 5)
    lane.owned = False
    await asyncio.wait_for(line.leaving.wait(), 5)
    keeper.cancel()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert not keeper.done()
    line.may_leave.set()
    await asyncio.wait_for(asyncio.wait({keeper}), 5)
    assert keeper.cancelled()
