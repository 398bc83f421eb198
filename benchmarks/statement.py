"""What a phone has paid, looked up among many stored payments: its lists, months, what they came to, and its use.

Only what these look-ups read is filled in: payments and phones, with every index, and no ledger beside them.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from benchmarks.fill import BEGIN_MS, DAY_MS, fill
from benchmarks.house import database_of, postgres_cpu_s
from gateway.consumer.record import HISTORY_PAYMENTS
from gateway.consumer.status import OPEN_MAX
from gateway.core.ids import first_id_at
from gateway.core.limits import PERIODS, begins_ms
from gateway.core.payment import Rules
from gateway.store.engine import connect
from gateway.store.migrate import migrate
from gateway.store.outbox import LanePlan
from gateway.store.queries import consumer_charges, consumer_open_payments, consumer_sums
from gateway.store.unit import Policy, Unit
from tests.postgres import PostgresServer

PAYMENTS: Final = 10_000_000
LOOKS: Final = 2_000
MONTH_MS: Final = (BEGIN_MS, BEGIN_MS + 30 * DAY_MS)
_MIDDLE: Final = first_id_at("pay_", BEGIN_MS + 15 * DAY_MS)
_POLICY: Final = Policy(
    rules={"acme": Rules()}, lanes=LanePlan(sms={"acme": 1}, charge={"acme": 1}), code_key=bytes(32)
)

Look = Callable[[Connection, str], object]


def _history(conn: Connection, phone: str) -> object:
    return consumer_charges(conn, phone, limit=HISTORY_PAYMENTS + 1)


def _older(conn: Connection, phone: str) -> object:
    """A further page, from the middle of the month on."""
    return consumer_charges(conn, phone, limit=HISTORY_PAYMENTS + 1, older_than=_MIDDLE)


def _month(conn: Connection, phone: str) -> object:
    return consumer_charges(conn, phone, limit=HISTORY_PAYMENTS + 1, between_ms=MONTH_MS)


def _early_month(conn: Connection, phone: str) -> object:
    """Of the first day only, behind everything that came since: what a month that is long gone looks like."""
    return consumer_charges(conn, phone, limit=HISTORY_PAYMENTS + 1, between_ms=(BEGIN_MS, BEGIN_MS + DAY_MS))


def _sums(conn: Connection, phone: str) -> object:
    """What the whole month came to."""
    return consumer_sums(conn, phone, MONTH_MS)


def _under_way(conn: Connection, phone: str) -> object:
    return consumer_open_payments(conn, phone, limit=OPEN_MAX)


def _use(conn: Connection, phone: str) -> object:
    unit = Unit(conn, _POLICY)
    unit.phones = frozenset({phone})
    begins = {period: begins_ms(period, MONTH_MS[1] - 1, ZoneInfo("UTC"), 1) for period in PERIODS}
    return unit.records.used(phone, "acme", "month", begins).amount_minor


LOOKS_UP: Final[Mapping[str, Look]] = {
    "history": _history,
    "older": _older,
    "month": _month,
    "early_month": _early_month,
    "sums": _sums,
    "under_way": _under_way,
    "use": _use,
}


def measure(kind: str, payments: int, folder: Path, server: PostgresServer | None) -> dict[str, object]:
    """Fill, look up what phones by chance have paid, and say how long each look takes."""
    with database_of(kind, folder, server) as url:
        engine = connect(url)
        migrate(engine)
        began_s = time.monotonic()
        fill(url, payments=payments, merchants=1_000, is_whole=False)
        filled_s = time.monotonic() - began_s
        with engine.connect() as conn:
            phones = [str(found) for (found,) in conn.execute(text("SELECT id FROM consumer ORDER BY id"))]
        engine.dispose()
        reading = connect(url, read_only=True)
        found: dict[str, object] = {"name": "statement", "database": kind, "payments": payments, "phones": len(phones)}
        with reading.connect() as conn:
            for name, look in LOOKS_UP.items():
                found[name] = _timed(conn, look, random.Random(1).choices(phones, k=LOOKS), server)
        reading.dispose()
        return found | {"looks": LOOKS, "fill_seconds": round(filled_s, 1)}


def _timed(conn: Connection, look: Look, phones: list[str], server: PostgresServer | None) -> dict[str, float]:
    took_ms, began_s = [], _cpu_s(server)
    for phone in phones:
        began = time.perf_counter()
        look(conn, phone)
        took_ms.append((time.perf_counter() - began) * 1000)
    cpu_s = _cpu_s(server) - began_s
    cuts = statistics.quantiles(took_ms, n=100)
    return {"ms_p50": round(cuts[49], 2), "ms_p99": round(cuts[98], 2), "cpu_ms": round(cpu_s * 1000 / len(phones), 3)}


def _cpu_s(server: PostgresServer | None) -> float:
    """Of this process and of the database's."""
    return time.process_time() + (0.0 if server is None else postgres_cpu_s(server))
