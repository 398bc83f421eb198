"""Payments as rows and back, and the look-ups that jobs make inside their batch.

What the HTTP API reads outside of batches is in `merchant_reads`.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, select

from gateway.core.money import Money
from gateway.core.payment import Capture, Escrow, Operation, Payment, Reason, State
from gateway.store import tables

_metadata = msgspec.json.Decoder(dict[str, str]).decode
_operation = msgspec.json.Decoder(Operation).decode
_encode = msgspec.json.Encoder().encode
_PLAIN = (
    *("id", "merchant_id", "mode", "consumer_id", "carrier", "shop", "description", "reference", "language", "ref"),
    *(
        "code_n",
        "code_digits",
        "code_key",
        "version",
        "created_at_ms",
        "updated_at_ms",
        "consent_expires_at_ms",
        "deadline_at_ms",
    ),
    *("charge_not_after_ms", "wrong_codes", "attempts", "attempt_id", "reversed_attempt_id", "carrier_reference"),
    *("ended_at_ms", "fulfilled_at_ms"),
    *("captured_minor", "refund_reserved_minor", "refunded_minor", "disputed_minor"),
    *("hold_expires_at_ms", "fee_schedule"),
)


def payment_row(payment: Payment) -> dict[str, Any]:  # Any: a row's columns.
    """*payment* as the columns of its row."""
    row = {name: getattr(payment, name) for name in _PLAIN}
    return row | {
        "amount_minor": payment.amount.amount_minor,
        "currency": payment.amount.currency,
        "metadata": _encode(payment.metadata).decode() if payment.metadata else "{}",
        "capture": payment.capture.value,
        "state": payment.state.value,
        "reason": None if payment.reason is None else payment.reason.value,
        "operation": None if payment.operation is None else _encode(payment.operation).decode(),
        "cancel_requested": int(payment.cancel_requested),
        "escrow": None if payment.escrow is None else payment.escrow.value,
    }


def payment_from_row(row: Row[Any]) -> Payment:  # Any: a row of the table `payment`.
    """The payment that `payment_row` made *row* of."""
    columns = row._mapping
    return Payment(
        **{name: columns[name] for name in _PLAIN},
        amount=Money(columns["amount_minor"], columns["currency"]),
        metadata={} if columns["metadata"] == "{}" else _metadata(columns["metadata"]),
        capture=Capture(columns["capture"]),
        state=State(columns["state"]),
        reason=None if columns["reason"] is None else Reason(columns["reason"]),
        operation=None if columns["operation"] is None else _operation(columns["operation"]),
        cancel_requested=bool(columns["cancel_requested"]),
        escrow=None if columns["escrow"] is None else Escrow(columns["escrow"]),
    )


def consumer_payments(conn: Connection, consumer_id: str, *, limit: int) -> list[Payment]:
    """The newest payments of one phone, newest first."""
    payment = tables.payment
    statement = select(payment).where(payment.c.consumer_id == consumer_id).order_by(payment.c.id.desc()).limit(limit)
    return [payment_from_row(row) for row in conn.execute(statement)]


def consumer_charges(
    conn: Connection,
    consumer_id: str,
    *,
    limit: int,
    between_ms: tuple[int, int] | None = None,
    older_than: str | None = None,
) -> list[Payment]:
    """The newest payments that a phone was or may have been charged for.

    *between_ms* bounds when they ended, *older_than* names the payment behind which they begin.
    """
    payment = tables.payment.c
    statement = select(tables.payment).where(
        (payment.consumer_id == consumer_id) & (payment.state.in_(_CHARGED) | payment.reversed_attempt_id.is_not(None))
    )
    if older_than is not None:
        statement = statement.where(payment.id < older_than)
    if between_ms is not None:
        at_ms = func.coalesce(payment.ended_at_ms, payment.created_at_ms)
        statement = statement.where((at_ms >= between_ms[0]) & (at_ms < between_ms[1]))
    return [payment_from_row(row) for row in conn.execute(statement.order_by(payment.id.desc()).limit(limit))]


_CHARGED = (State.CHARGING, State.CAPTURING, State.CAPTURED, State.REVERSING, State.REVERSED)


def consumer_payment_by_ref(conn: Connection, consumer_id: str, ref: str) -> Payment | None:
    """The payment with this ref, if it is this phone's."""
    payment = tables.payment
    statement = (
        select(payment)
        .where((payment.c.consumer_id == consumer_id) & (payment.c.ref == ref))
        .order_by(payment.c.id.desc())
        .limit(1)
    )
    row = conn.execute(statement).first()
    return None if row is None else payment_from_row(row)


class MerchantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant as its consumers know it."""

    id: str
    shop: str


def merchant_by_keyword(conn: Connection, keyword: str) -> MerchantRow | None:
    """The merchant whose keyword this is, in capitals as stored."""
    merchant = tables.merchant.c
    row = conn.execute(select(merchant.id, merchant.shop).where(merchant.keyword == keyword)).first()
    return None if row is None else MerchantRow(id=row.id, shop=row.shop)


def is_taken_back(conn: Connection, payment_id: str) -> bool:
    """Whether the carrier has taken the payment's whole charge back, so that nothing of it is left to refund."""
    payment = tables.payment.c
    state: str = conn.execute(select(payment.state).where(payment.id == payment_id)).scalar_one()
    return state == State.REVERSED


def msisdn_of(conn: Connection, consumer_id: str) -> str:
    """The number of a consumer."""
    consumer = tables.consumer.c
    msisdn: str = conn.execute(select(consumer.msisdn).where(consumer.id == consumer_id)).scalar_one()
    return msisdn
