"""The shapes of items and pay codes, and both as their merchant sees them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.core.catalogue import NUMBER_CHARACTERS_MAX, NUMBER_PATTERN, QUANTITY_MAX, Item, PayCode
from gateway.core.description import ITEM_CHARACTERS_MAX
from gateway.core.money import AMOUNT_MINOR_MAX
from gateway.core.payment import METADATA_KEYS_MAX
from gateway.core.public import rfc3339
from merchants.shapes import PAGE_DEFAULT, PAGE_MAX, MetadataKey, MetadataValue, Request, id_meta

STOCK_MAX = 10**9
ItemId = Annotated[str, id_meta("itm_")]
PayCodeId = Annotated[str, id_meta("pcd_")]
Number = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=NUMBER_CHARACTERS_MAX,
        description="What a phone types behind your keyword: 2 or 3 digits, or a short word in capitals.",
        examples=["12"],
        extra_json_schema={"pattern": f"^(?:{NUMBER_PATTERN})$"},
    ),
]
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ITEM_CHARACTERS_MAX,
        description="As every ask shows it, whole.",
        examples=["Sugar 2kg"],
    ),
]
Price = Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX, description="Minor units.", examples=[32000])]
Currency = Annotated[
    str, Meta(min_length=3, max_length=3, description="One that a carrier charges in.", examples=["KES"])
]
Stock = Annotated[int, Meta(ge=0, le=STOCK_MAX, description="What can be sold; without it, nobody counts.")]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=METADATA_KEYS_MAX)]
Uses = Literal["single", "many"]


class ItemRequest(Request, frozen=True, kw_only=True):
    """Something that phones can buy by its number."""

    number: Number
    name: Name
    price: Price
    currency: Currency
    stock: Stock | None = None
    active: Annotated[bool, Meta(description="Whether it is on offer.")] = True
    metadata: Metadata = field(default_factory=dict)


class ItemChange(Request, frozen=True, kw_only=True):
    """What is not named stays. Payments that wait keep the price that their phones were told."""

    number: Number | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    stock: Stock | UnsetType | None = UNSET
    add_stock: Annotated[
        int, Meta(ge=-STOCK_MAX, le=STOCK_MAX, description="Goods that came in, or (less than 0) went out elsewhere.")
    ] = 0
    active: bool | UnsetType = UNSET
    # Twice as many: all old keys may go while as many new ones come.
    metadata: Annotated[
        dict[MetadataKey, MetadataValue | None],
        Meta(max_length=2 * METADATA_KEYS_MAX, description="Keys to set; null takes a key away."),
    ] = field(default_factory=dict)


class ItemsQuery(Request, frozen=True, kw_only=True):
    """A page of items, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: Annotated[ItemId, Meta(description="The last id of the page before.")] | None = None
    active: Annotated[Literal["true", "false"], Meta(description="Only what is, or is not, on offer.")] | None = None


class PublicItem(Struct, frozen=True, kw_only=True):
    """An item. What waiting payments are about is out of `stock`, and comes back if they end unpaid."""

    id: str
    object: Literal["item"] = "item"
    mode: str
    number: str
    name: str
    price: int
    currency: str
    stock: int | None
    active: bool
    metadata: dict[str, str]
    created_at: str
    updated_at: str


class ItemPage(Struct, frozen=True, kw_only=True):
    """`next` is what to send as `starting_after` next; null on the last page."""

    object: Literal["list"] = "list"
    data: list[PublicItem]
    has_more: bool
    next: str | None


class ItemDeleted(Struct, frozen=True, kw_only=True):
    id: str
    deleted: bool = True


class PayCodeRequest(Request, frozen=True, kw_only=True):
    """A code for an item (`item_id`), for an `amount`, or, with neither, for what the phone types."""

    item_id: ItemId | None = None
    quantity: Annotated[int, Meta(ge=1, le=QUANTITY_MAX, description="Of the item.")] = 1
    amount: Price | None = None
    currency: Annotated[Currency, Meta(description="Without an item.")] | None = None
    description: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Without an item: what is sold.")] | None
    ) = None
    reference: (
        Annotated[str, Meta(min_length=1, max_length=64, description="Your order; a single payment gets it.")] | None
    ) = None
    uses: Annotated[Uses, Meta(description="How many payments it is good for.")] = "single"
    expires_in_s: Annotated[int, Meta(ge=60, le=31_622_400)] = 86_400
    metadata: Annotated[Metadata, Meta(description="Its payments get it, too.")] = field(default_factory=dict)


class PayCodesQuery(Request, frozen=True, kw_only=True):
    """A page of pay codes, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: Annotated[PayCodeId, Meta(description="The last id of the page before.")] | None = None


class PublicPayCode(Struct, frozen=True, kw_only=True):
    """A pay code. `payments` counts those by it that are open or were paid."""

    id: str
    object: Literal["pay_code"] = "pay_code"
    mode: str
    code: Annotated[str, Meta(description="What a phone types.", examples=["48217"])]
    status: Literal["live", "used", "expired", "ended"]
    item_id: str | None
    quantity: int
    amount: int | None
    currency: str
    description: str
    reference: str | None
    uses: Uses
    payments: int
    metadata: dict[str, str]
    created_at: str
    expires_at: str


class PayCodePage(Struct, frozen=True, kw_only=True):
    """`next` is what to send as `starting_after` next; null on the last page."""

    object: Literal["list"] = "list"
    data: list[PublicPayCode]
    has_more: bool
    next: str | None


def public_item(item: Item) -> PublicItem:
    """*item* as its merchant sees it."""
    return PublicItem(
        id=item.id,
        mode=item.mode,
        number=item.number,
        name=item.name,
        price=item.price.amount_minor,
        currency=item.price.currency,
        stock=item.stock,
        active=item.is_active,
        metadata=item.metadata,
        created_at=rfc3339(item.created_at_ms),
        updated_at=rfc3339(item.updated_at_ms),
    )


def public_pay_code(code: PayCode, now_ms: int) -> PublicPayCode:
    """*code* as its merchant sees it."""
    return PublicPayCode(
        id=code.id,
        mode=code.mode,
        code=code.code,
        status=_status(code, now_ms),
        item_id=code.item_id,
        quantity=code.quantity,
        amount=code.amount_minor,
        currency=code.currency,
        description=code.description,
        reference=code.reference,
        uses="many" if code.uses_max is None else "single",
        payments=code.uses,
        metadata=code.metadata,
        created_at=rfc3339(code.created_at_ms),
        expires_at=rfc3339(code.expires_at_ms),
    )


def _status(code: PayCode, now_ms: int) -> Literal["live", "used", "expired", "ended"]:
    if code.ended_at_ms is not None:
        return "ended"
    if code.is_used_up:
        return "used"
    return "expired" if code.is_over(now_ms) else "live"
