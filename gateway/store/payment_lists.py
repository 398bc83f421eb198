"""A merchant's payments in pages, newest first: filtered, by phone, and for exports oldest first.

Pages are cut by id. Ids hold the time of their making, so a span of time is a stretch of the merchant's index.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, Select, select, text

from gateway.core.ids import first_id_at
from gateway.core.payment import PUBLIC_STATES, PublicState, Reason, State
from gateway.store import tables
from gateway.store.merchant_reads import SHOWN, Owner, Shown, owned
from gateway.store.queries import payment_from_row

# Ids are made by a process's clock, payments' times by the batch's; no two clocks are this far apart.
CLOCKS_APART_MS = 600_000
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


def payments(
    conn: Connection,
    owner: Owner,
    wanted: Wanted,
    *,
    limit: int,
    older_than: str | None = None,
    newer_than: str | None = None,
) -> list[Shown]:
    """At most *limit* payments next to an id, those nearest to it, newest first; without an id the newest."""
    found = [
        shown
        for statement in _statements(owner, wanted)
        for shown in _newest_first(conn, statement, limit, older_than, newer_than)
    ]
    found.sort(key=_id, reverse=True)
    return found[:limit] if newer_than is None else found[-limit:]


def payments_of_phone(
    conn: Connection,
    owner: Owner,
    msisdn: str,
    *,
    limit: int,
    older_than: str | None = None,
    newer_than: str | None = None,
) -> list[Shown]:
    """The owner's payments with one number, as `payments` has them."""
    consumer = tables.consumer.c
    # Looked up first, so that the phone's own index is used, and not the merchant's whole one.
    phones = conn.execute(select(consumer.id).where(consumer.msisdn == msisdn)).scalars().all()
    statement = SHOWN.where(owned(owner), tables.payment.c.consumer_id.in_(phones))
    return _newest_first(conn, statement, limit, older_than, newer_than)


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
    if wanted.status is None:
        return [matching(owner, wanted)]
    states = [state for state, public in PUBLIC_STATES.items() if public is wanted.status]
    return [matching(owner, wanted, state) for state in states]


def matching(owner: Owner, wanted: Wanted, state: State | None = None) -> Select[Any]:  # Any: as SHOWN has it.
    """The owner's payments in *state* that are *wanted*, in no order."""
    column = tables.payment.c
    statement = SHOWN.where(owned(owner))
    if wanted.created_from_ms is not None:
        first_id = first_id_at("pay_", max(0, wanted.created_from_ms - CLOCKS_APART_MS))
        statement = statement.where(column.created_at_ms >= wanted.created_from_ms, column.id >= first_id)
    if wanted.created_before_ms is not None:
        end_id = first_id_at("pay_", wanted.created_before_ms + CLOCKS_APART_MS)
        statement = statement.where(column.created_at_ms < wanted.created_before_ms, column.id < end_id)
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


def _newest_first(
    conn: Connection,
    statement: Select[Any],  # Any: as `matching` has it.
    limit: int,
    older_than: str | None,
    newer_than: str | None,
) -> list[Shown]:
    column = tables.payment.c
    if newer_than is not None:
        rows = conn.execute(statement.where(column.id > newer_than).order_by(column.id).limit(limit)).all()
        return [_shown(row) for row in reversed(rows)]
    if older_than is not None:
        statement = statement.where(column.id < older_than)
    return [_shown(row) for row in conn.execute(statement.order_by(column.id.desc()).limit(limit))]


def _id(shown: Shown) -> str:
    return shown.payment.id


def _shown(row: Any) -> Shown:  # Any: a row of `matching`.
    return Shown(payment_from_row(row), row.msisdn)
