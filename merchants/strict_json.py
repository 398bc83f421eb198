"""Strict decoding of bodies and queries into their shapes; every complaint becomes a `Refused` that names the field.

msgspec refuses floats for integers, NaN, unknown fields and bad UTF-8 by itself. It does not see a key that stands
twice, of which two readers could take different values: that is looked for here. In a query it would take `1e3` for a
whole number, so the numbers there are read here.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Final, Generic, TypeVar

import msgspec

from merchants.problems import Refused, refused_fields
from merchants.shapes import FieldError, Request

R = TypeVar("R", bound=Request)

DIGITS_MAX: Final = 20

_AT = re.compile(r" - at `(?:key` in `)?\$\.?([^`]*)`$")
_encode = msgspec.json.Encoder(order="deterministic").encode


class Reader(Generic[R]):
    """Decodes bodies of one shape."""

    def __init__(self, shape: type[R]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode
        self._defaults = [(field.name, _default(field)) for field in msgspec.structs.fields(shape)]
        self._may_be_empty = not needs_body(shape)

    def read(self, body: bytes) -> R:
        if not body and self._may_be_empty:
            body = b"{}"
        try:
            decoded = self._decode(body)
        except msgspec.ValidationError as error:
            raise refused_fields(_field_error(error)) from None
        except UnicodeDecodeError:
            raise Refused("malformed_json", "the body is not UTF-8") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refused("malformed_json", _why_malformed(body) or str(error)) from None
        _refuse_repeated_keys(body.decode())
        return decoded

    def canonical(self, request: R) -> bytes:
        """The same bytes for the same fields, however the body was written.

        What has its default is left out, so that a field that a later version adds changes no stored hash.
        """
        values = [(name, getattr(request, name), default) for name, default in self._defaults]
        return _encode({name: value for name, value, default in values if value != default})


def needs_body(shape: type[Request]) -> bool:
    """Whether there is a field that must be given."""
    return any(field.required for field in msgspec.structs.fields(shape))


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


# Every escape in turn, so that the `\u` behind an escaped backslash is no escape, and a pair is one.
_ESCAPE: Final = re.compile(
    rb"\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|u(d[89a-f][0-9a-f]{2})|.)", re.IGNORECASE | re.DOTALL
)


def _why_malformed(body: bytes) -> str:
    """What msgspec would call cut off although something else is wrong; empty: msgspec says it."""
    if not body.strip(b" \t\r\n"):
        return "expected a JSON object, got an empty body"
    for escape in _ESCAPE.finditer(body):
        if escape[1] is not None:
            return f"\\u{escape[1].decode()} is half a character"
    return ""


def read_query(shape: type[R], query: Mapping[str, str]) -> R:
    """The query as *shape*."""
    if len(set(query)) != len(query):  # A multidict counts and gives a repeated name twice.
        raise refused_fields(FieldError(field="", message="a parameter is given twice"))
    whole = _whole_numbers(shape)
    try:
        return msgspec.convert({name: _read(name, value, whole) for name, value in query.items()}, shape)
    except msgspec.ValidationError as error:
        raise refused_fields(_field_error(error)) from None


@cache
def _whole_numbers(shape: type[Request]) -> frozenset[str]:
    """The fields of *shape* that are integers."""
    described = msgspec.inspect.type_info(shape)
    assert isinstance(described, msgspec.inspect.StructType)
    return frozenset(field.encode_name for field in described.fields if _is_whole(field.type))


def _is_whole(kind: msgspec.inspect.Type) -> bool:
    """An integer, or an integer that may be left out."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return _is_whole(kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return any(_is_whole(one) for one in kind.types)
    return isinstance(kind, msgspec.inspect.IntType)


def _read(name: str, text: str, whole: frozenset[str]) -> int | str:
    if name not in whole:
        return text
    # No field takes a number of more digits, and Python reads no more than 4,300.
    if not re.fullmatch(rf"-?[0-9]{{1,{DIGITS_MAX}}}", text):
        raise refused_fields(FieldError(field=name, message="expected a whole number, written in digits"))
    return int(text)


def _field_error(error: msgspec.ValidationError) -> FieldError:
    text = str(error)
    found = _AT.search(text)
    if found is not None:
        return FieldError(field=found[1].replace("[...]", ""), message=text[: found.start()])
    named = re.search(r"(?:unknown|required) field `([^`]*)`", text)
    return FieldError(field="" if named is None else named[1], message=text)


def _once(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("malformed_json", "a key stands twice in one object")


_refuse_repeated_keys = json.JSONDecoder(object_pairs_hook=_once).decode
