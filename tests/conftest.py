"""What every test may ask for.

One PostgreSQL serves the whole run, shared by all xdist workers; it starts when the first test asks and is stopped by
the process that the user started.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import PostgresServer, postgres_run, server_in
from tests.stores import check_ledger, migrated_postgres, migrated_sqlite, sqlite_copy

POSTGRES_FOLDER = pytest.StashKey[Path]()
AT_THE_END = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    shared: str | None = getattr(config, "workerinput", {}).get("postgres_folder")
    stack = ExitStack()
    config.stash[AT_THE_END] = stack
    config.stash[POSTGRES_FOLDER] = Path(shared) if shared else stack.enter_context(postgres_run())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # xdist publishes no type for its worker controller.
    node.workerinput["postgres_folder"] = str(node.config.stash[POSTGRES_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[AT_THE_END].close()


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> PostgresServer:
    """A running PostgreSQL: ``create_database()`` and ``clone_database(template)`` give URLs."""
    return server_in(pytestconfig.stash[POSTGRES_FOLDER])


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    return migrated_postgres(postgres_server)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> Iterator[str]:
    """A migrated SQLite file; when the test is over its ledger is verified."""
    url = sqlite_copy(sqlite_template, tmp_path)
    yield url
    check_ledger(url, must_have_posted=is_about_money(request))


@pytest.fixture
def postgres_url(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, postgres_template: str
) -> Iterator[str]:
    """A migrated PostgreSQL database; when the test is over its ledger is verified."""
    url = postgres_server.clone_database(postgres_template)
    yield url
    check_ledger(url, must_have_posted=is_about_money(request))
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of each kind in turn."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


def is_about_money(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("money") is not None
