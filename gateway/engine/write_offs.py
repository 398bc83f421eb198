"""Giving up money that nobody will pay us: one person proposes, another agrees, and only then it is booked.

No more than the carrier still owes: a row's break and the break of its file's remittance may be about the same money.
"""

from dataclasses import dataclass
from typing import ClassVar

from msgspec.structs import replace
from sqlalchemy import update

from gateway.core import ledger
from gateway.core.payment import BreakKind, EntryKind
from gateway.core.reconcile import Ours
from gateway.engine.remittances import due, remit
from gateway.store import carrier_files, tables
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import Case, open_case, resolve
from gateway.store.unit import Needs, Unit

WRITTEN_OFF = frozenset(
    {BreakKind.MISSING_AT_CARRIER, BreakKind.AMOUNT, BreakKind.FEE, BreakKind.STATUS, BreakKind.REMITTANCE}
)
"""Breaks about money that the carrier owes us by our books."""
OF_A_FILE = frozenset({BreakKind.AMOUNT, BreakKind.FEE, BreakKind.REMITTANCE})
"""Of these, those about what a file tells of: what is given up of them the file need not pay any more."""


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
        # The payment, then the file, then its break: so do the jobs of files.
        payment_id, file_id = carrier_files.of_break(unit.conn, self.break_id)
        if payment_id is not None:
            unit.payment(payment_id)
        file = None if file_id is None else carrier_files.locked(unit.conn, file_id)
        case = open_case(unit.conn, "break", self.break_id)
        amount_minor = case.amount_minor or 0
        if case.kind not in WRITTEN_OFF or amount_minor <= 0:
            raise ValueError(f"{case.id}: expected money that a carrier owes us, and this is a break {case.kind}")
        _expect_owed(unit, case, file, amount_minor)
        if not case.proposed_by:
            table = tables.open_break
            proposed = update(table).where(table.c.id == case.id).values(proposed_by=self.by, proposal=self.note)
            unit.conn.execute(proposed)
            return replace(case, proposed_by=self.by)
        if case.proposed_by == self.by:
            raise ValueError(f"{case.id}: {self.by} proposed it, so another person has to agree")
        unit.effects.post(_entry(unit, case, file, amount_minor))
        note = f"written off, as {case.proposed_by} proposed: {self.note}"
        resolved = resolve(unit.conn, "break", case.id, by=self.by, note=note, now_ms=unit.now_ms)
        if file is not None and case.kind in OF_A_FILE:
            _remit_the_rest(unit, file, amount_minor)
        return resolved


def undo(unit: Unit, order: Ours, missing_id: str) -> int:
    """A file tells that *order*, given up as not charged, was charged: it is owed again. Return how much (minor units).

    *missing_id*: the break that says that no file has the order.
    """
    found = carrier_files.written_off(unit.conn, order, missing_id)
    for break_id, amount_minor in found.items():
        payment = unit.payment(order.payment_id)
        assert payment is not None
        unit.effects.post(ledger.payment_entry(payment, EntryKind.WRITE_OFF_UNDONE, break_id, amount_minor))
    return sum(found.values())


def _expect_owed(unit: Unit, case: Case, file: CarrierFile | None, amount_minor: int) -> None:
    """Raise ValueError unless the carrier still owes so much: two breaks may be about the same money."""
    if case.payment_id is not None:
        payment = unit.payment(case.payment_id)
        assert payment is not None
        owed_minor = carrier_files.owed_minor(unit.conn, payment.id, payment.carrier)
        if amount_minor > owed_minor:
            raise ValueError(_too_much(case, amount_minor, owed_minor, f"of {payment.id}"))
    if file is None or case.kind not in OF_A_FILE:
        return
    of = due(unit, file)
    if of is None:
        return
    if file.state != "taken":
        raise ValueError(f"{case.id}: {file.name} is not read to its end; give it to `gateway reconcile` first")
    lacking_minor = 0 if file.remittance == "posted" else max(0, of.lacking_minor)
    if amount_minor > lacking_minor:
        raise ValueError(_too_much(case, amount_minor, lacking_minor, f"for {file.name}"))


def _too_much(case: Case, amount_minor: int, left_minor: int, of: str) -> str:
    left = f"{left_minor} {case.currency} (minor units)" if left_minor else "nothing"
    return (
        f"{case.id}: the carrier owes {left} more {of}, and this would give up {amount_minor};"
        " the rest was paid, or is what another break is about"
    )


def _remit_the_rest(unit: Unit, file: CarrierFile, given_up_minor: int) -> None:
    """What was given up may have been all that kept the carrier's payment from being booked."""
    of = due(unit, file, given_up_minor=given_up_minor)
    if of is None:
        return
    bank = unit.policy.banks.get(file.carrier)
    if bank is None:
        raise ValueError(f"expected [carriers.{file.carrier}.files], which says to which bank {file.name} was paid")
    remit(unit, file, of, mode=unit.policy.modes[file.carrier], bank=bank)


def _entry(unit: Unit, case: Case, file: CarrierFile | None, amount_minor: int) -> ledger.Entry:
    if case.payment_id is not None:
        payment = unit.payment(case.payment_id)
        assert payment is not None
        return ledger.payment_entry(payment, EntryKind.WRITE_OFF, case.id, amount_minor)
    assert file is not None, "a break about no payment is about a file"
    legs = (
        ledger.Leg(ledger.WRITE_OFF, amount_minor),
        ledger.Leg(ledger.carrier_receivable(file.carrier), -amount_minor),
    )
    mode = unit.policy.modes[file.carrier]
    return ledger.an_entry(EntryKind.WRITE_OFF, "break", case.id, mode=mode, currency=case.currency, legs=legs)
