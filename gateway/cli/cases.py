"""`gateway breaks` and `gateway quarantine`: what a person must look at, and the word of whoever did."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import Connection, Engine

from gateway.cli.database import applied, with_database, with_store
from gateway.cli.errors import CommandError
from gateway.cli.people import os_user
from gateway.config import read
from gateway.core.money import Money, format_money
from gateway.core.payment import BreakKind
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.engine.decisions import EndOrder, Outcome, needs_of
from gateway.engine.write_offs import WriteOff
from gateway.store.apply import Store
from gateway.store.cases import NOTE_CHARACTERS_MAX, Case, assign, list_cases, resolve
from gateway.store.engine import DatabaseInUse, hold_alone, is_sqlite
from gateway.store.listed import Listed

TITLES = {"break": "breaks", "quarantine": "jobs in quarantine"}


def show(path: Path, name: str, *, kind: str = "", with_resolved: bool) -> None:
    """Print the cases of table *name*, or the breaks of a *kind*. Raise ConfigError or CommandError."""
    config, _ = read(path)
    if kind and kind not in set(BreakKind):
        raise CommandError(f"--kind: expected one of {', '.join(BreakKind)}, got {kind!r}", exit_code=2)

    def look(conn: Connection) -> Listed[Case]:
        return list_cases(conn, name, kind=kind, with_resolved=with_resolved)

    cases = with_database(config.gateway.database, look, read_only=True)
    for case in cases.items:
        print(_words(case))
    print(cases.words(f"{'' if with_resolved else 'open '}{TITLES[name]}{kind and f' of kind {kind}'}"))


def settle(path: Path, name: str, case_id: str, *, note: str, by: str) -> None:
    """Record that *case_id* is settled. Raise ConfigError or CommandError."""
    config, _ = read(path)
    words, person = checked_note(note), by or os_user()

    def write(conn: Connection) -> Case:
        return resolve(conn, name, case_id, by=person, note=words, now_ms=wall_ms())

    with complaints():
        print(_words(with_database(config.gateway.database, write, read_only=False)))


def give(path: Path, break_id: str, *, to: str) -> None:
    """Record who looks at a break. Raise ConfigError or CommandError."""
    config, _ = read(path)
    owner = to or os_user()
    with complaints():
        print(
            _words(with_database(config.gateway.database, lambda conn: assign(conn, break_id, owner), read_only=False))
        )


def write_off(path: Path, break_id: str, *, note: str, by: str) -> None:
    """Propose to give up the money of a break, or agree and book it. Raise ConfigError or CommandError."""
    config, secrets = read(path)
    job = WriteOff(break_id, by or os_user(), checked_note(note))
    with complaints():
        result = with_store(config, secrets, lambda store, _: applied(store, job))
    assert isinstance(result, Case)
    print(_words(result))
    if result.resolved_at_ms is None:
        print(f"{result.proposed_by} would write it off; it is booked once another person says the same")


def decide(path: Path, break_id: str, *, outcome: Outcome, note: str, by: str, reference: str) -> None:
    """End an order by what the carrier told a person. Raise ConfigError or CommandError."""
    config, secrets = read(path)
    url, words, person = config.gateway.database, checked_note(note), by or os_user()

    def end(store: Store, reads: Engine) -> object:
        with reads.connect() as conn:
            wanted = needs_of(conn, break_id)
        return applied(store, EndOrder(break_id, outcome, person, words, reference, wanted))

    try:
        with complaints(), hold_alone(url) if is_sqlite(url) else nullcontext():
            result = with_store(config, secrets, end)
    except DatabaseInUse as error:
        raise CommandError(f"{error}; stop it, decide, and start it again") from error
    assert isinstance(result, Case)
    print(_words(result))


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
    elif case.resolution:
        words.append(f"| came again after {case.resolved_by or '-'} said: {case.resolution}")
    return " ".join(" ".join(words).split())
