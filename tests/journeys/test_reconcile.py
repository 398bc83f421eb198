"""The morning after: the operator's file lacks a row, has one too many and a wrong one, and ends what nobody knew."""

import asyncio
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from sqlalchemy import Engine

from gateway.cli.database import with_store
from gateway.config import Secrets
from gateway.core.carrier_files import Files
from gateway.engine.reconciliation import Reconciler, Refused, Report, Terms
from gateway.store.apply import Store
from simulators.faults import Scripted
from tests.journeys.evidence import CODE_KEY
from tests.journeys.house import House, a_number, together

pytestmark = pytest.mark.journey

ZONE = ZoneInfo("Africa/Nairobi")
FILES = Files(
    pattern="acme_{date}.csv",
    columns={
        **{"attempt_id": "correlator", "carrier_reference": "reference", "amount": "amount", "currency": "currency"},
        **{"status": "result", "at": "time", "fee": "fee"},
    },
    statuses={"Charged": "charged", "Refunded": "refunded", "Denied": "failed"},
    trailer="TRAILER",
    trailer_columns={"rows": "2", "total": "3", "remitted": "4"},
    grace_s=0.0,
)


async def carriers_file(home: House, folder: Path, **knobs: object) -> Path:
    """The operator's file of today, as control hands it out."""
    url = f"{home.world.control.server.url}/sim/v1/billing/file"
    async with aiohttp.ClientSession() as http, http.post(url, json=knobs) as answer:
        assert answer.status == 200, await answer.text()
        text = await answer.text()
    path = folder / f"acme_{datetime.now(ZONE).strftime('%Y%m%d')}.csv"
    path.write_text(text, encoding="utf-8")
    return path


async def reconcile(home: House, path: Path) -> Report:
    """As `gateway reconcile` does it: on SQLite with the gateway stopped, on PostgreSQL beside it."""
    config = home.gateway.config
    alone = config.gateway.database.startswith("sqlite:")

    def take(store: Store, reads: Engine) -> Report:
        terms = Terms(carrier="acme", mode="test", currency="KES", zone=ZONE, files=FILES)
        return Reconciler(store, reads, terms).take(path)

    if alone:
        await home.stop()
    try:
        return await asyncio.to_thread(with_store, config, Secrets(code_key=CODE_KEY), take)
    finally:
        if alone:
            await home.start_again()


async def attempt_of(home: House, payment_id: str) -> str:
    [row] = home.evidence.rows("SELECT id FROM attempt WHERE payment_id = :id", id=payment_id)
    return str(row.id)


@pytest.mark.money
async def test_a_morning_with_a_missing_an_extra_and_a_wrong_row(home: House, tmp_path: Path) -> None:
    home.expected_breaks = ["amount", "missing_at_carrier", "missing_here", "unknown_outcome"]
    paid: list[str] = []

    async def pays() -> None:
        asked = await home.shop.ask(a_number())
        assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
        paid.append(asked["id"])

    await together(*(pays() for _ in range(4)))
    phone = a_number()
    home.world.plan.add(Scripted(point="billing.charge", fault="timeout_charged", msisdn=phone, times=1))
    home.world.plan.add(Scripted(point="billing.inquiry", fault="error_before", msisdn=phone))
    lost = (await home.shop.ask(phone))["id"]
    await home.until_rows("SELECT id FROM break WHERE kind = 'unknown_outcome'")
    assert (await home.shop.payment(lost))["status"] == "processing"
    knobs = {"drop": [await attempt_of(home, paid[0])], "wrong_amount": [await attempt_of(home, paid[1])], "extra": 1}
    path = await carriers_file(home, tmp_path, **knobs)
    report = await reconcile(home, path)
    assert dict(report.found.at_risk_minor) == {"amount": 50, "missing_at_carrier": 125_000, "missing_here": 1_000}
    assert (report.found.matched, report.found.resolved) == (3, 1)
    assert (await home.shop.until_final(lost))["status"] == "succeeded"
    await home.text_with(phone, "PAID ")
    assert len(home.evidence.charges(phone)) == 1, "the file charges nobody"
    left = home.evidence.rows("SELECT kind FROM break WHERE resolved_at_ms IS NULL ORDER BY kind")
    assert [row.kind for row in left] == ["amount", "missing_at_carrier", "missing_here"]
    with pytest.raises(Refused, match="known; its content was taken"):
        await reconcile(home, path)
    home.world.plan.clear()


@pytest.mark.money
async def test_a_morning_that_fits_books_what_the_operator_pays(home: House, tmp_path: Path) -> None:
    asked = await home.shop.ask(a_number())
    await home.shop.until_final(asked["id"])
    path = await carriers_file(home, tmp_path, remitted=True)
    report = await reconcile(home, path)
    assert (report.file.remittance, report.found.matched, report.found.breaks.total()) == ("posted", 1, 0)
    legs = home.evidence.rows("SELECT account, sum(amount_minor) AS n FROM leg GROUP BY account ORDER BY account")
    assert {row.account: int(row.n) for row in legs}["carrier:acme:receivable"] == 0
    assert {row.account: int(row.n) for row in legs}["bank:main"] == 125_000


@pytest.mark.money
async def test_a_file_with_a_bad_trailer_moves_nothing(home: House, tmp_path: Path) -> None:
    home.expected_breaks = ["control_total"]
    asked = await home.shop.ask(a_number())
    await home.shop.until_final(asked["id"])
    with pytest.raises(Refused, match="the trailer counts 2 rows, and there are 1"):
        await reconcile(home, await carriers_file(home, tmp_path, bad_trailer=True))
    assert (await reconcile(home, await carriers_file(home, tmp_path))).found.matched == 1
