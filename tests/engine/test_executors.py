"""What an executor does not let leave any more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from carriers import base, loopback
from gateway.core.money import Money
from gateway.core.payment import ChargeTakenBack, Payment, Reversed, ReverseDeclined
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.executors import OrderExecutor
from gateway.engine.merchant_jobs import CancelPayment
from gateway.engine.refund_jobs import RefundDone
from gateway.store.engine import connect
from gateway.store.queries import is_in_vain
from gateway.store.unit import Needs, Unit
from tests.engine.lane_bench import Always
from tests.store.bench import Odd, a_captured_payment, a_store, an_order, applied, charged, rows
from tests.store.refund_bench import refunded

MSISDN = "+254700000001"


def charged_at(biller: loopback.Biller, payment: Payment) -> None:
    """The carrier has that charge, and so would give it back."""
    assert payment.attempt_id is not None
    order = base.ChargeOrder(
        attempt_id=payment.attempt_id, msisdn=MSISDN, amount=payment.amount, description="", reference=payment.ref
    )
    assert isinstance(asyncio.run(biller.charge(order)), base.Charged)


@contextmanager
def an_executor(biller: base.Biller, url: str) -> Iterator[OrderExecutor]:
    """One that looks into the database, as the gateway's does."""
    reads = connect(url, read_only=True)

    async def in_vain(attempt_id: str) -> bool:
        with reads.connect() as conn:
            return is_in_vain(conn, attempt_id)

    async def number(_: str) -> str:
        return MSISDN

    try:
        yield OrderExecutor(biller, number, in_vain, lambda: 0, concurrency=1)
    finally:
        reads.dispose()


@pytest.mark.money
@pytest.mark.parametrize(
    ("before", "leaves", "state"),
    [
        ("", True, "succeeded"),
        ("taken back", False, "failed"),
        ("given", False, "succeeded"),
        ("denied", False, "failed"),
    ],
)
def test_a_refund_leaves_only_while_it_is_still_owed(database_url: str, before: str, leaves: bool, state: str) -> None:
    biller = loopback.Biller("acme", loopback.Settings(), now_ms=lambda: 0)
    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        charged_at(biller, payment)
        [order] = applied(store, RefundDone(refunded(store, payment, 30_000), base.Unsent(detail="no route"))).rows
        if before == "taken back":
            event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id or "")
            applied(store, Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))
        elif before:  # By a file.
            known: dict[str, Any] = {"at_ms": payment.updated_at_ms, "attempt_id": order.body["attempt_id"]}
            given, denied = Reversed(carrier_reference="SR9", **known), ReverseDeclined(**known)
            fact = given if before == "given" else denied
            applied(store, Odd(lambda unit: _tell(unit, fact), Needs(payment_ids=(payment.id,))))
        with an_executor(biller, database_url) as executor:
            done = asyncio.run(executor.run(order, Always()))
        assert isinstance(done, RefundDone)
        applied(store, done)
    assert rows(database_url, "SELECT state FROM refund")[0].state == state
    found = asyncio.run(biller.inquire_reverse(_as_ordered(order.body["attempt_id"], payment)))
    assert isinstance(found, base.NotFound) == (not leaves)


@pytest.mark.money
@pytest.mark.parametrize("is_told", [False, True])
def test_a_reversal_that_a_file_has_told_of_does_not_leave_any_more(database_url: str, is_told: bool) -> None:
    biller = loopback.Biller("acme", loopback.Settings(), now_ms=lambda: 0)
    with a_store(database_url) as store:
        first = an_order(store)
        payment_id = str(first.payment_id)
        applied(store, CancelPayment(merchant_id="mer_1", mode="test", payment_id=payment_id, key=None, body_hash=""))
        [order] = [row for row in applied(store, charged(first)).rows if row.kind == "reverse"]
        payment = applied(store, Odd(lambda unit: unit.payment(payment_id))).applied[0].result
        assert isinstance(payment, Payment)
        charged_at(biller, payment)
        if is_told:
            fact = Reversed(at_ms=payment.updated_at_ms, attempt_id=order.body["attempt_id"], carrier_reference="SR9")
            applied(store, Odd(lambda unit: unit.decide(payment_id, fact), Needs(payment_ids=(payment_id,))))
        with an_executor(biller, database_url) as executor:
            done = asyncio.run(executor.run(order, Always()))
        applied(store, done)
    assert rows(database_url, "SELECT state FROM payment")[0].state == "ended"
    found = asyncio.run(biller.inquire_reverse(_as_ordered(order.body["attempt_id"], payment)))
    assert isinstance(found, base.NotFound) == is_told


@pytest.mark.parametrize("is_late", [True, False], ids=["too late", "not reached"])
def test_a_charge_that_may_have_been_sent_is_not_taken_for_unsent(database_url: str, is_late: bool) -> None:
    """One «not found» proves nothing yet, nor does it that the same order does not leave a second time."""

    async def number(_: str) -> str:
        return MSISDN

    async def never(_: str) -> bool:
        return False

    with a_store(database_url) as store:
        order = an_order(store)
        biller = Lost("acme", loopback.Settings(), now_ms=lambda: 0)
        now_ms = order.body["charge_not_after_ms"] + is_late
        executor = OrderExecutor(biller, number, never, lambda: now_ms, concurrency=1)
        done = asyncio.run(executor.run(replace(order, maybe_sent=True), Always()))
        assert isinstance(done, OrderDone)
        assert [row.kind for row in applied(store, done).rows] == ["inquire"]
    [payment] = rows(database_url, "SELECT state FROM payment")
    assert (biller.tries, payment.state) == (0 if is_late else 1, "charging")


def _tell(unit: Unit, fact: Reversed | ReverseDeclined) -> None:
    refund = unit.refunds.get(fact.attempt_id)
    assert refund is not None
    unit.refunds.decide(refund, fact)


class Lost(loopback.Biller):
    """Knows no order, and none reaches it."""

    capabilities = base.Capabilities(client_keyed=True, refund=False, partial_refund=False)
    tries = 0

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        self.tries += 1
        return base.Unsent(detail="connection refused")

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        return base.NotFound()


def _as_ordered(attempt_id: str, payment: Payment) -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id=attempt_id,
        charge_attempt_id=payment.attempt_id or "",
        charge_reference=None,
        msisdn=MSISDN,
        amount=Money(30_000, payment.amount.currency),
    )
