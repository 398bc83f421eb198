"""Writes exports, a page at a time: read beside the payments, written in small jobs that wake nobody.

Each page goes on behind what the last chunk reached, as the database has it, so a crash or a second writer costs a page
and never doubles a line.
"""

import asyncio
import time
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gateway.core.payment import PublicState
from gateway.engine.batcher import Batcher, Busy
from gateway.engine.executors import Grant
from gateway.engine.lane import NotStarted
from gateway.store import exports
from gateway.store.exports import Progress
from gateway.store.outbox import OutboxRow
from gateway.store.payment_lists import Wanted, payments_onward
from merchants.csv_cells import event_line, header, payment_line
from merchants.export_jobs import TurnEnded, WriteChunk
from merchants.keys import ReadsPort
from merchants.payment_lists import public

PAGE_ROWS: Final = 500
CHUNK_CHARACTERS_MAX: Final = 256 * 1024
"""A chunk ends with the line that passes this."""
ROWS_MAX: Final = 1_000_000
# Then another export has its turn.
TURN_S: Final = 2.0
# For the page that is under way when the turn ends; what is cut off is read again.
GRACE_S: Final = 1.0


class ExportExecutor:
    """Carries out rows of kind `export`."""

    concurrency: Final = 1
    hard_timeout_s: Final = TURN_S + GRACE_S

    def __init__(
        self, reads: ReadsPort, batcher: Batcher, *, page_rows: int = PAGE_ROWS, turn_s: float = TURN_S
    ) -> None:
        self._reads = reads
        self._batcher = batcher
        self._page_rows = page_rows
        self._turn_s = turn_s

    def is_up(self, row: OutboxRow) -> bool:
        return True

    def drop(self, row: OutboxRow) -> TurnEnded:
        raise AssertionError("an export is never superseded")

    async def run(self, row: OutboxRow, grant: Grant) -> TurnEnded:
        try:
            async with asyncio.timeout(self.hard_timeout_s):
                return TurnEnded(row, await self._turn(row.body["export_id"]))
        except (Busy, TimeoutError):
            return TurnEnded(row, False)
        except DBAPIError as error:
            raise NotStarted from error

    async def _turn(self, export_id: str) -> bool:
        """Write pages until the turn is over; True if there are no more."""
        ends_s = time.monotonic() + self._turn_s
        while True:
            job = await self._reads(lambda conn: next_chunk(conn, export_id, page_rows=self._page_rows))
            if job is None:
                return True
            # In no hurry, and never in the room that is kept for replies and carriers' answers.
            await self._batcher.offer(job, wake=False)
            if time.monotonic() >= ends_s:
                return False


def next_chunk(conn: Connection, export_id: str, *, page_rows: int) -> WriteChunk | None:
    """The lines behind those that are written; None if the export has ended."""
    progress = exports.progress(conn, export_id)
    if progress is None:
        return None
    found = _lines(conn, progress, page_rows)
    if found and progress.rows >= ROWS_MAX:
        return _chunk(progress, [], is_last=False, failed=f"more than {ROWS_MAX:,} rows: choose a shorter time")
    characters = 0
    for count, (_, text) in enumerate(found, start=1):
        characters += len(text)
        if characters >= CHUNK_CHARACTERS_MAX:
            return _chunk(progress, found[:count], is_last=False)
    return _chunk(progress, found, is_last=len(found) < page_rows)


def _chunk(progress: Progress, lines: list[tuple[str, str]], *, is_last: bool, failed: str = "") -> WriteChunk:
    text = "".join(text for _, text in lines)
    return WriteChunk(
        export_id=progress.id,
        n=progress.chunks,
        body=text if progress.chunks else header(progress.kind) + text,
        rows=sum(1 for _, text in lines if text),
        reached=lines[-1][0] if lines else progress.reached,
        is_last=is_last,
        failed=failed,
    )


def _lines(conn: Connection, progress: Progress, limit: int) -> list[tuple[str, str]]:
    """Each line, with what is reached once it is written; an empty one for a row that is not wanted."""
    query = progress.query
    if progress.kind == "events":
        after_seq = int(progress.reached or 0)
        rows = exports.events_onward(conn, progress.owner, query, after_seq=after_seq, limit=limit)
        return [(str(row.seq), event_line(row)) for row in rows]
    # Only the other states have an index: where few succeed, a page of them could be the whole history.
    chosen_here = query.status is PublicState.SUCCEEDED
    wanted = Wanted(
        created_from_ms=query.created_from_ms,
        created_before_ms=query.created_before_ms,
        status=None if chosen_here else query.status,
    )
    found = payments_onward(conn, progress.owner, wanted, after_id=progress.reached, limit=limit)
    return [
        (
            shown.payment.id,
            "" if chosen_here and shown.payment.public_state is not query.status else payment_line(public(shown)),
        )
        for shown in found
    ]
