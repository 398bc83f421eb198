"""What carriers keep for themselves of the orders that their files are about: as it was posted, or by the schedule.

Of what goes into escrow a carrier keeps its share at once and gives it back with each refund; we post it with the
release.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, text

from gateway.core.fees import Fees, fees_on, given_back, returnable
from gateway.core.ledger import carrier_share
from gateway.core.money import Money
from gateway.core.payment import Capture
from gateway.store import bulk, tables
from gateway.store.fee_schedules import schedule


def of_charges(
    conn: Connection,
    carrier: str,
    payment_ids: Sequence[str],
    entries: Sequence[Row[Any]],  # Any: all rows of the table `entry` about these payments.
) -> dict[tuple[str, str], int]:
    """(payment, charge) → the carrier's share that was posted with its capture."""
    captures = {row.id: (row.payment_id, row.source_id) for row in entries if row.kind == "capture"}
    shares = dict.fromkeys(captures.values(), 0)
    account = carrier_share(carrier)
    for leg in bulk.select_in(conn, tables.leg, "entry_id", sorted(captures)):
        if leg.account == account:
            shares[captures[leg.entry_id]] -= leg.amount_minor
    for row in bulk.select_in(conn, tables.payment, "id", payment_ids):
        if row.capture == Capture.ESCROW and row.attempt_id is not None:
            shares[row.id, row.attempt_id] = _by_schedule(conn, row)
    return shares


def _by_schedule(conn: Connection, row: Row[Any]) -> int:  # Any: a row of the table `payment`.
    if row.fee_schedule is None:
        return 0
    taken = Money(row.captured_minor, row.currency)
    return fees_on(schedule(conn, row.fee_schedule), row.carrier, taken).carrier_share_minor


def of_file(conn: Connection, file_id: str) -> int:
    """What the carrier keeps, with this file, of charges that go into escrow, less what it gives back of it.

    It does both as soon as it charges and refunds; we post nothing of it before the release, and then of less.
    """
    kept_minor = 0
    for _, told in groupby(conn.execute(_TOLD_ESCROW, {"file_id": file_id}), key=lambda row: row.id):
        mine = list(told)
        kept_minor += _kept(conn, mine) - _kept(conn, [row for row in mine if row.carrier_file_id < file_id])
    return kept_minor


def _kept(conn: Connection, told: Sequence[Row[Any]]) -> int:  # Any: rows of `_TOLD_ESCROW`.
    """The carrier's share of one payment after what it has *told* of it."""
    if not told:
        return 0
    captured_minor: int = told[0].captured_minor
    back_minor = 0
    for row in told:
        if row.said != "charged":
            back_minor += row.back_minor if row.kind == "refund" else captured_minor
    charged_minor = captured_minor if any(row.said == "charged" for row in told) else 0
    back_minor = min(back_minor, captured_minor)
    return in_escrow(conn, told[0], charged_minor) - in_escrow(conn, told[0], back_minor, is_back=True)


def in_escrow(
    conn: Connection,
    row: Row[Any],  # Any: of the table `payment`, or what `_TOLD_ESCROW` has of it.
    amount_minor: int,
    *,
    is_back: bool = False,
) -> int:
    """What the carrier keeps of *amount_minor* that went into escrow, or (*is_back*) gives back with it."""
    kept = Fees(carrier_share_minor=_by_schedule(conn, row))
    if is_back and row.fee_schedule is not None:
        kept = returnable(schedule(conn, row.fee_schedule), row.carrier, row.currency, kept)
    return given_back(kept, row.captured_minor, 0, amount_minor).carrier_share_minor


# All that this file and those before it tell of payments in escrow that it tells of.
_TOLD_ESCROW = text(
    "SELECT p.id, p.carrier, p.currency, p.fee_schedule, p.captured_minor, m.said, m.carrier_file_id, a.kind,"
    " a.amount_minor AS back_minor FROM payment p JOIN attempt a ON a.payment_id = p.id"
    " JOIN carrier_match m ON m.attempt_id = a.id AND m.said <> 'failed' AND m.carrier_file_id <= :file_id"
    " WHERE p.capture = 'escrow' AND p.captured_minor > 0 AND a.charge_attempt_id = p.attempt_id"
    " AND p.id IN (SELECT b.payment_id FROM carrier_match n JOIN attempt b ON b.id = n.attempt_id"
    " WHERE n.carrier_file_id = :file_id)"
    # What came back of the charge unasked is booked only if that was all that was left of it.
    " AND (m.said = 'charged' OR a.kind = 'refund' OR p.state = 'reversed') ORDER BY p.id"
)
