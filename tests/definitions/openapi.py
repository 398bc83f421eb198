"""Exchanges held against a published OpenAPI 3.0 definition: path, headers, bodies of both sides.

It reads the definition that it is given and downloads nothing.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

Json = Any  # What a definition and a body are made of.
# A number is a decimal here, since no float is a multiple of 0.001; what is left of "float" is that it is a number.
FORMATS: Final = copy.copy(oas30_format_checker)
FORMATS.checkers = {
    name: check for name, check in oas30_format_checker.checkers.items() if name not in ("float", "double")
}


class Exchange(NamedTuple):
    """One request and its answer. Header names as they were sent, the path with its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes


class Definition:
    """What a provider has published."""

    def __init__(self, whole: Json) -> None:
        self._whole = _exact(whole)
        self._components = self._whole["components"]

    @classmethod
    def read(cls, path: Path) -> "Definition":
        return cls(yaml.safe_load(path.read_text(encoding="utf-8")))

    def knows(self, path: str) -> bool:
        return self._find(path) is not None

    def mistakes(self, seen: Exchange) -> Iterator[str]:
        path, _, query = seen.path.partition("?")
        found = self._find(path)
        if found is None:
            yield f"no path {path}"
            return
        item, values = found
        operation = item.get(seen.method.lower())
        if operation is None:
            yield f"{seen.method} is not defined for {seen.path}"
            return
        where = f"{seen.method} {seen.path} {seen.status}"
        parameters = [self._resolve(one) for one in (*item.get("parameters", ()), *operation.get("parameters", ()))]
        yield from self._parameters(where, parameters, values, seen)
        yield from self._query(where, parameters, query)
        if "requestBody" in operation:
            schema = self._schema(self._resolve(operation["requestBody"]))
            yield from self._body(f"{where} request", schema, seen.body)
        answers = {str(status): answer for status, answer in operation["responses"].items()}
        if str(seen.status) not in answers:
            yield f"{where}: the status is not defined"
            return
        schema = self._schema(self._resolve(answers[str(seen.status)]))
        yield from self._body(f"{where} answer", schema, seen.answer)

    def callback_mistakes(self, order: Exchange, called: Exchange, *, event: str) -> Iterator[str]:
        """Of a call back to us about *order*, by the name of the definition's callback."""
        found = self._find(order.path.partition("?")[0])
        assert found is not None
        [item] = found[0]["post"]["callbacks"][event].values()
        operation = item[called.method.lower()]
        yield from self._parameters(event, operation.get("parameters", ()), {}, called)
        yield from self._body(event, self._schema(self._resolve(operation["requestBody"])), called.body)
        if called.status not in {int(status) for status in operation["responses"]}:
            yield f"{event}: our status {called.status} is not defined"

    def _find(self, path: str) -> tuple[Json, dict[str, str]] | None:
        # A path without parameters comes before one that its parameter would take in.
        for template, item in sorted(self._whole["paths"].items(), key=lambda one: "{" in one[0].rpartition("/")[2]):
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
            found = re.fullmatch(pattern, path)
            if found is not None:
                return item, {name: unquote(value) for name, value in found.groupdict().items()}
        return None

    def _parameters(
        self, where: str, parameters: list[Json] | tuple[()], values: Mapping[str, str], seen: Exchange
    ) -> Iterator[str]:
        headers = {name.lower(): value for name, value in seen.headers.items()}
        for parameter in map(self._resolve, parameters):
            if parameter["in"] == "query":
                continue
            name = parameter["name"]
            value = values.get(name) if parameter["in"] == "path" else headers.get(name.lower())
            if value is not None:
                yield from self._errors(f"{where} {name}", parameter["schema"], value)
            elif parameter.get("required"):
                yield f"{where}: {name} is missing"

    def _query(self, where: str, parameters: list[Json], query: str) -> Iterator[str]:
        known = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
        for name, text in parse_qsl(query, keep_blank_values=True):
            if name not in known:
                yield f"{where}: the query {name} is not defined"
                continue
            is_number = known[name].get("type") == "integer" and text.isdigit()
            yield from self._errors(f"{where} {name}", known[name], int(text) if is_number else text)

    def _body(self, where: str, schema: Json | None, body: bytes) -> Iterator[str]:
        if schema is None:
            if body:
                yield f"{where}: a body is not defined"
            return
        try:
            shown = json.loads(body, parse_float=Decimal)
        except ValueError as error:
            yield f"{where}: {error}"
            return
        yield from self._errors(where, schema, shown)

    def _errors(self, where: str, schema: Json, value: Json) -> Iterator[str]:
        whole = {"allOf": [schema, *self._mapped(schema, value)], "components": self._components}
        validator = OAS30Validator(whole, format_checker=FORMATS)
        for error in validator.iter_errors(value):
            yield f"{where} {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"

    def _mapped(self, schema: Json, value: Json) -> list[Json]:
        """What the schema's discriminator leads to, for a value or for each of a list."""
        bare = self._resolve(schema)
        if bare.get("type") == "array" and isinstance(value, list):
            found = [one for item in value for one in self._mapped(bare["items"], item)]
            return [{"items": {"anyOf": found}}] if found else []
        discriminator = bare.get("discriminator")
        if discriminator is None or not isinstance(value, dict):
            return []
        named = discriminator["mapping"].get(value.get(discriminator["propertyName"]))
        return [{"not": {}} if named is None else {"$ref": named}]

    def _schema(self, holder: Json) -> Json | None:
        """Of JSON, whatever it is called: application/json, application/cloudevents+json."""
        content = holder.get("content")
        return None if content is None else next(iter(content.values()))["schema"]

    def _resolve(self, thing: Json) -> Json:
        reference = thing.get("$ref")
        if reference is None:
            return thing
        found = self._whole
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return found


def _exact(thing: Json) -> Json:
    """The definition with decimals for its floats."""
    if isinstance(thing, dict):
        return {name: _exact(value) for name, value in thing.items()}
    if isinstance(thing, list):
        return [_exact(value) for value in thing]
    return Decimal(str(thing)) if isinstance(thing, float) else thing
