"""Looks for what must not lie about: whole numbers, one-time codes and keys, in every table and all that was printed.

Whatever a test leaves is searched, byte for byte, when it is over (`tests.search`): the database column by column,
logs, metrics and the outputs of processes. Where such a thing has to stand, its column is in `ALLOWED`, with a reason.

Four digits are soon the same by chance. So a number of JSON is no code, unless its name says that it is one, and
neither is one that says in the words beside it what it counts or names.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Final
from urllib.parse import unquote_plus

import msgspec
from sqlalchemy import Connection, String, Text, literal_column, select

from gateway.core.ids import ALPHABET, ID_CHARACTERS
from gateway.store import tables

NUMBER: Final = "number"
CODE: Final = "code"
KEY: Final = "key"
PIN: Final = "pin"

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


TOLD_BY_COMMANDS: Final = {
    "gateway merchant add": {KEY},
    "gateway key add": {KEY},
    "gateway key rotate": {KEY},
    "gateway number silent": {NUMBER},
}
"""Command → kinds of secrets that it says on purpose. No other command says any, and no log."""

MERCHANTS_WORDS: Final = frozenset({("payment", "description"), ("event", "body"), ("idempotency", "response")})
"""Where a shop's own words stand, so that a number which it put into a description is found there."""


CARRIERS_NAMES: Final = frozenset(
    {
        *(("attempt", "carrier_reference"), ("payment", "carrier_reference"), ("attempt_name", "name")),
        # The same of an order that is under way.
        *(("payment", "operation"), ("refund", "operation"), ("outbox", "body")),
    }
)
"""Where M-Pesa's name of a push stands, which ends in digits of the number; it is what it can be asked by."""
_CARRIERS_NAME: Final = re.compile(r"ws_CO_[0-9]+")


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
    """Webhook secrets, the key that codes are derived with: as they are written. API keys are known by their form."""
    pins: Collection[str] = ()

    def finders(self) -> Iterator[tuple[str, "Finder"]]:
        """By kind, what finds any of its secrets in a text, however many there are of them."""
        # Without its country code a number is still a number.
        tails = {number[-NATIONAL_DIGITS:] for number in self.numbers}
        if tails:
            yield NUMBER, partial(_numbers_in, tails)
        if self.codes:
            yield CODE, partial(_digits_in, set(self.codes))
        if self.pins:
            yield PIN, partial(_digits_in, set(self.pins))
        yield KEY, partial(_keys_in, re.compile("|".join([_API_KEY, *map(re.escape, sorted(self.keys))])))


_API_KEY: Final = r"sk_(?:test|live)_[A-Za-z0-9_-]{43}"


Finder = Callable[[str], Iterator[tuple[int, int]]]
"""Where in a text something stands: from, to."""
_RUN: Final = re.compile(r"[0-9]+")
# Four digits of a longer number or word are no code and no PIN.
_PLAIN: Final = re.compile(r"(?<![0-9A-Za-z_.:+-])[0-9]{4,}(?![0-9A-Za-z_:-]|\.[0-9])")


def _numbers_in(tails: Collection[str], text: str) -> Iterator[tuple[int, int]]:
    for run in _RUN.finditer(text):
        for end in range(run.start() + NATIONAL_DIGITS, run.end() + 1):
            if text[end - NATIONAL_DIGITS : end] in tails:
                yield end - NATIONAL_DIGITS, end


def _digits_in(secrets: Collection[str], text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in _PLAIN.finditer(text) if found[0] in secrets)


def _keys_in(keys: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in keys.finditer(text))


NATIONAL_DIGITS: Final = 9
AROUND: Final = 40
# Time and chance, in an alphabet with all digits.
_ID: Final = re.compile(rf"\b[a-z]{{2,4}}_[{ALPHABET.lower()}]{{{ID_CHARACTERS}}}\b")
# A code and a PIN are text in every JSON of ours, so a number there is an amount, a count or a time.
_NUMBER_OF_JSON: Final = re.compile(
    r'"(?![a-z_]*(?:code|pin)[a-z_]*")[a-z_]+": ?-?[0-9]+(?=[,}\]\s]|\Z)'
    r"|(?<=[\[,])-?[0-9]+(?=[,\]])"
    # Four digits of text: how a merchant's bank account ends, the schema's number, what M-Pesa calls an outcome.
    r'|"(?:account_last4|schema|ResultCode)": ?"[0-9]{4}"'
)
# PostgreSQL names its own by number where two transactions wait for each other; commands say what they have counted.
_NAMED: Final = re.compile(
    r"\b(?i:transaction|process|relation|database|line|port|pid|HTTP|schema|seal|ResultCode|RFC|ISO) [0-9]+"
    r"|\b(?:limit|amount_min|amount_max|after_seq)=[0-9]+\b|[<>]=? [0-9]+\b"
    r"|\b[0-9]+ (?:entries|seals|published heads|payments|rows|lines|orders|bytes|MiB|ms|s)\b"
    # The helpline of tests, in every language.
    r"|0800 22345"
)
# Octets stand here in hexadecimal, and texts as a form has them; both are searched as what they are.
TRACES: Final = "trace"
_OCTETS: Final = re.compile(r"(?:[0-9a-f]{2}){4,}")


def leaks(
    secrets: Secrets,
    conn: Connection,
    printed: Iterable[tuple[str, str]],
    *,
    except_in: Collection[tuple[str, str]] = (),
) -> list[Leak]:
    """Every place where a secret lies and may not. *printed*: (name, text) of logs, metrics and outputs."""
    finders = list(secrets.finders())
    found: list[Leak] = []
    for table, column, value in _texts(conn):
        if (table, column) in except_in:
            continue
        allowed = ALLOWED.get((table, column), set())
        stands = _CARRIERS_NAME.sub("ws_CO_*", value) if (table, column) in CARRIERS_NAMES else value
        shown = [*_shown(stands)] if table == TRACES else [stands]
        found += [leak for text in shown for leak in _in(text, f"{table}.{column}", finders, allowed)]
    for name, text in printed:
        found += _in(text, name, finders, TOLD_BY_COMMANDS.get(name, set()))
    return found


def _shown(text: str) -> Iterator[str]:
    """*text* in plain letters; and the octets that stand in it in hexadecimal, as letters of one octet and of two."""
    yield unquote_plus(text) if "%" in text else text
    for octets in _OCTETS.findall(text):
        letters = bytes.fromhex(octets).decode("latin-1")
        yield from (letters, letters.replace("\0", ""))


# Written out once: every test has an engine of its own, which would compile them anew.
_COLUMNS: Final = {
    table: [column for column in table.columns if isinstance(column.type, String | Text)]
    for table in tables.metadata.sorted_tables
}
_NAMES: Final = {table.name: [column.name for column in columns] for table, columns in _COLUMNS.items()}
_READ: Final = {table.name: str(select(*columns)) for table, columns in _COLUMNS.items() if columns}
_FILLED: Final = " UNION ALL ".join(
    str(select(literal_column(f"'{table.name}'")).where(select(table).exists())) for table in _COLUMNS
)


def _texts(conn: Connection) -> Iterator[tuple[str, str, str]]:
    """(table, column, value) of every text in the database."""
    for (table,) in conn.exec_driver_sql(_FILLED).all():
        if table in _READ:
            for row in conn.exec_driver_sql(_READ[table]):
                yield from ((table, name, value) for name, value in zip(_NAMES[table], row, strict=True) if value)


def _in(text: str, where: str, finders: list[tuple[str, Finder]], allowed: Collection[str]) -> Iterator[Leak]:
    for kind, find in finders:
        if kind in allowed or next(find(text), None) is None:
            continue
        searched = _NAMED.sub("", _NUMBER_OF_JSON.sub("", text)) if kind in (CODE, PIN) else _ID.sub("", text)
        for start, end in find(searched):
            yield Leak(kind, where, searched[max(0, start - AROUND) : end + AROUND])
