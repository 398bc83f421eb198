"""Runs `gateway` for tests: inside this process where it fails before it starts anything, else as one of its own."""

import asyncio
import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice, takewhile
from pathlib import Path

import msgspec
import pytest

from gateway import cli, failpoints
from tests.search import SAID

CODE_KEY = "ab" * 16
LIMIT_S = 30.0
_WORD = re.compile("[a-z]+")
DRY_RUN = """
[gateway]
database = "{database}"
listen = "{listen}"

[carriers.acme]
mode = "{mode}"
prefixes = ["+254"]
currency = "KES"
time_zone = "Africa/Nairobi"
short_code = "22345"
brand = "Acme Pay"
bearer = {{ type = "loopback" }}
biller = {{ type = "loopback" }}
"""


def dry_run(folder: Path, *, database: Path | str, listen: str = "127.0.0.1:0", mode: str = "test") -> Path:
    """A configuration file for a gateway without a network. *database*: a file of SQLite, or a URL."""
    path = folder / "gateway.toml"
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    path.write_text(DRY_RUN.format(database=url, listen=listen, mode=mode), encoding="utf-8")
    return path


class Finished(msgspec.Struct, frozen=True):
    """What a command left."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """The one line that it complained in."""
        [line] = self.err.splitlines()
        assert line.startswith("gateway: "), line
        return line.removeprefix("gateway: ")


class Here:
    """Runs commands in this process, where importing everything has been paid for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, **environment: str) -> Finished:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["gateway", *map(str, arguments)])
            for name, value in {"GATEWAY_CODE_KEY": CODE_KEY, **environment}.items():
                patch.setenv(name, value)
            try:
                cli.main()
                code: object = 0
            except SystemExit as end:
                code = end.code or 0
            finally:
                root.handlers[:], root.level = handlers, level
                failpoints.arm(None)
        assert isinstance(code, int)
        said = self._capsys.readouterr()
        SAID.append((command(*arguments), said.out + said.err))
        return Finished(code, said.out, said.err)


def command(*arguments: str | Path) -> str:
    """`gateway key add`: which of them it is, without what it was told."""
    words = takewhile(_WORD.fullmatch, map(str, arguments))
    return " ".join(["gateway", *islice(words, 2)])


class Running:
    """A `gateway` process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self.process = process
        self._command = name
        self.said = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    async def says(self, pattern: str) -> re.Match[str]:
        """Read its standard output until *pattern* stands in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            while (found := re.search(pattern, self.said)) is None:
                line = await self.process.stdout.readline()
                assert line, f"it ended and never said {pattern}: {self.said}"
                self.said += line.decode()
        return found

    async def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def ended(self) -> Finished:
        """Wait for its end."""
        async with asyncio.timeout(LIMIT_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        self.said += out.decode()
        SAID.append((self._command, err.decode()))
        return Finished(self.process.returncode, self.said, err.decode())

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@asynccontextmanager
async def running(*arguments: str | Path, cwd: Path, **environment: str) -> AsyncIterator[Running]:
    """Start a `gateway`; it is killed at the end if it still lives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *map(str, arguments)),
        cwd=cwd,
        env={**os.environ, "GATEWAY_CODE_KEY": CODE_KEY, "COLUMNS": "200", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    runs = Running(process, command(*arguments))
    try:
        yield runs
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        out, err = await process.communicate()
        SAID.append((command(*arguments), runs.said + (out + err).decode()))


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
