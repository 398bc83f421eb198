"""`python -m tests.definitions.gsma PATH`: our requests and our simulator's answers against the published definition.

PATH is the OpenAPI file of GSMA's Mobile Money API for merchant payments, version 1.2. It runs every kind of exchange
over real sockets, prints each mistake, and ends with status 1 if there is one.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from carriers import base
from carriers.wallet_momo.adapter import Biller, Settings
from gateway.core.money import Money
from gateway.http_client import HttpAnswer, HttpClient
from simulators.faults import FaultPlan, Scripted
from simulators.journal import Journals
from simulators.wallet_momo import Wallet, WalletSettings
from simulators.web import HttpServer
from tests.definitions.openapi import Definition, Exchange

MSISDN = "+254712345100"
# All that are answers of a provider, and no breakage of one.
FAULTS = (
    "insufficient_funds",
    "limit_exceeded",
    "not_subscriber",
    "barred",
    "refused",
    "expired",
    "refused_at_once",
    "processing",
    "duplicate",
    "rate_limited",
    "token_expired",
)
AMOUNTS = (Money(125_000, "KES"), Money(1, "KES"), Money(100_05, "KES"), Money(500, "UGX"), Money(1_001, "TND"))
TOKEN_PATH = "/accesstoken"


class Recording(HttpClient):
    """Keeps what was said."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.exchanges: list[Exchange] = []

    async def request(self, method: str, url: str, **more: Any) -> HttpAnswer:  # Any: as the client's own.
        answer = await super().request(method, url, **more)
        path = url.removeprefix(self.prefix)
        self.exchanges.append(
            Exchange(method, path, more["headers"], more.get("body", b""), answer.status, answer.body)
        )
        return answer


class Conversation:
    """Adapter and simulator, and everything that they said to each other."""

    def __init__(self) -> None:
        self.plan = FaultPlan(seed=1, use_magic=False)
        self.journals = Journals(None)
        self.wallet = Wallet(WalletSettings(late_after_s=None), self.plan, self.journals.wallet)
        self.gateway = HttpServer(self._answer)
        self.callbacks: list[Exchange] = []
        self.called = asyncio.Event()

    async def hold(self) -> tuple[list[Exchange], list[Exchange]]:
        """Every kind of exchange, once; what was asked, and what was called back."""
        await self.wallet.start()
        await self.gateway.start()
        prefix = f"{self.wallet.server.url}/gsma"
        client = Recording(prefix)
        settings = Settings(
            dialect="gsma",
            base_url=prefix,
            user="gateway",
            password="secret",
            receiver="shop",
            callback_base_url=self.gateway.url,
            callback_key="ab" * 16,
        )
        self.biller = Biller("momo", settings, now_ms=lambda: 0, client=client)
        running = asyncio.create_task(self.biller.run(self._take))
        try:
            await self._talk()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await client.close()
            await self.wallet.stop()
            await self.gateway.stop()
        return client.exchanges, self.callbacks

    async def _talk(self) -> None:
        for number, amount in enumerate(AMOUNTS):
            await self._charge_and_refund(f"ok_{number}", amount)
        for fault in FAULTS:
            self.plan.add(Scripted(point="wallet.charge", fault=fault, at=1))
            await self._ask(_charge(fault))
            self.plan.clear()
            await self._charge_and_refund(f"for_{fault}", AMOUNTS[0], fault)
        await self.biller.inquire(_charge("never"))
        await self.biller.reverse(_refund("never", reference="SR9999999999"))

    async def _charge_and_refund(self, name: str, amount: Money, fault: str = "") -> None:
        charged = await self._ask(_charge(name, amount))
        assert isinstance(charged, base.Charged), charged
        if fault:
            self.plan.add(Scripted(point="wallet.refund", fault=fault, at=1))
        refund = _refund(name, amount, charged.carrier_reference)
        await self.biller.reverse(refund)
        await self.biller.inquire_reverse(refund)
        self.plan.clear()

    async def _ask(self, order: base.ChargeOrder) -> base.InquiryResult:
        accepted = await self.biller.charge(order)
        found = await self.biller.inquire(order)
        if isinstance(accepted, base.Pending):
            learned = msgspec.structs.replace(order, carrier_reference=accepted.carrier_reference)
            found = await self.biller.inquire(learned)
            if isinstance(found, base.Charged | base.Declined):
                await asyncio.wait_for(self.called.wait(), 10)
        self.called.clear()
        return found

    async def _take(self, thing: object) -> None:
        """Nothing else is done with a callback here."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        [route] = self.biller.routes()
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=body)
        answered = await route.answer(asked)
        self.callbacks.append(Exchange(request.method, request.path, dict(request.headers), body, answered.status, b""))
        self.called.set()
        return web.Response(status=answered.status)


def _charge(attempt_id: str, amount: Money = AMOUNTS[0]) -> base.ChargeOrder:
    return base.ChargeOrder(
        attempt_id=attempt_id, msisdn=MSISDN, amount=amount, description="2 goats' milk", reference="7K2M4Q9A"
    )


def _refund(attempt_id: str, amount: Money = AMOUNTS[0], reference: str = "") -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id=f"back_{attempt_id}",
        charge_attempt_id=attempt_id,
        charge_reference=reference,
        msisdn=MSISDN,
        amount=amount,
    )


def mistakes(definition: Definition, exchanges: list[Exchange], callbacks: list[Exchange]) -> Iterator[str]:
    for seen in exchanges:
        if seen.path != TOKEN_PATH:  # How a token is got is not in this definition.
            yield from definition.mistakes(seen)
    charge = next(seen for seen in exchanges if seen.path == "/transactions/type/merchantpay")
    for called in callbacks:
        event = "transactionsFailureEvent" if b"errorCode" in called.body else "transactionsSuccessEvent"
        yield from definition.callback_mistakes(charge, called, event=event)


async def conversation() -> tuple[list[Exchange], list[Exchange]]:
    return await Conversation().hold()


def main(path: str) -> int:
    exchanges, callbacks = asyncio.run(conversation())
    found = list(mistakes(Definition.read(Path(path)), exchanges, callbacks))
    kinds = {(seen.method, seen.path.split("/")[1], seen.status) for seen in exchanges}
    summary = f"{len(exchanges)} exchanges of {len(kinds)} kinds, {len(callbacks)} callbacks, {len(found)} mistakes"
    sys.stdout.write("".join(f"{line}\n" for line in (*found, summary)))
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.definitions.gsma PATH")
    sys.exit(main(sys.argv[1]))
