"""Webhooks: signed so that a stranger's library agrees, the same bytes on every try, given up after three days."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import OperationalError

from gateway.engine.lane import NotStarted
from gateway.http_client import HttpAnswer, NoAnswer
from gateway.store.outbox import OutboxRow
from merchants.deliveries import LADDER_S, Outcome, next_delay_ms
from merchants.sending import SILENCES_MAX, SPARED, SPARED_FOR_S, Silences
from merchants.webhooks import WebhookExecutor
from simulators.merchant import Answer, Merchant
from tests.engine.lane_bench import Always
from tests.merchants.hooks import an_endpoint, deliver, deliveries, tried
from tests.merchants.shop import Shop


async def test_an_event_arrives_signed_and_as_it_stands_in_the_feed(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    await an_endpoint(shop, sink)
    payment = await shop.create()
    done = await deliver(shop, executor, shop.take("webhook"))
    assert done.outcome.kind == "delivered"
    [arrival] = sink.shown
    assert (arrival.verified, arrival.why_not, arrival.type) == (True, "", "payment.created")
    [event] = (await shop.call("GET", "/v1/events")).json["data"]
    assert msgspec.json.decode(arrival.body) == event
    assert arrival.id == event["id"]
    assert await deliveries(shop, payment["id"]) == [("delivered", 1)]


async def test_an_inherited_row_carries_the_same_bytes(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    await an_endpoint(shop, sink)
    await shop.create()
    row = shop.take("webhook")
    await tried(executor, row)
    await tried(executor, msgspec.structs.replace(row, payload=None, maybe_sent=True))
    first, second = sink.shown
    assert (first.body, first.id) == (second.body, second.id)
    assert second.verified


async def test_only_the_wanted_types_are_sent(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    await an_endpoint(shop, sink, types=["payment.asked"])
    payment = await shop.create()
    await shop.ask(payment)
    assert [row.kind for row in shop.rows].count("webhook") == 1
    await deliver(shop, executor, shop.take("webhook"))
    assert sink.shown[0].type == "payment.asked"


@pytest.mark.parametrize(
    "answer", [Answer(kind="status", status=500), Answer(kind="status", status=302), Answer(kind="hang")]
)
async def test_a_failed_try_is_made_again_with_the_same_bytes(
    shop: Shop, sink: Merchant, executor: WebhookExecutor, answer: Answer
) -> None:
    await an_endpoint(shop, sink)
    sink.set_answers("/hook", [answer])
    payment = await shop.create()
    row = shop.take("webhook")
    failed = await deliver(shop, executor, row)
    assert failed.outcome.kind == "failed"
    assert failed.delay_ms is not None and 5_000 <= failed.delay_ms <= 5_500
    assert await deliveries(shop, payment["id"]) == [("failed", 1)]
    timeline = (await shop.call("GET", f"/v1/payments/{payment['id']}/timeline")).json
    assert "payment.created will be tried again" in {item["name"] for item in timeline["items"]}
    await deliver(shop, executor, msgspec.structs.replace(row, tries=1, payload=None))
    first, second = sink.shown
    assert (first.id, first.body) == (second.id, second.body)
    assert await deliveries(shop, payment["id"]) == [("failed", 1), ("delivered", 2)]


async def test_410_disables_the_endpoint(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="gone")])
    payment = await shop.create()
    await deliver(shop, executor, shop.take("webhook"))
    [endpoint] = (await shop.call("GET", "/v1/webhook_endpoints")).json["data"]
    assert (endpoint["id"], endpoint["disabled_at"] is not None, "secret" in endpoint) == (endpoint_id, True, False)
    assert await deliveries(shop, payment["id"]) == [("given_up", 1)]
    await shop.create()
    assert [row.kind for row in shop.rows].count("webhook") == 0


async def test_a_deleted_endpoint_gets_nothing_more(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    payment = await shop.create()
    assert (await shop.call("DELETE", f"/v1/webhook_endpoints/{endpoint_id}")).json == {
        "id": endpoint_id,
        "deleted": True,
    }
    assert (await shop.call("DELETE", f"/v1/webhook_endpoints/{endpoint_id}")).status == 404
    await deliver(shop, executor, shop.take("webhook"))
    assert not sink.shown
    assert await deliveries(shop, payment["id"]) == [("given_up", 0)]


async def test_the_ladder_ends_after_three_days(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    assert 75 * 3600 < sum(LADDER_S) < 76 * 3600
    await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="status", times=2)])
    payment = await shop.create()
    row = shop.take("webhook")
    before = await tried(executor, msgspec.structs.replace(row, tries=len(LADDER_S) - 1))
    assert before.delay_ms is not None and before.delay_ms >= LADDER_S[-1] * 1000
    last = msgspec.structs.replace(row, tries=len(LADDER_S))
    assert (await deliver(shop, executor, last)).delay_ms is None
    assert await deliveries(shop, payment["id"]) == [("given_up", 10)]


async def test_an_endpoint_belongs_to_its_merchant_and_mode(shop: Shop, sink: Merchant) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    for secret in (shop.other.test_key, shop.mine.live_key):
        assert (await shop.call("GET", "/v1/webhook_endpoints", secret=secret)).json["data"] == []
        answer = await shop.call("DELETE", f"/v1/webhook_endpoints/{endpoint_id}", secret=secret)
        assert (answer.status, answer.code) == (404, "not_found")
    assert len((await shop.call("GET", "/v1/webhook_endpoints")).json["data"]) == 1


async def test_there_are_sixteen_endpoints_at_most(shop: Shop, sink: Merchant) -> None:
    for _ in range(16):
        await an_endpoint(shop, sink)
    answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": sink.server.url})
    assert (answer.status, answer.code) == (409, "too_many_endpoints")


class Never:
    """A client that must not be called, or answers once it is."""

    def __init__(self, answers: list[int] | None = None) -> None:
        self.answers = answers or []
        self.connected: list[tuple[str, int] | None] = []

    async def request(self, method: str, url: str, **options: Any) -> HttpAnswer:  # Any: see `Client`.
        self.connected.append(options["connect_to"])
        if not self.answers:
            raise NoAnswer("nobody was to be called")
        return HttpAnswer(self.answers.pop(), {"retry-after": "7200"}, b"")

    async def close(self) -> None:
        pass


async def a_row(shop: Shop, url: str) -> OutboxRow:
    answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": url})
    assert answer.status == 201, answer.body
    await shop.create()
    return shop.take("webhook")


PRIVATE = [
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
    *(
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "2001:0:0:0:0:0:80ff:fffe",
    ),
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_points_inside_is_never_called(sqlite_shop: Shop, address: str) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["93.184.215.14", address]

    client = Never()
    executor = WebhookExecutor(sqlite_shop.reads, concurrency=1, development=False, client=client, lookup=lookup)
    done = await tried(executor, await a_row(sqlite_shop, "https://shop.example/hook"))
    assert (done.outcome.kind, client.connected) == ("failed", [])
    assert "public" in done.outcome.detail


async def test_the_checked_address_is_the_one_that_is_called(sqlite_shop: Shop) -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])

    async def lookup(host: str, port: int) -> list[str]:
        return next(answers)  # A second look would find the rebound name.

    client = Never([503, 204])
    executor = WebhookExecutor(sqlite_shop.reads, concurrency=1, development=False, client=client, lookup=lookup)
    row = await a_row(sqlite_shop, "https://shop.example/hook")
    assert (await tried(executor, row)).outcome.kind == "delivered"
    busy = await tried(executor, row)
    assert client.connected == [("93.184.215.14", 443)] * 2
    assert busy.delay_ms is not None and busy.delay_ms >= 7_200_000


async def test_a_name_that_nobody_knows_is_tried_again(sqlite_shop: Shop) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    executor = WebhookExecutor(sqlite_shop.reads, concurrency=1, development=False, client=Never(), lookup=lookup)
    done = await tried(executor, await a_row(sqlite_shop, "https://shop.example/hook"))
    assert (done.outcome.kind, done.delay_ms is None) == ("failed", False)


URLS = [
    "http://shop.example/",
    "ftp://shop.example/",
    "https://shop.example:22/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://169.254.169.254/latest",
    "https://localhost/",
    "https://db.internal/",
    "https://user:pass@shop.example/",
    "https://shop.example/#x",
    "https://shop.example:99999/",
    "https:///hook",
    "//shop.example",
    "https://shop.example/a b",
    "https://shop.example/\u0436",
    "https://shop.example/\n",
    "javascript:alert(1)",
    "",
]


@pytest.mark.parametrize("url", URLS)
async def test_a_link_that_may_not_be_called_is_refused_at_once(
    open_for_strangers: Callable[[], Any], url: str
) -> None:
    async with open_for_strangers() as shop:
        answer = await shop.call("POST", "/v1/webhook_endpoints", {"url": url})
        assert (answer.status, answer.code) == (422, "invalid_request")
        assert answer.json["errors"][0]["field"] == "url"
        assert (
            await shop.call("POST", "/v1/webhook_endpoints", {"url": "https://shop.example:8443/h?a=b"})
        ).status == 201


async def test_unknown_types_are_refused(sqlite_shop: Shop) -> None:
    for types in (["payment.paid"], "payment.created", [1]):
        body = {"url": "https://shop.example/", "types": types}
        assert (await sqlite_shop.call("POST", "/v1/webhook_endpoints", body)).code == "invalid_request"


def test_every_pause_of_the_ladder_is_longer_than_the_one_before() -> None:
    assert all(shorter < longer for shorter, longer in itertools.pairwise(LADDER_S))


def test_what_was_spared_comes_again_when_its_endpoint_is_tried_again() -> None:
    delays_ms = [next_delay_ms(tries, SPARED) or 0 for tries in range(3)]
    assert SPARED_FOR_S * 1000 <= delays_ms[0] < 2 * SPARED_FOR_S * 1000 < delays_ms[1] < delays_ms[2]


def test_an_endpoint_that_never_answers_is_spared_for_a_while() -> None:
    now_s = 100.0
    silences = Silences(lambda: now_s)
    silent, heard = (
        Outcome(kind="failed", detail="time-out", is_silence=True),
        Outcome(kind="failed", detail="status 500"),
    )
    for _ in range(SILENCES_MAX - 1):
        silences.note("we_1", silent)
    assert not silences.is_spared("we_1")
    silences.note("we_1", silent)
    assert silences.is_spared("we_1") and not silences.is_spared("we_2")
    now_s += SPARED_FOR_S
    assert not silences.is_spared("we_1")
    silences.note("we_1", silent)
    assert silences.is_spared("we_1"), "one try is enough to see that it is still silent"
    silences.note("we_1", heard)
    assert not silences.is_spared("we_1")


async def test_a_database_that_cannot_be_read_gives_nothing_up(sqlite_shop: Shop) -> None:
    async def unreadable(fn: Any) -> Any:  # Any: see `ReadsPort`.
        raise OperationalError("SELECT", {}, Exception("gone away"))

    row = await a_row(sqlite_shop, "http://127.0.0.1/")
    executor = WebhookExecutor(unreadable, concurrency=1, development=True, client=Never())
    with pytest.raises(NotStarted):
        await executor.run(row, Always())
