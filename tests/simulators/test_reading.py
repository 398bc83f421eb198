"""Can a simulated person find the code in every ask that the gateway sends, and in nothing else?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.reading import codes_in, says_low_balance, wrong_codes
from tests.simulators.asks import ASKS, FILLS, LANGUAGES, TEXTS, rendered

NO_CODE = sorted(set(TEXTS["en"]) - {*ASKS, "several", "several_tax", "item_unnamed", "tax_note"})


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("key", ASKS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_code_is_found_in_every_ask(language: str, key: str, fill: str) -> None:
    text = rendered(language, key, fill)
    assert codes_in(text) == [FILLS[fill]["code"]], text


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("key", ["several", "several_tax"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_both_codes_are_found_where_there_is_a_choice(language: str, key: str, fill: str) -> None:
    text = rendered(language, key, fill)
    assert codes_in(text) == [FILLS[fill]["code"], FILLS[fill]["code2"]], text


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("key", NO_CODE)
@pytest.mark.parametrize("language", LANGUAGES)
def test_there_is_no_code_in_what_asks_for_none(language: str, key: str, fill: str) -> None:
    text = rendered(language, key, fill)
    assert codes_in(text) == [], text


@pytest.mark.parametrize("key", sorted(TEXTS["en"]))
@pytest.mark.parametrize("language", LANGUAGES)
def test_only_the_text_about_a_low_balance_makes_somebody_top_up(language: str, key: str) -> None:
    assert says_low_balance(rendered(language, key)) == key.startswith("low_balance")


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Reply 4831 to PAY KES 1250 or 0 to refuse", ["4831"]),
        ("KES 1250 to Asha. Reply 0 to refuse, 4831 to pay", ["4831"]),
        ("Your code is 4831", []),
        ("Ref 4831. PAID KES 1250.00 at 14:35", []),
        ("Reply DISPUTE 4411 if it was not you", []),
        ("Call +254700123456 or 0700 123456", []),
        ("Reply the code to PAY, 0 to refuse. Call 0800 22345", []),
        ("回碼付款，0拒絕。電0800 22345", []),
        ("Réponds? Répondez 4831 pour payer, 0 pour refuser", ["4831"]),
        ("付款請回 4831，拒絕請回 0", ["4831"]),
        ("", []),
    ],
)
def test_words_are_read_and_not_templates(text: str, codes: list[str]) -> None:
    assert codes_in(text) == codes


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_too_odd_to_be_read(text: str) -> None:
    assert all(code.isdigit() for code in codes_in(text))
    says_low_balance(text)


@settings(deadline=None)
@given(st.sampled_from(["1000", "9999", "0000", "4831", "100000", "999999", "483127"]), st.integers(1, 3))
def test_wrong_codes_are_of_the_same_length_and_never_right(code: str, count: int) -> None:
    wrong = wrong_codes(code, count)
    assert len(set(wrong) - {code}) == count
    assert all(len(one) == len(code) and not one.startswith("0") for one in wrong)
