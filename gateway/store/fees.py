"""The fees of a payment's entries: taken by the schedule that it was made under, given back out of what was taken.

What was taken is read from the ledger and not reckoned again, so that a payment's fees come back exactly.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection, select

from gateway.core import ledger
from gateway.core.fees import NO_FEES, Fees, FeeSchedule, dispute_fee, fees_on, given_back, returnable
from gateway.core.ledger import Leg
from gateway.core.money import Money
from gateway.core.payment import EntryKind, Escrow, Payment, State
from gateway.store import tables
from gateway.store.fee_schedules import schedule

if TYPE_CHECKING:
    from gateway.store.unit import Unit

TAKEN_WITH: Final = (EntryKind.CAPTURE, EntryKind.ESCROW_RELEASED)
GIVEN_BACK_WITH: Final = (EntryKind.REFUND_SUCCEEDED, EntryKind.LATE_REFUND, EntryKind.CLAWBACK)
GIVEN_UP_WITH: Final = (EntryKind.WRITE_OFF, EntryKind.WRITE_OFF_UNDONE)
"""What these say of a carrier's share is between the carrier and us."""


def fees_for(unit: "Unit", payment: Payment, kind: EntryKind, amount_minor: int) -> Fees:
    """The fees in an entry of *kind* about *amount_minor*: taken, or given back.

    *payment*: as it is after the step, so that what goes back is counted in `refunded_minor` already.
    """
    if payment.fee_schedule is None:
        return NO_FEES
    if kind in TAKEN_WITH:
        if payment.escrow is Escrow.HELD:  # Nobody has the money yet.
            return NO_FEES
        amount = Money(amount_minor, payment.amount.currency)
        return fees_on(schedule(unit.conn, payment.fee_schedule), payment.carrier, amount)
    if kind in GIVEN_BACK_WITH:
        return _given_back(unit, payment, schedule(unit.conn, payment.fee_schedule), amount_minor)
    return NO_FEES


def dispute_fee_of(conn: Connection, payment: Payment) -> int:
    """What its merchant pays if it loses a dispute about *payment*, in minor units."""
    if payment.fee_schedule is None:
        return 0
    return dispute_fee(schedule(conn, payment.fee_schedule), payment.carrier, payment.amount.currency)


def dispute_fees_in(legs: Iterable[Leg]) -> int:
    """What *legs* credit to the account of dispute fees."""
    return -sum(leg.amount_minor for leg in legs if leg.account == ledger.DISPUTE_FEE)


def _given_back(unit: "Unit", payment: Payment, frozen: FeeSchedule, amount_minor: int) -> Fees:
    base_minor, taken = _taken(unit, payment)
    if taken == NO_FEES:
        return NO_FEES
    # What went back out of escrow before its release is none of what fees were taken of.
    free_minor = payment.captured_minor - base_minor
    after_minor = max(0, _gone_minor(payment) - free_minor)
    before_minor = max(0, _gone_minor(payment) - amount_minor - free_minor)
    total = returnable(frozen, payment.carrier, payment.amount.currency, taken)
    return given_back(total, base_minor, before_minor, after_minor - before_minor)


def returned_in_all(payment: Payment, frozen: FeeSchedule, base_minor: int, taken: Fees) -> Fees:
    """What of *taken*, on *base_minor*, has come back by now if every entry is right."""
    total = returnable(frozen, payment.carrier, payment.amount.currency, taken)
    return given_back(total, base_minor, 0, max(0, _gone_minor(payment) - payment.captured_minor + base_minor))


def _gone_minor(payment: Payment) -> int:
    """What went back to the phone; once the carrier took the payment back, all but what is still under way."""
    if payment.state is State.REVERSED:
        return payment.captured_minor - payment.refund_reserved_minor
    return payment.refunded_minor


def _taken(unit: "Unit", payment: Payment) -> tuple[int, Fees]:
    """The amount that fees were taken of, and the fees."""
    legs = _fresh_legs(unit, payment.id) or _stored_legs(unit.conn, payment.id)
    kind = EntryKind.ESCROW_RELEASED if EntryKind.ESCROW_RELEASED in legs else EntryKind.CAPTURE
    found = legs.get(kind, [])
    return base_of(found), fees_in(payment.carrier, found)


def base_of(legs: Iterable[Leg]) -> int:
    """The amount of an entry that takes fees: it debits nothing else."""
    return sum(leg.amount_minor for leg in legs if leg.amount_minor > 0)


def fees_in(carrier: str, legs: Iterable[Leg]) -> Fees:
    """What *legs* credit to the accounts of fees; below zero: what they give back."""
    sums: dict[str, int] = {}
    for leg in legs:
        sums[leg.account] = sums.get(leg.account, 0) - leg.amount_minor
    return Fees(
        carrier_share_minor=sums.get(ledger.carrier_share(carrier), 0),
        fee_minor=sums.get(ledger.FEE, 0),
        vat_minor=sums.get(ledger.VAT, 0),
        withholding_minor=sums.get(ledger.WITHHOLDING, 0),
    )


def _fresh_legs(unit: "Unit", payment_id: str) -> dict[EntryKind, list[Leg]]:
    """Those of this very batch: a carrier may take and take back in one breath."""
    kinds = {
        row["id"]: EntryKind(row["kind"])
        for row in unit.fresh(tables.entry)
        if row["payment_id"] == payment_id and row["kind"] in TAKEN_WITH
    }
    found: dict[EntryKind, list[Leg]] = {}
    for row in unit.fresh(tables.leg) if kinds else ():
        if row["entry_id"] in kinds:
            found.setdefault(kinds[row["entry_id"]], []).append(Leg(row["account"], row["amount_minor"]))
    return found


def _stored_legs(conn: Connection, payment_id: str) -> dict[EntryKind, list[Leg]]:
    entry, leg = tables.entry.c, tables.leg.c
    statement = (
        select(entry.kind, leg.account, leg.amount_minor)
        .join_from(tables.entry, tables.leg, leg.entry_id == entry.id)
        .where(entry.payment_id == payment_id, entry.kind.in_(TAKEN_WITH))
    )
    found: dict[EntryKind, list[Leg]] = {}
    for row in conn.execute(statement):
        found.setdefault(EntryKind(row.kind), []).append(Leg(row.account, row.amount_minor))
    return found


class Movements(NamedTuple):
    """What a payment's entries took and gave back."""

    taken: Fees
    returned: Fees
    dispute_fees_minor: int


def movements(conn: Connection, payment: Payment) -> Movements:
    """Out of the ledger, for the merchant."""
    entry, leg = tables.entry.c, tables.leg.c
    statement = (
        select(leg.account, leg.amount_minor)
        .join_from(tables.entry, tables.leg, leg.entry_id == entry.id)
        .where(entry.payment_id == payment.id, entry.kind.not_in(GIVEN_UP_WITH))
    )
    legs = [Leg(row.account, row.amount_minor) for row in conn.execute(statement)]
    taken = fees_in(payment.carrier, [leg for leg in legs if leg.amount_minor < 0])
    returned = fees_in(payment.carrier, [Leg(leg.account, -leg.amount_minor) for leg in legs if leg.amount_minor > 0])
    return Movements(taken, returned, dispute_fees_in(legs))
