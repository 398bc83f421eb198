"""What the page writes, as jobs of the batch: a code that is asked for or typed, and what somebody does once inside.

Whoever is inside is judged here once more, under the lock of the phone: a session that has just ended does nothing.
"""

import hmac
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from gateway.consumer.disputes import is_disputed, tell_opened
from gateway.consumer.goods import is_received
from gateway.consumer.language import speak
from gateway.consumer.limits import lower_limit, standing_limit, tell_limit
from gateway.consumer.page.desk import PageDesk
from gateway.consumer.reports import Reporter, report_payment, tell_reported
from gateway.consumer.stops import start_shop
from gateway.core.codes import key_id, key_of
from gateway.core.ids import normalise_ref
from gateway.core.logins import DAY_MS, TRIES_MAX, Login, code_of, may_send
from gateway.core.money import Money
from gateway.core.payment import Escrow, Payment
from gateway.engine.loop_guard import may_answer
from gateway.engine.opt_outs import end_asks, start_all, stop_all, stop_shop
from gateway.store import page
from gateway.store.bars import is_locked
from gateway.store.identity import new_id
from gateway.store.queries import consumer_payment_by_ref
from gateway.store.unit import Consumer, Needs, Unit

SHOPS_ACTS: Final = ("stop", "start")
SAID_ID: Final = "page"
"""By what we know what was said here."""
GONE: Final = "gone"
"""The session counts no more."""


@dataclass(slots=True)
class CodeAsked:
    """Somebody typed a number. The result is whether a code is sent, which nobody outside may learn.

    The same is written whether *phone* is known or not, but for the text; and it changes nothing for any other browser,
    which would hear of it only where the phone is known.
    """

    desk: PageDesk
    visit: str
    phone: page.KnownPhone | None

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(consumer_ids=() if self.phone is None else (self.phone.consumer_id,))

    def run(self, unit: Unit) -> bool:
        key = unit.policy.code_key
        login = Login(id=new_id("lgn_"), visit=self.visit, consumer_id="", code_key=key_id(key), at_ms=unit.now_ms)
        consumer = None if self.phone is None else unit.consumer_by_id(self.phone.consumer_id)
        is_sent = consumer is not None and _may_have_code(unit, consumer)
        if consumer is not None and self.phone is not None and is_sent:
            login = replace(login, consumer_id=consumer.id)
            language = consumer.language or self.desk.languages[self.phone.carrier]
            unit.effects.send_text(consumer.id, self.phone.carrier, "page_code", language, {}, login=login)
        page.keep_login(unit.conn, login)
        return is_sent


def _may_have_code(unit: Unit, consumer: Consumer) -> bool:
    """Whoever types a number has not shown that it is theirs: a phone that has stopped all texts gets none of these."""
    if consumer.stopped_at_ms is not None or is_locked(unit, consumer) or consumer.retired_at_ms is not None:
        return False
    return may_send(page.codes_sent(unit.conn, consumer.id, unit.now_ms - 2 * DAY_MS), unit.now_ms)


class Typed(NamedTuple):
    """What came of a code. `left`: tries, after a wrong one."""

    outcome: Literal["right", "wrong", "locked", "old"]
    left: int = 0


@dataclass(slots=True)
class CodeTyped:
    """The result is a `Typed`; a right code begins the session *session_id*."""

    desk: PageDesk
    visit: str
    code: str
    session_id: str
    language: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Typed:
        conn, now_ms = unit.conn, unit.now_ms
        login = page.newest_login(conn, self.visit)
        if login is not None and login.tries >= TRIES_MAX:
            return Typed("locked")
        if login is None or not login.is_live(now_ms) or not page.take_try(conn, login.id):
            return Typed("old")
        right = code_of(key_of(self.desk.code_keys, login.code_key), login.id)
        is_right = hmac.compare_digest(right.encode(), self.code.encode())
        # A login without a phone was sent no code: nobody knows it, and guessing it opens nothing.
        if not is_right or not login.consumer_id or not page.is_present(conn, login.consumer_id):
            left = TRIES_MAX - login.tries - 1
            return Typed("wrong", left) if left else Typed("locked")
        page.end_login(conn, login.id, now_ms)
        page.begin_session(conn, self.session_id, login.consumer_id, self.language, now_ms)
        return Typed("right")


@dataclass(slots=True)
class Inside:
    """What somebody does who is logged in. The result is the key of the text that tells what was done, or `GONE`."""

    session_id: str
    consumer_id: str

    action: ClassVar[str] = "reply"
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(consumer_ids=(self.consumer_id,))

    def run(self, unit: Unit) -> str:
        if page.session(unit.conn, self.session_id, unit.now_ms) is None:
            return GONE
        return self.act(unit, unit.consumer_by_id(self.consumer_id))

    def act(self, unit: Unit, consumer: Consumer) -> str:
        raise NotImplementedError


@dataclass(slots=True)
class AboutPayment(Inside):
    """The same, about a payment of the phone's own."""

    ref: str

    def act(self, unit: Unit, consumer: Consumer) -> str:
        ref = normalise_ref(self.ref)
        found = None if ref is None else consumer_payment_by_ref(unit.conn, consumer.id, ref)
        payment = None if found is None else unit.payment(found.id)
        return "error_missing" if payment is None else self.say(unit, consumer, payment)

    def say(self, unit: Unit, consumer: Consumer, payment: Payment) -> str:
        raise NotImplementedError


@dataclass(slots=True)
class DisputeSent(AboutPayment):
    """A payment was wrong. The text that tells is sent once, however often the form is."""

    reason: str

    def say(self, unit: Unit, consumer: Consumer, payment: Payment) -> str:
        was_disputed = bool(payment.disputed_minor)
        if not is_disputed(unit, payment, self.reason):
            return "dispute_impossible"
        if not was_disputed:
            tell_opened(unit, unit.current([payment.id])[0])
        return "dispute_opened"


@dataclass(slots=True)
class ReportSent(AboutPayment):
    """It was not the phone's purchase. The text that tells is sent once, as with a dispute."""

    def say(self, unit: Unit, consumer: Consumer, payment: Payment) -> str:
        was_disputed = bool(payment.disputed_minor)
        by = Reporter(unit, consumer, payment.carrier, consumer.language or payment.language, SAID_ID)
        reported = report_payment(by, payment)
        is_news = reported.is_news or (bool(reported.payment.disputed_minor) and not was_disputed)
        if reported.template and is_news:
            tell_reported(unit, reported, by.language)
        return _REPORTED.get(reported.template, "reported")


_REPORTED: Final = {
    "report_charging": "reported_charging",
    "unknown_outcome": "reported_charging",
    "dispute_impossible": "reported_late",
}
"""What the page says to a report, by the text that says it by SMS, if that is more than that the shop asks no more."""


@dataclass(slots=True)
class GoodsCame(AboutPayment):
    """The buyer has the goods: what waits in escrow goes to the shop."""

    def say(self, unit: Unit, consumer: Consumer, payment: Payment) -> str:
        is_done = payment.escrow is Escrow.RELEASED or is_received(unit, payment, SAID_ID)
        return "received" if is_done else "received_impossible"


@dataclass(slots=True)
class ShopsSaid(Inside):
    """Who may ask. *merchant_id* is empty for all shops."""

    is_stop: bool
    merchant_id: str

    def act(self, unit: Unit, consumer: Consumer) -> str:
        if self.merchant_id and page.shop_of(unit.conn, self.merchant_id) is None:
            return "error_missing"
        if self.is_stop:
            self._stop(unit, consumer)
            return "is_stopped"
        if self.merchant_id:
            start_shop(unit, consumer, self.merchant_id)
        else:
            start_all(unit, consumer)
        return "is_allowed"

    def _stop(self, unit: Unit, consumer: Consumer) -> None:
        if self.merchant_id:
            stopped = stop_shop(unit, consumer, self.merchant_id, SAID_ID)
        else:
            stopped = stop_all(unit, consumer, SAID_ID)
        end_asks(unit, consumer.id, stopped.carriers, merchant_id=self.merchant_id)


@dataclass(slots=True)
class LimitTyped(Inside):
    """The most that may be charged a day. The text that tells is sent once, however often the form is.

    It is an answer like that to LIMIT: whoever changes the limit on and on makes the phone ring no oftener.
    """

    limit: Money
    carrier: str
    zone: ZoneInfo
    language: str
    """Of a phone that chose none."""

    def act(self, unit: Unit, consumer: Consumer) -> str:
        before = standing_limit(consumer, unit.now_ms)
        became = lower_limit(unit, consumer, self.limit.amount_minor, self.limit.currency)
        if standing_limit(consumer, unit.now_ms) != before and may_answer(consumer, unit.now_ms):
            language = consumer.language or self.language
            tell_limit(unit, consumer, self.limit, carrier=self.carrier, zone=self.zone, language=language, at_ms=None)
        return became


@dataclass(slots=True)
class LanguageChosen(Inside):
    """In which language the phone is written to, and the page with it."""

    language: str

    def act(self, unit: Unit, consumer: Consumer) -> str:
        speak(unit, consumer, self.language)
        return "language_set"
