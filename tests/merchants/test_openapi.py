"""The OpenAPI document: valid 3.1, about exactly the routes that there are."""

import re
from typing import Any

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from carriers import base
from merchants.problems import CATALOGUE
from tests.merchants.shop import Shop, open_shop

Json = dict[str, Any]  # Any: JSON.


@pytest.fixture
async def document(sqlite_shop: Shop) -> Json:
    return (await sqlite_shop.send("GET", "/openapi.json")).json


async def test_the_document_is_valid(document: Json) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


async def test_every_route_is_described_and_every_description_is_a_route(sqlite_shop: Shop, document: Json) -> None:
    app = sqlite_shop.client.app
    assert isinstance(app, web.Application)
    routed = {
        (route.method.lower(), route.resource.canonical) for route in app.router.routes() if route.resource is not None
    }
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert routed == described


async def test_every_code_of_the_catalogue_is_named(document: Json) -> None:
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)*", " ".join(_descriptions(document))))
    # These two come before any operation is known.
    assert set(CATALOGUE) - named <= {"malformed_request", "method_not_allowed"}


def _descriptions(document: Json) -> list[str]:
    return [
        response["description"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
    ]


async def test_states_and_types_are_closed_lists(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["PaymentRequest"]["additionalProperties"] is False
    assert set(schemas["PaymentRequest"]["required"]) == {"amount", "currency", "msisdn", "description"}
    assert "succeeded" in schemas["PublicState"]["enum"]
    assert "order.requested" in schemas["EventType"]["enum"]


async def test_open_routes_need_no_key(sqlite_shop: Shop) -> None:
    sqlite_shop.ready["bearer:acme"] = False
    for path in ("/", "/healthz", "/readyz", "/metrics", "/openapi.json"):
        answer = await sqlite_shop.send("GET", path)
        assert (answer.status, answer.headers["Request-Id"][:4]) == (200, "req_")
    sqlite_shop.ready["writer"] = False
    answer = await sqlite_shop.send("GET", "/readyz")
    assert answer.status == 503
    assert answer.json == {"status": "unready", "parts": {"writer": False, "bearer:acme": False}}
    assert (await sqlite_shop.send("GET", "/healthz")).status == 200


async def test_requests_are_counted_by_route_never_by_path(sqlite_shop: Shop) -> None:
    sqlite_shop.seen.clear()
    payment = await sqlite_shop.create()
    await sqlite_shop.read(payment)
    await sqlite_shop.send("GET", "/x/y/z")
    assert sqlite_shop.seen == [
        ("POST", "/v1/payments", 201),
        ("GET", "/v1/payments/{id}", 200),
        ("GET", "unmatched", 404),
    ]


async def test_a_carriers_callback_reaches_its_adapter(sqlite_url: str) -> None:
    seen: list[base.Request] = []

    async def answer(request: base.Request) -> base.Response:
        seen.append(request)
        if request.body == b"full":
            raise base.Overloaded("no room")
        return base.Response(status=202, body=b"<ok/>", content_type="text/xml")

    route = base.Route(method="POST", path="/{attempt}/{token}", answer=answer)
    async with open_shop(sqlite_url, callbacks=(("acme", route),)) as shop:
        taken = await shop.send("POST", "/callbacks/acme/att_1/abc?x=1", b"<xml/>", {"X-Own": "yes"})
        assert (taken.status, taken.body, taken.headers["Content-Type"]) == (202, b"<ok/>", "text/xml")
        full = await shop.send("POST", "/callbacks/acme/att_1/abc", b"full")
        assert (full.status, full.code, "Retry-After" in full.headers) == (503, "overloaded", True)
    assert msgspec.structs.asdict(seen[0]) | {"headers": {}} == {
        "method": "POST",
        "path": "/att_1/abc",
        "query": {"x": "1"},
        "headers": {},
        "body": b"<xml/>",
    }
    assert seen[0].headers["x-own"] == "yes"
