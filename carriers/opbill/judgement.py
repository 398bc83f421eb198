"""What an answer of the operator proves about an order. Only an explicit yes or no about just this order is final."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from carriers import base
from carriers.http import parse_amount, read
from carriers.opbill.wire import Error, Fault, Order, PaymentAmount, Rest, Said, Transaction
from gateway.core.payment import Reason
from gateway.http_client import HttpAnswer

# messageId and variable of an explicit refusal. The operator's own words come first, then any refusal of that kind.
REFUSALS: Final[Mapping[tuple[str, str], Reason]] = {
    ("SVC0270", "INSUFFICIENT_FUNDS"): Reason.INSUFFICIENT_FUNDS,
    ("SVC0270", "NOT_SUBSCRIBER"): Reason.NOT_SUBSCRIBER,
    ("POL0254", "LIMIT_EXCEEDED"): Reason.LIMIT_EXCEEDED,
    ("SVC0270", ""): Reason.CARRIER_DECLINED,  # "Charging operation failed, the charge was not applied."
    ("POL0254", ""): Reason.LIMIT_EXCEEDED,
    ("POL0001", ""): Reason.CARRIER_DECLINED,  # Barred, or another policy of the operator.
    ("SVC0002", ""): Reason.CARRIER_DECLINED,  # Invalid input: nothing was begun.
}
# A refusal in any other status may come from something in between that does not know what the operator did.
REFUSING_STATUSES: Final = frozenset({400, 403})
NOT_FOUND: Final = "SVC0004"
UNAUTHORIZED: Final = 401
# The reservation is there no more (captured, released or expired): only an inquiry tells which.
NOT_RESERVED: Final = "NOT_RESERVED"
_ANSWERING: Final = frozenset({200, 201, 202, 409})
_HOLD_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")

Judged = base.HoldInquiryResult | base.Unsent


def judge_order(answer: HttpAnswer, order: Order) -> Judged:
    said = read(answer.body, Said)
    if said is None:
        return base.Unknown(detail=f"HTTP {answer.status} without a body that we can read")
    shown = said.about(order.family)
    if shown is not None:
        judged = _judge(answer.status, said, shown, order)
        if isinstance(judged, base.Pending):
            return base.Unknown(detail=judged.detail)
        if shown.status not in (order.done, "Denied"):
            return base.Unknown(detail=f"asked for {order.done}, got {shown.status[:40]!r}")
        return judged
    if answer.status == UNAUTHORIZED and said.error is not None:
        # Nothing was begun, and credentials are renewed: a charge may wait as long as its consent, a refund longer.
        return base.Unsent(detail="the operator refused our credentials")
    refusal = refusal_in(said.error) if answer.status in REFUSING_STATUSES else None
    # 409 is here: the operator knows our id, with other content or already; only an inquiry tells which.
    return refusal or base.Unknown(detail=f"HTTP {answer.status} {show(said.error)}")


def judge_inquiry(answer: HttpAnswer, order: Order) -> base.HoldInquiryResult:
    """An error that the inquiry itself met says nothing about the order, except that nobody knows the order."""
    said = read(answer.body, Said)
    shown = None if said is None else said.about(order.family)
    if said is not None and shown is not None:
        judged = _judge(answer.status, said, shown, order)
        is_other = order.family == "amount" and isinstance(judged, base.Charged) and shown.status != order.done
        return base.Unknown(detail=f"asked about {order.done}, got {shown.status}") if is_other else judged
    exception = None if said is None else exception_in(said.error)
    if answer.status == 404 and exception is not None and exception.message_id == NOT_FOUND:
        return base.NotFound()
    return base.Unknown(detail=f"inquiry: HTTP {answer.status} {show(said.error) if said else ''}".rstrip())


def rest_in(answer: HttpAnswer) -> Rest | None:
    """What is still held after a capture; None: nothing, or the operator does not say."""
    said = read(answer.body, Said)
    shown = None if said is None else said.reservation
    hold_id = None if shown is None else _hold_id(shown)
    if shown is None or hold_id is None or not shown.amount.reserved:
        return None
    try:
        left = parse_amount(shown.amount.reserved, shown.amount.information.currency)
    except ValueError:
        return None
    return Rest(hold_id, left) if left.amount_minor else None


def _judge(status: int, said: Said, shown: Transaction, order: Order) -> base.HoldInquiryResult:
    if status not in _ANSWERING:
        return base.Unknown(detail=f"HTTP {status} with a transaction")
    if (shown.correlator, shown.user) != (order.attempt_id, f"tel:{order.msisdn}"):
        return base.Unknown(detail="the answer is about another order or another number")
    if shown.status == "Denied":
        if is_gone(said.error):
            return base.Unknown(detail="the reservation is there no more")
        refusal = refusal_in(said.error)
        return refusal or base.Declined(reason=Reason.CARRIER_DECLINED, detail=f"Denied {show(said.error)}")
    if shown.status == "Processing":
        return base.Pending(detail="in process")
    if order.family == "amountReservation":
        return _judge_hold(shown)
    if shown.status in ("Charged", "Refunded"):
        return _judge_yes(shown, shown.amount.total or shown.amount.information.amount)
    return base.Unknown(detail=f"transactionOperationStatus {shown.status[:40]!r}")


def _judge_hold(shown: Transaction) -> base.Held | base.Charged | base.Released | base.Unknown:
    if shown.status == "Reserved":
        return _judge_held(shown)
    if shown.status == "Charged":
        # What was asked for may be the whole, and what was taken a part: nothing stands for a total that is missing.
        return _judge_yes(shown, shown.amount.total)
    if shown.status == "Released":
        return base.Released(detail="the operator has released it")
    return base.Unknown(detail=f"transactionOperationStatus {shown.status[:40]!r}")


def _judge_held(shown: Transaction) -> base.Held | base.Unknown:
    hold_id = _hold_id(shown)
    if hold_id is None:
        return base.Unknown(detail="Reserved, but no resourceURL that names the reservation")
    try:
        amount = parse_amount(shown.amount.reserved or shown.amount.information.amount, _currency(shown.amount))
    except ValueError as error:
        return base.Unknown(detail=f"Reserved, but {error}")
    return base.Held(carrier_reference=hold_id, amount=amount)


def _judge_yes(shown: Transaction, taken: str) -> base.Charged | base.Unknown:
    try:
        amount = parse_amount(taken, _currency(shown.amount))
    except ValueError as error:
        return base.Unknown(detail=f"{shown.status}, but {error}")
    return base.Charged(carrier_reference=shown.server_reference, amount=amount)


def _currency(amount: PaymentAmount) -> str:
    return amount.information.currency


def _hold_id(shown: Transaction) -> str | None:
    """It becomes a part of addresses that we call, so it may be nothing else."""
    _, found, last = shown.resource_url.rpartition("/amountReservation/")
    hold_id = unquote(last)
    return hold_id if found and _HOLD_ID.fullmatch(hold_id) and hold_id.strip(".") else None


def exception_in(error: Error | None) -> Fault | None:
    return None if error is None else error.service_exception or error.policy_exception


def is_gone(error: Error | None) -> bool:
    exception = exception_in(error)
    return exception is not None and NOT_RESERVED in exception.variables


def refusal_in(error: Error | None) -> base.Declined | None:
    exception = exception_in(error)
    if exception is None or is_gone(error):
        return None
    for word in (*exception.variables, ""):
        reason = REFUSALS.get((exception.message_id, word))
        if reason is not None:
            return base.Declined(reason=reason, detail=show(error))
    return None


def show(error: Error | None) -> str:
    """Code and first variable, short enough for a log; never a text, which may name the number."""
    exception = exception_in(error)
    if exception is None:
        return ""
    word = exception.variables[0] if exception.variables else ""
    is_word = re.fullmatch(r"[A-Z_]{1,40}", word) is not None
    return f"{exception.message_id[:16]} {word}" if is_word else exception.message_id[:16]
