"""SIM swap over a real socket: each question, in each version, against each knob of the simulator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from carriers import base
from carriers.sim_swap.adapter import Settings, SimSwap
from gateway.adapters import kinds
from gateway.http_client import HttpClient, Limits
from simulators.faults import FAULTS, Fault, Scripted
from simulators.journal import read
from simulators.sim_swap import SimSwapSettings
from simulators.web import HttpServer, json_response
from simulators.world import World, WorldSettings

SETTLED, SWAPPED = "+254712345100", "+254712345015"
QUESTIONS = [("v1", "check"), ("v2", "check"), ("v1", "retrieve-date"), ("v2", "retrieve-date")]
WAIT_S = 10.0

# Knob → what is answered, of a number with an old SIM, and how often the question comes to the operator.
KNOBS = {
    "": ("settled", 1),
    "swapped": ("fresh", 1),
    "slow": ("settled", 1),
    "contrary": ("unknown, again", 1),
    "unknown_number": ("unknown", 1),
    "not_applicable": ("unknown", 1),
    "denied": ("unknown", 1),
    "error_before": ("unknown, again", 1),
    "rate_limited": ("unknown, again", 1),
    "token_expired": ("settled", 2),  # Struck once: with a new token it is answered.
    "timeout_lost": ("unknown, again", 1),
    "garbage": ("unknown, again", 1),
    "nested": ("unknown, again", 1),
    "reset": ("unknown, again", 1),
}
TOKEN_KNOBS = dict.fromkeys(FAULTS["sim.token"], "unknown, again")


def word(answer: base.SimResult) -> str:
    match answer:
        case base.SimSettled():
            return "settled"
        case base.SimFresh():
            return "fresh"
        case base.SimUnknown():
            return "unknown, again" if answer.retryable else "unknown"


class Bench:
    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder

    def settings(self, version: str = "v1", ask: str = "check", **changes: Any) -> Settings:
        at = self.world.sim.server.url
        plain: dict[str, Any] = {
            "base_url": f"{at}/sim-swap/{version}",
            "ask": ask,
            "token_url": f"{at}/oauth2/token",
            "client_id": "gateway",
            "client_secret": "secret",
            "timeout_s": 2.0,
        }
        return Settings(**plain | changes)

    @asynccontextmanager
    async def hook(self, *asked: str, **changes: Any) -> AsyncIterator[SimSwap]:
        client = HttpClient(Limits(connections_per_host_max=2, body_bytes_max=64 * 1024))
        try:
            yield SimSwap("acme", self.settings(*asked, **changes), now_ms=_now_ms, client=client)
        finally:
            await client.close()

    def strike(self, point: str, name: str) -> None:
        self.world.plan.add(Scripted(point=point, fault=name, at=1))

    def questions(self, version_and_ask: tuple[str, str]) -> int:
        self.world.journals.flush()
        return sum(record["what"] == version_and_ask[1] for record in read(self.folder, "sim", "request"))


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    settings = WorldSettings(journal=tmp_path, sim=SimSwapSettings(slow_s=0.1))
    async with World(settings) as world:
        yield Bench(world, tmp_path)


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
async def test_every_knob_is_met(bench: Bench, question: tuple[str, str]) -> None:
    for name, (expected, times) in KNOBS.items():
        before = bench.questions(question)
        bench.world.plan.clear()
        if name:
            bench.strike("sim.check", name)
        async with bench.hook(*question) as hook:
            answer = await asyncio.wait_for(hook.check(SETTLED, 72), WAIT_S)
        assert word(answer) == expected, name
        assert bench.questions(question) - before == times, name


def test_every_knob_of_the_simulator_is_tried() -> None:
    assert set(KNOBS) - {""} == FAULTS["sim.check"]
    assert TOKEN_KNOBS
    assert set(kinds("SimSwap")) == {"sim_swap"}


@pytest.mark.parametrize("name", sorted(TOKEN_KNOBS))
async def test_without_a_token_nothing_is_known(bench: Bench, name: str) -> None:
    bench.world.plan.add(Scripted(point="sim.token", fault=name, every=1))
    async with bench.hook() as hook:
        assert word(await asyncio.wait_for(hook.check(SETTLED, 72), WAIT_S)) == TOKEN_KNOBS[name]
    # A token that is refused is renewed once, and no more.
    assert bench.questions(("v1", "check")) == 0


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
async def test_the_age_is_judged_by_the_hours_that_were_asked(bench: Bench, question: tuple[str, str]) -> None:
    for hours, asked, expected in [(71, 72, "fresh"), (73, 72, "settled"), (73, 74, "fresh"), (2399, 2400, "fresh")]:
        bench.world.plan.set_for_number(SETTLED, "sim.check", Fault(name="swapped", seconds=hours * 3600.0))
        async with bench.hook(*question) as hook:
            assert word(await hook.check(SETTLED, asked)) == expected, (hours, asked)


async def test_magic_digits_swap_a_sim_and_the_trace_has_no_credentials(bench: Bench) -> None:
    async with bench.hook() as hook:
        answer = await hook.check(SWAPPED, 72)
        assert word(answer) == "fresh"
        assert word(await hook.check(SETTLED, 72)) == "settled"
    assert answer.trace is not None and b'"maxAge":72' in answer.trace.sent
    assert b"token" not in answer.trace.sent + answer.trace.received
    bench.world.journals.flush()
    kinds_asked = [record["what"] for record in read(bench.folder, "sim", "request")]
    assert kinds_asked.count("token") == 1  # One for both questions.


async def test_who_looks_back_a_few_days_only_knows_nothing_of_before(tmp_path: Path) -> None:
    settings = WorldSettings(journal=tmp_path, sim=SimSwapSettings(monitored_days=2))
    async with World(settings) as world, Bench(world, tmp_path).hook("v2", "retrieve-date") as hook:
        assert word(await hook.check(SETTLED, 48)) == "settled"
        assert word(await hook.check(SETTLED, 49)) == "unknown"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ('"2020-01-01T00:00:00Z"', "settled"),
        ('"2020-01-01T00:00:00"', "unknown"),
        ('"yesterday"', "unknown"),
        ('"2999-01-01T00:00:00Z"', "unknown"),
        ("null", "settled"),
        ("17", "unknown, again"),
    ],
)
async def test_a_date_counts_only_if_it_is_one(bench: Bench, told: str, expected: str) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return json_response(b'{"latestSimChange":%b}' % told.encode())

    server = HttpServer(answer)
    await server.start()
    try:
        changes = {"base_url": server.url, "token": "t", "token_url": "", "client_id": "", "client_secret": ""}
        async with bench.hook("v1", "retrieve-date", **changes) as hook:
            assert word(await hook.check(SETTLED, 72)) == expected
    finally:
        await server.stop()


async def test_nobody_there_is_no_answer(bench: Bench) -> None:
    async with bench.hook(base_url="http://127.0.0.1:9/sim-swap/v1") as hook:
        assert word(await hook.check(SETTLED, 72)) == "unknown, again"


def test_settings_name_every_mistake_and_hide_secrets() -> None:
    with pytest.raises(ValueError, match=r"expected either token, or token_url.*token_url: expected http"):
        Settings(base_url="http://sim.example/v1", token="t", token_url="ftp://x", client_id="", client_secret="")
    shown = repr(Settings(base_url="http://sim.example/v1", token="very-secret"))
    assert "very-secret" not in shown
