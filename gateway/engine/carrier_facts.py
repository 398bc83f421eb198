"""What a biller's answer to an order means, as a fact for the table that decides."""

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import (
    Charged,
    HoldEnded,
    HoldOrderDeclined,
    HoldOrderNotDone,
    HoldOrderUnknown,
    HoldOrderUnsent,
    MoneyFact,
    OperationKind,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
    StillPending,
)
from gateway.store.outbox import OutboxRow

OrderResult = base.ChargeResult | base.ReserveResult | base.ReleaseResult | base.HoldInquiryResult


def charged(at_ms: int, attempt_id: str, result: base.Charged) -> Charged:
    amount_minor = None if result.amount is None else result.amount.amount_minor
    return Charged(
        at_ms=at_ms, attempt_id=attempt_id, carrier_reference=result.carrier_reference, amount_minor=amount_minor
    )


def still_pending(at_ms: int, attempt_id: str, result: base.Pending) -> StillPending:
    return StillPending(
        at_ms=at_ms, attempt_id=attempt_id, detail=result.detail, carrier_reference=result.carrier_reference
    )


def reversal_fact(at_ms: int, attempt_id: str, result: OrderResult) -> MoneyFact:
    match result:
        case base.Charged():
            return Reversed(at_ms=at_ms, attempt_id=attempt_id, carrier_reference=result.carrier_reference)
        case base.Declined():
            return ReverseDeclined(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.Unsent():
            return ReverseUnsent(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.NotFound():
            return ReverseNotFound(at_ms=at_ms, attempt_id=attempt_id)
        case base.Pending():
            return still_pending(at_ms, attempt_id, result)
        case base.Unknown():
            return ReverseUnknown(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.Held() | base.Released():
            raise AssertionError(f"no biller answers a reversal with {type(result).__name__}")


def hold_fact(at_ms: int, attempt_id: str, hold_attempt_id: str, result: OrderResult) -> MoneyFact:
    """What a capture or a release came to. An inquiry finds the hold as it was, or what became of it."""
    match result:
        case base.Charged():
            return charged(at_ms, hold_attempt_id, result)
        case base.Released():
            return HoldEnded(at_ms=at_ms, attempt_id=hold_attempt_id, detail=result.detail)
        case base.Held():
            return HoldOrderNotDone(at_ms=at_ms, attempt_id=attempt_id)
        case base.Declined():
            return HoldOrderDeclined(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.Unsent():
            return HoldOrderUnsent(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)
        case base.Pending():
            return still_pending(at_ms, attempt_id, result)
        case base.NotFound():
            return HoldOrderUnknown(at_ms=at_ms, attempt_id=attempt_id, detail="the carrier does not know the hold")
        case base.Unknown():
            return HoldOrderUnknown(at_ms=at_ms, attempt_id=attempt_id, detail=result.detail)


def mismatch(row: OutboxRow, result: OrderResult) -> str | None:
    """The carrier says yes to another amount: nobody knows what it took, so a person looks."""
    body = row.body
    if not isinstance(result, base.Charged | base.Held) or result.amount is None:
        return None
    if body["of"] in (OperationKind.RESERVE, OperationKind.RELEASE) and isinstance(result, base.Charged):
        return None  # Captured in vain or unasked, whatever part of it: just that is given back.
    # An inquiry about a capture finds the reservation as a whole if it stands.
    name = "whole_minor" if isinstance(result, base.Held) else "amount_minor"
    expected = Money(body[name], body["currency"])
    return None if result.amount == expected else f"the carrier answered {_show(result.amount)} for {_show(expected)}"


def _show(amount: Money) -> str:
    return f"{amount.amount_minor} {amount.currency} (minor units)"
