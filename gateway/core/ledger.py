"""Ledger entries: which accounts a payment's money touches, and in which direction.

An entry is a list of legs that sums to zero. A leg's amount is signed: debit positive, credit negative. Entries are
only ever added; the store holds them append-only, seals them and adds them up. None of that is done here.
"""

import msgspec

from gateway.core.payment import EntryKind, Payment


class Leg(msgspec.Struct, frozen=True):
    """One line of an entry. `amount_minor`: debit > 0, credit < 0."""

    account: str
    amount_minor: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One balanced posting in one currency, unique by (source_type, source_id, kind)."""

    source_type: str
    source_id: str
    kind: EntryKind
    mode: str
    currency: str
    payment_id: str
    legs: tuple[Leg, ...]


def carrier_receivable(carrier: str) -> str:
    """What the carrier has taken from phones for us and owes us (an asset)."""
    return f"carrier:{carrier}:receivable"


def merchant_pending(merchant_id: str) -> str:
    """What we owe a merchant and may not pay out yet (a liability)."""
    return f"merchant:{merchant_id}:pending"


def merchant_available(merchant_id: str) -> str:
    """What we owe a merchant and may pay out (a liability)."""
    return f"merchant:{merchant_id}:available"


SUSPENSE = "suspense"
"""Money that the carrier took although the payment had ended; it goes back to the phone's owner (a liability)."""


def entry(payment: Payment, kind: EntryKind, attempt_id: str) -> Entry:
    """The entry of *kind* for *payment*: CAP, LATE, UNLATE or CLAWBACK of the postings table, without fees."""
    gross = payment.amount.amount_minor
    receivable = carrier_receivable(payment.carrier)
    merchant = merchant_pending(payment.merchant_id)
    legs = {
        EntryKind.CAPTURE: (Leg(receivable, gross), Leg(merchant, -gross)),
        EntryKind.LATE_CHARGE: (Leg(receivable, gross), Leg(SUSPENSE, -gross)),
        EntryKind.REVERSAL: (Leg(SUSPENSE, gross), Leg(receivable, -gross)),
        EntryKind.CLAWBACK: (Leg(merchant, gross), Leg(receivable, -gross)),
    }[kind]
    assert sum(leg.amount_minor for leg in legs) == 0
    return Entry(
        source_type="attempt",
        source_id=attempt_id,
        kind=kind,
        mode=payment.mode,
        currency=payment.amount.currency,
        payment_id=payment.id,
        legs=legs,
    )
