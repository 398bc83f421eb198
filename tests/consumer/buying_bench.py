"""A bench for what phones buy by themselves: items and pay codes of the bench's shops, and a look at what is left."""

from typing import Any, Final

from gateway.core.catalogue import Item, PayCode
from gateway.core.money import Money
from gateway.core.pay_codes import made
from gateway.core.payment import Payment
from gateway.store import catalogue
from gateway.store.apply import Batch, Store
from gateway.store.identity import new_id
from gateway.store.merchant_reads import Owner
from gateway.store.queries import payment_from_row
from tests.store.bench import Odd, applied, rows

SHOP: Final = Owner("mer_1", "test")
CODE: Final = made(3821, 5)
NOON_MS: Final = 4_000_000_000_000
"""Later than any test."""


def an_item(store: Store, number: str = "12", **changes: Any) -> Item:  # Any: fields of an item.
    """Sugar of Mama Asha for KES 320.00, five of it."""
    fields: dict[str, Any] = {
        "id": new_id("itm_"),
        "merchant_id": "mer_1",
        "mode": "test",
        "number": number,
        "name": "Sugar 2kg",
        "price": Money(32_000, "KES"),
        "stock": 5,
        "is_active": True,
        "metadata": {},
        "created_at_ms": 1,
        "updated_at_ms": 1,
    }
    item = Item(**(fields | changes))
    applied(store, Odd(lambda unit: unit.catalogue.add_item(item)))
    return item


def a_pay_code(store: Store, code: str = CODE, **changes: Any) -> PayCode:  # Any: fields of a pay code.
    """For KES 100.00 to Mama Asha, once."""
    fields: dict[str, Any] = {
        "id": new_id("pcd_"),
        "merchant_id": "mer_1",
        "mode": "test",
        "code": code,
        "item_id": None,
        "quantity": 1,
        "amount_minor": 10_000,
        "currency": "KES",
        "description": "Bus ticket",
        "reference": None,
        "metadata": {},
        "uses_max": 1,
        "uses": 0,
        "created_at_ms": 1,
        "expires_at_ms": NOON_MS,
        "ended_at_ms": None,
    }
    pay_code = PayCode(**(fields | changes))
    applied(store, Odd(lambda unit: unit.catalogue.add_pay_code(pay_code)))
    return pay_code


def stock(store: Store, item: Item) -> int | None:
    found = applied(store, Odd(lambda unit: catalogue.item(unit.conn, SHOP, item.id))).applied[0].result
    assert isinstance(found, Item)
    return found.stock


def uses(store: Store, code: PayCode) -> int:
    found = applied(store, Odd(lambda unit: catalogue.pay_code(unit.conn, SHOP, code.id))).applied[0].result
    assert isinstance(found, PayCode)
    return found.uses


def payments(url: str) -> list[Payment]:
    """All there are, oldest first."""
    return [payment_from_row(row) for row in rows(url, "SELECT * FROM payment ORDER BY id")]


def sent(batch: Batch) -> list[str]:
    """The templates of the texts of a batch."""
    return [row.body["template"] for row in batch.rows if row.kind == "sms" and not row.body.get("is_mute")]
