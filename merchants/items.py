"""Operations on items: what phones can buy by `ASHA 12`, for how much, and how many there are."""

from collections.abc import Collection
from typing import Final, cast

from msgspec import UNSET

from gateway.core.ids import is_id
from gateway.core.money import EXPONENTS, Money
from gateway.engine.batcher import Call as BatchCall
from gateway.engine.merchant_jobs import Answer
from gateway.store import catalogue
from gateway.store.merchant_reads import Owner
from gateway.store.unit import Unit
from merchants import checks
from merchants.catalogue_jobs import AddItem, ChangeItem
from merchants.catalogue_shapes import (
    ItemChange,
    ItemDeleted,
    ItemPage,
    ItemRequest,
    ItemsQuery,
    PublicItem,
    public_item,
)
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.payments import answered
from merchants.problems import Refused, refused_fields
from merchants.shapes import FieldError, Nothing


class Items:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads
        self._currencies = currencies(api)

    async def add(self, call: Call, request: ItemRequest) -> Answer:
        check_currency(request.currency, call.caller.mode, self._currencies)
        price = Money(request.price, request.currency)
        checks.item(request.number, request.name, price, request.metadata)
        job = AddItem(owner=call.caller.owner, key=call.key, body_hash=call.body_hash, request=request)
        return answered(await self._batcher.offer(job))

    async def list(self, call: Call, query: ItemsQuery) -> ItemPage:
        if query.starting_after is not None and not is_id(query.starting_after, "itm_"):
            raise refused_fields(FieldError(field="starting_after", message="expected an item's id"))
        is_active = None if query.active is None else query.active == "true"
        found = await self._reads(
            lambda conn: catalogue.items(
                conn, call.caller.owner, limit=query.limit + 1, older_than=query.starting_after, is_active=is_active
            )
        )
        page, has_more = [public_item(item) for item in found[: query.limit]], len(found) > query.limit
        return ItemPage(data=page, has_more=has_more, next=page[-1].id if has_more else None)

    async def read(self, call: Call, query: Nothing) -> PublicItem:
        _check_id(call)
        found = await self._reads(lambda conn: catalogue.item(conn, call.caller.owner, call.id))
        if found is None:
            raise _no_item(call)
        return public_item(found)

    async def change(self, call: Call, request: ItemChange) -> Answer:
        _check_id(call)
        if request.stock is not UNSET and request.add_stock:
            raise refused_fields(FieldError(field="add_stock", message="expected no stock beside it"))
        number = None if request.number is UNSET else request.number
        name = None if request.name is UNSET else request.name
        checks.item(number, name, None, request.metadata)
        job = ChangeItem(
            owner=call.caller.owner, key=call.key, body_hash=call.body_hash, item_id=call.id, request=request
        )
        return answered(await self._batcher.offer(job))

    async def delete(self, call: Call, query: Nothing) -> ItemDeleted:
        _check_id(call)
        owner, item_id = call.caller.owner, call.id
        if not cast(bool, await self._batcher.offer(BatchCall(lambda unit: _deleted(unit, owner, item_id)))):
            raise _no_item(call)
        return ItemDeleted(id=item_id)


def _deleted(unit: Unit, owner: Owner, item_id: str) -> bool:
    """Its number is free for another; payments and pay codes still name it."""
    if catalogue.item(unit.conn, owner, item_id, lock=True) is None:
        return False
    unit.catalogue.change_item(item_id, deleted_at_ms=unit.now_ms)
    return True


def currencies(api: Api) -> dict[str, set[str]]:
    """By mode, what its carriers charge in."""
    found: dict[str, set[str]] = {"test": set(), "live": set()}
    for terms in api.carriers.values():
        found[terms.mode].add(terms.currency)
    return found


def check_currency(currency: str, mode: str, known: dict[str, set[str]]) -> None:
    """Refused unless a phone of this mode can pay in *currency*."""
    if currency not in EXPONENTS:
        message = "expected an ISO 4217 code that we know, like KES"
        raise refused_fields(FieldError(field="currency", message=message))
    if currency not in known[mode]:
        raise Refused("currency_not_supported", f"no carrier of {mode} mode charges in {currency}: {_or(known[mode])}")


def _or(names: Collection[str]) -> str:
    return f"expected {' or '.join(sorted(names))}" if names else "there is none"


def _check_id(call: Call) -> None:
    if not is_id(call.id, "itm_"):
        raise _no_item(call)


def _no_item(call: Call) -> Refused:
    return no_such("item", call.id)


_ALL: Final = "/v1/items"
_ONE: Final = "/v1/items/{id}"


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/items`."""
    handlers = Items(api)
    return [*_making_and_reading(handlers), *_changing(handlers)]


def _making_and_reading(handlers: Items) -> list[AnyOperation]:
    return [
        Operation(
            method="POST",
            path=_ALL,
            name="addItem",
            summary="Let phones buy something by its number",
            scope="catalogue:write",
            takes=ItemRequest,
            gives=PublicItem,
            status=201,
            needs_key=True,
            problems=(
                *("currency_not_supported", "item_number_in_use", "too_many_items"),
                *("idempotency_mismatch", "not_found"),
            ),
            handle=handlers.add,
        ),
        Operation(
            method="GET",
            path=_ALL,
            name="listItems",
            summary="List items, newest first",
            scope="catalogue:read",
            takes=ItemsQuery,
            gives=ItemPage,
            handle=handlers.list,
        ),
        Operation(
            method="GET",
            path=_ONE,
            name="readItem",
            summary="Read an item and its stock",
            scope="catalogue:read",
            takes=Nothing,
            gives=PublicItem,
            problems=("not_found",),
            handle=handlers.read,
        ),
    ]


def _changing(handlers: Items) -> list[AnyOperation]:
    return [
        Operation(
            method="PATCH",
            path=_ONE,
            name="changeItem",
            summary="Change an item, or count goods in",
            scope="catalogue:write",
            takes=ItemChange,
            gives=PublicItem,
            needs_key=True,
            problems=("not_found", "item_number_in_use", "idempotency_mismatch"),
            handle=handlers.change,
        ),
        Operation(
            method="DELETE",
            path=_ONE,
            name="deleteItem",
            summary="Sell an item no more",
            scope="catalogue:write",
            takes=Nothing,
            gives=ItemDeleted,
            problems=("not_found",),
            handle=handlers.delete,
        ),
    ]
