"""Holds through the real store: what a capture may and may not do while the carrier sets the money aside."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.core.codes import choose_code
from gateway.core.money import Money
from gateway.core.payment import Capture, Rules
from gateway.engine.carrier_facts import OrderResult
from gateway.engine.carrier_jobs import CallbackRead, OrderDone
from gateway.engine.merchant_jobs import Answer, CancelPayment, CapturePayment, Problem
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from gateway.store.verify import verify
from tests.store.bench import CARRIERS, CODE_KEY, POLICY, a_store, a_text, an_engine, an_order, applied, rows
from tests.store.refund_bench import balances

HOLDING = replace(POLICY, rules=dict.fromkeys(CARRIERS, Rules(holds=True, partial_capture=True)))
PRICE = Money(125_000, "KES")
TAKEN = base.Charged(carrier_reference="SR1", amount=PRICE)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with a_store(database_url, HOLDING) as opened:
        yield opened


def reserving(store: Store) -> OutboxRow:
    """The order to reserve, of a payment that the phone has confirmed."""
    return an_order(store, capture=Capture.MANUAL)


def reserving_again(store: Store, first: OutboxRow) -> OutboxRow:
    """The order of the second consent, after *first* was declined for lack of funds."""
    ask = told(store, first, base.Declined(reason="insufficient_funds", detail="low"), "sms")
    code = choose_code(CODE_KEY, str(ask.payment_id), ask.body["code_digits"], (), ask.body["code_n"])[0]
    [order] = [row for row in applied(store, a_text(code, read_at_ms=ask.created_at_ms)).rows if row.kind == "reserve"]
    return order


def held(store: Store, order: OutboxRow) -> None:
    applied(store, OrderDone(order, base.Held(carrier_reference="SR1", amount=PRICE)))


def a_capture(order: OutboxRow, amount_minor: int | None = None) -> CapturePayment:
    return CapturePayment(
        merchant_id="mer_1",
        mode="test",
        payment_id=str(order.payment_id),
        key=None,
        body_hash="a hash",
        amount_minor=amount_minor,
    )


def captured(store: Store, order: OutboxRow, amount_minor: int | None = None) -> OutboxRow:
    [ordered] = [row for row in applied(store, a_capture(order, amount_minor)).rows if row.kind == "capture"]
    return ordered


def told(store: Store, order: OutboxRow, result: OrderResult, kind: str) -> OutboxRow:
    """The one order of *kind* that follows from it."""
    [follows] = [row for row in applied(store, OrderDone(order, result)).rows if row.kind == kind]
    return follows


def all_went_back(store: Store, reversal: OutboxRow, database_url: str) -> list[str | None]:
    """Carry *reversal* out; return why each payment failed, once the books are seen to be empty."""
    amount = Money(reversal.body["amount_minor"], "KES")
    applied(store, OrderDone(reversal, base.Charged(carrier_reference="BK1", amount=amount)))
    assert balances(database_url) == {}
    with an_engine(database_url) as engine, engine.connect() as conn:
        assert verify(conn) == []
    ends = [row.status for row in rows(database_url, "SELECT status FROM attempt ORDER BY created_at_ms, id")]
    assert ends[0] == "late" and "running" not in ends
    return [row.reason for row in rows(database_url, "SELECT reason FROM payment WHERE state = 'ended'")]


def state(database_url: str) -> tuple[str, int]:
    [row] = rows(database_url, "SELECT state, captured_minor FROM payment")
    return row.state, row.captured_minor


def test_a_capture_that_comes_before_the_hold_is_refused_and_not_forgotten(store: Store, database_url: str) -> None:
    order = reserving(store)
    refused = applied(store, a_capture(order)).applied[0].result
    assert isinstance(refused, Problem) and refused.code == "invalid_state"
    held(store, order)
    assert state(database_url) == ("authorized", 0)
    answer = applied(store, a_capture(order)).applied[0].result
    assert isinstance(answer, Answer) and answer.status == 202


@pytest.mark.money
def test_another_amount_than_was_ordered_is_no_capture_of_it(store: Store, database_url: str) -> None:
    order = reserving(store)
    held(store, order)
    ordered = captured(store, order, 100_000)
    applied(store, OrderDone(ordered, base.Charged(carrier_reference="SR1", amount=Money(30_000, "KES"))))
    assert state(database_url) == ("capturing", 0)
    assert [row.kind for row in rows(database_url, 'SELECT kind FROM "break"')] == ["mismatch"]


def test_a_capture_that_never_left_is_not_sent_again_once_the_shop_cancels(store: Store, database_url: str) -> None:
    order = reserving(store)
    held(store, order)
    ordered = captured(store, order)
    cancel = CancelPayment(
        merchant_id="mer_1", mode="test", payment_id=str(order.payment_id), key=None, body_hash="a hash"
    )
    applied(store, cancel)
    again = applied(store, OrderDone(ordered, base.Unsent(detail="no link"))).rows
    assert [row.kind for row in again if row.lane.startswith("charge")] == ["release"]
    assert state(database_url) == ("voiding", 0)


@pytest.mark.money
@pytest.mark.parametrize("taken_minor", [125_000, 100_000])
def test_what_was_to_be_held_only_and_is_taken_goes_back(store: Store, database_url: str, taken_minor: int) -> None:
    inquiry = told(store, reserving(store), base.Unknown(detail="timed out"), "inquire")
    taken = base.Charged(carrier_reference="SR1", amount=Money(taken_minor, "KES"))
    reversal = told(store, inquiry, taken, "reverse")
    assert (reversal.body["amount_minor"], reversal.body["carrier_reference"]) == (taken_minor, "SR1")
    assert all_went_back(store, reversal, database_url) == ["carrier_declined"]


@pytest.mark.money
def test_a_hold_that_the_carrier_captures_unasked_is_given_back(store: Store, database_url: str) -> None:
    order = reserving(store)
    held(store, order)
    reversal = told(store, order, TAKEN, "reverse")
    assert all_went_back(store, reversal, database_url) == ["carrier_declined"]
    refused = applied(store, a_capture(order)).applied[0].result
    assert isinstance(refused, Problem) and refused.code == "invalid_state"


@pytest.mark.money
def test_a_late_hold_that_is_captured_before_its_release_is_given_back(store: Store, database_url: str) -> None:
    order = reserving(store)
    applied(store, OrderDone(order, base.Declined(reason="carrier_declined", detail="no")))
    release = told(store, order, base.Held(carrier_reference="SR1", amount=PRICE), "release")
    reversal = told(store, release, TAKEN, "reverse")
    assert all_went_back(store, reversal, database_url) == ["carrier_declined"]


@pytest.mark.money
@pytest.mark.parametrize("does_last", ["release", "inquire"])
def test_a_hold_is_let_go_and_a_late_charge_beside_it_given_back(
    store: Store, database_url: str, does_last: str
) -> None:
    first = reserving(store)
    second = reserving_again(store, first)
    held(store, second)
    ordered = {row.kind: row for row in applied(store, OrderDone(first, TAKEN)).rows}
    assert sorted(ordered) == ["inquire", "release"]
    if does_last == "release":  # The charge is told again before it can be taken back.
        ordered["inquire"] = told(store, ordered["inquire"], TAKEN, "inquire")
    released = applied(store, OrderDone(ordered["release"], base.Released())).rows
    assert [row.kind for row in released] == [], "nobody reads that nothing was charged"
    reversal = told(store, ordered["inquire"], TAKEN, "reverse")
    assert reversal.body["charge_attempt_id"] == first.body["attempt_id"]
    assert all_went_back(store, reversal, database_url) == ["carrier_declined"]


@pytest.mark.money
def test_nobody_asks_again_about_a_charge_that_has_gone_back(store: Store, database_url: str) -> None:
    first = reserving(store)
    second = reserving_again(store, first)
    applied(store, OrderDone(second, base.Declined(reason="carrier_declined", detail="no")))
    for order in (first, second):
        assert all_went_back(store, told(store, order, TAKEN, "reverse"), database_url) == ["carrier_declined"]
    for order in (first, second):
        called = base.Callback(carrier="acme", attempt_id=order.body["attempt_id"], authenticated=True)
        assert applied(store, CallbackRead(called)).rows == []
