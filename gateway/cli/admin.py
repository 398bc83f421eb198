"""Commands that look after the database and the configuration: migrate, check, merchant add."""

import time
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from gateway.app.parts import catalogues
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.store import migrate
from gateway.store.engine import begin_write, connect, is_sqlite, sqlite_path
from merchants.keys import add_merchant


def migrate_database(path: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    upgrade(config.gateway.database)
    print(f"the database has schema {migrate.newest()}")


def upgrade(url: str) -> None:
    """Bring the database at *url* to the newest schema."""
    if is_sqlite(url):
        sqlite_path(url).parent.mkdir(parents=True, exist_ok=True)
    engine = connect(url)
    try:
        migrate.migrate(engine)
    except DBAPIError as error:
        raise CommandError(f"the database cannot be migrated: {error.orig}") from error
    finally:
        engine.dispose()


def check(path: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    try:
        languages = catalogues().languages
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    carriers = ", ".join(f"{name} ({carrier.mode})" for name, carrier in config.carriers.items())
    print(f"{path}: in order; carriers {carriers}; languages {', '.join(languages)}")


def add(path: Path, *, name: str, shop: str, keyword: str) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    engine = connect(config.gateway.database)
    try:
        with begin_write(engine) as conn:
            added = add_merchant(conn, name=name, shop=shop, keyword=keyword, now_ms=time.time_ns() // 1_000_000)
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    except DBAPIError as error:
        raise CommandError(f"the merchant was not added: {error.orig}") from error
    finally:
        engine.dispose()
    print(f"merchant  {added.id}\ntest key  {added.test_key}\nlive key  {added.live_key}")
    print("Keep the keys: they are stored as hashes only and cannot be shown again.")
