"""The one table that moves a payment, and the rules found in it.

`decide` looks into the table once and runs the rule. A consumer's, merchant's or timer's event that the table does not
list is ignored with a reason: it arrives twice, late or out of order all the time. A carrier's fact that the table does
not list opens a Break: money may have moved and a person must look.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from gateway.core.escrow import escrow_deadline, goods_received, goods_sent
from gateway.core.holds import (
    capture_declined,
    capture_done,
    captured_in_vain,
    captured_unasked,
    charged_beside_hold,
    held,
    held_again,
    held_late,
    hold_ended,
    hold_gone,
    hold_order_again,
    hold_order_unknown,
    release_declined,
    start_capture,
    start_release,
)
from gateway.core.inquiries import is_believable, is_believed, kept_words, rung, sent_again
from gateway.core.opt_in import ask_once_more, is_asked_twice
from gateway.core.payment import (
    AskDeclined,
    AskDelivered,
    AskSubmitted,
    AskUndeliverable,
    AskUnknown,
    BreakKind,
    CancelRequested,
    CaptureRequested,
    CarrierFact,
    Charge,
    Charged,
    ChargeDeclined,
    ChargeNotFound,
    ChargeTakenBack,
    ChargeUnknown,
    ChargeUnsent,
    ConsumerEvent,
    ConsumerStopped,
    DeadlinePassed,
    Decision,
    Effect,
    EntryKind,
    Escrow,
    Event,
    EventType,
    Fulfilled,
    GoodsReceived,
    Held,
    HoldEnded,
    HoldOrderDeclined,
    HoldOrderNotDone,
    HoldOrderUnknown,
    HoldOrderUnsent,
    MerchantEvent,
    Notify,
    OpenBreak,
    OperationKind,
    OverLimit,
    Payment,
    Post,
    Reason,
    RecordConsent,
    ReferenceLearned,
    RemindOnce,
    ReplyConfirmed,
    ReplyRefused,
    Reserve,
    Reverse,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
    Rules,
    SendAsk,
    SendText,
    SimChecked,
    State,
    StillPending,
    WithdrawDispute,
    WrongCodeReplied,
)
from gateway.core.sim_swap import check, check_deadline, checked, how_to_pay, is_checked
from gateway.core.steps import (
    agreed,
    ask_the_carrier,
    captured,
    charged_twice,
    end,
    end_expired,
    give_back,
    in_full,
    is_current,
    noted,
    reference_learned,
    start_order,
    start_reversal,
    still_pending,
)

Rule = Callable[[Payment, Any, Rules], Decision]  # Any: each rule takes its own event type; TABLE pairs them.


def decide(payment: Payment, event: Event, rules: Rules) -> Decision:
    """Move *payment* by *event*. The version rises by one exactly if the payment changed."""
    if payment.is_in_doubt and isinstance(event, ConsumerEvent | MerchantEvent):
        # Whatever they wish, it would be told to both as if it were known that nothing was charged.
        return Decision(payment, ignored="it waited in a restored backup: a person looks whether it was charged")
    rule = TABLE.get((payment.state, type(event)))
    if rule is None:
        return _unlisted(payment, event)
    decision = rule(payment, event, rules)
    if decision.payment is payment:
        return decision
    moved = replace(
        decision.payment, version=payment.version + 1, updated_at_ms=max(event.at_ms, payment.updated_at_ms)
    )
    return replace(decision, payment=moved)


def open_payment(payment: Payment, ask: str | None) -> Decision:
    """The first decision about a new payment: tell the feed, ask the phone with the template *ask* (None: do not)."""
    assert payment.state is State.CREATED and payment.version == 1
    created = Notify(type=EventType.PAYMENT_CREATED)
    return Decision(payment, (created,) if ask is None else (created, SendAsk(template=ask)))


def _unlisted(payment: Payment, event: Event) -> Decision:
    name = type(event).__name__
    if isinstance(event, CarrierFact):
        return Decision(payment, (OpenBreak(kind=BreakKind.UNEXPECTED_FACT, detail=f"{name} while {payment.state}"),))
    return Decision(payment, ignored=f"{name} while {payment.state}")


def _over_limit(payment: Payment, event: OverLimit, rules: Rules) -> Decision:
    told = (SendText(template="over_limit"),) if event.tells else ()
    return end(payment, Reason.LIMIT_EXCEEDED, event.at_ms, told)


def _asked(payment: Payment, event: AskSubmitted, rules: Rules) -> Decision:
    left_ms = payment.consent_expires_at_ms - event.at_ms
    reminder = (RemindOnce(at_ms=event.at_ms + left_ms // 2),) if 0 < rules.reminder_from_ms <= left_ms else ()
    return Decision(replace(payment, state=State.AWAITING_CONSENT), (Notify(type=EventType.PAYMENT_ASKED), *reminder))


def _ask_failed(payment: Payment, event: AskDeclined, rules: Rules) -> Decision:
    return end(payment, event.reason, event.at_ms, ())


def _ask_undeliverable(payment: Payment, event: AskUndeliverable, rules: Rules) -> Decision:
    # The handset may still have got it (DLRs lie): should a code come, it is late and the text says that nothing
    # was charged.
    return end(payment, Reason.UNREACHABLE, event.at_ms, ())


def _confirmed(payment: Payment, event: ReplyConfirmed, rules: Rules) -> Decision:
    if event.read_at_ms > payment.consent_expires_at_ms + rules.consent_grace_ms:
        return end_expired(payment, event.at_ms)
    if payment.needs_pin and not event.by_known_pin:
        return Decision(payment, ignored="the SIM is fresh: only a PIN that is older confirms")
    consent = RecordConsent(
        template=event.template or present_ask(payment, rules),
        attempt_id=event.next_attempt_id,
        mo_id=event.mo_id,
        reply=event.reply,
        read_at_ms=event.read_at_ms,
        channel=event.channel,
        code_n=payment.code_n,
        follows=None if payment.stage is None else payment.stage.follows,
    )
    if is_asked_twice(payment, event, rules):
        return ask_once_more(payment, event, rules, consent)
    given = replace(payment, charge_not_after_ms=event.read_at_ms + rules.charge_within_ms)
    told = (consent, Notify(type=EventType.PAYMENT_CONFIRMED))
    if is_checked(payment, rules, by_known_pin=event.by_known_pin):
        return check(given, event.next_attempt_id, event.at_ms, rules, told)
    return agreed(given, event.next_attempt_id, rules, told)


def present_ask(payment: Payment, rules: Rules) -> str:
    """The ask that a code answers, of a request that a shop began."""
    if payment.stage is not None and payment.stage.first_code_n is not None:
        return rules.asking("second")
    # Whoever was charged in vain before answers the second ask.
    return rules.asking("ask" if payment.attempts == 0 else "low_balance")


def _refused(payment: Payment, event: ReplyRefused, rules: Rules) -> Decision:
    if payment.funds_held:
        return start_release(payment, Reason.REFUSED)
    return end(payment, Reason.REFUSED, event.at_ms, (SendText(template="refused"),))


def _stopped(payment: Payment, event: ConsumerStopped, rules: Rules) -> Decision:
    # The answer to STOP itself says that the waiting requests are gone; a second text would break the STOP.
    return end(payment, Reason.REFUSED, event.at_ms, ())


def _wrong_code(payment: Payment, event: WrongCodeReplied, rules: Rules) -> Decision:
    counted = replace(payment, wrong_codes=payment.wrong_codes + 1)
    if event.locks:
        return end(counted, Reason.WRONG_CODE, event.at_ms, ())
    if counted.wrong_codes >= rules.wrong_codes_max:
        return end(counted, Reason.WRONG_CODE, event.at_ms, (SendText(template="locked"),))
    # The same whether it was the PIN or not: a text must not be the way to try PINs.
    template = "wrong_code_pin" if event.may_be_pin else "wrong_code"
    told = SendText(template=rules.asking(how_to_pay(payment, template)))
    return Decision(counted, () if event.quiet else (told,))


def _cancel_unasked(payment: Payment, event: CancelRequested, rules: Rules) -> Decision:
    if payment.funds_held:
        return start_release(replace(payment, cancel_requested=True), Reason.CANCELLED)
    # The ask may be on its way to the phone, so the phone is told; a text that is still unsent supersedes the ask.
    return end(payment, Reason.CANCELLED, event.at_ms, (SendText(template="cancelled"),))


def _deadline(payment: Payment, event: DeadlinePassed, rules: Rules) -> Decision:
    if payment.deadline_at_ms is None or event.at_ms < payment.deadline_at_ms:
        return Decision(payment, ignored="the deadline has not passed")
    if payment.funds_held:
        return start_release(payment, Reason.EXPIRED)
    return end_expired(payment, event.at_ms)


def _capture(payment: Payment, event: CaptureRequested, rules: Rules) -> Decision:
    if payment.funds_held:
        return start_capture(payment, event)
    assert payment.attempt_id is not None and payment.charge_not_after_ms is not None
    if event.at_ms > payment.charge_not_after_ms:
        return end_expired(payment, event.at_ms)
    # The attempt was named when the consent was recorded: consent and charge carry the same id.
    return start_order(payment, payment.attempt_id, OperationKind.CHARGE)


def _charged(payment: Payment, event: Charged, rules: Rules) -> Decision:
    if not is_current(payment, event):
        return charged_twice(payment, event, rules)
    if payment.cancel_requested:
        charged = replace(payment, carrier_reference=in_full(payment, event))
        return start_reversal(charged, event, State.REVERSING)
    if payment.operation is not None and payment.operation.kind is OperationKind.RESERVE:
        return captured_unasked(payment, event, rules)
    return captured(payment, event, rules)


def _declined(payment: Payment, event: ChargeDeclined, rules: Rules) -> Decision:
    if not is_current(payment, event):
        return noted(payment, event, rules)
    if payment.cancel_requested:
        return end(payment, Reason.CANCELLED, event.at_ms, (SendText(template="cancelled"),))
    may_try_again = (
        event.reason is Reason.INSUFFICIENT_FUNDS
        and payment.attempts < rules.charge_attempts_max
        and event.at_ms < payment.consent_expires_at_ms
    )
    if not may_try_again:
        return end(payment, event.reason, event.at_ms, (SendText(template="declined"),))
    asking = replace(
        payment,
        state=State.AWAITING_CONSENT,
        operation=None,
        code_n=event.next_code_n,
        stage=None,
        charge_not_after_ms=None,
        deadline_at_ms=payment.consent_expires_at_ms + rules.consent_grace_ms,
    )
    return Decision(asking, (SendAsk(template=rules.asking("low_balance")),))


def _charge_unknown(payment: Payment, event: ChargeUnknown, rules: Rules) -> Decision:
    return ask_the_carrier(payment, event, rules, found=True)


def _charge_not_found(payment: Payment, event: ChargeNotFound, rules: Rules) -> Decision:
    operation = payment.operation
    if operation is None or not is_current(payment, event):
        return noted(payment, event, rules)
    if is_believed(operation, event.at_ms, rules):
        reason = Reason.CANCELLED if payment.cancel_requested else Reason.NOT_CHARGED
        return end(payment, reason, event.at_ms, (SendText(template="declined"),))
    return ask_the_carrier(payment, event, rules, found=not is_believable(operation, event.at_ms, rules))


def _charge_unsent(payment: Payment, event: ChargeUnsent, rules: Rules) -> Decision:
    operation = payment.operation
    if operation is None or not is_current(payment, event):
        return noted(payment, event, rules)
    if operation.outcome_unknown:
        # An inquiry that did not leave proves nothing about the charge itself.
        return ask_the_carrier(payment, event, rules, found=True)
    if payment.cancel_requested:
        return end(payment, Reason.CANCELLED, event.at_ms, (SendText(template="cancelled"),))
    delay_ms = rung(rules.resend_ladder_ms, operation.unsent)
    assert payment.charge_not_after_ms is not None
    if event.at_ms + delay_ms > payment.charge_not_after_ms:
        return end(payment, Reason.CARRIER_UNAVAILABLE, event.at_ms, (SendText(template="declined"),))
    waiting = replace(payment, operation=replace(operation, unsent=operation.unsent + 1))
    again = Reserve if operation.kind is OperationKind.RESERVE else Charge
    return Decision(waiting, (again(attempt_id=event.attempt_id, delay_ms=delay_ms),))


def _cancel_charging(payment: Payment, event: CancelRequested, rules: Rules) -> Decision:
    if payment.cancel_requested:
        return Decision(payment, ignored="the cancel is already requested")
    return Decision(replace(payment, cancel_requested=True))


def _charged_late(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """A success on a payment that has ended: it stays failed, the money goes back by a Reversal of its own."""
    if payment.reversed_attempt_id == event.attempt_id:
        return noted(payment, event, rules)
    operation = payment.operation
    if operation is not None and operation.kind is OperationKind.RELEASE and is_current(payment, event):
        return captured_in_vain(payment, event, rules)
    if operation is not None:
        return charged_twice(payment, event, rules)
    return start_reversal(payment, event, payment.state)


def _charged_after_decline(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """The first attempt was declined and then succeeded while the phone is asked again: no second may follow."""
    if payment.funds_held:
        rule = captured_unasked if is_current(payment, event) else charged_beside_hold
        return rule(payment, event, rules)
    if payment.state is not State.AWAITING_CONSENT and is_current(payment, event):
        return _unlisted(payment, event)  # Named with the consent and never sent: nobody knows what that was.
    return give_back(payment, event, Reason.CARRIER_DECLINED)


def _charged_again(payment: Payment, event: Charged, rules: Rules) -> Decision:
    """The same success once more is normal; a second success under another attempt is not."""
    if is_current(payment, event) or payment.reversed_attempt_id == event.attempt_id:
        return noted(payment, event, rules)
    return charged_twice(payment, event, rules)


def _reversal_done(payment: Payment, event: Reversed, rules: Rules) -> Decision:
    operation = payment.operation
    if operation is None or operation.attempt_id != event.attempt_id:
        return noted(payment, event, rules)
    back_minor = payment.ordered_minor
    # Of two charges one stays: whoever paid must not read that it was given back.
    stays = payment.state is State.CAPTURED
    told = SendText(template="already_paid") if stays else SendText(template="reversed", amount_minor=back_minor)
    effects: tuple[Effect, ...] = (
        Post(kind=EntryKind.REVERSAL, source_id=operation.charge_attempt_id, amount_minor=back_minor),
        Notify(type=EventType.REVERSAL_SUCCEEDED),
        told,
    )
    if payment.state is State.REVERSING:
        ended = end(payment, Reason.CANCELLED, event.at_ms, ())
        return replace(ended, effects=(*effects, *ended.effects))
    return Decision(replace(payment, operation=None), effects)


def _reversal_declined(payment: Payment, event: ReverseDeclined, rules: Rules) -> Decision:
    """The carrier keeps the money: the operation stays open, for a person to end."""
    operation = payment.operation
    if operation is None or operation.attempt_id != event.attempt_id or operation.declined:
        return noted(payment, event, rules)
    detail = kept_words(event.attempt_id) + event.detail
    return Decision(
        replace(payment, operation=replace(operation, declined=True)),
        (OpenBreak(kind=BreakKind.REVERSAL_DECLINED, detail=detail), Notify(type=EventType.REVERSAL_FAILED)),
    )


def _reversal_unknown(payment: Payment, event: ReverseUnknown, rules: Rules) -> Decision:
    return ask_the_carrier(payment, event, rules, found=True)


def _reversal_again(payment: Payment, event: ReverseUnsent | ReverseNotFound, rules: Rules) -> Decision:
    """Unsent, or believably unknown to the carrier: the same reversal under the same id goes out again."""
    operation = payment.operation
    if operation is None or operation.attempt_id != event.attempt_id:
        return noted(payment, event, rules)
    if isinstance(event, ReverseNotFound) and not is_believed(operation, event.at_ms, rules):
        return ask_the_carrier(payment, event, rules, found=not is_believable(operation, event.at_ms, rules))
    waiting = sent_again(operation, rules)
    again = Reverse(
        attempt_id=operation.attempt_id,
        charge_attempt_id=operation.charge_attempt_id,
        carrier_reference=operation.carrier_reference,
        delay_ms=rung(rules.resend_ladder_ms, operation.unsent),
    )
    return Decision(replace(payment, operation=waiting), (again,))


def _taken_back(payment: Payment, event: ChargeTakenBack, rules: Rules) -> Decision:
    if not is_current(payment, event):
        detail = f"the carrier took back attempt {event.attempt_id}, which is not the captured one"
        return Decision(payment, (OpenBreak(kind=BreakKind.UNEXPECTED_FACT, detail=detail),))
    taken = replace(
        payment,
        state=State.REVERSED,
        # Another charge of it may have been given back before, and must be known again.
        reversed_attempt_id=payment.reversed_attempt_id or event.attempt_id,
        deadline_at_ms=None,
        disputed_minor=0,
    )
    # What refunds under way are about is in refund clearing: only the carrier's word about each ends it.
    clawback = Post(kind=EntryKind.CLAWBACK, source_id=event.attempt_id, amount_minor=payment.left_minor)
    return Decision(
        taken,
        (
            # First, so that what the dispute set aside is where the clawback takes it from.
            *((WithdrawDispute(),) if payment.disputed_minor else ()),
            *((clawback,) if payment.left_minor else ()),
            Notify(type=EventType.PAYMENT_REVERSED),
            SendText(template="reversed"),
        ),
    )


def _declined_after_success(payment: Payment, event: ChargeDeclined, rules: Rules) -> Decision:
    if not is_current(payment, event):
        return noted(payment, event, rules)
    detail = f"attempt {event.attempt_id} was declined ({event.detail}) after it had succeeded"
    return Decision(payment, (OpenBreak(kind=BreakKind.MISMATCH, detail=detail),))


def _fulfilled(payment: Payment, event: Fulfilled, rules: Rules) -> Decision:
    if payment.fulfilled_at_ms is not None:
        return Decision(payment, ignored="the fulfilment is already recorded")
    fulfilled = replace(payment, fulfilled_at_ms=event.at_ms)
    told = Notify(type=EventType.PAYMENT_FULFILLED)
    if payment.escrow is Escrow.HELD and payment.state is State.CAPTURED:
        return goods_sent(fulfilled, event, rules, told)
    return Decision(fulfilled, (told,))


# The table: what is not here is ignored (consumer, merchant, timer) or a Break (carrier). tests/core/table.csv is its
# hand-written twin.
_WAITING: Final[dict[type[Event], Rule]] = {
    AskUndeliverable: _ask_undeliverable,
    AskUnknown: noted,
    ReplyConfirmed: _confirmed,
    ReplyRefused: _refused,
    WrongCodeReplied: _wrong_code,
    ConsumerStopped: _stopped,
    OverLimit: _over_limit,
    CancelRequested: _cancel_unasked,
    DeadlinePassed: _deadline,
}
_ASK_NOTED: Final[dict[type[Event], Rule]] = {
    AskSubmitted: noted,
    AskDeclined: noted,
    AskUnknown: noted,
    AskDelivered: noted,
    AskUndeliverable: noted,
}
_REVERSAL: Final[dict[type[Event], Rule]] = {
    Reversed: _reversal_done,
    ReverseDeclined: _reversal_declined,
    ReverseUnknown: _reversal_unknown,
    ReverseUnsent: _reversal_again,
    ReverseNotFound: _reversal_again,
}
_CHARGE_NOTED: Final[dict[type[Event], Rule]] = {
    ChargeUnknown: noted,
    ChargeUnsent: noted,
    ChargeNotFound: noted,
}
_SIM_NOTED: Final[dict[type[Event], Rule]] = {SimChecked: noted}  # The answer to a question that is over.
_LEARNS: Final[dict[type[Event], Rule]] = {StillPending: still_pending, ReferenceLearned: reference_learned}
_HOLD_ORDER: Final[dict[type[Event], Rule]] = _LEARNS | {
    Held: held_again,
    HoldEnded: hold_ended,
    HoldOrderUnknown: hold_order_unknown,
    HoldOrderUnsent: hold_order_again,
    HoldOrderNotDone: hold_order_again,
}
_HOLD_NOTED: Final[dict[type[Event], Rule]] = {
    HoldEnded: noted,  # What a part was captured of is gone with it.
    HoldOrderUnknown: noted,
    HoldOrderUnsent: noted,
    HoldOrderNotDone: noted,
}
_ROWS: Final[dict[State, dict[type[Event], Rule]]] = {
    State.CREATED: _WAITING
    | {
        AskSubmitted: _asked,
        AskDelivered: _asked,  # The DLR may overtake the submit response.
        AskDeclined: _ask_failed,
    },
    State.AWAITING_CONSENT: _WAITING
    | {
        AskSubmitted: noted,
        AskDelivered: noted,
        AskDeclined: noted,  # The re-send of an ask that went out once already.
        # Facts about the first attempt, after its decline for lack of funds.
        Charged: _charged_after_decline,
        ChargeDeclined: noted,
    }
    | _LEARNS
    | _CHARGE_NOTED
    | _SIM_NOTED,
    State.CHECKING: _ASK_NOTED
    | _LEARNS
    | _CHARGE_NOTED
    | {
        SimChecked: checked,
        ReplyRefused: _refused,
        CancelRequested: _cancel_unasked,
        DeadlinePassed: check_deadline,
        # Facts about the first attempt, after its decline for lack of funds.
        Charged: _charged_after_decline,
        ChargeDeclined: noted,
    },
    State.AUTHORIZED: _ASK_NOTED
    | _SIM_NOTED
    | _LEARNS
    | _CHARGE_NOTED
    | {
        CaptureRequested: _capture,
        Held: held_again,
        HoldEnded: hold_ended,
        ReplyRefused: _refused,  # Whoever changes her mind before the charge is heard.
        CancelRequested: _cancel_unasked,
        DeadlinePassed: _deadline,
        # Facts about the first attempt, after its decline for lack of funds.
        Charged: _charged_after_decline,
        ChargeDeclined: noted,
    },
    State.CHARGING: _ASK_NOTED
    | _SIM_NOTED
    | _LEARNS
    | {
        Held: held,
        HoldEnded: hold_gone,
        Charged: _charged,
        ChargeDeclined: _declined,
        ChargeUnknown: _charge_unknown,
        ChargeNotFound: _charge_not_found,
        ChargeUnsent: _charge_unsent,
        CancelRequested: _cancel_charging,
    },
    State.CAPTURING: _ASK_NOTED
    | _SIM_NOTED
    | _CHARGE_NOTED
    | _HOLD_ORDER
    | {Charged: capture_done, HoldOrderDeclined: capture_declined, CancelRequested: _cancel_charging},
    State.VOIDING: _ASK_NOTED
    | _SIM_NOTED
    | _CHARGE_NOTED
    | _HOLD_ORDER
    | {Charged: captured_in_vain, HoldOrderDeclined: release_declined, CancelRequested: _cancel_charging},
    State.CAPTURED: _ASK_NOTED
    | _SIM_NOTED
    | _LEARNS
    | _HOLD_NOTED
    | _CHARGE_NOTED
    | _REVERSAL
    | {
        Charged: _charged_again,
        ChargeDeclined: _declined_after_success,
        ChargeTakenBack: _taken_back,
        Fulfilled: _fulfilled,
        GoodsReceived: goods_received,
        DeadlinePassed: escrow_deadline,
    },
    State.REVERSING: _ASK_NOTED
    | _SIM_NOTED
    | _LEARNS
    | _HOLD_NOTED
    | _CHARGE_NOTED
    | _REVERSAL
    | {Charged: _charged_again},
    State.ENDED: _ASK_NOTED
    | _SIM_NOTED
    | _CHARGE_NOTED
    | _REVERSAL
    | _HOLD_ORDER
    | {
        Charged: _charged_late,
        ChargeDeclined: noted,
        Held: held_late,
        HoldOrderDeclined: release_declined,
    },
    State.REVERSED: _ASK_NOTED
    | _SIM_NOTED
    | _LEARNS
    | _HOLD_NOTED
    | _CHARGE_NOTED
    | _REVERSAL
    | {Charged: _charged_again, ChargeTakenBack: noted, Fulfilled: _fulfilled},
}
TABLE: Final[dict[tuple[State, type[Event]], Rule]] = {
    (state, event): rule for state, row in _ROWS.items() for event, rule in row.items()
}
