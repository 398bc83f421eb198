"""Buying in the menus: a shop by its name, one of its items or an amount, or a pay code. By the functions of SMS.

What has a price leads to the screen on which it is paid; an amount only tells the shop.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from gateway.consumer.buying import (
    JUST_LOCKED,
    LOCKED,
    STOPPED,
    Bought,
    Buyer,
    Outcome,
    Unsold,
    buy_item,
    pay_by_code,
    pay_for,
)
from gateway.consumer.orders import order
from gateway.consumer.ussd_visit import Visit, told
from gateway.core import ussd
from gateway.core.asks import WORST_CASE
from gateway.core.money import Money, parse_amount
from gateway.core.payment import FINAL_STATES
from gateway.core.ussd import Place, Screen
from gateway.store import catalogue
from gateway.store.bars import is_locked
from gateway.store.merchant_reads import Owner
from gateway.store.queries import MerchantRow, merchant_by_id, merchant_by_keyword

_PROMPTS: Final = frozenset({"pay_code_wrong", "pay_code_gone"})
"""What is told on the screen where it is typed again."""


def _phone_locked(visit: Visit) -> Place:
    return Place(screen=Screen.OVER, text="phone_locked", until_ms=visit.consumer.locked_until_ms or 0)


def _stopped(visit: Visit, merchant_id: str, shop: str) -> Place:
    """A wish to buy lifts no stop. Whoever has stopped this shop alone may allow it on the screen that says so."""
    if visit.consumer.stopped_at_ms is not None:
        return told("all_stopped")
    return Place(screen=Screen.SHOP_STOPPED, merchant_id=merchant_id, shop=shop)


def merchant_of(visit: Visit, typed: str) -> MerchantRow | None:
    """The merchant whose keyword was typed."""
    return merchant_by_keyword(visit.unit.conn, " ".join(typed.split()).upper())


def find_shop(visit: Visit, place: Place, act: ussd.FindShop) -> Place:
    merchant = merchant_of(visit, act.keyword)
    if merchant is None:
        return Place(screen=Screen.SHOP, text="shop_unknown")
    if visit.unit.is_stopped(visit.consumer.id, merchant.id):
        return _stopped(visit, merchant.id, merchant.shop)
    return Place(screen=Screen.ITEMS, merchant_id=merchant.id, shop=merchant.shop)


def item(visit: Visit, place: Place, act: ussd.BuyItem) -> Place:
    merchant = merchant_by_id(visit.unit.conn, place.merchant_id)
    assert merchant is not None, "a merchant stays"
    found = catalogue.item(visit.unit.conn, Owner(merchant.id, visit.consumer.mode), act.item_id)
    if found is None:
        return told("item_unavailable", shop=merchant.shop)
    return _outcome(visit, buy_item(_buyer(visit), merchant, found))


def code(visit: Visit, place: Place, act: ussd.PayByCode) -> Place:
    return _outcome(visit, pay_by_code(_buyer(visit), act.code))


def order_amount(visit: Visit, place: Place, act: ussd.Order) -> Place:
    """An amount for the shop, or for its pay code."""
    unit, consumer = visit.unit, visit.consumer
    if unit.is_stopped(consumer.id, place.merchant_id):
        return _stopped(visit, place.merchant_id, place.shop)
    if is_locked(unit, consumer):
        return _phone_locked(visit)
    amount = _typed(visit, act.amount_text)
    if amount is None:
        return replace(place, text="amount_wrong")
    if place.pay_code_id:
        found = catalogue.pay_code(unit.conn, Owner(place.merchant_id, consumer.mode), place.pay_code_id)
        assert found is not None, "a pay code stays"
        return _outcome(visit, pay_for(_buyer(visit), found, _of_currency(amount)))
    if not visit.may_text():
        return told("order_not_now", shop=place.shop)  # As by text, or a phone could flood a shop.
    is_new = order(unit, consumer, visit.carrier, place.merchant_id, amount)
    text = "order_passed" if is_new else "duplicate_order"
    return Place(screen=Screen.OVER, text=text, shop=place.shop, minor=amount.amount_minor)


def _typed(visit: Visit, text: str) -> Money | None:
    minor = parse_amount(text, visit.desk.currency)
    if minor is None or len(visit.printed(minor)) > WORST_CASE["amount"]:
        return None
    return Money(minor, visit.desk.currency)


def _of_currency(amount: Money) -> Callable[[str], Money | None]:
    return lambda currency: amount if amount.currency == currency else None


def _buyer(visit: Visit) -> Buyer:
    return Buyer(
        unit=visit.unit,
        consumer=visit.consumer,
        carrier=visit.carrier,
        currency=visit.desk.currency,
        code_digits=visit.desk.code_digits,
        language=visit.language.code,
        source="ussd",
        step_id=visit.session.id,
        tells=False,
    )


def _outcome(visit: Visit, outcome: Outcome) -> Place:
    if isinstance(outcome, Bought):
        return _bought(visit, outcome)
    if outcome.text in (LOCKED, JUST_LOCKED):
        return _phone_locked(visit)
    if outcome.text in _PROMPTS:
        return Place(screen=Screen.SHOP, text=outcome.text)
    return _of_shop(visit, outcome)


def _of_shop(visit: Visit, outcome: Unsold) -> Place:
    merchant = outcome.merchant
    assert merchant is not None
    if outcome.text == STOPPED:
        return _stopped(visit, merchant.id, merchant.shop)
    if outcome.text == "pay_code_amount":
        return Place(screen=Screen.AMOUNT, merchant_id=merchant.id, shop=merchant.shop, pay_code_id=outcome.pay_code_id)
    return told(outcome.text, shop=merchant.shop)


def _bought(visit: Visit, bought: Bought) -> Place:
    """The screen of the payment; nothing is charged before its PIN or code."""
    payment = bought.payment
    if visit.waits(payment.id) is not None:
        return Place(screen=Screen.PAY, payment_id=payment.id)
    if payment.state in FINAL_STATES:
        return Place(screen=Screen.OVER, text="over_limit", payment_id=payment.id)
    return Place(screen=Screen.OVER, text="paying", payment_id=payment.id)
