"""A shop over each database, and (where the database does not matter) over SQLite only."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.merchants.shop import Shop, open_shop


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    async with open_shop(database_url) as opened:
        yield opened


@pytest.fixture
async def sqlite_shop(sqlite_url: str) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_url) as opened:
        yield opened


@pytest.fixture
def open_for_strangers(sqlite_url: str) -> Callable[[], AbstractAsyncContextManager[Shop]]:
    """A shop as in production: no webhooks to http or to this machine."""
    return lambda: open_shop(sqlite_url, development=False)
