"""Walks the chain of seals from its beginning: each seal, what it sealed, the published heads, the counted balances.

One page of entries is in memory at a time. A seal that does not hold is named and the walk goes on behind it, so that
every break is found and not only the first.
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Row, func, select

from gateway.store import tables
from gateway.store.balances import Name
from gateway.store.heads import Anchor
from gateway.store.seal import GENESIS, entry_hash, evidence_of, legs_of
from gateway.store.tally import Tally

PAGE = 1_000

Legs = list[tuple[str, int]]
Progress = Callable[[str], None]


def walk(conn: Connection, tally: Tally, published: Iterable[Anchor], progress: Progress) -> int:
    """Note in *tally* whatever does not hold. Return how many seals there are."""
    last: int = conn.execute(select(func.coalesce(func.max(tables.ledger_seal.c.position), 0))).scalar_one()
    chain = _Chain(conn, tally, published)
    walked = 0
    while page := _page(conn, chain.position):
        legs, evidence = legs_of(conn, [row.entry_id for row in page]), evidence_of(conn, page)
        for row in page:
            chain.look_at(row, legs[row.entry_id], evidence.get(row.id, ""))
        walked += len(page)
        progress(f"seal {chain.position} of {last}")
    chain.compare_heads()
    chain.compare_balances()
    return walked


def _page(conn: Connection, after: int) -> list[Row[Any]]:  # Any: a row of `ledger_seal` and its entry.
    seal, entry = tables.ledger_seal.c, tables.entry.c
    return list(
        conn.execute(
            select(tables.ledger_seal, tables.entry)
            .select_from(tables.ledger_seal.outerjoin(tables.entry, entry.id == seal.entry_id))
            .where(seal.position > after)
            .order_by(seal.position)
            .limit(PAGE)
        )
    )


class _Chain:
    """Where the walk is."""

    def __init__(self, conn: Connection, tally: Tally, published: Iterable[Anchor]) -> None:
        self.position = 0
        self._conn = conn
        self._tally = tally
        self._previous = GENESIS
        self._published: dict[int, set[str]] = {}
        for anchor in published:
            if (anchor.position, anchor.hash) == (0, GENESIS):
                continue  # Kept before there was a seal: it says nothing, and every chain begins with it.
            self._published.setdefault(anchor.position, set()).add(anchor.hash)
        counted = select(func.coalesce(func.max(tables.balance_snapshot.c.position), 0))
        self._counted: int = conn.execute(counted).scalar_one()
        self._sums: dict[Name, int] = {}
        self._newest: dict[Name, int] = {}
        """The last position, of those that are counted, at which an entry moves the account."""

    def look_at(self, row: Row[Any], legs: Legs, evidence: str) -> None:  # Any: as of `_page`.
        """Judge one seal and what it sealed."""
        if row.position != self.position + 1:
            self._tally.note("broken seal", f"position {self.position + 1} is missing")
        elif row.previous_hash != self._previous:
            self._tally.note("broken seal", f"position {row.position} does not follow the one before it")
        self.position, self._previous = row.position, row.hash
        if row.hash not in (named := self._published.pop(row.position, {row.hash})) or len(named) > 1:
            self._tally.note("chain differs from a published head", f"position {row.position}")
        if row.id is None:
            self._tally.note("broken seal", f"position {row.position} seals {row.entry_id}, which does not exist")
            return
        self._compare(row, legs, evidence)
        if row.position <= self._counted:
            for account, amount_minor in legs:
                name = (account, row.mode, row.currency)
                self._sums[name] = self._sums.get(name, 0) + amount_minor
                self._newest[name] = row.position

    def _compare(self, row: Row[Any], legs: Legs, evidence: str) -> None:  # Any: as of `_page`.
        place = f"{row.id} (position {row.position}, payment {row.payment_id})"
        if row.version > 1 and row.evidence != evidence:
            self._tally.note("consent or order changed after it was sealed", place)
        sealed = entry_hash(row.previous_hash, row, legs, version=row.version, evidence=row.evidence)
        if sealed != row.hash:
            self._tally.note("entry changed after it was sealed", place)

    def compare_heads(self) -> None:
        """What was published and did not come by is no longer in the chain."""
        for position in sorted(self._published):
            place = f"position {position}; the chain ends at {self.position}"
            self._tally.note("published head that is not in the chain", place)

    def compare_balances(self) -> None:
        """Compare what was counted with the sum of what was walked through; accounts are few."""
        held = {}
        for row in self._conn.execute(select(tables.balance_snapshot)):
            name = (row.account, row.mode, row.currency)
            held[name] = row.amount_minor
            if row.position < (newest := self._newest.get(name, 0)):
                # Whoever reads it adds the entries behind its position: one that it counts would count twice.
                place = f"{' '.join(name)} is said to end at {row.position}, and counts what is sealed at {newest}"
                self._tally.note("balance that counts what it does not say", place)
        for name in sorted(held.keys() | self._sums.keys()):
            if held.get(name, 0) != self._sums.get(name, 0):
                place = f"{' '.join(name)} has {held.get(name, 0)}, its entries {self._sums.get(name, 0)}"
                self._tally.note("balance differs from its entries", place)
