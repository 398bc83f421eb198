"""Wakes payments whose time is over, on the one process that owns the lane `deadlines`.

Only looks and tells: whether a deadline has truly passed is decided by the payment itself, by the batch's clock.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy import select

from gateway.engine.batcher import Batcher, Busy
from gateway.store import tables
from gateway.store.apply import Job
from gateway.store.unit import Unit

log = logging.getLogger(__name__)

LANE = "deadlines"
POLL_S = 1.0
FOUND_MAX = 500


async def _pause() -> None:
    await asyncio.sleep(POLL_S)


class Deadlines:
    """Looks once a second for payments that wait no longer."""

    def __init__(
        self,
        batcher: Batcher,
        owns: Callable[[str], bool],
        reached: Callable[[str], Job],
        *,
        pause: Callable[[], Awaitable[None]] = _pause,
    ) -> None:
        self._batcher = batcher
        self._owns = owns
        self._reached = reached
        self._pause = pause
        self.told = 0
        self._aside: set[str] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                found = await self.look()
            except Exception:  # A loop's top: the deadlines stand in the database and are found by the next look.
                log.exception("looking for deadlines failed")
                found = 0
            if found < FOUND_MAX:
                await self._pause()

    async def look(self) -> int:
        """Tell the payments whose deadline is over, and wait until each has decided. Return how many were told."""
        if not self._owns(LANE):
            return 0
        offered: dict[str, asyncio.Future[object]] = {}
        for payment_id in await self._batcher.call(self._find):
            try:
                offered[payment_id] = self._batcher.offer(self._reached(payment_id))
            except Busy:
                break
        if offered:
            # Waited for, so that no payment is ever told twice at a time.
            await asyncio.wait(offered.values())
        for payment_id, decided in offered.items():
            error = decided.exception()
            if error is not None:
                log.error("payment %s could not be told its deadline: %r", payment_id, error)
                self._aside.add(payment_id)
        self.told += len(offered)
        return len(offered)

    def _find(self, unit: Unit) -> list[str]:
        """Payments to tell, those first that wait longest. One that could not be told waits for the next start."""
        payment = tables.payment.c
        statement = (
            select(payment.id)
            .where(payment.deadline_at_ms <= unit.now_ms)
            .order_by(payment.deadline_at_ms)
            .limit(FOUND_MAX + len(self._aside))
        )
        return [row.id for row in unit.conn.execute(statement) if row.id not in self._aside][:FOUND_MAX]
