"""Logging in to the statement page: numbers and codes as people type them, and which codes a phone may be sent."""

import pytest

from gateway.core.codes import allowed
from gateway.core.logins import (
    CODE_LIVES_MS,
    CODES_PER_DAY,
    CODES_PER_HOUR,
    DAY_MS,
    HOUR_MS,
    LOCK_MS,
    TRIES_MAX,
    Login,
    code_of,
    may_send,
    typed_code,
    typed_msisdn,
)

NOW_MS = 40 * DAY_MS
KEY = bytes(range(32))


def a_login(ago_ms: int = 0, tries: int = 0, ended_at_ms: int | None = None) -> Login:
    return Login(
        id="lgn_1",
        visit="v",
        consumer_id="csm_1",
        code_key="k",
        tries=tries,
        ended_at_ms=ended_at_ms,
        at_ms=NOW_MS - ago_ms,
    )


@pytest.mark.parametrize(
    "typed",
    [
        *("+254712345678", "254712345678", "00254712345678", "0712345678", "712345678", " 0712 345-678 "),
        *("+254 (0)712 345 678".replace("(0)", ""), "٠٧١٢٣٤٥٦٧٨", "＋254712345678", "０７１２３４５６７８"),
    ],
)
def test_a_number_is_the_same_however_it_is_typed(typed: str) -> None:
    assert typed_msisdn(typed, "+254") == "+254712345678"


@pytest.mark.parametrize("typed", ["", "my phone", "12", "+", "+0712345678", "9" * 30, "' OR 1=1 --", "\0"])
def test_what_is_no_number_is_none(typed: str) -> None:
    assert typed_msisdn(typed, "+254") is None


def test_without_a_country_a_number_is_typed_whole() -> None:
    assert typed_msisdn("254712345678", "") == "+254712345678"
    assert typed_msisdn("0712345678", "") is None


def test_a_national_number_may_begin_with_the_countrys_digits() -> None:
    assert typed_msisdn("2542345678", "+254") == "+2542542345678"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("482913", "482913"),
        (" 482 913 ", "482913"),
        ("４８２９１３", "482913"),
        ("48291", ""),
        ("4829137", ""),
        ("x", ""),
    ],
)
def test_a_code_is_six_digits_whatever_stands_between_them(typed: str, code: str) -> None:
    assert typed_code(typed) == code


def test_a_code_is_derived_from_its_login_and_key_and_nobody_types_it_by_accident() -> None:
    codes = {code_of(KEY, f"lgn_{number}") for number in range(500)}
    assert len(codes) > 490 and all(len(code) == 6 and allowed(code) for code in codes)
    assert code_of(KEY, "lgn_1") == code_of(KEY, "lgn_1") != code_of(KEY[::-1], "lgn_1")


@pytest.mark.parametrize(
    ("label", "earlier", "may"),
    [
        ("the first one", [], True),
        ("the last of an hour", [a_login(HOUR_MS - 1)] * (CODES_PER_HOUR - 1), True),
        ("one too many in an hour", [a_login(HOUR_MS - 1)] * CODES_PER_HOUR, False),
        ("an hour later", [a_login(HOUR_MS)] * CODES_PER_HOUR, True),
        ("one too many in a day", [a_login(DAY_MS - 1)] * CODES_PER_DAY, False),
        ("a day later", [a_login(DAY_MS)] * CODES_PER_DAY, True),
        ("tried to its end", [a_login(1, tries=TRIES_MAX)], False),
        ("nearly so", [a_login(1, tries=TRIES_MAX - 1)], True),
        ("still locked", [a_login(CODE_LIVES_MS + LOCK_MS - 1, tries=TRIES_MAX)], False),
        ("locked no more", [a_login(CODE_LIVES_MS + LOCK_MS, tries=TRIES_MAX)], True),
    ],
)
def test_how_many_codes_a_phone_is_sent(label: str, earlier: list[Login], may: bool) -> None:
    assert may_send(earlier, NOW_MS) is may, label


@pytest.mark.parametrize(
    ("label", "login", "is_live"),
    [
        ("new", a_login(), True),
        ("nearly too old", a_login(CODE_LIVES_MS - 1), True),
        ("too old", a_login(CODE_LIVES_MS), False),
        ("used", a_login(ended_at_ms=NOW_MS), False),
        ("the last try", a_login(tries=TRIES_MAX - 1), True),
        ("tried too often", a_login(tries=TRIES_MAX), False),
    ],
)
def test_which_codes_count(label: str, login: Login, is_live: bool) -> None:
    assert login.is_live(NOW_MS) is is_live, label
