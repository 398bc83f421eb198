"""Seals the ledger behind the payments, on the one process that owns the lane `sealer`."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.core.ids import first_id_at
from gateway.engine.batcher import Batcher
from gateway.engine.clock import wall_ms
from gateway.store.balances import count_sealed
from gateway.store.heads import Anchor, anchored_up_to, anchors, append_anchors, publish
from gateway.store.seal import LOOK_BACK_MS, seal_next
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

LANE = "sealer"
PAUSE_S = 5.0
ENTRIES_MAX = 1_000
# How often the latest entries are gone through once more, for those that came into sight behind younger ones.
LOOK_AGAIN_MS = LOOK_BACK_MS // 2
# How long a forger has for whatever was sealed last.
HEAD_EVERY_MS = 3_600_000


class Sealer:
    """Chains what was posted since the last look, counts it into the balances, and publishes the chain's head."""

    def __init__(
        self,
        batcher: Batcher,
        owns: Callable[[str], bool],
        *,
        anchor_file: Path | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        """*anchor_file* gets every published head; *now_ms* is the clock that new ids are made by."""
        self._anchor_file = anchor_file
        self._batcher = batcher
        self._owns = owns
        self._now_ms = now_ms
        self._forget()
        self.sealed = 0

    def _forget(self) -> None:
        self._after_id = ""
        self._anchored: int | None = None
        self._round_began_ms = self._now_ms()

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
            self._forget()
            return False
        sealed, last_id, counted = await self._batcher.call(self._seal_next, wake=False)
        self.sealed += sealed
        if last_id is not None:
            self._after_id = last_id
        elif self._now_ms() - self._round_began_ms >= LOOK_AGAIN_MS:
            # What the round that ends now could not see has no older id: see LOOK_BACK_MS.
            self._after_id = first_id_at("ent_", self._round_began_ms - LOOK_BACK_MS)
            self._round_began_ms = self._now_ms()
        await self._write_anchors()
        return last_id is not None or counted == ENTRIES_MAX

    def _seal_next(self, unit: Unit) -> tuple[int, str | None, int]:
        sealed, last_id = seal_next(unit.conn, after_id=self._after_id, limit=ENTRIES_MAX)
        if last_id is None:
            publish(unit.conn, now_ms=unit.now_ms, every_ms=HEAD_EVERY_MS)
        return sealed, last_id, count_sealed(unit.conn, limit=ENTRIES_MAX)

    async def _write_anchors(self) -> None:
        """After the commit that published them; what a crash keeps out of the file now is written by the next look."""
        path = self._anchor_file
        if path is None:
            return
        if self._anchored is None:
            self._anchored = await asyncio.to_thread(anchored_up_to, path)
        after = self._anchored

        def published(unit: Unit) -> list[Anchor]:
            return anchors(unit.conn, after=after)

        added = await self._batcher.call(published, wake=False)
        if added:
            await asyncio.to_thread(append_anchors, path, added)
            self._anchored = added[-1].position
