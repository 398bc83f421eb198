"""The CAMARA adapter beside its simulator on its socket, and a web server that mounts the adapter's routes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from carriers import base
from carriers.camara.adapter import Biller, Settings
from gateway.http_client import HttpClient, Limits
from simulators.camara import Camara, CamaraSettings
from simulators.camara_wire import PAYMENTS, REFUNDS, TOKEN_PATH
from simulators.faults import FaultPlan, Scripted
from simulators.journal import Journals, Record
from simulators.web import HttpServer

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


async def a_bench() -> AsyncIterator[CamaraBench]:
    """For a fixture. By the journal no attempt was charged twice, whatever the test did."""
    bench = CamaraBench()
    await bench.start()
    yield bench
    assert all(times == 1 for times in bench.charges.values())
    await bench.stop()
