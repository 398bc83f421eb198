"""A plain phone that dials, over real sockets in each way: it makes a PIN, pays with it, refuses, and is cut off."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulators.faults import Scripted
from simulators.world import World
from tests.journeys.house import CALLBACK_KEY, WAIT_S, House, a_number, house

pytestmark = pytest.mark.journey

PIN = "730916"
WRONG_PIN = "918273"


def over_http(world: World) -> dict[str, Any]:  # Any: TOML of a channel.
    return {"type": "ussd_http", "style": "form", "path_token": CALLBACK_KEY, "answer_timeout_s": 10.0}


def over_smpp(world: World) -> dict[str, Any]:  # Any: as above.
    return {
        "type": "ussd_smpp",
        "host": "127.0.0.1",
        "port": world.smsc.port,
        "system_id": world.ussd.settings.system_id,
        "password": world.ussd.settings.password,
        "service_code": world.ussd.settings.smpp_code,
        "answer_timeout_s": 10.0,
    }


def over_smpp_b(world: World) -> dict[str, Any]:  # Any: as above.
    assert world.smsc.ussd is not None
    world.smsc.ussd.dialog = "user_message_reference"
    return {**over_smpp(world), "dialog": "user_message_reference"}


WAYS = {"form": (over_http, "*384#"), "dialect A": (over_smpp, "*385#"), "dialect B": (over_smpp_b, "*385#")}


class Dialler:
    """The hands and eyes of a phone's owner."""

    def __init__(self, home: House, code: str) -> None:
        self.home, self.code, self.phone = home, code, a_number()
        self.handsets = home.world.handsets
        home.behave(self.phone, "silent")

    async def does(self, what: str) -> str:
        """Dial or type *what*; the screen that it brings."""
        screen = self.handsets.phone(self.phone).screen
        before = 0 if screen is None else screen.number
        if what.startswith("*"):
            self.handsets.dial(self.phone, what)
        else:
            assert self.handsets.type(self.phone, what), "no screen waits"
        await self.handsets.wait_for_screens(self.phone, before + 1, WAIT_S)
        screen = self.handsets.phone(self.phone).screen
        assert screen is not None and screen.number > before, f"no screen after {what}"
        return screen.text

    async def makes_a_pin(self) -> None:
        self.home.evidence.note_keys(PIN, WRONG_PIN)  # At the end they are looked for everywhere.
        await self.does(self.code)
        await self.does("6")
        await self.does(PIN)
        await self.does(PIN)
        await self.home.text_with(self.phone, "PIN")


@pytest.fixture(params=WAYS)
async def dialler(request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Dialler]:
    way, code = WAYS[request.param]
    async with house(sqlite_url, tmp_path / "journal", ussd=way) as home:
        yield Dialler(home, code)


@pytest.mark.money
async def test_a_phone_pays_with_its_pin_and_is_told_by_sms(dialler: Dialler) -> None:
    home = dialler.home
    await dialler.makes_a_pin()
    asked = await home.shop.ask(dialler.phone)
    assert "1 " in await dialler.does(dialler.code)
    assert "PIN" in await dialler.does("1")
    assert home.evidence.charges() == []
    assert "1,250.00" in await dialler.does(PIN)
    paid = await home.shop.until_final(asked["id"])
    assert paid["status"] == "succeeded"
    await home.text_with(dialler.phone, "PAID ")
    assert len(home.evidence.charges(dialler.phone)) == 1
    [consent] = home.evidence.rows("SELECT channel FROM consent")
    assert consent.channel == "ussd"


async def test_a_wrong_pin_a_refusal_and_a_repeated_step_charge_nothing(dialler: Dialler) -> None:
    home = dialler.home
    await dialler.makes_a_pin()
    asked = await home.shop.ask(dialler.phone)
    await dialler.does(dialler.code)
    await dialler.does("1")
    assert "Nothing" in await dialler.does(WRONG_PIN)
    home.world.plan.add(Scripted(point="ussd.step", fault="twice", msisdn=dialler.phone, times=1))
    await dialler.does("0")
    refused = await home.shop.until_final(asked["id"])
    assert (refused["status"], refused["reason"]) == ("failed", "refused")
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_who_was_cut_off_finds_the_place_again(dialler: Dialler) -> None:
    home = dialler.home
    await dialler.makes_a_pin()
    asked = await home.shop.ask(dialler.phone)
    await dialler.does(dialler.code)
    await dialler.does("1")
    dialler.handsets.hang_up(dialler.phone)
    assert "1 " in await dialler.does(dialler.code)
    assert "PIN" in await dialler.does("1")
    await dialler.does(PIN)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    assert len(home.evidence.charges(dialler.phone)) == 1
