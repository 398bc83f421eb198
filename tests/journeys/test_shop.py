"""A phone that buys by itself, over real sockets: an item by SMS, a pay code by a USSD string, and a slip in one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.house import House, a_number, house
from tests.journeys.ussd_walks import DIAL, PIN, Dialler
from tests.journeys.ussd_ways import HTTP_CODE, over_http

pytestmark = pytest.mark.journey


@pytest.fixture
async def home(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(sqlite_url, tmp_path / "journal", ussd=over_http("form")) as opened:
        yield opened


async def made(home: House, path: str, **body: object) -> dict[str, Any]:  # Any: JSON of the API.
    answer = await home.shop.call("POST", path, body)
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.body
    return found


async def read(home: House, path: str) -> dict[str, Any]:  # Any: JSON of the API.
    found: dict[str, Any] = (await home.shop.call("GET", path)).body
    return found


async def bought(home: House, phone: str) -> dict[str, Any]:  # Any: JSON of the API.
    """The payment that the phone began, as its shop first heard of it: with the number whole."""
    created = await home.shop.until_event(
        lambda event: event["type"] == "payment.created" and event["data"]["msisdn"] == phone
    )
    payment: dict[str, Any] = created["data"]
    assert payment["initiated_by"] == "consumer"
    return payment


@pytest.mark.money
async def test_an_item_is_ordered_by_text_paid_and_counted_out_of_stock(home: House) -> None:
    item = await made(home, "/v1/items", number="12", name="Sugar 2kg", price=32_000, currency="KES", stock=2)
    phone, other = a_number(), a_number()
    home.behave(phone, "silent")
    home.text(phone, "ASHA 12")
    ask = await home.text_with(phone, "As you asked: KES 320.00 to Mama Asha for Sugar 2kg.")
    assert home.evidence.charges() == [] and (await read(home, f"/v1/items/{item['id']}"))["stock"] == 1
    home.text(phone, await home.code_in(phone))
    paid = await home.shop.until_final((await bought(home, phone))["id"])
    assert (paid["status"], paid["order"]["item_id"], paid["order"]["source"]) == ("succeeded", item["id"], "sms")
    await home.text_with(phone, "PAID KES 320.00 to Mama Asha")
    assert len(home.evidence.charges(phone)) == 1 and "Reply" not in ask
    home.behave(other, "refuses")
    home.text(other, "ASHA 12")
    await home.text_with(other, "You refused KES 320.00")
    assert (await read(home, f"/v1/items/{item['id']}"))["stock"] == 1, "what is refused can be sold again"


@pytest.mark.money
async def test_a_pay_code_is_dialled_and_paid_with_the_pin_and_a_slip_pays_nobody(home: House) -> None:
    code = await made(home, "/v1/pay_codes", amount=10_000, currency="KES", description="Bus ticket")
    dialler = Dialler(home, HTTP_CODE)
    digits, phone, does = code["code"], dialler.phone, dialler.does
    texted, dialled = (digits[:3] + str((int(digits[3]) + n) % 10) + digits[4:] for n in (1, 2))
    home.text(phone, f"PAY {texted}")
    await home.text_with(phone, "That is no pay code: a digit must be wrong. Nothing was charged.")
    for typed in (DIAL, "6", PIN, PIN):
        await does(typed)
    assert "a digit is wrong. Nothing was charged." in await does(f"*384*{dialled}#")
    assert "Mama Asha\nKES 100.00\nBus ticket\nEnter your PIN" in await does(f"*384*{digits}#")
    assert home.evidence.charges() == []
    assert "100.00" in await does(PIN)
    paid = await home.shop.until_final((await bought(home, phone))["id"])
    assert (paid["status"], paid["order"]["pay_code_id"]) == ("succeeded", code["id"])
    assert (await read(home, f"/v1/pay_codes/{code['id']}"))["status"] == "used"
    assert len(home.evidence.charges(phone)) == 1
    home.text(phone, f"PAY {digits}")
    await home.text_with(phone, "This pay code is not known, used already or too old. Nothing was charged.")
    assert len(home.evidence.charges(phone)) == 1
