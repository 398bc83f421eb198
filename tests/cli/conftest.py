"""Commands and configurations for tests of the command line."""

import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.config import read
from tests.cli.commands import CODE_KEY, Here, dry_run
from tests.journeys.house import Shop, a_shop


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs a command in this process."""
    return Here(monkeypatch, capsys)


@pytest.fixture
def config(sqlite_url: str, tmp_path: Path) -> Path:
    """A configuration with a migrated database."""
    return dry_run(tmp_path, database=Path(sqlite_url.removeprefix("sqlite:///")))


@pytest.fixture
async def paid(config: Path, tmp_path: Path) -> Path:
    """The folder of a gateway that took a payment."""
    settings, secrets = read(config, {"GATEWAY_CODE_KEY": CODE_KEY})
    key = a_shop(settings.gateway.database).test_key
    gateway = Gateway(settings, secrets)
    await gateway.start()
    try:
        async with aiohttp.ClientSession() as http:
            shop = Shop(http, gateway.url, key)
            await shop.until_final((await shop.ask("+254700000555"))["id"])
    finally:
        await gateway.stop()
    return tmp_path


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
