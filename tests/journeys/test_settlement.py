"""Settlement day: captures become a payout that two people approve, a bank pays, and a statement tells.

The captures are a day old; all else is what operators do: commands, a file, a bank over HTTP, its report.
"""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec
import pytest

from gateway.store.merchant_reads import Owner
from gateway.store.statements import statement, statements
from merchants.statement_files import as_csv, as_pdf
from simulators.bank import Bank
from tests.cli.commands import Finished, Here, dry_run
from tests.store.bench import a_captured_payment, rows
from tests.store.settling_bench import a_store_later
from tests.stores import reading

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
        self._config = dry_run(folder, database=Path(url.removeprefix("sqlite:///")))
        self.url = url
        self.bank = bank
        self.merchant_id = ""

    def run(self, *words: str, code: int = 0) -> Finished:
        finished = self._gateway(*words, "--config", str(self._config))
        assert finished.code == code, finished
        return finished

    def open(self, account: str, *, payments: int = 2) -> None:
        """A shop with terms, and captures of yesterday."""
        self.run("merchant", "add", "--name", "Asha Mboga Ltd", "--shop", "Mama Asha", "--keyword", "ASHA")
        terms = ("--zone", "Africa/Nairobi", "--wait", "*=0", "--account-name", "Asha", "--account", account)
        self.run("merchant", "terms", "--merchant", "ASHA", *terms)
        [row] = rows(self.url, "SELECT id FROM merchant")
        self.merchant_id = row.id
        with a_store_later(self.url, days=-1.5) as store:
            for n in range(payments):
                a_captured_payment(store, f"k-{n}", merchant_id=row.id, msisdn=f"+2547111{n:05d}")

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
        out = self._folder / "run.xml"
        said = self.run("payouts", "submit", str(out), *DEBTOR).out
        return said.partition(":")[0], out.read_bytes()

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
def day(
    sqlite_url: str, tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Day:
    return Day(Here(monkeypatch, capsys), tmp_path, sqlite_url, bank)


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_captures_become_a_paid_payout_and_a_statement(day: Day, form: str) -> None:
    day.open("1100223344")
    file_id, content = day.submit()
    assert await day.hand_over(content) == await day.hand_over(content) == file_id
    assert list(day.bank.paid.values()) == [Decimal("2500.00")]
    await day.report(file_id, form=form)
    payout_id = day.payout("paid")
    assert list(day.bank.paid) == [payout_id]
    with reading(day.url) as conn:
        [told] = statements(conn, Owner(day.merchant_id, "test"), limit=2, older_than=None)
        assert statement(conn, Owner(day.merchant_id, "live"), told.id) is None
    assert told.lines == (("opening", 0), ("gross", 250_000), ("payout", -250_000))
    assert (told.closing_minor, told.payout_id) == (0, payout_id)
    assert b"payout,-250000,2\r\n" in as_csv(told)
    assert as_pdf(told).startswith(b"%PDF-") and as_pdf(told) == as_pdf(told)
    day.run("ledger", "verify")


async def test_a_rejected_payout_is_available_again_and_drafted_anew(day: Day) -> None:
    day.open("1100223901")
    file_id, content = day.submit()
    await day.hand_over(content)
    assert day.bank.paid == {}
    await day.report(file_id)
    assert rows(day.url, "SELECT detail FROM payout")[0].detail == "RJCT AC01"
    first = day.payout("failed")
    day.run("settle")
    assert day.payout("draft") != first
    day.run("ledger", "verify")


async def test_a_returned_payout_comes_back_after_it_was_paid(day: Day) -> None:
    day.open("1100223902")
    file_id, content = day.submit()
    await day.hand_over(content)
    await day.report(file_id)
    day.payout("paid")
    day.bank.return_some(file_id)
    await day.report(file_id)
    await day.report(file_id)
    day.payout("returned")
    assert day.bank.paid == {}
    [at_bank] = rows(day.url, "SELECT sum(amount_minor) AS n FROM leg WHERE account = 'bank:main'")
    assert at_bank.n == 0
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
