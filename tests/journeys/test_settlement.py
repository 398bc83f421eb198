"""Settlement day: captures become a payout that two people approve, a bank pays, and a statement tells.

The captures are a day old; all else is what operators do: commands, a file, a bank over HTTP, its report.
"""

import csv
import io
import itertools
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec
import pytest
from sqlalchemy import update

from gateway.app import Gateway
from gateway.cli import payouts
from gateway.config import read
from gateway.store import tables
from simulators.bank import Bank
from tests.cli.commands import CODE_KEY, Finished, Here, dry_run
from tests.journeys.operator import files_of, written_by_hand
from tests.journeys.processes import toml
from tests.merchants.pdf import numbers_in
from tests.store.bench import Odd, a_captured_payment, applied, rows
from tests.store.settling_bench import a_store_later

pytestmark = pytest.mark.money

DEBTOR = ("--debtor", "Gateway Ltd", "--account", "DE89370400440532013000", "--currency", "KES", "--mode", "test")


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    opened = Bank()
    await opened.server.start()
    yield opened
    await opened.server.stop()


class Day:
    """What an operator has in hand on settlement day."""

    def __init__(self, gateway: Here, folder: Path, url: str, bank: Bank) -> None:
        self._gateway = gateway
        self._folder = folder
        self._config = dry_run(folder, database=url)
        files = toml(msgspec.to_builtins(files_of("acme")), "carriers.acme.files")
        self._config.write_text(f"{self._config.read_text()}\n{files}\n", encoding="utf-8")
        self._runs = itertools.count(1)
        self.url = url
        self.bank = bank
        self.merchant_id = ""
        self.key = ""

    def run(self, *words: str, code: int = 0) -> Finished:
        finished = self._gateway(*words, "--config", str(self._config))
        assert finished.code == code, finished
        return finished

    def open(self, account: str, *terms: str, fee_schedule: str | None = None) -> None:
        """A shop with terms, and two captures of yesterday."""
        added = self.run("merchant", "add", "--name", "Asha Mboga Ltd", "--shop", "Mama Asha", "--keyword", "ASHA").out
        self.key = added.partition("test key")[2].split()[0]
        self.agree(account, *(terms or ("--wait", "*=0")))
        [row] = rows(self.url, "SELECT id FROM merchant")
        self.merchant_id = row.id
        with a_store_later(self.url, days=-1.5) as store:
            for n in range(2):
                fields = {"merchant_id": row.id, "msisdn": f"+2547111{n:05d}", "fee_schedule": fee_schedule}
                a_captured_payment(store, f"k-{n}", **fields)

    def agree(self, account: str, *terms: str) -> None:
        """On these terms, money goes to *account*."""
        whose = ("--merchant", "ASHA", "--zone", "Africa/Nairobi", "--account-name", "Asha", "--account", account)
        self.run("merchant", "terms", *whose, *terms)

    def payout(self, state: str) -> str:
        """The id of the only payout in *state*."""
        [line, _] = self.run("payouts", "status", "--state", state).out.splitlines()
        return line.split()[0]

    def approve(self, payout_id: str) -> None:
        """By two."""
        [row] = rows(self.url, "SELECT account FROM payout WHERE id = :id", id=payout_id)
        for by in ("amina", "joseph"):
            self.run("payouts", "approve", payout_id, "--to", row.account[-4:], "--by", by)

    def submit(self) -> tuple[str, bytes]:
        """Settle, approve by two, submit. The file's id and content."""
        self.run("settle")
        payout_id = self.payout("draft")
        self.approve(payout_id)
        out = self._folder / f"run-{next(self._runs)}.xml"
        said = self.run("payouts", "submit", str(out), *DEBTOR).out
        return said.partition(":")[0], out.read_bytes()

    def nothing_to_submit(self) -> None:
        refused = self.run("payouts", "submit", str(self._folder / "none.xml"), *DEBTOR, code=1)
        assert refused.complaint().startswith(
            "there is nothing to submit; 1 approved ones wait: another payout of their"
        )

    @asynccontextmanager
    async def served(self) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
        """A gateway on this database, and whom to ask it with."""
        config, secrets = read(self._config, {"GATEWAY_CODE_KEY": CODE_KEY})
        gateway = Gateway(config, secrets)
        await gateway.start()
        try:
            async with aiohttp.ClientSession() as http:
                yield http, gateway.url
        finally:
            await gateway.stop()

    async def hand_over(self, content: bytes) -> str:
        async with aiohttp.ClientSession() as http, http.post(f"{self.bank.server.url}/files", data=content) as answer:
            assert answer.status == 202
            return str((await answer.json())["file_id"])

    async def report(self, file_id: str, *, code: int = 0, form: str = "json") -> Finished:
        status = f"{self.bank.server.url}/files/{file_id}/status?format={form}"
        async with aiohttp.ClientSession() as http, http.get(status) as answer:
            path = self._folder / f"report.{form}"
            path.write_bytes(await answer.read())
        return self.run("payouts", "import-status", str(path), code=code)


@pytest.fixture
def day_of_both(
    database_url: str, tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Day:
    return Day(Here(monkeypatch, capsys), tmp_path, database_url, bank)


@pytest.fixture
def day(
    sqlite_url: str, tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Day:
    return Day(Here(monkeypatch, capsys), tmp_path, sqlite_url, bank)


FEES = """name = "standard"
[[rates]]
currency = "KES"
carrier_share_basis_points = 2400
vat_basis_points = 1600
withholding_basis_points = 300
[[rates.tiers]]
basis_points = 150
"""
# Of two captures of KES 1,250.00; a tenth of what is left is kept back.
LINES = {
    **{"opening": 0, "gross": 250_000, "carrier_share": -60_000, "fees": -3_750, "vat": -600, "withholding": -5_570},
    **{"reserve": -18_008, "payouts": -162_072, "closing": 0},
}


def remittance(day: Day, folder: Path) -> Path:
    """The carrier's file about all that was captured; it pays what is not its share."""
    captures = rows(day.url, "SELECT id FROM attempt ORDER BY id")
    return written_by_hand(folder, "acme", [(row.id, "", "1250.00", "Charged") for row in captures], paid="1900.00")


async def test_captures_become_a_paid_payout_and_a_statement(day_of_both: Day, tmp_path: Path) -> None:
    day = day_of_both
    form = "csv" if day.url.startswith("postgresql") else "json"
    path = tmp_path / "fees.toml"
    path.write_text(FEES, encoding="utf-8")
    fee_schedule = day.run("fees", "add", str(path)).out.split()[0]
    kept = ("--wait", "*=after_remittance", "--reserve-percent", "10", "--reserve-days", "30")
    day.open("1100223344", *kept, fee_schedule=fee_schedule)
    assert "0 settlements, 0 payouts" in day.run("settle").out, "the carrier has not paid yet"
    assert "KES 1,900.00, booked\n" in day.run("reconcile", str(remittance(day, tmp_path))).out
    file_id, content = day.submit()
    assert await day.hand_over(content) == await day.hand_over(content) == file_id
    assert list(day.bank.paid.values()) == [Decimal("1620.72")]
    await day.report(file_id, form=form)
    payout_id = day.payout("paid")
    assert list(day.bank.paid) == [payout_id]
    await _judge_statement(day, payout_id)
    day.run("ledger", "verify")


async def _judge_statement(day: Day, payout_id: str) -> None:
    """JSON, CSV and PDF say the same, and the ledger says it as well."""
    async with day.served() as (http, url):

        async def get(path: str) -> bytes:
            async with http.get(f"{url}/v1/statements{path}", headers={"Authorization": f"Bearer {day.key}"}) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.read()

        [listed] = msgspec.json.decode(await get(""))["data"]
        told = msgspec.json.decode(await get(f"/{listed['id']}"))
        table, page = await get(f"/{listed['id']}/csv"), await get(f"/{listed['id']}/pdf")
    assert told["payouts"] == [payout_id] and listed["lines"] == told["lines"]
    lines = {one["line"]: one["amount"] for one in told["lines"]}
    assert lines == LINES and sum(lines.values()) == lines["closing"] == 0
    assert {row["line"]: int(row["amount"]) for row in csv.DictReader(io.StringIO(table.decode()))} == LINES
    assert numbers_in(page) == [f"{Decimal(amount) / 100:.2f}" for amount in LINES.values()]
    legs = rows(day.url, "SELECT account, sum(amount_minor) AS n FROM leg GROUP BY account")
    left = {row.account.replace(day.merchant_id, "ASHA"): int(row.n) for row in legs if row.n}
    # What the carrier brought less what was paid out: the reserve, our fee, and the taxes.
    assert left == {
        "bank:main": 190_000 - 162_072,
        "merchant:ASHA:reserve": -18_008,
        "fee": -3_750,
        "tax:vat": -600,
        "tax:wht": -5_570,
    }


@pytest.mark.parametrize(
    ("account", "state", "why"), [("1100223901", "failed", "RJCT AC01"), ("1100223902", "returned", "RTRN AC04")]
)
async def test_money_that_came_back_goes_out_again_once(day_of_both: Day, account: str, state: str, why: str) -> None:
    day = day_of_both
    day.open(account)
    file_id, content = day.submit()
    await day.hand_over(content)
    await day.report(file_id)
    if state == "returned":
        day.payout("paid")
        day.bank.return_some(file_id)
        await day.report(file_id)
        await day.report(file_id)
    first = day.payout(state)
    assert day.bank.paid == {}
    [at_bank] = rows(day.url, "SELECT coalesce(sum(amount_minor), 0) AS n FROM leg WHERE account = 'bank:main'")
    assert at_bank.n == 0
    assert rows(day.url, "SELECT detail FROM payout")[0].detail == why
    day.agree("1100223344", "--wait", "*=0")
    file_id, content = day.submit()
    await day.hand_over(content)
    await day.report(file_id)
    again = day.payout("paid")
    assert again != first and day.bank.paid == {again: Decimal("2500.00")}
    assert "0 settlements, 0 payouts" in day.run("settle").out
    day.run("ledger", "verify")


async def test_an_unknown_payout_blocks_until_the_bank_speaks(day: Day) -> None:
    day.open("1100223903")
    file_id, content = day.submit()
    await day.hand_over(content)
    await day.report(file_id)
    day.payout("unknown")
    with a_store_later(day.url, days=-1.5) as store:
        a_captured_payment(store, "k-more", merchant_id=day.merchant_id, msisdn="+254711199999")
    assert "1 settlements, 0 payouts" in day.run("settle").out
    day.bank.settle_unknown(file_id, "ACSC")
    await day.report(file_id)
    assert "0 settlements, 1 payouts" in day.run("settle").out
    day.run("ledger", "verify")


async def test_a_report_that_contradicts_us_is_refused_and_told(day: Day) -> None:
    day.open("1100223344")
    file_id, content = day.submit()
    await day.hand_over(content)
    day.bank.files[file_id].transfers[0].amount += 1
    assert "contradict us" in (await day.report(file_id, code=1)).complaint()
    day.payout("submitted")
    [listed, _] = day.run("breaks", "list").out.splitlines()
    assert " payout - po_" in listed and "| at risk KES 2,500.00" in listed


async def test_a_bank_that_pays_what_it_has_rejected_pays_no_other(day: Day) -> None:
    day.open("1100223901")
    file_id, content = day.submit()
    await day.hand_over(content)
    await day.report(file_id)
    first = day.payout("failed")
    assert "1 payouts" in day.run("settle").out
    second = day.payout("draft")
    day.approve(second)
    day.bank.files[file_id].transfers[0].status = "ACSC"
    assert f"{first} is failed, which cannot become paid" in (await day.report(file_id, code=1)).complaint()
    day.nothing_to_submit()
    assert day.payout("approved") == second
    day.run("ledger", "verify")


def test_nobody_approves_what_he_approved_before(day: Day) -> None:
    day.open("1100223344")
    day.run("settle")
    payout_id = day.payout("draft")
    day.run("payouts", "approve", payout_id, "--to", "3344", "--by", "amina")
    day.run("payouts", "approve", payout_id, "--to", "3344", "--by", " AMINA", code=1)
    day.run("payouts", "cancel", payout_id, "--note", "closed", "--by", "joseph")
    assert rows(day.url, "SELECT detail FROM payout")[0].detail == "closed; cancelled by joseph"
    told = msgspec.json.decode(rows(day.url, "SELECT body FROM event WHERE type = 'payout.failed'")[0].body)
    assert told["data"]["detail"] == "closed", "who cancelled it is not the merchant's business"


def test_whoever_approves_sees_where_the_money_goes(day: Day) -> None:
    day.open("1100223344")
    day.run("merchant", "terms", *thief_of("5566778899"), "--by", "juma")
    day.run("settle")
    payout_id = day.payout("draft")
    told = day.run("payouts", "approve", payout_id, code=2)
    assert told.complaint().startswith("--to: expected")
    assert told.out == day.run("payouts", "status").out.splitlines()[0] + "\n"
    assert f"{payout_id} {day.merchant_id} test KES 2,500.00 draft -" in told.out
    assert "for Asha Mboga Ltd to Juma & Sons, 5566778899, BIC KCBLKENX; set by juma at " in told.out
    assert told.out.endswith("; before that Asha, 1100223344\n")
    day.run("payouts", "approve", payout_id, "--to", "3344", "--by", "amina", code=1)
    day.run("payouts", "approve", payout_id, "--to", "8899", "--bic", "KCBLKENX", "--by", "Juma", code=1)
    day.agree("1100223344", "--wait", "*=0")
    assert "THE MERCHANT'S ACCOUNT IS NOW Asha, 1100223344" in day.run("payouts", "status").out
    day.run("payouts", "cancel", payout_id, "--note", "nobody told us of another account")
    day.submit()
    [paid_to] = rows(day.url, "SELECT account FROM payout WHERE state = 'submitted'")
    assert paid_to.account == "1100223344"


def test_another_bank_with_the_same_number_is_another_account(day: Day) -> None:
    day.open("1100223344", "--wait", "*=0", "--bic", "KCBLKENX")
    day.agree("1100223344", "--wait", "*=0", "--bic", "EQBLKENA", "--by", "juma")
    day.run("settle")
    payout_id = day.payout("draft")
    told = day.run("payouts", "approve", payout_id, code=2).out
    assert "to Asha, 1100223344, BIC EQBLKENA; set by juma at " in told
    assert told.endswith("; before that Asha, 1100223344, BIC KCBLKENX\n")
    approve = ("payouts", "approve", payout_id, "--to", "3344", "--by", "amina")
    for bic in ((), ("--bic", "KCBLKENX")):
        assert "expected the BIC of the bank" in day.run(*approve, *bic, code=1).complaint()
    day.run(*approve, "--bic", "eqblkenaxxx")
    day.agree("1100223344", "--wait", "*=0", "--bic", "KCBLKENX")
    assert "THE MERCHANT'S ACCOUNT IS NOW Asha, 1100223344, BIC KCBLKENX" in day.run("payouts", "status").out


def thief_of(account: str) -> tuple[str, ...]:
    whose = ("--merchant", "ASHA", "--account-name", "Juma & Sons", "--account", account, "--bic", "KCBLKENX")
    return (*whose, "--zone", "Africa/Nairobi", "--wait", "*=0")


def test_without_a_name_the_user_of_the_operating_system_counts(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "SUDO_USER"):
        monkeypatch.setenv(variable, "amina")
    day.open("1100223344")
    [change] = rows(day.url, "SELECT set_by FROM account_change")
    assert change.set_by == pwd.getpwuid(os.getuid()).pw_name


def test_a_lost_file_is_written_again_the_same(day: Day, tmp_path: Path) -> None:
    day.open("1100223344")
    file_id, content = day.submit()
    day.run("payouts", "submit", str(tmp_path / "again.xml"), *DEBTOR, "--again", file_id)
    assert (tmp_path / "again.xml").read_bytes() == content
    assert len(file_id) == 35, "the longest message id of ISO 20022"


@pytest.mark.parametrize(
    "other",
    [("--format", "csv"), ("--debtor", "Gateway Inc"), ("--account", "1100"), ("--bic", "KCBLKENX")],
    ids=" ".join,
)
def test_another_file_is_not_the_same_written_again(day: Day, tmp_path: Path, other: tuple[str, str]) -> None:
    day.open("1100223344")
    file_id, _ = day.submit()
    refused = day.run("payouts", "submit", str(tmp_path / "again.xml"), *DEBTOR, *other, "--again", file_id, code=2)
    assert refused.complaint().startswith("--again: expected the --debtor, --account, --bic and --format with which")
    assert not (tmp_path / "again.xml").exists()


def test_what_a_bank_would_not_take_is_not_submitted(day: Day, tmp_path: Path) -> None:
    """Terms of before they were checked; what does not print leaves no line of the list."""
    day.open("1100223344")
    with a_store_later(day.url) as store:
        name = {"account_name": "Asha\x0bLtd"}
        applied(store, Odd(lambda unit: unit.conn.execute(update(tables.merchant_terms).values(**name))))
    day.run("settle")
    payout_id = day.payout("draft")
    assert r"to Asha\x0bLtd, 1100223344; nobody on record set it" in day.run("payouts", "status").out
    day.approve(payout_id)
    complaint = day.run("payouts", "submit", str(tmp_path / "run.xml"), *DEBTOR, code=1).complaint()
    assert complaint.startswith(f"nothing was submitted: {payout_id}: name: expected")
    assert day.payout("approved") == payout_id
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("run.xml")] == []
    day.run("payouts", "cancel", payout_id, "--note", "the name is wrong")
    day.agree("1100223344", "--wait", "*=0")
    day.submit()


def test_a_word_in_another_currency_or_of_no_amount_is_refused(day: Day, tmp_path: Path) -> None:
    day.open("1100223344")
    day.submit()
    payout_id = day.payout("submitted")
    report = tmp_path / "report.csv"
    for amount, code in (("2500.00,USD", 1), ("Infinity,KES", 2)):
        report.write_text(f"id,status,amount,currency\n{payout_id},ACSC,{amount}\n", encoding="utf-8")
        day.run("payouts", "import-status", str(report), code=code)
    assert day.payout("submitted") == payout_id


def test_a_report_that_is_too_large_is_not_cut(day: Day, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day.open("1100223344")
    day.submit()
    payout_id = day.payout("submitted")
    report = tmp_path / "report.csv"
    report.write_text(f"id,status,amount,currency\n{payout_id},ACSC,2500.00,KES\n", encoding="utf-8")
    monkeypatch.setattr(payouts, "REPORT_BYTES_MAX", report.stat().st_size - 1)
    refused = day.run("payouts", "import-status", str(report), code=2)
    assert "expected a report of up to" in refused.complaint()
    monkeypatch.setattr(payouts, "REPORT_BYTES_MAX", report.stat().st_size)
    day.run("payouts", "import-status", str(report))
