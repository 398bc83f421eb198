"""What every biller must do that sets money aside first: how reservations, captures and releases meet.

Each of them is tried with every knob in `test_conformance`. That no more is taken than was held, and nothing twice,
`conftest` judges after each test by the other side's journal.
"""

import asyncio
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest

from carriers import base
from gateway.core.money import Money
from tests.carriers.conformance import MSISDN, PART, PRICE, WAIT_S, charge_order, hold_order, reverse_order, word
from tests.carriers.knobs import HOLDING, IN_PARTS

holding = pytest.mark.parametrize("biller", HOLDING)
in_parts = pytest.mark.parametrize("biller", IN_PARTS)
Bench = Any  # One of `benches`, with a biller that holds.


async def hold(bench: Bench) -> base.Held:
    held = await bench.biller.reserve(charge_order())
    assert isinstance(held, base.Held), held
    return held


async def found(bench: Bench, amount: Money = PRICE) -> str:
    return word(await bench.biller.inquire_hold(charge_order()), amount)


@holding
async def test_a_reservation_takes_nothing_and_the_money_is_set_aside(bench: Bench) -> None:
    before = bench.simulator.book.balance(MSISDN)
    held = await hold(bench)
    assert await bench.biller.inquire_hold(charge_order()) == held
    assert bench.simulator.book.balance(MSISDN) == before - 1250
    assert word(await bench.biller.release(hold_order("rel_1", held))) == "released"
    assert bench.simulator.book.balance(MSISDN) == before
    assert bench.executed() == (0, 0)


@pytest.mark.parametrize(
    ("biller", "amount"), [*product(HOLDING, [PRICE]), *product(IN_PARTS, [PART, Money(1, "KES")])]
)
async def test_what_is_held_is_captured_in_whole_or_in_part(bench: Bench, amount: Money) -> None:
    order = hold_order("cap_1", await hold(bench), amount)
    taken = await bench.biller.capture(order)
    assert word(taken, amount) == "charged"
    assert await bench.biller.capture(order) == taken
    assert await found(bench, amount) == "charged"
    assert bench.executed() == (1, 0)
    assert sum(one.amount for one in bench.moved() if one.what != "held") == Decimal(1250), "the rest is free"


@in_parts
async def test_the_rest_is_free_although_the_capture_was_not_answered(bench: Bench) -> None:
    order = hold_order("cap_1", await hold(bench), PART)
    bench.strike("capture", "error_after")
    assert word(await bench.biller.capture(order)) == "unknown"
    for _ in range(2):
        assert await found(bench, PART) == "charged"
    assert [one.what for one in bench.moved()] == ["held", "captured", "released"]


@pytest.mark.parametrize("knob", ["error_before", "garbage", "nested", "reset", "barred"])
@in_parts
async def test_what_becomes_of_the_rest_changes_nothing_of_the_capture(bench: Bench, knob: str) -> None:
    order = hold_order("cap_1", await hold(bench), PART)
    bench.strike("release", knob)
    assert word(await bench.biller.capture(order), PART) == "charged"
    assert await found(bench, PART) == "charged"
    assert bench.executed() == (1, 0)


@in_parts
async def test_no_more_than_is_held_is_captured(bench: Bench) -> None:
    order = hold_order("cap_1", await hold(bench), Money(PRICE.amount_minor + 1, PRICE.currency))
    assert word(await bench.biller.capture(order)) == "declined carrier_declined"
    assert bench.executed() == (0, 0)


@holding
async def test_a_second_capture_takes_nothing(bench: Bench) -> None:
    held = await hold(bench)
    amount = PART if bench.biller.capabilities.partial_capture else PRICE
    await bench.biller.capture(hold_order("cap_1", held, amount))
    # Where a capture has no id at the operator, the second one is told what became of the first.
    assert word(await bench.biller.capture(hold_order("cap_2", held, amount)), amount) in ("unknown", "charged")
    assert bench.executed() == (1, 0)


@holding
async def test_what_is_released_is_captured_no_more(bench: Bench) -> None:
    held = await hold(bench)
    assert word(await bench.biller.release(hold_order("rel_1", held))) == "released"
    # A no would mean that it still stands.
    assert word(await bench.biller.capture(hold_order("cap_1", held))) == "unknown"
    assert await found(bench) == "released"
    assert bench.executed() == (0, 0)


@pytest.mark.parametrize("by", ["itself", "order"])
@holding
async def test_what_has_lapsed_is_found_to_be_free(bench: Bench, by: str) -> None:
    lapsed = asyncio.Event()
    bench.journals.listeners.append(lambda _, one: lapsed.set() if one["kind"] in ("expired", "released") else None)
    if by == "itself":
        bench.strike("reserve", {"opbill": "hold_expires", "camara": "expires"}[bench.name], seconds=0.01)
    held = await hold(bench)
    if by == "order":
        bench.let_lapse()
    await asyncio.wait_for(lapsed.wait(), WAIT_S)
    # Only an inquiry tells whether it was taken, let go or has lapsed, so neither order is told a no.
    assert word(await bench.biller.capture(hold_order("cap_1", held))) == "unknown"
    assert word(await bench.biller.release(hold_order("rel_1", held))) in ("unknown", "released")
    assert await found(bench) == "released"
    assert [one.what for one in bench.moved() if one.what == "captured"] == []


@holding
async def test_what_is_captured_is_not_released(bench: Bench) -> None:
    held = await hold(bench)
    await bench.biller.capture(hold_order("cap_1", held))
    assert word(await bench.biller.release(hold_order("rel_1", held))) == "unknown"
    assert await found(bench) == "charged"
    assert bench.executed() == (1, 0)


@holding
async def test_a_capture_and_a_release_at_once_do_one_of_them(bench: Bench) -> None:
    held = await hold(bench)
    both = await asyncio.gather(
        bench.biller.capture(hold_order("cap_1", held)), bench.biller.release(hold_order("rel_1", held))
    )
    words = {word(one) for one in both}
    assert words in ({"charged", "unknown"}, {"unknown", "released"})
    assert bench.executed() == (int("charged" in words), 0)


@holding
async def test_a_captured_reservation_is_refunded_like_a_charge(bench: Bench) -> None:
    held = await hold(bench)
    only_held = reverse_order("rev_0", reference=held.carrier_reference)
    assert word(await bench.biller.reverse(only_held)) == "declined carrier_declined"
    amount = PART if bench.biller.capabilities.partial_capture else PRICE
    taken = await bench.biller.capture(hold_order("cap_1", held, amount))
    assert isinstance(taken, base.Charged)
    more = reverse_order("rev_1", amount=Money(amount.amount_minor + 1, "KES"), reference=taken.carrier_reference)
    assert word(await bench.biller.reverse(more)) == "declined carrier_declined"
    order = reverse_order("rev_2", amount=amount, reference=taken.carrier_reference)
    assert word(await bench.biller.reverse(order), amount) == "charged"
    assert bench.executed() == (1, 1)


@holding
async def test_a_reservation_and_a_charge_do_not_answer_for_each_other(bench: Bench) -> None:
    await hold(bench)
    assert word(await bench.biller.inquire(charge_order())) in ("not found", "unknown")
    await bench.biller.charge(charge_order("att_2"))
    assert word(await bench.biller.reserve(charge_order("att_2"))) == "unknown"
    assert bench.executed() == (1, 0)


@holding
async def test_a_stranger_is_not_told_that_it_holds(bench: Bench) -> None:
    held = await hold(bench)
    stranger = charge_order(msisdn=MSISDN[:-1] + "7")
    for asked in (stranger, msgspec.structs.replace(stranger, carrier_reference=held.carrier_reference)):
        assert word(await bench.biller.inquire_hold(asked)) in ("not found", "unknown")
