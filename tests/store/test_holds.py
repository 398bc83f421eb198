"""Holds through the real store: what a capture may and may not do while the carrier sets the money aside."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Capture, Rules
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.merchant_jobs import Answer, CancelPayment, CapturePayment, Problem
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.store.bench import CARRIERS, POLICY, a_store, an_order, applied, rows

HOLDING = replace(POLICY, rules=dict.fromkeys(CARRIERS, Rules(holds=True, partial_capture=True)))
PRICE = Money(125_000, "KES")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with a_store(database_url, HOLDING) as opened:
        yield opened


def reserving(store: Store) -> OutboxRow:
    """The order to reserve, of a payment that the phone has confirmed."""
    return an_order(store, capture=Capture.MANUAL)


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
