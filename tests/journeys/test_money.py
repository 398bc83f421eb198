"""What the operator does with an order: charges, declines, keeps silent, lies about the amount, charges too late."""

from decimal import Decimal

import pytest

from simulators.faults import Scripted
from tests.journeys.house import House, a_number, together

pytestmark = pytest.mark.journey

PAST_THE_DEADLINE_S = 700
A_MINUTE_S = 61

# Ending of the number → status, reason, charges that the operator executed.
OUTCOMES = {
    "011": ("succeeded", None, 1),  # no answer, charged: an inquiry finds it
    "014": ("failed", "limit_exceeded", 0),  # no answer, declined
    "910": ("failed", "insufficient_funds", 0),  # twice: the owner tops up and the operator declines all the same
    "911": ("failed", "limit_exceeded", 0),
    "912": ("failed", "not_subscriber", 0),
    "913": ("failed", "carrier_declined", 0),
    "914": ("failed", "not_charged", 0),  # no answer, and the operator never got it
    "915": ("failed", "not_charged", 0),  # 503 before anything happened
    "916": ("succeeded", None, 1),  # 500 after it happened
    "917": ("succeeded", None, 1),  # an answer that is none
    "918": ("succeeded", None, 1),  # yes to another amount, until the inquiry says the right one
    "919": ("succeeded", None, 1),  # slow
    "920": ("succeeded", None, 1),  # half an answer
    "921": ("succeeded", None, 1),  # the inquiry says "processing" for a while
    "923": ("succeeded", None, 1),  # callback
    "924": ("succeeded", None, 1),  # two of them
    "925": ("succeeded", None, 1),  # callback before the answer
    "926": ("succeeded", None, 1),  # callback long after
}


async def _outcome(home: House, ending: str) -> None:
    status, reason, charges = OUTCOMES[ending]
    phone = a_number(ending)
    if ending == "910":
        home.behave(phone, "tops_up")
    asked = await home.shop.ask(phone)
    ended = await home.shop.until_final(asked["id"])
    assert (ended["status"], ended["reason"]) == (status, reason), ending
    told = await home.text_with(phone, "PAID " if status == "succeeded" else "your network did not accept")
    assert ended["receipt_ref"] in told and ("Nothing was charged" in told) == (status == "failed"), ending
    assert len(home.evidence.charges(phone)) == charges, ending


@pytest.mark.money
async def test_each_answer_of_the_operator_ends_in_the_truth(called_back: House) -> None:
    called_back.expected_breaks = ["mismatch"]
    await together(*(_outcome(called_back, ending) for ending in OUTCOMES))
    breaks = called_back.evidence.rows(
        "SELECT b.kind, c.msisdn FROM break b LEFT JOIN payment p ON p.id = b.payment_id"
        " LEFT JOIN consumer c ON c.id = p.consumer_id"
    )
    assert [(row.kind, row.msisdn[-3:]) for row in breaks] == [("mismatch", "918")]


@pytest.mark.money
async def test_without_callbacks_the_inquiries_find_it(home: House) -> None:
    home.expected_breaks = ["mismatch"]
    await together(*(_outcome(home, ending) for ending in ("011", "014", "914", "918", "921")))


@pytest.mark.money
async def test_while_nobody_knows_the_phone_is_told_so_and_in_the_end_the_truth(home: House) -> None:
    home.expected_breaks = ["unknown_outcome"]
    phone = a_number("922")
    asked = await home.shop.ask(phone)
    assert "Do NOT pay again" in await home.text_with(phone, "do not know yet")
    unknown = await home.shop.payment(asked["id"])
    assert (unknown["status"], unknown["outcome_unknown"]) == ("processing", True)
    # The ladder is spent: a person is called, and the state does not change by itself.
    [found] = await home.until_rows("SELECT kind FROM break WHERE payment_id = :id", id=asked["id"])
    assert found.kind == "unknown_outcome"
    assert (await home.shop.payment(asked["id"]))["status"] == "processing"
    [attempt] = home.world.billing.held
    assert home.world.billing.execute_late(attempt)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.text_with(phone, "PAID ")
    assert len(home.evidence.charges(phone)) == 1


@pytest.mark.money
async def test_who_asks_while_nobody_knows_is_told_so_once_a_minute(home: House) -> None:
    home.expected_breaks = ["unknown_outcome"]
    phone = a_number("922")
    asked = await home.shop.ask(phone)
    await home.text_with(phone, "do not know yet")
    for count, words in (
        (2, ("hello, what happened to my money?", "hello??")),
        (3, ("and my money?", "anybody there")),
    ):
        for text in words:
            home.text(phone, text)
            await home.until_rows("SELECT id FROM mo WHERE text = :text", text=text)
        assert "Do NOT pay again" in await home.text_with(phone, "do not know yet", count=count)
        home.advance(A_MINUTE_S)
    # The ladder is spent by now.
    await home.until_rows("SELECT id FROM break WHERE payment_id = :id", id=asked["id"])
    [attempt] = home.world.billing.held
    assert home.world.billing.execute_late(attempt)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.text_with(phone, "PAID ")
    assert ["do not know yet" in text for text in await home.texts(phone)] == [False, True, True, True, False]


@pytest.mark.money
async def test_who_asks_while_the_answer_is_seconds_away_is_answered_by_the_result(home: House) -> None:
    phone = a_number("919")
    home.behave(phone, "silent")
    asked = await home.shop.ask(phone)
    home.text(phone, await home.code_in(phone))
    home.text(phone, "hello, what happened to my money?")
    await home.until_rows("SELECT id FROM mo WHERE text LIKE 'hello%'")
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    assert "PAID " in (await home.texts(phone, 2))[1]
    await home.settled()
    assert len(await home.texts(phone)) == 2


@pytest.mark.money
async def test_a_callback_ends_the_doubt_at_once(called_back: House) -> None:
    phone = a_number("922")
    asked = await called_back.shop.ask(phone)
    await called_back.shop.until(asked["id"], lambda payment: payment["outcome_unknown"])
    [attempt] = called_back.world.billing.held
    assert called_back.world.billing.execute_late(attempt)
    assert (await called_back.shop.until_final(asked["id"]))["status"] == "succeeded"
    assert len(called_back.evidence.charges(phone)) == 1


async def _given_back(home: House, payment_id: str, phone: str) -> None:
    """The charge came, went back, and everybody was told."""
    [event] = [await home.shop.until_event(lambda one: _is(one, payment_id, "reversal.succeeded"))]
    assert event["data"]["reversal"] == "succeeded"
    assert "In all you paid nothing" in await home.text_with(phone, "GIVEN BACK")
    [charge], [refund] = home.evidence.charges(phone), home.evidence.refunds(phone)
    assert (refund.original, refund.amount) == (charge.correlator, charge.amount)
    posted = home.evidence.rows("SELECT kind FROM entry WHERE payment_id = :id ORDER BY id", id=payment_id)
    assert [row.kind for row in posted] == ["late_charge", "reversal"]


def _is(event: dict[str, object], payment_id: str, kind: str) -> bool:
    data = event["data"]
    return event["type"] == kind and isinstance(data, dict) and data["id"] == payment_id


@pytest.mark.money
async def test_a_charge_after_the_end_is_given_back_and_the_payment_stays_failed(called_back: House) -> None:
    home, phone = called_back, a_number("015")
    asked = await home.shop.ask(phone)
    failed = await home.shop.until_final(asked["id"])
    assert (failed["status"], failed["reason"]) == ("failed", "not_charged")
    assert "Nothing was charged" in await home.text_with(phone, "NOT paid")
    [attempt] = home.world.billing.held
    assert home.world.billing.execute_late(attempt)
    await _given_back(home, asked["id"], phone)
    types = await home.shop.event_types(asked["id"])
    assert types[-3:] == ["payment.failed", "reversal.created", "reversal.succeeded"]
    after = await home.shop.payment(asked["id"])
    assert (after["status"], after["reason"], after["reversal"]) == ("failed", "not_charged", "succeeded")
    # Who sends the old code now is told what happened to the money.
    home.text(phone, await home.code_in(phone))
    await home.text_with(phone, "GIVEN BACK", count=2)
    home.text(phone, "HIST")
    assert f"{after['receipt_ref']} GIVEN BACK" in await home.text_with(phone, "One in full")


@pytest.mark.money
async def test_a_late_charge_is_found_although_the_first_inquiries_fail(called_back: House) -> None:
    async def found_in_spite_of(fault: str) -> None:
        phone = a_number("015")
        asked = await called_back.shop.ask(phone)
        await called_back.shop.until_final(asked["id"])
        called_back.world.plan.add(Scripted(point="billing.inquiry", fault=fault, msisdn=phone, times=2))
        [row] = called_back.evidence.rows("SELECT id FROM attempt WHERE payment_id = :id", id=asked["id"])
        assert called_back.world.billing.execute_late(row.id)
        await _given_back(called_back, asked["id"], phone)

    faults = ("error_before", "garbage", "timeout_lost", "reset", "processing", "not_found")
    await together(*(found_in_spite_of(fault) for fault in faults))


@pytest.mark.money
async def test_a_late_charge_that_no_inquiry_finds_calls_a_person(called_back: House) -> None:
    called_back.expected_breaks = ["unknown_outcome"]
    home, phone = called_back, a_number("015")
    asked = await home.shop.ask(phone)
    await home.shop.until_final(asked["id"])
    home.world.plan.add(Scripted(point="billing.inquiry", fault="not_found", msisdn=phone))
    [attempt] = home.world.billing.held
    assert home.world.billing.execute_late(attempt)
    [found] = await home.until_rows("SELECT kind FROM break WHERE payment_id = :id", id=asked["id"])
    assert found.kind == "unknown_outcome"
    # The operator calls once more, and now it can be found.
    home.world.plan.clear()
    await home.world.billing.call_back(attempt)
    await _given_back(home, asked["id"], phone)


@pytest.mark.money
async def test_a_reversal_whose_outcome_is_unknown_is_done_once(called_back: House) -> None:
    called_back.expected_breaks = ["mismatch"]

    async def given_back_in_spite_of(fault: str) -> None:
        phone = a_number("015")
        called_back.world.plan.add(Scripted(point="billing.refund", fault=fault, msisdn=phone, times=1))
        asked = await called_back.shop.ask(phone)
        await called_back.shop.until_final(asked["id"])
        [row] = called_back.evidence.rows("SELECT id FROM attempt WHERE payment_id = :id", id=asked["id"])
        assert called_back.world.billing.execute_late(row.id)
        await _given_back(called_back, asked["id"], phone)

    faults = ("timeout_charged", "timeout_lost", "error_before", "error_after", "garbage", "reset", "wrong_amount")
    await together(*(given_back_in_spite_of(fault) for fault in faults))


@pytest.mark.money
async def test_a_cancel_while_it_is_charged_gives_the_money_back(home: House) -> None:
    async def cancelled(ending: str) -> None:
        phone = a_number(ending)
        asked = await home.shop.ask(phone)
        await home.shop.until(asked["id"], lambda payment: payment["status"] == "processing")
        answer = await home.shop.call("POST", f"/v1/payments/{asked['id']}/cancel")
        assert (answer.status, answer.body["cancel_requested"]) == (202, True)
        again = await home.shop.call("POST", f"/v1/payments/{asked['id']}/cancel")
        assert again.status == 202
        failed = await home.shop.until_final(asked["id"])
        assert (failed["status"], failed["reason"]) == ("failed", "cancelled")
        await _given_back(home, asked["id"], phone)
        types = await home.shop.event_types(asked["id"])
        assert types[2:] == ["payment.confirmed", "reversal.created", "reversal.succeeded", "payment.failed"]

    await together(*(cancelled(ending) for ending in ("919", "011", "921")))


async def test_a_cancel_of_a_charge_that_never_happened_charges_nothing(home: House) -> None:
    async def cancelled(ending: str) -> None:
        phone = a_number(ending)
        asked = await home.shop.ask(phone)
        await home.shop.until(asked["id"], lambda payment: payment["status"] == "processing")
        await home.shop.call("POST", f"/v1/payments/{asked['id']}/cancel")
        failed = await home.shop.until_final(asked["id"])
        assert (failed["status"], failed["reason"]) == ("failed", "cancelled")
        # Before it the phone may have read that nobody knows yet, if the inquiries took their time.
        await home.text_with(phone, "Nothing was charged")

    await together(*(cancelled(ending) for ending in ("014", "914")))
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_after_topping_up_a_second_code_is_a_second_consent_and_one_charge(home: House) -> None:
    phone = a_number("010")
    asked = await home.shop.ask(phone)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    first, second = await home.code_in(phone, 1), await home.code_in(phone, 2)
    assert first != second and "Nothing was charged" in (await home.texts(phone, 2))[1]
    await home.text_with(phone, "PAID ")
    attempts = home.evidence.rows("SELECT id, status FROM attempt WHERE payment_id = :id ORDER BY id", id=asked["id"])
    assert [row.status for row in attempts] == ["failed", "succeeded"]
    assert [one.correlator for one in home.evidence.charges(phone)] == [attempts[1].id]
    consents = home.evidence.rows("SELECT attempt_id, reply FROM consent WHERE payment_id = :id", id=asked["id"])
    assert {(row.attempt_id, row.reply) for row in consents} == {(attempts[0].id, first), (attempts[1].id, second)}


async def test_a_balance_that_stays_low_ends_without_a_charge(home: House) -> None:
    async def never_topped_up(reply: bool, reason: str) -> None:
        phone = a_number("010")
        home.behave(phone, "pays")
        asked = await home.shop.ask(phone)
        await home.text_with(phone, "Top up")
        if reply:
            home.text(phone, await home.code_in(phone, 2))
        else:
            silent.append(asked["id"])
            return
        failed = await home.shop.until_final(asked["id"])
        assert (failed["status"], failed["reason"]) == ("failed", reason)
        assert "Nothing was charged" in await home.text_with(phone, "did not accept")

    silent: list[str] = []
    await together(never_topped_up(True, "insufficient_funds"), never_topped_up(False, "expired"))
    home.advance(PAST_THE_DEADLINE_S)
    assert (await home.shop.until_final(silent[0]))["reason"] == "expired"
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_the_old_code_does_not_confirm_after_a_low_balance(home: House) -> None:
    phone = a_number("010")
    home.behave(phone, "pays")
    asked = await home.shop.ask(phone)
    await home.text_with(phone, "Top up")
    home.world.billing.book.set_balance(phone, Decimal(10_000))
    # In other words than the first time, or it would be taken for the network's repeat.
    home.text(phone, f"yes {await home.code_in(phone, 1)}")
    assert await home.text_with(phone, "Top up", 2) == await home.text_with(phone, "Top up")
    assert home.evidence.charges() == []
    home.text(phone, await home.code_in(phone, 2))
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
