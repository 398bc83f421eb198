"""Lane notifications between processes, over a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gateway.engine import notify as notify_module
from gateway.engine.notify import PAYLOAD_MAX, LaneNotifier
from gateway.store.engine import begin_write, connect
from gateway.store.leases import FREED, Leases
from tests.postgres import PostgresServer

WAIT_S = 20.0


@pytest.fixture
def conninfo(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database().replace("postgresql+psycopg://", "postgresql://")


class Listener:
    """A process that journals which lanes it was woken for."""

    def __init__(self, conninfo: str) -> None:
        self.notifier = LaneNotifier(conninfo, self._woken)
        self.woken: list[str] = []
        self._changed = asyncio.Event()

    def _woken(self, name: str) -> None:
        self.woken.append(name)
        self._changed.set()

    async def until_woken(self, *names: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while not set(names) <= set(self.woken):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def listening(conninfo: str) -> AsyncIterator[Listener]:
    here = Listener(conninfo)
    running = asyncio.create_task(here.notifier.run())
    try:
        async with asyncio.timeout(WAIT_S):
            await here.notifier.listening.wait()
        yield here
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_the_owner_hears_which_lanes_have_rows_and_many_rows_make_one_notification(conninfo: str) -> None:
    async with listening(conninfo) as owner, listening(conninfo) as writer:
        writer.notifier.notify({"sms:acme:0", "webhook:1"})
        writer.notifier.notify({"sms:acme:0"})
        await owner.until_woken("sms:acme:0", "webhook:1")
        assert sorted(owner.woken) == ["sms:acme:0", "webhook:1"]


async def test_a_cut_connection_is_made_again(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify_module, "RECONNECT_S", 0.01)
    async with listening(conninfo) as owner, listening(conninfo) as writer:
        owner.notifier.listening.clear()
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as killer:
            database = conninfo_to_dict(conninfo)["dbname"]
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                (database,),
            )
        async with asyncio.timeout(WAIT_S):
            await owner.notifier.listening.wait()
        # The writer's own connection may die with the first try; a lane that is told again is heard in the end.
        async with asyncio.timeout(WAIT_S):
            while "sms:acme:0" not in owner.woken:
                writer.notifier.notify({"sms:acme:0"})
                await asyncio.to_thread(lambda: None)


def test_payloads_are_cut_to_what_the_database_takes() -> None:
    names = {f"charge:carrier{n}:{n}" for n in range(1000)}
    payloads = notify_module._payloads(names)
    assert len(payloads) > 1
    assert all(len(payload) <= PAYLOAD_MAX for payload in payloads)
    assert {name for payload in payloads for name in payload.split(",")} == names


async def test_whoever_gives_lanes_back_or_leaves_tells_the_others(postgres_url: str) -> None:
    conninfo = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    engine = connect(postgres_url)
    async with listening(conninfo) as here:
        with begin_write(engine) as conn:
            Leases().release(conn, owner="one", epochs={"sealer": 1}, unstarted=[])
        await here.until_woken(FREED)
        here.woken.clear()
        with begin_write(engine) as conn:
            Leases().leave(conn, owner="one")
        await here.until_woken(FREED)
    engine.dispose()
