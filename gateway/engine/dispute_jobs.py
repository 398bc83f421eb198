"""Disputes as jobs of the batch: what the merchant answers, what an operator decides, what time decides."""

from dataclasses import dataclass
from typing import ClassVar

import msgspec
from sqlalchemy import select

from gateway.core.dispute import Act, Dispute, is_disputable, public_dispute
from gateway.engine.deadlines import FOUND_MAX, Deadlines
from gateway.engine.merchant_jobs import Answer, Outcome, Problem
from gateway.store import tables
from gateway.store.unit import Key, KeyRecord, Needs, Unit


@dataclass(slots=True, kw_only=True)
class AnswerDispute:
    """`POST /v1/disputes/{id}/evidence` and `…/accept`."""

    merchant_id: str
    mode: str
    dispute_id: str
    done: Act
    evidence: str = ""
    key: str
    body_hash: str

    action: ClassVar[str] = "reversal"
    is_carrier_fact: ClassVar[bool] = False

    def _key(self) -> Key:
        return Key(self.merchant_id, self.mode, f"disputes.{self.done}", self.key)

    def needs(self) -> Needs:
        return Needs(keys=(self._key(),))

    def run(self, unit: Unit) -> Outcome:
        record = unit.key(self._key())
        if record is not None and record.hash != self.body_hash:
            return Problem("idempotency_mismatch", "this Idempotency-Key was used with another request body")
        if record is not None and record.response:
            return Answer(record.status, record.response.encode(), replayed=True)
        dispute = unit.disputes.get(self.dispute_id)
        if dispute is None or (dispute.merchant_id, dispute.mode) != (self.merchant_id, self.mode):
            return Problem("not_found", f"no dispute {self.dispute_id} under this key")
        if record is not None:  # Older than answers are kept: the dispute as it is now.
            return Answer(record.status, _body(dispute), replayed=True)
        after = unit.disputes.act(dispute, self.done, evidence=self.evidence)
        if after is None:
            return Problem("dispute_closed", f"the dispute is {dispute.state}")
        body = _body(after)
        unit.remember_key(
            self._key(), KeyRecord(hash=self.body_hash, object_id=after.id, status=200, response=body.decode())
        )
        return Answer(200, body)


def _body(dispute: Dispute) -> bytes:
    return msgspec.json.encode(public_dispute(dispute))


@dataclass(slots=True, kw_only=True)
class OpenDispute:
    """An operator opens one for a phone's owner. The result is the dispute, or None: there is nothing to dispute."""

    payment_id: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(payment_ids=(self.payment_id,))

    def run(self, unit: Unit) -> Dispute | None:
        payment = unit.payment(self.payment_id)
        if payment is None or not is_disputable(payment, unit.now_ms):
            return None
        return unit.disputes.open(payment, "operator")


@dataclass(slots=True, kw_only=True)
class DecideDispute:
    """An operator decides, or the merchant's time is over. The result is the dispute, or None: it is too late."""

    dispute_id: str
    done: Act
    note: str = ""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Dispute | None:
        dispute = unit.disputes.get(self.dispute_id)
        return None if dispute is None else unit.disputes.act(dispute, self.done, note=self.note)


def answer_missed(dispute_id: str) -> DecideDispute:
    """Nobody answered in time."""
    return DecideDispute(dispute_id=dispute_id, done=Act.MISS)


class DisputeDeadlines(Deadlines):
    """Looks for disputes that no merchant answered in time."""

    def _find(self, unit: Unit) -> list[str]:
        dispute = tables.dispute.c
        due = (dispute.state == "open") & (dispute.due_at_ms <= unit.now_ms)
        statement = select(dispute.id).where(due).order_by(dispute.due_at_ms).limit(FOUND_MAX + len(self._aside))
        return [row.id for row in unit.conn.execute(statement) if row.id not in self._aside][:FOUND_MAX]
