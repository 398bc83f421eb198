"""Nobody sees or changes another's things: every route of the OpenAPI document with another merchant's ids.

The matrix below says for each route what a stranger might try; a route that is missing from it fails the first test.
The same is tried with the merchant's own key of the other mode.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec
import pytest

from tests.merchants.shop import Json, Shop, a_request

Make = Callable[[Shop], Awaitable[str]]


class Try(NamedTuple):
    """What a stranger does with a route. `make` lets the owner make a thing and gives its id.

    With `{id}` in the path the stranger gets 404. Without, the id must not be in what the stranger gets.
    """

    make: Make
    body: Json | None = None
    query: str = ""
    status: int = 200
    """What a route without an id answers to a stranger."""


async def payment(shop: Shop) -> str:
    return str((await shop.create())["id"])


async def paid(shop: Shop) -> str:
    return str((await shop.succeed())["id"])


async def event(shop: Shop) -> str:
    await shop.create()
    return str((await shop.call("GET", "/v1/events")).json["data"][-1]["id"])


async def endpoint(shop: Shop) -> str:
    made = await shop.call("POST", "/v1/webhook_endpoints", {"url": "https://shop.example/hook"})
    return str(made.json["id"])


MATRIX: Final[dict[tuple[str, str], Try]] = {
    ("POST", "/v1/payments"): Try(payment, a_request(reference="theirs"), status=201),
    ("GET", "/v1/payments"): Try(payment),
    ("GET", "/v1/payments/{id}"): Try(payment),
    ("GET", "/v1/payments/{id}/timeline"): Try(paid),
    ("POST", "/v1/payments/{id}/capture"): Try(payment, {}),
    ("POST", "/v1/payments/{id}/cancel"): Try(payment, {}),
    ("POST", "/v1/payments/{id}/fulfilment"): Try(paid, {"what": "sugar"}),
    ("GET", "/v1/events"): Try(event),
    ("POST", "/v1/webhook_endpoints"): Try(endpoint, {"url": "https://shop.example/hook"}, status=201),
    ("GET", "/v1/webhook_endpoints"): Try(endpoint),
    ("DELETE", "/v1/webhook_endpoints/{id}"): Try(endpoint),
}
ROUTES = sorted(MATRIX)


async def test_every_route_under_a_key_is_in_the_matrix(sqlite_shop: Shop) -> None:
    document = (await sqlite_shop.call("GET", "/openapi.json")).json
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation.get("security") != []
    }
    assert described == set(MATRIX)


@pytest.mark.parametrize("stranger", ["another merchant", "the other mode"])
@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(route) for route in ROUTES])
async def test_a_stranger_finds_nothing_and_changes_nothing(shop: Shop, method: str, path: str, stranger: str) -> None:
    tried = MATRIX[method, path]
    secret = shop.other.test_key if stranger == "another merchant" else shop.mine.live_key
    thing = await tried.make(shop)
    before = await all_that_is_mine(shop)
    answer = await shop.call(method, path.replace("{id}", thing) + tried.query, tried.body, secret=secret)
    if "{id}" in path:
        assert (answer.status, answer.code) == (404, "not_found"), answer.body
    else:
        assert answer.status == tried.status, answer.body
        assert thing.encode() not in answer.body
    assert await all_that_is_mine(shop) == before


async def all_that_is_mine(shop: Shop) -> list[object]:
    """What the owner reads on every route without parameters."""
    paths = [path for method, path in ROUTES if method == "GET" and "{" not in path]
    found: list[object] = []
    for path in paths:
        answer = await shop.call("GET", path)
        assert answer.status == 200, answer.body
        found.append(msgspec.json.decode(answer.body))
    return found
