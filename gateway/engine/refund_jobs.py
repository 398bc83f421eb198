"""Refunds as jobs of the batch: what a merchant asks for, and what the carrier says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from carriers import base
from gateway.core.payment import BreakKind, Payment, State
from gateway.core.refund import Refund, public_refund
from gateway.engine.carrier_facts import OrderResult, mismatch, reversal_fact
from gateway.engine.merchant_jobs import Answer, Outcome, Problem
from gateway.engine.traces import keep_trace_of_payment
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Key, KeyRecord, Needs, Unit


@dataclass(slots=True, kw_only=True)
class CreateRefund:
    """`POST /v1/payments/{id}/refunds`: set the money aside and tell the carrier to give it back."""

    merchant_id: str
    mode: str
    payment_id: str
    amount_minor: int | None
    """None: all that is left."""
    reason: str
    key: str
    body_hash: str
    capabilities: Mapping[str, base.Capabilities] = field(default_factory=dict)
    """By carrier, what its biller can do."""

    action: ClassVar[str] = "reversal"
    is_carrier_fact: ClassVar[bool] = False

    def _key(self) -> Key:
        return Key(self.merchant_id, self.mode, "refunds", self.key)

    def needs(self) -> Needs:
        return Needs(payment_ids=(self.payment_id,), keys=(self._key(),))

    def run(self, unit: Unit) -> Outcome:
        record = unit.key(self._key())
        if record is not None:
            return self._replayed(unit, record)
        payment = unit.payment(self.payment_id)
        if payment is None or (payment.merchant_id, payment.mode) != (self.merchant_id, self.mode):
            return Problem("not_found", f"no payment {self.payment_id} under this key")
        amount_minor = payment.refundable_minor if self.amount_minor is None else self.amount_minor
        problem = self._problem(payment, amount_minor)
        if problem is not None:
            return problem
        refund = unit.refunds.open(new_id("ref_"), payment, amount_minor, reason=self.reason)
        return self._answer(unit, refund)

    def _answer(self, unit: Unit, refund: Refund) -> Answer:
        body = msgspec.json.encode(public_refund(refund))
        record = KeyRecord(hash=self.body_hash, object_id=refund.id, status=201, response=body.decode())
        unit.remember_key(self._key(), record)
        return Answer(201, body)

    def _replayed(self, unit: Unit, record: KeyRecord) -> Outcome:
        if record.hash != self.body_hash:
            return Problem("idempotency_mismatch", "this Idempotency-Key was used with another request body")
        if record.response:
            return Answer(record.status, record.response.encode(), replayed=True)
        refund = unit.refunds.get(record.object_id)  # Older than answers are kept: the refund as it is now.
        assert refund is not None, "a key is stored in its refund's own transaction"
        return Answer(record.status, msgspec.json.encode(public_refund(refund)), replayed=True)

    def _problem(self, payment: Payment, amount_minor: int) -> Problem | None:
        status = {"status": str(payment.public_state)}
        if payment.state is not State.CAPTURED:
            detail = f"the payment is {payment.public_state}; only a succeeded payment is refunded"
            return Problem("invalid_state", detail, status)
        if payment.disputed_minor:
            return Problem("payment_disputed", "a dispute about this payment is open; it decides first", status)
        left_minor = payment.refundable_minor
        if not 0 < amount_minor <= left_minor:
            detail = f"amount: {left_minor} {payment.amount.currency} (minor units) can still be refunded"
            return Problem("refund_exceeds_payment", detail, status)
        return self._incapable(payment, amount_minor)

    def _incapable(self, payment: Payment, amount_minor: int) -> Problem | None:
        can = self.capabilities.get(payment.carrier)
        if can is None:
            return None
        if not can.refund:
            return Problem("refunds_not_supported", f"carrier {payment.carrier} takes no refunds")
        if amount_minor != payment.captured_minor and not can.partial_refund:
            detail = f"carrier {payment.carrier} refunds only the whole: {payment.captured_minor} (minor units)"
            return Problem("partial_refunds_not_supported", detail)
        return None


@dataclass(slots=True)
class RefundDone:
    """What the biller answered to a refund, or to an inquiry about one."""

    row: OutboxRow
    result: OrderResult

    action: ClassVar[str] = "reversal"
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        assert self.row.payment_id is not None and self.row.consumer_id is not None
        return Needs(payment_ids=(self.row.payment_id,), consumer_ids=(self.row.consumer_id,))

    def run(self, unit: Unit) -> None:
        unit.complete(self.row.id)
        refund = unit.refunds.get(self.row.body["attempt_id"])
        payment = unit.payment(self.row.payment_id or "")
        assert refund is not None and payment is not None
        keep_trace_of_payment(unit, self.result.trace, payment.id)
        if self.row.body.get("asked") is not None and not isinstance(self.result, base.Charged | base.Declined):
            return  # Asked because of a callback; the refund's own inquiries go on.
        result = self.result
        wrong = mismatch(self.row, result)
        if wrong is not None:
            unit.effects.open_break(BreakKind.MISMATCH, payment.id, f"refund {refund.id}: {wrong}")
            result = base.Unknown(detail=wrong)
        unit.refunds.decide(refund, reversal_fact(unit.now_ms, refund.id, result))
