"""A batch's disputes: read under their payments' locks, moved by `gateway.core.dispute`, written with the batch."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Row, select

from gateway.core import ledger
from gateway.core.dispute import (
    ANSWER_WITHIN_MS,
    GIVES_BACK,
    Act,
    Dispute,
    DisputeEnded,
    DisputeOpened,
    DisputeState,
    act,
    overdue_words,
    public_dispute,
)
from gateway.core.escrow import release_escrow
from gateway.core.money import Money
from gateway.core.payment import BreakKind, Decision, EntryKind, Escrow, EventType, Payment, State
from gateway.store import bulk, tables
from gateway.store.cases import settle_breaks
from gateway.store.effects import break_id
from gateway.store.fees import dispute_fee_of
from gateway.store.identity import new_id

if TYPE_CHECKING:
    from gateway.store.unit import Unit

_PLAIN: Final = (
    *("id", "payment_id", "merchant_id", "mode", "opened_by", "evidence", "note", "due_at_ms"),
    *("version", "created_at_ms", "updated_at_ms", "reason"),
)
_MUTABLE: Final = ("id", "state", "evidence", "note", "version", "updated_at_ms")
_EVENTS: Final = {
    DisputeState.UNDER_REVIEW: EventType.DISPUTE_UNDER_REVIEW,
    DisputeState.WON: EventType.DISPUTE_WON,
    DisputeState.LOST: EventType.DISPUTE_LOST,
    DisputeState.ACCEPTED: EventType.DISPUTE_LOST,
    DisputeState.WITHDRAWN: EventType.DISPUTE_WITHDRAWN,
}
_TEXTS: Final = {
    DisputeState.WON: "dispute_rejected",
    DisputeState.LOST: "dispute_upheld",
    DisputeState.ACCEPTED: "dispute_upheld",
}


def dispute_row(dispute: Dispute) -> dict[str, Any]:  # Any: a row's columns.
    """*dispute* as the columns of its row."""
    return {name: getattr(dispute, name) for name in _PLAIN} | {
        "amount_minor": dispute.amount.amount_minor,
        "currency": dispute.amount.currency,
        "state": dispute.state.value,
    }


def dispute_from_row(row: Row[Any]) -> Dispute:  # Any: a row of the table `dispute`.
    """The dispute that `dispute_row` made *row* of."""
    columns = row._mapping
    return Dispute(
        **{name: columns[name] for name in _PLAIN},
        amount=Money(columns["amount_minor"], columns["currency"]),
        state=DisputeState(columns["state"]),
    )


def dispute_by_id(conn: Connection, dispute_id: str) -> Dispute | None:
    row = conn.execute(select(tables.dispute).where(tables.dispute.c.id == dispute_id)).first()
    return None if row is None else dispute_from_row(row)


def disputes_of_payment(conn: Connection, payment_id: str) -> list[Dispute]:
    """Oldest first."""
    statement = select(tables.dispute).where(tables.dispute.c.payment_id == payment_id).order_by(tables.dispute.c.id)
    return [dispute_from_row(row) for row in conn.execute(statement)]


def disputes_of_merchant(conn: Connection, merchant_id: str, mode: str, *, limit: int) -> list[Dispute]:
    """The newest *limit*, newest first."""
    dispute = tables.dispute
    mine = (dispute.c.merchant_id == merchant_id) & (dispute.c.mode == mode)
    statement = select(dispute).where(mine).order_by(dispute.c.id.desc()).limit(limit)
    return [dispute_from_row(row) for row in conn.execute(statement)]


def overdue_break(dispute: Dispute) -> str:
    """The id of the break that says that nobody has decided it in time."""
    return break_id(BreakKind.DISPUTE, dispute.payment_id, overdue_words(dispute))


class Disputes:
    """The disputes that one batch has to do with."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._known: dict[str, Dispute] = {}
        self._created: dict[str, None] = {}
        self._changed: dict[str, None] = {}

    def get(self, dispute_id: str) -> Dispute | None:
        """The dispute as it is now, its payment locked."""
        if dispute_id not in self._known:
            named = dispute_by_id(self._unit.conn, dispute_id)
            if named is None:
                return None
            self._unit.payment(named.payment_id)
            found = dispute_by_id(self._unit.conn, dispute_id)  # Once more, behind the lock.
            assert found is not None
            self._known.setdefault(dispute_id, found)
        return self._known[dispute_id]

    def had(self, payment_id: str) -> bool:
        """Whether this locked payment has or had a dispute."""
        return bool(self._of(payment_id))

    def newest(self, payment_id: str) -> Dispute | None:
        """The last dispute of this locked payment."""
        return max(self._of(payment_id), key=lambda one: one.id, default=None)

    def _of(self, payment_id: str) -> list[Dispute]:
        """Those of a locked payment, as they are now."""
        for stored in disputes_of_payment(self._unit.conn, payment_id):
            self._known.setdefault(stored.id, stored)
        return [one for one in self._known.values() if one.payment_id == payment_id]

    def open(self, payment: Payment, opened_by: str, *, reason: str = "") -> Dispute:
        """A new dispute about all that is left of *payment*."""
        unit, at_ms = self._unit, self._unit.now_ms
        dispute = Dispute(
            id=new_id("dsp_"),
            payment_id=payment.id,
            merchant_id=payment.merchant_id,
            mode=payment.mode,
            amount=Money(payment.refundable_minor, payment.amount.currency),
            opened_by=opened_by,
            reason=reason,
            due_at_ms=at_ms + ANSWER_WITHIN_MS,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
        )
        self._known[dispute.id] = dispute
        self._created[dispute.id] = None
        self._post(payment, dispute, EntryKind.DISPUTE_OPENED)
        # In escrow neither side's silence counts any more.
        aside = replace(payment, disputed_minor=dispute.amount.amount_minor, deadline_at_ms=None)
        unit.account(aside, DisputeOpened(at_ms=at_ms, detail=dispute.id))
        self._tell(dispute, EventType.DISPUTE_OPENED)
        return dispute

    def act(self, dispute: Dispute, done: Act, *, evidence: str = "", note: str = "") -> Dispute | None:
        """Move *dispute*; None: it is too late for that."""
        payment = self._unit.payment(dispute.payment_id)
        assert payment is not None
        after = act(dispute, done, self._unit.now_ms, evidence=evidence, note=note)
        if after is None:
            return None
        self._keep(after)
        if not after.is_open:
            self._end(payment, after)
        return after

    def withdraw(self, payment: Payment) -> None:
        """End the open dispute of *payment*, which has gone back and counts nothing as disputed any more."""
        [dispute] = [one for one in self._of(payment.id) if one.is_open]
        after = act(dispute, Act.WITHDRAW, self._unit.now_ms)
        assert after is not None, "an open dispute can be withdrawn"
        self._keep(after)
        self._post(payment, after, EntryKind.DISPUTE_WON)

    def _keep(self, after: Dispute) -> None:
        self._known[after.id] = after
        if after.id not in self._created:
            self._changed[after.id] = None
        self._tell(after, _EVENTS[after.state])
        if not after.is_open:
            words = f"{after.id} is {after.state}"
            settle_breaks(self._unit.conn, [overdue_break(after)], words, self._unit.now_ms, by="dispute")

    def _end(self, payment: Payment, dispute: Dispute) -> None:
        assert payment.state is State.CAPTURED, f"{payment.id} is {payment.state} and {dispute.id} was open"
        unit, amount_minor = self._unit, dispute.amount.amount_minor
        gives_back = dispute.state in GIVES_BACK
        self._post(payment, dispute, EntryKind.DISPUTE_LOST if gives_back else EntryKind.DISPUTE_WON)
        if gives_back:
            self._take_fee(payment, dispute)
        decision = Decision(replace(payment, disputed_minor=payment.disputed_minor - amount_minor))
        if not gives_back:
            decision = self.released_if_won(decision.payment)
        ended = unit.account(decision.payment, DisputeEnded(at_ms=unit.now_ms, detail=f"{dispute.id} {dispute.state}"))
        for effect in decision.effects:
            unit.effects.carry_out(ended, effect)
        template = _TEXTS.get(dispute.state)
        if template is not None:
            unit.effects.text_about(ended, template, amount=dispute.amount)
        if gives_back:
            unit.refunds.open(new_id("ref_"), ended, amount_minor, reason="dispute", dispute_id=dispute.id)

    def released_if_won(self, payment: Payment) -> Decision:
        """Who was right about the goods has what waits in escrow, once no refund of it is under way any more.

        Before that it is not known how much there is to release, and to take fees of.
        """
        is_held = payment.escrow is Escrow.HELD and payment.state is State.CAPTURED
        if not is_held or payment.is_undecided:
            return Decision(payment)
        newest = self.newest(payment.id)
        is_won = newest is not None and newest.state is DisputeState.WON
        return release_escrow(payment) if is_won else Decision(payment)

    def _take_fee(self, payment: Payment, dispute: Dispute) -> None:
        fee_minor = dispute_fee_of(self._unit.conn, payment)
        if fee_minor:
            self._unit.effects.post(ledger.payment_entry(payment, EntryKind.DISPUTE_FEE, dispute.id, fee_minor))

    def _post(self, payment: Payment, dispute: Dispute, kind: EntryKind) -> None:
        self._unit.effects.post(ledger.payment_entry(payment, kind, dispute.id, dispute.amount.amount_minor))

    def _tell(self, dispute: Dispute, kind: EventType) -> None:
        body = msgspec.to_builtins(public_dispute(dispute))
        self._unit.effects.notify(dispute.merchant_id, dispute.mode, kind, dispute.payment_id, body)

    def write(self) -> None:
        """Write what was made and what was moved; called by the unit's flush."""
        conn = self._unit.conn
        changed = [dispute_row(self._known[dispute_id]) for dispute_id in self._changed]
        bulk.update_rows(conn, tables.dispute, "id", [{name: row[name] for name in _MUTABLE} for row in changed])
        bulk.insert_rows(conn, tables.dispute, [dispute_row(self._known[dispute_id]) for dispute_id in self._created])
