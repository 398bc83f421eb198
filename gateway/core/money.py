"""Money: an integer of minor units with its ISO 4217 currency, and both ways between that and what people type.

Formats are our own: the usual locale tables put no-break spaces into amounts, and one such character turns a text of
160 characters into one of 70. There is no arithmetic here and no float anywhere.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AMOUNT_MINOR_MAX: Final = 10**12

_EXPONENT_0: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_EXPONENT_2: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC"
    " CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD"
    " KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO"
    " NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL"
    " THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD XCG YER ZAR ZMW ZWG"
)
_EXPONENT_3: Final = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS: Final[dict[str, int]] = {
    **dict.fromkeys(_EXPONENT_0.split(), 0),
    **dict.fromkeys(_EXPONENT_2.split(), 2),
    **dict.fromkeys(_EXPONENT_3.split(), 3),
}
"""Decimal places of each currency by ISO 4217 (list one, without funds, metals and testing codes)."""

PROVIDER_EXPONENTS: Final[Mapping[tuple[str, str], int]] = {
    # Daraja takes and reports whole shillings only.
    ("wallet_stk", "KES"): 0,
}
"""Where a provider counts a currency otherwise than ISO 4217 does: (provider, currency) to decimal places."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount and its currency, never apart. `money()` checks; the bare constructor is for amounts checked before."""

    amount_minor: int
    currency: str


def exponent(currency: str, provider: str = "") -> int:
    """Decimal places of *currency*, as *provider* counts them; ValueError if nobody knows the currency."""
    override = PROVIDER_EXPONENTS.get((provider, currency))
    if override is not None:
        return override
    places = EXPONENTS.get(currency)
    if places is None:
        raise ValueError(f"currency: expected an ISO 4217 code that we know, got {currency!r}")
    return places


def money(amount_minor: int, currency: str) -> Money:
    """A checked amount: a whole number of minor units from 1 to 10**12 in a currency that we know."""
    if type(amount_minor) is not int:  # True is an int to isinstance, and nobody means one cent by it.
        raise ValueError(f"amount_minor: expected a whole number, got {type(amount_minor).__name__}")
    if not 1 <= amount_minor <= AMOUNT_MINOR_MAX:
        raise ValueError(f"amount_minor: expected 1 to {AMOUNT_MINOR_MAX}, got {amount_minor}")
    exponent(currency)
    return Money(amount_minor, currency)


# Language to (thousands separator, decimal point); English is the fallback.
_SEPARATORS: Final[Mapping[str, tuple[str, str]]] = {"en": (",", "."), "fr": (" ", ",")}


def format_money(amount: Money, language: str) -> str:
    """`KES 1,250.00`: code, groups of three, all decimal places. Only characters of the GSM base table."""
    return f"{amount.currency} {format_amount(amount, language)}"


def format_amount(amount: Money, language: str) -> str:
    """`1,250.00`: for lines whose currency is printed elsewhere."""
    thousands, point = _SEPARATORS.get(language, _SEPARATORS["en"])
    places = exponent(amount.currency)
    sign = "-" if amount.amount_minor < 0 else ""
    whole, minor = divmod(abs(amount.amount_minor), 10**places)
    grouped = f"{whole:,}" if thousands == "," else f"{whole:,}".replace(",", thousands)
    return f"{sign}{grouped}{point}{minor:0{places}d}" if places else f"{sign}{grouped}"


# What people write for a currency besides its code. Lower case; longest first where one begins another.
_MARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "KES": ("kshs", "ksh", "shillings", "shilling", "shs", "sh", "bob"),
    "TZS": ("tshs", "tsh", "shilingi", "shillings", "shs", "sh"),
    "UGX": ("ushs", "ush", "shillings", "shs", "sh"),
    "RWF": ("frw", "rf"),
    "XOF": ("fcfa", "cfa", "f"),
    "XAF": ("fcfa", "cfa", "f"),
    "GHS": ("ghc", "cedis", "cedi", "₵"),
    "NGN": ("naira", "₦", "n"),
    "ZAR": ("rand", "r"),
    "INR": ("rs", "rupees", "₹"),
    "USD": ("us$", "$", "dollars", "dollar"),
    "EUR": ("euros", "euro", "€"),
    "JPY": ("¥", "yen"),
    "TND": ("dt", "dinars", "dinar"),
}
CURRENCY_MARKS: Final = frozenset(
    {mark for marks in _MARKS.values() for mark in marks} | {code.lower() for code in EXPONENTS}
)
"""All that people write before or behind an amount for its currency, in lower case."""
_TYPED_CHARACTERS_MAX: Final = 40
# Nothing but groups of three may follow a thousands separator, so `1,25,0` is nobody's number.
_WHOLE: Final = r"(?P<whole>\d{1,13}|\d{1,3}(?:,\d{3}){1,4}|\d{1,3}(?: \d{3}){1,4}|\d{1,3}(?:'\d{3}){1,4})"
_POINT: Final = re.compile(_WHOLE + r"(?:\.(?P<part>\d{1,3}))?")
# `1250,50` and `1 250,50`: a comma before one or two last digits cannot part thousands.
_COMMA: Final = re.compile(r"(?P<whole>\d{1,13}|\d{1,3}(?: \d{3}){1,4}),(?P<part>\d{1,2})")


def parse_amount(text: str, currency: str, *, least_minor: int = 1) -> int | None:
    """Minor units out of what a person types; None if it is no amount of *currency*, or could be read in two ways.

    Less than *least_minor* is no amount. A point is always the decimal point: `1.250,50` and, where there are two
    places, `1.250` are left to the person.
    """
    places = exponent(currency)
    bare = _without_marks(_plain(text), currency)
    if places == 3 and re.fullmatch(r"\d{1,3},\d{3}", bare):
        return None  # `1,250`: a thousand and a quarter, or one and a quarter.
    found = _POINT.fullmatch(bare) or _COMMA.fullmatch(bare)
    if found is None:
        return None
    part = found["part"] or ""
    if len(part) > places:
        if part.strip("0"):
            return None
        if places or len(part) != 2:  # `1250.00` in a currency without cents is a habit, `1.250` is a question.
            return None
        part = ""
    whole = int(re.sub(r"\D", "", found["whole"]))
    minor = whole * 10**places + int(part.ljust(places, "0") or "0")
    return minor if least_minor <= minor <= AMOUNT_MINOR_MAX else None


def _plain(text: str) -> str:
    """Lower case, ASCII digits whatever the script, single spaces."""
    folded = unicodedata.normalize("NFKC", text[:_TYPED_CHARACTERS_MAX]).lower()
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in folded)
    return " ".join(digits.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())


def _without_marks(text: str, currency: str) -> str:
    """Take off one currency mark in front, one behind, and the East African `/=` or `/-`."""
    marks = "|".join(re.escape(mark) for mark in (currency.lower(), *_MARKS.get(currency, ())))
    found = re.fullmatch(rf"(?:(?:{marks})\.? ?)?(\d.*?)(?: ?(?:/=|/-|=))?(?: ?(?:{marks})\.?)?(?:/=|/-|=)?", text)
    return found[1] if found is not None else ""
