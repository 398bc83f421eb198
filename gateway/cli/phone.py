"""`gateway phone`: a person is the handset. Texts and USSD screens of the simulated network appear, what is typed is
sent: a service code is dialled, an answer goes to the screen that waits for one, anything else is a text.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.cli.errors import CommandError
from gateway.cli.typed import typed_msisdn

MARK = "demo.json"
WAIT_S = 20
HANG_UP = "#"
_SERVICE_CODE = re.compile(r"\*[0-9*]+#")


class DemoAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """What a running demo leaves in its folder, as `demo.json`, for other terminals."""

    control: str
    api: str
    key: str
    short_code: str


def run(msisdn: str, folder: Path, control: str) -> None:
    """Be *msisdn* at the simulators of the demo in *folder*, or at *control*. Raise CommandError if that cannot be."""
    typed_msisdn(msisdn)
    try:
        asyncio.run(_be_a_phone(msisdn, control or _demo_control(folder)))
    except (aiohttp.ClientError, msgspec.DecodeError) as error:
        raise CommandError(f"no simulators answer: {error}") from error


def _demo_control(folder: Path) -> str:
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=DemoAddresses).control
    except (OSError, msgspec.DecodeError) as error:
        raise CommandError(f"no demo runs in {folder}; start `gateway demo`, or name --folder or --control") from error


class Network:
    """The control API of the simulators, for one phone or many."""

    def __init__(self, http: aiohttp.ClientSession, control: str) -> None:
        self._http = http
        self._base = f"{control}/sim/v1"

    async def get(self, path: str, **query: str) -> Any:  # Any: JSON of the simulators.
        async with self._http.get(f"{self._base}/{path}", params=query) as answer:
            return await _read(answer)

    async def post(self, path: str, body: object) -> Any:  # Any: as above.
        async with self._http.post(f"{self._base}/{path}", data=msgspec.json.encode(body)) as answer:
            return await _read(answer)

    async def behave(self, msisdn: str, behaviour: str) -> None:
        await self.post(f"phones/{quote(msisdn)}", {"behaviour": behaviour})

    async def send(self, msisdn: str, text: str, to: str | None = None) -> str:
        """Send *text* as that phone; return the short code it went to."""
        sent = await self.post(f"phones/{quote(msisdn)}/sms", {"text": text, "to": to})
        return str(sent["to"])

    async def inbox(self, msisdn: str, *, after: int, wait_s: float = WAIT_S) -> list[tuple[int, str, str]]:
        """Texts with a number above *after*, waiting for one: (number, sender, text)."""
        found = await self.get(f"phones/{quote(msisdn)}/inbox", after=str(after), wait_s=str(wait_s))
        return [(text["number"], text["sender"], text["text"]) for text in found["texts"]]

    async def screen(self, msisdn: str, *, after: int, wait_s: float = WAIT_S) -> tuple[int, str, bool] | None:
        """The screen that the phone shows if its number is above *after*: (number, text, it waits for an answer)."""
        found = await self.get(f"phones/{quote(msisdn)}/screen", after=str(after), wait_s=str(wait_s))
        screen = found["screen"]
        return None if screen is None else (screen["number"], screen["text"], screen["goes_on"])

    async def dial(self, msisdn: str, code: str) -> None:
        await self.post(f"phones/{quote(msisdn)}/dial", {"code": code})

    async def answer_screen(self, msisdn: str, text: str) -> None:
        """Raise CommandError if none waits."""
        if text == HANG_UP:
            await self.post(f"phones/{quote(msisdn)}/hang_up", {})
        else:
            await self.post(f"phones/{quote(msisdn)}/type", {"text": text})


class Handset:
    """What the person sees."""

    def __init__(self) -> None:
        self.screen_waits = False


async def _read(answer: aiohttp.ClientResponse) -> Any:  # Any: JSON of the simulators.
    body = msgspec.json.decode(await answer.read())
    if answer.status >= 400:
        raise CommandError(f"the simulators refuse: {body.get('error', answer.status)}")
    return body


async def _be_a_phone(msisdn: str, control: str) -> None:
    async with aiohttp.ClientSession() as http:
        network = Network(http, control)
        await network.behave(msisdn, "silent")
        print(f"You are {msisdn}. Type a text, or a code such as *384#, and press Enter; Ctrl-D ends.", flush=True)
        handset = Handset()
        parts = {
            asyncio.create_task(part)
            for part in (
                _show(network, msisdn),
                _show_screens(network, msisdn, handset),
                _send_lines(network, msisdn, handset),
            )
        }
        try:
            # Whichever ends first: the typing by Ctrl-D, the showing because the simulators are gone.
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        for task in ended:
            task.result()


async def _show(network: Network, msisdn: str) -> None:
    seen = 0
    while True:
        for number, sender, text in await network.inbox(msisdn, after=seen):
            seen = number
            print(f"\n< {sender}: {text}", flush=True)


async def _show_screens(network: Network, msisdn: str, handset: Handset) -> None:
    seen = 0
    while True:
        screen = await network.screen(msisdn, after=seen)
        if screen is not None:
            seen, text, handset.screen_waits = screen
            lines = "\n".join(f"| {line}" for line in text.splitlines())
            hint = f"(type an answer, or {HANG_UP} to hang up)" if handset.screen_waits else "(the session is over)"
            print(f"\n{lines}\n{hint}", flush=True)


async def _send_lines(network: Network, msisdn: str, handset: Handset) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except (ValueError, OSError) as error:
        raise CommandError("standard input: expected a terminal or a pipe", exit_code=2) from error
    try:
        while line := await reader.readline():
            text = line.decode(errors="replace").strip()
            if text:
                await _send(network, msisdn, handset, text)
    finally:
        transport.close()


async def _send(network: Network, msisdn: str, handset: Handset, text: str) -> None:
    if _SERVICE_CODE.fullmatch(text):
        handset.screen_waits = False
        await network.dial(msisdn, text)
    elif handset.screen_waits:
        handset.screen_waits = False
        try:
            await network.answer_screen(msisdn, text)
        except CommandError as error:  # The session ended while its owner typed.
            print(error, flush=True)
    else:
        to = await network.send(msisdn, text)
        print(f"> {to}: {text}", flush=True)
