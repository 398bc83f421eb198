"""One merchant's settlement: claim what is due of `pending`, add it up, move it to `available` and `reserve`.

The row of `claim_mark` is the lock: of two that settle at once the second finds nothing left. Everything is claimed
by key; the mark only spares looking at what was claimed long ago. Nothing is held in memory but sums.
"""

from datetime import date
from typing import ClassVar

import msgspec
from sqlalchemy import Connection, Select, and_, case, exists, func, insert, literal, or_, select, update

from gateway.core import settling
from gateway.core.ids import first_id_at, made_at_ms
from gateway.core.ledger import Leg, an_entry, merchant_available, merchant_pending, merchant_reserve
from gateway.core.payment import EntryKind
from gateway.core.settling import CutOff, Sum, Terms, last_cut_off, lines_of, reserve_of
from gateway.store import bulk, tables
from gateway.store.balances import TAIL_MS, balances
from gateway.store.identity import new_id
from gateway.store.seal import head
from gateway.store.terms import WAITING_KINDS, read_terms, waits_no_more
from gateway.store.unit import Needs, Unit

DAY_MS = 86_400_000


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement as it was made."""

    id: str
    merchant_id: str
    mode: str
    currency: str
    net_minor: int
    reserve_minor: int


class SettleMerchant(msgspec.Struct, frozen=True, kw_only=True):
    """Settle all that is due to one merchant, in each mode and currency. Repeated, it finds nothing."""

    merchant_id: str
    until: date | None = None
    """The last business day; None: the newest that is over."""
    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs()

    def run(self, unit: Unit) -> list[Settled]:
        conn, account = unit.conn, merchant_pending(self.merchant_id)
        terms = read_terms(conn, self.merchant_id)
        mark = hold_mark(conn, account)
        _release_reserves(unit, self.merchant_id)
        cut_off = last_cut_off(terms, unit.now_ms, until=self.until)
        settled = [
            _settle(unit, self.merchant_id, terms, cut_off, mark, mode, currency)
            for mode, currency in _unclaimed(conn, account, mark)
        ]
        move_mark(conn, account, mark)
        return [one for one in settled if one is not None]


def hold_mark(conn: Connection, account: str) -> str:
    """Lock *account* for claims. Return the entry below which all is claimed."""
    bulk.insert_rows(conn, tables.claim_mark, [{"account": account, "entry_id": ""}], on_conflict_ignore=True)
    [row] = bulk.select_in(conn, tables.claim_mark, "account", [account], lock=True)
    return str(row.entry_id)


def move_mark(conn: Connection, account: str, mark: str) -> None:
    """Move the mark to the first entry that is not claimed; no further than where a late commit may still appear."""
    oldest = open_legs(account, mark).with_only_columns(func.min(tables.leg.c.entry_id))
    newest = conn.execute(select(func.max(tables.entry.c.id))).scalar_one()
    if newest is None:
        return
    # By the clock of whoever makes ids, not by the database's.
    recent = first_id_at("ent_", max(0, made_at_ms(newest) - TAIL_MS))
    first_open = conn.execute(oldest).scalar_one() or recent
    next_mark = max(mark, min(first_open, recent))
    conn.execute(update(tables.claim_mark).where(tables.claim_mark.c.account == account).values(entry_id=next_mark))


def open_legs(account: str, mark: str) -> Select[tuple[str]]:
    """The entries that move *account* and are claimed by nobody. What a claimant itself posts there is not meant."""
    leg, entry, claim = tables.leg, tables.entry, tables.claim
    claimed = exists().where(claim.c.account == account, claim.c.entry_id == leg.c.entry_id)
    own = EntryKind.SETTLEMENT if account.endswith(":pending") else EntryKind.PAYOUT_CREATED
    return (
        select(leg.c.entry_id)
        .join(entry, entry.c.id == leg.c.entry_id)
        .where(leg.c.account == account, leg.c.entry_id >= mark, entry.c.kind != own, ~claimed)
    )


def _unclaimed(conn: Connection, account: str, mark: str) -> list[tuple[str, str]]:
    entry = tables.entry.c
    names = open_legs(account, mark).with_only_columns(entry.mode, entry.currency).distinct()
    return sorted((row[0], row[1]) for row in conn.execute(names))


def claim_legs(conn: Connection, wanted: Select[tuple[str]], account: str, claimant_id: str) -> None:
    """Claim the entries *wanted* of *account* for *claimant_id*."""
    entry_id = tables.leg.c.entry_id
    rows = wanted.with_only_columns(literal(account), entry_id, literal(claimant_id)).order_by(entry_id)
    conn.execute(insert(tables.claim).from_select(["account", "entry_id", "claimant_id"], rows))


def due_legs(account: str, mark: str, terms: Terms, cut_off: CutOff) -> Select[tuple[str]]:
    """Those of `open_legs` that are due at *cut_off*."""
    entry, payment = tables.entry.c, tables.payment.c
    waits = dict(terms.waits)
    usual = terms.wait("")
    others = [(carrier, days) for carrier, days in waits.items() if carrier != settling.ANY_CARRIER]
    is_free = entry.kind.not_in(WAITING_KINDS)
    until_ms = case(
        (is_free, cut_off.at_ms),
        *((payment.carrier == carrier, cut_off.days_before(days or 0).at_ms) for carrier, days in others),
        else_=cut_off.days_before(usual or 0).at_ms,
    )
    needs_money = case(
        (is_free, 0),
        *((payment.carrier == carrier, int(days is None)) for carrier, days in others),
        else_=int(usual is None),
    )
    return (
        open_legs(account, mark)
        .outerjoin(tables.payment, payment.id == entry.payment_id)
        .where(entry.at_ms < until_ms, or_(needs_money == 0, waits_no_more()))
    )


def _settle(
    unit: Unit, merchant_id: str, terms: Terms, cut_off: CutOff, mark: str, mode: str, currency: str
) -> Settled | None:
    conn, account, entry = unit.conn, merchant_pending(merchant_id), tables.entry.c
    due = due_legs(account, mark, terms, cut_off).where(entry.mode == mode, entry.currency == currency)
    settlement_id = new_id("set_")
    opening_minor = _available(conn, merchant_id, mode, currency)
    claim_legs(conn, due, account, settlement_id)
    sums = claimed_sums(conn, settlement_id)
    if not sums:
        return None
    lines = lines_of(account, sums)
    net_minor = -sum(one.amount_minor for one in sums if one.account == account)
    assert sum(lines.values()) == net_minor, f"{settlement_id}: lines sum to {sum(lines.values())}, not {net_minor}"
    reserve_minor = reserve_of(net_minor, terms.reserve_bps)
    settled = Settled(
        id=settlement_id,
        merchant_id=merchant_id,
        mode=mode,
        currency=currency,
        net_minor=net_minor,
        reserve_minor=reserve_minor,
    )
    _post(unit, settled)
    newest = head(conn)
    row = msgspec.structs.asdict(settled) | {
        "cut_off_ms": cut_off.at_ms,
        "at_ms": unit.now_ms,
        "opening_minor": opening_minor,
        "reserve_due_at_ms": unit.now_ms + terms.reserve_days * DAY_MS,
        "head_position": newest.position,
        "head_hash": newest.hash,
    }
    bulk.insert_rows(conn, tables.settlement, [row])
    named = [{"settlement_id": settlement_id, "part": part, "amount_minor": n} for part, n in lines.items()]
    bulk.insert_rows(conn, tables.settlement_line, named)
    return settled


def claimed_sums(conn: Connection, claimant_id: str) -> list[Sum]:
    """What the entries that *claimant_id* claims move, by kind and account."""
    claim, entry, leg = tables.claim, tables.entry, tables.leg
    statement = (
        select(entry.c.kind, leg.c.account, func.sum(leg.c.amount_minor))
        .select_from(claim)
        .join(entry, entry.c.id == claim.c.entry_id)
        .join(leg, leg.c.entry_id == claim.c.entry_id)
        .where(claim.c.claimant_id == claimant_id)
        .group_by(entry.c.kind, leg.c.account)
    )
    return [Sum(row[0], row[1], int(row[2])) for row in conn.execute(statement)]


def _available(conn: Connection, merchant_id: str, mode: str, currency: str) -> int:
    found = balances(conn, [merchant_available(merchant_id)], mode)
    return -sum(one.amount_minor for one in found if one.currency == currency)


def _post(unit: Unit, settled: Settled) -> None:
    if settled.net_minor == 0:  # A capture and its refund: nothing moves, but both are settled.
        return
    merchant_id = settled.merchant_id
    legs = (
        Leg(merchant_pending(merchant_id), settled.net_minor),
        Leg(merchant_available(merchant_id), settled.reserve_minor - settled.net_minor),
        Leg(merchant_reserve(merchant_id), -settled.reserve_minor),
    )
    unit.effects.post(
        an_entry(
            EntryKind.SETTLEMENT, "settlement", settled.id, mode=settled.mode, currency=settled.currency, legs=legs
        )
    )


def _release_reserves(unit: Unit, merchant_id: str) -> None:
    """Move to `available` what was kept back long enough."""
    of = tables.settlement.c
    due = and_(
        of.merchant_id == merchant_id,
        of.reserve_minor > 0,
        of.reserve_released_at_ms.is_(None),
        of.reserve_due_at_ms <= unit.now_ms,
    )
    for row in unit.conn.execute(select(tables.settlement).where(due)).all():
        legs = (
            Leg(merchant_reserve(merchant_id), row.reserve_minor),
            Leg(merchant_available(merchant_id), -row.reserve_minor),
        )
        unit.effects.post(
            an_entry(EntryKind.RESERVE_RELEASED, "settlement", row.id, mode=row.mode, currency=row.currency, legs=legs)
        )
    unit.conn.execute(update(tables.settlement).where(due).values(reserve_released_at_ms=unit.now_ms))
