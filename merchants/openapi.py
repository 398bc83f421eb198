"""The OpenAPI 3.1 document, made of the operations and their shapes. Nothing of it is written by hand but the prose."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.core.public import PublicPayment
from merchants.checks import KEY_PATTERN
from merchants.operations import JSON, PROBLEM_JSON, AnyOperation
from merchants.problems import CATALOGUE
from merchants.rates import LEFT_HEADER, POLICY_HEADER
from merchants.shapes import Event, Health, OrderRequest, ProblemDocument, Welcome
from merchants.strict_json import needs_body
from merchants.versions import HEADER, VERSIONS

VERSION: Final = "1.0.0"
_REF: Final = "#/components/schemas/{name}"
_EVERYWHERE: Final = (
    *("unsupported_version", "unauthorized", "insufficient_scope", "rate_limited", "internal_error", "overloaded"),
)
_WITH_BODY: Final = (
    *("malformed_json", "invalid_request", "unsupported_media_type", "body_too_large", "request_timeout"),
)

Json = dict[str, Any]  # Any: JSON.

OPEN_PATHS: Final[dict[str, tuple[str, str, type | None]]] = {
    "/": ("readWelcome", "Where things are", Welcome),
    "/healthz": ("readHealth", "Whether the process lives", Health),
    "/readyz": ("readReadiness", "Whether it should get traffic", Health),
    "/metrics": ("readMetrics", "Metrics for Prometheus", None),
    "/openapi.json": ("readOpenapi", "This document", None),
}
"""GET routes without a key: name, summary, shape (None: not one of ours)."""


_ON_ALL: Final = ("Request-Id", HEADER, POLICY_HEADER, LEFT_HEADER)
_HEADERS: Final[Json] = {
    "Request-Id": {"description": "Names this request in the log.", "schema": {"type": "string"}},
    HEADER: {"description": "The version that was served.", "schema": {"type": "string", "enum": list(VERSIONS)}},
    POLICY_HEADER: {
        "description": "So many requests (q) in so many seconds (w); only under a key, while there is a limit.",
        "schema": {"type": "string", "examples": ['"default";q=200;w=2']},
    },
    LEFT_HEADER: {
        "description": "So many are left (r); nothing is missing after so many seconds (t). As above.",
        "schema": {"type": "string", "examples": ['"default";r=150;t=1']},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}},
    "Idempotent-Replayed": {"description": "The answer was given before.", "schema": {"const": "true"}},
}
_VERSION: Final[Json] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Without it, the version that the key was made with.",
    "schema": {"type": "string", "enum": list(VERSIONS)},
}


def openapi(operations: Sequence[AnyOperation]) -> bytes:
    """The document as JSON."""
    shapes: list[Any] = [ProblemDocument, Event, OrderRequest, PublicPayment]
    for operation in operations:
        shapes += [operation.takes, operation.gives]
    shapes += [shape for _, _, shape in OPEN_PATHS.values() if shape is not None]
    unique = list(dict.fromkeys(shapes))
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
    by_shape = dict(zip(unique, schemas, strict=True))
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Phone payments gateway",
            "version": VERSION,
            "description": "Ask a plain phone for money; its owner confirms by SMS; the carrier charges.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": _paths(operations, by_shape, components),
        "components": {
            "schemas": components,
            "headers": _HEADERS,
            "parameters": {HEADER: _VERSION},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "sk_test_… or sk_live_…"}},
        },
        "webhooks": {"event": _webhook()},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _paths(operations: Sequence[AnyOperation], by_shape: dict[Any, Json], components: Json) -> Json:
    paths: Json = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation, by_shape, components)
    for route, (name, summary, shape) in OPEN_PATHS.items():
        paths[route] = {"get": _open_operation(name, summary, None if shape is None else by_shape[shape])}
    return paths


def _operation(operation: AnyOperation, by_shape: dict[Any, Json], components: Json) -> Json:
    parameters = [_parameter(name, "path", {"type": "string"}) for name in re.findall(r"\{(\w+)\}", operation.path)]
    parameters.append({"$ref": f"#/components/parameters/{HEADER}"})
    document: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        # OpenAPI 3.1 lets other schemes than OAuth name what a key must be allowed.
        "security": [{"key": [operation.scope]}],
    }
    if operation.has_body:
        if operation.needs_key:
            key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": f"^{KEY_PATTERN}$"}
            parameters.append(_parameter("Idempotency-Key", "header", key))
        content = {JSON: {"schema": by_shape[operation.takes]}}
        document["requestBody"] = {"required": needs_body(operation.takes), "content": content}
    else:
        parameters += _query(by_shape[operation.takes], components)
    document["parameters"] = parameters
    document["responses"] = _responses(operation, by_shape)
    return document


def _parameter(name: str, place: str, schema: Json, *, required: bool = True) -> Json:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _query(schema: Json, components: Json) -> list[Json]:
    fields: Json = components[schema["$ref"].rpartition("/")[2]]
    required = fields.get("required", ())
    return [
        _parameter(name, "query", field, required=name in required)
        for name, field in fields.get("properties", {}).items()
    ]


def _responses(operation: AnyOperation, by_shape: dict[Any, Json]) -> Json:
    content = {operation.media.partition(";")[0]: {"schema": by_shape[operation.gives]}}
    statuses = {operation.status, 200, 202} if operation.needs_key and operation.status != 201 else {operation.status}
    headers = _headers(*_ON_ALL, *(("Idempotent-Replayed",) if operation.needs_key else ()))
    done = {"description": "Done", "headers": headers, "content": content}
    responses: Json = {str(status): done for status in sorted(statuses)}
    codes = (*_EVERYWHERE, *operation.problems)
    if operation.has_body:
        codes += _WITH_BODY
    if operation.needs_key:
        codes += ("missing_idempotency_key", "invalid_idempotency_key")
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*codes, "invalid_request")):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    for status, names in sorted(by_status.items()):
        responses[str(status)] = _problem(names)
    return responses


def _problem(codes: Sequence[str]) -> Json:
    schema = {"$ref": _REF.format(name="ProblemDocument")}
    may_wait = any(CATALOGUE[code].category == "capacity" for code in codes)
    return {
        "description": f"code: {', '.join(codes)}",
        "headers": _headers(*_ON_ALL, *(("Retry-After",) if may_wait else ())),
        "content": {PROBLEM_JSON: {"schema": schema}},
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _open_operation(name: str, summary: str, schema: Json | None) -> Json:
    answer: Json = {"description": summary}
    if schema is not None:
        answer["content"] = {JSON: {"schema": schema}}
    responses: Json = {"200": answer}
    if name == "readReadiness":
        responses["503"] = {**answer, "description": "Not now; parts say why"}
    return {"operationId": name, "summary": summary, "security": [], "responses": responses}


def _webhook() -> Json:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "post": {
            "operationId": "receiveEvent",
            "summary": "What a webhook endpoint gets; signed by Standard Webhooks",
            "security": [],
            "parameters": [_parameter(name, "header", {"type": "string"}) for name in names],
            "requestBody": {"content": {JSON: {"schema": {"$ref": _REF.format(name="Event")}}}},
            "responses": {"2XX": {"description": "Taken"}, "410": {"description": "Disable this endpoint"}},
        }
    }
