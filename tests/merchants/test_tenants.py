"""Nobody sees or changes another's things: every route of the OpenAPI document with another merchant's ids.

The matrix below says for each route what a stranger might try; a route that is missing from it fails the first test.
The same is tried with the merchant's own key of the other mode.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import pytest

from gateway.engine.dispute_jobs import OpenDispute
from tests.merchants.settled import settled
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


async def refund(shop: Shop) -> str:
    return str((await shop.call("POST", f"/v1/payments/{await paid(shop)}/refunds", {})).json["id"])


async def dispute(shop: Shop) -> str:
    await shop.do(OpenDispute(payment_id=await paid(shop)))
    return str((await shop.call("GET", "/v1/disputes")).json["data"][0]["id"])


async def event(shop: Shop) -> str:
    await shop.create()
    return str((await shop.call("GET", "/v1/events")).json["data"][-1]["id"])


async def endpoint(shop: Shop) -> str:
    made = await shop.call("POST", "/v1/webhook_endpoints", {"url": "https://shop.example/hook"})
    return str(made.json["id"])


async def key(shop: Shop) -> str:
    return str((await shop.key("payments:read"))["id"])


async def export(shop: Shop) -> str:
    return str((await shop.call("POST", "/v1/exports", {"kind": "payments"})).json["id"])


async def item(shop: Shop) -> str:
    return str((await shop.call("POST", "/v1/items", AN_ITEM)).json["id"])


async def pay_code(shop: Shop) -> str:
    return str((await shop.call("POST", "/v1/pay_codes", A_PAY_CODE)).json["id"])


AN_ITEM: Final = {"number": "12", "name": "Sugar 2kg", "price": 32_000, "currency": "KES"}
A_PAY_CODE: Final = {"amount": 10_000, "currency": "KES", "description": "Bus ticket"}


async def request(shop: Shop) -> str:
    answer = await shop.call("POST", "/v1/payments", a_request())
    await shop.noted()
    return answer.headers["Request-Id"]


async def balance(shop: Shop) -> str:
    """The sum is the thing that a stranger must not see."""
    await shop.succeed(amount=987_654)
    return "987654"


async def a_statement(shop: Shop) -> str:
    return await settled(shop, 987_654)


async def a_payout(shop: Shop) -> str:
    await settled(shop, 987_654)
    return str((await shop.call("GET", "/v1/payouts")).json["data"][0]["id"])


async def phone(shop: Shop) -> str:
    return str((await shop.create(msisdn=SHARED))["id"])


SHARED: Final = "+254700199199"
"""A phone that buys at several shops."""

MATRIX: Final[dict[tuple[str, str], Try]] = {
    ("POST", "/v1/payments"): Try(payment, a_request(reference="theirs"), status=201),
    ("GET", "/v1/payments"): Try(payment),
    ("GET", "/v1/payments/{id}"): Try(payment),
    ("GET", "/v1/payments/{id}/timeline"): Try(paid),
    ("GET", "/v1/payments/{id}/fees"): Try(paid),
    ("POST", "/v1/payments/{id}/capture"): Try(payment, {}),
    ("POST", "/v1/payments/{id}/cancel"): Try(payment, {}),
    ("POST", "/v1/payments/{id}/fulfilment"): Try(paid, {"what": "sugar"}),
    ("POST", "/v1/payments/{id}"): Try(payment, {"metadata": {"a": "b"}}),
    ("POST", "/v1/payments/{id}/refunds"): Try(paid, {}),
    ("GET", "/v1/payments/{id}/refunds"): Try(paid),
    ("GET", "/v1/refunds/{id}"): Try(refund),
    ("GET", "/v1/disputes"): Try(dispute),
    ("POST", "/v1/disputes/{id}/evidence"): Try(dispute, {"text": "signed for"}),
    ("POST", "/v1/disputes/{id}/accept"): Try(dispute, {}),
    ("POST", "/v1/consumer_records/search"): Try(phone, {"msisdn": SHARED}),
    ("POST", "/v1/items"): Try(item, AN_ITEM, status=201),
    ("GET", "/v1/items"): Try(item),
    ("GET", "/v1/items/{id}"): Try(item),
    ("PATCH", "/v1/items/{id}"): Try(item, {"price": 1}),
    ("DELETE", "/v1/items/{id}"): Try(item),
    ("POST", "/v1/pay_codes"): Try(pay_code, A_PAY_CODE, status=201),
    ("GET", "/v1/pay_codes"): Try(pay_code),
    ("GET", "/v1/pay_codes/{id}"): Try(pay_code),
    ("DELETE", "/v1/pay_codes/{id}"): Try(pay_code),
    ("GET", "/v1/balance"): Try(balance),
    ("GET", "/v1/payouts"): Try(a_payout),
    ("GET", "/v1/statements"): Try(a_statement),
    ("GET", "/v1/statements/{id}"): Try(a_statement),
    ("GET", "/v1/statements/{id}/csv"): Try(a_statement),
    ("GET", "/v1/statements/{id}/pdf"): Try(a_statement),
    ("POST", "/v1/exports"): Try(export, {"kind": "payments"}, status=202),
    ("GET", "/v1/exports"): Try(export),
    ("GET", "/v1/exports/{id}"): Try(export),
    ("GET", "/v1/exports/{id}/content"): Try(export),
    ("DELETE", "/v1/exports/{id}"): Try(export),
    ("GET", "/v1/api_keys"): Try(key),
    ("POST", "/v1/api_keys"): Try(key, {"name": "till", "scopes": ["payments:write"]}, status=201),
    ("POST", "/v1/api_keys/{id}/rotate"): Try(key, {}),
    ("DELETE", "/v1/api_keys/{id}"): Try(key),
    ("GET", "/v1/requests"): Try(request),
    ("GET", "/v1/requests/{id}"): Try(request),
    ("GET", "/v1/events"): Try(event),
    ("POST", "/v1/events/{id}/replay"): Try(event, {}),
    ("POST", "/v1/webhook_endpoints"): Try(endpoint, {"url": "https://shop.example/hook"}, status=201),
    ("GET", "/v1/webhook_endpoints"): Try(endpoint),
    ("GET", "/v1/webhook_endpoints/{id}"): Try(endpoint),
    ("POST", "/v1/webhook_endpoints/{id}"): Try(endpoint, {"disabled": True}),
    ("DELETE", "/v1/webhook_endpoints/{id}"): Try(endpoint),
    ("POST", "/v1/webhook_endpoints/{id}/rotate_secret"): Try(endpoint, {}),
    ("POST", "/v1/webhook_endpoints/{id}/replay"): Try(endpoint, {"after_seq": 0, "through_seq": 1}),
    ("GET", "/v1/webhook_endpoints/{id}/attempts"): Try(endpoint),
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


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(route) for route in ROUTES])
async def test_a_stranger_finds_nothing_and_changes_nothing(shop: Shop, method: str, path: str) -> None:
    tried = MATRIX[method, path]
    thing = await tried.make(shop)
    before = await all_that_is_mine(shop)
    for secret in (shop.other.test_key, shop.mine.live_key):
        answer = await shop.call(method, path.replace("{id}", thing) + tried.query, tried.body, secret=secret)
        if "{id}" in path:
            assert (answer.status, answer.code) == (404, "not_found"), answer.body
        else:
            assert answer.status == tried.status, answer.body
            assert thing.encode() not in answer.body
    assert await all_that_is_mine(shop) == before


async def all_that_is_mine(shop: Shop) -> list[object]:
    """What the owner reads on every route without parameters, but the log, and the times that say when it was read."""
    paths = [path for method, path in ROUTES if method == "GET" and "{" not in path and path != "/v1/requests"]
    found: list[object] = []
    for path in paths:
        answer = await shop.call("GET", path)
        assert answer.status == 200, answer.body
        things = [{**thing, "last_used_at": None} for thing in answer.json.get("data", ())]
        found.append({**answer.json, "data": things, "as_of": None})
    return found
