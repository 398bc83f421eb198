"""What the menus do besides paying: each act calls the function that the keyword of the same meaning calls."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.consumer import ussd_pay
from gateway.consumer.disputes import is_disputed
from gateway.consumer.limits import present_limit, set_limit
from gateway.consumer.orders import order
from gateway.consumer.record import statement_line
from gateway.consumer.ussd_visit import Visit
from gateway.core import pins, ussd
from gateway.core.asks import WORST_CASE
from gateway.core.money import Money, parse_amount
from gateway.core.statement import receipt_fields
from gateway.core.ussd import Act, Place, Screen
from gateway.engine.opt_outs import Stopped, start_all, stop_all, stop_shop
from gateway.store.bars import is_locked
from gateway.store.queries import MerchantRow, merchant_by_keyword


def perform(visit: Visit, place: Place, act: Act) -> Place:
    """Do *act* and return where it leads."""
    return _ACTS[type(act)](visit, place, act)


def _told(text: str, **fields: Any) -> Place:  # Any: fields of a place.
    return Place(screen=Screen.TOLD, text=text, **fields)


def _over(text: str, **fields: Any) -> Place:  # Any: fields of a place.
    return Place(screen=Screen.OVER, text=text, **fields)


def _merchant(visit: Visit, typed: str) -> MerchantRow | None:
    return merchant_by_keyword(visit.unit.conn, " ".join(typed.split()).upper())


def _find_shop(visit: Visit, place: Place, act: ussd.FindShop) -> Place:
    merchant = _merchant(visit, act.keyword)
    if merchant is None:
        return Place(screen=Screen.SHOP, text="shop_unknown")
    if visit.unit.is_stopped(visit.consumer.id, merchant.id):
        return _told("shop_stopped", shop=merchant.shop)  # A wish to buy lifts no stop.
    return Place(screen=Screen.AMOUNT, merchant_id=merchant.id, shop=merchant.shop)


def _order(visit: Visit, place: Place, act: ussd.Order) -> Place:
    unit, consumer = visit.unit, visit.consumer
    if unit.is_stopped(consumer.id, place.merchant_id):
        return _told("shop_stopped", shop=place.shop)
    if is_locked(unit, consumer):
        return _over("phone_locked", until_ms=consumer.locked_until_ms or 0)
    minor = parse_amount(act.amount_text, visit.desk.currency)
    if minor is None or len(visit.printed(minor)) > WORST_CASE["amount"]:
        return Place(screen=Screen.AMOUNT, text="amount_wrong", merchant_id=place.merchant_id, shop=place.shop)
    is_new = order(unit, consumer, visit.carrier, place.merchant_id, Money(minor, visit.desk.currency))
    return _over("order_passed" if is_new else "duplicate_order", shop=place.shop, minor=minor)


def _send_receipt(visit: Visit, place: Place, act: ussd.SendReceipt) -> Place:
    payment = visit.own(act.payment_id)
    if payment is None:
        return _told("history_none")
    fields = receipt_fields(statement_line(payment, visit.desk.zone), visit.language)
    visit.unit.effects.send_text(visit.consumer.id, visit.carrier, "receipt", visit.language.code, fields)
    return _told("receipt_sent")


def _dispute(visit: Visit, place: Place, act: ussd.Dispute) -> Place:
    payment = visit.own(act.payment_id)
    if payment is None:
        return _told("history_none")
    template = "dispute_opened" if is_disputed(visit.unit, payment, act.reason) else "dispute_impossible"
    if template == "dispute_opened":
        visit.unit.effects.text_about(visit.unit.current([payment.id])[0], template)
    return _over(template, payment_id=payment.id)


def _set_limit(visit: Visit, place: Place, act: ussd.SetLimit) -> Place:
    minor = parse_amount(act.amount_text, visit.desk.currency, least_minor=0)
    if minor is None or len(visit.printed(minor)) > WORST_CASE["limit"]:
        return Place(screen=Screen.LIMIT_AMOUNT, text="limit_amount_wrong")
    present = present_limit(visit.unit, visit.consumer, visit.desk.currency)
    if present is None or minor <= present:
        set_limit(visit.unit, visit.consumer, minor, visit.desk.currency)
        return _told("limit_set", minor=minor)
    return _told("limit_no_pin") if visit.pin() is None else Place(screen=Screen.LIMIT_PIN, minor=minor)


def _raise_limit(visit: Visit, place: Place, act: ussd.RaiseLimit) -> Place:
    again = Place(screen=Screen.LIMIT_PIN, text="limit_pin_wrong", minor=act.minor)
    wrong = _told("limit_no_pin") if visit.pin() is None else ussd_pay.judge_pin(visit, act.secret, again)
    if wrong is not None:
        return wrong
    at_ms = set_limit(visit.unit, visit.consumer, act.minor, visit.desk.currency)
    if at_ms is None:
        return _told("limit_set", minor=act.minor)
    return _told("limit_later", minor=act.minor, until_ms=at_ms)


def _pin(visit: Visit, place: Place, act: ussd.PinAct) -> Place:
    match act.screen:
        case Screen.PIN_OLD:
            if visit.pin() is None:
                return Place(screen=Screen.PIN_NEW, is_proven=True)
            wrong = ussd_pay.judge_pin(visit, act.secret, Place(screen=Screen.PIN_OLD, text="pin_old_wrong"))
            return wrong or Place(screen=Screen.PIN_NEW, is_proven=True)
        case Screen.PIN_NEW:
            if pins.is_weak(act.secret, visit.consumer.msisdn):
                return Place(screen=Screen.PIN_NEW, text="pin_new_weak", is_proven=place.is_proven)
            proof = _made(visit, act.secret).mac
            return Place(screen=Screen.PIN_AGAIN, proof=proof, is_proven=place.is_proven)
        case _:
            return _set_pin(visit, place, act.secret)


def _set_pin(visit: Visit, place: Place, secret: str) -> Place:
    assert place.is_proven, "a PIN is changed only by who knows the old one"
    made = _made(visit, secret)
    if not hmac.compare_digest(made.mac, place.proof):
        return Place(screen=Screen.PIN_NEW, text="pin_new_differs", is_proven=True)
    visit.unit.ussd.keep_pin(made)
    visit.text("pin_changed")
    return _told("pin_set")


def _made(visit: Visit, secret: str) -> pins.Pin:
    return pins.made(visit.unit.policy.pin_keys, visit.consumer.id, secret, visit.unit.now_ms)


def _forget_pin(visit: Visit, place: Place, act: ussd.ForgetPin) -> Place:
    pin = visit.pin()
    if pin is None:
        return Place(screen=Screen.PIN_NEW, is_proven=True)
    ends = pins.forgotten(pin, visit.unit.now_ms)
    if ends is not pin:
        visit.unit.ussd.keep_pin(ends)
        visit.text("pin_forgotten", until_ms=ends.ends_at_ms)
    return _told("pin_forgotten", until_ms=ends.ends_at_ms or 0)


def _choose_language(visit: Visit, place: Place, act: ussd.ChooseLanguage) -> Place:
    visit.consumer.language = act.code
    visit.unit.touch(visit.consumer)
    return _told("language_set")


def _stop_all(visit: Visit, place: Place, act: ussd.StopAll) -> Place:
    stopped = stop_all(visit.unit, visit.consumer, visit.session.id)
    _end_asks(visit, "stopped", stopped)
    return _told("stopped", count=stopped.closed)


def _stop_shop(visit: Visit, place: Place, act: ussd.StopShop) -> Place:
    merchant = _merchant(visit, act.keyword)
    if merchant is None:
        return Place(screen=Screen.STOP_SHOP, text="stop_shop_unknown")
    stopped = stop_shop(visit.unit, visit.consumer, merchant.id, visit.session.id)
    _end_asks(visit, "stopped_shop", stopped, merchant.id)
    return _told("stopped_shop", shop=merchant.shop, count=stopped.closed)


def _end_asks(visit: Visit, template: str, stopped: Stopped, merchant_id: str = "") -> None:
    """The asks that wait in a lane go as with a STOP by text. The screen has said it: the text itself is mute."""
    visit.unit.effects.send_text(
        visit.consumer.id,
        visit.carrier,
        template,
        visit.language.code,
        {"count": str(stopped.closed)},
        ends_asks=True,
        ends_asks_of=merchant_id,
        is_mute=True,
    )


def _start_all(visit: Visit, place: Place, act: ussd.StartAll) -> Place:
    start_all(visit.unit, visit.consumer)
    return _told("started")


_ACTS: Final[Mapping[type[Act], Callable[[Visit, Place, Any], Place]]] = {  # Any: paired by type.
    ussd.Consent: ussd_pay.consent,
    ussd.Refuse: ussd_pay.refuse,
    ussd.FindShop: _find_shop,
    ussd.Order: _order,
    ussd.SendReceipt: _send_receipt,
    ussd.Dispute: _dispute,
    ussd.SetLimit: _set_limit,
    ussd.RaiseLimit: _raise_limit,
    ussd.PinAct: _pin,
    ussd.ForgetPin: _forget_pin,
    ussd.ChooseLanguage: _choose_language,
    ussd.StopAll: _stop_all,
    ussd.StopShop: _stop_shop,
    ussd.StartAll: _start_all,
}
