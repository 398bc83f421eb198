"""What a merchant sells, held against the country's rules before a phone is asked."""

import json
from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from sqlalchemy import update

from gateway.core.caps import Terms
from gateway.core.country import COUNTRIES
from gateway.engine.merchant_jobs import Answer, Problem
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.unit import Needs, Unit
from tests.store.bench import POLICY, SIMULATED, Odd, a_create, a_store, applied, count


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    terms = {"acme": Terms(country=COUNTRIES["eu_telecom"])}
    with a_store(database_url, replace(POLICY, terms=terms)) as opened:
        yield opened


def asked(store: Store, key: str, goods: str, carrier: str = "acme") -> str:
    """The problem, the reason, or `asked`."""
    batch = applied(store, a_create(key, goods=goods, carrier=carrier))
    result = batch.applied[0].result
    if isinstance(result, Problem):
        return result.code
    assert isinstance(result, Answer)
    [ask] = batch.rows
    assert json.loads(result.body)["status"] == "pending"  # As to every phone: the answer is no oracle.
    return "unavailable" if ask.body["stopped"] else "asked"


def test_what_is_not_sold_on_a_phones_bill_is_refused_and_leaves_nothing(store: Store, database_url: str) -> None:
    assert asked(store, "k-1", "physical") == "goods_not_allowed"
    assert (count(database_url, "payment"), count(database_url, "outbox")) == (0, 0)
    assert asked(store, "k-2", "physical", carrier="other") == "asked"  # Its country has no such rule.


def test_what_everybody_may_buy_is_asked_for(store: Store) -> None:
    for goods in ("", "digital", "tickets", "charity"):
        assert asked(store, f"k-{goods}", goods) == "asked"


def test_what_adults_buy_is_asked_of_those_who_are_known_to_be_of_age(store: Store) -> None:
    assert asked(store, "k-1", "adult") == "unavailable"

    def grow_up(unit: Unit) -> None:
        same = tables.consumer.c.id == unit.consumer(SIMULATED).id
        unit.conn.execute(update(tables.consumer).where(same).values(of_age_at_ms=unit.now_ms))

    applied(store, Odd(grow_up, wants=Needs(phones=(SIMULATED,))))
    assert asked(store, "k-2", "adult") == "asked"
    # Whatever else is written of the phone leaves it.
    applied(store, Odd(lambda unit: unit.touch(unit.consumer(SIMULATED)), wants=Needs(phones=(SIMULATED,))))
    assert asked(store, "k-3", "gambling") == "asked"
