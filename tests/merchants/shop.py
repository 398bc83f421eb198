"""A shop's view for tests: the API over a real store, two merchants with keys, and a hand that plays the carrier.

There are no lanes: rows of the outbox that were committed lie in `rows`, and the test carries them out itself.
"""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from carriers import base
from gateway.core.payment import Rules
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.carrier_jobs import OrderDone, TextDone
from gateway.engine.clock import Clock
from gateway.engine.inbox import MoReceived
from gateway.engine.merchant_jobs import derived
from gateway.store import merchant_reads
from gateway.store.apply import Batch, Job, Store
from gateway.store.engine import begin_write, connect
from gateway.store.outbox import LanePlan, OutboxRow
from gateway.store.reads import Reads
from gateway.store.unit import Policy, Unit
from merchants.api import Api, CarrierTerms
from merchants.app import build
from merchants.keys import Merchant, add_merchant
from merchants.rates import RateLimits
from merchants.upkeep import Upkeep

T = TypeVar("T")

CODE_KEY = bytes(range(32))
CARRIERS = {
    "acme": CarrierTerms(mode="test", prefixes=("+254",), currency="KES"),
    "apex": CarrierTerms(mode="test", prefixes=("+25411",), currency="KES"),
    "coarse": CarrierTerms(mode="test", prefixes=("+25499",), currency="KES", step_minor=100),
    "nippon": CarrierTerms(mode="test", prefixes=("+81",), currency="JPY"),
    "real": CarrierTerms(mode="live", prefixes=("+254",), currency="KES"),
}
REQUEST: dict[str, Any] = {"amount": 125000, "currency": "KES", "description": "2 kg sugar"}  # Any: JSON.

_numbers = itertools.count(700_100_000)
_keys = itertools.count(1)

Json = dict[str, Any]  # Any: JSON of the API.


def a_number() -> str:
    """A phone that no other test has."""
    return f"+254{next(_numbers)}"


def a_request(**fields: Any) -> Json:
    """A good body, with *fields* in place of the usual ones."""
    return {**REQUEST, "msisdn": a_number(), **fields}


class Answered(msgspec.Struct, frozen=True):
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        read: Json = msgspec.json.decode(self.body)
        return read

    @property
    def code(self) -> str:
        """The problem's code; empty for no problem."""
        return str(self.json.get("code", "")) if self.status >= 400 else ""


@dataclass(kw_only=True)
class Shop:
    """The API and all that is behind it."""

    client: TestClient[Any, Any]  # Any: which request and application.
    batcher: Batcher
    reads: Reads
    clock: Clock
    api: Api
    mine: Merchant
    other: Merchant
    rows: list[OutboxRow]
    busy: dict[str, float] = field(default_factory=dict)
    ready: dict[str, bool] = field(default_factory=dict)
    seen: list[tuple[str, str, int]] = field(default_factory=list)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> Answered:
        async with self.client.request(method, path, data=body, headers=headers, skip_auto_headers=_NONE) as answer:
            return Answered(answer.status, dict(answer.headers), await answer.read())

    async def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None, secret: str | None = None
    ) -> Answered:
        headers = {"Authorization": f"Bearer {secret or self.mine.test_key}"}
        if method in ("POST", "PATCH"):
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key or f"key-{next(_keys)}"}
        sent = None if body is None else msgspec.json.encode(body)
        return await self.send(method, path, sent, headers)

    async def create(self, **fields: Any) -> Json:
        answer = await self.call("POST", "/v1/payments", a_request(**fields))
        assert answer.status == 201, answer.body
        return answer.json

    async def read(self, payment: Json) -> Json:
        return (await self.call("GET", f"/v1/payments/{payment['id']}")).json

    async def key(self, *scopes: str, **fields: Any) -> Json:
        """A new key with these scopes; its `secret` is there."""
        answer = await self.call("POST", "/v1/api_keys", {"name": "till", "scopes": scopes, **fields})
        assert answer.status == 201, answer.body
        return answer.json

    async def noted(self) -> None:
        """What the API noted about its own use is written."""
        Upkeep(self.batcher, self.api.frame).offer()
        await self.batcher.call(lambda unit: None)

    async def do(self, job: Job) -> object:
        return await self.batcher.offer(job)

    def take(self, kind: str, payment: Json | None = None) -> OutboxRow:
        """The oldest row of that kind (about that payment), which is then nobody else's."""
        for row in self.rows:
            if row.kind == kind and (payment is None or row.payment_id == payment["id"]):
                self.rows.remove(row)
                return row
        raise AssertionError(f"no {kind} among {[row.kind for row in self.rows]}")

    async def ask(self, payment: Json) -> None:
        row = self.take("sms", payment)
        await self.do(TextDone(row, base.Submitted(message_ids=(row.id[-12:],), segments=1)))

    async def reply(self, payment: Json, text: str | None = None) -> None:
        shown = await self.reads(lambda conn: merchant_reads.payment(conn, self.owner, payment["id"]))
        assert shown is not None
        mo = base.Mo(
            carrier=payment["carrier"],
            msisdn=shown.msisdn,
            to="22345",
            text=derived(CODE_KEY, shown.payment) if text is None else text,
            read_at_ms=self.clock.now_ms(),
        )
        await self.do(MoReceived(mo, {}, "test"))

    async def charge(self, payment: Json, result: base.ChargeResult | None = None) -> None:
        row = self.take("charge", payment)
        await self.do(OrderDone(row, result or base.Charged(carrier_reference="op-1")))

    async def succeed(self, **fields: Any) -> Json:
        """A payment that went the whole way."""
        payment = await self.create(**fields)
        await self.ask(payment)
        await self.reply(payment)
        await self.charge(payment)
        return await self.read(payment)

    @property
    def owner(self) -> merchant_reads.Owner:
        return merchant_reads.Owner(self.mine.id, "test")


_NONE = frozenset({"Content-Type", "User-Agent"})


def policy(rules: Rules) -> Policy:
    lanes = LanePlan(sms=dict.fromkeys(CARRIERS, 1), charge=dict.fromkeys(CARRIERS, 1))
    return Policy(rules=dict.fromkeys(CARRIERS, rules), lanes=lanes, code_key=CODE_KEY)


def quarantine(job: Job, error: Exception) -> None:
    raise AssertionError(f"{job} was quarantined") from error


@asynccontextmanager
async def open_shop(
    url: str,
    rules: Rules | None = None,
    **settings: Any,  # Any: fields of Api.
) -> AsyncIterator[Shop]:
    """Serve over the migrated database at *url*; *rules* are every carrier's."""
    engine, reads, clock = connect(url), Reads(connect(url, read_only=True)), Clock()
    with begin_write(engine) as conn:
        mine = add_merchant(conn, name="Asha Stores", shop="ASHA STORES", keyword="ASHA", now_ms=clock.now_ms())
        other = add_merchant(conn, name="Juma", shop="JUMA", keyword="JUMA", now_ms=clock.now_ms())
    rows: list[OutboxRow] = []

    def committed(batch: Batch) -> None:
        rows.extend(batch.rows)

    store = Store(engine, policy(rules or Rules()), clock_offset_ms=lambda: clock.offset_ms)
    batcher = Batcher(store.apply, settings=BatchSettings(pace_ms=1), quarantine=quarantine, after_commit=committed)
    batcher.start()
    busy: dict[str, float] = {}
    ready = {"writer": True}
    seen: list[tuple[str, str, int]] = []
    api = Api(
        **{
            "batcher": batcher,
            "reads": reads,
            "lookups": reads,
            "carriers": CARRIERS,
            "languages": {"test": ("en", "fr", "sw"), "live": ("en",)},
            "now_ms": clock.now_ms,
            "is_ready": lambda: ready,
            "overloaded": busy.get,
            "registry": CollectorRegistry(),
            "on_request": lambda method, route, status, seconds: seen.append((method, route, status)),
            "development": True,
            "limits": RateLimits(rate_per_s=0, unknown_keys_per_min=0),
            **settings,
        }
    )
    async with TestClient(TestServer(build(api))) as client:
        yield Shop(
            client=client,
            batcher=batcher,
            reads=reads,
            clock=clock,
            api=api,
            mine=mine,
            other=other,
            rows=rows,
            busy=busy,
            ready=ready,
            seen=seen,
        )
    await batcher.stop()
    reads.close()
    engine.dispose()


async def in_batch(shop: Shop, change: Any) -> None:  # Any: what to do with the connection.
    """Change the database as nothing in the product does."""

    def fn(unit: Unit) -> None:
        change(unit.conn)

    await shop.batcher.call(fn)
