"""Records what became of a try to deliver an event, as a job of the batch: one row of the log for each step taken.

A step that was spared the wire (its endpoint had not answered just before) is logged, too: it uses up one of the ten.
"""

import random
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import msgspec

from gateway.store import tables, webhook_reads
from gateway.store.outbox import AttemptStatus, OutboxRow
from gateway.store.unit import Needs, Unit

LADDER_S: Final = (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Pauses between the ten tries: a little over 75 hours in all."""
# All at once, so that endpoints which failed together do not fall back on us together.
JITTER: Final = (1.0, 1.1)
DETAIL_CHARACTERS_MAX: Final = 200


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a try showed."""

    kind: Literal["delivered", "failed", "spared", "gone", "dropped"]
    """`spared`: nothing was sent, the endpoint was silent just before. `dropped`: it is no longer to be called."""
    detail: str
    http_status: int | None = None
    """None: no answer came."""
    took_ms: int = 0
    retry_after_s: float = 0.0
    """What the endpoint asked for."""
    is_silence: bool = False
    """No answer came at all: each such try holds a place for as long as an answer may take."""


def next_delay_ms(tries_before: int, outcome: Outcome) -> int | None:
    """When to try again; None: never."""
    if outcome.kind not in ("failed", "spared") or tries_before >= len(LADDER_S):
        return None
    delay_s = max(LADDER_S[tries_before], outcome.retry_after_s) * random.uniform(*JITTER)
    return int(delay_s * 1000)


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
        else:
            unit.complete(self.row.id)
        event_id, endpoint_id = self.row.body["event_id"], self.row.body["endpoint_id"]
        log_try(unit, self.row, event_id, endpoint_id, self.outcome, is_last=self.delay_ms is None)


def log_try(unit: Unit, row: OutboxRow, event_id: str, endpoint_id: str, outcome: Outcome, *, is_last: bool) -> None:
    """Write down what a try showed; 410 disables the endpoint besides."""
    if outcome.kind == "gone":
        webhook_reads.disable_endpoint(unit.conn, endpoint_id, unit.now_ms)
    was_tried = outcome.kind != "dropped"
    status: AttemptStatus = "given_up" if is_last else "failed"
    # A replay's row delivers many events, and an event that is replayed may get a row of the same id once more.
    name = row.id if row.kind == "webhook" else f"{event_id}-{endpoint_id}-{row.id}"
    unit.put(
        tables.webhook_attempt,
        {
            "id": f"{name}.{row.created_at_ms}.{row.tries + 1 if was_tried else 'end'}",
            "event_id": event_id,
            "endpoint_id": endpoint_id,
            "status": "delivered" if outcome.kind == "delivered" else status,
            "tries": row.tries + was_tried,
            "http_status": outcome.http_status,
            "took_ms": outcome.took_ms,
            "detail": outcome.detail[:DETAIL_CHARACTERS_MAX],
            "at_ms": unit.now_ms,
        },
    )
