"""Making and exchanging keys on a connection, for merchants by the API and for operators by the command line.

Who may do it is not asked here.
"""

from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import Connection

from gateway.store import api_keys
from gateway.store.api_keys import KeyRow
from gateway.store.merchant_reads import Owner
from merchants.keys import NAME_CHARACTERS_MAX, new_key
from merchants.scopes import KEYS_WRITE, SCOPES, allows

KEYS_MAX: Final = 64
OVERLAP_DEFAULT_S: Final = 86_400
OVERLAP_MAX_S: Final = 30 * 86_400
EXPIRES_MIN_S: Final = 60
EXPIRES_MAX_S: Final = 10 * 365 * 86_400


class TooManyKeys(Exception):
    """The merchant has as many keys that work in this mode as may be."""

    def __init__(self) -> None:
        super().__init__(f"there are {KEYS_MAX} keys that work in this mode; revoke one first")


class Made(msgspec.Struct, frozen=True):
    """A new key: the secret, which is stored nowhere, and the row."""

    secret: str
    row: KeyRow


def make(
    conn: Connection,
    owner: Owner,
    *,
    name: str,
    scopes: Collection[str],
    expires_in_s: int | None,
    ends_by_ms: int | None = None,
    now_ms: int,
) -> Made:
    """Store a new key, which ends by *ends_by_ms* at the latest. Raise TooManyKeys, or ValueError that says why not."""
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise ValueError(f"name: expected 1 to {NAME_CHARACTERS_MAX} printable characters")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise ValueError(f"scope: expected {', '.join(SCOPES)}, got {', '.join(unknown) or 'none'}")
    if expires_in_s is not None and not EXPIRES_MIN_S <= expires_in_s <= EXPIRES_MAX_S:
        raise ValueError(f"expires_in_s: expected {EXPIRES_MIN_S} to {EXPIRES_MAX_S}, got {expires_in_s}")
    if len(api_keys.working_keys(conn, owner, now_ms, lock=True)) >= KEYS_MAX:
        raise TooManyKeys
    wanted_ms = None if expires_in_s is None else now_ms + expires_in_s * 1000
    expires_at_ms = min((at_ms for at_ms in (wanted_ms, ends_by_ms) if at_ms is not None), default=None)
    secret, columns = new_key(owner, now_ms, name=name, scopes=scopes, expires_at_ms=expires_at_ms)
    api_keys.insert_key(conn, columns)
    row = api_keys.key_by_id(conn, columns["id"])
    assert row is not None, "it was inserted just now"
    return Made(secret, row)


def rotate(conn: Connection, old: KeyRow, *, overlap_s: int, ends_by_ms: int | None = None, now_ms: int) -> Made:
    """A new key with the name and scopes of *old*, which works for *overlap_s* more. Raise as `make` does."""
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise ValueError(f"overlap_s: expected 0 to {OVERLAP_MAX_S}, got {overlap_s}")
    # Keys from before they had names are no exception.
    made = make(
        conn,
        old.owner,
        name=old.name or "rotated",
        scopes=old.scopes,
        expires_in_s=None,
        ends_by_ms=ends_by_ms,
        now_ms=now_ms,
    )
    api_keys.end_key(conn, old.id, now_ms + overlap_s * 1000)
    return made


def is_last(key: KeyRow, keys: Collection[KeyRow]) -> bool:
    """Whether without *key* none of *keys* that may make keys would last as long as it."""
    if not allows(key.scopes, KEYS_WRITE):
        return False
    others = [other for other in keys if other.id != key.id and allows(other.scopes, KEYS_WRITE)]
    return not any(
        other.expires_at_ms is None or (key.expires_at_ms is not None and other.expires_at_ms >= key.expires_at_ms)
        for other in others
    )
