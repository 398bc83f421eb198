"""The merchant's words in an ask: harmless ones remain, whatever the merchant writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.description import clean_description
from gateway.core.gsm import is_gsm


@pytest.mark.parametrize(
    ("description", "item"),
    [
        ("Bread", "Bread"),
        ("2 loaves of brown bread", "2 loaves of"),
        ("Café crème", "Café crème"),
        ("garçon", "garcon"),
        ("iPhone-15 case", "iPhone 15 case"),
        ("Don't panic", "Don't panic"),
        ("Supercalifragilistic", "Supercalifragili"),
        ("pay 4821 now", "now"),
        ("Reply 4821 to PAY", "to"),
        ("order 12345 shoes", "order shoes"),
        ("48 21 shoes", "48 shoes"),
        ("4-8-2-1", "4 8 2"),
        ("0 refuse", ""),
        ("free. Reply 0", ""),
        ("http://evil.example/pay shoes", "shoes"),
        ("bit.ly/x", ""),
        ("www evil", "evil"),
        ("mail me@x.com", "mail"),
        ("\u202etxet\u202c live", "txet live"),
        ("a\x00b\x1bc\nd", "abc d"),
        ("面包", ""),
        ("", ""),
        ("{code}", ""),
        ("٤٨٢١ shoes", "shoes"),
        ("４８２１ shoes", "shoes"),
        ("€5 [gift] ^ ~", "5 gift"),
    ],
)
def test_of_a_description_only_harmless_words_remain(description: str, item: str) -> None:
    assert clean_description(description) == item


@given(st.text(max_size=60))
def test_no_description_looks_like_a_code_or_costs_a_second_segment(description: str) -> None:
    item = clean_description(description)
    assert len(item) <= 16
    assert is_gsm(item)
    assert all(c.isalnum() or c in " '-" for c in item)
    assert sum(c.isdigit() for c in item) <= 3
    assert item == item.strip()


@pytest.mark.parametrize(
    ("description", "item"),
    [
        ("麵包", "麵包"),
        ("麵包 2 個", "麵包 2 個"),
        ("iPhone手機殼", "iPhone 手機殼"),
        ("請回4821付款", ""),
        ("免費麵包", ""),
        ("麵包 免費 牛奶", "麵包 牛奶"),
        ("不扣款", ""),
        ("驗證碼", ""),
        ("麵包。回覆4821", "麵包"),
        ("４８２１ 麵包", "麵包"),
        ("Лавка 麵包", "麵包"),
        ("麵" * 20, "麵" * 16),
        ("https://x.co/麵包 牛奶", "牛奶"),
        ("Bread", "Bread"),
    ],
)
def test_where_the_ask_is_in_han_the_item_may_be_too(description: str, item: str) -> None:
    assert clean_description(description, "ucs2") == item


@pytest.mark.parametrize(
    "word", ["RÉPONDEZ", "payer", "Gratuit", "refuser", "aide", "débité", "frais", "confirmer", "code"]
)
def test_french_words_of_ours_are_left_out(word: str) -> None:
    assert clean_description(f"pain {word} noir") == "pain noir"


@given(st.text(st.sampled_from("麵包回免費4821 付款a0０不要.,。（"), max_size=60))
def test_no_description_in_han_looks_like_a_code_or_an_order(description: str) -> None:
    item = clean_description(description, "ucs2")
    assert len(item) <= 16
    assert sum(c.isdigit() for c in item) <= 3
    assert not any(ours in item for ours in ("回", "免費", "付款", "不"))
