"""What stands in an account: a snapshot of the sealed entries, and the tail of those that it does not count yet.

The sealer's owner counts each seal once, in the chain's order, so an account costs its readers the same however long
its history is. What decides is the seal, not the entry's id: an entry that commits behind a younger one is sealed
behind it, and until then belongs to the tail.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Select, func, literal, or_, select, union_all

from gateway.core.ids import first_id_at, made_at_ms
from gateway.store import bulk, tables
from gateway.store.apply import LostRace
from gateway.store.seal import LOOK_BACK_MS, head

# An entry is committed at most this long after its id was made, and the sealer, which goes through the ids upwards,
# comes back to it within as much again.
TAIL_MS = 2 * LOOK_BACK_MS


class Balance(msgspec.Struct, frozen=True):
    """The sum of an account's legs in one mode and currency: debit > 0, credit < 0."""

    account: str
    currency: str
    amount_minor: int


def balances(conn: Connection, accounts: Sequence[str], mode: str) -> list[Balance]:
    """What stands in *accounts* in *mode*, as of one moment; nothing about a currency without entries."""
    snapshot = tables.balance_snapshot.c
    counted = select(snapshot.account, snapshot.currency, snapshot.amount_minor).where(
        snapshot.account.in_(accounts), snapshot.mode == mode
    )
    # One statement, so that what moves from one account into another is never seen in both or in neither.
    parts = [counted, *(tail(account, _tail_begin(conn, account), mode) for account in accounts)]
    all_parts = union_all(*parts).subquery()
    account, currency, amount_minor = all_parts.c
    summed = select(account, currency, func.sum(amount_minor)).group_by(account, currency)
    return [Balance(row[0], row[1], int(row[2])) for row in conn.execute(summed.order_by(account, currency))]


def _tail_begin(conn: Connection, account: str) -> str:
    """An entry's id: those below it are counted. It stays true while snapshots move on."""
    snapshot, seal = tables.balance_snapshot.c, tables.ledger_seal.c
    position = select(func.max(snapshot.position)).where(snapshot.account == account).scalar_subquery()
    last_id = conn.execute(select(seal.entry_id).where(seal.position == position)).scalar_one_or_none()
    return "" if last_id is None else first_id_at("ent_", max(0, made_at_ms(last_id) - TAIL_MS))


def tail(account: str, begin: str, mode: str) -> Select[tuple[str, str, int]]:
    """(account, currency, amount_minor) of each leg that no snapshot of *account* counts."""
    snapshot, seal, leg, entry = tables.balance_snapshot.c, tables.ledger_seal, tables.leg, tables.entry
    position = select(func.coalesce(func.max(snapshot.position), 0)).where(snapshot.account == account)
    return (
        select(literal(account).label("account"), entry.c.currency, leg.c.amount_minor)
        .select_from(leg)
        .join(entry, entry.c.id == leg.c.entry_id)
        .outerjoin(seal, seal.c.entry_id == leg.c.entry_id)
        .where(leg.c.account == account, leg.c.entry_id >= begin, entry.c.mode == mode)
        .where(or_(seal.c.position.is_(None), seal.c.position > position.scalar_subquery()))
    )


def count_sealed(conn: Connection, *, limit: int) -> int:
    """Count at most *limit* more seals into the snapshots. Return how many; fewer than *limit*: that were all.

    Raise LostRace if another process counts just now.
    """
    snapshot = tables.balance_snapshot.c
    counted: int = conn.execute(select(func.coalesce(func.max(snapshot.position), 0))).scalar_one()
    position = min(counted + limit, head(conn).position)
    if position > counted:
        _add(conn, _sums(conn, counted, position), counted, position)
    return max(0, position - counted)


Name = tuple[str, str, str]
"""Account, mode, currency."""


def _sums(conn: Connection, counted: int, position: int) -> dict[Name, int]:
    """What the entries sealed behind *counted*, up to *position*, bring to each account."""
    seal, leg, entry = tables.ledger_seal.c, tables.leg.c, tables.entry.c
    statement = (
        select(leg.account, entry.mode, entry.currency, func.sum(leg.amount_minor))
        .select_from(tables.ledger_seal)
        .join(tables.entry, entry.id == seal.entry_id)
        .join(tables.leg, leg.entry_id == seal.entry_id)
        .where(seal.position > counted, seal.position <= position)
        .group_by(leg.account, entry.mode, entry.currency)
    )
    return {(row[0], row[1], row[2]): int(row[3]) for row in conn.execute(statement)}


def _add(conn: Connection, sums: dict[Name, int], counted: int, position: int) -> None:
    snapshot = tables.balance_snapshot
    accounts = sorted({account for account, _, _ in sums})
    rows = bulk.select_in(conn, snapshot, "account", accounts, lock=True, order_by="account, mode, currency")
    held = {(row.account, row.mode, row.currency): row for row in rows}
    if any(row.position > counted for row in rows):
        raise LostRace("lost a race for the balances")
    columns = ("account", "mode", "currency")
    new, known = [], []
    for name, amount_minor in sorted(sums.items()):
        row = dict(zip(columns, name, strict=True)) | {"position": position}
        before = held.get(name)
        if before is None:
            new.append(row | {"amount_minor": amount_minor})
        else:
            known.append(row | {"amount_minor": before.amount_minor + amount_minor})
    bulk.update_rows(conn, snapshot, columns, known)
    bulk.insert_rows(conn, snapshot, new)
