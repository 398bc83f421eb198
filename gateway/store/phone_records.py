"""What limits and caps must know of phones: their use of a carrier, which shop asked them, when they refused.

Derived from their payments, not counted beside them: one statement for all phones of a batch, made only when a rule
needs it, and what the batch itself has done until then on top. The consumers' locks keep it true until the commit.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from gateway.core.caps import DAY_MS
from gateway.core.ids import first_id_at
from gateway.core.limits import NOTHING, Period, Use
from gateway.core.payment import DEAD_STATES, Payment, Reason
from gateway.store import tables

if TYPE_CHECKING:
    from gateway.store.unit import Unit

# An id tells the time of the process that made it, a row the database's: two days cover a clock that is a day wrong.
CLOCKS_APART_MS: Final = 2 * DAY_MS
CODED_MAX: Final = 200
"""Of a phone that is asked more often, the older codes may come again: four digits must not run out."""
TOLD: Final = "the phone's limit; the phone was told"
"""The detail of the transition of a payment that was over a limit and about which the phone got a text."""


def first_payment_id(since_ms: int) -> str:
    """An id that sorts before every payment of *since_ms* or later; older ones may be behind it as well."""
    return first_id_at("pay_", since_ms - CLOCKS_APART_MS)


def first_id_behind(until_ms: int) -> str:
    """An id that sorts behind every payment made before *until_ms*; newer ones may be before it as well."""
    return first_id_at("pay_", until_ms + CLOCKS_APART_MS)


class Asked(NamedTuple):
    """One request to a phone."""

    merchant_id: str
    mode: str
    at_ms: int
    refused_at_ms: int | None
    is_text: bool
    """The phone gets, or got, a text."""
    is_over: bool
    """The text, if any, says that a limit was passed."""


class Coded(NamedTuple):
    """Of what the codes of a payment are derived; `code_n` is the last one's counter."""

    id: str
    code_key: str
    code_n: int
    code_digits: int


def spent_before(conn: Connection, consumer_id: str, currency: str, *, since_ms: int) -> int:
    """The same as `PhoneRecords.spent`, as the database has it."""
    values = (consumer_id, first_payment_id(since_ms), since_ms, currency)
    return int(conn.exec_driver_sql(_SPENT[conn.dialect.name], values).scalar_one())


class PhoneRecords:
    """What is on record about the phones of one batch."""

    def __init__(self, unit: "Unit") -> None:
        self._unit = unit
        self._uses: dict[str, dict[str, dict[Period, Use]]] = {}
        self._asks: Mapping[str, list[Asked]] | None = None
        self._pauses: Mapping[str, int] | None = None
        self._coded: dict[str, list[Coded]] = {}

    def used(self, consumer_id: str, carrier: str, period: Period, begins_ms: Mapping[Period, int]) -> Use:
        """What the phone has used at *carrier* since the day or month began."""
        if carrier not in self._uses:
            self._uses[carrier] = _uses(self._unit.conn, self._unit.phones, carrier, begins_ms)
        use = self._uses[carrier].get(consumer_id, {}).get(period, NOTHING)
        for payment, is_more in self.changes(consumer_id):
            if payment.carrier == carrier and payment.created_at_ms >= begins_ms[period]:
                minor = payment.amount.amount_minor
                use = use.plus(minor) if is_more else use.minus(minor)
        return use

    def spent(self, consumer_id: str, currency: str, *, since_ms: int) -> int:
        """What payments made since then took of the phone's money or may still take, at all carriers; minor units."""
        spent = spent_before(self._unit.conn, consumer_id, currency, since_ms=since_ms)
        for one, is_more in self.changes(consumer_id):
            if one.amount.currency == currency and one.created_at_ms >= since_ms:
                spent += one.amount.amount_minor if is_more else -one.amount.amount_minor
        return spent

    def changes(self, consumer_id: str) -> Iterator[tuple[Payment, bool]]:
        """Payments of the phone that this batch has made, and (False) those that it has ended without money."""
        unit = self._unit
        for payment in unit.created_of(consumer_id):
            if payment.state not in DEAD_STATES:
                yield payment, True
        for payment in unit.released.values():
            if payment.consumer_id == consumer_id and payment.id not in unit.created:
                yield payment, False

    def asks(self, consumer_id: str) -> list[Asked]:
        """The texts that asked the phone in the last day, and what it refused in the last two."""
        unit = self._unit
        if self._asks is None:
            self._asks = _asks(unit.conn, unit.phones, unit.now_ms)
        found = [
            self._asked(payment, is_text=payment.id not in unit.unasked) for payment in unit.created_of(consumer_id)
        ]
        found += [
            self._asked(payment, is_text=False)
            for payment in unit.released.values()
            if payment.consumer_id == consumer_id and payment.reason is Reason.REFUSED
        ]
        return found + self._asks.get(consumer_id, [])

    def _asked(self, payment: Payment, *, is_text: bool) -> Asked:
        is_refused = payment.reason is Reason.REFUSED
        return Asked(
            payment.merchant_id,
            payment.mode,
            payment.created_at_ms,
            payment.ended_at_ms if is_refused else None,
            is_text,
            is_text and payment.reason is Reason.LIMIT_EXCEEDED,
        )

    def coded(self, consumer_id: str) -> list[Coded]:
        """The payments of the phone whose codes it may still have in hand: the newest of the last two days.

        Without those that this batch has made: of them a phone knows no code yet.
        """
        if consumer_id not in self._coded:
            found = _coded(self._unit.conn, {consumer_id, *self._unit.phones}, self._unit.now_ms - 2 * DAY_MS)
            self._coded |= {phone: found.get(phone, []) for phone in (consumer_id, *self._unit.phones)}
        return self._coded[consumer_id]

    def paused_until_ms(self, subject: str) -> int | None:
        """Until when no ask about *subject* is taken, if there is an alarm."""
        if self._pauses is None:
            pause = tables.ask_pause.c
            statement = select(pause.subject, pause.until_ms).where(pause.until_ms > self._unit.now_ms)
            self._pauses = {row.subject: row.until_ms for row in self._unit.conn.execute(statement)}
        return self._pauses.get(subject)


def _uses(
    conn: Connection, consumer_ids: Collection[str], carrier: str, begins_ms: Mapping[Period, int]
) -> dict[str, dict[Period, Use]]:
    day_ms, month_ms = begins_ms["day"], begins_ms["month"]
    values = (day_ms, day_ms, _json(consumer_ids), first_payment_id(month_ms), month_ms, carrier)
    return {
        row.consumer_id: {
            "day": Use(int(row.day_count), int(row.day_amount)),
            "month": Use(int(row.month_count), int(row.month_amount)),
        }
        for row in conn.exec_driver_sql(_USES[conn.dialect.name], values)
    }


def _asks(conn: Connection, consumer_ids: Collection[str], now_ms: int) -> Mapping[str, list[Asked]]:
    since_ms = now_ms - 2 * DAY_MS
    values = (TOLD, _json(consumer_ids), first_payment_id(since_ms), since_ms, now_ms - DAY_MS)
    found: defaultdict[str, list[Asked]] = defaultdict(list)
    for row in conn.exec_driver_sql(_ASKS[conn.dialect.name], values):
        refused_at_ms = row.ended_at_ms if row.reason == Reason.REFUSED else None
        is_text = bool(row.is_text)
        is_over = is_text and row.reason == Reason.LIMIT_EXCEEDED and not row.attempts
        found[row.consumer_id].append(
            Asked(row.merchant_id, row.mode, row.created_at_ms, refused_at_ms, is_text, is_over)
        )
    return found


def _coded(conn: Connection, consumer_ids: Collection[str], since_ms: int) -> Mapping[str, list[Coded]]:
    values = (_json(consumer_ids), first_payment_id(since_ms), since_ms, CODED_MAX)
    found: defaultdict[str, list[Coded]] = defaultdict(list)
    for row in conn.exec_driver_sql(_CODED[conn.dialect.name], values):
        found[row.consumer_id].append(Coded(row.id, row.code_key, row.code_n, row.code_digits))
    return found


def _json(values: Collection[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()


def _both(statement: str) -> dict[str, str]:
    """*statement* for each database; `@` stands for a parameter, `@phones` for one with a list of phones."""
    sqlite, postgresql = (
        "IN (SELECT value FROM json_each(?))",
        "= ANY (ARRAY(SELECT json_array_elements_text(%s::json)))",
    )
    return {
        "sqlite": statement.replace("@phones", sqlite).replace("@", "?"),
        "postgresql": statement.replace("@phones", postgresql).replace("@", "%s"),
    }


_SPENT: Final = _both(
    "SELECT coalesce(sum(amount_minor), 0) FROM payment WHERE consumer_id = @ AND id >= @ AND created_at_ms >= @"
    " AND currency = @ AND state NOT IN ('ended', 'reversed')"
)
_USES: Final = _both(
    "SELECT consumer_id, sum(CASE WHEN created_at_ms >= @ THEN 1 ELSE 0 END) AS day_count,"
    " sum(CASE WHEN created_at_ms >= @ THEN amount_minor ELSE 0 END) AS day_amount,"
    " count(*) AS month_count, sum(amount_minor) AS month_amount"
    " FROM payment WHERE consumer_id @phones AND id >= @ AND created_at_ms >= @ AND carrier = @"
    " AND state NOT IN ('ended', 'reversed') GROUP BY consumer_id"
)
# Whoever has confirmed was asked. A phone that takes no asks gets no text; what was over a limit made none either, but
# for the one that says so.
_ASKS: Final = _both(
    "SELECT * FROM (SELECT consumer_id, merchant_id, mode, created_at_ms, ended_at_ms, reason, attempts,"
    " CASE WHEN attempt_id IS NOT NULL OR stage IS NOT NULL OR reason IS NULL THEN 1"
    " WHEN reason = 'unavailable' THEN 0 WHEN reason = 'limit_exceeded' THEN"
    " (SELECT count(*) FROM transition t WHERE t.payment_id = payment.id AND t.detail = @) ELSE 1 END AS is_text"
    " FROM payment WHERE consumer_id @phones AND id >= @ AND created_at_ms >= @) AS recent"
    " WHERE (is_text > 0 AND created_at_ms > @) OR reason = 'refused'"
)
_CODED: Final = _both(
    "SELECT consumer_id, id, code_key, code_n, code_digits FROM (SELECT consumer_id, id, code_key, code_n, code_digits,"
    " row_number() OVER (PARTITION BY consumer_id ORDER BY id DESC) AS place"
    " FROM payment WHERE consumer_id @phones AND id >= @ AND created_at_ms >= @) AS recent WHERE place <= @"
)
