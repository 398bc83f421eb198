"""Looks for pumping, and forgets counters and pauses that are over, on the one process that owns the lane `deadlines`.

A look reads the last hour's asks beside the writer; only an alarm goes through a batch. Where no carrier has the cap it
makes no statement at all. What a pause keeps out is decided in `gateway.engine.admission`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.core.caps import Terms, is_pumping
from gateway.core.payment import BreakKind
from gateway.engine.batcher import Batcher
from gateway.engine.deadlines import LANE
from gateway.store import counters, pauses
from gateway.store.pauses import Asks
from gateway.store.reads import Reads
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

LOOK_S: Final = 30.0


class AskWatch:
    """Looks every 30 seconds."""

    def __init__(
        self,
        batcher: Batcher,
        reads: Reads,
        owns: Callable[[str], bool],
        terms: Mapping[str, Terms],
        now_ms: Callable[[], int],
    ) -> None:
        self._batcher = batcher
        self._reads = reads
        self._owns = owns
        self._terms = terms
        self._now_ms = now_ms
        self._watched = [name for name, one in terms.items() if one.caps.pumping_asks_min]
        self._is_counting = counters.counts(terms)

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            await self._batcher.call(self._forget, wake=False)
        except Exception:  # As below; what is stale is forgotten by the next start.
            log.exception("stale counters could not be forgotten")
        while self._watched or self._is_counting:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:  # A loop's top: the next look is half a minute away.
                log.exception("looking for pumping failed")

    async def look(self) -> None:
        """Pause what pumps, once."""
        if not self._owns(LANE):
            return
        if self._watched:
            now_ms = self._now_ms()
            found = await self._reads(lambda conn: pauses.silent_asks(conn, self._watched, now_ms))
            pumping = [asks for asks in found if is_pumping(self._terms[asks.carrier].caps, asks.asked, asks.answered)]
            if pumping:
                for detail in await self._batcher.call(lambda unit: self._pause(unit, pumping)):
                    log.warning("asks are paused: %s", detail)
        await self._batcher.call(self._forget, wake=False)

    def _pause(self, unit: Unit, pumping: Sequence[Asks]) -> list[str]:
        begun = []
        for asks in {asks.subject: asks for asks in pumping}.values():
            detail = f"{asks.subject}: {asks.asked} asks in an hour, {asks.answered} answered"
            until_ms = unit.now_ms + round(self._terms[asks.carrier].caps.pumping_pause_s * 1000)
            begun.append((asks, detail, until_ms))
            unit.effects.open_break(BreakKind.PUMPING, None, f"{detail}; asks paused from {unit.now_ms} to {until_ms}")
        pauses.begin(unit.conn, begun, unit.now_ms)
        return [detail for _, detail, _ in begun]

    def _forget(self, unit: Unit) -> None:
        counters.forget(unit.conn, self._terms, unit.now_ms)
        if self._watched:
            pauses.forget(unit.conn, unit.now_ms)
