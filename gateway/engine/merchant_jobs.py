"""What merchants ask of payments, as jobs of the batch: create, capture, cancel, fulfil, annotate.

Each resolves to an `Answer` (the exact bytes that a repeat under the same Idempotency-Key gets again) or a `Problem`
(a code of the error catalogue). No job calls outside: the ask, the charge and the webhook leave through the outbox.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from gateway.core.caps import DAY_MS, Later
from gateway.core.codes import amount_spellings, choose_code, derive_code, key_id
from gateway.core.money import Money
from gateway.core.payment import (
    METADATA_KEYS_MAX,
    CancelRequested,
    Capture,
    CaptureRequested,
    Event,
    Fulfilled,
    OperationKind,
    Order,
    OverLimit,
    Payment,
    State,
)
from gateway.core.public import public_payment, with_number, without_number
from gateway.engine.admission import Admission, Request, admit, has_ordered, is_forbidden
from gateway.store import tables
from gateway.store.counters import Spender
from gateway.store.effects import new_payment_names
from gateway.store.phone_records import Coded
from gateway.store.queries import former_payments
from gateway.store.rows import Consumer
from gateway.store.unit import Key, KeyRecord, Needs, Phone, Unit

MINUTE_MS = 60_000
# So long after a number changed hands no new code equals one of the former owner's last requests.
FORMER_CODES_MS = 2 * DAY_MS
FORMER_CODES_MAX = 50


class Answer(msgspec.Struct, frozen=True):
    """A definite answer; `body` is JSON."""

    status: int
    body: bytes
    replayed: bool = False


class Problem(msgspec.Struct, frozen=True):
    """A refusal. `code` stands in the error catalogue; `extra` goes into the problem document."""

    code: str
    detail: str
    extra: dict[str, str] = {}


Outcome = Answer | Problem


def _replay(unit: Unit, key: Key, body_hash: str) -> Outcome | None:
    """The stored answer for *key*, if there is one."""
    record = unit.key(key)
    if record is None:
        return None
    if record.hash != body_hash:
        return Problem("idempotency_mismatch", "this Idempotency-Key was used with another request body")
    payment = unit.payment(record.object_id)
    assert payment is not None, "a key is stored in its payment's own transaction"
    msisdn = unit.consumer_by_id(payment.consumer_id).msisdn
    if not record.response:  # Older than answers are kept: the payment as it is now.
        return Answer(record.status, msgspec.json.encode(public_payment(payment, msisdn)), replayed=True)
    return Answer(record.status, with_number(record.response, msisdn).encode(), replayed=True)


def _answer(unit: Unit, key: Key | None, body_hash: str, status: int, payment: Payment) -> Answer:
    msisdn = unit.consumer_by_id(payment.consumer_id).msisdn
    body = msgspec.json.encode(public_payment(payment, msisdn))
    if key is not None:
        kept = without_number(body.decode(), msisdn)
        record = KeyRecord(hash=body_hash, object_id=payment.id, status=status, response=kept)
        unit.remember_key(key, record)
    return Answer(status, body)


def live_codes(unit: Unit, consumer_id: str) -> dict[str, Payment]:
    """Code → payment, for all payments of this phone that wait for an answer."""
    key_of = unit.policy.code_key_of
    return {derived(key_of(payment), payment): payment for payment in unit.waiting(consumer_id)}


def derived(code_key: bytes, payment: Payment) -> str:
    """The one live code of *payment*."""
    return derive_code(code_key, payment.id, payment.code_n, payment.code_digits)


def codes_so_far(unit: Unit, payment: Payment | Coded) -> set[str]:
    """Every code that *payment* has had, and those that were passed over."""
    key, digits = unit.policy.code_key_of(payment), payment.code_digits
    return {derive_code(key, payment.id, n, digits) for n in range(payment.code_n + 1)}


def taken_codes(unit: Unit, consumer_id: str, carrier: str, amount: Money) -> set[str]:
    """What a new code of this phone must not equal: codes of two days, amounts in sight, the number that it answers to.

    A reply to a request that is over may still be under way, or be handed over twice; it must not pay another one. Pay
    codes and numbers of items have other shapes.
    """
    taken = {*live_codes(unit, consumer_id), unit.policy.short_codes.get(carrier, "")}
    for coded in unit.records.coded(consumer_id):
        taken |= codes_so_far(unit, coded)
    for known in [amount, *(payment.amount for payment in unit.waiting(consumer_id))]:
        taken |= amount_spellings(known)
    return taken | _former_codes(unit, unit.consumer_by_id(consumer_id))


def _former_codes(unit: Unit, owner: Consumer) -> set[str]:
    """Codes that a former owner of the number was asked for: an answer to one of them may still be under way."""
    if owner.generation == 1 or unit.now_ms - owner.created_at_ms > FORMER_CODES_MS:
        return set()
    former = former_payments(unit.conn, owner.phone, limit=FORMER_CODES_MAX)
    return {code for payment in former for code in codes_so_far(unit, payment)}


def next_code_n(unit: Unit, payment: Payment) -> int:
    """Chosen under the consumer's lock: a code that no payment of this phone has had of late, this one included."""
    taken = taken_codes(unit, payment.consumer_id, payment.carrier, payment.amount)
    key = unit.policy.code_key_of(payment)
    return choose_code(key, payment.id, payment.code_digits, taken, payment.code_n + 1)[1]


@dataclass(slots=True, kw_only=True)
class CreatePayment:
    """`POST /v1/payments`: store the request and ask the phone."""

    merchant_id: str
    shop: str
    mode: str
    msisdn: str
    amount: Money
    description: str
    reference: str | None
    metadata: dict[str, str]
    capture: Capture
    carrier: str
    expires_in_ms: int
    language: str | None
    key: str
    body_hash: str
    code_digits: int = 4
    default_language: str = "en"
    consumer_present: bool = False
    fee_schedule: str | None = None
    goods: str = ""
    """What the merchant sells."""

    action: ClassVar[str] = "ask"
    is_carrier_fact: ClassVar[bool] = False

    def _key(self) -> Key:
        return Key(self.merchant_id, self.mode, "payments", self.key)

    def needs(self) -> Needs:
        reference = () if self.reference is None else ((self.merchant_id, self.mode, self.reference),)
        return Needs(phones=(self._phone(),), keys=(self._key(),), references=reference, spenders=(self._spender(),))

    def _phone(self) -> Phone:
        return Phone(self.msisdn, self.mode)

    def _spender(self) -> Spender:
        return Spender(self.merchant_id, self.mode, self.carrier, self.amount.currency)

    def run(self, unit: Unit) -> Outcome:
        replay = _replay(unit, self._key(), self.body_hash)
        if replay is not None:
            return replay
        if self.reference is not None:
            live = unit.live_reference(self.merchant_id, self.mode, self.reference)
            if live is not None:
                detail = f"reference {self.reference!r} has a live payment already"
                return Problem("reference_in_use", detail, {"payment_id": live})
        request = Request(
            consumer=unit.consumer(self._phone()),
            spender=self._spender(),
            amount=self.amount,
            is_present=self.consumer_present,
            goods=self.goods,
        )
        if is_forbidden(unit, request):
            return Problem("goods_not_allowed", f"what you sell ({self.goods}) cannot be charged at {self.carrier}")
        admission = admit(unit, request)
        if admission.later is not None:
            return _later(admission.later, unit.now_ms)
        is_order = has_ordered(unit, request.consumer, request.spender, self.amount)
        payment = open_request(unit, self._wanted(unit), admission, is_order=is_order)
        return _answer(unit, self._key(), self.body_hash, 201, payment)

    def _wanted(self, unit: Unit) -> "Wanted":
        consumer = unit.consumer(self._phone())
        return Wanted(
            merchant_id=self.merchant_id,
            shop=self.shop,
            consumer=consumer,
            carrier=self.carrier,
            amount=self.amount,
            description=self.description,
            reference=self.reference,
            metadata=self.metadata,
            capture=self.capture,
            language=consumer.language or self.language or self.default_language,
            expires_in_ms=self.expires_in_ms,
            code_digits=self.code_digits,
            fee_schedule=self.fee_schedule,
        )


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request for money from a locked phone, whoever makes it."""

    merchant_id: str
    shop: str
    consumer: Consumer
    carrier: str
    amount: Money
    description: str
    reference: str | None
    metadata: dict[str, str]
    capture: Capture
    language: str
    expires_in_ms: int
    code_digits: int
    fee_schedule: str | None
    order: Order | None = None


def open_request(unit: Unit, wanted: Wanted, admission: Admission, *, is_order: bool) -> Payment:
    """Store the payment and ask its phone; one that is over a limit ends at once.

    *is_order*: the phone's owner began it, and is told so.
    """
    payment, over = _payment(unit, wanted), admission.over
    if admission.is_barred or (over is not None and not over.tells):
        unit.unasked.add(payment.id)
    rules = unit.policy.rules[wanted.carrier]
    # A price with its tax is worded in one way, whoever began.
    ask = "pay_ask" if is_order and not rules.tax_in_ask else rules.asking("ask")
    unit.open(payment, ask if over is None else None)
    if over is not None:
        unit.decide(payment.id, OverLimit(at_ms=unit.now_ms, detail=over.detail, tells=over.tells))
    return unit.current([payment.id])[0]


def _payment(unit: Unit, wanted: Wanted) -> Payment:
    consumer = wanted.consumer
    payment_id, ref = new_payment_names()
    taken = taken_codes(unit, consumer.id, wanted.carrier, wanted.amount)
    _, code_n = choose_code(unit.policy.code_key, payment_id, wanted.code_digits, taken)
    expires_at_ms = _printed_deadline(unit.now_ms, wanted.expires_in_ms)
    return Payment(
        id=payment_id,
        merchant_id=wanted.merchant_id,
        mode=consumer.mode,
        consumer_id=consumer.id,
        carrier=wanted.carrier,
        shop=wanted.shop,
        amount=wanted.amount,
        description=wanted.description,
        reference=wanted.reference,
        metadata=wanted.metadata,
        capture=wanted.capture,
        language=wanted.language,
        ref=ref,
        code_n=code_n,
        code_digits=wanted.code_digits,
        code_key=key_id(unit.policy.code_key),
        state=State.CREATED,
        created_at_ms=unit.now_ms,
        updated_at_ms=unit.now_ms,
        consent_expires_at_ms=expires_at_ms,
        deadline_at_ms=expires_at_ms + unit.policy.rules[wanted.carrier].consent_grace_ms,
        fee_schedule=wanted.fee_schedule,
        order=wanted.order,
    )


def _later(later: Later, now_ms: int) -> Problem:
    wait_s = max(1, -(-(later.until_ms - now_ms) // 1000))
    return Problem(later.code, later.detail, {"retry_after_s": str(wait_s)})


def _printed_deadline(now_ms: int, expires_in_ms: int) -> int:
    """The time in the ask is the enforced one: whole minutes, rounded down, but never less than a minute away."""
    floored = (now_ms + expires_in_ms) // MINUTE_MS * MINUTE_MS
    return floored if floored - now_ms >= MINUTE_MS else floored + MINUTE_MS


@dataclass(slots=True, kw_only=True)
class ChangePayment:
    """What the merchant's other requests have in common."""

    merchant_id: str
    mode: str
    payment_id: str
    key: str | None
    body_hash: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False
    route: ClassVar[str]

    def _key(self) -> Key | None:
        return None if self.key is None else Key(self.merchant_id, self.mode, self.route, self.key)

    def needs(self) -> Needs:
        key = self._key()
        return Needs(payment_ids=(self.payment_id,), keys=() if key is None else (key,))

    def run(self, unit: Unit) -> Outcome:
        key = self._key()
        replay = None if key is None else _replay(unit, key, self.body_hash)
        if replay is not None:
            return replay
        payment = unit.payment(self.payment_id)
        if payment is None or (payment.merchant_id, payment.mode) != (self.merchant_id, self.mode):
            return Problem("not_found", f"no payment {self.payment_id} under this key")
        outcome = self.change(unit, payment)
        if isinstance(outcome, Problem):
            return outcome
        return _answer(unit, key, self.body_hash, outcome, unit.current([payment.id])[0])

    def change(self, unit: Unit, payment: Payment) -> int | Problem:
        """Do it and return the HTTP status, or say why not."""
        decision = unit.decide(payment.id, self.event(unit))
        if decision.ignored is not None and not self.is_done(decision.payment):
            return Problem("invalid_state", self.refusal(payment), {"status": payment.public_state})
        return 202 if decision.payment.operation is not None else 200

    def event(self, unit: Unit) -> Event:
        raise AssertionError("each request names its event")

    def is_done(self, payment: Payment) -> bool:
        """What was asked for holds already."""
        return False

    def refusal(self, payment: Payment) -> str:
        return f"the payment is {payment.public_state}"


@dataclass(slots=True, kw_only=True)
class CapturePayment(ChangePayment):
    """`POST /v1/payments/{id}/capture`: take the money that is held, or charge on the consent that stands."""

    amount_minor: int | None = None

    route: ClassVar[str] = "capture"
    action: ClassVar[str] = "charge"

    def event(self, unit: Unit) -> Event:
        return CaptureRequested(at_ms=unit.now_ms, amount_minor=self.amount_minor)

    def change(self, unit: Unit, payment: Payment) -> int | Problem:
        wrong = self._wrong_amount(unit, payment)
        if wrong is not None:
            return wrong
        outcome = ChangePayment.change(self, unit, payment)
        [moved] = unit.current([payment.id])
        if not isinstance(outcome, Problem) and not self.is_done(moved):
            # The consent had become too old, and this request was the first to notice.
            return Problem("invalid_state", self.refusal(moved), {"status": moved.public_state})
        return outcome

    def _wrong_amount(self, unit: Unit, payment: Payment) -> Problem | None:
        whole_minor = payment.amount.amount_minor
        if self.amount_minor is None or self.amount_minor == whole_minor:
            return None
        if self.amount_minor > whole_minor:
            detail = f"amount: expected at most {whole_minor}, got {self.amount_minor}"
            return Problem("capture_exceeds_payment", detail)
        if payment.state is not State.AUTHORIZED:
            return None  # Just this may be done already; otherwise the state is what is wrong.
        if payment.funds_held and unit.policy.rules[payment.carrier].partial_capture:
            return None
        detail = "amount: only money that is held can be captured in part, and only where the carrier can do it"
        return Problem("partial_capture_not_supported", detail)

    def is_done(self, payment: Payment) -> bool:
        taken_minor = payment.captured_minor if payment.state is State.CAPTURED else payment.ordered_minor
        is_same = taken_minor == (self.amount_minor or payment.amount.amount_minor)
        operation = payment.operation
        # While the money is only being set aside, nobody is told to take any.
        is_charged = operation is not None and operation.kind is OperationKind.CHARGE
        is_taken = is_charged or payment.state in (State.CAPTURING, State.CAPTURED)
        return payment.capture is Capture.MANUAL and is_taken and is_same

    def refusal(self, payment: Payment) -> str:
        if payment.capture is Capture.AUTOMATIC:
            return "only a payment with capture: manual is captured by request"
        return f"the payment is {payment.public_state}; it can be captured while it is authorized"


@dataclass(slots=True, kw_only=True)
class CancelPayment(ChangePayment):
    """`POST /v1/payments/{id}/cancel`: take the request back; while it is being charged, reverse it afterwards."""

    route: ClassVar[str] = "cancel"

    def event(self, unit: Unit) -> Event:
        return CancelRequested(at_ms=unit.now_ms)

    def is_done(self, payment: Payment) -> bool:
        return payment.cancel_requested or payment.reason == "cancelled"


@dataclass(slots=True, kw_only=True)
class FulfilPayment(ChangePayment):
    """`POST /v1/payments/{id}/fulfilment`: record what was delivered."""

    body: dict[str, Any] = field(default_factory=dict)  # Any: JSON as checked by the API.

    route: ClassVar[str] = "fulfilment"

    def event(self, unit: Unit) -> Event:
        return Fulfilled(at_ms=unit.now_ms)

    def change(self, unit: Unit, payment: Payment) -> int | Problem:
        if payment.fulfilled_at_ms is not None:
            return Problem("already_fulfilled", "the fulfilment of this payment is recorded already")
        outcome = ChangePayment.change(self, unit, payment)
        if not isinstance(outcome, Problem):
            body = msgspec.json.encode(self.body).decode()
            unit.put(tables.fulfilment, {"payment_id": payment.id, "body": body, "at_ms": unit.now_ms})
        return outcome

    def refusal(self, payment: Payment) -> str:
        return f"the payment is {payment.public_state}; only a succeeded payment is fulfilled"


@dataclass(slots=True, kw_only=True)
class AnnotatePayment(ChangePayment):
    """`POST /v1/payments/{id}`: merge metadata, in any state of the payment."""

    changes: dict[str, str | None] = field(default_factory=dict)
    """None takes the key away."""

    route: ClassVar[str] = "metadata"

    def change(self, unit: Unit, payment: Payment) -> int | Problem:
        merged = {**payment.metadata, **self.changes}
        kept = {name: value for name, value in merged.items() if value is not None}
        if len(kept) > METADATA_KEYS_MAX:
            detail = f"metadata: expected at most {METADATA_KEYS_MAX} keys, together they would be {len(kept)}"
            return Problem("invalid_request", detail)
        unit.annotate(payment.id, kept)
        return 200
