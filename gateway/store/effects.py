"""What a decision's effects become: rows of the outbox, the feed, the ledger, consents, attempts and breaks.

Renders no text and derives no code: an outbox row for a text carries the template's key and what is needed to fill it,
so that neither codes nor numbers lie in the outbox.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.core import ledger
from gateway.core.ask_templates import PUSHED
from gateway.core.caps import NO_TERMS, quiet_until_ms
from gateway.core.ids import ID_BYTES, encode_id, receipt_ref
from gateway.core.logins import CODE_LIVES_MS, Login
from gateway.core.money import Money
from gateway.core.msisdn import mask
from gateway.core.payment import (
    Charge,
    Charged,
    CheckSim,
    Effect,
    EndHold,
    Event,
    EventType,
    Held,
    HoldEnded,
    Inquire,
    MoneyFact,
    Notify,
    OpenBreak,
    Operation,
    OperationKind,
    Payment,
    Post,
    RecordConsent,
    RefundAll,
    RemindOnce,
    Reserve,
    Reverse,
    Reversed,
    SendAsk,
    SendText,
    WithdrawDispute,
)
from gateway.core.public import PublicPayment, public_payment
from gateway.core.pushes import push_id
from gateway.store import tables
from gateway.store.bars import is_barred
from gateway.store.fees import fees_for
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow

if TYPE_CHECKING:
    from gateway.store.unit import Unit


class FeedEvent(msgspec.Struct, kw_only=True):
    """An event before it has its place in the feed."""

    id: str
    merchant_id: str
    mode: str
    type: EventType
    payment_id: str | None
    consumer_id: str | None
    """Whose number the body has; it is stored without."""
    data: msgspec.Raw


def ask_message_id(payment: Payment) -> str:
    """The id of the ask that carries the payment's present code; a re-send has the same."""
    return _ask_id(payment.id, payment.code_n)


def _ask_id(payment_id: str, code_n: int) -> str:
    return f"msg_{payment_id.removeprefix('pay_')}-{code_n}"


def second_send(message_id: str) -> str:
    """The outbox row that sends a text once more, after nobody knew whether it was taken."""
    return message_id + ".2"


def reminder_id(payment: Payment) -> str:
    """The outbox row that repeats the payment's first ask once; there is no second."""
    return f"msg_{payment.id.removeprefix('pay_')}-r"


SENDS_MAX: Final = 2
"""How often a text is sent whose submit had no answer."""
REMINDER_LATE_MAX_MS: Final = 60_000
"""A reminder that could not leave until so long after its time is left out."""
_ENTRY_COLUMNS: Final = ("source_type", "source_id", "kind", "mode", "currency", "payment_id")


_YES: Final[Mapping[OperationKind, type[MoneyFact]]] = {
    OperationKind.CHARGE: Charged,
    OperationKind.RESERVE: Held,
    OperationKind.CAPTURE: Charged,
    OperationKind.RELEASE: HoldEnded,
    OperationKind.REVERSE: Reversed,
}


def _is_yes(operation: Operation, event: Event) -> bool:
    """Whether *event* says that *operation* was carried out."""
    if not isinstance(event, _YES[operation.kind]):
        return False
    # What became of a hold is told under the reservation's id.
    is_about_hold = operation.kind in (OperationKind.CAPTURE, OperationKind.RELEASE)
    return event.attempt_id == (operation.charge_attempt_id if is_about_hold else operation.attempt_id)


def _reference_of(payment: Payment, attempt_id: str) -> str | None:
    """What the carrier calls that order, if it has told."""
    operation = payment.operation
    if operation is not None and operation.attempt_id == attempt_id:
        return operation.reference
    return payment.carrier_reference if payment.attempt_id == attempt_id else None


def _amount_of(payment: Payment, attempt_id: str) -> int:
    operation = payment.operation
    is_running = operation is not None and operation.attempt_id == attempt_id
    return payment.ordered_minor if is_running else payment.amount.amount_minor


class Effects:
    """Carries out effects within one unit."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self.events: list[FeedEvent] = []
        self._actions: Final[dict[type[Effect], Callable[[Payment, Any], None]]] = {  # Any: paired by type.
            Notify: self._notify,
            SendAsk: self._send_ask,
            SendText: self._send_text,
            RemindOnce: self._remind_once,
            Charge: self._charge,
            Reserve: self._charge,
            EndHold: self._end_hold,
            RefundAll: self._refund_all,
            WithdrawDispute: self._withdraw_dispute,
            Inquire: self._inquire,
            Reverse: self._reverse,
            CheckSim: self._check_sim,
            RecordConsent: self._record_consent,
            Post: self._post,
            OpenBreak: self._open_break,
        }

    def carry_out(self, payment: Payment, effect: Effect) -> None:
        self._actions[type(effect)](payment, effect)

    def record_transition(self, before: Payment, after: Payment, event: Event) -> None:
        """One row a version, and what the event means for the attempts."""
        self._unit.put(
            tables.transition,
            {
                "payment_id": after.id,
                "version": after.version,
                "from_state": before.state,
                "to_state": after.state,
                "event": type(event).__name__,
                "detail": getattr(event, "detail", "") or (after.reason or ""),
                "at_ms": event.at_ms,
            },
        )
        self._record_attempts(before, after, event)
        if before.is_waiting and (not after.is_waiting or after.code_n != before.code_n):
            # An ask that is to be sent later, or once more, would ask for what is over; one under way ends by itself.
            ask = ask_message_id(before)
            self._unit.complete(ask)
            self._unit.complete(second_send(ask))
            if after.carrier in self._unit.policy.pushing:
                self._unit.complete(push_id(ask))
            if self._unit.policy.rules[before.carrier].reminder_from_ms:
                self._unit.complete(reminder_id(before))

    def _record_attempts(self, before: Payment, after: Payment, event: Event) -> None:
        old, new = before.operation, after.operation
        ended = old if new is None or old is None or new.attempt_id != old.attempt_id else None
        is_carried_out = old is not None and _is_yes(old, event)
        if ended is not None:
            status = "succeeded" if is_carried_out else "failed"
            self._unit.attempts.end(after.carrier, ended.attempt_id, status, event, ended.reference)
        if isinstance(event, Charged) and after.reversed_attempt_id == event.attempt_id and not is_carried_out:
            known = before.carrier_reference if before.attempt_id == event.attempt_id else None
            self._unit.attempts.end(after.carrier, event.attempt_id, "late", event, known)
        elif ended is None:
            self._name_attempt(before, after)
        if new is not None and (old is None or new.attempt_id != old.attempt_id):
            self._unit.attempts.begin(
                {
                    "id": new.attempt_id,
                    "payment_id": after.id,
                    "kind": new.kind,
                    "charge_attempt_id": new.charge_attempt_id,
                    "amount_minor": after.ordered_minor,
                    "currency": after.amount.currency,
                    "status": "running",
                    "carrier_reference": None,
                    "detail": "",
                    "created_at_ms": event.at_ms,
                    "ended_at_ms": None,
                }
            )

    def _name_attempt(self, before: Payment, after: Payment) -> None:
        """What was learned of an order that runs, or of the last one."""
        attempt_id = after.attempt_id if after.operation is None else after.operation.attempt_id
        if attempt_id is None:
            return
        known, told = _reference_of(before, attempt_id), _reference_of(after, attempt_id)
        if told is not None and told != known:
            self._unit.attempts.name(after.carrier, attempt_id, told)

    def _notify(self, payment: Payment, effect: Notify) -> None:
        msisdn = self._unit.consumer_by_id(payment.consumer_id).msisdn
        if payment.order is not None and effect.type is EventType.PAYMENT_CREATED:
            # As with `order.requested`: the shop must know whom to deliver to, and its customer came to it.
            body, consumer_id = public_payment(payment, msisdn), payment.consumer_id
        else:
            body, consumer_id = public_payment(payment, mask(msisdn)), None
        self.notify(payment.merchant_id, payment.mode, effect.type, payment.id, body, consumer_id=consumer_id)

    def notify(
        self,
        merchant_id: str,
        mode: str,
        kind: EventType,
        payment_id: str | None,
        body: PublicPayment | dict[str, Any],
        *,
        consumer_id: str | None = None,
    ) -> None:
        """Append an event to the merchant's feed; it gets its `seq` as the last thing before the commit.

        *consumer_id*: whose number the body has in full; it is stored without.
        """
        data = msgspec.Raw(msgspec.json.encode(body))
        self.events.append(
            FeedEvent(
                id=new_id("evt_"),
                merchant_id=merchant_id,
                mode=mode,
                type=kind,
                payment_id=payment_id,
                consumer_id=consumer_id,
                data=data,
            )
        )

    def _send_ask(self, payment: Payment, effect: SendAsk) -> None:
        body = self._ask(payment, effect.template)
        ask_id, stopped = ask_message_id(payment), body["stopped"]
        # What a phone buys by itself is an answer to its text, or its screen is open still.
        is_pushed = effect.template in PUSHED and payment.order is None and not stopped
        if is_pushed and payment.carrier in self._unit.policy.pushing:
            self._queue_text(push_id(ask_id), payment.carrier, payment.consumer_id, payment.id, body, kind="ussd")
        else:
            self._queue_text(ask_id, payment.carrier, payment.consumer_id, payment.id, body)

    def _ask(self, payment: Payment, template: str) -> dict[str, Any]:
        consumer = self._unit.consumer_by_id(payment.consumer_id)
        stopped = payment.id in self._unit.unasked or is_barred(self._unit, consumer, payment.merchant_id)
        about = self._about(payment, template, supersedes=True)
        return about | {"is_ask": True, "stopped": stopped, "merchant_id": payment.merchant_id}

    def ask_by_text(self, payment: Payment) -> None:
        """Queue the text of an ask that went as a screen, after which none was to follow."""
        body = self._ask(payment, self._unit.policy.rules[payment.carrier].asking("ask"))
        self._queue_text(ask_message_id(payment), payment.carrier, payment.consumer_id, payment.id, body)

    def _send_text(self, payment: Payment, effect: SendText) -> None:
        # A word about a wrong code ends nothing: the ask itself may still wait to be sent.
        supersedes = effect.template not in ("wrong_code", "wrong_code_pin")
        amount = None if effect.amount_minor is None else Money(effect.amount_minor, payment.amount.currency)
        self.text_about(payment, effect.template, supersedes=supersedes, amount=amount, until_ms=effect.until_ms)

    def _remind_once(self, payment: Payment, effect: RemindOnce) -> None:
        terms = self._unit.policy.terms.get(payment.carrier, NO_TERMS)
        until_ms = effect.at_ms + REMINDER_LATE_MAX_MS
        if any(quiet_until_ms(terms.caps, at_ms, terms.zone) for at_ms in (effect.at_ms, until_ms)):
            return
        # Sent once, whatever comes of it; the executor looks again whether the payment waits.
        template = self._unit.policy.rules[payment.carrier].asking("reminder")
        body = self._about(payment, template) | {"sends": SENDS_MAX, "reminds_until_ms": until_ms}
        self._queue_text(
            reminder_id(payment), payment.carrier, payment.consumer_id, payment.id, body, due_at_ms=effect.at_ms
        )

    def text_about(
        self,
        payment: Payment,
        template: str,
        *,
        supersedes: bool = False,
        amount: Money | None = None,
        until_ms: int | None = None,
        language: str = "",
    ) -> None:
        """Queue a text about *payment*; one that supersedes takes the place of unsent older ones about it.

        *amount*: what it is about, if that is neither what was taken or ordered nor the price. *until_ms*: the time in
        it, if that is neither the payment's end nor now. *language*: another than that of the ask.
        """
        body = self._about(payment, template, supersedes=supersedes)
        if amount is not None:
            body["amount_minor"] = amount.amount_minor
        if until_ms is not None:
            body["until_ms"] = until_ms
        if language:
            body["language"] = language
        self._queue_text(new_id("msg_"), payment.carrier, payment.consumer_id, payment.id, body)

    def text_about_two(self, first: Payment, second: Payment, template: str) -> None:
        """A text that names two payments, with their codes."""
        body = self._about(first, template, supersedes=False) | {"second": self._about(second, template)}
        self._queue_text(new_id("msg_"), first.carrier, first.consumer_id, None, body)

    def _about(self, payment: Payment, template: str, *, supersedes: bool = False) -> dict[str, Any]:
        return {
            "template": template,
            "is_ask": False,
            "supersedes": supersedes,
            "language": payment.language,
            "carrier": payment.carrier,
            "payment_id": payment.id,
            "shop": payment.shop,
            "amount_minor": payment.captured_minor or payment.ordered_minor,
            "currency": payment.amount.currency,
            "description": payment.description,
            "ref": payment.ref,
            "code_n": payment.code_n,
            "code_digits": payment.code_digits,
            "code_key": payment.code_key,
            "wrong_codes": payment.wrong_codes,
            "expires_at_ms": payment.consent_expires_at_ms,
            "ended_at_ms": payment.ended_at_ms,
            "at_ms": self._unit.now_ms,
        }

    def send_text(
        self,
        consumer_id: str,
        carrier: str,
        template: str,
        language: str,
        fields: dict[str, str],
        *,
        ends_asks: bool = False,
        ends_asks_of: str = "",
        ends_texts: bool = False,
        is_mute: bool = False,
        until_ms: int | None = None,
        login: Login | None = None,
    ) -> None:
        """A text that is about no single payment; *fields* fill the template, and *until_ms* its `time`.

        *ends_asks*: no older ask may leave, or none of the merchant *ends_asks_of*; *ends_texts*: no older text at all.
        *is_mute*: that is all it does.
        *login*: whose code the text brings. It is derived when the text leaves, and a text that is late brings none.
        """
        body: dict[str, Any] = {
            "template": template,
            "is_ask": False,
            "supersedes": False,
            "language": language,
            "carrier": carrier,
            "fields": fields,
            "ends_asks": ends_asks,
            "ends_asks_of": ends_asks_of,
            "ends_texts": ends_texts,
            "is_mute": is_mute,
            "until_ms": until_ms,
            "at_ms": self._unit.now_ms,
        }
        if login is not None:
            body |= {"login_id": login.id, "code_key": login.code_key, "valid_until_ms": login.at_ms + CODE_LIVES_MS}
        self._queue_text(new_id("msg_"), carrier, consumer_id, None, body)

    def _queue_text(
        self,
        message_id: str,
        carrier: str,
        consumer_id: str,
        payment_id: str | None,
        body: dict[str, Any],
        *,
        kind: str = "sms",
        due_at_ms: int | None = None,
    ) -> None:
        unit = self._unit
        consumer = unit.consumer_by_id(consumer_id)
        is_silent = bool(
            body["is_ask"] or body.get("is_mute")
        )  # An ask that must not leave ends its payment by itself.
        if consumer.retired_at_ms is not None and not is_silent:
            return  # The number has another owner, whom it does not concern.
        unit.queue(
            OutboxRow(
                id=message_id,
                lane=unit.policy.lanes.sms_lane(carrier, consumer_id),
                kind=kind,
                group_key=consumer_id,
                payment_id=payment_id,
                consumer_id=consumer_id,
                body=body,
                due_at_ms=unit.now_ms if due_at_ms is None else due_at_ms,
                created_at_ms=unit.now_ms,
                msisdn=consumer.msisdn,
            )
        )

    def _charge(self, payment: Payment, effect: Charge | Reserve) -> None:
        kind = OperationKind.CHARGE if isinstance(effect, Charge) else OperationKind.RESERVE
        self._order(payment, kind, effect.attempt_id, effect.attempt_id, effect.delay_ms)

    def _end_hold(self, payment: Payment, effect: EndHold) -> None:
        operation = payment.operation
        assert operation is not None
        self._order(
            payment,
            effect.kind,
            effect.attempt_id,
            operation.charge_attempt_id,
            effect.delay_ms,
            carrier_reference=operation.carrier_reference,
        )

    def _refund_all(self, payment: Payment, effect: RefundAll) -> None:
        left_minor = payment.refundable_minor
        if left_minor:
            self._unit.refunds.open(new_id("ref_"), payment, left_minor, reason=effect.reason)

    def _withdraw_dispute(self, payment: Payment, effect: WithdrawDispute) -> None:
        self._unit.disputes.withdraw(payment)

    def _reverse(self, payment: Payment, effect: Reverse) -> None:
        self._order(
            payment,
            "reverse",
            effect.attempt_id,
            effect.charge_attempt_id,
            effect.delay_ms,
            carrier_reference=effect.carrier_reference,
        )

    def _inquire(self, payment: Payment, effect: Inquire) -> None:
        operation = payment.operation
        if operation is None or effect.attempt_id != operation.attempt_id:
            self.inquire_aside(payment, effect.attempt_id, effect.attempt_id, effect.kind, delay_ms=effect.delay_ms)
            return
        self._order(
            payment,
            "inquire",
            effect.attempt_id,
            operation.charge_attempt_id,
            effect.delay_ms,
            of=effect.kind,
            carrier_reference=operation.carrier_reference,
        )

    def _order(
        self,
        payment: Payment,
        kind: str,
        attempt_id: str,
        charge_attempt_id: str,
        delay_ms: int,
        of: str | None = None,
        asked: int | None = None,
        carrier_reference: str | None = None,
        reference: str | None = None,
    ) -> None:
        unit = self._unit
        body: dict[str, Any] = {
            "attempt_id": attempt_id,
            "charge_attempt_id": charge_attempt_id,
            "of": of or kind,
            "carrier": payment.carrier,
            "carrier_reference": carrier_reference,
            "reference": reference or _reference_of(payment, attempt_id),
            "amount_minor": _amount_of(payment, attempt_id),
            "whole_minor": payment.amount.amount_minor,
            "currency": payment.amount.currency,
            "description": payment.description,
            "ref": payment.ref,
            "charge_not_after_ms": payment.charge_not_after_ms,
        }
        if asked is not None:
            body["asked"] = asked
        unit.queue(
            OutboxRow(
                id=new_id("obx_"),
                lane=unit.policy.lanes.charge_lane(payment.carrier, payment.id),
                kind=kind,
                group_key=payment.id,
                payment_id=payment.id,
                consumer_id=payment.consumer_id,
                body=body,
                due_at_ms=unit.now_ms + delay_ms,
                created_at_ms=unit.now_ms,
                msisdn=unit.consumer_by_id(payment.consumer_id).msisdn,
            )
        )

    def order_refund(
        self,
        payment: Payment,
        refund_id: str,
        kind: str,
        delay_ms: int,
        *,
        asked: int | None = None,
        reference: str | None = None,
    ) -> None:
        """Give back the amount that *payment* names here, or (*kind* `inquire`) ask what became of that order."""
        assert payment.attempt_id is not None
        self._order(
            payment,
            kind,
            refund_id,
            payment.attempt_id,
            delay_ms,
            of="refund",
            asked=asked,
            carrier_reference=payment.carrier_reference,
            reference=reference,
        )

    def inquire_aside(
        self,
        payment: Payment,
        attempt_id: str,
        charge_attempt_id: str,
        of: OperationKind,
        *,
        asked: int = 0,
        delay_ms: int = 0,
    ) -> None:
        """Ask the carrier beside the payment's own inquiries, *asked* times before, in any state."""
        about_hold = of in (OperationKind.CAPTURE, OperationKind.RELEASE)
        reference = payment.carrier_reference if about_hold else None
        self._order(
            payment,
            "inquire",
            attempt_id,
            charge_attempt_id,
            delay_ms,
            of=of,
            asked=asked,
            carrier_reference=reference,
        )

    def _check_sim(self, payment: Payment, effect: CheckSim) -> None:
        body = {"attempt_id": effect.attempt_id, "answer_by_ms": effect.answer_by_ms}
        self.ask_about_sim("sim", payment.carrier, payment.consumer_id, body, payment_id=payment.id)

    def ask_about_sim(
        self,
        kind: str,
        carrier: str,
        consumer_id: str,
        body: dict[str, Any],  # Any: JSON; whoever takes the answer to this *kind* knows it.
        *,
        payment_id: str | None = None,
    ) -> None:
        """Ask *carrier* how old the SIM of this phone is."""
        unit = self._unit
        unit.queue(
            OutboxRow(
                id=new_id("obx_"),
                lane=unit.policy.lanes.sim_lane(carrier),
                kind=kind,
                group_key=payment_id or consumer_id,
                payment_id=payment_id,
                consumer_id=consumer_id,
                body={"carrier": carrier, **body},
                due_at_ms=unit.now_ms,
                created_at_ms=unit.now_ms,
                msisdn=unit.consumer_by_id(consumer_id).msisdn,
            )
        )

    def _record_consent(self, payment: Payment, effect: RecordConsent) -> None:
        self._unit.put(
            tables.consent,
            {
                "attempt_id": effect.attempt_id,
                "payment_id": payment.id,
                "consumer_id": payment.consumer_id,
                "merchant_id": payment.merchant_id,
                "amount_minor": payment.amount.amount_minor,
                "currency": payment.amount.currency,
                "channel": effect.channel,
                "template": effect.template,
                "mo_id": effect.mo_id,
                "ask_message_id": _ask_id(payment.id, effect.code_n),
                "reply": effect.reply,
                "read_at_ms": effect.read_at_ms,
                "at_ms": self._unit.now_ms,
                "follows": effect.follows,
            },
        )

    def _post(self, payment: Payment, effect: Post) -> None:
        fees = fees_for(self._unit, payment, effect.kind, effect.amount_minor)
        self.post(ledger.payment_entry(payment, effect.kind, effect.source_id, effect.amount_minor, fees=fees))

    def post(self, posting: ledger.Entry) -> None:
        """Write a ledger entry."""
        entry_id = new_id("ent_")
        columns = {name: getattr(posting, name) for name in _ENTRY_COLUMNS}
        self._unit.put(tables.entry, {"id": entry_id, **columns, "at_ms": self._unit.now_ms})
        for n, leg in enumerate(posting.legs):
            self._unit.put(
                tables.leg,
                {"entry_id": entry_id, "n": n, "account": leg.account, "amount_minor": leg.amount_minor},
            )

    def _open_break(self, payment: Payment, effect: OpenBreak) -> None:
        self.open_break(effect.kind, payment.id, effect.detail, at_risk=payment.amount)

    def open_break(
        self,
        kind: str,
        payment_id: str | None,
        detail: str,
        *,
        at_risk: Money | None = None,
        carrier_file_id: str | None = None,
    ) -> None:
        """A contradiction that a person must look at; the same one told again is the same break.

        *at_risk*: how much money it is about; None: nobody can say.
        """
        self._unit.put(
            tables.open_break,
            {
                "id": break_id(kind, payment_id, detail),
                "kind": kind,
                "payment_id": payment_id,
                "detail": detail,
                "at_ms": self._unit.now_ms,
                "resolved_at_ms": None,
                "amount_minor": None if at_risk is None else at_risk.amount_minor,
                "currency": "" if at_risk is None else at_risk.currency,
                "carrier_file_id": carrier_file_id,
            },
        )


def break_id(kind: str, payment_id: str | None, detail: str) -> str:
    """The id of the break that says this, whenever it is opened."""
    said = hashlib.blake2s(f"{kind}/{payment_id}/{detail}".encode(), digest_size=ID_BYTES).digest()
    return encode_id("brk_", said)


def new_payment_names() -> tuple[str, str]:
    """A new payment's id and the short ref by which its consumer finds it."""
    payment_id = new_id("pay_")
    return payment_id, receipt_ref(payment_id)
