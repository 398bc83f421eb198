"""Giving up money that nobody will pay us: one person proposes, another agrees, and only then it is booked.

No more than the carrier still owes: a row's break and the break of its file's remittance may be about the same money.
Whose charge is given up as never taken, of that nothing was given back either: such a break is written off the other
way, so that what is lost is the difference. The same way goes what a carrier pays for a file beyond our books, if
nobody can say for what: else all that it pays for that file would wait for ever.
"""

from dataclasses import dataclass
from typing import ClassVar

from msgspec.structs import replace
from sqlalchemy import update

from gateway.core import ledger
from gateway.core.fees import Fees
from gateway.core.payment import BreakKind, EntryKind, Payment
from gateway.core.people import expect_another
from gateway.core.reconcile import Ours
from gateway.engine.remittances import due, remit_as_configured
from gateway.store import carrier_files, tables, write_offs
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import Case, open_case, put_on_record
from gateway.store.unit import Needs, Unit
from gateway.store.write_offs import NOT_DONE, Owed

WRITTEN_OFF = frozenset(
    {BreakKind.MISSING_AT_CARRIER, BreakKind.AMOUNT, BreakKind.FEE, BreakKind.STATUS, BreakKind.REMITTANCE}
)
"""Breaks about money that the carrier owes us by our books, or pays us beyond them."""
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
        if case.kind not in WRITTEN_OFF or not case.amount_minor:
            raise ValueError(_not_owed(case))
        amount_minor = _expect_owed(unit, case, file, case.amount_minor)
        if amount_minor != case.amount_minor:
            case = _at_risk_is(unit, case, amount_minor)
        if not case.proposed_by:
            table = tables.open_break
            proposed = update(table).where(table.c.id == case.id).values(proposed_by=self.by, proposal=self.note)
            unit.conn.execute(proposed)
            return replace(case, proposed_by=self.by)
        expect_another(case.id, case.proposed_by, self.by)
        self._book(unit, case, file, amount_minor)
        note = f"written off, as {case.proposed_by} proposed: {self.note}"
        resolved = put_on_record(unit.conn, "break", case.id, by=self.by, note=note, now_ms=unit.now_ms)
        if file is not None and case.kind in OF_A_FILE:
            _remit_the_rest(unit, file, amount_minor)
        return resolved

    def _book(self, unit: Unit, case: Case, file: CarrierFile | None, amount_minor: int) -> None:
        if case.payment_id is None:
            unit.effects.post(_entry_of_file(unit, case, file, amount_minor))
            return
        payment = unit.payment(case.payment_id)
        assert payment is not None
        is_kept = case.kind not in NOT_DONE  # What was charged the carrier keeps its share of.
        share_minor = 0 if is_kept else write_offs.share_not_kept(unit.conn, payment, case.detail, amount_minor)
        _post(unit, payment, EntryKind.WRITE_OFF, case.id, amount_minor, share_minor)


def undo(unit: Unit, order: Ours, missing_id: str, undone: set[str]) -> int | None:
    """A file tells that *order*, given up as not done, was done: book that back. Return how much (minor units).

    None: nothing of it is given up. *missing_id*: the break that says that no file has the order. *undone*: the breaks
    for which this batch has done so already; added to.
    """
    payment = unit.payment(order.payment_id)
    assert payment is not None
    written_off = write_offs.written_off(unit.conn, order, payment.carrier, missing_id)
    found = {break_id: one for break_id, one in written_off.items() if break_id not in undone}
    for break_id, one in found.items():
        _post(unit, payment, EntryKind.WRITE_OFF_UNDONE, break_id, one.amount_minor, one.share_minor)
    undone.update(found)
    return sum(one.amount_minor for one in found.values()) if found else None


def _expect_owed(unit: Unit, case: Case, file: CarrierFile | None, amount_minor: int) -> int:
    """How much of it is still owed. Raise ValueError if nothing is: two breaks may be about the same money."""
    if case.payment_id is not None:
        payment = unit.payment(case.payment_id)
        assert payment is not None
        owed = write_offs.owed(unit.conn, payment.id, payment.carrier, case.detail)
        amount_minor = _given_back(case, owed, amount_minor) if amount_minor < 0 else _taken(case, owed, amount_minor)
    if amount_minor < 0 and case.kind not in (*NOT_DONE, BreakKind.REMITTANCE):
        raise ValueError(_not_owed(case))
    if file is not None and case.kind in OF_A_FILE:
        return _expect_differing(unit, case, file, amount_minor)
    return amount_minor


def _taken(case: Case, owed: Owed, amount_minor: int) -> int:
    if owed.taken_minor <= 0:
        raise ValueError(_too_much(case, amount_minor, 0, f"of {case.payment_id}"))
    return min(amount_minor, owed.taken_minor)


def _given_back(case: Case, owed: Owed, amount_minor: int) -> int:
    """What the carrier never took off is no gain of ours, unless its charge was given up: then it is no loss."""
    capped_minor = max(amount_minor, owed.given_back_minor)
    if case.kind not in NOT_DONE or capped_minor >= 0 or owed.not_taken_minor + capped_minor < 0:
        raise ValueError(_not_owed(case))
    return capped_minor


def _expect_differing(unit: Unit, case: Case, file: CarrierFile, amount_minor: int) -> int:
    """How much of it what is paid for *file* differs from our books by. Raise ValueError unless it is that, or more."""
    of = due(unit, file)
    if of is None:
        return amount_minor
    if file.state != "taken":
        raise ValueError(f"{case.id}: {file.name} is not read to its end; give it to `gateway reconcile` first")
    lacking_minor = 0 if file.remittance == "posted" else of.lacking_minor
    if case.kind == BreakKind.REMITTANCE and lacking_minor:
        # The books may have moved since the break was opened: a part of it would end the break and not the difference.
        return lacking_minor
    if not (0 < amount_minor <= lacking_minor or lacking_minor <= amount_minor < 0):
        raise ValueError(_too_much(case, amount_minor, max(0, lacking_minor), f"for {file.name}"))
    return amount_minor


def _at_risk_is(unit: Unit, case: Case, amount_minor: int) -> Case:
    """Another sum than was said is owed: what somebody proposed to give up was another sum."""
    table = tables.open_break
    values = {"amount_minor": amount_minor, "proposed_by": "", "proposal": ""}
    unit.conn.execute(update(table).where(table.c.id == case.id).values(**values))
    return replace(case, amount_minor=amount_minor, proposed_by="")


def _not_owed(case: Case) -> str:
    return f"{case.id}: expected money that a carrier owes us, and this is a break {case.kind}"


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
    remit_as_configured(unit, file, of)


def _post(unit: Unit, payment: Payment, kind: EntryKind, break_id: str, amount_minor: int, share_minor: int) -> None:
    fees = Fees(carrier_share_minor=share_minor)
    unit.effects.post(ledger.payment_entry(payment, kind, break_id, amount_minor, fees=fees))


def _entry_of_file(unit: Unit, case: Case, file: CarrierFile | None, amount_minor: int) -> ledger.Entry:
    assert file is not None, "a break about no payment is about a file"
    legs = (
        ledger.Leg(ledger.WRITE_OFF, amount_minor),
        ledger.Leg(ledger.carrier_receivable(file.carrier), -amount_minor),
    )
    mode = unit.policy.modes[file.carrier]
    return ledger.an_entry(EntryKind.WRITE_OFF, "break", case.id, mode=mode, currency=case.currency, legs=legs)
