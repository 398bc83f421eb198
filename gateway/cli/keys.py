"""What operators do with merchants' keys, straight in the database, beside processes that serve."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.store import api_keys
from gateway.store.api_keys import KeyRow
from gateway.store.merchant_reads import Owner
from merchants import key_book
from merchants.key_book import Made
from merchants.keys import MODES

T = TypeVar("T")


def add(path: Path, *, merchant: str, mode: str, name: str, scopes: list[str], expires_in_s: int | None) -> None:
    """Raise ConfigError or CommandError, as all of these do."""
    if mode not in MODES:
        raise CommandError(f"mode: expected {' or '.join(MODES)}, got {mode!r}", exit_code=2)
    now_ms = wall_ms()

    def make(conn: Connection) -> Made:
        owner = Owner(merchant_id_of(conn, merchant), mode)
        return key_book.make(conn, owner, name=name, scopes=scopes, expires_in_s=expires_in_s, now_ms=now_ms)

    _print_secret(_written(path, make))


def list_keys(path: Path, *, merchant: str) -> None:
    def look(conn: Connection) -> list[KeyRow]:
        merchant_id = merchant_id_of(conn, merchant)
        return [row for mode in MODES for row in api_keys.working_keys(conn, Owner(merchant_id, mode), wall_ms())]

    rows = with_database(read(path)[0].gateway.database, look, read_only=True)
    for row in rows:
        print(_line(row))
    if not rows:
        print("no keys that work")


def rotate(path: Path, *, key_id: str, overlap_s: int) -> None:
    now_ms = wall_ms()
    made = _written(
        path,
        lambda conn: key_book.rotate(conn, _working(conn, key_id, now_ms), overlap_s=overlap_s, now_ms=now_ms),
    )
    _print_secret(made)
    print(f"{key_id} works until {rfc3339(now_ms + overlap_s * 1000)} at most.")


def revoke(path: Path, *, key_id: str) -> None:
    now_ms = wall_ms()
    _written(path, lambda conn: api_keys.revoke_key(conn, _working(conn, key_id, now_ms).id, now_ms))
    print(f"{key_id} is revoked; processes that serve take it for five seconds more at most.")


def _written(path: Path, work: Callable[[Connection], T]) -> T:
    """What *work* returns; what it cannot do is told in one line."""
    config, _ = read(path)
    try:
        return with_database(config.gateway.database, work, read_only=False)
    except ValueError as error:
        raise CommandError(str(error), exit_code=2) from error
    except key_book.TooManyKeys as error:
        raise CommandError(str(error)) from error


def merchant_id_of(conn: Connection, named: str) -> str:
    """By its id or its keyword. Raise CommandError if there is none."""
    found = api_keys.merchant_ids(conn, named)
    if not found:
        raise CommandError(f"merchant: expected the id or the keyword of a merchant, got {named!r}", exit_code=2)
    return found[0]


def _working(conn: Connection, key_id: str, now_ms: int) -> KeyRow:
    row = api_keys.key_by_id(conn, key_id)
    if row is None or (row.expires_at_ms is not None and row.expires_at_ms <= now_ms):
        raise CommandError(f"key: expected the id of a key that works, got {key_id!r}", exit_code=2)
    return row


def _print_secret(made: Made) -> None:
    print(f"id      {made.row.id}\nsecret  {made.secret}")
    print("Keep the secret: it is stored as a hash only and cannot be shown again.")


def _line(row: KeyRow) -> str:
    used = "never used" if row.last_used_at_ms is None else f"used {rfc3339(row.last_used_at_ms)[:13]}h"
    ends = "" if row.expires_at_ms is None else f"  ends {rfc3339(row.expires_at_ms)}"
    return f"{row.id}  {row.prefix}…{row.last4}  {used}{ends}  {row.name!r}  {' '.join(sorted(row.scopes))}"
