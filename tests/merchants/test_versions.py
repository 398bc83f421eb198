"""Versions: named by date, pinned to keys, on every answer."""

import pytest
from sqlalchemy import update

from gateway.core.public import API_VERSION
from gateway.store import tables
from merchants.versions import VERSIONS, version_of
from tests.merchants.shop import Shop, in_batch


def test_the_version_of_answers_is_one_that_is_served() -> None:
    assert VERSIONS[-1] == API_VERSION and list(VERSIONS) == sorted(set(VERSIONS))


@pytest.mark.parametrize("pinned", ["", API_VERSION, "2099-01-01"])
def test_a_key_always_has_a_version(pinned: str) -> None:
    assert version_of(None, pinned) in VERSIONS


async def test_every_answer_carries_its_version(sqlite_shop: Shop) -> None:
    payment = await sqlite_shop.create()
    for method, path in (
        *(("GET", "/healthz"), ("GET", "/nothing"), ("PUT", "/v1/events"), ("GET", "/openapi.json")),
        *(("GET", f"/v1/payments/{payment['id']}"), ("GET", "/v1/payments?limit=0"), ("POST", "/v1/payments")),
    ):
        assert (await sqlite_shop.call(method, path)).headers["Gateway-Version"] == API_VERSION, path
    assert (await sqlite_shop.send("GET", "/v1/payments")).headers["Gateway-Version"] == API_VERSION


async def test_a_request_may_name_its_version(sqlite_shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}"}
    for version in VERSIONS:
        answer = await sqlite_shop.send("GET", "/v1/payments", None, {**headers, "Gateway-Version": version})
        assert (answer.status, answer.headers["Gateway-Version"]) == (200, version)


@pytest.mark.parametrize("version", ["2025-01-01", "latest", "", "2026-11-25 ", "2026-11-25, 2026-11-25"])
async def test_a_version_that_is_not_served_is_refused_and_the_others_named(sqlite_shop: Shop, version: str) -> None:
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}", "Gateway-Version": version}
    answer = await sqlite_shop.send("GET", "/v1/payments", None, headers)
    if version.strip() == API_VERSION:  # Blanks around a header's value do not belong to it.
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (400, "unsupported_version")
    assert API_VERSION in answer.json["detail"]


async def test_a_key_from_before_versions_gets_the_oldest(sqlite_shop: Shop) -> None:
    assert (await sqlite_shop.key("payments:read"))["version"] == API_VERSION
    await in_batch(sqlite_shop, lambda conn: conn.execute(update(tables.api_key).values(version="")))
    answer = await sqlite_shop.call("GET", "/v1/payments")
    assert (answer.status, answer.headers["Gateway-Version"]) == (200, VERSIONS[0])
