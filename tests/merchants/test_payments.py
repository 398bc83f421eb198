"""Payments over HTTP: made once whatever is repeated, seen by their merchant only, changed as their state allows."""

import asyncio
from typing import Any

import pytest

from carriers import base
from tests.merchants.shop import Shop, a_number, a_request


async def test_a_request_is_answered_with_the_payment(shop: Shop) -> None:
    phone = a_number()
    answer = await shop.call("POST", "/v1/payments", a_request(msisdn=phone, reference="o-1", metadata={"till": "3"}))
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Request-Id"].startswith("req_")
    payment = answer.json
    assert (payment["status"], payment["msisdn"], payment["carrier"]) == ("pending", phone, "acme")
    assert (payment["amount"], payment["currency"], payment["metadata"]) == (125000, "KES", {"till": "3"})
    assert shop.take("sms", payment).body["template"] == "ask"
    read = await shop.read(payment)
    assert read == {**payment, "msisdn": f"{phone[:4]}*****{phone[-3:]}"}


async def test_the_same_key_again_gives_the_same_bytes(shop: Shop) -> None:
    body = a_request()
    first = await shop.call("POST", "/v1/payments", body, key="k")
    await shop.ask(first.json)
    again = await shop.call("POST", "/v1/payments", dict(reversed(body.items())), key="k")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers


@pytest.mark.parametrize("other", [{"amount": 1}, {"description": "3 kg sugar"}, {"metadata": {"a": "b"}}])
async def test_the_same_key_with_another_body_is_refused(shop: Shop, other: dict[str, Any]) -> None:
    body = a_request()
    await shop.call("POST", "/v1/payments", body, key="k")
    answer = await shop.call("POST", "/v1/payments", {**body, **other}, key="k")
    assert (answer.status, answer.code) == (422, "idempotency_mismatch")


async def test_a_default_that_is_written_out_is_the_same_body(shop: Shop) -> None:
    body = a_request()
    first = await shop.call("POST", "/v1/payments", body, key="k")
    again = await shop.call("POST", "/v1/payments", {**body, "capture": "automatic", "expires_in_s": 600}, key="k")
    assert again.body == first.body


async def test_a_key_means_something_only_to_its_merchant_and_mode(shop: Shop) -> None:
    body = a_request()
    keys = (shop.mine.test_key, shop.mine.live_key, shop.other.test_key)
    answers = [await shop.call("POST", "/v1/payments", body, key="k", secret=secret) for secret in keys]
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert len({answer.json["id"] for answer in answers}) == 3
    assert [answer.json["carrier"] for answer in answers] == ["acme", "real", "acme"]


async def test_fifty_requests_at_once_under_one_key_make_one_payment(shop: Shop) -> None:
    body = a_request()
    answers = await asyncio.gather(*(shop.call("POST", "/v1/payments", body, key="k") for _ in range(50)))
    assert {answer.body for answer in answers} == {answers[0].body}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len((await shop.call("GET", "/v1/payments")).json["data"]) == 1


async def test_a_live_reference_is_used_once(shop: Shop) -> None:
    first = await shop.create(reference="order-7")
    answer = await shop.call("POST", "/v1/payments", a_request(reference="order-7"))
    assert (answer.status, answer.code, answer.json["payment_id"]) == (409, "reference_in_use", first["id"])
    assert (await shop.call("POST", f"/v1/payments/{first['id']}/cancel")).status == 200
    assert (await shop.create(reference="order-7"))["id"] != first["id"]


ROUTES = [
    ("GET", "/v1/payments/{}", None),
    ("GET", "/v1/payments/{}/timeline", None),
    ("POST", "/v1/payments/{}/capture", None),
    ("POST", "/v1/payments/{}/cancel", None),
    ("POST", "/v1/payments/{}/fulfilment", {"what": "sugar"}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[path for _, path, _ in ROUTES])
async def test_nobody_sees_or_moves_anothers_payment(shop: Shop, method: str, path: str, body: Any) -> None:
    payment = await shop.create()
    for secret in (shop.other.test_key, shop.mine.live_key):
        answer = await shop.call(method, path.format(payment["id"]), body, secret=secret)
        assert (answer.status, answer.code) == (404, "not_found")
    assert (await shop.read(payment))["status"] == "pending"
    assert (await shop.call("GET", "/v1/payments", secret=shop.other.test_key)).json["data"] == []


@pytest.mark.parametrize(
    "wrong", ["pay_", "x", "pay_00000000000000000000000000", "evt_01ktz1c4hvf6mvd3gcn4e8xq2m", "%00"]
)
async def test_an_id_that_is_none_is_not_found(sqlite_shop: Shop, wrong: str) -> None:
    for method, path, body in ROUTES:
        answer = await sqlite_shop.call(method, path.format(wrong), body)
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.money
async def test_a_payment_goes_the_whole_way(shop: Shop) -> None:
    payment = await shop.succeed()
    assert (payment["status"], payment["reason"]) == ("succeeded", None)
    body = {"what": "2 kg sugar", "when": "2026-11-23T10:15:30+03:00", "tracking": "BODA-17"}
    answer = await shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", body, key="f")
    assert (answer.status, answer.json["fulfilled_at"] is not None) == (200, True)
    again = await shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", body, key="f")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (answer.body, "true")
    other = await shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", body, key="g")
    assert (other.status, other.code) == (409, "already_fulfilled")


@pytest.mark.money
async def test_a_manual_payment_waits_for_its_capture(shop: Shop) -> None:
    payment = await shop.create(capture="manual", hold="if_supported")
    path = f"/v1/payments/{payment['id']}/capture"
    early = await shop.call("POST", path)
    assert (early.status, early.code, early.json["payment_status"]) == (409, "invalid_state", "pending")
    await shop.ask(payment)
    await shop.reply(payment)
    assert (await shop.read(payment))["status"] == "authorized"
    captured = await shop.call("POST", path, key="c")
    assert (captured.status, captured.json["status"]) == (202, "processing")
    await shop.charge(payment)
    replayed = await shop.call("POST", path, key="c")
    assert (replayed.status, replayed.body) == (202, captured.body)
    late = await shop.call("POST", path)
    assert (late.status, late.json["status"]) == (200, "succeeded")


async def test_an_automatic_payment_is_not_captured_by_request(shop: Shop) -> None:
    payment = await shop.create()
    answer = await shop.call("POST", f"/v1/payments/{payment['id']}/capture", {})
    assert (answer.status, answer.code) == (409, "invalid_state")


async def test_a_cancelled_payment_has_failed(shop: Shop) -> None:
    payment = await shop.create()
    answer = await shop.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert (answer.status, answer.json["status"], answer.json["reason"]) == (200, "failed", "cancelled")
    assert (await shop.call("POST", f"/v1/payments/{payment['id']}/cancel")).status == 200


async def test_only_a_paid_payment_is_fulfilled(shop: Shop) -> None:
    payment = await shop.create()
    answer = await shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", {"what": "sugar"})
    assert (answer.status, answer.code) == (409, "invalid_state")


async def test_a_declined_payment_says_why(shop: Shop) -> None:
    payment = await shop.create()
    await shop.ask(payment)
    await shop.reply(payment)
    await shop.charge(payment, base.Declined(reason="limit_exceeded", detail="E51"))
    read = await shop.read(payment)
    assert (read["status"], read["reason"]) == ("failed", "limit_exceeded")


async def test_a_list_is_read_in_pages_without_gaps(shop: Shop) -> None:
    made = [(await shop.create(reference=f"r-{n % 2}" if n < 2 else None))["id"] for n in range(7)]
    seen: list[str] = []
    path = "/v1/payments?limit=3"
    while path:
        page = (await shop.call("GET", path)).json
        seen += [payment["id"] for payment in page["data"]]
        path = f"/v1/payments?limit=3&starting_after={page['next']}" if page["has_more"] else ""
    assert seen == sorted(made, reverse=True)
    by_reference = (await shop.call("GET", "/v1/payments?reference=r-1")).json["data"]
    assert [payment["id"] for payment in by_reference] == [made[1]]
    await shop.call("POST", f"/v1/payments/{made[3]}/cancel")
    failed = (await shop.call("GET", "/v1/payments?status=failed")).json["data"]
    assert [payment["id"] for payment in failed] == [made[3]]


async def test_the_longest_prefix_or_the_hint_chooses_the_carrier(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    assert (await shop.create(msisdn="+254110000001"))["carrier"] == "apex"
    assert (await shop.create(msisdn="+254110000002", carrier="acme"))["carrier"] == "acme"
    assert (await shop.create(msisdn="+819012345678", currency="JPY"))["carrier"] == "nippon"


async def test_a_full_gateway_says_when_to_come_back(sqlite_shop: Shop) -> None:
    sqlite_shop.busy["acme"] = 4.2
    answer = await sqlite_shop.call("POST", "/v1/payments", a_request())
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "overloaded", "5")
    assert answer.json["retryable"] is True
    assert (await sqlite_shop.call("GET", "/v1/payments")).json["data"] == []


async def test_a_description_is_stored_without_what_cannot_be_seen(sqlite_shop: Shop) -> None:
    payment = await sqlite_shop.create(description=" 2\u00a0kg\t\u202esugar\u202c\n\u200b white ")
    assert payment["description"] == "2 kg sugar white"
