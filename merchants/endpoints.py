"""Operations on webhook endpoints: make, read, change, delete, and a new secret beside the old one."""

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from gateway.core.ids import is_id
from gateway.core.payment import EventType
from gateway.core.public import rfc3339
from gateway.engine.batcher import Call as BatchCall
from gateway.store import tables, webhook_reads
from gateway.store.identity import new_id
from gateway.store.merchant_reads import Owner
from gateway.store.unit import Unit
from merchants import checks
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.problems import Refused
from merchants.shapes import Nothing
from merchants.webhook_shapes import (
    Endpoint,
    EndpointChange,
    EndpointDeleted,
    EndpointList,
    EndpointRequest,
    SecretRotation,
)

T = TypeVar("T")
Columns = Mapping[str, Any]  # Any: a row's columns.

ENDPOINTS_MAX: Final = 16
SECRET_BYTES: Final = 32


class Endpoints:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._development = api.development

    async def add(self, call: Call, request: EndpointRequest) -> Endpoint:
        checks.endpoint_url(request.url, development=self._development)
        secret = _new_secret()
        endpoint_id, owner = new_id("we_"), call.caller.owner

        def add(unit: Unit) -> Endpoint | None:
            if _count(unit, owner) >= ENDPOINTS_MAX:
                return None
            row = _new_row(endpoint_id, owner, request, secret, unit.now_ms)
            unit.put(tables.webhook_endpoint, row)
            return replace(_shown(row), secret=secret)

        added = await self._in_batch(add)
        if added is None:
            raise Refused("too_many_endpoints")
        return added

    async def list(self, call: Call, query: Nothing) -> EndpointList:
        rows = await self._reads(lambda conn: webhook_reads.endpoints(conn, call.caller.owner))
        return EndpointList(data=[_shown(row._asdict()) for row in rows])

    async def read(self, call: Call, query: Nothing) -> Endpoint:
        _check_id(call)
        row = await self._reads(lambda conn: webhook_reads.owned_endpoint(conn, call.caller.owner, call.id))
        if row is None:
            raise _no_endpoint(call)
        return _shown(row._asdict())

    async def change(self, call: Call, request: EndpointChange) -> Endpoint:
        if request.url is not UNSET:
            checks.endpoint_url(request.url, development=self._development)

        def changes(before: Columns, now_ms: int) -> Columns:
            values: dict[str, Any] = {}
            if request.url is not UNSET:
                values["url"] = request.url
            if request.types is not UNSET:
                values["types"] = _types(request.types)
            if request.disabled is not UNSET:
                values["disabled_at_ms"] = (before["disabled_at_ms"] or now_ms) if request.disabled else None
            return values

        return await self._change(call, changes)

    async def rotate_secret(self, call: Call, request: SecretRotation) -> Endpoint:
        """Two secrets sign at most: one that was on its way out ends here."""
        secret = _new_secret()

        def changes(before: Columns, now_ms: int) -> Columns:
            if request.overlap_s == 0:
                return {"secret": secret, "previous_secret": None, "previous_until_ms": None}
            until_ms = now_ms + request.overlap_s * 1000
            return {"secret": secret, "previous_secret": before["secret"], "previous_until_ms": until_ms}

        return replace(await self._change(call, changes), secret=secret)

    async def _change(self, call: Call, changes: Callable[[Columns, int], Columns]) -> Endpoint:
        _check_id(call)

        def change(unit: Unit) -> Endpoint | None:
            row = webhook_reads.owned_endpoint(unit.conn, call.caller.owner, call.id, lock=True)
            if row is None:
                return None
            values = changes(row._asdict(), unit.now_ms)
            webhook_reads.change_endpoint(unit.conn, call.id, values)
            return _shown({**row._asdict(), **values})

        changed = await self._in_batch(change)
        if changed is None:
            raise _no_endpoint(call)
        return changed

    async def delete(self, call: Call, query: Nothing) -> EndpointDeleted:
        _check_id(call)
        if not await self._in_batch(lambda unit: webhook_reads.delete_endpoint(unit.conn, call.caller.owner, call.id)):
            raise _no_endpoint(call)
        return EndpointDeleted(id=call.id)

    async def _in_batch(self, fn: Callable[[Unit], T]) -> T:
        # Not `Batcher.call`, which is never shed: endpoints can wait when payments cannot.
        return cast(T, await self._batcher.offer(BatchCall(fn)))


def _check_id(call: Call) -> None:
    if not is_id(call.id, "we_"):
        raise _no_endpoint(call)


def _no_endpoint(call: Call) -> Refused:
    return no_such("webhook endpoint", call.id)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _count(unit: Unit, owner: Owner) -> int:
    """The owner's endpoints, those included that this batch makes."""
    fresh = [row for row in unit.fresh(tables.webhook_endpoint) if (row["merchant_id"], row["mode"]) == _name(owner)]
    return webhook_reads.count_endpoints(unit.conn, owner) + len(fresh)


def _name(owner: Owner) -> tuple[str, str]:
    return owner.merchant_id, owner.mode


def _new_row(
    endpoint_id: str, owner: Owner, request: EndpointRequest, secret: str, now_ms: int
) -> dict[str, Any]:  # Any: a row's columns.
    return {
        "id": endpoint_id,
        "merchant_id": owner.merchant_id,
        "mode": owner.mode,
        "url": request.url,
        "secret": secret,
        "types": _types(request.types),
        "created_at_ms": now_ms,
        "disabled_at_ms": None,
        "previous_secret": None,
        "previous_until_ms": None,
    }


def _types(types: list[EventType]) -> str:
    return msgspec.json.encode(sorted(set(types))).decode()


def _shown(row: Columns) -> Endpoint:
    return Endpoint(
        id=row["id"],
        mode=row["mode"],
        url=row["url"],
        types=msgspec.json.decode(row["types"], type=list[EventType]),
        created_at=rfc3339(row["created_at_ms"]),
        disabled_at=_moment(row["disabled_at_ms"]),
        previous_secret_until=_moment(row["previous_until_ms"]),
    )


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


_ALL: Final = "/v1/webhook_endpoints"
_ONE: Final = "/v1/webhook_endpoints/{id}"


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/webhook_endpoints`, except those of the log and of replays."""
    endpoints = Endpoints(api)
    return [*_making_and_reading(endpoints), *_changing(endpoints)]


def _making_and_reading(endpoints: Endpoints) -> list[AnyOperation]:
    return [
        Operation(
            method="POST",
            path=_ALL,
            name="addWebhookEndpoint",
            summary="Have events posted to a link",
            scope="webhooks:write",
            takes=EndpointRequest,
            gives=Endpoint,
            status=201,
            problems=("too_many_endpoints",),
            handle=endpoints.add,
        ),
        Operation(
            method="GET",
            path=_ALL,
            name="listWebhookEndpoints",
            summary="List webhook endpoints",
            scope="webhooks:read",
            takes=Nothing,
            gives=EndpointList,
            handle=endpoints.list,
        ),
        Operation(
            method="GET",
            path=_ONE,
            name="readWebhookEndpoint",
            summary="Read a webhook endpoint",
            scope="webhooks:read",
            takes=Nothing,
            gives=Endpoint,
            problems=("not_found",),
            handle=endpoints.read,
        ),
    ]


def _changing(endpoints: Endpoints) -> list[AnyOperation]:
    return [
        Operation(
            method="POST",
            path=_ONE,
            name="changeWebhookEndpoint",
            summary="Change a webhook endpoint, disable it or take it back",
            scope="webhooks:write",
            takes=EndpointChange,
            gives=Endpoint,
            problems=("not_found",),
            handle=endpoints.change,
        ),
        Operation(
            method="POST",
            path=f"{_ONE}/rotate_secret",
            name="rotateWebhookSecret",
            summary="Get a new secret; the old one signs, too, for a while",
            scope="webhooks:write",
            takes=SecretRotation,
            gives=Endpoint,
            problems=("not_found",),
            handle=endpoints.rotate_secret,
        ),
        Operation(
            method="DELETE",
            path=_ONE,
            name="deleteWebhookEndpoint",
            summary="Post nothing more to a link",
            scope="webhooks:write",
            takes=Nothing,
            gives=EndpointDeleted,
            problems=("not_found",),
            handle=endpoints.delete,
        ),
    ]
