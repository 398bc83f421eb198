"""What a phone can ask by itself: what it paid, a receipt, help, a purchase; and what it gets for nonsense."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.core.gsm import segment
from tests.journeys.house import SHORT_CODE, House, a_number, together

pytestmark = pytest.mark.journey

A_MINUTE_S = 61
TEN_MINUTES_S = 601
A_DAY_S = 24 * 3600 + 1
KEYWORDS = ("HELP", "LANG", "LIMIT", "MORE", "STOP", "START", "STOP ASHA", "START ASHA", "PAY ASHA 10", "RECEIPT 1")
REF = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{8}\b")


async def paid(home: House, phone: str, **changes: object) -> str:
    """The ref of a payment that *phone* made."""
    asked = await home.shop.ask(phone, **changes)
    found = await home.shop.until_final(asked["id"])
    assert found["status"] == "succeeded"
    await home.text_with(phone, found["receipt_ref"])
    return str(found["receipt_ref"])


async def answer_to(home: House, phone: str, words: str) -> str:
    """The next text that the phone gets after it sent *words*."""
    received = home.world.handsets.phone(phone).received
    home.text(phone, words)
    return (await home.texts(phone, received + 1))[-1]


@pytest.mark.money
async def test_the_record_shows_what_was_paid_newest_first_page_by_page(home: House) -> None:
    phone = a_number()
    refs = [await paid(home, phone, amount=100 * amount) for amount in range(1, 6)]
    first = await answer_to(home, phone, "HIST")
    pages = [first] + [await answer_to(home, phone, f"HIST {page}") for page in range(2, int(first[2]) + 1)]
    assert len(pages) > 1 and [page[:3] for page in pages] == [f"{n}/{len(pages)}" for n in range(1, len(pages) + 1)]
    assert [ref for page in pages for ref in REF.findall(page)] == refs[::-1]
    assert all(len(page) <= 160 for page in pages)
    # A page that is not there is the last one.
    assert await answer_to(home, phone, "HIST 99") == pages[-1]


@pytest.mark.money
async def test_what_was_refused_does_not_push_what_was_paid_out_of_the_record(home: House) -> None:
    phone = a_number()
    ref = await paid(home, phone)
    home.behave(phone, "silent")
    for _ in range(20):
        await home.shop.ask(phone)
    await home.texts(phone, 20)
    assert "Requests closed: 20" in await _stopped(home, phone)
    assert ref in await answer_to(home, phone, "HIST")


async def _stopped(home: House, phone: str) -> str:
    home.text(phone, "STOP")
    return await home.text_with(phone, "Stopped")


@pytest.mark.money
async def test_a_month_shows_that_month_and_an_empty_one_does_not_deny_the_others(home: House) -> None:
    phone = a_number()
    ref = await paid(home, phone)
    now = datetime.now(ZoneInfo("Africa/Nairobi"))
    assert ref in await answer_to(home, phone, f"HIST {now:%m/%Y}")
    other = await answer_to(home, phone, f"HIST {now:%m}/{now.year - 1}")
    assert "no payment of yours for that" in other and ref not in other


@pytest.mark.money
async def test_a_receipt_is_shown_to_its_own_phone_only(home: House) -> None:
    phone, stranger = a_number(), a_number()
    ref = await paid(home, phone)
    shown = await answer_to(home, phone, f"receipt {ref.lower()}")
    assert shown.startswith("PAID: KES 1,250.00 to Mama Asha") and ref in shown
    assert "We have no payment" in await answer_to(home, stranger, f"RECEIPT {ref}")
    assert "We have no payment" in await answer_to(home, phone, "RECEIPT 0000000")
    assert "no payment of yours" in await answer_to(home, stranger, "HIST")


async def test_help_is_given_in_words_and_in_the_language_of_the_last_ask(home: House) -> None:
    phone = a_number("002")
    assert (await answer_to(home, phone, "help")).startswith("Acme Pay: code PAYS, 0 refuses.")
    await home.shop.ask(phone, language="sw")
    await home.texts(phone, 2)
    assert "LIPA DUKA KIASI" in await answer_to(home, phone, "MSAADA")


IN_FRENCH = [
    ("RELEVE", "{day} Mama Asha KES 1 250,00 {ref}\nUn en détail : RECU et réf"),
    ("RECU {ref}", "PAYÉ : KES 1 250,00 à Mama Asha, "),
    ("AIDE", "Acme Pay : code PAIE, 0 refuse. "),
    ("STOP", "C'est fait : aucune boutique "),
    ("DEMARRER", "Bon retour : "),
]
IN_CHINESE = [
    ("明細", "{chinese_day} Mama Asha KES 1,250.00 {ref}\n看單筆：收據＋編號"),
    ("收據 {ref}", "已付款：KES 1,250.00，Mama Asha，"),
    ("幫助", "Acme Pay：碼付款，0拒絕，明細，"),
    ("停止", "已停止："),
    ("開始", "歡迎回來："),
]


@pytest.mark.money
@pytest.mark.parametrize(("language", "dialogue"), [("fr", IN_FRENCH), ("zh-Hant", IN_CHINESE)])
async def test_keywords_are_understood_and_answered_in_the_language_of_the_ask(
    home: House, language: str, dialogue: list[tuple[str, str]]
) -> None:
    phone = a_number()
    ref = await paid(home, phone, language=language)
    now = datetime.now(ZoneInfo("Africa/Nairobi"))
    names = {"ref": ref, "day": f"{now:%d/%m}", "chinese_day": f"{now:%m/%d}"}
    for words, begins in dialogue:
        answer = await answer_to(home, phone, words.format_map(names))
        assert answer.startswith(begins.format_map(names))
        assert len(segment(answer).parts) == 1


async def test_nonsense_is_answered_once_a_minute_and_five_times_a_day(home: House) -> None:
    phone = a_number()

    async def answers_to(count: int, words: str = "asdf qwer") -> int:
        """How many of *count* texts were answered: HELP, sent last, always is."""
        before = home.world.handsets.phone(phone).received
        for _ in range(count):
            home.text(phone, words)
        home.text(phone, "HELP")
        await home.text_with(phone, "PAY SHOP AMOUNT buys", count=next(helps))
        return home.world.handsets.phone(phone).received - before - 1

    helps = iter(range(1, 100))
    assert await answers_to(3) == 1
    assert await answers_to(2, "Who are you?") == 0
    for _ in range(4):
        home.advance(A_MINUTE_S)
        assert await answers_to(2) == 1
    home.advance(A_MINUTE_S)
    assert await answers_to(2) == 0
    home.advance(A_DAY_S)
    assert await answers_to(1) == 1


async def test_two_machines_do_not_talk_to_each_other_for_ever(home: House) -> None:
    async def machine(reply: str) -> None:
        """It answers every text with the same words, or with the text itself."""
        phone = a_number("002")
        await home.shop.ask(phone)
        home.text(phone, "hello?")
        for answered in range(12):
            await home.world.handsets.wait_for_texts(phone, answered + 1, 0.5)
            inbox = [one.text for one in home.world.handsets.phone(phone).inbox or ()]
            if len(inbox) <= answered:
                return
            home.text(phone, reply or f"FWD: {inbox[answered]}")
        raise AssertionError(f"{reply!r} was answered for ever: {await home.texts(phone)}")

    await together(*(machine(reply) for reply in ("", "I am away", "DISPUTE 0M6NZR2X", "?", "0", "no", *KEYWORDS)))
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_a_phone_reads_on_chooses_its_language_limits_itself_and_stops_a_shop(home: House) -> None:
    phone = a_number()
    refs = [await paid(home, phone, amount=100 * amount) for amount in range(1, 6)]
    first = await answer_to(home, phone, "HIST")
    assert first.startswith("1/2\n") and "Older: MORE" in first
    second = await answer_to(home, phone, "MORE")
    assert REF.findall(f"{first} {second}") == refs[::-1] and "MORE" not in second
    assert "nothing more to show" in await answer_to(home, phone, "more")
    assert "tutakuandikia kwa Kiswahili" in await answer_to(home, phone, "LANG SW")
    home.advance(A_MINUTE_S)
    assert "Hujaweka kikomo" in await answer_to(home, phone, "SALIO")
    await paid(home, phone)
    assert "KULIPA jibu" in await home.text_with(phone, "inaomba")
    assert "in English" in await answer_to(home, phone, "lugha english")
    assert "at most KES 99,999.00 a day" in await answer_to(home, phone, "LIMIT 99,999")
    assert "stays KES 99,999.00 a day: by text it only goes down" in await answer_to(home, phone, "LIMIT KES 100000")
    assert "Your limit is KES 99,999.00 a day. Used today: KES " in await answer_to(home, phone, "BAL")
    home.advance(A_MINUTE_S)
    assert "Stopped: Mama Asha" in await answer_to(home, phone, "stop asha")
    asked = await home.shop.until_final((await home.shop.ask(phone))["id"])
    assert (asked["status"], asked["reason"]) == ("failed", "unavailable")
    assert "To allow it again text START ASHA" in await answer_to(home, phone, "PAY ASHA 10")
    assert "Mama Asha can ask you for money again" in await answer_to(home, phone, "START ASHA")
    await paid(home, phone)
    assert len(home.evidence.charges(phone)) == 7


@pytest.mark.money
async def test_a_phone_buys_by_naming_the_shop_and_the_amount(home: House) -> None:
    phone = a_number()
    assert "Nothing is charged yet" in await answer_to(home, phone, "PAY ASHA 1250")
    order = (await home.shop.until_event(lambda event: event["type"] == "order.requested"))["data"]
    assert (order["msisdn"], order["amount"], order["currency"]) == (phone, 125_000, "KES")
    assert home.evidence.charges() == []
    asked = await home.shop.ask(order["msisdn"], amount=order["amount"], reference=order["id"])
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.text_with(phone, "PAID ")
    assert [one.amount for one in home.evidence.charges(phone)] == [1250]
    timeline = (await home.shop.call("GET", f"/v1/payments/{asked['id']}/timeline")).body
    assert all(step["at"] is not None for step in timeline["steps"][1:7]), timeline["steps"]


async def test_the_same_order_within_ten_minutes_is_passed_on_once(home: House) -> None:
    phone = a_number()

    async def orders() -> int:
        return [event["type"] for event in await home.shop.events()].count("order.requested")

    for words in ("PAY ASHA 1250", "pay asha 1,250.00", "Pay Asha KES 1250"):
        home.text(phone, words)
    await home.text_with(phone, "already", count=2)
    assert await orders() == 1
    assert "We told Mama Asha that" in await answer_to(home, phone, "PAY ASHA 300")
    assert "We told Mama Asha that" in await answer_to(home, a_number(), "PAY ASHA 1250")
    home.advance(TEN_MINUTES_S)
    assert "We told Mama Asha that" in await answer_to(home, phone, "PAY ASHA 1250")
    assert await orders() == 4


async def test_an_order_that_cannot_be_passed_on_is_answered_with_the_way_to_do_it(home: House) -> None:
    async def told(words: str, answer: str) -> None:
        phone = a_number()
        said = await answer_to(home, phone, words)
        assert answer in said and "Nothing was charged" in said, said

    await together(
        told("PAY ZEBRA 1250", "do not know a shop called ZEBRA"),
        told("PAY ASHA", "PAY ASHA 1250"),
        told("PAY ASHA 0", "PAY ASHA 1250"),
        told("PAY ASHA 1.234", "PAY ASHA 1250"),
        told("PAY ASHA 99999999999999999999", "PAY ASHA 1250"),
    )
    assert "order.requested" not in [event["type"] for event in await home.shop.events()]


async def test_a_text_to_another_short_code_is_heard_as_well(home: House) -> None:
    phone = a_number()
    home.world.handsets.send(phone, f"{SHORT_CODE}9", "HELP")
    await home.text_with(phone, "PAY SHOP AMOUNT buys")
