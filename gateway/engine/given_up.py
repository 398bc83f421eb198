"""A row that no try can carry out: it is taken out of the lane and a person is called, so that others go on.

An order may have left all the same, so it has an unknown outcome: the carrier is asked, and whoever was called decides
in the end.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from carriers import base
from gateway.core.payment import BreakKind, OperationKind
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.refund_jobs import RefundDone
from gateway.store.outbox import OutboxRow
from gateway.store.refunds import OF_REFUND
from gateway.store.unit import Needs, Unit

ORDERS: Final = frozenset({*OperationKind, OF_REFUND, "inquire"})
"""Kinds of rows that tell a biller something, or ask it."""
DETAIL: Final = "nobody knows whether it left"
"""What merchants may read; the error stays with the break."""


@dataclass(slots=True)
class RowGivenUp:
    """Its executor broke down on *row* again and again. Whatever the row was to do is up to whoever reads the Break."""

    row: OutboxRow
    error: str
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        done = self._done()
        return Needs() if done is None else done.needs()

    def run(self, unit: Unit) -> None:
        row, done = self.row, self._done()
        if done is None:
            unit.complete(row.id)
            what = f"row {row.id} of lane {row.lane}"
        else:
            done.run(unit)
            what = f"order {row.body['attempt_id']}"  # Not the row: of each inquiry about it there is another one.
        detail = f"{what} ({row.kind}) cannot be carried out: {self.error}"
        unit.effects.open_break(BreakKind.NOT_CARRIED_OUT, row.payment_id, detail)

    def _done(self) -> OrderDone | RefundDone | None:
        """What is known of an order. None: the row is none, or it is what is broken."""
        if self.row.kind not in ORDERS or not {"of", "attempt_id"} <= self.row.body.keys():
            return None
        kind = RefundDone if self.row.body["of"] == OF_REFUND else OrderDone
        return kind(self.row, base.Unknown(detail=DETAIL))
