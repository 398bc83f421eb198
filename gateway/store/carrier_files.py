"""What the registry of carriers' files holds, and the orders of ours that a file's rows are about.

Reads, and the few statements that are about a whole file at once; rows are judged in `gateway.core.reconcile`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select, text

from gateway.core.carrier_files import Row as Told
from gateway.core.carrier_files import Said
from gateway.core.fees import Fees, fees_on, given_back, returnable
from gateway.core.ids import first_id_at
from gateway.core.money import Money
from gateway.core.payment import Capture
from gateway.core.reconcile import Ours
from gateway.store import bulk, tables
from gateway.store.fee_schedules import schedule
from gateway.store.unit import Needs

# An attempt may be this much older than its end: unknown outcomes take a day and more.
OPEN_FOR_MS = 7 * 24 * 3600 * 1000
MISSING_PAGE = 1_000
_TURNS = 7_366_001
"""Of advisory locks: the carriers' turns."""


class CarrierFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it is registered."""

    id: str
    carrier: str
    business_date: str
    sequence: int | None
    name: str
    sha256: str
    state: str
    """`reading` until every row is matched, then `taken`; or `refused`: nothing of it counts."""
    rows: int
    total_minor: int
    currency: str
    remitted_minor: int | None
    remittance: str
    """`none`, `open` or `posted`."""
    detail: str
    at_ms: int


def take_turn(conn: Connection, carrier: str) -> None:
    """Until the commit nobody else writes of *carrier*'s files: what is read from now on is all that they have told."""
    if conn.dialect.name == "postgresql":  # On SQLite whoever writes is alone.
        conn.execute(text("SELECT pg_advisory_xact_lock(:n, hashtext(:carrier))"), {"n": _TURNS, "carrier": carrier})


def by_hash(conn: Connection, carrier: str, sha256: str) -> CarrierFile | None:
    """The file with just this content."""
    file = tables.carrier_file
    return _one(conn.execute(select(file).where(file.c.carrier == carrier, file.c.sha256 == sha256)).first())


def in_its_place(conn: Connection, carrier: str, business_date: str, sequence: int | None) -> CarrierFile | None:
    """The file that counts for this date and number."""
    file = tables.carrier_file
    found = select(file).where(
        file.c.carrier == carrier, file.c.business_date == business_date, file.c.state != "refused"
    )
    found = found.where(file.c.sequence == sequence if sequence is not None else file.c.sequence.is_(None))
    return _one(conn.execute(found).first())


def locked(conn: Connection, file_id: str) -> CarrierFile:
    """The file as it is now; whoever changes what is owed for it, or for another of its carrier, waits for its turn."""
    file = tables.carrier_file
    of = select(file).where(file.c.id == file_id)
    take_turn(conn, conn.execute(of).one().carrier)
    return CarrierFile(**conn.execute(of).one()._mapping)


def of_break(conn: Connection, break_id: str) -> tuple[str | None, str | None]:
    """The payment and the file that the break is about."""
    table = tables.open_break
    found = conn.execute(select(table.c.payment_id, table.c.carrier_file_id).where(table.c.id == break_id)).first()
    return (None, None) if found is None else (found.payment_id, found.carrier_file_id)


def owed_minor(conn: Connection, payment_id: str, carrier: str) -> int:
    """What by our books the carrier still owes for what it took for a payment."""
    values = {"payment_id": payment_id, "receivable": f"carrier:{carrier}:receivable"}
    return int(conn.execute(_OWED, values).scalar_one())


_OWED = text(
    "SELECT coalesce(sum(l.amount_minor), 0) FROM entry e JOIN leg l ON l.entry_id = e.id AND l.account = :receivable"
    " WHERE e.payment_id = :payment_id AND (e.kind IN ('write_off', 'write_off_undone')"
    " OR e.kind IN ('capture', 'late_charge')"
    " AND NOT EXISTS (SELECT 1 FROM remitted_attempt r WHERE r.attempt_id = e.source_id))"
)


def sequences(conn: Connection, carrier: str, *, business_date: str | None = None) -> list[int]:
    """The largest number of a file that counts, in a list; empty if there is none. *business_date*: of that date."""
    file = tables.carrier_file
    statement = select(func.max(file.c.sequence)).where(file.c.carrier == carrier, file.c.state != "refused")
    if business_date is not None:
        statement = statement.where(file.c.business_date == business_date)
    found = conn.execute(statement).scalar_one()
    return [] if found is None else [int(found)]


def latest_date(conn: Connection, carrier: str) -> date | None:
    """The newest business date of a file that counts."""
    file = tables.carrier_file
    statement = select(func.max(file.c.business_date)).where(file.c.carrier == carrier, file.c.state != "refused")
    found = conn.execute(statement).scalar_one()
    return None if found is None else date.fromisoformat(found)


def _one(row: Row[Any] | None) -> CarrierFile | None:  # Any: a row of the table `carrier_file`.
    return None if row is None else CarrierFile(**row._mapping)


def named_orders(
    conn: Connection, carrier: str, attempt_ids: Collection[str], references: Collection[str]
) -> tuple[dict[str, Ours], dict[str, Ours], dict[str, list[Ours]]]:
    """The orders at *carrier* with these ids, those with these references, and by payment all of its orders."""
    attempt = tables.attempt
    named = list(bulk.select_in(conn, attempt, "id", sorted(attempt_ids)))
    named += bulk.select_in(conn, attempt, "carrier_reference", sorted(references))
    payment_ids = sorted({row.payment_id for row in named})
    payments = bulk.select_in(conn, tables.payment, "id", payment_ids)
    own = {row.id for row in payments if row.carrier == carrier}
    rows = bulk.select_in(conn, attempt, "payment_id", sorted(own), order_by="id")
    entries = list(bulk.select_in(conn, tables.entry, "payment_id", payment_ids))
    shares = _shares(conn, carrier, payment_ids, entries)
    given_up = {row.payment_id for row in entries if row.kind == "write_off"}
    orders = [_ours(row, shares, given_up) for row in rows]
    of_payment: dict[str, list[Ours]] = {}
    for order in orders:
        of_payment.setdefault(order.payment_id, []).append(order)
    by_id = {order.id: order for order in orders}
    # A reversal may carry the reference of its charge: what is named by it is the charge.
    by_reference = {order.carrier_reference: order for order in reversed(orders) if order.carrier_reference}
    return by_id, by_reference, of_payment


def _ours(
    row: Row[Any],  # Any: a row of the table `attempt`.
    shares: Mapping[tuple[str, str], int],
    given_up: Collection[str] = (),
) -> Ours:
    return Ours(
        id=row.id,
        payment_id=row.payment_id,
        kind=row.kind,
        charge_attempt_id=row.charge_attempt_id,
        amount_minor=row.amount_minor,
        currency=row.currency,
        status=row.status,
        carrier_reference=row.carrier_reference,
        share_minor=shares.get((row.payment_id, row.charge_attempt_id)),
        is_given_up=row.payment_id in given_up,
    )


def _shares(
    conn: Connection,
    carrier: str,
    payment_ids: Sequence[str],
    entries: Sequence[Row[Any]],  # Any: all rows of the table `entry` about these payments.
) -> dict[tuple[str, str], int]:
    """(payment, charge) → the carrier's share that was posted with its capture."""
    captures = {row.id: (row.payment_id, row.source_id) for row in entries if row.kind == "capture"}
    shares = dict.fromkeys(captures.values(), 0)
    account = f"carrier:{carrier}:share_payable"
    for leg in bulk.select_in(conn, tables.leg, "entry_id", sorted(captures)):
        if leg.account == account:
            shares[captures[leg.entry_id]] -= leg.amount_minor
    for row in bulk.select_in(conn, tables.payment, "id", payment_ids):
        if row.capture == Capture.ESCROW and row.attempt_id is not None:
            shares[row.id, row.attempt_id] = _share_by_schedule(conn, row)
    return shares


def _share_by_schedule(conn: Connection, row: Row[Any]) -> int:  # Any: a row of the table `payment`.
    """The carrier keeps its share of what goes into escrow at once; we post it when the money comes out."""
    if row.fee_schedule is None:
        return 0
    taken = Money(row.captured_minor, row.currency)
    return fees_on(schedule(conn, row.fee_schedule), row.carrier, taken).carrier_share_minor


def movable(conn: Connection, carrier: str, told: Sequence[Told]) -> Needs:
    """The payments that these rows may move, and their consumers: to be locked before."""
    ids, references = names(told)
    by_id, by_reference, of_payment = named_orders(conn, carrier, ids, references)
    moving = {payment for payment, orders in of_payment.items() if any(not one.has_succeeded for one in orders)}
    taken_back = [row for row in told if row.said is Said.REVERSED]
    orders = [by_id.get(row.attempt_id) or by_reference.get(row.carrier_reference) for row in taken_back]
    moving |= {order.payment_id for order in orders if order is not None}
    moving |= {payment for payment, orders in of_payment.items() if any(one.is_given_up for one in orders)}
    rows = bulk.select_in(conn, tables.payment, "id", sorted(moving))
    return Needs(payment_ids=tuple(row.id for row in rows), consumer_ids=tuple({row.consumer_id for row in rows}))


def names(told: Sequence[Told]) -> tuple[set[str], set[str]]:
    """The attempts' ids in these rows, and the carrier's references where there is no id."""
    ids = {row.attempt_id for row in told if row.attempt_id}
    return ids, {row.carrier_reference for row in told if not row.attempt_id}


def matched(conn: Connection, attempt_ids: Collection[str]) -> dict[tuple[str, str], tuple[str, int]]:
    """(attempt, what was said) → (file, line) of the first row that said so."""
    rows = bulk.select_in(conn, tables.carrier_match, "attempt_id", sorted(attempt_ids))
    return {(row.attempt_id, row.said): (row.carrier_file_id, row.line) for row in rows}


def written_off(conn: Connection, order: Ours, missing_id: str) -> dict[str, int]:
    """The breaks that say that *order* was not charged, written off and not undone → how much (minor units).

    *missing_id*: the break that says that no file has it.
    """
    values = {"payment_id": order.payment_id, "attempt_id": order.id, "missing_id": missing_id}
    return {row.id: int(row.amount_minor) for row in conn.execute(_NOT_CHARGED, values)}


_NOT_CHARGED = text(
    'SELECT b.id, l.amount_minor FROM "break" b'
    " JOIN entry e ON e.source_type = 'break' AND e.source_id = b.id AND e.kind = 'write_off'"
    " JOIN leg l ON l.entry_id = e.id AND l.account = 'write_off'"
    " WHERE e.payment_id = :payment_id AND (b.id = :missing_id OR b.kind = 'status' AND EXISTS ("
    "SELECT 1 FROM carrier_match m WHERE m.attempt_id = :attempt_id AND m.said = 'failed'"
    " AND m.carrier_file_id = b.carrier_file_id))"
    " AND NOT EXISTS (SELECT 1 FROM entry u WHERE u.source_type = 'break' AND u.source_id = b.id"
    " AND u.kind = 'write_off_undone')"
)


def untold(conn: Connection, carrier: str, from_ms: int, until_ms: int) -> Iterator[list[Ours]]:
    """Orders that succeeded between the two times and that no file has told of, page by page."""
    for prefix in ORDER_PREFIXES:
        # A capture's id has the time of its reservation.
        after = first_id_at(prefix, max(0, from_ms - (2 * OPEN_FOR_MS if prefix == "cap_" else OPEN_FOR_MS)))
        last = first_id_at(prefix, until_ms)
        while True:
            values = {
                "carrier": carrier,
                "after": after,
                "last": last,
                "from_ms": from_ms,
                "until_ms": until_ms,
                "n": MISSING_PAGE,
            }
            page = conn.execute(_UNTOLD, values).all()
            if page:
                yield [_ours(row, {}) for row in page]
            if len(page) < MISSING_PAGE:
                break
            after = page[-1].id


ORDER_PREFIXES = ("att_", "cap_", "rev_", "ref_")
"""Of the ids that carriers see; the time in them bounds what has to be looked at."""

# Reservations move no money, and of a release there is nothing to tell.
_UNTOLD = text(
    "SELECT a.* FROM attempt a JOIN payment p ON p.id = a.payment_id AND p.carrier = :carrier"
    " WHERE a.id > :after AND a.id < :last AND a.ended_at_ms >= :from_ms AND a.ended_at_ms < :until_ms"
    " AND a.status IN ('succeeded', 'late') AND a.kind NOT IN ('reserve', 'release')"
    " AND NOT EXISTS (SELECT 1 FROM carrier_match m WHERE m.attempt_id = a.id AND m.said <> 'failed')"
    " ORDER BY a.id LIMIT :n"
)


def told_sums(conn: Connection, carrier: str, file_id: str) -> tuple[int, int]:
    """(receivable, carrier's share) that our books have for what the file tells of.

    What was written off of it is taken off.
    """
    values = {
        "file_id": file_id,
        "receivable": f"carrier:{carrier}:receivable",
        "share": f"carrier:{carrier}:share_payable",
    }
    sums = {row.account: int(row.amount_minor) for row in conn.execute(_TOLD_SUMS, values)}
    # Until it is released, and its fees are posted, `share_payable` is what the carrier has kept too early.
    in_escrow = _shares_of_escrow(conn, file_id)
    written_off: int = conn.execute(_WRITTEN_OFF, values).scalar_one()
    return sums.get(values["receivable"], 0) + int(written_off), in_escrow - sums.get(values["share"], 0)


def _shares_of_escrow(conn: Connection, file_id: str) -> int:
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
    share_minor = _share_by_schedule(conn, told[0])
    back_minor = 0
    for row in told:
        if row.said != "charged":
            back_minor += row.back_minor if row.kind == "refund" else captured_minor
    returned = Fees(carrier_share_minor=share_minor)
    if told[0].fee_schedule is not None:
        returned = returnable(schedule(conn, told[0].fee_schedule), told[0].carrier, told[0].currency, returned)
    gone = given_back(returned, captured_minor, 0, min(back_minor, captured_minor))
    return share_minor * any(row.said == "charged" for row in told) - gone.carrier_share_minor


# All that this file and those before it tell of payments in escrow that it tells of.
_TOLD_ESCROW = text(
    "SELECT p.id, p.carrier, p.currency, p.fee_schedule, p.captured_minor, m.said, m.carrier_file_id, a.kind,"
    " a.amount_minor AS back_minor FROM payment p JOIN attempt a ON a.payment_id = p.id"
    " JOIN carrier_match m ON m.attempt_id = a.id AND m.said <> 'failed' AND m.carrier_file_id <= :file_id"
    " WHERE p.capture = 'escrow' AND p.captured_minor > 0 AND a.charge_attempt_id = p.attempt_id"
    " AND p.id IN (SELECT b.payment_id FROM carrier_match n JOIN attempt b ON b.id = n.attempt_id"
    " WHERE n.carrier_file_id = :file_id) ORDER BY p.id"
)

# Two persons gave up what the carrier will not pay for orders that the file tells of.
_WRITTEN_OFF = text(
    'SELECT coalesce(sum(l.amount_minor), 0) FROM "break" b'
    " JOIN entry e ON e.source_type = 'break' AND e.source_id = b.id AND e.kind IN ('write_off', 'write_off_undone')"
    " JOIN leg l ON l.entry_id = e.id AND l.account = :receivable"
    " WHERE b.carrier_file_id = :file_id AND b.kind IN ('amount', 'fee', 'remittance')"
    # Given up as not charged, and still the file tells that it was.
    " OR b.kind IN ('missing_at_carrier', 'status') AND EXISTS (SELECT 1 FROM attempt a JOIN carrier_match m"
    " ON m.attempt_id = a.id AND m.said = 'charged' AND m.carrier_file_id = :file_id"
    " WHERE a.payment_id = b.payment_id)"
)

# Which entries belong to an order: those of its charge, or of what it gave back.
_TOLD_SUMS = text(
    "SELECT l.account, sum(l.amount_minor) AS amount_minor FROM carrier_match m JOIN attempt a ON a.id = m.attempt_id"
    " JOIN entry e ON e.payment_id = a.payment_id AND ("
    " m.said = 'charged' AND e.kind IN ('capture', 'late_charge') AND e.source_id = a.charge_attempt_id"
    " OR m.said = 'reversed' AND a.kind NOT IN ('reverse', 'refund') AND e.kind = 'clawback'"
    " OR m.said IN ('reversed', 'refunded') AND a.kind = 'reverse' AND e.kind = 'reversal'"
    " AND e.source_id = a.charge_attempt_id"
    " OR m.said IN ('reversed', 'refunded') AND a.kind = 'refund' AND e.kind = 'refund_succeeded'"
    " AND e.source_id = a.id)"
    " JOIN leg l ON l.entry_id = e.id AND l.account IN (:receivable, :share)"
    # The share of what goes into escrow is reckoned apart.
    " JOIN payment p ON p.id = a.payment_id AND (p.capture <> 'escrow' OR l.account = :receivable)"
    " WHERE m.carrier_file_id = :file_id GROUP BY l.account"
)


def mark_remitted(conn: Connection, file_id: str, now_ms: int) -> None:
    """The carrier has paid for all that this file tells of."""
    conn.execute(_MARK_REMITTED, {"file_id": file_id, "now_ms": now_ms})


# Settlement asks for what stands in the entry of a capture: the charge or the reservation.
_MARK_REMITTED = text(
    "INSERT INTO remitted_attempt (attempt_id, carrier_file_id, at_ms)"
    " SELECT DISTINCT CASE m.said WHEN 'charged' THEN a.charge_attempt_id ELSE a.id END, m.carrier_file_id,"
    " CAST(:now_ms AS bigint) FROM carrier_match m JOIN attempt a ON a.id = m.attempt_id"
    " WHERE m.carrier_file_id = :file_id AND m.said <> 'failed' AND NOT EXISTS (SELECT 1 FROM remitted_attempt r"
    " WHERE r.attempt_id = CASE m.said WHEN 'charged' THEN a.charge_attempt_id ELSE a.id END)"
)
