"""Ledger entries: balanced, in one currency, on the accounts that the postings table names."""

from collections import Counter
from collections.abc import Iterable

import pytest

from gateway.core.ledger import SUSPENSE, Entry, Leg, carrier_receivable, entry, merchant_pending
from gateway.core.money import Money
from gateway.core.payment import EntryKind, State
from tests.core.factories import a_payment

RECEIVABLE = carrier_receivable("acme")
MERCHANT = merchant_pending("mer_1")
GROSS = 125_000


def _balances(entries: Iterable[Entry]) -> dict[str, int]:
    balances: Counter[str] = Counter()
    for posting in entries:
        for leg in posting.legs:
            balances[leg.account] += leg.amount_minor
    return {account: amount for account, amount in balances.items() if amount}


@pytest.mark.parametrize(
    ("kind", "legs"),
    [
        (EntryKind.CAPTURE, (Leg("carrier:acme:receivable", GROSS), Leg("merchant:mer_1:pending", -GROSS))),
        (EntryKind.LATE_CHARGE, (Leg("carrier:acme:receivable", GROSS), Leg("suspense", -GROSS))),
        (EntryKind.REVERSAL, (Leg("suspense", GROSS), Leg("carrier:acme:receivable", -GROSS))),
        (EntryKind.CLAWBACK, (Leg("merchant:mer_1:pending", GROSS), Leg("carrier:acme:receivable", -GROSS))),
    ],
)
def test_an_entry_debits_and_credits_the_accounts_of_its_kind(kind: EntryKind, legs: tuple[Leg, ...]) -> None:
    assert entry(a_payment(State.CAPTURED), kind, "att_1").legs == legs


@pytest.mark.parametrize("kind", EntryKind)
@pytest.mark.parametrize("amount_minor", [1, 99, 10**12])
def test_every_entry_sums_to_zero_and_moves_the_whole_amount(kind: EntryKind, amount_minor: int) -> None:
    posting = entry(a_payment(amount=Money(amount_minor, "UGX")), kind, "att_1")
    assert sum(leg.amount_minor for leg in posting.legs) == 0
    assert {abs(leg.amount_minor) for leg in posting.legs} == {amount_minor}
    assert len({leg.account for leg in posting.legs}) == 2
    assert posting.currency == "UGX"


def test_an_entry_names_its_source_its_payment_and_its_mode() -> None:
    posting = entry(a_payment(mode="live"), EntryKind.CAPTURE, "att_7")
    assert (posting.source_type, posting.source_id, posting.kind) == ("attempt", "att_7", EntryKind.CAPTURE)
    assert (posting.payment_id, posting.mode) == ("pay_1", "live")


def test_a_late_charge_and_its_reversal_leave_nothing_behind() -> None:
    payment = a_payment(State.ENDED)
    late = entry(payment, EntryKind.LATE_CHARGE, "att_1")
    assert _balances([late]) == {RECEIVABLE: GROSS, SUSPENSE: -GROSS}
    assert _balances([late, entry(payment, EntryKind.REVERSAL, "att_1")]) == {}


def test_a_capture_that_the_carrier_takes_back_leaves_nothing_behind() -> None:
    payment = a_payment(State.CAPTURED)
    capture = entry(payment, EntryKind.CAPTURE, "att_1")
    assert _balances([capture]) == {RECEIVABLE: GROSS, MERCHANT: -GROSS}
    assert _balances([capture, entry(payment, EntryKind.CLAWBACK, "att_1")]) == {}
