"""A phone that takes no more asks, because its owner said STOP: to us, or to the carrier, which then refuses our texts.

Both are the same wish and are heard in the same way: what waits ends, and nothing is asked until START is written.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.core.asks import FALLBACK_LANGUAGE
from gateway.core.payment import ConsumerStopped, Payment
from gateway.store.unit import Consumer, Unit


class Stopped(NamedTuple):
    """How many requests it closed, whether anything is different now, and at which carriers those requests were."""

    closed: int
    is_news: bool
    carriers: frozenset[str]
    """In whose lanes their asks may still wait."""


def stop_all(unit: Unit, consumer: Consumer, said_id: str) -> Stopped:
    """No shop may ask this locked phone from now on, and what waits is closed. *said_id*: by what we know it."""
    was_stopped = consumer.stopped_at_ms is not None
    if not was_stopped:
        consumer.stopped_at_ms = unit.now_ms
        unit.touch(consumer)
    return _closed(unit, unit.waiting(consumer.id), said_id, is_news=not was_stopped)


def stop_shop(unit: Unit, consumer: Consumer, merchant_id: str, said_id: str) -> Stopped:
    """The same for one shop."""
    shops = unit.shop_stops(consumer.id)
    was_stopped = merchant_id in shops
    shops.add(merchant_id)
    waiting = [one for one in unit.waiting(consumer.id) if one.merchant_id == merchant_id]
    return _closed(unit, waiting, said_id, is_news=not was_stopped)


def start_all(unit: Unit, consumer: Consumer) -> None:
    """Lift every stop."""
    consumer.stopped_at_ms = None
    unit.touch(consumer)
    unit.shop_stops(consumer.id).clear()


def _closed(unit: Unit, waiting: Sequence[Payment], said_id: str, *, is_news: bool) -> Stopped:
    for payment in waiting:
        unit.decide(payment.id, ConsumerStopped(at_ms=unit.now_ms, mo_id=said_id))
    carriers = frozenset(payment.carrier for payment in waiting)
    return Stopped(len(waiting), is_news or bool(waiting), carriers)


def opted_out(unit: Unit, consumer: Consumer, *, carrier: str, said_id: str) -> None:
    """The carrier has the phone's STOP and takes no text for it, so none confirms it; asks in lanes do not leave."""
    stopped = stop_all(unit, consumer, said_id)
    if stopped.is_news:
        end_asks(unit, consumer.id, stopped.carriers | {carrier})


def end_asks(unit: Unit, consumer_id: str, carriers: Iterable[str], *, merchant_id: str = "") -> None:
    """The asks that wait in the lanes of *carriers* leave no more; *merchant_id*: only those of this shop.

    A text that is never sent takes them along: what it would say was said elsewhere, or must not be.
    """
    for carrier in sorted(carriers):
        unit.effects.send_text(
            *(consumer_id, carrier, "stopped", FALLBACK_LANGUAGE, {"count": "0"}),
            ends_asks=True,
            ends_asks_of=merchant_id,
            is_mute=True,
        )
