"""`gateway number`: numbers that have a new owner, and numbers of which nobody has heard."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy import Connection, exists, select

from gateway.cli.database import applied, with_database, with_store
from gateway.cli.errors import CommandError
from gateway.config import read
from gateway.core.caps import DAY_MS
from gateway.core.msisdn import mask, parse_msisdn
from gateway.core.payment import State
from gateway.engine.clock import wall_ms
from gateway.engine.recycling import Outcome, Recycled, RecycleNumber
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.phone_records import first_payment_id
from gateway.store.rows import Phone

LIST_BYTES_MAX: Final = 16 << 20
DAY: Final = timedelta(days=1)


class Change(NamedTuple):
    """A number, and between which moments it changed hands; None: nobody says."""

    msisdn: str
    from_ms: int | None
    to_ms: int | None


def recycle(path: Path, numbers: list[str], *, file: Path | None, changed_on: str, mode: str) -> None:
    """Raise ConfigError or CommandError; before anything was done if a number or a date cannot be read."""
    config, secrets = read(path)
    changes = [_change(number, changed_on, "") for number in numbers] + ([] if file is None else _listed(file))
    if not changes:
        raise CommandError("expected a number, or --file with a list of them", exit_code=2)

    known = with_database(config.gateway.database, lambda conn: _known(conn, changes, mode), read_only=True)
    changes_known = [change for change in changes if change.msisdn in known]
    done = with_store(config, secrets, lambda store, _: [_recycle(store, change, mode) for change in changes_known])
    for change, result in zip(changes_known, done, strict=True):
        print(f"{mask(change.msisdn)} {_words(result)}")
    charging = [one for one in done if one.outcome is Outcome.CHARGING]
    recycled = sum(one.outcome is Outcome.RECYCLED for one in done)
    print(f"{recycled} of {len(changes)} numbers have a new owner now, {len(changes) - len(known)} were not known")
    if charging:
        raise CommandError(f"{len(charging)} numbers are as they were: try again in ten minutes")


def _recycle(store: Store, change: Change, mode: str) -> Recycled:
    job = RecycleNumber(phone=Phone(change.msisdn, mode), changed_from_ms=change.from_ms, changed_to_ms=change.to_ms)
    result = applied(store, job)
    assert isinstance(result, Recycled)
    return result


def _words(result: Recycled) -> str:
    match result.outcome:
        case Outcome.RECYCLED:
            return f"has a new owner; requests closed: {result.closed}"
        case Outcome.ALREADY:
            return "was the new owner's already; nothing was changed"
        case Outcome.CHARGING:
            return f"is being charged ({result.payment_id}); nothing was changed"


def _known(conn: Connection, changes: list[Change], mode: str) -> set[str]:
    consumer = tables.consumer.c
    wanted = [change.msisdn for change in changes]
    found: set[str] = set()
    for begin in range(0, len(wanted), 500):
        portion = consumer.msisdn.in_(wanted[begin : begin + 500]) & (consumer.mode == mode)
        found |= set(conn.scalars(select(consumer.msisdn).where(portion)))
    return found


def _listed(file: Path) -> list[Change]:
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read: {error}", exit_code=2) from error
    if len(content) > LIST_BYTES_MAX:
        raise CommandError(f"{file}: expected at most {LIST_BYTES_MAX} bytes, got {len(content)}", exit_code=2)
    changes = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            msisdn, _, since = line.partition(",")
            changes.append(_change(msisdn.strip(), since.strip(), f"{file}, line {number}: "))
    return changes


def _change(msisdn: str, since: str, place: str) -> Change:
    """Raise CommandError that names the *place*."""
    try:
        parse_msisdn(msisdn)
        begins, ends = _moments(since)
    except ValueError as error:
        raise CommandError(f"{place}{error}", exit_code=2) from error
    return Change(msisdn, begins, ends)


def _moments(since: str) -> tuple[int | None, int | None]:
    """Between which moments that is: a date is a whole day by UTC, a time with its offset one moment."""
    if not since:
        return None, None
    try:
        day = datetime.combine(date.fromisoformat(since), datetime.min.time(), UTC)
    except ValueError:
        return (at_ms := _moment_ms(since)), at_ms
    return int(day.timestamp()) * 1000, int((day + DAY).timestamp()) * 1000


def _moment_ms(since: str) -> int:
    wanted = "expected a date, or a time with its offset, such as 2026-11-20T14:00:00+03:00"
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as error:
        raise ValueError(f"{wanted}, got {since!r}") from error
    if moment.tzinfo is None:
        raise ValueError(f"{wanted}, got {since!r}")
    return int(moment.timestamp()) * 1000


def silent(path: Path, *, days: int, mode: str) -> None:
    """Print the numbers in full: they are what the carrier is asked about. Raise ConfigError or CommandError."""
    config, _ = read(path)
    since_ms = wall_ms() - days * DAY_MS
    found = with_database(config.gateway.database, lambda conn: _silent(conn, mode, since_ms), read_only=True)
    for msisdn in found:
        print(msisdn)


def _silent(conn: Connection, mode: str, since_ms: int) -> list[str]:
    """Present owners who since then have neither written nor paid. Texts are kept for 90 days."""
    consumer, mo, payment = tables.consumer.c, tables.mo.c, tables.payment.c
    wrote = exists().where((mo.consumer_id == consumer.id) & (mo.at_ms > since_ms))
    paid = exists().where(
        (payment.consumer_id == consumer.id)
        & (payment.id >= first_payment_id(since_ms))
        & (payment.updated_at_ms > since_ms)
        & (payment.state == State.CAPTURED)
    )
    is_old = (consumer.mode == mode) & consumer.retired_at_ms.is_(None) & (consumer.created_at_ms <= since_ms)
    statement = select(consumer.msisdn).where(is_old & ~wrote & ~paid).order_by(consumer.msisdn)
    return list(conn.scalars(statement))
