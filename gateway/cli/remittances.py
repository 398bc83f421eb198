"""The work of `gateway remittance`, and which carriers need it."""

from pathlib import Path

from sqlalchemy import Engine

from gateway.cli.cases import checked_note, complaints
from gateway.cli.database import applied, with_store
from gateway.cli.errors import CommandError
from gateway.cli.people import os_user
from gateway.config import Config, read
from gateway.core.carrier_files import minor_of
from gateway.core.money import Money, exponent, format_money
from gateway.engine.remittances import BookRemittance
from gateway.store import carrier_files
from gateway.store.apply import Store
from gateway.store.carrier_files import CarrierFile


def book(path: Path, name: str, amount: str, *, note: str, by: str) -> None:
    """Raise ConfigError, or CommandError if it is not taken or the sums differ."""
    config, secrets = read(path)
    words, person = checked_note(note), by or os_user()

    def say(store: Store, reads: Engine) -> object:
        with reads.connect() as conn:
            file = carrier_files.called(conn, name)
        amount_minor = minor_of(amount, file.currency, exponent(file.currency), ".")
        return applied(store, BookRemittance(file.id, amount_minor, person, words))

    with complaints():
        file = with_store(config, secrets, say)
    assert isinstance(file, CarrierFile)
    if file.proposed_minor is not None:
        print(f"{file.name}: {_money(file, file.proposed_minor)} as {person} says; another person has to say the same")
        return
    assert file.remitted_minor is not None
    paid = f"{file.name}: {_money(file, file.remitted_minor)} on the word of {file.remitted_by}"
    if file.remittance != "posted":
        raise CommandError(f"{paid}; not booked: our books come to another sum, see `gateway breaks list`")
    print(f"{paid}; booked")


def _money(file: CarrierFile, amount_minor: int) -> str:
    return format_money(Money(amount_minor, file.currency), "en")


def unpaid_words(config: Config) -> list[str]:
    """Of live carriers, what a merchant whose terms wait for the carrier's payment waits for in vain."""
    words = []
    for name, carrier in config.carriers.items():
        files = carrier.files
        if carrier.mode != "live" or (files is not None and "remitted" in (files.trailer_columns or {})):
            continue
        what = "has no files" if files is None else "has files that do not say what it pays"
        way = "" if files is None else "`gateway remittance book` says it, or "
        words.append(
            f"{name} {what}: merchants that wait for its payment, as those without terms do, are not settled;"
            f" {way}`gateway merchant terms --wait {name}=DAYS` waits for days instead"
        )
    return words
