"""`gateway phone` in USSD: a person dials, sees screens, answers them, and hangs up."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import aiohttp
import pytest
from aiohttp import web

from gateway.cli.phone import Handset, Network, _be_a_phone, _send
from simulators.ussd import UssdSettings
from simulators.web import HttpServer
from simulators.world import World, WorldSettings

PHONE = "+254712345100"


async def menus(request: web.BaseRequest) -> web.StreamResponse:
    """Of the form style: a menu, and an end."""
    typed = "text=1" in await request.text()
    return web.Response(text="END Bye." if typed else "CON Acme Pay\n1 Pay")


@contextmanager
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """What the person types."""
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(write, "w", buffering=1) as keys:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keys


async def test_what_is_typed_goes_where_a_phone_would_send_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = HttpServer(menus)
    await server.start()
    settings = WorldSettings(use_magic=False, ussd=UssdSettings(url=server.url))
    async with World(settings) as world, asyncio.timeout(10):
        with keyboard(monkeypatch) as keys:
            phone = asyncio.create_task(_be_a_phone(PHONE, world.control.server.url))
            keys.write("*384#\n")
            shown = ""
            while "hang up" not in shown:
                await asyncio.sleep(0.005)
                shown += capsys.readouterr().out
            keys.write("1\n")
            while "is over" not in shown:
                await asyncio.sleep(0.005)
                shown += capsys.readouterr().out
            keys.write("HIST\n")
            keys.close()
            await phone
    await server.stop()
    shown += capsys.readouterr().out
    assert "| Acme Pay\n| 1 Pay\n(type an answer, or # to hang up)\n" in shown
    assert "| Bye.\n(the session is over)\n" in shown
    assert "> 22345: HIST\n" in shown


async def test_a_screen_that_is_gone_is_told_and_a_session_is_hung_up(capsys: pytest.CaptureFixture[str]) -> None:
    server = HttpServer(menus)
    await server.start()
    settings = WorldSettings(use_magic=False, ussd=UssdSettings(url=server.url))
    async with World(settings) as world, aiohttp.ClientSession() as http:
        network, handset = Network(http, world.control.server.url), Handset()
        await _send(network, PHONE, handset, "*384#")
        assert await network.screen(PHONE, after=0) == (1, "Acme Pay\n1 Pay", True)
        handset.screen_waits = True
        await _send(network, PHONE, handset, "#")
        assert world.ussd.session(PHONE) is None and not handset.screen_waits
        handset.screen_waits = True
        await _send(network, PHONE, handset, "1")
        assert "no screen of this phone waits" in capsys.readouterr().out
    await server.stop()
