"""Giving up money that nobody will pay us: one person proposes, another agrees, and only then it is booked."""

from dataclasses import dataclass
from typing import ClassVar

from msgspec.structs import replace
from sqlalchemy import select, update

from gateway.core import ledger
from gateway.core.payment import BreakKind, EntryKind
from gateway.store import tables
from gateway.store.cases import Case, open_case, resolve
from gateway.store.unit import Needs, Unit

WRITTEN_OFF = frozenset(
    {BreakKind.MISSING_AT_CARRIER, BreakKind.AMOUNT, BreakKind.FEE, BreakKind.STATUS, BreakKind.REMITTANCE}
)
"""Breaks about money that the carrier owes us by our books."""


@dataclass(slots=True)
class WriteOff:
    """The word of one person; the second one's books it. Raises LookupError or ValueError like `cases.resolve`."""

    break_id: str
    by: str
    note: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Case:
        case = open_case(unit.conn, "break", self.break_id)
        amount_minor = case.amount_minor or 0
        if case.kind not in WRITTEN_OFF or amount_minor <= 0:
            raise ValueError(f"{case.id}: expected money that a carrier owes us, and this is a break {case.kind}")
        if not case.proposed_by:
            table = tables.open_break
            proposed = update(table).where(table.c.id == case.id).values(proposed_by=self.by, proposal=self.note)
            unit.conn.execute(proposed)
            return replace(case, proposed_by=self.by)
        if case.proposed_by == self.by:
            raise ValueError(f"{case.id}: {self.by} proposed it, so another person has to agree")
        unit.effects.post(_entry(unit, case, amount_minor))
        note = f"written off, as {case.proposed_by} proposed: {self.note}"
        return resolve(unit.conn, "break", case.id, by=self.by, note=note, now_ms=unit.now_ms)


def _entry(unit: Unit, case: Case, amount_minor: int) -> ledger.Entry:
    if case.payment_id is not None:
        payment = unit.payment(case.payment_id)
        assert payment is not None
        return ledger.payment_entry(payment, EntryKind.WRITE_OFF, case.id, amount_minor)
    table, file = tables.open_break, tables.carrier_file
    found = unit.conn.execute(
        select(file.c.carrier).join(table, table.c.carrier_file_id == file.c.id).where(table.c.id == case.id)
    ).one()
    legs = (
        ledger.Leg(ledger.WRITE_OFF, amount_minor),
        ledger.Leg(ledger.carrier_receivable(found.carrier), -amount_minor),
    )
    mode = unit.policy.modes[found.carrier]
    return ledger.an_entry(EntryKind.WRITE_OFF, "break", case.id, mode=mode, currency=case.currency, legs=legs)
