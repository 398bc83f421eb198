"""`gateway backup`, `gateway restored`: copy the books, trust a copy with care."""

import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy import Connection

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.engine.clock import wall_ms
from gateway.store.backup import Distrusted, back_up, distrust, living
from gateway.store.engine import DatabaseInUse, hold_alone, is_sqlite, sqlite_path


def copy(path: Path, target: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    if not is_sqlite(config.gateway.database):
        raise CommandError("backup: expected a SQLite database; PostgreSQL has pg_basebackup and pg_dump", exit_code=2)
    source = sqlite_path(config.gateway.database)
    if not source.exists():
        raise CommandError(f"there is no database {source}", exit_code=2)
    if target.exists():
        raise CommandError(f"{target}: expected a name that is free; a backup overwrites nothing", exit_code=2)
    try:
        back_up(source, target)
    except (OSError, sqlite3.Error) as error:
        raise CommandError(f"the backup was not made: {error}") from error
    print(f"{source} is backed up to {target}")


def mark_restored(path: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)

    def change(conn: Connection) -> Distrusted:
        now_ms = wall_ms()
        others = living(conn, now_ms)
        if others:
            raise CommandError(f"expected a database that nobody serves; stop {', '.join(others)} first")
        return distrust(conn, now_ms)

    url = config.gateway.database
    try:
        with hold_alone(url) if is_sqlite(url) else contextlib.nullcontext():
            found = with_database(url, change, read_only=False)
    except DatabaseInUse as error:
        raise CommandError(str(error)) from error
    print(f"{found.rows} orders, texts and webhooks wait, and each counts as maybe sent")
    print(f"{found.payments} payments waited for a consent or a capture: compare each; see `gateway breaks list`")
    if found.has_payouts:
        print("no payout is drafted or submitted until you have resolved the break about them: compare with the bank")
