"""Every USSD channel against its simulator over real sockets: phones dial, type and are gone, and the network fails."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from carriers import base
from carriers.ussd_http.adapter import Settings as HttpSettings
from carriers.ussd_http.adapter import UssdChannel as HttpChannel
from carriers.ussd_smpp.adapter import Settings as SmppSettings
from carriers.ussd_smpp.adapter import UssdChannel as SmppChannel
from simulators.faults import FAULTS, Fault, Scripted
from simulators.handsets import HandsetSettings, Screen
from simulators.journal import Record
from simulators.smsc_settings import SmscSettings
from simulators.ussd import NETWORK_ERROR, UssdSettings
from simulators.world import World, WorldSettings
from tests.carriers.ussd_bench import MENU, NOW_MS, PHONE, WAIT_S, Sessions, a_socket, mounted

TOKEN = "00112233445566778899aabbccddeeff"
PIN = "738291"
STYLES = ("form", "hubtel", "nalo", "infobip")
DIALECTS = ("its_session_info", "user_message_reference")
WAYS = (*STYLES, *DIALECTS)
PUSHING = pytest.mark.parametrize("way", DIALECTS)


class Bench:
    """The simulated network and one channel, joined by the way that is tried."""

    def __init__(self, way: str, world: World, settings: HttpSettings | SmppSettings) -> None:
        self.way = way
        self.world = world
        self._news = asyncio.Event()
        self.channel: base.UssdChannel
        if isinstance(settings, HttpSettings):
            self.channel = HttpChannel("ussd", settings, now_ms=lambda: NOW_MS)
        else:
            self.channel = SmppChannel("ussd", settings, now_ms=lambda: NOW_MS, on_up=self._news.set)
        self.sessions = Sessions()
        self.sessions.on_step = self._news.set
        self.code = "*384#" if way in STYLES else "*385#"
        self.records: list[tuple[str, Record]] = []
        self._shown = 0
        world.journals.listeners.append(self._note)

    def _note(self, name: str, record: Record) -> None:
        self.records.append((name, record))
        self._news.set()

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait for a step, a journal's record or a bind after which *is_so* holds."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    def dial(self, behind: str = "") -> None:
        self.world.handsets.dial(PHONE, f"{self.code.removesuffix('#')}{behind}#")

    def type(self, text: str) -> None:
        assert self.world.handsets.type(PHONE, text), "no screen waits"

    async def screen(self) -> tuple[str, bool]:
        """The next screen that the phone shows."""
        await self.world.handsets.wait_for_screens(PHONE, self._shown + 1, WAIT_S)
        screen = self.world.handsets.phone(PHONE).screen
        assert isinstance(screen, Screen) and screen.number > self._shown, "the phone shows nothing"
        self._shown = screen.number
        return screen.text, screen.goes_on

    async def typed(self, text: str) -> tuple[str, bool]:
        self.type(text)
        return await self.screen()

    async def until_ended(self) -> None:
        await self.until(lambda: self.sessions.ended)

    @property
    def inputs(self) -> list[str]:
        """Of the only session."""
        [inputs] = self.sessions.inputs.values()
        return inputs

    def kinds(self, journal: str) -> list[str]:
        return [record["kind"] for name, record in self.records if name == journal]

    def strike(self, fault: str, *, at: int, seconds: float | None = None) -> None:
        self.world.plan.add(Scripted(point="ussd.step", fault=fault, at=at, seconds=seconds))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bench(way: str) -> AsyncIterator[Bench]:
    dialect = way if way in DIALECTS else DIALECTS[0]
    settings = WorldSettings(
        use_magic=False,
        ussd=UssdSettings(dialog=dialect, late_s=0.05),  # type: ignore[arg-type]
        smsc=SmscSettings(retry_delay_s=0.02),
        handsets=HandsetSettings(reply_delay_s=0.0),
    )
    async with World(settings) as world:
        at = a_socket()
        if way in STYLES:
            world.ussd_http.style = way  # type: ignore[assignment]
            bench = Bench(way, world, http(world, way, f"http://127.0.0.1:{at.getsockname()[1]}"))
        else:
            bench = Bench(way, world, smpp(world, dialog=way))
        running = asyncio.create_task(bench.channel.run(bench.sessions))
        async with mounted(bench.channel.routes(bench.sessions), at=at) as url:
            world.ussd_http.url = f"{url}/{TOKEN}"
            await bench.until(bench.channel.is_up)
            yield bench
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def http(world: World, way: str, base_url: str, **more: Any) -> HttpSettings:
    known = {"style": way, "path_token": TOKEN, "service_code": "*384#", "callback_base_url": base_url}
    return HttpSettings(**{**known, "push_url": world.ussd_http.server.url, "push_timeout_s": 0.5, **more})


def smpp(world: World, **more: Any) -> SmppSettings:
    known = {"host": "127.0.0.1", "port": world.smsc.port, "system_id": "ussd", "password": "secret", "pushes": True}
    return SmppSettings(**{**known, "service_code": "*385#", "reconnect_delay_s": 0.01, "drain_timeout_s": 0, **more})


async def test_a_phone_dials_types_and_is_told_that_it_is_over(bench: Bench) -> None:
    bench.dial()
    assert await bench.screen() == (MENU, True)
    assert await bench.typed("1") == ("1 typed", True)
    assert await bench.typed(PIN) == ("2 typed", True)
    assert await bench.typed("é0") == ("3 typed", False)
    assert not bench.world.handsets.type(PHONE, "1")
    assert bench.inputs == ["1", PIN, "é0"]
    begin, *_, last = bench.sessions.steps
    assert (begin.msisdn, begin.service_code) == (PHONE, bench.code)
    assert last.kind == "input" and {step.session_id for step in bench.sessions.steps} == {begin.session_id}


async def test_what_is_dialled_behind_the_code_is_typed_already(bench: Bench) -> None:
    bench.dial("*1*2")
    assert await bench.screen() == ("2 typed", True)
    assert await bench.typed(PIN) == ("3 typed", False)
    assert bench.inputs == ["1", "2", PIN]


async def test_another_script_is_shown_as_it_is(bench: Bench) -> None:
    bench.sessions.menu = "1 付款 €5"
    bench.dial()
    assert await bench.screen() == ("1 付款 €5", True)


async def test_a_phone_that_hangs_up_ends_its_session(bench: Bench) -> None:
    bench.dial()
    await bench.screen()
    assert bench.world.handsets.hang_up(PHONE)
    if bench.way != "nalo":  # It tells nobody.
        await bench.until_ended()
    bench.dial()
    assert await bench.screen() == (MENU, True)
    assert len(bench.sessions.inputs) == 2


async def test_a_phone_that_is_slow_is_cut_off(bench: Bench) -> None:
    bench.world.ussd.settings = UssdSettings(idle_s=0.02, dialog=bench.world.ussd.settings.dialog)
    bench.dial()
    await bench.screen()
    assert await bench.screen() == (NETWORK_ERROR, False)


@pytest.mark.parametrize("fault", ["twice", "out_of_order", "answer_lost"])
@pytest.mark.parametrize("way", ["form", "hubtel", *DIALECTS])  # The others number nothing, so nobody can tell.
async def test_a_step_that_comes_again_is_no_second_input(bench: Bench, fault: str) -> None:
    bench.strike(fault, at=3)
    bench.dial()
    await bench.screen()
    await bench.typed("1")
    assert await bench.typed("1") == ("2 typed", True)
    assert await bench.typed(PIN) == ("3 typed", False)
    assert bench.inputs == ["1", "1", PIN]
    assert len(bench.sessions.steps) == 5


@pytest.mark.parametrize("fault", ["dropped", "timeout"])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "nalo"])  # It tells nobody.
async def test_a_session_that_breaks_in_the_middle_is_over(bench: Bench, fault: str) -> None:
    bench.strike(fault, at=2, seconds=0.0)
    bench.dial()
    await bench.screen()
    bench.type("1")
    await bench.until_ended()
    await bench.sessions.until(3)
    assert {step.kind for step in bench.sessions.steps[1:]} == {"input", "end"}
    if fault == "timeout":
        assert await bench.screen() == (NETWORK_ERROR, False)


async def test_a_phone_that_vanishes_may_dial_again(bench: Bench) -> None:
    bench.strike("vanished", at=2)
    bench.dial()
    await bench.screen()
    bench.type("1")
    await bench.sessions.until(2)
    await bench.until(lambda: bench.world.ussd.session(PHONE) is None)
    bench.dial()
    assert await bench.screen() == (MENU, True)
    assert not bench.sessions.ended


async def test_a_late_answer_is_shown_all_the_same(bench: Bench) -> None:
    bench.strike("late", at=1, seconds=0.02)
    bench.dial()
    assert await bench.screen() == (MENU, True)


def test_every_fault_of_a_step_is_tried() -> None:
    assert FAULTS["ussd.step"] == {"twice", "out_of_order", "answer_lost", "dropped", "timeout", "vanished", "late"}


async def test_a_person_reads_the_menu_and_pays(bench: Bench) -> None:
    bench.sessions.menu = "Shop 12.50\nEnter PIN to PAY\n0 Refuse"
    bench.world.handsets.phone(PHONE).pin = PIN
    bench.dial()
    async with asyncio.timeout(WAIT_S):
        while await bench.screen() != ("1 typed", True):
            pass
    assert bench.inputs == [PIN]


async def test_nothing_that_is_kept_shows_the_pin(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.dial()
    await bench.screen()
    await bench.typed(PIN)
    bench.sessions.troubles.append(ValueError(PIN))
    await bench.typed(PIN)
    assert PIN not in caplog.text + repr(bench.sessions.steps) + repr(bench.records)
    assert {"dialled", "step", "answer", "screen", "typed"} <= set(bench.kinds("ussd"))


ASK = base.UssdAsk(id="msg_1-0.0", msisdn=PHONE, text="Enter PIN to PAY")


async def test_a_session_that_we_begin(bench: Bench) -> None:
    assert bench.channel.pushes
    assert await bench.channel.push(ASK) == base.Submitted(message_ids=(ASK.id,), segments=1)
    assert await bench.screen() == (ASK.text, True)
    assert await bench.typed(PIN) == ("1 typed", True)
    assert await bench.typed("2") == ("2 typed", True)
    first, second = bench.sessions.steps
    assert (first.session_id, first.kind, first.msisdn) == (ASK.id, "input", PHONE)
    assert first.first in (0, None) and first.inputs == (base.Typed(PIN),)
    assert second.session_id == ASK.id and bench.sessions.inputs == {ASK.id: [PIN, "2"]}


async def test_who_hangs_up_on_a_session_that_we_began_ended_it(bench: Bench) -> None:
    await bench.channel.push(ASK)
    await bench.screen()
    bench.world.handsets.hang_up(PHONE)
    if bench.way != "nalo":  # It tells nobody.
        await bench.until_ended()
        assert bench.sessions.ended == {ASK.id}


REFUSALS = {
    "busy": ("http_409", "0x00000401"),
    "absent": ("http_404", "0x00000402"),
    "no_ussd": ("http_422", "0x00000403"),
}


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_phone_that_cannot_be_asked_is_a_refusal(bench: Bench, fault: str) -> None:
    bench.world.plan.set_for_number(PHONE, "ussd.push", Fault(name=fault))
    result = await bench.channel.push(ASK)
    assert isinstance(result, base.Refused) and not result.retryable
    assert result.code == REFUSALS[fault][bench.way in DIALECTS]
    assert bench.kinds("ussd") == ["pushed"], "nothing is shown"


@pytest.mark.parametrize("way", ["form", "its_session_info"])
async def test_a_push_that_nobody_answers_ends(bench: Bench) -> None:
    bench.world.plan.set_for_number(PHONE, "ussd.push", Fault(name="timeout"))
    assert isinstance(await bench.channel.push(ASK), base.Submitted)
    await bench.until_ended()
    assert bench.sessions.ended == {ASK.id}


@pytest.mark.parametrize("way", ["form", "its_session_info"])
@pytest.mark.parametrize(("fault", "is_shown"), [("dropped", False), ("answer_lost", True)])
async def test_without_an_answer_nobody_knows_whether_a_push_is_shown(way: str, fault: str, is_shown: bool) -> None:
    settings = WorldSettings(use_magic=False, handsets=HandsetSettings(reply_delay_s=0.0))
    async with World(settings) as world:
        world.plan.set_for_number(PHONE, "ussd.push", Fault(name=fault))
        at = a_socket()
        if way == "form":
            chosen: Any = http(world, way, f"http://127.0.0.1:{at.getsockname()[1]}", push_timeout_s=0.05)
        else:
            chosen = smpp(world, response_timeout_s=0.1)
        bench = Bench(way, world, chosen)
        running = asyncio.create_task(bench.channel.run(bench.sessions))
        async with mounted(bench.channel.routes(bench.sessions), at=at):
            await bench.until(bench.channel.is_up)
            assert isinstance(await bench.channel.push(ASK), base.Unknown)
            assert ("screen" in bench.kinds("ussd")) == is_shown
            if is_shown and way == "form":
                assert await bench.screen() == (ASK.text, True)
                await bench.typed(PIN)
                assert bench.sessions.steps[0].session_id == ASK.id, "what is typed then is no other session's"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("way", ["infobip", "user_message_reference"])
async def test_a_phone_may_answer_before_the_network_has(bench: Bench) -> None:
    bench.world.plan.set_for_number(PHONE, "ussd.push", Fault(name="late", seconds=0.2))
    pushing = asyncio.create_task(bench.channel.push(ASK))
    await bench.screen()
    assert await bench.typed(PIN) == ("1 typed", True) and not pushing.done()
    assert bench.sessions.steps[0].session_id == ASK.id
    assert isinstance(await pushing, base.Submitted)


@pytest.mark.parametrize("way", ["hubtel", "its_session_info"])
async def test_a_phone_in_a_session_is_busy(bench: Bench) -> None:
    bench.dial()
    await bench.screen()
    assert isinstance(await bench.channel.push(ASK), base.Refused)
    assert await bench.typed("1") == ("1 typed", True)


async def test_what_is_too_long_is_not_pushed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    result = await bench.channel.push(base.UssdAsk(id="1", msisdn=PHONE, text="x" * 161))
    assert isinstance(result, base.Refused) and result.code == "too_long"
    assert "was not sent" in caplog.text and "pushed" not in bench.kinds("ussd")


@PUSHING
async def test_without_room_the_network_hands_the_step_over_again(bench: Bench) -> None:
    bench.sessions.troubles = [base.Overloaded(), base.Overloaded()]
    bench.dial()
    assert await bench.screen() == (MENU, True)
    statuses = [record["status"] for _, record in bench.records if record["kind"] == "ussd.answered"]
    assert statuses == [0x64, 0x64, 0]


@PUSHING
async def test_a_step_is_acknowledged_only_once_it_is_stored(bench: Bench) -> None:
    bench.sessions.gate.clear()
    bench.dial()
    await bench.until(lambda: bench.sessions.entered)
    assert "ussd.handed" in bench.kinds("smsc") and "ussd.answered" not in bench.kinds("smsc")
    bench.sessions.gate.set()
    await bench.screen()
    kinds = bench.kinds("smsc")
    assert kinds.index("ussd.answered") < kinds.index("screen")


@PUSHING
async def test_after_the_link_broke_the_same_step_is_no_second_input(bench: Bench) -> None:
    bench.dial()
    await bench.screen()
    bench.sessions.gate.clear()
    bench.type("1")
    await bench.until(lambda: bench.kinds("smsc").count("ussd.handed") == 2)
    bench.world.smsc.drop_links()
    await bench.until(lambda: bench.kinds("smsc").count("ussd.handed") == 3)
    bench.sessions.gate.set()
    assert await bench.screen() == ("1 typed", True)
    assert await bench.typed("1") == ("2 typed", True)
    assert bench.inputs == ["1", "1"]


@PUSHING
async def test_too_slow_a_store_is_an_apology_and_acknowledged_later(way: str) -> None:
    settings = WorldSettings(use_magic=False, ussd=UssdSettings(dialog=way))  # type: ignore[arg-type]
    async with World(settings) as world:
        bench = Bench(way, world, smpp(world, dialog=way, answer_timeout_s=0.03))
        running = asyncio.create_task(bench.channel.run(bench.sessions))
        bench.sessions.gate.clear()
        bench.dial()
        text, goes_on = await bench.screen()
        assert text.startswith("Sorry") and not goes_on
        assert "ussd.answered" not in bench.kinds("smsc")
        bench.sessions.gate.set()
        begin, end = await bench.sessions.until(2)
        assert (begin.kind, end.kind) == ("begin", "end")
        await bench.until(lambda: "ussd.answered" in bench.kinds("smsc"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
