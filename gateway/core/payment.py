"""The payment: its states, what can happen to it (events) and what it then wants done (effects). Plain values.

What joins them is the table in `gateway.core.decide`. The clock, new ids and new codes arrive inside the event; tables,
texts, carriers' dialects and HTTP are deliberately not known here.

All times are integer milliseconds since 1970-01-01 UTC.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from gateway.core.ask_templates import WITH_TAX
from gateway.core.country import OptIn
from gateway.core.money import Money
from gateway.core.sim_rule import SimRule


class State(StrEnum):
    """Internal state. The merchant sees `PublicState`."""

    CREATED = "created"
    AWAITING_CONSENT = "awaiting_consent"
    CHECKING = "checking"
    CHARGING = "charging"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    VOIDING = "voiding"
    CAPTURED = "captured"
    REVERSING = "reversing"
    ENDED = "ended"
    REVERSED = "reversed"


class PublicState(StrEnum):
    """What a merchant sees. A final one never changes, save succeeded → reversed."""

    PENDING = "pending"
    REQUIRES_CONSENT = "requires_consent"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVERSED = "reversed"


PUBLIC_STATES: Final[Mapping[State, PublicState]] = {
    State.CREATED: PublicState.PENDING,
    State.AWAITING_CONSENT: PublicState.REQUIRES_CONSENT,
    State.CHECKING: PublicState.PROCESSING,
    State.CHARGING: PublicState.PROCESSING,
    State.AUTHORIZED: PublicState.AUTHORIZED,
    State.CAPTURING: PublicState.PROCESSING,
    State.VOIDING: PublicState.PROCESSING,
    State.CAPTURED: PublicState.SUCCEEDED,
    State.REVERSING: PublicState.PROCESSING,
    State.ENDED: PublicState.FAILED,
    State.REVERSED: PublicState.REVERSED,
}

DOUBT_MS: Final = 2 * 24 * 3600 * 1000
"""How far apart a restored database sets the end of a consent and the deadline; nothing else sets them so far apart."""

METADATA_KEYS_MAX: Final = 50
"""A merchant's own notes on one payment."""

FINAL_STATES: Final = frozenset({State.CAPTURED, State.ENDED, State.REVERSED})
WAITING_STATES: Final = frozenset({State.CREATED, State.AWAITING_CONSENT})
CONSENT_STATES: Final = frozenset({State.CREATED, State.AWAITING_CONSENT, State.CHECKING, State.AUTHORIZED})
"""Nothing has been taken yet, and nothing runs at the carrier."""
AGREED_STATES: Final = frozenset({State.CHECKING, State.AUTHORIZED})
"""Of these, those with a consent."""
HOLDING_STATES: Final = frozenset({State.AUTHORIZED, State.CAPTURING, State.VOIDING})
DEAD_STATES: Final = frozenset({State.ENDED, State.REVERSED})
"""No money stays with the merchant: the reference is free for another, and no limit counts it."""


class Reason(StrEnum):
    """Why a payment failed. A closed list; each is explained in docs/api.md."""

    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    WRONG_CODE = "wrong_code"
    UNREACHABLE = "unreachable"
    UNAVAILABLE = "unavailable"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    NOT_SUBSCRIBER = "not_subscriber"
    CARRIER_DECLINED = "carrier_declined"
    CARRIER_UNAVAILABLE = "carrier_unavailable"
    NOT_CHARGED = "not_charged"


class EventType(StrEnum):
    """Types of the merchant's event feed. A closed list."""

    PAYMENT_CREATED = "payment.created"
    PAYMENT_ASKED = "payment.asked"
    PAYMENT_CONFIRMED = "payment.confirmed"
    PAYMENT_AUTHORIZED = "payment.authorized"
    PAYMENT_CAPTURE_FAILED = "payment.capture_failed"
    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_REVERSED = "payment.reversed"
    PAYMENT_FULFILLED = "payment.fulfilled"
    PAYMENT_REPORTED = "payment.reported"
    ORDER_REQUESTED = "order.requested"
    REFUND_CREATED = "refund.created"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_UNDER_REVIEW = "dispute.under_review"
    DISPUTE_WON = "dispute.won"
    DISPUTE_LOST = "dispute.lost"
    DISPUTE_WITHDRAWN = "dispute.withdrawn"
    REVERSAL_CREATED = "reversal.created"
    REVERSAL_SUCCEEDED = "reversal.succeeded"
    REVERSAL_FAILED = "reversal.failed"
    ESCROW_HELD = "escrow.held"
    ESCROW_RELEASED = "escrow.released"
    PAYOUT_CREATED = "payout.created"
    PAYOUT_PAID = "payout.paid"
    PAYOUT_FAILED = "payout.failed"
    PAYOUT_RETURNED = "payout.returned"


class Capture(StrEnum):
    """When the money is taken: at the confirmation, or when the merchant asks for it; and who has it then."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    ESCROW = "escrow"
    """Taken at the confirmation, and the merchant's once the buyer says that the goods came."""


class Escrow(StrEnum):
    """Where the money of a payment with `capture: escrow` is."""

    HELD = "held"
    RELEASED = "released"
    REFUNDED = "refunded"


class OperationKind(StrEnum):
    """What the carrier was told to do and has not ended yet."""

    CHARGE = "charge"
    RESERVE = "reserve"
    CAPTURE = "capture"
    RELEASE = "release"
    REVERSE = "reverse"


class Operation(msgspec.Struct, frozen=True):
    """One running order to the carrier. `attempt_id` is the id that the carrier sees and deduplicates by."""

    attempt_id: str
    kind: OperationKind
    charge_attempt_id: str
    """The charge that a reversal takes back, the reservation that is captured or released; else its own id."""
    carrier_reference: str | None = None
    """The carrier's own reference of that charge or reservation."""
    reference: str | None = None
    """The carrier's own reference of this order, once it is learned; where the carrier knows no id of ours."""
    amount_minor: int | None = None
    """What is captured or given back; None: the payment's whole amount."""
    ends_as: Reason | None = None
    """Why a release lets the money go."""
    unknown_since_ms: int | None = None
    """When it was first not known what became of the order: bytes of it may have left until then."""
    inquiries: int = 0
    not_found: int = 0
    """Believable answers «not found» in a row."""
    not_found_at_ms: int | None = None
    """When the latest of them came."""
    unsent: int = 0
    """Tries that are proven to have never reached the carrier."""
    declined: bool = False
    """Of a reversal: the carrier keeps the money, and a person was called."""

    @property
    def outcome_unknown(self) -> bool:
        return self.unknown_since_ms is not None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What a consent still lacks, of a payment that waits for more than the code of its first ask."""

    first_code_n: int | None = None
    """The code that confirmed for the first time; the present one is to confirm once more."""
    needs_pin: bool = False
    """The SIM is fresh: only a PIN on USSD that is older confirms."""
    follows: str | None = None
    """The attempt that the latest consent named, which permitted nothing yet."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the phone's owner asked to buy, where that is how the payment began. It never changes."""

    source: str
    """`sms` or `ussd`."""
    item_id: str | None = None
    item_number: str | None = None
    quantity: int = 1
    pay_code_id: str | None = None
    reference: str | None = None
    """The pay code's; of a code for many payments no payment can have it for its own."""
    stock_taken: bool = False
    """Its goods were counted out of the item's stock, and go back there if it ends unpaid."""


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's request for money from one phone. One row, one version a transition."""

    id: str
    merchant_id: str
    mode: str
    """`test` or `live`."""
    consumer_id: str
    carrier: str
    shop: str
    """The merchant's registered display name at the time of the request."""
    amount: Money
    description: str
    reference: str | None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    capture: Capture
    language: str
    ref: str
    """The eight characters by which the consumer finds this payment."""
    code_n: int
    """The live code is derived from the payment's id and this counter; the code itself is never stored."""
    code_digits: int
    code_key: str = ""
    """Which key they are derived by (`codes.key_id`); it stays when the newest key is another."""
    state: State
    reason: Reason | None = None
    version: int = 1
    created_at_ms: int
    updated_at_ms: int
    consent_expires_at_ms: int
    """The time printed in the ask."""
    deadline_at_ms: int | None
    """When a timer must wake this payment; None while only evidence can end what is running."""
    charge_not_after_ms: int | None = None
    wrong_codes: int = 0
    attempts: int = 0
    attempt_id: str | None = None
    """The latest charge attempt."""
    operation: Operation | None = None
    cancel_requested: bool = False
    reversed_attempt_id: str | None = None
    """The charge attempt that a Reversal of this payment takes back, running or done."""
    carrier_reference: str | None = None
    ended_at_ms: int | None = None
    fulfilled_at_ms: int | None = None
    captured_minor: int = 0
    """What was taken from the phone; less than `amount` after a partial capture."""
    refund_reserved_minor: int = 0
    """Of it, what refunds that have not ended are about."""
    refunded_minor: int = 0
    disputed_minor: int = 0
    """Of it, what open disputes are about."""
    escrow: Escrow | None = None
    """Set once the money is taken."""
    hold_expires_at_ms: int | None = None
    """Until when the carrier holds the money; None: nothing was ever held."""
    stage: Stage | None = None
    fee_schedule: str | None = None
    """The version of the fees that was in force when the payment was made; None: there are none."""
    order: Order | None = None
    """None: the merchant made the request."""

    @property
    def ordered_minor(self) -> int:
        """What the running operation is about."""
        ordered = None if self.operation is None else self.operation.amount_minor
        return self.amount.amount_minor if ordered is None else ordered

    @property
    def funds_held(self) -> bool:
        """The carrier has set the money aside for this payment and not let it go."""
        return self.hold_expires_at_ms is not None and self.state in HOLDING_STATES

    @property
    def refundable_minor(self) -> int:
        """What a refund or a dispute may still be about. Nothing while a dispute is open."""
        if self.state is not State.CAPTURED or self.disputed_minor:
            return 0
        return self.left_minor

    @property
    def left_minor(self) -> int:
        """What of the captured money neither went back nor is set aside for refunds."""
        return self.captured_minor - self.refund_reserved_minor - self.refunded_minor

    @property
    def is_undecided(self) -> bool:
        """A dispute or a refund has to end before it is known what is left."""
        return bool(self.disputed_minor or self.refund_reserved_minor)

    @property
    def public_state(self) -> PublicState:
        return PUBLIC_STATES[self.state]

    @property
    def is_waiting(self) -> bool:
        """An answer of the phone moves it."""
        return self.state in WAITING_STATES and not self.is_in_doubt

    @property
    def needs_pin(self) -> bool:
        """Its code confirms no more: the SIM is fresh, and only a PIN that is older does."""
        return self.stage is not None and self.stage.needs_pin

    @property
    def is_in_doubt(self) -> bool:
        """It waited in a backup that was restored, and may have been charged since; a person looks."""
        if self.deadline_at_ms is None or self.state not in CONSENT_STATES:
            return False
        good_until_ms = self.hold_expires_at_ms or self.charge_not_after_ms or self.consent_expires_at_ms
        return self.deadline_at_ms - good_until_ms >= DOUBT_MS


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the policy. They come from the configuration and are the same for every payment of a carrier."""

    consent_grace_ms: int = 60_000
    """A reply is judged by the time it was read, with this grace: phones and SMSCs have clocks of their own."""
    charge_within_ms: int = 600_000
    """A consent may be charged for this long (design: consent + 10 min)."""
    wrong_codes_max: int = 3
    charge_attempts_max: int = 2
    inquiry_ladder_ms: tuple[int, ...] = tuple(s * 1000 for s in (10, 30, 60, 120, 300, 900, 3600, 6 * 3600, 24 * 3600))
    tell_unknown_after_inquiries: int = 2
    not_found_answers: int = 3
    not_found_gap_ms: int = 10_000
    max_processing_ms: int = 60_000
    """How long the carrier may work on an order; before that its «not found» is not believed."""
    resend_ladder_ms: tuple[int, ...] = (1_000, 5_000, 15_000, 60_000)
    holds: bool = False
    """The carrier sets money aside and takes it later."""
    partial_capture: bool = False
    hold_ms: int = 7 * 24 * 3600 * 1000
    """How long a hold stands: no carrier says it of each."""
    hold_margin_ms: int = 60_000
    """So long before its end a hold is released by us: what is captured in the last minute may come too late."""
    escrow_ship_within_ms: int = 7 * 24 * 3600 * 1000
    """A shop that has not told of the delivery by then gives the money back."""
    escrow_release_after_ms: int = 14 * 24 * 3600 * 1000
    """A buyer who has said nothing so long after the delivery has the goods."""
    sim: SimRule | None = None
    """None: the carrier is not asked about SIMs."""
    reminder_from_ms: int = 0
    """An ask that can be answered for at least so long is repeated once, in the middle of that time; 0: never."""
    opt_in: OptIn = "once"
    tax_in_ask: bool = False
    """What tells a price to agree to says that it is with tax."""

    def asking(self, template: str) -> str:
        """The text *template*, which tells a price to agree to, as it is worded here."""
        return f"{template}_tax" if self.tax_in_ask and template in WITH_TAX else template


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `at_ms` is the batch's clock."""

    at_ms: int


class ConsumerEvent(Event, frozen=True, kw_only=True):
    """The phone's owner did something."""


class MerchantEvent(Event, frozen=True, kw_only=True):
    """The merchant asked for something."""


class TimerEvent(Event, frozen=True, kw_only=True):
    """Time passed."""


class CarrierFact(Event, frozen=True, kw_only=True):
    """The carrier said something. Never ignored: what the table does not list becomes a Break for a person."""


class ReplyConfirmed(ConsumerEvent, frozen=True, kw_only=True):
    """The one live code came back, read at `read_at_ms`, as inbound message `mo_id`."""

    read_at_ms: int
    mo_id: str
    reply: str
    """The words that came, kept with the consent as evidence; of USSD the screen that was answered, and no PIN."""
    next_attempt_id: str
    channel: str = "sms"
    template: str = ""
    """The text that was answered; "" for the ask."""
    next_code_n: int | None = None
    """Where phones may have to confirm twice: chosen under the consumer's lock, for that case."""
    knows_shop: bool = False
    """The phone has paid this shop before."""
    by_known_pin: bool = False
    """It is a PIN that is older than a SIM which the carrier's rule calls fresh."""


class ReplyRefused(ConsumerEvent, frozen=True, kw_only=True):
    """`0`, or a negative word."""

    mo_id: str


class WrongCodeReplied(ConsumerEvent, frozen=True, kw_only=True):
    """A code that is not live, from this phone, while this payment waited."""

    mo_id: str
    may_be_pin: bool = False
    """The phone has a PIN, and somebody may have texted it in place of the code."""
    quiet: bool = False
    """The phone is told about another payment that waits beside this one."""
    locks: bool = False
    """It was one too many of this phone: all that waits ends, and one text about the phone says so."""


class ConsumerStopped(ConsumerEvent, frozen=True, kw_only=True):
    """STOP: no more asks."""

    mo_id: str


class OverLimit(MerchantEvent, frozen=True, kw_only=True):
    """The payment is more than a limit allows: the phone is not asked, or its consent comes too late to count."""

    detail: str
    """Whose limit it is, for the timeline."""
    tells: bool
    """The phone is told: it is the phone's own limit, or the carrier's for each phone."""


class CaptureRequested(MerchantEvent, frozen=True, kw_only=True):
    """The attempt was named when the consent was recorded."""

    amount_minor: int | None = None
    """None: all of it. The rest of what is held goes back."""


class CancelRequested(MerchantEvent, frozen=True, kw_only=True):
    pass


class GoodsReceived(ConsumerEvent, frozen=True, kw_only=True):
    """The buyer says that the goods came (`OK` and the ref)."""

    mo_id: str


class Fulfilled(MerchantEvent, frozen=True, kw_only=True):
    """The merchant delivered; the record itself is stored beside the payment."""


class DeadlinePassed(TimerEvent, frozen=True, kw_only=True):
    pass


class AskSubmitted(CarrierFact, frozen=True, kw_only=True):
    """The SMSC took the ask."""

    message_id: str


class AskDeclined(CarrierFact, frozen=True, kw_only=True):
    """The ask will not reach the phone; no retry is left."""

    reason: Reason
    detail: str = ""


class AskUnknown(CarrierFact, frozen=True, kw_only=True):
    """Nobody knows whether the SMSC took the ask; it has been or will be sent once more."""


class AskDelivered(CarrierFact, frozen=True, kw_only=True):
    """A DLR says that the handset has the ask. It is neither consent nor charge."""


class AskUndeliverable(CarrierFact, frozen=True, kw_only=True):
    """A final DLR says that the handset will not get the ask."""

    detail: str = ""


class SimAge(StrEnum):
    """What the carrier said of the phone's SIM."""

    SETTLED = "settled"
    FRESH = "fresh"
    UNKNOWN = "unknown"


class SimChecked(CarrierFact, frozen=True, kw_only=True):
    """What is known of the SIM, for the consent that names this attempt."""

    attempt_id: str
    age: SimAge
    has_known_pin: bool = False
    """The phone's owner has a PIN that is older than a fresh SIM can be."""
    detail: str = ""


class MoneyFact(CarrierFact, frozen=True, kw_only=True):
    """What the carrier said of one attempt."""

    attempt_id: str


class Charged(MoneyFact, frozen=True, kw_only=True):
    """The money is taken. Of a reservation: what was captured of it; `attempt_id` is the reservation's."""

    carrier_reference: str | None
    """None: whoever told it did not know it."""
    amount_minor: int | None = None
    """What the carrier says that it took, if it says so."""


class Held(MoneyFact, frozen=True, kw_only=True):
    """The money is set aside."""

    carrier_reference: str


class HoldEnded(MoneyFact, frozen=True, kw_only=True):
    """What was held is free again, by our order or by itself; nothing was taken. `attempt_id` is the reservation's."""

    detail: str = ""


class HoldOrderDeclined(MoneyFact, frozen=True, kw_only=True):
    """An explicit no to a capture or a release; the hold stands."""

    detail: str = ""


class HoldOrderUnknown(MoneyFact, frozen=True, kw_only=True):
    """Of a capture or a release, as the next two."""

    detail: str = ""


class HoldOrderUnsent(MoneyFact, frozen=True, kw_only=True):
    detail: str = ""


class HoldOrderNotDone(MoneyFact, frozen=True, kw_only=True):
    """An inquiry found the hold as it was before the order."""


class StillPending(MoneyFact, frozen=True, kw_only=True):
    """The carrier has the order and says that it works on it."""

    detail: str = ""
    carrier_reference: str | None = None


class ReferenceLearned(MoneyFact, frozen=True, kw_only=True):
    """A callback named the carrier's own reference of an order."""

    carrier_reference: str


class ChargeDeclined(MoneyFact, frozen=True, kw_only=True):
    reason: Reason
    detail: str = ""
    next_code_n: int
    """Chosen under the consumer's lock, for the case that the consumer may try again."""


class ChargeUnknown(MoneyFact, frozen=True, kw_only=True):
    detail: str = ""


class ChargeUnsent(MoneyFact, frozen=True, kw_only=True):
    """Proven: no byte of this try reached the carrier."""

    detail: str = ""


class ChargeNotFound(MoneyFact, frozen=True, kw_only=True):
    """An inquiry answered that the carrier does not know the attempt."""


class ChargeTakenBack(MoneyFact, frozen=True, kw_only=True):
    """The carrier reversed the charge by itself (clawback)."""

    detail: str = ""


class Reversed(MoneyFact, frozen=True, kw_only=True):
    carrier_reference: str | None
    """As in `Charged`."""


class ReverseDeclined(MoneyFact, frozen=True, kw_only=True):
    detail: str = ""


class ReverseUnknown(MoneyFact, frozen=True, kw_only=True):
    detail: str = ""


class ReverseUnsent(MoneyFact, frozen=True, kw_only=True):
    detail: str = ""


class ReverseNotFound(MoneyFact, frozen=True, kw_only=True):
    pass


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done outside; it leaves only through the outbox, after the commit."""


class SendAsk(Effect, frozen=True, kw_only=True):
    """Ask the phone; `template` is a key of the catalogue."""

    template: str


class RemindOnce(Effect, frozen=True, kw_only=True):
    """Repeat the ask at *at_ms*, if it still waits then. It asks for nothing new, and gives no more time."""

    at_ms: int


class SendText(Effect, frozen=True, kw_only=True):
    """Tell the phone a result. It supersedes unsent older texts about the same payment."""

    template: str
    until_ms: int | None = None
    """The time in it, if that is neither the payment's end nor now."""
    amount_minor: int | None = None
    """What it is about, if that is neither the price nor all that was taken."""


class Charge(Effect, frozen=True, kw_only=True):
    attempt_id: str
    delay_ms: int = 0


class Reserve(Effect, frozen=True, kw_only=True):
    attempt_id: str
    delay_ms: int = 0


class EndHold(Effect, frozen=True, kw_only=True):
    """Capture or release what is held; the running operation says how much of which reservation."""

    attempt_id: str
    kind: OperationKind
    delay_ms: int = 0


class Inquire(Effect, frozen=True, kw_only=True):
    """Ask the carrier what became of an attempt."""

    attempt_id: str
    kind: OperationKind
    delay_ms: int


class Reverse(Effect, frozen=True, kw_only=True):
    attempt_id: str
    charge_attempt_id: str
    carrier_reference: str | None
    """The carrier's reference of that charge, and of no other."""
    delay_ms: int = 0


class CheckSim(Effect, frozen=True, kw_only=True):
    """Ask the carrier how old the phone's SIM is, and go on asking until then."""

    attempt_id: str
    answer_by_ms: int


class RecordConsent(Effect, frozen=True, kw_only=True):
    """Committed with the charge that it permits."""

    template: str
    """The ask that was answered, as a key of the catalogue."""
    attempt_id: str
    mo_id: str
    reply: str
    read_at_ms: int
    channel: str = "sms"
    code_n: int
    """Of the ask that was answered; the payment may have another code by now."""
    follows: str | None = None
    """The attempt that the consent before this one named, where one alone did not permit the charge."""


class RefundAll(Effect, frozen=True, kw_only=True):
    """Give the phone's owner back what is left of the payment."""

    reason: str


class WithdrawDispute(Effect, frozen=True, kw_only=True):
    """End the open dispute: there is nothing left to decide about."""


class Notify(Effect, frozen=True, kw_only=True):
    """Write an event to the merchant's feed."""

    type: EventType


class EntryKind(StrEnum):
    """Kinds of ledger entries. Which accounts each moves stands in `gateway.core.ledger` and in docs/ledger.md."""

    HOLD = "hold"
    HOLD_ENDED = "hold_ended"
    CAPTURE = "capture"
    ESCROW_RELEASED = "escrow_released"
    LATE_CHARGE = "late_charge"
    REVERSAL = "reversal"
    CLAWBACK = "clawback"
    REFUND_CREATED = "refund_created"
    REFUND_SUCCEEDED = "refund_succeeded"
    REFUND_FAILED = "refund_failed"
    LATE_REFUND = "late_refund"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_WON = "dispute_won"
    DISPUTE_LOST = "dispute_lost"
    DISPUTE_FEE = "dispute_fee"
    SETTLEMENT = "settlement"
    RESERVE_RELEASED = "reserve_released"
    PAYOUT_CREATED = "payout_created"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_FAILED = "payout_failed"
    PAYOUT_RETURNED = "payout_returned"
    REMITTANCE = "remittance"
    WRITE_OFF = "write_off"
    WRITE_OFF_UNDONE = "write_off_undone"


class Post(Effect, frozen=True, kw_only=True):
    """Write a ledger entry about the payment; unique by (source, kind)."""

    kind: EntryKind
    source_id: str
    """The charge's or reservation's attempt, or the refund or dispute."""
    amount_minor: int


class BreakKind(StrEnum):
    """Contradictions that a person must look at."""

    UNEXPECTED_FACT = "unexpected_fact"
    DUPLICATE_CHARGE = "duplicate_charge"
    UNKNOWN_OUTCOME = "unknown_outcome"
    REVERSAL_DECLINED = "reversal_declined"
    MISMATCH = "mismatch"
    NOT_CARRIED_OUT = "not_carried_out"
    PUMPING = "pumping"
    REPORTED = "reported"
    MISSING_AT_CARRIER = "missing_at_carrier"
    MISSING_HERE = "missing_here"
    AMOUNT = "amount"
    CURRENCY = "currency"
    STATUS = "status"
    DUPLICATE = "duplicate"
    LATE = "late"
    FEE = "fee"
    FILE_MISSING = "file_missing"
    FILE_ORDER = "file_order"
    CONTROL_TOTAL = "control_total"
    REMITTANCE = "remittance"
    PAYOUT = "payout"
    DISPUTE = "dispute"


class OpenBreak(Effect, frozen=True, kw_only=True):
    kind: BreakKind
    detail: str


class Decision(msgspec.Struct, frozen=True):
    """What became of the payment, what is to be done, or why nothing was."""

    payment: Payment
    effects: tuple[Effect, ...] = ()
    ignored: str | None = None
