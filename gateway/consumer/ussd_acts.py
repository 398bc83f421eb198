"""What the menus do besides paying: each act calls the function that the keyword of the same meaning calls."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.consumer import ussd_buy, ussd_pay
from gateway.consumer.disputes import is_disputed, tell_opened
from gateway.consumer.goods import is_received
from gateway.consumer.language import speak
from gateway.consumer.limits import ask_about_sim, lower_limit, set_limit, typed_limit, waits_for_sim
from gateway.consumer.record import statement_line
from gateway.consumer.reports import Reporter, report_payment
from gateway.consumer.stops import start_shop
from gateway.consumer.ussd_visit import Visit, told
from gateway.core import pins, ussd
from gateway.core.statement import receipt_fields
from gateway.core.ussd import Act, Place, Screen
from gateway.engine.opt_outs import Stopped, end_asks, start_all, stop_all, stop_shop
from gateway.engine.pushes import ask_by_text


def perform(visit: Visit, place: Place, act: Act) -> Place:
    """Do *act* and return where it leads."""
    return _ACTS[type(act)](visit, place, act)


def _over(text: str, **fields: Any) -> Place:  # Any: fields of a place.
    return Place(screen=Screen.OVER, text=text, **fields)


def _send_receipt(visit: Visit, place: Place, act: ussd.SendReceipt) -> Place:
    payment = visit.own(act.payment_id)
    if payment is None:
        return told("history_none")
    if not visit.may_text():
        return place  # Which says what the text would.
    fields = receipt_fields(statement_line(payment, visit.desk.zone), visit.language)
    visit.unit.effects.send_text(visit.consumer.id, visit.carrier, "receipt", visit.language.code, fields)
    return told("receipt_sent")


def _dispute(visit: Visit, place: Place, act: ussd.Dispute) -> Place:
    payment = visit.own(act.payment_id)
    if payment is None:
        return told("history_none")
    template = "dispute_opened" if is_disputed(visit.unit, payment, act.reason) else "dispute_impossible"
    if template == "dispute_opened":
        tell_opened(visit.unit, visit.unit.current([payment.id])[0])
    return _over(template, payment_id=payment.id)


_REPORTED: Final = {
    "": "reported",
    "unknown_outcome": "report_charging",
    "status_refunding": "report_returned",
    "reversed": "report_returned",
}
"""The screen that tells what came of a report, where it is not called like the text."""


def _report(visit: Visit, place: Place, act: ussd.Report) -> Place:
    payment = visit.own(act.payment_id)
    if payment is None:
        return told("history_none")
    by = Reporter(visit.unit, visit.consumer, visit.carrier, visit.language.code, visit.session.id)
    reported = report_payment(by, payment)
    if reported.template == "report_disputed":
        tell_opened(visit.unit, reported.payment)
    text = _REPORTED.get(reported.template, reported.template)
    return _over(text, payment_id=payment.id, minor=reported.minor)


def _got_goods(visit: Visit, place: Place, act: ussd.GotGoods) -> Place:
    payment = visit.own(act.payment_id)
    if payment is None or not is_received(visit.unit, payment, visit.session.id):
        return place  # Which says where it stands by now.
    return _over("escrow_released", payment_id=payment.id, minor=payment.left_minor)


def _set_limit(visit: Visit, place: Place, act: ussd.SetLimit) -> Place:
    minor = typed_limit(act.amount_text, visit.desk.currency)
    if minor is None:
        return Place(screen=Screen.LIMIT_AMOUNT, text="limit_amount_wrong")
    became = lower_limit(visit.unit, visit.consumer, minor, visit.desk.currency)
    if became == "limit_higher":
        return told("limit_no_pin") if visit.pin() is None else Place(screen=Screen.LIMIT_PIN, minor=minor)
    return told(became, minor=minor)


def _raise_limit(visit: Visit, place: Place, act: ussd.RaiseLimit) -> Place:
    again = Place(screen=Screen.LIMIT_PIN, text="limit_pin_wrong", minor=act.minor)
    wrong = told("limit_no_pin") if visit.pin() is None else ussd_pay.judge_pin(visit, act.secret, again)
    if wrong is not None:
        return wrong
    unit, consumer, currency = visit.unit, visit.consumer, visit.desk.currency
    if waits_for_sim(unit, consumer, visit.carrier, act.minor, currency):
        ask_about_sim(unit, consumer, visit.carrier, act.minor, currency, visit.language.code)
        return told("limit_checked")
    at_ms = set_limit(unit, consumer, act.minor, currency)
    if at_ms is None:
        return told("limit_set", minor=act.minor)
    return told("limit_later", minor=act.minor, until_ms=at_ms)


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
    visit.warn("pin_changed")
    return told("pin_set")


def _made(visit: Visit, secret: str) -> pins.Pin:
    return pins.made(visit.unit.policy.pin_keys, visit.consumer.id, secret, visit.unit.now_ms)


def _forget_pin(visit: Visit, place: Place, act: ussd.ForgetPin) -> Place:
    pin = visit.pin()
    if pin is None:
        return Place(screen=Screen.PIN_NEW, is_proven=True)
    ends = pins.forgotten(pin, visit.unit.now_ms)
    if ends is not pin:
        visit.unit.ussd.keep_pin(ends)
        visit.warn("pin_forgotten", until_ms=ends.ends_at_ms)
        ask_by_text(visit.unit, visit.waiting())  # Until then the code pays.
    return told("pin_forgotten", until_ms=ends.ends_at_ms or 0)


def _choose_language(visit: Visit, place: Place, act: ussd.ChooseLanguage) -> Place:
    speak(visit.unit, visit.consumer, act.code)
    return told("language_set")


def _stop_all(visit: Visit, place: Place, act: ussd.StopAll) -> Place:
    stopped = stop_all(visit.unit, visit.consumer, visit.session.id)
    _end_asks(visit, stopped)
    return told("stopped", count=stopped.closed)


def _stop_shop(visit: Visit, place: Place, act: ussd.StopShop) -> Place:
    merchant = ussd_buy.merchant_of(visit, act.keyword)
    if merchant is None:
        return Place(screen=Screen.STOP_SHOP, text="stop_shop_unknown")
    stopped = stop_shop(visit.unit, visit.consumer, merchant.id, visit.session.id)
    _end_asks(visit, stopped, merchant.id)
    return told("stopped_shop", shop=merchant.shop, count=stopped.closed)


def _end_asks(visit: Visit, stopped: Stopped, merchant_id: str = "") -> None:
    """The asks that wait in a lane go as with a STOP by text. The screen has said it, so no text does."""
    end_asks(visit.unit, visit.consumer.id, stopped.carriers | {visit.carrier}, merchant_id=merchant_id)


def _start_all(visit: Visit, place: Place, act: ussd.StartAll) -> Place:
    start_all(visit.unit, visit.consumer)
    return told("started")


def _start_shop(visit: Visit, place: Place, act: ussd.StartShop) -> Place:
    start_shop(visit.unit, visit.consumer, act.merchant_id)
    if visit.consumer.stopped_at_ms is not None:
        return told("all_stopped")
    return told("started_shop", shop=place.shop)


_ACTS: Final[Mapping[type[Act], Callable[[Visit, Place, Any], Place]]] = {  # Any: paired by type.
    ussd.Consent: ussd_pay.consent,
    ussd.Refuse: ussd_pay.refuse,
    ussd.Report: _report,
    ussd.GotGoods: _got_goods,
    ussd.FindShop: ussd_buy.find_shop,
    ussd.Order: ussd_buy.order_amount,
    ussd.BuyItem: ussd_buy.item,
    ussd.PayByCode: ussd_buy.code,
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
    ussd.StartShop: _start_shop,
}
