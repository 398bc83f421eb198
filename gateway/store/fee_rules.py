"""Whether fees are what the payments' schedules say: recomputed payment by payment, which no single statement can.

One page of payments is in memory at a time.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from gateway.core.fees import NO_FEES, Fees, FeeSchedule, dispute_fee, fees_on
from gateway.core.ledger import Leg
from gateway.core.money import Money
from gateway.core.payment import Capture, EntryKind, Payment, State
from gateway.store import bulk, tables
from gateway.store.fee_schedules import schedule_row
from gateway.store.fees import GIVEN_UP_WITH, TAKEN_WITH, base_of, dispute_fees_in, fees_in, returned_in_all
from gateway.store.queries import payment_from_row
from gateway.store.tally import Tally

PAGE: Final = 1_000
OTHER_FEES: Final = "fees differ from the payment's schedule"
OTHER_RETURNED: Final = "fees given back differ from what went back"
OF_TOO_LITTLE: Final = "fees taken of less than the merchant has"
OTHER_DISPUTE_FEES: Final = "dispute fees differ from the payment's schedule"


class _Posted(msgspec.Struct):
    """An entry with its legs."""

    id: str
    kind: EntryKind
    legs: list[Leg] = []


def check_fees(conn: Connection, tally: Tally, progress: Callable[[str], None]) -> None:
    """Note in *tally* every payment whose fees are others than its schedule says."""
    known: dict[str, FeeSchedule | None] = {}
    after, looked = "", 0
    while page := _page(conn, after):
        entries = _entries(conn, [payment.id for payment in page])
        for payment in page:
            _look_at(payment, _schedule(conn, payment, known), entries[payment.id], tally)
        after, looked = page[-1].id, looked + len(page)
        progress(f"fees of {looked} payments")


def _page(conn: Connection, after: str) -> list[Payment]:
    payment = tables.payment.c
    statement = select(tables.payment).where(payment.id > after, payment.fee_schedule.is_not(None))
    return [payment_from_row(row) for row in conn.execute(statement.order_by(payment.id).limit(PAGE))]


def _entries(conn: Connection, payment_ids: list[str]) -> defaultdict[str, list[_Posted]]:
    """The entries of each payment."""
    found: defaultdict[str, list[_Posted]] = defaultdict(list)
    by_id: dict[str, _Posted] = {}
    for row in bulk.select_in(conn, tables.entry, "payment_id", payment_ids):
        by_id[row.id] = _Posted(row.id, EntryKind(row.kind))
        found[row.payment_id].append(by_id[row.id])
    for row in bulk.select_in(conn, tables.leg, "entry_id", sorted(by_id)):
        by_id[row.entry_id].legs.append(Leg(row.account, row.amount_minor))
    return found


def _schedule(conn: Connection, payment: Payment, known: dict[str, FeeSchedule | None]) -> FeeSchedule | None:
    # Not the process's own memory of it: the rows are what is looked at.
    schedule_id = payment.fee_schedule
    assert schedule_id is not None
    if schedule_id not in known:
        row = schedule_row(conn, schedule_id)
        known[schedule_id] = None if row is None else row.schedule
    return known[schedule_id]


def _look_at(payment: Payment, frozen: FeeSchedule | None, entries: list[_Posted], tally: Tally) -> None:
    if frozen is None:
        tally.note("payment whose fee schedule is not there", payment.id)
        return
    taken, base_minor, returned = NO_FEES, 0, NO_FEES
    for entry in entries:
        fees = fees_in(payment.carrier, entry.legs)
        if entry.kind in TAKEN_WITH:
            if fees != _due(payment, frozen, entry):
                tally.note(OTHER_FEES, f"{entry.id}, {payment.id}")
            if fees != NO_FEES:
                taken, base_minor = fees, base_of(entry.legs)
        elif entry.kind not in GIVEN_UP_WITH:
            returned = _less(returned, fees)
    expected = returned_in_all(payment, frozen, base_minor, taken) if base_minor else NO_FEES
    if returned != expected:
        tally.note(OTHER_RETURNED, payment.id)
    if payment.state is State.CAPTURED and 0 < base_minor < payment.left_minor:
        tally.note(OF_TOO_LITTLE, payment.id)  # What was not released from escrow came to the merchant all the same.
    _look_at_disputes(payment, frozen, entries, tally)


def _look_at_disputes(payment: Payment, frozen: FeeSchedule, entries: list[_Posted], tally: Tally) -> None:
    lost = sum(entry.kind is EntryKind.DISPUTE_LOST for entry in entries)
    paid_minor = sum(dispute_fees_in(entry.legs) for entry in entries)
    if paid_minor != lost * dispute_fee(frozen, payment.carrier, payment.amount.currency):
        tally.note(OTHER_DISPUTE_FEES, payment.id)


def _due(payment: Payment, frozen: FeeSchedule, entry: _Posted) -> Fees:
    if entry.kind is EntryKind.CAPTURE and payment.capture is Capture.ESCROW:
        return NO_FEES
    return fees_on(frozen, payment.carrier, Money(base_of(entry.legs), payment.amount.currency))


def _less(fees: Fees, other: Fees) -> Fees:
    return Fees(**{name: getattr(fees, name) - getattr(other, name) for name in Fees.__struct_fields__})
