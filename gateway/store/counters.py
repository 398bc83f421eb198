"""How much merchants and carriers have used of their limits: rows of `limit_counter`, only where a limit is configured.

A batch locks all rows that it may change at once, in one order, after its payments and before the feed. A row that is
missing begins with the sum over the payments of its day or month, so that a limit may be configured at any time. Only
present days and months are kept right; nobody reads an older row.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, select

from gateway.core.caps import NO_TERMS, Terms
from gateway.core.limits import Scope, Use, begins_ms, is_over, limited, name_of, period_of
from gateway.core.payment import DEAD_STATES, Payment
from gateway.store import bulk, tables
from gateway.store.phone_records import first_payment_id

_SCOPES: Final[tuple[Scope, ...]] = ("carrier", "merchant")


class Spender(NamedTuple):
    """Whose limits a payment uses up, and where."""

    merchant_id: str
    mode: str
    carrier: str
    currency: str


class _Counter(NamedTuple):
    """A row's key. Sorted, this is the order in which rows are locked."""

    scope: Scope
    subject: str
    mode: str
    currency: str
    period: str


def spender(payment: Payment) -> Spender:
    return Spender(payment.merchant_id, payment.mode, payment.carrier, payment.amount.currency)


class Counters:
    """The rows of one batch."""

    def __init__(self, conn: Connection, terms: Mapping[str, Terms]) -> None:
        self._conn = conn
        self._terms = terms
        self.is_counting = counts(terms)
        self._now_ms = 0
        self._held: dict[_Counter, Use] = {}
        self._changed: dict[_Counter, None] = {}

    def hold(self, spenders: Iterable[Spender], now_ms: int) -> None:
        """Lock what these may use up or give back."""
        self._now_ms = now_ms
        self._lock({key: who for who in spenders for key in self._keys(who, now_ms)})

    def also_hold(self, who: Spender) -> None:
        """Lock what *who* may use up, where that became known only when a job ran."""
        if self.is_counting:
            self._lock(dict.fromkeys(self._keys(who, self._now_ms), who))

    def over(self, who: Spender, amount_minor: int) -> Scope | None:
        """Whose limit one more payment of *amount_minor* would pass."""
        for key, most in self._keys(who, self._now_ms).items():
            if is_over(most, self._held[key], amount_minor):
                return key.scope
        return None

    def reserve(self, payment: Payment) -> None:
        """A payment of now."""
        if not self.is_counting:
            return
        for key in self._keys(spender(payment), self._now_ms):
            self._set(key, self._held[key].plus(payment.amount.amount_minor))

    def release(self, payment: Payment) -> None:
        """The payment ended without money, or its money went back."""
        if not self.is_counting:
            return
        who = spender(payment)
        present = self._keys(who, self._now_ms)
        for key in present.keys() & self._keys(who, payment.created_at_ms).keys():
            self._lock({key: who})  # Held already, but for payments that a job found on its way.
            self._set(key, self._held[key].minus(payment.amount.amount_minor))

    def write(self) -> None:
        """Write what has changed."""
        rows = [_row(key, self._held[key]) for key in sorted(self._changed)]
        bulk.update_rows(self._conn, tables.limit_counter, _Counter._fields, rows)

    def _set(self, key: _Counter, use: Use) -> None:
        self._held[key] = use
        self._changed[key] = None

    def _keys(self, who: Spender, at_ms: int) -> dict[_Counter, Use]:
        """The rows that a payment of *at_ms* is counted in, and the most that each may hold."""
        terms = self._terms.get(who.carrier, NO_TERMS)
        found = {}
        for scope, period, most in limited(terms.limits, *_SCOPES):
            # A merchant's limit is one at each carrier.
            subject = who.carrier if scope == "carrier" else f"{who.merchant_id}/{who.carrier}"
            name = name_of(period, at_ms, terms.zone, terms.limits.month_starts_on)
            found[_Counter(scope, subject, who.mode, who.currency, name)] = most
        return found

    def _lock(self, wanted: Mapping[_Counter, Spender]) -> None:
        keys = sorted(wanted.keys() - self._held.keys())
        if not keys:
            return
        self._held |= self._select(keys)
        missing = [key for key in keys if key not in self._held]
        if missing:
            rows = [_row(key, self._sum(key, wanted[key])) for key in missing]
            # Of two that miss the same row one waits here for the other, and then finds what that has counted.
            bulk.insert_rows(self._conn, tables.limit_counter, rows, on_conflict_ignore=True)
            self._held |= self._select(missing)

    def _select(self, keys: Collection[_Counter]) -> dict[_Counter, Use]:
        found = bulk.select_same(self._conn, tables.limit_counter, [key._asdict() for key in keys], lock=True)
        return {
            _Counter(row.scope, row.subject, row.mode, row.currency, row.period): Use(
                row._mapping["count"], row.amount_minor
            )
            for row in found
        }

    def _sum(self, key: _Counter, who: Spender) -> Use:
        """What the payments of the present day or month use, as they were before this batch."""
        terms = self._terms[who.carrier]
        since_ms = begins_ms(period_of(key.period), self._now_ms, terms.zone, terms.limits.month_starts_on)
        payment = tables.payment.c
        statement = select(func.count(), func.coalesce(func.sum(payment.amount_minor), 0)).where(
            (payment.id >= first_payment_id(since_ms))
            & (payment.created_at_ms >= since_ms)
            & (payment.mode == key.mode)
            & (payment.carrier == who.carrier)
            & (payment.currency == key.currency)
            & payment.state.not_in(DEAD_STATES)
        )
        if key.scope == "merchant":
            statement = statement.where(payment.merchant_id == who.merchant_id)
        count, amount_minor = self._conn.execute(statement).one()
        return Use(int(count), int(amount_minor))


def _row(key: _Counter, use: Use) -> dict[str, Any]:  # Any: a row's columns.
    return {**key._asdict(), "count": use.payments, "amount_minor": use.amount_minor}


def counts(terms: Mapping[str, Terms]) -> bool:
    """Whether any carrier has a limit that is counted here."""
    return any(limited(one.limits, *_SCOPES) for one in terms.values())


def forget(conn: Connection, terms: Mapping[str, Terms], now_ms: int) -> int:
    """Delete the rows of days and months that are over, and those that no configured limit keeps right."""
    counter = tables.limit_counter
    forgotten = 0
    for row in conn.execute(select(counter)).all():
        one = terms.get(row.subject.rpartition("/")[2], NO_TERMS)
        kept = {(scope, period) for scope, period, _ in limited(one.limits, *_SCOPES)}
        period = period_of(row.period)
        present = name_of(period, now_ms, one.zone, one.limits.month_starts_on)
        if (row.scope, period) not in kept or row.period < present:
            key = [counter.c[name] == getattr(row, name) for name in _Counter._fields]
            forgotten += conn.execute(delete(counter).where(*key)).rowcount
    return forgotten
