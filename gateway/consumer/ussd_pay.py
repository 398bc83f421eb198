"""What is typed as a PIN or a code on USSD: judged, counted, and the consent that a right one gives.

Wrong ones count like wrong codes by text, for the payment and for the phone over all that it says; three wrong PINs
lock the PIN besides. A consent goes through the same event as one by text. What was typed is kept nowhere.
"""

import hmac

from msgspec.structs import replace

from gateway.consumer.ussd_visit import Visit
from gateway.core import pins
from gateway.core.caps import NO_TERMS
from gateway.core.payment import AGREED_STATES, Payment, ReplyConfirmed, ReplyRefused, State, WrongCodeReplied
from gateway.core.ussd import Consent, Place, Refuse, Screen
from gateway.engine import wrong_codes
from gateway.engine.admission import over_at_consent
from gateway.engine.merchant_jobs import derived
from gateway.engine.pushes import ask_by_text
from gateway.engine.second_consent import first_code_n, is_earlier_code, step_of
from gateway.engine.sim_checks import known_pin
from gateway.store.bars import is_locked
from gateway.store.identity import new_id

CLOSED = Place(screen=Screen.OVER, text="closed")


def consent(visit: Visit, place: Place, act: Consent) -> Place:
    """The secret was typed on the screen of this payment at *place*, which showed its amount."""
    unit, consumer = visit.unit, visit.consumer
    payment = visit.waits(act.payment_id)
    if payment is None:
        return CLOSED
    if place.code_n != payment.code_n:
        # The phone has been asked again since that screen was shown, which therefore agrees to nothing any more.
        return _asked_again(payment, "")
    if act.wants == "pin":
        wrong = judge_pin(visit, act.secret, _asked_again(payment, "pay_wrong_pin"), payment)
    else:
        wrong = _judge_code(visit, act.secret, payment)
    if wrong is not None:
        return wrong
    by_known_pin = act.wants == "pin" and known_pin(unit, consumer.id, payment.carrier) is not None
    if payment.stage is not None and payment.stage.needs_pin and not by_known_pin:
        return Place(screen=Screen.OVER, text="sim_pin_young", payment_id=payment.id)
    exceeded = over_at_consent(unit, consumer, payment)
    if exceeded is not None:
        unit.decide(payment.id, exceeded)
        return Place(screen=Screen.OVER, text="over_limit", payment_id=payment.id)
    step = step_of(unit, payment)
    confirmed = ReplyConfirmed(
        at_ms=unit.now_ms,
        read_at_ms=min(visit.step.read_at_ms, unit.now_ms),
        mo_id=visit.session.id,
        reply=evidence(visit, act.wants),
        next_attempt_id=new_id("att_"),
        channel="ussd",
        template=f"screens.pay_{act.wants}",
        by_known_pin=by_known_pin,
        next_code_n=step.next_code_n,
        knows_shop=step.knows_shop,
    )
    after = unit.decide(payment.id, confirmed).payment
    if after.is_waiting and first_code_n(after) is not None:
        return Place(screen=Screen.OVER, text="pay_second", payment_id=payment.id)
    if after.state is State.ENDED or after.is_waiting:
        return CLOSED
    text = "agreed" if after.state is State.AUTHORIZED else "paying"
    return Place(screen=Screen.OVER, text=text, payment_id=payment.id)


def evidence(visit: Visit, wants: str) -> str:
    """What proves the consent: the screen as it was shown, which secret was typed on it, and in which session."""
    typed = "the PIN" if wants == "pin" else "the code of the ask"
    return f"{visit.session.answer}\n> {typed}\nsession {visit.step.session_id}"


def refuse(visit: Visit, place: Place, act: Refuse) -> Place:
    refused = [payment for payment_id in act.payment_ids if (payment := _refusable(visit, payment_id)) is not None]
    for payment in refused:
        visit.unit.decide(payment.id, ReplyRefused(at_ms=visit.unit.now_ms, mo_id=visit.session.id))
    return Place(screen=Screen.OVER, text="refused", count=len(refused)) if refused else CLOSED


def _refusable(visit: Visit, payment_id: str) -> Payment | None:
    """As by text: what waits, and what was agreed to and is not charged yet."""
    waits = visit.waits(payment_id)
    if waits is not None:
        return waits
    payment = visit.own(payment_id)
    is_agreed = payment is not None and payment.state in AGREED_STATES and not payment.is_in_doubt
    return payment if is_agreed else None


def judge_pin(visit: Visit, typed: str, again: Place, payment: Payment | None = None) -> Place | None:
    """None if *typed* is the PIN; else where it leads, *again* while there are tries left."""
    unit, keys = visit.unit, visit.unit.policy.pin_keys
    barred = _barred(visit)
    if barred is not None:
        return barred
    pin = visit.pin()
    if pin is None:
        return again
    if pins.is_right(pin, keys, typed):
        if pin.tries or pin.ends_at_ms is not None or pin.key != pins.key_id(keys[0]):
            unit.ussd.keep_pin(pins.after_right(pin, keys, typed))
        return None
    pin = pins.after_wrong(pin, unit.now_ms)
    unit.ussd.keep_pin(pin)
    locked = _counted(visit, payment)
    if pin.is_locked(unit.now_ms):
        ask_by_text(unit, visit.waiting())
        return locked or pin_locked(pin)
    if locked is not None:
        return locked
    return _with_tries(again, pins.TRIES_MAX - pin.tries, visit, payment)


def pin_locked(pin: pins.Pin) -> Place:
    return Place(screen=Screen.OVER, text="pin_locked", until_ms=pin.locked_until_ms or 0)


def _barred(visit: Visit) -> Place | None:
    """Where a phone or a PIN leads that is locked."""
    until_ms = visit.consumer.locked_until_ms
    if is_locked(visit.unit, visit.consumer):
        return Place(screen=Screen.OVER, text="phone_locked", until_ms=until_ms or 0)
    pin = visit.locked_pin()
    return None if pin is None else pin_locked(pin)


def _judge_code(visit: Visit, typed: str, payment: Payment) -> Place | None:
    barred = _barred(visit)
    if barred is not None:
        return barred
    right = derived(visit.unit.policy.code_key_of(payment), payment)
    if hmac.compare_digest(right, typed):
        return None
    is_earlier = is_earlier_code(visit.unit, payment, typed)
    if is_earlier and first_code_n(payment) is not None:
        return Place(screen=Screen.OVER, text="pay_second", payment_id=payment.id)
    locked = None if is_earlier else _counted(visit, payment)
    if locked is not None:
        return locked
    left = visit.unit.policy.rules[payment.carrier].wrong_codes_max
    return _with_tries(_asked_again(payment, "pay_wrong_code"), left, visit, payment)


def _counted(visit: Visit, payment: Payment | None) -> Place | None:
    """Count a wrong secret as a wrong code is counted; the place if that ends the payment or locks the phone."""
    unit, consumer = visit.unit, visit.consumer
    terms = unit.policy.terms.get(visit.carrier, NO_TERMS)
    if wrong_codes.is_one_too_many(unit, consumer, terms.caps):
        language = visit.language.code
        wrong_codes.lock(unit, consumer, carrier=visit.carrier, language=language, mo_id=visit.session.id)
        return Place(screen=Screen.OVER, text="phone_locked", until_ms=consumer.locked_until_ms or 0)
    if payment is None:
        return None
    wrong = WrongCodeReplied(at_ms=unit.now_ms, mo_id=visit.session.id, quiet=True)
    after = unit.decide(payment.id, wrong).payment
    if after.is_waiting:
        return None
    return Place(screen=Screen.OVER, text="payment_locked", payment_id=payment.id)


def _asked_again(payment: Payment, text: str) -> Place:
    return Place(screen=Screen.PAY, payment_id=payment.id, text=text)


def _with_tries(again: Place, left: int, visit: Visit, payment: Payment | None) -> Place:
    if payment is not None:
        [counted] = visit.unit.current([payment.id])
        left = min(left, visit.unit.policy.rules[payment.carrier].wrong_codes_max - counted.wrong_codes)
    return replace(again, count=left)
