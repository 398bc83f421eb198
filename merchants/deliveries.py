"""Records what became of a try to deliver an event, as a job of the batch."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import msgspec

from gateway.store import merchant_reads, tables
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit

LADDER_S: Final = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Pauses between the ten tries: a little over 75 hours in all."""
DETAIL_CHARACTERS_MAX: Final = 200


class Outcome(msgspec.Struct, frozen=True):
    """What a try showed."""

    kind: Literal["delivered", "failed", "gone", "dropped"]
    detail: str
    retry_after_s: float = 0.0
    """What the endpoint asked for."""
    is_silence: bool = False
    """No answer came at all: each such try holds a place for as long as an answer may take."""


@dataclass(slots=True)
class WebhookDone:
    """A try has ended: the row is done, or it comes again after *delay_ms*."""

    row: OutboxRow
    outcome: Outcome
    delay_ms: int | None = None
    action: ClassVar[str] = "webhook"
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        if self.delay_ms is not None:
            unit.requeue(self.row, due_at_ms=unit.now_ms + self.delay_ms)
            return
        unit.complete(self.row.id)
        if self.outcome.kind == "gone":
            merchant_reads.disable_endpoint(unit.conn, self.row.body["endpoint_id"], unit.now_ms)
        was_tried = self.outcome.kind != "dropped"
        unit.put(
            tables.webhook_attempt,
            {
                "id": f"{self.row.id}.{self.row.tries + was_tried}",
                "event_id": self.row.body["event_id"],
                "endpoint_id": self.row.body["endpoint_id"],
                "status": "delivered" if self.outcome.kind == "delivered" else "given_up",
                "tries": self.row.tries + was_tried,
                "http_status": None,
                "took_ms": 0,
                "detail": self.outcome.detail[:DETAIL_CHARACTERS_MAX],
                "at_ms": unit.now_ms,
            },
        )
