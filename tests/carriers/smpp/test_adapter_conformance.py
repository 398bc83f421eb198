"""The suite that every bearer passes, over the SMSC simulator and handsets whose owners answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from carriers import base
from carriers.smpp.adapter import Bearer
from simulators.faults import FaultPlan
from simulators.handsets import Handsets, HandsetSettings
from simulators.journal import Journals
from simulators.smsc import Smsc
from simulators.smsc_settings import SmscSettings
from tests.carriers.conformance import WAIT_S, BearerConformance
from tests.carriers.smpp.adapter_bench import NOW_MS, PLAIN, some_settings


class PhonesBench:
    """SMSC, phones, and a bearer that is bound."""

    carrier = "safari"
    msisdn = PLAIN

    def __init__(self) -> None:
        self.heard: asyncio.Queue[base.Mo | base.Receipt] = asyncio.Queue()
        self.refusals = 0
        journals = Journals(None)
        handsets = Handsets(HandsetSettings(reply_delay_s=0.0), journals.handsets, top_up=lambda *_: None)
        settings = SmscSettings(retry_delay_s=0.01)
        self._smsc = Smsc(settings, FaultPlan(seed=1), journals.smsc, phones=handsets)
        handsets.network = self._smsc

    async def start(self) -> None:
        await self._smsc.start()
        up = asyncio.Event()
        self.bearer = Bearer(self.carrier, some_settings()(self._smsc.port), now_ms=lambda: NOW_MS, on_up=up.set)
        self._running = asyncio.create_task(self.bearer.run(self._sink))
        await asyncio.wait_for(up.wait(), WAIT_S)

    async def _sink(self, thing: base.Mo | base.Receipt | base.Callback) -> None:
        assert not isinstance(thing, base.Callback)
        if self.refusals:
            self.refusals -= 1
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def go_down(self) -> None:
        """Returns once the SMSC has closed every link."""
        await self._smsc.stop()

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running], timeout=WAIT_S)
        await self._smsc.stop()


class TestBearer(BearerConformance):
    @pytest.fixture
    async def bench(self) -> AsyncIterator[PhonesBench]:
        bench = PhonesBench()
        await bench.start()
        yield bench
        await bench.stop()
