"""`gateway breaks` and `gateway quarantine`: what a person must look at, and the word of whoever did."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from gateway.cli.database import applied, with_database, with_store
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.core.money import Money, format_money
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.engine.write_offs import WriteOff
from gateway.store.cases import NOTE_CHARACTERS_MAX, Case, assign, list_cases, resolve

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
    words, person = checked_note(note), by or getpass.getuser()

    def write(conn: Connection) -> Case:
        return resolve(conn, name, case_id, by=person, note=words, now_ms=wall_ms())

    with complaints():
        print(_words(with_database(config.gateway.database, write, read_only=False)))


def give(path: Path, break_id: str, *, to: str) -> None:
    """Record who looks at a break. Raise ConfigError or CommandError."""
    config, _ = read(path)
    owner = to or getpass.getuser()
    with complaints():
        print(
            _words(with_database(config.gateway.database, lambda conn: assign(conn, break_id, owner), read_only=False))
        )


def write_off(path: Path, break_id: str, *, note: str, by: str) -> None:
    """Propose to give up the money of a break, or agree and book it. Raise ConfigError or CommandError."""
    config, secrets = read(path)
    job = WriteOff(break_id, by or getpass.getuser(), checked_note(note))
    with complaints():
        result = with_store(config, secrets, lambda store, _: applied(store, job))
    assert isinstance(result, Case)
    print(_words(result))
    if result.resolved_at_ms is None:
        print(f"{result.proposed_by} would write it off; it is booked once another person says the same")


def checked_note(note: str) -> str:
    """*note* in one line. Raise CommandError if there is none, or too much of it."""
    words = " ".join(note.split())
    if not 0 < len(words) <= NOTE_CHARACTERS_MAX:
        raise CommandError(f"--note: expected 1 to {NOTE_CHARACTERS_MAX} characters, got {len(words)}", exit_code=2)
    return words


@contextmanager
def complaints() -> Iterator[None]:
    """What is wrong with the case that was named, as the command's one line."""
    try:
        yield
    except LookupError as error:
        raise CommandError(str(error.args[0]), exit_code=2) from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def _words(case: Case) -> str:
    """One line: what a carrier said may hold line breaks."""
    words = [case.id, rfc3339(case.at_ms), case.kind, case.payment_id or "-", case.detail]
    if case.amount_minor is not None:
        words.append(f"| at risk {format_money(Money(case.amount_minor, case.currency), 'en')}")
    if case.owner:
        words.append(f"| {case.owner} looks at it")
    if case.resolved_at_ms is not None:
        words.append(f"| resolved {rfc3339(case.resolved_at_ms)} by {case.resolved_by or '-'}: {case.resolution}")
    return " ".join(" ".join(words).split())
