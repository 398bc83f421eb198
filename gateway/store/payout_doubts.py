"""What stands in the way of a merchant's next payout: money of which nobody knows whether the bank has sent it.

A word of the bank that contradicts what we know moves nothing: it becomes a break for a person.
"""

import msgspec
from sqlalchemy import Connection, exists, select

from gateway.core.money import Money
from gateway.core.payment import BreakKind, EntryKind
from gateway.core.payouts import PayoutState
from gateway.store import tables
from gateway.store.unit import Unit


class Contradiction(msgspec.Struct, frozen=True):
    """What the bank said and we do not believe; a break says the same."""

    words: str


def contradict(unit: Unit, payout_id: str, words: str, at_risk: Money) -> Contradiction:
    """Open a break about a payout. *words* begin with its id."""
    assert words.startswith(f"{payout_id} "), words
    unit.effects.open_break(BreakKind.PAYOUT, None, words, at_risk=at_risk)
    return Contradiction(words)


def is_in_doubt(conn: Connection, merchant_id: str, mode: str) -> bool:
    """Whether there is a payout of the merchant that nobody knows of, or of which the bank has said two things."""
    of = tables.payout.c
    doubtful = (of.state == PayoutState.UNKNOWN) | of.id.in_(_contradicted(conn))
    found = select(of.id).where(of.merchant_id == merchant_id, of.mode == mode, doubtful)
    return conn.execute(found.limit(1)).first() is not None


def _contradicted(conn: Connection) -> list[str]:
    """The payouts with an open break."""
    of = tables.open_break.c
    words = select(of.detail).where(of.kind == BreakKind.PAYOUT, of.resolved_at_ms.is_(None))
    return [detail.partition(" ")[0] for detail in conn.execute(words).scalars()]


def was_paid(conn: Connection, payout_id: str) -> bool:
    """Whether the bank has said so once, whatever it said since."""
    of = tables.entry.c
    named = (of.source_type == "payout") & (of.source_id == payout_id) & (of.kind == EntryKind.PAYOUT_PAID)
    return bool(conn.execute(select(exists().where(named))).scalar_one())
