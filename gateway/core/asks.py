"""What the gateway says to phones: catalogues of texts, one TOML file a language, checked as a whole when loaded.

A text that could grow past one segment, a missing key or a word that carriers act on stops the start, not a payment.
Reading the files is the caller's business, and so is choosing a consumer's language.
"""

import re
import string
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.core.gsm import BASE, GSM_UNITS_MAX, UCS2_UNITS_MAX, degrade, segment
from gateway.core.statement import PAGE_UNITS_MAX
from gateway.core.words import ECHO, PAY, fold

FALLBACK_LANGUAGE: Final = "en"
ITEM_CHARACTERS_MAX: Final = 16

_ABOUT_PAYMENT: Final = frozenset({"shop", "amount", "ref", "time", "help", "care", "brand"})
_ASK: Final = frozenset({"shop", "amount", "item", "code", "deadline", "ref", "help", "care"})
_GENERAL: Final = frozenset({"help", "care", "brand"})

KEYS: Final[Mapping[str, frozenset[str]]] = {
    "ask": _ASK,
    "ask_with_fee": _ASK | {"fee"},
    "pay_ask": _ASK,
    "several": frozenset({"code", "shop", "amount", "code2", "shop2", "amount2", "help"}),
    "reminder": _ASK,
    "low_balance": _ASK,
    "not_understood": _ASK,
    "wrong_code": _ABOUT_PAYMENT | {"digits", "tries"},
    "paid": _ABOUT_PAYMENT,
    "paid_with_fee": _ABOUT_PAYMENT | {"fee"},
    "refused": _ABOUT_PAYMENT,
    "locked": _ABOUT_PAYMENT,
    "expired": _ABOUT_PAYMENT,
    "unknown_outcome": _ABOUT_PAYMENT,
    "already_paid": _ABOUT_PAYMENT,
    "declined": _ABOUT_PAYMENT,
    "failed_unavailable": _ABOUT_PAYMENT,
    "cancelled": _ABOUT_PAYMENT,
    "reversed": _ABOUT_PAYMENT,
    "statement": _GENERAL | {"lines"},
    "statement_empty": _GENERAL,
    "receipt": _GENERAL | {"shop", "amount", "outcome", "time", "ref"},
    "receipt_not_found": _GENERAL | {"ref"},
    "stopped": _GENERAL | {"count"},
    "started": _GENERAL,
    "help": _GENERAL,
    "order_passed": _GENERAL | {"shop", "amount"},
    "duplicate_order": _GENERAL | {"shop", "amount"},
    "shop_unknown": _GENERAL | {"shop"},
    "pay_format": _GENERAL,
    "not_understood_nothing_waiting": _GENERAL,
    "statement_more": _GENERAL | {"lines"},
    "more_nothing": _GENERAL,
    "language": _GENERAL | {"choices"},
    "limit": _GENERAL | {"limit", "used"},
    "limit_none": _GENERAL | {"used"},
    "limit_set": _GENERAL | {"limit", "used"},
    "limit_later": _GENERAL | {"limit", "time"},
    "limit_format": _GENERAL,
    "over_limit": _ABOUT_PAYMENT,
    "phone_locked": _GENERAL | {"time"},
    "stopped_shop": _GENERAL | {"shop", "keyword", "count"},
    "started_shop": _GENERAL | {"shop", "keyword"},
    "item_unnamed": frozenset(),
}
"""Every text there is, and the fields that whoever sends it brings along. A text need not use them all."""

WORST_CASE: Final[Mapping[str, int]] = {
    "shop": 20,
    "shop2": 20,
    "amount": 16,
    "amount2": 16,
    "fee": 12,
    "item": ITEM_CHARACTERS_MAX,
    "code": 6,
    "code2": 6,
    "digits": 1,
    "tries": 1,
    "deadline": 5,
    "time": 14,
    "ref": 8,
    "outcome": 15,
    "help": 8,
    "care": 13,
    "brand": 16,
    "count": 2,
    "keyword": 20,
    "choices": 14,
    "limit": 16,
    "used": 16,
}
"""The most units that a field may take in a text; 16 is `TZS 9,999,999.00`."""
# Han names are shorter; everything else in a text of Han is written in digits and Latin letters all the same.
_WORST_CASE_UCS2: Final = {
    **WORST_CASE,
    "shop": 8,
    "shop2": 8,
    "brand": 8,
    "item": 6,
    "amount": 13,
    "amount2": 13,
    "limit": 13,
    "used": 13,
    "keyword": 12,
    "outcome": 6,
}

_LIMITS: Final = {"gsm": GSM_UNITS_MAX, "ucs2": UCS2_UNITS_MAX}
# `@` is octet 0 and ends a text for some SMSCs; `_` and `$` are shown as other characters by some.
_PRINTABLE: Final = frozenset(BASE) - frozenset("@_$\x1b\r")
# Carriers take these for an opt-out wherever a consumer repeats them, and people repeat what they read.
_CARRIER_WORDS: Final = re.compile(r"\b(?:cancel|end|quit|unsubscribe|revoke|optout|stopall)\b", re.IGNORECASE)
_LINK: Final = re.compile(r"https?|www\.|://|\b[a-z0-9-]+\.(?:com|co|me|ly|ke|tz|io|net|org)\b", re.IGNORECASE)


class Row(NamedTuple):
    """How long a text can become."""

    language: str
    key: str
    units: int
    limit: int


class Catalogues:
    """Checked texts of all languages. Made by `load_catalogues` only."""

    def __init__(self, templates: Mapping[str, Mapping[str, str]], rows: tuple[Row, ...]) -> None:
        self._templates = templates
        self._rows = rows

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._templates)

    def render(self, language: str, key: str, **fields: str) -> str:
        """The text *key* in *language* (English if we lack it). Fields that it does not use are welcome.

        An empty `item` is replaced by the language's word for goods, so that no ask ends in the middle.
        """
        templates = self._templates.get(language) or self._templates[FALLBACK_LANGUAGE]
        if fields.get("item") == "":
            fields["item"] = templates["item_unnamed"]
        return templates[key].format_map(fields)

    def worst_case_table(self) -> tuple[Row, ...]:
        """Every text of every language at its longest."""
        return self._rows


def load_catalogues(sources: Mapping[str, str]) -> Catalogues:
    """Catalogues out of TOML texts by language; ValueError names every mistake at once, each with language and key."""
    mistakes: list[str] = []
    if FALLBACK_LANGUAGE not in sources:
        mistakes.append(f"{FALLBACK_LANGUAGE}: expected a catalogue in the language that all others fall back to")
    templates: dict[str, dict[str, str]] = {}
    rows: list[Row] = []
    for language, source in sources.items():
        alphabet, texts = _read(language, source, mistakes)
        templates[language] = texts
        for key, text in texts.items():
            mistakes += [f"{language}.{key}: {mistake}" for mistake in _mistakes(key, text, alphabet)]
        if not mistakes:
            rows += [Row(language, key, _units(text, alphabet), _LIMITS[alphabet]) for key, text in texts.items()]
    mistakes += [
        f"{row.language}.{row.key}: expected at most {row.limit} units, got {row.units} at its longest"
        for row in rows
        if row.units > row.limit
    ]
    if not mistakes:
        mistakes += _differences(templates)
    if mistakes:
        raise ValueError("catalogues: " + "; ".join(mistakes))
    return Catalogues(templates, tuple(rows))


def _read(language: str, source: str, mistakes: list[str]) -> tuple[str, dict[str, str]]:
    try:
        read = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"{language}: {error}")
        return "gsm", {}
    alphabet, texts = read.pop("alphabet", None), read.pop("texts", None)
    if alphabet not in _LIMITS or not isinstance(texts, dict) or read:
        mistakes.append(f"{language}: expected alphabet = gsm or ucs2 and a table texts, and nothing else")
        return "gsm", {}
    wrong = [f"{language}.{key}: expected a text" for key, text in texts.items() if not isinstance(text, str)]
    missing = [f"{language}.{key}: missing" for key in KEYS if key not in texts]
    mistakes += wrong + missing
    return alphabet, {key: text for key, text in texts.items() if isinstance(text, str)}


def _mistakes(key: str, text: str, alphabet: str) -> list[str]:
    if key not in KEYS:
        return ["unknown key"]
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        return [str(error)]
    mistakes = [
        f"expected plain fields out of {sorted(KEYS[key])}, got {{{name}}}"
        for _, name, form, conversion in parsed
        if name is not None and (name not in KEYS[key] or form or conversion)
    ]
    literal = "".join(part for part, *_ in parsed)
    odd = sorted(set(literal) - _PRINTABLE) if alphabet == "gsm" else sorted(set(literal) & set("@[]{}^~|"))
    if odd:
        mistakes.append(f"expected only characters of the GSM base table that every phone shows, got {''.join(odd)!r}")
    for pattern, name in ((_CARRIER_WORDS, "opt-out word of carriers"), (_LINK, "link")):
        if (found := pattern.search(literal)) is not None:
            mistakes.append(f"expected no {name}, got {found[0]!r}")
    return mistakes


def _units(text: str, alphabet: str) -> int:
    lengths = WORST_CASE if alphabet == "gsm" else _WORST_CASE_UCS2
    longest = text.format_map(
        {name: "M" * units for name, units in lengths.items()} | {"lines": "M" * PAGE_UNITS_MAX[alphabet]}
    )
    return segment(longest).units


def _differences(templates: Mapping[str, Mapping[str, str]]) -> list[str]:
    expected = templates[FALLBACK_LANGUAGE]
    return [
        f"{language}.{key}: expected the fields of {FALLBACK_LANGUAGE} {_names(expected[key])}, got {_names(text)}"
        for language, texts in templates.items()
        for key, text in texts.items()
        if _names(text) != _names(expected[key])
    ]


def _names(text: str) -> list[str]:
    return sorted({name for _, name, *_ in string.Formatter().parse(text) if name is not None})


# What only we say: with these a description could tell a consumer what to reply, or that something is free.
_OUR_WORDS: Final = (
    ECHO
    | PAY
    | {"refuse", "cancel", "stop", "start", "help", "code", "pin", "free", "charge", "charged", "confirm", "otp", "yes"}
    | {"kulipa", "kataa", "kukataa", "namba", "msimbo", "bure", "utatozwa", "hutatozwa", "thibitisha", "msaada", "no"}
    | {"refuser", "gratuit", "aide", "confirmer", "ndio", "hapana", "oui", "non"}
)
_NAME: Final = re.compile(r"[^\W_]+(?:['-][^\W\d_]+)*")
_LINK_LIKE: Final = re.compile(r"://|@|\w\.\w|\w/\w|\\|www|http", re.IGNORECASE)
_DESCRIPTION_CHARACTERS_MAX: Final = 200
_DIGITS_MAX: Final = 3


@lru_cache(maxsize=4096)
def clean_description(text: str) -> str:
    """What of a merchant's description an ask may show: at most 16 GSM letters, cut at a word; "" if nothing is left.

    At most three digits in all, so that nothing looks like a code; no link, no word of ours, nothing invisible.
    """
    words: list[str] = []
    digits = 0
    length = -1
    for piece in degrade(_visible(text[:_DESCRIPTION_CHARACTERS_MAX])).split():
        if _LINK_LIKE.search(piece):
            continue
        for word in _NAME.findall(piece):
            count = sum(map(str.isdigit, word))
            if fold(word) in _OUR_WORDS or word.strip("0") == "" or digits + count > _DIGITS_MAX:
                continue
            if length + 1 + len(word) > ITEM_CHARACTERS_MAX:
                return " ".join(words) or word[:ITEM_CHARACTERS_MAX]
            words.append(word)
            digits += count
            length += 1 + len(word)
    return " ".join(words)


def _visible(text: str) -> str:
    return "".join([c if c.isprintable() or c.isspace() else "" for c in text])
