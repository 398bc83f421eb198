"""Breaks and quarantined jobs, as the person sees them who must look at each: list them, and say how one was settled.

Nothing here moves a payment. What was settled stays on record with who said so, when, and in which words.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from gateway.core.dispute import OPEN_STATES
from gateway.core.inquiries import doubt_words, kept_words
from gateway.core.payment import BreakKind
from gateway.store import tables
from gateway.store.listed import Listed, first_of

TABLES = {"break": tables.open_break, "quarantine": tables.quarantine}
NOTE_CHARACTERS_MAX = 1_000


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. `kind` of a quarantined job is `carrier_fact` or `own_job`."""

    id: str
    kind: str
    payment_id: str | None
    detail: str
    at_ms: int
    resolved_at_ms: int | None
    resolved_by: str
    resolution: str
    owner: str = ""
    """Of a break, as the next three: who looks at it."""
    amount_minor: int | None = None
    """Money at risk; None: nobody can say."""
    currency: str = ""
    proposed_by: str = ""
    """Who would write it off; another person has to agree."""


def list_cases(conn: Connection, name: str, *, kind: str = "", with_resolved: bool = False) -> Listed[Case]:
    """The open cases of table *name*, oldest first; with *with_resolved* also the others. *kind*: breaks of that."""
    table = TABLES[name]
    statement = select(table).order_by(table.c.at_ms, table.c.id)
    if not with_resolved:
        statement = statement.where(table.c.resolved_at_ms.is_(None))
    if kind:
        statement = statement.where(table.c.kind == kind)
    return first_of(conn, statement, lambda row: _case(name, row))


def _case(name: str, row: Row[Any]) -> Case:  # Any: a row of one of the two tables.
    is_break = name == "break"
    return Case(
        id=row.id,
        kind=row.kind if is_break else ("carrier_fact" if row.is_carrier_fact else "own_job"),
        payment_id=row.payment_id if is_break else None,
        detail=row.detail if is_break else f"{row.error} in {row.job}",
        at_ms=row.at_ms,
        resolved_at_ms=row.resolved_at_ms,
        resolved_by=row.resolved_by,
        resolution=row.resolution,
        owner=row.owner if is_break else "",
        amount_minor=row.amount_minor if is_break else None,
        currency=row.currency if is_break else "",
        proposed_by=row.proposed_by if is_break else "",
    )


def assign(conn: Connection, break_id: str, owner: str) -> Case:
    """Say who looks at an open break. Raise LookupError or ValueError as `resolve`."""
    table = tables.open_break
    case = open_case(conn, "break", break_id)
    conn.execute(update(table).where(table.c.id == break_id).values(owner=owner))
    return msgspec.structs.replace(case, owner=owner)


def open_case(conn: Connection, name: str, case_id: str) -> Case:
    """The case, locked. Raise LookupError if there is none, ValueError if it was settled before."""
    table = TABLES[name]
    found = conn.execute(select(table).where(table.c.id == case_id).with_for_update()).first()
    if found is None:
        raise LookupError(f"expected the id of a {name} row, got {case_id!r}: there is none")
    if found.resolved_at_ms is not None:
        raise ValueError(f"{case_id} was resolved before, by {found.resolved_by or 'somebody'}: {found.resolution}")
    return _case(name, found)


def settle_breaks(conn: Connection, ids: Sequence[str], words: str, now_ms: int, *, by: str = "reconcile") -> int:
    """What a carrier's file explained, or what has ended, needs no person any more. Return how many were open."""
    if not ids:
        return 0
    table = TABLES["break"]
    settled = {"resolved_at_ms": now_ms, "resolved_by": by, "resolution": words}
    still_open = update(table).where(table.c.id.in_(ids), table.c.resolved_at_ms.is_(None))
    return conn.execute(still_open.values(**settled)).rowcount


def resolve(conn: Connection, name: str, case_id: str, *, by: str, note: str, now_ms: int) -> Case:
    """Record that a person settled the case. Raise LookupError if there is none, ValueError if it was settled before.

    The first word stands: two people who settle the same break must learn of each other. Of what a carrier pays for a
    file one person's word is not enough: nothing of it would ever be booked. Nor does a word end an order that still
    runs: it would only silence it.
    """
    if name == "break":
        _expect_no_open_remittance(conn, case_id)
        case = open_case(conn, name, case_id)
        _expect_no_running_order(conn, case)
        _expect_no_open_dispute(conn, case)
    return put_on_record(conn, name, case_id, by=by, note=note, now_ms=now_ms)


def _expect_no_open_remittance(conn: Connection, break_id: str) -> None:
    broken, file = tables.open_break, tables.carrier_file
    of_break = (
        select(file)
        .join(broken, broken.c.carrier_file_id == file.c.id)
        .where(broken.c.id == break_id, broken.c.kind == BreakKind.REMITTANCE, broken.c.resolved_at_ms.is_(None))
    )
    found = conn.execute(of_break).first()
    if found is not None and found.remittance == "open":
        raise ValueError(
            f"{break_id}: nothing is booked of what {found.carrier} pays for {found.name} as long as the sums differ:"
            f" settle the file's other breaks and give it to `gateway reconcile` again, or let two persons"
            f" `gateway breaks write-off` the difference"
        )


def _expect_no_running_order(conn: Connection, case: Case) -> None:
    order = order_of(conn, case)
    if order is None or order.status != "running":
        return
    if case.kind == BreakKind.REVERSAL_DECLINED:
        wanted = (
            f"its payment is not over: once the phone's owner has the money, `gateway breaks decide {case.id} happened`"
        )
    else:
        wanted = f"ask the carrier, and `gateway breaks decide {case.id}` what it answers"
    raise ValueError(f"{case.id}: {order.id} has not ended, and to resolve this would only hide it; {wanted}")


def _expect_no_open_dispute(conn: Connection, case: Case) -> None:
    if case.kind != BreakKind.DISPUTE:
        return
    of = tables.dispute.c
    open_one = select(of.id).where(of.payment_id == case.payment_id, of.state.in_(OPEN_STATES))
    dispute_id = conn.execute(open_one).scalar()
    if dispute_id is not None:
        raise ValueError(
            f"{case.id}: {dispute_id} still holds its money; `gateway dispute decide {dispute_id}` ends it"
        )


def order_of(conn: Connection, case: Case) -> Row[Any] | None:  # Any: a row of the table `attempt`.
    """The order that the break says to have no outcome, or to be a reversal that was declined."""
    attempt = tables.attempt
    orders = conn.execute(select(attempt).where(attempt.c.payment_id == case.payment_id)).all()
    return next((one for one in orders if _is_about(case, one.id)), None)


def _is_about(case: Case, order_id: str) -> bool:
    if case.kind == BreakKind.REVERSAL_DECLINED:
        return case.detail.startswith(kept_words(order_id))
    return case.kind == BreakKind.UNKNOWN_OUTCOME and case.detail == doubt_words(order_id)


def reopen_doubts(conn: Connection, opened: Sequence[Mapping[str, Any]]) -> None:  # Any: columns of a break.
    """Nobody knows, once more, what became of an order, whatever was said before: it is a break again.

    Of all others what is told once more is the same break. The former words stay until it is resolved again.
    """
    table = TABLES["break"]
    ids = [one["id"] for one in opened if one["kind"] == BreakKind.UNKNOWN_OUTCOME]
    if ids:
        again = update(table).where(table.c.id.in_(ids), table.c.resolved_at_ms.is_not(None))
        conn.execute(again.values(resolved_at_ms=None))


def put_on_record(conn: Connection, name: str, case_id: str, *, by: str, note: str, now_ms: int) -> Case:
    """As `resolve`, for whoever has done what the case wants."""
    table = TABLES[name]
    case = open_case(conn, name, case_id)
    settled = {"resolved_at_ms": now_ms, "resolved_by": by, "resolution": note}
    conn.execute(update(table).where(table.c.id == case_id).values(**settled))
    return msgspec.structs.replace(case, **settled)
