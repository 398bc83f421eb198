"""Statement pages that fit a segment and lose no line, and the fields of an itemised receipt."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.asks import KEYS
from gateway.core.gsm import encode_gsm, encode_ucs2
from gateway.core.money import Money
from gateway.core.payment import PublicState
from gateway.core.statement import (
    PAGE_UNITS_MAX,
    PAGES_MAX,
    StatementLine,
    outcome_word,
    pages,
    receipt_fields,
)

AT = datetime.fromisoformat("2026-11-23T14:35:00+03:00")


def a_line(
    *, shop: str = "Mama Asha", amount_minor: int = 125000, outcome: str = "succeeded", ref: str = "H8JTSGRC"
) -> StatementLine:
    return StatementLine(at=AT, shop=shop, money=Money(amount_minor, "KES"), ref=ref, outcome=outcome)


def test_one_line_says_day_shop_amount_and_ref() -> None:
    assert pages([a_line()], "en") == ["23/11 Mama Asha KES 1,250.00 H8JTSGRC"]


def test_what_was_not_simply_paid_says_what_became_of_it() -> None:
    assert pages([a_line(outcome="reversed")], "en") == ["23/11 Mama Asha KES 1,250.00 H8JTSGRC GIVEN BACK"]
    assert pages([a_line(outcome="reversed")], "sw") == ["23/11 Mama Asha KES 1,250.00 H8JTSGRC IMERUDISHWA"]


def test_no_payments_make_no_page() -> None:
    assert pages([], "en") == []


def test_many_lines_make_numbered_pages() -> None:
    made = pages([a_line(ref=f"REF0000{n}") for n in range(7)], "en")
    assert [page.partition("\n")[0] for page in made] == ["1/3", "2/3", "3/3"]
    assert made[0] == "1/3\n" + "\n".join(f"23/11 Mama Asha KES 1,250.00 REF0000{n}" for n in range(3))
    assert made[2] == "3/3\n23/11 Mama Asha KES 1,250.00 REF00006"


LINES = st.builds(
    a_line,
    shop=st.one_of(
        st.text(st.sampled_from("Mama Asha€[]é"), min_size=1, max_size=20), st.just("媽媽的店"), st.just("👍" * 20)
    ),
    amount_minor=st.integers(1, 10**12),
    outcome=st.sampled_from([state.value for state in PublicState]),
)


@given(st.lists(LINES, max_size=40), st.sampled_from(["en", "sw", "xx"]))
def test_every_page_fits_and_lines_keep_their_order(lines: list[StatementLine], language: str) -> None:
    made = pages(lines, language)
    assert len(made) <= PAGES_MAX
    whole = "\n".join(made)
    for page in made:
        octets = encode_gsm(page) if encode_gsm(whole) is not None else None
        if octets is not None:
            assert len(octets) <= PAGE_UNITS_MAX["gsm"]
        else:
            assert len(encode_ucs2(page)) // 2 <= PAGE_UNITS_MAX["gsm" if encode_gsm(page) is not None else "ucs2"]
    shown = [line for page in made for line in page.split("\n") if "/" in line and len(line) > 3]
    assert len(shown) == len(lines) or len(made) == PAGES_MAX


@pytest.mark.parametrize("language", ["en", "sw"])
@pytest.mark.parametrize("state", PublicState)
def test_every_public_state_has_a_word_of_at_most_15_characters(language: str, state: PublicState) -> None:
    assert 0 < len(outcome_word(state.value, language)) <= 15


def test_a_receipt_says_everything_about_one_payment() -> None:
    fields = receipt_fields(a_line(shop="Mama Asha's Bakery"), "sw")
    assert fields == {
        "shop": "Mama Asha's Bakery",
        "amount": "KES 1,250.00",
        "outcome": "IMELIPWA",
        "time": "23/11/26 14:35",
        "ref": "H8JTSGRC",
    }
    assert fields.keys() <= KEYS["receipt"]
