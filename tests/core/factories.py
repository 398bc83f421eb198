"""Payments and events of the payment table, as small as a test wants them: override only what the test is about.

The story behind the defaults: created at `NOW`, five minutes to answer; the first attempt is `att_1`, its reversal
`rev_1`; a reply would start `att_new`. Events happen ten seconds after `NOW`.
"""

from typing import Any

from msgspec.structs import replace

from gateway.core.money import Money
from gateway.core.payment import (
    AskDeclined,
    AskDelivered,
    AskSubmitted,
    AskUndeliverable,
    AskUnknown,
    CancelRequested,
    Capture,
    CaptureRequested,
    Charged,
    ChargeDeclined,
    ChargeNotFound,
    ChargeTakenBack,
    ChargeUnknown,
    ChargeUnsent,
    ConsumerStopped,
    DeadlinePassed,
    Event,
    Fulfilled,
    GoodsReceived,
    Held,
    HoldEnded,
    HoldOrderDeclined,
    HoldOrderNotDone,
    HoldOrderUnknown,
    HoldOrderUnsent,
    Operation,
    OperationKind,
    OverLimit,
    Payment,
    Reason,
    ReferenceLearned,
    ReplyConfirmed,
    ReplyRefused,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
    SimAge,
    SimChecked,
    State,
    StillPending,
    WrongCodeReplied,
)

NOW = 1_800_000_000_000
EVENT_AT = NOW + 10_000
EXPIRES_AT = NOW + 300_000
DEADLINE = EXPIRES_AT + 60_000
CHARGE_NOT_AFTER = NOW + 600_000
ANSWER_BY = NOW + 10_000
HOLD_EXPIRES_AT = NOW + 86_400_000

_NEW: dict[str, Any] = {  # Any: fields of every type.
    "id": "pay_1",
    "merchant_id": "mer_1",
    "mode": "test",
    "consumer_id": "csm_1",
    "carrier": "acme",
    "shop": "Asha Fruits",
    "amount": Money(125_000, "KES"),
    "description": "Mangoes",
    "reference": None,
    "capture": Capture.AUTOMATIC,
    "language": "en",
    "ref": "ABCD2345",
    "code_n": 0,
    "code_digits": 4,
    "state": State.CREATED,
    "created_at_ms": NOW,
    "updated_at_ms": NOW,
    "consent_expires_at_ms": EXPIRES_AT,
    "deadline_at_ms": DEADLINE,
}
_ATTEMPTED: dict[str, Any] = {"attempt_id": "att_1", "attempts": 1, "deadline_at_ms": None}


def a_charge(**changes: Any) -> Operation:  # Any: the operation's fields.
    """The running order to charge."""
    charge = Operation(attempt_id="att_1", kind=OperationKind.CHARGE, charge_attempt_id="att_1")
    return replace(charge, **changes)


def a_reversal(**changes: Any) -> Operation:  # Any: the operation's fields.
    """The running order to take the charge back."""
    reversal = Operation(attempt_id="rev_1", kind=OperationKind.REVERSE, charge_attempt_id="att_1")
    return replace(reversal, **changes)


def a_hold_order(kind: OperationKind = OperationKind.CAPTURE, **changes: Any) -> Operation:  # Any: as above.
    """The running order to capture or to release what is held."""
    order = Operation(attempt_id="cap_1", kind=kind, charge_attempt_id="att_1", carrier_reference="ref_1")
    if kind is OperationKind.RELEASE:
        order = replace(order, attempt_id="rel_1", ends_as=Reason.EXPIRED)
    return replace(order, **changes)


HELD: dict[str, Any] = _ATTEMPTED | {
    "capture": Capture.MANUAL,
    "charge_not_after_ms": CHARGE_NOT_AFTER,
    "hold_expires_at_ms": HOLD_EXPIRES_AT,
    "carrier_reference": "ref_1",
}
"""What a payment has whose money is held."""

_BY_STATE: dict[State, dict[str, Any]] = {
    State.CREATED: {},
    State.AWAITING_CONSENT: {},
    State.CHECKING: _ATTEMPTED | {"attempts": 0, "charge_not_after_ms": CHARGE_NOT_AFTER, "deadline_at_ms": ANSWER_BY},
    State.AUTHORIZED: _ATTEMPTED
    | {
        "attempts": 0,
        "capture": Capture.MANUAL,
        "charge_not_after_ms": CHARGE_NOT_AFTER,
        "deadline_at_ms": CHARGE_NOT_AFTER,
    },
    State.CHARGING: _ATTEMPTED | {"operation": a_charge(), "charge_not_after_ms": CHARGE_NOT_AFTER},
    State.CAPTURING: HELD | {"operation": a_hold_order()},
    State.VOIDING: HELD | {"operation": a_hold_order(OperationKind.RELEASE)},
    State.CAPTURED: _ATTEMPTED | {"carrier_reference": "ref_1", "ended_at_ms": NOW, "captured_minor": 125_000},
    State.REVERSING: _ATTEMPTED
    | {
        "operation": a_reversal(),
        "cancel_requested": True,
        "reversed_attempt_id": "att_1",
        "carrier_reference": "ref_1",
    },
    State.ENDED: _ATTEMPTED | {"reason": Reason.CARRIER_DECLINED, "ended_at_ms": NOW},
    State.REVERSED: _ATTEMPTED
    | {"carrier_reference": "ref_1", "reversed_attempt_id": "att_1", "ended_at_ms": NOW, "captured_minor": 125_000},
}


def a_payment(state: State = State.CREATED, **changes: Any) -> Payment:  # Any: the payment's fields.
    """A payment as it stands in *state* after the plainest way there."""
    return Payment(**(_NEW | _BY_STATE[state] | {"state": state} | changes))


_EVENTS: dict[type[Event], dict[str, Any]] = {
    ReplyConfirmed: {"read_at_ms": EVENT_AT, "mo_id": "mo_1", "reply": "4711", "next_attempt_id": "att_new"},
    ReplyRefused: {"mo_id": "mo_1"},
    WrongCodeReplied: {"mo_id": "mo_1"},
    OverLimit: {"detail": "the phone's limit", "tells": True},
    ConsumerStopped: {"mo_id": "mo_1"},
    CaptureRequested: {},
    CancelRequested: {},
    Fulfilled: {},
    DeadlinePassed: {"at_ms": CHARGE_NOT_AFTER},
    AskSubmitted: {"message_id": "msg_1"},
    AskDeclined: {"reason": Reason.UNREACHABLE},
    AskUnknown: {},
    AskDelivered: {},
    AskUndeliverable: {},
    Charged: {"attempt_id": "att_1", "carrier_reference": "ref_1"},
    ChargeDeclined: {"attempt_id": "att_1", "reason": Reason.CARRIER_DECLINED, "next_code_n": 7},
    ChargeUnknown: {"attempt_id": "att_1"},
    ChargeUnsent: {"attempt_id": "att_1"},
    ChargeNotFound: {"attempt_id": "att_1"},
    ChargeTakenBack: {"attempt_id": "att_1"},
    Held: {"attempt_id": "att_1", "carrier_reference": "ref_1"},
    HoldEnded: {"attempt_id": "att_1"},
    HoldOrderDeclined: {"attempt_id": "cap_1"},
    HoldOrderUnknown: {"attempt_id": "cap_1"},
    HoldOrderUnsent: {"attempt_id": "cap_1"},
    HoldOrderNotDone: {"attempt_id": "cap_1"},
    StillPending: {"attempt_id": "att_1"},
    ReferenceLearned: {"attempt_id": "att_1", "carrier_reference": "ref_1/more"},
    GoodsReceived: {"mo_id": "mo_1"},
    SimChecked: {"attempt_id": "att_1", "age": SimAge.SETTLED},
    Reversed: {"attempt_id": "rev_1", "carrier_reference": "back_1"},
    ReverseDeclined: {"attempt_id": "rev_1"},
    ReverseUnknown: {"attempt_id": "rev_1"},
    ReverseUnsent: {"attempt_id": "rev_1"},
    ReverseNotFound: {"attempt_id": "rev_1"},
}
EVENT_TYPES: dict[str, type[Event]] = {event_type.__name__: event_type for event_type in _EVENTS}


def an_event(event_type: type[Event], **changes: Any) -> Event:  # Any: the event's fields.
    """The plainest event of its type."""
    return event_type(**({"at_ms": EVENT_AT} | _EVENTS[event_type] | changes))
