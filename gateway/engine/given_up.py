"""A row that no try can carry out: it is taken out of the lane and a person is called, so that others go on."""

from dataclasses import dataclass
from typing import ClassVar

from gateway.core.payment import BreakKind
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit


@dataclass(slots=True)
class RowGivenUp:
    """Its executor broke down on *row* again and again. Whatever the row was to do is up to whoever reads the Break."""

    row: OutboxRow
    error: str
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> None:
        unit.complete(self.row.id)
        detail = f"row {self.row.id} of lane {self.row.lane} ({self.row.kind}) cannot be carried out: {self.error}"
        unit.effects.open_break(BreakKind.NOT_CARRIED_OUT, self.row.payment_id, detail)
