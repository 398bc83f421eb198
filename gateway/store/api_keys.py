"""Rows of API keys: found by hash, listed, made, ended. A key itself is never here, only its SHA-256."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, insert, or_, select, update

from gateway.store import bulk, tables
from gateway.store.merchant_reads import Owner


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without the key. `shop` is its merchant's name for phones, `fee_schedule` what new payments get.

    `goods` is what the merchant sells.
    """

    id: str
    merchant_id: str
    mode: str
    shop: str
    prefix: str
    last4: str
    name: str
    scopes: frozenset[str]
    version: str
    created_at_ms: int
    expires_at_ms: int | None
    last_used_at_ms: int | None
    fee_schedule: str | None
    goods: str

    @property
    def owner(self) -> Owner:
        return Owner(self.merchant_id, self.mode)


_KEY = tables.api_key.c
_OF_MERCHANT = ("shop", "fee_schedule", "goods")


def _keys() -> Select[Any]:  # Any: the columns of a KeyRow.
    return select(
        *(_KEY[name] for name in KeyRow.__struct_fields__ if name not in _OF_MERCHANT),
        *(tables.merchant.c[name] for name in _OF_MERCHANT),
    ).join_from(tables.api_key, tables.merchant, tables.merchant.c.id == _KEY.merchant_id)


def _key(row: Row[Any]) -> KeyRow:  # Any: a row of `_keys`.
    return KeyRow(**{**row._mapping, "scopes": frozenset(msgspec.json.decode(row.scopes, type=list[str]))})


def key_by_hash(conn: Connection, sha256: str) -> KeyRow | None:
    """The key with this hash, unless it was revoked."""
    row = conn.execute(_keys().where(_KEY.sha256 == sha256, _KEY.revoked_at_ms.is_(None))).first()
    return None if row is None else _key(row)


def key_by_id(conn: Connection, key_id: str) -> KeyRow | None:
    """Whosever it is, unless it was revoked; for operators."""
    row = conn.execute(_keys().where(_KEY.id == key_id, _KEY.revoked_at_ms.is_(None))).first()
    return None if row is None else _key(row)


def working_keys(conn: Connection, owner: Owner, now_ms: int, *, lock: bool = False) -> list[KeyRow]:
    """The owner's keys that are neither revoked nor expired, oldest first; *lock*: nobody else ends one meanwhile."""
    statement = _keys().where(_KEY.merchant_id == owner.merchant_id, _KEY.mode == owner.mode, _works_at(now_ms))
    statement = statement.order_by(_KEY.id)
    return [_key(row) for row in conn.execute(statement.with_for_update(of=tables.api_key) if lock else statement)]


def has_working_key(conn: Connection, owner: Owner, now_ms: int) -> bool:
    """Whether any of the owner's keys is neither revoked nor expired."""
    theirs = (_KEY.merchant_id == owner.merchant_id) & (_KEY.mode == owner.mode)
    return conn.execute(select(_KEY.id).where(theirs, _works_at(now_ms)).limit(1)).first() is not None


def _works_at(now_ms: int) -> ColumnElement[bool]:
    return and_(_KEY.revoked_at_ms.is_(None), or_(_KEY.expires_at_ms.is_(None), _KEY.expires_at_ms > now_ms))


def insert_key(conn: Connection, row: Mapping[str, Any]) -> None:  # Any: a row's columns.
    conn.execute(insert(tables.api_key).values(**row))


def end_key(conn: Connection, key_id: str, at_ms: int) -> None:
    """The key works until then and no longer, unless it ends before anyway."""
    sooner = or_(_KEY.expires_at_ms.is_(None), _KEY.expires_at_ms > at_ms)
    conn.execute(update(tables.api_key).where(_KEY.id == key_id, sooner).values(expires_at_ms=at_ms))


def revoke_key(conn: Connection, key_id: str, at_ms: int) -> None:
    """The key works no more; the first time counts."""
    statement = update(tables.api_key).where(_KEY.id == key_id, _KEY.revoked_at_ms.is_(None))
    conn.execute(statement.values(revoked_at_ms=at_ms))


def mark_used(conn: Connection, used: Sequence[tuple[str, int]]) -> None:
    """By key, when it was used last. In one order, so that two processes wait for each other and no more."""
    rows = [{"id": key_id, "last_used_at_ms": at_ms} for key_id, at_ms in sorted(used)]
    bulk.update_rows(conn, tables.api_key, "id", rows)


def merchant_ids(conn: Connection, named: str) -> list[str]:
    """The merchants with that id or keyword: one or none."""
    merchant = tables.merchant.c
    statement = select(merchant.id).where(or_(merchant.id == named, merchant.keyword == named.upper()))
    return list(conn.execute(statement).scalars())
