"""A payout's machine: which step leads where, what it posts and what the merchant is told.

Two people approve it, neither of them the one who drafted it. A payout that a bank may have made and nobody knows of
stays `unknown` until the bank says so, and until then the merchant gets no other.
"""

from enum import StrEnum
from typing import Final

import msgspec

from gateway.core.ledger import PAYOUT_IN_TRANSIT, Leg, bank, merchant_available
from gateway.core.payment import EntryKind, EventType


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
    """Raise NotAllowed unless *by* is nobody of those who drafted or approved it before."""
    if by.casefold().strip() in {other.casefold().strip() for other in others if other}:
        raise NotAllowed(f"{payout_id}: expected a person who neither drafted nor approved it, got {by!r}")


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
