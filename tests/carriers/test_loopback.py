"""The carrier without a network: the suite of bearers, and what is its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
import pytest

from carriers import base
from carriers.loopback import Bearer, Settings
from gateway.core.asks import load_catalogues
from tests.carriers.benches import LoopbackBench
from tests.carriers.conformance import (
    PRICE,
    WAIT_S,
    BearerConformance,
    an_ask,
    charge_order,
    reverse_order,
    word,
)
from tests.house.tree import ROOT

NOW_MS = 1_767_225_600_000
CATALOGUES = load_catalogues(
    {path.stem: path.read_text() for path in (ROOT / "gateway" / "core" / "catalogues").glob("*.toml")}
)


class PhoneBench:
    """The loopback's bearer, running."""

    carrier = "loop"
    msisdn = "+254712345100"

    def __init__(self, **settings: Any) -> None:
        self.heard: asyncio.Queue[base.Mo | base.Receipt] = asyncio.Queue()
        self.refusals = 0
        self.up = asyncio.Event()
        chosen = Settings(**{"offer_again_s": 0.01, **settings})
        self.bearer = Bearer("loop", chosen, now_ms=lambda: NOW_MS, on_up=self.up.set)
        self.running = asyncio.create_task(self.bearer.run(self.sink))

    async def sink(self, thing: base.Mo | base.Receipt | base.Callback) -> None:
        assert not isinstance(thing, base.Callback)
        if self.refusals:
            self.refusals -= 1
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def go_down(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@asynccontextmanager
async def phones(**settings: Any) -> AsyncIterator[PhoneBench]:
    bench = PhoneBench(**settings)
    await asyncio.wait_for(bench.up.wait(), WAIT_S)
    yield bench
    await bench.go_down()


class TestBearer(BearerConformance):
    @pytest.fixture
    async def bench(self) -> AsyncIterator[PhoneBench]:
        async with phones() as bench:
            yield bench


@pytest.mark.parametrize("charges", ["insufficient_funds", "limit_exceeded", "not_subscriber", "carrier_declined"])
async def test_charges_are_declined_as_configured(charges: str) -> None:
    bench = LoopbackBench(charges=charges)
    assert word(await bench.biller.charge(charge_order())) == f"declined {charges}"
    assert word(await bench.biller.inquire(charge_order())) == f"declined {charges}"
    assert word(await bench.biller.reverse(reverse_order())) == "declined carrier_declined"


async def test_the_book_forgets_the_oldest_orders() -> None:
    bench = LoopbackBench(orders_max=2)
    for number in range(3):
        await bench.biller.charge(charge_order(f"att_{number}"))
    found = [word(await bench.biller.inquire(charge_order(f"att_{number}"))) for number in range(3)]
    assert found == ["not found", "charged", "charged"]


@pytest.mark.parametrize(("answers", "reply"), [("pays", "4711"), ("refuses", "0")])
async def test_people_answer_as_configured(answers: Literal["pays", "refuses"], reply: str) -> None:
    async with phones(answers=answers, answer_after_s=0.001, short_code="55555") as bench:
        await bench.bearer.submit(an_ask(bench, "4711", want_receipt=False))
        heard = await asyncio.wait_for(bench.heard.get(), WAIT_S)
        assert isinstance(heard, base.Mo)
        assert (heard.text, heard.to, heard.read_at_ms) == (reply, "55555", NOW_MS)
        assert heard.provider_id


async def test_silent_people_only_receive() -> None:
    async with phones(answers="silent") as bench:
        await bench.bearer.submit(an_ask(bench, "4711"))
        assert isinstance(await asyncio.wait_for(bench.heard.get(), WAIT_S), base.Receipt)
        while bench.bearer._people:
            await asyncio.gather(*bench.bearer._people)
        assert bench.heard.empty()


@pytest.mark.parametrize("language", CATALOGUES.languages)
@pytest.mark.parametrize("key", ["ask", "pay_ask", "reminder", "not_understood", "paid", "declined"])
def test_a_person_finds_the_code_in_the_gateways_own_texts(language: str, key: str) -> None:
    names = "shop amount item code deadline ref help care brand fee time outcome count"
    fields = {**dict.fromkeys(names.split(), "x"), "code": "4711", "amount": "KES 1,250.00"}
    bearer = Bearer("loop", Settings(), now_ms=lambda: NOW_MS)
    expected = None if key in ("paid", "declined") else "4711"
    assert bearer._answer_to(CATALOGUES.render(language, key, **fields)) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"answers": "maybe"},
        {"charges": "stolen"},
        {"timeout_s": 0},
        {"answer_after_s": -1},
        {"orders_max": 0},
        {"x": 1},
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Settings)


def test_the_price_of_the_suite_is_in_whole_minor_units() -> None:
    assert PRICE.amount_minor == 125_000
