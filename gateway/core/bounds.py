"""The bounds of settings: types that say what a value may be, in words for whoever wrote another, and the check.

A text is never shown in a mistake, as it may be a secret; numbers are. What values must be together is not said here.
"""

import math
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from msgspec import Meta
from msgspec.structs import fields

PORT_MAX: Final = 65_535

Count = Annotated[int, Meta(ge=1, description="a whole number, 1 or more")]
CountOrNone = Annotated[int, Meta(ge=0, description="a whole number, 0 or more")]
Octet = Annotated[int, Meta(ge=0, le=0xFF, description="0 to 255")]
Port = Annotated[int, Meta(ge=1, le=PORT_MAX, description=f"a port, 1 to {PORT_MAX}")]
Positive = Annotated[float, Meta(gt=0, description="a number above 0")]
NotNegative = Annotated[float, Meta(ge=0, description="a number, 0 or more")]
Words = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
Digits = Annotated[str, Meta(pattern=r"^[0-9]*\Z", description="digits")]
Prefix = Annotated[str, Meta(pattern=r"^\+[0-9]{1,15}\Z", description="+ and 1 to 15 digits")]
HttpAddress = Annotated[str, Meta(pattern=r"^https?://[^/\s]", description="http:// or https:// and a host")]


def expect_bounds(settings: msgspec.Struct) -> None:
    """For `__post_init__`. Raise ValueError that names every value out of its bounds."""
    found = [
        mistake
        for field in fields(settings)
        for mistake in mistakes(field.name, field.type, getattr(settings, field.name))
    ]
    if found:
        raise ValueError("; ".join(found))


def mistakes(name: str, kind: Any, value: object) -> list[str]:  # Any: a type as it is annotated.
    """What is wrong with *value* as the setting *name*, which is a *kind*; in a list, each wrong item."""
    item = _item(kind)
    if item is not None and isinstance(value, list | tuple):
        found = [wrong for number, one in enumerate(value) for wrong in mistakes(f"{name}[{number}]", item, one)]
        if found:
            return found
    try:
        converted = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return [f"{name}: {_expected(kind, value) or error}"]
    # An infinite number passes every lower bound; what is no number passes where there is no bound at all.
    if isinstance(converted, float) and not math.isfinite(converted):
        return [f"{name}: expected a finite number, got {converted}"]
    return []


def _item(kind: Any) -> Any:  # Any: as above.
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return get_args(bare)[0] if get_origin(bare) is tuple else None


def _expected(kind: Any, value: object) -> str | None:  # Any: as above.
    if get_origin(kind) is not Annotated:
        return None
    bare, meta = get_args(kind)[:2]
    # A password may be written as a number.
    shown = f", got {value}" if isinstance(value, int | float) and bare is not str else ""
    return f"expected {meta.description}{shown}"
