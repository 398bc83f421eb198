"""Brings a database to the newest schema, or back; the migrations themselves are in `alembic/`.

In a wheel that folder is `gateway/_alembic`. Nothing else runs Alembic.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

# Two processes that start at once must not both migrate; the number is our own and means nothing.
_ADVISORY_LOCK = 7_242_160_911


class NotMigrated(Exception):
    """The database has another schema than this code expects."""


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to *revision*. Two processes may call it at once."""
    with engine.begin() as conn:
        _lock(conn)
        command.upgrade(_config(conn), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Go back to *revision*; what only the newer schema could hold is gone."""
    with engine.begin() as conn:
        _lock(conn)
        command.downgrade(_config(conn), revision)


def current(conn: Connection) -> str | None:
    """The revision of the database; None for an empty one."""
    return MigrationContext.configure(conn).get_current_revision()


def newest() -> str:
    """The revision that this code expects."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    return head


def expect_newest(conn: Connection) -> None:
    """Raise NotMigrated if the database has another schema than this code expects."""
    found, expected = current(conn), newest()
    if found != expected:
        raise NotMigrated(f"the database has schema {found or 'none'}, expected {expected}; run `gateway migrate`")


def _lock(conn: Connection) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})


def _config(conn: Connection | None) -> Config:
    shipped = Path(__file__).resolve().parents[1] / "_alembic"
    folder = shipped if shipped.is_dir() else Path(__file__).resolve().parents[2] / "alembic"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config
