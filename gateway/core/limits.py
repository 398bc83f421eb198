"""Limits of money: how much, and how often, a phone, a merchant or a carrier may, and whether one more is too much.

Pure judgement. What was used is counted by the store; days and months are those of the carrier's time zone, and a month
may begin on another day than the first, as the carrier's bills do.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gateway.core.bounds import CountOrNone

Scope = Literal["phone", "merchant", "carrier"]
Period = Literal["day", "month"]
PERIODS: Final[tuple[Period, ...]] = ("day", "month")
# A day that every month has.
DayOfMonth = Annotated[int, Meta(ge=1, le=28, description="a day that every month has, 1 to 28")]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.limits]`. Amounts in minor units of the carrier's currency; 0: no limit."""

    profile: str = ""
    """A name of `PROFILES`, whose limits hold where nothing else is written."""
    month_starts_on: DayOfMonth = 1
    payment_amount: CountOrNone = 0
    phone_day_count: CountOrNone = 0
    phone_day_amount: CountOrNone = 0
    phone_month_count: CountOrNone = 0
    phone_month_amount: CountOrNone = 0
    merchant_day_count: CountOrNone = 0
    merchant_day_amount: CountOrNone = 0
    merchant_month_count: CountOrNone = 0
    merchant_month_amount: CountOrNone = 0
    carrier_day_count: CountOrNone = 0
    carrier_day_amount: CountOrNone = 0
    carrier_month_count: CountOrNone = 0
    carrier_month_amount: CountOrNone = 0

    def most(self, scope: Scope, period: Period) -> "Use":
        """How much there may be of it; 0 in either part is no limit."""
        return Use(getattr(self, f"{scope}_{period}_count"), getattr(self, f"{scope}_{period}_amount"))


NO_LIMITS: Final = Limits()


class Profile(NamedTuple):
    """What a country's law lets a carrier bill for others."""

    currency: str
    limits: Mapping[str, int]


PROFILES: Final[Mapping[str, Profile]] = {
    # Directive (EU) 2015/2366, Article 3 (l): 50 EUR a payment, 300 EUR a month for each subscriber.
    "eu-telecom": Profile("EUR", {"payment_amount": 5_000, "phone_month_amount": 30_000}),
    # The Payment Services Regulations 2017, schedule 1, part 2: 40 GBP and 240 GBP.
    "uk-telecom": Profile("GBP", {"payment_amount": 4_000, "phone_month_amount": 24_000}),
}
"""By name. Each holds in its own currency only."""


def profile_mistake(name: str, currency: str) -> str | None:
    """Why a carrier of *currency* cannot have the profile *name*."""
    if not name:
        return None
    if name not in PROFILES:
        return f"expected one of {', '.join(PROFILES)}, got {name!r}"
    wanted = PROFILES[name].currency
    return None if currency == wanted else f"{name} is in {wanted}, the carrier's currency is {currency}"


class Use(NamedTuple):
    """Payments and their sum in minor units."""

    payments: int
    amount_minor: int

    def plus(self, amount_minor: int) -> "Use":
        """With one payment more."""
        return Use(self.payments + 1, self.amount_minor + amount_minor)

    def minus(self, amount_minor: int) -> "Use":
        """With one payment less."""
        return Use(self.payments - 1, self.amount_minor - amount_minor)


NOTHING: Final = Use(0, 0)


@lru_cache(maxsize=1024)
def limited(limits: Limits, *scopes: Scope) -> tuple[tuple[Scope, Period, Use], ...]:
    """What is limited in *scopes*, and to how much."""
    every = ((scope, period, limits.most(scope, period)) for scope in scopes for period in PERIODS)
    return tuple(one for one in every if one[2] != NOTHING)


def is_over(most: Use, used: Use, amount_minor: int) -> bool:
    """Whether one more payment of *amount_minor* would be more than *most*."""
    then = used.plus(amount_minor)
    return 0 < most.payments < then.payments or 0 < most.amount_minor < then.amount_minor


def own_limit(
    consumer_limit_minor: int | None, next_minor: int | None, next_at_ms: int | None, now_ms: int
) -> int | None:
    """The limit a day that a phone's owner set, as it holds at *now_ms*, in minor units; None: there is none.

    *next_minor* takes the place of *consumer_limit_minor* from *next_at_ms* on.
    """
    if next_at_ms is not None and now_ms >= next_at_ms:
        return next_minor
    return consumer_limit_minor


def begins_ms(period: Period, at_ms: int, zone: tzinfo, month_starts_on: int = 1) -> int:
    """When the day or month of *at_ms* began there."""
    return int(_first(period, at_ms, zone, month_starts_on).timestamp()) * 1000


def name_of(period: Period, at_ms: int, zone: tzinfo, month_starts_on: int = 1) -> str:
    """`2026-11-25` or `2026-11`: the day or month of *at_ms* there; `2026-11+15`: the month that began on that day.

    Later ones sort later, also where the day on which months begin was changed.
    """
    first = _first(period, at_ms, zone, month_starts_on)
    if period == "day":
        return f"{first:%Y-%m-%d}"
    return f"{first:%Y-%m}" if month_starts_on == 1 else f"{first:%Y-%m}+{month_starts_on:02d}"


def _first(period: Period, at_ms: int, zone: tzinfo, month_starts_on: int) -> datetime:
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "day":
        return midnight
    if midnight.day < month_starts_on:
        midnight = midnight.replace(day=1) - timedelta(days=1)
    return midnight.replace(day=month_starts_on)


def period_of(name: str) -> Period:
    """What *name* is the name of."""
    return "day" if name.count("-") == 2 else "month"
