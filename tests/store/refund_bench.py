"""A bench for what goes back: requests for refunds, and a biller that says what a test wants."""

from typing import Any

from carriers import base
from gateway.core.money import Money
from gateway.core.payment import Payment
from gateway.engine.merchant_jobs import Answer, Problem
from gateway.engine.refund_jobs import CreateRefund, RefundDone
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.store.bench import applied, rows


def a_refund(payment_id: str, amount_minor: int | None, key: str = "r-1", **changes: Any) -> CreateRefund:
    """*changes*: the job's fields."""  # Any: of all kinds.
    fields: dict[str, Any] = {"merchant_id": "mer_1", "mode": "test", "reason": "torn", "body_hash": "hash"}
    return CreateRefund(payment_id=payment_id, amount_minor=amount_minor, key=key, **(fields | changes))


def refunded(store: Store, payment: Payment, amount_minor: int | None = None, key: str = "r-1") -> OutboxRow:
    """The order of a new refund."""
    batch = applied(store, a_refund(payment.id, amount_minor, key))
    assert isinstance(batch.applied[0].result, Answer), batch.applied[0].result
    [order] = [row for row in batch.rows if row.kind == "refund"]
    return order


def done(order: OutboxRow) -> RefundDone:
    amount = Money(order.body["amount_minor"], order.body["currency"])
    return RefundDone(order, base.Charged(carrier_reference="SR9", amount=amount))


def declined(order: OutboxRow) -> RefundDone:
    return RefundDone(order, base.Declined(reason="carrier_declined", detail="too old"))


def problem_of(store: Store, job: CreateRefund) -> str:
    result = applied(store, job).applied[0].result
    assert isinstance(result, Problem), result
    return result.code


def balances(url: str) -> dict[str, int]:
    """Of all accounts that are not zero; debit is more than zero."""
    statement = "SELECT account, sum(amount_minor) AS n FROM leg GROUP BY account"
    return {row.account: int(row.n) for row in rows(url, statement) if row.n}


def kinds(url: str, payment: Payment) -> list[str]:
    statement = "SELECT kind FROM entry WHERE payment_id = :id ORDER BY at_ms, id"
    return [row.kind for row in rows(url, statement, id=payment.id)]


def amounts(url: str, payment: Payment) -> tuple[int, int, int, int]:
    """(captured, reserved, refunded, disputed)."""
    statement = (
        "SELECT captured_minor, refund_reserved_minor, refunded_minor, disputed_minor FROM payment WHERE id = :id"
    )
    [row] = rows(url, statement, id=payment.id)
    return tuple(row)
