"""CAMARA carrier billing: the common suite over the socket, and what only this dialect can get wrong."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import msgspec
import pytest
from aiohttp import web

from carriers import base
from carriers.camara.adapter import Biller, Settings
from gateway.http_client import HttpClient, Limits
from simulators.camara import Camara, CamaraSettings
from simulators.camara_wire import PAYMENTS, REFUNDS, TOKEN_PATH
from simulators.faults import CAMARA_FAULTS, FAULTS, FaultPlan, Scripted
from simulators.journal import Journals, Record
from simulators.web import HttpServer
from tests.carriers.conformance import (
    INQUIRY_KNOBS,
    KNOBS,
    BillerBench,
    FaultyBillerConformance,
    Knob,
    charge_order,
    reverse_order,
    word,
)

KEY = "00112233445566778899aabbccddeeff"
HASTY_S = 0.3


class CamaraBench:
    """The adapter, the simulator on its socket, and a web server that mounts the adapter's routes."""

    msisdn = "+254712345100"

    def __init__(self) -> None:
        self.heard: asyncio.Queue[base.Callback] = asyncio.Queue()
        self.is_overloaded = False
        self.plan = FaultPlan(seed=1, use_magic=False)
        self.journals = Journals(None)
        self.charges: Counter[str] = Counter()
        self.journals.listeners.append(self.note)
        settings = CamaraSettings(
            late_after_s=None, slow_s=0.01, callback_late_s=0.01, inquiry_lag_s=3600.0, expires_after_s=0.01
        )
        self.camara = Camara(settings, self.plan, self.journals.camara)
        self.gateway = HttpServer(self.answer)
        self.client = HttpClient(Limits(sweep_s=0.01, body_bytes_max=256 * 1024))
        self.biller: Biller
        self.hasty: Biller

    def note(self, name: str, record: Record) -> None:
        if record["kind"] == "executed.charge":
            self.charges[record["correlator"]] += 1

    async def start(self) -> None:
        await self.camara.start()
        await self.gateway.start()
        self.biller, self.hasty = self.a_biller(), self.a_biller(timeout_s=HASTY_S)
        self.running = asyncio.create_task(self.biller.run(self.sink))
        await asyncio.sleep(0)

    def a_biller(self, **more: Any) -> Biller:
        at = self.camara.server.url
        chosen = {
            "base_url": f"{at}{PAYMENTS}/",
            "refund_url": f"{at}{REFUNDS}",
            "token_url": f"{at}{TOKEN_PATH}",
            "client_id": "gateway",
            "client_secret": "secret",
            "timeout_s": 30.0,
            "callback_base_url": self.gateway.url.replace("http:", "https:"),
            "callback_key": KEY,
            **more,
        }
        return Biller("op", msgspec.convert(chosen, Settings), now_ms=lambda: 0, client=self.client)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.client.close()
        await self.camara.stop()
        await self.gateway.stop()
        self.journals.close()

    async def sink(self, thing: object) -> None:
        assert isinstance(thing, base.Callback)
        if self.is_overloaded:
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        [route] = self.biller.routes()
        assert request.method == route.method
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=await request.read())
        answered = await route.answer(asked)
        return web.Response(status=answered.status, body=answered.body)

    def executed(self) -> tuple[int, int]:
        executions = self.camara.book.executions
        return executions["charge"], executions["refund"]

    def strike(self, point: str, knob: str) -> None:
        self.plan.add(Scripted(point=f"camara.{point}", fault=knob, at=1))

    def settle(self, attempt_id: str) -> None:
        if not self.camara.execute_late(attempt_id):
            self.camara.book.transactions[attempt_id].lagging_until = 0.0

    async def stop_listening(self) -> None:
        await self.camara.server.stop()

    async def call_back(self, attempt_id: str, token: str) -> int:
        item = self.camara.book.transactions[attempt_id]
        if token == "another":
            assert item.order.sink is not None
            order = msgspec.structs.replace(item.order, sink=item.order.sink.replace(attempt_id, "att_2"))
            item = msgspec.structs.replace(item, order=order)
        answered = await self.camara.events.post(item, is_forged=token == "wrong")
        assert answered is not None
        return answered


@pytest.fixture
async def bench() -> AsyncIterator[CamaraBench]:
    bench = CamaraBench()
    await bench.start()
    yield bench
    assert all(times == 1 for times in bench.charges.values())
    await bench.stop()


# An order that is refused at once is not made: an inquiry does not find it.
OWN = {
    "insufficient_funds": Knob("declined carrier_declined", "not found", 0),
    "limit_exceeded": Knob("declined limit_exceeded", "not found", 0),
    "not_subscriber": Knob("declined not_subscriber", "not found", 0),
    "barred": Knob("declined carrier_declined", "not found", 0),
    "unauthorized_amount": Knob("declined limit_exceeded", "not found", 0),
    "timeout_declined": Knob("unknown", "not found", 0, hangs=True),
    "denied": Knob("pending", "declined carrier_declined", 0, callbacks=1),
    "processing": Knob("pending", "pending", 0, settled="charged", callbacks=1),
    "silent": Knob("pending", "pending", 0, settled="charged"),
    "duplicate": Knob("unknown", "charged", 1),
    "duplicate_argument": Knob("unknown", "charged", 1),
    "rate_limited": Knob("unknown", "not found", 0),
    "token_expired": Knob("charged", "charged", 1),
    "callback_lost": Knob("charged", "charged", 1),
    "callback_forged": Knob("charged", "charged", 1),
    "callback_disordered": Knob("charged", "charged", 1, callbacks=2),
}
OWN_REFUNDS = {
    "not_subscriber": Knob("declined carrier_declined", "not found", 0),
    "unauthorized_amount": Knob("declined carrier_declined", "not found", 0),
}
OWN_INQUIRIES = {
    "wrong_amount": "charged otherwise",
    "wrong_number": "unknown",
    "nameless": "unknown",
    "rate_limited": "unknown",
    "token_expired": "charged",
}


class TestBiller(FaultyBillerConformance):
    knobs: ClassVar = CAMARA_FAULTS
    inquiry_knobs: ClassVar = FAULTS["camara.inquiry"]
    own: ClassVar = OWN
    own_refunds: ClassVar = OWN_REFUNDS
    own_inquiries: ClassVar = OWN_INQUIRIES

    @pytest.mark.parametrize("name", sorted(OWN.keys() - KNOBS.keys()))
    async def test_a_charge_that_meets_a_fault_of_this_dialect(self, bench: CamaraBench, name: str) -> None:
        await self.test_a_charge_that_meets_a_fault(bench, name)

    @pytest.mark.parametrize("name", sorted(OWN.keys() - KNOBS.keys()))
    async def test_a_reversal_that_meets_a_fault_of_this_dialect(self, bench: CamaraBench, name: str) -> None:
        await self.test_a_reversal_that_meets_a_fault(bench, name)

    @pytest.mark.parametrize("name", sorted(OWN_INQUIRIES.keys() - INQUIRY_KNOBS.keys()))
    async def test_an_inquiry_that_meets_a_fault_of_this_dialect(self, bench: CamaraBench, name: str) -> None:
        await self.test_an_inquiry_that_meets_a_fault(bench, name)

    async def test_another_phones_attempt_is_not_found(self, bench: BillerBench) -> None:
        """Here it is found under our id, and that is a contradiction which a person must see."""
        order = charge_order(bench)
        await bench.biller.charge(order)
        stranger = msgspec.structs.replace(order, msisdn=bench.msisdn[:-1] + "7")
        assert word(await bench.biller.inquire(stranger)) == "unknown"

    async def test_what_was_never_charged_cannot_be_given_back(self, bench: BillerBench) -> None:
        """A refund is below its payment, so without one there is nowhere to send it."""
        order = reverse_order(bench, of="att_never")
        assert word(await bench.biller.reverse(order)) == "unsent"
        assert word(await bench.biller.inquire_reverse(order)) == "not found"
        assert bench.executed() == (0, 0)
