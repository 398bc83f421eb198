"""Client-keyed wallets: the common suite over each dialect's socket, and what only these dialects can get wrong."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest
from aiohttp import web

from carriers import base
from carriers.wallet_momo.adapter import Biller, Settings
from carriers.wallet_momo.dialect import key_of
from gateway.core.money import Money
from gateway.http_client import HttpClient, Limits
from simulators.faults import FAULTS, WALLET_FAULTS, FaultPlan, Scripted
from simulators.journal import Journals, Record
from simulators.wallet_momo import Wallet, WalletSettings
from simulators.web import HttpServer
from tests.carriers.async_conformance import AsynchronousBillerConformance
from tests.carriers.conformance import WAIT_S, charge_order, word

KEY = "00112233445566778899aabbccddeeff"
HASTY_S = 0.3
SETTINGS: dict[str, dict[str, Any]] = {
    "mtn": {"subscription_key": "subscription", "target_environment": "sandbox"},
    "gsma": {"receiver": "shop"},
    "airtel": {"country": "KE", "country_code": "254", "notice_key": "notice-key"},
}


class WalletBench:
    """The adapter, the simulator on its socket, and a web server that mounts the adapter's routes."""

    msisdn = "+254712345100"

    def __init__(self, dialect: str, *, use_magic: bool = False) -> None:
        self.dialect = dialect
        self.heard: asyncio.Queue[base.Callback] = asyncio.Queue()
        self.is_overloaded = False
        self.plan = FaultPlan(seed=1, use_magic=use_magic)
        self.journals = Journals(None)
        self.charges: Counter[str] = Counter()
        self.journals.listeners.append(self.note)
        settings = WalletSettings(late_after_s=None, slow_s=0.01, callback_late_s=0.01, inquiry_lag_s=3600.0)
        self.wallet = Wallet(settings, self.plan, self.journals.wallet)
        self.gateway = HttpServer(self.answer)
        self.client = HttpClient(Limits(sweep_s=0.01))
        self.biller: Biller
        self.hasty: Biller

    def note(self, name: str, record: Record) -> None:
        if record["kind"] == "executed.charge":
            self.charges[record["correlator"]] += 1

    def accepted_at_most_once(self) -> bool:
        return all(times == 1 for times in self.charges.values())

    async def start(self) -> None:
        await self.wallet.start()
        await self.gateway.start()
        self.wallet.notice_url = f"{self.gateway.url}/callbacks/momo/notice"
        self.biller, self.hasty = self.a_biller(), self.a_biller(timeout_s=HASTY_S)
        self.running = asyncio.create_task(self.biller.run(self.sink))
        await asyncio.sleep(0)

    def a_biller(self, **more: Any) -> Biller:
        chosen = {
            "dialect": self.dialect,
            "base_url": f"{self.wallet.server.url}/{self.dialect}/",
            "user": "gateway",
            "password": "secret",
            "timeout_s": 30.0,
            "callback_base_url": self.gateway.url,
            "callback_key": KEY,
            **SETTINGS[self.dialect],
            **more,
        }
        return Biller("momo", msgspec.convert(chosen, Settings), now_ms=lambda: 0, client=self.client)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.client.close()
        await self.wallet.stop()
        await self.gateway.stop()
        self.journals.close()

    async def sink(self, thing: object) -> None:
        assert isinstance(thing, base.Callback)
        if self.is_overloaded:
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        [route] = [one for one in self.biller.routes() if one.method == request.method]
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=await request.read())
        answered = await route.answer(asked)
        return web.Response(status=answered.status, body=answered.body)

    def executed(self) -> tuple[int, int]:
        executions = self.wallet.book.executions
        return executions["charge"], executions["refund"]

    def strike(self, point: str, knob: str) -> None:
        self.plan.add(Scripted(point=f"wallet.{point}", fault=knob, at=1))

    def key(self, attempt_id: str) -> str:
        return attempt_id if self.dialect == "airtel" else key_of(attempt_id)

    def settle(self, attempt_id: str) -> None:
        if not self.wallet.execute_late(self.key(attempt_id)):
            self.wallet.book.transactions[self.key(attempt_id)].lagging_until = 0.0

    async def stop_listening(self) -> None:
        await self.wallet.server.stop()

    async def call_back(self, attempt_id: str, token: str) -> int:
        transaction = self.wallet.book.transactions[self.key(attempt_id)]
        url = transaction.order.notify_url
        if token == "another" and url is not None:
            order = msgspec.structs.replace(transaction.order, notify_url=url.replace(attempt_id, "att_2"))
            transaction = msgspec.structs.replace(transaction, order=order)
        is_forged = token == "wrong" or (token == "another" and url is None)
        answered = await self.wallet.post_callback(transaction, is_forged=is_forged)
        assert answered is not None
        return answered


class Wallets(AsynchronousBillerConformance):
    knobs: ClassVar = WALLET_FAULTS
    inquiry_knobs: ClassVar = FAULTS["wallet.inquiry"]
    dialect: ClassVar[str]

    @pytest.fixture
    async def bench(self) -> AsyncIterator[WalletBench]:
        bench = WalletBench(self.dialect)
        await bench.start()
        yield bench
        assert bench.accepted_at_most_once()
        await bench.stop()

    async def test_an_amount_is_worth_the_same_where_the_provider_counts_otherwise(self, bench: WalletBench) -> None:
        biller = bench.a_biller(currency_exponents={"KES": 0})
        cents = charge_order(bench, "att_1", Money(125_050, "KES"))
        assert word(await biller.charge(cents)) == "declined carrier_declined"
        assert not bench.wallet.book.transactions
        whole = charge_order(bench, "att_2", Money(125_000, "KES"))
        assert word(await biller.charge(whole)) == "pending"
        [transaction] = bench.wallet.book.transactions.values()
        assert transaction.order.amount == Decimal(1250)
        await asyncio.wait_for(bench.heard.get(), WAIT_S)
        assert word(await biller.inquire(whole)) == "charged"

    async def test_no_trace_has_the_number_with_or_without_its_country(self, bench: WalletBench) -> None:
        order = charge_order(bench)
        for result in (await bench.biller.charge(order), await bench.biller.inquire(order)):
            assert result.trace is not None
            assert bench.msisdn[-9:].encode() not in result.trace.sent + result.trace.received


class TestMtn(Wallets):
    dialect = "mtn"


class TestGsma(Wallets):
    dialect = "gsma"
    reasons: ClassVar = {"expired": "carrier_declined"}


class TestAirtel(Wallets):
    dialect = "airtel"
    reasons: ClassVar = {"not_subscriber": "carrier_declined", "refused_at_once": "limit_exceeded"}
    refunds_at_once = True
