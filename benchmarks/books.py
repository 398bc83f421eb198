"""Measure `gateway ledger verify` on big books, clean and tampered with, and print one JSON line each.

`python -m benchmarks.books --payments 1000000 --database sqlite`
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.fill import fill
from benchmarks.house import database_of
from benchmarks.tampering import heads_of, plant
from gateway.store.engine import begin_write, connect
from gateway.store.heads import Anchor
from gateway.store.migrate import migrate
from gateway.store.verify import examine
from tests.postgres import postgres_run, server_in

DATABASES = ("sqlite", "postgresql")

Look = tuple[float, float, list[str]]
"""Seconds, the most memory in MiB, what is wrong."""


def _look(url: str, outside: Sequence[Anchor]) -> Look:
    began_s = time.monotonic()
    engine = connect(url, read_only=True)
    with engine.connect() as conn:
        wrong = list(examine(conn, outside=outside).wrong)
    engine.dispose()
    return time.monotonic() - began_s, _peak_mb(), wrong


def _peak_mb() -> float:
    """Of this process; `getrusage` would tell that of whoever started it, if that is more."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def look_apart(url: str, outside: Sequence[Anchor]) -> Look:
    """Verify in a process of its own, so that its memory is not that of whoever filled the books."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_look, url, outside).result()


def _measure(url: str, payments: int, merchants: int, kind: str) -> bool:
    """Print the lines; return whether the verdicts were right."""
    engine = connect(url)
    migrate(engine)
    began_s = time.monotonic()
    fill(url, payments=payments, merchants=merchants)
    said = {"database": kind, "payments": payments, "merchants": merchants}
    print(json.dumps({"name": "fill", **said, "seconds": round(time.monotonic() - began_s, 1)}), flush=True)
    with engine.connect() as conn:
        kept = heads_of(conn, payments)
    seconds, peak_mb, wrong = look_apart(url, kept)
    clean = {"seconds": round(seconds, 1), "rss_mb": round(peak_mb, 1), "wrong": len(wrong)}
    print(json.dumps({"name": "verify", **said, **clean}), flush=True)
    with begin_write(engine) as conn:
        expected = plant(conn, payments)
    engine.dispose()
    seconds, peak_mb, found = look_apart(url, kept)
    missed = [label for label, line in expected.items() if not any(one.startswith(line) for one in found)]
    told = {"seconds": round(seconds, 1), "rss_mb": round(peak_mb, 1), "planted": len(expected), "missed": missed}
    print(json.dumps({"name": "verify, tampered with", **said, **told}), flush=True)
    return not wrong and not missed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.books", description=__doc__)
    parser.add_argument("--payments", type=int, default=1_000_000)
    parser.add_argument("--merchants", type=int, default=1_000)
    parser.add_argument("--database", choices=DATABASES, action="append", help="both by default")
    asked = parser.parse_args()
    kinds = asked.database or list(DATABASES)
    right = True
    with ExitStack() as stack:
        server = server_in(stack.enter_context(postgres_run())) if "postgresql" in kinds else None
        for kind in kinds:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="payments-books-")))
            with database_of(kind, folder, server) as url:
                right = _measure(url, asked.payments, asked.merchants, kind) and right
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
