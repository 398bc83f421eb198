"""Replays: the same ids and bytes once more, one at a time, never beside a delivery that has not ended."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from gateway.engine.lane import NotStarted
from gateway.store import tables
from merchants import replaying
from merchants.deliveries import LADDER_S
from merchants.replay import EVENT_REPLAYS_MAX, RANGE_MAX
from merchants.sending import SILENCES_MAX, SPARED_FOR_S
from merchants.webhooks import WebhookExecutor
from simulators.merchant import Answer, Merchant
from tests.engine.lane_bench import Always
from tests.merchants.hooks import an_endpoint, attempts, deliver, replay
from tests.merchants.shop import Answered, Json, Shop, in_batch


async def replay_event(shop: Shop, event_id: str, **body: str) -> Answered:
    return await shop.call("POST", f"/v1/events/{event_id}/replay", body)


async def replay_range(shop: Shop, endpoint_id: str, after_seq: int, through_seq: int, **body: Any) -> Answered:
    path = f"/v1/webhook_endpoints/{endpoint_id}/replay"
    return await shop.call("POST", path, {"after_seq": after_seq, "through_seq": through_seq, **body})


async def events(shop: Shop) -> list[Json]:
    data: list[Json] = (await shop.call("GET", "/v1/events")).json["data"]
    return data


async def waiting(shop: Shop) -> list[Any]:  # Any: rows of the outbox.
    return list(await shop.reads(lambda conn: conn.execute(select(tables.outbox)).all()))


async def delivered(shop: Shop, executor: WebhookExecutor, count: int) -> list[Json]:
    """So many events, each delivered once."""
    for _ in range(count):
        await shop.create()
        await deliver(shop, executor, shop.take("webhook"))
    return await events(shop)


async def test_an_event_comes_again_with_the_same_id_and_bytes(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    [event] = await delivered(shop, executor, 1)
    answer = await replay_event(shop, event["id"])
    assert (answer.status, answer.json) == (202, {"object": "replay", "endpoint_ids": [endpoint_id], "queued": 1})
    await replay(shop, executor)
    first, second = sink.shown
    assert (first.id, first.body) == (second.id, second.body) and second.verified
    assert [(one["status"], one["tries"]) for one in await attempts(shop, endpoint_id)] == [("delivered", 1)] * 2
    assert [row for row in await waiting(shop) if row.kind != "sms"] == []


async def test_a_replay_that_says_nothing_needs_no_body(sqlite_shop: Shop, sink: Merchant) -> None:
    endpoint_id = await an_endpoint(sqlite_shop, sink)
    await sqlite_shop.create()
    [event] = await events(sqlite_shop)
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}"}
    answer = await sqlite_shop.send("POST", f"/v1/events/{event['id']}/replay", None, headers)
    assert (answer.status, answer.json["endpoint_ids"]) == (202, [endpoint_id])
    document = (await sqlite_shop.send("GET", "/openapi.json")).json["paths"]
    assert document["/v1/events/{id}/replay"]["post"]["requestBody"]["required"] is False
    assert document["/v1/webhook_endpoints/{id}/replay"]["post"]["requestBody"]["required"] is True


async def test_an_event_goes_to_every_endpoint_that_takes_it_or_to_the_one_that_is_named(
    shop: Shop, sink: Merchant
) -> None:
    takes = await an_endpoint(shop, sink, types=["payment.created"])
    takes_all = await an_endpoint(shop, sink)
    takes_not = await an_endpoint(shop, sink, types=["payment.failed"])
    closed = await an_endpoint(shop, sink)
    await shop.call("POST", f"/v1/webhook_endpoints/{closed}", {"disabled": True})
    await shop.create()
    [event] = await events(shop)
    assert (await replay_event(shop, event["id"])).json["endpoint_ids"] == [takes, takes_all]
    assert (await replay_event(shop, event["id"], endpoint_id=takes_not)).json["endpoint_ids"] == [takes_not]
    answer = await replay_event(shop, event["id"], endpoint_id=closed)
    assert (answer.status, answer.code) == (409, "endpoint_disabled")
    answer = await replay_range(shop, closed, 0, 1)
    assert (answer.status, answer.code) == (409, "endpoint_disabled")


async def test_nobody_replays_anothers_event(shop: Shop, sink: Merchant) -> None:
    mine = await an_endpoint(shop, sink)
    await shop.create()
    [event] = await events(shop)
    path = f"/v1/events/{event['id']}/replay"
    for secret in (shop.other.test_key, shop.mine.live_key):
        assert (await shop.call("POST", path, {}, secret=secret)).code == "not_found"
    assert (await replay_event(shop, "evt_1")).code == "not_found"
    theirs = await shop.call("POST", "/v1/webhook_endpoints", {"url": sink.server.url}, secret=shop.other.test_key)
    for name in (theirs.json["id"], "x"):
        assert (await replay_event(shop, event["id"], endpoint_id=name)).code == "not_found"
    assert (await replay_event(shop, event["id"], endpoint_id=mine)).status == 202


async def test_a_stretch_comes_in_the_order_of_the_feed_page_by_page(
    shop: Shop, sink: Merchant, executor: WebhookExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "PAGE_EVENTS_MAX", 3)
    endpoint_id = await an_endpoint(shop, sink)
    before = await delivered(shop, executor, 8)
    sink.reset()
    answer = await replay_range(shop, endpoint_id, 1, 7)
    assert (answer.status, answer.json["queued"]) == (202, 6)
    pages = await replay(shop, executor)
    assert [len(page.tried) for page in pages] == [3, 3, 0]
    assert [arrival.id for arrival in sink.shown] == [event["id"] for event in before[1:7]]
    assert [msgspec.json.decode(arrival.body) for arrival in sink.shown] == before[1:7]


async def test_a_stretch_ends_with_the_newest_event_of_the_request(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    await delivered(shop, executor, 2)
    sink.reset()
    assert (await replay_range(shop, endpoint_id, 0, RANGE_MAX)).json["queued"] == 2
    await delivered(shop, executor, 1)
    await replay(shop, executor)
    assert [arrival.seq for arrival in sink.shown] == [3, 1, 2]
    assert (await replay_range(shop, endpoint_id, 3, 9)).json["queued"] == 0


async def test_types_are_those_of_the_endpoint_or_those_that_are_named(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink, types=["payment.asked"])
    for _ in range(2):
        await shop.ask(await shop.create())
        await deliver(shop, executor, shop.take("webhook"))
    sink.reset()
    assert (await replay_range(shop, endpoint_id, 0, 4)).json["queued"] == 2
    await replay(shop, executor)
    assert (await replay_range(shop, endpoint_id, 0, 4, types=["payment.created"])).json["queued"] == 2
    await replay(shop, executor)
    assert [arrival.type for arrival in sink.shown] == ["payment.asked"] * 2 + ["payment.created"] * 2
    assert (await replay_range(shop, endpoint_id, 0, 4, types=[])).code == "invalid_request"


@pytest.mark.parametrize(("after_seq", "through_seq"), [(0, 0), (5, 4), (0, RANGE_MAX + 1), (-1, 4), (0, 2**53 + 1)])
async def test_a_stretch_has_a_beginning_and_an_end(
    sqlite_shop: Shop, sink: Merchant, after_seq: int, through_seq: int
) -> None:
    endpoint_id = await an_endpoint(sqlite_shop, sink)
    answer = await replay_range(sqlite_shop, endpoint_id, after_seq, through_seq)
    assert (answer.status, answer.code) == (422, "invalid_request")


async def test_one_stretch_at_a_time_goes_to_an_endpoint(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    endpoint_id, other_id = await an_endpoint(shop, sink), await an_endpoint(shop, sink)
    await shop.create()
    assert (await replay_range(shop, endpoint_id, 0, 1)).status == 202
    answer = await replay_range(shop, endpoint_id, 0, 1)
    assert (answer.status, answer.code, answer.json["retryable"]) == (409, "replay_running", True)
    assert (await replay_range(shop, other_id, 0, 1)).status == 202
    await replay(shop, executor)
    assert (await replay_range(shop, endpoint_id, 0, 1)).status == 202


async def test_replays_of_single_events_do_not_pile_up(shop: Shop, sink: Merchant, executor: WebhookExecutor) -> None:
    await an_endpoint(shop, sink)
    other_id = await an_endpoint(shop, sink)
    await shop.create()
    [event] = await events(shop)
    answers = await asyncio.gather(*(replay_event(shop, event["id"], endpoint_id=other_id) for _ in range(40)))
    assert sorted(answer.code for answer in answers) == [""] * EVENT_REPLAYS_MAX + ["replay_running"] * 24
    assert (await replay_event(shop, event["id"])).code == "replay_running"
    assert len([row for row in await waiting(shop) if row.kind == "replay"]) == EVENT_REPLAYS_MAX
    await replay(shop, executor)
    assert (await replay_event(shop, event["id"])).json["queued"] == 2


async def test_replays_to_one_endpoint_share_one_place(shop: Shop, sink: Merchant) -> None:
    await an_endpoint(shop, sink)
    await shop.create()
    fresh = shop.take("webhook")
    [event] = await events(shop)
    await replay_event(shop, event["id"])
    await replay_event(shop, event["id"])
    keys = {row.group_key for row in shop.rows if row.kind == "replay"}
    assert len(keys) == 1 and fresh.group_key not in keys
    assert {row.lane for row in shop.rows if row.kind == "replay"} == {fresh.lane}


async def test_what_waits_for_its_next_try_is_brought_forward_and_not_sent_beside(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    sink.set_answers("/hook", [Answer(kind="status")])
    await shop.create()
    row = shop.take("webhook")
    failed = await deliver(shop, executor, row)
    assert failed.delay_ms is not None
    [event] = await events(shop)
    assert (await replay_event(shop, event["id"])).json["queued"] == 1
    [page] = await replay(shop, executor)
    assert (page.tried, len(sink.shown)) == ([], 1)
    [kept] = [one for one in await waiting(shop) if one.kind == "webhook"]
    assert (kept.id, kept.tries) == (row.id, 1)
    assert kept.due_at_ms <= shop.clock.now_ms() < row.created_at_ms + failed.delay_ms
    await deliver(shop, executor, msgspec.structs.replace(row, tries=1))
    assert [one["tries"] for one in await attempts(shop, endpoint_id)] == [2, 1]


@pytest.mark.parametrize(("epoch", "due_in_ms"), [(7, 60_000), (None, -60_000)], ids=["held", "due"])
async def test_what_leaves_anyhow_is_left_alone(
    shop: Shop, sink: Merchant, executor: WebhookExecutor, epoch: int | None, due_in_ms: int
) -> None:
    await an_endpoint(shop, sink)
    await shop.create()
    row = shop.take("webhook")
    held = {"epoch": epoch, "due_at_ms": row.due_at_ms + due_in_ms}
    await in_batch(
        shop, lambda conn: conn.execute(update(tables.outbox).where(tables.outbox.c.id == row.id).values(held))
    )
    [event] = await events(shop)
    await replay_event(shop, event["id"])
    await replay(shop, executor)
    [kept] = [one for one in await waiting(shop) if one.kind == "webhook"]
    assert (kept.epoch, kept.due_at_ms, len(sink.shown)) == (epoch, held["due_at_ms"], 0)


async def test_an_event_that_fails_in_a_replay_goes_on_by_the_ladder(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    before = await delivered(shop, executor, 3)
    sink.set_answers("/hook", [Answer(kind="status", status=500)])
    await replay_range(shop, endpoint_id, 0, 3)
    [page] = await replay(shop, executor)
    assert [one.outcome.kind for one in page.tried] == ["failed", "delivered", "delivered"]
    row = shop.take("webhook")
    assert (row.tries, row.body["event_id"], row.epoch) == (1, before[0]["id"], None)
    assert row.due_at_ms >= row.created_at_ms + LADDER_S[0] * 1000
    await deliver(shop, executor, row)
    told = await attempts(shop, endpoint_id, event_id=before[0]["id"])
    assert [(one["status"], one["tries"]) for one in told] == [("delivered", 2), ("failed", 1), ("delivered", 1)]
    assert len({arrival.body for arrival in sink.shown if arrival.id == before[0]["id"]}) == 1


async def test_a_replay_waits_for_an_endpoint_that_fell_silent(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    await delivered(shop, executor, 5)
    sink.set_answers("/hook", [Answer(kind="hang", times=9)])
    await replay_range(shop, endpoint_id, 0, 5)
    page = await executor.run(shop.take("replay"), Always())
    assert isinstance(page, replaying.ReplayDone)
    assert [one.event.seq for one in page.tried] == [1, 2, 3] and SILENCES_MAX == 3
    assert page.left is not None and (page.left.after_seq, page.left.through_seq) == (3, 5)
    await shop.do(page)
    later = shop.take("replay")
    assert later.due_at_ms - later.created_at_ms == SPARED_FOR_S * 1000
    assert (await replay_range(shop, endpoint_id, 0, 5)).code == "replay_running"


@pytest.mark.parametrize("how", ["gone", "deleted"])
async def test_a_replay_ends_with_its_endpoint(shop: Shop, sink: Merchant, executor: WebhookExecutor, how: str) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    await delivered(shop, executor, 3)
    sink.reset()
    await replay_range(shop, endpoint_id, 0, 3)
    if how == "gone":
        sink.set_answers("/hook", [Answer(kind="status", status=204), Answer(kind="gone")])
        await replay(shop, executor)
        assert (await shop.call("GET", f"/v1/webhook_endpoints/{endpoint_id}")).json["disabled_at"] is not None
    else:
        await shop.call("DELETE", f"/v1/webhook_endpoints/{endpoint_id}")
        fresh = WebhookExecutor(shop.reads, concurrency=1, development=True)
        await replay(shop, fresh)
        await fresh.close()
    assert len(sink.shown) == (2 if how == "gone" else 0)
    assert [row for row in await waiting(shop) if row.kind == "replay"] == []


async def test_a_page_keeps_its_place_for_a_second_at_most(
    shop: Shop, sink: Merchant, executor: WebhookExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint_id = await an_endpoint(shop, sink)
    await delivered(shop, executor, 5)
    sink.reset()
    await replay_range(shop, endpoint_id, 0, 5)
    ticks = itertools.count(step=replaying.PAGE_S * 0.4)
    monkeypatch.setattr(replaying, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    pages = await replay(shop, executor)
    assert [len(page.tried) for page in pages] == [2, 2, 1]
    assert [arrival.seq for arrival in sink.shown] == [1, 2, 3, 4, 5]


class Ended:
    """A lane's grant that is over."""

    def may_start(self, hard_timeout_s: float) -> bool:
        return False


async def test_a_replay_starts_nothing_without_a_lease_or_a_place(
    shop: Shop, sink: Merchant, executor: WebhookExecutor
) -> None:
    await an_endpoint(shop, sink)
    [event] = await delivered(shop, executor, 1)
    await replay_event(shop, event["id"])
    row = shop.take("replay")
    sink.reset()
    with pytest.raises(NotStarted):
        await executor.run(row, Ended())
    executor._replays._running_max = 0
    with pytest.raises(NotStarted):
        await executor.run(row, Always())
    assert not sink.shown


async def test_a_page_that_two_owners_carried_out_is_recorded_once(
    shop: Shop, sink: Merchant, executor: WebhookExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "PAGE_EVENTS_MAX", 2)
    endpoint_id = await an_endpoint(shop, sink)
    await delivered(shop, executor, 3)
    sink.set_answers("/hook", [Answer(kind="status", times=4)])
    await replay_range(shop, endpoint_id, 0, 3)
    row = shop.take("replay")
    for done in [await executor.run(row, Always()) for _ in range(2)]:
        await shop.do(done)
    assert len(await attempts(shop, endpoint_id, status="failed")) == 2
    assert len([one for one in await waiting(shop) if one.kind == "webhook"]) == 2
    assert [one.id for one in await waiting(shop) if one.kind == "replay"] == [f"{row.id}.1"]
