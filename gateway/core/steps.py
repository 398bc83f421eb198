"""What the rules of `gateway.core.decide` and `gateway.core.holds` share: ends, inquiries, the reversal of a charge."""

from typing import Final

from msgspec.structs import replace

from gateway.core.inquiries import ask_again, rung
from gateway.core.payment import (
    BreakKind,
    Capture,
    Charge,
    Charged,
    Decision,
    Effect,
    EntryKind,
    Escrow,
    Event,
    EventType,
    Inquire,
    MoneyFact,
    Notify,
    OpenBreak,
    Operation,
    OperationKind,
    Payment,
    Post,
    Reason,
    ReferenceLearned,
    Reserve,
    Reverse,
    Rules,
    SendText,
    State,
    StillPending,
)

# How long until a second charge is looked at again that cannot be taken back yet: the ladder's third rung, a minute.
ASK_ASIDE_RUNG: Final = 2


def noted(payment: Payment, event: Event, rules: Rules) -> Decision:
    """A fact that changes nothing in this state; it stands in the timeline all the same."""
    return Decision(payment)


def end(payment: Payment, reason: Reason, at_ms: int, texts: tuple[Effect, ...]) -> Decision:
    ended = replace(payment, state=State.ENDED, reason=reason, operation=None, deadline_at_ms=None, ended_at_ms=at_ms)
    return Decision(ended, (*texts, Notify(type=EventType.PAYMENT_FAILED)))


def end_expired(payment: Payment, at_ms: int) -> Decision:
    """The phone has not agreed in time, and is told."""
    return end(payment, Reason.EXPIRED, at_ms, (SendText(template="expired"),))


def is_current(payment: Payment, event: MoneyFact) -> bool:
    return event.attempt_id == payment.attempt_id


def start_order(payment: Payment, attempt_id: str, kind: OperationKind, before: tuple[Effect, ...] = ()) -> Decision:
    """Charge or reserve, on a consent that names *attempt_id*.

    The attempt's id, not the payment's, is the carrier's idempotency key: after a decline for lack of funds a second
    consent makes a second attempt, and a replayed reply makes none.
    """
    ordered = replace(
        payment,
        state=State.CHARGING,
        operation=Operation(attempt_id=attempt_id, kind=kind, charge_attempt_id=attempt_id),
        attempt_id=attempt_id,
        attempts=payment.attempts + 1,
        deadline_at_ms=None,
    )
    order = Reserve if kind is OperationKind.RESERVE else Charge
    return Decision(ordered, (*before, order(attempt_id=attempt_id)))


def agreed(payment: Payment, attempt_id: str, rules: Rules, before: tuple[Effect, ...] = ()) -> Decision:
    """Nothing is lacking to the consent that names *attempt_id*: take the money, set it aside, or let the merchant."""
    if payment.capture is Capture.MANUAL and rules.holds:
        return start_order(payment, attempt_id, OperationKind.RESERVE, before)
    if payment.capture is Capture.MANUAL:
        # Carriers without holds: the consent stays good for a while and no money is set aside (`funds_held: false`).
        authorized = replace(
            payment,
            state=State.AUTHORIZED,
            attempt_id=attempt_id,
            deadline_at_ms=payment.charge_not_after_ms,
        )
        return Decision(authorized, (*before, Notify(type=EventType.PAYMENT_AUTHORIZED)))
    return start_order(payment, attempt_id, OperationKind.CHARGE, before)


def ask_the_carrier(
    payment: Payment, event: MoneyFact, rules: Rules, *, found: bool, is_pending: bool = False
) -> Decision:
    """The running operation has no outcome: climb the inquiry ladder, at its end call a person.

    *is_pending*: the carrier says that it works on it, so the outcome is open but not unknown.
    """
    operation = payment.operation
    if operation is None or operation.attempt_id != event.attempt_id:
        return Decision(payment)
    asked, effects = ask_again(operation, event.at_ms, rules, found=found, is_pending=is_pending)
    is_charge = operation.kind in (OperationKind.CHARGE, OperationKind.RESERVE)
    if is_charge and asked.outcome_unknown and asked.inquiries == rules.tell_unknown_after_inquiries:
        effects.append(SendText(template="unknown_outcome"))
    return Decision(replace(payment, operation=asked), tuple(effects))


def start_reversal(payment: Payment, event: Charged, state: State) -> Decision:
    # One Reversal a charge, so its attempt id can be derived: no chance is needed here and a repeat finds the same id.
    reversal_id = "rev_" + event.attempt_id.removeprefix("att_")
    reference = in_full(payment, event)
    taken_minor = payment.amount.amount_minor if event.amount_minor is None else event.amount_minor
    operation = Operation(
        attempt_id=reversal_id,
        kind=OperationKind.REVERSE,
        charge_attempt_id=event.attempt_id,
        carrier_reference=reference,
        amount_minor=taken_minor,
    )
    reversing = replace(payment, state=state, operation=operation, reversed_attempt_id=event.attempt_id)
    return Decision(
        reversing,
        (
            Post(kind=EntryKind.LATE_CHARGE, source_id=event.attempt_id, amount_minor=taken_minor),
            Notify(type=EventType.REVERSAL_CREATED),
            Reverse(
                attempt_id=reversal_id,
                charge_attempt_id=event.attempt_id,
                carrier_reference=reference,
            ),
        ),
    )


def give_back(payment: Payment, event: Charged, reason: Reason) -> Decision:
    """The payment fails, and what the carrier took all the same goes back."""
    ended = end(payment, reason, event.at_ms, ())
    reversal = start_reversal(ended.payment, event, State.ENDED)
    return replace(reversal, effects=(*ended.effects, *reversal.effects))


def charged_twice(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """Another attempt than the present one has succeeded: it goes back, as soon as nothing else runs."""
    detail = f"attempt {event.attempt_id} succeeded beside attempt {payment.attempt_id}"
    alarm = OpenBreak(kind=BreakKind.DUPLICATE_CHARGE, detail=detail)
    # What the carrier took back unasked needed no Reversal, so the one that there may be is still to be had.
    is_back_unasked = payment.state is State.REVERSED and payment.reversed_attempt_id == payment.attempt_id
    # A payment that fails gives back each of its charges, one after the other; of one that stays only one goes back.
    fails = payment.state in (State.REVERSING, State.ENDED)
    if payment.reversed_attempt_id is not None and not is_back_unasked and not fails:
        return Decision(payment, (alarm,))
    if payment.operation is not None:
        return Decision(payment, (alarm, ask_aside(payment, event, rules)))
    reversal = start_reversal(payment, event, payment.state)
    return replace(reversal, effects=(alarm, *reversal.effects))


def ask_aside(payment: Payment, event: Charged, rules: Rules) -> Inquire:
    """One operation at a time: the carrier is asked again until this charge can be taken back."""
    is_reserved = payment.capture is Capture.MANUAL and rules.holds
    kind = OperationKind.RESERVE if is_reserved else OperationKind.CHARGE
    return Inquire(attempt_id=event.attempt_id, kind=kind, delay_ms=rung(rules.inquiry_ladder_ms, ASK_ASIDE_RUNG))


def still_pending(payment: Payment, event: StillPending, rules: Rules) -> Decision:
    """The carrier works on the order: keep its reference, and ask again, whatever it calls it now."""
    named = Decision(payment) if event.carrier_reference is None else _named(payment, event, event.carrier_reference)
    asked = ask_the_carrier(named.payment, event, rules, found=True, is_pending=True)
    return replace(asked, effects=(*named.effects, *asked.effects))


def reference_learned(payment: Payment, event: ReferenceLearned, rules: Rules) -> Decision:
    return _named(payment, event, event.carrier_reference)


def learn_reference(payment: Payment, attempt_id: str, reference: str) -> Payment | None:
    """*payment* with what the carrier calls the order; None if it has called it otherwise before.

    A later word may be longer than an earlier one (a receipt number behind the order's number), and the shorter one may
    come last.
    """
    operation = payment.operation
    if operation is not None and operation.attempt_id == attempt_id:
        known = operation.reference
        learned = replace(payment, operation=replace(operation, reference=reference))
    elif operation is None and payment.attempt_id == attempt_id:
        known, learned = payment.carrier_reference, replace(payment, carrier_reference=reference)
    else:
        return payment
    if known is not None and known.startswith(reference):
        return payment
    return learned if known is None or reference.startswith(known) else None


def _named(payment: Payment, event: MoneyFact, reference: str) -> Decision:
    learned = learn_reference(payment, event.attempt_id, reference)
    if learned is not None:
        return Decision(learned)
    detail = f"the carrier calls attempt {event.attempt_id} {reference!r}, and has called it otherwise before"
    return Decision(payment, (OpenBreak(kind=BreakKind.MISMATCH, detail=detail),))


def longer(known: str | None, told: str | None) -> str | None:
    """What an order is called: a carrier's later word holds its earlier one, and may come before it."""
    return known if told is None or (known is not None and known.startswith(told)) else told


def in_full(payment: Payment, event: Charged) -> str | None:
    """What the carrier calls the charge. This yes may answer a question of before a callback told more."""
    operation = payment.operation
    if operation is not None and operation.attempt_id == event.attempt_id:
        return longer(operation.reference, event.carrier_reference)
    known = payment.carrier_reference if payment.attempt_id == event.attempt_id else None
    return longer(known, event.carrier_reference)


def captured(payment: Payment, event: Charged, rules: Rules, *before: Effect) -> Decision:
    """The money is taken and the merchant may deliver; in escrow it waits for the buyer's word."""
    taken = replace(
        payment,
        state=State.CAPTURED,
        operation=None,
        deadline_at_ms=None,
        carrier_reference=in_full(payment, event),
        ended_at_ms=event.at_ms,
        captured_minor=payment.ordered_minor,
    )
    told: tuple[Effect, ...] = (Notify(type=EventType.PAYMENT_SUCCEEDED),)
    if payment.capture is Capture.ESCROW:
        taken = replace(taken, escrow=Escrow.HELD, deadline_at_ms=event.at_ms + rules.escrow_ship_within_ms)
        told = (*told, Notify(type=EventType.ESCROW_HELD))
    post = Post(kind=EntryKind.CAPTURE, source_id=event.attempt_id, amount_minor=taken.captured_minor)
    return Decision(taken, (*before, post, *told, SendText(template="paid")))
