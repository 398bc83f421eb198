"""The texts of screens as shipped: within their budget at their longest, and what they always say."""

import re
import tomllib

import pytest

from gateway.core.asks import SCREENS_TABLE, load_catalogues
from gateway.core.gsm import segment
from gateway.core.screens import CHOICES_MAX, SCREENS, UNITS_MAX, page, units
from gateway.core.ussd import Screen
from tests.core.test_asks import CATALOGUES, LANGUAGES, REAL, SAYS_CHARGED, SOURCES

HARD = {"gsm": 182, "ucs2": 80}
LINES = {
    "gsm": "1 23/11 Supermarke TZS 9,999,999.00 NOT CHARGED YET\n98 More",
    "ucs2": "1 11/23 Supermarke TZS 9,999,999.00 尚未扣款\n98 更多",
}
FIELDS = {**REAL, "currency": "TZS", "tax": " incl. tax", "outcome": "GIVEN BACK", "time": "23/11/26 14:35"}
NOTHING_CHARGED = [
    "pay_wrong_pin",
    "pay_wrong_code",
    "refused",
    "over_limit",
    "payment_locked",
    "pin_locked",
    "resume_pay",
]


def texts_of(language: str) -> dict[str, str]:
    texts = tomllib.loads(SOURCES[language])["screens"]
    assert isinstance(texts, dict)
    return texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_screen_is_within_its_budget_at_its_longest(language: str) -> None:
    assert set(texts_of(language)) == set(SCREENS)
    alphabet = CATALOGUES.language(language).alphabet
    found = [row for row in CATALOGUES.worst_case_table() if (row.language, row.key[:8]) == (language, SCREENS_TABLE)]
    assert len(found) == len(SCREENS)
    for row in found:
        assert 0 < row.units <= row.limit == UNITS_MAX[alphabet] <= HARD[alphabet], row
    own = {**FIELDS, "lines": LINES[alphabet]} | ({} if alphabet == "gsm" else {"outcome": "尚未扣款", "tax": " 含稅"})
    for key in SCREENS:
        shown = CATALOGUES.screen(language, key, UNITS_MAX[alphabet], **own)
        assert units(shown, alphabet) <= UNITS_MAX[alphabet], key
        assert segment(shown).alphabet == alphabet or shown.isascii(), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_amount_and_shop_come_first_and_0_and_00_are_everywhere(language: str) -> None:
    texts = texts_of(language)
    for key in ("pay_pin", "pay_code", "payment"):
        assert texts[key].startswith(("{shop}\n{amount}\n", "{shop}\n{amount}{tax}\n")), key
    for key in ("shop", "amount", "history", "payment", "reasons", "limit", "pin", "language", "stop"):
        assert "\n0 " in texts[key] and "\n00 " in texts[key], key
    for key in ("pay_pin", "pay_code", "pay_wrong_pin", "pay_wrong_code"):
        assert "\n0 " in texts[key], key
    assert re.search(r"\n7 ", texts["waiting"]) and texts["more"].startswith("98 ")
    for key in NOTHING_CHARGED:
        assert SAYS_CHARGED[language].search(texts[key]), key


def test_every_screen_of_the_machine_has_a_text() -> None:
    made = {Screen.TOLD, Screen.OVER, Screen.RESUME, Screen.PAY}
    assert {screen.value for screen in set(Screen) - made} <= set(SCREENS)


def test_a_screen_that_is_too_long_stops_the_start() -> None:
    long = SOURCES["en"].replace('bye = "', 'bye = "' + "M" * 100)
    with pytest.raises(ValueError, match=r"en\.screens\.bye: expected at most 160 units, got 17\d at its longest"):
        load_catalogues({**SOURCES, "en": long})
    gone = SOURCES["sw"].replace('bye = "', 'by = "')
    with pytest.raises(ValueError, match=r"sw\.screens\.bye: missing; sw\.screens\.by: unknown key"):
        load_catalogues({**SOURCES, "sw": gone})


@pytest.mark.parametrize("alphabet", ["gsm", "ucs2"])
@pytest.mark.parametrize("room", [20, 40, 64, 120])
def test_a_page_fits_numbers_its_lines_and_says_whether_there_are_more(alphabet: str, room: int) -> None:
    lines = [f"Shop {n} KES 10.00" for n in range(9)]
    text, count = page(lines, room, "98 More", alphabet)  # type: ignore[arg-type]  # One of the two.
    assert 1 <= count <= CHOICES_MAX and text.endswith("\n98 More")
    assert text.splitlines()[:-1] == [f"{n} {line}" for n, line in enumerate(lines[:count], start=1)]
    assert count == 1 or len(text) <= room
    assert count == CHOICES_MAX or len(text) + len(lines[count]) + 3 > room
    assert page(lines[:1], room, "98 More", alphabet) == (f"1 {lines[0]}", 1)  # type: ignore[arg-type]
