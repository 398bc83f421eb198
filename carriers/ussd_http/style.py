"""What the styles have in common: a call is read into a `Call`, an answer is written for it. No style remembers any.

Whatever comes in, reading it raises `Malformed` and nothing else. What was typed stands in no message.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from carriers import base
from carriers.ussd import short_code
from gateway.core.msisdn import parse_msisdn

BODY_BYTES_MAX: Final = 16 * 1024
FIELD_CHARACTERS_MAX: Final = 2_048
"""Everything typed in one session; no phone types that much in three minutes."""
SESSION_ID_CHARACTERS_MAX: Final = 128
INPUTS_MAX: Final = 100

Fields = Mapping[str, object]


class Malformed(Exception):
    """The call makes no sense; the text says what was expected. Answered with 400."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the aggregator's."""

    session_id: str
    msisdn: str
    """Empty at an `end` that does not say whose session it was."""
    service_code: str
    kind: Literal["begin", "input", "end"]
    inputs: tuple[str, ...] = ()
    first: int | None = None
    echo: Mapping[str, object] = {}
    """What the style must say back in its answer."""

    def __repr__(self) -> str:
        """Fit for a log: without what was typed."""
        return f"<USSD {self.kind}>"


class Style(Protocol):
    """One aggregator's way to call."""

    paths: Sequence[str]
    """Below the callback's address, each starting with `/`, or empty."""
    method: str

    def read(self, request: base.Request, place: Sequence[str]) -> Call:
        """*place*: the segments of the path below the callback's address. Raise Malformed."""
        ...

    def write(self, call: Call, answer: base.UssdAnswer) -> base.Response:
        """What the phone is to show. After `end` nobody reads it."""
        ...


def read_json(body: bytes) -> Fields:
    """The fields of a flat object."""
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"expected a body of {BODY_BYTES_MAX} bytes at most, got {len(body)}")
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_number)
    except RecursionError:
        raise Malformed("expected a flat JSON object, got a deeply nested one") from None
    except ValueError:  # Its message may hold what was typed.
        raise Malformed("expected a JSON object") from None
    if not isinstance(found, dict):
        raise Malformed("expected a JSON object")
    return found


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("expected every field once")
    return found


def _no_number(_: str) -> object:
    raise Malformed("expected numbers, got one that is none")


def text_of(fields: Fields, name: str, *, is_needed: bool = True) -> str:
    """A field of text; a number is taken as its digits, as aggregators write numbers either way."""
    value = fields.get(name)
    if value is None and not is_needed:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = _digits(value, name)
    if not isinstance(value, str):
        raise Malformed(f"{name}: expected a text, got {'nothing' if value is None else type(value).__name__}")
    if len(value) > FIELD_CHARACTERS_MAX:
        raise Malformed(f"{name}: expected at most {FIELD_CHARACTERS_MAX} characters, got {len(value)}")
    if "\0" in value or not _is_unicode(value):
        raise Malformed(f"{name}: expected characters only")
    return value


def _digits(value: int, name: str) -> str:
    if value.bit_length() > 256:
        raise Malformed(f"{name}: expected a shorter number")
    return str(value)


def _is_unicode(value: str) -> bool:
    """Half a surrogate pair is no character, and no database takes it."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def session_of(text: str, name: str) -> str:
    if not 1 <= len(text) <= SESSION_ID_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        raise Malformed(f"{name}: expected 1 to {SESSION_ID_CHARACTERS_MAX} printable characters of ASCII")
    return text


def phone_of(fields: Fields, name: str) -> str:
    """In E.164, with or without its `+`."""
    try:
        return parse_msisdn("+" + text_of(fields, name).strip().removeprefix("+"))
    except ValueError:
        raise Malformed(f"{name}: expected a number in international form") from None


def code_of(fields: Fields, name: str) -> str:
    text = text_of(fields, name)
    bare = text.strip().strip("*#")
    if not bare or not all(part.isascii() and part.isdigit() for part in bare.split("*")):
        raise Malformed(f"{name}: expected a service code such as *384#")
    return short_code(text)


def flag_of(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise Malformed(f"{name}: expected true or false")
    return value


def inputs_of(inputs: Sequence[str], name: str) -> tuple[str, ...]:
    if len(inputs) > INPUTS_MAX:
        raise Malformed(f"{name}: expected at most {INPUTS_MAX} inputs, got {len(inputs)}")
    return tuple(inputs)


def json_response(fields: Fields) -> base.Response:
    return base.Response(status=200, body=msgspec.json.encode(fields))
