"""The shapes of exports, and an export as its merchant sees it."""

from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from gateway.core.payment import PublicState
from gateway.core.public import rfc3339
from gateway.engine.housekeeping import EXPORTS_KEPT_MS
from gateway.store.exports import ExportRow, query_of
from merchants.shapes import PAGE_DEFAULT, PAGE_MAX, Moment, Request, id_meta

Kind = Literal["payments", "events"]
Status = Literal["pending", "running", "ready", "failed"]
ExportId = Annotated[str, id_meta("exp_")]


class ExportRequest(Request, frozen=True, kw_only=True):
    """What is to be written down as CSV."""

    kind: Kind
    created_after: Annotated[Moment, Meta(description="RFC 3339; from this moment on.")] | None = None
    created_before: Annotated[Moment, Meta(description="RFC 3339; without it, now.")] | None = None
    status: Annotated[PublicState | None, Meta(description="Of payments, when their line is written.")] = None


class ExportsQuery(Request, frozen=True, kw_only=True):
    """A page of exports, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: Annotated[ExportId, Meta(description="The last id of the page before.")] | None = None


class ExportFilter(Struct, frozen=True, kw_only=True):
    """What the export holds."""

    created_after: str
    created_before: str
    status: PublicState | None


class Export(Struct, frozen=True, kw_only=True):
    """An export. `rows` are those written so far, without the header; `detail` says why one failed."""

    id: str
    object: Literal["export"] = "export"
    mode: str
    kind: Kind
    status: Status
    detail: str
    filter: ExportFilter
    rows: int
    created_at: str
    ended_at: str | None
    expires_at: str


class ExportPage(Struct, frozen=True, kw_only=True):
    """`next` is what to send as `starting_after` next; null on the last page."""

    object: Literal["list"] = "list"
    data: list[Export]
    has_more: bool
    next: str | None


class ExportDeleted(Struct, frozen=True, kw_only=True):
    id: str
    deleted: bool = True


def public_export(row: ExportRow) -> Export:
    """*row* as its merchant sees it."""
    query = query_of(row)
    return Export(
        id=row.id,
        mode=row.mode,
        kind=cast(Kind, row.kind),
        status=cast(Status, row.status),
        detail=row.detail,
        filter=ExportFilter(
            created_after=rfc3339(query.created_from_ms),
            created_before=rfc3339(query.created_before_ms),
            status=query.status,
        ),
        rows=row.row_count,
        created_at=rfc3339(row.created_at_ms),
        ended_at=None if row.ended_at_ms is None else rfc3339(row.ended_at_ms),
        expires_at=rfc3339(row.created_at_ms + EXPORTS_KEPT_MS),
    )
