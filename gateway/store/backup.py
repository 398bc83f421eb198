"""A consistent copy of a SQLite database that is being served, and what a database must be told that is such a copy.

PostgreSQL has its own tools for copies (docs/operations.md).
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from gateway.store import tables

BEFORE_EVERY_EPOCH = 0
"""No owner of a lane has this epoch, so what carries it was begun by somebody else."""


def back_up(source: Path, target: Path) -> None:
    """Copy the SQLite file *source* as of one moment; a gateway may write to it meanwhile, and is not kept waiting.

    *target* appears when it is whole and on disk, readable by its owner only. Raise OSError or sqlite3.Error.
    """
    unfinished = target.with_name(target.name + ".part")
    os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            original.backup(copy)
            # One file and no companions: whoever moves it moves everything.
            copy.execute("PRAGMA journal_mode=DELETE")
            [(found,)] = copy.execute("PRAGMA quick_check(1)")
            if found != "ok":
                raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
        _sync(unfinished)
        unfinished.rename(target)
        _sync(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def distrust_outbox(conn: Connection) -> int:
    """Whatever waits to leave may have left after the copy was made: from now on each counts as maybe sent.

    So orders are asked about before they are sent. Return how many rows wait.
    """
    outbox = tables.outbox
    conn.execute(update(outbox).where(outbox.c.epoch.is_(None)).values(epoch=BEFORE_EVERY_EPOCH))
    rows: int = conn.execute(select(func.count()).select_from(outbox)).scalar_one()
    return rows


def living(conn: Connection, now_ms: int) -> list[str]:
    """Processes that hold a lease."""
    process = tables.process.c
    return [row.owner for row in conn.execute(select(process.owner).where(process.until_ms > now_ms))]
