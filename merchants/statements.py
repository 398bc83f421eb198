"""Operations on payouts and statements: what was settled, and where it went."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from gateway.core.ids import is_id
from gateway.core.public import rfc3339
from gateway.store import statements as store
from gateway.store.payouts import PublicPayout, public_payout
from gateway.store.statements import Statement
from merchants.balance import Minor
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Content, Operation, no_such
from merchants.problems import refused_fields
from merchants.shapes import PAGE_DEFAULT, PAGE_MAX, FieldError, Nothing, Request, id_meta
from merchants.statement_files import as_csv, as_pdf, rows_of

SCOPE: Final = "balance:read"
CSV: Final = "text/csv; charset=utf-8; header=present"
PDF: Final = "application/pdf"


class PayoutsQuery(Request, frozen=True, kw_only=True):
    """A page of payouts, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: Annotated[str, id_meta("po_")] | None = None


class StatementsQuery(Request, frozen=True, kw_only=True):
    """A page of statements, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: Annotated[str, id_meta("set_")] | None = None


class StatementLine(Struct, frozen=True, kw_only=True):
    """A line of a statement."""

    line: str
    amount: Minor


class PublicStatement(Struct, frozen=True, kw_only=True):
    """A settlement and what came after it, up to the next. `ledger_head`: the seal when it was made."""

    id: str
    object: Literal["statement"] = "statement"
    mode: str
    currency: str
    cut_off_at: str
    created_at: str
    lines: list[StatementLine]
    payouts: list[str]
    ledger_position: int
    ledger_head: str


class PayoutPage(Struct, frozen=True, kw_only=True):
    """`next` is what to send as `starting_after` next; null on the last page."""

    data: list[PublicPayout]
    has_more: bool
    next: str | None


class StatementPage(Struct, frozen=True, kw_only=True):
    """`next` is what to send as `starting_after` next; null on the last page."""

    data: list[PublicStatement]
    has_more: bool
    next: str | None


def public_statement(found: Statement) -> PublicStatement:
    """As JSON shows it."""
    return PublicStatement(
        id=found.id,
        mode=found.mode,
        currency=found.currency,
        cut_off_at=rfc3339(found.cut_off_ms),
        created_at=rfc3339(found.at_ms),
        lines=[StatementLine(line=line, amount=amount_minor) for line, amount_minor in rows_of(found)],
        payouts=list(found.payout_ids),
        ledger_position=found.head_position,
        ledger_head=found.head_hash,
    )


class Statements:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads

    async def payouts(self, call: Call, query: PayoutsQuery) -> PayoutPage:
        _check_cursor(query.starting_after, "po_", "a payout's id")
        found = await self._reads(
            lambda conn: store.payouts(conn, call.caller.owner, limit=query.limit + 1, older_than=query.starting_after)
        )
        page = [public_payout(one) for one in found[: query.limit]]
        has_more = len(found) > query.limit
        return PayoutPage(data=page, has_more=has_more, next=page[-1].id if has_more else None)

    async def list(self, call: Call, query: StatementsQuery) -> StatementPage:
        _check_cursor(query.starting_after, "set_", "a statement's id")
        found = await self._reads(
            lambda conn: store.statements(
                conn, call.caller.owner, limit=query.limit + 1, older_than=query.starting_after
            )
        )
        page = [public_statement(one) for one in found[: query.limit]]
        has_more = len(found) > query.limit
        return StatementPage(data=page, has_more=has_more, next=page[-1].id if has_more else None)

    async def read(self, call: Call, query: Nothing) -> PublicStatement:
        return public_statement(await self._found(call))

    async def csv(self, call: Call, query: Nothing) -> Content:
        return await self._file(call, CSV, "csv", as_csv)

    async def pdf(self, call: Call, query: Nothing) -> Content:
        return await self._file(call, PDF, "pdf", as_pdf)

    async def _found(self, call: Call) -> Statement:
        found = None
        if is_id(call.id, "set_"):
            found = await self._reads(lambda conn: store.statement(conn, call.caller.owner, call.id))
        if found is None:
            raise no_such("statement", call.id)
        return found

    async def _file(self, call: Call, media: str, ending: str, write: Callable[[Statement], bytes]) -> Content:
        found = await self._found(call)
        return Content(media=media, filename=f"statement-{found.id}.{ending}", pieces=_whole(write(found)))


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _check_cursor(cursor: str | None, prefix: str, expected: str) -> None:
    if cursor is not None and not is_id(cursor, prefix):
        raise refused_fields(FieldError(field="starting_after", message=f"expected {expected}"))


_ONE: Final = "/v1/statements/{id}"


def operations(api: Api) -> list[AnyOperation]:
    """Routes of payouts and statements."""
    handlers = Statements(api)
    return [
        _read("/v1/payouts", "listPayouts", "List payouts", PayoutsQuery, PayoutPage, handlers.payouts),
        _read("/v1/statements", "listStatements", "List statements", StatementsQuery, StatementPage, handlers.list),
        _read(f"{_ONE}/csv", "readStatementCsv", "Read a statement as CSV", Nothing, str, handlers.csv, CSV),
        _read(f"{_ONE}/pdf", "readStatementPdf", "Read a statement as PDF", Nothing, str, handlers.pdf, PDF),
        _read(_ONE, "readStatement", "Read a statement", Nothing, PublicStatement, handlers.read),
    ]


def _read(
    path: str,
    name: str,
    summary: str,
    takes: type[Request],
    gives: type,
    handle: Callable[..., Awaitable[Struct | Content]],
    media: str = "application/json",
) -> AnyOperation:
    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        scope=SCOPE,
        takes=takes,
        gives=gives,
        media=media,
        problems=("not_found",) if "{id}" in path else (),
        handle=handle,
    )
