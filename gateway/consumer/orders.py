"""A phone that wants to buy: its shop is told, by whichever channel the wish came. Nothing is charged by it."""

from sqlalchemy import select

from gateway.core.money import Money
from gateway.core.msisdn import mask
from gateway.core.payment import EventType
from gateway.store import tables
from gateway.store.identity import new_id
from gateway.store.rows import Consumer
from gateway.store.unit import Unit

# A repeated `PAY shop amount` within this time is the same wish (design: ten minutes).
SAME_ORDER_MS = 600_000


def order(unit: Unit, consumer: Consumer, carrier: str, merchant_id: str, amount: Money) -> bool:
    """Tell the shop; False if it was told the same a short while ago."""
    if _was_requested(unit, consumer, merchant_id, amount):
        return False
    order_id = new_id("ord_")
    unit.put(
        tables.order_request,
        {
            "id": order_id,
            "merchant_id": merchant_id,
            "mode": consumer.mode,
            "consumer_id": consumer.id,
            "amount_minor": amount.amount_minor,
            "currency": amount.currency,
            "at_ms": unit.now_ms,
        },
    )
    consumer.ordered_at_ms = unit.now_ms
    unit.touch(consumer)
    # The shop needs the number to ask it for money, so this event carries it whole.
    body = {
        "id": order_id,
        "object": "order_request",
        "mode": consumer.mode,
        "msisdn": consumer.msisdn,
        "msisdn_masked": mask(consumer.msisdn),
        "amount": amount.amount_minor,
        "currency": amount.currency,
        "carrier": carrier,
    }
    unit.effects.notify(merchant_id, consumer.mode, EventType.ORDER_REQUESTED, None, body, consumer_id=consumer.id)
    return True


def _was_requested(unit: Unit, consumer: Consumer, merchant_id: str, amount: Money) -> bool:
    """Whether this phone ordered the same a short while ago, be it in this very batch."""
    wish = (consumer.id, merchant_id, amount.amount_minor, amount.currency)
    names = ("consumer_id", "merchant_id", "amount_minor", "currency")
    if any(tuple(row[name] for name in names) == wish for row in unit.fresh(tables.order_request)):
        return True
    order_request = tables.order_request.c
    same = (
        (order_request.consumer_id == consumer.id)
        & (order_request.merchant_id == merchant_id)
        & (order_request.amount_minor == amount.amount_minor)
        & (order_request.currency == amount.currency)
        & (order_request.at_ms > unit.now_ms - SAME_ORDER_MS)
    )
    return unit.conn.execute(select(order_request.id).where(same)).first() is not None
