"""Databases for tests: a migrated one on SQLite or PostgreSQL, and the look at its ledger when the test is over.

Migrating takes a moment, so each kind is migrated once a process and copied for whoever asks.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from gateway.store.balances import count_sealed
from gateway.store.engine import connect
from gateway.store.migrate import migrate
from gateway.store.seal import seal_next
from gateway.store.verify import verify
from tests.postgres import PostgresServer

PORTION = 1_000


def migrated_sqlite(folder: Path) -> Path:
    """A file with the newest schema and no rows, to be copied."""
    template = folder / "template.db"
    engine = connect(f"sqlite:///{template}")
    migrate(engine)
    with engine.connect() as conn:
        conn.commit()
    engine.dispose()
    return template


def sqlite_copy(template: Path, folder: Path) -> str:
    """The URL of a copy."""
    copy = folder / "gateway.db"
    shutil.copy(template, copy)
    return f"sqlite:///{copy}"


def migrated_postgres(server: PostgresServer) -> str:
    """The URL of a database with the newest schema and no rows, to be cloned."""
    url = server.create_database()
    engine = connect(url)
    migrate(engine)
    engine.dispose()
    return url


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection to look at what a test left."""
    engine = connect(url, read_only=True)
    try:
        with engine.connect() as conn:
            yield conn
    finally:
        engine.dispose()


def check_ledger(url: str, *, must_have_posted: bool) -> None:
    """Fail unless the books are in order, sealed to their end as well, and (a test about money) not empty."""
    engine = connect(url)
    try:
        with engine.connect() as conn:
            assert not (wrong := verify(conn)), "; ".join(wrong)
            posted = conn.execute(text("SELECT count(*) FROM entry")).scalar_one()
            assert posted or not must_have_posted, "a test marked `money` posted nothing to the ledger"
            if posted:
                _seal_to_the_end(conn)
                assert not (wrong := verify(conn)), "once sealed: " + "; ".join(wrong)
            conn.rollback()
    finally:
        engine.dispose()


def _seal_to_the_end(conn: Connection) -> None:
    after_id: str | None = ""
    while after_id is not None:
        after_id = seal_next(conn, after_id=after_id, limit=PORTION)[1]
    while count_sealed(conn, limit=PORTION) == PORTION:
        pass
