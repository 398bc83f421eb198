"""M-Pesa by STK push: the keyless suite against the simulator's socket, and what only this dialect can get wrong."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar, TypeGuard

import aiohttp
import msgspec
import pytest
from aiohttp import web

from carriers import base
from carriers.wallet_stk.adapter import Biller, Settings
from gateway import failpoints
from gateway.core.money import Money
from gateway.http_client import HttpClient, Limits
from simulators.faults import FAULTS, FaultPlan, Scripted
from simulators.journal import Journals, read
from simulators.wallet_stk import WalletStk, WalletStkSettings
from simulators.web import HttpServer
from tests.carriers.conformance import charge_order, reverse_order
from tests.carriers.keyless_conformance import KeylessConformance, a_charge, word

KEY = "00112233445566778899aabbccddeeff"
HASTY_S = 0.3
PHONES = 24
TRIES_MAX = 4
NOON_MS = 1_795_597_200_000  # 2026-11-25T09:00:00Z, which is noon in Nairobi.


class WalletBench:
    """The adapter, the simulator on its socket, and a web server that mounts the adapter's routes."""

    msisdn = "+254712345100"

    def __init__(self, folder: Path) -> None:
        self.heard: asyncio.Queue[base.Callback] = asyncio.Queue()
        self.is_overloaded = False
        self.folder = folder
        self.plan = FaultPlan(seed=1, use_magic=False)
        self.journals = Journals(folder)
        self.settings = WalletStkSettings(
            pays_after_s=0.0,
            prompt_s=0.01,
            slow_s=0.01,
            callback_late_s=0.01,
            reversal_late_s=0.01,
            query_lag_s=3600.0,
        )
        self.wallet = WalletStk(self.settings, self.plan, self.journals.stk)
        self.gateway = HttpServer(self.answer)
        self.client = HttpClient(Limits(sweep_s=0.01))
        self.biller: Biller
        self.hasty: Biller

    async def start(self) -> None:
        await self.wallet.start()
        await self.gateway.start()
        self.biller, self.hasty = self.a_biller(), self.a_biller(timeout_s=HASTY_S)
        self.running = asyncio.create_task(self.biller.run(self.sink))
        await asyncio.sleep(0)

    def a_biller(self, **more: Any) -> Biller:
        return Biller("mpesa", self.chosen(**more), now_ms=lambda: NOON_MS, client=self.client)

    def chosen(self, **more: Any) -> Settings:
        chosen = {
            "base_url": f"{self.wallet.server.url}/",
            "consumer_key": self.settings.consumer_key,
            "consumer_secret": self.settings.consumer_secret,
            "short_code": self.settings.short_code,
            "passkey": self.settings.passkey,
            "initiator": self.settings.initiator,
            "security_credential": self.settings.security_credential,
            "timeout_s": 30.0,
            "callback_base_url": self.gateway.url,
            "callback_key": KEY,
            **more,
        }
        return msgspec.convert(chosen, Settings)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.client.close()
        await self.wallet.stop()
        await self.gateway.stop()
        self.journals.close()

    async def sink(self, thing: object) -> None:
        assert isinstance(thing, base.Callback)
        if self.is_overloaded:
            raise base.Overloaded
        self.heard.put_nowait(thing)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        about = request.path.split("/")[-3]
        [route] = [route for route in self.biller.routes() if route.path.startswith(f"/{about}/")]
        asked = base.Request(method=request.method, path=request.path, query={}, headers={}, body=await request.read())
        answered = await route.answer(asked)
        return web.Response(status=answered.status, body=answered.body)

    def executed(self) -> tuple[int, int]:
        executions = self.wallet.book.executions
        return executions["charge"], executions["refund"]

    def charges_per_attempt(self) -> Counter[str]:
        """By the address that each push was to call back to."""
        self.journals.flush()
        return Counter(record["callback_url"] for record in read(self.folder, "stk", "executed.charge"))

    def asked(self, what: str) -> int:
        self.journals.flush()
        return sum(record["what"] == what for record in read(self.folder, "stk", "request"))

    def strike(self, point: str, knob: str) -> None:
        self.plan.add(Scripted(point=f"stk.{point}", fault=knob, at=1))

    async def quiet(self) -> None:
        await self.wallet.quiet()

    async def settle(self) -> None:
        for push in self.wallet.book.pushes.values():
            push.lagging_until = 0.0
        for name in self.wallet.held:
            self.wallet.execute_late(name)
        await self.wallet.quiet()

    async def stop_listening(self) -> None:
        await self.wallet.server.stop()

    async def call_back(self, about: str, attempt_id: str, token: str) -> int:
        url = self.biller._callback_url(about, attempt_id)
        if token == "wrong":
            url = url[:-1] + ("0" if url[-1] != "0" else "1")
        elif token == "another":
            other = self.biller._callback_url("push" if about != "push" else "reversal", attempt_id)
            url = f"{url.rpartition('/')[0]}/{other.rpartition('/')[2]}"
        async with aiohttp.ClientSession() as session, session.post(url, data=b"{}") as answer:
            return answer.status


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[WalletBench]:
    bench = WalletBench(tmp_path)
    await bench.start()
    yield bench
    await bench.stop()
    assert all(times == 1 for times in bench.charges_per_attempt().values())


class TestWalletStk(KeylessConformance):
    knobs: ClassVar = {point: FAULTS[f"stk.{point}"] for point in ("push", "query", "reversal", "token")}


@pytest.mark.parametrize("amount", [Money(125_050, "KES"), Money(1, "KES"), Money(125_000, "TZS")])
async def test_what_is_no_whole_shilling_is_declined_before_anything_is_sent(bench: WalletBench, amount: Money) -> None:
    assert word(await bench.biller.charge(charge_order(bench, amount=amount))) == "declined carrier_declined"
    _, charge = await a_charge(bench, "att_2")
    back = await bench.biller.reverse(reverse_order(bench, amount=amount, reference=charge))
    assert word(back) == "declined carrier_declined"
    assert (bench.asked("push"), bench.asked("reversal")) == (1, 0)


async def test_a_charge_whose_receipt_no_callback_told_is_for_a_person_to_reverse(bench: WalletBench) -> None:
    bench.strike("push", "callback_lost")
    answer = await bench.biller.charge(charge_order(bench))
    assert isinstance(answer, base.Pending)
    await bench.quiet()
    back = await bench.biller.reverse(reverse_order(bench, reference=answer.carrier_reference))
    assert word(back) == "declined carrier_declined" and "receipt" in str(back)
    assert bench.asked("reversal") == 0


async def test_without_an_initiator_nothing_can_be_given_back(bench: WalletBench) -> None:
    biller = bench.a_biller(initiator="", security_credential="")
    assert not biller.capabilities.refund
    _, charge = await a_charge(bench)
    assert word(await biller.reverse(reverse_order(bench, reference=charge))) == "declined carrier_declined"


async def test_a_part_is_not_given_back(bench: WalletBench) -> None:
    assert not bench.biller.capabilities.partial_refund
    _, charge = await a_charge(bench)
    await bench.biller.reverse(reverse_order(bench, reference=charge, amount=Money(100, "KES")))
    await bench.quiet()
    assert bench.executed() == (1, 0)


async def test_what_an_inquiry_about_a_reversal_knows_was_told_before(bench: WalletBench) -> None:
    _, charge = await a_charge(bench)
    answer = await bench.biller.reverse(reverse_order(bench, reference=charge))
    await bench.quiet()
    heard = bench.heard.get_nowait()
    assert isinstance(answer, base.Pending) and answer.carrier_reference is not None
    assert heard.carrier_reference is not None
    assert heard.carrier_reference.startswith(f"{answer.carrier_reference}/0/")
    await bench.stop_listening()
    order = msgspec.structs.replace(reverse_order(bench, reference=charge), carrier_reference=heard.carrier_reference)
    assert word(await bench.biller.inquire_reverse(order)) == "charged"


async def test_one_token_is_fetched_for_all_who_wait(bench: WalletBench) -> None:
    orders = [
        msgspec.structs.replace(charge_order(bench, f"att_{number}"), msisdn=f"+2547123450{number:02d}")
        for number in range(8)
    ]
    answers = await asyncio.gather(*(bench.biller.charge(order) for order in orders))
    assert {word(answer) for answer in answers} == {"pending"}
    assert bench.asked("token") == 1


async def test_a_token_that_was_refused_is_fetched_anew(bench: WalletBench) -> None:
    await a_charge(bench)
    bench.wallet.expire_tokens()
    assert word(await bench.biller.charge(charge_order(bench, "att_2"))) == "unsent"
    await a_charge(bench, "att_2")
    assert bench.asked("token") == 2


async def test_a_token_is_renewed_before_it_expires_and_used_until_then(bench: WalletBench) -> None:
    now_ms = [NOON_MS]
    biller = Biller("mpesa", bench.chosen(), now_ms=lambda: now_ms[0], client=bench.client)

    async def pushed(at_s: int, attempt_id: str) -> tuple[str, int]:
        now_ms[0] = NOON_MS + at_s * 1000
        said = word(await biller.charge(charge_order(bench, attempt_id)))
        await bench.quiet()
        return said, bench.asked("token")

    assert await pushed(0, "att_1") == ("pending", 1)
    assert await pushed(3538, "att_2") == ("pending", 1)
    bench.strike("token", "error_before")
    assert await pushed(3540, "att_3") == ("pending", 2)
    assert await pushed(3541, "att_4") == ("pending", 3)
    bench.strike("token", "error_before")
    assert await pushed(3541 + 3600, "att_5") == ("unsent", 4)


async def test_a_callback_before_the_gateway_listens_is_put_off(bench: WalletBench) -> None:
    bench.running.cancel()
    await asyncio.gather(bench.running, return_exceptions=True)
    assert await bench.call_back("push", "att_1", "right") == 503


async def test_a_client_of_its_own_is_closed_at_the_end(bench: WalletBench) -> None:
    biller = Biller("mpesa", bench.chosen(), now_ms=lambda: NOON_MS)
    running = asyncio.create_task(biller.run(bench.sink))
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert "closed" in str(await biller.charge(charge_order(bench)))


@pytest.mark.parametrize("action", ["charge", "reversal"])
async def test_the_failpoints_stand_around_the_order(
    bench: WalletBench, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, charge = await a_charge(bench)
    passed: list[str] = []
    monkeypatch.setattr("carriers.wallet_stk.adapter.hit", passed.append)
    await bench.biller.inquire(msgspec.structs.replace(charge_order(bench), carrier_reference=charge))
    assert passed == []
    if action == "charge":
        await bench.biller.charge(charge_order(bench, "att_2"))
    else:
        await bench.biller.reverse(reverse_order(bench, reference=charge))
    assert passed == [f"{action}.{place}" for place in ("before_first_byte", "after_first_byte", "after_answer")]
    assert failpoints.NAMES.issuperset(passed)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_goes_wrong_no_answer_says_more_than_the_journal(bench: WalletBench, seed: int) -> None:
    chance = random.Random(seed)
    orders = {}
    for number in range(PHONES):
        order = msgspec.structs.replace(charge_order(bench, f"att_{number}"), msisdn=f"+2547123451{number:02d}")
        orders[order.attempt_id] = order
        for point in ("push", "query"):
            for _ in range(chance.randrange(3)):
                name = chance.choice(sorted(FAULTS[f"stk.{point}"]))
                bench.plan.add(Scripted(point=f"stk.{point}", fault=name, msisdn=order.msisdn, times=1))
    answers = await asyncio.gather(*(pushed_until_begun(bench.hasty, order) for order in orders.values()))
    await bench.settle()
    kept = {order: answer.carrier_reference for order, answer in zip(orders, answers, strict=True) if learned(answer)}
    while not bench.heard.empty():
        told = bench.heard.get_nowait()
        kept[told.attempt_id] = max(kept.get(told.attempt_id) or "", told.carrier_reference or "", key=len)
    charges = {url.split("/")[-2]: times for url, times in bench.charges_per_attempt().items()}
    for (attempt_id, order), answer in zip(orders.items(), answers, strict=True):
        asked = msgspec.structs.replace(order, carrier_reference=kept.get(attempt_id))
        said = {word(await bench.hasty.inquire(asked)) for _ in range(4)} | {word(answer)}
        moved = charges.get(attempt_id, 0)
        assert not any(one.startswith("charged") for one in said) or moved == 1, (attempt_id, said)
        assert not any(one.startswith(("declined", "unsent")) for one in said) or moved == 0, (attempt_id, said)
        # Where the id was learned somebody knows the end, save where the wallet itself gave a code of no table.
        assert not asked.carrier_reference or said - {"pending", "unknown"} or "7777" in results_of(bench, order)


def learned(answer: base.ChargeResult) -> TypeGuard[base.Pending]:
    return isinstance(answer, base.Pending)


def results_of(bench: WalletBench, order: base.ChargeOrder) -> set[str | None]:
    return {push.result for push in bench.wallet.book.pushes.values() if push.msisdn == order.msisdn}


async def pushed_until_begun(biller: Biller, order: base.ChargeOrder) -> base.ChargeResult:
    """As the engine does: only what is proven not begun goes out again."""
    answer = await biller.charge(order)
    for _ in range(TRIES_MAX - 1):
        if isinstance(answer, base.Unsent):
            answer = await biller.charge(order)
    return answer
