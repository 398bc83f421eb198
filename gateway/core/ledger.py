"""Ledger entries: which accounts money touches, and in which direction.

An entry is a list of legs that sums to zero. A leg's amount is signed: debit positive, credit negative. Entries are
only ever added; the store holds them append-only, seals them and adds them up. None of that is done here.

Whatever concerns a merchant before it is settled (captures, refunds, disputes, fees) moves its `pending` account;
settlement moves what is due from there to `available`, and only payouts leave `available`. So a refund of money that
was paid out long ago makes `pending` negative, and the next settlement takes it off.
"""

from typing import Final

import msgspec

from gateway.core.fees import NO_FEES, Fees
from gateway.core.payment import EntryKind, Escrow, Payment


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
    """Empty for what is about many payments: settlements, payouts, remittances."""
    legs: tuple[Leg, ...]


def carrier_receivable(carrier: str) -> str:
    """What the carrier has taken from phones for us and owes us (an asset)."""
    return f"carrier:{carrier}:receivable"


def carrier_share(carrier: str) -> str:
    """The carrier's part of what was taken; it keeps it when it remits (a liability)."""
    return f"carrier:{carrier}:share_payable"


def carrier_held(carrier: str) -> str:
    """What the carrier holds for us and has not taken (a memorandum: money that has not moved)."""
    return f"carrier:{carrier}:held"


def merchant_held(merchant_id: str) -> str:
    """What is held for a merchant and not taken (the other side of the memorandum)."""
    return f"merchant:{merchant_id}:held"


def merchant_pending(merchant_id: str) -> str:
    """What we owe a merchant and have not settled (a liability)."""
    return f"merchant:{merchant_id}:pending"


def merchant_available(merchant_id: str) -> str:
    """What we owe a merchant and may pay out (a liability)."""
    return f"merchant:{merchant_id}:available"


def merchant_reserve(merchant_id: str) -> str:
    """What is settled and kept back for a while against refunds and disputes (a liability)."""
    return f"merchant:{merchant_id}:reserve"


def bank(name: str) -> str:
    """Money in a bank account of ours (an asset)."""
    return f"bank:{name}"


SUSPENSE: Final = "suspense"
"""Money that the carrier took although the payment had ended; it goes back to the phone's owner (a liability)."""
ESCROW: Final = "escrow"
"""Money taken that neither side has until the buyer says that the goods came (a liability)."""
REFUND_CLEARING: Final = "refund_clearing"
"""Refunds ordered and not ended (a liability)."""
DISPUTE_HELD: Final = "dispute_held"
"""What open disputes are about (a liability)."""
PAYOUT_IN_TRANSIT: Final = "payout_in_transit"
"""Payouts ordered and not ended (a liability)."""
FEE: Final = "fee"
"""Our fees (income)."""
DISPUTE_FEE: Final = "dispute_fee"
"""What a merchant pays for a dispute that it lost (income)."""
VAT: Final = "tax:vat"
"""Value added tax on our fees (a liability to the state)."""
WITHHOLDING: Final = "tax:wht"
"""Tax withheld from what merchants earn (a liability to the state)."""
WRITE_OFF: Final = "write_off"
"""What nobody will pay us any more (expense)."""


def payment_entry(
    payment: Payment, kind: EntryKind, source_id: str, amount_minor: int, *, fees: Fees = NO_FEES
) -> Entry:
    """The entry of *kind* for *amount_minor* of *payment*; *fees* are those on that amount, taken or given back.

    *source_id*: the charge's or reservation's attempt, or the refund, dispute or break.
    """
    legs = _moved(payment, kind, amount_minor) + _fee_legs(payment, kind, fees)
    source_type = _SOURCES.get(kind, "attempt")
    return an_entry(
        kind,
        source_type,
        source_id,
        mode=payment.mode,
        currency=payment.amount.currency,
        legs=legs,
        payment_id=payment.id,
    )


def an_entry(
    kind: EntryKind,
    source_type: str,
    source_id: str,
    *,
    mode: str,
    currency: str,
    legs: tuple[Leg, ...],
    payment_id: str = "",
) -> Entry:
    """An entry out of *legs*: one leg an account, none of nothing, the sum zero."""
    sums: dict[str, int] = {}
    for leg in legs:
        sums[leg.account] = sums.get(leg.account, 0) + leg.amount_minor
    assert sum(sums.values()) == 0, f"{kind} {source_id} does not sum to zero"
    kept = tuple(Leg(account, amount_minor) for account, amount_minor in sums.items() if amount_minor)
    return Entry(
        source_type=source_type,
        source_id=source_id,
        kind=kind,
        mode=mode,
        currency=currency,
        payment_id=payment_id,
        legs=kept,
    )


def home(payment: Payment) -> str:
    """The account where a captured payment's money is now: whatever fails or is undone comes back here."""
    # What is given back to the last part came out of escrow.
    is_in_escrow = payment.escrow in (Escrow.HELD, Escrow.REFUNDED)
    return ESCROW if is_in_escrow else merchant_pending(payment.merchant_id)


def _moved(payment: Payment, kind: EntryKind, amount_minor: int) -> tuple[Leg, Leg]:
    debit, credit = _accounts(payment, kind)
    return Leg(debit, amount_minor), Leg(credit, -amount_minor)


def _accounts(payment: Payment, kind: EntryKind) -> tuple[str, str]:
    """(debit, credit): the postings table."""
    receivable, owner = carrier_receivable(payment.carrier), home(payment)
    held, owner_held = carrier_held(payment.carrier), merchant_held(payment.merchant_id)
    return {
        EntryKind.HOLD: (held, owner_held),
        EntryKind.HOLD_ENDED: (owner_held, held),
        EntryKind.CAPTURE: (receivable, owner),
        EntryKind.ESCROW_RELEASED: (ESCROW, merchant_pending(payment.merchant_id)),
        EntryKind.LATE_CHARGE: (receivable, SUSPENSE),
        EntryKind.REVERSAL: (SUSPENSE, receivable),
        EntryKind.CLAWBACK: (owner, receivable),
        EntryKind.REFUND_CREATED: (owner, REFUND_CLEARING),
        EntryKind.REFUND_SUCCEEDED: (REFUND_CLEARING, receivable),
        EntryKind.REFUND_FAILED: (REFUND_CLEARING, owner),
        EntryKind.LATE_REFUND: (owner, receivable),
        EntryKind.DISPUTE_OPENED: (owner, DISPUTE_HELD),
        EntryKind.DISPUTE_WON: (DISPUTE_HELD, owner),
        EntryKind.DISPUTE_LOST: (DISPUTE_HELD, REFUND_CLEARING),
        EntryKind.DISPUTE_FEE: (merchant_pending(payment.merchant_id), DISPUTE_FEE),
        EntryKind.WRITE_OFF: (WRITE_OFF, receivable),
        EntryKind.WRITE_OFF_UNDONE: (receivable, WRITE_OFF),
    }[kind]


def _fee_legs(payment: Payment, kind: EntryKind, fees: Fees) -> tuple[Leg, ...]:
    """Taken with a capture (from escrow: with its release), given back with what goes back to the phone.

    What nobody will pay is our loss alone: what the carrier would have kept of it makes that smaller.
    """
    sign = -1 if kind in _TAKES_FEES else 1
    other = WRITE_OFF if kind in _LOSES else merchant_pending(payment.merchant_id)
    parts = (
        (carrier_share(payment.carrier), fees.carrier_share_minor),
        (FEE, fees.fee_minor),
        (VAT, fees.vat_minor),
        (WITHHOLDING, fees.withholding_minor),
    )
    legs = [Leg(account, sign * amount_minor) for account, amount_minor in parts]
    return (*legs, Leg(other, -sign * fees.total_minor))


_LOSES: Final = frozenset({EntryKind.WRITE_OFF, EntryKind.WRITE_OFF_UNDONE})
_TAKES_FEES: Final = frozenset({EntryKind.CAPTURE, EntryKind.ESCROW_RELEASED, EntryKind.WRITE_OFF_UNDONE})
_SOURCES: Final = {
    EntryKind.REFUND_CREATED: "refund",
    EntryKind.REFUND_SUCCEEDED: "refund",
    EntryKind.REFUND_FAILED: "refund",
    EntryKind.LATE_REFUND: "refund",
    EntryKind.DISPUTE_OPENED: "dispute",
    EntryKind.DISPUTE_WON: "dispute",
    EntryKind.DISPUTE_LOST: "dispute",
    EntryKind.DISPUTE_FEE: "dispute",
    EntryKind.ESCROW_RELEASED: "payment",
    EntryKind.WRITE_OFF: "break",
    EntryKind.WRITE_OFF_UNDONE: "break",
}
