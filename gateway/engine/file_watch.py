"""Misses a carrier's file once its time is over, and what nobody reads to its end.

On the one process that owns the lane `deadlines`.

The break is the one that the next file would open (`gateway.engine.file_jobs`); the late file ends it.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta, tzinfo
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from gateway.core.carrier_files import Files, last_due
from gateway.core.payment import BreakKind
from gateway.engine.batcher import Batcher
from gateway.engine.deadlines import LANE
from gateway.engine.file_registry import GAPS_MAX, missing_words, unread_words
from gateway.engine.watching import watch
from gateway.store import bulk, carrier_files, tables
from gateway.store.effects import break_id
from gateway.store.reads import Reads
from gateway.store.unit import Unit

log = logging.getLogger(__name__)


class Expected(NamedTuple):
    """The files of a carrier."""

    files: Files
    zone: tzinfo


class FileWatch:
    """Looks every five minutes. Only an alarm goes through a batch; where no carrier sends files it never looks."""

    def __init__(
        self,
        batcher: Batcher,
        reads: Reads,
        owns: Callable[[str], bool],
        expected: Mapping[str, Expected],
        now_ms: Callable[[], int],
    ) -> None:
        self._batcher = batcher
        self._reads = reads
        self._owns = owns
        self._expected = expected
        self._now_ms = now_ms

    async def run(self) -> None:
        """Look until cancelled."""
        if self._expected:
            await watch(self.look, "missing files")

    async def look(self) -> None:
        """Open a break for each file that is missing now, once."""
        if not self._owns(LANE):
            return
        for carrier in self._expected:
            if await self._reads(partial(self._missed, carrier)):
                for words in await self._batcher.call(partial(self._miss, carrier)):
                    log.warning("a carrier's file is missing: %s", words)

    def _missed(self, carrier: str, conn: Connection) -> list[str]:
        """What is to be said of files that are missing or half read and have no break yet, open or resolved."""
        latest = carrier_files.latest_date(conn, carrier)
        if latest is None:  # Before its first file nobody knows from which day on they come.
            return []
        now_ms, (files, zone) = self._now_ms(), self._expected[carrier]
        gap = min(GAPS_MAX, (last_due(files, now_ms, zone) - latest).days) if files.expected_daily else 0
        days = [(latest + timedelta(days=n)).isoformat() for n in range(1, gap + 1)]
        said = [*unread_words(conn, carrier, now_ms), *(missing_words(carrier, day, None) for day in days)]
        words = {break_id(BreakKind.FILE_MISSING, None, one): one for one in said}
        known = {row.id for row in bulk.select_in(conn, tables.open_break, "id", sorted(words))}
        return [one for missed, one in words.items() if missed not in known]

    def _miss(self, carrier: str, unit: Unit) -> list[str]:
        carrier_files.take_turn(unit.conn, carrier)
        missed = self._missed(carrier, unit.conn)
        for words in missed:
            unit.effects.open_break(BreakKind.FILE_MISSING, None, words)
        return missed
