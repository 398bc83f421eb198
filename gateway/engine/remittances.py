"""What a carrier pays for a file: booked once our books come to the same sum, to the minor unit, and never before.

What of the difference is given up by two persons makes our sum smaller, so that nothing can be given up twice.
"""

from typing import NamedTuple

from sqlalchemy import update

from gateway.core import ledger
from gateway.core.money import Money
from gateway.core.payment import BreakKind, EntryKind
from gateway.store import carrier_files, tables
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import settle_breaks
from gateway.store.effects import break_id
from gateway.store.unit import Unit


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
