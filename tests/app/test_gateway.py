"""A whole gateway in this process: what can be seen of it from outside, and what it refuses to start with."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from gateway.app import Gateway, metrics
from gateway.config import ApiSection, CarrierSection, Config, ConfigError, EngineSection, GatewaySection, Secrets
from gateway.store.engine import READERS_MAX
from simulators.twilio_wire import signature
from tests.journeys.house import Shop, a_shop
from tests.stores import reading

HISTOGRAM = re.compile(r"(?<=_seconds)_(bucket|sum|count)$")
SECRETS = Secrets(code_key=bytes(range(32)))
DEFAULTS = EngineSection()
LOOPBACK: dict[str, Any] = {"type": "loopback"}  # Any: TOML of an adapter.


def carrier(prefix: str, **changes: Any) -> CarrierSection:  # Any: settings of a carrier.
    settings: dict[str, Any] = {
        "mode": "test",
        "prefixes": (prefix,),
        "currency": "KES",
        "time_zone": "Africa/Nairobi",
        "short_code": "22345",
        "brand": "Acme Pay",
        "bearer": LOOPBACK,
        "biller": LOOPBACK,
    }
    return CarrierSection(**{**settings, **changes})


def config(database: str, *, engine: EngineSection = DEFAULTS, **carriers: CarrierSection) -> Config:
    listen = GatewaySection(database=database, listen="127.0.0.1:0", development=True)
    carriers = carriers or {"acme": carrier("+254")}
    return Config(gateway=listen, api=ApiSection(rate_per_s=0), engine=engine, carriers=carriers)


@asynccontextmanager
async def started(settings: Config) -> AsyncIterator[Gateway]:
    gateway = Gateway(settings, SECRETS)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def scraped(http: aiohttp.ClientSession, gateway: Gateway) -> dict[str, dict[tuple[str, ...], float]]:
    """By name, the values by their labels."""
    async with http.get(f"{gateway.url}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_a_call_is_heard_by_a_process_that_does_not_keep_the_link(
    sqlite_url: str, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kept_elsewhere(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("gateway.app.keep_link", kept_elsewhere)
    account = {"account_sid": "AC" + "0" * 32, "auth_token": "secret", "callback_base_url": "https://pay.example"}
    bearer = {"type": "twilio", "sender": "+15005550006", **account}
    form = {
        "AccountSid": account["account_sid"],
        "MessageSid": "SM" + "0" * 32,
        "From": "+254712345100",
        "Body": "HELP",
    }
    signed = signature("secret", "https://pay.example/callbacks/acme/incoming", form)
    async with started(config(sqlite_url, acme=carrier("+254", bearer=bearer))) as gateway:
        called = http.post(f"{gateway.url}/callbacks/acme/incoming", data=form, headers={"X-Twilio-Signature": signed})
        async with called as answer:
            assert answer.status == 200
    with reading(sqlite_url) as conn:
        assert conn.execute(text("SELECT provider_id FROM mo")).scalar_one() == form["MessageSid"]


async def test_long_lists_keep_no_payment_waiting(sqlite_url: str, http: aiohttp.ClientSession) -> None:
    key = a_shop(sqlite_url).test_key
    async with started(config(sqlite_url)) as gateway:
        is_over = threading.Event()
        lists = [asyncio.ensure_future(gateway.reads(lambda conn: is_over.wait(60))) for _ in range(READERS_MAX)]
        try:
            async with asyncio.timeout(10):
                shop = Shop(http, gateway.url, key)
                assert (await shop.ask("+254700000555"))["status"] == "pending"
        finally:
            is_over.set()
            await asyncio.gather(*lists)


@pytest.mark.money
async def test_every_metric_is_shown_and_counts(database_url: str, http: aiohttp.ClientSession) -> None:
    key = a_shop(database_url).test_key
    async with started(config(database_url)) as gateway:
        before = await scraped(http, gateway)
        assert {HISTOGRAM.sub("", name) for name in before} == set(metrics.NAMES)
        shop = Shop(http, gateway.url, key)
        paid = await shop.until_final((await shop.ask("+254700000555"))["id"])
        assert paid["status"] == "succeeded"
        after = await scraped(http, gateway)
    assert after["gateway_lane_executed_total"]["charge:acme:0",] == 1
    assert after["gateway_batch_events_total"][()] > before["gateway_batch_events_total"][()]
    assert after["gateway_lane_owned"] == dict.fromkeys(after["gateway_lane_owned"], 1)
    assert after["gateway_bearer_up"] == {("acme",): 1}
    assert after["gateway_charges_total"]["acme", "charged"] == after["gateway_charge_seconds_count"]["acme",] == 1
    assert after["gateway_texts_total"]["acme", "submitted"] >= 1
    passed = {state for (_, state), count in after["gateway_payments_total"].items() if count}
    assert passed == {"pending", "requires_consent", "processing", "succeeded"}
    assert after["gateway_commit_seconds_count"][()] >= after["gateway_batches_total"][()] - 1
    for name in ("failures_total", "stuck"):
        assert set(after[f"gateway_lane_{name}"].values()) == {0}
    assert after["gateway_quarantined_total"][()] == after["gateway_shed_total"][()] == 0


async def test_an_export_is_written_by_its_lane(database_url: str, http: aiohttp.ClientSession) -> None:
    key = a_shop(database_url).test_key
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "e-1"}
    async with started(config(database_url)) as gateway:
        shop = Shop(http, gateway.url, key)
        paid = await shop.until_final((await shop.ask("+254700000555"))["id"])
        path = f"{gateway.url}/v1/exports"
        async with http.post(path, json={"kind": "payments"}, headers=headers) as answer:
            assert answer.status == 202
            export = await answer.json()
        async with asyncio.timeout(20):
            while export["status"] != "ready":
                await asyncio.sleep(0.02)
                async with http.get(f"{path}/{export['id']}", headers=headers) as answer:
                    export = await answer.json()
        async with http.get(f"{path}/{export['id']}/content", headers=headers) as answer:
            assert (answer.status, answer.headers["Transfer-Encoding"]) == (200, "chunked")
            [_, line] = (await answer.text()).splitlines()
        assert line.startswith(f"{paid['id']},") and ",succeeded," in line
        assert gateway.lanes.counters()["export:0"].executed == 1


async def test_readyz_says_which_link_is_down_and_goes_on_taking_requests(
    sqlite_url: str, http: aiohttp.ClientSession
) -> None:
    nobody = {"type": "smpp", "host": "127.0.0.1", "port": 1, "system_id": "a", "password": "b", "source_addr": "1"}
    settings = config(sqlite_url, acme=carrier("+254"), zuri=carrier("+255", bearer=nobody))
    async with started(settings) as gateway, http.get(f"{gateway.url}/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ok")
        assert gateway.is_ready() == {"writer": True, "link:acme": True, "link:zuri": False}
        assert (await answer.json())["parts"]["link:zuri"] is False
        assert (await scraped(http, gateway))["gateway_bearer_up"] == {("acme",): 1, ("zuri",): 0}


SLOW_BILLER = {"biller": {**LOOPBACK, "timeout_s": 60.0}}
SHORT = [
    pytest.param(EngineSection(lease_s=18.0), {}, r"more than 19\.0 \(lane webhook:3\), got 18\.0", id="webhooks"),
    pytest.param(DEFAULTS, SLOW_BILLER, r"more than 124\.0 \(lane charge:acme:0\)", id="biller"),
    pytest.param(EngineSection(webhook_timeout_s=60.0), {}, r"more than 64\.0 \(lane webhook:3\)", id="patience"),
]


@pytest.mark.parametrize(("engine", "changes", "least"), SHORT)
def test_a_lease_shorter_than_the_longest_request_is_a_mistake(
    sqlite_url: str, engine: EngineSection, changes: dict[str, Any], least: str
) -> None:
    settings = config(sqlite_url, engine=engine, acme=carrier("+254", **changes))
    with pytest.raises(ConfigError, match=rf"engine\.lease_s: expected {least}"):
        Gateway(settings, SECRETS)


def test_two_starts_are_two_owners(sqlite_url: str) -> None:
    settings = config(sqlite_url)
    named = replace(settings, gateway=replace(settings.gateway, process_name="pay-1"))
    owners = {Gateway(named, SECRETS).owner for _ in range(2)}
    assert len(owners) == 2 and all(owner.startswith("pay-1-") for owner in owners)
