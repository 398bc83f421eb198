"""The search at the end of every test with a database: nobody calls it, and nobody can forget it.

`tests.conftest` takes it where the ledger is verified, so that it comes when everything has ended: houses, pairs,
processes that were killed. It finds out by itself what is secret: numbers and webhook secrets stand in the database,
codes are derived as the gateway derives them, keys are known by their form, and whatever was hashed as a PIN, or typed
on a simulated phone's USSD and could be one, is one. A test that plants such a thing on purpose is marked `plants`.
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, text

from gateway.core import pins
from gateway.core.codes import derive_code, key_of
from gateway.core.logins import code_of
from simulators.ussd import Ussd
from tests.leaks import MERCHANTS_WORDS, Leak, Secrets, leaks

CODE_KEYS: Final = (bytes.fromhex("ab" * 16), bytes(range(32, 64)), bytes(range(32)))
"""All that tests derive codes with; the last one, where a payment does not say by which."""
PRINTED: Final = (".log", ".out")
"""What processes, and houses in place of them, wrote beside the journals."""
SAID: Final[list[tuple[str, str]]] = []
"""What commands printed in this test: their words, and what came."""
EASY_PINS: Final = frozenset({"1111", "1234"})
"""Those that a screen advises against, by name."""
_TYPED: Final = re.compile(r"[0-9]{4,}")


def secrets_left(conn: Connection, printed: Sequence[tuple[str, str]], typed: Collection[str]) -> list[Leak]:
    """Every secret that lies where it must not, in the database of *conn* or in what was *printed*.

    *typed*: what people typed and may be PINs.
    """
    numbers = _column(conn, "SELECT msisdn FROM consumer")
    if not numbers:
        return []  # Nobody has a code, a PIN or a number here.
    described = " ".join(_column(conn, "SELECT description FROM payment"))
    codes = _codes(conn) - _innocent(conn)
    pay_codes = set(_column(conn, "SELECT code FROM pay_code"))
    # A shop may write a number into its own words; it is then looked for everywhere else.
    told = [number for number in numbers if number in described]
    untold = [number for number in numbers if number not in described]
    keys = {*(key.hex() for key in CODE_KEYS), *_column(conn, "SELECT secret FROM webhook_endpoint")}
    searched = Secrets(numbers=untold, codes=codes, keys=keys, pins=set(typed) - codes - pay_codes)
    found = leaks(searched, conn, printed)
    if told:
        found += leaks(Secrets(numbers=told, codes=(), keys=()), conn, printed, except_in=MERCHANTS_WORDS)
    return found


def _column(conn: Connection, statement: str) -> list[str]:
    return [str(value) for (value,) in conn.execute(text(statement))]


def _codes(conn: Connection) -> set[str]:
    """One-time codes: of all asks, and of all logins to the statement page, also of those that were never sent."""
    asked = conn.execute(text("SELECT id, code_n, code_digits, code_key FROM payment"))
    logins = conn.execute(text("SELECT id, code_key FROM page_login"))
    return {code for row in asked for code in codes_of(row)} | {
        code_of(key_of(CODE_KEYS, row.code_key), row.id) for row in logins
    }


def codes_of(payment: Any) -> set[str]:  # Any: a row.
    """All that it has had."""
    key = key_of(CODE_KEYS, payment.code_key)
    return {derive_code(key, payment.id, n, payment.code_digits) for n in range(payment.code_n + 1)}


def _innocent(conn: Connection) -> set[str]:
    """What is printed where codes must not be, as amounts and years are: a code that is one, too, proves nothing."""
    minor = {int(row) for row in _column(conn, "SELECT amount_minor FROM leg UNION SELECT amount_minor FROM payment")}
    amounts = {str(abs(one)) for one in minor} | {str(abs(one) // 100) for one in minor}
    this_year = datetime.now(UTC).year
    return amounts | {str(year) for year in range(this_year - 1, this_year + 2)} | EASY_PINS


def printed_into(folder: Path) -> list[tuple[str, str]]:
    return [
        (path.name, path.read_text(encoding="utf-8", errors="replace"))
        for path in sorted(folder.iterdir())
        if path.suffix in PRINTED
    ]


def listening(patch: pytest.MonkeyPatch) -> set[str]:
    """What is typed from now on, by whatever simulated phone, and what is hashed as a PIN."""
    typed: set[str] = set()
    made, is_right = pins.made, pins.is_right

    def kept(keys: Sequence[bytes], consumer_id: str, pin: str, now_ms: int) -> pins.Pin:
        typed.update(_TYPED.findall(pin))
        return made(keys, consumer_id, pin, now_ms)

    def judged(pin: pins.Pin, keys: Sequence[bytes], tried: str) -> bool:
        typed.update(_TYPED.findall(tried))
        return is_right(pin, keys, tried)

    # Not what hashes: whatever digits are texted are hashed to see whether a PIN is among them.
    patch.setattr(pins, "made", kept)
    patch.setattr(pins, "is_right", judged)
    for name in ("type", "dial"):
        _listen(patch, name, typed)
    return typed


def _listen(patch: pytest.MonkeyPatch, name: str, typed: set[str]) -> None:
    does: Callable[[Ussd, str, str], Any] = getattr(Ussd, name)  # Any: `type` says whether a screen waited.

    def noted(ussd: Ussd, msisdn: str, words: str) -> Any:  # Any: as above.
        typed.update(_TYPED.findall(words))
        return does(ussd, msisdn, words)

    patch.setattr(Ussd, name, noted)
