"""The fees of a payment over HTTP: as its schedule says, and nobody else's."""

import pytest
from sqlalchemy import Connection

from gateway.core.fees import FeeSchedule, Rates, Tier
from gateway.core.ids import is_id
from gateway.store import fee_schedules
from tests.merchants.shop import Shop

SCHEDULE = FeeSchedule(
    name="standard",
    rates=(
        Rates(currency="KES", carrier_share_basis_points=2_400, vat_basis_points=1_600, tiers=(Tier(fixed_minor=500),)),
    ),
)


def give(conn: Connection, merchant_id: str) -> None:
    fee_schedules.assign(conn, merchant_id, fee_schedules.add_schedule(conn, SCHEDULE, 1).id)


async def test_without_a_schedule_nothing_is_taken(shop: Shop) -> None:
    paid = await shop.succeed(amount=125_000)
    found = (await shop.call("GET", f"/v1/payments/{paid['id']}/fees")).json
    assert (found["amount_captured"], found["total"], found["fee_schedule"]) == (125_000, 0, None)


@pytest.mark.money
async def test_a_payment_tells_what_was_taken_of_it_and_the_balance_has_the_rest(shop: Shop) -> None:
    await shop.batcher.call(lambda unit: give(unit.conn, shop.mine.id))
    asked = await shop.create(amount=125_000)
    address = f"/v1/payments/{asked['id']}/fees"
    before = (await shop.call("GET", address)).json
    assert (before["amount_captured"], before["total"]) == (0, 0)
    assert is_id(before["fee_schedule"], "fee_")
    await shop.ask(asked)
    await shop.reply(asked)
    await shop.charge(asked)
    assert (await shop.call("GET", address)).json == before | {
        "amount_captured": 125_000,
        "fees": [
            {"kind": "carrier_share", "taken": 30_000, "returned": 0},
            {"kind": "fee", "taken": 500, "returned": 0},
            {"kind": "vat", "taken": 80, "returned": 0},
            {"kind": "withholding", "taken": 0, "returned": 0},
            {"kind": "dispute_fee", "taken": 0, "returned": 0},
        ],
        "total": 30_580,
    }
    balance = (await shop.call("GET", "/v1/balance")).json
    assert [one["pending"] for one in balance["currencies"]] == [125_000 - 30_580]


async def test_nobody_sees_the_fees_of_another(shop: Shop) -> None:
    paid = await shop.create()
    for secret in (shop.mine.live_key, shop.other.test_key):
        assert (await shop.call("GET", f"/v1/payments/{paid['id']}/fees", secret=secret)).code == "not_found"
    assert (await shop.call("GET", "/v1/payments/pay_1/fees")).code == "not_found"
