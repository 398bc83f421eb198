"""Metrics of a gateway that works: as many series for many phones as for none, and what waits shows whoever owns it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from carriers import base
from gateway.app import Gateway
from gateway.app.lookout import Lookout
from gateway.app.tallies import Tallies
from gateway.config import ApiSection
from gateway.engine.carrier_jobs import TextDone
from gateway.engine.lane import Grant
from gateway.engine.pushes import NOT_PUSHED, PushDone
from gateway.store import tables
from gateway.store.apply import Job
from gateway.store.engine import begin_write, connect
from gateway.store.outbox import OutboxRow
from gateway.store.reads import Reads
from gateway.store.times import Times
from gateway.store.unit import Move
from gateway.store.webhook_reads import OldEvent
from merchants.deliveries import Outcome
from merchants.replaying import ReplayDone, Tried
from tests.app.test_gateway import carrier, config, scraped, started
from tests.journeys.house import Shop, a_number, a_shop

LABELS = {"lane", "carrier", "state", "reason", "kind", "le", "version"}
PHONES = 100_000


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def series(http: aiohttp.ClientSession, gateway: Gateway) -> set[tuple[str, ...]]:
    async with http.get(f"{gateway.url}/metrics") as answer:
        families = list(text_string_to_metric_families(await answer.text()))
    samples = [sample for family in families for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} <= LABELS
    return {(sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items())) for sample in samples}


@pytest.mark.money
async def test_many_phones_make_no_series_more(sqlite_url: str, http: aiohttp.ClientSession) -> None:
    key = a_shop(sqlite_url).test_key
    # All of them ask how their payments stand, several times a second.
    unlimited = replace(config(sqlite_url), api=ApiSection(rate_per_s=0))
    async with started(unlimited) as gateway:
        shop = Shop(http, gateway.url, key)
        before = await series(http, gateway)
        asked = await asyncio.gather(*(shop.ask(a_number()) for _ in range(60)))
        await asyncio.gather(*(shop.until_final(one["id"]) for one in asked))
        assert await series(http, gateway) == before


class Taken:
    """An executor of texts that are all refused."""

    concurrency = 1
    hard_timeout_s = 1.0

    def is_up(self, row: OutboxRow) -> bool:
        return True

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        return TextDone(row, None)

    def drop(self, row: OutboxRow) -> Job:
        return TextDone(row, None)


async def test_tallies_of_a_hundred_thousand_phones_are_as_long_as_those_of_none() -> None:
    tallies = Tallies(["acme"])
    before = lengths(tallies)
    executor = tallies.watch({"sms:acme:0": Taken()})["sms:acme:0"]
    grant = Grant(1, 1.0, lambda: 0.0)
    for n in range(PHONES):
        tallies.moved([Move("acme", "failed", "refused")])
        await executor.run(a_row(f"msg_{n}", "sms:acme:0", msisdn=f"+2547{n:08d}"), grant)
    assert tallies.states["acme", "failed"] == tallies.reasons["acme", "refused"] == PHONES
    assert tallies.texts["acme"].counts == {"submitted": 0, "refused": 0, "unknown": 0, "dropped": PHONES}
    assert lengths(tallies) == before


class Replayed(Taken):
    """A page of a replay, of which two events were tried."""

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        event = OldEvent(seq=1, id="evt_1", payment_id=None, body=b"", is_on_its_way=False)
        kinds: tuple[Literal["delivered", "failed"], ...] = ("delivered", "failed")
        return ReplayDone(row, None, [Tried(event, Outcome(kind=kind, detail="", took_ms=5)) for kind in kinds])


async def test_tries_of_a_replay_count_as_tries() -> None:
    tallies = Tallies(["acme"])
    executor = tallies.watch({"webhook:0": Replayed()})["webhook:0"]
    await executor.run(a_row("rpl_1", "webhook:0"), Grant(1, 1.0, lambda: 0.0))
    assert tallies.webhooks.counts == {"delivered": 1, "failed": 1, "gone": 0, "dropped": 0}
    assert tallies.webhooks.times.total_s == pytest.approx(0.01)


PUSHED: list[tuple[base.SubmitResult | None, str]] = [
    (base.Submitted(message_ids=("1",), segments=1), "submitted"),
    (base.Refused(code="absent", detail="", retryable=False), "refused"),
    (base.Refused(code=NOT_PUSHED, detail="it has no PIN", retryable=False), "not_pushed"),
    (base.Unknown(detail="no answer"), "unknown"),
    (None, "dropped"),
]


class Pushing(Taken):
    """An executor of pushes, and of the texts behind them."""

    def __init__(self, result: base.SubmitResult | None) -> None:
        self.result = result

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        return PushDone(row, self.result) if row.kind == "ussd" else TextDone(row, self.result)


@pytest.mark.parametrize(("result", "kind"), PUSHED, ids=[kind for _, kind in PUSHED])
async def test_pushes_are_counted_by_what_came_of_them(result: base.SubmitResult | None, kind: str) -> None:
    tallies = Tallies(["acme"])
    executor = tallies.watch({"sms:acme:0": Pushing(result)})["sms:acme:0"]
    await executor.run(replace(a_row("msg_1-p", "sms:acme:0"), kind="ussd"), Grant(1, 1.0, lambda: 0.0))
    assert {kind for (_, kind), n in tallies.pushes.items() if n} == {kind}


async def test_a_text_behind_a_push_counts_once_however_often_it_is_tried() -> None:
    tallies = Tallies(["acme"])
    executor = tallies.watch({"sms:acme:0": Pushing(PUSHED[1][0])})["sms:acme:0"]
    row = a_row("msg_1", "sms:acme:0")
    behind = replace(row, body={**row.body, "after_push": True})
    for one in (row, behind, replace(behind, tries=1)):
        await executor.run(one, Grant(1, 1.0, lambda: 0.0))
    assert tallies.pushes["acme", "texted"] == 1


def lengths(tallies: Tallies) -> tuple[int, ...]:
    return len(tallies.states), len(tallies.reasons), len(tallies.texts["acme"].counts), len(tallies.texts)


def a_row(row_id: str, lane: str, msisdn: str | None = None) -> OutboxRow:
    return OutboxRow(
        id=row_id,
        lane=lane,
        kind="sms",
        group_key=row_id,
        payment_id=None,
        consumer_id=None,
        body={"carrier": "acme"},
        due_at_ms=1,
        created_at_ms=1,
        msisdn=msisdn,
    )


async def test_what_waits_in_a_lane_shows_though_nobody_works_on_it(
    database_url: str, http: aiohttp.ClientSession
) -> None:
    nobody = {"type": "smpp", "host": "127.0.0.1", "port": 1, "system_id": "a", "password": "b", "source_addr": "1"}
    async with started(config(database_url, acme=carrier("+254", bearer=nobody))) as gateway:
        shop = Shop(http, gateway.url, a_shop(database_url).test_key)
        for _ in range(3):
            await shop.ask(a_number())
        gateway.clock.advance(90)
        lookout = Lookout(gateway.reads, ["sms:acme:0", "charge:acme:0"], gateway.clock.now_ms)
        await lookout.look()
        found = lookout.latest.waiting
        assert (found["sms:acme:0"].rows, found["charge:acme:0"].rows) == (3, 0)
        assert 90 <= lookout.age_s(found["sms:acme:0"].due_since_ms) < 100
        shown = await scraped(http, gateway)
        assert shown["gateway_bearer_up_since_seconds"]["acme",] == 0
        assert shown["gateway_bearer_window_size"]["acme",] > 0


async def test_what_needs_a_person_is_counted_by_kind(database_url: str) -> None:
    engine = connect(database_url)
    with begin_write(engine) as conn:
        for n, resolved_at_ms in enumerate((None, None, 5)):
            row = {"id": f"brk_{n}", "kind": "mismatch", "detail": "", "at_ms": 10 - n}
            conn.execute(insert(tables.open_break).values(**row, resolved_at_ms=resolved_at_ms))
        job = {"id": "qua_1", "job": "", "error": "", "is_carrier_fact": 0, "at_ms": 7}
        conn.execute(insert(tables.quarantine).values(**job))
    engine.dispose()
    reads = Reads(connect(database_url, read_only=True))
    lookout = Lookout(reads, [], lambda: 1_000)
    await lookout.look()
    reads.close()
    mismatches = lookout.latest.breaks["mismatch"]
    assert (mismatches.count, mismatches.since_ms) == (2, 9)
    assert (lookout.latest.quarantined.count, lookout.age_s(lookout.latest.quarantined.since_ms)) == (1, 0.993)


def test_times_fall_into_their_buckets() -> None:
    times = Times()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        times.note(seconds)
    buckets = dict(times.buckets())
    assert (buckets["0.001"], buckets["0.25"], buckets["0.5"], buckets["30.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert times.total_s == pytest.approx(99.3015)
