"""Makes text fit to be logged: what looks like a phone's number, a key, a token or a password is masked.

A last line of defence: nothing of the kind should be logged in the first place.
"""

import re
from typing import Final

from gateway.core.msisdn import mask

HIDDEN: Final = "*****"
NUMBER: Final = re.compile(r"(\+|%2B)([1-9][0-9]{7,14})", re.IGNORECASE)
_REPLACED: Final = (
    (re.compile(r"\bsk_[\w-]+"), f"sk_{HIDDEN}"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), f"whsec_{HIDDEN}"),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',;]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"://([^\s/:@]*):[^\s@]*@"), rf"://\1:{HIDDEN}@"),
    (re.compile(r"\b(password|passwd|secret|token)=[^\s&;,]+", re.IGNORECASE), rf"\1={HIDDEN}"),
    # What the database adds to an error: whole rows, and the values of a statement.
    (re.compile(r"(?m)^DETAIL: .*$"), "DETAIL: hidden"),
    (re.compile(r"\[parameters: .*"), "[parameters: hidden]"),
)


def masked(text: str) -> str:
    """*text* without what must not be read. Text without any of it comes back as it is."""
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    # Last, because what stands in place of the others holds no digits that could become part of a number.
    return NUMBER.sub(lambda number: mask(f"+{number[2]}"), text)
