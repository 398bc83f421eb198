"""Payouts: out of what is available, approved by two, ended by the bank's word, blocked by what nobody knows."""

from typing import Any

import msgspec
import pytest

from gateway.core.payouts import TABLE, NotAllowed, PayoutState
from gateway.store.apply import Job, Store
from gateway.store.payouts import ApprovePayout, DraftPayouts, MovePayout, Payout, SubmitPayouts
from tests.store.bench import applied, rows
from tests.store.settling_bench import (
    AT_ONCE,
    MERCHANT,
    a_capture,
    a_refund,
    a_store_later,
    available,
    settle,
    with_terms,
)

PRICE = 125_000
pytestmark = pytest.mark.money


def did(store: Store, job: Job) -> Any:  # Any: what the job gives.
    return applied(store, job).applied[0].result


def drafted(store: Store) -> list[Payout]:
    return list(did(store, DraftPayouts(merchant_id=MERCHANT, by="run")))


def a_draft(url: str, **terms: Any) -> Payout:  # Any: fields of the terms.
    with a_store_later(url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, **terms))
        a_capture(store)
    with a_store_later(url, days=1) as store:
        settle(store)
        [payout] = drafted(store)
    return payout


def approved(store: Store, payout: Payout) -> None:
    for by in ("amina", "joseph"):
        did(store, ApprovePayout(payout_id=payout.id, by=by))


def submitted(store: Store, payout: Payout) -> Payout:
    approved(store, payout)
    [one] = did(store, SubmitPayouts(mode="test", currency="KES", bank="main", payouts_max=10))
    assert isinstance(one, Payout)
    return one


def word(store: Store, payout: Payout, state: PayoutState, **more: Any) -> Payout:  # Any: fields of the job.
    found = did(store, MovePayout(payout_id=payout.id, state=state, detail="the bank", **more))
    assert isinstance(found, Payout)
    return found


def events(url: str) -> list[str]:
    return [row.type for row in rows(url, "SELECT type FROM event WHERE type LIKE 'payout%' ORDER BY seq")]


def test_what_is_available_is_drafted_once(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        assert (payout.amount_minor, payout.state) == (PRICE, PayoutState.DRAFT)
        assert drafted(store) == []
        assert available(store) == 0
    assert events(database_url) == ["payout.created"]


def test_it_takes_two_people_and_neither_the_drafter(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        with pytest.raises(NotAllowed):
            store.apply([ApprovePayout(payout_id=payout.id, by="Run ")])
        assert did(store, ApprovePayout(payout_id=payout.id, by="amina")).state is PayoutState.DRAFT
        with pytest.raises(NotAllowed):
            store.apply([ApprovePayout(payout_id=payout.id, by="AMINA")])
        assert did(store, ApprovePayout(payout_id=payout.id, by="joseph")).state is PayoutState.APPROVED


def test_what_two_have_not_approved_is_not_submitted(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        did(store, ApprovePayout(payout_id=payout.id, by="amina"))
        assert did(store, SubmitPayouts(mode="test", currency="KES", bank="main", payouts_max=10)) == []


def test_a_paid_payout_leaves_the_bank_account(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        word(store, submitted(store, payout), PayoutState.PAID)
        word(store, payout, PayoutState.PAID)
        assert drafted(store) == []
    [bank] = rows(database_url, "SELECT sum(amount_minor) AS n FROM leg WHERE account = 'bank:main'")
    assert bank.n == -PRICE
    assert events(database_url) == ["payout.created", "payout.paid"]


@pytest.mark.parametrize("path", [("failed",), ("returned",), ("paid", "returned"), ("unknown", "failed")])
def test_what_comes_back_is_available_and_paid_once_more(database_url: str, path: tuple[str, ...]) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        submitted(store, payout)
        for state in path:
            word(store, payout, PayoutState(state))
        assert available(store) == PRICE
        [second] = drafted(store)
        assert (second.amount_minor, second.id != payout.id) == (PRICE, True)
    [bank] = rows(database_url, "SELECT coalesce(sum(amount_minor), 0) AS n FROM leg WHERE account = 'bank:main'")
    assert bank.n == 0


def test_a_cancelled_payout_is_available_again(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        approved(store, payout)
        word(store, payout, PayoutState.CANCELLED)
        assert available(store) == PRICE
        with pytest.raises(NotAllowed):
            store.apply([ApprovePayout(payout_id=payout.id, by="third")])


def test_an_unknown_payout_blocks_the_next(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        word(store, submitted(store, payout), PayoutState.UNKNOWN)
        a_capture(store, 2)
    with a_store_later(database_url, days=2) as store:
        settle(store)
        assert drafted(store) == []
        word(store, payout, PayoutState.PAID)
        assert [one.amount_minor for one in drafted(store)] == [PRICE]


def test_less_than_the_minimum_is_carried(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, minimum_minor=PRICE + 1))
        a_capture(store)
    with a_store_later(database_url, days=1) as store:
        settle(store)
        assert drafted(store) == []
        a_capture(store, 2)
    with a_store_later(database_url, days=2) as store:
        settle(store)
        assert [one.amount_minor for one in drafted(store)] == [2 * PRICE]


def test_what_a_merchant_owes_is_never_paid_out(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        word(store, submitted(store, payout), PayoutState.PAID)
        a_refund(store, a_capture(store, 2), PRICE)
        a_capture(store, 3)
    with a_store_later(database_url, days=2) as store:
        settle(store)
        assert [one.amount_minor for one in drafted(store)] == [PRICE]
        assert available(store) == 0


def test_without_an_account_nothing_is_paid_out(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, account=""))
        a_capture(store)
    with a_store_later(database_url, days=1) as store:
        settle(store)
        assert drafted(store) == []


@pytest.mark.parametrize("more", [{"amount_minor": 1}, {"file_id": "pof_other"}])
def test_a_word_about_something_else_is_refused(database_url: str, more: dict[str, Any]) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        submitted(store, payout)
        with pytest.raises(NotAllowed):
            store.apply([MovePayout(payout_id=payout.id, state=PayoutState.PAID, detail="", **more)])


def test_every_step_that_is_not_in_the_table_is_refused(sqlite_url: str) -> None:
    payout = a_draft(sqlite_url)
    with a_store_later(sqlite_url, days=1) as store:
        by_other_jobs = {PayoutState.DRAFT, PayoutState.APPROVED, PayoutState.SUBMITTED}
        for state in set(PayoutState) - TABLE[PayoutState.DRAFT] - by_other_jobs:
            with pytest.raises(NotAllowed):
                store.apply([MovePayout(payout_id=payout.id, state=state, detail="")])
