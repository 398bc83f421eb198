"""The operation on the log of tries: what was posted to an endpoint, when, and what it answered."""

from typing import Any

from sqlalchemy import Connection, Row

from gateway.core.ids import is_id
from gateway.core.public import rfc3339
from gateway.store import webhook_reads
from gateway.store.merchant_reads import Rows
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.problems import refused_fields
from merchants.shapes import FieldError
from merchants.webhook_shapes import Attempt, AttemptPage, AttemptQuery


class Attempts:
    """The handler."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads

    async def list(self, call: Call, query: AttemptQuery) -> AttemptPage:
        if query.event_id is not None and not is_id(query.event_id, "evt_"):
            raise refused_fields(FieldError(field="event_id", message="expected an event's id"))
        found = await self._reads(lambda conn: _page(conn, call, query))
        page = [_shown(row) for row in found[: query.limit]]
        has_more = len(found) > query.limit
        return AttemptPage(data=page, has_more=has_more, next=page[-1].id if has_more else None)


def _page(conn: Connection, call: Call, query: AttemptQuery) -> Rows:
    """The page and one more. Raise Refused."""
    if not is_id(call.id, "we_") or webhook_reads.owned_endpoint(conn, call.caller.owner, call.id) is None:
        raise no_such("webhook endpoint", call.id)
    before = None
    if query.starting_after is not None:
        at_ms = webhook_reads.attempt_at_ms(conn, call.id, query.starting_after)
        if at_ms is None:
            raise refused_fields(FieldError(field="starting_after", message="expected the id of one of these tries"))
        before = (at_ms, query.starting_after)
    return webhook_reads.attempts(
        conn, call.id, limit=query.limit + 1, before=before, status=query.status, event_id=query.event_id
    )


def _shown(row: Row[Any]) -> Attempt:  # Any: a row of `webhook_attempt`.
    return Attempt(
        id=row.id,
        event_id=row.event_id,
        endpoint_id=row.endpoint_id,
        status=row.status,
        tries=row.tries,
        http_status=row.http_status,
        took_ms=row.took_ms,
        detail=row.detail,
        at=rfc3339(row.at_ms),
    )


def operations(api: Api) -> list[AnyOperation]:
    """The route of the log."""
    return [
        Operation(
            method="GET",
            path="/v1/webhook_endpoints/{id}/attempts",
            name="listWebhookAttempts",
            summary="List the tries to deliver to an endpoint, newest first",
            scope="webhooks:read",
            takes=AttemptQuery,
            gives=AttemptPage,
            problems=("not_found",),
            handle=Attempts(api).list,
        ),
    ]
