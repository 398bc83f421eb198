"""What every command does that opens the database beside a gateway: trouble becomes one line."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from gateway.cli.errors import CommandError
from gateway.config import Config
from gateway.store import migrate
from gateway.store.engine import connect, is_sqlite, sqlite_path

T = TypeVar("T")


def with_database(config: Config, work: Callable[[Engine], T], *, read_only: bool) -> T:
    """What *work* returns. Raise CommandError if the database is not there, has another schema or cannot be used."""
    url = config.gateway.database
    if is_sqlite(url) and not sqlite_path(url).exists():
        raise CommandError(f"there is no database {sqlite_path(url)}; run `gateway migrate`")
    engine = connect(url, read_only=read_only)
    try:
        return work(engine)
    except migrate.NotMigrated as error:
        raise CommandError(str(error)) from error
    except DBAPIError as error:
        raise CommandError(f"the database cannot be used: {error.orig}") from error
    finally:
        engine.dispose()
