"""USSD in the network: phones and their control over HTTP, and a person who reads screens."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web

from simulators.faults import Scripted
from simulators.handsets import HandsetSettings
from simulators.journal import NAMES, read
from simulators.ussd import NETWORK_ERROR, UssdSettings, masked
from simulators.ussd_person import options_in, typed_at
from simulators.web import HttpServer
from simulators.world import World, WorldSettings
from tests.simulators.test_control import Remote

PHONE = "+254712345100"
PIN = "738291"
MENU = "Acme Pay\n1 Waiting to pay (1)\n2 Pay a shop\n00 Exit"
ASK = "Asha Shop\nKES 12.50\nEnter PIN to PAY\n0 Refuse\n9 Not me"


class Menus:
    """A customer of the aggregator who was written by somebody else: form style, two screens and an end."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.came: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.status = 200

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        call = {name: values[0] for name, values in parse_qs(await request.text(), keep_blank_values=True).items()}
        self.calls.append(call)
        self.came.put_nowait(call)
        screens = ["CON " + MENU, "CON " + ASK, "END Paid."]
        typed = [one for one in call.get("text", "").split("*") if one]
        return web.Response(status=self.status, text=screens[min(len(typed), 2)])


@pytest.fixture
async def menus() -> Menus:
    return Menus()


@pytest.fixture
async def remote(menus: Menus, tmp_path: Path) -> AsyncIterator[Remote]:
    server = HttpServer(menus.answer)
    await server.start()
    settings = WorldSettings(
        journal=tmp_path,
        use_magic=False,
        handsets=HandsetSettings(reply_delay_s=0.0),
        ussd=UssdSettings(idle_s=30.0),
    )
    async with World(settings) as world, aiohttp.ClientSession() as client:
        remote = Remote(world, client)
        await remote.post("ussd", {"url": server.url, "style": "form", "headers": {"X-Caller": "me"}})
        yield remote
    await server.stop()


async def screen(remote: Remote, after: int) -> tuple[str, bool]:
    found = (await remote.get(f"phones/{PHONE}/screen?after={after}&wait_s=5"))["screen"]
    assert found is not None and found["number"] > after
    return found["text"], found["goes_on"]


async def test_a_person_at_the_control_is_the_handset(remote: Remote, menus: Menus) -> None:
    await remote.post(f"phones/{PHONE}/dial", {"code": "*384#"})
    assert await screen(remote, 0) == (MENU, True)
    await remote.post(f"phones/{PHONE}/type", {"text": "1"})
    assert await screen(remote, 1) == (ASK, True)
    await remote.post(f"phones/{PHONE}/type", {"text": PIN})
    assert await screen(remote, 2) == ("Paid.", False)
    assert [call["text"] for call in menus.calls] == ["", "1", f"1*{PIN}"]
    assert (await remote.ask("POST", f"phones/{PHONE}/type", {"text": "1"}))[0] == 404
    assert (await remote.ask("POST", f"phones/{PHONE}/hang_up"))[0] == 404
    assert (await remote.get(f"phones/{PHONE}/screen?after=3"))["screen"] is None


async def test_who_hangs_up_is_told_with_what_was_typed_as_such_notices_have_it(remote: Remote, menus: Menus) -> None:
    await remote.post(f"phones/{PHONE}/dial", {"code": "*384*1#"})
    await screen(remote, 0)
    await remote.post(f"phones/{PHONE}/hang_up")
    async with asyncio.timeout(5):
        step, notice = await menus.came.get(), await menus.came.get()
    assert step["text"] == notice["input"] == "1"
    assert notice["status"] == "Incomplete" and "text" not in notice


@pytest.mark.parametrize(("pin", "behaviour", "told"), [(PIN, "pays", PIN), (PIN, "refuses", "0")])
async def test_a_person_dials_reads_and_types(
    remote: Remote, menus: Menus, pin: str, behaviour: str, told: str
) -> None:
    await remote.post(f"phones/{PHONE}", {"pin": pin, "behaviour": behaviour, "wishes": ["waiting"]})
    await remote.post(f"phones/{PHONE}/dial", {"code": "*384#"})
    assert await screen(remote, 2) == ("Paid.", False)
    assert menus.calls[-1]["text"] == f"1*{told}"


@pytest.mark.parametrize("code", ["*999#", "*3841#", "384", "hello"])
async def test_a_code_that_nobody_has_is_the_networks_error(remote: Remote, code: str) -> None:
    await remote.post(f"phones/{PHONE}/dial", {"code": code})
    assert await screen(remote, 0) == (NETWORK_ERROR, False)


async def test_an_answer_that_is_none_is_the_networks_error(remote: Remote, menus: Menus) -> None:
    menus.status = 500
    await remote.post(f"phones/{PHONE}/dial", {"code": "*384#"})
    assert await screen(remote, 0) == (NETWORK_ERROR, False)


async def test_the_journal_has_the_screens_and_no_pin(remote: Remote, tmp_path: Path) -> None:
    remote.world.plan.add(Scripted(point="ussd.step", fault="twice", at=1))
    await remote.post(f"phones/{PHONE}", {"pin": PIN, "wishes": ["waiting"]})
    await remote.post(f"phones/{PHONE}/dial", {"code": "*384#"})
    await screen(remote, 2)
    await remote.get("truth")
    assert [record["text"] for record in read(tmp_path, "ussd", "screen")] == [MENU, ASK, "Paid."]
    assert [record["text"] for record in read(tmp_path, "ussd", "typed")] == ["1", "****"]
    assert [record["fault"] for record in read(tmp_path, "ussd", "step")] == ["twice", None, None]
    assert all(PIN not in repr(read(tmp_path, name)) for name in NAMES)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"phones/{PHONE}/dial", {}),
        (f"phones/{PHONE}/dial", {"code": ""}),
        (f"phones/{PHONE}/dial", {"code": "*" * 61}),
        (f"phones/{PHONE}/type", {"text": "1" * 183}),
        ("phones/no/dial", {"code": "*384#"}),
        ("ussd", {"style": "xml"}),
        ("ussd", {"dialog": "c"}),
    ],
)
async def test_a_mistake_is_answered_400(remote: Remote, path: str, body: object) -> None:
    status, answer = await remote.ask("POST", path, body)
    assert status == 400 and answer["error"]


def test_what_may_be_a_pin_is_masked() -> None:
    assert masked("*384*1*1234#") == "*384*1*****#" and masked("12 123 99999") == "12 123 ****"


@pytest.mark.parametrize(
    ("shown", "refuses", "pin", "wishes", "typed"),
    [
        (MENU, False, PIN, ["pay a shop"], "2"),
        (MENU, False, PIN, [], None),
        (MENU, False, "", ["exit"], "00"),
        (ASK, False, PIN, [], PIN),
        (ASK, False, "", [], None),
        (ASK, True, PIN, [], "0"),
        ("4 Limits\n6 PIN\n0 Back", False, PIN, [], None),
        ("Enter PIN\n5 Refuse all", True, PIN, [], "5"),
        ("輸入PIN付款\n0 拒絕", True, PIN, [], "0"),
        ("Votre PIN pour PAYER\n0 Refuser", False, PIN, [], PIN),
    ],
)
def test_a_person_knows_words(shown: str, refuses: bool, pin: str, wishes: list[str], typed: str | None) -> None:
    assert typed_at(shown, refuses=refuses, pin=pin, wishes=wishes) == typed


def test_options_are_at_the_beginnings_of_lines() -> None:
    assert options_in("1. Pay 2 shops\n 98 More\nTotal 12\n123 x") == [("1", "Pay 2 shops"), ("98", "More")]
