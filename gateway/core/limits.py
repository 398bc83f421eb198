"""Limits of money: how much, and how often, a phone, a merchant or a carrier may, and whether one more is too much.

Pure judgement. What was used is counted by the store; days and months are those of the carrier's time zone.
"""

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

from gateway.core.bounds import CountOrNone

Scope = Literal["phone", "merchant", "carrier"]
Period = Literal["day", "month"]
PERIODS: Final[tuple[Period, ...]] = ("day", "month")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.limits]`. Amounts in minor units of the carrier's currency; 0: no limit."""

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


def begins_ms(period: Period, at_ms: int, zone: tzinfo) -> int:
    """When the day or month of *at_ms* began there."""
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = first if period == "day" else first.replace(day=1)
    return int(first.timestamp()) * 1000


def name_of(period: Period, at_ms: int, zone: tzinfo) -> str:
    """`2026-11-25` or `2026-11`: the day or month of *at_ms* there."""
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    return f"{local:%Y-%m-%d}" if period == "day" else f"{local:%Y-%m}"


def period_of(name: str) -> Period:
    """What *name* is the name of."""
    return "day" if len(name) == len("2026-11-25") else "month"
