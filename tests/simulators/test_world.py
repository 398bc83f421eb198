"""The world as a whole: it starts, it stops without a trace, and it does not start half."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from simulators.journal import NAMES
from simulators.web import LOOPBACK
from simulators.world import Ports, World, WorldSettings
from tests.simulators.esme import Esme

LATE = "+254712345006"


def ports_of(world: World) -> list[int]:
    servers = (
        world.billing.server,
        world.merchant.server,
        world.control.server,
        world.wallet.server,
        world.stk.server,
        world.camara.server,
        world.twilio.server,
        world.ussd_http.server,
    )
    return [world.smsc.port, *(server.port for server in servers)]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


async def test_it_starts_and_stops_without_a_task_or_a_port_left(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with World(WorldSettings(journal=tmp_path)) as world:
        ports = ports_of(world)
        assert len(set(ports)) == len(ports)
        assert all(is_open(port) for port in ports)
        esme = await Esme.bound(world.smsc.port)
        esme.submit(LATE)
        await esme.expect("submit_sm_resp")
    assert asyncio.all_tasks() == before
    assert not any(is_open(port) for port in ports)
    assert sorted(os.listdir(tmp_path)) == sorted(f"{name}.jsonl" for name in NAMES)
    await esme.close()


async def test_it_can_be_started_again_on_the_same_ports_and_adds_to_its_journals(tmp_path: Path) -> None:
    sizes = []
    ports = Ports()
    for _ in range(2):
        async with World(WorldSettings(journal=tmp_path, ports=ports)) as world:
            ports = Ports(*ports_of(world))
            esme = await Esme.bound(world.smsc.port)
            await esme.close()
        sizes.append((tmp_path / "smsc.jsonl").stat().st_size)
    assert 0 < sizes[0] < sizes[1]


@pytest.mark.parametrize(
    "taken", ["smsc", "billing", "merchant", "control", "wallet", "stk", "camara", "twilio", "ussd"]
)
async def test_a_port_that_is_taken_stops_the_start_and_leaves_nothing(taken: str) -> None:
    before = asyncio.all_tasks()
    with socket.socket() as blocker:
        blocker.bind((LOOPBACK, 0))
        blocker.listen()
        world = World(WorldSettings(ports=Ports(**{taken: blocker.getsockname()[1]})))
        with pytest.raises(OSError, match="in use"):
            async with world:
                pass
    assert asyncio.all_tasks() == before
    assert not any(is_open(port) for port in ports_of(world) if port)


async def test_addresses_are_what_a_gateway_needs() -> None:
    async with World(WorldSettings()) as world:
        addresses = world.addresses()
        assert addresses["smsc"] == {"host": LOOPBACK, "port": world.smsc.port}
        assert addresses["control"].startswith(f"http://{LOOPBACK}:")
        servers = {"smsc", "billing", "merchant", "control", "wallet", "stk", "camara", "twilio", "ussd", "sim"}
        assert set(addresses) == servers
