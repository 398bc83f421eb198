"""Calls a person to disputes that nobody has decided by the day that their phones were told.

Runs on the one process that owns the lane `deadlines`. The decision itself ends the break.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from sqlalchemy import Connection, select

from gateway.core.dispute import DECIDED_WITHIN_MS, Dispute, DisputeState, decided_by_ms, overdue_words
from gateway.core.payment import BreakKind
from gateway.engine.batcher import Batcher
from gateway.engine.deadlines import LANE
from gateway.engine.watching import watch
from gateway.store import bulk, tables
from gateway.store.disputes import dispute_from_row, overdue_break
from gateway.store.reads import Reads
from gateway.store.unit import Needs, Unit

log = logging.getLogger(__name__)

FOUND_MAX: Final = 500


@dataclass(slots=True)
class DecisionMissed:
    """The day is over. The result is what the break says; None: it was decided meanwhile."""

    dispute_id: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> str | None:
        dispute = unit.disputes.get(self.dispute_id)
        assert dispute is not None, "disputes are never deleted"
        if dispute.state is not DisputeState.UNDER_REVIEW or unit.now_ms < decided_by_ms(dispute):
            return None
        words = overdue_words(dispute)
        unit.effects.open_break(BreakKind.DISPUTE, dispute.payment_id, words, at_risk=dispute.amount)
        return words


class DisputeWatch:
    """Looks every five minutes. Only an alarm goes through a batch."""

    def __init__(self, batcher: Batcher, reads: Reads, owns: Callable[[str], bool], now_ms: Callable[[], int]) -> None:
        self._batcher = batcher
        self._reads = reads
        self._owns = owns
        self._now_ms = now_ms

    async def run(self) -> None:
        """Look until cancelled."""
        await watch(self.look, "overdue disputes")

    async def look(self) -> None:
        """Open a break for each dispute that is overdue, once."""
        if not self._owns(LANE):
            return
        for dispute in await self._reads(self._overdue):
            words = await self._batcher.offer(DecisionMissed(dispute.id))
            if words is not None:
                log.warning("nobody has decided: %s", words)

    def _overdue(self, conn: Connection) -> list[Dispute]:
        """Those that have no break yet. The newest ones: an older one was found before."""
        of = tables.dispute.c
        is_over = (of.state == DisputeState.UNDER_REVIEW) & (of.due_at_ms <= self._now_ms() - DECIDED_WITHIN_MS)
        statement = select(tables.dispute).where(is_over).order_by(of.due_at_ms.desc()).limit(FOUND_MAX)
        found = {overdue_break(one): one for one in map(dispute_from_row, conn.execute(statement))}
        known = {row.id for row in bulk.select_in(conn, tables.open_break, "id", sorted(found))}
        return [one for missed, one in found.items() if missed not in known]
