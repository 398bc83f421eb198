"""What merchants do to items and pay codes, as jobs of the batch.

Each has an Idempotency-Key, so that goods that came in are counted once however often they are told. A number or a code
that two processes give away at once is guarded by a unique index: the loser's batch runs again and finds the winner.
"""

import secrets
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from gateway.core import pay_codes
from gateway.core.catalogue import Item, PayCode, described, wrong_name, wrong_price
from gateway.core.money import Money
from gateway.core.payment import METADATA_KEYS_MAX
from gateway.engine.merchant_jobs import Answer, Outcome, Problem
from gateway.store import catalogue
from gateway.store.identity import new_id
from gateway.store.merchant_reads import Owner
from gateway.store.unit import Key, KeyRecord, Needs, Unit
from merchants.catalogue_shapes import (
    STOCK_MAX,
    ItemChange,
    ItemRequest,
    PayCodeRequest,
    public_item,
    public_pay_code,
)

ITEMS_MAX: Final = 1_000
"""Of one merchant in one mode, and so many pay codes that are live."""
PAY_CODES_MAX: Final = 1_000
_DRAWS: Final = 16


@dataclass(slots=True, kw_only=True)
class CatalogueJob:
    """What the requests have in common."""

    owner: Owner
    key: str
    body_hash: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False
    route: ClassVar[str]

    def needs(self) -> Needs:
        return Needs(keys=(self._key(),))

    def _key(self) -> Key:
        return Key(self.owner.merchant_id, self.owner.mode, self.route, self.key)

    def run(self, unit: Unit) -> Outcome:
        record = unit.key(self._key())
        return self.change(unit) if record is None else self._replayed(unit, record)

    def change(self, unit: Unit) -> Outcome:
        """Do it and answer, or say why not."""
        raise AssertionError("each request does something")

    def present(self, unit: Unit, object_id: str) -> bytes | None:
        """The thing as it is now; None if it is gone."""
        raise AssertionError("each request is about something")

    def answer(self, unit: Unit, status: int, object_id: str) -> Answer:
        body = self.present(unit, object_id)
        assert body is not None, "it was written just now"
        kept = KeyRecord(hash=self.body_hash, object_id=object_id, status=status, response=body.decode())
        unit.remember_key(self._key(), kept)
        return Answer(status, body)

    def _replayed(self, unit: Unit, record: KeyRecord) -> Outcome:
        if record.hash != self.body_hash:
            return Problem("idempotency_mismatch", "this Idempotency-Key was used with another request body")
        body = record.response.encode() or self.present(unit, record.object_id)
        if body is None:
            return Problem("not_found", f"{record.object_id} is gone")
        return Answer(record.status, body, replayed=True)


@dataclass(slots=True, kw_only=True)
class ItemJob(CatalogueJob):
    """About an item."""

    def present(self, unit: Unit, object_id: str) -> bytes | None:
        found = catalogue.item(unit.conn, self.owner, object_id)
        return None if found is None else msgspec.json.encode(public_item(found))

    def taken(self, unit: Unit, number: str) -> Problem | None:
        """Why *number* cannot be given to another item."""
        found = catalogue.item_by_number(unit.conn, self.owner, number)
        return None if found is None else Problem("item_number_in_use", f"{number} is the number of item {found.id}")


@dataclass(slots=True, kw_only=True)
class AddItem(ItemJob):
    """`POST /v1/items`."""

    request: ItemRequest

    route: ClassVar[str] = "items"

    def change(self, unit: Unit) -> Outcome:
        wanted = self.request
        taken = self.taken(unit, wanted.number)
        if taken is not None:
            return taken
        if catalogue.count_items(unit.conn, self.owner) >= ITEMS_MAX:
            return Problem("too_many_items", f"there are {ITEMS_MAX} items already")
        item = Item(
            id=new_id("itm_"),
            merchant_id=self.owner.merchant_id,
            mode=self.owner.mode,
            number=wanted.number,
            name=wanted.name,
            price=Money(wanted.price, wanted.currency),
            stock=wanted.stock,
            is_active=wanted.active,
            metadata=wanted.metadata,
            created_at_ms=unit.now_ms,
            updated_at_ms=unit.now_ms,
        )
        unit.catalogue.add_item(item)
        return self.answer(unit, 201, item.id)


@dataclass(slots=True, kw_only=True)
class ChangeItem(ItemJob):
    """`PATCH /v1/items/{id}`."""

    item_id: str
    request: ItemChange

    route: ClassVar[str] = "item"

    def change(self, unit: Unit) -> Outcome:
        item, wanted = catalogue.item(unit.conn, self.owner, self.item_id, lock=True), self.request
        if item is None:
            return Problem("not_found", f"no item {self.item_id} under this key")
        if wanted.number is not UNSET and wanted.number != item.number:
            taken = self.taken(unit, wanted.number)
            if taken is not None:
                return taken
        columns = self._columns(item)
        if isinstance(columns, Problem):
            return columns
        unit.catalogue.change_item(item.id, updated_at_ms=unit.now_ms, **columns)
        return self.answer(unit, 200, item.id)

    def _columns(self, item: Item) -> dict[str, Any] | Problem:  # Any: the columns of `item`.
        wanted = self.request
        columns: dict[str, Any] = {}
        if wanted.number is not UNSET:
            columns["number"] = wanted.number
        if wanted.name is not UNSET:
            columns["name"] = wanted.name
        if wanted.price is not UNSET:
            wrong = wrong_price(Money(wanted.price, item.price.currency))
            if wrong:
                return Problem("invalid_request", f"price: {wrong}")
            columns["price_minor"] = wanted.price
        if wanted.active is not UNSET:
            columns["is_active"] = int(wanted.active)
        stock = item.stock if wanted.stock is UNSET else wanted.stock
        if wanted.add_stock:
            if stock is None or not 0 <= stock + wanted.add_stock <= STOCK_MAX:
                return Problem("invalid_request", f"add_stock: cannot be added to a stock of {stock}")
            stock += wanted.add_stock
        columns["stock"] = stock
        merged = {**item.metadata, **wanted.metadata}
        kept = {name: value for name, value in merged.items() if value is not None}
        if len(kept) > METADATA_KEYS_MAX:
            return Problem("invalid_request", f"metadata: expected at most {METADATA_KEYS_MAX} keys, got {len(kept)}")
        return columns | {"metadata": msgspec.json.encode(kept).decode()}


@dataclass(slots=True, kw_only=True)
class AddPayCode(CatalogueJob):
    """`POST /v1/pay_codes`: a code that nobody holds."""

    request: PayCodeRequest

    route: ClassVar[str] = "pay_codes"

    def present(self, unit: Unit, object_id: str) -> bytes | None:
        found = catalogue.pay_code(unit.conn, self.owner, object_id)
        return None if found is None else msgspec.json.encode(public_pay_code(found, unit.now_ms))

    def change(self, unit: Unit) -> Outcome:
        wanted = self.request
        item = None if wanted.item_id is None else catalogue.item(unit.conn, self.owner, wanted.item_id)
        if wanted.item_id is not None and item is None:
            return Problem("invalid_request", f"item_id: no item {wanted.item_id} under this key")
        if item is not None and wrong_name(described(item, wanted.quantity)):
            detail = f"quantity: no ask could show {described(item, wanted.quantity)!r}; give the item a shorter name"
            return Problem("invalid_request", detail)
        if catalogue.count_live_codes(unit.conn, self.owner, unit.now_ms) >= PAY_CODES_MAX:
            return Problem("too_many_pay_codes", f"there are {PAY_CODES_MAX} live pay codes already")
        drawn = _draw(unit, self.owner.mode)
        if drawn is None:
            return Problem("too_many_pay_codes", "nearly all codes of this mode are in use")
        made = self._made(unit, drawn, item)
        unit.catalogue.add_pay_code(made)
        return self.answer(unit, 201, made.id)

    def _made(self, unit: Unit, drawn: str, item: Item | None) -> PayCode:
        wanted = self.request
        return PayCode(
            id=new_id("pcd_"),
            merchant_id=self.owner.merchant_id,
            mode=self.owner.mode,
            code=drawn,
            item_id=wanted.item_id,
            quantity=wanted.quantity,
            amount_minor=wanted.amount,
            currency=(wanted.currency or "") if item is None else item.price.currency,
            description=(wanted.description or "") if item is None else item.name,
            reference=wanted.reference,
            metadata=wanted.metadata,
            uses_max=1 if wanted.uses == "single" else None,
            uses=0,
            created_at_ms=unit.now_ms,
            expires_at_ms=unit.now_ms + wanted.expires_in_s * 1000,
            ended_at_ms=None,
        )


def _draw(unit: Unit, mode: str) -> str | None:
    """A code that nobody holds: five digits while there are enough of these, then six."""
    numbers = set(unit.policy.short_codes.values())
    for digits in (pay_codes.DIGITS_MIN, pay_codes.DIGITS_MAX):
        for _ in range(_DRAWS):
            drawn = pay_codes.made(secrets.randbelow(10**9), digits)
            if drawn not in numbers and unit.catalogue.free_code(mode, drawn):
                return drawn
    return None


def ended(unit: Unit, owner: Owner, code_id: str) -> PayCode | None:
    """The owner's pay code, by which no phone pays any more; None if there is none."""
    found = catalogue.pay_code(unit.conn, owner, code_id)
    if found is None:
        return None
    catalogue.end_pay_code(unit.conn, code_id, unit.now_ms)
    return replace(found, ended_at_ms=found.ended_at_ms or unit.now_ms)
