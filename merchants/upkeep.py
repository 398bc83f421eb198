"""What the API writes about its own use: which keys were used, which requests came. One job a second, in no hurry.

It rides along with batches that are written anyway. If there is no room for it, what it had is dropped and counted.
"""

import asyncio
import logging
from typing import Any, ClassVar, Final

from aiohttp import web

from gateway.engine.batcher import Batcher, Busy
from gateway.store import api_keys, tables
from gateway.store.unit import Needs, Unit
from merchants.frame import Frame

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
# So many rows of some kilobytes make a batch a few milliseconds longer and no more.
ROWS_A_JOB_MAX: Final = 500


class WriteUse:
    """A job of the batch: keys with the hour of their last use, and rows of the request log."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def __init__(self, used: list[tuple[str, int]], rows: list[dict[str, Any]]) -> None:  # Any: a row's columns.
        self._used = used
        self.rows = rows

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        api_keys.mark_used(unit.conn, self._used)
        for row in self.rows:
            unit.put(tables.request_log, row)


class Upkeep:
    """Runs as long as the application does."""

    def __init__(self, batcher: Batcher, frame: Frame) -> None:
        self._batcher = batcher
        self._frame = frame
        self._task: asyncio.Task[None] | None = None

    async def start(self, app: web.Application) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self, app: web.Application) -> None:
        """Hand over what is left; the batcher writes it before it stops."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self.offer()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            try:
                self.offer()
            except Exception:  # A loop's top: the log can do without a second's requests.
                log.exception("what the API noted about its use is lost")

    def offer(self) -> None:
        """Hand all that was noted to the batcher."""
        used = self._frame.keys.take_used()
        while True:
            rows = [] if self._frame.log is None else self._frame.log.take(ROWS_A_JOB_MAX)
            if not used and not rows:
                return
            self._hand(WriteUse(used, rows))
            used = []

    def _hand(self, job: WriteUse) -> None:
        try:
            self._batcher.offer(job, wake=False).add_done_callback(lambda done: self._written(job, done))
        except Busy:
            self._drop(job)

    def _written(self, job: WriteUse, done: "asyncio.Future[object]") -> None:
        # The batcher has logged the error.
        if not done.cancelled() and done.exception() is not None:
            self._drop(job)

    def _drop(self, job: WriteUse) -> None:
        if self._frame.log is not None:
            self._frame.log.dropped += len(job.rows)
