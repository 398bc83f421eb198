"""A payout's machine: which step leads where, what it posts and what the merchant is told.

Two people approve it, neither of them one who drafted it or set its account, and each says where it goes. A payout that
a bank may have made and nobody knows of stays `unknown` until the bank says so, and until then the merchant gets no
other; nor as long as the bank says two things of one.
"""

from enum import StrEnum
from typing import Final

import msgspec

from gateway.core.bank_accounts import is_iban
from gateway.core.ledger import PAYOUT_IN_TRANSIT, Leg, bank, merchant_available
from gateway.core.payment import EntryKind, EventType
from gateway.core.people import is_same_person

ACCOUNT_END_CHARACTERS: Final = 4
BIC_CHARACTERS_MIN: Final = 8


class PayoutState(StrEnum):
    DRAFT = "draft"
    APPROVED = "approved"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"
    CANCELLED = "cancelled"


LIVE: Final = frozenset({PayoutState.DRAFT, PayoutState.APPROVED, PayoutState.SUBMITTED, PayoutState.UNKNOWN})
"""Its money is in transit."""

TABLE: Final = {
    PayoutState.DRAFT: {PayoutState.APPROVED, PayoutState.CANCELLED},
    PayoutState.APPROVED: {PayoutState.SUBMITTED, PayoutState.CANCELLED},
    PayoutState.SUBMITTED: {PayoutState.PAID, PayoutState.FAILED, PayoutState.RETURNED, PayoutState.UNKNOWN},
    PayoutState.UNKNOWN: {PayoutState.PAID, PayoutState.FAILED, PayoutState.RETURNED},
    PayoutState.PAID: {PayoutState.RETURNED},
    PayoutState.FAILED: set[PayoutState](),
    PayoutState.RETURNED: set[PayoutState](),
    PayoutState.CANCELLED: set[PayoutState](),
}

EVENTS: Final = {
    PayoutState.DRAFT: EventType.PAYOUT_CREATED,
    PayoutState.PAID: EventType.PAYOUT_PAID,
    PayoutState.FAILED: EventType.PAYOUT_FAILED,
    PayoutState.CANCELLED: EventType.PAYOUT_FAILED,
    PayoutState.RETURNED: EventType.PAYOUT_RETURNED,
}


class NotAllowed(Exception):
    """The payout's state or its people do not allow the step."""


def check_step(payout_id: str, before: PayoutState, after: PayoutState) -> None:
    """Raise NotAllowed."""
    if after not in TABLE[before]:
        raise NotAllowed(f"{payout_id} is {before}, which cannot become {after}")


def check_approval(payout_id: str, by: str, *others: str | None) -> None:
    """Raise NotAllowed unless *by* is nobody of those who set its account, drafted it or approved it before."""
    if any(is_same_person(by, other) for other in others if other):
        expected = "expected a person who neither set its account nor drafted or approved it"
        raise NotAllowed(f"{payout_id}: {expected}, got {by!r}")


def check_destination(payout_id: str, account: str, bic: str, *, account_end: str, typed_bic: str) -> None:
    """Raise NotAllowed unless somebody who wants it to go there has typed enough to say so.

    That is at least the last four characters of *account* and, where it is no IBAN, the *bic*: another bank may have an
    account with the same number.
    """
    if not account.endswith(account_end) or len(account_end) < min(ACCOUNT_END_CHARACTERS, len(account)):
        expected = f"expected the last {ACCOUNT_END_CHARACTERS} characters, or more, of the account that it goes to"
        raise NotAllowed(f"{payout_id}: {expected}, got {account_end!r}")
    is_needed = bool(bic) and not is_iban(account)
    if (is_needed or typed_bic) and _whole_bic(typed_bic) != _whole_bic(bic):
        raise NotAllowed(f"{payout_id}: expected the BIC of the bank that it goes to, got {typed_bic!r}")


_CANCELLED_BY: Final = "; cancelled by "


def cancelled_words(note: str, by: str) -> str:
    """What is kept of a payout that a person took back."""
    return f"{note}{_CANCELLED_BY}{by}"


def public_words(state: PayoutState, detail: str) -> str:
    """*detail* as the merchant reads it: who cancelled a payout is none of its business."""
    return detail.rpartition(_CANCELLED_BY)[0] or detail if state is PayoutState.CANCELLED else detail


def _whole_bic(bic: str) -> str:
    return f"{bic}XXX" if len(bic) == BIC_CHARACTERS_MIN else bic  # ISO 9362: the head office, if no branch is named.


class Posting(msgspec.Struct, frozen=True):
    """The entry that a step writes."""

    kind: EntryKind
    legs: tuple[Leg, Leg]


def posting(
    before: PayoutState | None, after: PayoutState, *, merchant_id: str, bank_name: str, amount_minor: int
) -> Posting | None:
    """What the step from *before* (None: it is drafted) moves; None if nothing."""
    available, account = merchant_available(merchant_id), bank(bank_name)
    kind, debit, credit = {
        PayoutState.DRAFT: (EntryKind.PAYOUT_CREATED, available, PAYOUT_IN_TRANSIT),
        PayoutState.PAID: (EntryKind.PAYOUT_PAID, PAYOUT_IN_TRANSIT, account),
        PayoutState.FAILED: (EntryKind.PAYOUT_FAILED, PAYOUT_IN_TRANSIT, available),
        PayoutState.CANCELLED: (EntryKind.PAYOUT_FAILED, PAYOUT_IN_TRANSIT, available),
        # Money that had left our account comes back to it.
        PayoutState.RETURNED: (
            EntryKind.PAYOUT_RETURNED,
            account if before is PayoutState.PAID else PAYOUT_IN_TRANSIT,
            available,
        ),
    }.get(after, (None, "", ""))
    return None if kind is None else Posting(kind, (Leg(debit, amount_minor), Leg(credit, -amount_minor)))
