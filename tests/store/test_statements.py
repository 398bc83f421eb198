"""Statements: each leg of `available` stands on one, each opens with what the one before it closed with."""

import itertools
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.core.ledger import merchant_available
from gateway.core.payment import Payment
from gateway.core.payouts import TABLE, PayoutState
from gateway.core.settling import Terms
from gateway.store.apply import Store
from gateway.store.balances import balances
from gateway.store.engine import connect
from gateway.store.merchant_reads import Owner
from gateway.store.payouts import DraftPayouts
from gateway.store.settling import SettleMerchant
from gateway.store.statements import Statement, payouts, statements
from gateway.store.terms import write_terms
from tests.store.bench import POLICY, Odd, a_captured_payment, applied
from tests.store.refund_bench import a_refund
from tests.store.settling_bench import (
    AT_ONCE,
    DAY_MS,
    MERCHANT,
    a_capture,
    a_file,
    a_store_later,
    available,
    settle,
    with_terms,
)
from tests.store.test_payouts import PRICE, approved, drafted, submitted, word
from tests.stores import reading

T = TypeVar("T")
pytestmark = pytest.mark.money


def told(url: str) -> list[Statement]:
    """Oldest first."""
    with reading(url) as conn:
        return statements(conn, Owner(MERCHANT, "test"), limit=1_000, older_than=None)[::-1]


def test_a_payout_stands_where_it_was_drafted_and_where_it_failed(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store)
        a_capture(store)
    with a_store_later(database_url, days=1) as store:
        settle(store)
        [payout] = drafted(store)
        submitted(store, payout)
        a_capture(store, 2)
    with a_store_later(database_url, days=2) as store:
        settle(store)
        word(store, payout, PayoutState.FAILED)
        [second] = drafted(store)
        word(store, second, PayoutState.CANCELLED)
        assert available(store) == 2 * PRICE
    first, last = told(database_url)
    assert first.lines == (("opening", 0), ("gross", PRICE), ("payouts", -PRICE))
    assert last.lines == (
        *(("opening", 0), ("gross", PRICE)),
        *(("payouts", -2 * PRICE), ("payouts_failed", 3 * PRICE)),
    )
    assert (first.payout_ids, last.payout_ids) == ((payout.id,), (payout.id, second.id))
    assert last.closing_minor == 2 * PRICE


def test_a_reserve_that_is_released_without_a_settlement_is_told(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, reserve_bps=1_000, reserve_days=3, minimum_minor=120_000))
        a_capture(store)
    with a_store_later(database_url, days=1) as store:
        settle(store)
        assert drafted(store) == []
    with a_store_later(database_url, days=5) as store:
        assert settle(store) == []
        assert [one.amount_minor for one in drafted(store)] == [PRICE]
    [only] = told(database_url)
    assert only.lines == (
        *(("opening", 0), ("gross", PRICE), ("reserve", -12_500)),
        *(("reserve_released", 12_500), ("payouts", -PRICE)),
    )


class Books:
    """A merchant of its own in a store whose days pass; each act does what chance says, if it can."""

    numbers = itertools.count(1)

    def __init__(self, url: str, terms: Terms) -> None:
        self.merchant_id = f"mer_walk{next(self.numbers)}"
        self._engine = connect(url)
        self._days = 0
        self._store = Store(self._engine, POLICY, clock_offset_ms=lambda: self._days * DAY_MS)
        self._not_refunded: list[Payment] = []
        applied(self._store, Odd(lambda unit: write_terms(unit.conn, self.merchant_id, terms, by="sales")))

    def capture(self, _: int) -> None:
        n = next(self.numbers)
        payment = a_captured_payment(
            self._store, f"walk-{n}", merchant_id=self.merchant_id, msisdn=f"+2547100{n:05d}", carrier="acme"
        )
        self._not_refunded.append(payment)

    def refund(self, n: int) -> None:
        if self._not_refunded:
            payment = self._not_refunded.pop()
            amount_minor = PRICE * (n % 10 + 1) // 10
            applied(self._store, a_refund(payment.id, amount_minor, f"r-{payment.id}", merchant_id=self.merchant_id))

    def settle(self, n: int) -> None:
        self._days += n % 4
        applied(self._store, SettleMerchant(merchant_id=self.merchant_id))

    def draft(self, _: int) -> None:
        applied(self._store, DraftPayouts(merchant_id=self.merchant_id, by="run"))

    def move(self, n: int) -> None:
        """One payout a step on, as the table allows."""
        movable = [one for one in self._read(payouts) if TABLE[one.state]]
        if not movable:
            return
        payout = movable[n % len(movable)]
        ways = sorted(TABLE[payout.state])
        after = ways[n // 10 % len(ways)]
        if after is PayoutState.APPROVED:
            approved(self._store, payout)
        elif after is PayoutState.SUBMITTED:
            applied(self._store, a_file())
        else:
            word(self._store, payout, after)

    def check(self) -> None:
        chain = self._read(statements)[::-1]
        ends = [0, *(one.closing_minor for one in chain)]
        assert [dict(one.lines)["opening"] for one in chain] == ends[:-1]
        assert [sum(amount_minor for _, amount_minor in one.lines) for one in chain] == ends[1:]
        with self._engine.connect() as conn:
            left = balances(conn, [merchant_available(self.merchant_id)], "test")
        assert ends[-1] == -sum(one.amount_minor for one in left)
        self._engine.dispose()

    def _read(self, read: Callable[..., list[T]]) -> list[T]:
        with self._engine.connect() as conn:
            return read(conn, Owner(self.merchant_id, "test"), limit=1_000, older_than=None)


ACTS = st.tuples(st.sampled_from(["capture", "refund", "settle", "draft", "move", "move"]), st.integers(0, 99))
TERMS = st.builds(
    Terms,
    waits=st.just({"*": 0}),
    account_name=st.just("Asha"),
    account=st.just("1100"),
    reserve_bps=st.sampled_from([0, 1_000]),
    reserve_days=st.integers(0, 4),
    minimum_minor=st.sampled_from([0, 2 * PRICE]),
)


def test_whatever_happens_statements_join_and_end_with_what_is_available(database_url: str) -> None:
    # Each act is a commit or more, so a failing walk is told as it is and not made shorter.
    @settings(
        max_examples=8,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(terms=TERMS, acts=st.lists(ACTS, min_size=20, max_size=40))
    def walk(terms: Terms, acts: list[tuple[str, int]]) -> None:
        books = Books(database_url, terms)
        for act, n in [("capture", 0), *acts]:
            getattr(books, act)(n)
        books.check()

    walk()
