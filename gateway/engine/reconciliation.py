"""Takes one file of a carrier from its first byte to its report, in memory that does not grow with the file.

The file is read twice: first whole, for its checksum and control totals, so that of a wrong file nothing counts; then
in portions, each of which is one batch like any other of the gateway.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import date, tzinfo
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from gateway.core.carrier_files import (
    LINE_CHARACTERS_MAX,
    Files,
    Row,
    Trailer,
    UnreadableFile,
    read_name,
    read_rows,
    window_ms,
)
from gateway.engine.file_jobs import EndFile, MatchRows, MissRows
from gateway.engine.file_registry import ContinueFile, Found, NotYet, OnlyTried, Registered, RegisterFile
from gateway.store import carrier_files
from gateway.store.apply import Job, RetryBatch, Store
from gateway.store.carrier_files import CarrierFile
from gateway.store.identity import new_id
from gateway.store.unit import Needs

ROWS_MAX = 500
"""Rows of one batch: so long the payments among them are locked."""
BYTES_READ = 1 << 16
TRIES_MAX = 100
PAUSE_S = 0.1

Progress = Callable[[int], None]
"""Is told how many bytes more have been read."""


class Refused(Exception):
    """The file is not taken; the text says why."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Whose file it is."""

    carrier: str
    mode: str
    currency: str
    zone: tzinfo
    files: Files


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file."""

    file: CarrierFile
    found: Found
    dry_run: bool


class Sums(msgspec.Struct, kw_only=True):
    """What the first reading found."""

    sha256: str = ""
    other_sha256: str = ""
    """What it would be if there were rows, or were none: by a wrong layout none may have been found."""
    size_bytes: int = 0
    rows: int = 0
    total_minor: int = 0
    trailer: Trailer | None = None
    wrong: str = ""


class Reconciler:
    """Takes files of one carrier. *reads* is for look-ups outside of batches."""

    def __init__(self, store: Store, reads: Engine, terms: Terms) -> None:
        self._store = store
        self._reads = reads
        self._terms = terms
        self._told: set[str] = set()
        """Only of a dry run, which leaves nothing where it could look."""

    def take(self, path: Path, *, dry_run: bool = False, progress: Progress = lambda count: None) -> Report:
        """Take the file at *path*. Raise Refused if it is none of this carrier's, known, or wrong in itself."""
        sums = self._first_look(path, progress)
        file, found = self._register(path, sums, dry_run=dry_run)
        for rows in self._portions(path, progress):
            found.add(self._apply(MatchRows(file, rows, self._needs(rows), dry_run)))
        self._miss(file, found, dry_run=dry_run)
        if not dry_run:
            found.add(self._apply(EndFile(file, self._terms.mode, self._terms.files.bank)))
            with self._reads.connect() as conn:
                file = carrier_files.by_hash(conn, file.carrier, file.sha256) or file
        return Report(file=file, found=found, dry_run=dry_run)

    def _first_look(self, path: Path, progress: Progress) -> Sums:
        sums = Sums()
        digest = hashlib.sha256()
        with path.open("rb") as raw:
            while chunk := raw.read(BYTES_READ):
                digest.update(chunk)
                sums.size_bytes += len(chunk)
        try:
            for one in self._read(path, progress):
                if isinstance(one, Trailer):
                    sums.trailer = one
                else:
                    sums.rows += 1
                    sums.total_minor += one.net_minor
        except UnreadableFile as error:
            sums.wrong = str(error)
        sums.sha256 = _digest(digest, path.name, sums.rows)
        sums.other_sha256 = _digest(digest, path.name, 0 if sums.rows else 1)
        sums.wrong = sums.wrong or _wrong_totals(sums)
        return sums

    def _read(self, path: Path, progress: Progress) -> Iterator[Row | Trailer]:
        terms = self._terms
        # newline="": the csv module itself knows which line breaks stand within quotes.
        try:
            with path.open(encoding=terms.files.encoding, newline="") as text:
                lines = _lines(text, progress)
                yield from read_rows(lines, terms.files, currency=terms.currency, zone=terms.zone)
        except UnicodeError as error:
            raise UnreadableFile(f"expected {terms.files.encoding}: {_what_is_wrong(error)}") from error

    def _register(self, path: Path, sums: Sums, *, dry_run: bool) -> tuple[CarrierFile, Found]:
        terms = self._terms
        name = read_name(terms.files, path.name)
        if name is None:
            raise Refused(f"{path.name}: expected a name like {terms.files.pattern}")
        with self._reads.connect() as conn:
            known = carrier_files.by_hash(conn, terms.carrier, sums.sha256)
            other = None if known else carrier_files.by_hash(conn, terms.carrier, sums.other_sha256)
        known = other if other is not None and other.state == "refused" else known
        if known is None or (known.state == "refused" and not sums.wrong):  # Its layout was wrong here, and is mended.
            file = self._new_file(path, sums, name.business_date, name.sequence)
            file = file if known is None else msgspec.structs.replace(file, id=known.id)
            try:
                found = self._apply(RegisterFile(file, terms.files, terms.zone, dry_run))
            except NotYet as error:
                raise Refused(f"{path.name}: {error}; nothing of it counts") from error
            except Registered as registered:
                known = registered.file
                if self._begins_with(path, known, sums):
                    return self._continue(known, file, dry_run=dry_run)
            else:
                if file.state == "refused":
                    raise Refused(f"{path.name}: {file.detail}; nothing of it counts")
                return file, found
        if known.state == "refused":
            raise Refused(f"{path.name}: known, and refused before: {sums.wrong}")
        if known.sha256 != sums.sha256:
            raise Refused(f"{path.name}: {known.name} was taken for that date and number, with another content")
        if known.state == "taken" and known.remittance != "open":
            raise Refused(f"{path.name}: known; its content was taken as {known.name}")
        return known, Found()  # Its reader was stopped or is at it, or the sums of its remittance did not agree.

    def _begins_with(self, path: Path, known: CarrierFile, sums: Sums) -> bool:
        """Whether *known*, taken while the rest was under way, is the beginning of this file."""
        left = known.size_bytes
        # A trailer shows the end of a file: what has one was whole.
        if left is None or left >= sums.size_bytes or self._terms.files.trailer or sums.wrong:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as raw:
            while left and (chunk := raw.read(min(BYTES_READ, left))):
                digest.update(chunk)
                left -= len(chunk)
        return _digest(digest, known.name, known.rows) == known.sha256

    def _continue(self, known: CarrierFile, whole: CarrierFile, *, dry_run: bool) -> tuple[CarrierFile, Found]:
        file = msgspec.structs.replace(
            whole, id=known.id, remittance=known.remittance, remitted_minor=known.remitted_minor
        )
        try:
            return file, self._apply(ContinueFile(known, file, dry_run))
        except Registered as registered:
            paid = " and is paid for" if registered.file.remittance == "posted" else ""
            raise Refused(f"{whole.name}: its beginning was taken as {registered.file.name}{paid}") from registered

    def _new_file(self, path: Path, sums: Sums, day: date, sequence: int | None) -> CarrierFile:
        remitted_minor = None if sums.trailer is None else sums.trailer.remitted_minor
        return CarrierFile(
            id=new_id("fil_"),
            carrier=self._terms.carrier,
            business_date=day.isoformat(),
            sequence=sequence,
            name=path.name,
            sha256=sums.sha256,
            state="refused" if sums.wrong else "reading",
            rows=sums.rows,
            total_minor=sums.total_minor,
            currency=self._terms.currency,
            remitted_minor=remitted_minor,
            remittance="none" if remitted_minor is None else "open",
            detail=sums.wrong,
            at_ms=0,
            size_bytes=sums.size_bytes,
        )

    def _portions(self, path: Path, progress: Progress) -> Iterator[list[Row]]:
        rows = (one for one in self._read(path, progress) if isinstance(one, Row))
        while portion := list(islice(rows, ROWS_MAX)):
            yield portion

    def _needs(self, rows: list[Row]) -> Needs:
        """The payments that these rows may move, and their phones: locked in the house's order."""
        with self._reads.connect() as conn:
            return carrier_files.movable(conn, self._terms.carrier, rows)

    def _miss(self, file: CarrierFile, found: Found, *, dry_run: bool) -> None:
        terms = self._terms
        with self._reads.connect() as conn:
            for day in self._days_told(conn, file):
                from_ms, until_ms = window_ms(terms.files, day, terms.zone)
                for orders in carrier_files.untold(conn, terms.carrier, from_ms, until_ms):
                    missed = [order for order in orders if order.id not in self._told]
                    found.add(self._apply(MissRows(file, missed, dry_run)))

    def _days_told(self, conn: Connection, file: CarrierFile) -> list[date]:
        """The days of which no more files are to come, now that this one is here.

        Of several files a day none says that it is the last; the next day's first one does.
        """
        if self._terms.files.sequence == "running":
            return [date.fromisoformat(file.business_date)]
        former, later = carrier_files.neighbours(conn, file.carrier, file.business_date)
        days = [*(one.business_date for one in former), *([file.business_date] if later else [])]
        return [date.fromisoformat(day) for day in days]

    def _apply(self, job: Job) -> Found:
        """As the writer does it: what left no trace is tried again."""
        for _ in range(TRIES_MAX):
            try:
                result = self._store.apply([job]).applied[0].result
                assert isinstance(result, Found)
                return result
            except OnlyTried as tried:
                self._told.update(tried.told)
                return tried.found
            except RetryBatch:
                time.sleep(PAUSE_S)
            except IntegrityError as error:
                raise Refused(f"somebody else takes a file of {self._terms.carrier} just now") from error
        raise Refused(f"the database took nothing in {TRIES_MAX} tries")


def _what_is_wrong(error: UnicodeError) -> str:
    """Without what stands there: it may be a phone's number."""
    return f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else str(error)


def _digest(content: "hashlib._Hash", name: str, rows: int) -> str:
    content = content.copy()
    if rows == 0:
        # One quiet day's file has the same content as another's, and both count.
        content.update(name.encode())
    return content.hexdigest()


def _lines(text: IO[str], progress: Progress) -> Iterator[str]:
    while line := text.readline(LINE_CHARACTERS_MAX):
        if len(line) == LINE_CHARACTERS_MAX:
            raise UnreadableFile(f"expected lines of less than {LINE_CHARACTERS_MAX} characters")
        progress(len(line))
        yield line


def _wrong_totals(sums: Sums) -> str:
    trailer = sums.trailer or Trailer()
    if trailer.rows is not None and trailer.rows != sums.rows:
        return f"the trailer counts {trailer.rows} rows, and there are {sums.rows}"
    if trailer.total_minor is not None and trailer.total_minor != sums.total_minor:
        return f"the trailer's total is {trailer.total_minor}, and the rows come to {sums.total_minor} (minor units)"
    return ""
