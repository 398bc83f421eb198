"""`gateway phone`: a person is the handset. Texts of the simulated network appear, what is typed is sent."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.cli.errors import CommandError
from gateway.core.msisdn import parse_msisdn

DEMO_FILE = Path(".demo/demo.json")
WAIT_S = 20


class DemoAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """What a running demo leaves in its folder for other terminals."""

    control: str
    api: str
    key: str
    short_code: str


def run(msisdn: str, control: str) -> None:
    """Raise CommandError when there is no such number or no simulator."""
    try:
        parse_msisdn(msisdn)
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    try:
        asyncio.run(_be_a_phone(msisdn, control or _demo_control()))
    except aiohttp.ClientConnectionError as error:
        raise CommandError(f"no simulators answer: {error}") from error


def _demo_control() -> str:
    try:
        return msgspec.json.decode(DEMO_FILE.read_bytes(), type=DemoAddresses).control
    except (OSError, msgspec.DecodeError) as error:
        raise CommandError(f"no demo runs here ({DEMO_FILE}); start `gateway demo`, or name --control") from error


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


async def _read(answer: aiohttp.ClientResponse) -> Any:  # Any: JSON of the simulators.
    body = msgspec.json.decode(await answer.read())
    if answer.status >= 400:
        raise CommandError(f"the simulators refuse: {body.get('error', answer.status)}")
    return body


async def _be_a_phone(msisdn: str, control: str) -> None:
    async with aiohttp.ClientSession() as http:
        network = Network(http, control)
        await network.behave(msisdn, "silent")
        print(f"You are {msisdn}. Type a text and press Enter; Ctrl-D ends.", flush=True)
        showing = asyncio.create_task(_show(network, msisdn))
        try:
            await _send_lines(network, msisdn)
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing


async def _show(network: Network, msisdn: str) -> None:
    seen = 0
    while True:
        for number, sender, text in await network.inbox(msisdn, after=seen):
            seen = number
            print(f"\n< {sender}: {text}", flush=True)


async def _send_lines(network: Network, msisdn: str) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            text = line.decode(errors="replace").strip()
            if text:
                to = await network.send(msisdn, text)
                print(f"> {to}: {text}", flush=True)
    finally:
        transport.close()
