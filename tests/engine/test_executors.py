"""What an executor does not let leave any more."""

import asyncio

import pytest
from msgspec.structs import replace

from carriers import base, loopback
from gateway.core.money import Money
from gateway.core.payment import ChargeTakenBack, Payment
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.executors import OrderExecutor
from gateway.engine.refund_jobs import RefundDone
from gateway.store.engine import connect
from gateway.store.queries import is_taken_back
from gateway.store.unit import Needs
from tests.engine.lane_bench import Always
from tests.store.bench import Odd, a_captured_payment, a_store, an_order, applied, rows
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
