"""Looks for what must not lie about: whole numbers, one-time codes and keys, in every table and all that was printed.

Whatever a journey leaves is searched, byte for byte, when it is over: the database column by column, logs, metrics and
the outputs of processes. Where such a thing has to stand, its column is in `ALLOWED`, with the reason.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec
from sqlalchemy import Engine, String, Text, select

from gateway.store import tables

NUMBER: Final = "number"
CODE: Final = "code"
KEY: Final = "key"

ALLOWED: Final = {
    # The one place of a number.
    ("consumer", "msisdn"): {NUMBER},
    # What a person wrote, word by word, is the proof of a consent; the code in it is spent.
    ("consent", "reply"): {CODE, NUMBER},
    ("mo", "text"): {CODE, NUMBER},
    # Both sides sign with it, so it cannot be a hash.
    ("webhook_endpoint", "secret"): {KEY},
    ("webhook_endpoint", "previous_secret"): {KEY},
}
"""(table, column) → kinds of secrets that may stand there. Nothing else may."""


MERCHANTS_WORDS: Final = frozenset({("payment", "description"), ("event", "body"), ("idempotency", "response")})
"""Where a shop's own words stand, so that a number which it put into a description is found there."""


CARRIERS_NAMES: Final = frozenset(
    {
        *(("attempt", "carrier_reference"), ("payment", "carrier_reference")),
        # The same of an order that is under way.
        *(("payment", "operation"), ("refund", "operation"), ("outbox", "body")),
    }
)
"""Where M-Pesa's name of a push stands, which ends in digits of the number; it is what it can be asked by."""


class Leak(msgspec.Struct, frozen=True):
    """Something that lies where it must not."""

    kind: str
    where: str
    around: str


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for."""

    numbers: Collection[str]
    """In E.164."""
    codes: Collection[str]
    keys: Collection[str]
    """API keys, webhook secrets, the key that codes are derived with: as they are written."""

    def patterns(self) -> Iterator[tuple[str, re.Pattern[str]]]:
        """By kind, what finds any of its secrets in a text."""
        # Without its country code a number is still a number.
        tails = {number[-NATIONAL_DIGITS:] for number in self.numbers}
        if tails:
            yield NUMBER, re.compile("|".join(sorted(tails)))
        if self.codes:
            plain = "|".join(sorted(self.codes))
            # Four digits of a longer number or word are no code.
            yield CODE, re.compile(rf"(?<![0-9A-Za-z_.:+-])(?:{plain})(?![0-9A-Za-z_:-]|\.[0-9])")
        if self.keys:
            yield KEY, re.compile("|".join(re.escape(key) for key in sorted(self.keys)))


NATIONAL_DIGITS: Final = 9
AROUND: Final = 40
# Octets stand in these in hexadecimal, and are searched as what they are.
IN_HEXADECIMAL: Final = frozenset({"trace"})
_OCTETS: Final = re.compile(r"(?:[0-9a-f]{2}){4,}")


def leaks(
    secrets: Secrets,
    engine: Engine,
    printed: Iterable[tuple[str, str]],
    *,
    except_in: Collection[tuple[str, str]] = (),
) -> list[Leak]:
    """Every place where a secret lies and may not. *printed*: (name, text) of logs, metrics and outputs."""
    patterns = list(secrets.patterns())
    found: list[Leak] = []
    for table, column, value in _texts(engine):
        if (table, column) in except_in:
            continue
        allowed = ALLOWED.get((table, column), set())
        shown = [value, *_shown(value)] if table in IN_HEXADECIMAL else [value]
        found += [leak for text in shown for leak in _in(text, f"{table}.{column}", patterns, allowed)]
    for name, text in printed:
        found += _in(text, name, patterns, set())
    return found


def _shown(text: str) -> Iterator[str]:
    """The octets that stand in *text* in hexadecimal, as letters of one octet and of two."""
    for octets in _OCTETS.findall(text):
        letters = bytes.fromhex(octets).decode("latin-1")
        yield from (letters, letters.replace("\0", ""))


def _texts(engine: Engine) -> Iterator[tuple[str, str, str]]:
    """(table, column, value) of every text in the database."""
    with engine.connect() as conn:
        for table in tables.metadata.sorted_tables:
            columns = [column for column in table.columns if isinstance(column.type, String | Text)]
            for row in conn.execute(select(*columns)):
                yield from (
                    (table.name, column.name, value) for column, value in zip(columns, row, strict=True) if value
                )


def _in(text: str, where: str, patterns: list[tuple[str, re.Pattern[str]]], allowed: Collection[str]) -> Iterator[Leak]:
    for kind, pattern in patterns:
        if kind in allowed:
            continue
        for match in pattern.finditer(text):
            around = text[max(0, match.start() - AROUND) : match.end() + AROUND]
            yield Leak(kind, where, around)
