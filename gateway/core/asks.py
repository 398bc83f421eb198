"""What the gateway says to phones: catalogues of texts, one TOML file a language, checked as a whole when loaded.

A text that could grow past one segment, a missing key or a word that carriers act on stops the start, not a payment.
Reading the files is the caller's business, and so is choosing a consumer's language.
"""

import re
import string
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from gateway.core.description import ITEM_CHARACTERS_MAX
from gateway.core.gsm import BASE, GSM_UNITS_MAX, UCS2_UNITS_MAX, degrade, encode_ucs2, segment
from gateway.core.language import Alphabet, Language
from gateway.core.page_words import PAGE
from gateway.core.page_words import mistakes as mistakes_of_page
from gateway.core.screens import SCREENS
from gateway.core.screens import UNITS_MAX as SCREEN_UNITS_MAX
from gateway.core.screens import WORST_CASE as SCREENS_WORST_CASE
from gateway.core.statement import OUTCOMES, PAGE_UNITS_MAX

FALLBACK_LANGUAGE: Final = "en"
SCREENS_TABLE: Final = "screens."
"""With what the key of a screen begins where those of all texts stand together."""

_ABOUT_PAYMENT: Final = frozenset({"shop", "amount", "ref", "time", "help", "care", "brand"})
_ASK: Final = frozenset({"shop", "amount", "item", "code", "deadline", "ref", "help", "care"})
_TWO_ASKS: Final = frozenset({"code", "shop", "amount", "code2", "shop2", "amount2", "help"})
_GENERAL: Final = frozenset({"help", "care", "brand"})

KEYS: Final[Mapping[str, frozenset[str]]] = {
    "ask": _ASK,
    "ask_tax": _ASK,
    "pay_ask": _ASK,
    "several": _TWO_ASKS,
    "several_tax": _TWO_ASKS,
    "reminder": _ASK,
    "reminder_tax": _ASK,
    "low_balance": _ASK,
    "low_balance_tax": _ASK,
    "second": _ASK,
    "second_tax": _ASK,
    "not_understood": _ASK,
    "not_understood_tax": _ASK,
    "wrong_code": _ABOUT_PAYMENT | {"digits", "tries"},
    "wrong_code_pin": _ABOUT_PAYMENT | {"digits", "tries"},
    "paid": _ABOUT_PAYMENT,
    "refused": _ABOUT_PAYMENT,
    "locked": _ABOUT_PAYMENT,
    "expired": _ABOUT_PAYMENT,
    "unknown_outcome": _ABOUT_PAYMENT,
    "already_paid": _ABOUT_PAYMENT,
    "declined": _ABOUT_PAYMENT,
    "failed_unavailable": _ABOUT_PAYMENT,
    "cancelled": _ABOUT_PAYMENT,
    "reversed": _ABOUT_PAYMENT,
    "goods_sent": _ABOUT_PAYMENT,
    "escrow_released": _ABOUT_PAYMENT,
    "escrow_nothing": _GENERAL | {"ref"},
    "refunded": _ABOUT_PAYMENT,
    "dispute_opened": _ABOUT_PAYMENT,
    "dispute_upheld": _ABOUT_PAYMENT,
    "dispute_rejected": _ABOUT_PAYMENT,
    "dispute_impossible": _ABOUT_PAYMENT,
    "dispute_how": _ABOUT_PAYMENT,
    "dispute_none": _GENERAL,
    "reported": _ABOUT_PAYMENT,
    "report_disputed": _ABOUT_PAYMENT,
    "report_charging": _ABOUT_PAYMENT,
    "report_which": _GENERAL,
    "report_nothing": _GENERAL,
    "status_waiting": _ASK,
    "status_waiting_tax": _ASK,
    "status_charging": _ABOUT_PAYMENT,
    "status_checking": _ABOUT_PAYMENT,
    "status_agreed": _ABOUT_PAYMENT,
    "status_escrow": _ABOUT_PAYMENT,
    "status_refunding": _ABOUT_PAYMENT,
    "status_dispute_open": _ABOUT_PAYMENT,
    "status_dispute_review": _ABOUT_PAYMENT,
    "status_none": _GENERAL,
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
    "item_unknown": _GENERAL | {"shop", "item"},
    "item_unavailable": _GENERAL | {"shop", "item"},
    "order_not_now": _GENERAL | {"shop"},
    "pay_code_wrong": _GENERAL,
    "pay_code_gone": _GENERAL,
    "pay_code_amount": _GENERAL | {"shop", "pay_code"},
    "pay_code_fixed": _GENERAL | {"shop", "amount", "pay_code"},
    "not_understood_nothing_waiting": _GENERAL,
    "statement_more": _GENERAL | {"lines"},
    "more_nothing": _GENERAL,
    "language": _GENERAL | {"choices"},
    "limit": _GENERAL | {"limit", "used"},
    "limit_none": _GENERAL | {"used"},
    "limit_set": _GENERAL | {"limit", "used"},
    "limit_higher": _GENERAL | {"limit"},
    "limit_elsewhere": _GENERAL | {"limit"},
    "limit_later": _GENERAL | {"limit", "time"},
    "limit_format": _GENERAL,
    "over_limit": _ABOUT_PAYMENT,
    "sim_fresh": _ABOUT_PAYMENT,
    "sim_pin": _ABOUT_PAYMENT | {"deadline"},
    "sim_pin_tax": _ABOUT_PAYMENT | {"deadline"},
    "limit_sim": _GENERAL | {"limit"},
    "phone_locked": _GENERAL | {"time"},
    "stopped_shop": _GENERAL | {"shop", "keyword", "count"},
    "started_shop": _GENERAL | {"shop", "keyword"},
    "pin_changed": _GENERAL,
    "pin_texted": _GENERAL,
    "pin_forgotten": _GENERAL | {"time"},
    "page_code": _GENERAL | {"code"},
    "item_unnamed": frozenset(),
    "tax_note": frozenset(),
}
"""Every text there is, and the fields that whoever sends it brings along. A text need not use them all."""

WORST_CASE: Final[Mapping[str, int]] = {
    "shop": 20,
    "shop2": 20,
    "amount": 16,
    "amount2": 16,
    "item": ITEM_CHARACTERS_MAX,
    "code": 6,
    "code2": 6,
    "digits": 1,
    "tries": 1,
    "deadline": 5,
    "time": 14,
    "ref": 8,
    "pay_code": 6,
    "outcome": 18,
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
# A shop's name is in Latin letters in every language, and so is the rest of what is filled in.
_WORST_CASE: Final[Mapping[Alphabet, Mapping[str, int]]] = {"gsm": WORST_CASE, "ucs2": {**WORST_CASE, "outcome": 4}}
_NAMES: Final = ("shop", "shop2", "item", "brand")
_NAME_UNITS: Final = (20, 16, 12, 10, 8, 6, 4)
"""How long names may be in a text of 70 units: the first of these with which it is one segment."""

_LIMITS: Final[Mapping[Alphabet, int]] = {"gsm": GSM_UNITS_MAX, "ucs2": UCS2_UNITS_MAX}
# What a text of 70 units may keep to itself.
_MAY_LACK_IN_UCS2: Final = frozenset({"help", "care", "brand"})
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
    alphabet: Alphabet
    segments: int


class _Catalogue(NamedTuple):
    language: Language
    texts: Mapping[str, str]
    screens: Mapping[str, str]
    page: Mapping[str, str]


class Catalogues:
    """Checked texts of all languages. Made by `load_catalogues` only."""

    def __init__(self, catalogues: Mapping[str, _Catalogue], rows: tuple[Row, ...]) -> None:
        self._catalogues = catalogues
        self._rows = rows

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._catalogues)

    def spoken(self, mode: str, *, unreviewed: bool = False) -> "Catalogues":
        """What a carrier of *mode* may speak: in live mode only what a native speaker has reviewed, and English.

        *unreviewed*: the operator allows the others in live mode too.
        """
        if mode != "live" or unreviewed:
            return self
        reviewed = {
            code: catalogue
            for code, catalogue in self._catalogues.items()
            if catalogue.language.reviewed_by or code == FALLBACK_LANGUAGE
        }
        return Catalogues(reviewed, tuple(row for row in self._rows if row.language in reviewed))

    def language(self, code: str) -> Language:
        """The language *code*, or English if we lack it."""
        return self._catalogue(code).language

    def _catalogue(self, code: str) -> _Catalogue:
        return self._catalogues.get(code) or self._catalogues[FALLBACK_LANGUAGE]

    def render(self, language: str, key: str, **fields: str) -> str:
        """The text *key* in *language* (English if we lack it), in one segment. Fields not used are welcome.

        An empty `item` is replaced by the language's word for goods, so that no ask ends in the middle.
        """
        catalogue = self._catalogue(language)
        if fields.get("item") == "":
            fields["item"] = catalogue.texts["item_unnamed"]
        alphabet = catalogue.language.alphabet
        return _filled(catalogue.texts[key], alphabet, fields, _LIMITS[alphabet])

    def screen(self, language: str, key: str, units_max: int, **fields: str) -> str:
        """The text *key* of a screen, within *units_max*; otherwise as `render`."""
        catalogue = self._catalogue(language)
        if fields.get("item") == "":
            fields["item"] = catalogue.texts["item_unnamed"]
        return _filled(catalogue.screens[key], catalogue.language.alphabet, fields, units_max)

    def page(self, language: str) -> Mapping[str, str]:
        """The words of the statement page."""
        return self._catalogue(language).page

    def worst_case_table(self) -> tuple[Row, ...]:
        """Every text of every language at its longest."""
        return self._rows


def _filled(text: str, alphabet: Alphabet, fields: Mapping[str, str], units_max: int) -> str:
    if alphabet == "gsm":
        # A phone may have typed what is shown here, and one odd letter would make two segments of the text.
        return degrade(text.format_map(fields))
    filled = ""
    for most in _NAME_UNITS:
        names = {name: _shortened(fields[name], most) for name in _NAMES if name in fields}
        filled = text.format_map({**fields, **names})
        if len(encode_ucs2(filled)) // 2 <= units_max:
            break
    return filled


def _shortened(name: str, most: int) -> str:
    """At most *most* characters of *name*, cut between words if there is more than one."""
    if len(name) <= most:
        return name
    head, space, _ = name[: most + 1].rpartition(" ")
    return head.rstrip(" &-") if space else name[:most]


def load_catalogues(sources: Mapping[str, str]) -> Catalogues:
    """Catalogues out of TOML texts by language; ValueError names every mistake at once, each with language and key."""
    mistakes: list[str] = []
    if FALLBACK_LANGUAGE not in sources:
        mistakes.append(f"{FALLBACK_LANGUAGE}: expected a catalogue in the language that all others fall back to")
    catalogues: dict[str, _Catalogue] = {}
    rows: list[Row] = []
    for code, source in sources.items():
        catalogue = _read(code, source, mistakes)
        if catalogue is None:
            continue
        catalogues[code] = catalogue
        alphabet = catalogue.language.alphabet
        for key, text in catalogue.texts.items():
            mistakes += [f"{code}.{key}: {mistake}" for mistake in _mistakes(KEYS, key, text, alphabet)]
        for key, text in catalogue.screens.items():
            mistakes += [
                f"{code}.{SCREENS_TABLE}{key}: {mistake}" for mistake in _mistakes(SCREENS, key, text, alphabet)
            ]
        mistakes += mistakes_of_page(code, catalogue.page)
        if not mistakes:
            rows += [_row(code, key, text, alphabet) for key, text in catalogue.texts.items()]
            rows += [_screen_row(code, key, text, alphabet) for key, text in catalogue.screens.items()]
    mistakes += [
        f"{row.language}.{row.key}: expected at most {row.limit} units, got {row.units} at its longest"
        for row in rows
        if row.units > row.limit
    ]
    if not mistakes:
        mistakes += _differences(catalogues)
    if mistakes:
        raise ValueError("catalogues: " + "; ".join(mistakes))
    return Catalogues(catalogues, tuple(rows))


class _Dates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    day: str
    moment: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    reviewed_by: str
    alphabet: Alphabet
    outcomes: dict[str, str]
    dates: _Dates
    texts: dict[str, object]
    screens: dict[str, object]
    page: dict[str, object]


def _read(code: str, source: str, mistakes: list[str]) -> _Catalogue | None:
    try:
        file = msgspec.convert(tomllib.loads(source), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        mistakes.append(f"{code}: {error}")
        return None
    language = Language(
        code=code,
        name=file.name,
        reviewed_by=file.reviewed_by.strip(),
        alphabet=file.alphabet,
        outcomes=file.outcomes,
        day_form=file.dates.day,
        moment_form=file.dates.moment,
    )
    mistakes += [f"{code}.{mistake}" for mistake in _mistakes_of_head(language)]
    texts = _texts(f"{code}.", KEYS, file.texts, mistakes)
    screens = _texts(f"{code}.{SCREENS_TABLE}", SCREENS, file.screens, mistakes)
    return _Catalogue(language, texts, screens, _texts(f"{code}.page.", PAGE, file.page, mistakes))


def _texts(path: str, known: Mapping[str, object], table: Mapping[str, object], mistakes: list[str]) -> dict[str, str]:
    mistakes += [f"{path}{key}: expected a text" for key, text in table.items() if not isinstance(text, str)]
    mistakes += [f"{path}{key}: missing" for key in known if key not in table]
    return {key: text for key, text in table.items() if isinstance(text, str)}


def _mistakes_of_head(language: Language) -> list[str]:
    if language.outcomes.keys() != OUTCOMES:
        return [f"outcomes: expected a word for each of {sorted(OUTCOMES)}, got {sorted(language.outcomes)}"]
    most = _WORST_CASE[language.alphabet]["outcome"]
    mistakes = [
        f"outcomes.{state}: expected 1 to {most} characters, got {word!r}"
        for state, word in language.outcomes.items()
        if not 1 <= len(word) <= most or _odd(word, language.alphabet)
    ]
    return mistakes + _mistakes_of_dates(language)


_SOME_TIME: Final = datetime(2026, 11, 23, 14, 35, tzinfo=UTC)


def _mistakes_of_dates(language: Language) -> list[str]:
    try:
        shown = {"day": language.day(_SOME_TIME), "moment": language.moment(_SOME_TIME)}
    except (LookupError, ValueError) as error:
        return [f"dates: expected plain fields out of day, month, year and time, got {error}"]
    expected = {"day": {"23", "11"}, "moment": {"23", "11", "26", "14:35"}}
    most = {"day": WORST_CASE["deadline"], "moment": WORST_CASE["time"]}
    return [
        f"dates.{name}: expected all its fields in at most {most[name]} plain characters, got {text!r}"
        for name, text in shown.items()
        if len(text) > most[name] or _odd(text, language.alphabet) or not all(part in text for part in expected[name])
    ]


def _mistakes(known: Mapping[str, frozenset[str]], key: str, text: str, alphabet: Alphabet) -> list[str]:
    if key not in known:
        return ["unknown key"]
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        return [str(error)]
    mistakes = [
        f"expected plain fields out of {sorted(known[key])}, got {{{name}}}"
        for _, name, form, conversion in parsed
        if name is not None and (name not in known[key] or form or conversion)
    ]
    literal = "".join(part for part, *_ in parsed)
    if odd := _odd(literal, alphabet):
        mistakes.append(f"expected only characters of the GSM base table that every phone shows, got {odd!r}")
    for pattern, name in ((_CARRIER_WORDS, "opt-out word of carriers"), (_LINK, "link")):
        if (found := pattern.search(literal)) is not None:
            mistakes.append(f"expected no {name}, got {found[0]!r}")
    return mistakes


def _odd(text: str, alphabet: Alphabet) -> str:
    """The characters of *text* that may not stand in a text of ours."""
    odd = set(text) - _PRINTABLE if alphabet == "gsm" else set(text) & set("@[]{}^~|")
    return "".join(sorted(odd))


def _row(code: str, key: str, text: str, alphabet: Alphabet) -> Row:
    """The text as phones get it, with every field at its longest."""
    longest = {name: "M" * units for name, units in _WORST_CASE[alphabet].items()}
    filled = _filled(text, alphabet, longest | {"lines": "M" * PAGE_UNITS_MAX[alphabet]}, _LIMITS[alphabet])
    found = segment(filled)
    return Row(code, key, found.units, _LIMITS[alphabet], alphabet, len(found.parts))


# The longest line of a list, and the shortest page: a shop's short name, an amount, the words for what became of it.
_LINES_UNITS: Final[Mapping[Alphabet, int]] = {"gsm": 64, "ucs2": 46}


def _screen_row(code: str, key: str, text: str, alphabet: Alphabet) -> Row:
    longest = {name: "M" * units for name, units in ({**_WORST_CASE[alphabet], **SCREENS_WORST_CASE}).items()}
    most = SCREEN_UNITS_MAX[alphabet]
    filled = _filled(text, alphabet, longest | {"lines": "M" * _LINES_UNITS[alphabet]}, most)
    return Row(code, f"{SCREENS_TABLE}{key}", segment(filled).units, most, alphabet, 1)


def _differences(catalogues: Mapping[str, _Catalogue]) -> list[str]:
    expected = _all(catalogues[FALLBACK_LANGUAGE])
    mistakes = []
    for code, catalogue in catalogues.items():
        lacking = _MAY_LACK_IN_UCS2 if catalogue.language.alphabet == "ucs2" else frozenset()
        mistakes += [
            f"{code}.{key}: expected the fields of {FALLBACK_LANGUAGE} {_names(expected[key])}, got {_names(text)}"
            for key, text in _all(catalogue).items()
            if not set(_names(expected[key])) - lacking <= set(_names(text)) <= set(_names(expected[key]))
        ]
    return mistakes


def _all(catalogue: _Catalogue) -> dict[str, str]:
    return {**catalogue.texts, **{f"{SCREENS_TABLE}{key}": text for key, text in catalogue.screens.items()}}


def _names(text: str) -> list[str]:
    return sorted({name for _, name, *_ in string.Formatter().parse(text) if name is not None})
