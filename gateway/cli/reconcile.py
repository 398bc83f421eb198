"""`gateway reconcile`: a carrier's file against our books, with a bar while it runs and a report at its end."""

import contextlib
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import typer
from sqlalchemy import Engine

from gateway.cli.database import with_store
from gateway.cli.errors import CommandError
from gateway.config import Config, read
from gateway.core.carrier_files import read_name
from gateway.core.money import Money, format_money
from gateway.engine.reconciliation import Reconciler, Refused, Report, Terms
from gateway.store.apply import Store
from gateway.store.engine import DatabaseInUse, hold_alone, is_sqlite

# It is read for its checksum and totals first, and then for its rows.
READINGS = 2


def run(path: Path, file: Path, *, carrier: str, dry_run: bool, report: Path | None, as_json: bool) -> None:
    """Raise ConfigError, or CommandError if the file is not taken or something in it needs a person."""
    config, secrets = read(path)
    _expect_readable(file)
    terms = _terms(config, file.name, carrier)
    if report is not None:
        _expect_writable(report)

    def take(store: Store, reads: Engine) -> Report:
        with typer.progressbar(length=READINGS * file.stat().st_size, label=file.name, file=sys.stderr) as bar:
            return Reconciler(store, reads, terms).take(file, dry_run=dry_run, progress=bar.update)

    url = config.gateway.database
    try:
        with hold_alone(url) if is_sqlite(url) and not dry_run else contextlib.nullcontext():
            came_of_it = with_store(config, secrets, take)
    except DatabaseInUse as error:
        raise CommandError(f"{error}; stop it, reconcile, and start it again") from error
    except Refused as error:
        raise CommandError(str(error)) from error
    words = as_words(came_of_it)
    shown = msgspec.json.encode(came_of_it).decode() + "\n" if as_json else words
    _hand_over(shown, report)
    breaks = came_of_it.found.breaks.total()
    if breaks:
        raise CommandError(f"{breaks} breaks need a person; see `gateway breaks list`")


def _expect_readable(file: Path) -> None:
    try:
        if file.is_file():
            file.open("rb").close()
            return
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", exit_code=2) from error
    raise CommandError(f"{file}: expected a file", exit_code=2)


def _expect_writable(report: Path) -> None:
    """What is done to the books is done, so a report that could not be written would be lost."""
    try:
        report.open("a").close()
    except OSError as error:
        raise CommandError(f"--report: {report}: {error.strerror}", exit_code=2) from error


def _hand_over(shown: str, report: Path | None) -> None:
    if report is None:
        print(shown, end="")
        return
    try:
        report.write_text(shown, encoding="utf-8")
    except OSError as error:
        print(shown, end="")
        raise CommandError(f"--report: {report}: {error.strerror}; it is on standard output") from error


def _terms(config: Config, name: str, wanted: str) -> Terms:
    having = {one: carrier.files for one, carrier in config.carriers.items() if carrier.files is not None}
    if wanted and wanted not in having:
        raise CommandError(f"--carrier: expected one with files: {', '.join(having) or 'there is none'}", exit_code=2)
    fitting = [wanted] if wanted else [one for one, files in having.items() if read_name(files, name) is not None]
    if len(fitting) != 1:
        found = f"{', '.join(fitting)} have such names" if fitting else "no carrier has such names"
        raise CommandError(f"{name}: {found}; say whose it is by --carrier", exit_code=2)
    [chosen] = fitting
    carrier = config.carriers[chosen]
    return Terms(
        carrier=chosen,
        mode=carrier.mode,
        currency=carrier.currency,
        zone=ZoneInfo(carrier.time_zone),
        files=having[chosen],
    )


def as_words(report: Report) -> str:
    """The report for a person, ended by a line break."""
    file, found = report.file, report.found

    def money(amount_minor: int) -> str:
        return format_money(Money(amount_minor, file.currency), "en")

    lines = [
        f"file       {file.name} ({file.carrier}, {file.business_date}{_number(file.sequence)})",
        f"state      {'tried only, nothing was written' if report.dry_run else file.state}",
        f"rows       {file.rows}, which come to {money(file.total_minor)}",
        f"matched    {found.matched}",
        f"resolved   {found.resolved} outcomes that were unknown or wrong",
        f"ignored    {found.ignored} failures of orders that we do not know",
        f"remittance {_remittance(report)}",
        f"breaks     {found.breaks.total()}",
    ]
    risks = found.at_risk_minor
    lines += [f"  {kind:<20} {count:>7}  {money(risks[kind]):>20}" for kind, count in sorted(found.breaks.items())]
    return "\n".join(lines) + "\n"


def _number(sequence: int | None) -> str:
    return "" if sequence is None else f", number {sequence}"


def _remittance(report: Report) -> str:
    file = report.file
    if file.remitted_minor is None:
        return f"not in this file; `gateway remittance book {file.name} AMOUNT` says it"
    paid = format_money(Money(file.remitted_minor, file.currency), "en")
    words = {"posted": "booked", "open": "not booked: our books come to another sum"}
    return f"{paid}, {'not tried' if report.dry_run else words[file.remittance]}"
