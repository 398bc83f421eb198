"""Sends old events again: one row of the outbox for a whole stretch of the feed, carried out page by page.

A replay has one try under way at a time, in the order of the feed, and all replays to one endpoint share one place, so
that fresh events never wait behind them. Each event gets one try here; one that fails goes on by the ordinary ladder,
as a row of its own. An event whose own delivery has not ended is not sent beside it: that delivery is brought forward.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import Row

from gateway.engine.executors import Grant
from gateway.engine.lane import NotStarted
from gateway.store import bulk, tables, webhook_reads
from gateway.store.merchant_reads import Owner
from gateway.store.outbox import LanePlan, OutboxRow, replay_key, webhook_id, webhook_row
from gateway.store.unit import Needs, Unit
from merchants.deliveries import Outcome, log_try, next_delay_ms
from merchants.sending import SPARED_FOR_S, Sender
from merchants.webhook_shapes import EventTypes

# Both bound what one page adds to a batch, and how long it keeps its place.
PAGE_EVENTS_MAX: Final = 100
PAGE_S: Final = 1.0


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a replay: events behind `after_seq`, up to and with `through_seq`."""

    merchant_id: str
    mode: str
    endpoint_id: str
    after_seq: int
    through_seq: int
    types: EventTypes | None
    """None: all."""


def replay_row(plan: LanePlan, replay_id: str, stretch: Stretch, now_ms: int) -> OutboxRow:
    """The row that carries a replay on."""
    return OutboxRow(
        id=replay_id,
        lane=plan.webhook_lane(stretch.endpoint_id),
        kind="replay",
        group_key=replay_key(stretch.endpoint_id),
        payment_id=None,
        consumer_id=None,
        body=msgspec.to_builtins(stretch),
        due_at_ms=now_ms,
        created_at_ms=now_ms,
    )


class Tried(msgspec.Struct, frozen=True):
    """An event of the page and what its try showed."""

    event: webhook_reads.OldEvent
    outcome: Outcome


@dataclass(slots=True)
class ReplayDone:
    """A page of a replay: what was tried, what is on its way anyhow, and where to go on."""

    row: OutboxRow
    left: Stretch | None
    """None: that was all."""
    tried: list[Tried] = field(default_factory=list)
    on_their_way: list[str] = field(default_factory=list)
    """Ids of events."""
    pause_ms: int = 0
    action: ClassVar[str] = "webhook"
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        endpoint_id: str = self.row.body["endpoint_id"]
        unit.complete(self.row.id)
        again = [(one, next_delay_ms(0, one.outcome)) for one in self.tried]
        rows = self._rows(unit, [*(one.event.id for one, delay_ms in again if delay_ms), *self.on_their_way])
        for one, delay_ms in again:
            log_try(unit, self.row, one.event.id, endpoint_id, one.outcome, is_last=delay_ms is None)
            if delay_ms is not None and webhook_id(one.event.id, endpoint_id) not in rows:
                unit.queue(_put_off(unit, one.event, endpoint_id, delay_ms))
        self._bring_forward(unit, rows)
        # Gone: another owner of the lane carried this page out, too, was first to record it, and goes on.
        if self.left is not None and self.row.id in rows:
            unit.queue(self._next_page(unit, self.left))

    def _rows(self, unit: Unit, event_ids: Sequence[str]) -> dict[str, Row[Any]]:  # Any: a row of the outbox.
        """This row, and deliveries of these events that have not ended, by id; locked."""
        names = [self.row.id, *(webhook_id(event_id, self.row.body["endpoint_id"]) for event_id in event_ids)]
        found = bulk.select_in(unit.conn, tables.outbox, "id", sorted(names), lock=True, order_by="id")
        return {row.id: row for row in found}

    def _bring_forward(self, unit: Unit, rows: Mapping[str, Row[Any]]) -> None:  # Any: as above.
        """What waits for its next try need not; what is due, or in a lane's hands, leaves anyhow."""
        names = [webhook_id(event_id, self.row.body["endpoint_id"]) for event_id in self.on_their_way]
        found = [rows[name] for name in names if name in rows]
        waiting = [row.id for row in found if row.epoch is None and row.due_at_ms > unit.now_ms]
        bulk.update_rows(unit.conn, tables.outbox, "id", [{"id": n, "due_at_ms": unit.now_ms} for n in waiting])

    def _next_page(self, unit: Unit, left: Stretch) -> OutboxRow:
        replay_id, _, page = self.row.id.partition(".")
        # A new id each time: the row in hand is known in memory until its outcome is on disk.
        row = replay_row(unit.policy.lanes, f"{replay_id}.{int(page or 0) + 1}", left, unit.now_ms)
        return replace(row, due_at_ms=unit.now_ms + self.pause_ms)


def _put_off(unit: Unit, event: webhook_reads.OldEvent, endpoint_id: str, delay_ms: int) -> OutboxRow:
    """The event's second try, on the ladder."""
    row = webhook_row(
        unit.policy.lanes,
        event_id=event.id,
        payment_id=event.payment_id,
        endpoint_id=endpoint_id,
        now_ms=unit.now_ms,
        payload=None,
    )
    return replace(row, tries=1, due_at_ms=unit.now_ms + delay_ms)


class Replays:
    """Carries out rows of kind `replay`."""

    def __init__(self, sender: Sender, *, hard_timeout_s: float, running_max: int) -> None:
        """At most *running_max* replays have a try under way, so that places are left for fresh events."""
        self._sender = sender
        self._hard_timeout_s = hard_timeout_s
        self._running_max = running_max
        self._running = 0

    async def run(self, row: OutboxRow, grant: Grant) -> ReplayDone:
        """Send one page. Raise NotStarted."""
        if self._running >= self._running_max:
            raise NotStarted
        self._running += 1
        try:
            return await self._page(row, msgspec.convert(row.body, Stretch), grant)
        finally:
            self._running -= 1

    async def _page(self, row: OutboxRow, stretch: Stretch, grant: Grant) -> ReplayDone:
        events = await self._next_events(stretch)
        if not grant.may_start(self._hard_timeout_s):
            raise NotStarted
        is_last_page = len(events) < PAGE_EVENTS_MAX
        done = ReplayDone(row, None if is_last_page else replace(stretch, after_seq=events[-1].seq))
        ends_s = time.monotonic() + PAGE_S
        for event in events:
            if time.monotonic() >= ends_s:
                done.left = replace(stretch, after_seq=event.seq - 1)
                break
            if event.is_on_its_way:
                done.on_their_way.append(event.id)
            elif not await self._try(event, stretch, done):
                break
        return done

    async def _try(self, event: webhook_reads.OldEvent, stretch: Stretch, done: ReplayDone) -> bool:
        """Send one event; False if the page ends here."""

        async def body() -> bytes:
            return event.body

        outcome = await self._sender.send(stretch.endpoint_id, event.id, body)
        if outcome.kind == "spared":  # Its events would only fill the outbox; the replay waits for it instead.
            done.left, done.pause_ms = replace(stretch, after_seq=event.seq - 1), int(SPARED_FOR_S * 1000)
            return False
        if outcome.kind == "dropped":
            done.left = None
            return False
        done.tried.append(Tried(event, outcome))
        if outcome.kind == "gone":
            done.left = None
            return False
        return True

    async def _next_events(self, stretch: Stretch) -> list[webhook_reads.OldEvent]:
        return await self._sender.look(
            lambda conn: webhook_reads.old_events(
                conn,
                Owner(stretch.merchant_id, stretch.mode),
                stretch.endpoint_id,
                after_seq=stretch.after_seq,
                through_seq=stretch.through_seq,
                types=stretch.types,
                limit=PAGE_EVENTS_MAX,
            )
        )
