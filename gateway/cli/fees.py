"""What operators do with fee schedules, straight in the database, beside processes that serve."""

import tomllib
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.cli.keys import merchant_id_of
from gateway.config import Config, read
from gateway.core.fees import FeeSchedule, fees_on
from gateway.core.money import AMOUNT_MINOR_MAX, Money
from gateway.core.public import rfc3339
from gateway.engine.clock import wall_ms
from gateway.store import fee_schedules
from gateway.store.fee_schedules import ScheduleRow


def add(path: Path, file: Path) -> None:
    """Raise ConfigError or CommandError, as all of these do."""
    config, _ = read(path)
    added = _read_schedule(file)

    def store(conn: Connection) -> ScheduleRow:
        return fee_schedules.add_schedule(conn, added, wall_ms())

    row = with_database(config.gateway.database, store, read_only=False)
    print(f"{row.id}  {row.name} version {row.version}")


def _read_schedule(file: Path) -> FeeSchedule:
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), FeeSchedule)
    except OSError as error:
        raise CommandError(f"{file}: cannot be read: {error.strerror}", exit_code=2) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommandError(f"{file}: expected TOML: {error}", exit_code=2) from error
    except msgspec.ValidationError as error:
        raise CommandError(f"{file}: {error}", exit_code=2) from error


def list_schedules(path: Path) -> None:
    found = with_database(read(path)[0].gateway.database, fee_schedules.schedules, read_only=True)
    for one in found:
        row = one.row
        merchants = f"{one.merchants} merchant{'' if one.merchants == 1 else 's'}"
        print(f"{row.id}  {row.name} version {row.version}  added {rfc3339(row.created_at_ms)}  {merchants}")
    if not found:
        print("no fee schedules: nothing is taken of payments")


def show(path: Path, named: str, amount_minor: int | None) -> None:
    row = with_database(read(path)[0].gateway.database, lambda conn: _found(conn, named), read_only=True)
    if amount_minor is None:
        print(msgspec.json.format(row.body, indent=2))
        return
    if not 1 <= amount_minor <= AMOUNT_MINOR_MAX:
        raise CommandError(f"amount: expected 1 to {AMOUNT_MINOR_MAX} minor units, got {amount_minor}", exit_code=2)
    print(f"{row.id}  {row.name} version {row.version}")
    for rates in row.schedule.rates:
        fees = fees_on(row.schedule, rates.carrier, Money(amount_minor, rates.currency))
        print(
            f"{rates.carrier or 'all carriers'} {rates.currency}: of {amount_minor} the carrier has"
            f" {fees.carrier_share_minor}, we have {fees.fee_minor} and VAT {fees.vat_minor},"
            f" {fees.withholding_minor} is withheld, the merchant has {amount_minor - fees.total_minor};"
            f" a lost dispute costs {rates.dispute_minor}"
        )


def assign(path: Path, *, merchant: str, named: str) -> None:
    config, _ = read(path)

    def change(conn: Connection) -> tuple[str, ScheduleRow]:
        merchant_id, row = merchant_id_of(conn, merchant), _found(conn, named)
        _expect_rates(config, row)
        fee_schedules.assign(conn, merchant_id, row.id)
        return merchant_id, row

    merchant_id, row = with_database(config.gateway.database, change, read_only=False)
    print(f"payments of {merchant_id} get {row.id}, {row.name} version {row.version}, within five seconds")


def unassign(path: Path, *, merchant: str) -> None:
    def change(conn: Connection) -> str:
        merchant_id = merchant_id_of(conn, merchant)
        fee_schedules.assign(conn, merchant_id, None)
        return merchant_id

    merchant_id = with_database(read(path)[0].gateway.database, change, read_only=False)
    print(f"nothing is taken of payments of {merchant_id} any more, within five seconds")


def _found(conn: Connection, named: str) -> ScheduleRow:
    row = fee_schedules.schedule_row(conn, named)
    if row is None:
        raise CommandError(f"schedule: expected the id or the name of a fee schedule, got {named!r}", exit_code=2)
    return row


def _expect_rates(config: Config, row: ScheduleRow) -> None:
    """A carrier that was forgotten would cost the merchant nothing, and nobody would notice."""
    schedule = row.schedule
    without = [
        f"{name} ({carrier.currency})"
        for name, carrier in config.carriers.items()
        if schedule.rates_of(name, carrier.currency) is None
    ]
    if without:
        wanted = f"schedule: expected rates for every carrier, {row.name} version {row.version} has none for"
        raise CommandError(f"{wanted} {', '.join(without)}", exit_code=2)
