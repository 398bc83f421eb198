"""The merchant's own notes on a payment: the one thing about it that may change at any time."""

from typing import Annotated

from msgspec import Meta

from gateway.core.payment import METADATA_KEYS_MAX
from gateway.core.public import PublicPayment
from gateway.engine.merchant_jobs import AnnotatePayment, Answer
from merchants import checks
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation
from merchants.payments import answered, check_payment_id
from merchants.shapes import MetadataKey, MetadataValue, Request


class MetadataRequest(Request, frozen=True, kw_only=True):
    """Keys to set; null takes a key away, what is not named stays."""

    # Twice as many: all old keys may go while as many new ones come.
    metadata: Annotated[dict[MetadataKey, MetadataValue | None], Meta(max_length=2 * METADATA_KEYS_MAX)]


class Metadata:
    """The handler."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher

    async def merge(self, call: Call, request: MetadataRequest) -> Answer:
        check_payment_id(call)
        checks.metadata(request.metadata)
        job = AnnotatePayment(
            merchant_id=call.caller.merchant_id,
            mode=call.caller.mode,
            payment_id=call.id,
            key=call.key,
            body_hash=call.body_hash,
            changes=request.metadata,
        )
        return answered(await self._batcher.offer(job))


def operations(api: Api) -> list[AnyOperation]:
    """The route of a payment's metadata."""
    return [
        Operation(
            method="POST",
            path="/v1/payments/{id}",
            name="annotatePayment",
            summary="Change a payment's metadata",
            scope="payments:write",
            takes=MetadataRequest,
            gives=PublicPayment,
            needs_key=True,
            problems=("not_found", "idempotency_mismatch"),
            handle=Metadata(api).merge,
        )
    ]
