"""The log: one event, one line on standard error, from our loggers and those of libraries alike.

Whoever logs only formats a line and queues it; a thread writes. So a pipe that nobody reads or a disk that is full
holds up no payment: what cannot be written is counted and dropped.
"""

import contextlib
import logging
import math
import os
import queue
import threading
from collections.abc import Mapping
from typing import Final, Literal, TextIO

import structlog

from gateway.app.masking import masked

LINES_MAX: Final = 10_000
FLUSH_LIMIT_S: Final = 2.0
DEPTH_MAX: Final = 6
# A traceback of a few dozen frames is whole; a body that found its way into a message is not worth its place.
TEXT_CHARACTERS_MAX: Final = 20_000

Format = Literal["auto", "json", "text"]
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LineWriter:
    """Writes lines in a thread of its own. `lost` counts those that could not be written."""

    def __init__(self, stream: TextIO, *, lines_max: int = LINES_MAX) -> None:
        self.lost = 0
        self._stream = stream
        self._lines: queue.Queue[bytes | None] = queue.Queue(lines_max)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue *line*; never waits, never raises."""
        try:
            self._lines.put_nowait(f"{line}\n".encode("utf-8", "backslashreplace"))
        except queue.Full:
            self.lost += 1

    def close(self, limit_s: float = FLUSH_LIMIT_S) -> None:
        """Write what is queued, as far as that can be done in time."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=limit_s)
            self._thread.join(limit_s)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                _write_all(self._stream, line)
            except (OSError, ValueError):  # ValueError: the stream was closed.
                self.lost += 1


def _write_all(stream: TextIO, line: bytes) -> None:
    """Past the stream's own buffer, which would keep what failed and fail with it again."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):  # Not a file: a test's memory.
        stream.write(line.decode())
        return
    while line:
        line = line[os.write(descriptor, line) :]


class LineHandler(logging.Handler):
    """Hands formatted records to a writer. A record that cannot be formatted still leaves a line."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - the last place of all: a wrong log call must not fail what it reports
            bad = logging.LogRecord(record.name, record.levelno, "", 0, "a record cannot be formatted", None, None)
            line = self.format(bad)
        self._writer.write(line)


def set_up(stream: TextIO, *, form: Format = "auto", level: str = "info") -> LineWriter:
    """Send all records of this process to *stream*. `auto`: words on a terminal, else JSON."""
    as_words = form == "text" or (form == "auto" and stream.isatty())
    writer = LineWriter(stream)
    handler = LineHandler(writer)
    handler.setFormatter(formatter(as_words=as_words))
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
    # Alembic tells of every start that it found nothing to do.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return writer


def formatter(*, as_words: bool) -> logging.Formatter:
    """One record, one line."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_logger_name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _fit_to_read,
            _in_words if as_words else structlog.processors.JSONRenderer(),
        ],
    )


def _fit_to_read(logger: object, method: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Plain values only, with what must not be read masked."""
    return {str(_plain(str(key))): _plain(value) for key, value in record.items()}


def _plain(value: object, depth: int = 0) -> object:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)  # JSON has no infinity.
        case str():
            return masked(value[:TEXT_CHARACTERS_MAX])
        case Mapping() if depth < DEPTH_MAX:
            return {str(_plain(str(key))): _plain(inner, depth + 1) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset() if depth < DEPTH_MAX:
            return [_plain(inner, depth + 1) for inner in value]
        case _:
            return masked(repr(value)[:TEXT_CHARACTERS_MAX])


_SHOWN_APART: Final = ("timestamp", "level", "logger", "event", "exception")


def _in_words(logger: object, method: str, record: structlog.typing.EventDict) -> str:
    """Time, level and what happened; of an exception its last line, which says which it was."""
    cause = str(record.get("exception", "")).rstrip().rpartition("\n")[2]
    fields = "".join(f" {name}={value}" for name, value in record.items() if name not in _SHOWN_APART)
    said = " ".join(f"{record['event']}{': ' if cause else ''}{cause}{fields}".split())
    return f"{str(record['timestamp'])[11:19]} {record['level']}: {_one_line(said)}"


def _one_line(text: str) -> str:
    """Control characters could move a terminal's cursor, or look like a line of their own."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
