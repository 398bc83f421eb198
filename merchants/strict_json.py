"""Strict decoding of bodies and queries into their shapes; every complaint becomes a `Refused` that names the field.

msgspec refuses floats for integers, NaN, unknown fields and bad UTF-8 by itself. It does not see a key that stands
twice, of which two readers could take different values: that is looked for here.
"""

import json
import re
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

from merchants.problems import Refused, refused_fields
from merchants.shapes import FieldError, Request

R = TypeVar("R", bound=Request)

_AT = re.compile(r" - at `(?:key` in `)?\$\.?([^`]*)`$")
_encode = msgspec.json.Encoder(order="deterministic").encode


class Reader(Generic[R]):
    """Decodes bodies of one shape."""

    def __init__(self, shape: type[R]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode
        self._defaults = [(field.name, _default(field)) for field in msgspec.structs.fields(shape)]

    def read(self, body: bytes) -> R:
        if not body and not self._defaults:
            body = b"{}"
        try:
            decoded = self._decode(body)
        except msgspec.ValidationError as error:
            raise refused_fields(_field_error(error)) from None
        except UnicodeDecodeError:
            raise Refused("malformed_json", "the body is not UTF-8") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise Refused("malformed_json", str(error)) from None
        _refuse_repeated_keys(body.decode())
        return decoded

    def canonical(self, request: R) -> bytes:
        """The same bytes for the same fields, however the body was written.

        What has its default is left out, so that a field that a later version adds changes no stored hash.
        """
        values = [(name, getattr(request, name), default) for name, default in self._defaults]
        return _encode({name: value for name, value, default in values if value != default})


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def read_query(shape: type[R], query: Mapping[str, str]) -> R:
    """The query as *shape*."""
    if len(set(query)) != len(query):  # A multidict counts and gives a repeated name twice.
        raise refused_fields(FieldError(field="", message="a parameter is given twice"))
    try:
        return msgspec.convert(dict(query), shape, strict=False)
    except msgspec.ValidationError as error:
        raise refused_fields(_field_error(error)) from None


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
