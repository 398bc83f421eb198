"""To which account a merchant is paid, since when, who set it, and how a payout's own account compares."""

import msgspec
from sqlalchemy import Connection, select

from gateway.core.settling import Terms
from gateway.store import bulk, tables
from gateway.store.engine import database_now_ms


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """From `at_ms` on this was the account."""

    account_name: str
    account: str
    bic: str
    set_by: str
    """Empty: it was set before this was kept, so nobody knows."""
    at_ms: int


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Whose payout it is, and how its account came to be the merchant's."""

    merchant_name: str
    change: AccountChange | None
    """The newest by which this account was set."""
    before: AccountChange | None
    """What it was before that."""
    now: AccountChange | None
    """What the merchant has by now, if that is another one: in its holder, its number or its bank."""


def note_change(conn: Connection, merchant_id: str, terms: Terms, *, by: str) -> None:
    """Append the account of *terms*, unless it is the merchant's already."""
    known = account_changes(conn, merchant_id)
    if (terms.account_name, terms.account, terms.bic) == (_named(known[-1]) if known else ("", "", "")):
        return
    change = AccountChange(
        account_name=terms.account_name, account=terms.account, bic=terms.bic, set_by=by, at_ms=database_now_ms(conn)
    )
    row = {"merchant_id": merchant_id, "n": len(known) + 1} | msgspec.structs.asdict(change)
    bulk.insert_rows(conn, tables.account_change, [row])


def account_changes(conn: Connection, merchant_id: str) -> list[AccountChange]:
    """Oldest first."""
    of = tables.account_change.c
    found = conn.execute(select(tables.account_change).where(of.merchant_id == merchant_id).order_by(of.n))
    return [
        AccountChange(
            account_name=row.account_name, account=row.account, bic=row.bic, set_by=row.set_by, at_ms=row.at_ms
        )
        for row in found
    ]


def set_by(conn: Connection, merchant_id: str, account: str) -> list[str]:
    """All who ever set *account* for the merchant."""
    return [one.set_by for one in account_changes(conn, merchant_id) if one.account == account and one.set_by]


def destination(conn: Connection, merchant_id: str, account: tuple[str, str, str]) -> Destination:
    """How *account* (name, number, BIC) came to be that of the merchant."""
    changes = account_changes(conn, merchant_id)
    newest = max((n for n, one in enumerate(changes) if _named(one) == account), default=None)
    name = conn.execute(select(tables.merchant.c.name).where(tables.merchant.c.id == merchant_id)).scalar()
    return Destination(
        merchant_name=name or merchant_id,
        change=None if newest is None else changes[newest],
        before=changes[newest - 1] if newest else None,
        now=changes[-1] if changes and _named(changes[-1]) != account else None,
    )


def _named(change: AccountChange) -> tuple[str, str, str]:
    return change.account_name, change.account, change.bic
