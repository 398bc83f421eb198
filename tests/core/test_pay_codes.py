"""The check digit of pay codes: every slip that it must see, tried on all codes of five digits and some of six."""

import itertools
import random

import pytest

from gateway.core.codes import choose_code, derive_code
from gateway.core.pay_codes import check_digit, is_well_formed, made

KEY = bytes(range(32))
FIVE = [made(draw, 5) for draw in range(9_000)]
SIX = [made(draw, 6) for draw in random.Random(1).sample(range(90_000), 1_000)]


def test_the_check_digit_is_the_published_one() -> None:
    """The worked example of Damm's thesis."""
    assert check_digit("572") == "4" and check_digit("5724") == "0"


def test_every_draw_makes_a_code_of_its_own_and_they_are_all() -> None:
    assert len(set(FIVE)) == 9_000
    assert sorted(FIVE) == [code for code in (str(n) for n in range(10_000, 100_000)) if is_well_formed(code)]
    assert made(9_000, 5) == made(0, 5) and {len(code) for code in SIX} == {6}


@pytest.mark.parametrize("codes", [FIVE, SIX], ids=["five digits", "six digits"])
def test_every_wrong_digit_and_every_swap_of_neighbours_is_seen(codes: list[str]) -> None:
    for code in codes:
        assert is_well_formed(code)
        for at, digit in enumerate(code):
            assert not any(
                is_well_formed(code[:at] + other + code[at + 1 :]) for other in "0123456789" if other != digit
            )
        for at, (first, second) in enumerate(itertools.pairwise(code)):
            swapped = code[:at] + second + first + code[at + 2 :]
            assert first == second or not is_well_formed(swapped)


@pytest.mark.parametrize("text", ["", "4821", "048213", "4821345", "48a13", "４８２１３", "-4821", " 48213"])
def test_what_is_no_code_is_none(text: str) -> None:
    assert not is_well_formed(text)


def test_no_new_one_time_code_has_the_shape_of_a_pay_code() -> None:
    shaped = 0
    for n in range(300):
        code, counter = choose_code(KEY, f"pay_{n}", 6, ())
        assert not is_well_formed(code) and derive_code(KEY, f"pay_{n}", counter, 6) == code
        shaped += is_well_formed(derive_code(KEY, f"pay_{n}", 0, 6))
    assert shaped > 10, "some would have had it"
