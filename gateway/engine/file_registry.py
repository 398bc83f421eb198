"""The registry of carriers' files as jobs of the batch: which one counts for which date and number, which is missing.

What stands in a file is the matter of `gateway.engine.file_jobs`.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import ClassVar

import msgspec
from sqlalchemy import Connection, update

from gateway.core.carrier_files import Files
from gateway.core.payment import BreakKind
from gateway.store import bulk, carrier_files, tables
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import settle_breaks
from gateway.store.effects import break_id
from gateway.store.unit import Needs, Unit

GAPS_MAX = 31
"""So many missing files are named one by one; of a longer gap the first ones."""


UNREAD_AFTER_MS = 3600 * 1000
"""A file that was begun so long ago, and is not read to its end, is read by nobody any more."""


class Found(msgspec.Struct, kw_only=True):
    """What came of some rows."""

    matched: int = 0
    resolved: int = 0
    """Outcomes that we did not know and the file ended."""
    ignored: int = 0
    """Failures of orders that we do not know: nobody's money moved."""
    breaks: Counter[str] = msgspec.field(default_factory=Counter)
    at_risk_minor: Counter[str] = msgspec.field(default_factory=Counter)

    def note_break(self, kind: str, at_risk_minor: int) -> None:
        self.breaks[kind] += 1
        self.at_risk_minor[kind] += at_risk_minor

    def add(self, other: "Found") -> None:
        self.matched += other.matched
        self.resolved += other.resolved
        self.ignored += other.ignored
        self.breaks.update(other.breaks)
        self.at_risk_minor.update(other.at_risk_minor)


def note_breaks(unit: Unit, found: Found) -> None:
    """All that this batch opens; but what is said once more and a person has settled already needs nobody."""
    opened = {one["id"]: one for one in unit.fresh(tables.open_break)}
    for row in bulk.select_in(unit.conn, tables.open_break, "id", sorted(opened)):
        if row.resolved_at_ms is not None:
            del opened[row.id]
    for one in opened.values():
        found.note_break(one["kind"], abs(one["amount_minor"] or 0))


class OnlyTried(Exception):
    """Raised in place of writing; has what would have come of it."""

    def __init__(self, found: Found, told: Collection[str] = ()) -> None:
        super().__init__("nothing was written")
        self.found = found
        self.told = told
        """The orders that the rows are about."""


class Registered(Exception):
    """Raised in place of writing: *file* has the same content, or was taken for the same date and number."""

    def __init__(self, file: CarrierFile) -> None:
        super().__init__(f"{file.name} is registered")
        self.file = file


class NotYet(Exception):
    """Raised in place of writing: the file's date has not come. The text says which dates have."""


@dataclass(slots=True)
class RegisterFile:
    """Put a file into the registry, and open a break for each that should have come before it."""

    file: CarrierFile
    files: Files
    zone: tzinfo
    dry_run: bool = False

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Found:
        """Raise NotYet, or Registered if the registry has it, or another in its place."""
        found, file = Found(), self.file
        self._expect_date(unit.now_ms)
        carrier_files.take_turn(unit.conn, file.carrier)
        refused = carrier_files.refused(unit.conn, file.id)
        known = carrier_files.by_hash(unit.conn, file.carrier, file.sha256)
        here = None if refused is not None and known == refused else known
        here = here or carrier_files.in_its_place(unit.conn, file.carrier, file.business_date, file.sequence)
        if here is not None:
            raise Registered(here)
        if file.state == "refused":
            breaks = [(BreakKind.CONTROL_TOTAL, _refused_words(file))]
        else:
            breaks = [(BreakKind.FILE_MISSING, words) for words in self._gaps(unit)]
            breaks += [(BreakKind.FILE_ORDER, words) for words in self._disorder(unit)]
        for kind, words in breaks:
            unit.effects.open_break(kind, None, words, carrier_file_id=file.id)
        note_breaks(unit, found)
        if self.dry_run:
            raise OnlyTried(found)
        self._fill_gap(unit)
        row, table = {**msgspec.structs.asdict(file), "at_ms": unit.now_ms}, tables.carrier_file
        if refused is None:
            unit.put(table, row)
        else:
            unit.conn.execute(update(table).where(table.c.id == file.id).values(**row))
            was_wrong = break_id(BreakKind.CONTROL_TOTAL, None, _refused_words(refused))
            settle_breaks(unit.conn, [was_wrong], f"file {file.name} was taken", unit.now_ms)
        return found

    def _expect_date(self, now_ms: int) -> None:
        """Behind a date far ahead no file would be missed any more until then. Tomorrow's may end early."""
        tomorrow = datetime.fromtimestamp(now_ms / 1000, self.zone).date() + timedelta(days=1)
        if date.fromisoformat(self.file.business_date) > tomorrow:
            raise NotYet(f"expected a date up to {tomorrow} ({self.zone}), got {self.file.business_date}")

    def _gaps(self, unit: Unit) -> list[str]:
        file = self.file
        unread = unread_words(unit.conn, file.carrier, unit.now_ms)
        return [*unread, *self._missing_numbers(unit, file), *self._missing_days(unit, file)]

    def _missing_numbers(self, unit: Unit, file: CarrierFile) -> list[str]:
        if file.sequence is None:
            return []
        if self.files.sequence == "daily":
            latest = carrier_files.sequences(unit.conn, file.carrier, business_date=file.business_date) or [0]
            day = file.business_date
        else:
            latest, day = carrier_files.sequences(unit.conn, file.carrier), ""
        gap = range(latest[0] + 1, file.sequence) if latest else range(0)
        return [missing_words(file.carrier, day, number) for number in gap[:GAPS_MAX]]

    def _missing_days(self, unit: Unit, file: CarrierFile) -> list[str]:
        latest = carrier_files.latest_date(unit.conn, file.carrier)
        if not self.files.expected_daily or latest is None:
            return []
        day = date.fromisoformat(file.business_date)
        gap = range(1, (day - latest).days)
        days = [(latest + timedelta(days=n)).isoformat() for n in gap[:GAPS_MAX]]
        return [missing_words(file.carrier, one, None) for one in days]

    def _disorder(self, unit: Unit) -> list[str]:
        """Where numbers go on from day to day, a later date has a larger number."""
        file = self.file
        if file.sequence is None or self.files.sequence == "daily":
            return []
        former, later = carrier_files.neighbours(unit.conn, file.carrier, file.business_date)
        wrong = [one for one in former if (one.sequence or 0) >= file.sequence]
        wrong += [one for one in later if (one.sequence or 0) <= file.sequence]
        return [f"{file.carrier} file {file.name}: its number does not fit beside {one.name}" for one in wrong]

    def _fill_gap(self, unit: Unit) -> None:
        """This file was missed before: it is there now."""
        file = self.file
        if file.state == "refused":
            return
        day = file.business_date if self.files.sequence == "daily" else ""
        words = [missing_words(file.carrier, file.business_date, None)]
        words += [] if file.sequence is None else [missing_words(file.carrier, day, file.sequence)]
        missed = [break_id(BreakKind.FILE_MISSING, None, one) for one in words]
        settle_breaks(unit.conn, missed, f"file {file.name} came", unit.now_ms)


def unread_words(conn: Connection, carrier: str, now_ms: int) -> list[str]:
    """What is said of files that nobody reads to their end: of the orders in the rest of them nothing is known."""
    return [_unread_words(one) for one in carrier_files.unread(conn, carrier, now_ms - UNREAD_AFTER_MS)]


def _unread_words(file: CarrierFile) -> str:
    # With its rows: if it has grown since, and is left once more, that is another break.
    which = f"{file.carrier} file {file.name}, of {file.rows} rows,"
    return f"{which} is not read to its end; give it to `gateway reconcile` again"


def end_unread(unit: Unit, file: CarrierFile) -> None:
    """*file* is read to its end, or a longer one that begins with it is begun."""
    unread = break_id(BreakKind.FILE_MISSING, None, _unread_words(file))
    settle_breaks(unit.conn, [unread], f"file {file.name} was given again", unit.now_ms)


def _refused_words(file: CarrierFile) -> str:
    return f"{file.carrier} file {file.name}: {file.detail}"


def missing_words(carrier: str, day: str, number: int | None) -> str:
    """What is said of a file that is missing: always the same, so that it is one break."""
    which = " ".join(part for part in (day, "" if number is None else f"number {number}") if part)
    return f"{carrier} file {which}"


@dataclass(slots=True)
class ContinueFile:
    """A file was taken before it was whole: the longer one, which begins with it, takes its place."""

    former: CarrierFile
    file: CarrierFile
    """As it is now, with the id of the former one."""
    dry_run: bool = False

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Found:
        """Raise Registered if that is paid for already, or somebody else has taken it."""
        file, table = self.file, tables.carrier_file
        former = carrier_files.locked(unit.conn, file.id)
        if former.remittance == "posted" or former.sha256 != self.former.sha256:
            raise Registered(former)
        if self.dry_run:
            raise OnlyTried(Found())
        grown = {name: getattr(file, name) for name in ("name", "sha256", "size_bytes", "rows", "total_minor", "state")}
        unit.conn.execute(update(table).where(table.c.id == file.id).values(**grown, at_ms=unit.now_ms))
        end_unread(unit, former)
        return Found()
