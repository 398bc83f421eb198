"""A bench for keywords: two shops, a clock that tests move, and texts that come in one batch or one after another."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from carriers import base
from gateway.app.parts import catalogues
from gateway.consumer.keywords import Keywords
from gateway.core.payment import Payment
from gateway.engine.inbox import MoReceived
from gateway.engine.merchant_jobs import FulfilPayment
from gateway.engine.texts import CarrierWords, Texts
from gateway.store import tables
from gateway.store.apply import Batch, Store
from gateway.store.outbox import OutboxRow
from gateway.store.queries import consumer_payments
from gateway.store.unit import Consumer, Needs, Phone, Unit
from tests.store.bench import CODE_KEY, PHONE, SIMULATED, Odd, applied

NAIROBI = ZoneInfo("Africa/Nairobi")
KEYWORDS = Keywords({"acme": NAIROBI}, {"acme": "KES"}, {"acme": catalogues()})
TEXTS = Texts(
    {"acme": catalogues()},
    {"acme": CarrierWords(time_zone="Africa/Nairobi", short_code="22345", care_line="0800 22345", brand="Acme Pay")},
    CODE_KEY,
)
"""As this bench's phones read them."""
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
        for mode in ("test", "live"):
            key = {"id": f"key_{mode}_{keyword}", "merchant_id": merchant_id, "mode": mode, "created_at_ms": 1}
            unit.put(tables.api_key, key | {"prefix": f"sk_{mode}_", "last4": "0000", "sha256": f"{mode} {keyword}"})


def texted(words: str, msisdn: str = PHONE, *, read_at_ms: int = 1, **more: Any) -> MoReceived:  # Any: of the text.
    mo = base.Mo(carrier="acme", msisdn=msisdn, to="22345", text=words, read_at_ms=read_at_ms, **more)
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


def ref_of(store: Store) -> str:
    """Of the phone's newest payment."""

    def look(unit: Unit) -> str:
        return consumer_payments(unit.conn, unit.consumer(SIMULATED).id, limit=1)[0].ref

    return str(applied(store, Odd(look, wants=Needs(phones=(SIMULATED,)))).applied[0].result)


def changed(store: Store, change: Callable[[Consumer], None]) -> None:
    """The phone's row, changed as a test wants it."""

    def do(unit: Unit) -> None:
        change(unit.consumer(SIMULATED))
        unit.touch(unit.consumer(SIMULATED))

    applied(store, Odd(do, wants=Needs(phones=(SIMULATED,))))


def sent(store: Store, payment: Payment) -> list[OutboxRow]:
    """The shop tells that it has sent the goods; the texts that this brings."""
    told = FulfilPayment(merchant_id="mer_1", mode="test", payment_id=payment.id, key=None, body_hash="h")
    return texts_of(applied(store, told))
