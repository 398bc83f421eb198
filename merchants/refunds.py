"""Refunds: give back a part or the whole of a payment, and see what became of it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.ids import is_id
from gateway.core.money import AMOUNT_MINOR_MAX
from gateway.core.refund import REASON_CHARACTERS_MAX, PublicRefund, Refund, public_refund
from gateway.engine.merchant_jobs import Answer
from gateway.engine.refund_jobs import CreateRefund
from gateway.store import merchant_reads
from gateway.store.refunds import refund_by_id, refunds_of
from merchants import checks
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.payments import answered, check_payment_id
from merchants.shapes import Nothing, Request


class RefundRequest(Request, frozen=True, kw_only=True):
    """How much goes back, and why."""

    amount: (
        Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX, description="Minor units; without it, all that is left.")] | None
    ) = None
    reason: Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX, description="For your own records.")] = ""


class RefundList(Struct, frozen=True, kw_only=True):
    """All refunds of one payment, oldest first."""

    object: Literal["list"] = "list"
    data: list[PublicRefund]


class Refunds:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._capabilities = api.capabilities

    async def create(self, call: Call, request: RefundRequest) -> Answer:
        check_payment_id(call)
        job = CreateRefund(
            merchant_id=call.caller.merchant_id,
            mode=call.caller.mode,
            payment_id=call.id,
            amount_minor=request.amount,
            reason=checks.clean_text("reason", request.reason) if request.reason else "",
            key=call.key,
            body_hash=call.body_hash,
            capabilities=self._capabilities,
        )
        return answered(await self._batcher.offer(job))

    async def list(self, call: Call, query: Nothing) -> RefundList:
        check_payment_id(call)
        shown = await self._reads(lambda conn: merchant_reads.payment(conn, call.caller.owner, call.id))
        if shown is None:
            raise no_such("payment", call.id)
        found = await self._reads(lambda conn: refunds_of(conn, call.id))
        return RefundList(data=[public_refund(refund) for refund in found])

    async def read(self, call: Call, query: Nothing) -> PublicRefund:
        found = await self._reads(lambda conn: refund_by_id(conn, call.id)) if is_id(call.id, "ref_") else None
        if found is None or not _is_owned(found, call):
            raise no_such("refund", call.id)
        return public_refund(found)


def _is_owned(refund: Refund, call: Call) -> bool:
    return (refund.merchant_id, refund.mode) == (call.caller.merchant_id, call.caller.mode)


_OF_PAYMENT = "/v1/payments/{id}/refunds"


def operations(api: Api) -> list[AnyOperation]:
    """Routes of refunds."""
    handlers = Refunds(api)
    return [
        Operation(
            method="POST",
            path=_OF_PAYMENT,
            name="createRefund",
            scope="payments:write",
            summary="Give back a part or the whole of a payment",
            takes=RefundRequest,
            gives=PublicRefund,
            status=201,
            needs_key=True,
            problems=(
                *("not_found", "invalid_state", "idempotency_mismatch", "payment_disputed", "refund_exceeds_payment"),
                *("refunds_not_supported", "partial_refunds_not_supported"),
            ),
            handle=handlers.create,
        ),
        Operation(
            method="GET",
            path=_OF_PAYMENT,
            name="listRefunds",
            scope="payments:read",
            summary="List the refunds of a payment",
            takes=Nothing,
            gives=RefundList,
            problems=("not_found",),
            handle=handlers.list,
        ),
        Operation(
            method="GET",
            path="/v1/refunds/{id}",
            name="readRefund",
            scope="payments:read",
            summary="Read a refund",
            takes=Nothing,
            gives=PublicRefund,
            problems=("not_found",),
            handle=handlers.read,
        ),
    ]
