"""Two gateway processes on one PostgreSQL: whatever arrives at one is done once, by whichever owns the lane.

One of them is frozen for longer than its leases, told to stop, or asked for what only the other can do. Readers poll
the feed at both all the time and must never see a gap or another order.
"""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import pytest

from simulators.reading import codes_in
from tests.journeys.house import FINAL, SHORT_CODE, Answered, Shop, a_number, a_shop
from tests.journeys.pair import BIND, CHARGES_AT_ONCE, HEARTBEAT_S, LEASE_S, READ_S, WAIT_S, Pair, config_of
from tests.journeys.processes import GatewayProcess, Nursery, until

pytestmark = [pytest.mark.journey, pytest.mark.money]

CHARGES: Final = "charge:acme:0"
# Many leases long; FREEZE_S makes it shorter where somebody waits for it. `conftest.py` lets the long one begin first.
FREEZE_S: Final = float(os.environ.get("FREEZE_S", "60"))
SHORT_FREEZE_S: Final = LEASE_S + 2.0
# Of one that is handed over in good order: no lease is waited for, of which the last heartbeat left that much at least.
# On an idle machine it is a fifth of a second.
LINK_AWAY_MAX_S: Final = LEASE_S - 2 * HEARTBEAT_S


async def test_what_is_asked_for_at_one_process_is_done_by_the_owner_of_the_bind(pair: Pair) -> None:
    phone, far = a_number(), pair.shops[pair.other(pair.owner(BIND))]
    paid = await far.until_final((await far.ask(phone))["id"])
    assert paid["status"] == "succeeded"
    await pair.settled()
    assert pair.evidence.texts()[phone][-1].startswith("PAID")


async def test_two_hundred_posts_with_one_key_at_both_are_one_payment(pair: Pair, postgres_url: str) -> None:
    key, body = "one-basket", {"amount": 125_000, "currency": "KES", "msisdn": a_number(), "description": "Box"}

    async def post(shops: dict[str, Shop], n: int, amount: int = 125_000) -> Answered:
        return await shops["ab"[n % 2]].call("POST", "/v1/payments", {**body, "amount": amount}, key=key)

    same = await asyncio.gather(*(post(pair.shops, n) for n in range(200)))
    assert {answer.status for answer in same} == {201}
    [created] = {answer.body["id"] for answer in same}
    assert sum("Idempotent-Replayed" not in answer.headers for answer in same) == 1
    other = await asyncio.gather(*(post(pair.shops, n, 1 + n) for n in range(20)))
    assert {(answer.status, answer.body["code"]) for answer in other} == {(422, "idempotency_mismatch")}
    juma = a_shop(postgres_url, "JUMA").test_key
    theirs = await asyncio.gather(
        *(post({name: shop.beside(juma) for name, shop in pair.shops.items()}, n) for n in range(20))
    )
    [independent] = {answer.body["id"] for answer in theirs}
    assert {answer.status for answer in theirs} == {201}
    assert {row.id for row in pair.evidence.rows("SELECT id FROM payment")} == {created, independent}


async def test_what_is_asked_for_at_both_at_once_is_paid_and_told_in_one_feed(pair: Pair) -> None:
    asked = await asyncio.gather(*(pair.shops["ab"[n % 2]].ask(a_number()) for n in range(80)))
    ended = await asyncio.gather(*(pair.shops["ab"[n % 2]].until(one["id"], is_final) for n, one in enumerate(asked)))
    assert {one["status"] for one in ended} == {"succeeded"}
    pair.evidence.judge_one_charge_a_phone()
    assert len(pair.evidence.charges()) == 80


async def test_forty_equal_posts_at_both_make_one_payment_and_one_answer(pair: Pair) -> None:
    key = uuid4().hex
    body = {"amount": 125_000, "currency": "KES", "msisdn": a_number(), "description": "Vegetable box"}
    answers = await asyncio.gather(
        *(pair.shops["ab"[n % 2]].call("POST", "/v1/payments", body, key=key) for n in range(40))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({repr(answer.body) for answer in answers}) == 1
    assert len(pair.evidence.rows("SELECT id FROM payment")) == 1


@pytest.mark.parametrize(("words", "told_so"), [("STOP", "Stopped: no shop"), ("STOP ASHA", "Stopped: Mama Asha")])
async def test_a_phone_that_said_stop_is_not_asked_though_requests_arrive_elsewhere(
    pair: Pair, words: str, told_so: str
) -> None:
    quiet, far = a_number("002"), pair.shops[pair.other(pair.owner(BIND))]
    some_at_once = asyncio.Semaphore(4)

    async def ask(msisdn: str) -> dict[str, Any]:  # Any: JSON of the API.
        async with some_at_once:
            return await far.ask(msisdn)

    asking = [asyncio.create_task(ask(quiet if n % 2 else a_number())) for n in range(100)]
    await pair.world.handsets.wait_for_texts(quiet, 3, WAIT_S)
    pair.world.handsets.send(quiet, SHORT_CODE, words)
    asked = await asyncio.gather(*asking)
    await pair.settled()
    texts = pair.evidence.texts()[quiet]
    assert [text.startswith(told_so) for text in texts] == [False] * (len(texts) - 1) + [True]
    assert 4 <= len(texts) < 51, "too late to prove anything"
    [stop] = [one for one in pair.evidence.records("smsc", "mo") if one["text"] == words]
    [told] = [one for one in pair.evidence.records("smsc", "mo.answered") if one["number"] == stop["number"]]
    submits = [one for one in pair.evidence.records("smsc", "submit") if one["msisdn"] == quiet]
    assert sum(one["seq"] > told["seq"] for one in submits) <= 1, "only the answer to STOP may come behind its commit"
    ended = {(await far.payment(one["id"]))["reason"] for one in asked if one["msisdn"] == asked[1]["msisdn"]}
    assert ended == {"refused", "unavailable"}
    assert quiet not in {one.msisdn for one in pair.evidence.charges()}


def is_final(payment: dict[str, Any]) -> bool:  # Any: JSON of the API.
    return payment["status"] in FINAL


@pytest.mark.slow
async def test_a_frozen_owner_charges_nobody_twice_and_starts_nothing_when_it_thaws(pair: Pair) -> None:
    frozen = pair.owner(CHARGES)
    awake = pair.other(frozen)
    shop, gateway = pair.shops[awake], pair.gateways[frozen]
    before = [a_number("919") for _ in range(12)]
    asked = await asyncio.gather(*(shop.ask(phone) for phone in before))
    # As many as there may be have reached the biller, so that none lies half written in a process that is frozen.
    await until(lambda: len(pair.charge_orders()) >= CHARGES_AT_ONCE, WAIT_S, "charges under way")
    gateway.send(signal.SIGSTOP)
    frozen_at_s = time.monotonic()
    begun = pair.charge_orders()
    asked += await asyncio.gather(*(shop.ask(a_number()) for _ in range(12)))
    ended = await asyncio.gather(*(shop.until(one["id"], is_final, WAIT_S) for one in asked))
    assert {one["status"] for one in ended[12:]} == {"succeeded"}
    assert {one["reason"] for one in ended[:12]} <= {None, "not_charged"}
    assert pair.lanes() == Counter({awake: sum(pair.lanes().values())})
    await asyncio.sleep(max(0.0, frozen_at_s + max(FREEZE_S, SHORT_FREEZE_S) - time.monotonic()))
    finished = pair.charge_orders()
    gateway.send(signal.SIGCONT)
    await until(lambda: pair.lanes()[frozen] > 0, WAIT_S, "a thawed process that does its share")
    await shop.until_final((await pair.shops[frozen].ask(a_number()))["id"])
    await pair.settled()
    assert len(pair.charge_orders()) == len(finished) + 1, "only the newest payment was charged after the thaw"
    assert max(Counter(pair.charge_orders()).values()) == 1
    pair.evidence.judge_one_charge_a_phone()
    assert set(begun) <= {one.msisdn for one in pair.evidence.charges()}


@pytest.mark.slow
async def test_a_frozen_owner_of_the_bind_confuses_no_phone(pair: Pair) -> None:
    frozen = pair.owner(BIND)
    awake = pair.other(frozen)
    shop, gateway = pair.shops[awake], pair.gateways[frozen]
    phones = [a_number() for _ in range(60)]
    asking = [asyncio.create_task(shop.ask(phone)) for phone in phones]
    await until(pair.evidence.asks, WAIT_S, "an ask at a phone")
    gateway.send(signal.SIGSTOP)
    frozen_at_s = time.monotonic()
    asked = await asyncio.gather(*asking)
    await until(lambda: len(pair.evidence.asks()) == len(phones), WAIT_S, "an ask at every phone")
    ended = await asyncio.gather(*(shop.until(one["id"], is_final, WAIT_S) for one in asked))
    assert {one["status"] for one in ended} == {"succeeded"}
    assert pair.owner(BIND) == awake
    await asyncio.sleep(max(0.0, frozen_at_s + SHORT_FREEZE_S - time.monotonic()))
    gateway.send(signal.SIGCONT)
    await until(lambda: pair.lanes()[frozen] > 0, WAIT_S, "a thawed process that does its share")
    await shop.until_final((await pair.shops[frozen].ask(a_number()))["id"])
    await pair.settled()
    pair.evidence.judge_one_charge_a_phone()
    # The judge sees that no ask comes behind a result. A code that the network handed to both is answered by both: the
    # second time with the truth, and by whoever thaws only then.
    texts = pair.evidence.texts()
    told = [[text for text in texts[phone] if not codes_in(text)] for phone in phones]
    assert [one for one in told if not one[0].startswith("PAID")] == []
    assert [one for one in told if not all("is PAID already" in text for text in one[1:])] == []


async def test_a_process_that_is_told_to_stop_gives_the_bind_away_at_once(pair: Pair) -> None:
    leaving = pair.owner(BIND)
    shop = pair.shops[pair.other(leaving)]
    asked = [await shop.ask(a_number()) for _ in range(20)]
    stopping = asyncio.create_task(pair.gateways[leaving].stop())
    more = asyncio.gather(*(shop.ask(a_number()) for _ in range(20)))
    await until(partial(pair.is_owner, pair.other(leaving)), LINK_AWAY_MAX_S, "a bind with another owner")
    ended = await asyncio.gather(*(shop.until_final(one["id"]) for one in (*asked, *await more)))
    assert {one["status"] for one in ended} == {"succeeded"}
    await stopping


async def steady(pair: Pair, accepted: list[dict[str, Any]], until_set: asyncio.Event) -> None:  # Any: JSON of the API.
    """Post all the time, as a shop does: what gets no answer is asked again at the next address with the same key."""
    for n in itertools.count():
        if until_set.is_set():
            return
        key, body = uuid4().hex, {"amount": 5_000, "currency": "KES", "msisdn": a_number(), "description": "Bread"}
        for shop in itertools.chain.from_iterable(itertools.repeat([pair.shops["ab"[n % 2]], pair.shops["ba"[n % 2]]])):
            with suppress(aiohttp.ClientError):
                answer = await shop.call("POST", "/v1/payments", body, key=key)
                if answer.status == 201:
                    accepted.append(answer.body)
                    break
                assert answer.status == 503, answer.body
            await asyncio.sleep(READ_S)
        await asyncio.sleep(READ_S)


async def test_a_rolling_restart_under_load_loses_nothing_and_the_link_is_back_at_once(
    pair: Pair, processes: Nursery, postgres_url: str, tmp_path: Path
) -> None:
    accepted: list[dict[str, Any]] = []  # Any: JSON of the API.
    enough = asyncio.Event()
    loads = [asyncio.create_task(steady(pair, accepted, enough)) for _ in range(2)]
    for _ in range(2):
        leaving = pair.owner(BIND)
        before, staying = len(accepted), pair.other(leaving)
        await pair.gateways[leaving].stop()
        assert pair.gateways[leaving].troubles() == []
        await until(partial(pair.is_owner, staying), LINK_AWAY_MAX_S, "a bind that has an owner again")
        newer = GatewayProcess(processes, config_of(leaving, postgres_url, pair.world), tmp_path)
        await newer.serving()
        pair.gateways[leaving] = newer
        pair.shops[leaving].moved_to(newer.url)
        await until(partial(pair.has_share, leaving), WAIT_S, "a new process that does its share")
        assert len(accepted) > before, "requests are taken all the time"
    enough.set()
    await asyncio.gather(*loads)
    ended = await asyncio.gather(*(pair.shops["a"].until(one["id"], is_final, WAIT_S) for one in accepted))
    assert {one["status"] for one in ended} == {"succeeded"}
    await pair.settled()
    pair.evidence.judge_one_charge_a_phone()
    assert len(pair.evidence.charges()) == len(accepted)
    assert max(away_s(pair)) < LINK_AWAY_MAX_S


def away_s(pair: Pair) -> list[float]:
    """From each end of a bind to the next bind, as the SMSC saw it."""
    binds = [one["ns"] for one in pair.evidence.records("smsc", "bind") if one["status"] == 0]
    ends = [one["ns"] for one in pair.evidence.records("smsc", "closed")]
    return [(min(later) - end) / 1e9 for end in ends if (later := [bind for bind in binds if bind > end])]
