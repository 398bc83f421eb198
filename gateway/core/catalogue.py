"""What a merchant sells by phone: items and codes to pay by, as plain values, and what may stand in them.

A phone types an item's number behind the shop's keyword. It has fewer digits than any one-time code, so that neither
can be taken for the other, whichever was there first. The name and the price stand in the ask, so a name is no longer
than asks show, and holds nothing that they would leave out.
"""

import re
from typing import Final

import msgspec

from gateway.core.asks import WORST_CASE
from gateway.core.description import ITEM_CHARACTERS_MAX, clean_description
from gateway.core.money import CURRENCY_MARKS, Money, format_money
from gateway.core.words import fold, is_reserved

NUMBER_PATTERN: Final = "[0-9]{2,3}|[A-Z][A-Z0-9]{1,7}"
NUMBER_CHARACTERS_MAX: Final = 8
QUANTITY_MAX: Final = 99
_NUMBER: Final = re.compile(NUMBER_PATTERN)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something with a price. `stock` is what can still be sold: what waiting payments are about is out of it."""

    id: str
    merchant_id: str
    mode: str
    number: str
    name: str
    price: Money
    stock: int | None
    """None: nobody counts."""
    is_active: bool
    metadata: dict[str, str]
    created_at_ms: int
    updated_at_ms: int

    def is_sold(self, quantity: int, currency: str) -> bool:
        """Whether a phone that pays in *currency* can have as many now."""
        return self.is_active and self.price.currency == currency and (self.stock is None or self.stock >= quantity)


class PayCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code by which phones pay its merchant."""

    id: str
    merchant_id: str
    mode: str
    code: str
    item_id: str | None
    quantity: int
    amount_minor: int | None
    """None: the item's price, or, without an item, what the phone types."""
    currency: str
    description: str
    reference: str | None
    metadata: dict[str, str]
    uses_max: int | None
    """None: as many as come."""
    uses: int
    """Payments by it that are open or were paid."""
    created_at_ms: int
    expires_at_ms: int
    ended_at_ms: int | None

    @property
    def is_used_up(self) -> bool:
        return self.uses_max is not None and self.uses >= self.uses_max

    def is_over(self, now_ms: int) -> bool:
        """Its time has passed, or its merchant has ended it."""
        return self.ended_at_ms is not None or now_ms >= self.expires_at_ms


def wrong_number(number: str) -> str:
    """What keeps *number* from being an item's; empty: nothing."""
    if _NUMBER.fullmatch(number) is None:
        return "expected 2 or 3 digits, or a word of 2 to 8 letters A to Z and digits"
    if is_reserved(number) or fold(number) in CURRENCY_MARKS:
        return f"{number} is a word that replies, commands or amounts use"
    return ""


def wrong_name(name: str) -> str:
    """What keeps *name* from standing whole in every ask; empty: nothing."""
    if clean_description(name) == name:
        return ""
    return (
        f"expected at most {ITEM_CHARACTERS_MAX} characters that every phone shows, with at most three digits, no link"
        " and no word that asks use themselves (pay, code, free)"
    )


def wrong_price(price: Money) -> str:
    """What keeps *price* out of an ask; empty: nothing."""
    if len(format_money(price, "en")) <= WORST_CASE["amount"]:
        return ""
    return f"expected at most {WORST_CASE['amount']} characters as printed, got {format_money(price, 'en')}"


def described(item: Item, quantity: int) -> str:
    """What the ask calls *quantity* of *item*."""
    return item.name if quantity == 1 else f"{quantity}x {item.name}"
