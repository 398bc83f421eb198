"""The rows of a carrier's file as jobs of the batch: match them, look for what they left out, book what was paid.

Every job may be run again, for the file was read before: what was matched stays matched, a fact told twice moves
nothing, and a break told twice is one break.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sqlalchemy import update

from gateway.core.carrier_files import Row, Said
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
from gateway.core.reconcile import FED, Ours, Verdict, another, is_taken_back, judge, same_words, tells_of
from gateway.engine.file_orders import FileOrders
from gateway.engine.file_registry import Found, OnlyTried, end_unread, note_breaks
from gateway.engine.remittances import due, remit
from gateway.engine.write_offs import undo
from gateway.store import bulk, carrier_files, tables
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import settle_breaks
from gateway.store.effects import break_id
from gateway.store.unit import Needs, Unit


@dataclass(slots=True)
class MatchRows:
    """Hold some rows against our orders: note agreement, feed what is evidence, open breaks for the rest."""

    file: CarrierFile
    rows: Sequence[Row]
    wanted: Needs = field(default_factory=Needs)
    """Consumers and payments of the orders that may move; looked up before."""
    dry_run: bool = False
    undone: set[str] = field(default_factory=set)
    """The breaks whose write-off is booked back."""

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        return self.wanted

    def run(self, unit: Unit) -> Found:
        found = Found()
        self.undone.clear()  # It may run once more.
        carrier_files.take_turn(unit.conn, self.file.carrier)
        orders = FileOrders(unit, self.file, self.rows)
        phones = carrier_files.phones(unit.conn, orders.of_payment) if any(row.msisdn for row in self.rows) else {}
        for row in orders.rows:
            named = orders.named(row)
            if named is None:
                self._unknown(unit, row, found)
                continue
            order, twins = orders.meant(row, named)
            if twins:
                self._undecided(unit, row, order, twins)
                continue
            doubt = another(row, order, orders.of_payment[order.payment_id], phones.get(order.payment_id, ""))
            if self._known(unit, row, order, doubt, orders.before, found):
                orders.learn(order.payment_id)
        note_breaks(unit, found)
        if self.dry_run:
            every = [one for siblings in orders.of_payment.values() for one in siblings]
            raise OnlyTried(found, _told(every, orders.before))
        return found

    def _unknown(self, unit: Unit, row: Row, found: Found) -> None:
        if row.said is Said.FAILED:
            found.ignored += 1
            return
        name = row.attempt_id or row.carrier_reference
        self._break(unit, row, None, BreakKind.MISSING_HERE, f"{row.said} {name}: we know no such order")

    def _undecided(self, unit: Unit, row: Row, order: Ours, twins: Sequence[Ours]) -> None:
        """It ends none of them, nor is it said to be about one: a person says what became of each."""
        either = " or ".join(one.id for one in twins)
        words = f"{row.said} {either}: none of them has an outcome, and not all are told"
        self._break(unit, row, order, BreakKind.MISMATCH, words, order.owed_minor)

    def _known(
        self,
        unit: Unit,
        row: Row,
        order: Ours,
        doubt: Verdict | None,
        before: dict[tuple[str, str], tuple[str, int]],
        found: Found,
    ) -> bool:
        """Whether the payment was told."""
        here = (self.file.id, row.line)
        # Of a charge the two words say two things: it was taken back, or refunded though nobody ordered that.
        same = same_words(row.said) if order.gives_back else (row.said,)
        if any(before.get((order.id, said), here) != here for said in same):
            words = f"{row.said} {order.id}: another row said so already"
            self._break(unit, row, order, BreakKind.DUPLICATE, words)
            return False
        was_told = order.id in _told([order], before)
        taken_from = unit.payment(order.payment_id) if is_taken_back(row, order) else None
        verdict = judge(row, order, 0 if taken_from is None else taken_from.refunded_minor)
        if verdict.kind is None or verdict.is_evidence:
            verdict = doubt or verdict
        if verdict.is_evidence and not self._feed(unit, row, order):
            verdict = Verdict(
                BreakKind.STATUS, f"the file says {row.said}; the payment cannot take it", row.amount_minor
            )
        if verdict.kind is None:
            found.matched += 1
            found.resolved += verdict.is_evidence
        else:
            words = f"{row.said} {order.id}: {verdict.words}"
            self._break(unit, row, order, verdict.kind, words, verdict.at_risk_minor)
        if verdict.kind is BreakKind.CURRENCY:
            return False
        before[order.id, row.said.value] = here
        unit.put(
            tables.carrier_match,
            {"attempt_id": order.id, "said": row.said.value, "carrier_file_id": self.file.id, "line": row.line},
        )
        if tells_of(row.said, order):
            self._settle_missing(unit, row, order, is_new=not was_told)
        return verdict.is_evidence

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
        if order.gives_back and unit.attempts.is_begun(order.id):
            # An earlier row began it, and the carrier has done it already: it does not leave any more.
            for waiting in [one for one in unit.outbox.values() if one.body.get("attempt_id") == order.id]:
                unit.complete(waiting.id)
        doubt = break_id(BreakKind.UNKNOWN_OUTCOME, payment.id, doubt_words(order.id))
        settle_breaks(unit.conn, [doubt], f"told in {self.file.name}", unit.now_ms)
        return True

    def _settle_missing(self, unit: Unit, row: Row, order: Ours, *, is_new: bool) -> None:
        missed = _missing_break(order)
        was_missed = settle_breaks(unit.conn, [missed], f"told in {self.file.name}", unit.now_ms)
        if was_missed and carrier_files.of_break(unit.conn, missed)[1] == self.file.id:
            was_missed = 0  # Its own beginning missed it: the file was taken before it was whole.
        undone_minor = undo(unit, order, missed, self.undone) if order.is_given_up and is_new else None
        if was_missed or undone_minor is not None:
            words = f"{row.said} {order.id}: an earlier file should have told it"
            words += "" if undone_minor is None else "; it was written off, and counts again"
            self._break(unit, row, order, BreakKind.LATE, words, undone_minor or 0)

    def _break(
        self,
        unit: Unit,
        row: Row,
        order: Ours | None,
        kind: BreakKind,
        words: str,
        at_risk_minor: int | None = None,
    ) -> None:
        at_risk = Money(row.amount_minor if at_risk_minor is None else at_risk_minor, row.currency)
        detail = f"{self.file.name} line {row.line}: {words}"
        payment_id = None if order is None else order.payment_id
        unit.effects.open_break(kind, payment_id, detail, at_risk=at_risk, carrier_file_id=self.file.id)


def _told(orders: Collection[Ours], before: Collection[tuple[str, str]]) -> set[str]:
    """Those of *orders* that a row tells of. *before*: (attempt, what was said)."""
    return {one.id for one in orders if any((one.id, said) in before and tells_of(said, one) for said in Said)}


def _fact(now_ms: int, row: Row, order: Ours, payment: Payment) -> MoneyFact | None:
    # A file may call the order by a part of what its questions and its reversal need. What no file may call it by is no
    # more than a way to ask, and a name is better.
    told = None if order.names else row.carrier_reference or None
    reference, detail = told or order.carrier_reference, "told by the carrier's file"
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


def _missing_break(order: Ours) -> str:
    return break_id(BreakKind.MISSING_AT_CARRIER, order.payment_id, untold_words(order))


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
        told = _told(self.orders, before)
        missed = {_missing_break(order): order for order in self.orders if order.id not in told}
        known = {row.id for row in bulk.select_in(unit.conn, tables.open_break, "id", sorted(missed))}
        for order in (order for missing_id, order in missed.items() if missing_id not in known):
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
        end_unread(unit, file)
        of = due(unit, file)
        if of is not None and file.remittance != "posted":
            lacking_minor = remit(unit, file, of, mode=self.mode, bank=self.bank)
            if lacking_minor:
                found.note_break(BreakKind.REMITTANCE, abs(lacking_minor))
        return found
