"""The consumer's record as texts: statement lines, cut into pages by their encoded length, and one itemised payment.

Which payments are shown, and in whose time zone their times are, the caller has decided before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.core.gsm import encode_ucs2, is_gsm, segment
from gateway.core.money import Money, format_money

PAGE_UNITS_MAX: Final[Mapping[str, int]] = {"gsm": 126, "ucs2": 60}
"""What a page may hold, by alphabet; the rest of the segment is the catalogue's `statement` around it."""
PAGES_MAX: Final = 9
SHOP_CHARACTERS: Final = 10

# By language: outcome to its word. A payment's public state goes in, what happened to the money comes out.
_OUTCOMES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "succeeded": "PAID",
        "reversed": "GIVEN BACK",
        "processing": "CHECKING",
        "authorized": "NOT CHARGED YET",
        "failed": "NOT CHARGED",
        "pending": "NOT CHARGED",
        "requires_consent": "NOT CHARGED",
    },
    "sw": {
        "succeeded": "IMELIPWA",
        "reversed": "IMERUDISHWA",
        "processing": "INAKAGULIWA",
        "authorized": "BADO HUJATOZWA",
        "failed": "HUJATOZWA",
        "pending": "HUJATOZWA",
        "requires_consent": "HUJATOZWA",
    },
}


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One payment as its consumer sees it. `at` is local time; `outcome` is a public state."""

    at: datetime
    shop: str
    money: Money
    ref: str
    outcome: str


def outcome_word(outcome: str, language: str) -> str:
    """What happened to the money, in the consumer's language (English if we lack it)."""
    return _OUTCOMES.get(language, _OUTCOMES["en"])[outcome]


def receipt_fields(line: StatementLine, language: str) -> dict[str, str]:
    """The fields of the catalogue's `receipt`, for one payment."""
    return {
        "shop": line.shop,
        "amount": format_money(line.money, language),
        "outcome": outcome_word(line.outcome, language),
        "time": f"{line.at:%d/%m/%y %H:%M}",
        "ref": line.ref,
    }


def pages(lines: Sequence[StatementLine], language: str) -> list[str]:
    """*lines* as page texts for the catalogue's `statement`, newest first as given; each fits one segment.

    A page that has others beside it begins with `2/3`. No lines, no pages; more than nine pages are not made.
    """
    texts = [_line(line, language) for line in lines]
    alphabet = "gsm" if all(is_gsm(text) for text in texts) else "ucs2"
    whole = "\n".join(texts)
    if not texts or _units(whole, alphabet) <= PAGE_UNITS_MAX[alphabet]:
        return [whole] if texts else []
    cut = _cut(texts, alphabet, PAGE_UNITS_MAX[alphabet] - len("1/9\n"))[:PAGES_MAX]
    return [f"{number}/{len(cut)}\n{page}" for number, page in enumerate(cut, start=1)]


def _cut(texts: Sequence[str], alphabet: str, room: int) -> list[str]:
    """Join lines to pages of at most *room* units; a line longer than a page has it alone, cut off."""
    cut: list[str] = []
    for text in texts:
        longer = f"{cut[-1]}\n{text}" if cut else text
        if cut and _units(longer, alphabet) <= room:
            cut[-1] = longer
        else:
            cut.append(_fitting(text, alphabet, room))
    return cut


def _fitting(text: str, alphabet: str, room: int) -> str:
    while _units(text, alphabet) > room:
        text = text[:-1]
    return text


def _units(text: str, alphabet: str) -> int:
    return segment(text).units if alphabet == "gsm" else len(encode_ucs2(text)) // 2


def _line(line: StatementLine, language: str) -> str:
    """`23/11 MAMA ASHA KES 1,250.00 H8JTSGRC`; only what was not simply paid says its outcome."""
    shop = line.shop[:SHOP_CHARACTERS].strip()
    amount = format_money(line.money, language)
    told = "" if line.outcome == "succeeded" else f" {outcome_word(line.outcome, language)}"
    return f"{line.at:%d/%m} {shop} {amount} {line.ref}{told}"
