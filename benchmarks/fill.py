"""Fills a migrated database with many captured payments by whole-set SQL, so that work on big books can be measured.

What is made is what the gateway itself would have left: consents, attempts, entries and legs, transitions, a feed; the
seal and the balances are made by the gateway's own code. Ids are in the order of time, and the same at each run.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

from gateway.core.ids import first_id_at
from gateway.store.balances import count_sealed
from gateway.store.engine import begin_write, connect
from gateway.store.seal import seal_next

DAYS: Final = 30
DAY_MS: Final = 86_400_000
BEGIN_MS: Final = 1_793_491_200_000
"""1 November 2026, 00:00 UTC."""
PHONES_MAX: Final = 100_000
PORTION: Final = 20_000
_TIME_CHARACTERS: Final = 10  # Of an id's 26; the other 16 are the payment's number.


def fill(
    database_url: str,
    *,
    payments: int,
    merchants: int = 1,
    carrier: str = "acme",
    mode: str = "live",
    is_whole: bool = True,
) -> None:
    """Add *payments* captured payments of *merchants*, spread evenly over November 2026, sealed and counted.

    The database must be migrated and empty. Without *is_whole* only the payments themselves are made.
    """
    engine = connect(database_url)
    phones = min(payments, PHONES_MAX)
    said = {"merchants": str(merchants), "phones": str(phones), "carrier": carrier, "mode": mode}
    try:
        with begin_write(engine) as conn:
            _insert(conn, "merchant", _MERCHANT, said, range(merchants))
            _insert(conn, "consumer", _CONSUMER, said, range(phones))
        for day in range(DAYS):
            numbers = range(payments * day // DAYS, payments * (day + 1) // DAYS)
            with begin_write(engine) as conn:
                for table, columns in _PAYMENT_TABLES if is_whole else _PAYMENT_TABLES[:1]:
                    _insert(conn, table, columns, said, numbers, day)
        if not is_whole:
            with begin_write(engine) as conn:
                conn.exec_driver_sql("ANALYZE")
            return
        with begin_write(engine) as conn:
            conn.execute(text(_FEED))
            conn.exec_driver_sql("ANALYZE")
        after_id: str | None = ""
        while after_id is not None:
            with begin_write(engine) as conn:
                after_id = seal_next(conn, after_id=after_id, limit=PORTION)[1]
                count_sealed(conn, limit=PORTION)
    finally:
        engine.dispose()


Columns = Mapping[str, str]
"""Column → what stands there, in SQL of a row number `n`; `{…}` are the words that `_insert` knows."""


def _insert(
    conn: Connection, table: str, columns: Columns, said: Mapping[str, str], numbers: range, day: int = 0
) -> None:
    """One row of *table* for each of *numbers*, made one after the other in the course of *day*."""
    if not numbers:
        return
    begin_ms = BEGIN_MS + day * DAY_MS
    words = {
        **said,
        "id": f"'{_time(begin_ms)}' || {_digits(conn, 'n', 16)}",
        "merchant": f"'mer_{_time(BEGIN_MS)}' || {_digits(conn, _rest(said['merchants']), 16)}",
        "consumer": f"'csm_{_time(BEGIN_MS)}' || {_digits(conn, _rest(said['phones']), 16)}",
        "number": _digits(conn, "n", 8),
        "at": f"({begin_ms} + (n - {numbers.start}) * {DAY_MS // len(numbers)})",
        # Whole shillings, 100.00 to 4,999.00; the factor is prime, so that all of them come.
        "amount": f"((100 + {_rest('4900', '(n * 7919)')}) * 100)",
    }
    begun = f"CAST({numbers.start} AS BIGINT) UNION ALL SELECT n + 1 FROM series WHERE n < {numbers.stop - 1}"
    values = ", ".join(value.format(**words) for value in columns.values())
    filled = f"{table} ({', '.join(columns)}) WITH RECURSIVE series(n) AS (SELECT {begun}) SELECT {values} FROM series"
    conn.exec_driver_sql(f"INSERT INTO {filled}")


def _time(at_ms: int) -> str:
    return first_id_at("pay_", at_ms)[len("pay_") :][:_TIME_CHARACTERS]


def _rest(divisor: str, number: str = "n") -> str:
    """*number* modulo *divisor*; a percent sign would mean something to one of the drivers."""
    return f"({number} - {number} / {divisor} * {divisor})"


def _digits(conn: Connection, expression: str, width: int) -> str:
    if conn.dialect.name == "postgresql":
        return f"lpad(({expression})::text, {width}, '0')"
    return f"printf('%0{width}d', {expression})"


_MERCHANT: Columns = {
    "id": "{merchant}",
    "name": "'Shop ' || n",
    "shop": "'Shop ' || n",
    "keyword": "'SHOP' || n",
    "created_at_ms": "{at}",
}
_CONSUMER: Columns = {
    "id": "{consumer}",
    "msisdn": "'+2547' || {number}",
    "mode": "'{mode}'",
    "created_at_ms": "{at}",
}
_PAYMENT: Columns = {
    "id": "'pay_' || {id}",
    "merchant_id": "{merchant}",
    "mode": "'{mode}'",
    "consumer_id": "{consumer}",
    "carrier": "'{carrier}'",
    "shop": "'Shop'",
    "amount_minor": "{amount}",
    "currency": "'KES'",
    "description": "'Vegetable box'",
    "metadata": "'{{}}'",
    "capture": "'automatic'",
    "language": "'en'",
    "ref": "{number}",
    "code_n": "0",
    "code_digits": "4",
    "state": "'captured'",
    "version": "4",
    "created_at_ms": "{at}",
    "updated_at_ms": "{at} + 9000",
    "consent_expires_at_ms": "{at} + 600000",
    "wrong_codes": "0",
    "attempts": "1",
    "attempt_id": "'att_' || {id}",
    "cancel_requested": "0",
    "carrier_reference": "'SR' || n",
    "ended_at_ms": "{at} + 9000",
    "captured_minor": "{amount}",
}
_ATTEMPT: Columns = {
    "id": "'att_' || {id}",
    "payment_id": "'pay_' || {id}",
    "kind": "'charge'",
    "charge_attempt_id": "'att_' || {id}",
    "amount_minor": "{amount}",
    "currency": "'KES'",
    "status": "'succeeded'",
    "carrier_reference": "'SR' || n",
    "detail": "''",
    "created_at_ms": "{at} + 8000",
    "ended_at_ms": "{at} + 9000",
}
_CONSENT: Columns = {
    "attempt_id": "'att_' || {id}",
    "payment_id": "'pay_' || {id}",
    "consumer_id": "{consumer}",
    "merchant_id": "{merchant}",
    "amount_minor": "{amount}",
    "currency": "'KES'",
    "channel": "'sms'",
    "template": "'ask'",
    "mo_id": "'mo_' || {id}",
    "ask_message_id": "'msg_' || {id}",
    "reply": "'4821'",
    "read_at_ms": "{at} + 8000",
    "at_ms": "{at} + 8000",
}
_ENTRY: Columns = {
    "id": "'ent_' || {id}",
    "source_type": "'attempt'",
    "source_id": "'att_' || {id}",
    "kind": "'capture'",
    "mode": "'{mode}'",
    "currency": "'KES'",
    "payment_id": "'pay_' || {id}",
    "at_ms": "{at} + 9000",
}
_RECEIVABLE: Columns = {
    "entry_id": "'ent_' || {id}",
    "n": "0",
    "account": "'carrier:{carrier}:receivable'",
    "amount_minor": "{amount}",
}
_PENDING: Columns = {
    "entry_id": "'ent_' || {id}",
    "n": "1",
    "account": "'merchant:' || {merchant} || ':pending'",
    "amount_minor": "-{amount}",
}
_EVENT: Columns = {
    "merchant_id": "{merchant}",
    "mode": "'{mode}'",
    "seq": "n / {merchants} + 1",
    "id": "'evt_' || {id}",
    "type": "'payment.succeeded'",
    "payment_id": "'pay_' || {id}",
    "body": "'{{}}'",
    "created_at_ms": "{at} + 9000",
}
_FEED = "INSERT INTO feed (merchant_id, mode, last_seq) SELECT merchant_id, mode, max(seq) FROM event GROUP BY 1, 2"


def _transition(version: int, before: str, after: str, event: str, later_ms: int) -> Columns:
    return {
        "payment_id": "'pay_' || {id}",
        "version": str(version),
        "from_state": f"'{before}'",
        "to_state": f"'{after}'",
        "event": f"'{event}'",
        "detail": "''",
        "at_ms": f"{{at}} + {later_ms}",
    }


_PAYMENT_TABLES: tuple[tuple[str, Columns], ...] = (
    ("payment", _PAYMENT),
    ("transition", _transition(2, "created", "awaiting_consent", "AskSubmitted", 1_000)),
    ("transition", _transition(3, "awaiting_consent", "charging", "ConsentGiven", 8_000)),
    ("transition", _transition(4, "charging", "captured", "CarrierCharged", 9_000)),
    ("attempt", _ATTEMPT),
    ("consent", _CONSENT),
    ("entry", _ENTRY),
    ("leg", _RECEIVABLE),
    ("leg", _PENDING),
    ("event", _EVENT),
)
