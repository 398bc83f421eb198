"""The Twilio bearer beside its simulator, phones that answer, and the web server through which carriers call us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from carriers import base
from carriers.twilio.adapter import Bearer, Settings
from merchants.app import _add_callbacks
from simulators.faults import FaultPlan, Scripted
from simulators.handsets import Handsets, HandsetSettings
from simulators.journal import Journals
from simulators.twilio import Twilio, TwilioSettings
from simulators.twilio_wire import signature
from tests.carriers.conformance import WAIT_S

NOW_MS = 1_764_000_000_000
HASTY_S = 0.2


class PhonesBench:
    """A bearer that runs. `heard` has what counts: the steps of a text on its way are in `steps`."""

    carrier = "acme"
    msisdn = "+254712345100"

    def __init__(self) -> None:
        self.heard: asyncio.Queue[base.Mo | base.Receipt] = asyncio.Queue()
        self.steps: list[base.Receipt] = []
        self.refusals = 0
        self.up = asyncio.Event()
        """Set whenever a bearer says that texts can leave again."""
        self.plan = FaultPlan(seed=1)
        journals = Journals(None)
        self.handsets = Handsets(HandsetSettings(reply_delay_s=0.0), journals.handsets, top_up=lambda *_: None)
        chosen = TwilioSettings(webhook_retry_s=0.01, late_s=0.01, slow_s=0.1)
        self.twilio = Twilio(chosen, self.plan, journals.twilio, phones=self.handsets)
        self.handsets.network = self.twilio
        self.http: aiohttp.ClientSession

    def a_bearer(self, **more: Any) -> Bearer:  # Any: settings.
        account = self.twilio.settings
        settings = {
            "account_sid": account.account_sid,
            "auth_token": account.auth_token,
            "sender": account.numbers[0],
            "base_url": self.twilio.server.url,
            "callback_base_url": self.url,
            "pause_s": 0.05,
            "price_timeout_s": HASTY_S,
            **more,
        }
        made = msgspec.convert(settings, Settings)
        return Bearer(self.carrier, made, now_ms=lambda: NOW_MS, on_up=self.up.set)

    async def start(self) -> None:
        await self.twilio.start()
        self.http = aiohttp.ClientSession()
        # The port is known before the bearer, whose routes are mounted then.
        app = web.Application()
        self._runner = web.AppRunner(app)
        called: dict[str, base.Route] = {}

        async def answer(request: base.Request) -> base.Response:
            return await called[request.path].answer(request)

        routes = [("acme", base.Route(method="POST", path=path, answer=answer)) for path in ("/incoming", "/status")]
        _add_callbacks(app, routes)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.bearer = self.a_bearer()
        called |= {route.path: route for route in self.bearer.routes()}
        self.twilio.webhook_url = self.address("incoming")
        self.running = asyncio.create_task(self.bearer.run(self.sink))
        await asyncio.wait_for(self.up.wait(), WAIT_S)

    def address(self, place: str) -> str:
        return f"{self.url}/callbacks/{self.carrier}/{place}"

    async def sink(self, thing: base.Mo | base.Receipt | base.Callback) -> None:
        assert not isinstance(thing, base.Callback)
        if isinstance(thing, base.Receipt) and thing.state == "pending":
            self.steps.append(thing)
            return
        if self.refusals:
            self.refusals -= 1
            raise base.Overloaded
        self.heard.put_nowait(thing)

    def strike(self, point: str, knob: str, msisdn: str | None = None) -> None:
        """The next event at *point* meets *knob*."""
        self.plan.add(Scripted(point=f"twilio.{point}", fault=knob, at=1, msisdn=msisdn))

    async def quiet(self) -> list[base.Mo | base.Receipt]:
        """All that was heard, once Twilio calls nobody any more."""
        await asyncio.wait_for(self.twilio.calls.idle(), WAIT_S)
        return [self.heard.get_nowait() for _ in range(self.heard.qsize())]

    async def call(self, place: str, form: Any, *, headers: Any = None) -> int:  # Any: as aiohttp takes them.
        """Post *form* as somebody would who knows the address."""
        async with self.http.post(self.address(place), data=form, headers=headers) as answer:
            await answer.read()
            return answer.status

    def signed(self, place: str, form: dict[str, str]) -> dict[str, str]:
        return {"X-Twilio-Signature": signature(self.twilio.settings.auth_token, self.address(place), form)}

    async def go_down(self) -> None:
        """Returns once the bearer has noticed that nobody is there."""
        await self.twilio.server.stop()
        refused = await self.bearer.submit(base.Mt(id="msg_0", msisdn=self.msisdn, text="Are you there?"))
        assert isinstance(refused, base.Refused) and refused.code == "not_sent"

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running], timeout=WAIT_S)
        await self.twilio.stop()
        await self._runner.cleanup()
        await self.http.close()


@asynccontextmanager
async def phones() -> AsyncIterator[PhonesBench]:
    bench = PhonesBench()
    await bench.start()
    yield bench
    await bench.stop()


@asynccontextmanager
async def running(bench: PhonesBench, bearer: Bearer) -> AsyncIterator[Bearer]:
    """Another bearer of the same account."""
    bench.up.clear()
    task = asyncio.create_task(bearer.run(bench.sink))
    await asyncio.wait_for(bench.up.wait(), WAIT_S)
    yield bearer
    task.cancel()
    await asyncio.wait([task], timeout=WAIT_S)
