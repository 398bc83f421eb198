"""M-Pesa by STK push: what only this dialect can get wrong, against the simulator's socket."""

import asyncio
import contextlib
import random
from typing import TypeGuard

import msgspec
import pytest

from carriers import base
from carriers.wallet_stk.adapter import Biller
from gateway import failpoints
from gateway.core.money import Money
from simulators.faults import FAULTS, Scripted
from tests.carriers.benches import NOON_MS, StkBench
from tests.carriers.conformance import charge_order, reverse_order, word
from tests.carriers.test_conformance import Try, a_charge

PHONES = 24
TRIES_MAX = 4


@pytest.fixture
def biller() -> str:
    return "wallet_stk"


@pytest.mark.parametrize("amount", [Money(125_050, "KES"), Money(1, "KES"), Money(125_000, "TZS")])
async def test_what_is_no_whole_shilling_is_declined_before_anything_is_sent(bench: StkBench, amount: Money) -> None:
    assert bench.biller.capabilities.currency_exponents == {"KES": 0}
    assert word(await bench.biller.charge(charge_order(amount=amount))) == "declined carrier_declined"
    charge = (await a_charge(bench, "att_2")).carrier_reference
    back = await bench.biller.reverse(reverse_order(amount=amount, reference=charge))
    assert word(back) == "declined carrier_declined"
    assert (bench.asked("push"), bench.asked("reversal")) == (1, 0)


async def test_a_charge_whose_receipt_no_callback_told_is_for_a_person_to_reverse(bench: StkBench) -> None:
    bench.strike("charge", "callback_lost")
    answer = await bench.biller.charge(charge_order())
    assert isinstance(answer, base.Pending)
    await bench.quiet()
    back = await bench.biller.reverse(reverse_order(reference=answer.carrier_reference))
    assert word(back) == "declined carrier_declined" and "receipt" in str(back)
    assert bench.asked("reversal") == 0


async def test_without_an_initiator_nothing_can_be_given_back(bench: StkBench) -> None:
    biller = bench.a_biller(initiator="", security_credential="")
    assert not biller.capabilities.refund
    charge = (await a_charge(bench)).carrier_reference
    assert word(await biller.reverse(reverse_order(reference=charge))) == "declined carrier_declined"


async def test_a_part_is_not_given_back(bench: StkBench) -> None:
    assert not bench.biller.capabilities.partial_refund
    charge = (await a_charge(bench)).carrier_reference
    await bench.biller.reverse(reverse_order(reference=charge, amount=Money(100, "KES")))
    await bench.quiet()
    assert bench.executed() == (1, 0)


async def test_what_an_inquiry_about_a_reversal_knows_was_told_before(bench: StkBench) -> None:
    charge = (await a_charge(bench)).carrier_reference
    answer = await bench.biller.reverse(reverse_order(reference=charge))
    await bench.quiet()
    heard = bench.heard.get_nowait()
    assert isinstance(answer, base.Pending) and answer.carrier_reference is not None
    assert heard.carrier_reference is not None
    assert heard.carrier_reference.startswith(f"{answer.carrier_reference}/0/")
    await bench.stop_listening()
    order = msgspec.structs.replace(reverse_order(reference=charge), carrier_reference=heard.carrier_reference)
    assert word(await bench.biller.inquire_reverse(order)) == "charged"


async def test_an_id_that_nobody_gave_is_unknown(bench: StkBench) -> None:
    order = msgspec.structs.replace(charge_order(), carrier_reference="ws_CO_0")
    assert word(await bench.biller.inquire(order)) == "unknown"


async def test_a_result_about_another_charge_proves_nothing(bench: StkBench) -> None:
    one, two = await a_charge(bench), await a_charge(bench, "att_2")
    order = reverse_order(reference=one.carrier_reference)
    tried, _ = await Try("refund", order, order).learn(bench, await bench.biller.reverse(order))
    other = msgspec.structs.replace(tried.asked, charge_reference=two.carrier_reference)
    assert word(await bench.biller.inquire_reverse(other)) == "unknown"


async def test_one_token_is_fetched_for_all_who_wait(bench: StkBench) -> None:
    orders = [
        msgspec.structs.replace(charge_order(f"att_{number}"), msisdn=f"+2547123450{number:02d}") for number in range(8)
    ]
    answers = await asyncio.gather(*(bench.biller.charge(order) for order in orders))
    assert {word(answer) for answer in answers} == {"pending"}
    assert bench.asked("token") == 1


async def test_a_token_that_was_refused_is_fetched_anew(bench: StkBench) -> None:
    await a_charge(bench)
    bench.simulator.expire_tokens()
    assert word(await bench.biller.charge(charge_order("att_2"))) == "unsent"
    await a_charge(bench, "att_2")
    assert bench.asked("token") == 2


async def test_a_token_is_renewed_before_it_expires_and_used_until_then(bench: StkBench) -> None:
    now_ms = [NOON_MS]
    biller = Biller("mpesa", bench.chosen(), now_ms=lambda: now_ms[0], client=bench.client)

    async def pushed(at_s: int, attempt_id: str) -> tuple[str, int]:
        now_ms[0] = NOON_MS + at_s * 1000
        said = word(await biller.charge(charge_order(attempt_id)))
        await bench.quiet()
        return said, bench.asked("token")

    assert await pushed(0, "att_1") == ("pending", 1)
    assert await pushed(3538, "att_2") == ("pending", 1)
    bench.strike("token", "error_before")
    assert await pushed(3540, "att_3") == ("pending", 2)
    assert await pushed(3541, "att_4") == ("pending", 3)
    bench.strike("token", "error_before")
    assert await pushed(3541 + 3600, "att_5") == ("unsent", 4)


async def test_a_client_of_its_own_is_closed_at_the_end(bench: StkBench) -> None:
    biller = Biller("mpesa", bench.chosen(), now_ms=lambda: NOON_MS)
    running = asyncio.create_task(biller.run(bench.sink))
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert "closed" in str(await biller.charge(charge_order()))


@pytest.mark.parametrize("action", ["charge", "reversal"])
async def test_the_failpoints_stand_around_the_order(
    bench: StkBench, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = (await a_charge(bench)).carrier_reference
    passed: list[str] = []
    monkeypatch.setattr("carriers.wallet_stk.adapter.hit", passed.append)
    await bench.biller.inquire(msgspec.structs.replace(charge_order(), carrier_reference=charge))
    assert passed == []
    if action == "charge":
        await bench.biller.charge(charge_order("att_2"))
    else:
        await bench.biller.reverse(reverse_order(reference=charge))
    assert passed == [f"{action}.{place}" for place in ("before_first_byte", "after_first_byte", "after_answer")]
    assert failpoints.NAMES.issuperset(passed)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_goes_wrong_no_answer_says_more_than_the_journal(bench: StkBench, seed: int) -> None:
    chance = random.Random(seed)
    orders = {}
    for number in range(PHONES):
        order = msgspec.structs.replace(charge_order(f"att_{number}"), msisdn=f"+2547123451{number:02d}")
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
    charges = bench.charges()
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


def results_of(bench: StkBench, order: base.ChargeOrder) -> set[str | None]:
    return {push.result for push in bench.simulator.book.pushes.values() if push.msisdn == order.msisdn}


async def pushed_until_begun(biller: Biller, order: base.ChargeOrder) -> base.ChargeResult:
    """As the engine does: only what is proven not begun goes out again."""
    answer = await biller.charge(order)
    for _ in range(TRIES_MAX - 1):
        if isinstance(answer, base.Unsent):
            answer = await biller.charge(order)
    return answer
