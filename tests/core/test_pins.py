"""PINs: which are taken, what wrong ones do, and what is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core import pins
from gateway.core.pins import (
    LOCK_MS,
    Pin,
    after_right,
    after_wrong,
    forgotten,
    hidden,
    is_pin,
    is_right,
    is_weak,
    made,
    may_be_in,
    present,
)

OLD, NEW = bytes(32), bytes(range(32))
NOW_MS = 1_800_000_030_000
MSISDN = "+254700123984"


def a_pin(typed: str = "3947", **changes: object) -> Pin:
    return replace(made((OLD,), "csm_1", typed, NOW_MS), **changes)


@given(st.text(alphabet="0123456789*# ٣", max_size=8))
def test_a_pin_has_four_to_six_digits_that_every_keypad_has(text: str) -> None:
    assert is_pin(text) == (4 <= len(text) <= 6 and set(text) <= set("0123456789"))


@pytest.mark.parametrize(
    ("pin", "weak"),
    [
        ("0000", True),
        ("2323", True),
        ("5556", True),
        ("4567", True),
        ("9012", True),
        ("876543", True),
        ("1987", True),
        ("2031", True),
        ("3984", True),
        ("123984", True),
        ("3947", False),
        ("198734", False),
        ("9841", False),
    ],
)
def test_what_others_would_guess_is_weak(pin: str, weak: bool) -> None:
    assert is_weak(pin, MSISDN) == weak


def test_what_is_kept_tells_neither_the_pin_nor_that_two_have_the_same() -> None:
    mine, hers = made((OLD,), "csm_1", "3947", NOW_MS), made((OLD,), "csm_2", "3947", NOW_MS)
    assert mine.mac != hers.mac and "3947" not in mine.mac
    assert is_right(mine, (OLD,), "3947") and not is_right(mine, (OLD,), "3948")


def test_the_third_wrong_one_in_a_row_locks_for_a_day_in_whole_minutes() -> None:
    pin = a_pin()
    for tries in (1, 2):
        pin = after_wrong(pin, NOW_MS)
        assert (pin.tries, pin.is_locked(NOW_MS)) == (tries, False)
    pin = after_wrong(pin, NOW_MS)
    assert pin.locked_until_ms == NOW_MS + 30_000 + LOCK_MS and pin.tries == 0
    assert pin.is_locked(NOW_MS + LOCK_MS) and not pin.is_locked(pin.locked_until_ms)


def test_a_right_one_ends_the_count_and_the_forgetting() -> None:
    pin = after_right(forgotten(after_wrong(a_pin(), NOW_MS), NOW_MS), (OLD,), "3947")
    assert (pin.tries, pin.locked_until_ms, pin.ends_at_ms) == (0, None, None)


def test_forgetting_twice_is_not_later() -> None:
    once = forgotten(a_pin(), NOW_MS)
    assert forgotten(once, NOW_MS + 1000) is once
    assert once.ends_at_ms is not None
    assert present(once, (OLD,), once.ends_at_ms - 1) is once and present(once, (OLD,), once.ends_at_ms) is None


def test_a_pin_goes_over_to_the_newest_key_when_it_is_typed() -> None:
    pin = a_pin()
    assert present(pin, (NEW, OLD), NOW_MS) is pin and present(pin, (NEW,), NOW_MS) is None
    moved = after_right(pin, (NEW, OLD), "3947")
    assert present(moved, (NEW,), NOW_MS) is moved and is_right(moved, (NEW,), "3947")
    assert moved.key == pins.key_id(NEW) != pin.key


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("3947", "****"),
        ("my pin is 3947, asha", "my pin is ****, asha"),
        ("3 9-4.7", "****"),
        ("39 47 and 3947", "**** and ****"),
        ("٣٩٤٧", "****"),
        ("1250 3947", "1250 ****"),
        ("2 3947", "2 ****"),
        ("PAY3947", "PAY****"),
        ("3948 13947 39470 394", "3948 13947 39470 394"),
        ("no digits", "no digits"),
        ("3 9 4 7" + " 0" * 800, "3 9 4 7" + " 0" * 800),
    ],
)
def test_a_pin_in_a_text_is_hidden_and_nothing_else_is(text: str, kept: str) -> None:
    assert hidden(text, a_pin(), (OLD, NEW), ()) == kept
    assert hidden(text, a_pin(), (OLD, NEW), ("3947",)) == text


@pytest.mark.parametrize(
    ("text", "known", "may_be"),
    [
        ("3947", (), True),
        ("482193", (), True),
        ("4 8 2 1", (), True),
        ("4821", ("4821",), False),
        ("48 21", ("4821",), False),
        ("4821 or 4822", ("4821",), True),
        ("12 123 1234567", (), False),
        ("", (), False),
    ],
)
def test_digits_that_are_no_live_code_may_be_a_pin(text: str, known: tuple[str, ...], may_be: bool) -> None:
    assert may_be_in(text, known) is may_be
