"""The PIN of a phone's owner: which PINs are taken, how one is kept, and what wrong ones do.

It is kept as a keyed hash, the key outside the database; whoever has the database without the key cannot try PINs
against it. Who asks for a PIN and what it opens is not known here.
"""

import hmac
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

DIGITS_MIN: Final = 4
DIGITS_MAX: Final = 6
TRIES_MAX: Final = 3
LOCK_MS: Final = 24 * 3600 * 1000
# Whoever has the phone in hand for a moment cannot make a PIN of their own and use it.
FORGOTTEN_AFTER_MS: Final = 24 * 3600 * 1000
_RUN: Final = "01234567890123456789"


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A kept PIN."""

    consumer_id: str
    mac: str
    key: str
    """By what its key is known (`key_id`)."""
    tries: int = 0
    """Wrong ones since the last right one."""
    locked_until_ms: int | None = None
    ends_at_ms: int | None = None
    """Its owner has forgotten it: from then on there is none."""
    set_at_ms: int

    def is_locked(self, now_ms: int) -> bool:
        return self.locked_until_ms is not None and now_ms < self.locked_until_ms


def is_pin(text: str) -> bool:
    """Whether *text* can be a PIN: 4 to 6 digits, so that it is never taken for an option of one or two."""
    return text.isascii() and text.isdecimal() and DIGITS_MIN <= len(text) <= DIGITS_MAX


def is_weak(pin: str, msisdn: str) -> bool:
    """Whether others would guess it: few different digits, a run, a year, or the end of the own number."""
    if len(set(pin)) <= 2 or pin in _RUN or pin in _RUN[::-1]:
        return True
    return (len(pin) == 4 and pin[:2] in ("19", "20")) or msisdn.endswith(pin)


def key_id(key: bytes) -> str:
    """By what a PIN remembers its key. It gives nothing of the key away."""
    return hmac.digest(key, b"pin/key", "sha256")[:4].hex()


def mac_of(key: bytes, consumer_id: str, pin: str) -> str:
    """What is kept of *pin*. The same PIN of two phones looks different."""
    return hmac.digest(key, f"pin/{consumer_id}/{pin}".encode(), "sha256").hex()


def made(keys: Sequence[bytes], consumer_id: str, pin: str, now_ms: int) -> Pin:
    """*pin* as it is kept, under the newest of *keys*."""
    key = keys[0]
    return Pin(consumer_id=consumer_id, mac=mac_of(key, consumer_id, pin), key=key_id(key), set_at_ms=now_ms)


def present(pin: Pin | None, keys: Sequence[bytes], now_ms: int) -> Pin | None:
    """*pin* if it holds: it has not ended, and we have its key."""
    if pin is None or (pin.ends_at_ms is not None and pin.ends_at_ms <= now_ms):
        return None
    return pin if any(key_id(key) == pin.key for key in keys) else None


def is_right(pin: Pin, keys: Sequence[bytes], typed: str) -> bool:
    """Whether *typed* is the PIN. Its key must be among *keys*."""
    return _is(pin, keys, typed)


def _is(pin: Pin, keys: Sequence[bytes], digits: str) -> bool:
    key = next(key for key in keys if key_id(key) == pin.key)
    return hmac.compare_digest(mac_of(key, pin.consumer_id, digits), pin.mac)


HIDDEN: Final = "****"
_DIGITS: Final = re.compile(r"\d+")
# Also `7 3 9 1` and `73-91`.
_SPREAD: Final = re.compile(r"\d(?:[\s.,*-]{0,3}\d)*")


def may_be_in(text: str, known: Collection[str]) -> bool:
    """Whether digits stand in *text* that can be a PIN, and are none of those that are *known* to be something else."""
    return any(is_pin(digits) and digits not in known for digits in map(_ascii, _runs(text)))


def hidden(text: str, pin: Pin, keys: Sequence[bytes], known: Collection[str]) -> str:
    """*text* without the PIN, should it stand there. Nobody asked for it there, so this is no try of it."""

    def masked(found: re.Match[str]) -> str:
        digits = _ascii(found[0])
        if is_pin(digits) and digits not in known and _is(pin, keys, digits):
            return HIDDEN
        return _DIGITS.sub(masked, found[0]) if len(found[0]) > len(digits) else found[0]

    return _SPREAD.sub(masked, text)


def _runs(text: str) -> Iterator[str]:
    for spread in _SPREAD.findall(text):
        yield spread
        yield from _DIGITS.findall(spread)


def _ascii(run: str) -> str:
    """The digits of *run*, in whatever script they were typed."""
    return "".join(str(unicodedata.decimal(c)) for c in run if c.isdecimal())


def after_right(pin: Pin, keys: Sequence[bytes], typed: str) -> Pin:
    """The PIN after it was typed: nothing is counted, it is not forgotten, and it goes over to the newest key."""
    key = keys[0]
    mac = mac_of(key, pin.consumer_id, typed)
    return replace(pin, mac=mac, key=key_id(key), tries=0, locked_until_ms=None, ends_at_ms=None)


def after_wrong(pin: Pin, now_ms: int) -> Pin:
    """The PIN after a wrong one; the third in a row locks it."""
    tries = pin.tries + 1
    if tries < TRIES_MAX:
        return replace(pin, tries=tries)
    # Whole minutes, so that the time on the screen is the one that holds.
    return replace(pin, tries=0, locked_until_ms=-(-(now_ms + LOCK_MS) // 60_000) * 60_000)


def forgotten(pin: Pin, now_ms: int) -> Pin:
    """The PIN whose owner says that it is forgotten; saying it twice makes nothing later."""
    if pin.ends_at_ms is not None:
        return pin
    return replace(pin, ends_at_ms=-(-(now_ms + FORGOTTEN_AFTER_MS) // 60_000) * 60_000)
