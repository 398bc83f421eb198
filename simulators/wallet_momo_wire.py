"""What the shapes of the three wallets have in common; each dialect has a file of its own."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Protocol

import msgspec

from simulators.billing_book import Order, Transaction

Json = dict[str, Any]  # Each dialect has shapes of its own.
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
ANY_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,3}[1-9])?")
DIGITS = re.compile(r"[1-9][0-9]{6,14}")
TEXT_LENGTH_MAX = 160
WRONG_AMOUNT = "1.5"
WRONG_MSISDN = "+19995550100"


class WireError(Exception):
    """The request breaks the dialect; says what was expected."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request below the dialect's own path. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants."""

    what: Literal["token", "order", "inquiry"]
    product: str = ""
    key: str = ""
    """Of an inquiry: the correlator, or what `where` is looked up by."""
    where: str = ""
    order: Order | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the inquiry side tells of a transaction, which may be spoiled or lag behind."""

    transaction: Transaction
    status: str
    """Processing, Charged, Refunded or Denied."""
    amount: str
    msisdn: str


Rendered = tuple[int, Json | None]


class Wire(Protocol):
    """One dialect."""

    callback_method: str
    refunds_at_once: bool

    def parse(self, call: Call) -> Asked: ...

    def token(self, token: str, life_s: float) -> Json: ...

    def accepted(self, transaction: Transaction) -> Rendered: ...

    def refused_at_once(self) -> Rendered: ...

    def trouble(self, name: str) -> Rendered:
        """invalid, unauthorized, not_found, duplicate, rate_limited"""
        ...

    def inquired(self, asked: Asked, shown: Shown) -> Rendered: ...

    def callback(self, shown: Shown) -> Json: ...


def decode(body: bytes) -> Json:
    try:
        found = msgspec.json.decode(body, type=Json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("the body must be a JSON object") from error
    return found


def need(condition: object, what: str) -> None:
    if not condition:
        raise WireError(what)


def amount_of(text: object) -> tuple[Decimal, str]:
    need(isinstance(text, str) and AMOUNT.fullmatch(text), f"amount must be a plain decimal, got {text!r}")
    try:
        amount = Decimal(str(text))
    except InvalidOperation as error:
        raise WireError("amount must be a decimal") from error
    need(amount > 0, "amount must be above zero")
    return amount, str(text)


def dotted(body: Json, *names: str) -> Any:  # Any: whatever stands there.
    found: Any = body
    for name in names:
        need(isinstance(found, dict) and name in found, f"{'.'.join(names)} is missing")
        found = found[name]
    return found
