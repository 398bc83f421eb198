"""What an executor does not let leave any more."""

import asyncio

import pytest

from carriers import base, loopback
from gateway.core.money import Money
from gateway.core.payment import ChargeTakenBack, Payment
from gateway.engine.executors import OrderExecutor
from gateway.engine.refund_jobs import RefundDone
from gateway.store.engine import connect
from gateway.store.queries import is_taken_back
from gateway.store.unit import Needs
from tests.engine.lane_bench import Always
from tests.store.bench import Odd, a_captured_payment, a_store, applied, rows
from tests.store.refund_bench import refunded

MSISDN = "+254700000001"


def charged_at(biller: loopback.Biller, payment: Payment) -> None:
    """The carrier has that charge, and so would give it back."""
    assert payment.attempt_id is not None
    order = base.ChargeOrder(
        attempt_id=payment.attempt_id, msisdn=MSISDN, amount=payment.amount, description="", reference=payment.ref
    )
    assert isinstance(asyncio.run(biller.charge(order)), base.Charged)


@pytest.mark.money
@pytest.mark.parametrize(("taken_back", "state"), [(True, "failed"), (False, "succeeded")])
def test_a_refund_does_not_leave_once_the_carrier_took_all_back(
    database_url: str, taken_back: bool, state: str
) -> None:
    biller = loopback.Biller("acme", loopback.Settings(), now_ms=lambda: 0)
    reads = connect(database_url, read_only=True)

    async def is_gone(payment_id: str) -> bool:
        with reads.connect() as conn:
            return is_taken_back(conn, payment_id)

    async def number(_: str) -> str:
        return MSISDN

    with a_store(database_url) as store:
        payment = a_captured_payment(store)
        charged_at(biller, payment)
        order = refunded(store, payment, 30_000)
        if taken_back:
            event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id or "")
            applied(store, Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))
        executor = OrderExecutor(biller, number, is_gone, lambda: 0, concurrency=1)
        done = asyncio.run(executor.run(order, Always()))
        assert isinstance(done, RefundDone)
        applied(store, done)
    reads.dispose()
    assert rows(database_url, "SELECT state FROM refund")[0].state == state
    found = asyncio.run(biller.inquire_reverse(_as_ordered(order.body["attempt_id"], payment)))
    assert isinstance(found, base.NotFound) == taken_back


def _as_ordered(attempt_id: str, payment: Payment) -> base.ReverseOrder:
    return base.ReverseOrder(
        attempt_id=attempt_id,
        charge_attempt_id=payment.attempt_id or "",
        charge_reference=None,
        msisdn=MSISDN,
        amount=Money(30_000, payment.amount.currency),
    )
