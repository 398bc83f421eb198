"""What an operator heard from the carrier of an order that no inquiry and no file ends: a fact like the carrier's own.

Only once a person was called: while a break `unknown_outcome` about the order is open, and never against what a file of
the carrier tells; or while a break `reversal_declined` is, for what the carrier would not give back has to go back.
Never while the order goes out once more: it may be carried out yet.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from gateway.core.carrier_files import Said
from gateway.core.payment import (
    BreakKind,
    Charged,
    ChargeDeclined,
    Held,
    HoldEnded,
    HoldOrderDeclined,
    MoneyFact,
    Operation,
    OperationKind,
    Payment,
    Reason,
    Reversed,
    ReverseDeclined,
    Rules,
)
from gateway.store import carrier_files, tables
from gateway.store.cases import Case, open_case, order_of, put_on_record
from gateway.store.refunds import OF_REFUND
from gateway.store.unit import Needs, Unit

DETAIL: Final = "told by the carrier to an operator"
"""What merchants may read; the operator's own words stay with the break."""


class Outcome(StrEnum):
    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did-not-happen"


def needs_of(conn: Connection, case_id: str) -> Needs:
    """The payment that the break is about, and its consumer: to be locked before."""
    payment_id, _ = carrier_files.of_break(conn, case_id)
    consumer = select(tables.payment.c.consumer_id).where(tables.payment.c.id == payment_id)
    found = conn.execute(consumer).scalars().all()
    return Needs(payment_ids=() if payment_id is None else (payment_id,), consumer_ids=tuple(found))


@dataclass(slots=True)
class EndOrder:
    """The word of one person. Raises LookupError or ValueError like `cases.resolve`."""

    break_id: str
    outcome: Outcome
    by: str
    note: str
    reference: str = ""
    """The carrier's own, if it was told; refunds at some carriers need it."""
    wanted: Needs = field(default_factory=Needs)
    """Of `needs_of`."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return self.wanted

    def run(self, unit: Unit) -> Case:
        # The payment, then the carrier's files, then the break: so do the jobs of files.
        payment = unit.payment(self.wanted.payment_ids[0]) if self.wanted.payment_ids else None
        if payment is not None:
            carrier_files.take_turn(unit.conn, payment.carrier)
        case = open_case(unit.conn, "break", self.break_id)
        order = None if payment is None else order_of(unit.conn, case)
        if payment is None or order is None:
            raise ValueError(
                f"{case.id}: expected a break about an order that has not ended, and this {case.kind} names no order:"
                " settle it, then `gateway breaks resolve` it"
            )
        operation = _operation(unit, payment, order)
        if operation is None or order.status != "running":
            raise ValueError(f"{case.id}: what became of {order.id} is known, it has {order.status}; resolve the break")
        if case.kind == BreakKind.REVERSAL_DECLINED:
            self._expect_given_back(case, order)
        else:
            self._expect_no_other_word(unit.conn, case, order)
        self._expect_its_name(unit, case, payment, operation)
        waiting = _outbox_of(unit.conn, order)
        _expect_nothing_to_come(case, waiting, operation, unit.policy.rules[payment.carrier])
        for row in waiting:  # Or a carrier that then does not know the order gets it once more.
            unit.complete(row.id)
        self._tell(unit, payment, order, operation)
        note = f"{order.id} {self.outcome}, as the carrier told {self.by}: {self.note}"
        return put_on_record(unit.conn, "break", case.id, by=self.by, note=note, now_ms=unit.now_ms)

    def _expect_given_back(self, case: Case, order: Row[Any]) -> None:  # Any: row of `attempt`.
        """Raise ValueError unless the reversal that the carrier declined was carried out after all."""
        if self.outcome is not Outcome.HAPPENED:
            raise ValueError(
                f"{case.id}: that {order.id} did not happen the carrier has said already; once the phone's owner has"
                f" the money again, say `{Outcome.HAPPENED}`"
            )

    def _expect_no_other_word(self, conn: Connection, case: Case, order: Row[Any]) -> None:  # Any: row of `attempt`.
        """Raise ValueError if a file of the carrier tells otherwise."""
        attempt, match = tables.attempt, tables.carrier_match
        of_charge = (
            select(attempt.c.id, attempt.c.kind, match.c.said)
            .join(match, match.c.attempt_id == attempt.c.id)
            .where(attempt.c.payment_id == order.payment_id, attempt.c.charge_attempt_id == order.charge_attempt_id)
        )
        for told in conn.execute(of_charge):
            if _contradicts(self.outcome, order, told):
                raise ValueError(f"{case.id}: {self.outcome} contradicts the carrier's file, which tells {told.said}")

    def _expect_its_name(self, unit: Unit, case: Case, payment: Payment, operation: Operation) -> None:
        """Raise ValueError if the carrier calls the order otherwise: by another's name its money would go back."""
        known = operation.reference
        # What its files never call an order by is no more than a way to ask about it.
        is_name = bool(carrier_files.names_of(known, unit.policy.names_in_files.get(payment.carrier)))
        is_longer = self.reference.startswith(f"{known}/")  # `SR12` is no longer `SR1`, but another order.
        if self.reference and is_name and self.reference != known and not is_longer:
            raise ValueError(
                f"{case.id}: {payment.carrier} calls {operation.attempt_id} {known!r}, and not {self.reference!r}:"
                f" leave `--reference` out, or say one that begins with `{known}/`"
            )

    def _tell(self, unit: Unit, payment: Payment, order: Row[Any], operation: Operation) -> None:  # Any: as above.
        known = operation.reference if order.kind in _GIVES_BACK else operation.carrier_reference or operation.reference
        reference = self.reference or known
        if self.outcome is Outcome.HAPPENED:
            fact = _happened(unit.now_ms, order, reference)
        else:
            fact = _did_not_happen(unit.now_ms, order, payment.code_n)
        if order.kind == OF_REFUND:
            refund = unit.refunds.get(order.id)
            assert refund is not None
            unit.refunds.decide(refund, fact)
        else:
            unit.decide(payment.id, fact)


class Waiting(NamedTuple):
    """A row of the outbox about an order."""

    id: str
    is_inquiry: bool
    is_aside: bool
    """It asks because the carrier called, beside the order's own inquiries."""


def _outbox_of(conn: Connection, order: Row[Any]) -> list[Waiting]:  # Any: a row of the table `attempt`.
    outbox = tables.outbox.c
    kinds = (*OperationKind, OF_REFUND, "inquire")
    of_payment = select(tables.outbox).where(outbox.payment_id == order.payment_id, outbox.kind.in_(kinds))
    found = [(row, msgspec.json.decode(row.body)) for row in conn.execute(of_payment)]
    return [
        Waiting(row.id, row.kind == "inquire", "asked" in body) for row, body in found if body["attempt_id"] == order.id
    ]


def _expect_nothing_to_come(case: Case, waiting: Collection[Waiting], operation: Operation, rules: Rules) -> None:
    """Raise ValueError if the order goes out once more, or has since and its inquiries begin anew.

    A lane may have read its row already, so that nobody can keep it from leaving.
    """
    order_id, asked, last = operation.attempt_id, operation.inquiries, len(rules.inquiry_ladder_ms)
    if not all(row.is_inquiry for row in waiting):
        raise ValueError(f"{case.id}: {order_id} is on its way to the carrier once more: wait for the answer")
    asks = any(not row.is_aside for row in waiting)
    if asks and not operation.declined and asked <= last:
        raise ValueError(f"{case.id}: inquiry {asked} of {last} about {order_id} is still to come: wait for the last")


_GIVES_BACK: Final[Collection[str]] = (OperationKind.REVERSE, OF_REFUND)


def _operation(unit: Unit, payment: Payment, order: Row[Any]) -> Operation | None:  # Any: a row of the table `attempt`.
    """What still runs of it."""
    operation = payment.operation
    if order.kind == OF_REFUND:
        refund = unit.refunds.get(order.id)
        operation = None if refund is None else refund.operation
    return operation if operation is not None and operation.attempt_id == order.id else None


def _contradicts(outcome: Outcome, order: Any, told: Any) -> bool:  # Any: rows of `attempt`.
    if told.id == order.id:
        return bool(told.said == Said.FAILED) is (outcome is Outcome.HAPPENED)
    # Whatever was held is gone once it is captured, and was not let go.
    is_captured = told.kind in (OperationKind.RESERVE, OperationKind.CAPTURE) and told.said == Said.CHARGED
    return is_captured and bool(order.kind == OperationKind.RELEASE) and outcome is Outcome.HAPPENED


def _happened(
    at_ms: int,
    order: Row[Any],  # Any: a row of the table `attempt`.
    reference: str | None,
) -> MoneyFact:
    of_charge = order.charge_attempt_id
    match order.kind:
        case OperationKind.RESERVE:
            if reference is None:
                raise ValueError(
                    f"{order.id}: what is held is captured and released by the carrier's own reference: ask it for that"
                    " too, and say it with `--reference`"
                )
            return Held(at_ms=at_ms, attempt_id=order.id, carrier_reference=reference)
        case OperationKind.RELEASE:
            return HoldEnded(at_ms=at_ms, attempt_id=of_charge, detail=DETAIL)
        case OperationKind.CHARGE | OperationKind.CAPTURE:
            amount_minor = order.amount_minor
            return Charged(at_ms=at_ms, attempt_id=of_charge, carrier_reference=reference, amount_minor=amount_minor)
        case _:
            return Reversed(at_ms=at_ms, attempt_id=order.id, carrier_reference=reference)


def _did_not_happen(at_ms: int, order: Row[Any], code_n: int) -> MoneyFact:  # Any: a row of the table `attempt`.
    match order.kind:
        case OperationKind.CHARGE | OperationKind.RESERVE:
            reason = Reason.NOT_CHARGED
            return ChargeDeclined(at_ms=at_ms, attempt_id=order.id, reason=reason, detail=DETAIL, next_code_n=code_n)
        case OperationKind.CAPTURE | OperationKind.RELEASE:
            return HoldOrderDeclined(at_ms=at_ms, attempt_id=order.id, detail=DETAIL)
        case _:
            return ReverseDeclined(at_ms=at_ms, attempt_id=order.id, detail=DETAIL)
