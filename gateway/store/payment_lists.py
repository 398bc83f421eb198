"""A merchant's payments in pages, newest first: filtered, by phone, and for exports oldest first.

Pages are cut by id. Ids hold the time of their making, so a span of time is a stretch of the merchant's index.
"""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, select, text

from gateway.core.ids import first_id_at
from gateway.core.payment import PUBLIC_STATES, PublicState, Reason, State
from gateway.store import tables
from gateway.store.merchant_reads import SHOWN, Owner, Shown, owned, owned_among
from gateway.store.queries import payment_from_row

# Ids are made by a process's clock, payments' times by the batch's; no two clocks are this far apart.
CLOCKS_APART_MS = 600_000
# One look goes through so many payments at most: a filter that none of ten million passes would hold a reader for
# minutes.
LOOKED_THROUGH_MAX = 100_000
# The predicate of the index `payment_by_state`, in its own words, so that it is used.
NOT_CAPTURED = text("payment.state <> 'captured'")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which payments; what is None does not matter."""

    created_from_ms: int | None = None
    created_before_ms: int | None = None
    status: PublicState | None = None
    reason: Reason | None = None
    carrier: str | None = None
    currency: str | None = None
    reference: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None


class Found(msgspec.Struct, frozen=True):
    """Payments, newest first."""

    payments: list[Shown]
    looked_to_id: str | None = None
    """The last payment that was looked at, if there may be others behind it; None: it was looked at all."""


def payments(
    conn: Connection,
    owner: Owner,
    wanted: Wanted,
    *,
    limit: int,
    older_than: str | None = None,
    newer_than: str | None = None,
) -> Found:
    """At most *limit* payments next to an id, those nearest to it; without an id the newest."""
    looked_to_id = None if _has_its_index(wanted) else _end_of_look(conn, owner, wanted, older_than, newer_than)
    statements = _statements(owner, wanted)
    if looked_to_id is not None:
        column = tables.payment.c.id
        inside = column >= looked_to_id if newer_than is None else column <= looked_to_id
        statements = [statement.where(inside) for statement in statements]
    found = [
        shown for statement in statements for shown in _newest_first(conn, statement, limit, older_than, newer_than)
    ]
    found.sort(key=_id, reverse=True)
    return Found(found[:limit] if newer_than is None else found[-limit:], looked_to_id)


def payments_of_phone(
    conn: Connection,
    owner: Owner,
    msisdn: str,
    *,
    limit: int,
    older_than: str | None = None,
    newer_than: str | None = None,
) -> Found:
    """The owner's payments with one number, as `payments` has them."""
    consumer = tables.consumer.c
    # Looked up first, so that the phone's own index is used, and not the merchant's whole one.
    phones = conn.execute(select(consumer.id).where(consumer.msisdn == msisdn)).scalars().all()
    statement = SHOWN.where(tables.payment.c.consumer_id.in_(phones), owned_among(tables.payment, owner))
    return Found(_newest_first(conn, statement, limit, older_than, newer_than))


def payments_onward(conn: Connection, owner: Owner, wanted: Wanted, *, after_id: str, limit: int) -> list[Shown]:
    """At most *limit* payments behind *after_id*, oldest first."""
    column = tables.payment.c
    found = [
        _shown(row)
        for statement in _statements(owner, wanted)
        for row in conn.execute(statement.where(column.id > after_id).order_by(column.id).limit(limit))
    ]
    return sorted(found, key=_id)[:limit]


def _statements(owner: Owner, wanted: Wanted) -> list[Select[Any]]:  # Any: as `matching` has it.
    """One a state that is wanted: over several at once no index gives the order of ids."""
    return [matching(owner, wanted, state) for state in _states(wanted)] or [matching(owner, wanted)]


def _states(wanted: Wanted) -> list[State]:
    """Those that look like the status that is wanted; none if any will do."""
    return [state for state, public in PUBLIC_STATES.items() if public is wanted.status]


def matching(owner: Owner, wanted: Wanted, state: State | None = None) -> Select[Any]:  # Any: as SHOWN has it.
    """The owner's payments in *state* that are *wanted*, in no order."""
    column = tables.payment.c
    statement = SHOWN.where(owned(owner))
    statement = statement.where(*_ids_within(wanted))
    if wanted.created_from_ms is not None:
        statement = statement.where(column.created_at_ms >= wanted.created_from_ms)
    if wanted.created_before_ms is not None:
        statement = statement.where(column.created_at_ms < wanted.created_before_ms)
    if state is not None:
        statement = statement.where(column.state == state)
        if state is not State.CAPTURED:
            statement = statement.where(NOT_CAPTURED)
    for name in ("reason", "carrier", "currency", "reference"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(column[name] == value)
    if wanted.amount_min is not None:
        statement = statement.where(column.amount_minor >= wanted.amount_min)
    if wanted.amount_max is not None:
        statement = statement.where(column.amount_minor <= wanted.amount_max)
    return statement


def _ids_within(wanted: Wanted) -> list[ColumnElement[bool]]:
    """The span of time as a stretch of ids, a little longer."""
    column, within = tables.payment.c.id, []
    if wanted.created_from_ms is not None:
        within.append(column >= first_id_at("pay_", max(0, wanted.created_from_ms - CLOCKS_APART_MS)))
    if wanted.created_before_ms is not None:
        within.append(column < first_id_at("pay_", wanted.created_before_ms + CLOCKS_APART_MS))
    return within


def _has_its_index(wanted: Wanted) -> bool:
    """Whether all that is read along an index is wanted, or what is read is short anyway."""
    if wanted.reference is not None:
        return True
    chosen = (wanted.reason, wanted.carrier, wanted.currency, wanted.amount_min, wanted.amount_max)
    return all(one is None for one in chosen) and wanted.status is not PublicState.SUCCEEDED


def _end_of_look(
    conn: Connection, owner: Owner, wanted: Wanted, older_than: str | None, newer_than: str | None
) -> str | None:
    """The payment at which a look from there ends; None if it comes to the end of all before."""
    column = tables.payment.c
    ends: list[str] = []
    for state in _states(wanted) or [State.CAPTURED]:
        # What was captured has no index of its own, so all of the owner's payments are looked at.
        walked = () if state is State.CAPTURED else (column.state == state, NOT_CAPTURED)
        statement = select(column.id).where(owned(owner), *_ids_within(wanted), *walked)
        page = _from_there(statement, older_than, newer_than).offset(LOOKED_THROUGH_MAX - 1).limit(1)
        ends += conn.execute(page).scalars()
    return (max if newer_than is None else min)(ends, default=None)


def _newest_first(
    conn: Connection,
    statement: Select[Any],  # Any: as `matching` has it.
    limit: int,
    older_than: str | None,
    newer_than: str | None,
) -> list[Shown]:
    rows = conn.execute(_from_there(statement, older_than, newer_than).limit(limit)).all()
    return [_shown(row) for row in (rows if newer_than is None else reversed(rows))]


def _from_there(
    statement: Select[Any], older_than: str | None, newer_than: str | None
) -> Select[Any]:  # Any: whatever the statement has.
    """The rows that are older, or newer, those nearest to the id first; without an id the newest."""
    column = tables.payment.c.id
    if newer_than is not None:
        return statement.where(column > newer_than).order_by(column)
    if older_than is not None:
        statement = statement.where(column < older_than)
    return statement.order_by(column.desc())


def _id(shown: Shown) -> str:
    return shown.payment.id


def _shown(row: Any) -> Shown:  # Any: a row of `matching`.
    return Shown(payment_from_row(row), row.msisdn)
