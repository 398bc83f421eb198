"""How a person reads a text on a plain phone: where is the code, does it say that the balance is too low.

It knows words, not our templates: no placeholder, no message kind, nothing that is not in the text.
"""

import re

_VERB = r"(?i:reply|jibu|r[ée]pondez|send|text|enter|confirm with|回)"
# A run of digits that is not a part of an amount, a time, a date, a number or a reference.
_ALONE = r"(?<![A-Za-z0-9.,:/+#-])(?<![0-9] )(?P<code>[0-9]{6}|[0-9]{4})(?![A-Za-z0-9]|[.,:/-][0-9]| [0-9]{3})"
# Capitals after the verb are a command ("Reply DISPUTE 4411"), a full stop ends what the verb speaks of.
_ASKED = re.compile(_VERB + r"(?:\s+0\b)?[^0-9A-Z.?!;\n]{0,24}" + _ALONE)
_ANY_ALONE = re.compile(_ALONE)
_LISTED = re.compile(r"(?:^|[:;\n]\s?)" + _ALONE)
# "Reply the 4 digits from our text": it speaks of a code and has none.
_ABOUT_DIGITS = re.compile(r"[0-9] (?:digits|chiffres)\b|\btarakimu [0-9]|[0-9] ?位", re.IGNORECASE)
_CURRENCY_BEFORE = re.compile(r"(?:[A-Z]{2,3}|[Kk][Ss]h|[$€£¥]|Sh)\.?\s?$")
_CURRENCY_AFTER = re.compile(r"^\s?(?:[A-Z]{3}\b|[Ss]h)")
_PAYS = re.compile(r"\b(?:pay|kulipa|payer)\b|付款", re.IGNORECASE)
_CHOICE = re.compile(_VERB + r".*(?<![0-9])0(?![0-9])", re.DOTALL)
_LOW_BALANCE = re.compile(
    r"not enough|balance (?:is )?too low|top up|insufficient|salio halitoshi|ongeza salio"
    r"|solde insuffisant|rechargez|餘額不足",
    re.IGNORECASE,
)


def codes_in(text: str) -> list[str]:
    """The codes that the text asks for, in order; empty if it asks for none."""
    asked = _ASKED.search(text)
    if asked is not None:
        return [asked["code"]]
    if _CHOICE.search(text) is None or _ABOUT_DIGITS.search(text) is not None:
        return []
    listed = [found["code"] for found in _LISTED.finditer(text)]
    # In a list the codes stand at the beginnings; a number further on belongs to a shop's name.
    if listed or _PAYS.search(text) is None:
        return listed
    return [found["code"] for found in _ANY_ALONE.finditer(text) if not _is_amount(text, found)]


def says_low_balance(text: str) -> bool:
    return _LOW_BALANCE.search(text) is not None


def _is_amount(text: str, found: re.Match[str]) -> bool:
    before, after = text[max(0, found.start() - 5) : found.start()], text[found.end() : found.end() + 5]
    return _CURRENCY_BEFORE.search(before) is not None or _CURRENCY_AFTER.match(after) is not None


def wrong_codes(code: str, count: int) -> list[str]:
    """Codes of the same length, each different from the right one and from each other, none starting with 0."""
    low, room, step = 10 ** (len(code) - 1), 9 * 10 ** (len(code) - 1), int("1" * len(code))
    candidates = (str((int(code) + step * number) % room + low) for number in range(count + 1))
    return [candidate for candidate in candidates if candidate != code][:count]
