"""What every test may ask for.

One PostgreSQL serves the whole run, shared by all xdist workers; it starts when the first test asks and is stopped by
the process that the user started. Databases and folders of tests are in memory where it has room.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.memory import memory
from tests.postgres import PostgresServer, postgres_run, server_in
from tests.search import SAID, listening, printed_into
from tests.stores import check_left, migrated_postgres, migrated_sqlite, sqlite_copy

START_PROCESSES = ("journeys", "cli")
"""Folders whose tests start processes of their own, many at a time."""
POSTGRES_FOLDER = pytest.StashKey[Path]()
AT_THE_END = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    shared: str | None = getattr(config, "workerinput", {}).get("postgres_folder")
    room = memory()
    if room is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(room))  # Where `tmp_path` begins; pytest's own name for it.
    stack = ExitStack()
    config.stash[AT_THE_END] = stack
    config.stash[POSTGRES_FOLDER] = Path(shared) if shared else stack.enter_context(postgres_run(room))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that start processes among all others: at the same time they would keep each other waiting."""
    sizes = Counter(item.path for item in items)
    busy = [path for path in sizes if path.parent.name in START_PROCESSES]
    places = {path: (n + 0.5) / len(busy) for n, path in enumerate(busy)}
    others, before = len(items) - sum(sizes[path] for path in busy), 0
    for path in sizes:
        if path not in places:
            places[path] = before / others
            before += sizes[path]
    items.sort(key=lambda item: (places[item.path], item.path))


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
def perhaps_pins(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What people type while a test runs. Tests have parameters called `typed`, which must not stand in its place."""
    SAID.clear()  # Of tests whose database nobody looks at.
    return listening(monkeypatch)


@pytest.fixture
def sqlite_url(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path, perhaps_pins: set[str]
) -> Iterator[str]:
    """A migrated SQLite file; when the test is over its ledger is verified and nothing secret lies about."""
    url = sqlite_copy(sqlite_template, tmp_path)
    yield url
    look_at(url, request, tmp_path, perhaps_pins)


@pytest.fixture
def postgres_url(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    postgres_template: str,
    tmp_path: Path,
    perhaps_pins: set[str],
) -> Iterator[str]:
    """A migrated PostgreSQL database; when the test is over it is looked at like SQLite's."""
    url = postgres_server.clone_database(postgres_template)
    yield url
    look_at(url, request, tmp_path, perhaps_pins)
    postgres_server.drop_database(url)


def look_at(url: str, request: pytest.FixtureRequest, folder: Path, perhaps_pins: set[str]) -> None:
    """At the end of a test: *folder* is where it may have printed to."""
    said = [*printed_into(folder), *SAID]
    SAID.clear()
    is_about_money = request.node.get_closest_marker("money") is not None
    may_leak = request.node.get_closest_marker("plants") is not None
    check_left(url, must_have_posted=is_about_money, printed=said, typed=perhaps_pins, may_leak=may_leak)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of each kind in turn."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url
