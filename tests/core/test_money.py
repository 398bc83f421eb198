"""Money: what is accepted, how it is printed, and what a person may type for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.gsm import BASE
from gateway.core.money import (
    AMOUNT_MINOR_MAX,
    EXPONENTS,
    PROVIDER_EXPONENTS,
    Money,
    exponent,
    format_amount,
    format_money,
    money,
    parse_amount,
)

CURRENCIES = st.sampled_from(sorted(EXPONENTS))
AMOUNTS = st.integers(1, AMOUNT_MINOR_MAX)


@pytest.mark.parametrize(
    ("currency", "places"),
    [
        ("KES", 2),
        ("TZS", 2),
        ("UGX", 0),
        ("RWF", 0),
        ("XOF", 0),
        ("XAF", 0),
        ("TND", 3),
        ("USD", 2),
        ("EUR", 2),
        ("GHS", 2),
        ("NGN", 2),
        ("ZAR", 2),
        ("INR", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("MGA", 2),
        ("ETB", 2),
        ("CDF", 2),
    ],
)
def test_exponents_are_those_of_iso_4217(currency: str, places: int) -> None:
    assert exponent(currency) == places


def test_every_code_of_the_table_has_three_capitals() -> None:
    assert len(EXPONENTS) > 150
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in EXPONENTS)


def test_a_provider_may_count_a_currency_otherwise() -> None:
    assert exponent("KES", "wallet_stk") == 0
    assert exponent("KES", "opbill") == exponent("KES") == 2
    assert all(currency in EXPONENTS for _, currency in PROVIDER_EXPONENTS)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "message"),
    [
        (0, "KES", "got 0"),
        (-1, "KES", "got -1"),
        (AMOUNT_MINOR_MAX + 1, "KES", "got 1000000000001"),
        (True, "KES", "got bool"),
        (1.0, "KES", "got float"),
        ("1", "KES", "got str"),
        (1, "XXX", "got 'XXX'"),
        (1, "kes", "got 'kes'"),
        (1, "", "got ''"),
    ],
)
def test_what_is_no_money_is_refused_with_what_came(amount_minor: int, currency: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"expected .*{message}"):
        money(amount_minor, currency)


def test_limits_belong_to_the_range() -> None:
    assert money(1, "KES") == Money(1, "KES")
    assert money(AMOUNT_MINOR_MAX, "UGX") == Money(AMOUNT_MINOR_MAX, "UGX")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Money(125000, "KES"), "KES 1,250.00"),
        (Money(5, "KES"), "KES 0.05"),
        (Money(1250000, "UGX"), "UGX 1,250,000"),
        (Money(1250000, "TND"), "TND 1,250.000"),
        (Money(-125000, "KES"), "KES -1,250.00"),
    ],
)
@pytest.mark.parametrize("language", ["en", "sw", "xx"])
def test_amounts_are_printed_with_code_groups_and_all_places(amount: Money, text: str, language: str) -> None:
    assert format_money(amount, language) == text
    assert f"{amount.currency} {format_amount(amount, language)}" == text


@given(AMOUNTS, CURRENCIES, st.sampled_from(["en", "sw"]))
def test_what_is_printed_can_be_typed_back_and_is_gsm(amount_minor: int, currency: str, language: str) -> None:
    text = format_money(Money(amount_minor, currency), language)
    assert set(text) <= set(BASE)
    assert parse_amount(text, currency) == amount_minor
    assert (
        parse_amount(format_amount(Money(amount_minor, currency), language).replace(",", ""), currency) == amount_minor
    )


@pytest.mark.parametrize(
    "text",
    [
        "1250",
        "1,250",
        "1 250",
        "1'250",
        "1250.00",
        "1,250.00",
        "1250,00",
        "1 250,00",
        "KES 1250",
        "kes1250",
        "Ksh 1,250",
        "ksh.1250",
        "1250/=",
        "1250/-",
        "1250=",
        "1250 bob",
        "1250 KES",
        "sh 1250/=",
        "١٢٥٠",
        "１２５０",
        " 1250 ",
        "1250.0",
    ],
)
def test_people_write_1250_shillings_in_many_ways(text: str) -> None:
    assert parse_amount(text, "KES") == 125000


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "KES",
        "1.250,50",
        "1.250",
        "1,250,50",
        "1,25,0",
        "12 50",
        "-1250",
        "+1250",
        "1e3",
        "1250.505",
        "0",
        "0.00",
        "1.2.3",
        "1250 USD",
        "UGX 1250",
        "125O",
        "1k",
        "1,250.50.1",
        "1..5",
        ".50",
        "1250,",
        "NaN",
        "inf",
        "9" * 14,
        "1250" * 30,
        "1 1250",
        "1,2500",
        "½",
        "1250-1300",
        "1250 or 1300",
    ],
)
def test_what_is_unclear_is_no_amount(text: str) -> None:
    assert parse_amount(text, "KES") is None


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1250.00", "UGX", 1250),
        ("1250.50", "UGX", None),
        ("1.000", "UGX", None),
        ("1,250", "UGX", 1250),
        ("1250", "TND", 1250000),
        ("1.250", "TND", 1250),
        ("1,250", "TND", None),
        ("1,250.5", "TND", 1250500),
        ("12.5", "KES", 1250),
        ("$12.50", "USD", 1250),
        ("5000 FCFA", "XOF", 5000),
        ("10000000001", "KES", None),
        ("10000000000", "KES", AMOUNT_MINOR_MAX),
    ],
)
def test_an_amount_is_read_with_its_currencys_places(text: str, currency: str, minor: int | None) -> None:
    assert parse_amount(text, currency) == minor


@given(st.text(max_size=50), CURRENCIES)
def test_any_text_is_an_amount_in_range_or_none(text: str, currency: str) -> None:
    minor = parse_amount(text, currency)
    assert minor is None or 1 <= minor <= AMOUNT_MINOR_MAX


def test_an_unknown_currency_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="got 'ABC'"):
        parse_amount("1", "ABC")
