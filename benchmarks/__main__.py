"""Run benchmarks and print one JSON line each: `python -m benchmarks --seconds 60 --database sqlite cycle`."""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import uvloop

from benchmarks import statement
from benchmarks.house import House, database_of, house
from benchmarks.load import PHONES, Load
from benchmarks.statement import PAYMENTS
from benchmarks.ussd import SESSIONS_PER_S, TYPED, Diallers
from tests.postgres import PostgresServer, postgres_run, server_in

WARM_UP_S = 5.0
IN_FLIGHT = 256
STEADY_PER_S = 100
BRISK_PER_S = 300
# Shorter windows are for whoever works on the code; their figures are not quoted.
QUOTED_FROM_S = 60.0
# A machine's noise forbids absolute rates as gates, so a line says whether they are met and the exit code does not.
CPU_MS_MAX = 2.0
PER_SECOND_MIN = 300.0
BATCH_MEAN_MIN = 16.0
USSD_P99_MS_MAX = 200.0
DATABASES = ("sqlite", "postgresql")

Run = Callable[[Load, float], Awaitable[None]]


async def _cycle(load: Load, seconds: float) -> None:
    await load.closed_loop(IN_FLIGHT, seconds)


async def _steady(load: Load, seconds: float) -> None:
    await load.open_loop(STEADY_PER_S, seconds)


async def _brisk(load: Load, seconds: float) -> None:
    await load.open_loop(BRISK_PER_S, seconds)


BENCHMARKS: dict[str, tuple[str, Run]] = {
    "cycle": (f"closed loop, {IN_FLIGHT} in flight", _cycle),
    "steady": (f"open loop, {STEADY_PER_S}/s", _steady),
    "brisk": (f"open loop, {BRISK_PER_S}/s", _brisk),
}


async def _measure(
    name: str, kind: str, seconds: float, folder: Path, server: PostgresServer | None
) -> dict[str, object]:
    text, run = BENCHMARKS[name]
    with database_of(kind, folder, server) as url:
        async with house(url, folder) as opened:
            if server is not None and kind == "postgresql":
                opened.measure_postgres(server)
            warm = Load(opened)
            await run(warm, WARM_UP_S)
            await warm.close()
            return {"name": name, "database": kind, "load": text, **await _window(opened, run, seconds)}


async def _measure_ussd(kind: str, seconds: float, folder: Path, server: PostgresServer | None) -> dict[str, object]:
    with database_of(kind, folder, server) as url:
        async with house(url, folder) as opened:
            if server is not None and kind == "postgresql":
                opened.measure_postgres(server)
            warm = Diallers(opened)
            await warm.open_loop(SESSIONS_PER_S, WARM_UP_S)
            await warm.close()
            phones = Diallers(opened)
            before, gateway_s, database_s = await opened.metrics(), opened.gateway_cpu_s(), opened.database_cpu_s()
            began_s = asyncio.get_running_loop().time()
            await phones.open_loop(SESSIONS_PER_S, seconds)
            took_s = asyncio.get_running_loop().time() - began_s
            gateway_s, database_s = opened.gateway_cpu_s() - gateway_s, opened.database_cpu_s() - database_s
            after = await opened.metrics()
            await phones.close()
    steps = max(1, len(phones.latencies_ms))
    cuts = statistics.quantiles(phones.latencies_ms, n=100)
    batches = max(1.0, after["gateway_batches_total"] - before["gateway_batches_total"])
    events = after["gateway_batch_events_total"] - before["gateway_batch_events_total"]
    return {
        "name": "ussd",
        "database": kind,
        "load": f"open loop, {SESSIONS_PER_S} sessions/s of {len(TYPED)} steps, HTTP form",
        "count": steps,
        "refused": phones.failed,
        "seconds": round(took_s, 2),
        "per_second": round(steps / took_s, 1),
        "gateway_cpu_ms": round(gateway_s * 1000 / steps, 3),
        "database_cpu_ms": round(database_s * 1000 / steps, 3),
        "latency_ms_p50": round(cuts[49], 1),
        "latency_ms_p99": round(cuts[98], 1),
        "batch_mean": round(events / batches, 1),
        "loop_lag_ms_p99": round(after["gateway_loop_lag_p99_seconds"] * 1000, 1),
        "bars_met": cuts[98] < USSD_P99_MS_MAX if seconds >= QUOTED_FROM_S else None,
        "unfinished": 0,
    }


async def _window(opened: House, run: Run, seconds: float) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    load = Load(opened)
    before, gateway_s, database_s = await opened.metrics(), opened.gateway_cpu_s(), opened.database_cpu_s()
    began_s = loop.time()
    await run(load, seconds)
    took_s = loop.time() - began_s
    gateway_s, database_s = opened.gateway_cpu_s() - gateway_s, opened.database_cpu_s() - database_s
    after = await opened.metrics()
    await load.close()
    batches = max(1.0, after["gateway_batches_total"] - before["gateway_batches_total"])
    events = after["gateway_batch_events_total"] - before["gateway_batch_events_total"]
    done = max(1, load.finished)
    cuts = statistics.quantiles(load.latencies_ms, n=100)
    cpu_ms = (gateway_s + database_s) * 1000 / done
    is_saturating = run is _cycle
    met = cpu_ms <= CPU_MS_MAX and load.finished / took_s >= PER_SECOND_MIN and events / batches >= BATCH_MEAN_MIN
    return {
        "count": load.finished,
        "phones": min(load.finished, PHONES),
        "unfinished": load.unfinished,
        "refused": sum(count for status, count in load.statuses.items() if status != 201),
        "seconds": round(took_s, 2),
        "per_second": round(load.finished / took_s, 1),
        "gateway_cpu_ms": round(gateway_s * 1000 / done, 3),
        "database_cpu_ms": round(database_s * 1000 / done, 3),
        "latency_ms_p50": round(cuts[49], 1),
        "latency_ms_p99": round(cuts[98], 1),
        "batch_mean": round(events / batches, 1),
        "loop_lag_ms_p99": round(after["gateway_loop_lag_p99_seconds"] * 1000, 1),
        "gateway_rss_mb": round(opened.gateway_rss_mb(), 1),
        "bars_met": met if is_saturating and seconds >= QUOTED_FROM_S else None,
        "fsync": "on",
        "synchronous_commit": "on (WAL, synchronous=FULL)" if opened.database_cpu_s() == 0 else "on",
    }


def _measured(
    name: str, kind: str, asked: argparse.Namespace, folder: Path, server: PostgresServer | None
) -> dict[str, object]:
    if name == "statement":
        return statement.measure(kind, asked.payments, folder, server if kind == "postgresql" else None)
    if name == "ussd":
        return uvloop.run(_measure_ussd(kind, asked.seconds, folder, server))
    return uvloop.run(_measure(name, kind, asked.seconds, folder, server))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*BENCHMARKS, "ussd", "statement")
    by_default = f"{', '.join(known[:-1])} by default"
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(known)}; {by_default}")
    parser.add_argument("--database", choices=DATABASES, action="append", help="both by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window, after a warm-up")
    parser.add_argument("--payments", type=int, default=PAYMENTS, help="stored ones, for `statement`")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in known:
            parser.error(f"expected {', '.join(known)}, got {name!r}")
    kinds = asked.database or list(DATABASES)
    failed = False
    with ExitStack() as stack:
        server = server_in(stack.enter_context(postgres_run())) if "postgresql" in kinds else None
        for name in asked.names or known[:-1]:
            for kind in kinds:
                with tempfile.TemporaryDirectory(prefix="payments-bench-") as folder:
                    measured = _measured(name, kind, asked, Path(folder), server)
                print(json.dumps(measured), flush=True)
                failed = failed or bool(measured.get("unfinished")) or bool(measured.get("refused"))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
