"""Whole batches as one statement a table: rows travel as one JSON parameter and are unfolded by the database.

Every column of ours is text or integer, which is what makes this portable: `json_each` on SQLite, `json_to_recordset`
on PostgreSQL. Statements are built once a table and kept.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table
from sqlalchemy.types import BigInteger, Integer

Values = Mapping[str, Any]  # Any: a row's columns, each text, integer or None.


def insert_rows(conn: Connection, table: Table, rows: Sequence[Values], *, on_conflict_ignore: bool = False) -> None:
    """Insert *rows*, which all have the same columns."""
    if rows:
        statement = _insert(table, conn.dialect.name, tuple(rows[0]), on_conflict_ignore)
        conn.exec_driver_sql(statement, (_rows(rows),))


def update_rows(conn: Connection, table: Table, key: str | tuple[str, ...], rows: Sequence[Values]) -> None:
    """Set every column of *rows* in the row that has the same *key*; all of them have the same columns."""
    if rows:
        keys = (key,) if isinstance(key, str) else key
        conn.exec_driver_sql(_update(table, conn.dialect.name, keys, tuple(rows[0])), (_rows(rows),))


def delete_rows(conn: Connection, table: Table, column: str, values: Sequence[str]) -> None:
    """Delete the rows whose *column* is one of *values*."""
    if values:
        conn.exec_driver_sql(_delete(table, conn.dialect.name, column), (_texts(values),))


def delete_same(conn: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Delete the rows of *table* that have the same columns as one of *rows*."""
    if rows:
        conn.exec_driver_sql(_delete_same(table, conn.dialect.name, tuple(rows[0])), (_rows(rows),))


def select_in(
    conn: Connection, table: Table, column: str, values: Sequence[str], *, lock: bool = False, order_by: str = ""
) -> Sequence[Row[Any]]:  # Any: a row of the table.
    """The rows whose *column* is one of *values*; locked for this transaction if *lock*."""
    if not values:
        return []
    statement = _select(table, conn.dialect.name, column, lock, order_by)
    return conn.exec_driver_sql(statement, (_texts(values),)).all()


LIVE_REFERENCE = "reference IS NOT NULL AND state NOT IN ('ended', 'reversed')"
"""The predicate of the index `payment_live_reference`, letter by letter."""


def select_same(
    conn: Connection, table: Table, rows: Sequence[Values], *, where: str = "", lock: bool = False
) -> Sequence[Row[Any]]:
    """The rows of *table* that have the same columns as one of *rows*, by the index that begins with those.

    *lock*: for this transaction, in the order of those columns.
    """
    if not rows:
        return []
    statement = _select_same(table, conn.dialect.name, tuple(rows[0]), where, lock)
    return conn.exec_driver_sql(statement, (_rows(rows),)).all()


def _rows(rows: Sequence[Values]) -> str:
    encoded = _json(rows)
    if "\\u0000" in encoded:  # PostgreSQL's text has no NUL, and no phone's owner means one.
        encoded = _json([{name: without_nul(value) for name, value in row.items()} for row in rows])
    return encoded


def _texts(values: Sequence[str]) -> str:
    encoded = _json(list(values))
    return _json([without_nul(value) for value in values]) if "\\u0000" in encoded else encoded


def without_nul(value: object) -> object:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _names(columns: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in columns)


def _unfolded(table: Table, dialect: str, columns: Sequence[str]) -> str:
    """A FROM clause named `r` with *columns* out of the one parameter."""
    if dialect == "postgresql":
        typed = ", ".join(f'"{name}" {_type(table, name)}' for name in columns)
        return f"json_to_recordset(%s::json) AS r({typed})"
    extracted = ", ".join(f"json_extract(value, '$.{name}') AS \"{name}\"" for name in columns)
    return f"(SELECT {extracted} FROM json_each(?)) AS r"


def _type(table: Table, column: str) -> str:
    kind = table.c[column].type
    return "bigint" if isinstance(kind, BigInteger) else "integer" if isinstance(kind, Integer) else "text"


def _among(dialect: str) -> str:
    """The right side of a comparison with the strings of the one parameter."""
    if dialect == "postgresql":
        return "= ANY (ARRAY(SELECT json_array_elements_text(%s::json)))"
    return "IN (SELECT value FROM json_each(?))"


@cache
def _insert(table: Table, dialect: str, columns: tuple[str, ...], on_conflict_ignore: bool) -> str:
    # SQLite takes ON CONFLICT behind a SELECT for a join unless there is a WHERE between them.
    ignored = " WHERE true ON CONFLICT DO NOTHING" if on_conflict_ignore else ""
    into = f'INSERT INTO "{table.name}" ({_names(columns)})'
    return f"{into} SELECT {_names(columns, 'r.')} FROM {_unfolded(table, dialect, columns)}{ignored}"


@cache
def _update(table: Table, dialect: str, keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    changes = ", ".join(f'"{name}" = r."{name}"' for name in columns if name not in keys)
    same = " AND ".join(f'"{table.name}"."{name}" = r."{name}"' for name in keys)
    return f'UPDATE "{table.name}" SET {changes} FROM {_unfolded(table, dialect, columns)} WHERE {same}'


@cache
def _delete(table: Table, dialect: str, column: str) -> str:
    return f'DELETE FROM "{table.name}" WHERE "{column}" {_among(dialect)}'


@cache
def _delete_same(table: Table, dialect: str, columns: tuple[str, ...]) -> str:
    same = f"SELECT {_names(columns, 'r.')} FROM {_unfolded(table, dialect, columns)}"
    return f'DELETE FROM "{table.name}" WHERE ({_names(columns)}) IN ({same})'


@cache
def _select(table: Table, dialect: str, column: str, lock: bool, order_by: str) -> str:
    order = f" ORDER BY {order_by}" if order_by else ""
    locked = " FOR UPDATE" if lock and dialect == "postgresql" else ""
    return f'SELECT * FROM "{table.name}" WHERE "{column}" {_among(dialect)}{order}{locked}'


@cache
def _select_same(table: Table, dialect: str, columns: tuple[str, ...], where: str, lock: bool) -> str:
    same = " AND ".join(f'"{table.name}"."{name}" = r."{name}"' for name in columns)
    limited = "".join(f" AND {part}" for part in _qualified(table, where))
    # CROSS JOIN: SQLite then keeps this order, few names outside and one look into the index for each.
    joined = f'{_unfolded(table, dialect, columns)} CROSS JOIN "{table.name}"'
    ordered = " ORDER BY " + _names(columns, f'"{table.name}".') if lock else ""
    locked = f' FOR UPDATE OF "{table.name}"' if lock and dialect == "postgresql" else ""
    return f'SELECT "{table.name}".* FROM {joined} WHERE {same}{limited}{ordered}{locked}'


def _qualified(table: Table, where: str) -> list[str]:
    return [f'"{table.name}".{part}' for part in where.split(" AND ")] if where else []
