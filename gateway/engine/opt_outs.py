"""A phone that takes no more asks, because its owner said STOP: to us, or to the carrier, which then refuses our texts.

Both are the same wish and are heard in the same way: what waits ends, and nothing is asked until START is written.
"""

from gateway.core.asks import FALLBACK_LANGUAGE
from gateway.core.payment import ConsumerStopped
from gateway.store.unit import Consumer, Unit


def stop_all(unit: Unit, consumer: Consumer, said_id: str) -> int:
    """Stop everything for a locked consumer; how many payments waited. *said_id*: the message by which we know."""
    waiting = unit.waiting(consumer.id)
    if consumer.stopped_at_ms is None:
        consumer.stopped_at_ms = unit.now_ms
        unit.touch(consumer)
    for payment in waiting:
        unit.decide(payment.id, ConsumerStopped(at_ms=unit.now_ms, mo_id=said_id))
    return len(waiting)


def opted_out(unit: Unit, consumer: Consumer, *, carrier: str, said_id: str) -> None:
    """The carrier has the phone's STOP and takes no text for it, so none confirms it; asks in the lane do not leave."""
    was_stopped = consumer.stopped_at_ms is not None
    count = stop_all(unit, consumer, said_id)
    if was_stopped and not count:
        return
    language = consumer.language or FALLBACK_LANGUAGE
    fields = {"count": str(count)}
    unit.effects.send_text(consumer.id, carrier, "stopped", language, fields, ends_asks=True, is_mute=True)
