"""LIMIT and BAL: what the phone's owner lets be charged a day.

That it is kept to is the business of each new request, not of this page.
"""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

from gateway.core.asks import WORST_CASE, Catalogues
from gateway.core.keywords import Limit
from gateway.core.limits import begins_ms, own_limit
from gateway.core.money import Money, format_money, parse_amount
from gateway.engine.inbox import Inbound
from gateway.engine.texts import day_time
from gateway.store.rows import Consumer
from gateway.store.unit import Unit

# Whoever has the phone in hand for a moment cannot raise the limit and use it.
RAISE_AFTER_MS: Final = 24 * 3600 * 1000
MINUTE_MS: Final = 60_000


class Limits:
    """The handlers, for one set of carriers."""

    def __init__(
        self, zones: Mapping[str, ZoneInfo], currencies: Mapping[str, str], catalogues: Mapping[str, Catalogues]
    ) -> None:
        """All by carrier."""
        self._zones = zones
        self._catalogues = catalogues
        self._currencies = currencies

    def limit(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, Limit)
        if not command.amount_text:
            self.balance(inbound)
            return
        currency = self._currencies[inbound.mo.carrier]
        minor = parse_amount(command.amount_text, currency, least_minor=0)
        if minor is None or len(_printed(inbound, minor, currency)) > WORST_CASE["limit"]:
            inbound.answer("limit_format")
            return
        self._set(inbound, minor, currency)

    def balance(self, inbound: Inbound) -> None:
        """What counts now, and what was used of it today."""
        currency = self._currencies[inbound.mo.carrier]
        limit = present_limit(inbound.unit, inbound.consumer, currency)
        used = self._used(inbound, currency)
        if limit is None:
            inbound.answer("limit_none", used=used)
        else:
            inbound.answer("limit", limit=_printed(inbound, limit, currency), used=used)

    def _set(self, inbound: Inbound, minor: int, currency: str) -> None:
        printed, carrier = _printed(inbound, minor, currency), inbound.mo.carrier
        at_ms = set_limit(inbound.unit, inbound.consumer, minor, currency)
        if at_ms is None:
            inbound.answer("limit_set", limit=printed, used=self._used(inbound, currency))
            return
        language = self._catalogues[carrier].language(inbound.language)
        inbound.answer("limit_later", limit=printed, time=day_time(at_ms, self._zones[carrier], language))

    def _used(self, inbound: Inbound, currency: str) -> str:
        zone = self._zones[inbound.mo.carrier]
        return _printed(inbound, used_today(inbound.unit, inbound.consumer, currency, zone), currency)


def set_limit(unit: Unit, consumer: Consumer, minor: int, currency: str) -> int | None:
    """Set the own limit a day. A lower one holds at once (None), a higher one from the time that is returned."""
    present = present_limit(unit, consumer, currency)
    unit.touch(consumer)
    consumer.limit_currency = currency
    if present is None or minor <= present:
        consumer.limit_minor, consumer.limit_next_minor, consumer.limit_next_at_ms = minor, None, None
        return None
    at_ms = _raised_at_ms(consumer, minor, unit.now_ms)
    consumer.limit_minor, consumer.limit_next_minor, consumer.limit_next_at_ms = present, minor, at_ms
    return at_ms


def used_today(unit: Unit, consumer: Consumer, currency: str, zone: ZoneInfo) -> int:
    return unit.records.spent(consumer.id, currency, since_ms=begins_ms("day", unit.now_ms, zone))


def present_limit(unit: Unit, consumer: Consumer, currency: str) -> int | None:
    """The limit that counts now. One in another currency limits nothing here."""
    if consumer.limit_currency != currency:
        return None
    return own_limit(consumer.limit_minor, consumer.limit_next_minor, consumer.limit_next_at_ms, unit.now_ms)


def _raised_at_ms(consumer: Consumer, minor: int, now_ms: int) -> int:
    """When a higher limit begins, in whole minutes: the printed time is the true one."""
    next_minor, next_at_ms = consumer.limit_next_minor, consumer.limit_next_at_ms
    if next_at_ms is not None and now_ms < next_at_ms and next_minor is not None and minor <= next_minor:
        return next_at_ms  # No more than was asked for before: it has waited since then.
    return -(-(now_ms + RAISE_AFTER_MS) // MINUTE_MS) * MINUTE_MS


def _printed(inbound: Inbound, minor: int, currency: str) -> str:
    return format_money(Money(minor, currency), inbound.language)
