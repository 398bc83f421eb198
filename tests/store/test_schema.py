"""The schema: migrations make exactly what the tables say, back and forth, and what happened cannot be changed."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from gateway.store import tables
from gateway.store.engine import DatabaseInUse, connect, hold_alone
from gateway.store.migrate import current, downgrade, migrate, newest
from tests.stores import reading

ROWS = {
    "transition": "('pay_1', 2, 'created', 'awaiting_consent', 'AskSubmitted', '', 1)",
    "consent": "('att_1', 'pay_1', 'csm_1', 'mer_1', 1, 'KES', 'sms', 'ask', 'mo_1', 'msg_1', '4821', 1, 1, NULL)",
    "entry": "('ent_1', 'attempt', 'att_1', 'capture', 'test', 'KES', 'pay_1', 1)",
    "leg": "('ent_1', 0, 'suspense', 0)",
    "ledger_seal": "(1, 'ent_1', 'a', 'b', 1, '')",
    "ledger_head": "(1, 'b', 1)",
    "fee_schedule": "('fee_1', 'standard', 1, '{}', 1)",
    "account_change": "('mer_1', 1, 'Asha', '1100', '', 'root', 1)",
    "event": "('mer_1', 'test', 1, 'evt_1', 'payment.created', 'pay_1', NULL, '{}', 1)",
    "mo": "('mo_1', 'acme', 'csm_1', NULL, '22345', '4821', 'confirm', 'pay_1', 1, 1)",
}


def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    with reading(database_url) as conn:
        assert current(conn) == newest()
        assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []


def test_the_migrations_go_back_and_forth(database_url: str) -> None:
    engine = connect(database_url)
    migrate(engine)
    downgrade(engine)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    migrate(engine)
    engine.dispose()


def test_accounts_of_before_they_were_kept_are_kept_without_a_name(database_url: str) -> None:
    engine = connect(database_url)
    downgrade(engine, "0016")
    with engine.begin() as conn:
        for merchant_id, account in (("mer_1", "1100"), ("mer_2", "")):
            values = f"('{merchant_id}', 'UTC', 0, '{{}}', 0, 0, 0, 'Asha', '{account}', '')"
            conn.execute(text(f"INSERT INTO merchant_terms VALUES {values}"))  # noqa: S608 - words of our own
    migrate(engine)
    with engine.connect() as conn:
        kept = conn.execute(text("SELECT * FROM account_change")).all()
    assert [tuple(row) for row in kept] == [("mer_1", 1, "Asha", "1100", "", "", 0)]
    engine.dispose()


def test_every_table_that_is_said_to_be_append_only_is_tried_here() -> None:
    assert set(ROWS) == set(tables.APPEND_ONLY)


@pytest.mark.parametrize("table", tables.APPEND_ONLY)
def test_what_has_happened_cannot_be_changed(database_url: str, table: str) -> None:
    engine = connect(database_url)
    with engine.begin() as conn:
        conn.execute(text(f"INSERT INTO {table} VALUES {ROWS[table]}"))  # noqa: S608 - names of our own
    column = tables.metadata.tables[table].columns.keys()[0]
    refused(engine, f"UPDATE {table} SET {column} = {column}")  # noqa: S608
    if table not in ("event", "mo"):
        refused(engine, f"DELETE FROM {table}")  # noqa: S608
        if engine.dialect.name == "postgresql":
            refused(engine, f"TRUNCATE {table}")
        empty(engine, table)
    engine.dispose()


def refused(engine: Engine, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as conn:
        conn.execute(text(statement))


def empty(engine: Engine, table: str) -> None:
    """Only whoever may change the schema can; the ledger of this database means nothing and is verified afterwards."""
    with engine.begin() as conn:
        if engine.dialect.name == "postgresql":
            conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        else:
            conn.execute(text(f"DROP TRIGGER {table}_no_delete"))
        conn.execute(text(f"DELETE FROM {table}"))  # noqa: S608


def test_one_process_at_a_time_may_serve_a_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with hold_alone(url), pytest.raises(DatabaseInUse, match="one process at a time"), hold_alone(url):
        pass
    with hold_alone(url):
        pass
