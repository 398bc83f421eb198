"""What adapters over HTTP share: exact amounts, credentials, and what a trace may show.

It knows no operator's dialect and opens no connection.
"""

import base64
import re
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from carriers import base
from gateway.core.money import Money, exponent
from gateway.http_client import HttpAnswer

ANSWER_BYTES_MAX: Final = 64 * 1024
CALLBACK_KEY_BYTES_MIN: Final = 16
EXPONENT_MAX: Final = 4
Exponents = Annotated[
    dict[str, Annotated[int, Meta(ge=0, le=EXPONENT_MAX)]],
    Meta(description=f"0 to {EXPONENT_MAX} decimal places for each currency"),
]
Hexadecimal = Annotated[
    str, Meta(pattern=r"^(?:[0-9A-Fa-f]{2})*\Z", description="an even number of hexadecimal digits, or none")
]
_DECIMAL: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?")
# Whoever knows the address of a callback may call.
_CALLBACK: Final = re.compile(rb"/callbacks(?:\\?/[^\"\\\s/]*)+")

T = TypeVar("T")


def read(body: bytes, kind: type[T]) -> T | None:
    """A body of JSON, or None: it is none, or of another shape."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Inexpressible(ValueError):
    """The other side counts the currency with fewer decimal places than this amount needs."""


def format_amount(amount: Money, places: int) -> str:
    """With *places* decimal places and worth the same, or ValueError."""
    ours = exponent(amount.currency)
    scaled, lost = divmod(amount.amount_minor * 10**places, 10**ours)
    if lost:
        raise Inexpressible(f"{amount.currency} goes by {places} decimal places there, and this amount has more")
    whole, minor = divmod(scaled, 10**places)
    return f"{whole}.{minor:0{places}d}" if places else str(whole)


def parse_amount(text: str, currency: str) -> Money:
    """Exactly, or ValueError: an amount that we would have to round is none that we can compare.

    A decimal is worth what it says, however many places the other side writes.
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError(f"the amount {text[:24]!r} is no decimal")
    places, part = exponent(currency), found[2] or ""
    if part[places:].strip("0"):
        raise ValueError(f"the amount {text!r} has more decimal places than {currency} has")
    return Money(int(found[1] + part[:places].ljust(places, "0")), currency)


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def trace(method: str, url: str, body: bytes, answer: HttpAnswer | None, at_ms: int) -> base.Trace:
    """Without headers, which hold our credentials, and without the callback's address."""
    sent = b"%b /%b\r\n\r\n%b" % (method.encode(), url.partition("://")[2].partition("/")[2].encode(), body)
    received = b"" if answer is None else b"%d\r\n\r\n%b" % (answer.status, answer.body)
    return base.Trace(
        kind="http",
        sent=_CALLBACK.sub(b"/callbacks/*", sent),
        received=_CALLBACK.sub(b"/callbacks/*", received),
        at_ms=at_ms,
    )
