"""Rules for money that the carrier sets aside first: reserve, capture all or a part, release.

A hold is asked about as one thing. That it ended is believed from the carrier only, never from a clock of ours; our
clock only begins the release of what the merchant did not capture in time.
"""

from typing import Final

from msgspec.structs import replace

from gateway.core.inquiries import is_believable, is_believed, rung, sent_again
from gateway.core.payment import (
    BreakKind,
    CaptureRequested,
    Charged,
    Decision,
    EndHold,
    EntryKind,
    EventType,
    Held,
    HoldEnded,
    HoldOrderDeclined,
    HoldOrderNotDone,
    HoldOrderUnknown,
    HoldOrderUnsent,
    Inquire,
    Notify,
    OpenBreak,
    Operation,
    OperationKind,
    Payment,
    Post,
    Reason,
    Rules,
    SendText,
    State,
)
from gateway.core.steps import (
    ask_aside,
    ask_the_carrier,
    captured,
    charged_twice,
    end,
    give_back,
    in_full,
    is_current,
    noted,
    start_reversal,
)

TEXTS: Final = {Reason.CANCELLED: "cancelled", Reason.EXPIRED: "expired", Reason.REFUSED: "refused"}


def held(payment: Payment, event: Held, rules: Rules) -> Decision:
    operation = payment.operation
    if operation is None or operation.kind is not OperationKind.RESERVE or not is_current(payment, event):
        return _unexpected(payment, f"attempt {event.attempt_id} is held beside attempt {payment.attempt_id}")
    holding = _holding(payment, event, rules)
    post = _post(payment, EntryKind.HOLD)
    if payment.cancel_requested:
        release = start_release(holding, Reason.CANCELLED)
        return replace(release, effects=(post, *release.effects))
    authorized = replace(holding, state=State.AUTHORIZED, operation=None)
    return Decision(authorized, (post, Notify(type=EventType.PAYMENT_AUTHORIZED)))


def _holding(payment: Payment, event: Held, rules: Rules) -> Payment:
    expires_at_ms = event.at_ms + rules.hold_ms
    return replace(
        payment,
        carrier_reference=event.carrier_reference,
        hold_expires_at_ms=expires_at_ms,
        deadline_at_ms=max(event.at_ms, expires_at_ms - rules.hold_margin_ms),
    )


def held_again(payment: Payment, event: Held, rules: Rules) -> Decision:
    """The same yes once more is normal; another reservation that stands is not."""
    if is_current(payment, event) and payment.hold_expires_at_ms is not None:
        return noted(payment, event, rules)
    return _unexpected(payment, f"attempt {event.attempt_id} is held beside attempt {payment.attempt_id}")


def held_late(payment: Payment, event: Held, rules: Rules) -> Decision:
    """The payment has ended and the carrier holds the money after all: it stays failed, the hold is released."""
    if not is_current(payment, event):
        return _unexpected(payment, f"attempt {event.attempt_id} is held, and the payment has ended")
    is_known = payment.hold_expires_at_ms is not None or payment.reversed_attempt_id == event.attempt_id
    if payment.operation is not None or is_known:
        return noted(payment, event, rules)
    assert payment.reason is not None
    release = start_release(replace(_holding(payment, event, rules), deadline_at_ms=None), payment.reason)
    return Decision(replace(release.payment, state=State.ENDED), (_post(payment, EntryKind.HOLD), *release.effects))


def start_capture(payment: Payment, event: CaptureRequested) -> Decision:
    """Capture *event*'s amount; that it is no more than is held, the merchant's request has been told already."""
    return _order(payment, State.CAPTURING, OperationKind.CAPTURE, amount_minor=event.amount_minor)


def start_release(payment: Payment, reason: Reason) -> Decision:
    return _order(payment, State.VOIDING, OperationKind.RELEASE, ends_as=reason)


_PREFIXES: Final = {OperationKind.CAPTURE: "cap_", OperationKind.RELEASE: "rel_"}


def _order(
    payment: Payment,
    state: State,
    kind: OperationKind,
    *,
    amount_minor: int | None = None,
    ends_as: Reason | None = None,
) -> Decision:
    assert payment.attempt_id is not None
    # Made of the version, so that no chance is needed, and a capture after one that was declined is another one.
    attempt_id = f"{_PREFIXES[kind]}{payment.attempt_id.removeprefix('att_')}-{payment.version}"
    operation = Operation(
        attempt_id=attempt_id,
        kind=kind,
        charge_attempt_id=payment.attempt_id,
        carrier_reference=payment.carrier_reference,
        amount_minor=amount_minor,
        ends_as=ends_as,
    )
    ordered = replace(payment, state=state, operation=operation, deadline_at_ms=None)
    return Decision(ordered, (EndHold(attempt_id=attempt_id, kind=kind),))


def capture_done(payment: Payment, event: Charged, rules: Rules) -> Decision:
    if not is_current(payment, event):
        return charged_twice(payment, event, rules)
    if event.amount_minor not in (None, payment.ordered_minor):
        detail = f"{event.amount_minor} was captured, and {payment.ordered_minor} is what was ordered (minor units)"
        return Decision(payment, (OpenBreak(kind=BreakKind.MISMATCH, detail=detail),))
    hold_ended_post = _post(payment, EntryKind.HOLD_ENDED)
    if payment.cancel_requested:
        charged = replace(payment, carrier_reference=in_full(payment, event))
        reversal = start_reversal(charged, replace(event, amount_minor=payment.ordered_minor), State.REVERSING)
        return replace(reversal, effects=(hold_ended_post, *reversal.effects))
    return captured(payment, event, rules, hold_ended_post)


def capture_declined(payment: Payment, event: HoldOrderDeclined, rules: Rules) -> Decision:
    """The hold stands: the merchant may try again, or let it go."""
    if not _is_running(payment, event):
        return noted(payment, event, rules)
    assert payment.hold_expires_at_ms is not None
    if payment.cancel_requested:
        return start_release(payment, Reason.CANCELLED)
    again = replace(
        payment,
        state=State.AUTHORIZED,
        operation=None,
        deadline_at_ms=max(event.at_ms, payment.hold_expires_at_ms - rules.hold_margin_ms),
    )
    return Decision(again, (Notify(type=EventType.PAYMENT_CAPTURE_FAILED),))


def captured_in_vain(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """It was to be released, and an earlier capture had been carried out: the money goes back by a Reversal."""
    if not is_current(payment, event):
        return charged_twice(payment, event, rules)
    charged = replace(payment, carrier_reference=in_full(payment, event), cancel_requested=True)
    state = State.ENDED if payment.state is State.ENDED else State.REVERSING
    reversal = start_reversal(charged, event, state)
    return replace(reversal, effects=(_post(payment, EntryKind.HOLD_ENDED), *reversal.effects))


def captured_unasked(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """The carrier took what it was to set aside only. Nobody has ordered a capture, so the money goes back."""
    charged = replace(payment, carrier_reference=in_full(payment, event))
    back = give_back(charged, event, Reason.CARRIER_DECLINED)
    if payment.hold_expires_at_ms is None:
        return back
    return replace(back, effects=(_post(payment, EntryKind.HOLD_ENDED), *back.effects))


def charged_beside_hold(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """The first attempt was declined and then succeeded: what the second one holds is let go, then that goes back."""
    release = start_release(payment, Reason.CARRIER_DECLINED)
    return replace(release, effects=(*release.effects, ask_aside(payment, event, rules)))


def release_declined(payment: Payment, event: HoldOrderDeclined, rules: Rules) -> Decision:
    """The carrier keeps the hold: a person looks, and the carrier is asked now and then whether it has ended."""
    if not _is_running(payment, event):
        return noted(payment, event, rules)
    detail = f"release {event.attempt_id} was declined: {event.detail}"
    alarm = OpenBreak(kind=BreakKind.NOT_CARRIED_OUT, detail=detail)
    inquiry = Inquire(attempt_id=event.attempt_id, kind=OperationKind.RELEASE, delay_ms=rules.inquiry_ladder_ms[-1])
    return Decision(payment, (alarm, inquiry))


def hold_ended(payment: Payment, event: HoldEnded, rules: Rules) -> Decision:
    if not is_current(payment, event) or payment.hold_expires_at_ms is None:
        return noted(payment, event, rules)
    operation = payment.operation
    if payment.state is State.ENDED:
        if operation is None or operation.kind is not OperationKind.RELEASE:
            return noted(payment, event, rules)
        return Decision(replace(payment, operation=None), (_post(payment, EntryKind.HOLD_ENDED),))
    otherwise = Reason.CANCELLED if payment.cancel_requested else Reason.EXPIRED
    reason = otherwise if operation is None or operation.ends_as is None else operation.ends_as
    # Whose other attempt was charged reads later that it was given back.
    texts = (SendText(template=TEXTS[reason]),) if reason in TEXTS else ()
    ended = end(payment, reason, event.at_ms, texts)
    return replace(ended, effects=(_post(payment, EntryKind.HOLD_ENDED), *ended.effects))


def hold_gone(payment: Payment, event: HoldEnded, rules: Rules) -> Decision:
    """The reservation whose outcome was unknown had been made and has ended since: nothing was taken."""
    operation = payment.operation
    if operation is None or operation.kind is not OperationKind.RESERVE or not _is_running(payment, event):
        return _unexpected(payment, f"attempt {event.attempt_id} is told to be released, and nothing was held")
    reason = Reason.CANCELLED if payment.cancel_requested else Reason.EXPIRED
    return end(payment, reason, event.at_ms, (SendText(template=TEXTS[reason]),))


def hold_order_unknown(payment: Payment, event: HoldOrderUnknown, rules: Rules) -> Decision:
    return ask_the_carrier(payment, event, rules, found=True)


def hold_order_again(payment: Payment, event: HoldOrderUnsent | HoldOrderNotDone, rules: Rules) -> Decision:
    """Unsent, or believably not carried out: the same order under the same id goes out again."""
    operation = payment.operation
    if operation is None or operation.attempt_id != event.attempt_id:
        return noted(payment, event, rules)
    if isinstance(event, HoldOrderNotDone) and not is_believed(operation, event.at_ms, rules):
        return ask_the_carrier(payment, event, rules, found=not is_believable(operation, event.at_ms, rules))
    if operation.kind is OperationKind.CAPTURE and payment.cancel_requested:
        return start_release(payment, Reason.CANCELLED)
    waiting = sent_again(operation, rules)
    delay_ms = rung(rules.resend_ladder_ms, operation.unsent)
    again = EndHold(attempt_id=operation.attempt_id, kind=operation.kind, delay_ms=delay_ms)
    return Decision(replace(payment, operation=waiting), (again,))


def _is_running(payment: Payment, event: HoldOrderDeclined | HoldEnded) -> bool:
    return payment.operation is not None and payment.operation.attempt_id == event.attempt_id


def _post(payment: Payment, kind: EntryKind) -> Post:
    assert payment.attempt_id is not None
    return Post(kind=kind, source_id=payment.attempt_id, amount_minor=payment.amount.amount_minor)


def _unexpected(payment: Payment, detail: str) -> Decision:
    return Decision(payment, (OpenBreak(kind=BreakKind.UNEXPECTED_FACT, detail=detail),))
