"""What happens to an export inside a batch: it is ordered, grows by a chunk, and its turn in the lane ends."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from gateway.core.payment import PublicState
from gateway.engine.merchant_jobs import Answer, Problem
from gateway.store import exports, tables
from gateway.store.exports import ExportQuery, ExportRow
from gateway.store.identity import new_id
from gateway.store.merchant_reads import Owner
from gateway.store.outbox import EXPORT_LANE, OutboxRow
from gateway.store.unit import Key, KeyRecord, Needs, Unit
from merchants.export_shapes import public_export

EXPORTS_MAX: Final = 10
"""Of one merchant in one mode."""


@dataclass(slots=True, kw_only=True)
class OrderExport:
    """`POST /v1/exports`: remember what is wanted and have the lane write it."""

    owner: Owner
    kind: str
    created_from_ms: int
    created_before_ms: int | None
    status: PublicState | None
    key: str
    body_hash: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def _key(self) -> Key:
        return Key(self.owner.merchant_id, self.owner.mode, "exports", self.key)

    def needs(self) -> Needs:
        return Needs(keys=(self._key(),))

    def run(self, unit: Unit) -> Answer | Problem:
        record = unit.key(self._key())
        if record is not None:
            return self._replay(unit, record)
        if exports.count_exports(unit.conn, self.owner) + self._fresh(unit) >= EXPORTS_MAX:
            return Problem("too_many_exports", f"there are {EXPORTS_MAX} exports already")
        row = self._row(unit)
        unit.put(tables.export, msgspec.structs.asdict(row))
        unit.queue(_outbox_row(row.id, unit.now_ms))
        body = msgspec.json.encode(public_export(row))
        kept = KeyRecord(hash=self.body_hash, object_id=row.id, status=202, response=body.decode())
        unit.remember_key(self._key(), kept)
        return Answer(202, body)

    def _replay(self, unit: Unit, record: KeyRecord) -> Answer | Problem:
        if record.hash != self.body_hash:
            return Problem("idempotency_mismatch", "this Idempotency-Key was used with another request body")
        if not record.response:  # Answers are kept for longer than exports.
            return Problem("not_found", f"export {record.object_id} is gone")
        return Answer(record.status, record.response.encode(), replayed=True)

    def _fresh(self, unit: Unit) -> int:
        mine = (self.owner.merchant_id, self.owner.mode)
        return sum((row["merchant_id"], row["mode"]) == mine for row in unit.fresh(tables.export))

    def _row(self, unit: Unit) -> ExportRow:
        # What begins later is not wanted, so that the end of the export is known from its beginning.
        before_ms = unit.now_ms if self.created_before_ms is None else min(self.created_before_ms, unit.now_ms)
        query = ExportQuery(created_from_ms=self.created_from_ms, created_before_ms=before_ms, status=self.status)
        return ExportRow(
            id=new_id("exp_"),
            merchant_id=self.owner.merchant_id,
            mode=self.owner.mode,
            kind=self.kind,
            query=msgspec.json.encode(query).decode(),
            status="pending",
            row_count=0,
            reached="",
            detail="",
            created_at_ms=unit.now_ms,
            ended_at_ms=None,
        )


def _outbox_row(export_id: str, now_ms: int) -> OutboxRow:
    return OutboxRow(
        id=export_id,
        lane=EXPORT_LANE,
        kind="export",
        group_key=export_id,
        payment_id=None,
        consumer_id=None,
        body={"export_id": export_id},
        due_at_ms=now_ms,
        created_at_ms=now_ms,
    )


@dataclass(slots=True, kw_only=True)
class WriteChunk:
    """The next lines of an export, and whether they are the last. False if somebody else wrote them, or none may."""

    export_id: str
    n: int
    body: str
    rows: int
    reached: str
    is_last: bool
    failed: str = ""
    """Why nothing more is written."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> bool:
        progress = exports.progress(unit.conn, self.export_id, lock=True)
        if progress is None or progress.chunks != self.n:
            return False
        if self.body:
            exports.add_chunk(unit.conn, self.export_id, self.n, self.body)
        exports.set_progress(
            unit.conn,
            self.export_id,
            status="failed" if self.failed else "ready" if self.is_last else "running",
            row_count=progress.rows + self.rows,
            reached=self.reached,
            detail=self.failed,
            ended_at_ms=unit.now_ms if self.is_last or self.failed else None,
        )
        return True


@dataclass(slots=True)
class TurnEnded:
    """The lane has worked on an export for a while: it is done, or comes again behind the others."""

    row: OutboxRow
    is_done: bool

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        if self.is_done:
            unit.complete(self.row.id)
        else:
            unit.requeue(self.row, due_at_ms=unit.now_ms)
