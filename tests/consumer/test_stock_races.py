"""Two processes on one PostgreSQL sell the same goods and hand out the same code: never one too many."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.store.apply import Store
from tests.consumer.bench import add_shops, texted
from tests.consumer.buying_bench import CODE, a_pay_code, an_item, sent, stock, uses
from tests.store.bench import Odd, a_store, an_engine, applied, rows

PROCESSES = 4
ORDERS_EACH = 8
STOCK = 11


def sells(url: str, first: int, words: str) -> list[str]:
    """What one process tells phones of its own that text *words*, four at once."""
    told: list[str] = []
    with a_store(url) as store:
        for n in range(0, ORDERS_EACH, 4):
            phones = [f"+25470{first + n + at:07d}" for at in range(4)]
            told += sent(applied(store, *(texted(words, phone) for phone in phones)))
    return told


def in_all_processes(url: str, words: str) -> list[str]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = pool.map(lambda n: sells(url, n * 1_000, words), range(PROCESSES))
        return [template for told in found for template in told]


def with_shops(store: Store) -> Store:
    applied(store, Odd(add_shops))
    return store


def test_parallel_orders_never_sell_more_than_there_is(postgres_url: str) -> None:
    with a_store(postgres_url) as store:
        sugar = an_item(with_shops(store), stock=STOCK)
        told = in_all_processes(postgres_url, "ASHA 12")
        assert sorted(told) == ["item_unavailable"] * (PROCESSES * ORDERS_EACH - STOCK) + ["pay_ask"] * STOCK
        assert stock(store, sugar) == 0
        [counted] = rows(postgres_url, "SELECT count(*) AS n FROM payment")
        assert counted.n == STOCK


def test_a_code_for_one_payment_makes_one_whoever_comes_at_once(postgres_url: str) -> None:
    with a_store(postgres_url) as store:
        ticket = a_pay_code(with_shops(store))
        told = in_all_processes(postgres_url, f"PAY {CODE}")
        assert sorted(told) == ["pay_ask"] + ["pay_code_gone"] * (PROCESSES * ORDERS_EACH - 1)
        assert uses(store, ticket) == 1


def test_the_database_itself_refuses_to_oversell(postgres_url: str) -> None:
    with a_store(postgres_url) as store:
        sugar = an_item(with_shops(store), stock=0)
    with an_engine(postgres_url) as engine, engine.connect() as conn, pytest.raises(IntegrityError, match="item_stock"):
        conn.execute(text("UPDATE item SET stock = stock - 1 WHERE id = :id"), {"id": sugar.id})
