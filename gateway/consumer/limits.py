"""LIMIT and BAL: what the phone's owner lets be charged a day.

By text, and on the statement page, a limit is only set or lowered: whoever has the phone in hand could raise it. A
higher one needs the PIN, on USSD, or a person at the care line. That it is kept to is the business of each new request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import ClassVar, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from carriers import base
from gateway.core.asks import WORST_CASE
from gateway.core.keywords import Limit
from gateway.core.limits import begins_ms, own_limit
from gateway.core.money import Money, format_money, parse_amount
from gateway.engine.inbox import Inbound
from gateway.engine.sim_checks import asked_again
from gateway.store.outbox import OutboxRow
from gateway.store.rows import Consumer, Phone
from gateway.store.unit import Needs, Unit

# Whoever has the phone in hand for a moment cannot raise the limit and use it.
RAISE_AFTER_MS: Final = 24 * 3600 * 1000
MINUTE_MS: Final = 60_000


class Limits:
    """The handlers, for one set of carriers."""

    def __init__(self, zones: Mapping[str, ZoneInfo], currencies: Mapping[str, str]) -> None:
        """Both by carrier."""
        self._zones = zones
        self._currencies = currencies

    def limit(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, Limit)
        if not command.amount_text:
            self.balance(inbound)
            return
        currency = self._currencies[inbound.mo.carrier]
        minor = typed_limit(command.amount_text, currency)
        if minor is None:
            inbound.answer("limit_format")
            return
        self._set(inbound, minor, currency)

    def balance(self, inbound: Inbound) -> None:
        """What counts now, and what was used of it today."""
        currency = self._currencies[inbound.mo.carrier]
        elsewhere = limit_elsewhere(inbound.consumer, currency, inbound.unit.now_ms)
        if elsewhere is not None:
            inbound.answer("limit_elsewhere", limit=format_money(elsewhere, inbound.language))
            return
        limit = present_limit(inbound.consumer, currency, inbound.unit.now_ms)
        used = self._used(inbound, currency)
        if limit is None:
            inbound.answer("limit_none", used=used)
        else:
            inbound.answer("limit", limit=_printed(inbound, limit, currency), used=used)

    def _set(self, inbound: Inbound, minor: int, currency: str) -> None:
        became = lower_limit(inbound.unit, inbound.consumer, minor, currency)
        present = present_limit(inbound.consumer, currency, inbound.unit.now_ms)
        if present is None:
            self.balance(inbound)
        elif became == "limit_higher":
            inbound.answer(became, limit=_printed(inbound, present, currency))
        else:
            inbound.answer(became, limit=_printed(inbound, present, currency), used=self._used(inbound, currency))

    def _used(self, inbound: Inbound, currency: str) -> str:
        zone = self._zones[inbound.mo.carrier]
        return _printed(inbound, used_today(inbound.unit, inbound.consumer, currency, zone), currency)


@cache
def limit_most(currency: str) -> Money:
    """The highest limit: every text has room for it."""
    room = WORST_CASE["limit"]
    nines = (Money(10**digits - 1, currency) for digits in range(room, 0, -1))
    return next(one for one in nines if len(format_money(one, "en")) <= room)


def typed_limit(text: str, currency: str) -> int | None:
    """Minor units out of what a person types for a limit a day, 0 to `limit_most`; None if it is none."""
    minor = parse_amount(text, currency, least_minor=0)
    return minor if minor is not None and minor <= limit_most(currency).amount_minor else None


Became = Literal["limit_set", "limit_higher", "limit_elsewhere"]


def lower_limit(unit: Unit, consumer: Consumer, minor: int, currency: str) -> Became:
    """Set a first limit or a lower one: more takes a proof. The result names the text that tells what came of it.

    Nothing was changed unless it is `limit_set`.
    """
    if limit_elsewhere(consumer, currency, unit.now_ms) is not None:
        return "limit_elsewhere"
    present = present_limit(consumer, currency, unit.now_ms)
    if present is not None and minor > present:
        return "limit_higher"
    set_limit(unit, consumer, minor, currency)
    return "limit_set"


def set_limit(unit: Unit, consumer: Consumer, minor: int, currency: str) -> int | None:
    """Set the own limit a day. A lower one holds at once (None), a higher one from the time that is returned."""
    assert limit_elsewhere(consumer, currency, unit.now_ms) is None, "a phone has one limit, and it does not vanish"
    present = present_limit(consumer, currency, unit.now_ms)
    unit.touch(consumer)
    consumer.limit_currency = currency
    if present is None or minor <= present:
        consumer.limit_minor, consumer.limit_next_minor, consumer.limit_next_at_ms = minor, None, None
        return None
    at_ms = _raised_at_ms(consumer, minor, unit.now_ms)
    consumer.limit_minor, consumer.limit_next_minor, consumer.limit_next_at_ms = present, minor, at_ms
    return at_ms


def waits_for_sim(unit: Unit, consumer: Consumer, carrier: str, minor: int, currency: str) -> bool:
    """Whether this limit would be a higher one, which *carrier* must say first that the SIM is not fresh for."""
    present = present_limit(consumer, currency, unit.now_ms)
    return unit.policy.rules[carrier].sim is not None and present is not None and minor > present


def ask_about_sim(unit: Unit, consumer: Consumer, carrier: str, minor: int, currency: str, language: str) -> None:
    """Let the higher limit wait for the carrier's word on the SIM; nothing is set before, and a text follows."""
    rule = unit.policy.rules[carrier].sim
    assert rule is not None
    body = {
        "minor": minor,
        "currency": currency,
        "present_minor": present_limit(consumer, currency, unit.now_ms),
        "language": language,
        "answer_by_ms": unit.now_ms + rule.answer_within_ms,
    }
    unit.effects.ask_about_sim("sim_limit", carrier, consumer.id, body)


@dataclass(slots=True)
class LimitSimDone:
    """What the carrier said of the SIM of a phone that wants a higher limit."""

    row: OutboxRow
    answer: base.SimResult

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return Needs(consumer_ids=(str(self.row.consumer_id),))

    def run(self, unit: Unit) -> None:
        if asked_again(unit, self.row, self.answer):
            return
        unit.complete(self.row.id)
        body, consumer = self.row.body, unit.consumer_by_id(str(self.row.consumer_id))
        if present_limit(consumer, body["currency"], unit.now_ms) != body["present_minor"]:
            return  # The phone has set another one meanwhile, and its last word holds.
        if self._is_allowed(unit):
            at_ms = set_limit(unit, consumer, body["minor"], body["currency"])
            self._tell(unit, "limit_later", body["minor"], at_ms)
        else:
            self._tell(unit, "limit_sim", body["present_minor"])

    def _tell(self, unit: Unit, template: str, minor: int, until_ms: int | None = None) -> None:
        body = self.row.body
        fields = {"limit": format_money(Money(minor, body["currency"]), body["language"])}
        consumer_id = str(self.row.consumer_id)
        unit.effects.send_text(consumer_id, body["carrier"], template, body["language"], fields, until_ms=until_ms)

    def _is_allowed(self, unit: Unit) -> bool:
        if isinstance(self.answer, base.SimUnknown):
            rule = unit.policy.rules[self.row.body["carrier"]].sim
            return rule is not None and rule.on_error == "allow"
        return isinstance(self.answer, base.SimSettled)


class LimitOutcome(StrEnum):
    """What came of a limit that a person at the care line was asked for."""

    SET = "set"
    LATER = "later"
    CHECKED = "checked"
    ELSEWHERE = "elsewhere"


@dataclass(slots=True, kw_only=True)
class LimitByCare:
    """A person at the care line has made sure who asks, and sets the phone's limit. A text tells the phone."""

    phone: Phone
    carrier: str
    limit: Money
    zone: ZoneInfo
    language: str
    """Of a phone that chose none."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(phones=(self.phone,))

    def run(self, unit: Unit) -> LimitOutcome:
        consumer, minor, currency = unit.consumer(self.phone), self.limit.amount_minor, self.limit.currency
        if limit_elsewhere(consumer, currency, unit.now_ms) is not None:
            return LimitOutcome.ELSEWHERE
        language = consumer.language or self.language
        if waits_for_sim(unit, consumer, self.carrier, minor, currency):
            ask_about_sim(unit, consumer, self.carrier, minor, currency, language)
            return LimitOutcome.CHECKED
        at_ms = set_limit(unit, consumer, minor, currency)
        tell_limit(unit, consumer, self.limit, carrier=self.carrier, zone=self.zone, language=language, at_ms=at_ms)
        return LimitOutcome.SET if at_ms is None else LimitOutcome.LATER


def tell_limit(
    unit: Unit, consumer: Consumer, limit: Money, *, carrier: str, zone: ZoneInfo, language: str, at_ms: int | None
) -> None:
    """Queue the text that tells the phone which limit was set elsewhere than by text, and from when it counts."""
    used = Money(used_today(unit, consumer, limit.currency, zone), limit.currency)
    fields = {"limit": format_money(limit, language), "used": format_money(used, language)}
    template = "limit_set" if at_ms is None else "limit_later"
    unit.effects.send_text(consumer.id, carrier, template, language, fields, until_ms=at_ms)


def used_today(unit: Unit, consumer: Consumer, currency: str, zone: ZoneInfo) -> int:
    return unit.records.spent(consumer.id, currency, since_ms=begins_ms("day", unit.now_ms, zone))


def present_limit(consumer: Consumer, currency: str, now_ms: int) -> int | None:
    """The limit that counts now. One in another currency limits nothing here."""
    now = standing_limit(consumer, now_ms).now
    return now.amount_minor if now is not None and now.currency == currency else None


def limit_elsewhere(consumer: Consumer, currency: str, now_ms: int) -> Money | None:
    """The limit that the phone has in another currency. None in *currency* may take its place, which would end it."""
    now = standing_limit(consumer, now_ms).now
    return now if now is not None and now.currency != currency else None


class Standing(NamedTuple):
    """A phone's own limit. `now` None: there is none; `later`: a higher one that waits for its time."""

    now: Money | None
    later: Money | None = None
    later_at_ms: int = 0


def standing_limit(consumer: Consumer, now_ms: int) -> Standing:
    """In whatever currency it is."""
    later_minor, at_ms, currency = consumer.limit_next_minor, consumer.limit_next_at_ms, consumer.limit_currency
    minor = own_limit(consumer.limit_minor, later_minor, at_ms, now_ms)
    now = None if minor is None else Money(minor, currency)
    if later_minor is None or at_ms is None or now_ms >= at_ms:
        return Standing(now)
    return Standing(now, Money(later_minor, currency), at_ms)


def _raised_at_ms(consumer: Consumer, minor: int, now_ms: int) -> int:
    """When a higher limit begins, in whole minutes: the printed time is the true one."""
    next_minor, next_at_ms = consumer.limit_next_minor, consumer.limit_next_at_ms
    if next_at_ms is not None and now_ms < next_at_ms and next_minor is not None and minor <= next_minor:
        return next_at_ms  # No more than was asked for before: it has waited since then.
    return -(-(now_ms + RAISE_AFTER_MS) // MINUTE_MS) * MINUTE_MS


def _printed(inbound: Inbound, minor: int, currency: str) -> str:
    return format_money(Money(minor, currency), inbound.language)
