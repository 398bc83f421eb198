"""Says when a new payment of a carrier would only wait until it is dead: its oldest unsent text is too old.

A request that cannot be asked in time is better refused at once, with a time to come back.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from gateway.store.backlog import oldest_due_ms
from gateway.store.reads import Reads

log = logging.getLogger(__name__)

LOOK_S = 1.0
OLDEST_UNSENT_MAX_MS = 60_000
RETRY_AFTER_S = 5.0


class Pressure:
    """Looks once a second how long each carrier's texts have waited."""

    def __init__(self, reads: Reads, carriers: Sequence[str], now_ms: Callable[[], int]) -> None:
        self._reads = reads
        self._carriers = carriers
        self._now_ms = now_ms
        self._full: frozenset[str] = frozenset()

    def retry_after_s(self, carrier: str) -> float | None:
        """None if *carrier* takes new requests; else when to ask again."""
        return RETRY_AFTER_S if carrier in self._full else None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except DBAPIError as error:  # A loop's top: the next look is a second away.
                log.warning("the backlog could not be looked at: %s", error.orig)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        lanes = {f"sms:{carrier}:0": carrier for carrier in self._carriers}
        oldest = await self._reads(lambda conn: oldest_due_ms(conn, list(lanes)))
        limit_ms = self._now_ms() - OLDEST_UNSENT_MAX_MS
        self._full = frozenset(lanes[lane] for lane, due_ms in oldest.items() if due_ms < limit_ms)
