"""No test opens a store behind the back of the look that is taken at its ledger afterwards, and that look bites."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.store.engine import begin_write
from tests.house.tree import ROOT, modules, place
from tests.postgres import PostgresServer
from tests.store.bench import a_captured_payment, a_store, an_engine, without_guards
from tests.stores import check_left, sqlite_copy

# The fixtures that verify, and tests about the databases themselves.
MAY_MAKE_DATABASES = (
    *("tests/conftest.py", "tests/stores.py", "tests/postgres.py", "tests/house/", "tests/engine/test_notify.py"),
    "tests/journeys/test_restore.py",  # Verifies what it restores by itself.
    "tests/journeys/test_leaks.py",  # Plants what the look would find.
    "tests/store/test_plans.py",  # Fills tables with rows that belong to nothing.
)
MAKERS = frozenset({"sqlite_copy", "migrated_sqlite", "migrated_postgres", "create_database", "clone_database"})


def test_every_store_is_verified_when_its_test_is_over() -> None:
    made = [
        place(path, node.lineno)
        for path, module in modules(ROOT, ("tests",))
        if not str(path.relative_to(ROOT)).startswith(MAY_MAKE_DATABASES)
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and _name(node.func) in MAKERS
    ]
    assert made == [], "ask for database_url, sqlite_url or postgres_url instead"


def _name(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


@pytest.fixture(params=["sqlite", "postgresql"])
def unwatched_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that nobody looks at when the test is over."""
    if request.param == "sqlite":
        return sqlite_copy(request.getfixturevalue("sqlite_template"), tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.clone_database(request.getfixturevalue("postgres_template"))


def test_a_test_about_money_must_have_posted_something(unwatched_url: str) -> None:
    check_left(unwatched_url, must_have_posted=False)
    with pytest.raises(AssertionError, match="posted nothing"):
        check_left(unwatched_url, must_have_posted=True)
    with a_store(unwatched_url) as store:
        a_captured_payment(store)
    check_left(unwatched_url, must_have_posted=True)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE leg SET amount_minor = amount_minor + 1 WHERE n = 0", "entry does not sum to zero"),
        ("DELETE FROM entry", "leg without entry"),
        ("DELETE FROM consent", "charge without a consent"),
    ],
)
def test_books_that_are_wrong_fail_whatever_test_left_them(unwatched_url: str, statement: str, complaint: str) -> None:
    with a_store(unwatched_url) as store:
        a_captured_payment(store)
    with an_engine(unwatched_url) as engine, begin_write(engine) as conn:
        without_guards(conn)
        assert conn.execute(text(statement)).rowcount > 0
    for must_have_posted in (False, True):
        with pytest.raises(AssertionError, match=complaint):
            check_left(unwatched_url, must_have_posted=must_have_posted)


CARELESS = """
import pytest
from sqlalchemy import text
from gateway.store.engine import begin_write
from tests.store.bench import a_captured_payment, a_store, an_engine, without_guards

def test_quiet(sqlite_url):
    pass

@pytest.mark.money
def test_paying(sqlite_url):
    with a_store(sqlite_url) as store:
        a_captured_payment(store)

@pytest.mark.money
def test_lazy(sqlite_url):
    pass

def test_thieving(sqlite_url):
    with a_store(sqlite_url) as store:
        a_captured_payment(store)
    with an_engine(sqlite_url) as engine, begin_write(engine) as conn:
        without_guards(conn)
        conn.execute(text("UPDATE leg SET amount_minor = amount_minor * 2 WHERE n = 0"))

def leak(url):
    with a_store(url) as store:
        a_captured_payment(store)
    with an_engine(url) as engine, begin_write(engine) as conn:
        row = "SELECT 'trc_1', 'acme', 'submit_sm', 'to ' || msisdn, 1 FROM consumer"
        conn.execute(text(f"INSERT INTO trace (id, carrier, kind, body, at_ms) {row}"))

def test_leaking(sqlite_url):
    leak(sqlite_url)

@pytest.mark.plants
def test_planting(sqlite_url):
    leak(sqlite_url)
"""


def test_the_fixtures_take_that_look(tmp_path: Path) -> None:
    careless = tmp_path / "test_careless.py"
    careless.write_text(CARELESS, encoding="utf-8")
    options = ("-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml")
    ran = subprocess.run(
        (sys.executable, "-m", "pytest", *options, "--basetemp", tmp_path / "inner", careless),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = sorted(
        line.rpartition("::")[2].split()[0] for line in ran.stdout.splitlines() if line.startswith("ERROR ")
    )
    assert errors == ["test_lazy", "test_leaking", "test_thieving"], ran.stdout
    assert "6 passed, 3 errors" in ran.stdout
