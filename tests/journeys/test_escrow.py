"""The money waits in escrow: the six steps of a payment through a third party, and what ends them otherwise."""

from typing import Any

import pytest

from tests.journeys.house import House, a_number

pytestmark = pytest.mark.journey

SILENCE_S = 14 * 86_400 + 1


async def funded(home: House, phone: str) -> dict[str, Any]:  # Any: JSON of the API.
    """Steps one to three: the trade is made, the third party has the money, the seller is told to ship."""
    asked = await home.shop.ask(phone, capture="escrow")
    paid = await home.shop.until_final(asked["id"])
    assert (paid["status"], paid["escrow"]) == ("succeeded", "held")
    await home.shop.until_event(lambda event: event["type"] == "escrow.held" and event["data"]["id"] == asked["id"])
    return paid


async def shipped(home: House, payment_id: str) -> None:
    body = {"what": "Vegetable box", "tracking": "KE-4711"}
    answer = await home.shop.call("POST", f"/v1/payments/{payment_id}/fulfilment", body)
    assert answer.status == 200, answer.body


async def pending(home: House) -> int:
    balance = (await home.shop.call("GET", "/v1/balance")).body
    return sum(currency["pending"] for currency in balance["currencies"])


@pytest.mark.money
async def test_the_buyers_ok_pays_the_seller(home: House) -> None:
    phone, before = a_number(), await pending(home)
    paid = await funded(home, phone)
    await shipped(home, paid["id"])
    said = await home.text_with(phone, "has sent your goods")
    assert f"OK {paid['receipt_ref']}" in said
    home.text(phone, f"ok {paid['receipt_ref'].lower()}")
    released = await home.shop.until(paid["id"], lambda payment: payment["escrow"] == "released")
    assert released["status"] == "succeeded"
    assert "Nothing more was charged" in await home.text_with(phone, "Thank you")
    assert await home.shop.event_types(paid["id"]) == [
        *("payment.created", "payment.asked", "payment.confirmed", "payment.succeeded", "escrow.held"),
        *("payment.fulfilled", "escrow.released"),
    ]
    assert await pending(home) - before == paid["amount"]
    home.text(phone, f"OK {paid['receipt_ref']}")
    assert "nothing was charged" in await home.text_with(phone, "Nothing of yours waits")
    assert len(home.evidence.charges(phone)) == 1


@pytest.mark.money
async def test_silence_after_the_delivery_pays_the_seller(home: House) -> None:
    phone = a_number()
    paid = await funded(home, phone)
    await shipped(home, paid["id"])
    await home.text_with(phone, "has sent your goods")
    assert (await home.shop.payment(paid["id"]))["escrow"] == "held"
    home.advance(SILENCE_S)
    await home.shop.until(paid["id"], lambda payment: payment["escrow"] == "released")
    await home.text_with(phone, "now gets")


@pytest.mark.money
async def test_nobody_else_releases_it(home: House) -> None:
    phone, stranger = a_number(), a_number()
    paid = await funded(home, phone)
    await shipped(home, paid["id"])
    home.text(stranger, f"OK {paid['receipt_ref']}")
    assert "nothing was charged" in await home.text_with(stranger, "Nothing of yours waits")
    assert (await home.shop.payment(paid["id"]))["escrow"] == "held"


@pytest.mark.money
async def test_a_seller_that_never_ships_gives_the_money_back(home: House) -> None:
    phone = a_number()
    paid = await funded(home, phone)
    home.advance(7 * 86_400 + 1)
    await home.shop.until(paid["id"], lambda payment: payment["escrow"] == "refunded")
    await home.text_with(phone, "GIVEN BACK")
    assert len(home.evidence.refunds(phone)) == 1


async def disputed(home: House, phone: str) -> tuple[dict[str, Any], str]:  # Any: JSON of the API.
    """Sold, sent, and not what was bought."""
    paid = await funded(home, phone)
    await shipped(home, paid["id"])
    await home.text_with(phone, "has sent your goods")
    home.text(phone, f"DISPUTE {paid['receipt_ref']}")
    await home.shop.until(paid["id"], lambda payment: payment["amount_disputed"] == payment["amount"])
    [dispute] = (await home.shop.call("GET", "/v1/disputes")).body["data"]
    return paid, str(dispute["id"])


@pytest.mark.money
async def test_a_dispute_stops_the_clock_and_an_accepted_one_pays_back(home: House) -> None:
    phone = a_number()
    paid, dispute_id = await disputed(home, phone)
    home.text(phone, f"OK {paid['receipt_ref']}")
    await home.text_with(phone, "Nothing of yours waits")
    assert (await home.shop.payment(paid["id"]))["escrow"] == "held"
    answer = await home.shop.call("POST", f"/v1/disputes/{dispute_id}/accept", {})
    assert answer.status == 200, answer.body
    await home.shop.until(paid["id"], lambda payment: payment["escrow"] == "refunded")
    assert len(home.evidence.refunds(phone)) == 1
