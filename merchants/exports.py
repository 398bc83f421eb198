"""Operations on exports: order one, look at it, fetch its content, delete it. The lane writes them: `export_lane`."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Final, cast

from gateway.core.ids import is_id
from gateway.engine.batcher import Call as BatchCall
from gateway.engine.merchant_jobs import Answer
from gateway.store import exports
from merchants import checks
from merchants.deps import Api
from merchants.export_jobs import OrderExport
from merchants.export_shapes import (
    Export,
    ExportDeleted,
    ExportPage,
    ExportRequest,
    ExportsQuery,
    public_export,
)
from merchants.operations import AnyOperation, Call, Content, Operation, no_such
from merchants.payments import answered
from merchants.problems import Refused, refused_fields
from merchants.shapes import FieldError, Nothing

CSV: Final = "text/csv; charset=utf-8; header=present"


class Exports:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads

    async def order(self, call: Call, request: ExportRequest) -> Answer:
        after_ms, before_ms = checks.period(request.created_after, request.created_before)
        if request.kind == "events" and request.status is not None:
            raise refused_fields(FieldError(field="status", message="expected with kind payments only"))
        job = OrderExport(
            owner=call.caller.owner,
            kind=request.kind,
            created_from_ms=after_ms or 0,
            created_before_ms=before_ms,
            status=request.status,
            key=call.key,
            body_hash=call.body_hash,
        )
        return answered(await self._batcher.offer(job))

    async def list(self, call: Call, query: ExportsQuery) -> ExportPage:
        if query.starting_after is not None and not is_id(query.starting_after, "exp_"):
            raise refused_fields(FieldError(field="starting_after", message="expected an export's id"))
        found = await self._reads(
            lambda conn: exports.exports(
                conn, call.caller.owner, limit=query.limit + 1, older_than=query.starting_after
            )
        )
        page = [public_export(row) for row in found[: query.limit]]
        has_more = len(found) > query.limit
        return ExportPage(data=page, has_more=has_more, next=page[-1].id if has_more else None)

    async def read(self, call: Call, query: Nothing) -> Export:
        _check_id(call)
        row = await self._reads(lambda conn: exports.export(conn, call.caller.owner, call.id))
        if row is None:
            raise no_such("export", call.id)
        return public_export(row)

    async def content(self, call: Call, query: Nothing) -> Content:
        shown = await self.read(call, query)
        if shown.status != "ready":
            raise Refused(
                "export_not_ready", f"the export is {shown.status}; {shown.detail or 'wait until it is ready'}"
            )
        return Content(media=CSV, filename=f"{shown.kind}-{shown.id}.csv", pieces=self._pieces(shown.id))

    async def _pieces(self, export_id: str) -> AsyncIterator[bytes]:
        count = await self._reads(lambda conn: exports.count_chunks(conn, export_id))
        for n in range(count):
            body = await self._reads(partial(exports.chunk, export_id=export_id, n=n))
            if body is None:
                raise ConnectionAbortedError(f"export {export_id} was deleted while it was read")
            yield body.encode()

    async def delete(self, call: Call, query: Nothing) -> ExportDeleted:
        _check_id(call)
        owner, export_id = call.caller.owner, call.id
        job = BatchCall(lambda unit: exports.delete_export(unit.conn, owner, export_id))
        if not cast(bool, await self._batcher.offer(job)):
            raise no_such("export", export_id)
        return ExportDeleted(id=export_id)


def _check_id(call: Call) -> None:
    if not is_id(call.id, "exp_"):
        raise no_such("export", call.id)


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/exports`."""
    handlers = Exports(api)
    return [*_all(handlers), *_one(handlers)]


_ONE: Final = "/v1/exports/{id}"


def _all(handlers: Exports) -> list[AnyOperation]:
    return [
        Operation(
            method="POST",
            path="/v1/exports",
            name="orderExport",
            summary="Have payments or events written as CSV",
            scope="exports:write",
            takes=ExportRequest,
            gives=Export,
            status=202,
            needs_key=True,
            problems=("too_many_exports", "idempotency_mismatch", "not_found"),
            handle=handlers.order,
        ),
        Operation(
            method="GET",
            path="/v1/exports",
            name="listExports",
            summary="List exports, newest first",
            scope="exports:read",
            takes=ExportsQuery,
            gives=ExportPage,
            handle=handlers.list,
        ),
    ]


def _one(handlers: Exports) -> list[AnyOperation]:
    return [
        Operation(
            method="GET",
            path=_ONE,
            name="readExport",
            summary="Read how far an export is",
            scope="exports:read",
            takes=Nothing,
            gives=Export,
            problems=("not_found",),
            handle=handlers.read,
        ),
        Operation(
            method="GET",
            path=f"{_ONE}/content",
            name="readExportContent",
            summary="Fetch an export's CSV",
            scope="exports:read",
            takes=Nothing,
            gives=str,
            media=CSV,
            problems=("not_found", "export_not_ready"),
            handle=handlers.content,
        ),
        Operation(
            method="DELETE",
            path=_ONE,
            name="deleteExport",
            summary="Delete an export",
            scope="exports:write",
            takes=Nothing,
            gives=ExportDeleted,
            problems=("not_found",),
            handle=handlers.delete,
        ),
    ]
