"""Small things that must happen now and then: join receipts that came too early, forget what nobody can ask for.

Runs on the one process that owns the lane `deadlines`. Nothing here moves a payment by itself.
"""

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy import delete

from gateway.core.ids import ID_BYTES, encode_id
from gateway.engine.batcher import Batcher
from gateway.engine.carrier_jobs import MatchParkedReceipts
from gateway.engine.deadlines import LANE
from gateway.store import tables
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

PAUSE_S = 2.0
# A batch's id answers one question, after a lost COMMIT, within two minutes.
BATCH_IDS_KEPT_MS = 600_000
# A receipt whose submit was never answered belongs to nobody after three days: SMSCs give up before.
PARKED_KEPT_MS = 3 * 24 * 3600 * 1000


class Housekeeping:
    """Looks every two seconds."""

    def __init__(self, batcher: Batcher, owns: Callable[[str], bool]) -> None:
        self._batcher = batcher
        self._owns = owns

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_S)
            if not self._owns(LANE):
                continue
            try:
                await self._batcher.offer(MatchParkedReceipts(), wake=False, vital=True)
                await self._batcher.call(_forget, wake=False)
            except Exception:  # A loop's top: all of it can wait for the next look.
                log.exception("housekeeping failed")


def _forget(unit: Unit) -> None:
    before = encode_id("bat_", (unit.now_ms - BATCH_IDS_KEPT_MS << 80).to_bytes(ID_BYTES, "big"))
    unit.conn.execute(delete(tables.batch).where(tables.batch.c.id < before))
    parked = tables.orphan_receipt
    unit.conn.execute(delete(parked).where(parked.c.at_ms < unit.now_ms - PARKED_KEPT_MS))
