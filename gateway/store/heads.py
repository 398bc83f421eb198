"""Published heads: what the chain's newest seal was at a time, kept where a forger of the chain must change it too.

Each stands in `ledger_head` and, by the file of anchors, outside of the database: whoever may change every row of it
can make the whole chain anew, but not what was copied to another machine, printed or sent.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Connection, insert, select

from gateway.core.public import rfc3339
from gateway.store import tables
from gateway.store.seal import head


class Anchor(msgspec.Struct, frozen=True):
    """A published head: one line of the file of anchors."""

    position: int
    hash: str
    at: str


class BadAnchors(Exception):
    """The file of anchors cannot be read; the text names the line."""


def publish(conn: Connection, *, now_ms: int, every_ms: int) -> bool:
    """Put the chain's head on record unless it is there, or another was less than *every_ms* ago."""
    published = tables.ledger_head.c
    last = conn.execute(select(tables.ledger_head).order_by(published.position.desc()).limit(1)).first()
    newest = head(conn)
    if last is not None and (newest.position <= last.position or now_ms < last.at_ms + every_ms):
        return False
    if newest.position == 0:
        return False
    row = {"position": newest.position, "hash": newest.hash, "at_ms": now_ms}
    conn.execute(insert(tables.ledger_head).values(row))
    return True


def anchors(conn: Connection, *, after: int = 0) -> list[Anchor]:
    """The published heads behind position *after*, oldest first: at most some thousands a year."""
    published = tables.ledger_head.c
    rows = conn.execute(select(tables.ledger_head).where(published.position > after).order_by(published.position))
    return [Anchor(row.position, row.hash, rfc3339(row.at_ms)) for row in rows]


def read_anchors(path: Path) -> list[Anchor]:
    """The heads in the file at *path*, one JSON object a line. Raise BadAnchors."""
    decode = msgspec.json.Decoder(Anchor).decode
    found = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    found.append(decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise BadAnchors(f"{path}, line {number}: expected a published head: {error}") from error
    except OSError as error:
        raise BadAnchors(f"{path}: cannot be read: {error.strerror}") from error
    return found


def append_anchors(path: Path, added: Sequence[Anchor]) -> None:
    """Add *added* to the file, and return when they are on disk."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        # A machine that went down may have left half a line.
        begun = b"\n" if size and file.read(1) != b"\n" else b""
        file.write(begun + b"".join(msgspec.json.encode(anchor) + b"\n" for anchor in added))
        file.flush()
        os.fsync(file.fileno())


def anchored_up_to(path: Path) -> int:
    """Up to where the file has the chain's heads; 0 without a file. Half a line counts for nothing."""
    found = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                found = max(found, msgspec.json.decode(line, type=Anchor).position)
    return found
