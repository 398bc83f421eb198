"""Operations on the event feed and on webhook endpoints."""

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from gateway.core.ids import is_id
from gateway.core.payment import EventType
from gateway.core.public import rfc3339
from gateway.engine.batcher import Call as BatchCall
from gateway.store import merchant_reads, tables
from gateway.store.identity import new_id
from gateway.store.merchant_reads import Owner
from gateway.store.unit import Unit
from merchants import checks
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.problems import Refused, refused_fields
from merchants.shapes import (
    Endpoint,
    EndpointDeleted,
    EndpointList,
    EndpointRequest,
    EventPage,
    EventQuery,
    FieldError,
    Nothing,
    RawEventPage,
)

T = TypeVar("T")

ENDPOINTS_MAX: Final = 16
SECRET_BYTES: Final = 32


class Feed:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._development = api.development

    async def events(self, call: Call, query: EventQuery) -> RawEventPage:
        """The bytes of each event are those that its webhooks carry."""
        if query.type is not None or query.payment_id is not None:
            return await self._chosen_events(call.caller.owner, query)
        found = await self._reads(
            lambda conn: merchant_reads.events(
                conn, call.caller.owner, after_seq=query.after_seq, limit=query.limit + 1
            )
        )
        page = found[: query.limit]
        return RawEventPage(
            data=[msgspec.Raw(row.body.encode()) for row in page],
            has_more=len(found) > query.limit,
            next_after_seq=page[-1].seq if page else query.after_seq,
        )

    async def _chosen_events(self, owner: Owner, query: EventQuery) -> RawEventPage:
        if query.payment_id is not None and not is_id(query.payment_id, "pay_"):
            raise refused_fields(FieldError(field="payment_id", message="expected a payment's id"))
        page = await self._reads(
            lambda conn: merchant_reads.chosen_events(
                conn,
                owner,
                after_seq=query.after_seq,
                limit=query.limit,
                kind=query.type,
                payment_id=query.payment_id,
            )
        )
        return RawEventPage(
            data=[msgspec.Raw(row.body.encode()) for row in page.rows],
            has_more=page.has_more,
            next_after_seq=page.looked_to_seq,
        )

    async def add_endpoint(self, call: Call, request: EndpointRequest) -> Endpoint:
        checks.endpoint_url(request.url, development=self._development)
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        endpoint_id, owner = new_id("we_"), call.caller.owner

        def add(unit: Unit) -> Endpoint | None:
            if merchant_reads.count_endpoints(unit.conn, owner) >= ENDPOINTS_MAX:
                return None
            row = _endpoint_row(endpoint_id, owner, request, secret, unit.now_ms)
            unit.put(tables.webhook_endpoint, row)
            return msgspec.structs.replace(_endpoint(row), secret=secret)

        added = await self._in_batch(add)
        if added is None:
            raise Refused("too_many_endpoints")
        return added

    async def list_endpoints(self, call: Call, query: Nothing) -> EndpointList:
        rows = await self._reads(lambda conn: merchant_reads.endpoints(conn, call.caller.owner))
        return EndpointList(data=[_endpoint(row._asdict()) for row in rows])

    async def delete_endpoint(self, call: Call, query: Nothing) -> EndpointDeleted:
        if not is_id(call.id, "we_"):
            raise no_such("webhook endpoint", call.id)
        owner = call.caller.owner

        def delete(unit: Unit) -> bool:
            return merchant_reads.delete_endpoint(unit.conn, owner, call.id)

        if not await self._in_batch(delete):
            raise no_such("webhook endpoint", call.id)
        return EndpointDeleted(id=call.id)

    async def _in_batch(self, fn: Callable[[Unit], T]) -> T:
        # Not `Batcher.call`, which is never shed: endpoints can wait when payments cannot.
        return cast(T, await self._batcher.offer(BatchCall(fn)))


def _endpoint_row(
    endpoint_id: str, owner: Owner, request: EndpointRequest, secret: str, now_ms: int
) -> dict[str, Any]:  # Any: a row's columns.
    return {
        "id": endpoint_id,
        "merchant_id": owner.merchant_id,
        "mode": owner.mode,
        "url": request.url,
        "secret": secret,
        "types": msgspec.json.encode(sorted(set(request.types))).decode(),
        "created_at_ms": now_ms,
        "disabled_at_ms": None,
    }


def _endpoint(row: Mapping[str, Any]) -> Endpoint:  # Any: a row's columns.
    disabled_at_ms = row["disabled_at_ms"]
    return Endpoint(
        id=row["id"],
        mode=row["mode"],
        url=row["url"],
        types=msgspec.json.decode(row["types"], type=list[EventType]),
        created_at=rfc3339(row["created_at_ms"]),
        disabled_at=None if disabled_at_ms is None else rfc3339(disabled_at_ms),
    )


def operations(api: Api) -> list[AnyOperation]:
    """Routes for events and webhook endpoints."""
    feed = Feed(api)
    return [
        Operation(
            method="GET",
            path="/v1/events",
            name="listEvents",
            scope="events:read",
            summary="Read the event feed",
            takes=EventQuery,
            gives=EventPage,
            handle=feed.events,
        ),
        Operation(
            method="POST",
            path="/v1/webhook_endpoints",
            name="addWebhookEndpoint",
            scope="webhooks:write",
            summary="Have events posted to a link",
            takes=EndpointRequest,
            gives=Endpoint,
            status=201,
            problems=("too_many_endpoints",),
            handle=feed.add_endpoint,
        ),
        Operation(
            method="GET",
            path="/v1/webhook_endpoints",
            name="listWebhookEndpoints",
            scope="webhooks:read",
            summary="List webhook endpoints",
            takes=Nothing,
            gives=EndpointList,
            handle=feed.list_endpoints,
        ),
        Operation(
            method="DELETE",
            path="/v1/webhook_endpoints/{id}",
            name="deleteWebhookEndpoint",
            scope="webhooks:write",
            summary="Post nothing more to a link",
            takes=Nothing,
            gives=EndpointDeleted,
            problems=("not_found",),
            handle=feed.delete_endpoint,
        ),
    ]
