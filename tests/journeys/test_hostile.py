"""A real `gateway serve` under all the bad requests that we know: each gets its answer, and the next good one, too.

The process is asked after every single one whether it still does its work; in the end it must not have grown, and not
have logged an error of its own.
"""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from gateway.config import ApiSection, CarrierSection, Config, EngineSection, GatewaySection
from tests.journeys.house import Shop, a_number, a_shop
from tests.journeys.processes import GatewayProcess, Nursery
from tests.merchants.bad_requests import CLOSED, Bad, all_of_them

pytestmark = pytest.mark.journey

HALF_OPEN: Final = 5_000
# Each side of a connection is a file of its own process; some room for everything else.
FILES: Final = HALF_OPEN + 500
ANSWER_S: Final = 15.0
# The deadlines of production (ten seconds for a head), the sweep's second, and patience.
HUNG_UP_S: Final = 20.0
GROWTH_KB: Final = 64 * 1024
"""Resident memory that the process may have gained by the whole table; aiohttp's buffers are about 13 kB each."""


class Target:
    """The process, one merchant of it, and eyes on its memory."""

    def __init__(self, process: GatewayProcess, shop: Shop, key: str) -> None:
        self.process = process
        self.shop = shop
        self.key = key
        self.port = int(process.url.rpartition(":")[2])

    async def throw(self, bad: Bad) -> bytes:
        """Send it as it stands, and return all that comes back until the other side has had enough."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(ANSWER_S):
                writer.write(bad.sent.replace(b"{key}", self.key.encode()))
                with suppress(ConnectionError):  # Refused before all of it was sent, and answered all the same.
                    await writer.drain()
                return await _all(reader)
        finally:
            writer.close()

    def resident_kb(self) -> int:
        """The process's resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no such process")

    async def is_well(self) -> None:
        """A good request gets its payment."""
        payment = await self.shop.ask(a_number())
        assert payment["status"] == "pending"


async def _all(reader: asyncio.StreamReader) -> bytes:
    got = b""
    while True:
        try:
            part = await reader.read(65_536)
        except ConnectionError:
            return got
        if not part:
            return got
        got += part


def loopback(database: str) -> Config:
    """A gateway without a network behind it, with the deadlines of production."""
    carrier = CarrierSection(
        mode="test",
        prefixes=("+254",),
        currency="KES",
        time_zone="Africa/Nairobi",
        short_code="22345",
        brand="Acme Pay",
        bearer={"type": "loopback"},
        biller={"type": "loopback"},
    )
    return Config(
        gateway=GatewaySection(database=database, listen="127.0.0.1:0", development=True),
        # One key asks after every bad request.
        api=ApiSection(rate_per_s=0),
        engine=EngineSection(pace_ms=2),
        carriers={"acme": carrier},
    )


@pytest.fixture
async def target(sqlite_url: str, tmp_path: Path, processes: Nursery) -> AsyncIterator[Target]:
    key = a_shop(sqlite_url).test_key
    process = GatewayProcess(processes, loopback(sqlite_url), tmp_path)
    await process.serving()
    async with aiohttp.ClientSession() as http:
        yield Target(process, Shop(http, process.url, key), key)
        await process.stop()
    assert process.troubles() == []


def statuses_in(answer: bytes) -> list[int]:
    """The statuses of all answers in *answer*: more than one means that something was smuggled."""
    parts = answer.split(b"HTTP/1.")[1:]
    found = [int(part[2:5]) for part in parts if part[1:2] == b" " and part[2:5].isdigit()]
    return [status for status in found if status != 100]


async def test_every_bad_request_is_answered_and_the_next_good_one_is_served(target: Target) -> None:
    rows = all_of_them()
    assert len(rows) >= 200
    await target.is_well()
    before_kb = target.resident_kb()
    wrong: list[str] = []
    for bad in rows:
        answer = await target.throw(bad)
        found = statuses_in(answer) or [CLOSED]
        told = bad.code.encode() in answer and b"Traceback" not in answer
        if len(found) != 1 or found[0] not in bad.statuses or not told:
            wrong.append(f"{bad.label}: expected {sorted(bad.statuses)} {bad.code}, got {found} {answer[-200:]!r}")
        await target.is_well()
    assert not wrong, "\n".join(wrong)
    assert target.resident_kb() - before_kb < GROWTH_KB


async def test_thousands_of_half_open_connections_hinder_nobody_and_are_hung_up_on(target: Target) -> None:
    _want_files(FILES)
    before_kb = target.resident_kb()
    half = [
        b"GET /v1/payments HTTP/1.1\r\nHost: x\r\nX-A: ",  # a head that never ends
        b"P",
        b"",
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + target.key.encode()
        + b"\r\nContent-Type: application/json\r\nIdempotency-Key: half\r\nContent-Length: 60000\r\n\r\n{",
    ]
    begun_s = time.monotonic()
    connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for n in range(HALF_OPEN):
            connections.append(await _open(target.port, half[n % len(half)]))  # noqa: PERF401 - closed even if a later one fails
        for _ in range(20):
            async with asyncio.timeout(5.0):
                await target.is_well()
        grown_kb = target.resident_kb() - before_kb
        async with asyncio.timeout(HUNG_UP_S):
            ended = await asyncio.gather(*(_all(reader) for reader, _ in connections))
    finally:
        for _, writer in connections:
            writer.close()
    assert time.monotonic() - begun_s < 2 * HUNG_UP_S
    # A body that does not come is a 408; a head that does not come is nobody to answer to.
    assert {tuple(statuses_in(answer)) for answer in ended} == {(), (408,)}
    assert grown_kb < HALF_OPEN * 32
    await target.is_well()


async def _open(port: int, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(sent)
    return reader, writer


async def test_bodies_that_trickle_are_ended_in_time_and_hinder_nobody(target: Target) -> None:
    head = (
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + target.key.encode()
        + b"\r\nContent-Type: application/json\r\nIdempotency-Key: slow\r\nContent-Length: 60000\r\n\r\n"
    )
    slow = [await _open(target.port, head) for _ in range(200)]
    answers = asyncio.gather(*(_all(reader) for reader, _ in slow))
    ends_s = time.monotonic() + HUNG_UP_S
    while not answers.done():
        assert time.monotonic() < ends_s, "expected an end of bodies that trickle"
        for _, writer in slow:
            if not writer.is_closing():
                writer.write(b" ")
        await target.is_well()
    for _, writer in slow:
        writer.close()
    assert {tuple(statuses_in(answer)) for answer in await answers} == {(408,)}


def _want_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        assert hard == resource.RLIM_INFINITY or hard >= count, f"expected leave to open {count} files, may open {hard}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
