"""Looks every few seconds how everything stands in the database, so that whoever scrapes never waits for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from gateway.store.overview import Count, Overview, Waiting, overview
from gateway.store.reads import Reads

log = logging.getLogger(__name__)

LOOK_S = 5.0


class Lookout:
    """Keeps the latest look. While the database cannot be read, the ages in it go on growing."""

    def __init__(self, reads: Reads, lanes: Sequence[str], now_ms: Callable[[], int]) -> None:
        self._reads = reads
        self._lanes = lanes
        self._now_ms = now_ms
        self.looked_at_ms = now_ms()
        self.latest = Overview(
            waiting={lane: Waiting() for lane in lanes},
            unknown=Count(),
            breaks={},
            quarantined=Count(),
            unsealed_since_ms=None,
            deadline_since_ms=None,
        )

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except DBAPIError as error:  # A loop's top: the next look is seconds away.
                log.warning("how everything stands could not be read: %s", error.orig)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        self.latest = await self._reads(lambda conn: overview(conn, self._lanes))
        self.looked_at_ms = self._now_ms()

    def age_s(self, since_ms: int | None) -> float:
        """How long ago that was; 0 for what is still to come or never was."""
        return 0.0 if since_ms is None else max(0.0, (self._now_ms() - since_ms) / 1000)
