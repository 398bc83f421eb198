"""USSD sessions: where a person stands in the menus, and what the next input means. Pure.

`turn` takes a place and one input and names the next place or an act; who performs acts answers with the place that
they lead to. Which of a step's inputs are new says `fresh`, so that a step that comes twice does nothing twice. What
stands on a screen is not known here, but for what a person chose from: the place keeps the choices as they were shown.

Digits that choose are one or two, digits of a PIN or a code four to six: no input can be taken for the other.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.core.pay_codes import DIGITS_MAX, DIGITS_MIN
from gateway.core.pins import is_pin
from gateway.core.words import fold

RESUME_WITHIN_MS: Final = 600_000
"""Whoever dials again within this time finds the place again."""
REPEATED_WITHIN_MS: Final = 2_000
"""Nobody reads a screen and types the same again in less: where steps have no numbers it is the last one once more."""
INPUT_CHARACTERS_MAX: Final = 40
EXIT: Final = "00"
BACK: Final = "0"
MORE: Final = "98"
REFUSE_ALL: Final = "7"
OTHER_AMOUNT: Final = "7"
PAY_THE_SHOP: Final = "8"
"""Nothing on the way to where it counts is chosen by it, so that no input of that way which comes again pays."""
NOT_ME: Final = "9"
AGREED: Final = "status_agreed"
"""The text of a payment that was agreed to and can still be refused."""
IN_ESCROW: Final = frozenset({"status_escrow", "goods_sent"})
"""The texts of a payment that the buyer's word gives to the shop."""


class Screen(StrEnum):
    """The screens. Each has a text of its name, or several that begin with it."""

    MENU = "menu"
    WAITING = "waiting"
    PAY = "pay"
    SHOP = "shop"
    SHOP_STOPPED = "shop_stopped"
    ITEMS = "items"
    AMOUNT = "amount"
    HISTORY = "history"
    PAYMENT = "payment"
    GOODS = "goods"
    """Asks once more before the shop is paid out of escrow."""
    REASONS = "reasons"
    LIMIT = "limit"
    LIMIT_AMOUNT = "limit_amount"
    LIMIT_PIN = "limit_pin"
    PIN = "pin"
    PIN_OLD = "pin_old"
    PIN_NEW = "pin_new"
    PIN_AGAIN = "pin_again"
    LANGUAGE = "language"
    STOP = "stop"
    STOP_SHOP = "stop_shop"
    RESUME = "resume"
    TOLD = "told"
    """The outcome of something, after which the menu goes on."""
    OVER = "over"
    """The outcome of something that ends the session."""


SECRET: Final = frozenset({Screen.PAY, Screen.LIMIT_PIN, Screen.PIN_OLD, Screen.PIN_NEW, Screen.PIN_AGAIN})
"""What is typed here is a PIN or a code. It counts only if the screen was shown before: nobody consents by dialling."""


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A screen and what belongs to it. Never what was typed."""

    screen: Screen
    text: str = ""
    """Which text tells what happened: of TOLD and OVER, or in place of the screen's own ("that was wrong").

    On PAYMENT: where it stands, if it is not over.
    """
    payment_id: str = ""
    merchant_id: str = ""
    shop: str = ""
    pay_code_id: str = ""
    """On AMOUNT: what is typed is paid by this code; otherwise the shop is told."""
    minor: int = 0
    """What a screen is about, in minor units; of one about a payment 0 is the price."""
    count: int = 0
    until_ms: int = 0
    wants: str = ""
    """On PAY: `pin` or `code`, as the screen says."""
    code_n: int | None = None
    """On PAY: which of the payment's asks the screen stands for, by the counter of its code; None: it was not shown."""
    proof: str = ""
    """On PIN_AGAIN: the keyed hash of the new PIN."""
    is_proven: bool = False
    """On PIN_NEW: the old PIN was typed, or there is none."""
    disputes: bool = False
    """On HISTORY: whoever chooses a payment wants to dispute it."""
    choices: tuple[str, ...] = ()
    """What the numbers on the screen stand for, from 1 on."""
    pages: tuple[str, ...] = ()
    """Behind which choice each page begins, up to this one."""
    more: str = ""
    """Behind which the next page would begin."""
    back_to: "Place | None" = None
    """On RESUME."""
    is_closed: bool = False
    """The network has said that nobody sees it any more. Whoever dials again soon finds it all the same."""
    mark: str = ""
    """Of the input that led here, if its channel numbers none (`mark_of`)."""


MENU: Final = Place(screen=Screen.MENU)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session as it stands."""

    id: str
    """Ours."""
    carrier: str
    session_id: str
    """The channel's."""
    consumer_id: str
    place: Place
    consumed: int = 0
    """How many inputs were taken."""
    answer: str = ""
    goes_on: bool = True
    is_live: bool = True
    """No newer session of this phone has begun, and it did not come to its end."""
    began_at_ms: int
    at_ms: int


def fresh(consumed: int, first: int | None, inputs: Sequence[str]) -> Sequence[str]:
    """Those of *inputs* that are new to a session that took *consumed*; none of a step that is old or has a gap."""
    if first is None:
        return inputs
    if first > consumed:
        return ()
    return inputs[consumed - first :]


def mark_of(key: bytes, session_id: str, typed: str) -> str:
    """By what *typed* is known if it comes again. Without *key*, which is not in the database, it says nothing."""
    return hmac.digest(key, f"ussd/{session_id}/{typed}".encode(), "sha256")[:8].hex()


def is_repeat(session: Session, mark: str, now_ms: int) -> bool:
    """Whether an input of this *mark* is the last one of *session* once more."""
    return mark != "" and mark == session.place.mark and now_ms - session.at_ms < REPEATED_WITHIN_MS


def resumed(earlier: Session | None, now_ms: int) -> Place:
    """Where a phone begins that dialled the plain code: at the menu, or where it was cut off a short while ago."""
    if earlier is None or not (earlier.is_live and earlier.goes_on) or now_ms - earlier.at_ms > RESUME_WITHIN_MS:
        return MENU
    place = earlier.place
    if place.screen is Screen.RESUME and place.back_to is not None:
        place = place.back_to
    if place.screen is Screen.PIN_AGAIN:
        place = Place(screen=Screen.PIN_NEW, is_proven=True)
    if place.screen in (Screen.MENU, Screen.TOLD):
        return MENU
    return Place(screen=Screen.RESUME, back_to=replace(place, text=""))


@dataclass(frozen=True, slots=True)
class Facts:
    """What the next place depends on."""

    waiting: tuple[str, ...]
    """Ids of the payments that may be paid here."""
    has_pin: bool


@dataclass(frozen=True, slots=True)
class Act:
    """Something to be done; whoever does it names the place that it leads to."""


@dataclass(frozen=True, slots=True)
class Consent(Act):
    payment_id: str
    wants: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refuse(Act):
    payment_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report(Act):
    """It was not the owner's purchase."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class GotGoods(Act):
    """What waits in escrow is the shop's."""

    payment_id: str


@dataclass(frozen=True, slots=True)
class FindShop(Act):
    keyword: str


@dataclass(frozen=True, slots=True)
class Order(Act):
    amount_text: str


@dataclass(frozen=True, slots=True)
class BuyItem(Act):
    item_id: str


@dataclass(frozen=True, slots=True)
class PayByCode(Act):
    code: str


@dataclass(frozen=True, slots=True)
class SendReceipt(Act):
    payment_id: str


@dataclass(frozen=True, slots=True)
class Dispute(Act):
    payment_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetLimit(Act):
    amount_text: str


@dataclass(frozen=True, slots=True)
class RaiseLimit(Act):
    minor: int
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PinAct(Act):
    """`screen` says which of the PINs was typed."""

    screen: Screen
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ForgetPin(Act):
    pass


@dataclass(frozen=True, slots=True)
class ChooseLanguage(Act):
    code: str


@dataclass(frozen=True, slots=True)
class StopAll(Act):
    pass


@dataclass(frozen=True, slots=True)
class StopShop(Act):
    keyword: str


@dataclass(frozen=True, slots=True)
class StartAll(Act):
    pass


@dataclass(frozen=True, slots=True)
class StartShop(Act):
    merchant_id: str


DELIBERATE: Final = (GotGoods, ForgetPin, StartAll, StartShop)
"""What gives money away or takes a protection off. It counts only if the screen on which it is chosen was shown before:
nobody does it by dialling what somebody has told them to dial."""
REASONS: Final = ("not_agreed", "charged_twice", "not_received", "wrong_amount", "other")
"""Why a payment is disputed, by the number on the screen."""

BYE: Final = Place(screen=Screen.OVER, text="bye")
Turn = Place | Act
_Rule = Callable[[Place, str, Facts], Turn]


def turn(place: Place, typed: str, facts: Facts) -> Turn:
    """What *typed* at *place* means. What means nothing leads to the same place, whose screen is shown again."""
    # Read like a text, digits of every script among it. Who is used to dialling ends with # what is typed here, too.
    text = fold(typed).strip().removesuffix("#").rstrip()[:INPUT_CHARACTERS_MAX]
    if text == EXIT:
        return BYE
    return _RULES[place.screen](place, text, facts)


def _menu(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "1":
            return _waiting_or_one(facts)
        case "6":
            return Place(screen=Screen.PIN) if facts.has_pin else Place(screen=Screen.PIN_NEW, is_proven=True)
        case _ if _is_like_pay_code(text):
            return PayByCode(text)  # `*384*48217#`
        case _:
            return _MENU.get(text, MENU)


_MENU: Final = {
    "2": Place(screen=Screen.SHOP),
    "3": Place(screen=Screen.HISTORY),
    "4": Place(screen=Screen.HISTORY, disputes=True),
    "5": Place(screen=Screen.LIMIT),
    "7": Place(screen=Screen.LANGUAGE),
    "8": Place(screen=Screen.STOP),
}


def _waiting_or_one(facts: Facts) -> Place:
    match facts.waiting:
        case ():
            return Place(screen=Screen.TOLD, text="waiting_none")
        case (only,):
            return Place(screen=Screen.PAY, payment_id=only)
        case _:
            return Place(screen=Screen.WAITING)


def _waiting(place: Place, text: str, facts: Facts) -> Turn:
    if text == REFUSE_ALL:
        return Refuse(facts.waiting) if facts.waiting else Place(screen=Screen.TOLD, text="waiting_none")
    chosen = _chosen(place, text)
    return _turned(place, text, MENU) if chosen is None else Place(screen=Screen.PAY, payment_id=chosen)


def _pay(place: Place, text: str, facts: Facts) -> Turn:
    if text == BACK:
        return Refuse((place.payment_id,))
    if text == NOT_ME:
        return Report(place.payment_id)
    if is_pin(text) and place.wants == ("pin" if facts.has_pin else "code"):
        return Consent(place.payment_id, place.wants, text)
    return place


def _shop(place: Place, text: str, facts: Facts) -> Turn:
    if text == BACK:
        return MENU
    if _is_like_pay_code(text):
        return PayByCode(text)
    return FindShop(text) if text else place


def _shop_stopped(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "0":
            return MENU
        case "1":
            return StartShop(place.merchant_id)
        case _:
            return place


def _is_like_pay_code(text: str) -> bool:
    """No shop's name is all digits."""
    return text.isascii() and text.isdigit() and DIGITS_MIN <= len(text) <= DIGITS_MAX


def _items(place: Place, text: str, facts: Facts) -> Turn:
    if text == OTHER_AMOUNT:
        return replace(place, screen=Screen.AMOUNT, choices=(), pages=(), more="")
    chosen = _chosen(place, text)
    return _turned(place, text, Place(screen=Screen.SHOP)) if chosen is None else BuyItem(chosen)


def _amount(place: Place, text: str, facts: Facts) -> Turn:
    return Place(screen=Screen.SHOP) if text == BACK else Order(text)


def _history(place: Place, text: str, facts: Facts) -> Turn:
    chosen = _chosen(place, text)
    if chosen is None:
        return _turned(place, text, MENU)
    screen = Screen.REASONS if place.disputes else Screen.PAYMENT
    return replace(place, screen=screen, payment_id=chosen, choices=(), more="")


def _payment(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "0":
            return replace(place, screen=Screen.HISTORY, payment_id="", text="")
        case "1":
            return SendReceipt(place.payment_id)
        case "2":
            return replace(place, screen=Screen.REASONS, text="")
        case "3" if place.text in IN_ESCROW:
            return replace(place, screen=Screen.GOODS, text="")
        case "7" if place.text == AGREED:
            return Refuse((place.payment_id,))
        case "9":
            return Report(place.payment_id)
        case _:
            return place


def _goods(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "0":
            return replace(place, screen=Screen.PAYMENT)
        case _ if text == PAY_THE_SHOP:
            return GotGoods(place.payment_id)
        case _:
            return place


def _reasons(place: Place, text: str, facts: Facts) -> Turn:
    if text == BACK:
        back = Screen.HISTORY if place.disputes else Screen.PAYMENT
        return replace(place, screen=back)
    number = _number(text)
    return Dispute(place.payment_id, REASONS[number - 1]) if 1 <= number <= len(REASONS) else place


def _limit(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "0":
            return MENU
        case "1":
            return Place(screen=Screen.LIMIT_AMOUNT)
        case "2":
            return SetLimit("0")
        case _:
            return place


def _limit_amount(place: Place, text: str, facts: Facts) -> Turn:
    return Place(screen=Screen.LIMIT) if text == BACK else SetLimit(text)


def _limit_pin(place: Place, text: str, facts: Facts) -> Turn:
    if text == BACK:
        return Place(screen=Screen.LIMIT)
    return RaiseLimit(place.minor, text) if is_pin(text) else place


def _pin(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "0":
            return MENU
        case "1":
            return Place(screen=Screen.PIN_OLD)
        case "2":
            return ForgetPin()
        case _:
            return place


def _pin_typed(place: Place, text: str, facts: Facts) -> Turn:
    if text == BACK:
        return MENU
    return PinAct(place.screen, text) if is_pin(text) else place


def _language(place: Place, text: str, facts: Facts) -> Turn:
    chosen = _chosen(place, text)
    return _turned(place, text, MENU) if chosen is None else ChooseLanguage(chosen)


def _stop(place: Place, text: str, facts: Facts) -> Turn:
    match text:
        case "0":
            return MENU
        case "1":
            return StopAll()
        case "2":
            return Place(screen=Screen.STOP_SHOP)
        case "3":
            return StartAll()
        case _:
            return place


def _stop_shop(place: Place, text: str, facts: Facts) -> Turn:
    return Place(screen=Screen.STOP) if text == BACK else StopShop(text) if text else place


def _resume(place: Place, text: str, facts: Facts) -> Turn:
    back_to = place.back_to
    assert back_to is not None
    match text:
        case "1" if back_to.screen is Screen.PIN_NEW and facts.has_pin:
            return Place(screen=Screen.PIN_OLD)  # Somebody else may have dialled.
        case "1":
            return back_to
        case "2":
            return MENU
        case "0" if back_to.screen is Screen.PAY:
            return Refuse((back_to.payment_id,))
        case "9" if back_to.screen is Screen.PAY:
            return Report(back_to.payment_id)
        case _:
            return place


def _told(place: Place, text: str, facts: Facts) -> Turn:
    return MENU


def _chosen(place: Place, text: str) -> str | None:
    number = _number(text)
    return place.choices[number - 1] if 1 <= number <= len(place.choices) else None


def _number(text: str) -> int:
    return int(text) if len(text) == 1 and "1" <= text <= "9" else 0


def _turned(place: Place, text: str, above: Place) -> Place:
    """The page behind or before this one; before the first one is *above*."""
    if text == MORE and place.more:
        return replace(place, pages=(*place.pages, place.more), choices=(), more="")
    if text == BACK:
        return replace(place, pages=place.pages[:-1], choices=(), more="") if place.pages else above
    return place


_RULES: Final[Mapping[Screen, _Rule]] = {
    Screen.MENU: _menu,
    Screen.WAITING: _waiting,
    Screen.PAY: _pay,
    Screen.SHOP: _shop,
    Screen.SHOP_STOPPED: _shop_stopped,
    Screen.ITEMS: _items,
    Screen.AMOUNT: _amount,
    Screen.HISTORY: _history,
    Screen.PAYMENT: _payment,
    Screen.GOODS: _goods,
    Screen.REASONS: _reasons,
    Screen.LIMIT: _limit,
    Screen.LIMIT_AMOUNT: _limit_amount,
    Screen.LIMIT_PIN: _limit_pin,
    Screen.PIN: _pin,
    Screen.PIN_OLD: _pin_typed,
    Screen.PIN_NEW: _pin_typed,
    Screen.PIN_AGAIN: _pin_typed,
    Screen.LANGUAGE: _language,
    Screen.STOP: _stop,
    Screen.STOP_SHOP: _stop_shop,
    Screen.RESUME: _resume,
    Screen.TOLD: _told,
    Screen.OVER: _told,
}
