"""A phone that takes no more asks, because its owner said STOP: to us, or to the carrier, which then refuses our texts.

Both are the same wish and are heard in the same way: what waits ends, and nothing is asked until START is written.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.asks import FALLBACK_LANGUAGE
from gateway.core.payment import ConsumerStopped, Payment
from gateway.store.unit import Consumer, Unit


class Stopped(NamedTuple):
    """How many requests it closed, and whether anything is different now."""

    closed: int
    is_news: bool


def stop_all(unit: Unit, consumer: Consumer, said_id: str) -> Stopped:
    """No shop may ask this locked phone from now on, and what waits is closed. *said_id*: by what we know it."""
    was_stopped = consumer.stopped_at_ms is not None
    if not was_stopped:
        consumer.stopped_at_ms = unit.now_ms
        unit.touch(consumer)
    closed = _close(unit, unit.waiting(consumer.id), said_id)
    return Stopped(closed, not was_stopped or closed > 0)


def stop_shop(unit: Unit, consumer: Consumer, merchant_id: str, said_id: str) -> Stopped:
    """The same for one shop."""
    shops = unit.shop_stops(consumer.id)
    was_stopped = merchant_id in shops
    shops.add(merchant_id)
    waiting = [one for one in unit.waiting(consumer.id) if one.merchant_id == merchant_id]
    closed = _close(unit, waiting, said_id)
    return Stopped(closed, not was_stopped or closed > 0)


def start_all(unit: Unit, consumer: Consumer) -> None:
    """Lift every stop."""
    consumer.stopped_at_ms = None
    unit.touch(consumer)
    unit.shop_stops(consumer.id).clear()


def _close(unit: Unit, waiting: Sequence[Payment], said_id: str) -> int:
    for payment in waiting:
        unit.decide(payment.id, ConsumerStopped(at_ms=unit.now_ms, mo_id=said_id))
    return len(waiting)


def opted_out(unit: Unit, consumer: Consumer, *, carrier: str, said_id: str) -> None:
    """The carrier has the phone's STOP and takes no text for it, so none confirms it; asks in the lane do not leave."""
    stopped = stop_all(unit, consumer, said_id)
    if stopped.is_news:
        language = consumer.language or FALLBACK_LANGUAGE
        fields = {"count": str(stopped.closed)}
        unit.effects.send_text(consumer.id, carrier, "stopped", language, fields, ends_asks=True, is_mute=True)
