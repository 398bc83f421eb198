"""What types cannot say about requests: characters that must not travel, currencies, languages, keys, links.

Each check raises `Refused`; the caller gets the text as it is to be stored.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from gateway.core.catalogue import wrong_name, wrong_number, wrong_price
from gateway.core.money import EXPONENTS, Money
from merchants.problems import Refused, refused_fields
from merchants.routing import CarrierTerms
from merchants.shapes import FieldError, FulfilmentRequest, PaymentRequest
from merchants.targets import wrong_link

_EXPECTED_MOMENT: Final = "expected RFC 3339, like 2026-11-23T10:15:30Z"
KEY_PATTERN: Final = r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?"
_KEY: Final = re.compile(KEY_PATTERN)


def idempotency_key(values: list[str]) -> str:
    """The one value of the header."""
    if not values:
        raise Refused("missing_idempotency_key")
    if len(values) > 1 or _KEY.fullmatch(values[0]) is None:
        raise Refused("invalid_idempotency_key")
    return values[0]


def clean_text(field: str, text: str) -> str:
    """*text* without invisible characters, blanks folded; Refused if nothing is left."""
    cleaned = text if text.isprintable() else "".join(c if c.isprintable() else " " * c.isspace() for c in text)
    cleaned = " ".join(cleaned.split())
    if not cleaned:
        raise refused_fields(FieldError(field=field, message="expected something that can be read"))
    return cleaned


def _visible(field: str, text: str) -> FieldError | None:
    if text.isprintable():
        return None
    return FieldError(field=field, message="expected printable characters only")


def payment(request: PaymentRequest, languages: Collection[str]) -> None:
    """What is wrong with *request* apart from number and carrier, all in one go."""
    errors = _wrong_metadata(request.metadata)
    if request.reference is not None:
        errors.append(_visible("reference", request.reference))
    if request.currency not in EXPONENTS:
        errors.append(FieldError(field="currency", message="expected an ISO 4217 code that we know, like KES"))
    if request.language is not None and request.language not in languages:
        known = ", ".join(sorted(languages))
        errors.append(FieldError(field="language", message=f"expected one of {known}"))
    found = [error for error in errors if error is not None]
    if found:
        raise refused_fields(*found)


def item(number: str | None, name: str | None, price: Money | None, changes: Mapping[str, str | None]) -> None:
    """What is wrong with an item, all in one go; None stands for what is not given."""
    wrong = {
        "number": "" if number is None else wrong_number(number),
        "name": "" if name is None else wrong_name(name),
        "price": "" if price is None else wrong_price(price),
    }
    errors = [FieldError(field=field, message=message) for field, message in wrong.items() if message]
    errors += [error for error in _wrong_metadata(changes) if error is not None]
    if errors:
        raise refused_fields(*errors)


def metadata(changes: Mapping[str, str | None]) -> None:
    """Keys can be shown, values can be stored."""
    found = [error for error in _wrong_metadata(changes) if error is not None]
    if found:
        raise refused_fields(*found)


def _wrong_metadata(changes: Mapping[str, str | None]) -> list[FieldError | None]:
    return [
        *(_visible("metadata", name) for name in changes),
        # A line break may stand in metadata; what cannot be stored everywhere may not.
        *(_no_nul(f"metadata.{name}", value) for name, value in changes.items() if value is not None),
    ]


def moment(field: str, text: str) -> int:
    """RFC 3339 as milliseconds since 1970."""
    if not _is_moment(text):
        raise refused_fields(FieldError(field=field, message=_EXPECTED_MOMENT))
    return max(0, round(datetime.fromisoformat(text).timestamp() * 1000))


def period(after: str | None, before: str | None) -> tuple[int | None, int | None]:
    """`created_after` and `created_before` as milliseconds since 1970."""
    after_ms = None if after is None else moment("created_after", after)
    before_ms = None if before is None else moment("created_before", before)
    if after_ms is not None and before_ms is not None and after_ms >= before_ms:
        raise refused_fields(FieldError(field="created_before", message="expected a time later than created_after"))
    return after_ms, before_ms


def printable(**texts: str | None) -> None:
    """Texts that are compared hold nothing that no stored one can."""
    errors = [_visible(field, text) for field, text in texts.items() if text is not None]
    found = [error for error in errors if error is not None]
    if found:
        raise refused_fields(*found)


def _no_nul(field: str, text: str) -> FieldError | None:
    return FieldError(field=field, message="expected no NUL") if "\0" in text else None


def amount(request: PaymentRequest, terms: CarrierTerms, carrier: str) -> Money:
    """The amount in the carrier's currency. What it cannot charge, no phone is asked for."""
    currency, step_minor = terms.currency, terms.step_minor
    if request.currency != currency:
        raise Refused("currency_not_supported", f"carrier {carrier!r} charges in {currency}, not in {request.currency}")
    if request.amount % step_minor:
        message = f"expected a multiple of {step_minor}: carrier {carrier!r} charges no smaller part of {currency}"
        raise refused_fields(FieldError(field="amount", message=message))
    return Money(request.amount, currency)


def fulfilment(request: FulfilmentRequest) -> None:
    """Texts can be shown, and the time is one."""
    texts = {"what": request.what, "carrier": request.carrier, "tracking": request.tracking}
    errors = [_visible(field, text) for field, text in texts.items() if text is not None]
    if request.when is not None and not _is_moment(request.when):
        errors.append(FieldError(field="when", message=_EXPECTED_MOMENT))
    found = [error for error in errors if error is not None]
    if found:
        raise refused_fields(*found)


def _is_moment(text: str) -> bool:
    try:
        return len(text) > 10 and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def endpoint_url(url: str, *, development: bool) -> None:
    """A link that events may be posted to; its host is looked up only when something is sent."""
    wrong = wrong_link(url, development=development)
    if wrong:
        raise refused_fields(FieldError(field="url", message=wrong))
