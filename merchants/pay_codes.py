"""Operations on pay codes: digits that a phone types to pay an item, an amount, or what its owner says."""

from typing import Final, cast

from msgspec.structs import replace

from gateway.core.catalogue import PayCode, wrong_price
from gateway.core.ids import is_id
from gateway.core.money import Money
from gateway.engine.batcher import Call as BatchCall
from gateway.engine.merchant_jobs import Answer
from gateway.store import catalogue
from merchants import checks
from merchants.catalogue_jobs import AddPayCode, ended
from merchants.catalogue_shapes import (
    PayCodePage,
    PayCodeRequest,
    PayCodesQuery,
    PublicPayCode,
    public_pay_code,
)
from merchants.deps import Api
from merchants.items import check_currency, currencies
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.payments import answered
from merchants.problems import Refused, refused_fields
from merchants.shapes import FieldError, Nothing


class PayCodes:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._now_ms = api.now_ms
        self._currencies = currencies(api)

    async def add(self, call: Call, request: PayCodeRequest) -> Answer:
        _check(request)
        if request.currency is not None:
            check_currency(request.currency, call.caller.mode, self._currencies)
            _check_amount(request.amount, request.currency)
        checks.metadata(request.metadata)
        checks.printable(reference=request.reference)
        if request.description is not None:
            request = replace(request, description=checks.clean_text("description", request.description))
        job = AddPayCode(owner=call.caller.owner, key=call.key, body_hash=call.body_hash, request=request)
        return answered(await self._batcher.offer(job))

    async def list(self, call: Call, query: PayCodesQuery) -> PayCodePage:
        if query.starting_after is not None and not is_id(query.starting_after, "pcd_"):
            raise refused_fields(FieldError(field="starting_after", message="expected a pay code's id"))
        found = await self._reads(
            lambda conn: catalogue.pay_codes(
                conn, call.caller.owner, limit=query.limit + 1, older_than=query.starting_after
            )
        )
        now_ms, has_more = self._now_ms(), len(found) > query.limit
        page = [public_pay_code(code, now_ms) for code in found[: query.limit]]
        return PayCodePage(data=page, has_more=has_more, next=page[-1].id if has_more else None)

    async def read(self, call: Call, query: Nothing) -> PublicPayCode:
        _check_id(call)
        found = await self._reads(lambda conn: catalogue.pay_code(conn, call.caller.owner, call.id))
        if found is None:
            raise _no_code(call)
        return public_pay_code(found, self._now_ms())

    async def end(self, call: Call, query: Nothing) -> PublicPayCode:
        _check_id(call)
        owner, code_id = call.caller.owner, call.id
        found = cast(PayCode | None, await self._batcher.offer(BatchCall(lambda unit: ended(unit, owner, code_id))))
        if found is None:
            raise _no_code(call)
        return public_pay_code(found, self._now_ms())


def _check(request: PayCodeRequest) -> None:
    """An item says all by itself; anything else says what it is for, and in which currency."""
    given = {
        "amount": request.amount is not None,
        "currency": request.currency is not None,
        "description": request.description is not None,
    }
    if request.item_id is not None:
        wrong = [FieldError(field=name, message="expected no item_id beside it") for name, is_ in given.items() if is_]
    else:
        needed = ("currency", "description")
        wrong = [FieldError(field=name, message="expected it, or an item_id") for name in needed if not given[name]]
        if request.quantity != 1:
            wrong.append(FieldError(field="quantity", message="expected an item_id beside it"))
    if wrong:
        raise refused_fields(*wrong)


def _check_amount(amount: int | None, currency: str) -> None:
    wrong = "" if amount is None else wrong_price(Money(amount, currency))
    if wrong:
        raise refused_fields(FieldError(field="amount", message=wrong))


def _check_id(call: Call) -> None:
    if not is_id(call.id, "pcd_"):
        raise _no_code(call)


def _no_code(call: Call) -> Refused:
    return no_such("pay code", call.id)


_ALL: Final = "/v1/pay_codes"
_ONE: Final = "/v1/pay_codes/{id}"


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/pay_codes`."""
    handlers = PayCodes(api)
    return [
        Operation(
            method="POST",
            path=_ALL,
            name="addPayCode",
            summary="Get a code that a phone pays by",
            scope="catalogue:write",
            takes=PayCodeRequest,
            gives=PublicPayCode,
            status=201,
            needs_key=True,
            problems=("currency_not_supported", "too_many_pay_codes", "idempotency_mismatch"),
            handle=handlers.add,
        ),
        Operation(
            method="GET",
            path=_ALL,
            name="listPayCodes",
            summary="List pay codes, newest first",
            scope="catalogue:read",
            takes=PayCodesQuery,
            gives=PayCodePage,
            handle=handlers.list,
        ),
        Operation(
            method="GET",
            path=_ONE,
            name="readPayCode",
            summary="Read a pay code",
            scope="catalogue:read",
            takes=Nothing,
            gives=PublicPayCode,
            problems=("not_found",),
            handle=handlers.read,
        ),
        Operation(
            method="DELETE",
            path=_ONE,
            name="endPayCode",
            summary="Take no more payments by a code",
            scope="catalogue:write",
            takes=Nothing,
            gives=PublicPayCode,
            problems=("not_found",),
            handle=handlers.end,
        ),
    ]
