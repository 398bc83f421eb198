"""Each biller beside the other side that it is tried against: its simulator on a socket, which is told to fail.

A web server mounts the adapter's routes. What truly happened is read from the simulator's journal.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Self

import aiohttp
import msgspec
from aiohttp import web

from carriers import base, loopback
from carriers.camara.adapter import Biller as CamaraBiller
from carriers.opbill.adapter import Biller as OpbillBiller
from carriers.wallet_momo.adapter import Biller as MomoBiller
from carriers.wallet_stk.adapter import Biller as StkBiller
from gateway.adapters import kinds
from gateway.http_client import HttpClient, Limits
from simulators import camara_wire
from simulators.billing import Billing, BillingSettings
from simulators.camara import Camara, CamaraSettings
from simulators.faults import FaultPlan, Scripted
from simulators.journal import Journals, Record
from simulators.wallet_momo import Wallet, WalletSettings
from simulators.wallet_stk import WalletStk, WalletStkSettings
from simulators.web import HttpServer
from tests.carriers.conformance import charge_order, reverse_order
from tests.carriers.knobs import SHEETS

KEY = "00112233445566778899aabbccddeeff"
HASTY_S = 0.3
NOON_MS = 1_795_597_200_000  # 2026-11-25T09:00:00Z, which is noon in Nairobi.
FOREVER_S = 3600.0
MOVEMENTS = {
    "held.reserve": "held",
    "reserved": "held",
    "executed.charge": "captured",
    "released": "released",
    "expired": "expired",
}


class Moved(NamedTuple):
    """One movement of money about a reservation, as the other side's journal has it."""

    what: str
    """held, captured, released or expired"""
    attempt_id: str
    """Of the reservation."""
    amount: Decimal


class Bench:
    """What all have in common."""

    carrier: ClassVar = "op"
    name: ClassVar[str]
    """Of its sheet."""
    calls_about_the_hold: ClassVar = False
    """A capture or a release is called about under the reservation's attempt."""
    known_reference: ClassVar[str | None] = None
    """A reference that is good enough to ask about: then a token is needed first."""
    biller: Any  # The tests call what every biller has, and what this one has besides.
    hasty: Any
    """The same, with a time-out that a hanging server exceeds soon."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[base.Callback] = asyncio.Queue()
        self.is_overloaded = False
        self.plan = FaultPlan(seed=1, use_magic=False)
        self.journals = Journals(None)
        self.records: list[Record] = []
        self.journals.listeners.append(lambda _, record: self.records.append(record))
        self.simulator = self.a_simulator()
        self.gateway = HttpServer(self.answer)
        self.client = HttpClient(Limits(sweep_s=0.01))

    def a_simulator(self) -> Any:  # Any: each bench says which it has.
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:  # Any: as TOML gives them.
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.simulator.start()
        await self.gateway.start()
        self.biller, self.hasty = self.a_biller(), self.a_biller(timeout_s=HASTY_S)
        self.running = asyncio.create_task(self.biller.run(self.sink))
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.client.close()
        await self.simulator.stop()
        await self.gateway.stop()
        self.journals.close()

    def chosen(self, **more: Any) -> Any:  # Any: settings of one adapter.
        common = {"timeout_s": 30.0, "callback_base_url": self.gateway.url, "callback_key": KEY}
        kind = kinds("Biller")[self.name.partition(" ")[0]]
        return msgspec.convert({**common, **self.settings(), **more}, kind.settings)

    def a_biller(self, **more: Any) -> Any:
        make = kinds("Biller")[self.name.partition(" ")[0]].make
        return make(self.carrier, self.chosen(**more), now_ms=lambda: NOON_MS, client=self.client)

    async def sink(self, thing: object) -> None:
        assert isinstance(thing, base.Callback)
        if self.is_overloaded:
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        below = request.path.removeprefix(f"/callbacks/{self.carrier}")
        [route] = (
            route
            for route in self.biller.routes()
            if route.method == request.method and re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", route.path), below)
        )
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=await request.read())
        answered = await route.answer(asked)
        return web.Response(status=answered.status, body=answered.body)

    async def warm(self) -> None:
        """What a hasty order needs first is there: its access token."""
        await self.hasty.inquire(msgspec.structs.replace(charge_order(), carrier_reference=self.known_reference))
        await self.hasty.inquire_reverse(reverse_order())

    def strike(self, operation: str, knob: str, **more: Any) -> None:
        """The next event of *operation* meets *knob*."""
        self.plan.add(Scripted(point=SHEETS[self.name].points[operation], fault=knob, at=1, **more))

    async def quiet(self) -> None:
        """Return once the other side has done all that it does by itself."""
        await self.simulator.quiet()

    async def settle(self) -> None:
        """Whatever is left to happen happens: what is held is executed, or an inquiry sees it, or a hold lapses."""
        late = [one for one in self.transactions() if one.lagging_until]
        for name in (held := self.simulator.held):
            assert self.simulator.execute_late(name)
        for one in late:
            one.lagging_until = 0.0
        if not held and not late:
            self.let_lapse()
        await self.quiet()

    def transactions(self) -> list[Any]:  # Any: of this simulator.
        return list(self.simulator.book.transactions.values())

    def let_lapse(self) -> None:
        """By the simulator, if it holds anything."""

    def executed(self) -> tuple[int, int]:
        """Charges and refunds that moved money."""
        kinds_of = Counter(one["kind"] for one in self.records)
        return kinds_of["executed.charge"], kinds_of["executed.refund"]

    def charges(self) -> Counter[str]:
        """By the journal, how often each attempt was charged."""
        return Counter(self.attempt_of(one) for one in self.records if one["kind"] == "executed.charge")

    def attempt_of(self, record: Record) -> str:
        return str(record["correlator"])

    def moved(self) -> list[Moved]:
        """About reservations, in order."""
        reserved = {one["correlator"] for one in self.records if MOVEMENTS.get(one["kind"]) == "held"}
        return [
            Moved(MOVEMENTS[one["kind"]], one["correlator"], Decimal(one["amount"]))
            for one in self.records
            if one["kind"] in MOVEMENTS and one["correlator"] in reserved
        ]

    def asked(self, what: str) -> int:
        return sum(one["kind"] == "request" and one["what"] == what for one in self.records)

    def hear(self) -> list[base.Callback]:
        """All that came since the last time."""
        return [self.heard.get_nowait() for _ in range(self.heard.qsize())]

    def called_about(self, operation: str, attempt_id: str) -> str:
        return "att_1" if self.calls_about_the_hold and operation in ("capture", "release") else attempt_id

    def addresses(self, attempt_id: str) -> list[str]:
        """Where the other side was told to call about an attempt."""
        return [self.biller._callbacks.url(attempt_id)]

    def calls(self, body: bytes = b"{}") -> list[tuple[str, bytes]]:
        """Right callbacks about att_1: where to, and what."""
        return [(address, body) for address in self.addresses("att_1")]

    def forgeries(self) -> list[tuple[str, bytes]]:
        """The token is wrong by a digit, or that of another attempt or purpose."""
        mine = self.addresses("att_1")
        wrong = [address[:-1] + ("0" if address[-1] != "0" else "1") for address in mine]
        others = [*mine, *self.addresses("att_2")]
        swapped = [
            f"{address.rpartition('/')[0]}/{other.rpartition('/')[2]}"
            for address in mine
            for other in others
            if other != address
        ]
        return [(address, b"{}") for address in (*wrong, *swapped)]

    async def post(self, address: str, body: bytes) -> int:
        """Call; the status of the answer."""
        method = self.biller.routes()[0].method
        async with aiohttp.ClientSession() as session, session.request(method, address, data=body) as answer:
            return answer.status

    async def stop_listening(self) -> None:
        await self.simulator.server.stop()


class OpbillBench(Bench):
    name = "opbill"
    biller: OpbillBiller
    hasty: OpbillBiller
    simulator: Billing

    def a_simulator(self) -> Billing:
        settings = BillingSettings(
            hold_short_s=FOREVER_S, late_after_s=None, slow_s=0.01, callback_late_s=0.01, inquiry_lag_s=FOREVER_S
        )
        return Billing(settings, self.plan, self.journals.billing)

    def settings(self) -> dict[str, Any]:
        return {"base_url": f"{self.simulator.server.url}/oneapi/1/", "user": "gateway", "password": "secret"}

    def addresses(self, attempt_id: str) -> list[str]:
        return [self.biller._callbacks.url(attempt_id)]

    def let_lapse(self) -> None:
        self.simulator.expire("att_1")


class CamaraBench(Bench):
    name = "camara"
    calls_about_the_hold = True
    biller: CamaraBiller
    hasty: CamaraBiller
    simulator: Camara

    def a_simulator(self) -> Camara:
        settings = CamaraSettings(
            late_after_s=None, slow_s=0.01, callback_late_s=0.01, inquiry_lag_s=FOREVER_S, expires_after_s=FOREVER_S
        )
        return Camara(settings, self.plan, self.journals.camara)

    def settings(self) -> dict[str, Any]:
        at = self.simulator.server.url
        return {
            "base_url": f"{at}{camara_wire.PAYMENTS}/",
            "refund_url": f"{at}{camara_wire.REFUNDS}",
            "token_url": f"{at}{camara_wire.TOKEN_PATH}",
            "client_id": "gateway",
            "client_secret": "secret",
            # Nobody has a certificate on the loopback: the simulator calls by plain HTTP.
            "callback_base_url": self.gateway.url.replace("http:", "https:"),
        }

    def addresses(self, attempt_id: str) -> list[str]:
        return [self.biller._callbacks.url(attempt_id).replace("https:", "http:")]

    def let_lapse(self) -> None:
        self.simulator.expire("att_1")


class MomoBench(Bench):
    """One of three dialects."""

    carrier = "momo"
    name = "wallet_momo mtn"
    more: ClassVar[dict[str, Any]] = {"subscription_key": "subscription", "target_environment": "sandbox"}
    biller: MomoBiller
    hasty: MomoBiller
    simulator: Wallet

    def a_simulator(self) -> Wallet:
        settings = WalletSettings(late_after_s=None, slow_s=0.01, callback_late_s=0.01, inquiry_lag_s=FOREVER_S)
        return Wallet(settings, self.plan, self.journals.wallet)

    def settings(self) -> dict[str, Any]:
        dialect = self.name.partition(" ")[2]
        self.simulator.notice_url = f"{self.gateway.url}/callbacks/momo/notice"
        at = f"{self.simulator.server.url}/{dialect}/"
        return {"dialect": dialect, "base_url": at, "user": "gateway", "password": "secret", **self.more}


class GsmaBench(MomoBench):
    name = "wallet_momo gsma"
    more: ClassVar = {"receiver": "shop"}


class AirtelBench(MomoBench):
    """One address for all orders: what is forged here is the signature."""

    name = "wallet_momo airtel"
    more: ClassVar = {"country": "KE", "country_code": "254", "notice_key": "notice-key"}

    def calls(self, body: bytes = b"{}") -> list[tuple[str, bytes]]:
        return [(self.simulator.notice_url, self.signed("att_1") if body == b"{}" else body)]

    def forgeries(self) -> list[tuple[str, bytes]]:
        signed = self.signed("att_1")
        forged = self.signed("att_1", is_forged=True), signed.replace(b"att_1", b"att_2"), signed.replace(b"hash", b"h")
        return [(self.simulator.notice_url, body) for body in forged]

    def signed(self, attempt_id: str, *, is_forged: bool = False) -> bytes:
        return self.simulator._signed({"transaction": {"id": attempt_id, "status_code": "TS"}}, is_forged=is_forged)


class StkBench(Bench):
    carrier = "mpesa"
    name = "wallet_stk"
    known_reference = "ws_CO_0"
    biller: StkBiller
    hasty: StkBiller
    simulator: WalletStk

    def a_simulator(self) -> WalletStk:
        settings = WalletStkSettings(
            pays_after_s=0.0,
            prompt_s=0.01,
            slow_s=0.01,
            callback_late_s=0.01,
            reversal_late_s=0.01,
            query_lag_s=FOREVER_S,
        )
        return WalletStk(settings, self.plan, self.journals.stk)

    def settings(self) -> dict[str, Any]:
        known = self.simulator.settings
        names = ("consumer_key", "consumer_secret", "short_code", "passkey", "initiator", "security_credential")
        return {"base_url": f"{self.simulator.server.url}/", **{name: getattr(known, name) for name in names}}

    def transactions(self) -> list[Any]:
        return list(self.simulator.book.pushes.values())

    def attempt_of(self, record: Record) -> str:
        """By the address that the push was to call back to: the wallet knows no id of ours."""
        return str(record["callback_url"]).split("/")[-2]

    def addresses(self, attempt_id: str) -> list[str]:
        return [self.biller._callbacks.url(attempt_id, about) for about in ("push", "reversal", "timeout")]


class LoopbackBench:
    """It is its own other side, so its book is read."""

    name = "loopback"

    def __init__(self, **settings: Any) -> None:
        self.biller = loopback.Biller("loop", loopback.Settings(**settings), now_ms=lambda: NOON_MS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def strike(self, _: str, knob: str) -> None:
        self.biller._settings = msgspec.structs.replace(self.biller._settings, charges=knob)

    async def quiet(self) -> None:
        """Nothing happens later."""

    settle = quiet

    def executed(self) -> tuple[int, int]:
        done = [order for order, result in self.biller._book.values() if isinstance(result, base.Charged)]
        charges = sum(isinstance(order, base.ChargeOrder) for order in done)
        return charges, len(done) - charges

    def charges(self) -> Counter[str]:
        return Counter(name for name, (order, _) in self.biller._book.items() if isinstance(order, base.ChargeOrder))

    def moved(self) -> list[Moved]:
        return []

    def hear(self) -> list[base.Callback]:
        return []

    def called_about(self, _: str, attempt_id: str) -> str:
        return attempt_id


BENCHES: dict[str, Callable[[], Any]] = {  # Any: one of the above, as its sheet's name says.
    one.name: one for one in (OpbillBench, CamaraBench, MomoBench, GsmaBench, AirtelBench, StkBench, LoopbackBench)
}
