"""A gateway process of its own, measured from outside, and the simulated world that it serves, in this process.

CPU is what the operating system charged to the gateway's process and to the database's processes, never the load's.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from gateway.cli.admin import open_shop, upgrade
from simulators.handsets import HandsetSettings
from simulators.smsc_settings import SmscSettings
from simulators.world import World, WorldSettings
from tests.postgres import PostgresServer

SHORT_CODE = "22345"
START_LIMIT_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
EVENTS = ["payment.confirmed", "payment.succeeded"]

CONFIG = """
[gateway]
database = "{database}"
listen = "127.0.0.1:0"
development = true

[api]
rate_per_s = 0  # The load has one key.

[carriers.acme]
mode = "test"
prefixes = ["+254"]
currency = "KES"
time_zone = "Africa/Nairobi"
short_code = "{short_code}"
brand = "Acme Pay"
charge_concurrency = 128

[carriers.acme.bearer]
type = "smpp"
host = "127.0.0.1"
port = {smsc}
system_id = "gateway"
password = "secret"
source_addr = "{short_code}"
window = 256

[carriers.acme.biller]
type = "opbill"
base_url = "{billing}"
user = "gateway"
password = "secret"
connections_max = 64

[carriers.acme.ussd]
type = "ussd_http"
style = "form"
path_token = "{token}"
"""
USSD_TOKEN = secrets.token_hex(16)


class House:
    """What a load needs to know."""

    def __init__(self, world: World, url: str, key: str, pid: int, http: aiohttp.ClientSession) -> None:
        self.world = world
        self.url = url
        self.key = key
        self.ussd_url = f"{url}/callbacks/acme/{USSD_TOKEN}"
        """Where an aggregator calls."""
        self._pid = pid
        self._http = http
        self._postgres: PostgresServer | None = None

    def measure_postgres(self, server: PostgresServer) -> None:
        """Count the CPU of this server's processes as the database's."""
        self._postgres = server

    def gateway_cpu_s(self) -> float:
        return _cpu_s(Path("/proc") / str(self._pid))

    def database_cpu_s(self) -> float:
        """0 for SQLite, which runs inside the gateway."""
        return 0.0 if self._postgres is None else postgres_cpu_s(self._postgres)

    def gateway_rss_mb(self) -> float:
        pages = int((Path("/proc") / str(self._pid) / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def metrics(self) -> dict[str, float]:
        """The gateway's own counters, by name; those with labels are summed."""
        async with self._http.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found


def postgres_cpu_s(server: PostgresServer) -> float:
    """Of all its processes."""
    pid_file = server.socket_folder.parent / "data" / "postmaster.pid"
    first = Path("/proc") / pid_file.read_text().split()[0]
    return _cpu_s(first) + sum(_cpu_s(child) for child in _children(first))


def _cpu_s(process: Path) -> float:
    """User and system time, with that of children that have ended."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S


def _children(process: Path) -> Iterator[Path]:
    pids = (process / "task" / process.name / "children").read_text().split()
    return (Path("/proc") / pid for pid in pids)


@asynccontextmanager
async def house(database: str, folder: Path) -> AsyncIterator[House]:
    """The world in this process, a gateway in another, one merchant with one endpoint."""
    settings = WorldSettings(
        short_code=SHORT_CODE,
        use_magic=False,
        smsc=SmscSettings(window=256),
        handsets=HandsetSettings(reply_delay_s=0.0, use_magic=False, inbox_max=1),
    )
    async with World(settings) as world, aiohttp.ClientSession() as http:
        upgrade(database)
        key = open_shop(database, name="Bench Ltd", shop="Mama Bench", keyword="BENCH").test_key
        config = folder / "gateway.toml"
        config.write_text(
            CONFIG.format(
                database=database,
                short_code=SHORT_CODE,
                smsc=world.smsc.port,
                billing=world.billing.server.url,
                token=USSD_TOKEN,
            )
        )
        async with _gateway(config) as (url, pid):
            await _open_webhooks(http, url, key, world)
            yield House(world, url, key, pid, http)


@asynccontextmanager
async def _gateway(config: Path) -> AsyncIterator[tuple[str, int]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from gateway.cli import main; main()", "serve", "--config", str(config)),
        env={**os.environ, "GATEWAY_CODE_KEY": secrets.token_hex(32), "GATEWAY_PIN_KEY": secrets.token_hex(32)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
        if not line.startswith(b"serving "):
            raise RuntimeError(f"the gateway did not start: {line!r}")
        yield line.split()[1].decode(), process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _open_webhooks(http: aiohttp.ClientSession, url: str, key: str, world: World) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": "webhooks"}
    body = json.dumps({"url": f"{world.merchant.server.url}/bench", "types": EVENTS})
    async with http.post(f"{url}/v1/webhook_endpoints", data=body, headers=headers) as answer:
        opened = msgspec.json.decode(await answer.read())
        if answer.status != 201:
            raise RuntimeError(f"no endpoint: {opened}")
    world.merchant.set_secrets("/bench", [opened["secret"]])


@contextmanager
def database_of(kind: str, folder: Path, server: PostgresServer | None) -> Iterator[str]:
    """The URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'gateway.db'}"
        return
    assert server is not None
    url = server.create_database()
    yield url
    server.drop_database(url)
