"""A house on each database for every journey."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.world import World
from tests.journeys.house import House, house, hurry
from tests.journeys.pair import Pair, two_processes
from tests.journeys.processes import Nursery, nursery

LONGEST = "test_a_frozen_owner_charges_nobody_twice_and_starts_nothing_when_it_thaws"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the test that waits for a minute and needs no processor for it: last, it would wait all alone."""
    items.sort(key=lambda item: item.name != LONGEST)


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database_url, tmp_path / "journal") as opened:
        yield opened


@pytest.fixture
async def called_back(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose biller calls about charges."""
    async with house(database_url, tmp_path / "journal", called_back=True) as opened:
        yield opened


@pytest.fixture
async def without_holds(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose biller sets no money aside: a capture is a charge."""

    def biller(world: World) -> dict[str, Any]:  # Any: settings of a biller.
        return {**hurry(world)["biller"], "holds": False}

    async with house(database_url, tmp_path / "journal", biller=biller) as opened:
        yield opened


@pytest.fixture(scope="session")
def processes() -> Iterator[Nursery]:
    """Starts gateways as processes of their own, quickly."""
    with nursery() as opened:
        yield opened


@pytest.fixture
async def pair(postgres_url: str, tmp_path: Path, processes: Nursery) -> AsyncIterator[Pair]:
    """Two gateway processes on one PostgreSQL."""
    async with two_processes(postgres_url, tmp_path, processes) as opened:
        yield opened
