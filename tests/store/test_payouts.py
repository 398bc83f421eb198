"""Payouts: out of what is available, approved by two, ended by the bank's word, blocked by what nobody knows."""

from typing import Any

import msgspec
import pytest

from gateway.core.payouts import TABLE, NotAllowed, PayoutState
from gateway.store.apply import Job, Store
from gateway.store.backup import distrust
from gateway.store.cases import resolve
from gateway.store.payout_doubts import Contradiction
from gateway.store.payouts import ApprovePayout, DraftPayouts, MovePayout, Payout
from tests.store.bench import Odd, applied, rows
from tests.store.refund_bench import refunded
from tests.store.settling_bench import (
    AT_ONCE,
    MERCHANT,
    a_capture,
    a_file,
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


def approval(payout: Payout, by: str) -> ApprovePayout:
    return ApprovePayout(payout_id=payout.id, by=by, account_end=payout.account[-4:])


def approved(store: Store, payout: Payout) -> None:
    for by in ("amina", "joseph"):
        did(store, approval(payout, by))


def submitted(store: Store, payout: Payout) -> Payout:
    approved(store, payout)
    [one] = did(store, a_file())
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
            store.apply([approval(payout, "Run ")])
        assert did(store, approval(payout, "amina")).state is PayoutState.DRAFT
        with pytest.raises(NotAllowed):
            store.apply([approval(payout, "AMINA")])
        assert did(store, approval(payout, "joseph")).state is PayoutState.APPROVED


def test_whoever_set_its_account_does_not_approve_it(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, account="1100"))
        with pytest.raises(NotAllowed, match="neither set its account"):
            store.apply([approval(payout, "SALES")])


@pytest.mark.parametrize("end", ["", "000", "3001", "DE89"])
def test_who_approves_says_where_it_goes(database_url: str, end: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        with pytest.raises(NotAllowed, match="of the account that it goes to"):
            store.apply([ApprovePayout(payout_id=payout.id, by="amina", account_end=end)])
        did(store, ApprovePayout(payout_id=payout.id, by="amina", account_end=payout.account))


def test_a_draft_keeps_its_account_when_the_merchants_changes(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, account="1100"))
        assert submitted(store, payout).account == AT_ONCE.account
    found = rows(database_url, "SELECT account, set_by FROM account_change ORDER BY n")
    assert [tuple(row) for row in found] == [(AT_ONCE.account, "sales"), ("1100", "sales")]


def test_the_same_account_again_is_no_change(database_url: str) -> None:
    a_draft(database_url)
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, minimum_minor=7))
    assert len(rows(database_url, "SELECT n FROM account_change")) == 1


def test_what_two_have_not_approved_is_not_submitted(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        did(store, approval(payout, "amina"))
        assert did(store, a_file()) == []


def test_without_its_file_nothing_is_submitted(database_url: str) -> None:
    payout = a_draft(database_url)

    def full_disk(payouts: list[Payout]) -> None:
        assert [(one.id, one.state) for one in payouts] == [(payout.id, PayoutState.SUBMITTED)]
        raise OSError("no space left")

    with a_store_later(database_url, days=1) as store:
        approved(store, payout)
        with pytest.raises(OSError, match="no space left"):
            store.apply([a_file(full_disk)])
        [row] = rows(database_url, "SELECT state, file_id FROM payout")
        assert (row.state, row.file_id) == ("approved", None)
        assert [one.id for one in did(store, a_file())] == [payout.id]


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
            store.apply([approval(payout, "third")])


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
        refunded(store, a_capture(store, 2), PRICE)
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


@pytest.mark.parametrize(("before", "then"), [("failed", "paid"), ("paid", "failed"), ("returned", "paid")])
def test_what_the_bank_says_two_ways_blocks_the_next(database_url: str, before: str, then: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        submitted(store, payout)
        word(store, payout, PayoutState(before))
        a_capture(store, 2)
    with a_store_later(database_url, days=2) as store:
        settle(store)
        [second] = drafted(store)
        approved(store, second)
        a_capture(store, 3)
        for _ in range(2):
            found = contradicted(store, payout, PayoutState(then))
            assert found.words == f"{payout.id} is {before}, which cannot become {then}; the bank says the bank"
        assert did(store, a_file()) == [], "what is approved waits"
    with a_store_later(database_url, days=3) as store:
        settle(store)
        assert drafted(store) == []
        [one] = rows(database_url, 'SELECT id, kind, amount_minor, currency FROM "break"')
        assert (one.kind, one.amount_minor, one.currency) == ("payout", PRICE, "KES")
        resolved(store, one.id)
        assert [paid.id for paid in did(store, a_file())] == [second.id]
        assert [paid.amount_minor for paid in drafted(store)] == [PRICE]


def contradicted(store: Store, payout: Payout, state: PayoutState, **more: Any) -> Contradiction:  # Any: as above.
    found = did(store, MovePayout(payout_id=payout.id, state=state, detail="the bank", **more))
    assert isinstance(found, Contradiction)
    return found


def resolved(store: Store, break_id: str) -> None:
    words = {"by": "asha", "note": "the bank has recalled it"}
    applied(store, Odd(lambda unit: resolve(unit.conn, "break", break_id, now_ms=unit.now_ms, **words)))


@pytest.mark.parametrize(("before", "then"), [("failed", "returned"), ("returned", "failed")])
def test_money_that_is_back_either_way_contradicts_nothing(database_url: str, before: str, then: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        submitted(store, payout)
        word(store, payout, PayoutState(before))
        assert word(store, payout, PayoutState(then)).state == before
        assert len(drafted(store)) == 1


def test_an_old_report_read_once_more_contradicts_nothing(database_url: str) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        submitted(store, payout)
        told = [word(store, payout, PayoutState(state)).state for state in ("paid", "returned", "paid")]
        assert told == ["paid", "returned", "returned"]
        with pytest.raises(NotAllowed):
            store.apply([MovePayout(payout_id=payout.id, state=PayoutState.UNKNOWN, detail="PDNG")])
        assert len(drafted(store)) == 1
    assert rows(database_url, 'SELECT id FROM "break"') == []


@pytest.mark.parametrize(
    "more",
    [{"amount_minor": 1, "currency": "KES"}, {"amount_minor": PRICE, "currency": "USD"}, {"file_id": "pof_other"}],
)
def test_a_word_about_something_else_is_a_break(database_url: str, more: dict[str, Any]) -> None:
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        submitted(store, payout)
        contradicted(store, payout, PayoutState.PAID, **more)
    assert rows(database_url, "SELECT state FROM payout")[0].state == "submitted"
    assert rows(database_url, 'SELECT kind FROM "break"')[0].kind == "payout"


def test_every_step_that_is_not_in_the_table_is_refused(sqlite_url: str) -> None:
    payout = a_draft(sqlite_url)
    with a_store_later(sqlite_url, days=1) as store:
        by_other_jobs = {PayoutState.DRAFT, PayoutState.APPROVED, PayoutState.SUBMITTED}
        for state in set(PayoutState) - TABLE[PayoutState.DRAFT] - by_other_jobs - {PayoutState.UNKNOWN}:
            contradicted(store, payout, state)
    assert rows(sqlite_url, "SELECT state FROM payout")[0].state == "draft"


def restored(url: str) -> bool:
    """Say of this database that it is a backup that was restored."""
    with a_store_later(url, days=1) as store:
        return bool(did(store, Odd(lambda unit: distrust(unit.conn, unit.now_ms))).has_payouts)


def compared(store: Store, url: str) -> None:
    [case] = rows(url, "SELECT id, detail FROM \"break\" WHERE kind = 'payout' AND resolved_at_ms IS NULL")
    assert case.detail.startswith("restored: what banks have been told to pay since the backup is not known here")
    words = {"by": "amina", "note": "the bank has paid nothing since"}
    did(store, Odd(lambda unit: resolve(unit.conn, "break", case.id, now_ms=unit.now_ms, **words)))


def test_what_was_approved_in_a_backup_is_not_handed_over_once_more(database_url: str) -> None:
    """It may have been, after the backup was made."""
    payout = a_draft(database_url)
    with a_store_later(database_url, days=1) as store:
        approved(store, payout)
    assert restored(database_url)
    with a_store_later(database_url, days=1) as store:
        assert did(store, a_file()) == []
        compared(store, database_url)
        [one] = did(store, a_file())
        assert one.id == payout.id


def test_what_was_not_drafted_in_a_backup_is_not_drafted_once_more(database_url: str) -> None:
    """Nor what was not even settled."""
    with a_store_later(database_url) as store:
        with_terms(store)
        a_capture(store)
    assert restored(database_url)
    with a_store_later(database_url, days=1) as store:
        [settled] = settle(store)
        assert (settled.net_minor, drafted(store)) == (PRICE, [])
        compared(store, database_url)
        assert [one.amount_minor for one in drafted(store)] == [PRICE]


def test_a_backup_of_who_never_pays_anybody_is_no_break_about_payouts(database_url: str) -> None:
    with a_store_later(database_url) as store:
        with_terms(store, msgspec.structs.replace(AT_ONCE, account="", account_name="", bic=""))
        a_capture(store)
    assert not restored(database_url)
    assert rows(database_url, 'SELECT id FROM "break"') == []
