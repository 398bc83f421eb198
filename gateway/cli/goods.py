"""What operators say about what merchants sell and which phones' owners are of age, straight in the database."""

from pathlib import Path
from typing import get_args

from sqlalchemy import Connection, update

from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.cli.keys import merchant_id_of
from gateway.cli.typed import typed_msisdn
from gateway.config import read
from gateway.core.country import Goods
from gateway.core.msisdn import mask
from gateway.engine.clock import wall_ms
from gateway.store import load, tables
from gateway.store.rows import Phone
from merchants.keys import MODES

KINDS = tuple(kind for kind in get_args(Goods) if kind)


def register(path: Path, *, merchant: str, goods: str) -> None:
    """Raise ConfigError or CommandError, as the other does."""
    if goods not in KINDS:
        raise CommandError(f"goods: expected one of {', '.join(KINDS)}, got {goods!r}", exit_code=2)

    def change(conn: Connection) -> str:
        merchant_id = merchant_id_of(conn, merchant)
        conn.execute(update(tables.merchant).where(tables.merchant.c.id == merchant_id).values(goods=goods))
        return merchant_id

    merchant_id = with_database(read(path)[0].gateway.database, change, read_only=False)
    print(f"{merchant_id} sells {goods}, within five seconds")


def of_age(path: Path, *, msisdn: str, mode: str, takes_back: bool) -> None:
    if mode not in MODES:
        raise CommandError(f"mode: expected {' or '.join(MODES)}, got {mode!r}", exit_code=2)
    number = typed_msisdn(msisdn)

    def change(conn: Connection) -> None:
        [consumer] = load.consumers(conn, {Phone(number, mode)}, set())
        column = tables.consumer.c
        since = None if takes_back else wall_ms()
        conn.execute(update(tables.consumer).where(column.id == consumer.id).values(of_age_at_ms=since))

    with_database(read(path)[0].gateway.database, change, read_only=False)
    print(f"{mask(number)} is {'not known to be ' if takes_back else ''}of age")
