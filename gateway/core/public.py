"""The payment as the merchant sees it: in answers, in the feed and in webhooks it is this one shape.

The phone number is masked here; only the answer to the merchant's own request repeats the number that it sent.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from gateway.core.payment import Escrow, OperationKind, Order, Payment, State

API_VERSION: Final = "2026-11-25"
"""The version of the API: that of its answers and of the bodies of events. The one place where it stands."""


class PublicOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the phone's owner asked to buy. `reference` is the pay code's."""

    source: str
    """`sms` or `ussd`."""
    item_id: str | None
    item_number: str | None
    quantity: int
    pay_code_id: str | None
    reference: str | None


class PublicPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment. Times are RFC 3339 in UTC with milliseconds; `amount` is in minor units of `currency`."""

    id: str
    object: str = "payment"
    mode: str
    initiated_by: str
    """`merchant` or `consumer`."""
    order: PublicOrder | None
    """None: the merchant made the request."""
    status: str
    reason: str | None
    amount: int
    currency: str
    msisdn: str
    carrier: str
    description: str
    reference: str | None
    receipt_ref: str
    capture: str
    funds_held: bool
    escrow: str | None
    """None, `held`, `released` or `refunded`."""
    language: str
    metadata: dict[str, str]
    cancel_requested: bool
    outcome_unknown: bool
    amount_captured: int
    amount_refunded: int
    """What has gone back to the phone; refunds under way are not in it."""
    amount_disputed: int
    reversal: str | None
    """None, `processing` or `succeeded`: what became of a charge that came after the payment's end."""
    version: int
    created_at: str
    updated_at: str
    consent_expires_at: str
    capture_before: str | None
    fulfilled_at: str | None


_HIDDEN = '"msisdn":"*"'
"""In JSON that is kept: the number stands in its own table only. No text of anybody's can hold these quotes."""


def without_number(body: str, msisdn: str) -> str:
    """*body*, JSON whose first `msisdn` is that number, as it may be stored."""
    return body.replace(f'"msisdn":"{msisdn}"', _HIDDEN, 1)


def with_number(body: str, msisdn: str) -> str:
    """The bytes that `without_number` was given."""
    return body.replace(_HIDDEN, f'"msisdn":"{msisdn}"', 1)


def rfc3339(at_ms: int) -> str:
    """`2026-11-23T10:15:30.123Z`."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def public_payment(payment: Payment, msisdn: str) -> PublicPayment:
    """*payment* as its merchant sees it; *msisdn* is already masked where it must be."""
    operation = payment.operation
    return PublicPayment(
        id=payment.id,
        mode=payment.mode,
        initiated_by="merchant" if payment.order is None else "consumer",
        order=_order(payment.order),
        status=payment.public_state,
        reason=payment.reason,
        amount=payment.amount.amount_minor,
        currency=payment.amount.currency,
        msisdn=msisdn,
        carrier=payment.carrier,
        description=payment.description,
        reference=payment.reference,
        receipt_ref=payment.ref,
        capture=payment.capture,
        funds_held=payment.funds_held,
        escrow=Escrow.REFUNDED if _went_back(payment) else payment.escrow,
        language=payment.language,
        metadata=payment.metadata,
        cancel_requested=payment.cancel_requested,
        outcome_unknown=operation is not None and operation.outcome_unknown,
        amount_captured=payment.captured_minor,
        amount_refunded=payment.refunded_minor,
        amount_disputed=payment.disputed_minor,
        reversal=_reversal(payment),
        version=payment.version,
        created_at=rfc3339(payment.created_at_ms),
        updated_at=rfc3339(payment.updated_at_ms),
        consent_expires_at=rfc3339(payment.consent_expires_at_ms),
        capture_before=_capture_before(payment),
        fulfilled_at=_maybe(payment.fulfilled_at_ms),
    )


def _order(order: Order | None) -> PublicOrder | None:
    if order is None:
        return None
    return PublicOrder(
        source=order.source,
        item_id=order.item_id,
        item_number=order.item_number,
        quantity=order.quantity,
        pay_code_id=order.pay_code_id,
        reference=order.reference,
    )


def _went_back(payment: Payment) -> bool:
    """The carrier took back what was in escrow."""
    return payment.escrow is Escrow.HELD and payment.state is State.REVERSED


def _reversal(payment: Payment) -> str | None:
    if payment.reversed_attempt_id is None:
        return None
    running = payment.operation is not None and payment.operation.kind is OperationKind.REVERSE
    return "processing" if running else "succeeded"


def _capture_before(payment: Payment) -> str | None:
    if payment.state is not State.AUTHORIZED:
        return None
    return _maybe(payment.deadline_at_ms if payment.funds_held else payment.charge_not_after_ms)


def _maybe(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
