"""The operator that knows how old SIMs are, over a real socket: what it refuses, and how control swaps a SIM."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulators.journal import read
from simulators.world import World, WorldSettings

NUMBER = "+254712345100"
JSON = dict[str, Any]


class Client:
    def __init__(self, world: World, http: aiohttp.ClientSession) -> None:
        self.world, self.http = world, http
        self.headers = {"Authorization": "Bearer operator-token", "x-correlator": "c-1"}

    async def ask(self, path: str = "v1/check", body: object = None, **headers: str) -> tuple[int, JSON]:
        url = f"{self.world.sim.server.url}/sim-swap/{path}"
        sent = {"phoneNumber": NUMBER} if body is None else body
        async with self.http.post(url, json=sent, headers=self.headers | headers) as answer:
            return answer.status, await answer.json()

    async def control(self, path: str, body: JSON) -> None:
        async with self.http.post(f"{self.world.control.server.url}/sim/v1/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with World(WorldSettings(journal=tmp_path)) as world, aiohttp.ClientSession() as http:
        yield Client(world, http)


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"path": "v3/check"}, 404, "NOT_FOUND"),
    ({"path": "v1/swap"}, 404, "NOT_FOUND"),
    ({"body": {}}, 400, "INVALID_ARGUMENT"),
    ({"body": {"phoneNumber": "254712345100"}}, 400, "INVALID_ARGUMENT"),
    ({"body": {"phoneNumber": NUMBER, "age": 1}}, 400, "INVALID_ARGUMENT"),
    ({"body": {"phoneNumber": NUMBER, "maxAge": 0}}, 400, "OUT_OF_RANGE"),
    ({"body": {"phoneNumber": NUMBER, "maxAge": 2401}}, 400, "OUT_OF_RANGE"),
    ({"Authorization": "Bearer stranger"}, 401, "UNAUTHENTICATED"),
    ({"x-correlator": "a b"}, 400, "INVALID_ARGUMENT"),
]


async def test_what_is_not_as_defined_is_refused_with_its_code(client: Client) -> None:
    for asked, status, code in REFUSED:
        found, body = await client.ask(**asked)
        assert (found, body["code"], set(body)) == (status, code, {"status", "code", "message"}), asked


async def test_control_swaps_a_sim_some_hours_ago(client: Client, tmp_path: Path) -> None:
    assert await client.ask() == (200, {"swapped": False})
    await client.control(f"phones/{NUMBER}", {"faults": {"sim.check": "swapped"}, "seconds": 300 * 3600.0})
    assert await client.ask() == (200, {"swapped": False}), "240 hours are meant if nothing is said"
    assert await client.ask(body={"phoneNumber": NUMBER, "maxAge": 301}) == (200, {"swapped": True})
    status, dated = await client.ask("v2/retrieve-date")
    assert (status, set(dated)) == (200, {"latestSimChange"}) and dated["latestSimChange"].endswith("Z")
    client.world.reset()
    assert await client.ask(body={"phoneNumber": NUMBER, "maxAge": 301}) == (200, {"swapped": False})
    client.world.journals.flush()
    asked = [(record["what"], record["max_age_h"]) for record in read(tmp_path, "sim", "request")]
    assert asked == [("check", 240), ("check", 240), ("check", 301), ("retrieve-date", 240), ("check", 301)]
