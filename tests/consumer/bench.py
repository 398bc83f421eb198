"""A bench for keywords: two shops, a clock that tests move, and texts that come in one batch or one after another."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from carriers import base
from gateway.app.parts import catalogues
from gateway.consumer.keywords import Keywords
from gateway.engine.inbox import MoReceived
from gateway.store import tables
from gateway.store.apply import Batch, Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Consumer, Needs, Phone, Unit
from tests.store.bench import PHONE, SIMULATED, Odd, applied

NAIROBI = ZoneInfo("Africa/Nairobi")
KEYWORDS = Keywords({"acme": NAIROBI}, {"acme": "KES"}, {"acme": catalogues()})
NEW_YEAR = datetime(2027, 12, 31, 21, 30, tzinfo=UTC)
"""Half past midnight of the first of January in Nairobi."""


class Clock:
    """How far ahead of this machine the store is."""

    def __init__(self) -> None:
        self.offset_ms = int((NEW_YEAR.timestamp() - time.time()) * 1000)

    def advance(self, seconds: float) -> None:
        self.offset_ms += int(seconds * 1000)


def add_shops(unit: Unit) -> None:
    for merchant_id, shop, keyword in (("mer_1", "Mama Asha", "ASHA"), ("mer_2", "Juma Spares", "JUMA")):
        row = {"id": merchant_id, "name": shop, "shop": shop, "keyword": keyword, "created_at_ms": 1}
        unit.put(tables.merchant, row)


def texted(words: str, msisdn: str = PHONE, *, read_at_ms: int = 1) -> MoReceived:
    mo = base.Mo(carrier="acme", msisdn=msisdn, to="22345", text=words, read_at_ms=read_at_ms)
    return MoReceived(mo, KEYWORDS.handlers, "test")


def said(store: Store, *words: str) -> list[OutboxRow]:
    """What is sent back to texts that come in one batch."""
    return texts_of(applied(store, *(texted(one) for one in words)))


def answer(store: Store, words: str) -> str:
    """The template of the one answer to *words*, and what it was filled with."""
    [row] = said(store, words)
    return filled(row)


def filled(row: OutboxRow) -> str:
    return " ".join([row.body["template"], *(f"{name}={value}" for name, value in row.body["fields"].items())])


def texts_of(batch: Batch) -> list[OutboxRow]:
    """The texts of a batch that are not mute."""
    return [row for row in batch.rows if row.kind == "sms" and not row.body.get("is_mute")]


def the_consumer(store: Store, phone: Phone = SIMULATED) -> Consumer:
    """As the database has it."""
    found = applied(store, Odd(lambda unit: unit.consumer(phone), wants=Needs(phones=(phone,)))).applied[0].result
    assert isinstance(found, Consumer)
    return found


def changed(store: Store, change: Callable[[Consumer], None]) -> None:
    """The phone's row, changed as a test wants it."""

    def do(unit: Unit) -> None:
        change(unit.consumer(SIMULATED))
        unit.touch(unit.consumer(SIMULATED))

    applied(store, Odd(do, wants=Needs(phones=(SIMULATED,))))
