"""Webhook endpoints: read, changed, taken back after a 410, and given a new secret without a gap."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.engine.clock import wall_ms
from merchants.endpoints import ENDPOINTS_MAX
from merchants.webhooks import WebhookExecutor
from simulators.merchant import Answer, Arrival, Merchant
from tests.merchants.hooks import an_endpoint, deliver, tried
from tests.merchants.shop import Json, Shop

DAY_S = 86_400


async def read(shop: Shop, endpoint_id: str) -> Json:
    answer = await shop.call("GET", f"/v1/webhook_endpoints/{endpoint_id}")
    assert answer.status == 200
    return answer.json


async def change(shop: Shop, endpoint_id: str, **fields: object) -> Json:
    answer = await shop.call("POST", f"/v1/webhook_endpoints/{endpoint_id}", fields)
    assert answer.status == 200, answer.body
    return answer.json


async def test_an_endpoint_is_read_without_its_secret(shop: Shop, sink: Merchant) -> None:
    endpoint_id = await an_endpoint(shop, sink, types=["payment.failed"])
    shown = await read(shop, endpoint_id)
    assert shown["types"] == ["payment.failed"]
    assert (shown["disabled_at"], shown["previous_secret_until"], "secret" in shown) == (None, None, False)
    assert (await shop.call("GET", "/v1/webhook_endpoints")).json["data"] == [shown]


async def test_what_is_left_out_stays_as_it_is(shop: Shop, sink: Merchant) -> None:
    endpoint_id = await an_endpoint(shop, sink, types=["payment.failed"])
    before = await read(shop, endpoint_id)
    assert await change(shop, endpoint_id) == before
    url = f"{sink.server.url}/other"
    assert await change(shop, endpoint_id, url=url) == {**before, "url": url}
    types = ["payment.asked", "payment.created"]
    after = await change(shop, endpoint_id, types=[*reversed(types), types[0]])
    assert after == {**before, "url": url, "types": types}
    assert await change(shop, endpoint_id, types=[]) == {**after, "types": []}
    assert await read(shop, endpoint_id) == {**after, "types": []}


async def test_a_change_counts_from_the_next_event_on(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id = await an_endpoint(shop, sink, types=["payment.failed"])
    await shop.create()
    assert not [row for row in shop.rows if row.kind == "webhook"]
    await change(shop, endpoint_id, types=[], url=f"{sink.server.url}/moved")
    await shop.create()
    await deliver(shop, executor, shop.take("webhook"))
    assert [arrival.path for arrival in sink.shown] == ["/moved"]


async def test_an_endpoint_that_said_410_is_taken_back(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="gone")])
    await shop.create()
    await deliver(shop, executor, shop.take("webhook"))
    since = (await read(shop, endpoint_id))["disabled_at"]
    assert since is not None
    assert (await change(shop, endpoint_id, disabled=True))["disabled_at"] == since, "the first time counts"
    assert (await change(shop, endpoint_id, disabled=False))["disabled_at"] is None
    await shop.create()
    assert [row.kind for row in shop.rows].count("webhook") == 1


async def test_an_endpoint_is_disabled_at_will(shop: Shop, sink: Merchant) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    assert (await change(shop, endpoint_id, disabled=True))["disabled_at"] is not None
    await shop.create()
    assert not [row for row in shop.rows if row.kind == "webhook"]


@pytest.mark.parametrize("path", ["", "/rotate_secret", "/replay", "/attempts"])
async def test_nobody_reaches_anothers_endpoint(sqlite_shop: Shop, sink: Merchant, path: str) -> None:
    endpoint_id = await an_endpoint(sqlite_shop, sink)
    body = {"after_seq": 0, "through_seq": 1} if path == "/replay" else {}
    method = "GET" if path == "/attempts" else "POST"
    for secret in (sqlite_shop.other.test_key, sqlite_shop.mine.live_key):
        for name in (endpoint_id, "we_1", "x"):
            where = f"/v1/webhook_endpoints/{name}{path}"
            answer = await sqlite_shop.call(method, where, None if method == "GET" else body, secret=secret)
            assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    "body", [{"url": ""}, {"url": None}, {"types": ["payment.paid"]}, {"disabled": "no"}, {"secret": "whsec_AAAA"}]
)
async def test_a_change_that_makes_no_sense_is_refused(sqlite_shop: Shop, sink: Merchant, body: Json) -> None:
    endpoint_id = await an_endpoint(sqlite_shop, sink)
    answer = await sqlite_shop.call("POST", f"/v1/webhook_endpoints/{endpoint_id}", body)
    assert (answer.status, answer.code) == (422, "invalid_request")


async def test_requests_of_one_moment_make_no_more_endpoints_than_may_be(shop: Shop, sink: Merchant) -> None:
    body = {"url": sink.server.url}
    answers = await asyncio.gather(
        *(shop.call("POST", "/v1/webhook_endpoints", body) for _ in range(ENDPOINTS_MAX + 4))
    )
    assert sorted(answer.status for answer in answers) == [201] * ENDPOINTS_MAX + [409] * 4


class Rotating:
    """An endpoint, its secrets so far, and what its next event is signed with."""

    def __init__(self, shop: Shop, sink: Merchant, endpoint_id: str) -> None:
        self.shop, self.sink, self.endpoint_id = shop, sink, endpoint_id

    async def rotate(self, **fields: int) -> tuple[str, Json]:
        path = f"/v1/webhook_endpoints/{self.endpoint_id}/rotate_secret"
        answer = await self.shop.call("POST", path, fields)
        assert answer.status == 200, answer.body
        return str(answer.json["secret"]), answer.json

    async def signed_by(self, *secrets: str, after_s: float = 0) -> list[bool]:
        """Whether the library of the simulators' merchant takes an event with each of *secrets*."""
        now_ms: Callable[[], int] = lambda: wall_ms() + int(after_s * 1000)  # noqa: E731 - a clock
        await self.shop.create()
        row = self.shop.take("webhook")
        async with self._executor(now_ms) as executor:
            arrivals: list[Arrival] = []
            for secret in secrets:
                self.sink.set_secrets("/hook", [secret])
                assert (await tried(executor, row)).outcome.kind == "delivered"
                arrivals.append(self.sink.shown[-1])
        return [arrival.verified for arrival in arrivals]

    @asynccontextmanager
    async def _executor(self, now_ms: Callable[[], int]) -> AsyncIterator[WebhookExecutor]:
        executor = WebhookExecutor(self.shop.reads, concurrency=1, development=True, wall_ms=now_ms)
        yield executor
        await executor.close()


@pytest.fixture
async def rotating(shop: Shop, sink: Merchant) -> tuple[Rotating, str]:
    answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": f"{sink.server.url}/hook"})
    return Rotating(shop, sink, answer.json["id"]), str(answer.json["secret"])


async def test_for_a_while_the_old_secret_signs_beside_the_new_one(rotating: tuple[Rotating, str]) -> None:
    endpoint, old = rotating
    new, shown = await endpoint.rotate(overlap_s=60)
    assert new != old and shown["previous_secret_until"] is not None
    assert await endpoint.signed_by(new, old) == [True, True]
    assert await endpoint.signed_by(new, old, after_s=61) == [True, False]
    assert "secret" not in await read(endpoint.shop, endpoint.endpoint_id), "it is shown once"


async def test_without_an_overlap_the_old_secret_ends_at_once(rotating: tuple[Rotating, str]) -> None:
    endpoint, old = rotating
    new, shown = await endpoint.rotate(overlap_s=0)
    assert shown["previous_secret_until"] is None
    assert await endpoint.signed_by(new, old) == [True, False]


async def test_two_secrets_sign_at_most(rotating: tuple[Rotating, str]) -> None:
    endpoint, first = rotating
    second, _ = await endpoint.rotate()
    third, _ = await endpoint.rotate()
    assert await endpoint.signed_by(third, second, first) == [True, True, False]


async def test_an_overlap_is_a_day_if_nothing_is_said_and_seven_at_most(rotating: tuple[Rotating, str]) -> None:
    endpoint, _ = rotating
    before_ms = endpoint.shop.clock.now_ms()
    await endpoint.rotate()
    [row] = await endpoint.shop.reads(lambda conn: conn.exec_driver_sql("SELECT * FROM webhook_endpoint").all())
    assert 0 <= row.previous_until_ms - before_ms - DAY_S * 1000 < 60_000
    path = f"/v1/webhook_endpoints/{endpoint.endpoint_id}/rotate_secret"
    for overlap_s in (-1, 7 * DAY_S + 1, 1.5, "60"):
        answer = await endpoint.shop.call("POST", path, {"overlap_s": overlap_s})
        assert (answer.status, answer.code) == (422, "invalid_request")
