"""A request and its answer: confirmed, refused, not answered, answered wrongly, late, twice or with a STOP."""

import asyncio

import pytest

from gateway.core.gsm import segment
from tests.journeys.house import House, a_number, together

pytestmark = pytest.mark.journey

NOTHING_CHARGED = "Nothing was charged"
PAST_THE_DEADLINE_S = 700


@pytest.mark.money
async def test_a_confirmed_payment_is_charged_once_and_told_to_both(home: House) -> None:
    phone = a_number()
    asked = await home.shop.ask(phone, reference="order-1")
    assert asked["status"] in ("pending", "requires_consent")
    paid = await home.shop.until_final(asked["id"])
    assert paid["status"] == "succeeded"
    receipt = await home.text_with(phone, "PAID")
    assert paid["receipt_ref"] in receipt
    assert [one.amount for one in home.evidence.charges(phone)] == [1250]
    assert await home.shop.event_types(asked["id"]) == [
        "payment.created",
        "payment.asked",
        "payment.confirmed",
        "payment.succeeded",
    ]


async def test_who_refuses_in_whatever_words_is_not_charged(home: House) -> None:
    async def refusing(words: str) -> None:
        phone = a_number()
        home.behave(phone, "silent")
        asked = await home.shop.ask(phone)
        code = await home.code_in(phone)
        home.text(phone, words.format(code=code))
        failed = await home.shop.until_final(asked["id"])
        assert (failed["status"], failed["reason"]) == ("failed", "refused"), words
        assert NOTHING_CHARGED in await home.text_with(phone, "You refused")
        assert await home.shop.event_types(asked["id"]) == ["payment.created", "payment.asked", "payment.failed"]

    await together(*(refusing(words) for words in ("0", "NO", "no {code}", "Hapana", "don't pay {code}")))
    assert home.evidence.charges() == []


async def test_doubt_never_charges_and_is_answered_with_the_way_to_pay(home: House) -> None:
    async def doubting(words: str) -> None:
        phone = a_number()
        home.behave(phone, "silent")
        asked = await home.shop.ask(phone)
        code = await home.code_in(phone)
        home.text(phone, words.format(code=code))
        answer = await home.text_with(phone, "did not understand")
        assert code in answer and NOTHING_CHARGED in answer, words
        assert (await home.shop.payment(asked["id"]))["status"] == "requires_consent", words

    await together(*(doubting(words) for words in ("YES", "Who is this?", "{code}?", "{code} or {code}1", "maybe")))
    assert home.evidence.charges() == []


async def test_silence_ends_at_the_time_that_was_printed_and_a_late_code_charges_nothing(home: House) -> None:
    phone = a_number("006")
    asked = await home.shop.ask(phone)
    code = await home.code_in(phone)
    # The phone has the ask before we know that it left: an ask unsent for so long would shed all new requests.
    await home.settled()
    home.advance(PAST_THE_DEADLINE_S)
    failed = await home.shop.until_final(asked["id"])
    assert (failed["status"], failed["reason"]) == ("failed", "expired")
    assert NOTHING_CHARGED in await home.text_with(phone, "Time is over")
    assert await home.shop.event_types(asked["id"]) == ["payment.created", "payment.asked", "payment.failed"]
    assert home.world.handsets.answer_now(phone)
    assert NOTHING_CHARGED in await home.text_with(phone, "Time is over", count=2)
    # The dead code is not taken for the code of the next request either.
    again = await home.shop.ask(phone)
    await home.texts(phone, 4)
    home.text(phone, code)
    await home.text_with(phone, "Time is over", count=3)
    assert (await home.shop.payment(again["id"]))["status"] == "requires_consent"
    assert home.evidence.charges() == []


async def test_three_wrong_codes_end_the_request(home: House) -> None:
    phone = a_number("017")
    asked = await home.shop.ask(phone)
    failed = await home.shop.until_final(asked["id"])
    assert (failed["status"], failed["reason"]) == ("failed", "wrong_code")
    assert "Tries left: 2" in await home.text_with(phone, "not right")
    assert "Tries left: 1" in await home.text_with(phone, "not right", count=2)
    assert NOTHING_CHARGED in await home.text_with(phone, "Too many wrong codes")
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_a_wrong_code_and_then_the_right_one_pays(home: House) -> None:
    phone = a_number("004")
    asked = await home.shop.ask(phone)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    assert NOTHING_CHARGED in await home.text_with(phone, "not right")
    await home.text_with(phone, "PAID")
    assert len(home.evidence.charges(phone)) == 1


@pytest.mark.money
async def test_a_code_sent_twice_charges_once_and_alarms_nobody(home: House) -> None:
    async def twice(ending: str) -> None:
        phone = a_number(ending)
        asked = await home.shop.ask(phone)
        paid = await home.shop.until_final(asked["id"])
        assert paid["status"] == "succeeded"
        await home.text_with(phone, "PAID")
        assert len(home.evidence.charges(phone)) == 1
        said = " / ".join(await home.texts(phone))
        assert not any(word in said for word in ("not right", "Time is over", "NOT paid", "did not understand")), said
        home.text(phone, await home.code_in(phone))
        assert "only once" in await home.text_with(phone, "PAID already")

    # 005: the owner sends it twice; 957: the network hands it over twice; both at once for some of 005.
    await together(*(twice(ending) for ending in ("005", "005", "005", "957", "957")))
    assert len(home.evidence.charges()) == 5


@pytest.mark.money
async def test_a_no_after_the_code_is_answered_with_the_truth(home: House) -> None:
    phone = a_number("919")
    asked = await home.shop.ask(phone)
    await home.shop.until(asked["id"], lambda payment: payment["status"] == "processing")
    home.text(phone, "0")
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.text_with(phone, "PAID")
    home.text(phone, "0")
    await home.text_with(phone, "PAID already")
    assert NOTHING_CHARGED.lower() not in " / ".join(await home.texts(phone)).lower()


@pytest.mark.money
async def test_of_two_requests_at_one_phone_each_code_pays_its_own_and_0_refuses_all(home: House) -> None:
    phone = a_number("002")
    cheap = await home.shop.ask(phone, amount=100)
    dear = await home.shop.ask(phone, amount=99_900)
    first, second = await home.code_in(phone, 1), await home.code_in(phone, 2)
    assert first != second
    home.text(phone, second)
    assert (await home.shop.until_final(dear["id"]))["status"] == "succeeded"
    assert [one.amount for one in home.evidence.charges(phone)] == [999]
    assert (await home.shop.payment(cheap["id"]))["status"] == "requires_consent"
    home.text(phone, first)
    assert (await home.shop.until_final(cheap["id"]))["status"] == "succeeded"
    assert [one.amount for one in home.evidence.charges(phone)] == [999, 1]
    others = [await home.shop.ask(phone) for _ in range(3)]
    await home.texts(phone, 7)
    home.text(phone, "0")
    for other in others:
        assert (await home.shop.until_final(other["id"]))["reason"] == "refused"
    assert len(home.evidence.charges(phone)) == 2


async def test_an_unclear_text_while_several_wait_shows_both_codes(home: House) -> None:
    phone = a_number("002")
    for amount in (100, 99_900):
        await home.shop.ask(phone, amount=amount)
    codes = [await home.code_in(phone, count) for count in (1, 2)]
    home.text(phone, "YES")
    answer = await home.text_with(phone, "2 requests")
    assert all(code in answer for code in codes)
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_stop_ends_what_waits_and_what_comes_until_start(home: House) -> None:
    phone = a_number("008")
    asked = await home.shop.ask(phone)
    stopped = await home.shop.until_final(asked["id"])
    assert (stopped["status"], stopped["reason"]) == ("failed", "refused")
    assert "Requests closed: 1. They charged nothing" in await home.text_with(phone, "Stopped")
    next_one = await home.shop.ask(phone)
    assert next_one["status"] == "pending"
    unavailable = await home.shop.until_final(next_one["id"])
    assert (unavailable["status"], unavailable["reason"]) == ("failed", "unavailable")
    assert len(await home.texts(phone)) == 2
    home.behave(phone, "pays")
    home.text(phone, "START")
    await home.text_with(phone, "Welcome back")
    assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["status"] == "succeeded"
    assert len(home.evidence.charges(phone)) == 1


IN_LANGUAGES = [
    ("sw", "Mkate", "KES 1,250.00: Mkate. KULIPA jibu ", "UMELIPA KES 1,250.00 kwa Mama Asha, "),
    ("fr", "Pain", "KES 1 250,00 : Pain. Pour PAYER répondez ", "PAYÉ KES 1 250,00 à Mama Asha, "),
    ("zh-Hant", "麵包", "Mama Asha請付KES 1,250.00（麵包）。", "已付KES 1,250.00給Mama Asha，"),
]


@pytest.mark.money
@pytest.mark.parametrize(("language", "goods", "asks", "paid"), IN_LANGUAGES, ids=[row[0] for row in IN_LANGUAGES])
async def test_a_phone_is_asked_and_answered_in_its_language(
    home: House, language: str, goods: str, asks: str, paid: str
) -> None:
    phone = a_number()
    asked = await home.shop.ask(phone, language=language, description=goods)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    ask, receipt = (await home.texts(phone, 2))[:2]
    assert asks in ask and "reply" not in ask
    assert receipt.startswith(paid)
    assert all(len(segment(text).parts) == 1 for text in (ask, receipt))


@pytest.mark.money
async def test_twenty_parallel_requests_under_one_key_ask_once(home: House) -> None:
    phone = a_number()
    body = {"amount": 5_000, "currency": "KES", "msisdn": phone, "description": "Bread"}
    answers = await asyncio.gather(*(home.shop.call("POST", "/v1/payments", body, key="k-1") for _ in range(20)))
    assert {answer.status for answer in answers} == {201}
    [payment_id] = {answer.body["id"] for answer in answers}
    assert len({str(answer.body) for answer in answers}) == 1
    other = await home.shop.call("POST", "/v1/payments", {**body, "amount": 6_000}, key="k-1")
    assert (other.status, other.body["code"]) == (422, "idempotency_mismatch")
    await home.shop.until_final(payment_id)
    await home.text_with(phone, "PAID")
    assert home.evidence.asks_of(phone) == 1 and len(home.evidence.charges(phone)) == 1
    assert [event["type"] for event in await home.shop.events()].count("payment.created") == 1


@pytest.mark.money
async def test_a_gateway_that_is_started_again_goes_on_where_it_was(home: House) -> None:
    waiting, charging, unasked = a_number("002"), a_number("011"), a_number("953")
    asked = [await home.shop.ask(phone) for phone in (waiting, charging, unasked)]
    code = await home.code_in(waiting)
    await home.shop.until(asked[1]["id"], lambda payment: payment["status"] == "processing")
    await home.stop()
    home.text(waiting, code)
    await home.start_again()
    for payment, phone in zip(asked, (waiting, charging, unasked), strict=True):
        assert (await home.shop.until_final(payment["id"]))["status"] == "succeeded"
        await home.text_with(phone, "PAID")
        assert len(home.evidence.charges(phone)) == 1
