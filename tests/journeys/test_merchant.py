"""What the shop does: captures later, takes a request back, records what it delivered, misses webhooks."""

import pytest

from simulators.merchant import Answer
from tests.journeys.house import Answered, House, a_number, together

pytestmark = pytest.mark.journey

CONSENT_IS_OLD_S = 601


async def post(home: House, payment_id: str, what: str, body: object = None, *, key: str = "") -> Answered:
    return await home.shop.call("POST", f"/v1/payments/{payment_id}/{what}", body, key=key)


async def authorized(home: House, phone: str, *, is_held: bool = False) -> str:
    """A payment that the phone has confirmed and the shop has not captured."""
    asked = await home.shop.ask(phone, capture="manual", hold="required" if is_held else "if_supported")
    found = await home.shop.until(asked["id"], lambda payment: payment["status"] == "authorized")
    assert found["funds_held"] is is_held and found["capture_before"] is not None
    return str(asked["id"])


@pytest.mark.money
async def test_a_manual_payment_is_charged_at_the_capture_and_only_once(home: House) -> None:
    phone = a_number()
    payment_id = await authorized(home, phone, is_held=True)
    assert home.evidence.charges() == []
    answers = [await post(home, payment_id, "capture", key=key) for key in ("c-1", "c-1", "c-2")]
    assert answers[0].status == 202, answers[0].body
    assert answers[0].body == answers[1].body
    assert all(answer.status in (200, 202) for answer in answers)
    assert (await home.shop.until_final(payment_id))["status"] == "succeeded"
    assert (await post(home, payment_id, "capture")).status == 200
    await home.text_with(phone, "PAID ")
    assert len(home.evidence.charges(phone)) == 1
    assert await home.shop.event_types(payment_id) == [
        "payment.created",
        "payment.asked",
        "payment.confirmed",
        "payment.authorized",
        "payment.succeeded",
    ]


async def test_a_consent_is_not_charged_after_ten_minutes(without_holds: House) -> None:
    home, phone, at_once = without_holds, a_number(), a_number()
    old = await authorized(home, phone)
    just_then = await authorized(home, at_once)
    home.advance(CONSENT_IS_OLD_S)
    refused = await post(home, just_then, "capture")
    assert (refused.status, refused.body["code"]) == (409, "invalid_state")
    for payment_id, number in ((old, phone), (just_then, at_once)):
        failed = await home.shop.until_final(payment_id)
        assert (failed["status"], failed["reason"]) == ("failed", "expired")
        assert "Nothing was charged" in await home.text_with(number, "Time is over")
        assert (await post(home, payment_id, "capture")).status == 409
    assert home.evidence.charges() == []


async def test_only_what_is_authorized_can_be_captured(home: House) -> None:
    silent, automatic = a_number("002"), a_number("002")
    for asked in (await home.shop.ask(silent, capture="manual"), await home.shop.ask(automatic)):
        answer = await post(home, asked["id"], "capture")
        assert (answer.status, answer.body["code"]) == (409, "invalid_state")
    assert home.evidence.charges() == []


async def test_a_declined_capture_ends_the_payment(without_holds: House) -> None:
    home, phone = without_holds, a_number("911")
    payment_id = await authorized(home, phone)
    assert (await post(home, payment_id, "capture")).status == 202
    failed = await home.shop.until_final(payment_id)
    assert (failed["status"], failed["reason"]) == ("failed", "limit_exceeded")
    assert "Nothing was charged" in await home.text_with(phone, "did not accept")


@pytest.mark.money
async def test_a_second_consent_names_the_ask_that_it_answers(without_holds: House) -> None:
    home, phone = without_holds, a_number("010")
    payment_id = await authorized(home, phone)
    assert (await post(home, payment_id, "capture")).status == 202
    # The balance is too low; the owner tops up and sends the second code.
    await home.text_with(phone, "Top up")
    await home.shop.until(payment_id, lambda payment: payment["status"] == "authorized")
    assert home.evidence.charges() == []
    first, second = home.evidence.rows(
        "SELECT template, ask_message_id, reply FROM consent WHERE payment_id = :id ORDER BY at_ms", id=payment_id
    )
    assert (first.template, first.reply) == ("ask", await home.code_in(phone, 1))
    assert (second.template, second.reply) == ("low_balance", await home.code_in(phone, 2))
    asks = home.evidence.rows("SELECT id, template FROM message WHERE payment_id = :id", id=payment_id)
    assert {(one.template, one.ask_message_id) for one in (first, second)} == {(one.template, one.id) for one in asks}
    assert (await post(home, payment_id, "capture")).status == 202
    assert (await home.shop.until_final(payment_id))["status"] == "succeeded"
    await home.text_with(phone, "PAID ")
    assert len(home.evidence.charges(phone)) == 1


async def test_a_request_that_is_taken_back_charges_nothing_and_the_phone_is_told(without_holds: House) -> None:
    home = without_holds

    async def cancelled(behaviour: str, capture: str) -> None:
        phone = a_number()
        home.behave(phone, behaviour)
        asked = await home.shop.ask(phone, capture=capture, hold="if_supported")
        wanted = "authorized" if behaviour == "pays" else "requires_consent"
        await home.shop.until(asked["id"], lambda payment: payment["status"] == wanted)
        for _ in range(2):
            answer = await post(home, asked["id"], "cancel")
            assert (answer.status, answer.body["status"], answer.body["reason"]) == (200, "failed", "cancelled")
        assert "Nothing was charged" in await home.text_with(phone, "took back")
        home.text(phone, await home.code_in(phone))
        assert "Nothing was charged" in (await home.texts(phone, 3))[2]

    await together(cancelled("silent", "automatic"), cancelled("silent", "manual"), cancelled("pays", "manual"))
    assert home.evidence.charges() == []


async def test_a_cancel_before_the_ask_was_taken_leaves_no_ask_behind(home: House) -> None:
    phone = a_number("950")
    asked = await home.shop.ask(phone)
    assert (await post(home, asked["id"], "cancel")).status == 200
    await home.text_with(phone, "took back")
    await home.settled()
    later = [text for text in (await home.texts(phone))[-1:] if "To PAY reply" in text]
    assert later == [], "the ask came after the word that it is taken back"


@pytest.mark.money
async def test_what_is_paid_can_no_longer_be_taken_back(home: House) -> None:
    asked = await home.shop.ask(a_number())
    await home.shop.until_final(asked["id"])
    answer = await post(home, asked["id"], "cancel")
    assert (answer.status, answer.body["code"]) == (409, "invalid_state")


@pytest.mark.money
async def test_the_delivery_is_recorded_once_and_stands_in_the_feed(home: House) -> None:
    paid, open_one = await home.shop.ask(a_number()), await home.shop.ask(a_number("002"))
    await home.shop.until_final(paid["id"])
    body = {"what": "Vegetable box", "when": "2026-11-23T10:00:00Z", "tracking": "KE-77"}
    first = await post(home, paid["id"], "fulfilment", body, key="f-1")
    assert first.status in (200, 201) and first.body["fulfilled_at"] is not None
    assert (await post(home, paid["id"], "fulfilment", body, key="f-1")).body == first.body
    again = await post(home, paid["id"], "fulfilment", body)
    assert (again.status, again.body["code"]) == (409, "already_fulfilled")
    early = await post(home, open_one["id"], "fulfilment", body)
    assert (early.status, early.body["code"]) == (409, "invalid_state")
    assert (await home.shop.event_types(paid["id"]))[-1] == "payment.fulfilled"
    timeline = (await home.shop.call("GET", f"/v1/payments/{paid['id']}/timeline")).body
    reached = [step["number"] for step in timeline["steps"] if step["at"] is not None]
    assert reached[-6:] == [4, 5, 6, 7, 8, 9]
    assert "KE-77" in str(timeline)


@pytest.mark.money
async def test_a_live_reference_is_not_asked_for_twice_and_a_dead_one_is_free_again(home: House) -> None:
    phone = a_number("003")
    refused = await home.shop.ask(phone, reference="order-9")
    await home.shop.until_final(refused["id"])
    home.behave(phone, "pays")
    paid = await home.shop.ask(phone, reference="order-9")
    await home.shop.until_final(paid["id"])
    body = {"amount": 1, "currency": "KES", "msisdn": phone, "description": "x", "reference": "order-9"}
    answer = await home.shop.call("POST", "/v1/payments", body)
    assert (answer.status, answer.body["code"], answer.body["payment_id"]) == (409, "reference_in_use", paid["id"])


@pytest.mark.money
async def test_a_shop_that_was_down_hears_everything_in_the_end(home: House) -> None:
    home.world.merchant.set_answers("/asha", [Answer(kind="status", status=503, times=4), Answer(kind="hang")])
    asked = await home.shop.ask(a_number())
    await home.shop.until_final(asked["id"])
    await home.settled()
    arrived = home.evidence.records("merchant", "webhook")
    bodies = {(one["id"], one["body"]) for one in arrived}
    assert len(bodies) == len({one["id"] for one in arrived}) == 4
    assert len(arrived) == 9


@pytest.mark.money
async def test_a_shop_that_lost_its_records_gets_everything_again(home: House) -> None:
    for number in (a_number(), a_number("003")):
        asked = await home.shop.ask(number)
        await home.shop.until_final(asked["id"])
    await home.settled()
    first = [(one["id"], one["body"]) for one in home.evidence.records("merchant", "webhook")]
    [endpoint] = (await home.shop.call("GET", "/v1/webhook_endpoints")).body["data"]
    where = f"/v1/webhook_endpoints/{endpoint['id']}"
    answer = await home.shop.call("POST", f"{where}/replay", {"after_seq": 0, "through_seq": 1000})
    assert (answer.status, answer.body["queued"]) == (202, len(first))
    await home.settled()
    again = [(one["id"], one["body"]) for one in home.evidence.records("merchant", "webhook")][len(first) :]
    assert sorted(again) == sorted(first)
    told = (await home.shop.call("GET", f"{where}/attempts?limit=100")).body["data"]
    assert [one["status"] for one in told] == ["delivered"] * 2 * len(first)
