"""Settlement day: captures become a payout that two people approve, a bank pays, and a statement tells.

The captures are a day old; all else is what operators do: commands, a file, a bank over HTTP, its report.
"""

import csv
import io
import itertools
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec
import pytest

from gateway.app import Gateway
from gateway.config import read
from simulators.bank import Bank
from tests.cli.commands import CODE_KEY, Finished, Here, dry_run
from tests.journeys.operator import files_of, written_by_hand
from tests.journeys.processes import toml
from tests.store.bench import a_captured_payment, rows
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

    def submit(self) -> tuple[str, bytes]:
        """Settle, approve by two, submit. The file's id and content."""
        self.run("settle")
        payout_id = self.payout("draft")
        for by in ("amina", "joseph"):
            self.run("payouts", "approve", payout_id, "--by", by)
        out = self._folder / f"run-{next(self._runs)}.xml"
        said = self.run("payouts", "submit", str(out), *DEBTOR).out
        return said.partition(":")[0], out.read_bytes()

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
    **{"reserve": -18_008, "payout": -162_072, "closing": 0},
}


def remittance(day: Day, folder: Path) -> Path:
    """The carrier's file about all that was captured; it pays what is not its share."""
    captures = rows(day.url, "SELECT id FROM attempt ORDER BY id")
    return written_by_hand(folder, "acme", [(row.id, "1250.00", "Charged") for row in captures], paid="1900.00")


def numbers_in(pdf: bytes) -> list[str]:
    """The amounts on its page, top-down."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    words = b" ".join(zlib.decompress(stream) for stream in streams if stream.startswith(b"\x78"))
    return [found.decode() for found in re.findall(rb"\((-?[0-9.]+) KES\)", words)]


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
    assert told["payout"] == payout_id and listed["lines"] == told["lines"]
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


def test_nobody_approves_what_he_approved_before(day: Day) -> None:
    day.open("1100223344")
    day.run("settle")
    payout_id = day.payout("draft")
    day.run("payouts", "approve", payout_id, "--by", "amina")
    day.run("payouts", "approve", payout_id, "--by", "amina", code=1)
    day.run("payouts", "cancel", payout_id, "--note", "closed")
    assert msgspec.json.decode(rows(day.url, "SELECT body FROM event WHERE type = 'payout.failed'")[0].body)


def test_a_lost_file_is_written_again_the_same(day: Day, tmp_path: Path) -> None:
    day.open("1100223344")
    file_id, content = day.submit()
    day.run("payouts", "submit", str(tmp_path / "again.xml"), *DEBTOR, "--again", file_id)
    assert (tmp_path / "again.xml").read_bytes() == content
