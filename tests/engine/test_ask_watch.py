"""Pumping is seen, paused and told; who is answered is left alone; a pause ends and old asks do not begin it again."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from gateway.core.caps import NO_CAPS, Terms
from gateway.core.payment import Rules
from gateway.engine.ask_watch import AskWatch
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.housekeeping import DAY_MS
from gateway.store.engine import connect, database_now_ms
from gateway.store.quarantine import Quarantine
from gateway.store.reads import Reads
from tests.engine.caps_bench import NAIROBI, Here, here
from tests.store.bench import POLICY, a_text, an_engine, count, rows

CAPS = replace(NO_CAPS, pumping_asks_min=20, pumping_answer_percent=10, pumping_pause_s=3600)
POLICY_HERE = replace(POLICY, terms={"acme": Terms(caps=CAPS, zone=NAIROBI)})
FIVE_MINUTES_S = 300
AN_HOUR_S = 3600


@asynccontextmanager
async def watching(url: str, home: Here, owns: Callable[[str], bool] = lambda lane: True) -> AsyncIterator[AskWatch]:
    """The loop's look, over the store of *home* and by its clock."""
    reads = Reads(connect(url, read_only=True))
    with an_engine(url) as engine, engine.connect() as clock:
        settings = BatchSettings(pace_ms=0, ride_along_ms=0)
        batcher = Batcher(home.store.apply, settings=settings, quarantine=Quarantine(engine))
        batcher.start()
        now_ms = database_now_ms(clock)
        clock.rollback()
        try:
            yield AskWatch(batcher, reads, owns, home.store._policy.terms, lambda: now_ms + home.passed_ms + 60_000)
        finally:
            await batcher.stop()
            reads.close()


def ask_many(home: Here, merchant: str, numbers: str, asks: int = 20, answers: int = 0) -> None:
    """*asks* to as many phones, *numbers* with three digits in place of `{}`; *answers* of them write something."""
    for n in range(asks):
        phone = numbers.format(f"{n:03d}")
        assert home.ask(merchant, msisdn=phone) == "asked"
        if n < answers:
            home.do(a_text(("0", "9999")[n % 2], msisdn=phone))


NEIGHBOURS, SCATTERED = "+254700555{}", "+2547{}55555"


async def test_a_block_of_neighbours_that_nobody_answers_is_closed_to_all_shops(database_url: str) -> None:
    with here(database_url, POLICY_HERE) as home:
        ask_many(home, "mer_1", NEIGHBOURS, asks=10)
        ask_many(home, "mer_2", NEIGHBOURS, asks=10)
        home.pass_s(FIVE_MINUTES_S)
        async with watching(database_url, home) as watch:
            await watch.look()
        assert home.ask("mer_3", msisdn=NEIGHBOURS.format("999")) == "unavailable", "as at a stopped phone"
        assert home.ask("mer_3", msisdn="+254700556000") == "asked"
        assert home.ask("mer_1", msisdn="+254700556001") == "asked", "ten asks of each shop are too few to say"
    assert [row.subject for row in rows(database_url, "SELECT subject FROM ask_pause")] == ["block:+254700555:test"]


async def test_a_shop_that_nobody_answers_is_paused_and_told_so(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with here(database_url, POLICY_HERE) as home:
        ask_many(home, "mer_1", SCATTERED, answers=1)
        home.pass_s(FIVE_MINUTES_S)
        async with watching(database_url, home) as watch:
            with caplog.at_level(logging.WARNING):
                await watch.look()
                await watch.look()
            assert home.ask("mer_1") == "asks_paused" and 3_400 < home.retry_after_s <= 3_600
            assert home.ask("mer_2") == "asked"
            assert home.ask("mer_1", mode="live") == "asked", "simulated phones say nothing about real ones"
    [told] = rows(database_url, 'SELECT kind, detail FROM "break"')
    assert told.kind == "pumping" and "merchant:mer_1:test: 20 asks in an hour, 1 answered" in told.detail
    assert [record.getMessage() for record in caplog.records] == [
        "asks are paused: merchant:mer_1:test: 20 asks in an hour, 1 answered"
    ]


async def test_a_shop_that_is_answered_is_left_alone(database_url: str) -> None:
    with here(database_url, POLICY_HERE) as home:
        ask_many(home, "mer_1", NEIGHBOURS, answers=2)
        home.pass_s(FIVE_MINUTES_S)
        async with watching(database_url, home) as watch:
            await watch.look()
    assert count(database_url, "ask_pause") == 0


async def test_the_first_of_two_confirmations_is_an_answer(database_url: str) -> None:
    terms = {"acme": Terms(caps=replace(CAPS, pumping_asks_min=1), zone=NAIROBI)}
    rules = {**POLICY.rules, "acme": Rules(opt_in="twice")}
    with here(database_url, replace(POLICY, rules=rules, terms=terms)) as home:
        home.ask()
        assert home.text(home.code()) == ["second"]
        home.pass_s(FIVE_MINUTES_S)
        async with watching(database_url, home) as watch:
            await watch.look()
    assert count(database_url, "ask_pause") == 0


async def test_young_asks_and_asks_that_never_left_prove_nothing(database_url: str) -> None:
    with here(database_url, POLICY_HERE) as home:
        ask_many(home, "mer_1", NEIGHBOURS)
        async with watching(database_url, home) as watch:
            await watch.look()
            assert count(database_url, "ask_pause") == 0, "too young"
            home.pass_s(2 * AN_HOUR_S)
            await watch.look()
            assert count(database_url, "ask_pause") == 0, "too old"
            for n in range(20):
                phone = SCATTERED.format(f"{n:03d}")
                home.text("STOP", msisdn=phone)
                assert home.ask("mer_2", msisdn=phone) == "unavailable"
            home.pass_s(FIVE_MINUTES_S)
            await watch.look()
    assert count(database_url, "ask_pause") == 0, "nothing was sent"


async def test_a_pause_ends_and_the_asks_before_it_do_not_begin_it_again(database_url: str) -> None:
    with here(database_url, POLICY_HERE) as home:
        ask_many(home, "mer_1", SCATTERED)
        home.pass_s(FIVE_MINUTES_S)
        async with watching(database_url, home) as watch:
            await watch.look()
            with an_engine(database_url) as engine, engine.begin() as conn:
                conn.exec_driver_sql("UPDATE ask_pause SET until_ms = at_ms")
            await watch.look()
            assert home.ask("mer_1") == "asked", "a person has ended it"
            ask_many(home, "mer_1", "+2548{}55555")
            home.pass_s(FIVE_MINUTES_S)
            await watch.look()
            assert home.ask("mer_1", msisdn="+254700000077") == "asks_paused", "there are twenty new ones"
            home.pass_s(AN_HOUR_S)
            assert home.ask("mer_1", msisdn="+254700000077") == "asked"
            home.passed_ms += DAY_MS
            await watch.look()
    assert count(database_url, "ask_pause") == 0, "forgotten"


async def test_a_process_that_does_not_own_the_lane_does_not_look(database_url: str) -> None:
    with here(database_url, POLICY_HERE) as home:
        ask_many(home, "mer_1", NEIGHBOURS)
        home.pass_s(FIVE_MINUTES_S)
        async with watching(database_url, home, owns=lambda lane: False) as watch:
            await watch.look()
    assert count(database_url, "ask_pause") == 0
