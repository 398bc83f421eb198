"""A shop over each database, and (where the database does not matter) over SQLite only."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.merchants.shop import Shop, open_shop
from tests.stores import sqlite_copy


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    async with open_shop(database_url) as opened:
        yield opened


@pytest.fixture
async def sqlite_shop(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_copy(sqlite_template, tmp_path)) as opened:
        yield opened


@pytest.fixture
def open_for_strangers(sqlite_template: Path, tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Shop]]:
    """A shop as in production: no webhooks to http or to this machine."""
    return lambda: open_shop(sqlite_copy(sqlite_template, tmp_path), development=False)
