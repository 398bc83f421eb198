"""How a person reads a screen on a plain phone: it asks for a PIN, or it lists options of which one is wanted.

It knows words, not our menus.
"""

import re
from collections.abc import Sequence

_PIN = re.compile(r"\b(?:PIN|code secret|namba ya siri)\b|PIN", re.IGNORECASE)
_OPTION = re.compile(r"^\s*([0-9]{1,2})[ .):-]+(\S.*)$", re.MULTILINE)
_REFUSE = re.compile(r"refuse|decline|kataa|拒", re.IGNORECASE)


def options_in(screen: str) -> list[tuple[str, str]]:
    """What may be typed, and what stands behind it."""
    return [(found[1], found[2].strip()) for found in _OPTION.finditer(screen)]


def typed_at(screen: str, *, refuses: bool, pin: str, wishes: Sequence[str]) -> str | None:
    """What the owner types: the option that has the first wish in its words, else the PIN if one is asked for, or what
    refuses it. None: nothing here is for them."""
    listed = options_in(screen)
    for wish in wishes[:1]:
        for option, words in listed:
            if wish.lower() in words.lower():
                return option
    asked = [line for line in screen.splitlines() if _PIN.search(line) and not _OPTION.match(line)]
    if not asked or not pin:
        return None
    if refuses:
        return next((option for option, words in listed if _REFUSE.search(words)), "0")
    return pin
