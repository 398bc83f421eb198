"""Payments as rows and back, and the look-ups that jobs make inside their batch.

What the HTTP API reads outside of batches is in `merchant_reads`.
"""

from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Integer, Row, Select, bindparam, case, func, select

from gateway.core.money import Money
from gateway.core.payment import AGREED_STATES, Capture, Escrow, Operation, Order, Payment, Reason, Stage, State
from gateway.store import tables
from gateway.store.phone_records import first_id_behind
from gateway.store.refunds import OF_REFUND
from gateway.store.rows import Phone

_metadata = msgspec.json.Decoder(dict[str, str]).decode
_operation = msgspec.json.Decoder(Operation).decode
_stage = msgspec.json.Decoder(Stage).decode
_order = msgspec.json.Decoder(Order).decode
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
        "stage": None if payment.stage is None else _encode(payment.stage).decode(),
        "phone_order": None if payment.order is None else _encode(payment.order).decode(),
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
        stage=None if columns["stage"] is None else _stage(columns["stage"]),
        order=None if columns["phone_order"] is None else _order(columns["phone_order"]),
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
    statement = _charges(is_further=older_than is not None, is_bounded=between_ms is not None)
    values: dict[str, object] = {"phone": consumer_id, "most": limit}
    if older_than is not None:
        values["older_than"] = older_than
    if between_ms is not None:
        values |= _bounds(between_ms)
    return [payment_from_row(row) for row in conn.execute(statement, values)]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What payments came to in one currency, in minor units."""

    currency: str
    paid_minor: int
    given_back_minor: int
    unsure_minor: int
    """Under way: nobody knows yet whether it was or will be taken. It is not in `paid_minor`."""


def consumer_sums(conn: Connection, consumer_id: str, between_ms: tuple[int, int]) -> list[Sums]:
    """What the payments that `consumer_charges` finds between these times came to, all of them, by currency."""
    rows = conn.execute(_sums(), {"phone": consumer_id, **_bounds(between_ms)})
    return [
        Sums(currency=currency, paid_minor=int(paid), given_back_minor=int(back), unsure_minor=int(unsure))
        for currency, paid, back, unsure in rows
    ]


@cache
def _sums() -> Select[Any]:  # Any: a currency and three sums.
    payment = tables.payment.c
    # A charge that came after the payment's end is in no column of its own: all of it was taken, and all goes back.
    is_late = payment.state.in_((State.ENDED, State.REVERSING))
    is_late_back = (payment.state == State.ENDED) & payment.operation.is_(None)
    paid = case((payment.captured_minor > 0, payment.captured_minor), (is_late, payment.amount_minor), else_=0)
    back = case(
        (payment.state == State.REVERSED, payment.captured_minor),
        (is_late_back, payment.amount_minor),
        else_=payment.refunded_minor,
    )
    unsure = case((payment.state.in_((State.CHARGING, State.CAPTURING)), payment.amount_minor), else_=0)
    found = select(payment.currency, func.sum(paid), func.sum(back), func.sum(unsure)).where(
        _is_charged(), _is_between()
    )
    return found.group_by(payment.currency).order_by(payment.currency)


@cache
def _charges(*, is_further: bool, is_bounded: bool) -> Select[Any]:  # Any: rows of `payment`.
    """Built once: to build it takes longer than to run it."""
    payment = tables.payment.c
    statement = select(tables.payment).where(_is_charged())
    if is_further:
        statement = statement.where(payment.id < bindparam("older_than"))
    if is_bounded:
        statement = statement.where(_is_between())
    return statement.order_by(payment.id.desc()).limit(bindparam("most", type_=Integer))


def _is_charged() -> ColumnElement[bool]:
    payment = tables.payment.c
    is_charged = payment.state.in_(_CHARGED) | payment.reversed_attempt_id.is_not(None)
    return (payment.consumer_id == bindparam("phone")) & is_charged


def _is_between() -> ColumnElement[bool]:
    payment = tables.payment.c
    at_ms = func.coalesce(payment.ended_at_ms, payment.created_at_ms)
    # Nothing ends before it is made: an old month is found without reading all that came after it.
    return (at_ms >= bindparam("begins")) & (at_ms < bindparam("ends")) & (payment.id < bindparam("behind"))


def _bounds(between_ms: tuple[int, int]) -> dict[str, object]:
    begins_ms, ends_ms = between_ms
    return {"begins": begins_ms, "ends": ends_ms, "behind": first_id_behind(ends_ms)}


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


def consumer_open_payments(conn: Connection, consumer_id: str, *, limit: int) -> list[Payment]:
    """Payments of one phone of which something is still to come; the newest *limit*, that moved last first."""
    payment = tables.payment.c
    is_open = payment.state.not_in(_OVER) | payment.operation.is_not(None)
    is_open |= (payment.disputed_minor > 0) | (payment.refund_reserved_minor > 0) | (payment.escrow == Escrow.HELD)
    statement = select(tables.payment).where((payment.consumer_id == consumer_id) & is_open)
    found = conn.execute(statement.order_by(payment.updated_at_ms.desc(), payment.id.desc()).limit(limit))
    return [payment_from_row(row) for row in found]


def consumer_moving_payments(conn: Connection, consumer_id: str) -> list[Payment]:
    """Payments of one phone that were agreed to and have not ended, oldest first."""
    payment = tables.payment.c
    is_moving = payment.operation.is_not(None) | payment.state.in_(AGREED_STATES)
    statement = select(tables.payment).where((payment.consumer_id == consumer_id) & is_moving).order_by(payment.id)
    return [payment_from_row(row) for row in conn.execute(statement)]


def former_payments(conn: Connection, phone: Phone, *, limit: int) -> list[Payment]:
    """The newest payments of those who had this number before its present owner."""
    payment, consumer = tables.payment.c, tables.consumer.c
    of_former = (consumer.msisdn == phone.msisdn) & (consumer.mode == phone.mode) & consumer.retired_at_ms.is_not(None)
    statement = (
        select(tables.payment)
        .where(payment.consumer_id.in_(select(consumer.id).where(of_former)))
        .order_by(payment.id.desc())
        .limit(limit)
    )
    return [payment_from_row(row) for row in conn.execute(statement)]


_OVER = (State.CAPTURED, State.ENDED, State.REVERSED)


class MerchantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant as its consumers know it."""

    id: str
    shop: str
    keyword: str
    fee_schedule: str | None
    """What new payments get."""
    goods: str
    """What it sells."""


def merchant_by_keyword(conn: Connection, keyword: str) -> MerchantRow | None:
    """The merchant whose keyword this is, in capitals as stored."""
    return _merchant(conn, tables.merchant.c.keyword == keyword)


def merchant_by_id(conn: Connection, merchant_id: str) -> MerchantRow | None:
    return _merchant(conn, tables.merchant.c.id == merchant_id)


def _merchant(conn: Connection, same: ColumnElement[bool]) -> MerchantRow | None:
    merchant = tables.merchant.c
    wanted = [merchant[name] for name in MerchantRow.__struct_fields__]
    row = conn.execute(select(*wanted).where(same)).first()
    return None if row is None else MerchantRow(**row._mapping)


def is_in_vain(conn: Connection, attempt_id: str) -> bool:
    """Whether a refund or a reversal would give back what nobody has to any more.

    A file or a person has told its end, or the carrier has taken the whole charge back.
    """
    attempt, payment = tables.attempt.c, tables.payment.c
    of_order = select(attempt.status, attempt.kind, payment.state).where(attempt.id == attempt_id)
    order = conn.execute(of_order.where(payment.id == attempt.payment_id)).one()
    return bool(order.status != "running" or (order.kind == OF_REFUND and order.state == State.REVERSED))


def is_waiting(conn: Connection, payment_id: str, code_n: int) -> bool:
    """Whether the payment's *code_n*-th code is what it waits for."""
    row = conn.execute(select(tables.payment).where(tables.payment.c.id == payment_id)).one()
    payment = payment_from_row(row)
    return payment.is_waiting and not payment.needs_pin and payment.code_n == code_n


def msisdn_of(conn: Connection, consumer_id: str) -> str:
    """The number of a consumer."""
    consumer = tables.consumer.c
    msisdn: str = conn.execute(select(consumer.msisdn).where(consumer.id == consumer_id)).scalar_one()
    return msisdn
