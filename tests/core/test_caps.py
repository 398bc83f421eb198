"""Caps on asks, each at its edge."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gateway.core.caps import (
    DAY_MS,
    HOUR_MS,
    NO_CAPS,
    Caps,
    block_of,
    is_pumping,
    is_spent,
    open_asks,
    quiet_until_ms,
    refusals,
)

NOW = 1_800_000_000_000
NAIROBI = ZoneInfo("Africa/Nairobi")
CAPS = Caps()


def test_one_ask_of_a_shop_waits_at_a_phone_and_the_next_may_come_when_it_ends() -> None:
    assert open_asks(CAPS, []) is None
    later = open_asks(CAPS, [NOW + 9, NOW + 5])
    assert later is not None and (later.code, later.until_ms) == ("too_many_asks", NOW + 5)
    assert open_asks(msgspec.structs.replace(CAPS, open_per_merchant=3), [NOW, NOW]) is None


def test_three_asks_an_hour_and_ten_a_day_are_enough() -> None:
    hour = [NOW - 1, NOW - 2, NOW - HOUR_MS + 1]
    assert is_spent(CAPS, hour, NOW)
    assert not is_spent(CAPS, hour, NOW + 1), "the oldest is an hour old"
    day = [NOW - 2 * HOUR_MS] * 9 + [NOW - DAY_MS + 1]
    assert is_spent(CAPS, day, NOW)
    assert not is_spent(CAPS, day, NOW + 1)


@pytest.mark.parametrize(
    ("ago_ms", "until_ms"),
    [
        ([600_000], None),
        ([599_999], NOW + 1),
        ([599_999, HOUR_MS], NOW + 1),
        # The third within a day: silence for a day after it, however old the first has become.
        ([HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS], NOW + DAY_MS - HOUR_MS),
        ([DAY_MS - 1, DAY_MS, 2 * DAY_MS - 2], NOW + 1),
        ([DAY_MS, DAY_MS, DAY_MS], None),
        ([HOUR_MS, DAY_MS, DAY_MS + HOUR_MS], None),
        ([], None),
    ],
)
def test_after_a_refusal_a_shop_waits_and_after_three_it_waits_a_day(ago_ms: list[int], until_ms: int | None) -> None:
    later = refusals(CAPS, [NOW - ago for ago in ago_ms], NOW)
    assert (None if later is None else later.until_ms) == until_ms


def local(text: str) -> int:
    return int(datetime.fromisoformat(f"2026-11-25T{text}+03:00").timestamp() * 1000)


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        ("21:00-08:00", "20:59:59", None),
        ("21:00-08:00", "21:00:00", "08:00 the next day"),
        ("21:00-08:00", "07:59:30", "08:00"),
        ("21:00-08:00", "08:00:00", None),
        ("12:00-13:30", "12:10:00", "13:30"),
        ("12:00-13:30", "13:30:00", None),
        ("12:00-12:00", "12:00:00", None),
        ("", "23:00:00", None),
    ],
)
def test_quiet_hours_are_those_of_the_carriers_clock(hours: str, at: str, until: str | None) -> None:
    quiet_ms = quiet_until_ms(msgspec.structs.replace(CAPS, quiet_hours=hours), local(at), NAIROBI)
    if until is None:
        assert quiet_ms is None
    else:
        time, _, next_day = until.partition(" ")
        assert quiet_ms == local(f"{time}:00") + (DAY_MS if next_day else 0)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        pytest.param("2026-03-28T22:30+01:00", "2026-03-29T08:00+02:00", id="an hour is left out"),
        pytest.param("2026-03-29T01:59+01:00", "2026-03-29T08:00+02:00", id="just before it"),
        pytest.param("2026-10-24T22:30+02:00", "2026-10-25T08:00+01:00", id="an hour goes twice"),
        pytest.param("2026-10-25T02:30+02:00", "2026-10-25T08:00+01:00", id="the first time"),
        pytest.param("2026-10-25T02:30+01:00", "2026-10-25T08:00+01:00", id="the second time"),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall_when_it_is_changed_in_the_night(at: str, until: str) -> None:
    now_ms, until_ms = (int(datetime.fromisoformat(text).timestamp()) * 1000 for text in (at, until))
    assert quiet_until_ms(CAPS, now_ms, ZoneInfo("Europe/Paris")) == until_ms


@pytest.mark.parametrize("hours", ["9-10", "24:00-08:00", "21:00-8:00", "21:00-08:00 ", "night"])
def test_other_ways_to_write_hours_are_mistakes(hours: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"quiet_hours": hours}, Caps)


def test_fifty_asks_with_four_answers_are_pumping_and_with_five_they_are_not() -> None:
    assert is_pumping(CAPS, 50, 4) and not is_pumping(CAPS, 50, 5)
    assert not is_pumping(CAPS, 49, 0)


def test_without_caps_nothing_is_too_much() -> None:
    assert open_asks(NO_CAPS, [NOW] * 1000) is None
    assert refusals(NO_CAPS, [NOW] * 1000, NOW) is None
    assert not is_spent(NO_CAPS, [NOW] * 1000, NOW)
    assert not is_pumping(NO_CAPS, 10**6, 0)


def test_a_block_is_a_thousand_neighbours() -> None:
    assert block_of("+254712345678") == block_of("+254712345000") == "+254712345"
