"""A store with two shops in it, half an hour after New Year."""

from collections.abc import Iterator

import pytest

from gateway.store.apply import Store
from tests.consumer.bench import Clock, add_shops
from tests.store.bench import POLICY, Odd, an_engine, applied


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        opened = Store(engine, POLICY, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened
