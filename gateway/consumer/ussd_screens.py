"""What stands on a screen: the text of a place, filled in, and the choices that its numbers stand for."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from gateway.consumer import ussd_pay
from gateway.consumer.limits import limit_elsewhere, present_limit, used_today
from gateway.consumer.record import statement_line
from gateway.consumer.status import Standing, open_payments, standing_of
from gateway.consumer.ussd_visit import Visit
from gateway.core.description import clean_description
from gateway.core.money import Money
from gateway.core.payment import Payment
from gateway.core.screens import page, units
from gateway.core.statement import SHOP_CHARACTERS, receipt_fields
from gateway.core.ussd import IN_ESCROW, MENU, Place, Screen
from gateway.store.catalogue import sold_items
from gateway.store.merchant_reads import Owner
from gateway.store.queries import consumer_charges

# More than a page holds, by far.
LOOKED_AT_MAX: Final = 8


class Shown(NamedTuple):
    """`place` is where the person then stands: the one asked for, or the one that took its place."""

    place: Place
    text: str

    @property
    def goes_on(self) -> bool:
        return self.place.screen is not Screen.OVER


def show(visit: Visit, place: Place) -> Shown:
    """The screen of *place*."""
    builder = _BUILDERS.get(place.screen)
    if builder is not None:
        return builder(visit, place)
    return _filled(visit, place, place.text or place.screen.value)


def _filled(visit: Visit, place: Place, key: str, **fields: str) -> Shown:
    words = visit.desk.words
    payment = visit.own(place.payment_id) if place.payment_id else None
    known = {
        "brand": words.brand,
        "care": words.care_line,
        "currency": visit.desk.currency,
        "count": str(place.count),
        "tries": str(place.count),
        "shop": place.shop,
        "limit": visit.printed(place.minor),
        "amount": visit.printed(place.minor),
        "time": visit.time(place.until_ms),
    }
    about = {} if payment is None else _about(visit, payment, place.minor)
    return Shown(place, visit.screen(key, **{**known, **about, **fields}))


def _about(visit: Visit, payment: Payment, minor: int) -> dict[str, str]:
    """*minor*: how much of it the screen is about; 0: the price."""
    amount = Money(minor, payment.amount.currency) if minor else payment.amount
    return {
        "shop": payment.shop,
        "amount": visit.printed_money(amount),
        "item": clean_description(payment.description, visit.language.alphabet),
        "ref": payment.ref,
        "digits": str(payment.code_digits),
        "tax": _tax_note(visit, payment),
    }


def _tax_note(visit: Visit, payment: Payment) -> str:
    """What stands behind the price where asks say that it is with tax."""
    if not visit.unit.policy.rules[payment.carrier].tax_in_ask:
        return ""
    return " " + visit.desk.catalogues.render(visit.language.code, "tax_note")


def _menu(visit: Visit, place: Place) -> Shown:
    return _filled(visit, place, "menu", count=str(min(len(visit.waiting()), 99)))


def _waiting(visit: Visit, place: Place) -> Shown:
    found = [payment for payment in visit.waiting() if not place.pages or payment.id > place.pages[-1]]
    if not found:
        return show(visit, Place(screen=Screen.TOLD, text="waiting_none"))
    lines = [f"{payment.shop} {visit.printed_money(payment.amount)}" for payment in found]
    return _list(visit, place, "waiting", lines, [payment.id for payment in found])


def _pay(visit: Visit, place: Place) -> Shown:
    payment = visit.waits(place.payment_id)
    if payment is None:
        return show(visit, ussd_pay.CLOSED)
    locked = visit.locked_pin()
    if locked is not None:
        return show(visit, ussd_pay.pin_locked(locked))
    wants = "code" if visit.pin() is None else "pin"
    key = place.text if place.text.endswith(wants) else f"pay_{wants}"
    return _filled(visit, replace(place, wants=wants, code_n=payment.code_n), key)


def _items(visit: Visit, place: Place) -> Shown:
    owner, after = Owner(place.merchant_id, visit.consumer.mode), place.pages[-1] if place.pages else None
    found = sold_items(visit.unit.conn, owner, visit.desk.currency, limit=LOOKED_AT_MAX, after=after)
    if not found:
        return show(visit, replace(place, screen=Screen.AMOUNT, choices=(), pages=(), more=""))
    lines = [f"{item.name} {visit.printed_money(item.price)}" for item in found]
    return _list(visit, place, "items", lines, [item.id for item in found])


def _history(visit: Visit, place: Place) -> Shown:
    older_than = place.pages[-1] if place.pages else None
    found = consumer_charges(visit.unit.conn, visit.consumer.id, limit=LOOKED_AT_MAX, older_than=older_than)
    if not place.disputes:
        found = _with_open(visit, found, older_than)
    if not found:
        return show(visit, Place(screen=Screen.TOLD, text="history_none"))
    key = "history_dispute" if place.disputes else "history"
    return _list(visit, place, key, [_line(visit, payment) for payment in found], [payment.id for payment in found])


def _with_open(visit: Visit, charges: list[Payment], older_than: str | None) -> list[Payment]:
    """*charges* and what is under way without being one yet, newest first. What waits is not here but under 1."""
    moving = [
        payment
        for payment in open_payments(visit.unit, visit.consumer.id)
        if not payment.is_waiting and (older_than is None or payment.id < older_than)
    ]
    found = {payment.id: payment for payment in (*charges, *moving)}
    return [found[payment_id] for payment_id in sorted(found, reverse=True)[:LOOKED_AT_MAX]]


def _line(visit: Visit, payment: Payment) -> str:
    """`23/11 MAMA ASHA KES 1,250.00`; only what was not simply paid says its outcome."""
    line, language = statement_line(payment, visit.desk.zone), visit.language
    told = "" if line.outcome == "succeeded" else f" {language.outcomes[line.outcome]}"
    shop = line.shop[:SHOP_CHARACTERS].strip()
    return f"{language.day(line.at)} {shop} {visit.printed_money(line.money)}{told}"


def _payment(visit: Visit, place: Place) -> Shown:
    """Where it stands, as STATUS tells it; of what is over, what became of the money."""
    payment = visit.own(place.payment_id)
    if payment is None:
        return show(visit, MENU)
    if payment.is_waiting:
        return show(visit, Place(screen=Screen.PAY, payment_id=payment.id))
    standing = standing_of(visit.unit, payment)
    if standing is None:
        line = statement_line(payment, visit.desk.zone)
        return _filled(visit, replace(place, text=""), "payment", **receipt_fields(line, visit.language))
    time = visit.time(standing.until_ms or 0)
    amount = _amount(visit, payment, standing)
    return _filled(visit, replace(place, text=standing.template), standing.template, amount=amount, time=time)


def _amount(visit: Visit, payment: Payment, standing: Standing) -> str:
    minor = standing.minor or payment.captured_minor or payment.amount.amount_minor
    return visit.printed_money(Money(minor, payment.amount.currency))


def _goods(visit: Visit, place: Place) -> Shown:
    """What waits in escrow no more is shown as it stands by now."""
    payment = visit.own(place.payment_id)
    standing = None if payment is None else standing_of(visit.unit, payment)
    if payment is None or standing is None or standing.template not in IN_ESCROW:
        return show(visit, replace(place, screen=Screen.PAYMENT))
    return _filled(visit, place, "goods", amount=_amount(visit, payment, standing))


def _limit(visit: Visit, place: Place) -> Shown:
    currency = visit.desk.currency
    if limit_elsewhere(visit.consumer, currency, visit.unit.now_ms) is not None:
        return _filled(visit, place, "limit_elsewhere")
    limit = present_limit(visit.consumer, currency, visit.unit.now_ms)
    used = visit.printed(used_today(visit.unit, visit.consumer, currency, visit.desk.zone))
    if limit is None:
        return _filled(visit, place, "limit_none", used=used)
    return _filled(visit, place, "limit", limit=visit.printed(limit), used=used)


def _secret(visit: Visit, place: Place) -> Shown:
    """A screen that wants the PIN is no use while it is locked."""
    locked = visit.locked_pin()
    if locked is not None:
        return show(visit, ussd_pay.pin_locked(locked))
    return _filled(visit, place, place.text or place.screen.value)


def _language(visit: Visit, place: Place) -> Shown:
    catalogues = visit.desk.catalogues
    codes = [code for code in sorted(catalogues.languages) if not place.pages or code > place.pages[-1]]
    alphabet = visit.language.alphabet
    # A name in letters that the screen does not have is written by its code.
    names = [_name(visit, code) if alphabet == "gsm" else catalogues.language(code).name for code in codes]
    return _list(visit, place, "language", names, codes)


def _name(visit: Visit, code: str) -> str:
    language = visit.desk.catalogues.language(code)
    return language.name if language.alphabet == "gsm" else code


def _resume(visit: Visit, place: Place) -> Shown:
    back_to = place.back_to
    assert back_to is not None
    if back_to.screen is not Screen.PAY:
        return _filled(visit, place, "resume")
    payment = visit.waits(back_to.payment_id)
    return show(visit, MENU) if payment is None else _filled(visit, place, "resume_pay", **_about(visit, payment, 0))


def _list(visit: Visit, place: Place, key: str, lines: list[str], ids: list[str]) -> Shown:
    """A page of *lines*, of which the place keeps what they stand for."""
    alphabet = visit.language.alphabet
    around = units(visit.screen(key, lines="", shop=place.shop), alphabet)
    text, count = page(lines, visit.units_max - around, visit.screen("more"), alphabet)
    behind = ids[count - 1] if count < len(ids) else ""
    return _filled(visit, replace(place, choices=tuple(ids[:count]), more=behind), key, lines=text)


_BUILDERS: Final[Mapping[Screen, Callable[[Visit, Place], Shown]]] = {
    Screen.MENU: _menu,
    Screen.WAITING: _waiting,
    Screen.PAY: _pay,
    Screen.ITEMS: _items,
    Screen.HISTORY: _history,
    Screen.PAYMENT: _payment,
    Screen.GOODS: _goods,
    Screen.LIMIT: _limit,
    Screen.LIMIT_PIN: _secret,
    Screen.PIN_OLD: _secret,
    Screen.LANGUAGE: _language,
    Screen.RESUME: _resume,
}
