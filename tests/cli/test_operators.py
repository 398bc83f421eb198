"""What operators type: how a gateway stands, what needs a person, and the word of whoever settled it."""

import json
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from sqlalchemy import insert, text

from gateway.app import Gateway
from gateway.cli.standing import LaneStanding, LinkStanding, Standing, screen, span, troubles
from gateway.config import read
from gateway.core.settling import Terms
from gateway.store import listed, tables
from gateway.store.cases import list_cases
from gateway.store.engine import begin_write, connect
from gateway.store.terms import write_terms
from tests.cli.commands import CODE_KEY, Here, running
from tests.journeys.house import Shop, a_shop
from tests.stores import reading

BREAK = {"id": "brk_1", "kind": "unexpected_fact", "payment_id": "pay_1", "detail": "Charged\nwhile ended", "at_ms": 1}
CULPRIT = {"id": "qua_1", "job": "OrderDone(…)", "error": "KeyError('x')", "is_carrier_fact": 1, "at_ms": 2}


@pytest.fixture
def url(config: Path) -> str:
    return read(config, {"GATEWAY_CODE_KEY": CODE_KEY})[0].gateway.database


@pytest.fixture
def troubled(config: Path, url: str) -> Path:
    """A database with a break and a quarantined job."""
    engine = connect(url)
    with begin_write(engine) as conn:
        conn.execute(insert(tables.open_break).values(**BREAK))
        conn.execute(insert(tables.quarantine).values(**CULPRIT))
    engine.dispose()
    return config


def test_breaks_are_listed_in_one_line_each_until_they_are_resolved(gateway: Here, troubled: Path, url: str) -> None:
    listed = gateway("breaks", "list", "--config", troubled)
    assert listed.out == ("brk_1 1970-01-01T00:00:00.001Z unexpected_fact pay_1 Charged while ended\n1 open breaks\n")
    resolve = (
        "breaks",
        "resolve",
        "brk_1",
        "--note",
        "one charge in\nthe report",
        "--by",
        "asha",
        "--config",
        troubled,
    )
    assert gateway(*resolve).out.endswith(" by asha: one charge in the report\n")
    assert gateway("breaks", "list", "--config", troubled).out == "0 open breaks\n"
    assert "resolved" in gateway("breaks", "list", "--all", "--config", troubled).out
    with reading(url) as conn:
        [case] = list_cases(conn, "break", with_resolved=True).items
        assert (case.resolved_by, case.resolution) == ("asha", "one charge in the report")
        assert case.resolved_at_ms is not None and case.resolved_at_ms > 1


def test_a_list_that_is_cut_says_how_many_there_are(
    gateway: Here, troubled: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = connect(url)
    with begin_write(engine) as conn:
        others = [BREAK | {"id": f"brk_{n}", "at_ms": n, "kind": "fee" if n == 4 else "late"} for n in (2, 3, 4)]
        conn.execute(insert(tables.open_break), others)
    engine.dispose()
    monkeypatch.setattr(listed, "LISTED_MAX", 2)
    told = gateway("breaks", "list", "--config", troubled).out.splitlines()
    assert [line.split()[0] for line in told[:-1]] == ["brk_1", "brk_2"], "oldest first"
    assert told[-1] == "the first 2 of 4 open breaks"
    *lines, last = gateway("breaks", "list", "--kind", "fee", "--config", troubled).out.splitlines()
    assert ([line.split()[0] for line in lines], last) == (["brk_4"], "1 open breaks of kind fee")
    monkeypatch.setattr(listed, "LISTED_MAX", 4)
    assert gateway("breaks", "list", "--config", troubled).out.endswith("\n4 open breaks\n")
    refused = gateway("breaks", "list", "--kind", "odd", "--config", troubled)
    assert refused.code == 2 and refused.complaint().startswith("--kind: expected one of unexpected_fact, ")


@pytest.mark.parametrize(
    ("command", "last"),
    [
        ("breaks list", "the first 0 of 1 open breaks"),
        ("quarantine list --all", "the first 0 of 1 jobs in quarantine"),
        ("payouts status --state draft --merchant mer_1", "0 payouts"),
        ("reports list", "0 merchants in 30 days"),
        ("reports list --merchant mer_1", "0 reports in 30 days"),
    ],
)
def test_each_list_is_counted_where_it_is_cut(
    gateway: Here, troubled: Path, monkeypatch: pytest.MonkeyPatch, command: str, last: str
) -> None:
    monkeypatch.setattr(listed, "LISTED_MAX", 0)
    assert gateway(*command.split(), "--config", troubled).out == f"{last}\n"


def test_the_first_word_about_a_break_stands(gateway: Here, troubled: Path) -> None:
    resolve = ("breaks", "resolve", "brk_1", "--config", troubled)
    assert gateway(*resolve, "--note", "reversed by hand", "--by", "asha").code == 0
    again = gateway(*resolve, "--note", "nothing was wrong", "--by", "juma")
    assert (again.code, again.complaint()) == (1, "brk_1 was resolved before, by asha: reversed by hand")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("brk_9", "--note", "x"), "expected the id of a break row, got 'brk_9': there is none"),
        (("brk_1", "--note", " "), "--note: expected 1 to 1000 characters, got 0"),
        (("brk_1", "--note", "x" * 1001), "--note: expected 1 to 1000 characters, got 1001"),
    ],
)
def test_a_wrong_word_about_a_break_is_refused(
    gateway: Here, troubled: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    refused = gateway("breaks", "resolve", *arguments, "--config", troubled)
    assert (refused.code, refused.complaint()) == (2, complaint)


def test_quarantined_jobs_are_listed_and_resolved(gateway: Here, troubled: Path) -> None:
    listed = gateway("quarantine", "list", "--config", troubled).out
    assert listed.startswith("qua_1 1970-01-01T00:00:00.002Z carrier_fact - KeyError('x') in OrderDone")
    assert gateway("quarantine", "resolve", "qua_1", "--note", "reported", "--config", troubled).code == 0
    assert gateway("quarantine", "list", "--config", troubled).out == "0 open jobs in quarantine\n"


@pytest.mark.money
async def test_status_of_a_gateway_that_serves_is_healthy(config: Path, tmp_path: Path, url: str) -> None:
    key = a_shop(url).test_key
    async with running("serve", "--config", config, cwd=tmp_path) as serving:
        address = (await serving.says(r"serving (http\S+)\n"))[1]
        async with aiohttp.ClientSession() as http:
            shop = Shop(http, address, key)
            await shop.until_final((await shop.ask("+254700000555"))["id"])
        async with running("status", "--config", config, "--url", address, cwd=tmp_path) as asked:
            told = await asked.ended()
        async with running("status", "--config", config, "--url", address, "--json", cwd=tmp_path) as asked:
            as_json = await asked.ended()
    assert (told.code, told.err) == (0, "")
    assert told.out.endswith("\nhealthy\n") and "link      acme: up" in told.out and "succeeded 1" in told.out
    found = json.loads(as_json.out)
    assert (as_json.code, found["troubles"], found["ready"]) == (0, [], "ok")
    assert {lane["owner"].partition("-")[0] for lane in found["lanes"]} == {"gateway"}


def test_status_says_what_needs_a_person(gateway: Here, troubled: Path, taken_port: int) -> None:
    told = gateway("status", "--config", troubled, "--url", "http://127.0.0.1:1")
    assert told.code == 1
    assert told.complaint().startswith("12 need a person: gateway at http://127.0.0.1:1: does not answer")
    assert "! 1 open breaks of kind unexpected_fact; see `gateway breaks list`\n" in told.out
    assert "! 1 jobs in quarantine; see `gateway quarantine list`\n" in told.out
    assert "! lane sms:acme:0: no process has it\n" in told.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--url: expected the gateway's address, because the file says port 0"),
        (("--url", "pay.example"), "--url: expected http://host:port, got 'pay.example'"),
    ],
)
def test_status_without_an_address_is_a_wrong_call(
    gateway: Here, config: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    told = gateway("status", "--config", config, *arguments)
    assert (told.code, told.complaint()) == (2, complaint)


def test_no_command_makes_a_database(gateway: Here, config: Path, tmp_path: Path) -> None:
    empty = config.read_text().replace("gateway.db", "other.db")
    config.write_text(empty)
    key, why, payer = "key_" + "0" * 26, ("--note", "why"), ("--debtor", "Gateway Ltd", "--account", "1")
    report = tmp_path / "report.json"
    report.write_text('{"payments": []}', encoding="utf-8")
    for command in (
        *(
            ("ledger", "verify"),
            ("ledger", "head"),
            ("breaks", "list"),
            ("restored",),
            ("backup", tmp_path / "copy.db"),
        ),
        ("status", "--url", "http://127.0.0.1:1"),
        *(("key", "list", "--merchant", "ASHA"), ("key", "rotate", key), ("key", "revoke", key)),
        ("key", "add", "--merchant", "ASHA", "--name", "till", "--scope", "all"),
        ("merchant", "add", "--name", "Asha Ltd", "--shop", "Asha", "--keyword", "ASHA"),
        *(("settle",), ("payouts", "status"), ("payouts", "approve", "po_1"), ("payouts", "cancel", "po_1", *why)),
        ("payouts", "submit", tmp_path / "run.xml", *payer, "--currency", "KES"),
        ("payouts", "import-status", report),
        *(("dispute", "list"), ("dispute", "open", "pay_1"), ("dispute", "decide", "dsp_1", "won", *why)),
    ):
        told = gateway(*command, "--config", config)
        assert told.code == 2 and "there is no database" in told.complaint()
    assert not (tmp_path / "other.db").exists()


HEALTHY = Standing(
    version="1",
    database="sqlite:///gateway.db",
    schema="0002",
    url="http://127.0.0.1:8080",
    ready="ok",
    processes={},
    lanes=[LaneStanding(name="sms:acme:0", owner="a", lease_left_s=40.0, waiting=0, oldest_s=0.0)],
    links=[LinkStanding(carrier="acme", state="up")],
    lately={},
    unknown=0,
    unknown_oldest_s=0.0,
    breaks={},
    quarantined=0,
    seal_lag_s=0.0,
    deadlines_lag_s=0.0,
    webhook_oldest_s=0.0,
)
LANE = HEALTHY.lanes[0]
ILL: dict[str, dict[str, Any]] = {  # Any: fields of a standing.
    "gateway at http://127.0.0.1:8080: unready": {"ready": "unready"},
    "carrier acme: the link is down": {"links": [LinkStanding(carrier="acme", state="down")]},
    "lane sms:acme:0: no process has it": {"lanes": [replace(LANE, lease_left_s=-1.0)]},
    "lane sms:acme:0: the oldest of 7 has waited 2m": {"lanes": [replace(LANE, waiting=7, oldest_s=120.0)]},
    "lane export:0: the oldest of 7 has waited 2h": {
        "lanes": [replace(LANE, name="export:0", waiting=7, oldest_s=7200.0)]
    },
    "2 unknown outcomes, the oldest for 3h": {"unknown": 2, "unknown_oldest_s": 10_800.0},
    "1 open breaks of kind mismatch; see `gateway breaks list`": {"breaks": {"mismatch": 1}},
    "3 jobs in quarantine; see `gateway quarantine list`": {"quarantined": 3},
    "the ledger was not sealed for 10m": {"seal_lag_s": 600.0},
    "deadlines are 2m late": {"deadlines_lag_s": 120.0},
}


@pytest.mark.parametrize("trouble", ILL)
def test_each_trouble_is_told_by_itself(trouble: str) -> None:
    assert troubles(HEALTHY) == []
    ill = replace(HEALTHY, **ILL[trouble])
    assert troubles(ill) == [trouble]
    assert f"! {trouble}" in screen(ill, [trouble])


def test_exports_may_wait_for_their_turn() -> None:
    assert troubles(replace(HEALTHY, lanes=[replace(LANE, name="export:0", waiting=40, oldest_s=120.0)])) == []


@pytest.mark.parametrize(("seconds", "words"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")])
def test_spans_are_short(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.money
async def test_a_backup_made_while_it_serves_is_in_order(config: Path, tmp_path: Path, url: str) -> None:
    settings, secrets = read(config, {"GATEWAY_CODE_KEY": CODE_KEY})
    key = a_shop(url).test_key
    serving = Gateway(settings, secrets)
    await serving.start()
    try:
        async with aiohttp.ClientSession() as http:
            shop = Shop(http, serving.url, key)
            await shop.until_final((await shop.ask("+254700000555"))["id"])
            async with running("backup", "copy.db", "--config", config, cwd=tmp_path) as copying:
                made = await copying.ended()
    finally:
        await serving.stop()
    assert (made.code, made.err) == (0, "")
    copy = tmp_path / "copy.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [name for name in os.listdir(tmp_path) if name.startswith("copy")] == ["copy.db"]
    with reading(f"sqlite:///{copy}") as conn:
        assert conn.execute(text("SELECT state FROM payment")).scalars().all() == ["captured"]


def test_a_backup_overwrites_nothing(gateway: Here, config: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    told = gateway("backup", tmp_path / "copy.db", "--config", config)
    assert told.code == 2 and "expected a name that is free" in told.complaint()
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_restored_database_distrusts_what_waits_in_it(gateway: Here, config: Path, url: str) -> None:
    row = {"id": "obx_1", "lane": "charge:acme:0", "kind": "charge", "group_key": "pay_1", "body": "{}"}
    engine = connect(url)
    with begin_write(engine) as conn:
        conn.execute(insert(tables.outbox).values(**row, due_at_ms=1, tries=0, created_at_ms=1))
    told = gateway("restored", "--config", config)
    assert told.out == (
        "1 orders, texts and webhooks wait, and each counts as maybe sent\n"
        "0 payments waited for a consent or a capture: compare each; see `gateway breaks list`\n"
    )
    with reading(url) as conn:
        assert conn.execute(text("SELECT epoch FROM outbox")).scalars().all() == [0]
    with begin_write(engine) as conn:
        conn.execute(text("DELETE FROM outbox"))
        write_terms(conn, "mer_1", Terms(account="1100223344"), by="sales")
    engine.dispose()
    told = gateway("restored", "--config", config)
    assert told.out.endswith(
        "no payout is drafted or submitted until you have resolved the break about them: compare with the bank\n"
    )
    assert "restored: what banks have been told to pay since" in gateway("breaks", "list", "--config", config).out
