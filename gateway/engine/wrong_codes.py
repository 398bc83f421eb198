"""Wrong codes of one phone, over all requests: after too many in a day the phone is locked for a while.

Whoever guesses codes needs many tries; a person who mistypes needs few. While a phone is locked it is not asked,
nothing waits at it, and no code of it is taken, be it right.
"""

from gateway.core.caps import DAY_MS, NO_TERMS, Caps
from gateway.core.payment import WrongCodeReplied
from gateway.engine.opt_outs import end_asks
from gateway.store.rows import Consumer
from gateway.store.unit import Unit

MINUTE_MS = 60_000


def is_one_too_many(unit: Unit, consumer: Consumer, caps: Caps) -> bool:
    """Count a wrong code of this phone. A day begins with its first one, and locks again with each that is too many."""
    if not caps.wrong_codes_per_day:
        return False
    if consumer.wrong_at_ms is None or unit.now_ms - consumer.wrong_at_ms >= DAY_MS:
        consumer.wrong_at_ms, consumer.wrong_count = unit.now_ms, 0
    consumer.wrong_count += 1
    unit.touch(consumer)
    return consumer.wrong_count >= caps.wrong_codes_per_day


def lock(unit: Unit, consumer: Consumer, *, carrier: str, language: str, mo_id: str) -> None:
    """End all that waits at the phone, take no codes for a while, and say so in one text."""
    terms = unit.policy.terms.get(carrier, NO_TERMS)
    ends_ms = unit.now_ms + round(terms.caps.lock_s * 1000)
    # Whole minutes, so that the time in the text is the one that holds.
    consumer.locked_until_ms = -(-ends_ms // MINUTE_MS) * MINUTE_MS
    unit.touch(consumer)
    waiting = unit.waiting(consumer.id)
    for payment in waiting:
        unit.decide(payment.id, WrongCodeReplied(at_ms=unit.now_ms, mo_id=mo_id, quiet=True, locks=True))
    # Those of *carrier* go with the text.
    end_asks(unit, consumer.id, {payment.carrier for payment in waiting} - {carrier})
    tell_locked(unit, consumer, carrier=carrier, language=language)


def tell_locked(unit: Unit, consumer: Consumer, *, carrier: str, language: str) -> None:
    """Say until when no code is taken; no older ask may leave after that."""
    assert consumer.locked_until_ms is not None
    unit.effects.send_text(
        consumer.id, carrier, "phone_locked", language, {}, ends_asks=True, until_ms=consumer.locked_until_ms
    )
