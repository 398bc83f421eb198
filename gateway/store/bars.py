"""Whether a phone takes no asks: the one place that says so, whatever the cause.

Such a request is stored and ends as `unavailable` without a text, always by the same way: a shop must not learn from
its own request what other shops do or what the phone's owner typed.
"""

from typing import TYPE_CHECKING

from gateway.store.rows import Consumer

if TYPE_CHECKING:
    from gateway.store.unit import Unit


def is_locked(unit: "Unit", consumer: Consumer) -> bool:
    """Too many wrong codes came from the phone; until then it is not asked, and no code of it is taken."""
    return consumer.locked_until_ms is not None and unit.now_ms < consumer.locked_until_ms


def is_barred(unit: "Unit", consumer: Consumer, merchant_id: str) -> bool:
    """Whether *consumer* takes no ask of this merchant at the moment."""
    return unit.is_stopped(consumer.id, merchant_id) or is_locked(unit, consumer)
