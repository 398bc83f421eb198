"""Connections to the database: how SQLite and PostgreSQL are opened, begun and asked for the time.

The writer and the readers have engines of their own. Knows no table.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool

BUSY_TIMEOUT_MS = 5_000
CONNECT_TIMEOUT_S = 5
READERS_MAX = 4

# A plan made while the tables were empty reads them whole for ever after. All that is asked for has an index, so the
# plan that uses it is the right one at every size.
_POSTGRESQL_OPTIONS = (
    "-c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)
_LOCK_TIMEOUT_MS = 10_000
# A process that was frozen in the midst of a transaction must not hold its locks against the others; it runs its batch
# again when it thaws.
_IDLE_IN_TRANSACTION_MS = 5_000


class DatabaseInUse(Exception):
    """Another process owns this SQLite file."""


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:")


def sqlite_path(url: str) -> Path:
    """The file behind a `sqlite:///path` URL."""
    path = make_url(url).database
    if not path:
        raise ValueError(f"database: expected sqlite:///path, got {url!r}")
    return Path(path)


def connect(url: str, *, read_only: bool = False) -> Engine:
    """An engine for the writer's one thread, or (*read_only*) for a few readers. No connection is made yet."""
    return _sqlite(url, read_only=read_only) if is_sqlite(url) else _postgresql(url, read_only=read_only)


def _sqlite(url: str, *, read_only: bool) -> Engine:
    sqlite_path(url)
    engine = create_engine(
        url,
        hide_parameters=True,  # They are numbers, codes and keys, and errors are logged.
        poolclass=QueuePool,
        pool_size=READERS_MAX if read_only else 1,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000, "isolation_level": None},
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "connect")
    def _prepare(dbapi_connection: Any, record: object) -> None:  # Any: sqlite3.Connection, typed by nobody here.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON"):
            dbapi_connection.execute(f"PRAGMA {pragma}").close()
        if read_only:
            dbapi_connection.execute("PRAGMA query_only=ON").close()

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _postgresql(url: str, *, read_only: bool) -> Engine:
    options = (
        f"{_POSTGRESQL_OPTIONS} -c lock_timeout={_LOCK_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
    )
    if read_only:
        options = "-c timezone=UTC -c jit=off -c default_transaction_read_only=on"
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=READERS_MAX if read_only else 1,
        max_overflow=0,
        pool_pre_ping=read_only,
        connect_args={"options": options, "connect_timeout": CONNECT_TIMEOUT_S, "prepare_threshold": 2},
    )


@contextmanager
def begin_write(engine: Engine) -> Iterator[Connection]:
    """One writing transaction, committed at the end of the block. On SQLite it holds the write lock from its start."""
    with engine.begin() as conn:
        yield conn


def database_now_ms(conn: Connection) -> int:
    """The batch's one clock: the database's, or (SQLite) the process's, never going back on one connection."""
    if conn.dialect.name == "postgresql":
        statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        return int(conn.exec_driver_sql(statement).scalar_one())
    latest_ms: int = max(conn.info.get("latest_ms", 0), time.time_ns() // 1_000_000)
    conn.info["latest_ms"] = latest_ms
    return latest_ms


@contextmanager
def hold_alone(url: str) -> Iterator[None]:
    """Hold a SQLite file for this process alone: the kernel lets go when the process ends, however it ends."""
    path = sqlite_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatabaseInUse(
                f"another gateway serves {path}; one process at a time may use a SQLite file"
            ) from error
        yield
    finally:
        os.close(descriptor)
