"""Operations on the request log: what a merchant's keys asked for, newest first."""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Row

from gateway.core.public import rfc3339
from gateway.store import request_log
from gateway.store.request_log import RequestFilter
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.problems import refused_fields
from merchants.shapes import PAGE_DEFAULT, PAGE_MAX, FieldError, Nothing, Request

_REQUEST_ID: Final = re.compile(r"req_[0-9a-f]{32}")

StatusClass = Literal["2xx", "4xx", "5xx"]


class RequestQuery(Request, frozen=True, kw_only=True):
    """A page of requests, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="`next` of the page before.",
                extra_json_schema={"pattern": f"^{_REQUEST_ID.pattern}$"},
            ),
        ]
        | None
    ) = None
    key_id: Annotated[str, Meta(max_length=64, description="Of this key only.")] | None = None
    status_class: Annotated[StatusClass, Meta(description="Of these statuses only.")] | None = None
    route: (
        Annotated[str, Meta(max_length=100, description="Of this path only.", examples=["/v1/payments/{id}/capture"])]
        | None
    ) = None


class LoggedRequest(Struct, frozen=True, kw_only=True):
    """A request as it was noted. Numbers and secrets in it are masked. Bodies are shown one request at a time."""

    id: Annotated[str, Meta(description="The Request-Id.")]
    object: Literal["request"] = "request"
    mode: str
    key_id: str
    method: str
    route: Annotated[str, Meta(description="The path, with names for what varies.")]
    object_id: str | None
    status: int
    code: Annotated[str | None, Meta(description="Of the error catalogue.")]
    idempotency_key: str | None
    took_ms: int
    created_at: str
    request_body: Annotated[str, Meta(description="Its start; of a GET, the query.")] | UnsetType = UNSET
    response_body: Annotated[str, Meta(description="Its start.")] | UnsetType = UNSET


class RequestPage(Struct, frozen=True, kw_only=True):
    """`next` is the `starting_after` of the next page. With a filter also a short page may have a next one."""

    object: Literal["list"] = "list"
    data: list[LoggedRequest]
    has_more: bool
    next: str | None


class Requests:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads

    async def list(self, call: Call, query: RequestQuery) -> RequestPage:
        if query.starting_after is not None and not _REQUEST_ID.fullmatch(query.starting_after):
            raise refused_fields(FieldError(field="starting_after", message="expected a request's id"))
        for field, text in (("key_id", query.key_id), ("route", query.route)):
            if text is not None and not text.isprintable():
                raise refused_fields(FieldError(field=field, message="expected printable characters only"))
        wanted = RequestFilter(key_id=query.key_id, statuses=_statuses(query.status_class), route=query.route)
        found = await self._reads(
            lambda conn: request_log.requests(
                conn, call.caller.owner, wanted, limit=query.limit, before_id=query.starting_after
            )
        )
        return RequestPage(
            data=[_logged(row) for row in found.rows],
            has_more=found.next_before_id is not None,
            next=found.next_before_id,
        )

    async def read(self, call: Call, query: Nothing) -> LoggedRequest:
        if not _REQUEST_ID.fullmatch(call.id):
            raise no_such("request", call.id)
        row = await self._reads(lambda conn: request_log.request(conn, call.caller.owner, call.id))
        if row is None:
            raise no_such("request", call.id)
        return _logged(row, request_body=row.request_body, response_body=row.response_body)


def _statuses(status_class: StatusClass | None) -> tuple[int, int] | None:
    if status_class is None:
        return None
    first = int(status_class[0]) * 100
    return first, first + 99


def _logged(
    row: Row[Any],  # Any: a row of `request_log`.
    *,
    request_body: str | UnsetType = UNSET,
    response_body: str | UnsetType = UNSET,
) -> LoggedRequest:
    return LoggedRequest(
        id=row.id,
        mode=row.mode,
        key_id=row.key_id,
        method=row.method,
        route=row.route,
        object_id=row.object_id or None,
        status=row.status,
        code=row.code or None,
        idempotency_key=row.idempotency_key or None,
        took_ms=row.took_ms,
        created_at=rfc3339(row.at_ms),
        request_body=request_body,
        response_body=response_body,
    )


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/requests`."""
    requests = Requests(api)
    return [
        Operation(
            method="GET",
            path="/v1/requests",
            name="listRequests",
            scope="requests:read",
            summary="List what was asked for, newest first",
            takes=RequestQuery,
            gives=RequestPage,
            handle=requests.list,
        ),
        Operation(
            method="GET",
            path="/v1/requests/{id}",
            name="readRequest",
            scope="requests:read",
            summary="Read a request and its answer",
            takes=Nothing,
            gives=LoggedRequest,
            problems=("not_found",),
            handle=requests.read,
        ),
    ]
