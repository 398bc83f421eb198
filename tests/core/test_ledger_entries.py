"""Ledger entries: balanced, in one currency, on the accounts that the postings table names."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.core.fees import Fees
from gateway.core.ledger import (
    DISPUTE_FEE,
    DISPUTE_HELD,
    ESCROW,
    FEE,
    PAYOUT_IN_TRANSIT,
    REFUND_CLEARING,
    SUSPENSE,
    VAT,
    WITHHOLDING,
    WRITE_OFF,
    Entry,
    bank,
    carrier_held,
    carrier_receivable,
    carrier_share,
    merchant_available,
    merchant_held,
    merchant_pending,
    merchant_reserve,
    payment_entry,
)
from gateway.core.money import Money
from gateway.core.payment import EntryKind, Escrow, Payment, State
from tests.core.factories import a_payment

GROSS = 125_000
RECEIVABLE, SHARE, HELD = "carrier:acme:receivable", "carrier:acme:share_payable", "carrier:acme:held"
MERCHANT, MERCHANT_HELD = "merchant:mer_1:pending", "merchant:mer_1:held"
FEES = Fees(carrier_share_minor=30_000, fee_minor=2_500, vat_minor=400, withholding_minor=100)

# Kind → (debit, credit) where the merchant has the money, and where it is in escrow.
ACCOUNTS = {
    EntryKind.HOLD: (HELD, MERCHANT_HELD),
    EntryKind.HOLD_ENDED: (MERCHANT_HELD, HELD),
    EntryKind.CAPTURE: (RECEIVABLE, MERCHANT),
    EntryKind.ESCROW_RELEASED: ("escrow", MERCHANT),
    EntryKind.LATE_CHARGE: (RECEIVABLE, "suspense"),
    EntryKind.REVERSAL: ("suspense", RECEIVABLE),
    EntryKind.CLAWBACK: (MERCHANT, RECEIVABLE),
    EntryKind.REFUND_CREATED: (MERCHANT, "refund_clearing"),
    EntryKind.REFUND_SUCCEEDED: ("refund_clearing", RECEIVABLE),
    EntryKind.REFUND_FAILED: ("refund_clearing", MERCHANT),
    EntryKind.LATE_REFUND: (MERCHANT, RECEIVABLE),
    EntryKind.DISPUTE_OPENED: (MERCHANT, "dispute_held"),
    EntryKind.DISPUTE_WON: ("dispute_held", MERCHANT),
    EntryKind.DISPUTE_LOST: ("dispute_held", "refund_clearing"),
    EntryKind.DISPUTE_FEE: (MERCHANT, "dispute_fee"),
    EntryKind.WRITE_OFF: ("write_off", RECEIVABLE),
    EntryKind.WRITE_OFF_UNDONE: (RECEIVABLE, "write_off"),
}
NEVER_IN_ESCROW = {EntryKind.HOLD, EntryKind.HOLD_ENDED, EntryKind.ESCROW_RELEASED, EntryKind.DISPUTE_FEE}


def _legs(posting: Entry) -> dict[str, int]:
    return {leg.account: leg.amount_minor for leg in posting.legs}


def _balances(entries: Iterable[Entry]) -> dict[str, int]:
    balances: Counter[str] = Counter()
    for posting in entries:
        balances.update(_legs(posting))
    return {account: amount for account, amount in balances.items() if amount}


def an_entry_of(payment: Payment, kind: EntryKind, amount_minor: int = GROSS, fees: Fees = FEES) -> Entry:
    return payment_entry(payment, kind, "src_1", amount_minor, fees=fees)


@pytest.mark.parametrize("kind", ACCOUNTS)
def test_an_entry_debits_and_credits_the_accounts_of_its_kind(kind: EntryKind) -> None:
    debit, credit = ACCOUNTS[kind]
    posting = an_entry_of(a_payment(State.CAPTURED), kind, fees=Fees())
    assert _legs(posting) == {debit: GROSS, credit: -GROSS}


@pytest.mark.parametrize("kind", [kind for kind in ACCOUNTS if kind not in NEVER_IN_ESCROW])
def test_in_escrow_the_money_is_not_the_merchants(kind: EntryKind) -> None:
    expected = {"escrow" if account == MERCHANT else account for account in ACCOUNTS[kind]}
    posting = an_entry_of(a_payment(State.CAPTURED, escrow=Escrow.HELD), kind, fees=Fees())
    assert _legs(posting).keys() == expected


@pytest.mark.parametrize("kind", ACCOUNTS)
@pytest.mark.parametrize("amount_minor", [1, 99, 10**12])
def test_every_entry_sums_to_zero(kind: EntryKind, amount_minor: int) -> None:
    posting = an_entry_of(a_payment(amount=Money(amount_minor, "UGX")), kind, amount_minor)
    assert sum(_legs(posting).values()) == 0
    assert len({leg.account for leg in posting.legs}) == len(posting.legs)
    assert all(leg.amount_minor for leg in posting.legs)
    assert posting.currency == "UGX"


def test_each_part_of_the_fees_is_a_leg() -> None:
    assert _legs(an_entry_of(a_payment(State.CAPTURED), EntryKind.CAPTURE)) == {
        RECEIVABLE: 125_000,
        MERCHANT: -92_000,
        SHARE: -30_000,
        "fee": -2_500,
        "tax:vat": -400,
        "tax:wht": -100,
    }


def test_a_refund_gives_the_fees_back_to_the_merchant() -> None:
    assert _legs(an_entry_of(a_payment(State.CAPTURED), EntryKind.REFUND_SUCCEEDED)) == {
        "refund_clearing": 125_000,
        RECEIVABLE: -125_000,
        MERCHANT: -33_000,
        SHARE: 30_000,
        "fee": 2_500,
        "tax:vat": 400,
        "tax:wht": 100,
    }


@pytest.mark.parametrize(
    ("kind", "source_type"),
    [
        (EntryKind.CAPTURE, "attempt"),
        (EntryKind.HOLD, "attempt"),
        (EntryKind.REFUND_FAILED, "refund"),
        (EntryKind.DISPUTE_WON, "dispute"),
        (EntryKind.ESCROW_RELEASED, "payment"),
    ],
)
def test_an_entry_names_its_source_its_payment_and_its_mode(kind: EntryKind, source_type: str) -> None:
    posting = an_entry_of(a_payment(mode="live"), kind)
    assert (posting.source_type, posting.source_id, posting.kind) == (source_type, "src_1", kind)
    assert (posting.payment_id, posting.mode) == ("pay_1", "live")


@pytest.mark.parametrize(
    "kinds",
    [
        (EntryKind.LATE_CHARGE, EntryKind.REVERSAL),
        (EntryKind.CAPTURE, EntryKind.CLAWBACK),
        (EntryKind.HOLD, EntryKind.HOLD_ENDED),
        (EntryKind.CAPTURE, EntryKind.REFUND_CREATED, EntryKind.REFUND_SUCCEEDED),
        (EntryKind.REFUND_CREATED, EntryKind.REFUND_FAILED),
        (EntryKind.WRITE_OFF, EntryKind.WRITE_OFF_UNDONE),
        (EntryKind.DISPUTE_OPENED, EntryKind.DISPUTE_WON),
        (EntryKind.CAPTURE, EntryKind.DISPUTE_OPENED, EntryKind.DISPUTE_LOST, EntryKind.REFUND_SUCCEEDED),
    ],
)
def test_what_is_undone_leaves_nothing_behind(kinds: tuple[EntryKind, ...]) -> None:
    payment = a_payment(State.CAPTURED)
    both_ways = {EntryKind.CAPTURE, EntryKind.CLAWBACK, EntryKind.REFUND_SUCCEEDED}
    fees = {kind: FEES if kind in both_ways else Fees() for kind in kinds}
    assert _balances(an_entry_of(payment, kind, fees=fees[kind]) for kind in kinds) == {}


def test_the_page_lists_the_postings_of_the_code() -> None:
    page = Path("docs/ledger.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    told = {kind: (debit.strip(" `"), credit.strip(" `")) for kind, debit, credit in rows}
    assert told == {kind: (_named(kind, debit), _named(kind, credit)) for kind, (debit, credit) in ACCOUNTS.items()}


def _named(kind: EntryKind, account: str) -> str:
    if account == MERCHANT and kind not in NEVER_IN_ESCROW:
        return "home"
    return account.replace("acme", "{c}").replace("mer_1", "{m}")


def test_the_page_names_every_account() -> None:
    page = Path("docs/ledger.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_:{}]+)`", page.partition("## Postings")[0]))
    of_carriers = {function("{c}") for function in (carrier_receivable, carrier_share, carrier_held)}
    of_merchants = {
        function("{m}") for function in (merchant_held, merchant_pending, merchant_available, merchant_reserve)
    }
    fixed = {SUSPENSE, ESCROW, REFUND_CLEARING, DISPUTE_HELD, PAYOUT_IN_TRANSIT, FEE, DISPUTE_FEE, VAT, WITHHOLDING}
    assert named == of_carriers | of_merchants | fixed | {WRITE_OFF, bank("{b}")}
