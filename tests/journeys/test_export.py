"""A gateway dies while it writes an export, is started again, and the merchant reads every payment once."""

import asyncio
import csv
import io
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import insert, text

from gateway.config import CarrierSection, Config, EngineSection, GatewaySection
from gateway.store import tables
from gateway.store.engine import begin_write
from gateway.store.identity import new_id
from merchants.keys import Merchant
from tests.journeys.house import a_shop
from tests.journeys.processes import GatewayProcess, Nursery
from tests.store.bench import a_create, a_store, an_engine, applied

PAYMENTS = 20_000
LIMIT_S = 60.0


def config(database: str) -> Config:
    loopback: dict[str, Any] = {"type": "loopback"}  # Any: TOML of an adapter.
    carrier = CarrierSection(
        mode="test",
        prefixes=("+254",),
        currency="KES",
        time_zone="Africa/Nairobi",
        short_code="22345",
        brand="Acme Pay",
        bearer=loopback,
        biller=loopback,
    )
    return Config(
        gateway=GatewaySection(database=database, listen="127.0.0.1:0", development=True),
        engine=EngineSection(lease_s=10.0, heartbeat_s=0.5, poll_s=0.1, webhook_timeout_s=1.0),
        carriers={"acme": carrier},
    )


def many_payments(database: str, merchant: Merchant) -> set[str]:
    """Their ids: one that was asked for, and many failed ones like it."""
    with a_store(database) as store:
        applied(store, a_create("k-1", merchant_id=merchant.id))
    with an_engine(database) as engine, begin_write(engine) as conn:
        [like] = conn.execute(tables.payment.select()).all()
        ended = dict(like._mapping) | {"state": "ended", "reason": "expired", "deadline_at_ms": None}
        rows = [ended | {"id": new_id("pay_")} for _ in range(PAYMENTS - 1)]
        conn.execute(insert(tables.payment), rows)
    return {like.id, *(row["id"] for row in rows)}


class Client:
    """The merchant's view of its export."""

    def __init__(self, http: aiohttp.ClientSession, key: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "e-1"}
        self._id = ""

    async def order(self, url: str) -> None:
        async with self._http.post(f"{url}/v1/exports", json={"kind": "payments"}, headers=self._headers) as answer:
            assert answer.status == 202
            self._id = (await answer.json())["id"]

    async def until(self, url: str, *, rows: int, status: str) -> int:
        """How many rows are written once there are as many, or the status is reached."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                async with self._http.get(f"{url}/v1/exports/{self._id}", headers=self._headers) as answer:
                    export = await answer.json()
                if export["rows"] >= rows or export["status"] == status:
                    return int(export["rows"])
                await asyncio.sleep(0.01)

    async def content(self, url: str) -> str:
        async with self._http.get(f"{url}/v1/exports/{self._id}/content", headers=self._headers) as answer:
            assert answer.status == 200
            return await answer.text()


@pytest.mark.kill
async def test_an_export_outlives_its_gateway_and_has_no_line_twice(
    database_url: str, tmp_path: Path, processes: Nursery
) -> None:
    merchant = a_shop(database_url)
    ids = many_payments(database_url, merchant)
    async with aiohttp.ClientSession() as http:
        client = Client(http, merchant.test_key)
        first = GatewayProcess(processes, config(database_url), tmp_path)
        await first.serving()
        await client.order(first.url)
        written = await client.until(first.url, rows=1, status="ready")
        first.send(signal.SIGKILL)
        assert await first.ended(LIMIT_S) == -signal.SIGKILL
        assert 0 < written < PAYMENTS, "too late to prove anything"
        with an_engine(database_url) as engine, begin_write(engine) as conn:
            conn.execute(text("UPDATE lane SET until_ms = 0"))
        second = GatewayProcess(processes, config(database_url), tmp_path)
        await second.serving()
        assert await client.until(second.url, rows=PAYMENTS + 1, status="ready") == PAYMENTS
        lines = list(csv.DictReader(io.StringIO(await client.content(second.url), newline="")))
        await second.stop()
    assert len(lines) == PAYMENTS and {line["id"] for line in lines} == ids
