"""Reservations over CAMARA: reserve, capture, release and the inquiry, with every knob of the operator."""

import asyncio
from typing import NamedTuple

import msgspec
import pytest

from carriers import base
from gateway.core.money import Money
from simulators.faults import FAULTS
from tests.carriers.camara_bench import CamaraBench, a_bench
from tests.carriers.conformance import PRICE, WAIT_S, charge_order, reverse_order, word

bench = pytest.fixture(a_bench)

Answer = base.ReserveResult | base.ReleaseResult | base.ChargeResult | base.HoldInquiryResult


class Row(NamedTuple):
    """What one knob must look like from here."""

    answer: str
    found: str
    """By an inquiry afterwards."""
    settled: str = ""
    """By one after the operator has ended what it kept back."""
    hangs: bool = False
    callbacks: int = 0


RESERVE = {
    "insufficient_funds": Row("declined carrier_declined", "not found"),
    "limit_exceeded": Row("declined limit_exceeded", "not found"),
    "not_subscriber": Row("declined not_subscriber", "not found"),
    "barred": Row("declined carrier_declined", "not found"),
    "unauthorized_amount": Row("declined limit_exceeded", "not found"),
    "denied": Row("pending", "declined carrier_declined", callbacks=1),
    "pending_validation": Row("declined carrier_declined", "released"),
    "timeout_charged": Row("unknown", "held", hangs=True),
    "timeout_declined": Row("unknown", "not found", hangs=True),
    "timeout_lost": Row("unknown", "not found", hangs=True),
    "late": Row("unknown", "not found", settled="held", hangs=True, callbacks=1),
    "processing": Row("pending", "pending", settled="held", callbacks=1),
    "silent": Row("pending", "pending", settled="held"),
    "inquiry_lag": Row("unknown", "pending", settled="held", hangs=True),
    "error_before": Row("unknown", "not found"),
    "error_after": Row("unknown", "held"),
    "garbage": Row("unknown", "held"),
    "reset": Row("unknown", "held"),
    "wrong_amount": Row("held otherwise", "held"),
    "slow": Row("held", "held"),
    "duplicate": Row("unknown", "held"),
    "duplicate_argument": Row("unknown", "held"),
    "rate_limited": Row("unknown", "not found"),
    "token_expired": Row("held", "held"),
    "callback_once": Row("held", "held", callbacks=1),
    "callback_twice": Row("held", "held", callbacks=2),
    "callback_before": Row("held", "held", callbacks=1),
    "callback_late": Row("held", "held", callbacks=1),
    "callback_lost": Row("held", "held"),
    "callback_forged": Row("held", "held"),
    "callback_disordered": Row("held", "held", callbacks=2),
}
_STEP = {
    "timeout_done": Row("unknown", "done", hangs=True, callbacks=1),
    "timeout_lost": Row("unknown", "held", hangs=True),
    "error_before": Row("unknown", "held"),
    "error_after": Row("unknown", "done", callbacks=1),
    "garbage": Row("done", "done", callbacks=1),
    "reset": Row("unknown", "done", callbacks=1),
    "slow": Row("done", "done", callbacks=1),
    "processing": Row("pending", "held", settled="done", callbacks=1),
    "rate_limited": Row("unknown", "held"),
    "token_expired": Row("done", "done", callbacks=1),
    "callback_lost": Row("done", "done"),
    "callback_twice": Row("done", "done", callbacks=2),
}
CONFIRM = {
    **_STEP,
    "denied": Row("declined carrier_declined", "declined carrier_declined", callbacks=1),
    "refused": Row("declined carrier_declined", "held"),
}
CANCEL = _STEP


def told(answer: Answer) -> str:
    match answer:
        case base.Held():
            return "held" if answer.amount == PRICE else "held otherwise"
        case base.Released():
            return "released"
    return word(answer)


def hold_order(held: base.Held, attempt_id: str = "cap_1", amount: Money = PRICE) -> base.HoldOrder:
    return base.HoldOrder(
        attempt_id=attempt_id,
        hold_attempt_id="att_1",
        hold_reference=held.carrier_reference,
        msisdn=CamaraBench.msisdn,
        amount=amount,
        description="2 goats",
        reference="7K2M4Q9A",
    )


async def a_hold(bench: CamaraBench) -> base.Held:
    held = await bench.biller.reserve(charge_order(bench))
    assert isinstance(held, base.Held)
    return held


async def hear(bench: CamaraBench, times: int) -> None:
    for _ in range(times):
        heard = await asyncio.wait_for(bench.heard.get(), WAIT_S)
        assert (heard.attempt_id, heard.authenticated) == ("att_1", True)
    assert bench.heard.empty()


def test_every_knob_is_tried() -> None:
    assert RESERVE.keys() | {"expires"} == FAULTS["camara.reserve"]
    assert CONFIRM.keys() == FAULTS["camara.confirm"]
    assert CANCEL.keys() == FAULTS["camara.cancel"]


async def test_it_holds_and_captures_the_whole_only(bench: CamaraBench) -> None:
    assert isinstance(bench.biller, base.HoldingBiller)
    assert bench.biller.capabilities.holds and not bench.biller.capabilities.partial_capture
    assert bench.a_biller(hold_s=900).capabilities.hold_s == 900


async def test_what_is_held_is_captured_once(bench: CamaraBench) -> None:
    held = await a_hold(bench)
    assert bench.executed() == (0, 0)
    captured = await bench.biller.capture(hold_order(held))
    assert told(captured) == "charged"
    assert told(await bench.biller.capture(hold_order(held))) == "charged"
    assert told(await bench.biller.inquire_hold(charge_order(bench))) == "charged"
    # An inquiry tells the engine that it was taken, and then it is given back.
    assert told(await bench.biller.release(hold_order(held, "rel_1"))) == "unknown"
    assert bench.executed() == (1, 0)


async def test_what_is_released_is_not_captured_any_more(bench: CamaraBench) -> None:
    before = bench.camara.book.balance(bench.msisdn)
    held = await a_hold(bench)
    assert bench.camara.book.balance(bench.msisdn) < before
    assert told(await bench.biller.release(hold_order(held, "rel_1"))) == "released"
    assert told(await bench.biller.release(hold_order(held, "rel_1"))) == "released"
    # A no would mean that it still stands.
    assert told(await bench.biller.capture(hold_order(held))) == "unknown"
    assert told(await bench.biller.inquire_hold(charge_order(bench))) == "released"
    assert bench.camara.book.balance(bench.msisdn) == before
    assert bench.executed() == (0, 0)


async def test_what_was_captured_is_given_back(bench: CamaraBench) -> None:
    held = await a_hold(bench)
    await bench.biller.capture(hold_order(held))
    order = reverse_order(bench, of="cap_1", reference=held.carrier_reference)
    assert word(await bench.biller.reverse(order)) == "charged"
    assert bench.executed() == (1, 1)


async def test_what_is_only_held_cannot_be_given_back(bench: CamaraBench) -> None:
    held = await a_hold(bench)
    order = reverse_order(bench, reference=held.carrier_reference)
    assert word(await bench.biller.reverse(order)) == "declined carrier_declined"


async def test_a_reservation_is_no_charge_and_a_charge_no_reservation(bench: CamaraBench) -> None:
    await a_hold(bench)
    assert told(await bench.biller.inquire(charge_order(bench))) == "unknown"
    await bench.biller.charge(charge_order(bench, "att_2"))
    assert told(await bench.biller.reserve(charge_order(bench, "att_2"))) == "unknown"


async def test_twins_reserve_once_and_capture_once(bench: CamaraBench) -> None:
    order = charge_order(bench)
    holds = await asyncio.gather(*(bench.biller.reserve(order) for _ in range(8)))
    assert {told(one) for one in holds} == {"held"}
    assert len(bench.camara.book.items) == 1
    [held, *_] = holds
    assert isinstance(held, base.Held)
    captures = await asyncio.gather(*(bench.biller.capture(hold_order(held)) for _ in range(8)))
    assert {told(one) for one in captures} == {"charged"}
    assert bench.executed() == (1, 0)


async def test_a_capture_and_a_release_at_once_do_one_of_them(bench: CamaraBench) -> None:
    held = await a_hold(bench)
    captured, released = await asyncio.gather(
        bench.biller.capture(hold_order(held)), bench.biller.release(hold_order(held, "rel_1"))
    )
    both = {told(captured), told(released)}
    assert both in ({"charged", "unknown"}, {"unknown", "released"})
    assert bench.executed() == (int("charged" in both), 0)


async def test_a_reservation_that_was_let_go_is_found_released(bench: CamaraBench) -> None:
    bench.strike("reserve", "expires")
    held = await a_hold(bench)
    await hear(bench, 1)
    assert told(await bench.biller.inquire_hold(charge_order(bench))) == "released"
    assert told(await bench.biller.capture(hold_order(held))) == "unknown"
    assert bench.executed() == (0, 0)


async def test_a_reservation_that_wants_a_code_leaves_nothing_open(bench: CamaraBench) -> None:
    bench.strike("reserve", "pending_validation")
    bench.strike("cancel", "error_before")
    assert told(await bench.biller.reserve(charge_order(bench))) == "unknown"
    # Whoever asks later learns that nothing can come of it.
    assert told(await bench.biller.inquire_hold(charge_order(bench))) == "declined carrier_declined"
    assert bench.executed() == (0, 0)


@pytest.mark.parametrize("name", RESERVE)
async def test_a_reservation_that_meets_a_fault(bench: CamaraBench, name: str) -> None:
    row, order = RESERVE[name], charge_order(bench)
    bench.strike("reserve", name)
    biller = bench.hasty if row.hangs else bench.biller
    assert told(await biller.reserve(order)) == row.answer
    assert told(await bench.biller.inquire_hold(order)) == row.found
    if row.settled:
        bench.settle(order.attempt_id)
        assert told(await bench.biller.inquire_hold(order)) == row.settled
    # That the operator has cancelled what wanted a code is called about as well.
    await hear(bench, row.callbacks + (name == "pending_validation"))
    assert bench.executed() == (0, 0)


@pytest.mark.parametrize(
    ("step", "name"), [*(("confirm", name) for name in CONFIRM), *(("cancel", name) for name in CANCEL)]
)
async def test_a_capture_or_a_release_that_meets_a_fault(bench: CamaraBench, step: str, name: str) -> None:
    row = CONFIRM[name] if step == "confirm" else CANCEL[name]
    done, moved = ("charged", 1) if step == "confirm" else ("released", 0)
    held = await a_hold(bench)
    bench.strike(step, name)
    biller = bench.hasty if row.hangs else bench.biller
    answer = await (biller.capture if step == "confirm" else biller.release)(hold_order(held))
    assert told(answer) == row.answer.replace("done", done)
    asked = msgspec.structs.replace(charge_order(bench), carrier_reference=held.carrier_reference)
    assert told(await bench.biller.inquire_hold(asked)) == row.found.replace("done", done)
    if row.settled:
        bench.settle("att_1")
        assert told(await bench.biller.inquire_hold(asked)) == row.settled.replace("done", done)
    assert bench.executed() == (moved if "done" in (row.found, row.settled) else 0, 0)
    await hear(bench, row.callbacks)


async def test_nothing_leaves_where_nobody_listens(bench: CamaraBench) -> None:
    held = await a_hold(bench)
    await bench.stop_listening()
    assert told(await bench.biller.reserve(charge_order(bench, "att_2"))) == "unsent"
    assert told(await bench.biller.capture(hold_order(held))) == "unsent"
    assert told(await bench.biller.release(hold_order(held))) == "unsent"
    assert told(await bench.biller.inquire_hold(charge_order(bench))) == "unknown"
