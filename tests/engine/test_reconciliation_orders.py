"""Which order of ours a row of a carrier's file is about, where several could be meant."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Capture, Rules
from gateway.engine import reconciliation
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.merchant_jobs import CancelPayment, CapturePayment
from gateway.engine.refund_jobs import RefundDone
from gateway.store.outbox import OutboxRow
from gateway.store.verify import verify
from tests.engine.file_bench import Bench, a_bench
from tests.engine.test_reconciliation import HELD, break_of, given_up, gives_up, named, receivable
from tests.store.bench import CARRIERS, a_captured_payment, an_order, applied, rows
from tests.store.refund_bench import a_refund, balances, done, refunded

pytestmark = pytest.mark.money
LOST = base.Unknown(detail="lost")
DECLINED = base.Declined(reason="carrier_declined", detail="no")


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def holding(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    rules = Rules(holds=True, partial_capture=True)
    with a_bench(database_url, tmp_path, rules=dict.fromkeys(CARRIERS, rules)) as opened:
        yield opened


def held(bench: Bench) -> OutboxRow:
    """A reservation that stands; its order."""
    order = an_order(bench.store, capture=Capture.MANUAL)
    bench.answer(order, HELD)
    return order


def capture(bench: Bench, hold: OutboxRow, minor: int, result: base.ChargeResult | None = None) -> OutboxRow:
    """A part of what is held is captured. Its order, answered with *result* if there is one."""
    payment_id = str(hold.payment_id)
    job = CapturePayment(
        merchant_id="mer_1", mode="test", payment_id=payment_id, key=None, body_hash="h", amount_minor=minor
    )
    [order] = [row for row in applied(bench.store, job).rows if row.kind == "capture"]
    if result is not None:
        bench.answer(order, result)
    return order


def declined_after(bench: Bench, order: OutboxRow, questions: int) -> None:
    """The carrier declines it after so many questions without an answer; each makes the next order's number larger."""
    for _ in range(questions):
        [order] = [row for row in applied(bench.store, OrderDone(order, LOST)).rows if row.kind == "inquire"]
    bench.answer(order, DECLINED)


def yes(minor: int) -> base.Charged:
    return base.Charged(carrier_reference="SR1", amount=Money(minor, "KES"))


def told(bench: Bench) -> dict[str, str]:
    """Order, without what is the same in all, → what a row said of it."""
    found = rows(bench.url, "SELECT m.attempt_id, m.said FROM carrier_match m ORDER BY m.attempt_id, m.said")
    return {row.attempt_id: row.said for row in found}


def test_the_tenth_order_about_a_hold_comes_behind_the_third(holding: Bench) -> None:
    hold = held(holding)
    declined_after(holding, capture(holding, hold, 60_000), 6)
    second = capture(holding, hold, 60_000, yes(60_000))
    assert second.body["attempt_id"].endswith("-11")
    path = holding.file(f"{hold.body['attempt_id']},SR1,600.00,KES,OK,", trailer="T,1,,600.00")
    report = holding.take(path)
    assert (told(holding), holding.breaks()) == ({second.body["attempt_id"]: "charged"}, {})
    assert (report.found.resolved, report.file.remittance) == (0, "posted")


def test_what_is_said_of_the_thirtieth_order_is_not_said_of_the_third(holding: Bench) -> None:
    hold = held(holding)
    declined_after(holding, capture(holding, hold, 40_000), 25)
    assert capture(holding, hold, 60_000, yes(60_000)).body["attempt_id"].endswith("-30")
    holding.take(holding.file(name=named(0, 1)))
    gives_up(holding, break_of(holding, "missing_at_carrier", 60_000))
    assert (given_up(holding), receivable(holding)) == (60_000, 0)


def ended(bench: Bench) -> tuple[str, list[str]]:
    """The one payment's state, and what was ordered to give back of it."""
    orders = [row.kind for row in rows(bench.url, "SELECT kind FROM outbox WHERE kind = 'reverse'")]
    return str(rows(bench.url, "SELECT state FROM payment")[0].state), orders


@pytest.mark.parametrize("first", [40_000, 60_000], ids=["another amount", "the same amount"])
def test_yesterdays_no_to_a_capture_does_not_end_the_one_that_runs(holding: Bench, first: int) -> None:
    hold = held(holding)
    capture(holding, hold, first, DECLINED)
    second = capture(holding, hold, 60_000)
    no = f"{hold.body['attempt_id']},SR1,{first // 100}.00,KES,KO,"
    report = holding.take(holding.file(no, name=named(0, 1)))
    assert (report.found.matched, report.found.resolved, ended(holding)) == (1, 0, ("capturing", []))
    # The same once more may be about either; it ends nothing.
    assert holding.take(holding.file(no, "x,y,0.00,KES,KO,", name=named(1, 2))).found.breaks == {"duplicate": 1}
    holding.answer(second, yes(60_000))
    assert ended(holding) == ("captured", [])


@pytest.mark.parametrize("first", [40_000, 60_000], ids=["another amount", "the same amount"])
def test_a_file_tells_of_both_captures_of_a_hold(holding: Bench, first: int) -> None:
    hold = held(holding)
    attempt_id = hold.body["attempt_id"]
    declined = capture(holding, hold, first, DECLINED)
    lost = capture(holding, hold, 60_000, LOST)
    lines = f"{attempt_id},SR1,{first // 100}.00,KES,KO,", f"{attempt_id},SR1,600.00,KES,OK,"
    report = holding.take(holding.file(*lines, trailer="T,2,,600.00"))
    assert told(holding) == {declined.body["attempt_id"]: "failed", lost.body["attempt_id"]: "charged"}
    assert (ended(holding), holding.breaks()) == (("captured", []), {})
    assert (report.found.matched, report.found.resolved, report.file.remittance) == (2, 1, "posted")


def test_a_no_to_the_only_capture_ends_it(holding: Bench) -> None:
    hold = held(holding)
    capture(holding, hold, 60_000, LOST)
    report = holding.take(holding.file(f"{hold.body['attempt_id']},SR1,600.00,KES,KO,"))
    assert (report.found.resolved, ended(holding), holding.breaks()) == (1, ("authorized", []), {})


@pytest.mark.parametrize("minor", [40_000, 125_000], ids=["as much", "all"])
@pytest.mark.parametrize("named_by", ["att_", "cap_"], ids=["the reservation", "the capture"])
def test_what_was_taken_after_a_capture_was_declined_goes_back(holding: Bench, named_by: str, minor: int) -> None:
    hold = held(holding)
    attempt_id = hold.body["attempt_id"]
    order = capture(holding, hold, 40_000, DECLINED)
    name = order.body["attempt_id"] if named_by == "cap_" else attempt_id
    path = holding.file(f"{name},SR1,{minor // 100}.00,KES,OK,", trailer=f"T,1,,{minor // 100}.00")
    report = holding.take(path)
    assert (report.found.resolved, report.file.remittance, holding.breaks()) == (1, "posted", {})
    assert (told(holding), ended(holding)) == ({attempt_id: "charged"}, ("ended", ["reverse"]))
    back = f"{attempt_id},BK1,{minor // 100}.00,KES,REV,"
    holding.take(holding.file(back, trailer=f"T,1,,-{minor // 100}.00", name=named(1, 2)))
    assert (holding.breaks(), balances(holding.url)) == ({}, {})
    with holding.reads.connect() as conn:
        assert verify(conn) == []


@pytest.mark.parametrize("minor", [40_000, 125_000], ids=["as much", "all"])
def test_what_was_taken_after_a_capture_was_declined_is_no_other_amount_when_the_file_is_read_again(
    holding: Bench, minor: int
) -> None:
    hold = held(holding)
    order = capture(holding, hold, 40_000, DECLINED)
    path = holding.file(f"{order.body['attempt_id']},SR1,{minor // 100}.00,KES,OK,", trailer="T,1,,1.00")
    for _ in range(2):
        holding.take(path)
        assert holding.breaks() == {"remittance": minor - 100}


def test_a_part_that_was_taken_unasked_is_missed_as_that_part(holding: Bench) -> None:
    hold = held(holding)
    attempt_id = hold.body["attempt_id"]
    holding.answer(capture(holding, hold, 40_000, DECLINED), yes(40_000))
    holding.take(holding.file(name=named(0, 1)))
    assert holding.breaks() == {"missing_at_carrier": 40_000}
    holding.take(holding.file(f"{attempt_id},SR1,400.00,KES,OK,", name=named(1, 2)))
    assert holding.breaks() == {"late": 0}


def test_what_was_captured_too_late_is_missed_as_the_capture_alone(holding: Bench) -> None:
    hold = held(holding)
    order = capture(holding, hold, 40_000, LOST)
    cancel = CancelPayment(merchant_id="mer_1", mode="test", payment_id=str(hold.payment_id), key=None, body_hash="h")
    applied(holding.store, cancel)
    [back] = [row for row in applied(holding.store, OrderDone(order, yes(40_000))).rows if row.kind == "reverse"]
    holding.answer(back, base.Charged(carrier_reference="SR9"))
    holding.take(holding.file(name=named(0, 1)))
    found = rows(holding.url, "SELECT detail FROM \"break\" WHERE kind = 'missing_at_carrier'")
    missed = [str(order.body["attempt_id"]), str(back.body["attempt_id"])]
    assert sorted(row.detail.split()[1] for row in found) == sorted(missed)


BATCHES = pytest.mark.parametrize("rows_max", [500, 1], ids=["one batch", "a batch each"])


@BATCHES
@pytest.mark.parametrize("known", [LOST, DECLINED], ids=["lost", "declined"])
def test_a_carrier_charges_and_takes_it_back_in_one_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, known: base.ChargeResult, rows_max: int
) -> None:
    monkeypatch.setattr(reconciliation, "ROWS_MAX", rows_max)
    order = bench.order("1")
    bench.answer(order, known)
    attempt_id = order.body["attempt_id"]
    lines = [f"{attempt_id},SR1,1250.00,KES,{said}," for said in ("OK", "REV")]
    path = bench.file(*lines, trailer="T,2,0.00,0.00")
    report = bench.take(path)
    assert (report.found.resolved, report.file.remittance, bench.breaks(), balances(bench.url)) == (2, "posted", {}, {})
    assert bench.state(attempt_id) == ("reversed" if known is LOST else "ended")
    assert not rows(bench.url, "SELECT id FROM attempt WHERE status = 'running'")
    with bench.reads.connect() as conn:
        assert verify(conn) == []


def test_a_reversal_that_the_file_has_told_already_is_not_ordered_any_more(bench: Bench) -> None:
    declined = bench.decline("1")
    lines = [f"{declined},SR1,1250.00,KES,{said}," for said in ("OK", "REV")]
    assert bench.take(bench.file(*lines), dry_run=True).found.breaks.total() == 0
    bench.take(bench.file(*lines))
    assert rows(bench.url, "SELECT kind FROM outbox WHERE kind = 'reverse'") == []


@pytest.mark.parametrize("named_by", ["{attempt},SR1", ",SR1"], ids=["our id", "the carrier's reference"])
def test_what_came_back_of_a_charge_waits_for_the_charge_itself(bench: Bench, named_by: str) -> None:
    lost = bench.lose("1")
    back = f"{named_by.format(attempt=lost)},1250.00,KES,REV,"
    report = bench.take(bench.file(back, f"{lost},SR1,1250.00,KES,OK,", trailer="T,2,0.00,0.00"))
    assert (report.found.resolved, report.file.remittance, bench.breaks()) == (2, "posted", {})
    assert bench.state(lost) == "reversed"


@pytest.mark.parametrize("words", [("OK", "KO"), ("KO", "OK")])
def test_a_yes_and_a_no_to_one_charge_are_a_break_and_not_two_outcomes(bench: Bench, words: tuple[str, str]) -> None:
    lost = bench.lose("1")
    bench.take(bench.file(*(f"{lost},SR1,1250.00,KES,{said}," for said in words)))
    assert (bench.state(lost), bench.breaks()) == ("captured", {"status": 125_000})


def twins(bench: Bench, *, is_second_known: bool = False) -> tuple[str, list[OutboxRow]]:
    """A payment's charge, and two equal refunds of it: of the first nobody knows, and mostly not of the second."""
    payment = a_captured_payment(bench.store)
    orders = [refunded(bench.store, payment, 30_000, f"r-{n}") for n in (1, 2)]
    applied(bench.store, RefundDone(orders[0], LOST))
    applied(bench.store, done(orders[1]) if is_second_known else RefundDone(orders[1], LOST))
    return str(payment.attempt_id), orders


def refunds(bench: Bench) -> list[str]:
    return [row.state for row in rows(bench.url, "SELECT state FROM refund ORDER BY id")]


def test_of_two_equal_refunds_a_row_is_about_the_one_that_succeeded(bench: Bench) -> None:
    charge, orders = twins(bench, is_second_known=True)
    first = bench.file(f"{charge},SR1,1250.00,KES,OK,", f"{charge},SR1,300.00,KES,REFUND,", trailer="T,2,,950.00")
    report = bench.take(first)
    assert (refunds(bench), bench.breaks()) == (["processing", "succeeded"], {})
    assert told(bench) == {charge: "charged", orders[1].body["attempt_id"]: "refunded"}
    assert report.file.remittance == "posted"
    bench.take(bench.file(f"{charge},SR1,300.00,KES,REFUND,", name=named(1, 2)))
    assert (refunds(bench), bench.breaks()) == (["succeeded", "succeeded"], {})


def test_one_row_about_either_of_two_lost_refunds_ends_none(bench: Bench) -> None:
    charge, orders = twins(bench)
    path = bench.file(f"{charge},SR1,1250.00,KES,OK,", f"{charge},SR1,300.00,KES,REFUND,", trailer="T,2,,950.00")
    for _ in range(2):
        bench.take(path)
        assert (refunds(bench), bench.breaks()) == (["processing"] * 2, {"mismatch": -30_000, "remittance": 30_000})
    applied(bench.store, done(orders[1]))
    assert bench.take(path).file.remittance == "posted"
    assert told(bench) == {charge: "charged", orders[1].body["attempt_id"]: "refunded"}
    assert (refunds(bench), bench.breaks()) == (["processing", "succeeded"], {"mismatch": -30_000})


def test_two_rows_about_two_lost_refunds_end_both(bench: Bench) -> None:
    charge, _ = twins(bench)
    back = f"{charge},SR1,300.00,KES,REFUND,"
    bench.take(bench.file(f"{charge},SR1,1250.00,KES,OK,", back, back, trailer="T,3,,650.00"))
    assert (refunds(bench), bench.breaks()) == (["succeeded"] * 2, {})


def test_a_row_that_counted_does_not_count_as_another_when_the_file_is_read_again(bench: Bench) -> None:
    charge, orders = twins(bench, is_second_known=True)
    payment_id = str(orders[0].payment_id)
    third = [row for row in applied(bench.store, a_refund(payment_id, 30_000, "r-3")).rows if row.kind == "refund"]
    applied(bench.store, RefundDone(third[0], LOST))
    back = f"{charge},SR1,300.00,KES,REFUND,"
    path = bench.file(f"{charge},SR1,1250.00,KES,OK,", back, back, trailer="T,3,,650.00")
    for _ in range(2):
        bench.take(path)
        assert refunds(bench) == ["processing", "succeeded", "processing"]
        assert bench.breaks() == {"mismatch": -30_000, "remittance": 30_000}


@pytest.mark.parametrize("known", [0, 1])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_row_that_names_a_refund_itself_leaves_the_other_row_to_its_twin(
    bench: Bench, order: tuple[int, int], known: int
) -> None:
    payment = a_captured_payment(bench.store)
    orders = [refunded(bench.store, payment, 30_000, f"r-{n}") for n in (1, 2)]
    applied(bench.store, done(orders[known]))
    applied(bench.store, RefundDone(orders[1 - known], LOST))
    names = orders[known].body["attempt_id"], payment.attempt_id
    lines = [f"{names[n]},,300.00,KES,REFUND," for n in order]
    bench.take(bench.file(f"{payment.attempt_id},SR1,1250.00,KES,OK,", *lines, trailer="T,3,,650.00"))
    assert (refunds(bench), bench.breaks()) == (["succeeded"] * 2, {})


def test_a_row_that_has_a_lost_refunds_reference_ends_it(bench: Bench) -> None:
    charge, orders = twins(bench)
    applied(bench.store, RefundDone(orders[1], base.Pending(carrier_reference="RF2")))
    bench.take(bench.file(f"{charge},SR1,1250.00,KES,OK,", f"{charge},RF2,300.00,KES,REFUND,"))
    assert (refunds(bench), bench.breaks()) == (["processing", "succeeded"], {})


def test_a_row_with_a_lost_refunds_own_id_ends_it_and_not_its_twin(bench: Bench) -> None:
    charge, orders = twins(bench)
    bench.take(bench.file(f"{charge},SR1,1250.00,KES,OK,", f"{orders[1].body['attempt_id']},,300.00,KES,REFUND,"))
    assert (refunds(bench), bench.breaks()) == (["processing", "succeeded"], {})
