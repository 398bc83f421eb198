"""What a biller's answer to an order of giving back means, as a fact for the table that decides."""

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import (
    MoneyFact,
    Payment,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
)


def reversal_fact(at_ms: int, attempt_id: str, result: base.ChargeResult | base.InquiryResult) -> MoneyFact:
    """The fact that *result* is about a reversal or a refund."""
    match result:
        case base.Charged():
            return Reversed(at_ms=at_ms, attempt_id=attempt_id, carrier_reference=result.carrier_reference)
        case base.Declined():
            return ReverseDeclined(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.Unsent():
            return ReverseUnsent(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.NotFound():
            return ReverseNotFound(at_ms=at_ms, attempt_id=attempt_id)
        case base.Pending() | base.Unknown():
            return ReverseUnknown(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)


def mismatch(payment: Payment, result: base.ChargeResult | base.InquiryResult) -> str | None:
    """The carrier says yes to another amount: nobody knows what it moved, so a person looks."""
    if not isinstance(result, base.Charged) or result.amount is None or result.amount == payment.amount:
        return None
    return f"the carrier answered {_show(result.amount)} for {_show(payment.amount)}"


def _show(amount: Money) -> str:
    return f"{amount.amount_minor} {amount.currency} (minor units)"
