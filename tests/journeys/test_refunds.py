"""Money on its way back, over real sockets: the shop asks, the operator gives, the phone reads of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.dispute import ANSWER_WITHIN_MS, Act
from gateway.engine.dispute_jobs import DecideDispute
from simulators.faults import Scripted
from tests.journeys.house import House, a_number, house, together


@pytest.fixture
async def home(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(sqlite_url, tmp_path / "journals") as opened:
        yield opened


async def _paid(home: House) -> tuple[str, str]:
    """The phone, and its payment."""
    phone = a_number()
    asked = await home.shop.ask(phone)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    return phone, asked["id"]


async def _refund(home: House, payment_id: str, amount: int, status: str = "succeeded") -> None:
    made = await home.shop.call("POST", f"/v1/payments/{payment_id}/refunds", {"amount": amount})
    assert made.status == 201, made.body
    event = await home.shop.until_event(
        lambda one: one["data"]["id"] == made.body["id"] and one["type"] in ("refund.succeeded", "refund.failed")
    )
    assert event["data"]["status"] == status


async def test_the_phone_reads_of_each_part_that_comes_back(home: House) -> None:
    phone, payment_id = await _paid(home)
    await _refund(home, payment_id, 25_000)
    assert "KES 250.00" in await home.text_with(phone, "refunded")
    await _refund(home, payment_id, 100_000)
    assert "KES 1,000.00" in await home.text_with(phone, "refunded", count=2)
    after = await home.shop.payment(payment_id)
    assert (after["status"], after["amount_refunded"]) == ("succeeded", 125_000)
    refused = await home.shop.call("POST", f"/v1/payments/{payment_id}/refunds", {"amount": 1})
    assert (refused.status, refused.body["code"]) == (422, "refund_exceeds_payment")
    assert len(home.evidence.refunds(phone)) == 2


@pytest.mark.money
async def test_a_refund_whose_outcome_is_unknown_is_done_once(home: House) -> None:
    home.expected_breaks = ["mismatch"]

    async def given_back_in_spite_of(fault: str) -> None:
        phone, payment_id = await _paid(home)
        home.world.plan.add(Scripted(point="billing.refund", fault=fault, msisdn=phone, times=1))
        await _refund(home, payment_id, 50_000)
        assert len(home.evidence.refunds(phone)) == 1

    faults = ("timeout_charged", "timeout_lost", "error_before", "error_after", "garbage", "reset", "wrong_amount")
    await together(*(given_back_in_spite_of(fault) for fault in faults))


async def _disputed(home: House) -> tuple[str, str, str]:
    """A phone that disputes what it paid, the payment, the dispute."""
    phone, payment_id = await _paid(home)
    ref = (await home.shop.payment(payment_id))["receipt_ref"]
    home.text(phone, f"DISPUTE {ref}")
    opened = await home.shop.until_event(
        lambda one: one["type"] == "dispute.opened" and one["data"]["payment_id"] == payment_id
    )
    await home.text_with(phone, "DISPUTE opened")
    return phone, payment_id, opened["data"]["id"]


async def test_a_dispute_that_the_shop_answers_well_leaves_it_the_money(home: House) -> None:
    phone, payment_id, dispute_id = await _disputed(home)
    answer = await home.shop.call("POST", f"/v1/disputes/{dispute_id}/evidence", {"text": "signed for"})
    assert answer.body["status"] == "under_review"
    await home.gateway.batcher.offer(DecideDispute(dispute_id=dispute_id, done=Act.WIN))
    await home.text_with(phone, "DISPUTE decided: Mama Asha keeps the KES")
    assert (await home.shop.payment(payment_id))["amount_disputed"] == 0
    assert home.evidence.refunds(phone) == []


async def test_a_dispute_that_nobody_answers_gives_the_money_back(home: House) -> None:
    phone, payment_id, _ = await _disputed(home)
    home.advance(ANSWER_WITHIN_MS / 1000)
    await home.text_with(phone, "DISPUTE decided for you")
    await home.text_with(phone, "refunded")
    assert (await home.shop.payment(payment_id))["amount_refunded"] == 125_000
    assert len(home.evidence.refunds(phone)) == 1
