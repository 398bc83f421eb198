"""What stands in the way of a merchant's next payout: money of which nobody knows whether the bank has sent it.

A word of the bank that contradicts what we know moves nothing: it becomes a break for a person. Of a restored backup
nobody knows it of any payout: what was drafted or approved in it, or not even settled, may have been paid since.
"""

from typing import Final

import msgspec
from sqlalchemy import Connection, exists, insert, select

from gateway.core.money import Money
from gateway.core.payment import BreakKind, EntryKind
from gateway.core.payouts import PayoutState
from gateway.store import tables
from gateway.store.identity import new_id
from gateway.store.unit import Unit

RESTORED: Final = "restored:"
"""How the break begins that is about all payouts."""


class Contradiction(msgspec.Struct, frozen=True):
    """What the bank said and we do not believe; a break says the same."""

    words: str


def contradict(unit: Unit, payout_id: str, words: str, at_risk: Money) -> Contradiction:
    """Open a break about a payout. *words* begin with its id."""
    assert words.startswith(f"{payout_id} "), words
    unit.effects.open_break(BreakKind.PAYOUT, None, words, at_risk=at_risk)
    return Contradiction(words)


def distrust_payouts(conn: Connection, now_ms: int) -> bool:
    """Of a restored database: nobody is paid until a person has compared. False if it never had whom to pay."""
    has_account = select(tables.merchant_terms.c.merchant_id).where(tables.merchant_terms.c.account != "")
    if not any(conn.execute(found.limit(1)).first() for found in (has_account, select(tables.payout.c.id))):
        return False
    words = f"{RESTORED} what banks have been told to pay since the backup is not known here, and nobody is paid"
    row = {"id": new_id("brk_"), "kind": BreakKind.PAYOUT, "detail": words, "at_ms": now_ms}
    conn.execute(insert(tables.open_break).values(row))
    return True


def is_in_doubt(conn: Connection, merchant_id: str, mode: str) -> bool:
    """Whether there is a payout of the merchant that nobody knows of, or of which the bank has said two things."""
    of, contradicted = tables.payout.c, _contradicted(conn)
    if RESTORED in contradicted:
        return True
    doubtful = (of.state == PayoutState.UNKNOWN) | of.id.in_(contradicted)
    found = select(of.id).where(of.merchant_id == merchant_id, of.mode == mode, doubtful)
    return conn.execute(found.limit(1)).first() is not None


def _contradicted(conn: Connection) -> list[str]:
    """The payouts with an open break, or `RESTORED`."""
    of = tables.open_break.c
    words = select(of.detail).where(of.kind == BreakKind.PAYOUT, of.resolved_at_ms.is_(None))
    return [detail.partition(" ")[0] for detail in conn.execute(words).scalars()]


def was_paid(conn: Connection, payout_id: str) -> bool:
    """Whether the bank has said so once, whatever it said since."""
    of = tables.entry.c
    named = (of.source_type == "payout") & (of.source_id == payout_id) & (of.kind == EntryKind.PAYOUT_PAID)
    return bool(conn.execute(select(exists().where(named))).scalar_one())
