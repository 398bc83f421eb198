"""Two gateway processes on one PostgreSQL, and whoever wants a payment's money at the same moment: a hundred seeds.

Refunds race refunds, captures race cancels, disputes race releases. Each loser is told 4xx, and in the end the journals
of the operator and the books agree to the cent (the fixture `pair` judges it).
"""

import asyncio
import random
from typing import Any

import pytest

from tests.journeys.house import SHORT_CODE, Answered, Shop, a_number
from tests.journeys.test_two_processes import Pair, pair  # noqa: F401 - a fixture

pytestmark = [pytest.mark.journey, pytest.mark.money]

SEEDS = 100
AT_ONCE = 8
REFUNDS_OF_THE_FIRST = 50
REFUNDS = 8


async def sold(shop: Shop, phone: str, **changes: object) -> dict[str, Any]:  # Any: JSON of the API.
    asked = await shop.ask(phone, **changes)
    return await shop.until_final(asked["id"])


async def told(*answers: Any) -> list[Answered]:  # Any: coroutines of requests.
    """All of them at once; each wins or is told why not."""
    found: list[Answered] = await asyncio.gather(*answers)
    assert all(answer.status < 300 or 400 <= answer.status < 500 for answer in found), found
    return found


async def refunds_race(pair: Pair, chance: random.Random, count: int) -> None:  # noqa: F811
    shops = list(pair.shops.values())
    paid = await sold(chance.choice(shops), a_number())
    amounts = [chance.choice((10_000, 25_000, 40_000)) for _ in range(count)]
    answers = await told(
        *(
            chance.choice(shops).call("POST", f"/v1/payments/{paid['id']}/refunds", {"amount": amount})
            for amount in amounts
        )
    )
    won = sum(amount for amount, answer in zip(amounts, answers, strict=True) if answer.status == 201)
    assert 0 < won <= paid["amount"]
    left = paid["amount"] - won
    assert all(amount > left for amount, answer in zip(amounts, answers, strict=True) if answer.status != 201)


async def capture_races_cancel(pair: Pair, chance: random.Random) -> None:  # noqa: F811
    first, second = chance.sample(list(pair.shops.values()), 2)
    asked = await first.ask(a_number(), capture="manual")
    await first.until(asked["id"], lambda payment: payment["status"] == "authorized")
    part = chance.choice((None, 100_000))
    path = f"/v1/payments/{asked['id']}"
    await told(
        first.call("POST", f"{path}/capture", {} if part is None else {"amount": part}),
        second.call("POST", f"{path}/cancel"),
        second.call("POST", f"{path}/capture", {}),
    )
    ended = await second.until_final(asked["id"])
    taken = ended["amount_captured"]
    assert taken in ((100_000, ended["amount"]) if ended["status"] == "succeeded" else (0,))


async def dispute_races_release(pair: Pair, chance: random.Random) -> None:  # noqa: F811
    shop, phone = chance.choice(list(pair.shops.values())), a_number()
    paid = await sold(shop, phone, capture="escrow")
    assert (await shop.call("POST", f"/v1/payments/{paid['id']}/fulfilment", {"what": "a box"})).status == 200
    words = [f"OK {paid['receipt_ref']}", f"DISPUTE {paid['receipt_ref']}"]
    for text in chance.sample(words, 2):
        pair.world.handsets.send(phone, SHORT_CODE, text)
    found = await shop.until(
        paid["id"], lambda payment: payment["escrow"] == "released" or payment["amount_disputed"] > 0
    )
    assert (found["escrow"] == "held") == (found["amount_disputed"] == found["amount"]) or found["escrow"] == "released"


async def test_of_all_who_want_the_same_money_at_once_each_cent_moves_once(pair: Pair) -> None:  # noqa: F811
    gate = asyncio.Semaphore(AT_ONCE)

    async def story(seed: int) -> None:
        chance = random.Random(seed)
        async with gate:
            match seed % 3:
                case 0:
                    await refunds_race(pair, chance, REFUNDS_OF_THE_FIRST if seed == 0 else REFUNDS)
                case 1:
                    await capture_races_cancel(pair, chance)
                case _:
                    await dispute_races_release(pair, chance)

    ended = await asyncio.gather(*(story(seed) for seed in range(SEEDS)), return_exceptions=True)
    wrong = {seed: error for seed, error in enumerate(ended) if error is not None}
    assert not wrong, wrong
    await pair.settled()
