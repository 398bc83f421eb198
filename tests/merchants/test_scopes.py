"""Scopes: each operation needs the one that it declares, and none can be made that declares none."""

from typing import Any

import pytest

from merchants.app import operations
from merchants.operations import AnyOperation, Operation
from merchants.scopes import ALL, SCOPES, allows, beyond
from merchants.shapes import Nothing
from tests.merchants.shop import Answered, Json, Shop


async def ask(shop: Shop, operation: AnyOperation, secret: str) -> Answered:
    body: Json | None = {} if operation.has_body else None
    return await shop.call(operation.method, operation.path.replace("{id}", "x"), body, secret=secret)


async def test_no_operation_can_be_had_without_its_scope(sqlite_shop: Shop) -> None:
    offered = operations(sqlite_shop.api)
    without: dict[str, str] = {}
    for scope in {operation.scope for operation in offered}:
        others = [other for other in SCOPES if other not in (scope, ALL)]
        without[scope] = (await sqlite_shop.key(*others))["secret"]
    for operation in offered:
        answer = await ask(sqlite_shop, operation, without[operation.scope])
        assert (answer.status, answer.code) == (403, "insufficient_scope"), operation.name
        assert operation.scope in answer.json["detail"]


async def test_every_operation_can_be_had_with_its_scope_alone(sqlite_shop: Shop) -> None:
    offered = operations(sqlite_shop.api)
    only = {scope: (await sqlite_shop.key(scope))["secret"] for scope in {operation.scope for operation in offered}}
    for operation in offered:
        assert (await ask(sqlite_shop, operation, only[operation.scope])).status != 403, operation.name


FIELDS: dict[str, Any] = {  # Any: fields of an Operation.
    "method": "GET",
    "path": "/v1/secrets",
    "name": "readSecrets",
    "summary": "Read everything",
    "takes": Nothing,
    "gives": Nothing,
    "handle": None,
}


def test_a_route_without_a_scope_cannot_be_built() -> None:
    with pytest.raises(TypeError, match="scope"):
        Operation(**FIELDS)


@pytest.mark.parametrize("scope", ["", "all", "payments", "secrets:read"])
def test_a_route_needs_a_scope_that_a_key_can_have(scope: str) -> None:
    with pytest.raises(ValueError, match="readSecrets: expected a scope"):
        Operation(**FIELDS, scope=scope)


def test_all_allows_everything_and_everything_else_only_itself() -> None:
    for scope in SCOPES:
        assert allows({ALL}, scope)
        assert [other for other in SCOPES if allows({scope}, other)] == ([scope] if scope != ALL else list(SCOPES))
    assert beyond(["payments:read", ALL], {"payments:read"}) == [ALL]


async def test_a_refusal_for_want_of_a_scope_changes_nothing(sqlite_shop: Shop) -> None:
    reader = await sqlite_shop.key("payments:read")
    body = {"amount": 100, "currency": "KES", "msisdn": "+254700000001", "description": "x"}
    assert (await sqlite_shop.call("POST", "/v1/payments", body, key="k", secret=reader["secret"])).status == 403
    assert (await sqlite_shop.call("GET", "/v1/payments", secret=reader["secret"])).json["data"] == []
    assert (await sqlite_shop.call("POST", "/v1/payments", body, key="k")).status == 201


async def test_the_document_names_the_scope_of_each_operation(sqlite_shop: Shop) -> None:
    document = (await sqlite_shop.send("GET", "/openapi.json")).json
    for operation in operations(sqlite_shop.api):
        described = document["paths"][operation.path][operation.method.lower()]
        assert described["security"] == [{"key": [operation.scope]}]
        assert {"400", "401", "403", "429"} <= set(described["responses"])
        assert "RateLimit" in described["responses"][str(operation.status)]["headers"]
