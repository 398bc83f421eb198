"""Statement pages that fit a segment and lose no line, and the fields of an itemised receipt."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.asks import KEYS
from gateway.core.gsm import is_gsm, segment
from gateway.core.money import Money
from gateway.core.statement import (
    OUTCOMES,
    PAGES_MAX,
    StatementLine,
    pages,
    receipt_fields,
)
from tests.core.test_asks import CATALOGUES

LANGUAGE = {code: CATALOGUES.language(code) for code in CATALOGUES.languages}
AT = datetime.fromisoformat("2026-11-23T14:35:00+03:00")


def a_line(
    *, shop: str = "Mama Asha", amount_minor: int = 125000, outcome: str = "succeeded", ref: str = "H8JTSGRC"
) -> StatementLine:
    return StatementLine(at=AT, shop=shop, money=Money(amount_minor, "KES"), ref=ref, outcome=outcome)


def texts(lines: list[StatementLine], code: str = "en") -> list[str]:
    return [page.text for page in pages(lines, LANGUAGE[code])]


def test_one_line_says_day_shop_amount_and_ref() -> None:
    assert texts([a_line()]) == ["23/11 Mama Asha KES 1,250.00 H8JTSGRC"]


def test_what_was_not_simply_paid_says_what_became_of_it() -> None:
    assert texts([a_line(outcome="reversed")]) == ["23/11 Mama Asha KES 1,250.00 H8JTSGRC GIVEN BACK"]
    assert texts([a_line(outcome="reversed")], "sw") == ["23/11 Mama Asha KES 1,250.00 H8JTSGRC IMERUDISHWA"]


def test_no_payments_make_no_page() -> None:
    assert pages([], LANGUAGE["en"]) == []


def test_many_lines_make_numbered_pages() -> None:
    made = texts([a_line(ref=f"REF0000{n}") for n in range(7)])
    assert [page.partition("\n")[0] for page in made] == ["1/3", "2/3", "3/3"]
    assert made[0] == "1/3\n" + "\n".join(f"23/11 Mama Asha KES 1,250.00 REF0000{n}" for n in range(3))
    assert made[2] == "3/3\n23/11 Mama Asha KES 1,250.00 REF00006"


def test_a_page_without_a_number_has_the_numbers_room_for_a_line() -> None:
    lines = [a_line(shop="Mama Ashas", amount_minor=100, ref=f"REF0000{n}") for n in range(7)]
    [first, *_] = pages(lines, LANGUAGE["en"], numbered=False)
    assert (first.count, first.text.count("\n"), first.text[:3]) == (3, 2, "23/")


LINES = st.builds(
    a_line,
    shop=st.one_of(
        st.text(st.sampled_from("Mama Asha€[]é"), min_size=1, max_size=20), st.just("媽媽的店"), st.just("👍" * 20)
    ),
    amount_minor=st.integers(1, 10**12),
    outcome=st.sampled_from(sorted(OUTCOMES)),
)


FIELDS = {"help": "21333", "care": "+254700000000"}


@given(
    st.lists(LINES, max_size=40),
    st.sampled_from(sorted(LANGUAGE)),
    st.sampled_from(["statement", "statement_more"]),
    st.booleans(),
)
def test_every_page_is_one_segment_and_lines_keep_their_order(
    lines: list[StatementLine], code: str, key: str, numbered: bool
) -> None:
    found = pages(lines, LANGUAGE[code], numbered=numbered)
    made = [page.text for page in found]
    assert len(made) <= PAGES_MAX
    for page in made:
        sent = segment(CATALOGUES.render(code, key, lines=page, **FIELDS))
        assert (sent.alphabet, len(sent.parts)) == (LANGUAGE[code].alphabet, 1)
    shown = [line for page in made for line in page.split("\n") if "/" in line and len(line) > 3]
    assert len(shown) == len(lines) or len(made) == PAGES_MAX
    assert len(shown) == sum(page.count for page in found)


@given(LINES, st.sampled_from(["fr", "sw", "en"]), st.datetimes())
def test_amounts_times_and_receipts_stay_in_gsm(line: StatementLine, code: str, at: datetime) -> None:
    language = LANGUAGE[code]
    fields = receipt_fields(line, language)
    shown = [fields["amount"], fields["outcome"], fields["time"], language.day_time(at), language.day(at)]
    assert all(is_gsm(text) and len(text) <= 25 for text in shown)


def test_a_page_of_70_units_has_what_70_units_hold() -> None:
    line = a_line(shop="Supermarket Kariakoo", amount_minor=999_999_900, outcome="authorized")
    assert texts([line], "zh-Hant") == ["11/23 Supermarke KES 9,999,999.00 H8JTSGRC 尚未扣款"]
    assert [page.partition("\n")[0] for page in texts([line] * 3, "zh-Hant")] == ["1/3", "2/3", "3/3"]


def test_french_writes_amounts_with_a_comma_and_a_plain_space() -> None:
    assert texts([a_line()], "fr") == ["23/11 Mama Asha KES 1 250,00 H8JTSGRC"]


def test_a_receipt_says_everything_about_one_payment() -> None:
    fields = receipt_fields(a_line(shop="Mama Asha's Bakery"), LANGUAGE["sw"])
    assert fields == {
        "shop": "Mama Asha's Bakery",
        "amount": "KES 1,250.00",
        "outcome": "IMELIPWA",
        "time": "23/11/26 14:35",
        "ref": "H8JTSGRC",
    }
    assert fields.keys() <= KEYS["receipt"]
    assert receipt_fields(a_line(), LANGUAGE["zh-Hant"])["time"] == "26年11月23日14:35"
