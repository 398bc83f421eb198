"""Money that the operator sets aside until the shop captures it: in whole, in part, not at all, with lost answers."""

from decimal import Decimal
from typing import Any

import pytest

from simulators.faults import Scripted
from tests.journeys.house import WAIT_S, Answered, House, a_number, together
from tests.journeys.processes import until

pytestmark = pytest.mark.journey

PRICE, PART = 125_000, 50_000
A_WEEK_S = 7 * 86_400
BODY = {"amount": PRICE, "currency": "KES", "description": "Vegetable box"}


async def held(home: House, phone: str) -> str:
    """A payment whose money the operator holds, and nobody has taken."""
    asked = await home.shop.ask(phone, capture="manual")
    found = await home.shop.until(asked["id"], lambda payment: payment["status"] == "authorized")
    assert (found["funds_held"], found["amount_captured"]) == (True, 0)
    [hold] = home.evidence.holds("held.reserve", phone)
    assert Decimal(hold["amount"]) == Decimal(PRICE) / 100
    return str(asked["id"])


async def post(home: House, payment_id: str, what: str, body: object = None) -> Answered:
    return await home.shop.call("POST", f"/v1/payments/{payment_id}/{what}", body)


async def captured(home: House, payment_id: str, phone: str, amount: int = PRICE) -> dict[str, Any]:
    """The shop has it, the phone was told, and the operator took just that, once."""
    paid = await home.shop.until_final(payment_id)
    assert (paid["status"], paid["amount_captured"]) == ("succeeded", amount)
    [charge] = home.evidence.charges(phone)
    assert charge.amount == Decimal(amount) / 100
    await home.text_with(phone, "PAID ")
    return paid


async def let_go(home: House, payment_id: str, phone: str, reason: str, *, how: str = "released") -> None:
    """The shop has nothing, the phone was told, and the operator set all of it free, once."""
    failed = await home.shop.until_final(payment_id)
    assert (failed["status"], failed["reason"]) == ("failed", reason)
    await until(lambda: bool(home.evidence.holds(how, phone)), WAIT_S, "a hold's end")
    [free] = home.evidence.holds(how, phone)
    assert Decimal(free["amount"]) == Decimal(PRICE) / 100
    assert home.evidence.charges(phone) == []
    assert "Nothing was charged" in await home.text_with(phone, "Nothing was charged")


def strike(home: House, point: str, fault: str, phone: str) -> None:
    home.world.plan.add(Scripted(point=f"billing.{point}", fault=fault, msisdn=phone, times=1))


@pytest.mark.money
async def test_what_is_held_is_captured_in_whole(home: House) -> None:
    phone = a_number()
    payment_id = await held(home, phone)
    assert home.evidence.charges() == []
    assert (await post(home, payment_id, "capture")).status == 202
    await captured(home, payment_id, phone)
    assert home.evidence.holds("released", phone) == []


@pytest.mark.money
async def test_a_part_is_captured_and_the_rest_is_free(home: House) -> None:
    phone = a_number()
    payment_id = await held(home, phone)
    more = await post(home, payment_id, "capture", {"amount": PRICE + 1})
    assert (more.status, more.body["code"]) == (422, "capture_exceeds_payment")
    assert (await post(home, payment_id, "capture", {"amount": PART})).status == 202
    await captured(home, payment_id, phone, PART)
    [rest] = home.evidence.holds("released", phone)
    assert Decimal(rest["amount"]) == Decimal(PRICE - PART) / 100
    assert "KES 500.00" in await home.text_with(phone, "PAID ")
    home.text(phone, "HIST")
    assert "500.00" in await home.text_with(phone, "One in full")
    balance = (await home.shop.call("GET", "/v1/balance")).body
    assert [one["pending"] for one in balance["currencies"]] == [PART]
    # The same once more changes nothing; another amount is a mistake.
    assert (await post(home, payment_id, "capture", {"amount": PART})).status == 200
    other = await post(home, payment_id, "capture", {"amount": PART + 1})
    assert other.status == 409


async def test_a_part_is_captured_of_what_is_held_only(without_holds: House) -> None:
    home = without_holds
    refused = await home.shop.call("POST", "/v1/payments", {**BODY, "msisdn": a_number(), "capture": "manual"})
    assert (refused.status, refused.body["code"]) == (422, "holds_not_supported")
    asked = await home.shop.ask(a_number(), capture="manual", hold="if_supported")
    await home.shop.until(asked["id"], lambda payment: payment["status"] == "authorized")
    part = await post(home, asked["id"], "capture", {"amount": PART})
    assert (part.status, part.body["code"]) == (422, "partial_capture_not_supported")
    assert (await post(home, asked["id"], "cancel")).status == 200


@pytest.mark.money
async def test_a_cancel_lets_the_money_go(home: House) -> None:
    phone = a_number()
    payment_id = await held(home, phone)
    assert (await post(home, payment_id, "cancel")).status == 202
    await let_go(home, payment_id, phone, "cancelled")
    late = await post(home, payment_id, "capture")
    assert (late.status, late.body["code"]) == (409, "invalid_state")


@pytest.mark.money
async def test_what_the_shop_does_not_capture_in_time_is_let_go(home: House) -> None:
    phone = a_number()
    payment_id = await held(home, phone)
    home.advance(A_WEEK_S)
    await let_go(home, payment_id, phone, "expired")


@pytest.mark.money
async def test_a_hold_that_lapses_at_the_operator_cannot_be_captured(home: House) -> None:
    phone = a_number()
    payment_id = await held(home, phone)
    [hold] = home.evidence.holds("held.reserve", phone)
    assert home.world.billing.expire(hold["correlator"])
    assert (await post(home, payment_id, "capture")).status == 202
    await let_go(home, payment_id, phone, "expired", how="expired")


@pytest.mark.money
async def test_a_capture_whose_answer_is_lost_is_found_and_taken_once(home: House) -> None:
    async def found_in_spite_of(fault: str, amount: int) -> None:
        phone = a_number()
        payment_id = await held(home, phone)
        strike(home, "capture", fault, phone)
        assert (await post(home, payment_id, "capture", {"amount": amount})).status == 202
        await captured(home, payment_id, phone, amount)

    faults = ("timeout_charged", "timeout_lost", "error_before", "error_after", "garbage", "reset", "inquiry_lag")
    await together(*(found_in_spite_of(fault, amount) for fault in faults for amount in (PRICE, PART)))


@pytest.mark.money
async def test_a_release_whose_answer_is_lost_is_done_once(home: House) -> None:
    async def let_go_in_spite_of(fault: str) -> None:
        phone = a_number()
        payment_id = await held(home, phone)
        strike(home, "release", fault, phone)
        assert (await post(home, payment_id, "cancel")).status == 202
        await let_go(home, payment_id, phone, "cancelled")

    faults = ("timeout_charged", "timeout_lost", "error_before", "error_after", "garbage", "reset", "inquiry_lag")
    await together(*(let_go_in_spite_of(fault) for fault in faults))


@pytest.mark.money
async def test_a_reservation_whose_answer_is_lost_is_found(home: House) -> None:
    async def found_in_spite_of(ending: str) -> None:
        phone = a_number(ending)
        payment_id = await held(home, phone)
        assert (await post(home, payment_id, "capture")).status == 202
        await captured(home, payment_id, phone)

    await together(*(found_in_spite_of(ending) for ending in ("011", "916", "917", "920", "921")))


async def test_a_reservation_that_never_was_ends_without_a_charge(home: House) -> None:
    async def ended(ending: str, reason: str) -> None:
        phone = a_number(ending)
        asked = await home.shop.ask(phone, capture="manual")
        failed = await home.shop.until_final(asked["id"])
        assert (failed["status"], failed["reason"]) == ("failed", reason)
        await home.text_with(phone, "Nothing was charged")

    reasons = {"014": "limit_exceeded", "912": "not_subscriber", "914": "not_charged", "915": "not_charged"}
    await together(*(ended(ending, reason) for ending, reason in reasons.items()))
    assert home.evidence.holds("held.reserve") == []


@pytest.mark.money
async def test_a_capture_that_was_declined_leaves_the_hold(home: House) -> None:
    phone = a_number()
    payment_id = await held(home, phone)
    strike(home, "capture", "barred", phone)
    assert (await post(home, payment_id, "capture")).status == 202
    await home.shop.until(payment_id, lambda payment: payment["status"] == "authorized")
    assert "payment.capture_failed" in await home.shop.event_types(payment_id)
    assert (await post(home, payment_id, "capture")).status == 202
    await captured(home, payment_id, phone)


@pytest.mark.money
async def test_a_hold_after_the_end_is_let_go_and_the_payment_stays_failed(called_back: House) -> None:
    home, phone = called_back, a_number("015")
    asked = await home.shop.ask(phone, capture="manual")
    failed = await home.shop.until_final(asked["id"])
    assert (failed["status"], failed["reason"]) == ("failed", "not_charged")
    [attempt] = home.world.billing.held
    assert home.world.billing.execute_late(attempt)
    await home.settled()
    await let_go(home, asked["id"], phone, "not_charged")
