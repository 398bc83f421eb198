"""The dispute: somebody says that a payment was wrong, its money is set aside, and one side gets it.

The phone's owner opens it, or an operator for her. The merchant answers with evidence or gives in; an operator decides.
No answer in time is lost. What is lost becomes a refund; how that goes on is the refund's business.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.core.money import Money
from gateway.core.payment import Event, Payment
from gateway.core.public import rfc3339


class DisputeState(StrEnum):
    """Where it is. The merchant sees the same words."""

    OPEN = "open"
    """Waits for the merchant's answer."""
    UNDER_REVIEW = "under_review"
    """The merchant has answered; a person decides."""
    WON = "won"
    """The merchant keeps the money."""
    LOST = "lost"
    ACCEPTED = "accepted"
    """The merchant gave in."""
    WITHDRAWN = "withdrawn"
    """There is nothing left to decide about."""


class Act(StrEnum):
    """What can happen to a dispute."""

    ANSWER = "answer"
    ACCEPT = "accept"
    WIN = "win"
    LOSE = "lose"
    MISS = "miss"
    """The time for an answer is over."""
    WITHDRAW = "withdraw"


TABLE: Final[dict[tuple[DisputeState, Act], DisputeState]] = {
    (DisputeState.OPEN, Act.ANSWER): DisputeState.UNDER_REVIEW,
    (DisputeState.OPEN, Act.ACCEPT): DisputeState.ACCEPTED,
    (DisputeState.OPEN, Act.WIN): DisputeState.WON,
    (DisputeState.OPEN, Act.LOSE): DisputeState.LOST,
    (DisputeState.OPEN, Act.MISS): DisputeState.LOST,
    (DisputeState.OPEN, Act.WITHDRAW): DisputeState.WITHDRAWN,
    (DisputeState.UNDER_REVIEW, Act.ANSWER): DisputeState.UNDER_REVIEW,
    (DisputeState.UNDER_REVIEW, Act.ACCEPT): DisputeState.ACCEPTED,
    (DisputeState.UNDER_REVIEW, Act.WIN): DisputeState.WON,
    (DisputeState.UNDER_REVIEW, Act.LOSE): DisputeState.LOST,
    (DisputeState.UNDER_REVIEW, Act.WITHDRAW): DisputeState.WITHDRAWN,
}
"""What is not here is too late."""
OPEN_STATES: Final = frozenset({DisputeState.OPEN, DisputeState.UNDER_REVIEW})
GIVES_BACK: Final = frozenset({DisputeState.LOST, DisputeState.ACCEPTED})

DAY_MS: Final = 24 * 3600 * 1000
ANSWER_WITHIN_MS: Final = 7 * DAY_MS
DECIDED_WITHIN_MS: Final = 7 * DAY_MS
"""So long after the merchant's time a person has decided; the phone is told this day, and it never moves."""
OPENED_WITHIN_MS: Final = 120 * DAY_MS
"""After a charge this old nobody opens a dispute any more."""


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """One payment's dispute, about all of it that had not gone back."""

    id: str
    payment_id: str
    merchant_id: str
    mode: str
    amount: Money
    opened_by: str
    """`consumer` or `operator`."""
    reason: str = ""
    """One of `gateway.core.ussd.REASONS`, if the phone's owner has said one."""
    state: DisputeState = DisputeState.OPEN
    evidence: str = ""
    note: str = ""
    """Why an operator decided so."""
    due_at_ms: int
    """Until when the merchant may answer."""
    version: int = 1
    created_at_ms: int
    updated_at_ms: int

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class DisputeOpened(Event, frozen=True, kw_only=True):
    """The payment's part of it: money is set aside."""

    detail: str


class DisputeEnded(Event, frozen=True, kw_only=True):
    """The payment's part of it: what was set aside went to one side."""

    detail: str


def act(dispute: Dispute, done: Act, at_ms: int, *, evidence: str = "", note: str = "") -> Dispute | None:
    """*dispute* after *done*; None: it is too late for that."""
    state = TABLE.get((dispute.state, done))
    if state is None or (done is Act.MISS and at_ms < dispute.due_at_ms):
        return None
    return replace(
        dispute,
        state=state,
        evidence=evidence or dispute.evidence,
        note=note or dispute.note,
        version=dispute.version + 1,
        updated_at_ms=max(at_ms, dispute.updated_at_ms),
    )


def is_disputable(payment: Payment, at_ms: int) -> bool:
    """Whether there is money in *payment* to dispute, and time."""
    taken_ms = payment.ended_at_ms or payment.created_at_ms
    return payment.refundable_minor > 0 and at_ms - taken_ms < OPENED_WITHIN_MS


def decided_by_ms(dispute: Dispute) -> int:
    """By when the phone's owner hears how *dispute* ends."""
    return dispute.due_at_ms + DECIDED_WITHIN_MS


def overdue_words(dispute: Dispute) -> str:
    """What is said of one that nobody has decided by then: always the same, so that it is one break."""
    return f"dispute {dispute.id} was to be decided by {rfc3339(decided_by_ms(dispute))}"


class PublicDispute(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as its merchant sees it. `amount` is in minor units of `currency`."""

    id: str
    object: str = "dispute"
    mode: str
    payment_id: str
    status: str
    amount: int
    currency: str
    opened_by: str
    evidence: str
    evidence_due_at: str
    version: int
    created_at: str
    updated_at: str


def public_dispute(dispute: Dispute) -> PublicDispute:
    """*dispute* as its merchant sees it."""
    return PublicDispute(
        id=dispute.id,
        mode=dispute.mode,
        payment_id=dispute.payment_id,
        status=dispute.state,
        amount=dispute.amount.amount_minor,
        currency=dispute.amount.currency,
        opened_by=dispute.opened_by,
        evidence=dispute.evidence,
        evidence_due_at=rfc3339(dispute.due_at_ms),
        version=dispute.version,
        created_at=rfc3339(dispute.created_at_ms),
        updated_at=rfc3339(dispute.updated_at_ms),
    )
