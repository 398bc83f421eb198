"""Settle a month of big books and print one JSON line: seconds, the most memory, and whether the books balance.

`python -m benchmarks.settlement --payments 1000000 --merchants 1000`. Limit: 10 minutes and 512 MiB.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.fill import fill
from benchmarks.house import database_of
from benchmarks.peak import peak_mb_of
from gateway.core.settling import Terms
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.engine import begin_write, connect
from gateway.store.migrate import migrate
from gateway.store.outbox import LanePlan
from gateway.store.payouts import DraftPayouts
from gateway.store.settlement_rules import SETTLEMENT_RULES
from gateway.store.settling import SettleMerchant
from gateway.store.terms import write_terms
from gateway.store.unit import Policy
from tests.postgres import postgres_run, server_in

DATABASES = ("sqlite", "postgresql")
TERMS = Terms(zone="Africa/Nairobi", waits={"*": 0}, reserve_bps=500, reserve_days=30, account="1100223344")
# The books are of November 2026.
YEAR_MS = 366 * 86_400_000


def settle_all(url: str) -> dict[str, object]:
    """Settle every merchant and draft its payout, as `gateway settle` does."""
    engine = connect(url)
    policy = Policy(rules={}, lanes=LanePlan(sms={}, charge={}), code_key=b"")
    store = Store(engine, policy, clock_offset_ms=lambda: YEAR_MS)
    with begin_write(engine) as conn:
        merchants = list(conn.execute(select(tables.merchant.c.id)).scalars())
        for merchant_id in merchants:
            write_terms(conn, merchant_id, TERMS, by="benchmark")
    began_s = time.monotonic()
    for merchant_id in merchants:
        store.apply([SettleMerchant(merchant_id=merchant_id)])
        store.apply([DraftPayouts(merchant_id=merchant_id, by="benchmark")])
    seconds = time.monotonic() - began_s
    with begin_write(engine) as conn:
        claims = conn.execute(select(func.count()).select_from(tables.claim)).scalar_one()
        payouts = conn.execute(select(func.count()).select_from(tables.payout)).scalar_one()
        wrong = [rule for rule, statement in SETTLEMENT_RULES if conn.exec_driver_sql(statement).first()]
    engine.dispose()
    return {"seconds": round(seconds, 1), "claims": claims, "payouts": payouts, "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settlement", description=__doc__)
    parser.add_argument("--payments", type=int, default=1_000_000)
    parser.add_argument("--merchants", type=int, default=1_000)
    parser.add_argument("--database", choices=DATABASES, action="append", help="both by default")
    asked = parser.parse_args()
    kinds = asked.database or list(DATABASES)
    right = True
    with ExitStack() as stack:
        server = server_in(stack.enter_context(postgres_run())) if "postgresql" in kinds else None
        for kind in kinds:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="payments-settlement-")))
            with database_of(kind, folder, server) as url:
                migrate(connect(url))
                fill(url, payments=asked.payments, merchants=asked.merchants)
                found, peak_mb = peak_mb_of(settle_all, url)
            said = {"database": kind, "payments": asked.payments, "merchants": asked.merchants}
            print(json.dumps({"name": "settlement", **said, **found, "rss_mb": round(peak_mb, 1)}), flush=True)
            right = right and not found["wrong"]
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
