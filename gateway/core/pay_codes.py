"""Pay codes: five or six digits that a phone pays by, the last of which tells a mistyped one.

The check is Damm's, over a quasigroup that is totally anti-symmetric: it sees every single wrong digit and every two
neighbours that changed places. A digit that is missing or too much it sees nine times in ten. A one-time code is never
of this shape (`gateway.core.codes`), so that none can be taken for the other.
"""

from typing import Final

DIGITS_MIN: Final = 5
DIGITS_MAX: Final = 6

_QUASIGROUP: Final = (
    "0317598642",
    "7092154863",
    "4206871359",
    "1750983426",
    "6123045978",
    "3674209581",
    "5869720134",
    "8945362017",
    "9438617205",
    "2581436790",
)


def check_digit(digits: str) -> str:
    """What stands behind *digits* in a code."""
    interim = "0"
    for digit in digits:
        interim = _QUASIGROUP[int(interim)][int(digit)]
    return interim


def is_well_formed(text: str) -> bool:
    """Whether *text* can be a pay code: its length, its first digit, its check digit."""
    if not (text.isascii() and text.isdigit() and DIGITS_MIN <= len(text) <= DIGITS_MAX):
        return False
    return text[0] != "0" and check_digit(text) == "0"


def made(draw: int, digits: int) -> str:
    """The code of *digits* digits that the number *draw* stands for, each of them for as many numbers."""
    lowest = 10 ** (digits - 2)
    body = str(lowest + draw % (9 * lowest))
    return body + check_digit(body)
