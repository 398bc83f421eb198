"""What leads a phone to a text, by SMS, and by screen or page where the text tells of one: a story each, for one phone.

None of them needs an hour to pass, or anything of the house that another story cannot bear: those are in `sms_walks`.
"""

import re
from typing import Any, Final

import aiohttp

from gateway.core.money import Money, format_money
from simulators.faults import Fault, Scripted
from simulators.reading import wrong_codes
from tests.journeys.house import WAIT_S
from tests.journeys.processes import until
from tests.journeys.talks import Talk
from tests.journeys.test_escrow import shipped
from tests.journeys.test_shop import made
from tests.journeys.ussd_deeds import ELSEWHERE, limited_elsewhere
from tests.journeys.ussd_walks import DIAL, PIN

QUESTION: Final = {"en": "who is this?", "sw": "nani huyu?", "fr": "c'est qui ?", "zh-Hant": "您是誰？"}
OUTCOMES: Final = {"en": "PAID", "sw": "IMELIPWA", "fr": "PAYÉ", "zh-Hant": "已付款"}


async def buys(talk: Talk) -> None:
    """S1, S6, S4, S11, S13, S14."""
    payment = await talk.asked()
    ref = payment["receipt_ref"]
    code = (await talk.reads("ask"))["code"]
    talk.says(wrong_codes(code, 1)[0])
    await talk.reads("wrong_code")
    talk.says(code)
    await talk.reads("paid", ref=ref)
    talk.says(code)
    await talk.reads("already_paid", ref=ref)
    talk.says("HIST")
    assert ref in (await talk.reads("statement"))["lines"]
    talk.says(f"RECEIPT {ref}")
    await talk.reads("receipt", outcome=OUTCOMES[talk.language], ref=ref)
    talk.says("DISPUTE")
    await talk.reads("dispute_how", ref=ref)
    talk.says(f"DISPUTE {ref}")
    await talk.reads("dispute_opened", ref=ref)
    talk.says("STATUS")
    await talk.reads("status_dispute_open", ref=ref)


async def refuses(talk: Talk) -> None:
    """S20, S5, and what can be said of a request that was not one's own."""
    payment = await talk.asked()
    code = (await talk.reads("ask"))["code"]
    talk.says(QUESTION[talk.language])
    await talk.reads("not_understood", code=code)
    talk.says("STATUS")
    await talk.reads("status_waiting", code=code)
    talk.says("0")
    await talk.reads("refused", ref=payment["receipt_ref"])
    talk.says(f"DISPUTE {payment['receipt_ref']}")
    await talk.reads("dispute_impossible", ref=payment["receipt_ref"])
    talk.says(f"REPORT {payment['receipt_ref']}")
    await talk.reads("reported", ref=payment["receipt_ref"])


WRONG_CODES_A_DAY: Final = 4


async def guesses(talk: Talk) -> None:
    """S7, and once more: that was one too many for a day."""
    await talk.asked()
    code = (await talk.reads("ask"))["code"]
    for tries, wrong in enumerate(wrong_codes(code, 3)):
        talk.says(wrong)
        await talk.reads("wrong_code", tries=str(2 - tries)) if tries < 2 else await talk.reads("locked")
    await talk.asked()
    talk.says(wrong_codes((await talk.reads("ask"))["code"], 1)[0])
    await talk.reads("phone_locked")


async def has_two(talk: Talk) -> None:
    """S2; one is paid and reported, the other one is taken back by its shop."""
    first, second = await talk.asked(), await talk.asked()
    codes = [(await talk.reads("ask"))["code"] for _ in range(2)]
    talk.says(QUESTION[talk.language])
    told = await talk.reads("several")
    assert {told["code"], told["code2"]} == set(codes)
    answer = await talk.home.shop.call("POST", f"/v1/payments/{second['id']}/cancel")
    assert answer.status == 200
    await talk.reads("cancelled", ref=second["receipt_ref"])
    talk.says(codes[0])
    await talk.reads("paid", ref=first["receipt_ref"])
    talk.says(f"REPORT {first['receipt_ref']}")
    await talk.reads("report_disputed", ref=first["receipt_ref"])


async def is_asked_by_two_shops(talk: Talk) -> None:
    """A report that names nothing is about nobody."""
    other = talk.room.home.shop.beside(talk.room.juma)
    await talk.asked()
    await talk.reads("ask")
    asked = await other.ask(talk.phone, language=talk.language)
    await talk.reads("ask", shop="Mama Juma")
    talk.says("REPORT")
    await talk.reads("report_which")
    talk.says("0")
    refs = {(await talk.reads("refused", shop=shop))["ref"] for shop in ("Mama Asha", "Mama Juma")}
    assert asked["receipt_ref"] in refs


async def has_too_little(talk: Talk) -> None:
    """S9: it tops up and answers by itself."""
    payment = await talk.asked()
    await talk.reads("ask")
    await talk.reads("low_balance")
    await talk.reads("paid", ref=payment["receipt_ref"])


async def is_declined(talk: Talk) -> None:
    talk.home.world.plan.add(Scripted(point="billing.charge", fault="limit_exceeded", msisdn=talk.phone, times=1))
    payment = await talk.asked()
    talk.says((await talk.reads("ask"))["code"])
    await talk.reads("declined", ref=payment["receipt_ref"])


async def agrees_and_thinks_better_of_it(talk: Talk) -> None:
    """The shop takes the money later, and so has not taken it yet."""
    payment = await talk.asked(capture="manual")
    talk.says((await talk.reads("ask"))["code"])
    await talk.home.shop.until(payment["id"], lambda one: one["status"] == "authorized")
    talk.says("STATUS")
    await talk.reads("status_agreed", ref=payment["receipt_ref"])
    talk.says("0")
    await talk.reads("refused", ref=payment["receipt_ref"])


async def _in_doubt(talk: Talk) -> dict[str, Any]:  # Any: JSON of the API.
    """The charge's answer is lost and the carrier is mute, until `_heard`."""
    plan, phone = talk.home.world.plan, talk.phone
    plan.add(Scripted(point="billing.charge", fault="timeout_charged", msisdn=phone, times=1))
    plan.set_for_number(phone, "billing.inquiry", Fault(name="error_before"))
    payment = await talk.asked()
    talk.says((await talk.reads("ask"))["code"])
    await talk.reads("unknown_outcome", ref=payment["receipt_ref"])
    return payment


def _heard(talk: Talk) -> None:
    talk.home.world.plan.set_for_number(talk.phone, "billing.inquiry", None)


async def is_in_doubt(talk: Talk) -> None:
    """S10."""
    payment = await _in_doubt(talk)
    talk.says("STATUS")
    await talk.reads("status_checking", ref=payment["receipt_ref"])
    _heard(talk)
    await talk.reads("paid", ref=payment["receipt_ref"])


async def was_charged_for_nothing(talk: Talk) -> None:
    """Its shop wanted no more when the operator said that it had taken the money."""
    payment = await _in_doubt(talk)
    answer = await talk.home.shop.call("POST", f"/v1/payments/{payment['id']}/cancel")
    assert answer.status == 202, answer.body
    _heard(talk)
    await talk.reads("reversed", ref=payment["receipt_ref"])


async def is_given_back(talk: Talk) -> None:
    """S12; the operator takes its time."""
    payment = await talk.pays()
    ref, billing = payment["receipt_ref"], talk.home.world.billing
    talk.home.world.plan.add(Scripted(point="billing.refund", fault="processing", msisdn=talk.phone, times=1))
    answer = await talk.home.shop.call("POST", f"/v1/payments/{payment['id']}/refunds", {"amount": 125_000})
    assert answer.status in (201, 202), answer.body
    await until(lambda: _held(talk), WAIT_S, "a refund that is under way")
    talk.says(f"STATUS {ref}")
    await talk.reads("status_refunding", ref=ref)
    billing.execute_late(_held(talk)[0])
    await talk.reads("refunded", ref=ref)
    talk.says(f"STATUS {ref}")
    await talk.reads("refunded", ref=ref)


def _held(talk: Talk) -> list[str]:
    """What the operator has begun for the phone and not ended."""
    billing = talk.home.world.billing
    return [one for one in billing.held if billing.book.transactions[one].order.msisdn == talk.phone]


async def limits_itself(talk: Talk) -> None:
    """S16 and S15."""
    money = {n: talk.money(n * 100) for n in (0, 900)}
    await talk.chooses()
    talk.says("BAL")
    await talk.reads("limit_none", used=money[0])
    talk.says("LIMIT 900")
    await talk.reads("limit_set", limit=money[900], used=money[0])
    talk.says("BAL")
    await talk.reads("limit", limit=money[900], used=money[0])
    talk.says("LIMIT 2000")
    await talk.reads("limit_higher", limit=money[900])
    talk.says("LIMIT ASHA")
    await talk.reads("limit_format")
    payment = await talk.asked()
    await talk.reads("over_limit", ref=payment["receipt_ref"])


async def has_a_limit_at_another_carrier(talk: Talk) -> None:
    """In another currency, set by somebody at the care line."""
    await talk.chooses()
    await talk.home.gateway.batcher.offer(limited_elsewhere(talk.phone))
    limit, used = (format_money(Money(minor, "TZS"), talk.language) for minor in (ELSEWHERE.amount_minor, 0))
    await talk.reads("limit_set", limit=limit, used=used)
    talk.says("LIMIT 900")
    await talk.reads("limit_elsewhere", limit=limit)


async def asks_for_itself(talk: Talk) -> None:
    """S18, S20 and S13 where there is nothing to tell."""
    await talk.chooses()
    for words, template in (
        ("HELP", "help"),
        ("HIST", "statement_empty"),
        ("MORE", "more_nothing"),
        ("STATUS", "status_none"),
        ("REPORT", "report_nothing"),
    ):
        talk.says(words)
        await talk.reads(template)


async def names_what_is_not_there(talk: Talk) -> None:
    await talk.chooses()
    talk.says("RECEIPT 12345678")
    await talk.reads("receipt_not_found", ref="12345678")
    talk.says(QUESTION[talk.language])
    await talk.reads("not_understood_nothing_waiting")
    talk.says("PAY ZEBRA 10")
    await talk.reads("shop_unknown", shop="ZEBRA")
    talk.says("PAY ASHA")
    await talk.reads("pay_format")
    talk.says("DISPUTE")
    await talk.reads("dispute_none")


async def stops(talk: Talk) -> None:
    """S17."""
    await talk.asked()
    await talk.reads("ask")
    if talk.room.hears(talk, "STOP"):
        talk.says("STOP ASHA")
        await talk.reads("stopped_shop", count="1")
        talk.says("START ASHA")
        await talk.reads("started_shop")
        talk.says("STOP")
        await talk.reads("stopped", count="0")
        talk.says("START")
        await talk.reads("started")
    else:
        talk.says("0")
        await talk.reads("refused")


async def orders(talk: Talk) -> None:
    """S19, and nobody is kept waiting for having refused before."""
    await talk.chooses()
    talk.says("PAY ASHA 1250")
    await talk.reads("order_passed")
    talk.says("PAY ASHA 1250")
    await talk.reads("duplicate_order")
    payment = await talk.home.shop.ask(talk.phone)
    talk.says((await talk.reads("pay_ask"))["code"])
    await talk.reads("paid", ref=payment["receipt_ref"])
    [consent] = talk.home.evidence.rows("SELECT template FROM consent WHERE payment_id = :id", id=payment["id"])
    assert consent.template == "pay_ask"


async def reads_on(talk: Talk) -> None:
    """S13, where there is more than a page."""
    for _ in range(4):
        await talk.pays()
    talk.says("HIST")
    await talk.reads("statement_more")


async def waits_for_its_goods(talk: Talk) -> None:
    payment = await talk.pays(capture="escrow")
    ref = payment["receipt_ref"]
    talk.says("STATUS")
    await talk.reads("status_escrow", ref=ref)
    await shipped(talk.home, payment["id"])
    await talk.reads("goods_sent", ref=ref)
    talk.says(f"OK {ref}")
    await talk.reads("escrow_released", ref=ref)
    talk.says(f"OK {ref}")
    await talk.reads("escrow_nothing", ref=ref)


async def disputed(talk: Talk) -> str:
    """S14; the dispute's id."""
    payment = await talk.pays()
    talk.says(f"DISPUTE {payment['receipt_ref']}")
    await talk.reads("dispute_opened", ref=payment["receipt_ref"])
    opened = await talk.home.shop.until_event(
        lambda event: event["type"] == "dispute.opened" and event["data"]["payment_id"] == payment["id"]
    )
    return str(opened["data"]["id"])


async def is_right(talk: Talk) -> None:
    """Its shop says so itself."""
    dispute_id = await disputed(talk)
    answer = await talk.home.shop.call("POST", f"/v1/disputes/{dispute_id}/accept", {})
    assert answer.status == 200, answer.body
    await talk.reads("dispute_upheld")
    await talk.reads("refunded")


async def wants_what_is_not_sold(talk: Talk) -> None:
    await talk.chooses()
    number, currency = talk.phone[-6:-3], talk.room.price.currency
    gone = await made(talk.home, "/v1/items", number=number, name="Sugar 2kg", price=100, currency=currency, stock=0)
    talk.says(f"ASHA {gone['number']}")
    await talk.reads("item_unavailable", item="Sugar 2kg")
    talk.says("ASHA COFFEE")
    await talk.reads("item_unknown", item="COFFEE")
    # Three letters alone may be a currency, which is no item's number.
    word = "Q" + "".join(chr(ord("A") + int(digit)) for digit in number)
    most = await made(talk.home, "/v1/items", number=word, name="Gold", price=999_999_999, currency=currency)
    code = await made(talk.home, "/v1/pay_codes", item_id=most["id"], quantity=2)
    talk.says(f"PAY {code['code']}")
    await talk.reads("order_not_now")


async def has_a_pay_code(talk: Talk) -> None:
    """A slip in it, one that is none any more, one that needs an amount, and one that has another."""
    await talk.chooses()
    terms = {"currency": "KES", "description": "Bus ticket"}
    ended, opened, fixed = [
        await made(talk.home, "/v1/pay_codes", **terms, **more)
        for more in ({}, {}, {"amount": talk.room.price.amount_minor})
    ]
    digits = fixed["code"]
    talk.says(f"PAY {digits[:3]}{(int(digits[3]) + 1) % 10}{digits[4:]}")
    await talk.reads("pay_code_wrong")
    await talk.home.shop.call("DELETE", f"/v1/pay_codes/{ended['id']}")
    talk.says(f"PAY {ended['code']}")
    await talk.reads("pay_code_gone")
    talk.says(f"PAY {opened['code']}")
    await talk.reads("pay_code_amount", pay_code=opened["code"])
    talk.says(f"PAY {digits} 500")
    await talk.reads("pay_code_fixed", pay_code=digits)


async def makes_a_pin(talk: Talk) -> None:
    """It texts a wrong code and the PIN itself, and forgets it."""
    await talk.chooses()
    await talk.dials(DIAL, "6", PIN, PIN)
    await talk.reads("pin_changed")
    await talk.asked()
    code = (await talk.reads("ask"))["code"]
    talk.says(wrong_codes(code, 1)[0])
    await talk.reads("wrong_code_pin")
    talk.says(f"pin {PIN}")
    await talk.reads("pin_texted")
    talk.says(code)
    await talk.reads("paid")
    await talk.dials(DIAL, "6", "2")
    await talk.reads("pin_forgotten")


async def logs_in(talk: Talk) -> None:
    await talk.chooses()
    await talk.pays()
    page = f"{talk.home.gateway.url}/me"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(page) as shown:
            form = re.search(r'name="form" value="(\w+)"', await shown.text())
        assert form is not None
        async with browser.post(f"{page}/login", data={"form": form[1], "phone": talk.phone}) as answer:
            assert answer.status == 200
    code = (await talk.reads("page_code"))["code"]
    assert len(code) == 6
