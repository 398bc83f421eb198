"""The log of tries: one line for each step of the ladder, newest first, in pages that neither skip nor repeat."""

import itertools

import msgspec
import pytest

from merchants.sending import SILENCES_MAX, SPARED
from merchants.webhooks import WebhookExecutor
from simulators.merchant import Answer, Merchant
from tests.merchants.hooks import an_endpoint, attempts, deliver, tried
from tests.merchants.shop import Shop


async def test_each_try_has_its_line(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="status", status=503), Answer(kind="hang")])
    payment = await shop.create()
    row = shop.take("webhook")
    for tries in range(3):
        await deliver(shop, executor, msgspec.structs.replace(row, tries=tries))
    told = await attempts(shop, endpoint_id)
    assert [(one["tries"], one["status"], one["http_status"]) for one in told] == [
        (3, "delivered", 200),
        (2, "failed", None),
        (1, "failed", 503),
    ]
    assert {one["event_id"] for one in told} == {sink.shown[0].id}
    assert {one["endpoint_id"] for one in told} == {endpoint_id}
    assert told[1]["took_ms"] >= 300 and "time" in told[1]["detail"]
    timeline = (await shop.call("GET", f"/v1/payments/{payment['id']}/timeline")).json
    shown = [(item["name"], item["detail"]) for item in timeline["items"] if item["kind"] == "webhook"]
    assert [name for name, _ in shown] == ["payment.created failed"] * 2 + ["payment.created delivered"]
    assert [f"{endpoint_id}, try {tries}, " in detail for tries, (_, detail) in enumerate(shown, 1)] == [True] * 3
    assert "503" in shown[0][1]


async def test_a_step_that_was_spared_the_wire_is_told_as_such(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="hang", times=SILENCES_MAX)])
    await shop.create()
    row = shop.take("webhook")
    for tries in range(SILENCES_MAX + 1):
        await deliver(shop, executor, msgspec.structs.replace(row, tries=tries))
    assert len(sink.shown) == SILENCES_MAX
    spared = (await attempts(shop, endpoint_id))[0]
    assert (spared["tries"], spared["status"], spared["http_status"]) == (SILENCES_MAX + 1, "failed", None)
    assert (spared["took_ms"], spared["detail"]) == (0, SPARED.detail)


async def test_an_event_that_is_dropped_after_a_try_has_both_lines(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="status")])
    await shop.create()
    row = shop.take("webhook")
    await deliver(shop, executor, row)
    await shop.call("POST", f"/v1/webhook_endpoints/{endpoint_id}", {"disabled": True})
    late = WebhookExecutor(shop.reads, concurrency=1, development=True)
    await deliver(shop, late, msgspec.structs.replace(row, tries=1))
    await late.close()
    told = await attempts(shop, endpoint_id)
    assert sorted((one["status"], one["tries"]) for one in told) == [("failed", 1), ("given_up", 1)]


async def test_pages_neither_skip_nor_repeat(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id, other_id = await an_endpoint(shop, sink), await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="status", times=7)])
    for _ in range(6):
        await shop.create()
    # All in one batch, so that many lines are of one moment.
    done = [await tried(executor, shop.take("webhook")) for _ in range(12)]
    for recorded in [shop.batcher.offer(one) for one in done]:
        await recorded
    for query in ({}, {"status": "failed"}, {"status": "delivered"}):
        whole = await attempts(shop, endpoint_id, limit=100, **query)
        assert len(whole) == 6 if not query else 0 < len(whole) < 6
        assert [(one["at"], one["id"]) for one in whole] == sorted([(o["at"], o["id"]) for o in whole], reverse=True)
        walked: list[str] = []
        after: dict[str, str] = {}
        for _ in itertools.count():
            asked = "&".join(f"{name}={value}" for name, value in {"limit": 2, **query, **after}.items())
            page = (await shop.call("GET", f"/v1/webhook_endpoints/{endpoint_id}/attempts?{asked}")).json
            walked += [one["id"] for one in page["data"]]
            if not page["has_more"]:
                assert page["next"] is None
                break
            after = {"starting_after": page["next"]}
        assert walked == [one["id"] for one in whole]
    assert len(await attempts(shop, other_id)) == 6


async def test_the_log_is_asked_for_one_event(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    for _ in range(3):
        await shop.create()
        await deliver(shop, executor, shop.take("webhook"))
    [told] = await attempts(shop, endpoint_id, event_id=sink.shown[1].id)
    assert told["event_id"] == sink.shown[1].id


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=lost", "status"),
        ("event_id=evt_1", "event_id"),
        ("starting_after=evt_1", "starting_after"),
        ("limit=0", "limit"),
        ("page=2", "page"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    sqlite_shop: Shop, sink: Merchant, query: str, field: str
) -> None:
    endpoint_id = await an_endpoint(sqlite_shop, sink)
    answer = await sqlite_shop.call("GET", f"/v1/webhook_endpoints/{endpoint_id}/attempts?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["errors"][0]["field"] == field
