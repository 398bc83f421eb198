"""Limits of money: one more than allowed is too much, exactly as much is not; days and months are the carrier's own."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gateway.core.limits import (
    NOTHING,
    PROFILES,
    Limits,
    Use,
    begins_ms,
    is_over,
    limited,
    name_of,
    own_limit,
    period_of,
    profile_mistake,
)
from gateway.core.money import EXPONENTS

NAIROBI = ZoneInfo("Africa/Nairobi")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("most", "used", "minor", "over"),
    [
        (Use(0, 0), Use(10**6, 10**12), 1, False),
        (Use(3, 0), Use(2, 10**9), 10**9, False),
        (Use(3, 0), Use(3, 0), 1, True),
        (Use(0, 500), Use(99, 400), 100, False),
        (Use(0, 500), Use(99, 400), 101, True),
        (Use(3, 500), Use(2, 100), 401, True),
        (Use(3, 500), Use(3, 100), 1, True),
    ],
)
def test_as_much_as_the_limit_is_allowed_and_one_more_is_not(most: Use, used: Use, minor: int, over: bool) -> None:
    assert is_over(most, used, minor) is over


def test_only_what_is_configured_limits() -> None:
    assert limited(Limits(), "phone", "merchant", "carrier") == ()
    some = Limits(phone_day_count=3, merchant_month_amount=500, carrier_day_count=9, carrier_day_amount=8)
    assert limited(some, "phone") == (("phone", "day", Use(3, 0)),)
    assert limited(some, "carrier", "merchant") == (
        ("carrier", "day", Use(9, 8)),
        ("merchant", "month", Use(0, 500)),
    )


@pytest.mark.parametrize(
    ("now_ms", "limit"), [(999, 500), (1000, 900), (1001, 900)], ids=["before", "at that moment", "after"]
)
def test_a_higher_limit_of_the_owner_begins_at_its_time(now_ms: int, limit: int) -> None:
    assert own_limit(500, 900, 1000, now_ms) == limit


def test_an_owner_who_set_no_limit_has_none_and_one_may_end() -> None:
    assert own_limit(None, None, None, 1) is None
    assert own_limit(500, None, None, 1) == 500
    assert own_limit(500, None, 1000, 1000) is None


def test_days_and_months_begin_at_midnight_of_the_carrier() -> None:
    late = ms("2026-11-30T22:30:00+00:00")  # It is December in Nairobi.
    assert begins_ms("day", late, NAIROBI) == ms("2026-12-01T00:00:00+03:00")
    assert begins_ms("month", late, NAIROBI) == ms("2026-12-01T00:00:00+03:00")
    assert begins_ms("month", late, UTC) == ms("2026-11-01T00:00:00+00:00")
    assert (name_of("day", late, NAIROBI), name_of("month", late, NAIROBI)) == ("2026-12-01", "2026-12")
    assert (name_of("day", late, UTC), name_of("month", late, UTC)) == ("2026-11-30", "2026-11")
    assert (period_of("2026-11-30"), period_of("2026-11")) == ("day", "month")


def test_the_day_of_a_change_of_clocks_begins_at_its_own_midnight() -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert begins_ms("day", ms("2026-03-29T12:00:00+02:00"), zone) == ms("2026-03-29T00:00:00+01:00")
    assert begins_ms("month", ms("2026-10-31T12:00:00+01:00"), zone) == ms("2026-10-01T00:00:00+02:00")


@pytest.mark.parametrize(
    ("at", "begins", "name"),
    [
        ("2026-11-15T00:00:00+03:00", "2026-11-15T00:00:00+03:00", "2026-11+15"),
        ("2026-11-14T23:59:59+03:00", "2026-10-15T00:00:00+03:00", "2026-10+15"),
        ("2026-12-31T12:00:00+03:00", "2026-12-15T00:00:00+03:00", "2026-12+15"),
        ("2027-01-01T00:00:00+03:00", "2026-12-15T00:00:00+03:00", "2026-12+15"),
        ("2027-03-01T12:00:00+03:00", "2027-02-15T00:00:00+03:00", "2027-02+15"),
    ],
    ids=["its first moment", "the last one before", "the end of a year", "new year", "a short month"],
)
def test_a_billing_month_begins_on_its_day(at: str, begins: str, name: str) -> None:
    assert begins_ms("month", ms(at), NAIROBI, 15) == ms(begins)
    assert name_of("month", ms(at), NAIROBI, 15) == name
    assert period_of(name) == "month"
    assert begins_ms("day", ms(at), NAIROBI, 15) == begins_ms("day", ms(at), NAIROBI)


def test_a_billing_month_begins_at_midnight_also_over_a_change_of_clocks() -> None:
    at = ms("2026-04-10T12:00:00+02:00")
    assert begins_ms("month", at, ZoneInfo("Europe/Berlin"), 28) == ms("2026-03-28T00:00:00+01:00")


def test_names_of_months_sort_by_their_beginning_also_after_a_change_of_the_day() -> None:
    at = ms("2026-11-20T12:00:00+03:00")
    names = [name_of("month", at, NAIROBI, day) for day in (25, 1, 15)]
    assert names == sorted(names) == ["2026-10+25", "2026-11", "2026-11+15"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_limits_that_there_are_in_a_currency_that_there_is(name: str) -> None:
    profile = PROFILES[name]
    assert profile.currency in EXPONENTS
    assert msgspec.convert(profile.limits, Limits) != Limits()
    assert profile_mistake(name, profile.currency) is None


def test_what_is_given_back_is_free_again() -> None:
    assert NOTHING.plus(500).plus(100).minus(500) == Use(1, 100)
