"""Caps on asks: how often shops may make one phone ring, and when not. Pure judgement; the store counts.

Two kinds, kept apart so that a request is no way to learn about a phone's other business: what concerns this shop and
this phone only is told to the shop (`Later`); what other shops or wrong codes have used up is not (`is_spent`), such a
request ends like one to a phone that takes none.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from gateway.core.bounds import CountOrNone, NotNegative
from gateway.core.country import COUNTRIES, DEFAULT, Country
from gateway.core.limits import NO_LIMITS, Limits

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
# The text that a limit was passed is sent once in this time, and counts as an ask.
OVER_LIMIT_COOL_DOWN_MS: Final = HOUR_MS
# Whoever has ordered by text so short a while ago expects the ask, at night as well.
PRESENT_AFTER_ORDER_MS: Final = HOUR_MS

_QUIET: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
QuietHours = Annotated[str, Meta(pattern=rf"^(?:{_QUIET.pattern})?\Z", description="HH:MM-HH:MM, or empty for none")]
Percent = Annotated[int, Meta(ge=0, le=100, description="a whole number, 0 to 100")]


class Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.caps]`. 0 (or empty): no such cap."""

    open_per_merchant: CountOrNone = 1
    asks_per_hour: CountOrNone = 3
    asks_per_day: CountOrNone = 10
    refusal_pause_s: NotNegative = 600.0
    refusals_per_day: CountOrNone = 3
    reports_per_day: CountOrNone = 3
    wrong_codes_per_day: CountOrNone = 10
    lock_s: NotNegative = 1800.0
    quiet_hours: QuietHours = "21:00-08:00"
    pumping_asks_min: CountOrNone = 50
    pumping_answer_percent: Percent = 10
    pumping_pause_s: NotNegative = 3600.0

    @property
    def watches_refusals(self) -> bool:
        return bool(self.refusal_pause_s or self.refusals_per_day)


NO_CAPS: Final = Caps(
    open_per_merchant=0,
    asks_per_hour=0,
    asks_per_day=0,
    refusal_pause_s=0,
    refusals_per_day=0,
    reports_per_day=0,
    wrong_codes_per_day=0,
    quiet_hours="",
    pumping_asks_min=0,
)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier allows. Without any, nothing is limited and days are those of UTC."""

    limits: Limits = NO_LIMITS
    caps: Caps = NO_CAPS
    zone: tzinfo = UTC
    country: Country = COUNTRIES[DEFAULT]

    @property
    def is_free(self) -> bool:
        """Nothing is limited or capped."""
        return self.caps == NO_CAPS and self.limits == NO_LIMITS


NO_TERMS: Final = Terms()


class Later(NamedTuple):
    """Not now: a code of the error catalogue, when to come again, and why."""

    code: str
    until_ms: int
    detail: str


def open_asks(caps: Caps, ends_ms: Sequence[int]) -> Later | None:
    """*ends_ms*: when each ask of this shop that waits at this phone ends."""
    if not 0 < caps.open_per_merchant <= len(ends_ms):
        return None
    return Later("too_many_asks", min(ends_ms), "a request of yours waits at this phone already")


def refusals(caps: Caps, refused_ms: Sequence[int], now_ms: int) -> Later | None:
    """*refused_ms*: when this phone refused this shop, in the last two days."""
    if not refused_ms:
        return None
    last_ms = max(refused_ms)
    in_a_day = sum(last_ms - DAY_MS < at_ms <= last_ms for at_ms in refused_ms)
    is_tired = 0 < caps.refusals_per_day <= in_a_day
    until_ms = last_ms + (DAY_MS if is_tired else round(caps.refusal_pause_s * 1000))
    return (
        Later("too_many_asks", until_ms, "this phone has refused you a short while ago") if until_ms > now_ms else None
    )


def is_spent(caps: Caps, asked_ms: Sequence[int], now_ms: int) -> bool:
    """*asked_ms*: when this phone was asked by any shop, in the last day."""
    in_hour = sum(at_ms > now_ms - HOUR_MS for at_ms in asked_ms)
    in_day = sum(at_ms > now_ms - DAY_MS for at_ms in asked_ms)
    return 0 < caps.asks_per_hour <= in_hour or 0 < caps.asks_per_day <= in_day


def quiet_until_ms(caps: Caps, now_ms: int, zone: tzinfo) -> int | None:
    """When the quiet hours end, if it is quiet now."""
    match = _QUIET.fullmatch(caps.quiet_hours)
    if match is None:
        return None
    begins, ends = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    local = datetime.fromtimestamp(now_ms // 1000, UTC).astimezone(zone)
    minute = local.hour * 60 + local.minute
    is_quiet = begins <= minute < ends if begins <= ends else minute >= begins or minute < ends
    if not is_quiet:
        return None
    ends_at = local.replace(hour=ends // 60, minute=ends % 60, second=0)
    if ends < minute:
        ends_at += timedelta(days=1)  # By the clock on the wall, whose hour may go twice, or not at all, until then.
    return int(ends_at.timestamp()) * 1000


def block_of(msisdn: str) -> str:
    """The number without its last three digits: who pumps asks neighbours."""
    return msisdn[:-3]


def is_pumping(caps: Caps, asked: int, answered: int) -> bool:
    """Whether so few answers to so many asks are no chance."""
    return 0 < caps.pumping_asks_min <= asked and answered * 100 < asked * caps.pumping_answer_percent
