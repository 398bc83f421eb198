"""The files in which carriers say what they charged: their layouts, as settings, and their lines, as rows of ours.

Amounts are never floats on the way. What a row means for a payment is not judged here.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gateway.core.bounds import NotNegative, Words
from gateway.core.money import AMOUNT_MINOR_MAX, exponent

LINE_CHARACTERS_MAX: Final = 65_536
FIELD_CHARACTERS_MAX: Final = 200
FILE_YEAR_MIN: Final = 2000
"""Nothing of ours is so old; and a time before 1970 is in no id."""

Character = Annotated[str, Meta(min_length=1, max_length=1, description="one character")]


class Said(StrEnum):
    """What a row says became of an order."""

    CHARGED = "charged"
    REFUNDED = "refunded"
    REVERSED = "reversed"
    FAILED = "failed"


ROW_FIELDS: Final = frozenset(
    {"attempt_id", "carrier_reference", "msisdn", "amount", "currency", "status", "at", "fee"},
)
TRAILER_FIELDS: Final = frozenset({"rows", "total", "remitted"})


class Files(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>.files]`."""

    pattern: Words
    """Of file names, with `{date}` and perhaps `{sequence}`."""
    date_format: Words = "%Y%m%d"
    sequence: Literal["running", "daily"] = "running"
    expected_daily: bool = False
    expected_within_s: NotNegative = 43_200.0
    format: Literal["csv", "json_lines"] = "csv"
    encoding: Words = "utf-8"
    delimiter: Character = ","
    quote: Character = '"'
    header: bool = True
    columns: dict[str, str]
    statuses: dict[str, str]
    amounts: Literal["decimal", "minor"] = "decimal"
    decimal_point: Character = "."
    time_format: str = ""
    trailer: str = ""
    trailer_columns: dict[str, str] | None = None
    grace_s: NotNegative = 3600.0
    bank: Words = "main"

    def __post_init__(self) -> None:
        mistakes = [
            *_strangers("columns", self.columns, ROW_FIELDS),
            *_strangers("trailer_columns", self.trailer_columns or {}, TRAILER_FIELDS),
            *(
                f"statuses: {word!r} is none of {', '.join(Said)}"
                for word in self.statuses.values()
                if word not in _SAID
            ),
            *(f"columns: {name} is missing" for name in ("amount", "status") if name not in self.columns),
        ]
        if not {"attempt_id", "carrier_reference"} & self.columns.keys():
            mistakes.append("columns: expected attempt_id or carrier_reference")
        if self.pattern.count("{date}") != 1 or self.pattern.count("{sequence}") > 1:
            mistakes.append("pattern: expected {date} once, and {sequence} at most once")
        if not _tells_days(self.date_format):
            mistakes.append(f"date_format: expected one that tells year, month and day, got {self.date_format!r}")
        if not _is_encoding(self.encoding):
            mistakes.append(f"encoding: {self.encoding!r} is none that we know")
        numbered = [*self.columns.values()] if self.format == "csv" and not self.header else []
        numbered += (self.trailer_columns or {}).values() if self.format == "csv" else ()
        mistakes += [f"{number!r}: expected a column's number, from 1" for number in numbered if not _is_place(number)]
        if mistakes:
            raise ValueError("; ".join(mistakes))


_SAID: Final = frozenset(Said)


def _strangers(name: str, given: Mapping[str, str], known: frozenset[str]) -> list[str]:
    return [f"{name}.{key}: no such field" for key in given if key not in known]


def _tells_days(date_format: str) -> bool:
    """A file of no year would be one of the year 1900."""
    try:
        return all(_day_in(day.strftime(date_format), date_format) == day for day in (_A_DAY, _ANOTHER))
    except ValueError:
        return False


_A_DAY, _ANOTHER = date(2026, 11, 24), date(2031, 2, 3)


def _day_in(text: str, date_format: str) -> date:
    return datetime.strptime(text, date_format).date()  # noqa: DTZ007 - a day of the carrier's.


def _is_encoding(name: str) -> bool:
    try:
        return bool("1".encode(name))  # Of nothing no codec would be looked for.
    except (LookupError, ValueError):
        return False


def _is_place(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,2}", text) is not None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One order as the carrier's file tells it."""

    line: int
    said: Said
    attempt_id: str = ""
    """Empty in layouts that have the carrier's reference only."""
    carrier_reference: str = ""
    amount_minor: int
    currency: str
    msisdn: str = ""
    at_ms: int | None = None
    fee_minor: int | None = None

    @property
    def net_minor(self) -> int:
        """What it adds to the control total."""
        return _SIGNS[self.said] * self.amount_minor


_SIGNS: Final[Mapping[Said, int]] = {Said.CHARGED: 1, Said.REFUNDED: -1, Said.REVERSED: -1, Said.FAILED: 0}


class Trailer(msgspec.Struct, frozen=True, kw_only=True):
    """The last line. What the layout does not have is None."""

    rows: int | None = None
    total_minor: int | None = None
    """Charged, less refunded and reversed."""
    remitted_minor: int | None = None
    """What the carrier pays for this file."""


class UnreadableFile(Exception):
    """The file is not of its carrier's layout; the text says which line and why."""


class FileName(NamedTuple):
    """What a file's name says."""

    business_date: date
    sequence: int | None


def read_name(files: Files, name: str) -> FileName | None:
    """None: it is no name of this carrier's files."""
    # As wide as dates mostly are: where the number stands right behind it, nothing else tells them apart.
    width = len(_A_DAY.strftime(files.date_format))
    found = (_read_name(files, name, f"(?P<date>{one})") for one in (f".{{{width}}}", ".+?"))
    return next(filter(None, found), None)


def _read_name(files: Files, name: str, dates: str) -> FileName | None:
    pattern = re.escape(files.pattern).replace(r"\{date\}", dates)
    pattern = pattern.replace(r"\{sequence\}", "(?P<sequence>[0-9]{1,9})")
    found = re.fullmatch(pattern, name)
    if found is None:
        return None
    try:
        day = _day_in(found["date"], files.date_format)
    except ValueError:
        return None
    if day.year < FILE_YEAR_MIN:
        return None
    return FileName(day, int(found["sequence"]) if "{sequence}" in files.pattern else None)


def window_ms(files: Files, day: date, zone: tzinfo) -> tuple[int, int]:
    """From when until when an order must have ended to be missed in the file of *day*.

    What ended shortly before midnight may stand in the next day's file: it is missed there only.
    """
    grace = timedelta(seconds=files.grace_s)
    begins, ends = (datetime(one.year, one.month, one.day, tzinfo=zone) for one in (day, day + timedelta(days=1)))
    return round((begins - grace).timestamp() * 1000), round((ends - grace).timestamp() * 1000)


def last_due(files: Files, now_ms: int, zone: tzinfo) -> date:
    """The newest day whose file should have come by now."""
    return datetime.fromtimestamp(now_ms / 1000 - files.expected_within_s, zone).date() - timedelta(days=1)


def read_rows(lines: Iterable[str], files: Files, *, currency: str, zone: tzinfo) -> Iterator[Row | Trailer]:
    """Every row, and the trailer last if the layout has one. Raise UnreadableFile at what is of another layout."""
    ended, unmarked = False, _unmarked(lines)
    for line, cells in _csv_cells(unmarked, files) if files.format == "csv" else _json_cells(unmarked, files):
        if ended:
            raise UnreadableFile(f"line {line}: there is something behind the trailer")
        try:
            if isinstance(cells, _TrailerCells):
                ended = True
                yield _trailer(cells.values, files, currency)
            else:
                yield _row(line, cells, files, currency, zone)
        except (KeyError, ValueError, OverflowError) as error:
            raise UnreadableFile(f"line {line}: {error}") from error
    if files.trailer and not ended:
        raise UnreadableFile("the trailer is missing: the file is cut off")


def _unmarked(lines: Iterable[str]) -> Iterator[str]:
    """Without the byte order mark that some programs write before the first line; it would be a part of a name."""
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix("\ufeff")


class _TrailerCells(NamedTuple):
    values: dict[str, str]


_Cells = dict[str, str] | _TrailerCells


def _csv_cells(lines: Iterable[str], files: Files) -> Iterator[tuple[int, _Cells]]:
    reader = csv.reader(lines, delimiter=files.delimiter, quotechar=files.quote, strict=True)
    places = {} if files.header else {name: int(number) - 1 for name, number in files.columns.items()}
    try:
        for record in reader:
            if not record:
                continue
            if files.header and not places:
                places = _places(record, files)
            elif files.trailer and record[0] == files.trailer:
                found = {name: int(number) - 1 for name, number in (files.trailer_columns or {}).items()}
                yield reader.line_num, _TrailerCells(_picked(record, found, reader.line_num))
            else:
                yield reader.line_num, _picked(record, places, reader.line_num)
    except csv.Error as error:
        raise UnreadableFile(f"line {reader.line_num}: {error}") from error


def _places(head: list[str], files: Files) -> dict[str, int]:
    names = [name.strip() for name in head]
    missing = [column for column in files.columns.values() if column not in names]
    if missing:
        raise UnreadableFile(f"line 1: expected a head with {', '.join(missing)}")
    return {name: names.index(column) for name, column in files.columns.items()}


def _picked(record: list[str], places: Mapping[str, int], line: int) -> dict[str, str]:
    if places and max(places.values()) >= len(record):
        raise UnreadableFile(f"line {line}: expected {max(places.values()) + 1} columns, got {len(record)}")
    return {name: record[place].strip() for name, place in places.items()}


# Raw, so that a number stays the digits that were written.
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _json_cells(lines: Iterable[str], files: Files) -> Iterator[tuple[int, _Cells]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = _decode(line)
            if files.trailer and files.trailer in found:
                inner = _decode(bytes(found[files.trailer]))
                yield number, _TrailerCells(_texts(inner, files.trailer_columns or {}))
            else:
                yield number, _texts(found, files.columns)
        except msgspec.DecodeError as error:
            raise UnreadableFile(f"line {number}: expected a JSON object: {error}") from error


def _texts(found: Mapping[str, msgspec.Raw], columns: Mapping[str, str]) -> dict[str, str]:
    picked = {name: bytes(found[column]).decode() for name, column in columns.items() if column in found}
    return {name: _text(raw) for name, raw in picked.items() if raw != "null"}


def _text(raw: str) -> str:
    return msgspec.json.decode(raw, type=str) if raw.startswith('"') else raw


def _row(line: int, cells: Mapping[str, str], files: Files, currency: str, zone: tzinfo) -> Row:
    word = cells.get("status", "")
    if word not in files.statuses:
        raise ValueError(f"status: {_shown(word)!r} is none that we know")
    spoken = cells.get("currency") or currency
    exponent(spoken)
    fee, at = cells.get("fee", ""), cells.get("at", "")
    attempt_id, reference = cells.get("attempt_id", ""), cells.get("carrier_reference", "")
    if not (attempt_id or reference):
        raise ValueError("expected an attempt id or the carrier's reference")
    said, amount_minor = Said(files.statuses[word]), _minor(cells.get("amount", ""), files, spoken)
    if said is Said.CHARGED and amount_minor < 0:
        raise ValueError(f"amount: less than nothing cannot have been charged, as {_shown(word)!r} says")
    return Row(
        line=line,
        said=said,
        attempt_id=_clipped(attempt_id),
        carrier_reference=_clipped(reference),
        # Some write what goes back as a negative amount; which way money went, the status says.
        amount_minor=abs(amount_minor),
        currency=spoken,
        msisdn=_clipped(cells.get("msisdn", "")),
        at_ms=_at_ms(at, files, zone) if at else None,
        fee_minor=_minor(fee, files, spoken) if fee else None,
    )


def _trailer(cells: Mapping[str, str], files: Files, currency: str) -> Trailer:
    rows = cells.get("rows")
    total, remitted = (
        _minor(cells[name], files, currency) if cells.get(name) else None for name in ("total", "remitted")
    )
    if rows is not None and not re.fullmatch(r"[0-9]{1,12}", rows):
        raise ValueError(f"rows: expected a number, got {_shown(rows)!r}")
    return Trailer(rows=None if rows is None else int(rows), total_minor=total, remitted_minor=remitted)


def _minor(text: str, files: Files, currency: str) -> int:
    places = exponent(currency) if files.amounts == "decimal" else 0
    return minor_of(text, currency, places, files.decimal_point)


def minor_of(text: str, currency: str, places: int, point: str) -> int:
    """An amount with so many decimals at most, which may be less than zero. Raise ValueError if it is none."""
    found = re.fullmatch(rf"([+-]?)([0-9]{{1,15}})(?:{re.escape(point)}([0-9]{{1,6}}))?", text)
    part = "" if found is None else found[3] or ""
    # `12.500` in a currency with cents is twelve and a half; `12.505` is nothing that could be booked.
    if found is None or part[places:].strip("0"):
        raise ValueError(f"amount: expected one in {currency}, got {_shown(text)!r}")
    minor: int = int(found[2]) * 10**places + int(part[:places].ljust(places, "0") or "0")
    if minor > AMOUNT_MINOR_MAX * 1000:
        raise ValueError(f"amount: {_shown(text)} is more than anybody pays")
    return -minor if found[1] == "-" else minor


def _at_ms(text: str, files: Files, zone: tzinfo) -> int:
    form = files.time_format
    at = datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - see the next line.
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    return round(at.timestamp() * 1000)


def _clipped(text: str) -> str:
    """What may be kept and shown of a text that somebody else wrote."""
    return "".join(c if c.isprintable() else "?" for c in text[:FIELD_CHARACTERS_MAX])


def _shown(text: str) -> str:
    """For a complaint: whose columns are shifted may have a phone's number here."""
    return re.sub(r"[0-9]{7,}", "…", _clipped(text))
