"""Operations on payments: create, capture, cancel, fulfil, read, list, timeline.

What is decided is decided by jobs inside the batch (`gateway.engine.merchant_jobs`); here requests become jobs.
"""

import msgspec

from gateway.core.ids import is_id
from gateway.core.payment import Capture
from gateway.core.public import PublicPayment
from gateway.engine.merchant_jobs import (
    Answer,
    CancelPayment,
    CapturePayment,
    ChangePayment,
    CreatePayment,
    FulfilPayment,
    Problem,
)
from gateway.store import merchant_reads
from gateway.store.payment_lists import payments
from merchants import checks
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such, overloaded
from merchants.payment_lists import payment_page, public, wanted_payments
from merchants.problems import Refused
from merchants.routing import Routing
from merchants.shapes import (
    CaptureRequest,
    FulfilmentRequest,
    Nothing,
    PaymentPage,
    PaymentQuery,
    PaymentRequest,
    Timeline,
)
from merchants.timeline import timeline


class Payments:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._routing = Routing(api.carriers)
        self._languages = api.languages
        self._overloaded = api.overloaded

    async def create(self, call: Call, request: PaymentRequest) -> Answer:
        caller = call.caller
        checks.payment(request, self._languages[caller.mode])
        carrier, terms = self._routing.choose(request.msisdn, caller.mode, request.carrier)
        if request.capture is Capture.MANUAL and request.hold == "required" and not terms.holds:
            detail = f"carrier {carrier} cannot hold money; send hold: if_supported to charge only when you capture"
            raise Refused("holds_not_supported", detail)
        if request.capture is Capture.ESCROW and not terms.refunds:
            raise Refused("refunds_not_supported", f"carrier {carrier} gives nothing back, so nothing can be in escrow")
        job = CreatePayment(
            merchant_id=caller.merchant_id,
            shop=caller.shop,
            mode=caller.mode,
            msisdn=request.msisdn,
            amount=checks.amount(request, terms, carrier),
            description=checks.clean_text("description", request.description),
            reference=request.reference,
            metadata=request.metadata,
            capture=request.capture,
            carrier=carrier,
            expires_in_ms=request.expires_in_s * 1000,
            language=request.language,
            key=call.key,
            body_hash=call.body_hash,
            code_digits=terms.code_digits,
            default_language=terms.language,
            consumer_present=request.consumer_present,
            fee_schedule=caller.fee_schedule,
            goods=caller.goods,
        )
        retry_after_s = self._overloaded(carrier)
        if retry_after_s is not None:
            raise overloaded(retry_after_s)
        return answered(await self._batcher.offer(job))

    async def capture(self, call: Call, request: CaptureRequest) -> Answer:
        check_payment_id(call)
        job = CapturePayment(
            merchant_id=call.caller.merchant_id,
            mode=call.caller.mode,
            payment_id=call.id,
            key=call.key,
            body_hash=call.body_hash,
            amount_minor=request.amount,
        )
        return answered(await self._batcher.offer(job))

    async def cancel(self, call: Call, request: Nothing) -> Answer:
        return await self._change(CancelPayment, call)

    async def fulfil(self, call: Call, request: FulfilmentRequest) -> Answer:
        checks.fulfilment(request)
        check_payment_id(call)
        job = FulfilPayment(
            merchant_id=call.caller.merchant_id,
            mode=call.caller.mode,
            payment_id=call.id,
            key=call.key,
            body_hash=call.body_hash,
            body={name: value for name, value in msgspec.structs.asdict(request).items() if value is not None},
        )
        return answered(await self._batcher.offer(job))

    async def _change(self, kind: type[ChangePayment], call: Call) -> Answer:
        check_payment_id(call)
        job = kind(
            merchant_id=call.caller.merchant_id,
            mode=call.caller.mode,
            payment_id=call.id,
            key=call.key,
            body_hash=call.body_hash,
        )
        return answered(await self._batcher.offer(job))

    async def read(self, call: Call, query: Nothing) -> PublicPayment:
        check_payment_id(call)
        shown = await self._reads(lambda conn: merchant_reads.payment(conn, call.caller.owner, call.id))
        if shown is None:
            raise no_such("payment", call.id)
        return public(shown)

    async def list(self, call: Call, query: PaymentQuery) -> PaymentPage:
        wanted = wanted_payments(query)
        return await payment_page(
            self._reads, query, lambda conn, **page: payments(conn, call.caller.owner, wanted, **page)
        )

    async def timeline(self, call: Call, query: Nothing) -> Timeline:
        check_payment_id(call)
        record = await self._reads(lambda conn: merchant_reads.record(conn, call.caller.owner, call.id))
        if record is None:
            raise no_such("payment", call.id)
        return timeline(record)


def check_payment_id(call: Call) -> None:
    if not is_id(call.id, "pay_"):
        raise no_such("payment", call.id)


def answered(outcome: object) -> Answer:
    if isinstance(outcome, Problem):
        retry_after_s = outcome.extra.get("retry_after_s")
        raise Refused(
            outcome.code,
            outcome.detail,
            headers=None if retry_after_s is None else {"Retry-After": retry_after_s},
            payment_id=outcome.extra.get("payment_id"),
            payment_status=outcome.extra.get("status"),
        )
    assert isinstance(outcome, Answer)
    return outcome


CHANGE_PROBLEMS = ("not_found", "invalid_state", "idempotency_mismatch")


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/payments`."""
    handlers = Payments(api)
    return [*_making_and_reading(handlers), *_changing(handlers)]


_ONE = "/v1/payments/{id}"


def _making_and_reading(handlers: Payments) -> list[AnyOperation]:
    return [
        Operation(
            method="POST",
            path="/v1/payments",
            name="createPayment",
            scope="payments:write",
            summary="Ask a phone for money",
            takes=PaymentRequest,
            gives=PublicPayment,
            status=201,
            needs_key=True,
            problems=(
                *(
                    "invalid_msisdn",
                    "no_carrier",
                    "currency_not_supported",
                    "holds_not_supported",
                    "refunds_not_supported",
                    "goods_not_allowed",
                ),
                *("reference_in_use", "idempotency_mismatch"),
                *("too_many_asks", "quiet_hours", "asks_paused"),
            ),
            handle=handlers.create,
        ),
        Operation(
            method="GET",
            path="/v1/payments",
            name="listPayments",
            scope="payments:read",
            summary="List payments, newest first",
            takes=PaymentQuery,
            gives=PaymentPage,
            handle=handlers.list,
        ),
        Operation(
            method="GET",
            path=_ONE,
            name="readPayment",
            scope="payments:read",
            summary="Read a payment",
            takes=Nothing,
            gives=PublicPayment,
            problems=("not_found",),
            handle=handlers.read,
        ),
        Operation(
            method="GET",
            path=f"{_ONE}/timeline",
            name="readTimeline",
            scope="payments:read",
            summary="Read all that is on record about a payment",
            takes=Nothing,
            gives=Timeline,
            problems=("not_found",),
            handle=handlers.timeline,
        ),
    ]


def _changing(handlers: Payments) -> list[AnyOperation]:
    return [
        Operation(
            method="POST",
            path=f"{_ONE}/capture",
            name="capturePayment",
            scope="payments:write",
            summary="Take the money of an authorized payment",
            takes=CaptureRequest,
            gives=PublicPayment,
            status=202,
            needs_key=True,
            problems=(*CHANGE_PROBLEMS, "partial_capture_not_supported", "capture_exceeds_payment"),
            handle=handlers.capture,
        ),
        Operation(
            method="POST",
            path=f"{_ONE}/cancel",
            name="cancelPayment",
            scope="payments:write",
            summary="Take a request for money back",
            takes=Nothing,
            gives=PublicPayment,
            needs_key=True,
            problems=CHANGE_PROBLEMS,
            handle=handlers.cancel,
        ),
        Operation(
            method="POST",
            path=f"{_ONE}/fulfilment",
            name="fulfilPayment",
            scope="payments:write",
            summary="Record what was delivered",
            takes=FulfilmentRequest,
            gives=PublicPayment,
            needs_key=True,
            problems=(*CHANGE_PROBLEMS, "already_fulfilled"),
            handle=handlers.fulfil,
        ),
    ]
