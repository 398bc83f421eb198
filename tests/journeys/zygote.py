"""Forks gateway processes for tests: the imports, which take longer than a test, are made once.

Runs as a process of its own and reads one JSON line for each gateway wanted: its arguments, its environment and the
files for what it says. It answers with the child's pid, and with a line of its own for each child that has died. When
its input ends, so do its children. A child is a gateway process like any other: it may be killed, stopped, frozen.
"""

import contextlib
import os
import signal
import sys
from typing import NoReturn

import msgspec

from gateway import adapters, cli
from gateway.cli import commands, ledger, reconcile, serve

# What a gateway loads only when it is told to serve, to take a file or to verify its books.
LOADED = (commands, serve, reconcile, ledger, adapters.kinds("Bearer"), adapters.kinds("Biller"))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A `gateway` to be started."""

    arguments: list[str]
    environment: dict[str, str]
    out: str
    errors: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A child was born, or (with a wait status) has died."""

    pid: int
    status: int | None = None


_children: set[int] = set()


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGCHLD, lambda number, frame: _bury())
    for line in sys.stdin.buffer:
        pid = _fork(msgspec.json.decode(line, type=Wanted))
        _children.add(pid)
        _say(Said(pid=pid))
        _bury()  # It may have died before it was known.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pid in _children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(wanted: Wanted) -> int:
    pid = os.fork()
    if pid == 0:
        _become(wanted)
    return pid


def _become(wanted: Wanted) -> NoReturn:
    code: object = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        for path, descriptor in ((wanted.out, 1), (wanted.errors, 2)):
            os.dup2(os.open(path, flags, 0o600), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(wanted.environment)
        sys.argv = ["gateway", *wanted.arguments]
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _bury() -> None:
    for pid in tuple(_children):
        # A signal may interrupt this very loop, and then another has buried it.
        with contextlib.suppress(ChildProcessError):
            buried, status = os.waitpid(pid, os.WNOHANG)
            if buried:
                _children.discard(pid)
                _say(Said(pid=pid, status=status))


def _say(said: Said) -> None:
    os.write(1, msgspec.json.encode(said) + b"\n")


if __name__ == "__main__":
    main()
