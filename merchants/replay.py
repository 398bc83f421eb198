"""Operations that send events again: one event, or a stretch of the feed to one endpoint.

They take no Idempotency-Key. An event that comes once too often has the id it had before, which endpoints must expect
anyway; a stretch is replayed to an endpoint only while no other replay to it is under way, so that a request repeated
after a lost answer is told so.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row

from gateway.core.ids import is_id
from gateway.engine.batcher import Call as BatchCall
from gateway.store import merchant_reads, webhook_reads
from gateway.store.identity import new_id
from gateway.store.outbox import replay_key
from gateway.store.unit import Unit
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.problems import Refused, refused_fields
from merchants.replaying import Stretch, replay_row
from merchants.shapes import FieldError
from merchants.webhook_shapes import EventReplay, EventTypes, RangeReplay, Replay

RANGE_MAX: Final = 10_000
"""Events of one replay."""
EVENT_REPLAYS_MAX: Final = 16
"""Replays to one endpoint, from which on no single event is added: they leave one after another, and a lane that was
filled with those to an endpoint that hangs would have no room for anybody's fresh events."""


class Replaying:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads

    async def event(self, call: Call, request: EventReplay) -> Replay:
        """Named, an endpoint gets the event whatever types it takes."""

        def wanted(conn: Connection) -> tuple[int, list[str]]:
            place = webhook_reads.place(conn, call.caller.owner, call.id) if is_id(call.id, "evt_") else None
            if place is None:
                raise no_such("event", call.id)
            if request.endpoint_id is not None:
                return place.seq, [_open_endpoint(conn, call, request.endpoint_id).id]
            rows = webhook_reads.endpoints(conn, call.caller.owner)
            return place.seq, [row.id for row in rows if row.disabled_at_ms is None and _takes(row, place.type)]

        seq, endpoint_ids = await self._reads(wanted)
        stretches = [_stretch(call, endpoint_id, seq - 1, seq, None) for endpoint_id in endpoint_ids]
        await self._queue(stretches, beside_max=EVENT_REPLAYS_MAX - 1)
        return Replay(endpoint_ids=endpoint_ids, queued=len(endpoint_ids))

    async def range(self, call: Call, request: RangeReplay) -> Replay:
        """Events that come after the request are none of its business, whatever `through_seq` says."""
        if not 0 < request.through_seq - request.after_seq <= RANGE_MAX:
            message = f"expected 1 to {RANGE_MAX} more than after_seq"
            raise refused_fields(FieldError(field="through_seq", message=message))

        def wanted(conn: Connection) -> tuple[int, Stretch]:
            owner = call.caller.owner
            row = _open_endpoint(conn, call, call.id)
            types = request.types if request.types is not None else (_types(row) or None)
            through_seq = min(request.through_seq, merchant_reads.last_seq(conn, owner))
            queued = webhook_reads.count_events(
                conn, owner, after_seq=request.after_seq, through_seq=through_seq, types=types
            )
            return queued, _stretch(call, call.id, request.after_seq, through_seq, types)

        queued, stretch = await self._reads(wanted)
        await self._queue([stretch] if queued else [], beside_max=0)
        return Replay(endpoint_ids=[call.id], queued=queued)

    async def _queue(self, stretches: Sequence[Stretch], *, beside_max: int) -> None:
        """Raise Refused if more than *beside_max* replays to one of the endpoints are under way."""
        named = [(new_id("rpl_"), stretch) for stretch in stretches]

        def queue(unit: Unit) -> Refused | None:
            full = [one.endpoint_id for one in stretches if _under_way(unit, one.endpoint_id) > beside_max]
            if full:
                return Refused("replay_running", f"replays to {full[0]} are under way")
            for replay_id, stretch in named:
                unit.queue(replay_row(unit.policy.lanes, replay_id, stretch, unit.now_ms))
            return None

        # Not `Batcher.call`, which is never shed: replays can wait when payments cannot.
        refused = await self._batcher.offer(BatchCall(queue))
        if isinstance(refused, Refused):
            raise refused


def _under_way(unit: Unit, endpoint_id: str) -> int:
    """Replays to this endpoint, those included that this batch queues; no more are counted than matter."""
    fresh = sum(row.group_key == replay_key(endpoint_id) for row in unit.outbox.values())
    return fresh + webhook_reads.count_replays(unit.conn, endpoint_id, limit=EVENT_REPLAYS_MAX)


def _open_endpoint(conn: Connection, call: Call, endpoint_id: str) -> Row[Any]:  # Any: a row of `webhook_endpoint`.
    row = webhook_reads.owned_endpoint(conn, call.caller.owner, endpoint_id) if is_id(endpoint_id, "we_") else None
    if row is None:
        raise no_such("webhook endpoint", endpoint_id)
    if row.disabled_at_ms is not None:
        raise Refused("endpoint_disabled")
    return row


def _stretch(call: Call, endpoint_id: str, after_seq: int, through_seq: int, types: EventTypes | None) -> Stretch:
    return Stretch(
        merchant_id=call.caller.merchant_id,
        mode=call.caller.mode,
        endpoint_id=endpoint_id,
        after_seq=after_seq,
        through_seq=through_seq,
        types=types,
    )


def _types(row: Row[Any]) -> EventTypes:  # Any: a row of `webhook_endpoint`.
    return msgspec.json.decode(row.types, type=EventTypes)


def _takes(row: Row[Any], event_type: str) -> bool:  # Any: a row of `webhook_endpoint`.
    types = _types(row)
    return not types or event_type in types


def operations(api: Api) -> list[AnyOperation]:
    """Routes that end in `/replay`."""
    replaying = Replaying(api)
    return [
        Operation(
            method="POST",
            path="/v1/events/{id}/replay",
            name="replayEvent",
            summary="Send an event again",
            scope="webhooks:write",
            takes=EventReplay,
            gives=Replay,
            status=202,
            problems=("not_found", "endpoint_disabled", "replay_running"),
            handle=replaying.event,
        ),
        Operation(
            method="POST",
            path="/v1/webhook_endpoints/{id}/replay",
            name="replayEvents",
            summary="Send a stretch of the feed to an endpoint again",
            scope="webhooks:write",
            takes=RangeReplay,
            gives=Replay,
            status=202,
            problems=("not_found", "endpoint_disabled", "replay_running"),
            handle=replaying.range,
        ),
    ]
