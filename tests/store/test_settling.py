"""Settlement claims each entry once, when it is due, and moves exactly what it claimed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import msgspec
import pytest

from gateway.core.ids import first_id_at, made_at_ms
from gateway.core.payment import Capture, Fulfilled, GoodsReceived
from gateway.core.settling import Terms
from gateway.store.balances import TAIL_MS
from gateway.store.terms import Advanced, advanced
from gateway.store.unit import Needs, Unit
from tests.store.bench import Odd, a_captured_payment, applied, count, rows
from tests.store.refund_bench import refunded
from tests.store.settling_bench import (
    AT_ONCE,
    a_capture,
    a_store_later,
    available,
    remitted,
    settle,
    with_terms,
)
from tests.stores import reading

PRICE = 125_000
pytestmark = pytest.mark.money


def a_shop(url: str, *, payments: int = 2, terms: Terms = AT_ONCE) -> None:
    with a_store_later(url) as store:
        with_terms(store, terms)
        for n in range(1, payments + 1):
            a_capture(store, n)


def lines(url: str, settlement_id: str) -> dict[str, int]:
    found = rows(url, "SELECT part, amount_minor FROM settlement_line WHERE settlement_id = :id", id=settlement_id)
    return {row.part: row.amount_minor for row in found}


def test_what_was_captured_before_the_cut_off_is_settled_once(database_url: str) -> None:
    a_shop(database_url)
    with a_store_later(database_url) as today:
        assert settle(today) == []
    with a_store_later(database_url, days=1) as tomorrow:
        [settled] = settle(tomorrow)
        assert settle(tomorrow) == []
        assert available(tomorrow) == settled.net_minor == 2 * PRICE
    assert lines(database_url, settled.id) == {"gross": 2 * PRICE}
    assert count(database_url, "claim") == 2


def test_a_capture_waits_its_days(database_url: str) -> None:
    a_shop(database_url, payments=1, terms=msgspec.structs.replace(AT_ONCE, waits={"acme": 2, "*": 0}))
    with a_store_later(database_url, days=2) as early:
        assert settle(early) == []
    with a_store_later(database_url, days=3) as due:
        assert len(settle(due)) == 1


def test_without_terms_a_capture_waits_for_the_carriers_money(database_url: str) -> None:
    with a_store_later(database_url) as store:
        first, _ = a_capture(store, 1), a_capture(store, 2)
        remitted(store, first)
    with a_store_later(database_url, days=40) as later:
        [settled] = settle(later)
        assert settled.net_minor == PRICE
    with reading(database_url) as conn:
        assert advanced(conn) == []


def test_what_is_settled_before_the_carrier_pays_is_told_as_advanced(database_url: str) -> None:
    a_shop(database_url)
    with a_store_later(database_url, days=1) as tomorrow:
        settle(tomorrow)
    with reading(database_url) as conn:
        [told] = advanced(conn)
    assert (told.carrier, told.captures, told.amount_minor) == ("acme", 2, 2 * PRICE)


def test_what_left_escrow_before_the_carrier_pays_is_told_as_advanced(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store)
        payment = a_captured_payment(store, capture=Capture.ESCROW)

        def deliver(unit: Unit) -> None:
            unit.decide(payment.id, Fulfilled(at_ms=unit.now_ms))
            unit.decide(payment.id, GoodsReceived(at_ms=unit.now_ms, mo_id="mo_1"))

        applied(store, Odd(deliver, Needs(payment_ids=(payment.id,))))
    with a_store_later(database_url, days=1) as tomorrow:
        settle(tomorrow)
        with reading(database_url) as conn:
            assert advanced(conn) == [Advanced("acme", "test", "KES", 1, PRICE)]
        remitted(tomorrow, payment)
        with reading(database_url) as conn:
            assert advanced(conn) == []


def test_an_old_capture_that_comes_into_question_late_is_still_settled(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, waits={"*": None}))
        first, second = a_capture(store, 1), a_capture(store, 2)
        remitted(store, second)
    with a_store_later(database_url, days=2) as early:
        assert len(settle(early)) == 1
        remitted(early, first)
    with a_store_later(database_url, days=30) as late:
        assert [one.net_minor for one in settle(late)] == [PRICE]
        assert available(late) == 2 * PRICE


def test_a_part_is_kept_in_reserve_and_released_later(database_url: str) -> None:
    a_shop(database_url, terms=msgspec.structs.replace(AT_ONCE, reserve_bps=1_000, reserve_days=30))
    with a_store_later(database_url, days=1) as tomorrow:
        [settled] = settle(tomorrow)
        assert (settled.reserve_minor, available(tomorrow)) == (25_000, 225_000)
    with a_store_later(database_url, days=30.5) as early:
        settle(early)
        assert available(early) == 225_000
    with a_store_later(database_url, days=32) as due:
        settle(due)
        settle(due)
        assert available(due) == 250_000


def test_what_a_merchant_owes_is_carried(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store)
        payment = a_capture(store)
    with a_store_later(database_url, days=1) as tomorrow:
        settle(tomorrow)
        refunded(tomorrow, payment, 50_000)
    with a_store_later(database_url, days=2) as later:
        [settled] = settle(later)
        assert (settled.net_minor, settled.reserve_minor) == (-50_000, 0)
        assert available(later) == PRICE - 50_000
    assert lines(database_url, settled.id) == {"refunds": -50_000}


def test_a_capture_and_its_whole_refund_are_settled_without_an_entry(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store)
        refunded(store, a_capture(store), PRICE)
    with a_store_later(database_url, days=1) as tomorrow:
        [settled] = settle(tomorrow)
        assert settle(tomorrow) == []
    assert settled.net_minor == 0
    assert lines(database_url, settled.id) == {"gross": PRICE, "refunds": -PRICE}


def test_nothing_is_settled_beyond_the_day_asked_for(database_url: str) -> None:
    a_shop(database_url)
    with a_store_later(database_url, days=3) as later:
        assert settle(later, until=date(2020, 1, 1)) == []
        assert len(settle(later)) == 1


def test_of_two_settlers_at_once_one_finds_nothing(database_url: str) -> None:
    a_shop(database_url, payments=5)

    def run(_: int) -> int:
        with a_store_later(database_url, days=1) as store:
            return len(settle(store))

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, range(2))) == [0, 1]
    assert count(database_url, "claim") == 5


def test_what_was_claimed_is_not_looked_at_again(database_url: str) -> None:
    a_shop(database_url)
    with a_store_later(database_url, days=1) as tomorrow:
        settle(tomorrow)
    [mark] = rows(database_url, "SELECT entry_id FROM claim_mark")
    [newest] = rows(database_url, "SELECT max(id) AS id FROM entry WHERE kind = 'capture'")
    assert mark.entry_id == first_id_at("ent_", made_at_ms(newest.id) - TAIL_MS)
