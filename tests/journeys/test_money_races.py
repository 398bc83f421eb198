"""Two gateway processes on one PostgreSQL, and whoever wants a payment's money at the same moment: a hundred seeds.

Each seed plays all stories: refunds race refunds, captures race cancels, disputes race releases and refunds; and of
orders whose answers were lost callbacks, inquiries and files tell at once. Each loser is told 4xx, and in the end the
journals of the operator and the books agree to the cent.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.journeys.house import SHORT_CODE, Answered, Shop, a_number
from tests.journeys.lost_answers import Lost, Moment, called_back
from tests.journeys.pair import WAIT_S, Pair, two_processes
from tests.journeys.processes import Nursery

pytestmark = [pytest.mark.journey, pytest.mark.money]

SEEDS = 100
AT_ONCE = 16
REFUNDS = 50
SEEDS_OF_A_FILE = 10
FILES_AT_ONCE = 4

Story = Callable[[int, random.Random], Awaitable[None]]


@pytest.fixture
async def rivals(postgres_url: str, tmp_path: Path, processes: Nursery) -> AsyncIterator[Pair]:
    """Two processes that are called back and take files. In the end each payment's money was moved once."""
    async with two_processes(postgres_url, tmp_path, processes, called_back) as opened:
        for shop in opened.shops.values():
            shop.pause_s = 0.05  # Many wait at once.
        yield opened
        await opened.settled()
        judge_payments(opened)
    # Behind the look for codes in all that was printed: how many entries there are may be one.
    verify = opened.command("ledger", "verify")
    assert await verify.ended(WAIT_S) == 0, verify.out()


def judge_payments(pair: Pair) -> None:
    """One charge, one capture, one end for each; to each phone's cent what the operator did stands in the books."""
    pair.evidence.judge_one_charge_a_phone()
    pair.evidence.judge_each_phone()
    twice = "SELECT payment_id FROM entry WHERE kind = 'capture' GROUP BY payment_id HAVING count(*) > 1"
    assert pair.evidence.rows(twice) == []
    ends = (
        "SELECT p.id, count(e.id) FROM payment p LEFT JOIN event e ON e.payment_id = p.id"
        " AND e.type IN ('payment.succeeded', 'payment.failed') GROUP BY p.id HAVING count(e.id) <> 1"
    )
    assert pair.evidence.rows(ends) == []


async def sold(shop: Shop, phone: str, **changes: object) -> dict[str, Any]:  # Any: JSON of the API.
    asked = await shop.ask(phone, **changes)
    return await shop.until_final(asked["id"])


async def told(*answers: Any) -> list[Answered]:  # Any: coroutines of requests.
    """All of them at once; each wins or is told why not."""
    found: list[Answered] = await asyncio.gather(*answers)
    assert all(answer.status < 300 or 400 <= answer.status < 500 for answer in found), found
    return found


async def refunds_race(pair: Pair, chance: random.Random) -> None:
    shops = list(pair.shops.values())
    # What is left has more digits than a code, or it might be taken for one that was told.
    paid = await sold(chance.choice(shops), a_number(), amount=1_250_000)
    amounts = [chance.randrange(10_000, 500_001, 10_000) for _ in range(REFUNDS)]
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


async def capture_races_cancel(pair: Pair, chance: random.Random) -> None:
    first, second = chance.sample(list(pair.shops.values()), 2)
    asked = await first.ask(a_number(), capture="manual")
    await first.until(asked["id"], lambda payment: payment["status"] == "authorized")
    part = chance.choice((None, 100_000))
    path = f"/v1/payments/{asked['id']}"
    requests = [
        first.call("POST", f"{path}/capture", {} if part is None else {"amount": part}),
        second.call("POST", f"{path}/cancel"),
        second.call("POST", f"{path}/capture", {}),
    ]
    order = chance.sample(range(len(requests)), len(requests))
    answers = await told(*(requests[n] for n in order))
    captures_won = sum(answer.status < 300 for n, answer in zip(order, answers, strict=True) if n != 1)
    assert captures_won <= (2 if part is None else 1), answers  # The same capture again is the same answer.
    ended = await second.until_final(asked["id"])
    taken = ended["amount_captured"]
    assert captures_won or not taken, answers
    assert taken in ((100_000, ended["amount"]) if ended["status"] == "succeeded" else (0,))


async def dispute_races_release_and_refund(pair: Pair, chance: random.Random) -> None:
    shop, phone = chance.choice(list(pair.shops.values())), a_number()
    paid = await sold(shop, phone, capture="escrow")
    path = f"/v1/payments/{paid['id']}"
    assert (await shop.call("POST", f"{path}/fulfilment", {"what": "a box"})).status == 200
    words = [f"OK {paid['receipt_ref']}", f"DISPUTE {paid['receipt_ref']}"]
    for text in chance.sample(words, 2):
        pair.world.handsets.send(phone, SHORT_CODE, text)
    # The texts pass the network meanwhile.
    await asyncio.sleep(chance.uniform(0, 0.1))
    [refund] = await told(chance.choice(list(pair.shops.values())).call("POST", f"{path}/refunds", {"amount": 50_000}))
    found = await shop.until(
        paid["id"], lambda payment: payment["escrow"] == "released" or payment["amount_disputed"] > 0
    )
    back = 50_000 if refund.status == 201 else 0
    assert found["amount_disputed"] in (0, found["amount"] - back)


async def test_of_all_who_want_the_same_money_at_once_each_cent_moves_once(rivals: Pair) -> None:
    async def story(seed: int, chance: random.Random) -> None:
        await refunds_race(rivals, chance)
        await capture_races_cancel(rivals, chance)
        await dispute_races_release_and_refund(rivals, chance)

    await played(story, SEEDS, AT_ONCE)


async def test_a_lost_answer_that_callbacks_inquiries_and_files_tell_at_once_counts_once(
    rivals: Pair, tmp_path: Path
) -> None:
    # An operator opens a connection for each call.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:

        async def story(number: int, _: random.Random) -> None:
            seeds = range(number * SEEDS_OF_A_FILE, (number + 1) * SEEDS_OF_A_FILE)
            paid = await lost_charges(rivals, seeds, Moment(rivals, tmp_path, 2 * number, http))
            await lost_refunds(rivals, paid, Moment(rivals, tmp_path, 2 * number + 1, http))

        await played(story, SEEDS // SEEDS_OF_A_FILE, FILES_AT_ONCE)


async def lost_charges(
    pair: Pair, seeds: range, moment: Moment
) -> list[tuple[Lost, dict[str, Any]]]:  # Any: JSON of the API.
    """What has been paid in the end."""
    asked: dict[str, Lost] = {}

    async def begin(seed: int) -> None:
        chance = random.Random(seed)
        shop = chance.choice(list(pair.shops.values()))
        lost = Lost.chosen(seed, chance, phone=a_number(), shop=shop, point="charge")
        moment.begin(lost)
        asked[(await lost.shop.ask(lost.phone))["id"]] = lost

    await asyncio.gather(*(begin(seed) for seed in seeds))
    await moment.comes()
    paid = []
    for payment_id, lost in asked.items():
        ended = await lost.shop.until_final(payment_id)
        moment.judge(lost, ended)
        paid += [(lost, ended)] if ended["status"] == "succeeded" else []
    return paid


async def lost_refunds(
    pair: Pair, paid: list[tuple[Lost, dict[str, Any]]], moment: Moment
) -> None:  # Any: JSON of the API.
    async def begin(of: Lost, payment: dict[str, Any]) -> None:  # Any: JSON of the API.
        chance = of.chance
        shop = chance.choice(list(pair.shops.values()))
        lost = Lost.chosen(of.seed, chance, phone=of.phone, shop=shop, point="refund")
        moment.begin(lost)
        path = f"/v1/payments/{payment['id']}/refunds"
        made = await shop.call("POST", path, {"amount": chance.randint(10_000, 125_000)})
        assert made.status == 201, made.body

    await asyncio.gather(*(begin(of, payment) for of, payment in paid))
    await moment.comes()
    for lost in moment.orders:
        moment.judge(lost, await lost.shop.until_refunded(lost.id))


async def played(story: Story, count: int, at_once: int) -> None:
    """Play *story* with each seed, some of them at once; all that went wrong is told by its seed."""
    gate = asyncio.Semaphore(at_once)

    async def play(seed: int) -> None:
        async with gate:
            await story(seed, random.Random(seed))

    ended = await asyncio.gather(*(play(seed) for seed in range(count)), return_exceptions=True)
    wrong = {seed: error for seed, error in enumerate(ended) if error is not None}
    assert not wrong, wrong
