"""Plain phones that dial, over a network that errs, and asks that come as screens.

Every dialogue stands in `tests.journeys.test_ussd_dialogues`.
"""

from pathlib import Path
from typing import Final

import pytest

from simulators.faults import Fault, Scripted
from tests.journeys.house import WAIT_S, House, a_number, house, together
from tests.journeys.processes import until
from tests.journeys.ussd_walks import (
    CUT,
    LANGUAGES,
    PIN,
    UNNUMBERED,
    WRONG_PIN,
    Dialler,
    Screens,
    makes_a_pin,
    menu,
    on,
)
from tests.journeys.ussd_ways import HTTP_CODE, SMPP_CODE, Toml, over_http, over_smpp

pytestmark = pytest.mark.journey

FAULTS: Final = {
    **dict.fromkeys(("form", "hubtel"), ("twice", "answer_lost", "out_of_order")),
    **dict.fromkeys((*UNNUMBERED, "dialect A"), ("twice", "answer_lost")),
}
"""By SMPP nothing tells a late repetition of the dialling from a second one: the phone is asked whether to go on. Where
nothing is numbered, what comes behind a later step is new.
"""


@pytest.mark.money
@pytest.mark.parametrize("way", FAULTS)
async def test_steps_that_come_twice_late_or_in_vain_change_nothing(sqlite_url: str, tmp_path: Path, way: str) -> None:
    """At each screen on the way to a payment the network errs; the phone ends where it would have."""
    is_smpp = way == "dialect A"
    ussd, code = (over_smpp("its_session_info"), SMPP_CODE) if is_smpp else (over_http(way), HTTP_CODE)
    async with house(sqlite_url, tmp_path / "journal", ussd=ussd) as home:
        if not is_smpp:
            home.world.ussd_http.style = way  # type: ignore[assignment]  # One of its own.

        async def pays(fault: str) -> None:
            dialler = Dialler(home, code)
            screens = await makes_a_pin(dialler)
            asked = await home.shop.ask(dialler.phone)
            home.world.plan.set_for_number(dialler.phone, "ussd.step", Fault(name=fault))
            for step in (menu(1), on("1", "pay_pin"), on(WRONG_PIN, "pay_wrong_pin", tries="2"), on(PIN, "paying")):
                await dialler.sees(screens, step)
            assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
            assert len(home.evidence.charges(dialler.phone)) == 1

        async def is_cut_off(at: int, fault: str) -> None:
            """The phone is gone at that step of three; what it typed counts, and it finds its place."""
            dialler = Dialler(home, code)
            screens = await makes_a_pin(dialler)
            asked = await home.shop.ask(dialler.phone)
            steps = [menu(1), on("1", "pay_pin"), on(PIN, "paying")]
            for step in steps[:at]:
                await dialler.sees(screens, step)
            plan = home.world.plan
            plan.add(Scripted(point="ussd.step", fault=fault, msisdn=dialler.phone, times=1))
            typed = steps[at][0]
            assert dialler.handsets.type(dialler.phone, typed)
            await until(lambda: home.world.ussd.session(dialler.phone) is None, WAIT_S, "the end of the session")
            if at == 1:
                await dialler.sees(screens, on(CUT, "resume_pay"))
                await dialler.sees(screens, on("1", "pay_pin"))
                await dialler.sees(screens, on(PIN, "paying"))
            assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
            assert len(home.evidence.charges(dialler.phone)) == 1

        lost = [is_cut_off(at, fault) for at in (1, 2) for fault in ("dropped", "timeout")]
        await together(*(pays(fault) for fault in FAULTS[way]), *lost)


class Pushed:
    """A phone with a PIN whose owner is asked by itself."""

    def __init__(self, home: House, code: str) -> None:
        self.home = home
        self.dialler = Dialler(home, code)
        self.phone = self.dialler.phone
        self.texts_before = 0
        self.payment_id = ""

    async def is_asked(self, language: str = "en", fault: str = "") -> Screens:
        screens = await makes_a_pin(self.dialler, language)
        self.texts_before = len(await self.home.texts(self.phone))
        if fault:
            self.home.world.plan.set_for_number(self.phone, "ussd.push", Fault(name=fault))
        self.before = self.dialler.screens
        self.payment_id = (await self.home.shop.ask(self.phone))["id"]
        return screens

    async def is_shown(self, screens: Screens) -> None:
        shown = await self.dialler.reads(self.before)
        assert screens.expected("pay_pin", {}).fullmatch(shown), shown

    async def code(self) -> str:
        """Of the text that goes in place of the screen."""
        return await self.home.code_in(self.phone, self.texts_before + 1)

    async def is_paid_once(self, *states: str) -> None:
        paid = await self.home.shop.until_final(self.payment_id)
        assert paid["status"] == "succeeded", paid
        assert len(self.home.evidence.charges(self.phone)) == 1
        path = f"/v1/payments/{self.payment_id}/timeline"
        items = (await self.home.shop.call("GET", path)).body["items"]
        assert [item["name"] for item in items if item["kind"] == "push"] == ["begun", *states]


@pytest.mark.money
@pytest.mark.parametrize(("database", "way"), [("sqlite_url", "form"), ("postgres_url", "dialect A")])
async def test_an_ask_comes_as_a_screen_or_as_a_text_and_is_paid_once(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, way: str
) -> None:
    url = request.getfixturevalue(database)
    ussd, code = (over_http("form"), HTTP_CODE) if way == "form" else (over_smpp("its_session_info"), SMPP_CODE)
    settings: Toml = {"ask_by": "ussd", "push_answer_s": 30.0}
    async with house(url, tmp_path / "journal", called_back=True, ussd=ussd, **settings) as home:

        async def answers_the_screen(language: str) -> None:
            one = Pushed(home, code)
            screens = await one.is_asked(language)
            await one.is_shown(screens)
            await one.dialler.sees(screens, on(WRONG_PIN, "pay_wrong_pin", tries="2"))
            await one.dialler.sees(screens, on(PIN, "paying"))
            await one.is_paid_once("answered")
            paid = await home.texts(one.phone, one.texts_before + 1)
            assert len(paid) == one.texts_before + 1, "the result, and no ask"

        async def is_not_reached(fault: str, state: str) -> None:
            one = Pushed(home, code)
            await one.is_asked(fault=fault)
            home.text(one.phone, await one.code())
            await one.is_paid_once(state)

        async def answers_both() -> None:
            """Nobody has told us that the screen was shown, so the text went as well."""
            one = Pushed(home, code)
            screens = await one.is_asked(fault="answer_lost")
            await one.is_shown(screens)
            digits = await one.code()
            home.text(one.phone, digits)
            assert one.dialler.handsets.type(one.phone, PIN)
            await one.is_paid_once("answered")

        async def closes_the_screen() -> None:
            one = Pushed(home, code)
            screens = await one.is_asked()
            await one.is_shown(screens)
            await home.shop.until(one.payment_id, lambda payment: payment["status"] == "requires_consent")
            one.dialler.handsets.hang_up(one.phone)
            home.text(one.phone, await one.code())
            await one.is_paid_once("unanswered")

        async def has_no_pin() -> None:
            phone = a_number()
            home.behave(phone, "pays")
            assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["status"] == "succeeded"

        await together(
            *(answers_the_screen(language) for language in LANGUAGES),
            *(is_not_reached(fault, "refused") for fault in ("busy", "absent", "no_ussd")),
            is_not_reached("dropped", "unknown"),
            answers_both(),
            closes_the_screen(),
            has_no_pin(),
        )
