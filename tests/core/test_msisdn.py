"""Phone numbers: strict on the way in, masked on the way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.msisdn import mask, parse_msisdn


@pytest.mark.parametrize("text", ["+254712345678", "+12025550123", "+12345678", "+123456789012345", "+79161234567"])
def test_e164_is_taken_as_it_is(text: str) -> None:
    assert parse_msisdn(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "254712345678",
        "0712345678",
        "+0712345678",
        "+1234567",
        "+1234567890123456",
        "+254 712 345 678",
        "+254712345678\n",
        " +254712345678",
        "+254-712345678",
        "++254712345678",
        "+٢٥٤٧١٢٣٤٥٦٧٨",
        "+25471234567a",
        "tel:+254712345678",
    ],
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected \+ and 8 to 15 digits") as caught:
        parse_msisdn(text)
    assert len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("msisdn", "masked"),
    [
        ("+254712345678", "+254*****678"),
        ("+12025550123", "+1*****123"),
        ("+79161234567", "+7*****567"),
        ("+35812345", "+358*****45"),
        ("0712345678", "*****"),
        ("", "*****"),
        ("+254712345678 and more", "*****"),
    ],
)
def test_a_mask_keeps_the_country_and_the_last_digits(msisdn: str, masked: str) -> None:
    assert mask(msisdn) == masked


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True))
def test_a_mask_hides_at_least_three_digits(msisdn: str) -> None:
    shown = sum(c.isdigit() for c in mask(parse_msisdn(msisdn)))
    assert shown <= len(msisdn) - 1 - 3


@given(st.text(max_size=30))
def test_a_mask_never_raises(text: str) -> None:
    assert "*****" in mask(text)
