"""Payouts: what stands in `available` is claimed, drafted, approved by two, submitted, and ended by the bank's word."""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from sqlalchemy import Connection, Row, delete, func, select, update

from gateway.core.ledger import an_entry, merchant_available, merchant_pending
from gateway.core.money import Money
from gateway.core.payouts import (
    EVENTS,
    NotAllowed,
    PayoutState,
    check_approval,
    check_destination,
    check_step,
    posting,
    public_words,
)
from gateway.core.public import rfc3339
from gateway.store import bulk, tables
from gateway.store.account_changes import set_by
from gateway.store.identity import new_id
from gateway.store.payout_doubts import Contradiction, contradict, is_in_doubt, was_paid
from gateway.store.settling import claim_legs, hold_mark, move_mark, open_legs
from gateway.store.terms import read_terms
from gateway.store.unit import Needs, Unit


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """A payout as it is kept."""

    id: str
    merchant_id: str
    mode: str
    currency: str
    amount_minor: int
    state: PayoutState
    account_name: str
    account: str
    bic: str
    drafted_by: str
    first_approval_by: str | None = None
    second_approval_by: str | None = None
    file_id: str | None = None
    bank: str | None = None
    detail: str = ""
    created_at_ms: int
    changed_at_ms: int


class PublicPayout(msgspec.Struct, frozen=True, kw_only=True):
    """A payout as its merchant sees it."""

    id: str
    object: str = "payout"
    mode: str
    status: PayoutState
    amount: int
    currency: str
    account_last4: str
    detail: str
    created_at: str
    changed_at: str


def public_payout(payout: Payout) -> PublicPayout:
    """Who approved or cancelled it is none of the merchant's business, and its account is shown by its end."""
    return PublicPayout(
        id=payout.id,
        mode=payout.mode,
        status=payout.state,
        amount=payout.amount_minor,
        currency=payout.currency,
        account_last4=payout.account[-4:],
        detail=public_words(payout.state, payout.detail),
        created_at=rfc3339(payout.created_at_ms),
        changed_at=rfc3339(payout.changed_at_ms),
    )


class DraftPayouts(msgspec.Struct, frozen=True, kw_only=True):
    """Draft what one merchant can be paid, in each mode and currency."""

    merchant_id: str
    by: str
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> list[Payout]:
        conn, account = unit.conn, merchant_available(self.merchant_id)
        terms = read_terms(conn, self.merchant_id)
        mark = hold_mark(conn, account)
        drafted = []
        for mode, currency, estimate_minor in _open_sums(conn, account, mark):
            least_minor = max(1, terms.minimum_minor)
            if estimate_minor < least_minor or not terms.account or is_in_doubt(conn, self.merchant_id, mode):
                continue
            payout_id, entry = new_id("po_"), tables.entry.c
            wanted = open_legs(account, mark).where(entry.mode == mode, entry.currency == currency)
            claim_legs(conn, wanted, account, payout_id)
            # Summed behind the claim: others post to the account meanwhile, and what is claimed is what is paid.
            amount_minor = _claimed_minor(conn, payout_id)
            if amount_minor < least_minor:
                conn.execute(delete(tables.claim).where(tables.claim.c.claimant_id == payout_id))
                continue
            payout = Payout(
                id=payout_id,
                merchant_id=self.merchant_id,
                mode=mode,
                currency=currency,
                amount_minor=amount_minor,
                state=PayoutState.DRAFT,
                account_name=terms.account_name,
                account=terms.account,
                bic=terms.bic,
                drafted_by=self.by,
                created_at_ms=unit.now_ms,
                changed_at_ms=unit.now_ms,
            )
            bulk.insert_rows(conn, tables.payout, [msgspec.structs.asdict(payout)])
            tell(unit, None, payout)
            drafted.append(payout)
        move_mark(conn, account, mark)
        return drafted


def _claimed_minor(conn: Connection, payout_id: str) -> int:
    leg, claim = tables.leg.c, tables.claim
    joined = claim.join(tables.leg, (leg.entry_id == claim.c.entry_id) & (leg.account == claim.c.account))
    summed = select(func.coalesce(func.sum(leg.amount_minor), 0)).select_from(joined)
    return -int(conn.execute(summed.where(claim.c.claimant_id == payout_id)).scalar_one())


def _open_sums(conn: Connection, account: str, mark: str) -> list[tuple[str, str, int]]:
    entry = tables.entry.c
    statement = (
        open_legs(account, mark)
        .with_only_columns(entry.mode, entry.currency, func.sum(tables.leg.c.amount_minor))
        .group_by(entry.mode, entry.currency)
        .order_by(entry.mode, entry.currency)
    )
    return [(row[0], row[1], -int(row[2])) for row in conn.execute(statement)]


def tell(unit: Unit, before: PayoutState | None, payout: Payout) -> None:
    """Post what the step moved, and append its event."""
    moved = posting(
        before,
        payout.state,
        merchant_id=payout.merchant_id,
        bank_name=payout.bank or "",
        amount_minor=payout.amount_minor,
    )
    if moved is not None:
        # No settlement closes the merchant's statement before this is committed.
        hold_mark(unit.conn, merchant_pending(payout.merchant_id))
        unit.effects.post(
            an_entry(moved.kind, "payout", payout.id, mode=payout.mode, currency=payout.currency, legs=moved.legs)
        )
    event = EVENTS.get(payout.state)
    if event is not None:
        body = msgspec.to_builtins(public_payout(payout))
        unit.effects.notify(payout.merchant_id, payout.mode, event, None, body)


def locked_payout(conn: Connection, payout_id: str) -> Payout:
    """Raise NotAllowed if there is none."""
    found = conn.execute(select(tables.payout).where(tables.payout.c.id == payout_id).with_for_update()).first()
    if found is None:
        raise NotAllowed(f"expected the id of a payout, got {payout_id!r}: there is none")
    return payout_of(found)


def payout_of(row: Row[Any]) -> Payout:  # Any: a row of the table.
    return Payout(**(dict(row._mapping) | {"state": PayoutState(row.state)}))


def move(unit: Unit, payout: Payout, after: PayoutState, **changes: str) -> Payout:
    """Take the step to *after*. Raise NotAllowed. The bank's same word again changes nothing."""
    if payout.state is after:
        return payout
    check_step(payout.id, payout.state, after)
    moved = msgspec.structs.replace(payout, state=after, changed_at_ms=unit.now_ms, **changes)
    _keep(unit.conn, moved)
    tell(unit, payout.state, moved)
    return moved


def _keep(conn: Connection, payout: Payout) -> None:
    columns = msgspec.structs.asdict(payout)
    conn.execute(update(tables.payout).where(tables.payout.c.id == payout.id).values(**columns))


class ApprovePayout(msgspec.Struct, frozen=True, kw_only=True):
    """One person's approval; the second one makes it `approved`."""

    payout_id: str
    by: str
    account_end: str
    """Of the account that the person wants it to go to."""
    bic: str = ""
    """Of that account's bank; needed where the account is no IBAN and its bank is named."""
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Payout:
        payout = locked_payout(unit.conn, self.payout_id)
        check_step(payout.id, payout.state, PayoutState.APPROVED)
        check_destination(payout.id, payout.account, payout.bic, account_end=self.account_end, typed_bic=self.bic)
        setters = set_by(unit.conn, payout.merchant_id, payout.account)
        check_approval(payout.id, self.by, payout.drafted_by, payout.first_approval_by, *setters)
        if payout.first_approval_by is not None:
            return move(unit, payout, PayoutState.APPROVED, second_approval_by=self.by)
        first = msgspec.structs.replace(payout, first_approval_by=self.by)
        _keep(unit.conn, first)
        return first


class MovePayout(msgspec.Struct, frozen=True, kw_only=True):
    """The bank's word about a payout, or an operator's `cancelled`."""

    payout_id: str
    state: PayoutState
    detail: str
    file_id: str | None = None
    """If the word names one, the file that the payout must stand in."""
    amount_minor: int | None = None
    currency: str | None = None
    """If the word names an amount, that of the payout, and in its currency."""
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> Payout | Contradiction:
        """Raise NotAllowed of what can wait: a step of ours, and a word that says nothing for certain."""
        assert self.state not in (PayoutState.APPROVED, PayoutState.SUBMITTED), "these have jobs of their own"
        payout = locked_payout(unit.conn, self.payout_id)
        try:
            return self._moved(unit, payout)
        except NotAllowed as error:
            if self.state in (PayoutState.CANCELLED, PayoutState.UNKNOWN):
                raise
            at_risk = Money(payout.amount_minor, payout.currency)
            return contradict(unit, payout.id, f"{error}; the bank says {self.detail}", at_risk)

    def _moved(self, unit: Unit, payout: Payout) -> Payout:
        if self.file_id is not None and self.file_id != payout.file_id:
            raise NotAllowed(f"{payout.id} stands in file {payout.file_id}, not in {self.file_id}")
        told = (self.amount_minor, self.currency)
        if self.amount_minor is not None and told != (payout.amount_minor, payout.currency):
            ours = f"{payout.amount_minor} {payout.currency} (minor units)"
            raise NotAllowed(f"{payout.id} is of {ours}, and the bank speaks of {self.amount_minor} {self.currency}")
        if self._is_no_news(unit, payout):
            return payout
        return move(unit, payout, self.state, detail=self.detail)

    def _is_no_news(self, unit: Unit, payout: Payout) -> bool:
        """The money is with us either way, or an earlier report is read once more."""
        if {payout.state, self.state} == {PayoutState.FAILED, PayoutState.RETURNED}:
            return True
        is_older = payout.state is PayoutState.RETURNED and self.state is PayoutState.PAID
        return is_older and was_paid(unit.conn, payout.id)


class SubmitPayouts(msgspec.Struct, frozen=True, kw_only=True):
    """Put all approved payouts of a mode and currency into one file: they are submitted before it is handed over.

    *write* makes the file within the transaction: if it raises, nothing is submitted. It may be called again.
    """

    mode: str
    currency: str
    bank: str
    payouts_max: int
    mark: str
    """Four characters, the end of the file's id: as whose and what it is written."""
    write: Callable[[list[Payout]], None]
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> list[Payout]:
        of = tables.payout.c
        approved = (
            select(tables.payout)
            .where(of.state == PayoutState.APPROVED, of.mode == self.mode, of.currency == self.currency)
            .order_by(of.id)
            .limit(self.payouts_max)
            .with_for_update()
        )
        file_id = f"{new_id('pof_')}-{self.mark}"  # 35 characters: ISO 20022 has no room for more.
        found = [payout_of(row) for row in unit.conn.execute(approved).all()]
        submitted = [
            move(unit, payout, PayoutState.SUBMITTED, file_id=file_id, bank=self.bank)
            for payout in found
            if not is_in_doubt(unit.conn, payout.merchant_id, payout.mode)
        ]
        if submitted:
            self.write(submitted)
        return submitted
