"""What an operator's answer means. Only an explicit status or code about the same order ends anything."""

import re
from collections.abc import Mapping
from typing import Final

from carriers import base
from carriers.camara.wire import Error, Order, Payment, Refund, amount_of
from carriers.http import read
from gateway.core.payment import Reason
from gateway.http_client import HttpAnswer

# Code and status of an explicit refusal. 400 INVALID_ARGUMENT is missing on purpose: operators also say it of a
# clientCorrelator that they know already. So are 409 and 429: only an inquiry tells what became of the order.
_OURS: Final[Mapping[tuple[int, str], Reason]] = {
    (400, "INVALID_SINK"): Reason.CARRIER_UNAVAILABLE,
    (400, "INVALID_CREDENTIAL"): Reason.CARRIER_UNAVAILABLE,
    (400, "INVALID_TOKEN"): Reason.CARRIER_UNAVAILABLE,
    (403, "PERMISSION_DENIED"): Reason.CARRIER_UNAVAILABLE,
    (422, "MISSING_IDENTIFIER"): Reason.CARRIER_UNAVAILABLE,
    (422, "UNNECESSARY_IDENTIFIER"): Reason.CARRIER_UNAVAILABLE,
    (422, "SERVICE_NOT_APPLICABLE"): Reason.CARRIER_DECLINED,
}
PAYMENT_REFUSALS: Final[Mapping[tuple[int, str], Reason]] = {
    **_OURS,
    (403, "CARRIER_BILLING.PAYMENT_DENIED"): Reason.CARRIER_DECLINED,
    (404, "IDENTIFIER_NOT_FOUND"): Reason.NOT_SUBSCRIBER,
    (422, "CARRIER_BILLING.UNAUTHORIZED_AMOUNT"): Reason.LIMIT_EXCEEDED,
    (422, "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED"): Reason.LIMIT_EXCEEDED,
}
# A refused step leaves the reservation as it is. Where it is cancelled, confirmed or not known any more, only an
# inquiry tells what became of it, so those are missing.
CONFIRM_REFUSALS: Final = PAYMENT_REFUSALS
CANCEL_REFUSALS: Final[Mapping[tuple[int, str], Reason]] = {
    **_OURS,
    (404, "IDENTIFIER_NOT_FOUND"): Reason.NOT_SUBSCRIBER,
}
REFUND_REFUSALS: Final[Mapping[tuple[int, str], Reason]] = {
    **_OURS,
    (403, "CARRIER_BILLING_REFUND.REFUND_DENIED"): Reason.CARRIER_DECLINED,
    (403, "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND"): Reason.CARRIER_DECLINED,
    (404, "NOT_FOUND"): Reason.CARRIER_DECLINED,
    (422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT"): Reason.CARRIER_DECLINED,
    (422, "CARRIER_BILLING_REFUND.USER_AMOUNT_THRESHOLD_OVERPASSED"): Reason.LIMIT_EXCEEDED,
    (422, "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS"): Reason.CARRIER_DECLINED,
    (422, "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH"): Reason.CARRIER_DECLINED,
    (422, "CARRIER_BILLING_REFUND.REFUND_DETAILS_MISMATCH"): Reason.CARRIER_DECLINED,
}
CONFIRMED: Final = frozenset({"CARRIER_BILLING.PAYMENT_CONFIRMED", "ALREADY_EXISTS"})
"""A confirmation was taken before, or is under way."""
CANCELLED: Final = "CARRIER_BILLING.PAYMENT_CANCELLED"
# Without the operator's own code nothing is reserved, and without our confirmation nothing is taken.
WANTS_CODE: Final = base.Declined(reason=Reason.CARRIER_DECLINED, detail="the operator wants a code of its own")
MISMATCH: Final = base.Unknown(detail="the answer is about another order or another number")
_CODE: Final = re.compile(r"[A-Z0-9_.]{1,80}")

Ended = base.Charged | base.Declined | base.Pending | base.Unknown
Held = Ended | base.Held | base.Released


def code_of(answer: HttpAnswer) -> str:
    """The code of an error that the operator itself has written; "" if it is none."""
    error = read(answer.body, Error)
    return error.code if error is not None and error.status == answer.status else ""


def refusal(answer: HttpAnswer, known: Mapping[tuple[int, str], Reason]) -> base.Declined | None:
    code = code_of(answer)
    reason = known.get((answer.status, code))
    return None if reason is None else base.Declined(reason=reason, detail=code)


def otherwise(what: str, answer: HttpAnswer) -> base.Unknown:
    """Nothing explicit. Never a text of theirs, which may name the number."""
    code = code_of(answer)
    safe = code if _CODE.fullmatch(code) else ""
    return base.Unknown(detail=f"{what}: HTTP {answer.status} {safe}".rstrip())


def payment(seen: Payment, order: Order) -> Held:
    """What the payment says, charge or reservation."""
    # By our id, where the operator repeats it, and by the phone.
    is_ours = seen.correlator in (order.attempt_id, None)
    if not is_ours or seen.amount_transaction.phone_number != order.msisdn:
        return MISMATCH
    if seen.payment_status in ("succeeded", "reserved"):
        try:
            amount = amount_of(seen.charging)
        except ValueError as error:
            return base.Unknown(detail=f"{seen.payment_status}, but {error}")
        kind = base.Charged if seen.payment_status == "succeeded" else base.Held
        return kind(carrier_reference=seen.payment_id, amount=amount)
    if seen.payment_status == "denied":
        return base.Declined(reason=Reason.CARRIER_DECLINED, detail="denied")
    if seen.payment_status == "pending_validation":
        return WANTS_CODE
    if seen.payment_status == "cancelled":
        return base.Released(detail="cancelled")
    if seen.payment_status == "processing":
        return base.Pending(detail="processing", carrier_reference=seen.payment_id)
    return base.Unknown(detail=f"paymentStatus {seen.payment_status[:40]!r}")


def refund(seen: Refund, order: Order) -> Ended:
    if seen.correlator not in (order.attempt_id, None):
        return MISMATCH
    if seen.refund_status == "succeeded":
        charging = seen.amount_transaction.refund_amount.charging_information
        if charging is None and seen.type != "total":
            return base.Unknown(detail="a partial refund without its amount")
        try:
            # A total refund names no amount: it is that of the charge, which we compared before we asked for it.
            amount = order.amount if charging is None else amount_of(charging)
        except ValueError as error:
            return base.Unknown(detail=f"succeeded, but {error}")
        return base.Charged(carrier_reference=seen.refund_id, amount=amount)
    if seen.refund_status == "denied":
        return base.Declined(reason=Reason.CARRIER_DECLINED, detail="denied")
    if seen.refund_status == "processing":
        return base.Pending(detail="processing", carrier_reference=seen.refund_id)
    return base.Unknown(detail=f"refundStatus {seen.refund_status[:40]!r}")


def charge(seen: Payment, order: Order) -> Ended:
    """Of a charge in one step, which is never held."""
    found = payment(seen, order)
    if isinstance(found, base.Held | base.Released) or seen.payment_status == "pending_validation":
        return base.Unknown(detail=f"a charge in one step is {seen.payment_status}")
    return found
