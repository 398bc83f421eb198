"""The refund: its states, and the one table that moves it. Plain values, like the payment that it gives back a part of.

A refund has one id, which is also the one that the carrier sees: however often its order is sent, it is one refund.
Its money is set aside when it is made, under the payment's lock, so that refunds together never exceed what was taken.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.core.inquiries import ask_again, is_believable, is_believed, rung, sent_again
from gateway.core.money import Money
from gateway.core.payment import (
    BreakKind,
    Effect,
    EntryKind,
    Escrow,
    Event,
    EventType,
    MoneyFact,
    Notify,
    OpenBreak,
    Operation,
    OperationKind,
    Payment,
    Post,
    ReferenceLearned,
    Reverse,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
    Rules,
    SendText,
    State,
    StillPending,
)
from gateway.core.public import rfc3339
from gateway.core.steps import longer


class RefundState(StrEnum):
    """What became of a refund. The merchant sees the same words."""

    PENDING = "pending"
    """Ordered; nothing is known of the order yet, or it has not left."""
    PROCESSING = "processing"
    """The carrier was told, or may have been told, and has not ended it."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN_STATES: Final = frozenset({RefundState.PENDING, RefundState.PROCESSING})
REASON_CHARACTERS_MAX: Final = 200


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A part or the whole of one payment on its way back to the phone."""

    id: str
    payment_id: str
    merchant_id: str
    mode: str
    amount: Money
    reason: str
    """The merchant's words."""
    dispute_id: str | None = None
    """The dispute that made it; None: the merchant did."""
    state: RefundState = RefundState.PENDING
    detail: str = ""
    """Why it failed, in the carrier's words."""
    operation: Operation | None
    """The order to the carrier; None once the refund has ended."""
    version: int = 1
    created_at_ms: int
    updated_at_ms: int

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def reference(self) -> str | None:
        """What the carrier calls the order, as long as it is open."""
        return None if self.operation is None else self.operation.reference


class RefundCreated(Event, frozen=True, kw_only=True):
    """The payment's part of it: money is set aside."""

    detail: str


class RefundSucceeded(Event, frozen=True, kw_only=True):
    """The payment's part of it: what was set aside is gone."""

    detail: str


class RefundFailed(Event, frozen=True, kw_only=True):
    """The payment's part of it: what was set aside is there again."""

    detail: str


class RefundDecision(msgspec.Struct, frozen=True):
    """What became of the refund, and what is to be done."""

    refund: Refund
    effects: tuple[Effect, ...] = ()


Rule = Callable[[Refund, Payment, Any, Rules], RefundDecision]  # Any: each rule takes its own event type.


def new_refund(
    refund_id: str, payment: Payment, amount_minor: int, *, reason: str, at_ms: int, dispute_id: str | None = None
) -> RefundDecision:
    """The first decision: set the money aside, tell the feed, order the carrier.

    What a dispute took lies in refund clearing already.
    """
    assert payment.attempt_id is not None
    operation = Operation(
        attempt_id=refund_id,
        kind=OperationKind.REVERSE,
        charge_attempt_id=payment.attempt_id,
        carrier_reference=payment.carrier_reference,
    )
    refund = Refund(
        id=refund_id,
        payment_id=payment.id,
        merchant_id=payment.merchant_id,
        mode=payment.mode,
        amount=Money(amount_minor, payment.amount.currency),
        reason=reason,
        dispute_id=dispute_id,
        operation=operation,
        created_at_ms=at_ms,
        updated_at_ms=at_ms,
    )
    posted = () if dispute_id is not None else (_post(refund, EntryKind.REFUND_CREATED),)
    return RefundDecision(refund, (*posted, Notify(type=EventType.REFUND_CREATED), _order(operation)))


def decide_refund(refund: Refund, payment: Payment, fact: MoneyFact, rules: Rules) -> RefundDecision:
    """Move *refund* by what the carrier said. *payment* is the one that it is about, as it is now."""
    rule = TABLE.get((refund.state, type(fact)))
    if rule is None:
        detail = f"{type(fact).__name__} about refund {refund.id}, which is {refund.state}"
        return RefundDecision(refund, (OpenBreak(kind=BreakKind.UNEXPECTED_FACT, detail=detail),))
    decision = rule(refund, payment, fact, rules)
    if decision.refund is refund:
        return decision
    moved = replace(decision.refund, version=refund.version + 1, updated_at_ms=max(fact.at_ms, refund.updated_at_ms))
    return replace(decision, refund=moved)


def reserved(payment: Payment, refund: Refund) -> Payment:
    """*payment* with the refund's money set aside."""
    return replace(payment, refund_reserved_minor=payment.refund_reserved_minor + refund.amount.amount_minor)


def settled(payment: Payment, refund: Refund) -> Payment:
    """*payment*, which has the refund's money set aside, after the refund has ended one way or the other."""
    amount_minor = refund.amount.amount_minor
    freed = replace(payment, refund_reserved_minor=payment.refund_reserved_minor - amount_minor)
    if refund.state is RefundState.FAILED:
        return freed
    refunded = replace(freed, refunded_minor=payment.refunded_minor + amount_minor)
    is_all = refunded.refunded_minor == refunded.captured_minor
    if is_all and payment.escrow is Escrow.HELD:
        return replace(refunded, escrow=Escrow.REFUNDED, deadline_at_ms=None)
    return refunded


def _succeeded(refund: Refund, payment: Payment, event: Reversed, rules: Rules) -> RefundDecision:
    ended = replace(refund, state=RefundState.SUCCEEDED, operation=None)
    effects: list[Effect] = [
        _post(refund, EntryKind.REFUND_SUCCEEDED),
        Notify(type=EventType.REFUND_SUCCEEDED),
        SendText(template="refunded"),
    ]
    if payment.state is State.REVERSED:
        detail = f"refund {refund.id} was carried out on a charge that the carrier had taken back"
        effects.append(OpenBreak(kind=BreakKind.MISMATCH, detail=detail))
    return RefundDecision(ended, tuple(effects))


def _failed(refund: Refund, payment: Payment, event: ReverseDeclined, rules: Rules) -> RefundDecision:
    ended = replace(refund, state=RefundState.FAILED, operation=None, detail=event.detail)
    effects: list[Effect] = [_post(refund, EntryKind.REFUND_FAILED), Notify(type=EventType.REFUND_FAILED)]
    is_owed = refund.dispute_id is not None or payment.escrow is Escrow.HELD
    if is_owed and payment.state is State.CAPTURED:
        detail = f"refund {refund.id}, which the phone's owner is owed, failed: {event.detail}"
        effects.append(OpenBreak(kind=BreakKind.NOT_CARRIED_OUT, detail=detail))
    if payment.state is State.REVERSED:
        # The carrier took the charge back meanwhile, and this part of it was not there to be taken.
        effects.append(_post(refund, EntryKind.CLAWBACK))
    return RefundDecision(ended, tuple(effects))


def _unknown(refund: Refund, payment: Payment, event: ReverseUnknown, rules: Rules) -> RefundDecision:
    return _ask_the_carrier(refund, event, rules, found=True)


def _ask_the_carrier(refund: Refund, event: MoneyFact, rules: Rules, *, found: bool) -> RefundDecision:
    assert refund.operation is not None
    asked, effects = ask_again(refund.operation, event.at_ms, rules, found=found)
    return RefundDecision(replace(refund, state=RefundState.PROCESSING, operation=asked), tuple(effects))


def _pending(refund: Refund, payment: Payment, event: StillPending, rules: Rules) -> RefundDecision:
    """The carrier works on it: keep what it calls the order, and ask again."""
    assert refund.operation is not None
    operation = refund.operation
    if event.carrier_reference is not None:
        operation = replace(operation, reference=longer(operation.reference, event.carrier_reference))
    asked, effects = ask_again(operation, event.at_ms, rules, found=True, is_pending=True)
    return RefundDecision(replace(refund, state=RefundState.PROCESSING, operation=asked), tuple(effects))


def _reference_learned(refund: Refund, payment: Payment, event: ReferenceLearned, rules: Rules) -> RefundDecision:
    assert refund.operation is not None
    named = replace(refund.operation, reference=longer(refund.operation.reference, event.carrier_reference))
    return RefundDecision(replace(refund, operation=named))


def _unsent(refund: Refund, payment: Payment, event: ReverseUnsent, rules: Rules) -> RefundDecision:
    assert refund.operation is not None
    if refund.operation.outcome_unknown:
        # An inquiry that did not leave proves nothing about the order itself.
        return _ask_the_carrier(refund, event, rules, found=True)
    return _again(refund, payment, refund.operation, event.at_ms, rules)


def _not_found(refund: Refund, payment: Payment, event: ReverseNotFound, rules: Rules) -> RefundDecision:
    operation = refund.operation
    assert operation is not None
    if is_believed(operation, event.at_ms, rules):
        return _again(refund, payment, operation, event.at_ms, rules)
    return _ask_the_carrier(refund, event, rules, found=not is_believable(operation, event.at_ms, rules))


def _again(refund: Refund, payment: Payment, operation: Operation, at_ms: int, rules: Rules) -> RefundDecision:
    """It has not reached the carrier: the same refund under the same id goes out once more, if there is a charge."""
    if payment.state is State.REVERSED:
        gone = ReverseDeclined(at_ms=at_ms, attempt_id=refund.id, detail="the carrier took the charge back before it")
        return _failed(refund, payment, gone, rules)
    waiting = sent_again(operation, rules)
    pending = replace(refund, state=RefundState.PENDING, operation=waiting)
    return RefundDecision(pending, (_order(waiting, rung(rules.resend_ladder_ms, operation.unsent)),))


def _noted(refund: Refund, payment: Payment, event: MoneyFact, rules: Rules) -> RefundDecision:
    """Told again, or an inquiry that ran beside the answer."""
    return RefundDecision(refund)


def _succeeded_late(refund: Refund, payment: Payment, event: Reversed, rules: Rules) -> RefundDecision:
    """The carrier has done what it declined: it stands as succeeded, as far as so much is left of the payment."""
    left_minor = payment.left_minor - payment.disputed_minor
    if payment.state is not State.CAPTURED or left_minor < refund.amount.amount_minor:
        return _contradicted(refund, payment, event, rules)
    ended = replace(refund, state=RefundState.SUCCEEDED, detail="")
    told = (Notify(type=EventType.REFUND_SUCCEEDED), SendText(template="refunded"))
    return RefundDecision(ended, (_post(refund, EntryKind.LATE_REFUND), *told))


def _contradicted(refund: Refund, payment: Payment, event: MoneyFact, rules: Rules) -> RefundDecision:
    detail = f"refund {refund.id} is {refund.state}, and then the carrier said {type(event).__name__}"
    return RefundDecision(refund, (OpenBreak(kind=BreakKind.MISMATCH, detail=detail),))


def _order(operation: Operation, delay_ms: int = 0) -> Reverse:
    return Reverse(
        attempt_id=operation.attempt_id,
        charge_attempt_id=operation.charge_attempt_id,
        carrier_reference=operation.carrier_reference,
        delay_ms=delay_ms,
    )


def _post(refund: Refund, kind: EntryKind) -> Post:
    return Post(kind=kind, source_id=refund.id, amount_minor=refund.amount.amount_minor)


_OPEN: Final[dict[type[Event], Rule]] = {
    Reversed: _succeeded,
    ReverseDeclined: _failed,
    ReverseUnknown: _unknown,
    ReverseUnsent: _unsent,
    ReverseNotFound: _not_found,
    StillPending: _pending,
    ReferenceLearned: _reference_learned,
}
_LEARNED_NOTHING: Final[dict[type[Event], Rule]] = {
    ReverseUnknown: _noted,
    ReverseUnsent: _noted,
    ReverseNotFound: _noted,
    StillPending: _noted,
    ReferenceLearned: _noted,
}
_ROWS: Final[dict[RefundState, dict[type[Event], Rule]]] = {
    RefundState.PENDING: _OPEN,
    RefundState.PROCESSING: _OPEN,
    RefundState.SUCCEEDED: {**_LEARNED_NOTHING, Reversed: _noted, ReverseDeclined: _contradicted},
    RefundState.FAILED: {**_LEARNED_NOTHING, Reversed: _succeeded_late, ReverseDeclined: _noted},
}
TABLE: Final[dict[tuple[RefundState, type[Event]], Rule]] = {
    (state, event): rule for state, row in _ROWS.items() for event, rule in row.items()
}


class PublicRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as its merchant sees it. `amount` is in minor units of `currency`."""

    id: str
    object: str = "refund"
    mode: str
    payment_id: str
    status: str
    amount: int
    currency: str
    reason: str
    dispute_id: str | None
    outcome_unknown: bool
    failure: str
    """Why it failed, in the carrier's words."""
    version: int
    created_at: str
    updated_at: str


def public_refund(refund: Refund) -> PublicRefund:
    """*refund* as its merchant sees it."""
    return PublicRefund(
        id=refund.id,
        mode=refund.mode,
        payment_id=refund.payment_id,
        status=refund.state,
        amount=refund.amount.amount_minor,
        currency=refund.amount.currency,
        reason=refund.reason,
        dispute_id=refund.dispute_id,
        outcome_unknown=refund.operation is not None and refund.operation.outcome_unknown,
        failure=refund.detail,
        version=refund.version,
        created_at=rfc3339(refund.created_at_ms),
        updated_at=rfc3339(refund.updated_at_ms),
    )
