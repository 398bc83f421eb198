"""What a carrier pays for a file: booked once our books come to the same sum, to the minor unit, and never before.

What of the difference is given up by two persons makes our sum smaller, so that nothing can be given up twice.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from msgspec.structs import replace
from sqlalchemy import update

from gateway.core import ledger
from gateway.core.money import Money
from gateway.core.payment import BreakKind, EntryKind
from gateway.core.people import expect_another
from gateway.store import carrier_files, tables
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import settle_breaks
from gateway.store.effects import break_id
from gateway.store.unit import Needs, Unit


class Due(NamedTuple):
    """What the carrier has to pay for a file by our books, and what it does pay."""

    taken_minor: int
    share_minor: int
    remitted_minor: int

    @property
    def lacking_minor(self) -> int:
        """Less than zero: it pays too much."""
        return self.taken_minor - self.share_minor - self.remitted_minor


def due(unit: Unit, file: CarrierFile, *, given_up_minor: int = 0) -> Due | None:
    """None: the file does not say what it pays. *given_up_minor*: what this very batch writes off of it."""
    if file.remitted_minor is None:
        return None
    taken_minor, share_minor = carrier_files.told_sums(unit.conn, file.carrier, file.id)
    return Due(taken_minor - given_up_minor, share_minor, file.remitted_minor)


def remit(unit: Unit, file: CarrierFile, of: Due, *, mode: str, bank: str) -> int:
    """Book what *file*, locked, pays; if our books say another sum, keep a break that says how much. Return that."""
    words = (
        f"{file.carrier} file {file.name}"  # No sum: it may change while breaks are settled, and it stays one break.
    )
    missed = break_id(BreakKind.REMITTANCE, None, words)
    if of.lacking_minor:
        at_risk = Money(of.lacking_minor, file.currency)
        unit.effects.open_break(BreakKind.REMITTANCE, None, words, at_risk=at_risk, carrier_file_id=file.id)
        _say_the_new_sum(unit, missed, of.lacking_minor)
    else:
        if of.taken_minor or of.share_minor:  # Else it came to nothing, and an entry of nothing is none.
            unit.effects.post(_entry(file, mode, bank, of))
        carrier_files.mark_remitted(unit.conn, file.id, unit.now_ms)
        settle_breaks(unit.conn, [missed], "the sums agree now", unit.now_ms)
    table = tables.carrier_file
    remittance = "open" if of.lacking_minor else "posted"
    unit.conn.execute(update(table).where(table.c.id == file.id).values(remittance=remittance))
    return of.lacking_minor


def remit_as_configured(unit: Unit, file: CarrierFile, of: Due) -> int:
    """As `remit`; for whoever has no layout at hand. Raise ValueError if nothing says to which bank it was paid."""
    bank = unit.policy.banks.get(file.carrier)
    if bank is None:
        raise ValueError(f"expected [carriers.{file.carrier}.files], which says to which bank {file.name} was paid")
    return remit(unit, file, of, mode=unit.policy.modes[file.carrier], bank=bank)


@dataclass(slots=True)
class BookRemittance:
    """What a person saw that the carrier paid for a file without a trailer. A second one who says the same is believed
    as a trailer would be.
    """

    file_id: str
    amount_minor: int
    by: str
    note: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> CarrierFile:
        """Raise ValueError if it is known what was paid, or the same person says it twice."""
        file = carrier_files.locked(unit.conn, self.file_id)
        _expect_unsaid(file)
        if file.proposed_minor != self.amount_minor:
            return _changed(unit, file, proposed_minor=self.amount_minor, proposed_by=self.by, proposal=self.note)
        expect_another(file.name, file.proposed_by, self.by)
        words = f"{file.proposed_by} ({file.proposal}) and {self.by} ({self.note})"
        said = {"remitted_minor": self.amount_minor, "remitted_by": words, "remittance": "open"}
        file = _changed(unit, file, **said, proposed_minor=None, proposed_by="", proposal="")
        of = due(unit, file)
        assert of is not None
        remit_as_configured(unit, file, of)
        return carrier_files.locked(unit.conn, file.id)


def _expect_unsaid(file: CarrierFile) -> None:
    """Two persons may correct what two persons have said, as long as it is not booked."""
    if file.state != "taken":
        raise ValueError(f"{file.name} is not read to its end; give it to `gateway reconcile` first")
    if file.remittance == "posted":
        raise ValueError(f"{file.name}: its payment is booked, on the word of {file.remitted_by or 'its trailer'}")
    if file.remitted_minor is not None and not file.remitted_by:
        raise ValueError(f"{file.name}: its trailer says what is paid; the difference is a break `remittance`")


def _changed(unit: Unit, file: CarrierFile, **values: object) -> CarrierFile:
    table = tables.carrier_file
    unit.conn.execute(update(table).where(table.c.id == file.id).values(**values))
    return replace(file, **values)


def _say_the_new_sum(unit: Unit, missed: str, lacking_minor: int) -> None:
    """What somebody proposed to give up was another sum: that proposal is void."""
    table = tables.open_break
    other = (table.c.id == missed) & table.c.resolved_at_ms.is_(None) & (table.c.amount_minor != lacking_minor)
    unit.conn.execute(update(table).where(other).values(amount_minor=lacking_minor, proposed_by="", proposal=""))


def _entry(file: CarrierFile, mode: str, bank: str, of: Due) -> ledger.Entry:
    legs = (
        ledger.Leg(ledger.bank(bank), of.taken_minor - of.share_minor),
        ledger.Leg(ledger.carrier_share(file.carrier), of.share_minor),
        ledger.Leg(ledger.carrier_receivable(file.carrier), -of.taken_minor),
    )
    return ledger.an_entry(EntryKind.REMITTANCE, "carrier_file", file.id, mode=mode, currency=file.currency, legs=legs)
