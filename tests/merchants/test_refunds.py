"""Refunds over HTTP: what a shop asks for, what it is told, what it may not see."""

from typing import Any

import pytest

from carriers import base
from gateway.core.money import Money
from gateway.engine.dispute_jobs import OpenDispute
from gateway.engine.refund_jobs import RefundDone
from tests.merchants.shop import Json, Shop, open_shop


def _refunds(payment: Json) -> str:
    return f"/v1/payments/{payment['id']}/refunds"


async def _answer(shop: Shop, payment: Json, result: base.ChargeResult | None = None) -> None:
    row = shop.take("refund", payment)
    amount = Money(row.body["amount_minor"], row.body["currency"])
    await shop.do(RefundDone(row, result or base.Charged(carrier_reference="op-2", amount=amount)))


async def test_a_part_goes_back_and_then_the_rest(shop: Shop) -> None:
    payment = await shop.succeed()
    part = await shop.call("POST", _refunds(payment), {"amount": 25_000, "reason": "one bag was torn"}, key="r-1")
    assert part.status == 201
    assert (part.json["status"], part.json["amount"], part.json["reason"]) == ("pending", 25_000, "one bag was torn")
    await _answer(shop, payment)
    rest = await shop.call("POST", _refunds(payment), {})
    assert rest.json["amount"] == 100_000
    await _answer(shop, payment)
    found = (await shop.call("GET", _refunds(payment))).json["data"]
    assert [(one["id"], one["status"]) for one in found] == [
        (part.json["id"], "succeeded"),
        (rest.json["id"], "succeeded"),
    ]
    after = await shop.read(payment)
    assert (after["status"], after["amount_captured"], after["amount_refunded"]) == ("succeeded", 125_000, 125_000)
    again = await shop.call("POST", _refunds(payment), {"amount": 25_000, "reason": "one bag was torn"}, key="r-1")
    assert again.body == part.body and again.headers["Idempotent-Replayed"] == "true"


async def test_the_feed_and_the_timeline_tell_it(shop: Shop) -> None:
    payment = await shop.succeed()
    made = (await shop.call("POST", _refunds(payment), {})).json
    await _answer(shop, payment, base.Declined(reason="carrier_declined", detail="too old"))
    events = (await shop.call("GET", f"/v1/events?payment_id={payment['id']}")).json["data"]
    assert [event["type"] for event in events][-2:] == ["refund.created", "refund.failed"]
    told = events[-1]["data"]
    assert told == (await shop.call("GET", f"/v1/refunds/{made['id']}")).json
    assert (told["object"], told["status"], told["failure"]) == ("refund", "failed", "too old")
    items = (await shop.call("GET", f"/v1/payments/{payment['id']}/timeline")).json["items"]
    names = [(item["kind"], item["name"], item["who"]) for item in items]
    assert ("attempt", "refund failed", "carrier") in names
    assert ("transition", "RefundCreated", "merchant") in names and ("transition", "RefundFailed", "carrier") in names


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"amount": 125_001}, "refund_exceeds_payment"),
        ({"amount": 0}, "invalid_request"),
        ({"amount": 1, "reason": "x" * 201}, "invalid_request"),
    ],
)
async def test_what_is_wrong_is_refused(sqlite_shop: Shop, body: Json, code: str) -> None:
    payment = await sqlite_shop.succeed()
    assert (await sqlite_shop.call("POST", _refunds(payment), body)).code == code


async def test_only_what_was_taken_is_refunded(sqlite_shop: Shop) -> None:
    payment = await sqlite_shop.create()
    refused = await sqlite_shop.call("POST", _refunds(payment), {})
    assert (refused.status, refused.code) == (409, "invalid_state")
    assert refused.json["payment_status"] == "pending"


async def test_a_carrier_that_cannot_give_back_is_not_asked_to(sqlite_url: str) -> None:
    capabilities: dict[str, Any] = {"acme": base.Capabilities(client_keyed=True, refund=False, partial_refund=False)}
    async with open_shop(sqlite_url, capabilities=capabilities) as shop:
        payment = await shop.succeed()
        assert (await shop.call("POST", _refunds(payment), {})).code == "refunds_not_supported"


async def test_nobody_else_sees_or_makes_it(sqlite_shop: Shop) -> None:
    payment = await sqlite_shop.succeed()
    made = (await sqlite_shop.call("POST", _refunds(payment), {"amount": 1})).json
    for secret in (sqlite_shop.other.test_key, sqlite_shop.mine.live_key):
        for method, path in (
            ("GET", f"/v1/refunds/{made['id']}"),
            ("GET", _refunds(payment)),
            ("POST", _refunds(payment)),
        ):
            body: Json | None = {} if method == "POST" else None
            assert (await sqlite_shop.call(method, path, body, secret=secret)).code == "not_found", path
    assert (await sqlite_shop.call("GET", "/v1/refunds/nonsense")).code == "not_found"


async def test_a_shop_answers_a_dispute_and_gives_in_to_another(shop: Shop) -> None:
    first, second = await shop.succeed(), await shop.succeed()
    for payment in (first, second):
        await shop.do(OpenDispute(payment_id=payment["id"]))
    assert (await shop.read(first))["amount_disputed"] == 125_000
    assert (await shop.call("POST", _refunds(first), {})).code == "payment_disputed"
    listed = (await shop.call("GET", "/v1/disputes")).json["data"]
    assert [one["payment_id"] for one in listed] == [second["id"], first["id"]]
    gives_in, answers = (f"/v1/disputes/{one['id']}" for one in listed)
    answered = await shop.call("POST", f"{answers}/evidence", {"text": "signed for"}, key="d-1")
    assert (answered.status, answered.json["status"], answered.json["evidence"]) == (200, "under_review", "signed for")
    again = await shop.call("POST", f"{answers}/evidence", {"text": "signed for"}, key="d-1")
    assert again.body == answered.body and again.headers["Idempotent-Replayed"] == "true"
    assert (await shop.call("POST", f"{gives_in}/accept")).json["status"] == "accepted"
    assert (await shop.call("POST", f"{gives_in}/evidence", {"text": "no"})).code == "dispute_closed"
    strange = await shop.call("POST", f"{answers}/accept", secret=shop.other.test_key)
    assert strange.code == "not_found"
    assert [one["amount"] for one in (await shop.call("GET", _refunds(second))).json["data"]] == [125_000]
