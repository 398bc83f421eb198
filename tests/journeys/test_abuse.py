"""Whoever floods phones, guesses codes or spends too much, over real sockets and by the simulators' own journals."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.caps import NO_CAPS, Caps
from gateway.core.limits import Limits
from simulators.reading import codes_in, wrong_codes
from tests.journeys.house import House, Shop, a_number, a_shop, house

pytestmark = pytest.mark.journey

MERCHANTS = ("BARAKA", "CHAPA", "DUKA", "ELIMU")
AN_HOUR_S = 3601
LOCKED_S = 1861
AT_ONCE = 25


@asynccontextmanager
async def capped(database: str, folder: Path, caps: Caps) -> AsyncIterator[tuple[House, list[Shop]]]:
    """A house whose carrier has these caps, and five merchants."""
    async with house(database, folder, caps=caps) as home:
        others = [home.shop.beside(a_shop(database, keyword).test_key) for keyword in MERCHANTS]
        yield home, [home.shop, *others]


async def flood(shops: list[Shop], phone: str, asks: int) -> Counter[str]:
    """How often merchants, who ask in turn and some at once, were answered in which way."""
    body = {"amount": 125_000, "currency": "KES", "msisdn": phone, "description": "Vegetable box"}
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(shop: Shop) -> str:
        async with turns:
            answer = await shop.call("POST", "/v1/payments", body)
        return "201" if answer.status == 201 else str(answer.body["code"])

    return Counter(await asyncio.gather(*(one(shops[n % len(shops)]) for n in range(asks))))


def submitted(home: House, phone: str) -> int:
    """How many texts the SMSC took for the phone."""
    return sum((one["msisdn"], one["status"]) == (phone, 0) for one in home.evidence.records("smsc", "submit"))


def is_ask(text: str) -> bool:
    return " asks KES " in text


@pytest.mark.slow
async def test_a_thousand_asks_of_five_shops_stop_at_the_caps_and_a_stop_in_their_midst_is_heard(
    database_url: str, tmp_path: Path
) -> None:
    async with capped(database_url, tmp_path / "journal", Caps(quiet_hours="")) as (home, shops):
        phone = a_number("002")
        seen = await flood(shops, phone, 500)
        assert submitted(home, phone) == 3 and all(map(is_ask, await home.texts(phone, 3)))
        assert seen["too_many_asks"] >= 250 and seen["201"] + seen["too_many_asks"] == 500, seen
        await home.settled()
        home.advance(AN_HOUR_S)
        await home.text_with(phone, "Time is over", count=3)
        flooding = asyncio.create_task(flood(shops, phone, 500))
        await home.text_with(phone, " asks KES ", count=4)
        home.text(phone, "STOP")
        await home.text_with(phone, "Stopped")
        seen = await flooding
        await home.settled()
        texts = home.evidence.texts()[phone]
        assert submitted(home, phone) == len(texts)
        stopped = next(n for n, text in enumerate(texts) if text.startswith("Stopped"))
        assert not any(map(is_ask, texts[stopped:])), texts
        assert 4 <= sum(map(is_ask, texts)) <= 6
        reasons = Counter(row.reason for row in home.evidence.rows("SELECT reason FROM payment"))
        assert set(reasons) == {"unavailable", "expired", "refused"} and reasons["expired"] == 3, reasons


@pytest.mark.money
async def test_a_locked_phone_is_charged_nothing_by_the_right_code(database_url: str, tmp_path: Path) -> None:
    caps = replace(NO_CAPS, wrong_codes_per_day=10, lock_s=1800.0)
    async with house(database_url, tmp_path / "journal", caps=caps) as home:
        phone = a_number("002")

        async def asked(nth: int) -> str:
            """The code of the phone's *nth* ask."""
            await home.shop.ask(phone)
            return codes_in(await home.text_with(phone, " asks KES ", count=nth))[0]

        for nth in range(1, 4):
            for wrong in wrong_codes(await asked(nth), 3):
                home.text(phone, wrong)
            await home.text_with(phone, "Too many wrong codes: the request", count=nth)
        right = await asked(4)
        home.text(phone, wrong_codes(right, 1)[0])
        await home.text_with(phone, "codes are not taken before")
        home.text(phone, right)
        await home.text_with(phone, "Time is over")
        assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["reason"] == "unavailable"
        assert home.evidence.charges() == []
        home.advance(LOCKED_S)
        home.text(phone, await asked(5))
        await home.text_with(phone, "PAID ")
        assert len(home.evidence.charges(phone)) == 1


@pytest.mark.money
async def test_a_phone_that_has_spent_its_limit_is_told_once_and_may_spend_what_is_left(
    database_url: str, tmp_path: Path
) -> None:
    async with house(database_url, tmp_path / "journal", limits=Limits(phone_day_amount=200_000)) as home:
        phone = a_number()
        first = await home.shop.ask(phone, amount=125_000)
        assert (await home.shop.until_final(first["id"]))["status"] == "succeeded"
        for _ in range(2):
            over = await home.shop.ask(phone, amount=75_001)
            assert (over["status"], over["reason"]) == ("failed", "limit_exceeded")
            assert await home.shop.event_types(over["id"]) == ["payment.created", "payment.failed"]
        rest = await home.shop.ask(phone, amount=75_000)
        assert (await home.shop.until_final(rest["id"]))["status"] == "succeeded"
        await home.text_with(phone, rest["receipt_ref"])
        assert sum("more than a limit allows" in text for text in await home.texts(phone)) == 1
        assert sum(one.amount for one in home.evidence.charges(phone)) == 2000
