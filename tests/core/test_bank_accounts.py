"""What a bank would not take as an account is told when it is agreed on."""

import pytest

from gateway.core.bank_accounts import account_mistakes, is_iban


@pytest.mark.parametrize(
    ("account", "iban"),
    [
        *(("DE89370400440532013000", True), ("DE88370400440532013000", False), ("1100223344", False), ("", False)),
        *(("NO9386011117947", True), ("MT84MALT011000012345MTLCAST001S", True), ("KE631234567890123456", True)),
        # Their check digits are right, and Germany's have 22 characters.
        *(("DE5137040044053201300", False), ("DE543704004405320130001", False)),
    ],
)
def test_an_account_is_an_iban_by_its_length_and_its_check_digits(account: str, iban: bool) -> None:
    assert is_iban(account) is iban


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"account": "DE89370400440532013000", "bic": "COBADEFFXXX"},
        {"account": "AB12"},
        {"account": "01-1100/22.33"},
        {"account": "1" * 34},
        {"name": "Ashá & Sons <Mboga> 有限公司"},
        {"name": "A" * 70},
        {"bic": ""},
    ],
    ids=repr,
)
def test_what_a_bank_takes_is_no_mistake(fields: dict[str, str]) -> None:
    assert account_mistakes(**({"name": "Asha", "account": "1100", "bic": "KCBLKENX"} | fields)) == {}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("name", text) for text in ("", " ", "Asha\x0bLtd", "Asha\nLtd", "A\u200bB", "\ud800", "A" * 71)),
        *(("account", text) for text in ("", "DE88370400440532013000", "1" * 35, "11 00", "११", "-1", "1100\x0b")),
        *(("bic", text) for text in ("x y", "KCBLKEN", "KCBLKENXX", "KCBLKEN1X", "KCBL1ENX", "KCBLKENO")),
    ],
)
def test_what_no_bank_takes_is_a_mistake(field: str, text: str) -> None:
    mistakes = account_mistakes(**({"name": "Asha", "account": "1100", "bic": "KCBLKENX"} | {field: text}))
    assert list(mistakes) == [field] and mistakes[field].startswith("expected")


def test_how_long_an_iban_of_its_country_is_is_told() -> None:
    mistakes = account_mistakes(name="Asha", account="DE5137040044053201300", bic="")
    assert mistakes == {
        "account": "expected an IBAN of 22 characters whose check digits are right, got 'DE5137040044053201300'"
    }
