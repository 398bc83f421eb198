"""The balance over HTTP: what the ledger says, in the caller's mode, of nobody else."""

import msgspec
import pytest

from merchants.balance import Balance
from tests.merchants.shop import Shop, a_number


async def balance(shop: Shop, secret: str | None = None) -> Balance:
    answer = await shop.call("GET", "/v1/balance", secret=secret)
    assert answer.status == 200
    return msgspec.json.decode(answer.body, type=Balance)


async def test_without_payments_there_is_no_currency(shop: Shop) -> None:
    await shop.create()
    found = await balance(shop)
    assert (found.mode, found.currencies) == ("test", [])


@pytest.mark.money
async def test_a_payment_that_succeeds_is_pending_at_once(shop: Shop) -> None:
    await shop.succeed(amount=125_000)
    await shop.succeed(amount=1)
    yen = await shop.create(amount=700, currency="JPY", msisdn="+819012345678")
    await shop.ask(yen)
    await shop.reply(yen)
    await shop.charge(yen)
    found = await balance(shop)
    assert [(one.currency, one.pending, one.available) for one in found.currencies] == [
        ("JPY", 700, 0),
        ("KES", 125_001, 0),
    ]


@pytest.mark.money
async def test_nobody_sees_the_balance_of_another_or_of_the_other_mode(shop: Shop) -> None:
    await shop.succeed(msisdn=a_number())
    for secret in (shop.mine.live_key, shop.other.test_key, shop.other.live_key):
        assert (await balance(shop, secret)).currencies == []
