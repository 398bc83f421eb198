"""Payments over CAMARA carrier billing: at once, held first, given back, and with answers that are lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.billers import camara
from tests.journeys.house import House, a_number, house, together

pytestmark = pytest.mark.journey


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(
        database_url, tmp_path / "journal", called_back=True, wallets=("camara",), biller=camara
    ) as opened:
        yield opened


# The last three digits are those of docs/simulators.md.
OUTCOMES = {
    "555": ("succeeded", None),
    "911": ("failed", "limit_exceeded"),
    "912": ("failed", "not_subscriber"),
    "913": ("failed", "carrier_declined"),
    "011": ("succeeded", None),
    "916": ("succeeded", None),
    "917": ("succeeded", None),
    "920": ("succeeded", None),
    "924": ("succeeded", None),
}


@pytest.mark.money
async def test_a_payment_or_a_hold_ends_as_the_operator_says_once_it_says_so(home: House) -> None:
    async def ends(ending: str) -> None:
        phone = a_number(ending)
        asked = await home.shop.ask(phone)
        found = await home.shop.until_final(asked["id"])
        assert (found["status"], found["reason"]) == OUTCOMES[ending], ending
        assert len(home.evidence.charges(phone)) == (found["status"] == "succeeded"), ending

    held = _held_captured_and_given_back_in_parts(home), _held_and_let_go(home)
    await together(*(ends(ending) for ending in OUTCOMES), *held)


async def _held_captured_and_given_back_in_parts(home: House) -> None:
    phone = a_number()
    asked = await home.shop.ask(phone, capture="manual", hold="required")
    held = await home.shop.until(asked["id"], lambda payment: payment["status"] == "authorized")
    assert (held["funds_held"], home.evidence.charges(phone)) == (True, [])
    where = f"/v1/payments/{asked['id']}"
    assert (await home.shop.call("POST", f"{where}/capture")).status == 202
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    for part in (1_00, asked["amount"] - 1_00):
        made = await home.shop.call("POST", f"{where}/refunds", {"amount": part})
        assert made.status == 201, made.body
        await _refunded(home, made.body["id"])
    [charge] = home.evidence.charges(phone)
    assert sum(one.amount for one in home.evidence.refunds(phone)) == charge.amount


async def _refunded(home: House, refund_id: str) -> None:
    await home.shop.until_event(lambda one: one["data"]["id"] == refund_id and one["type"] == "refund.succeeded")


async def _held_and_let_go(home: House) -> None:
    phone = a_number()
    asked = await home.shop.ask(phone, capture="manual", hold="required")
    await home.shop.until(asked["id"], lambda payment: payment["status"] == "authorized")
    await home.shop.call("POST", f"/v1/payments/{asked['id']}/cancel")
    assert (await home.shop.until_final(asked["id"]))["status"] == "failed"
    assert home.evidence.charges(phone) == []
    assert [one["kind"] for one in home.evidence.records("camara", "released")] == ["released"]
