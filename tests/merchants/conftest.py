"""A shop over each database, and (where the database does not matter) over SQLite only; the port on both loops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import pytest
import uvloop

from merchants.webhooks import WebhookExecutor
from simulators.journal import Journals
from simulators.merchant import Merchant
from tests.merchants.shop import Shop, open_shop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of the port hold on uvloop too, the loop of production, which reads and accepts in other turns."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.stem == "test_server" else {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    async with open_shop(database_url) as opened:
        yield opened


@pytest.fixture
async def sqlite_shop(sqlite_url: str) -> AsyncIterator[Shop]:
    async with open_shop(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def sink() -> AsyncIterator[Merchant]:
    """The simulators' merchant: it verifies with a library that is not ours."""
    merchant = Merchant(Journals(None).merchant)
    await merchant.start()
    yield merchant
    await merchant.stop()


@pytest.fixture
async def executor(shop: Shop) -> AsyncIterator[WebhookExecutor]:
    made = WebhookExecutor(shop.reads, concurrency=4, development=True, timeout_s=0.3)
    yield made
    await made.close()


@pytest.fixture
def open_for_strangers(sqlite_url: str) -> Callable[[], AbstractAsyncContextManager[Shop]]:
    """A shop as in production: no webhooks to http or to this machine."""
    return lambda: open_shop(sqlite_url, development=False)
