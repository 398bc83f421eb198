"""The seal on the ledger: entries chained by hash in the order of sealing, so that tampering shows.

Sealed after the commit that wrote them, by the one owner of the lane `sealer`: a chain inside the payment's transaction
would make every payment wait for every other. For the same reason the digest of what an entry rests on is
made here and not there.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from gateway.store import bulk, tables

GENESIS = "0" * 64
VERSION = 2
"""Of what a new seal covers. 1: the entry and its legs; 2: also the order and the consent that it rests on."""
_ORDER_COLUMNS = ("id", "payment_id", "kind", "charge_attempt_id", "amount_minor", "currency", "created_at_ms")
_CONSENT_COLUMNS = (
    *("attempt_id", "payment_id", "consumer_id", "merchant_id", "amount_minor", "currency", "channel", "template"),
    *("mo_id", "ask_message_id", "reply", "read_at_ms", "at_ms"),
)
# What never changes of the rows that an entry with the source type `attempt` rests on: (table, key, columns). Sealed as
# it is written here: what is to be covered besides needs another version.
EVIDENCE = ((tables.attempt, "id", _ORDER_COLUMNS), (tables.consent, "attempt_id", _CONSENT_COLUMNS))
# No transaction stays open this long and no machine's clock is this wrong, so an entry that comes into sight later has
# an id that is no older.
LOOK_BACK_MS = 120_000


class Head(msgspec.Struct, frozen=True):
    """The newest seal."""

    position: int
    hash: str


def head(conn: Connection) -> Head:
    """The head of the chain; position 0 and the genesis hash before the first seal."""
    seal = tables.ledger_seal.c
    row = conn.execute(select(seal.position, seal.hash).order_by(seal.position.desc()).limit(1)).first()
    return Head(0, GENESIS) if row is None else Head(row.position, row.hash)


def seal_next(conn: Connection, *, after_id: str, limit: int) -> tuple[int, str | None]:
    """Seal what is unsealed among the next *limit* entries behind *after_id*.

    Return how many were sealed and the last entry that was looked at; None if there is nothing behind it.
    """
    entry, seal = tables.entry, tables.ledger_seal
    page = conn.execute(
        select(entry, seal.c.position)
        .outerjoin(seal, seal.c.entry_id == entry.c.id)
        .where(entry.c.id > after_id)
        .order_by(entry.c.id)
        .limit(limit)
    ).all()
    unsealed = [row for row in page if row.position is None]
    if unsealed:
        _seal(conn, unsealed)
    return len(unsealed), page[-1].id if len(page) == limit else None


def _seal(conn: Connection, entries: Sequence[Row[Any]]) -> None:  # Any: rows of `entry`.
    last = head(conn)
    legs, evidence = legs_of(conn, [row.id for row in entries]), evidence_of(conn, entries)
    rows, previous = [], last.hash
    for position, row in enumerate(entries, start=last.position + 1):
        rests_on = evidence.get(row.id, "")
        sealed = entry_hash(previous, row, legs[row.id], version=VERSION, evidence=rests_on)
        seal = {"position": position, "entry_id": row.id, "previous_hash": previous, "hash": sealed}
        rows.append(seal | {"version": VERSION, "evidence": rests_on})
        previous = sealed
    bulk.insert_rows(conn, tables.ledger_seal, rows)


def legs_of(conn: Connection, entry_ids: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    """Entry → its legs in order, each as (account, amount_minor)."""
    legs: dict[str, list[tuple[str, int]]] = {entry_id: [] for entry_id in entry_ids}
    for row in bulk.select_in(conn, tables.leg, "entry_id", entry_ids, order_by="entry_id, n"):
        legs[row.entry_id].append((row.account, row.amount_minor))
    return legs


def evidence_of(conn: Connection, entries: Sequence[Row[Any]]) -> dict[str, str]:  # Any: rows of `entry`.
    """Entry → SHA-256 over the order and the consents that it rests on; nothing for one that rests on none.

    Where a phone had to confirm more than once, each consent names the one before it. What an entry rests on must not
    hang on which entries are looked at with it: an order of a refund is also the source of entries of another type.
    """
    sources = sorted({row.source_id for row in entries if row.source_type == "attempt"})
    said: dict[str, list[Any]] = {}  # Any: columns, text or integer.
    earlier: dict[str, list[str]] = {}
    for table, key, columns in EVIDENCE:
        for row in bulk.select_in(conn, table, key, sources):
            found = row._mapping
            said.setdefault(found[key], []).append([str(table.name), *(found[column] for column in columns)])
            if (follows := found.get("follows")) is not None:
                earlier.setdefault(follows, []).append(found[key])
    _add_earlier_consents(conn, said, earlier)
    digests = {source: _sha256(parts) for source, parts in said.items()}
    return {row.id: digests[row.source_id] for row in entries if row.source_type == "attempt" and row.source_id in said}


def _add_earlier_consents(
    conn: Connection, said: dict[str, list[Any]], earlier: dict[str, list[str]]
) -> None:  # Any: as above.
    """*earlier*: the attempt that an earlier consent names → the sources that it belongs to.

    A consent without an earlier one adds nothing, so what was sealed before there were any reads as it did.
    """
    while earlier:
        before: dict[str, list[str]] = {}
        for row in bulk.select_in(conn, tables.consent, "attempt_id", sorted(earlier)):
            found, sources = row._mapping, earlier[row.attempt_id]
            for source in sources:
                said[source].append(["earlier", *(found[column] for column in _CONSENT_COLUMNS)])
            if row.follows is not None:
                before.setdefault(row.follows, []).extend(sources)
        earlier = before


def entry_hash(
    previous: str,
    entry: Row[Any],  # Any: a row of `entry`.
    legs: Iterable[tuple[str, int]],
    *,
    version: int,
    evidence: str,
) -> str:
    """SHA-256 over the previous hash, everything that the entry says, and (since version 2) what it rests on."""
    said = [
        *(previous, entry.id, entry.source_type, entry.source_id, entry.kind, entry.mode, entry.currency),
        *(entry.payment_id, entry.at_ms, list(legs)),
    ]
    return _sha256(said if version == 1 else [version, *said, evidence])


def _sha256(said: list[Any]) -> str:  # Any: what is said is text, integers and lists of them.
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()
