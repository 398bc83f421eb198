"""`python -m simulators` as a process: one line of addresses, a life under uvloop, and every way to end it."""

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulators.journal import read
from tests.simulators.esme import Esme
from tests.simulators.test_billing import BASIC, order

LIMIT_S = 15.0


class Process:
    def __init__(self, process: asyncio.subprocess.Process, addresses: dict[str, Any]) -> None:
        self.process, self.addresses = process, addresses

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), LIMIT_S)


async def spawned(*arguments: str, stdin: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "simulators", *arguments)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=pipe, stderr=pipe)


@contextlib.asynccontextmanager
async def running(*arguments: str, stdin: int = asyncio.subprocess.DEVNULL) -> AsyncIterator[Process]:
    process = await spawned(*arguments, stdin=stdin)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
        yield Process(process, json.loads(line))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        rest, trouble = await process.communicate()
        # The one line of addresses is all that standard output carries.
        assert rest == b""
        assert trouble == b""


async def test_it_serves_under_uvloop_with_links_that_break_and_ends_at_a_signal(tmp_path: Path) -> None:
    async with running("--journal", str(tmp_path), "--reply-delay", "0", "--system-id", "esme1") as one:
        port = one.addresses["smsc"]["port"]
        esme = await Esme.connect(port)
        assert (await esme.bind(system_id=b"esme1")).status == 0
        esme.submit("+254712345001", registered_delivery=0)
        await esme.expect("submit_sm_resp")
        assert (await esme.take()).octets("short_message") == b"4831"
        esme.submit("+254712345960", registered_delivery=0)
        with pytest.raises(ConnectionResetError):
            await esme.receive()
        await esme.close()
        async with aiohttp.ClientSession(headers=BASIC) as client:
            url = f"{one.addresses['billing']}/oneapi/1/payment/tel%3A%2B254712345920/transactions/amount"
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                async with client.post(url, json=order("a1", "+254712345920")) as answer:
                    await answer.read()
        one.process.send_signal(signal.SIGTERM)
        assert await one.ended() == 0
    kinds = [record["kind"] for record in read(tmp_path, "smsc")]
    assert kinds.count("mo.answered") == 1
    assert kinds.count("closed") == 1
    assert [record["kind"] for record in read(tmp_path, "billing")] == ["request", "executed.charge"]


async def test_it_ends_with_the_process_it_is_told_to_watch() -> None:
    parent = await asyncio.create_subprocess_exec("sleep", "60")
    async with running("--parent-pid", str(parent.pid)) as one:
        assert one.process.returncode is None
        parent.kill()
        await parent.wait()
        assert await one.ended() == 0


async def test_it_ends_with_its_standard_input() -> None:
    async with running("--watch", "stdin", stdin=asyncio.subprocess.PIPE) as one:
        assert one.process.stdin is not None
        one.process.stdin.write(b"still here")
        await one.process.stdin.drain()
        assert one.process.returncode is None
        one.process.stdin.close()
        assert await one.ended() == 0


async def test_an_input_that_has_ended_already_ends_it_at_once() -> None:
    async with running("--watch", "stdin") as one:
        assert await one.ended() == 0


async def test_a_script_of_faults_is_read_from_a_file(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text('[{"point": "smsc.submit", "fault": "queue_full", "at": 1}]')
    async with running("--faults", str(script), "--no-magic", "--message-ids", "hex") as one:
        esme = await Esme.bound(one.addresses["smsc"]["port"])
        statuses = []
        for _ in range(2):
            esme.submit("+254712345950", registered_delivery=0)
            statuses.append((await esme.expect("submit_sm_resp")).status)
        assert statuses == [0x14, 0]
        await esme.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--smsc-port", "65536"), "65535", id="no port"),
        pytest.param(("--reply-delay", "-1"), "--reply-delay", id="negative"),
        pytest.param(("--password", "123456789"), "password", id="password too long"),
        pytest.param(("--message-ids", "roman"), "--message-ids", id="no choice"),
        pytest.param(("--faults", "/nonexistent"), "No such file", id="no script"),
        pytest.param(("--nonsense",), "No such option", id="no option"),
        pytest.param(("--merchant-secret", "whsec_*"), "cannot start", id="no secret"),
    ],
)
async def test_a_mistake_on_the_command_line_is_told_and_nothing_starts(arguments: tuple[str, ...], words: str) -> None:
    process = await spawned(*arguments)
    said, trouble = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode in (1, 2)
    assert said == b""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", trouble.decode())
    assert words in plain
    assert "Traceback" not in plain


async def test_a_taken_port_is_told_in_one_line() -> None:
    async with running() as one:
        process = await spawned("--smsc-port", str(one.addresses["smsc"]["port"]))
        _, trouble = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 1
    assert trouble.startswith(b"simulators: cannot start:")
    assert trouble.count(b"\n") == 1
