"""The event feed: every event once, in order, without a gap, for its merchant and mode only."""

import asyncio

import msgspec
import pytest

from gateway.core.payment import Rules
from gateway.core.public import API_VERSION, rfc3339
from merchants.shapes import EventPage, PaymentPage, Timeline
from merchants.timeline import STEPS
from tests.merchants.shop import Shop, open_shop
from tests.store.bench import rows


@pytest.mark.money
async def test_the_feed_tells_a_payments_story_in_order(shop: Shop) -> None:
    payment = await shop.succeed()
    await shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", {"what": "sugar"})
    answer = await shop.call("GET", "/v1/events?after_seq=0")
    page = msgspec.json.decode(answer.body, type=EventPage)
    assert [str(event.type) for event in page.data] == [
        "payment.created",
        "payment.asked",
        "payment.confirmed",
        "payment.succeeded",
        "payment.fulfilled",
    ]
    assert [event.seq for event in page.data] == [1, 2, 3, 4, 5]
    assert (page.has_more, page.next_after_seq) == (False, 5)
    assert {event.data["id"] for event in page.data} == {payment["id"]}
    assert "*****" in page.data[0].data["msisdn"]
    assert [event["api_version"] for event in answer.json["data"]] == [API_VERSION] * 5


async def test_a_reader_that_polls_all_the_time_misses_nothing(shop: Shop) -> None:
    seen: list[int] = []

    async def poll() -> None:
        while len(seen) < 40:
            page = (await shop.call("GET", f"/v1/events?after_seq={len(seen)}&limit=7")).json
            seen.extend(event["seq"] for event in page["data"])
            assert page["next_after_seq"] == len(seen)

    await asyncio.gather(poll(), *(shop.create() for _ in range(40)))
    assert seen == list(range(1, 41))


async def test_modes_and_merchants_have_feeds_of_their_own(shop: Shop) -> None:
    await shop.create()
    for secret in (shop.mine.live_key, shop.other.test_key):
        assert (await shop.call("GET", "/v1/events", secret=secret)).json["data"] == []
        body = {"amount": 1, "currency": "KES", "msisdn": "+254700000001", "description": "x"}
        assert (await shop.call("POST", "/v1/payments", body, secret=secret)).status == 201
        assert [event["seq"] for event in (await shop.call("GET", "/v1/events", secret=secret)).json["data"]] == [1]


@pytest.mark.money
async def test_the_timeline_shows_the_nine_steps(shop: Shop) -> None:
    payment = await shop.succeed(reference="o-9")
    await shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", {"what": "sugar", "tracking": "BODA-17"})
    answer = await shop.call("GET", f"/v1/payments/{payment['id']}/timeline")
    timeline = msgspec.json.decode(answer.body, type=Timeline)
    assert [(step.number, step.name, step.who) for step in timeline.steps] == [
        (number, name, who) for number, (name, who) in enumerate(STEPS, 1)
    ]
    assert [step.number for step in timeline.steps if step.at is None] == [2]
    reached = [step.at for step in timeline.steps if step.at is not None]
    assert reached[1:6] == sorted(reached[1:6])
    details = {step.name: step.detail for step in timeline.steps}
    assert "sugar, BODA-17" in details["goods_delivered"]
    assert payment["receipt_ref"] in details["record_written"]
    kinds = {item.kind for item in timeline.items}
    assert kinds == {"transition", "message", "reply", "consent", "attempt", "ledger_entry", "event", "fulfilment"}
    assert [item.at for item in timeline.items] == sorted(item.at for item in timeline.items)


async def test_a_timeline_says_what_has_not_come(shop: Shop) -> None:
    payment = await shop.create(capture="manual", hold="if_supported")
    path = f"/v1/payments/{payment['id']}/timeline"
    steps = (await shop.call("GET", path)).json["steps"]
    assert [step["number"] for step in steps if step["at"]] == [1, 3]
    await shop.ask(payment)
    await shop.reply(payment)
    steps = (await shop.call("GET", path)).json["steps"]
    assert [step["number"] for step in steps if step["at"]] == [1, 3, 4, 5]
    assert "waits" in steps[5]["detail"]


async def test_the_first_of_two_confirmations_reaches_no_step(sqlite_url: str) -> None:
    async with open_shop(sqlite_url, Rules(opt_in="twice")) as shop:
        payment = await shop.create()
        path, seen = f"/v1/payments/{payment['id']}/timeline", []
        for _ in range(2):
            await shop.ask(payment)
            await shop.reply(payment)
            seen.append((await shop.call("GET", path)).json["steps"])
        reached = [[step["number"] for step in steps if step["at"]] for steps in seen]
        assert reached == [[1, 3, 4], [1, 3, 4, 5, 6]] and seen[0][4]["detail"] == "one of two confirmations"
        steps = seen[1]
        [confirmed] = rows(sqlite_url, "SELECT created_at_ms FROM event WHERE type = 'payment.confirmed'")
        assert steps[4]["at"] == steps[5]["at"] == rfc3339(confirmed.created_at_ms)


async def test_a_timeline_never_shows_the_words_of_a_reply(shop: Shop) -> None:
    payment = await shop.create()
    await shop.ask(payment)
    await shop.reply(payment, "No, thanks")
    answer = await shop.call("GET", f"/v1/payments/{payment['id']}/timeline")
    assert b"thanks" not in answer.body
    assert "refuse" in {item["name"] for item in answer.json["items"] if item["kind"] == "reply"}


async def test_answers_have_exactly_their_shape(shop: Shop) -> None:
    await shop.create()
    answer = await shop.call("GET", "/v1/payments")
    assert msgspec.json.encode(msgspec.json.decode(answer.body, type=PaymentPage)) == answer.body
