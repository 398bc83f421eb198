"""Seals the ledger behind the payments, on the one process that owns the lane `sealer`."""

import asyncio
import logging
from collections.abc import Callable

from gateway.core.ids import first_id_at
from gateway.engine.batcher import Batcher
from gateway.engine.clock import wall_ms
from gateway.store.seal import LOOK_BACK_MS, seal_next
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

LANE = "sealer"
PAUSE_S = 5.0
ENTRIES_MAX = 1_000


class Sealer:
    """Chains what was posted since the last look."""

    def __init__(self, batcher: Batcher, owns: Callable[[str], bool]) -> None:
        self._batcher = batcher
        self._owns = owns
        self._after_id = ""
        self.sealed = 0

    async def run(self) -> None:
        """Seal until cancelled."""
        while True:
            try:
                is_behind = await self.seal()
            except Exception:  # A loop's top: what is not sealed now is sealed by the next look.
                log.exception("sealing failed")
                is_behind = False
            if not is_behind:
                await asyncio.sleep(PAUSE_S)

    async def seal(self) -> bool:
        """Look at the next page of entries; True if there may be more behind it.

        An owner goes through all entries once; from then on only those of the last minutes can be unsealed.
        """
        if not self._owns(LANE):
            self._after_id = ""
            return False
        sealed, last_id = await self._batcher.call(self._seal_next, wake=False)
        self.sealed += sealed
        if last_id is not None:
            self._after_id = last_id
            return True
        self._after_id = first_id_at("ent_", wall_ms() - LOOK_BACK_MS)
        return False

    def _seal_next(self, unit: Unit) -> tuple[int, str | None]:
        return seal_next(unit.conn, after_id=self._after_id, limit=ENTRIES_MAX)
