"""SIGKILL at every named point of the gateway's work: nothing is charged twice, lost or told wrongly.

The simulators run here and keep their journals; the gateway is a process of its own that kills itself at the point. It
is started again, the shop repeats what it got no answer for, and then the journals are held against the books.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from gateway import failpoints
from gateway.config import Config
from gateway.store.engine import begin_write, connect, is_sqlite
from simulators.billing import BillingSettings
from simulators.handsets import HandsetSettings
from simulators.journal import Record
from simulators.world import World
from tests.journeys.evidence import CODE_KEY, Evidence, evidence
from tests.journeys.house import CALLBACK_KEY, Shop, a_number, a_shop, config_for, open_webhooks, world_settings
from tests.journeys.processes import ROOT, GatewayProcess, Nursery, toml, until
from tests.journeys.ussd_walks import PIN
from tests.journeys.ussd_ways import HTTP_CODE, over_http

PAYMENTS: Final = 60
# Asked for and answered before the others are: a point that is passed once a payment, and later than this, is passed
# when the gateway has read enough.
FIRST_PAYMENTS: Final = 54
IN_FLIGHT_MIN: Final = 50
DEATH_LIMIT_S: Final = 40.0
SETTLE_LIMIT_S: Final = 60.0

# The point, and at which of its passes the process dies: when the gateway has read nearly all payments and has finished
# few. The first 120 webhooks tell that a payment was created and that its phone was asked.
POINTS: Final = {
    "ask.before_commit": 56,
    "ask.after_commit": 56,
    "ask.before_first_byte": 56,
    "ask.after_first_byte": 56,
    "ask.after_answer": 56,
    "reply.before_commit": 5,
    "reply.after_commit": 5,
    "reply.before_first_byte": 5,
    "reply.after_first_byte": 5,
    "charge.before_commit": 5,
    "charge.after_commit": 5,
    "charge.before_first_byte": 5,
    "charge.after_first_byte": 5,
    "charge.after_answer": 5,
    "webhook.before_commit": 125,
    "webhook.after_commit": 125,
    "webhook.before_first_byte": 125,
    "webhook.after_first_byte": 125,
    "webhook.after_answer": 125,
    "reversal.before_commit": 3,
    "reversal.after_commit": 3,
    "reversal.before_first_byte": 3,
    "reversal.after_first_byte": 3,
    "reversal.after_answer": 3,
}
PUSH_POINTS: Final = ("push.before_first_byte", "push.after_first_byte", "push.after_answer")
BIND: Final = "sms:acme:0"
CHARGES: Final = "charge:acme:0"
# Money that the shop calls back while it is being taken: only then is anything reversed.
SLOW_CHARGE: Final = "919"


class Order(msgspec.Struct, frozen=True):
    """One purchase. Its key is its reference too, so that it can be found in the books."""

    key: str
    msisdn: str


def test_the_process_is_killed_at_every_point_that_exists() -> None:
    assert POINTS.keys() | set(PUSH_POINTS) == failpoints.NAMES


@pytest.mark.kill
@pytest.mark.money
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_loses_nothing_and_doubles_nothing(
    point: str, database_url: str, tmp_path: Path, processes: Nursery
) -> None:
    is_reversal = point.startswith("reversal.")
    async with town(processes, database_url, tmp_path) as here:
        orders = here.orders(SLOW_CHARGE if is_reversal else "555")
        if is_reversal:
            here.cancel_while_charging()
        await here.die(orders, f"{point}:{POINTS[point]}")
        charging = here.charging()
        here.end_leases()
        await here.live_on(orders, charging)
        assert here.evidence.refunds() or not is_reversal


@pytest.mark.kill
@pytest.mark.money
async def test_what_a_dead_process_held_waits_for_its_leases_to_run_out(
    postgres_url: str, tmp_path: Path, processes: Nursery
) -> None:
    async with town(processes, postgres_url, tmp_path, change=with_short_leases) as here:
        orders = here.orders("555")
        await here.die(orders, "charge.after_first_byte:5")
        charging = here.charging()
        left = {row.name: row for row in here.evidence.rows("SELECT name, owner, epoch, until_ms FROM lane")}
        [first_bind] = here.evidence.records("smsc", "bind")
        assert time.time_ns() // 1_000_000 < left[CHARGES].until_ms, "too late to prove anything"
        await here.live_on(orders, charging)
        now = {row.name: row for row in here.evidence.rows("SELECT name, epoch FROM lane")}
        assert {now[name].epoch - held.epoch for name, held in left.items()} == {1}
        binds = [one for one in here.evidence.records("smsc", "bind") if one["seq"] > first_bind["seq"]]
        # Whoever inherits a charge asks about it before anything else; the dead one had nothing to ask about.
        questions = [one for one in here.evidence.records("billing", "request") if one["what"] == "inquiry"]
        assert binds and min(one["ms"] for one in binds) >= left[BIND].until_ms
        assert questions and min(one["ms"] for one in questions) >= left[CHARGES].until_ms


def judge_payments(here: "Town", orders: list[Order], events: list[dict[str, Any]], charging: set[str]) -> None:
    """Each order is one payment that has ended in the one way that is true, and both sides were told."""
    here.evidence.judge_one_charge_a_phone()
    charged = {one.msisdn for one in here.evidence.charges()}
    refunded = {one.msisdn for one in here.evidence.refunds()}
    asked = {msisdn for msisdn, _ in here.evidence.asks()}
    paid = {one["msisdn"] for one in here.evidence.records("handsets", "received") if "PAID" in one["text"]}
    told = Counter((event["data"].get("id"), event["type"]) for event in events)
    for order in orders:
        [payment] = here.evidence.rows(
            "SELECT id, state, reason FROM payment WHERE reference = :reference", reference=order.key
        )
        assert here.acknowledged[order.key] == payment.id
        assert order.msisdn in asked
        is_succeeded = payment.state == "captured"
        assert told[payment.id, "payment.succeeded"] == is_succeeded
        assert told[payment.id, "payment.failed"] == (not is_succeeded)
        is_kept = order.msisdn in charged and order.msisdn not in refunded
        assert is_kept == is_succeeded == (order.msisdn in paid)
        if payment.reason == "not_charged":
            # Its charge may have been on its way at the kill, and the operator says that it never came.
            assert payment.id in charging and order.msisdn not in charged
        else:
            assert payment.reason in (None, "cancelled")


class Town:
    """The simulators, a shop, and a gateway that dies and comes back."""

    def __init__(self, world: World, http: aiohttp.ClientSession, processes: Nursery, config: Config, folder: Path):
        self.acknowledged: dict[str, str] = {}
        """Key → payment id, of what was answered 201."""
        self.gateway: GatewayProcess
        self.shop: Shop
        self.evidence: Evidence
        self.world = world
        self._http = http
        self._processes = processes
        self.config = config
        self._folder = folder
        self._key = a_shop(config.gateway.database).test_key
        self._phones: dict[str, str] = {}
        self._cancels: set[asyncio.Task[None]] = set()

    def orders(self, ending: str) -> list[Order]:
        """Purchases of as many phones, whose owners read and do not answer yet."""
        orders = [Order(uuid4().hex, a_number(ending)) for _ in range(PAYMENTS)]
        self._phones = {one.msisdn: one.key for one in orders}
        for one in orders:
            self.world.handsets.phone(one.msisdn).behaviour = "late"
        return orders

    async def die(self, orders: list[Order], failpoint: str) -> None:
        """Start a gateway, give it *orders* and let the phones answer; it dies of *failpoint* in the midst of that."""
        await self.start(failpoint)
        await open_webhooks(self.shop, self.world)
        await self._submit(orders[:FIRST_PAYMENTS])
        await self._submit(orders[FIRST_PAYMENTS:])
        phones = [self.world.handsets.phone(one.msisdn) for one in orders]
        await until(
            lambda: self.gateway.returncode is not None or all(phone.received for phone in phones),
            DEATH_LIMIT_S,
            "an ask at every phone, or a dead gateway",
        )
        if self.gateway.returncode is None:
            self._let_answer(orders)
        died = await self.gateway.ended(DEATH_LIMIT_S)
        assert died == -signal.SIGKILL, f"{failpoint} was not hit: {self.gateway.log()}"
        assert self._in_flight() >= IN_FLIGHT_MIN

    async def live_on(self, orders: list[Order], charging: set[str]) -> None:
        """Start a gateway that does not die, repeat what has no answer, and judge the end of it all."""
        await self.start()
        await self._submit(orders)
        self._let_answer(orders)
        await self._settled()
        events = await self.shop.events()
        await self.gateway.stop()
        self.evidence.judge(events)
        judge_payments(self, orders, events, charging)
        assert self.gateway.troubles() == []

    async def live_through(self, orders: list[Order]) -> None:
        """Ask for *orders*, die of it, and live on."""
        await self._submit(orders)
        died = await self.gateway.ended(DEATH_LIMIT_S)
        assert died == -signal.SIGKILL, self.gateway.log()
        self.end_leases()
        await self.live_on(orders, self.charging())

    def _let_answer(self, orders: list[Order]) -> None:
        """Whoever was asked answers now, and whoever is asked from now on answers soon."""
        for one in orders:
            self.world.handsets.phone(one.msisdn).behaviour = "pays"
            self.world.handsets.answer_now(one.msisdn)

    async def start(self, failpoint: str = "") -> None:
        """Start the gateway, from now on the one that the shop talks to."""
        self.gateway = GatewayProcess(self._processes, self.config, self._folder, failpoint=failpoint)
        await self.gateway.serving()
        self.shop = Shop(self._http, self.gateway.url, self._key)

    async def _submit(self, orders: list[Order]) -> None:
        """Ask at once for all *orders* that are not acknowledged; the gateway may die over it."""
        await asyncio.gather(*(self._ask(one) for one in orders if one.key not in self.acknowledged))

    async def _ask(self, order: Order) -> None:
        body = {
            "amount": 125_000,
            "currency": "KES",
            "msisdn": order.msisdn,
            "description": "Vegetable box",
            "reference": order.key,
        }
        try:
            answer = await self.shop.call("POST", "/v1/payments", body, key=order.key)
        except aiohttp.ClientError:
            return
        assert answer.status == 201, answer.body
        self.acknowledged[order.key] = answer.body["id"]

    def cancel_while_charging(self) -> None:
        """Cancel each payment from now on once the operator has taken the money and has not yet said so."""

        def hear(name: str, record: Record) -> None:
            if record["kind"] == "executed.charge":
                task = asyncio.create_task(self._cancel(record["msisdn"]))
                self._cancels.add(task)
                task.add_done_callback(self._cancels.discard)

        self.world.journals.listeners.append(hear)

    async def _cancel(self, msisdn: str) -> None:
        payment_id = self.acknowledged[self._phones[msisdn]]
        try:
            await self.shop.call("POST", f"/v1/payments/{payment_id}/cancel")
        except aiohttp.ClientError:
            return  # Killed meanwhile: this one is not cancelled.

    def _in_flight(self) -> int:
        """How many orders the gateway has read and not finished: stored, and not final or not told to everybody.

        What was acknowledged and is not stored would be a loss; the end of the test looks for those.
        """
        [row] = self.evidence.rows(
            "SELECT count(*) AS n FROM payment p WHERE state NOT IN ('captured', 'ended', 'reversed')"
            " OR operation IS NOT NULL OR EXISTS (SELECT 1 FROM outbox o WHERE o.payment_id = p.id)"
        )
        return int(row.n)

    def charging(self) -> set[str]:
        return {row.id for row in self.evidence.rows("SELECT id FROM payment WHERE state = 'charging'")}

    def end_leases(self) -> None:
        """The dead process's leases run out, now. On SQLite nobody waits for that, so there they stand."""
        url = self.config.gateway.database
        if is_sqlite(url):
            return
        engine = connect(url)
        with begin_write(engine) as conn:
            conn.execute(text("UPDATE lane SET until_ms = 0"))
            conn.execute(text("UPDATE process SET until_ms = 0"))
        engine.dispose()

    async def _settled(self) -> None:
        """Wait until everything is over."""
        try:
            await until(lambda: not self._in_flight(), SETTLE_LIMIT_S, "the end of all payments")
        except AssertionError as late:
            left = self.evidence.rows("SELECT lane, kind, tries, due_at_ms, payment_id FROM outbox")
            states = "SELECT id, state, operation, updated_at_ms FROM payment WHERE state NOT IN ('captured', 'ended')"
            raise AssertionError(f"{late}: {left}, {self.evidence.rows(states)}") from late
        await until(lambda: not self.evidence.rows("SELECT id FROM outbox"), SETTLE_LIMIT_S, "an empty outbox")


@pytest.mark.kill
@pytest.mark.money
@pytest.mark.parametrize("point", PUSH_POINTS)
async def test_whoever_may_have_seen_a_screen_of_a_dead_process_is_asked_by_text_and_charged_once(
    point: str, database_url: str, tmp_path: Path, processes: Nursery
) -> None:
    async with town(processes, database_url, tmp_path) as here:
        acme = replace(here.config.carriers["acme"], ussd=over_http("form")(here.world), ask_by="ussd")
        here.config = replace(here.config, carriers={"acme": acme})
        [order, *_] = here.orders("555")
        await here.start(f"{point}:1")
        here.world.ussd_http.url = f"{here.gateway.url}/callbacks/acme/{CALLBACK_KEY}"
        await open_webhooks(here.shop, here.world)
        handsets = here.world.handsets
        handsets.dial(order.msisdn, HTTP_CODE)
        for number, typed in enumerate(("6", PIN, PIN), start=1):
            await handsets.wait_for_screens(order.msisdn, number, DEATH_LIMIT_S)
            assert handsets.type(order.msisdn, typed)
        await handsets.wait_for_screens(order.msisdn, 4, DEATH_LIMIT_S)
        handsets.hang_up(order.msisdn)
        await here.live_through([order])
        pushes = here.evidence.rows("SELECT state FROM push")
        assert [row.state for row in pushes] == ["unknown"]


@asynccontextmanager
async def town(
    processes: Nursery, database: str, folder: Path, *, change: Callable[[Config], Config] = lambda config: config
) -> AsyncIterator[Town]:
    """Open it; the gateway is not started yet. *change* its configuration."""
    journals = folder / "journal"
    settings = world_settings(
        journals,
        handsets=HandsetSettings(reply_delay_s=0.02, late_reply_s=3600.0),
        # Charges that take their time.
        billing=BillingSettings(slow_s=1.0, latency_median_s=0.02),
    )
    async with World(settings) as world, aiohttp.ClientSession() as http:
        with evidence(world, database, journals) as seen:
            config = change(in_a_hurry(config_for(database, world)))
            here = Town(world, http, processes, config, folder)
            here.evidence = seen
            try:
                yield here
            finally:
                if here.gateway.returncode is None:
                    here.gateway.send(signal.SIGKILL)
                    await here.gateway.ended(DEATH_LIMIT_S)


def in_a_hurry(config: Config) -> Config:
    """All charges at once, and an operator who is believed soon; but a lease that outlives the test's patience."""
    carrier = config.carriers["acme"]
    biller = {**carrier.biller, "timeout_s": 3.0, "connections_max": PAYMENTS, "max_processing_s": 0.5}
    hurried = replace(carrier, biller=biller, inquiry_ladder_s=(0.1,) * 30, charge_concurrency=PAYMENTS)
    # A shop that is slow on a busy machine is not silent: it would be spared for half a minute, and then for minutes.
    engine = replace(config.engine, lease_s=2 * SETTLE_LIMIT_S, webhook_timeout_s=10.0)
    return replace(config, engine=engine, carriers={"acme": hurried})


def with_short_leases(config: Config) -> Config:
    """Little longer than the longest request of a lane."""
    carrier = config.carriers["acme"]
    hurried = replace(carrier, biller={**carrier.biller, "timeout_s": 1.0})
    engine = replace(config.engine, lease_s=8.0, heartbeat_s=0.3, webhook_timeout_s=3.5)
    return replace(config, engine=engine, carriers={"acme": hurried})


@pytest.mark.kill
async def test_a_gateway_with_live_keys_refuses_to_start_with_a_failpoint(database_url: str, tmp_path: Path) -> None:
    async with World(world_settings(None)) as world:
        config = config_for(database_url, world, mode="live")
        config = replace(config, gateway=replace(config.gateway, development=False))
        path = tmp_path / "gateway.toml"
        path.write_text(toml(msgspec.to_builtins(config)), encoding="utf-8")
        refused = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "serve", "--config", str(path)),
            cwd=ROOT,
            env={**os.environ, "GATEWAY_CODE_KEY": CODE_KEY.hex(), "GATEWAY_FAILPOINT": "charge.before_commit:1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _, errors = await refused.communicate()
    assert refused.returncode == 1
    assert b"fail-points do not exist in live mode" in errors
