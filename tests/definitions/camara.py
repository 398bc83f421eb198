"""`python -m tests.definitions.camara PATH PATH2`: our requests and our simulator's answers against the definitions.

PATH is the OpenAPI file of CAMARA Carrier Billing, PATH2 that of Carrier Billing Refund. It runs every kind of exchange
over real sockets, prints each mistake, and ends with status 1 if there is one.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from carriers import base
from carriers.camara.adapter import Biller, Settings
from gateway.core.money import Money
from gateway.http_client import HttpAnswer, HttpClient, Limits
from simulators.camara import Camara, CamaraSettings
from simulators.camara_wire import PAYMENTS, REFUNDS, TOKEN_PATH
from simulators.faults import FAULTS, FaultPlan, Scripted
from simulators.journal import Journals
from simulators.web import HttpServer
from tests.definitions.openapi import Definition, Exchange

MSISDN = "+254712345100"
AMOUNTS = (Money(125_000, "KES"), Money(1, "KES"), Money(100_05, "KES"), Money(500, "UGX"), Money(1_001, "TND"))
# These are breakages of an operator, and no answers of one.
BREAKAGES = frozenset(
    {
        *("timeout_charged", "timeout_declined", "timeout_lost", "timeout_done", "late", "inquiry_lag"),
        *("error_before", "error_after", "garbage", "nested", "reset"),
    }
)
WAIT_S = 10.0
_ID = re.compile(r"(?:PAY|REF)[0-9]+")


class Recording(HttpClient):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(Limits(body_bytes_max=256 * 1024))
        self.exchanges: list[Exchange] = []

    async def request(self, method: str, url: str, **more: Any) -> HttpAnswer:  # Any: as the client's own.
        answer = await super().request(method, url, **more)
        path = "/" + url.split("/", 3)[3]
        body = more.get("body", b"")
        self.exchanges.append(Exchange(method, path, more["headers"], body, answer.status, answer.body))
        return answer


class Conversation:
    """Adapter and simulator, and everything that they said to each other."""

    def __init__(self) -> None:
        self.plan = FaultPlan(seed=1, use_magic=False)
        settings = CamaraSettings(late_after_s=None, slow_s=0.01, callback_late_s=0.01, expires_after_s=0.01)
        self.camara = Camara(settings, self.plan, Journals(None).camara)
        self.gateway = HttpServer(self._answer)
        self.client = Recording()
        self.callbacks: list[Exchange] = []

    async def hold(self) -> tuple[list[Exchange], list[Exchange]]:
        """Every kind of exchange, once; what was asked, and what was called back."""
        await self.camara.start()
        await self.gateway.start()
        at = self.camara.server.url
        settings = Settings(
            base_url=f"{at}{PAYMENTS}",
            refund_url=f"{at}{REFUNDS}",
            token_url=f"{at}{TOKEN_PATH}",
            client_id="gateway",
            client_secret="secret",
            callback_base_url=self.gateway.url.replace("http:", "https:"),
            callback_key="ab" * 16,
        )
        self.biller = Biller("op", settings, now_ms=lambda: 0, client=self.client)
        running = asyncio.create_task(self.biller.run(self._take))
        try:
            await self._talk()
            await self.camara.events.idle()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self.client.close()
            await self.camara.stop()
            await self.gateway.stop()
        return self.client.exchanges, self.callbacks

    async def _talk(self) -> None:
        for number, amount in enumerate(AMOUNTS):
            await self._charge_and_refund(f"ok_{number}", amount)
            await self._hold_and_end(f"held_{number}", amount)
        for point in ("charge", "refund", "reserve", "confirm", "cancel", "inquiry"):
            for fault in sorted(FAULTS[f"camara.{point}"] - BREAKAGES):
                self.plan.add(Scripted(point=f"camara.{point}", fault=fault, at=1))
                name = f"{point}_{fault}"
                await self._charge_and_refund(f"one_{name}")
                await self._hold_and_end(f"two_{name}")
                self.plan.clear()
        await self.biller.inquire_hold(_charge("known", reference="PAY9999999999"))
        await self.biller.inquire_reverse(_refund("known", reference="PAY9999999999"))
        await self._ask_what_is_left()

    async def _charge_and_refund(self, name: str, amount: Money = AMOUNTS[0]) -> None:
        order = _charge(name, amount)
        await self.biller.charge(order)
        self.camara.execute_late(name)
        charged = await self.biller.inquire(order)  # By the list.
        if not isinstance(charged, base.Charged):
            return
        await self.biller.inquire(msgspec.structs.replace(order, carrier_reference=charged.carrier_reference))
        for part in {1, amount.amount_minor}:
            refund = _refund(
                f"{name}_{part}", Money(part, amount.currency), of=name, reference=charged.carrier_reference
            )
            back = await self.biller.reverse(refund)
            self.camara.execute_late(refund.attempt_id)
            await self.biller.inquire_reverse(refund)
            if isinstance(back, base.Charged | base.Pending):
                known = msgspec.structs.replace(refund, carrier_reference=back.carrier_reference)
                await self.biller.inquire_reverse(known)

    async def _hold_and_end(self, name: str, amount: Money = AMOUNTS[0]) -> None:
        for end in ("capture", "release"):
            order = _charge(f"{name}_{end}", amount)
            await self.biller.reserve(order)
            self.camara.execute_late(order.attempt_id)
            held = await self.biller.inquire_hold(order)
            if not isinstance(held, base.Held):
                continue
            wish = base.HoldOrder(
                attempt_id=f"end_{order.attempt_id}",
                hold_attempt_id=order.attempt_id,
                hold_reference=held.carrier_reference,
                msisdn=MSISDN,
                amount=amount,
                description="2 goats",
                reference="7K2M4Q9A",
            )
            for _ in range(2):  # The second is told what became of it.
                await (self.biller.capture(wish) if end == "capture" else self.biller.release(wish))
            self.camara.execute_late(order.attempt_id)
            await self.biller.capture(wish)
            await self.biller.release(wish)

    async def _ask_what_is_left(self) -> None:
        """The adapter has no need of it."""
        for payment in [one for one in self.camara.book.items.values() if one.order.kind == "charge"][:3]:
            url = f"{self.camara.server.url}{REFUNDS}/payments/{payment.id}/refunds/remaining-amount"
            await self.client.request(
                "GET", url, headers={"Authorization": "Bearer operator-token"}, body=b"", timeout_s=WAIT_S
            )

    async def _take(self, thing: object) -> None:
        """Nothing else is done with a callback here."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        [route] = self.biller.routes()
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=body)
        answered = await route.answer(asked)
        if answered.status != 404:  # Of a forged one.
            self.callbacks.append(
                Exchange(request.method, request.path, dict(request.headers), body, answered.status, b"")
            )
        return web.Response(status=answered.status)


def _charge(attempt_id: str, amount: Money = AMOUNTS[0], reference: str | None = None) -> base.ChargeOrder:
    return base.ChargeOrder(
        attempt_id=attempt_id,
        msisdn=MSISDN,
        amount=amount,
        description="2 goats' milk",
        reference="7K2M4Q9A",
        carrier_reference=reference,
    )


def _refund(
    attempt_id: str, amount: Money = AMOUNTS[0], *, of: str = "never", reference: str = ""
) -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id=f"back_{attempt_id}", charge_attempt_id=of, charge_reference=reference, msisdn=MSISDN, amount=amount
    )


def mistakes(
    payments: Definition, refunds: Definition, exchanges: list[Exchange], callbacks: list[Exchange]
) -> Iterator[str]:
    known = ((PAYMENTS, payments), (REFUNDS, refunds))
    for seen in exchanges:
        for base_path, definition in known:
            if seen.path.startswith(f"{base_path}/"):  # How a token is got is not in these definitions.
                yield from definition.mistakes(seen._replace(path=seen.path.removeprefix(base_path)))
    for called in callbacks:
        is_refund = b"refundId" in called.body
        path = "/payments/PAY1/refunds" if is_refund else "/payments"
        order = Exchange("POST", path, {}, b"", 201, b"")
        definition = refunds if is_refund else payments
        yield from definition.callback_mistakes(order, called, event="notifications")


async def conversation() -> tuple[list[Exchange], list[Exchange]]:
    return await Conversation().hold()


def main(payments: str, refunds: str) -> int:
    exchanges, callbacks = asyncio.run(conversation())
    definitions = Definition.read(Path(payments)), Definition.read(Path(refunds))
    found = list(mistakes(*definitions, exchanges, callbacks))
    kinds = {(seen.method, _ID.sub("{id}", seen.path.partition("?")[0]), seen.status) for seen in exchanges}
    events = {msgspec.json.decode(called.body)["type"] for called in callbacks}
    summary = (
        f"{len(exchanges)} exchanges of {len(kinds)} kinds, {len(callbacks)} callbacks of {len(events)} types,"
        f" {len(found)} mistakes"
    )
    sys.stdout.write("".join(f"{line}\n" for line in (*found, summary)))
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tests.definitions.camara PATH PATH2")
    sys.exit(main(*sys.argv[1:]))
