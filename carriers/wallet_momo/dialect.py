"""What the three dialects have in common, and what each must say: its requests, and what an answer to one means.

A dialect opens no connection and waits for nothing: it turns an order into an `Ask`, and an answer into what is known.
"""

import hashlib
import uuid
from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec

from carriers import base
from carriers.http import format_amount, parse_amount
from carriers.wallet_momo.settings import Settings
from gateway.core.money import Money, exponent
from gateway.http_client import HttpAnswer

Product = Literal["collection", "disbursement"]
TEXT_CHARACTERS_MAX: Final = 160


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A charge or a refund; they differ in a few fields only."""

    is_refund: bool
    attempt_id: str
    msisdn: str
    amount: Money
    description: str
    reference: str
    carrier_reference: str | None
    charge_attempt_id: str = ""
    charge_reference: str | None = None

    @classmethod
    def of_charge(cls, order: base.ChargeOrder) -> "Order":
        return cls(
            is_refund=False,
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description=order.description,
            reference=order.reference,
            carrier_reference=order.carrier_reference,
        )

    @classmethod
    def of_reversal(cls, order: base.ReverseOrder) -> "Order":
        return cls(
            is_refund=True,
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description="Refund",
            reference=order.charge_attempt_id,
            carrier_reference=order.carrier_reference,
            charge_attempt_id=order.charge_attempt_id,
            charge_reference=order.charge_reference,
        )

    def refunded_charge(self) -> "Order":
        """The charge that this refund gives back, as far as it is known here, to be asked about."""
        return Order(
            is_refund=False,
            attempt_id=self.charge_attempt_id,
            msisdn=self.msisdn,
            amount=self.amount,
            description="",
            reference="",
            carrier_reference=None,
        )


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Authorization is the adapter's."""

    method: str
    path: str
    """With its query, behind `base_url`."""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    product: Product = "collection"


class Dialect(Protocol):
    """One provider's requests and answers."""

    capabilities: base.Capabilities
    callback_methods: tuple[str, ...]
    """With which it calls an address that was given with an order; empty: its one address is set at the provider."""
    callback_status: int
    refund_needs_reference: bool
    """A refund must name the charge by the provider's own reference."""

    def token(self, product: Product) -> Ask: ...

    def name_of(self, reference: str | None) -> str | None:
        """The provider's own name of an order that the engine knows by *reference*; None: it has told none yet."""
        ...

    def order(self, order: Order, callback_url: str) -> Ask:
        """Raise ValueError if it cannot be said."""
        ...

    def judge_order(self, answer: HttpAnswer, order: Order) -> base.ChargeResult: ...

    def inquiry(self, order: Order) -> Ask | base.Unknown: ...

    def judge_inquiry(self, ask: Ask, answer: HttpAnswer, order: Order) -> base.InquiryResult | Ask:
        """What the answer says, or the next question."""
        ...

    def find_charge(self, order: Order) -> Ask | base.Unknown:
        """The first question about the charge of a refund; the next come from `judge_charge`."""
        ...

    def judge_charge(self, ask: Ask, answer: HttpAnswer, order: Order) -> Ask | str | None:
        """The provider's reference of a charge that succeeded, or the next question, or None: there is none."""
        ...


def key_of(attempt_id: str) -> str:
    """A UUID that looks like one of version 4, as the providers check it, and is always the same for an attempt."""
    digest = hashlib.sha256(f"wallet_momo\0{attempt_id}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def clean(text: str) -> str:
    """Plain words: MTN refuses apostrophes and control characters, and nobody takes more than 160 characters."""
    kept = "".join(c for c in text if c.isascii() and (c.isalnum() or c in " .,:-"))
    return " ".join(kept.split())[:TEXT_CHARACTERS_MAX]


def places_of(settings: Settings, currency: str) -> int:
    """Raise ValueError if nobody knows the currency."""
    places = settings.currency_exponents.get(currency)
    return exponent(currency, "wallet_momo") if places is None else places


def shown_amount(settings: Settings, amount: Money) -> str:
    return format_amount(amount, places_of(settings, amount.currency))


def short_amount(settings: Settings, amount: Money) -> str:
    """Without zeros behind, which two of the dialects forbid or do not expect."""
    text = shown_amount(settings, amount)
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_same_amount(text: str, currency: str, amount: Money) -> bool:
    try:
        return parse_amount(text, currency) == amount
    except ValueError:
        return False


def otherwise(what: str, answer: HttpAnswer, code: str = "") -> base.Unknown:
    """Nothing explicit. Never a text of theirs, which may name the number."""
    safe = code[:40] if code.replace("_", "").isalnum() else ""
    return base.Unknown(detail=f"{what}: HTTP {answer.status} {safe}".rstrip())


MISMATCH: Final = base.Unknown(detail="the answer is about another amount, currency, number or order")
