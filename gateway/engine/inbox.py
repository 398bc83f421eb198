"""What phones say: one text in, matched to a payment or a keyword inside the batch that commits it.

Matching happens under the consumer's lock, so that a reply, a STOP and a new request cannot overtake each other. A
reply counts only on the carrier that carried the ask. A text is answered once, as long as the phone has not had its
share of answers; one that we do not understand at most once a minute and five times a day.

What a keyword does is not known here: `gateway.consumer` hands in a handler for each.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from msgspec.structs import replace
from sqlalchemy import func, select

from carriers import base
from gateway.core import pins
from gateway.core.asks import FALLBACK_LANGUAGE
from gateway.core.caps import NO_TERMS
from gateway.core.decide import present_ask
from gateway.core.keywords import Help, PayCode, Stop
from gateway.core.pay_codes import is_well_formed
from gateway.core.payment import AGREED_STATES, Payment, ReplyConfirmed, ReplyRefused, State, WrongCodeReplied
from gateway.core.reply import Meaning, Reply, read_reply
from gateway.core.sim_swap import how_to_pay
from gateway.engine import wrong_codes
from gateway.engine.admission import over_at_consent
from gateway.engine.loop_guard import may_answer
from gateway.engine.merchant_jobs import codes_so_far, live_codes
from gateway.engine.second_consent import is_earlier_code, step_of
from gateway.engine.traces import keep_trace_of_payment
from gateway.store import tables
from gateway.store.bars import is_locked
from gateway.store.bulk import without_nul
from gateway.store.effects import Effects, ask_message_id
from gateway.store.identity import new_id
from gateway.store.load import ask_template
from gateway.store.queries import consumer_payments
from gateway.store.unit import Consumer, Needs, Phone, Unit

UNCLEAR_GAP_MS = 60_000
UNCLEAR_DAY_MS = 24 * 3600 * 1000
UNCLEAR_PER_DAY = 5
# A code that came late or twice is looked for among this many of the phone's newest payments.
RECENT_PAYMENTS = 10
# An SMSC that got no answer hands over a text once more within this time; SMPP gives it no id.
SAME_TEXT_MS = 120_000
# A «no» that finds nothing waiting is about the newest payment for this long.
STILL_ABOUT_MS = 3600 * 1000

KeywordHandler = Callable[["Inbound"], None]


@dataclass(slots=True, frozen=True)
class Inbound:
    """One text with all that a handler needs to act on it."""

    unit: Unit
    consumer: Consumer
    mo: base.Mo
    mo_id: str
    reply: Reply
    waiting: list[Payment]
    language: str
    may_hold_pin: bool
    """The phone has a PIN, and digits stood in the text that can be it. Should they be, `mo` holds them no longer."""

    @property
    def effects(self) -> Effects:
        return self.unit.effects

    def answer(self, template: str, **fields: str) -> bool:
        """Queue one text back to the phone; False if it has had its share of answers."""
        if not self.may_answer():
            return False
        self.send(template, **fields)
        return True

    def send(self, template: str, **fields: str) -> None:
        """Queue one text back to a phone that `may_answer` counted it for."""
        if self.may_hold_pin and pins.is_pin(fields.get("ref", "")):
            fields["ref"] = pins.HIDDEN  # No ref is all digits: it is not said again, be it the PIN or not.
        self.effects.send_text(self.consumer.id, self.mo.carrier, template, self.language, fields)

    def tell_locked(self) -> None:
        """Queue the text that says until when a locked phone takes no codes; `may_answer` has counted it."""
        wrong_codes.tell_locked(self.unit, self.consumer, carrier=self.mo.carrier, language=self.language)

    def may_answer(self, *, beyond: int = 0) -> bool:
        """Whether the phone may have one more answer, *beyond* its share if need be; it is counted.

        None to a STOP or HELP that the channel took for one: after the one it carries nothing, the other it answered.
        """
        if self.mo.taken_as in ("stop", "help") and self.mo.taken_as == self.reply.meaning.value:
            return False
        self.unit.touch(self.consumer)
        return may_answer(self.consumer, self.unit.now_ms, beyond=beyond)


@dataclass(slots=True)
class MoReceived:
    """A text from a phone. Acknowledged to the carrier only after this job's commit."""

    mo: base.Mo
    keywords: Mapping[Meaning, KeywordHandler]
    mode: str
    """The carrier's: whose phone it was, a simulated or a real one."""
    default_language: str = FALLBACK_LANGUAGE
    languages: Collection[str] | None = None
    """What the carrier may speak; None: whatever we have."""

    action: ClassVar[str] = "reply"
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return Needs(phones=(self._phone(),))

    def _phone(self) -> Phone:
        return Phone(self.mo.msisdn, self.mode)

    def run(self, unit: Unit) -> None:
        if self.mo.provider_id is not None and _is_known(unit, self.mo):
            return
        consumer = unit.consumer(self._phone())
        codes = {
            code: payment
            for code, payment in live_codes(unit, consumer.id).items()
            if payment.carrier == self.mo.carrier
        }
        waiting = list(codes.values())
        reply = _read(self.mo, codes)
        language = self._spoken(consumer.language or self._language(unit, consumer.id, waiting))
        kept, may_hold_pin = _without_pin(unit, consumer, self.mo, codes)
        inbound = Inbound(unit, consumer, kept, new_id("mo_"), reply, waiting, language, may_hold_pin)
        payment = _act(inbound, codes, self.keywords)
        _store(inbound, payment)
        keep_trace_of_payment(unit, self.mo.trace, None if payment is None else payment.id)

    def _language(self, unit: Unit, consumer_id: str, waiting: list[Payment]) -> str:
        """Of a phone that has chosen none: the language in which it was asked last."""
        asked = waiting or consumer_payments(unit.conn, consumer_id, limit=1)
        return asked[-1].language if asked else self.default_language

    def _spoken(self, language: str) -> str:
        return language if self.languages is None or language in self.languages else FALLBACK_LANGUAGE


def _read(mo: base.Mo, codes: Collection[str]) -> Reply:
    """What the text means. A channel that took it for a STOP sends this phone no text of ours: that stops all, whatever
    the words. That it took it for a START lifts only its own stop; ours is lifted by our words, and `YES` is none.
    """
    if mo.taken_as == "stop":
        return Reply(Meaning.STOP, command=Stop())
    reply = read_reply(mo.text, list(codes))
    if mo.taken_as == "help" and reply.meaning is Meaning.UNCLEAR:
        return Reply(Meaning.HELP, command=Help())
    return reply


def _without_pin(unit: Unit, consumer: Consumer, mo: base.Mo, codes: Collection[str]) -> tuple[base.Mo, bool]:
    """*mo* as it may be kept, and whether somebody may have texted the phone's PIN. Only live codes are surely none.

    Whether it was the PIN shows in nothing that the phone gets or that is counted: a text is no way to try PINs.
    """
    if not pins.may_be_in(mo.text, codes):
        return mo, False
    pin = pins.present(unit.ussd.pin(consumer.id), unit.policy.pin_keys, unit.now_ms)
    if pin is None:
        return mo, False
    return replace(mo, text=pins.hidden(mo.text, pin, unit.policy.pin_keys, codes)), True


def _is_known(unit: Unit, mo: base.Mo) -> bool:
    # The channel may hand over twins so fast that both are in this batch.
    if any((row["carrier"], row["provider_id"]) == (mo.carrier, mo.provider_id) for row in unit.fresh(tables.mo)):
        return True
    columns = tables.mo.c
    same = (columns.carrier == mo.carrier) & (columns.provider_id == mo.provider_id)
    return unit.conn.execute(select(columns.id).where(same)).first() is not None


def _act(inbound: Inbound, codes: dict[str, Payment], keywords: Mapping[Meaning, KeywordHandler]) -> Payment | None:
    """Do what the text means; return the payment that it was about."""
    reply = inbound.reply
    if isinstance(reply.command, PayCode) and (old := _old_code(inbound, reply.command)) is not None:
        return old
    handler = keywords.get(reply.meaning)
    if handler is not None:
        handler(inbound)
        return None
    if reply.meaning is Meaning.CONFIRM and reply.code is not None:
        if is_locked(inbound.unit, inbound.consumer):
            _still_locked(inbound)
            return None
        return _confirm(inbound, codes[reply.code])
    if reply.meaning is Meaning.REFUSE:
        return _refuse(inbound) or _refused_late(inbound)
    if reply.meaning is Meaning.WRONG_CODE and reply.code is not None:
        return _wrong_code(inbound, reply.code)
    not_understood(inbound)
    return None


def _old_code(inbound: Inbound, command: PayCode) -> Payment | None:
    """The payment that `PAY 482193` is about though it waits no longer; nothing that has a pay code's shape is one."""
    return None if is_well_formed(command.code) or command.amount_text else _answer_late(inbound, command.code)


def _confirm(inbound: Inbound, payment: Payment) -> Payment:
    unit = inbound.unit
    if payment.needs_pin:
        if _may_answer(inbound):
            unit.effects.text_about(payment, unit.policy.rules[payment.carrier].asking("sim_pin"))
        return payment
    over = over_at_consent(unit, inbound.consumer, payment)
    if over is not None:
        unit.decide(payment.id, over)
        return payment
    step = step_of(unit, payment)
    event = ReplyConfirmed(
        at_ms=unit.now_ms,
        read_at_ms=min(inbound.mo.read_at_ms, unit.now_ms),
        mo_id=inbound.mo_id,
        reply=inbound.mo.text,
        template=_ask_template(inbound, payment),
        next_attempt_id=new_id("att_"),
        next_code_n=step.next_code_n,
        knows_shop=step.knows_shop,
    )
    unit.decide(payment.id, event)
    return payment


def _ask_template(inbound: Inbound, payment: Payment) -> str:
    """By which words the phone was asked, if they may be other than usual: only whose owner began it is asked so."""
    is_ordered = payment.order is not None or inbound.consumer.ordered_at_ms is not None
    if payment.attempt_id is not None or not is_ordered:
        return ""
    return ask_template(inbound.unit.conn, ask_message_id(payment)) or ""


def _refuse(inbound: Inbound) -> Payment | None:
    """End what waits, and what was confirmed and is not charged yet; return one of them."""
    unit = inbound.unit
    refused = [*inbound.waiting, *_agreed(inbound)]
    for payment in refused:
        unit.decide(payment.id, ReplyRefused(at_ms=unit.now_ms, mo_id=inbound.mo_id))
    return refused[0] if refused else None


def _agreed(inbound: Inbound) -> list[Payment]:
    found = consumer_payments(inbound.unit.conn, inbound.consumer.id, limit=RECENT_PAYMENTS)
    loaded = [inbound.unit.payment(payment.id) for payment in found if payment.carrier == inbound.mo.carrier]
    return [one for one in loaded if one is not None and one.state in AGREED_STATES and not one.is_in_doubt]


def _refused_late(inbound: Inbound) -> Payment | None:
    """A no to what is over or under way. It must not hear that nothing was charged if that is not so."""
    payment = _newest(inbound)
    if payment is None or payment.state is State.ENDED:
        not_understood(inbound)
        return None
    template = _late_template(payment)
    if template is not None and _may_answer(inbound):
        inbound.effects.text_about(payment, template)
    return payment


def _newest(inbound: Inbound) -> Payment | None:
    """The payment that a text of this phone is most likely about when none waits."""
    unit = inbound.unit
    for payment in consumer_payments(unit.conn, inbound.consumer.id, limit=1):
        current = unit.payment(payment.id)
        if current is not None and current.carrier == inbound.mo.carrier:
            return current if unit.now_ms - current.updated_at_ms < STILL_ABOUT_MS else None
    return None


def _wrong_code(inbound: Inbound, code: str) -> Payment | None:
    """A code that is not live: of a payment that is over or under way, or simply wrong."""
    unit = inbound.unit
    late = _answer_late(inbound, code)
    if late is not None:
        return late
    said_at_ms = _said_at_ms(inbound)
    for payment in inbound.waiting:
        if is_earlier_code(unit, payment, code):
            if said_at_ms is None and _may_answer(inbound):
                rules = unit.policy.rules[payment.carrier]
                unit.effects.text_about(payment, rules.asking(how_to_pay(payment, present_ask(payment, rules))))
            return payment
    if inbound.waiting:
        if is_locked(unit, inbound.consumer):
            _still_locked(inbound)
            return None
        if said_at_ms is not None and all(_was_tried(payment, said_at_ms) for payment in inbound.waiting):
            return inbound.waiting[-1]
        terms = unit.policy.terms.get(inbound.mo.carrier, NO_TERMS)
        if wrong_codes.is_one_too_many(unit, inbound.consumer, terms.caps):
            return _lock(inbound)
        # A guess is tried against all that wait, so it is counted on all; one text tells it, about the newest.
        newest = next((one for one in reversed(inbound.waiting) if not one.needs_pin), inbound.waiting[-1])
        for payment in inbound.waiting:
            told = payment is newest
            wrong = WrongCodeReplied(
                at_ms=unit.now_ms, mo_id=inbound.mo_id, may_be_pin=inbound.may_hold_pin, quiet=not told
            )
            unit.decide(payment.id, wrong)
        return newest
    not_understood(inbound)
    return None


def _said_at_ms(inbound: Inbound) -> int | None:
    """When the phone has sent the very same text, if just now: it asks for no answer and is no further guess.

    It may be the SMSC's repeat. What may be a PIN is never the same: where the PIN itself is kept as `****`, that two
    spellings of it look alike would tell it.
    """
    if inbound.may_hold_pin:
        return None
    unit, mo = inbound.unit, inbound.mo
    same = {"consumer_id": inbound.consumer.id, "carrier": mo.carrier, "text": mo.text}
    if any(same.items() <= row.items() for row in unit.fresh(tables.mo)):
        return unit.now_ms
    columns = tables.mo.c
    is_same = (columns.consumer_id == inbound.consumer.id) & (columns.carrier == mo.carrier)
    is_same &= (columns.text == without_nul(mo.text)) & (columns.at_ms > unit.now_ms - SAME_TEXT_MS)
    at_ms: int | None = unit.conn.execute(select(func.max(columns.at_ms)).where(is_same)).scalar_one()
    return at_ms


def _was_tried(payment: Payment, said_at_ms: int) -> bool:
    """Whether a wrong code of then was tried against the very code that *payment* waits for: it has not moved since."""
    return payment.wrong_codes > 0 and payment.updated_at_ms <= said_at_ms


def _answer_late(inbound: Inbound, code: str) -> Payment | None:
    """The payment that is over or under way whose code it is, once its phone is told so."""
    unit = inbound.unit
    for payment in consumer_payments(unit.conn, inbound.consumer.id, limit=RECENT_PAYMENTS):
        current = unit.payment(payment.id)
        if current is None or current.is_waiting or current.carrier != inbound.mo.carrier:
            continue
        if code in codes_so_far(unit, current):
            template = _late_template(current)
            if template is not None and inbound.may_answer():
                unit.effects.text_about(current, template)
            return current
    return None


def _lock(inbound: Inbound) -> Payment:
    mo, newest = inbound.mo, inbound.waiting[-1]
    wrong_codes.lock(inbound.unit, inbound.consumer, carrier=mo.carrier, language=inbound.language, mo_id=inbound.mo_id)
    return newest


def _still_locked(inbound: Inbound) -> None:
    """A phone that was being charged when it was locked may be asked a second time; it answers when it may again."""
    if _may_answer(inbound):
        inbound.tell_locked()


def _late_template(payment: Payment) -> str | None:
    """What to say to a code that has done its work; None while the result's own text is about to come."""
    if payment.is_in_doubt:
        return "unknown_outcome"
    if payment.operation is not None:
        return "unknown_outcome" if payment.operation.outcome_unknown else None
    if payment.state is State.CAPTURED:
        return "already_paid"
    if payment.state in AGREED_STATES:
        return None
    # What was charged and given back was charged all the same.
    return "expired" if payment.reversed_attempt_id is None else "reversed"


def not_understood(inbound: Inbound) -> None:
    """Say so, and with it how to pay what waits."""
    waiting = inbound.waiting
    newest = None if waiting else _newest(inbound)
    doubt = None if newest is None or newest.operation is None else newest.operation
    if doubt is not None and not doubt.outcome_unknown:
        return  # The carrier is about to answer, and the result's own text says what became of the money.
    if not _may_answer(inbound):
        return
    if newest is not None and doubt is not None:
        inbound.effects.text_about(newest, "unknown_outcome")
    elif inbound.may_hold_pin:
        inbound.send("pin_texted")
    elif inbound.mo.taken_as == "start" and inbound.consumer.stopped_at_ms is not None:
        inbound.send("stopped", count="0")  # From the channel the phone has heard that it is lifted.
    elif waiting:
        _tell_how_to_pay(inbound)
    else:
        inbound.send("not_understood_nothing_waiting")


def _tell_how_to_pay(inbound: Inbound) -> None:
    by_code = [one for one in inbound.waiting if not one.needs_pin]
    rules = inbound.unit.policy.rules[inbound.mo.carrier]
    if len(by_code) > 1:
        inbound.effects.text_about_two(by_code[-2], by_code[-1], rules.asking("several"))
    else:
        [newest] = by_code or inbound.waiting[-1:]
        inbound.effects.text_about(newest, rules.asking(how_to_pay(newest, "not_understood")))


def _may_answer(inbound: Inbound) -> bool:
    """True once, and not again at once or too often, whoever it is that goes on talking."""
    consumer, now_ms = inbound.consumer, inbound.unit.now_ms
    last_ms = consumer.unclear_at_ms
    if last_ms is not None and now_ms - last_ms >= UNCLEAR_DAY_MS:
        consumer.unclear_count = 0
    too_soon = last_ms is not None and now_ms - last_ms < UNCLEAR_GAP_MS
    if too_soon or consumer.unclear_count >= UNCLEAR_PER_DAY or not inbound.may_answer():
        return False
    consumer.unclear_at_ms = now_ms
    consumer.unclear_count += 1
    inbound.unit.touch(consumer)
    return True


def _store(inbound: Inbound, payment: Payment | None) -> None:
    mo = inbound.mo
    inbound.unit.put(
        tables.mo,
        {
            "id": inbound.mo_id,
            "carrier": mo.carrier,
            "consumer_id": inbound.consumer.id,
            "provider_id": mo.provider_id,
            "sent_to": mo.to,
            "text": mo.text,
            "meaning": inbound.reply.meaning,
            "payment_id": None if payment is None else payment.id,
            "read_at_ms": mo.read_at_ms,
            "at_ms": inbound.unit.now_ms,
        },
    )
