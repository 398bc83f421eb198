"""The consumer's record as texts: statement lines, cut into pages by their encoded length, and one itemised payment.

Which payments are shown, and in whose time zone their times are, the caller has decided before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.core.gsm import degrade, encode_ucs2, segment
from gateway.core.language import Alphabet, Language
from gateway.core.money import Money, format_money
from gateway.core.payment import PublicState

PAGE_UNITS_MAX: Final[Mapping[Alphabet, int]] = {"gsm": 126, "ucs2": 54}
"""What a page may hold, by alphabet; the rest of the segment is the catalogue's text around it."""
PAGES_MAX: Final = 9
SHOP_CHARACTERS: Final = 10
PART_GIVEN_BACK: Final = "part_given_back"
"""The outcome of what was paid and given back in part."""
OUTCOMES: Final = frozenset({*(state.value for state in PublicState), PART_GIVEN_BACK})


@dataclass(frozen=True, slots=True)
class Page:
    """The text of a page, and how many lines stand on it."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One payment as its consumer sees it. `at` is local time; `outcome` is one of OUTCOMES."""

    at: datetime
    shop: str
    money: Money
    ref: str
    outcome: str


def receipt_fields(line: StatementLine, language: Language) -> dict[str, str]:
    """The fields of the catalogue's `receipt`, for one payment."""
    return {
        "shop": line.shop,
        "amount": format_money(line.money, language.code),
        "outcome": language.outcomes[line.outcome],
        "time": language.moment(line.at),
        "ref": line.ref,
    }


def pages(lines: Sequence[StatementLine], language: Language, *, numbered: bool = True) -> list[Page]:
    """*lines* as pages for the catalogue's `statement` and `statement_more`, as given; each fits one segment.

    A page that has others beside it begins with `2/3` if *numbered*. No lines, no pages; more than nine are not made.
    """
    alphabet = language.alphabet
    texts = [_line(line, language) for line in lines]
    room = PAGE_UNITS_MAX[alphabet]
    cut = _cut(texts, alphabet, room)
    if not numbered or len(cut) <= 1:
        return cut[:PAGES_MAX]
    cut = _cut(texts, alphabet, room - len("1/9\n"))[:PAGES_MAX]
    return [Page(f"{number}/{len(cut)}\n{page.text}", page.count) for number, page in enumerate(cut, start=1)]


def _cut(texts: Sequence[str], alphabet: Alphabet, room: int) -> list[Page]:
    """Join lines to pages of at most *room* units; a line longer than a page has it alone, cut off."""
    cut: list[Page] = []
    for text in texts:
        longer = f"{cut[-1].text}\n{text}" if cut else text
        if cut and _units(longer, alphabet) <= room:
            cut[-1] = Page(longer, cut[-1].count + 1)
        else:
            cut.append(Page(_fitting(text, alphabet, room), 1))
    return cut


def _fitting(text: str, alphabet: Alphabet, room: int) -> str:
    while _units(text, alphabet) > room:
        text = text[:-1]
    return text


def _units(text: str, alphabet: Alphabet) -> int:
    return segment(text).units if alphabet == "gsm" else len(encode_ucs2(text)) // 2


def _line(line: StatementLine, language: Language) -> str:
    """`23/11 MAMA ASHA KES 1,250.00 H8JTSGRC`; only what was not simply paid says its outcome."""
    shop = line.shop[:SHOP_CHARACTERS].strip()
    amount = format_money(line.money, language.code)
    told = "" if line.outcome == "succeeded" else f" {language.outcomes[line.outcome]}"
    text = f"{language.day(line.at)} {shop} {amount} {line.ref}{told}"
    return degrade(text) if language.alphabet == "gsm" else text
