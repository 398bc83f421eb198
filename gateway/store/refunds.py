"""A batch's refunds: read under their payments' locks, moved by `gateway.core.refund`, written with the batch."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Connection, Row, select

from gateway.core.money import Money
from gateway.core.payment import (
    Effect,
    Event,
    Inquire,
    MoneyFact,
    Notify,
    OpenBreak,
    Operation,
    Payment,
    Post,
    Reverse,
    SendText,
)
from gateway.core.refund import (
    Refund,
    RefundCreated,
    RefundDecision,
    RefundFailed,
    RefundState,
    RefundSucceeded,
    decide_refund,
    new_refund,
    public_refund,
    reserved,
    settled,
)
from gateway.store import bulk, tables

if TYPE_CHECKING:
    from gateway.store.unit import Unit

OF_REFUND: Final = "refund"
"""What an order in the outbox, and an attempt, is about that belongs to a refund."""

_PLAIN: Final = (
    *("id", "payment_id", "merchant_id", "mode", "reason", "dispute_id", "detail"),
    *("version", "created_at_ms", "updated_at_ms"),
)
_MUTABLE: Final = ("id", "state", "detail", "operation", "version", "updated_at_ms")
_operation = msgspec.json.Decoder(Operation).decode


def refund_row(refund: Refund) -> dict[str, Any]:  # Any: a row's columns.
    """*refund* as the columns of its row."""
    return {name: getattr(refund, name) for name in _PLAIN} | {
        "amount_minor": refund.amount.amount_minor,
        "currency": refund.amount.currency,
        "state": refund.state.value,
        "operation": None if refund.operation is None else msgspec.json.encode(refund.operation).decode(),
    }


def refund_from_row(row: Row[Any]) -> Refund:  # Any: a row of the table `refund`.
    """The refund that `refund_row` made *row* of."""
    columns = row._mapping
    return Refund(
        **{name: columns[name] for name in _PLAIN},
        amount=Money(columns["amount_minor"], columns["currency"]),
        state=RefundState(columns["state"]),
        operation=None if columns["operation"] is None else _operation(columns["operation"]),
    )


def refund_by_id(conn: Connection, refund_id: str) -> Refund | None:
    row = conn.execute(select(tables.refund).where(tables.refund.c.id == refund_id)).first()
    return None if row is None else refund_from_row(row)


def refunds_of(conn: Connection, payment_id: str) -> list[Refund]:
    """The refunds of one payment, oldest first."""
    statement = select(tables.refund).where(tables.refund.c.payment_id == payment_id).order_by(tables.refund.c.id)
    return [refund_from_row(row) for row in conn.execute(statement)]


class Refunds:
    """The refunds that one batch has to do with."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._known: dict[str, Refund] = {}
        self._created: dict[str, None] = {}
        self._changed: dict[str, None] = {}

    def get(self, refund_id: str) -> Refund | None:
        """The refund as it is now. The caller has locked its payment, so nobody else moves it."""
        if refund_id not in self._known:
            found = refund_by_id(self._unit.conn, refund_id)
            if found is None:
                return None
            self._known[refund_id] = found
        return self._known[refund_id]

    def open(
        self, refund_id: str, payment: Payment, amount_minor: int, *, reason: str, dispute_id: str | None = None
    ) -> Refund:
        """A new refund of *amount_minor*, which is still there to be given back."""
        at_ms = self._unit.now_ms
        decision = new_refund(refund_id, payment, amount_minor, reason=reason, at_ms=at_ms, dispute_id=dispute_id)
        refund = decision.refund
        self._known[refund_id] = refund
        self._created[refund_id] = None
        self._unit.attempts.begin(_attempt_row(refund))
        moved = self._unit.account(reserved(payment, refund), RefundCreated(at_ms=at_ms, detail=refund_id))
        self._carry_out(moved, decision)
        return refund

    def decide(self, refund: Refund, fact: MoneyFact) -> None:
        """Move *refund* by what the carrier said, and carry out what was decided."""
        payment = self._unit.payment(refund.payment_id)
        assert payment is not None
        decision = decide_refund(refund, payment, fact, self._unit.policy.rules[payment.carrier])
        after = decision.refund
        if after is not refund:
            self._known[after.id] = after
            if after.id not in self._created:
                self._changed[after.id] = None
        if after.state is not refund.state and not after.is_open:
            if not refund.is_open:  # It had failed, and what was set aside was free again.
                payment = reserved(payment, refund)
            self._unit.attempts.end(payment.carrier, after.id, after.state.value, fact, refund.reference)
            self._end(settled(payment, after), decision, fact.at_ms)
            return
        if after.reference is not None and after.reference != refund.reference:
            self._unit.attempts.name(payment.carrier, after.id, after.reference)
        self._carry_out(payment, decision)

    def _end(self, payment: Payment, decision: RefundDecision, at_ms: int) -> None:
        """Store *payment* after its refund's end. A dispute that was won meanwhile has waited for it."""
        release = self._unit.disputes.released_if_won(payment)
        ended = self._unit.account(release.payment, _told(decision.refund, at_ms))
        self._carry_out(payment, decision)  # What failed goes back to escrow, and is released from there.
        for effect in release.effects:
            self._unit.effects.carry_out(ended, effect)

    def _carry_out(self, payment: Payment, decision: RefundDecision) -> None:
        for effect in decision.effects:
            self._carry_out_one(payment, decision.refund, effect)

    def _carry_out_one(self, payment: Payment, refund: Refund, effect: Effect) -> None:
        effects = self._unit.effects
        match effect:
            case Post():
                effects.carry_out(payment, effect)
            case Notify():
                body = msgspec.to_builtins(public_refund(refund))
                effects.notify(refund.merchant_id, refund.mode, effect.type, payment.id, body)
            case SendText():
                effects.text_about(payment, effect.template, amount=refund.amount)
            case Reverse():
                effects.order_refund(of_amount(payment, refund), refund.id, OF_REFUND, effect.delay_ms)
            case Inquire():
                self.inquire(payment, refund, delay_ms=effect.delay_ms)
            case OpenBreak():
                effects.open_break(effect.kind, payment.id, effect.detail)
            case _:
                raise AssertionError(f"no way to carry out {effect}")

    def inquire(self, payment: Payment, refund: Refund, *, delay_ms: int = 0, asked: int | None = None) -> None:
        """Ask the carrier what became of *refund*'s order."""
        of_refund = of_amount(payment, refund)
        effects = self._unit.effects
        effects.order_refund(of_refund, refund.id, "inquire", delay_ms, asked=asked, reference=refund.reference)

    def write(self) -> None:
        """Write what was made and what was moved; called by the unit's flush."""
        conn = self._unit.conn
        changed = [refund_row(self._known[refund_id]) for refund_id in self._changed]
        bulk.update_rows(conn, tables.refund, "id", [{name: row[name] for name in _MUTABLE} for row in changed])
        bulk.insert_rows(conn, tables.refund, [refund_row(self._known[refund_id]) for refund_id in self._created])


def of_amount(payment: Payment, refund: Refund) -> Payment:
    """*payment* as orders about *refund* name it: with the refund's amount."""
    return msgspec.structs.replace(payment, amount=refund.amount)


def _told(refund: Refund, at_ms: int) -> Event:
    """What the payment's own record says of the refund's end."""
    kind = RefundSucceeded if refund.state is RefundState.SUCCEEDED else RefundFailed
    return kind(at_ms=at_ms, detail=f"{refund.id} {refund.detail}".rstrip())


def _attempt_row(refund: Refund) -> dict[str, Any]:  # Any: a row's columns.
    operation = refund.operation
    assert operation is not None
    return {
        "id": refund.id,
        "payment_id": refund.payment_id,
        "kind": OF_REFUND,
        "charge_attempt_id": operation.charge_attempt_id,
        "amount_minor": refund.amount.amount_minor,
        "currency": refund.amount.currency,
        "status": "running",
        "carrier_reference": None,
        "detail": "",
        "created_at_ms": refund.created_at_ms,
        "ended_at_ms": None,
    }
