"""Seals the ledger behind the payments, on the one process that owns the lane `sealer`."""

import asyncio
import logging
from collections.abc import Callable

from gateway.engine.batcher import Batcher
from gateway.store.seal import LOOK_BACK_MS, seal_next
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

LANE = "sealer"
PAUSE_S = 1.0
ENTRIES_MAX = 1_000


class Sealer:
    """Chains what was posted since the last look."""

    def __init__(self, batcher: Batcher, owns: Callable[[str], bool]) -> None:
        self._batcher = batcher
        self._owns = owns
        self._has_seen_all = False
        self.sealed = 0

    async def run(self) -> None:
        """Seal until cancelled."""
        while True:
            try:
                sealed = await self.seal()
            except Exception:  # A loop's top: what is not sealed now is sealed by the next look.
                log.exception("sealing failed")
                sealed = 0
            if sealed < ENTRIES_MAX:
                await asyncio.sleep(PAUSE_S)

    async def seal(self) -> int:
        """Seal what there is, up to a maximum; return how many entries that were."""
        if not self._owns(LANE):
            self._has_seen_all = False
            return 0
        sealed = await self._batcher.call(self._seal_next, wake=False)
        # The first look of an owner goes through all entries; from then on only new ones can be unsealed.
        self._has_seen_all = self._has_seen_all or sealed < ENTRIES_MAX
        self.sealed += sealed
        return sealed

    def _seal_next(self, unit: Unit) -> int:
        since_ms = unit.now_ms - LOOK_BACK_MS if self._has_seen_all else None
        return seal_next(unit.conn, limit=ENTRIES_MAX, since_ms=since_ms)
