"""`gateway serve` as a process: it serves, refuses to stand in another's way, and stops cleanly when told to."""

import asyncio
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.cli.commands import LIMIT_S, Running, dry_run, running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly(config: Path, tmp_path: Path, number: signal.Signals) -> None:
    async with running("serve", "--config", config, cwd=tmp_path) as serving:
        url = (await serving.says(r"serving (http\S+)\n"))[1]
        async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as ready:
            assert ready.status == 200
        serving.process.send_signal(number)
        ended = await serving.ended()
    assert ended.code == 0
    assert '"level": "error"' not in ended.err and "Traceback" not in ended.err


async def test_a_signal_in_the_midst_of_the_start_ends_it_cleanly(config: Path, tmp_path: Path) -> None:
    async with running("serve", "--config", config, cwd=tmp_path) as serving:
        async with asyncio.timeout(LIMIT_S):
            while not (tmp_path / "gateway.db.lock").exists():  # noqa: ASYNC110 - the first thing that a start takes
                await asyncio.sleep(0)
        serving.process.send_signal(signal.SIGTERM)
        ended = await serving.ended()
    assert ended.code == 0


@pytest.fixture
def in_no_hurry(config: Path) -> Path:
    """A gateway that serves on for an hour when it is told to stop."""
    config.write_text(config.read_text().replace("[gateway]", "[gateway]\ndrain_s = 3600"))
    return config


async def test_a_process_that_is_told_to_stop_says_so_while_it_still_serves(in_no_hurry: Path, tmp_path: Path) -> None:
    async with running("serve", "--config", in_no_hurry, cwd=tmp_path) as serving:
        url = (await serving.says(r"serving (http\S+)\n"))[1]
        serving.process.send_signal(signal.SIGTERM)
        async with aiohttp.ClientSession() as http, asyncio.timeout(LIMIT_S):
            status, said = 200, {}
            while status == 200:
                async with http.get(f"{url}/readyz") as answer:
                    status, said = answer.status, await answer.json()
            assert (status, said["parts"]) == (503, {"writer": True, "serving": False, "link:acme": True})
            async with http.get(f"{url}/v1/payments") as answer:
                assert answer.status == 401, "it is asked as before"


async def test_a_second_one_is_told_what_is_in_its_way(config: Path, tmp_path: Path, taken_port: int) -> None:
    others = {name: tmp_path / name for name in ("port", "empty")}
    for folder in others.values():
        folder.mkdir()
    async with running("serve", "--config", config, cwd=tmp_path) as first:
        await first.says("serving")
        port = dry_run(others["port"], database=others["port"] / "gateway.db", listen=f"127.0.0.1:{taken_port}")
        empty = dry_run(others["empty"], database=others["empty"] / "gateway.db")
        async with (
            running("serve", "--config", config, cwd=tmp_path) as same,
            running("serve", "--config", port, cwd=tmp_path) as taken,
            running("serve", "--config", empty, cwd=tmp_path) as unmigrated,
        ):
            await refused(same, r"another gateway serves .*gateway\.db; one process at a time may use a SQLite file")
            await refused(taken, r".*address already in use")
            await refused(unmigrated, r"the database has schema none, expected \w+; run `gateway migrate`")
        assert first.process.returncode is None


async def refused(process: Running, complaint: str) -> None:
    ended = await process.ended()
    assert ended.code == 1
    assert re.fullmatch(complaint, ended.complaint()), ended.complaint()
