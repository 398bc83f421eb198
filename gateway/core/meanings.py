"""What reasons, states and event types mean: one table, for the docs and the command line.

`docs/api.md` repeats it; a test keeps the two equal. The errors of the API have a catalogue of their own.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.core.payment import EventType, PublicState, Reason


class ReasonRow(NamedTuple):
    """Why a payment failed. `retryable`: a new request, as it was, may succeed; `fix` says when or how."""

    cause: str
    fix: str
    retryable: bool


REASONS: Final[Mapping[Reason, ReasonRow]] = {
    Reason.REFUSED: ReasonRow("the phone's owner said no, or STOP", "not without asking the person", False),
    Reason.EXPIRED: ReasonRow("no answer in time", "ask again; a longer `expires_in_s` leaves more time", True),
    Reason.CANCELLED: ReasonRow("you took it back", "as you like", True),
    Reason.WRONG_CODE: ReasonRow(
        "three wrong codes, or too many from this phone in a day", "ask again: the new request has a new code", True
    ),
    Reason.UNREACHABLE: ReasonRow("the ask cannot reach the phone", "ask again later", True),
    Reason.UNAVAILABLE: ReasonRow(
        "this phone takes no requests, none of yours, or no more for now; we do not say which",
        "do not ask again today; offer another way to pay",
        False,
    ),
    Reason.INSUFFICIENT_FUNDS: ReasonRow("not enough money, twice or too late", "ask again after a top-up", True),
    Reason.LIMIT_EXCEEDED: ReasonRow(
        "a limit of the phone, of yours, of the carrier or of the law", "ask again later, or for a smaller amount", True
    ),
    Reason.NOT_SUBSCRIBER: ReasonRow(
        "the carrier does not know the number as its own", "ask again with another `carrier`", False
    ),
    Reason.CARRIER_DECLINED: ReasonRow("the carrier said no and nothing more", "ask again later", True),
    Reason.CARRIER_UNAVAILABLE: ReasonRow(
        "the carrier could not be reached while the consent was good; nothing was taken", "ask again", True
    ),
    Reason.NOT_CHARGED: ReasonRow(
        "it was unknown for a while; now it is certain that nothing was taken", "ask again", True
    ),
}


class StateRow(NamedTuple):
    """A payment's `status`. `is_final`: it stays so, save succeeded → reversed."""

    meaning: str
    is_final: bool


STATES: Final[Mapping[PublicState, StateRow]] = {
    PublicState.PENDING: StateRow("stored; the ask has not left yet", False),
    PublicState.REQUIRES_CONSENT: StateRow("the phone was asked and has not answered", False),
    PublicState.PROCESSING: StateRow(
        "the carrier was told to charge, to hold, to capture, to let go or to reverse, or is asked something before;"
        " `outcome_unknown` says that its answer was lost and is being asked for",
        False,
    ),
    PublicState.AUTHORIZED: StateRow(
        "`capture: manual`: the consumer said yes; capture before `capture_before`", False
    ),
    PublicState.SUCCEEDED: StateRow("the money was taken: deliver", True),
    PublicState.FAILED: StateRow("it will not be taken; `reason` says why", True),
    PublicState.REVERSED: StateRow("the money went back to the phone's owner", True),
}

EVENT_TYPES: Final[Mapping[EventType, str]] = {
    EventType.PAYMENT_CREATED: "the request is stored",
    EventType.PAYMENT_ASKED: "the carrier took the ask",
    EventType.PAYMENT_CONFIRMED: "the consumer confirmed",
    EventType.PAYMENT_AUTHORIZED: "`capture: manual`: you may capture now",
    EventType.PAYMENT_CAPTURE_FAILED: "the carrier declined the capture; the money is still held: try again, or cancel",
    EventType.PAYMENT_SUCCEEDED: "the money was taken: deliver",
    EventType.PAYMENT_FAILED: "final; `reason` says why",
    EventType.PAYMENT_REVERSED: "the money of a succeeded payment went back",
    EventType.PAYMENT_FULFILLED: "you recorded the delivery",
    EventType.PAYMENT_REPORTED: (
        "the phone's owner says that this was not their purchase, and takes no more requests of yours; look who typed"
        " the number"
    ),
    EventType.ORDER_REQUESTED: (
        "somebody texted `PAY <your keyword> <amount>`; `data` is the order with the whole number. Answer with"
        " POST /v1/payments"
    ),
    EventType.REFUND_CREATED: "a refund was made, by you or by a dispute; `data` is the refund",
    EventType.REFUND_SUCCEEDED: "the carrier gave it back to the phone",
    EventType.REFUND_FAILED: "the carrier would not; the money is yours again",
    EventType.DISPUTE_OPENED: "somebody says that a payment was wrong; answer before `evidence_due_at`",
    EventType.DISPUTE_UNDER_REVIEW: "your evidence is stored; an operator decides",
    EventType.DISPUTE_WON: "the money is yours again",
    EventType.DISPUTE_LOST: "it goes back to the phone: a refund follows",
    EventType.DISPUTE_WITHDRAWN: "the carrier took the charge back; `payment.reversed` follows",
    EventType.REVERSAL_CREATED: "a charge came through after the payment had ended; it is being given back",
    EventType.REVERSAL_SUCCEEDED: "it was given back",
    EventType.REVERSAL_FAILED: "the carrier would not; an operator looks at it",
    EventType.ESCROW_HELD: "`capture: escrow`: the money is taken and waits; send the goods and record the delivery",
    EventType.ESCROW_RELEASED: "the buyer has the goods, or has said nothing for long enough: the money is yours",
    EventType.PAYOUT_CREATED: "a payout was drafted out of what is available",
    EventType.PAYOUT_PAID: "the bank has paid it",
    EventType.PAYOUT_FAILED: "the bank refused it, or we took it back before; the money is available again",
    EventType.PAYOUT_RETURNED: "the bank brought it back; the money is available again",
}
