"""`gateway ledger verify`, `gateway ledger head`: are the books in order, and what proves it later."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.store.heads import Anchor, BadAnchors, anchors, read_anchors
from gateway.store.seal import head
from gateway.store.verify import Findings, examine

SHOWN_MAX = 50


def check_books(path: Path, anchor_file: Path | None) -> None:
    """Raise ConfigError, or CommandError if anything does not hold."""
    config, _ = read(path)
    began_s = time.monotonic()

    def look(conn: Connection) -> Findings:
        named = Path(config.gateway.anchor_file) if config.gateway.anchor_file else None
        outside = _outside(conn, anchor_file, named)
        return examine(conn, outside=outside, progress=_progress())

    try:
        found = with_database(config.gateway.database, look, read_only=True, one_moment=True)
    except BadAnchors as error:
        raise CommandError(str(error)) from error
    _progress()("")
    for line in found.wrong[:SHOWN_MAX]:
        print(line)
    # Linux counts in KiB.
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"looked for {time.monotonic() - began_s:.1f} s with at most {peak_mib} MiB of memory")
    print(
        f"{found.entries} entries, {found.seals} seals, {found.heads} published heads;"
        f" newest seal {found.head.position} {found.head.hash}"
    )
    if found.wrong:
        raise CommandError(f"the books are not in order: {found.count} times; first: {found.wrong[0]}")
    print("in order")


def _outside(conn: Connection, asked: Path | None, configured: Path | None) -> list[Anchor]:
    """Raise BadAnchors if the file cannot be read, or is not there although a head was published."""
    if asked is not None:
        return read_anchors(asked)
    if configured is None or not (configured.exists() or anchors(conn)):
        return []
    return read_anchors(configured)


def _progress() -> Callable[[str], None]:
    """One line on a terminal that says where the look is; nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda words: None

    def show(words: str) -> None:
        sys.stderr.write(f"\r\x1b[K{words}")
        sys.stderr.flush()

    return show


def print_head(path: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    newest = with_database(config.gateway.database, head, read_only=True)
    print(msgspec.json.encode(Anchor(newest.position, newest.hash, rfc3339(wall_ms()))).decode())
