"""`gateway breaks` and `gateway quarantine`: what a person must look at, and the word of whoever did."""

import getpass
from pathlib import Path

from sqlalchemy import Connection

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.store.cases import NOTE_CHARACTERS_MAX, Case, list_cases, resolve

TITLES = {"break": "breaks", "quarantine": "jobs in quarantine"}


def show(path: Path, name: str, *, with_resolved: bool) -> None:
    """Print the cases of table *name*. Raise ConfigError or CommandError."""
    config, _ = read(path)
    cases = with_database(
        config.gateway.database, lambda conn: list_cases(conn, name, with_resolved=with_resolved), read_only=True
    )
    for case in cases:
        print(_words(case))
    print(f"{len(cases)} {'' if with_resolved else 'open '}{TITLES[name]}")


def settle(path: Path, name: str, case_id: str, *, note: str, by: str) -> None:
    """Record that *case_id* is settled. Raise ConfigError or CommandError."""
    config, _ = read(path)
    note = " ".join(note.split())
    if not 0 < len(note) <= NOTE_CHARACTERS_MAX:
        raise CommandError(f"--note: expected 1 to {NOTE_CHARACTERS_MAX} characters, got {len(note)}", exit_code=2)

    def write(conn: Connection) -> Case:
        now_ms = wall_ms()
        return resolve(conn, name, case_id, by=by or getpass.getuser(), note=note, now_ms=now_ms)

    try:
        print(_words(with_database(config.gateway.database, write, read_only=False)))
    except LookupError as error:
        raise CommandError(str(error.args[0]), exit_code=2) from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def _words(case: Case) -> str:
    """One line: what a carrier said may hold line breaks."""
    words = [case.id, rfc3339(case.at_ms), case.kind, case.payment_id or "-", case.detail]
    if case.resolved_at_ms is not None:
        words.append(f"| resolved {rfc3339(case.resolved_at_ms)} by {case.resolved_by or '-'}: {case.resolution}")
    return " ".join(" ".join(words).split())
