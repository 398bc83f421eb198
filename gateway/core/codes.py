"""One-time codes: derived from a key, the payment and a counter, so that they need not be stored.

A code that a person could type by accident or for another reason (a year, 1111, 1234) is never used. How many digits,
and what else lives on that phone, is the caller's knowledge.
"""

import hmac
from collections.abc import Collection, Sequence
from functools import cache
from typing import Final

from gateway.core.money import Money, exponent
from gateway.core.pay_codes import is_well_formed

DIGITS_MIN: Final = 4
DIGITS_MAX: Final = 8
# Eight draws a block; about nine in ten are good, so that sixteen blocks fail once in 10**128.
_BLOCKS_MAX: Final = 16
_CHOICES_MAX: Final = 1000
_RUN: Final = "01234567890123456789"
_RUNS: Final = (_RUN, _RUN[::-1])


def allowed(code: str) -> bool:
    """Whether *code* may be a code: no leading 0, not one digit repeated, no run up or down, not a year."""
    if not (code.isascii() and code.isdigit() and DIGITS_MIN <= len(code) <= DIGITS_MAX):
        return False
    if code[0] == "0" or len(set(code)) == 1 or any(code in run for run in _RUNS):
        return False
    return not (len(code) == 4 and code[:2] in ("19", "20"))


@cache
def key_id(key: bytes) -> str:
    """By what a payment remembers the key of its codes. It gives nothing of the key away."""
    return hmac.digest(key, b"code/key", "sha256")[:4].hex()


def key_of(keys: Sequence[bytes], known_as: str) -> bytes:
    """The key of *keys* (the newest first) that has this id; a payment from before there were ids has the oldest.

    If it is gone, the newest: codes that were sent are void then, and those that are sent from now on are good.
    """
    if not known_as:
        return keys[-1]
    return next((key for key in keys if key_id(key) == known_as), keys[0])


def derive_code(key: bytes, payment_id: str, n: int, digits: int) -> str:
    """The *n*-th code of the payment: HMAC-SHA256 mapped onto the allowed codes, each of them equally likely."""
    if not DIGITS_MIN <= digits <= DIGITS_MAX:
        raise ValueError(f"digits: expected {DIGITS_MIN} to {DIGITS_MAX}, got {digits}")
    lowest = 10 ** (digits - 1)
    span = 9 * lowest
    # Draws above the last whole multiple would make the small codes a little likelier; they are drawn again.
    unbiased_below = 2**32 - 2**32 % span
    for block in range(_BLOCKS_MAX):
        digest = hmac.digest(key, f"code/{digits}/{n}/{block}/{payment_id}".encode(), "sha256")
        for at in range(0, 32, 4):
            draw = int.from_bytes(digest[at : at + 4], "big")
            code = str(lowest + draw % span)
            if draw < unbiased_below and allowed(code):
                return code
    raise AssertionError("no allowed code in 128 draws")


def choose_code(key: bytes, payment_id: str, digits: int, taken: Collection[str], start: int = 0) -> tuple[str, int]:
    """The first code from counter *start* on that is not in *taken* and no pay code could be, and its counter.

    With its counter `derive_code` finds it again.
    """
    for n in range(start, start + _CHOICES_MAX):
        code = derive_code(key, payment_id, n, digits)
        if code not in taken and not is_well_formed(code):
            return code, n
    raise ValueError(f"taken: expected a free code of {digits} digits, got {len(taken)} taken ones")


def amount_spellings(amount: Money) -> set[str]:
    """Digit runs by which a person may write *amount*; a code of the same phone must not equal one of them."""
    whole = amount.amount_minor // 10 ** exponent(amount.currency)
    return {str(amount.amount_minor), str(whole)}
