"""What the registry of carriers' files holds, and the orders of ours that a file's rows are about.

Reads, and the few statements that are about a whole file at once; rows are judged in `gateway.core.reconcile`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Row, func, select, text

from gateway.core.carrier_files import Row as Told
from gateway.core.carrier_files import Said
from gateway.core.ids import first_id_at
from gateway.core.reconcile import Ours
from gateway.store import bulk, carrier_shares, tables
from gateway.store.unit import Needs
from gateway.store.write_offs import OF_TAKEN, about

# An order may be this much older than its end. Ids have the time of the order, and none but the ids' index bounds the
# look; what nobody knew for longer than two months a person has ended, and knows that the day's file should tell it.
OPEN_FOR_MS = 62 * 24 * 3600 * 1000
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
    size_bytes: int | None
    """None: registered before this was kept."""
    proposed_minor: int | None = None
    """What one person says that the carrier paid, until another says the same."""
    proposed_by: str = ""
    proposal: str = ""
    """In that person's words."""
    remitted_by: str = ""
    """Who said so, and how they know; empty: the file's trailer."""


def take_turn(conn: Connection, carrier: str) -> None:
    """Until the commit nobody else writes of *carrier*'s files: what is read from now on is all that they have told."""
    if conn.dialect.name == "postgresql":  # On SQLite whoever writes is alone.
        conn.execute(text("SELECT pg_advisory_xact_lock(:n, hashtext(:carrier))"), {"n": _TURNS, "carrier": carrier})


def by_hash(conn: Connection, carrier: str, sha256: str) -> CarrierFile | None:
    """The file with just this content."""
    file = tables.carrier_file
    return _one(conn.execute(select(file).where(file.c.carrier == carrier, file.c.sha256 == sha256)).first())


def refused(conn: Connection, file_id: str) -> CarrierFile | None:
    """The file with this id, if nothing of it counts."""
    file = tables.carrier_file
    return _one(conn.execute(select(file).where(file.c.id == file_id, file.c.state == "refused")).first())


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


def called(conn: Connection, name: str) -> CarrierFile:
    """The file that counts with this id or name. Raise LookupError unless it is one."""
    file = tables.carrier_file
    counts = (file.c.id == name) | (file.c.name == name), file.c.state != "refused"
    found = conn.execute(select(file).where(*counts).limit(2)).all()
    if len(found) != 1:
        wrong = "two carriers have such a one; say its id" if found else "none was taken"
        raise LookupError(f"expected the id or the name of a carrier's file, got {name!r}: {wrong}")
    return CarrierFile(**found[0]._mapping)


def of_break(conn: Connection, break_id: str) -> tuple[str | None, str | None]:
    """The payment and the file that the break is about."""
    table = tables.open_break
    found = conn.execute(select(table.c.payment_id, table.c.carrier_file_id).where(table.c.id == break_id)).first()
    return (None, None) if found is None else (found.payment_id, found.carrier_file_id)


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


def unread(conn: Connection, carrier: str, before_ms: int) -> list[CarrierFile]:
    """Files that were registered before that time, and whose rows are not all matched."""
    file = tables.carrier_file
    found = select(file).where(file.c.carrier == carrier, file.c.state == "reading", file.c.at_ms < before_ms)
    return [CarrierFile(**row._mapping) for row in conn.execute(found.order_by(file.c.at_ms))]


def neighbours(conn: Connection, carrier: str, business_date: str) -> tuple[list[CarrierFile], list[CarrierFile]]:
    """The last file that counts of an earlier date, and the first one of a later: lists of one or none."""
    file = tables.carrier_file
    day, counts = file.c.business_date, (file.c.carrier == carrier) & (file.c.state != "refused")
    former = select(file).where(counts, day < business_date).order_by(day.desc(), file.c.sequence.desc()).limit(1)
    later = select(file).where(counts, day > business_date).order_by(day, file.c.sequence).limit(1)
    found = [[CarrierFile(**row._mapping) for row in conn.execute(one)] for one in (former, later)]
    return found[0], found[1]


def _one(row: Row[Any] | None) -> CarrierFile | None:  # Any: a row of the table `carrier_file`.
    return None if row is None else CarrierFile(**row._mapping)


def named_orders(
    conn: Connection,
    carrier: str,
    attempt_ids: Collection[str],
    references: Collection[str],
    naming: Callable[[str], tuple[str, ...]] | None = None,
) -> tuple[dict[str, Ours], dict[str, Ours], dict[str, list[Ours]]]:
    """The orders at *carrier* with these ids, those with these references, and by payment all of its orders.

    *naming*: what its files may call an order that we know by a reference; None: just that.
    """
    attempt = tables.attempt
    named = list(bulk.select_in(conn, attempt, "id", sorted(attempt_ids)))
    named += bulk.select_in(conn, attempt, "carrier_reference", sorted(references))
    other_names = bulk.select_in(conn, tables.attempt_name, "name", sorted(references))
    named += bulk.select_in(conn, attempt, "id", sorted({row.attempt_id for row in other_names}))
    payment_ids = sorted({row.payment_id for row in named})
    payments = bulk.select_in(conn, tables.payment, "id", payment_ids)
    own = {row.id for row in payments if row.carrier == carrier}
    rows = bulk.select_in(conn, attempt, "payment_id", sorted(own), order_by=_OLDEST_FIRST)
    entries = list(bulk.select_in(conn, tables.entry, "payment_id", payment_ids))
    shares = carrier_shares.of_charges(conn, carrier, payment_ids, entries)
    given_up = {row.payment_id for row in entries if row.kind == "write_off"}
    called = {row.id: names_of(row.carrier_reference, naming) for row in rows}
    for row in bulk.select_in(conn, tables.attempt_name, "attempt_id", sorted(called)):
        called[row.attempt_id].add(row.name)
    orders = [_ours(row, shares, given_up, called[row.id]) for row in rows]
    of_payment: dict[str, list[Ours]] = {}
    for order in orders:
        of_payment.setdefault(order.payment_id, []).append(order)
    by_id = {order.id: order for order in orders}
    # A reversal may carry the reference of its charge: what is named by it is the charge.
    by_reference = {name: order for order in reversed(orders) for name in order.names}
    return by_id, by_reference, of_payment


# Ids of captures end with a number: the tenth does not sort behind the third, but it is longer.
_OLDEST_FIRST = "created_at_ms, length(id), id"


def names_of(reference: str | None, naming: Callable[[str], tuple[str, ...]] | None) -> set[str]:
    """What the carrier's files may call an order that it calls *reference* itself."""
    if reference is None:
        return set()
    return {reference} if naming is None else set(naming(reference))


def _ours(
    row: Row[Any],  # Any: a row of the table `attempt`.
    shares: Mapping[tuple[str, str], int],
    given_up: Collection[str] = (),
    called: Collection[str] = (),
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
        names=frozenset(called),
        is_given_up=row.payment_id in given_up,
    )


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


def phones(conn: Connection, payment_ids: Collection[str]) -> dict[str, str]:
    """The numbers of these payments' phones, to be compared and not shown."""
    payments = bulk.select_in(conn, tables.payment, "id", sorted(payment_ids))
    consumers = bulk.select_in(conn, tables.consumer, "id", sorted({row.consumer_id for row in payments}))
    numbers = {row.id: row.msisdn for row in consumers}
    return {row.id: numbers[row.consumer_id] for row in payments}


def names(told: Sequence[Told]) -> tuple[set[str], set[str]]:
    """The attempts' ids in these rows, and the carrier's references where there is no id."""
    ids = {row.attempt_id for row in told if row.attempt_id}
    return ids, {row.carrier_reference for row in told if not row.attempt_id}


def matched(conn: Connection, attempt_ids: Collection[str]) -> dict[tuple[str, str], tuple[str, int]]:
    """(attempt, what was said) → (file, line) of the first row that said so."""
    rows = bulk.select_in(conn, tables.carrier_match, "attempt_id", sorted(attempt_ids))
    return {(row.attempt_id, row.said): (row.carrier_file_id, row.line) for row in rows}


def untold(conn: Connection, carrier: str, from_ms: int, until_ms: int) -> Iterator[list[Ours]]:
    """Orders that succeeded between the two times and that no file has told of, page by page."""
    for prefix in ORDER_PREFIXES:
        # The ids of captures and reversals have the time of the reservation or the charge.
        after = first_id_at(prefix, max(0, from_ms - OPEN_FOR_MS))
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
                # Of what was held the carrier may have taken a part.
                yield [replace(_ours(row, {}), amount_minor=row.unasked_minor or row.amount_minor) for row in page]
            if len(page) < MISSING_PAGE:
                break
            after = page[-1].id


ORDER_PREFIXES = ("att_", "cap_", "rev_", "ref_")
"""Of the ids that carriers see; the time in them bounds what has to be looked at."""

# Of attempt `a` and match `m`: the row tells that the order happened. What came back of a charge is not the charge.
_TELLS = "m.said <> 'failed' AND (m.said = 'charged') = (a.kind NOT IN ('reverse', 'refund'))"
# Reservations move no money unless the carrier took it unasked: what was ordered stands under the capture. Of a release
# there is nothing to tell.
_UNTOLD = text(
    "SELECT a.*, (SELECT b.amount_minor FROM attempt b WHERE b.payment_id = a.payment_id"
    " AND b.charge_attempt_id = a.id AND b.kind = 'reverse' AND a.kind = 'reserve') AS unasked_minor"
    " FROM attempt a JOIN payment p ON p.id = a.payment_id AND p.carrier = :carrier"
    " WHERE a.id > :after AND a.id < :last AND a.ended_at_ms >= :from_ms AND a.ended_at_ms < :until_ms"
    " AND a.status IN ('succeeded', 'late') AND a.kind <> 'release' AND (a.kind <> 'reserve' OR EXISTS"
    " (SELECT 1 FROM entry e WHERE e.source_type = 'attempt' AND e.source_id = a.id AND e.kind = 'late_charge')"
    " AND NOT EXISTS (SELECT 1 FROM attempt c WHERE c.payment_id = a.payment_id AND c.charge_attempt_id = a.id"
    " AND c.kind = 'capture' AND c.status IN ('succeeded', 'late')))"
    f" AND NOT EXISTS (SELECT 1 FROM carrier_match m WHERE m.attempt_id = a.id AND {_TELLS})"
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
    sums: Counter[str] = Counter()
    for statement in (_TOLD_SUMS, _WRITTEN_OFF):
        for row in conn.execute(statement, values):
            sums[row.account] += int(row.amount_minor)
    # Until it is released, and its fees are posted, `share_payable` is what the carrier has kept too early.
    in_escrow = carrier_shares.of_file(conn, file_id)
    return sums[values["receivable"]], in_escrow - sums[values["share"]]


# Two persons gave up what the carrier will not pay for orders that the file tells of. It begins at what the file tells,
# and is done with that before any leg is looked at: a carrier's accounts have a leg for every payment there ever was.
_WRITTEN_OFF = text(
    "WITH given_up AS MATERIALIZED ("
    'SELECT e.id FROM "break" b'
    " JOIN entry e ON e.source_type = 'break' AND e.source_id = b.id AND e.kind IN ('write_off', 'write_off_undone')"
    " WHERE b.carrier_file_id = :file_id AND b.kind IN ('amount', 'fee', 'remittance')"
    # Given up as not charged, and still the file tells that it was.
    " UNION SELECT e.id FROM carrier_match m JOIN attempt a ON a.id = m.attempt_id"
    " JOIN entry e ON e.payment_id = a.payment_id AND e.source_type = 'break'"
    " AND e.kind IN ('write_off', 'write_off_undone')"
    " JOIN \"break\" b ON b.id = e.source_id AND b.kind IN ('missing_at_carrier', 'status')"
    " JOIN leg l ON l.entry_id = e.id AND l.account = :receivable"
    f" WHERE m.carrier_file_id = :file_id AND m.said = 'charged' AND {OF_TAKEN} AND {about('b.detail', 'a.id')})"
    " SELECT k.account, sum(k.amount_minor) AS amount_minor FROM given_up g"
    " JOIN leg k ON k.entry_id = g.id AND k.account IN (:receivable, :share) GROUP BY k.account"
)

# Which entries belong to an order: those of its charge, or of what it gave back.
_TOLD_SUMS = text(
    "SELECT l.account, sum(l.amount_minor) AS amount_minor FROM carrier_match m JOIN attempt a ON a.id = m.attempt_id"
    " JOIN entry e ON e.payment_id = a.payment_id AND ("
    " m.said = 'charged' AND a.kind NOT IN ('reverse', 'refund') AND e.kind IN ('capture', 'late_charge')"
    " AND e.source_id = a.charge_attempt_id"
    " OR m.said = 'reversed' AND a.kind NOT IN ('reverse', 'refund') AND e.kind = 'clawback'"
    " OR m.said IN ('reversed', 'refunded') AND a.kind = 'reverse' AND e.kind = 'reversal'"
    " AND e.source_id = a.charge_attempt_id"
    " OR m.said IN ('reversed', 'refunded') AND a.kind = 'refund' AND e.kind IN ('refund_succeeded', 'late_refund')"
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
_NAMED = "CASE m.said WHEN 'charged' THEN a.charge_attempt_id ELSE a.id END"
_MARK_REMITTED = text(
    "INSERT INTO remitted_attempt (attempt_id, carrier_file_id, at_ms)"
    f" SELECT DISTINCT {_NAMED}, m.carrier_file_id,"
    " CAST(:now_ms AS bigint) FROM carrier_match m JOIN attempt a ON a.id = m.attempt_id"
    f" WHERE m.carrier_file_id = :file_id AND {_TELLS}"
    f" AND NOT EXISTS (SELECT 1 FROM remitted_attempt r WHERE r.attempt_id = {_NAMED})"
)
