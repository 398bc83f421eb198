"""Real `gateway serve` processes for journeys: started from a TOML file, killed, frozen, stopped, started again."""

import asyncio
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import Config
from tests.journeys.evidence import CODE_KEY
from tests.journeys.zygote import Said, Wanted

ROOT = Path(__file__).parents[2]
FORK_LIMIT_S = 30.0
START_LIMIT_S = 20.0
STEP_S = 0.01


async def until(reached: Callable[[], object], limit_s: float, what: str) -> None:
    """Wait until *reached* holds; fail with *what* was expected after *limit_s*."""
    ends_s = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < ends_s, f"expected within {limit_s} s: {what}"
        await asyncio.sleep(STEP_S)


class Nursery:
    """Starts processes through the zygote, and hears of their deaths."""

    def __init__(self, zygote: "subprocess.Popen[bytes]") -> None:
        self.statuses: dict[int, int] = {}
        """Of those that have died: pid → wait status."""
        self._zygote = zygote
        self._born: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="zygote", daemon=True)
        self._listener.start()

    def start(self, wanted: Wanted) -> int:
        """The pid of the new process."""
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(msgspec.json.encode(wanted) + b"\n")
        self._zygote.stdin.flush()
        return self._born.get(timeout=FORK_LIMIT_S)

    def close(self) -> None:
        """Kill what still lives."""
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._listener.join()  # Ahead of the pipe's end: it must not be closed under a reader.

    def _listen(self) -> None:
        assert self._zygote.stdout is not None
        for line in self._zygote.stdout:
            said = msgspec.json.decode(line, type=Said)
            if said.status is None:
                self._born.put(said.pid)
            else:
                self.statuses[said.pid] = said.status


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Open one; what it started and still lives is killed at the end."""
    zygote = subprocess.Popen(
        (sys.executable, "-m", "tests.journeys.zygote"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with zygote:
        opened = Nursery(zygote)
        try:
            yield opened
        finally:
            opened.close()


class CommandProcess:
    """One `gateway` command in a process of its own, with a configuration file of its own."""

    _numbers = itertools.count(1)

    def __init__(
        self, nursery: Nursery, name: str, config: Config, folder: Path, *arguments: str, failpoint: str = ""
    ) -> None:
        name = f"{name}-{next(self._numbers)}"
        self._out = folder / f"{name}.out"
        self._errors = folder / f"{name}.log"
        self._nursery = nursery
        self._errors.touch()
        path = folder / f"{name}.toml"
        path.write_text(toml(msgspec.to_builtins(config)), encoding="utf-8")
        self.pid = nursery.start(
            Wanted(
                arguments=[*arguments, "--config", str(path)],
                environment={
                    "GATEWAY_CODE_KEY": CODE_KEY.hex(),
                    "GATEWAY_PIN_KEY": CODE_KEY[::-1].hex(),
                    "GATEWAY_FAILPOINT": failpoint,
                },
                out=str(self._out),
                errors=str(self._errors),
            )
        )

    @property
    def returncode(self) -> int | None:
        """As `subprocess` has it: None while it lives, the signal's number below zero if one killed it."""
        status = self._nursery.statuses.get(self.pid)
        return None if status is None else os.waitstatus_to_exitcode(status)

    async def ended(self, limit_s: float) -> int:
        """Its return code, once it has ended."""
        await until(lambda: self.returncode is not None, limit_s, f"the end of process {self.pid}")
        assert self.returncode is not None
        return self.returncode

    def send(self, number: signal.Signals) -> None:
        assert self.returncode is None, f"process {self.pid} has ended with {self.returncode}"
        os.kill(self.pid, number)

    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    def log(self) -> str:
        return self._errors.read_text(encoding="utf-8")


class GatewayProcess(CommandProcess):
    """One `gateway serve`. Fresh: it has a port of its own each time."""

    def __init__(self, nursery: Nursery, config: Config, folder: Path, *, failpoint: str = "") -> None:
        super().__init__(
            nursery, config.gateway.process_name or "gateway", config, folder, "serve", failpoint=failpoint
        )
        self.url = ""
        """Where it listens, once it does."""

    async def serving(self) -> None:
        """Wait until it listens."""
        await until(lambda: self._said() or self.returncode is not None, START_LIMIT_S, "a gateway that serves")
        assert self.returncode is None, self.log()
        self.url = self._said().removeprefix("serving ").strip()

    def _said(self) -> str:
        text = self._out.read_text() if self._out.exists() else ""
        return text if text.endswith("\n") else ""

    async def stop(self, limit_s: float = 15.0) -> None:
        """Tell it to stop, and expect that it does so cleanly."""
        self.send(signal.SIGTERM)
        code = await self.ended(limit_s)
        assert code == 0, f"ended with {code}: {self.log()}"

    def troubles(self) -> list[str]:
        """Its log lines of the levels error and above."""
        return [line for line in self.log().splitlines() if '"level": "error"' in line or '"level": "crit' in line]


def toml(document: Mapping[str, Any], path: str = "") -> str:  # Any: TOML.
    """*document* as TOML. Plain values and arrays of them look the same in JSON; None is what is left out."""
    plain = {key: value for key, value in document.items() if not isinstance(value, Mapping) and value is not None}
    lines = [f"[{path}]"] if path else []
    lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()]
    for key, value in document.items():
        if isinstance(value, Mapping):
            lines.append(toml(value, f"{path}.{key}" if path else key))
    return "\n".join(lines)
