"""Commands that look after the database and the configuration: migrate, check, merchant add."""

from pathlib import Path

from alembic.util.exc import CommandError as AlembicError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.app.parts import catalogues
from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.cli.remittances import unpaid_words
from gateway.config import CarrierSection, ConfigError, read
from gateway.core.asks import Catalogues
from gateway.engine.clock import wall_ms
from gateway.store import migrate
from gateway.store.engine import connect, is_sqlite, sqlite_path
from merchants.keys import Merchant, add_merchant


def migrate_database(path: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    upgrade(config.gateway.database)
    print(f"the database has schema {migrate.newest()}")


def upgrade(url: str) -> None:
    """Bring the database at *url* to the newest schema."""
    if is_sqlite(url):
        try:
            sqlite_path(url).parent.mkdir(parents=True, exist_ok=True)
            sqlite_path(url).touch(mode=0o600)  # It holds numbers; its companions take over its mode.
        except OSError as error:
            raise CommandError(f"the database's folder cannot be made: {error}") from error
    engine = connect(url)
    try:
        migrate.migrate(engine)
    except DBAPIError as error:
        raise CommandError(f"the database cannot be migrated: {error.orig}") from error
    except AlembicError as error:  # It has a schema that a newer version made.
        raise CommandError(f"the database cannot be migrated by this version: {error}") from error
    finally:
        engine.dispose()


def check(path: Path) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    try:
        whole = catalogues()
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    unreviewed = config.gateway.unreviewed_languages
    mistakes = [
        mistake
        for name, carrier in config.carriers.items()
        if (mistake := _wrong_language(name, carrier, whole, whole.spoken(carrier.mode, unreviewed=unreviewed)))
    ]
    if mistakes:
        raise ConfigError(mistakes)
    carriers = ", ".join(f"{name} ({carrier.mode})" for name, carrier in config.carriers.items())
    print(f"{path}: in order; carriers {carriers}; languages {', '.join(sorted(whole.languages))}")
    for words in unpaid_words(config):
        print(words)
    silent = sorted(code for code in whole.languages if not whole.language(code).reviewed_by)
    if silent and any(carrier.mode == "live" for carrier in config.carriers.values()):
        does = "speak them all the same: gateway.unreviewed_languages" if unreviewed else "speak English instead"
        print(f"reviewed by no native speaker yet: {', '.join(silent)}; live carriers {does}")


def _wrong_language(name: str, carrier: CarrierSection, whole: Catalogues, spoken: Catalogues) -> str:
    """What is wrong with the language of *carrier*, "" if nothing is."""
    if carrier.language in spoken.languages:
        return ""
    known = ", ".join(sorted(spoken.languages))
    if carrier.language not in whole.languages:
        return f"carriers.{name}.language: expected one of {known}, got {carrier.language!r}"
    return (
        f"carriers.{name}.language: a live carrier speaks only what a native speaker has reviewed, or whatever"
        f" gateway.unreviewed_languages = true allows: expected one of {known}, got {carrier.language!r}"
    )


def add(path: Path, *, name: str, shop: str, keyword: str) -> None:
    """Raise ConfigError or CommandError."""
    config, _ = read(path)
    try:
        added = open_shop(config.gateway.database, name=name, shop=shop, keyword=keyword)
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    print(f"merchant  {added.id}\ntest key  {added.test_key}\nlive key  {added.live_key}")
    print("Keep the keys: they are stored as hashes only and cannot be shown again.")


def open_shop(url: str, *, name: str, shop: str, keyword: str) -> Merchant:
    """A merchant in the database at *url*. Raise ValueError (a name or keyword) or CommandError."""

    def add(conn: Connection) -> Merchant:
        return add_merchant(conn, name=name, shop=shop, keyword=keyword, now_ms=wall_ms())

    return with_database(url, add, read_only=False)
