"""What every command does that opens the database beside a gateway: trouble becomes one line."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.cli.errors import CommandError
from gateway.store import migrate
from gateway.store.engine import begin_write, connect, is_sqlite, sqlite_path

T = TypeVar("T")


def with_database(url: str, work: Callable[[Connection], T], *, read_only: bool, one_moment: bool = False) -> T:
    """What *work* returns in one transaction, which is committed unless it is *read_only*.

    *one_moment*: all that it reads is as of its beginning.

    Raise CommandError if the database is not there, has another schema or cannot be used.
    """
    if is_sqlite(url) and not sqlite_path(url).exists():  # Opened, it would be made, for everybody to read.
        raise CommandError(f"there is no database {sqlite_path(url)}; run `gateway migrate`")
    engine = connect(url, read_only=read_only)
    if one_moment and not is_sqlite(url):  # SQLite's transactions see one moment in any case.
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    try:
        with engine.connect() if read_only else begin_write(engine) as conn:
            migrate.expect_newest(conn)
            return work(conn)
    except migrate.NotMigrated as error:
        raise CommandError(str(error)) from error
    except DBAPIError as error:
        raise CommandError(f"the database cannot be used: {error.orig}") from error
    finally:
        engine.dispose()
