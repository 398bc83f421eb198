"""Schemathesis reads the OpenAPI document of a real `gateway serve` and tries to prove it wrong, with all its checks.

Two keys: with one it may do everything that leaves the key as it is; the operations on keys have a merchant of their
own, whose keys it may lose.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from gateway.config import ApiSection
from tests.journeys.house import a_shop
from tests.journeys.processes import GatewayProcess, Nursery
from tests.journeys.test_hostile import loopback

pytestmark = pytest.mark.journey

SETTINGS: Final = Path(__file__).with_name("schemathesis.toml")
EXAMPLES: Final = 12
CASES_MIN: Final = 800
LIMIT_S: Final = 300.0
KEYS: Final = r"^/v1/api_keys"


async def tried(url: str, key: str, *arguments: str) -> tuple[int, str]:
    """What schemathesis finds; its exit code is 0 if that is nothing."""
    schemathesis = Path(sys.executable).with_name("schemathesis")
    command = (str(schemathesis), "--config-file", str(SETTINGS), "run", f"{url}/openapi.json")
    options = ("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "7", "--workers", "1", "--no-color")
    running = await asyncio.create_subprocess_exec(
        *(*command, "-H", f"Authorization: Bearer {key}", *options, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=SETTINGS.parent.parent.parent,
    )
    async with asyncio.timeout(LIMIT_S):
        said, _ = await running.communicate()
    return running.returncode or 0, said.decode()


async def test_nothing_is_found_that_the_document_does_not_say(
    sqlite_url: str, tmp_path: Path, processes: Nursery
) -> None:
    asha, juma = a_shop(sqlite_url), a_shop(sqlite_url, "JUMA")
    # Thousands of requests of one key from one address, many with broken keys.
    config = replace(loopback(sqlite_url), api=ApiSection(rate_per_s=0, unknown_keys_per_min=0))
    process = GatewayProcess(processes, config, tmp_path)
    await process.serving()
    code, said = await tried(process.url, asha.test_key, "--exclude-path-regex", KEYS)
    keys_code, keys_said = await tried(process.url, juma.test_key, "--include-path-regex", KEYS)
    await process.stop()
    assert (code, keys_code) == (0, 0), said + keys_said
    cases = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) generated", said + keys_said)]
    assert len(cases) == 2 and sum(cases) >= CASES_MIN, said
    assert process.troubles() == []
