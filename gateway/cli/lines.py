"""What the explainers share: one input from the command line, or many lines from standard input; one JSON object each.

With `-` every line gets one line of answer, in order, at once. A line that cannot be explained becomes a row with
`error` and does not end the others; the exit code says so at the end. Nothing is explained here.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import msgspec
import typer

from gateway.cli.errors import CommandError

Answer = dict[str, object]
Explain = Callable[[str], Answer]

STDIN: Final = "-"
# The longest PDU, 65,536 octets, is written with a colon between its octets in three quarters of this.
LINE_OCTETS_MAX: Final = 262_144
SHOWN_CHARACTERS_MAX: Final = 200
"""Of a line that could not be explained: enough to find it, short enough to read."""


class Unreadable(Exception):
    """The input cannot be explained; the text says what was expected. `beside`: what could be read of it."""

    def __init__(self, expected: str, beside: Answer | None = None) -> None:
        super().__init__(expected)
        self.beside = beside


def answer(argument: str, explain: Explain) -> None:
    """Print what *explain* makes of *argument*, or of each line of standard input. Raise CommandError (exit code 2)."""
    if argument == STDIN:
        _answer_lines(explain)
    else:
        _answer_one(argument, explain)


def say(octets: bytes) -> None:
    """Print *octets* and a line's end at once, so that whoever follows a log sees it. Raise CommandError."""
    if sys.stdout is None:  # Closed by whoever started us.
        raise CommandError("standard output: expected a place to write to, it is closed")
    try:
        sys.stdout.buffer.write(octets + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # Whoever reads has seen enough, as `head` does: no reason to complain.
        _forget_output()
        raise typer.Exit(0) from None
    except OSError as error:
        _forget_output()
        raise CommandError(f"standard output: cannot be written: {error.strerror}") from error


def _forget_output() -> None:
    """What is still to be written would be tried again at the end of the process, and complained about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answer_one(argument: str, explain: Explain) -> None:
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise CommandError("expected UTF-8", exit_code=2) from error
    try:
        row = explain(argument)
    except Unreadable as trouble:
        if trouble.beside is not None:
            say(msgspec.json.encode({"error": str(trouble), **trouble.beside}))
        raise CommandError(str(trouble), exit_code=2) from trouble
    say(msgspec.json.encode(row))


def _answer_lines(explain: Explain) -> None:
    total = failed = 0
    for total, octets in enumerate(_lines(_stdin()), start=1):
        try:
            row = explain(_text(octets))
        except Unreadable as trouble:
            failed += 1
            shown = octets[:SHOWN_CHARACTERS_MAX].decode(errors="replace")
            row = {"line": total, "input": shown, "error": str(trouble), **(trouble.beside or {})}
        say(msgspec.json.encode(row))
    if failed:
        raise CommandError(f"{failed} of {total} lines could not be read, see their `error`", exit_code=2)


def _stdin() -> BinaryIO:
    if sys.stdin is None:  # Closed by whoever started us.
        raise CommandError("standard input: expected lines, it is closed", exit_code=2)
    return sys.stdin.buffer


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Each line without its end; of one that is too long only the first octets too many are kept."""
    while line := _read(stream):
        rest = line
        while not rest.endswith(b"\n") and (rest := _read(stream)):
            pass
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.readline(LINE_OCTETS_MAX + 2)
    except OSError as error:  # A folder, for instance.
        raise CommandError(f"standard input: cannot be read: {error.strerror}", exit_code=2) from error


def _text(octets: bytes) -> str:
    if len(octets) > LINE_OCTETS_MAX:
        raise Unreadable(f"expected at most {LINE_OCTETS_MAX} octets in a line")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"expected UTF-8, got 0x{octets[error.start]:02X} at octet {error.start + 1}") from error
