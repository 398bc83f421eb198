"""Commands and configurations for tests of the command line."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Here, dry_run


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs a command in this process."""
    return Here(monkeypatch, capsys)


@pytest.fixture
def config(sqlite_url: str, tmp_path: Path) -> Path:
    """A configuration with a migrated database."""
    return dry_run(tmp_path, database=Path(sqlite_url.removeprefix("sqlite:///")))


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
