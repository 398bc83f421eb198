"""Logging in to the statement page: which codes are sent, how long one lives, and what a typed number or code means.

A code is derived from a key and the login, like those of payments, so that it lies in no table. Whether a phone may
have one is decided by what it had before, and by nothing that whoever typed its number could learn from the answer.
"""

import unicodedata
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.core.codes import derive_code
from gateway.core.msisdn import parse_msisdn

CODE_DIGITS: Final = 6
CODE_LIVES_MS: Final = 600_000
TRIES_MAX: Final = 5
HOUR_MS: Final = 3600 * 1000
DAY_MS: Final = 24 * HOUR_MS
CODES_PER_HOUR: Final = 3
CODES_PER_DAY: Final = 6
LOCK_MS: Final = 30 * 60 * 1000
"""After as many wrong codes as there are tries, so long no new one is sent."""
IDLE_MS: Final = 15 * 60 * 1000
SESSION_MS: Final = HOUR_MS
_TYPED_CHARACTERS_MAX: Final = 40


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody typed a number. `consumer_id` is empty if no code was sent, whatever the reason."""

    id: str
    visit: str
    """A hash of what the browser keeps."""
    consumer_id: str
    code_key: str
    """By what the key of its code is known (`codes.key_id`)."""
    tries: int = 0
    ended_at_ms: int | None = None
    """It was used."""
    at_ms: int

    def is_live(self, now_ms: int) -> bool:
        return self.ended_at_ms is None and self.tries < TRIES_MAX and now_ms < self.at_ms + CODE_LIVES_MS


def code_of(key: bytes, login_id: str) -> str:
    """The code of a login."""
    return derive_code(key, login_id, 0, CODE_DIGITS)


def may_send(earlier: Sequence[Login], now_ms: int) -> bool:
    """Whether a phone that was sent the codes of *earlier* may be sent another one."""
    if any(one.tries >= TRIES_MAX and now_ms < one.at_ms + CODE_LIVES_MS + LOCK_MS for one in earlier):
        return False
    of_hour = sum(now_ms - one.at_ms < HOUR_MS for one in earlier)
    of_day = sum(now_ms - one.at_ms < DAY_MS for one in earlier)
    return of_hour < CODES_PER_HOUR and of_day < CODES_PER_DAY


def typed_code(text: str) -> str:
    """The digits of what was typed, in whatever script; "" if there are more or less of them than a code has."""
    digits = _digits(text)
    return digits if len(digits) == CODE_DIGITS else ""


def typed_msisdn(text: str, country_code: str) -> str | None:
    """The number that was typed, in E.164; None if it is none. *country_code*: of numbers that are typed without one.

    `0712 345 678`, `712345678`, `254712345678`, `00254712345678` and `+254 712 345678` are the same with `+254`.
    """
    digits = _digits(text)
    if text.strip()[:1] in ("+", "＋"):
        full = f"+{digits}"
    elif digits.startswith("00"):
        full = f"+{digits[2:]}"
    elif not country_code or (digits.startswith(country_code[1:]) and len(digits) > _NATIONAL_DIGITS_MAX):
        full = f"+{digits}"
    else:
        full = country_code + digits.removeprefix("0")
    try:
        return parse_msisdn(full)
    except ValueError:
        return None


# A number that begins with the country's digits and is no longer than this is a national one all the same.
_NATIONAL_DIGITS_MAX: Final = 10


def _digits(text: str) -> str:
    found = (unicodedata.decimal(character, None) for character in text[:_TYPED_CHARACTERS_MAX])
    return "".join(str(digit) for digit in found if digit is not None)
