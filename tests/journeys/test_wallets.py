"""Payments from wallets that ask for a PIN of their own: the outcome comes later, and sometimes not at all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.billers import stk
from tests.journeys.house import House, a_number, house, together

pytestmark = pytest.mark.journey


@pytest.fixture
async def mpesa(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database_url, tmp_path / "journal", called_back=True, wallets=("stk",), biller=stk) as opened:
        yield opened


async def ended(home: House, ending: str) -> tuple[str, str | None]:
    asked = await home.shop.ask(a_number(ending))
    found = await home.shop.until_final(asked["id"])
    return found["status"], found["reason"]


# The last three digits are those of docs/simulators.md.
OF_THE_PROMPT = {
    "555": ("succeeded", None),
    "971": ("failed", "limit_exceeded"),
    "972": ("failed", "refused"),
    "973": ("failed", "unreachable"),
    "974": ("failed", "wrong_code"),
    "980": ("succeeded", None),
    "984": ("succeeded", None),
    "985": ("succeeded", None),
    "986": ("succeeded", None),
}


@pytest.mark.money
async def test_a_prompted_wallet_pays_or_says_why_not(mpesa: House) -> None:
    async def ends(ending: str) -> None:
        assert await ended(mpesa, ending) == OF_THE_PROMPT[ending], ending

    async def is_pending_and_not_unknown() -> None:
        phone = a_number()
        asked = await mpesa.shop.ask(phone)
        paid = await mpesa.shop.until_final(asked["id"])
        assert (paid["status"], paid["outcome_unknown"]) == ("succeeded", False)
        [row] = mpesa.evidence.rows("SELECT carrier_reference FROM payment WHERE id = :id", id=asked["id"])
        assert row.carrier_reference.startswith("ws_CO_")
        assert len(mpesa.evidence.charges(phone)) == 1
        assert not [text for text in await mpesa.texts(phone) if "do not know yet" in text]

    async def is_not_pushed_again_and_the_callback_tells() -> None:
        phone = a_number("980")
        asked = await mpesa.shop.ask(phone)
        assert (await mpesa.shop.until_final(asked["id"]))["status"] == "succeeded"
        prompts = [one for one in mpesa.evidence.records("stk", "prompt") if one["msisdn"].lstrip("+") == phone[1:]]
        assert (len(prompts), len(mpesa.evidence.charges(phone))) == (1, 1)

    async def is_not_asked_for_cents() -> None:
        body = {"amount": 125_050, "currency": "KES", "description": "2 kg sugar", "msisdn": a_number()}
        refused = await mpesa.shop.call("POST", "/v1/payments", body)
        assert (refused.status, refused.body["code"]) == (422, "invalid_request")
        assert [error["field"] for error in refused.body["errors"]] == ["amount"]

    await together(
        *(ends(ending) for ending in OF_THE_PROMPT),
        is_pending_and_not_unknown(),
        is_not_pushed_again_and_the_callback_tells(),
        is_not_asked_for_cents(),
    )
