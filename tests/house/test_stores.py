"""No test opens a store behind the back of the look that is taken at its ledger afterwards."""

import ast

from tests.house.tree import ROOT, modules, place

# The fixtures that verify, and tests about the databases themselves.
MAY_MAKE_DATABASES = (
    *("tests/conftest.py", "tests/stores.py", "tests/postgres.py", "tests/house/", "tests/engine/test_notify.py"),
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
