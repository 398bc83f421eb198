"""MSISDN: the one strict form in which phone numbers enter the gateway, and the masked form in which they leave it.

It knows no numbering plans: whether a number exists, and whose it is, is found out at the edge and by the carrier.
"""

import re
from typing import Final

_E164: Final = re.compile(r"\+[1-9][0-9]{7,14}")
# One country code each for many countries or one very large one; everywhere else three digits are a fair head.
_ONE_DIGIT_HEADS: Final = ("+1", "+7")
_HIDDEN: Final = "*****"


def parse_msisdn(text: str) -> str:
    """*text* itself if it is strict E.164 (`+254712345678`); else ValueError, which does not repeat the number."""
    if _E164.fullmatch(text) is None:
        raise ValueError(
            f"msisdn: expected + and 8 to 15 digits, the first not 0 (E.164), got {len(text)} other characters"
        )
    return text


def mask(msisdn: str) -> str:
    """`+254*****678`: enough to recognise one's own number, for logs, errors and merchants. Never raises.

    The stars are always five, so that they do not tell the length.
    """
    if _E164.fullmatch(msisdn) is None:
        return _HIDDEN
    head = msisdn[:2] if msisdn.startswith(_ONE_DIGIT_HEADS) else msisdn[:4]
    tail = 3 if len(msisdn) > 10 else 2
    return f"{head}{_HIDDEN}{msisdn[-tail:]}"


COMPARED_DIGITS_MIN: Final = 7
"""Of fewer digits, or where some are masked, nobody can say whose they are."""


def may_be_same(written: str, msisdn: str) -> bool:
    """Whether *written*, in international or national form, as others write numbers, may be *msisdn*."""
    digits = re.sub(r"[\s()+./-]", "", written).lstrip("0")
    if not digits.isdecimal() or len(digits) < COMPARED_DIGITS_MIN:
        return True
    return msisdn.endswith(digits)
