"""Exchanges held against a published OpenAPI 3.0 definition: path, headers, bodies of both sides.

It reads the definition that it is given and downloads nothing.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import yaml
from openapi_schema_validator import OAS30Validator, oas30_format_checker

Json = Any  # What a definition and a body are made of.


class Exchange(NamedTuple):
    """One request and its answer. Header names as they were sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes


class Definition:
    """What a provider has published."""

    def __init__(self, whole: Json) -> None:
        self._whole = whole
        self._components = whole["components"]

    @classmethod
    def read(cls, path: Path) -> "Definition":
        return cls(yaml.safe_load(path.read_text(encoding="utf-8")))

    def knows(self, path: str) -> bool:
        return self._find(path) is not None

    def mistakes(self, seen: Exchange) -> Iterator[str]:
        found = self._find(seen.path)
        if found is None:
            yield f"no path {seen.path}"
            return
        item, values = found
        operation = item.get(seen.method.lower())
        if operation is None:
            yield f"{seen.method} is not defined for {seen.path}"
            return
        where = f"{seen.method} {seen.path} {seen.status}"
        yield from self._parameters(
            where, [*item.get("parameters", ()), *operation.get("parameters", ())], values, seen
        )
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
        found = self._find(order.path)
        assert found is not None
        [item] = found[0]["post"]["callbacks"][event].values()
        operation = item[called.method.lower()]
        yield from self._parameters(event, operation.get("parameters", ()), {}, called)
        yield from self._body(event, self._schema(self._resolve(operation["requestBody"])), called.body)
        if called.status not in {int(status) for status in operation["responses"]}:
            yield f"{event}: our status {called.status} is not defined"

    def _find(self, path: str) -> tuple[Json, dict[str, str]] | None:
        for template, item in self._whole["paths"].items():
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
            name = parameter["name"]
            value = values.get(name) if parameter["in"] == "path" else headers.get(name.lower())
            if value is not None:
                yield from self._errors(f"{where} {name}", parameter["schema"], value)
            elif parameter.get("required"):
                yield f"{where}: {name} is missing"

    def _body(self, where: str, schema: Json | None, body: bytes) -> Iterator[str]:
        if schema is None:
            if body:
                yield f"{where}: a body is not defined"
            return
        try:
            shown = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            yield f"{where}: {error}"
            return
        yield from self._errors(where, schema, shown)

    def _errors(self, where: str, schema: Json, value: Json) -> Iterator[str]:
        whole = {"allOf": [schema], "components": self._components}
        validator = OAS30Validator(whole, format_checker=oas30_format_checker)
        for error in validator.iter_errors(value):
            yield f"{where} {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"

    def _schema(self, holder: Json) -> Json | None:
        content = holder.get("content")
        return None if content is None else content["application/json"]["schema"]

    def _resolve(self, thing: Json) -> Json:
        reference = thing.get("$ref")
        if reference is None:
            return thing
        found = self._whole
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return found
