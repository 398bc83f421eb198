"""Databases for tests: a migrated one on SQLite or PostgreSQL, and the look at what is in it when the test is over.

Migrating takes a moment, so each kind is migrated once a process and copied for whoever asks.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from gateway.store.balances import count_sealed
from gateway.store.engine import connect
from gateway.store.migrate import migrate
from gateway.store.seal import seal_next
from gateway.store.verify import verify
from tests.postgres import PostgresServer
from tests.search import secrets_left

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


def check_left(
    url: str,
    *,
    must_have_posted: bool,
    printed: Sequence[tuple[str, str]] = (),
    typed: Collection[str] = (),
    may_leak: bool = False,
) -> None:
    """Fail unless no secret lies about and the books are in order; of a test about money they are not empty."""
    engine = connect(url)
    try:
        with engine.connect() as conn:
            if conn.dialect.name == "postgresql":  # Many rows are searched between two looks at the database.
                conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            assert may_leak or not (found := secrets_left(conn, printed, typed)), found[:20]
            _check_ledger(conn, must_have_posted=must_have_posted)
            conn.rollback()
    finally:
        engine.dispose()


def _check_ledger(conn: Connection, *, must_have_posted: bool) -> None:
    """As it is once it is sealed to its end, which changes no row of the books."""
    posted = conn.execute(text("SELECT count(*) FROM entry")).scalar_one()
    if posted:
        _seal_to_the_end(conn)
    assert not (wrong := verify(conn)), "; ".join(wrong)
    assert posted or not must_have_posted, "a test marked `money` posted nothing to the ledger"


def _seal_to_the_end(conn: Connection) -> None:
    after_id: str | None = ""
    while after_id is not None:
        after_id = seal_next(conn, after_id=after_id, limit=PORTION)[1]
    while count_sealed(conn, limit=PORTION) == PORTION:
        pass
