"""One-time codes: which may be used, that all of those are equally likely, and that a taken one is passed over."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.codes import allowed, amount_spellings, choose_code, derive_code, key_id, key_of
from gateway.core.money import Money

KEY = bytes(range(32))
ALLOWED_OF_FOUR = [code for code in (f"{n:04d}" for n in range(10_000)) if allowed(code)]


@pytest.mark.parametrize("code", ["4821", "7390", "1000", "9998", "2100", "1899", "482193", "1235", "190000", "202611"])
def test_ordinary_digits_may_be_a_code(code: str) -> None:
    assert allowed(code)


@pytest.mark.parametrize(
    "code",
    [
        "0482",
        "1111",
        "9999",
        "1234",
        "4321",
        "6789",
        "7890",
        "8901",
        "9876",
        "2109",
        "1999",
        "2026",
        "1900",
        "2099",
        "123456",
        "654321",
        "111111",
        "012345",
        "",
        "482",
        "48210937001",
        "48a1",
        "４８２１",
        "-482",
        "48 1",
    ],
)
def test_what_people_type_by_accident_may_not(code: str) -> None:
    assert not allowed(code)


def test_nearly_nine_in_ten_four_digit_numbers_remain() -> None:
    by_rule = {
        code
        for code in (f"{n:04d}" for n in range(1000, 10_000))
        if len(set(code)) > 1
        and code[:2] not in ("19", "20")
        and {(int(b) - int(a)) % 10 for a, b in itertools.pairwise(code)} not in ({1}, {9})
    }
    assert set(ALLOWED_OF_FOUR) == by_rule


@given(st.binary(min_size=16, max_size=32), st.text(max_size=40), st.integers(0, 50), st.sampled_from([4, 6]))
def test_a_derived_code_is_allowed_and_always_the_same(key: bytes, payment_id: str, n: int, digits: int) -> None:
    code = derive_code(key, payment_id, n, digits)
    assert allowed(code)
    assert len(code) == digits
    assert code == derive_code(key, payment_id, n, digits)


def test_codes_stay_what_they_are() -> None:
    """A code is derived again after a restart, perhaps by a newer version: these values may never change."""
    assert [derive_code(KEY, "pay_1", n, 4) for n in range(3)] == ["6860", "3454", "9235"]
    assert derive_code(KEY, "pay_1", 0, 6) == "424881"


def test_key_payment_and_counter_all_matter() -> None:
    codes = {derive_code(KEY, "pay_1", 0, 6), derive_code(KEY[::-1], "pay_1", 0, 6), derive_code(KEY, "pay_2", 0, 6)}
    assert len(codes | {derive_code(KEY, "pay_1", 1, 6)}) == 4


def test_all_allowed_codes_are_equally_likely() -> None:
    draws = 60_000
    first_two = Counter(derive_code(KEY, "pay_1", n, 4)[:2] for n in range(draws))
    room = Counter(code[:2] for code in ALLOWED_OF_FOUR)
    # Pearson's chi-square; 87 degrees of freedom, 99.999 % lie under 160. The draws are fixed, so is the result.
    expected = {head: draws * count / len(ALLOWED_OF_FOUR) for head, count in room.items()}
    assert set(first_two) == set(room)
    assert sum((first_two[head] - want) ** 2 / want for head, want in expected.items()) < 160


def test_a_taken_code_is_passed_over() -> None:
    first, n = choose_code(KEY, "pay_1", 4, ())
    assert (first, n) == (derive_code(KEY, "pay_1", 0, 4), 0)
    second, n = choose_code(KEY, "pay_1", 4, {first})
    assert (second, n) == (derive_code(KEY, "pay_1", 1, 4), 1)
    assert second != first


@given(st.integers(0, 100))
def test_the_stored_counter_finds_the_code_again(start: int) -> None:
    code, n = choose_code(KEY, "pay_1", 4, {"4821"}, start)
    assert n >= start
    assert choose_code(KEY, "pay_1", 4, (), n) == (code, n)


def test_no_free_code_is_an_error_and_no_endless_search() -> None:
    with pytest.raises(ValueError, match="expected a free code of 4 digits"):
        choose_code(KEY, "pay_1", 4, ALLOWED_OF_FOUR)


@pytest.mark.parametrize("digits", [0, 3, 9])
def test_codes_have_four_to_eight_digits(digits: int) -> None:
    with pytest.raises(ValueError, match="digits: expected 4 to 8"):
        derive_code(KEY, "pay_1", 0, digits)


@pytest.mark.parametrize(
    ("amount", "spellings"),
    [
        (Money(125000, "KES"), {"125000", "1250"}),
        (Money(1250, "UGX"), {"1250"}),
        (Money(1250000, "TND"), {"1250000", "1250"}),
    ],
)
def test_an_amount_is_spelt_with_and_without_its_minor_units(amount: Money, spellings: set[str]) -> None:
    assert amount_spellings(amount) == spellings


def test_a_payment_keeps_the_key_that_it_was_begun_with() -> None:
    new, old, lost = b"n" * 32, b"o" * 32, b"l" * 32
    assert key_of((new, old), key_id(old)) == old
    assert key_of((new, old), key_id(new)) == new
    assert key_of((new, old), "") == old, "from before there were ids"
    assert key_of((new, old), key_id(lost)) == new
    assert len({key_id(key) for key in (new, old, lost)}) == 3
