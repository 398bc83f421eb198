"""What can be an account that banks pay to or from: its holder, its number and its bank's BIC.

By form, length and check digits only: whether there is such an account, and whose it is, nobody here knows.
"""

import re
from typing import Final

NAME_CHARACTERS_MAX: Final = 70
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
# Characters of an IBAN by country, as SWIFT's IBAN Registry (ISO 13616) has them in 2026. Of a country that is not in
# it only the check digits count.
_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_CHARACTERS: Final = {country: length for length, named in _COUNTRIES.items() for country in named.split()}
# What a country has instead: in ISO 20022 another identification has at most 34 characters.
_OTHER: Final = re.compile(r"[A-Z0-9][A-Z0-9./-]{0,33}")
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?")  # ISO 9362, as pain.001.001.03 takes it


def account_mistakes(*, name: str, account: str, bic: str) -> dict[str, str]:
    """For each of the three that a bank would not take: what was expected. *bic* may be empty."""
    mistakes = {}
    if not (name.strip() and name.isprintable() and len(name) <= NAME_CHARACTERS_MAX):
        mistakes["name"] = f"expected 1 to {NAME_CHARACTERS_MAX} printable characters, got {name!r}"
    if _IBAN.fullmatch(account) and not is_iban(account):
        length = _IBAN_CHARACTERS.get(account[:2])
        of_length = "" if length is None else f" of {length} characters"
        mistakes["account"] = f"expected an IBAN{of_length} whose check digits are right, got {account!r}"
    elif not _OTHER.fullmatch(account):
        mistakes["account"] = (
            f"expected an IBAN, or up to 34 capitals, digits, dots, slashes and dashes, got {account!r}"
        )
    if bic and not _BIC.fullmatch(bic):
        mistakes["bic"] = f"expected 8 or 11 characters such as KCBLKENX, got {bic!r}"
    return mistakes


def is_iban(account: str) -> bool:
    """Whether *account* is an IBAN by its form, its country's length and its check digits (ISO 13616)."""
    if not _IBAN.fullmatch(account) or _IBAN_CHARACTERS.get(account[:2], len(account)) != len(account):
        return False
    return int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1
