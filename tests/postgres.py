"""A real PostgreSQL for tests and benchmarks: one server for a run, one fresh database for whoever asks.

``Run`` is the life of one server: the process that opens it holds the lease, any process that knows its folder may use
the server, and the first one who does starts it. ``tests/conftest.py`` opens one per pytest run and shares it between
the xdist workers. No tables are made here: whoever needs a schema migrates one database and clones it.
"""

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests import postgres_guard

# The kernel allows 107 bytes for a socket's path, and PostgreSQL appends "/socket/.s.PGSQL.5432" to the folder.
FOLDER_BYTES_MAX = 107 - len("/socket/.s.PGSQL.5432")

_database_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. Databases are dropped with the server, so nobody has to clean up."""

    socket_folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_folder}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        return self._create(sql.SQL("CREATE DATABASE {name}"))

    def clone_database(self, template: str) -> str:
        """The URL of a copy of *template* (a database's name or URL), to which nobody may be connected meanwhile."""
        # WAL_LOG copies a small database without a checkpoint: a third of the time of FILE_COPY with fsync on.
        statement = sql.SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return self._create(statement, template=sql.Identifier(database_name(template)))

    def drop_database(self, url: str) -> None:
        """Drop one early, with whatever is connected to it."""
        self._execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(name=sql.Identifier(database_name(url))))

    def _create(self, statement: sql.SQL, **parts: sql.Identifier) -> str:
        name = f"test_{os.getpid()}_{next(_database_numbers)}"
        self._execute(statement.format(name=sql.Identifier(name), **parts))
        return self.url(name)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(host=str(self.socket_folder), user="postgres", autocommit=True) as connection:
            connection.execute(statement)


def database_name(name_or_url: str) -> str:
    return name_or_url.rpartition("/")[2] if "://" not in name_or_url else _name_in_url(name_or_url)


def _name_in_url(url: str) -> str:
    return url.partition("://")[2].partition("?")[0].rpartition("/")[2]


def server_in(folder: Path) -> PostgresServer:
    """The server of the run that owns *folder*, started by the first who asks, in whichever process."""
    with (folder / "start.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / postgres_guard.READY).exists():
            _start(folder)
    return PostgresServer(folder / postgres_guard.SOCKET)


def _start(folder: Path) -> None:
    trouble = folder / "trouble"
    # A file and no pipe: the server keeps what it inherits, so a pipe would never end.
    with trouble.open("wb") as errors:
        started = subprocess.run(
            (sys.executable, "-P", postgres_guard.__file__, str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            check=False,
        )
    if started.returncode != 0:
        raise RuntimeError(f"PostgreSQL did not start: {trouble.read_text().strip()}")


@contextmanager
def postgres_run(parent: Path | None = None) -> Iterator[Path]:
    """A folder (in *parent*) for one server, which is stopped, and gone with all it held, when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="payments-pg-", dir=parent))
    if len(os.fsencode(folder)) > FOLDER_BYTES_MAX:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="payments-pg-", dir="/tmp"))
    lease = (folder / postgres_guard.LEASE).open("wb")
    fcntl.flock(lease, fcntl.LOCK_SH)
    try:
        yield folder
    finally:
        _end(folder, lease.fileno())
        lease.close()


def _end(folder: Path, lease: int) -> None:
    guardian = folder / postgres_guard.GUARDIAN
    watched = guardian.open("rb") if guardian.exists() else None
    fcntl.flock(lease, fcntl.LOCK_UN)
    if watched is not None:
        with watched:
            fcntl.flock(watched, fcntl.LOCK_SH)  # The guardian lets go when the server has stopped.
    shutil.rmtree(folder, ignore_errors=True)
