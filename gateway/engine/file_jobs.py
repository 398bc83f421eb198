"""A carrier's file as jobs of the batch: register it, match its rows, look for what it left out, book what was paid.

Every job may be run again, for the file was read before: what was matched stays matched, a fact told twice moves
nothing, and a break told twice is one break.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import ClassVar

import msgspec
from sqlalchemy import update

from gateway.core.carrier_files import Files, Row, Said
from gateway.core.inquiries import doubt_words
from gateway.core.money import Money
from gateway.core.payment import (
    BreakKind,
    Charged,
    ChargeDeclined,
    ChargeTakenBack,
    HoldOrderDeclined,
    MoneyFact,
    Payment,
    Reason,
    Reversed,
    ReverseDeclined,
)
from gateway.core.reconcile import FED, Ours, Verdict, is_taken_back, judge, meant
from gateway.engine.remittances import due, remit
from gateway.engine.write_offs import undo
from gateway.store import carrier_files, tables
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import settle_breaks
from gateway.store.effects import break_id
from gateway.store.unit import Needs, Unit

GAPS_MAX = 31
"""So many missing files are named one by one; of a longer gap the first ones."""


class Found(msgspec.Struct, kw_only=True):
    """What came of some rows."""

    matched: int = 0
    resolved: int = 0
    """Outcomes that we did not know and the file ended."""
    ignored: int = 0
    """Failures of orders that we do not know: nobody's money moved."""
    breaks: Counter[str] = msgspec.field(default_factory=Counter)
    at_risk_minor: Counter[str] = msgspec.field(default_factory=Counter)

    def note_break(self, kind: str, at_risk_minor: int) -> None:
        self.breaks[kind] += 1
        self.at_risk_minor[kind] += at_risk_minor

    def add(self, other: "Found") -> None:
        self.matched += other.matched
        self.resolved += other.resolved
        self.ignored += other.ignored
        self.breaks.update(other.breaks)
        self.at_risk_minor.update(other.at_risk_minor)


class OnlyTried(Exception):
    """Raised in place of writing; has what would have come of it."""

    def __init__(self, found: Found, told: Collection[str] = ()) -> None:
        super().__init__("nothing was written")
        self.found = found
        self.told = told
        """The orders that the rows are about."""


class Registered(Exception):
    """Raised in place of writing: *file* has the same content, or was taken for the same date and number."""

    def __init__(self, file: CarrierFile) -> None:
        super().__init__(f"{file.name} is registered")
        self.file = file


@dataclass(slots=True)
class RegisterFile:
    """Put a file into the registry, and open a break for each that should have come before it."""

    file: CarrierFile
    files: Files
    dry_run: bool = False

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Found:
        """Raise Registered if the registry has it, or another in its place."""
        found, file = Found(), self.file
        carrier_files.take_turn(unit.conn, file.carrier)
        here = carrier_files.by_hash(unit.conn, file.carrier, file.sha256) or carrier_files.in_its_place(
            unit.conn, file.carrier, file.business_date, file.sequence
        )
        if here is not None:
            raise Registered(here)
        breaks = [] if file.state == "refused" else [(BreakKind.FILE_MISSING, words) for words in self._gaps(unit)]
        if file.state == "refused":
            breaks.append((BreakKind.CONTROL_TOTAL, f"{file.carrier} file {file.name}: {file.detail}"))
        for kind, words in breaks:
            unit.effects.open_break(kind, None, words, carrier_file_id=file.id)
            found.note_break(kind, 0)
        if self.dry_run:
            raise OnlyTried(found)
        self._fill_gap(unit)
        unit.put(tables.carrier_file, {**msgspec.structs.asdict(file), "at_ms": unit.now_ms})
        return found

    def _gaps(self, unit: Unit) -> list[str]:
        file = self.file
        return [*self._missing_numbers(unit, file), *self._missing_days(unit, file)]

    def _missing_numbers(self, unit: Unit, file: CarrierFile) -> list[str]:
        if file.sequence is None:
            return []
        if self.files.sequence == "daily":
            latest = carrier_files.sequences(unit.conn, file.carrier, business_date=file.business_date) or [0]
            day = file.business_date
        else:
            latest, day = carrier_files.sequences(unit.conn, file.carrier), ""
        gap = range(latest[0] + 1, file.sequence) if latest else range(0)
        return [missing_words(file.carrier, day, number) for number in gap[:GAPS_MAX]]

    def _missing_days(self, unit: Unit, file: CarrierFile) -> list[str]:
        latest = carrier_files.latest_date(unit.conn, file.carrier)
        if not self.files.expected_daily or latest is None:
            return []
        day = date.fromisoformat(file.business_date)
        gap = range(1, (day - latest).days)
        days = [(latest + timedelta(days=n)).isoformat() for n in gap[:GAPS_MAX]]
        return [missing_words(file.carrier, one, None) for one in days]

    def _fill_gap(self, unit: Unit) -> None:
        """This file was missed before: it is there now."""
        file = self.file
        if file.state == "refused":
            return
        day = file.business_date if self.files.sequence == "daily" else ""
        words = [missing_words(file.carrier, file.business_date, None)]
        words += [] if file.sequence is None else [missing_words(file.carrier, day, file.sequence)]
        missed = [break_id(BreakKind.FILE_MISSING, None, one) for one in words]
        settle_breaks(unit.conn, missed, f"file {file.name} came", unit.now_ms)


def missing_words(carrier: str, day: str, number: int | None) -> str:
    """What is said of a file that is missing: always the same, so that it is one break."""
    which = " ".join(part for part in (day, "" if number is None else f"number {number}") if part)
    return f"{carrier} file {which}"


@dataclass(slots=True)
class MatchRows:
    """Hold some rows against our orders: note agreement, feed what is evidence, open breaks for the rest."""

    file: CarrierFile
    rows: Sequence[Row]
    wanted: Needs = field(default_factory=Needs)
    """Consumers and payments of the orders that may move; looked up before."""
    dry_run: bool = False

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return self.wanted

    def run(self, unit: Unit) -> Found:
        found = Found()
        carrier_files.take_turn(unit.conn, self.file.carrier)
        ids, references = carrier_files.names(self.rows)
        by_id, by_reference, of_payment = carrier_files.named_orders(unit.conn, self.file.carrier, ids, references)
        every = {order.id for orders in of_payment.values() for order in orders}
        before = carrier_files.matched(unit.conn, every)
        for row in self.rows:
            named = by_id.get(row.attempt_id) if row.attempt_id else by_reference.get(row.carrier_reference)
            if named is None:
                self._unknown(unit, row, found)
            else:
                siblings = of_payment[named.payment_id]
                here, words = (self.file.id, row.line), _same_words(row.said)
                told = {one.id for one in siblings for said in words if before.get((one.id, said), here) != here}
                self._known(unit, row, meant(row, named, siblings, told), before, found)
        if self.dry_run:
            raise OnlyTried(found, {attempt_id for attempt_id, said in before if said != Said.FAILED})
        return found

    def _unknown(self, unit: Unit, row: Row, found: Found) -> None:
        if row.said is Said.FAILED:
            found.ignored += 1
            return
        name = row.attempt_id or row.carrier_reference
        self._break(unit, row, None, BreakKind.MISSING_HERE, f"{row.said} {name}: we know no such order", found)

    def _known(
        self, unit: Unit, row: Row, order: Ours, before: dict[tuple[str, str], tuple[str, int]], found: Found
    ) -> None:
        here = (self.file.id, row.line)
        # Of a charge the two words say two things: it was taken back, or refunded though nobody ordered that.
        same = _same_words(row.said) if order.gives_back else (row.said,)
        if any(before.get((order.id, said), here) != here for said in same):
            words = f"{row.said} {order.id}: another row said so already"
            self._break(unit, row, order, BreakKind.DUPLICATE, words, found)
            return
        was_told = any((order.id, said) in before for said in Said if said is not Said.FAILED)
        before[order.id, row.said.value] = here
        verdict = judge(row, order)
        if verdict.is_evidence and not self._feed(unit, row, order):
            verdict = Verdict(
                BreakKind.STATUS, f"the file says {row.said}; the payment cannot take it", row.amount_minor
            )
        if verdict.kind is None:
            found.matched += 1
            found.resolved += verdict.is_evidence
        else:
            words = f"{row.said} {order.id}: {verdict.words}"
            self._break(unit, row, order, verdict.kind, words, found, verdict.at_risk_minor)
        if verdict.kind is BreakKind.CURRENCY:
            return
        unit.put(
            tables.carrier_match,
            {"attempt_id": order.id, "said": row.said.value, "carrier_file_id": self.file.id, "line": row.line},
        )
        if row.said is not Said.FAILED:
            self._settle_missing(unit, row, order, found, is_new=not was_told)

    def _feed(self, unit: Unit, row: Row, order: Ours) -> bool:
        """Tell the payment, as a callback would. False: there is nothing that it could be told."""
        payment = unit.payment(order.payment_id)
        assert payment is not None
        fact = _fact(unit.now_ms, row, order, payment)
        if fact is None:
            return False
        if order.kind == "refund":
            refund = unit.refunds.get(order.id)
            if refund is None:
                return False
            unit.refunds.decide(refund, fact)
        else:
            unit.decide(payment.id, fact)
        doubt = break_id(BreakKind.UNKNOWN_OUTCOME, payment.id, doubt_words(order.id))
        settle_breaks(unit.conn, [doubt], f"told in {self.file.name}", unit.now_ms)
        return True

    def _settle_missing(self, unit: Unit, row: Row, order: Ours, found: Found, *, is_new: bool) -> None:
        missed = break_id(BreakKind.MISSING_AT_CARRIER, order.payment_id, untold_words(order))
        was_missed = settle_breaks(unit.conn, [missed], f"told in {self.file.name}", unit.now_ms)
        undone_minor = undo(unit, order, missed) if order.is_given_up and is_new else 0
        if was_missed or undone_minor:
            words = f"{row.said} {order.id}: an earlier file should have told it"
            words += "; it was written off, and is owed again" if undone_minor else ""
            self._break(unit, row, order, BreakKind.LATE, words, found, undone_minor)

    def _break(
        self,
        unit: Unit,
        row: Row,
        order: Ours | None,
        kind: BreakKind,
        words: str,
        found: Found,
        at_risk_minor: int | None = None,
    ) -> None:
        at_risk = Money(row.amount_minor if at_risk_minor is None else at_risk_minor, row.currency)
        detail = f"{self.file.name} line {row.line}: {words}"
        payment_id = None if order is None else order.payment_id
        unit.effects.open_break(kind, payment_id, detail, at_risk=at_risk, carrier_file_id=self.file.id)
        found.note_break(kind, abs(at_risk.amount_minor))


def _same_words(said: Said) -> tuple[Said, ...]:
    """What carriers mean the same by."""
    gives_back = (Said.REVERSED, Said.REFUNDED)
    return gives_back if said in gives_back else (said,)


def _fact(now_ms: int, row: Row, order: Ours, payment: Payment) -> MoneyFact | None:
    reference, detail = row.carrier_reference, "told by the carrier's file"
    if is_taken_back(row, order):
        return ChargeTakenBack(at_ms=now_ms, attempt_id=order.charge_attempt_id, detail=detail)
    if order.kind not in FED:
        return None
    if row.said is not Said.FAILED:
        if order.gives_back:
            return Reversed(at_ms=now_ms, attempt_id=order.id, carrier_reference=reference)
        return Charged(
            at_ms=now_ms,
            attempt_id=order.charge_attempt_id,
            carrier_reference=reference,
            amount_minor=row.amount_minor,
        )
    if order.gives_back:
        return ReverseDeclined(at_ms=now_ms, attempt_id=order.id, detail=detail)
    if order.kind == "capture":
        return HoldOrderDeclined(at_ms=now_ms, attempt_id=order.id, detail=detail)
    # This decline is final: no second code is asked for, so none is chosen.
    reason = Reason.CARRIER_DECLINED
    return ChargeDeclined(at_ms=now_ms, attempt_id=order.id, reason=reason, detail=detail, next_code_n=payment.code_n)


def untold_words(order: Ours) -> str:
    """What is said of an order that no file has: always the same, so that it is one break."""
    return f"{order.kind} {order.id} has succeeded, and no file of the carrier has it"


@dataclass(slots=True)
class MissRows:
    """Open a break for each of some orders that the carrier's files should have told of by now."""

    file: CarrierFile
    orders: Sequence[Ours]
    dry_run: bool = False

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Found:
        found = Found()
        carrier_files.take_turn(unit.conn, self.file.carrier)
        # Another file may have told of them since they were looked up.
        before = carrier_files.matched(unit.conn, {order.id for order in self.orders})
        told = {attempt_id for attempt_id, said in before if said != Said.FAILED}
        for order in self.orders:
            if order.id in told:
                continue
            unit.effects.open_break(
                BreakKind.MISSING_AT_CARRIER,
                order.payment_id,
                untold_words(order),
                at_risk=Money(order.owed_minor, order.currency),
                carrier_file_id=self.file.id,
            )
            found.note_break(BreakKind.MISSING_AT_CARRIER, order.amount_minor)
        if self.dry_run:
            raise OnlyTried(found)
        return found


@dataclass(slots=True)
class EndFile:
    """Every row is matched: the file is taken, and what the carrier paid for it is booked if our books say the same."""

    file: CarrierFile
    mode: str
    bank: str

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Found:
        found, table = Found(), tables.carrier_file
        file = carrier_files.locked(unit.conn, self.file.id)
        unit.conn.execute(update(table).where(table.c.id == file.id).values(state="taken"))
        of = due(unit, file)
        if of is not None and file.remittance != "posted":
            lacking_minor = remit(unit, file, of, mode=self.mode, bank=self.bank)
            if lacking_minor:
                found.note_break(BreakKind.REMITTANCE, abs(lacking_minor))
        return found
