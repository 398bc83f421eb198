"""What every command does that opens the database beside a gateway: trouble becomes one line."""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from gateway.app import parts
from gateway.cli.errors import CommandError
from gateway.config import Config, Secrets
from gateway.engine.clock import wall_ms
from gateway.store import migrate
from gateway.store.apply import Job, RetryBatch, Store
from gateway.store.engine import begin_write, connect, is_sqlite, sqlite_path

T = TypeVar("T")


def with_database(url: str, work: Callable[[Connection], T], *, read_only: bool, one_moment: bool = False) -> T:
    """What *work* returns in one transaction, which is committed unless it is *read_only*.

    *one_moment*: all that it reads is as of its beginning.

    Raise CommandError if the database is not there, has another schema or cannot be used.
    """
    if is_sqlite(url) and not sqlite_path(url).exists():  # Opened, it would be made, for everybody to read.
        raise CommandError(f"there is no database {sqlite_path(url)}; run `gateway migrate`", exit_code=2)
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


TRIES_MAX = 100
PAUSE_S = 0.1


def with_store(config: Config, secrets: Secrets, work: Callable[[Store, Engine], T]) -> T:
    """What *work* returns, which gets a writer like the gateway's own and an engine to read with.

    Raise CommandError as `with_database`.
    """
    url = config.gateway.database
    with_database(url, lambda conn: None, read_only=True)
    billers, channels = parts.billers(config, wall_ms), parts.ussd_channels(config, wall_ms)
    policy = parts.policy(config, secrets, billers, parts.lane_plan(config), channels)
    engine, reads = connect(url), connect(url, read_only=True)
    try:
        return work(Store(engine, policy), reads)
    except DBAPIError as error:
        raise CommandError(f"the database cannot be used: {error.orig}") from error
    finally:
        engine.dispose()
        reads.dispose()


def applied(store: Store, job: Job) -> object:
    """What *job* returns, tried again while others are in its way."""
    for _ in range(TRIES_MAX):
        try:
            return store.apply([job]).applied[0].result
        except RetryBatch:
            time.sleep(PAUSE_S)
    raise CommandError(f"the database took nothing in {TRIES_MAX} tries")
