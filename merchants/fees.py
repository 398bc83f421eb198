"""What was taken of a payment before its merchant has the rest, out of the ledger."""

from typing import Annotated, Literal

from msgspec import Meta, Struct
from sqlalchemy import Connection

from gateway.core.payment import Payment
from gateway.store import merchant_reads
from gateway.store.fees import Movements, movements
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.payments import check_payment_id
from merchants.shapes import Nothing

Minor = Annotated[int, Meta(ge=0, description="Minor units.", examples=[3000])]
FeeKind = Literal["carrier_share", "fee", "vat", "withholding", "dispute_fee"]
PARTS: tuple[FeeKind, ...] = ("carrier_share", "fee", "vat", "withholding")


class FeeLine(Struct, frozen=True, kw_only=True):
    """One part."""

    kind: FeeKind
    taken: Minor
    returned: Minor
    """With refunds, or because the carrier took the payment back."""


class PaymentFees(Struct, frozen=True, kw_only=True):
    """The fees and taxes of a payment; all zero before the money is yours, and without a schedule."""

    object: Literal["payment_fees"] = "payment_fees"
    payment_id: str
    currency: str
    amount_captured: Minor
    fee_schedule: str | None
    """The version that was in force when the payment was made; it never changes."""
    fees: list[FeeLine]
    total: Minor
    """What was taken less what was returned."""


class PaymentFeesReads:
    """The handler."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads

    async def read(self, call: Call, query: Nothing) -> PaymentFees:
        check_payment_id(call)

        def look(conn: Connection) -> tuple[Payment, Movements] | None:
            shown = merchant_reads.payment(conn, call.caller.owner, call.id)
            return None if shown is None else (shown.payment, movements(conn, shown.payment))

        found = await self._reads(look)
        if found is None:
            raise no_such("payment", call.id)
        return _public(*found)


def _public(payment: Payment, moved: Movements) -> PaymentFees:
    lines = [
        FeeLine(
            kind=kind, taken=getattr(moved.taken, f"{kind}_minor"), returned=getattr(moved.returned, f"{kind}_minor")
        )
        for kind in PARTS
    ]
    lines.append(FeeLine(kind="dispute_fee", taken=moved.dispute_fees_minor, returned=0))
    return PaymentFees(
        payment_id=payment.id,
        currency=payment.amount.currency,
        amount_captured=payment.captured_minor,
        fee_schedule=payment.fee_schedule,
        fees=lines,
        total=moved.taken.total_minor - moved.returned.total_minor + moved.dispute_fees_minor,
    )


def operations(api: Api) -> list[AnyOperation]:
    """The route of a payment's fees."""
    return [
        Operation(
            method="GET",
            path="/v1/payments/{id}/fees",
            name="readPaymentFees",
            scope="payments:read",
            summary="Read what was taken of a payment",
            takes=Nothing,
            gives=PaymentFees,
            problems=("not_found",),
            handle=PaymentFeesReads(api).read,
        )
    ]
