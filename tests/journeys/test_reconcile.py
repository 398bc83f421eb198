"""The morning after: the operator's file lacks a row, has one too many and a wrong one, and ends what nobody knew."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulators.faults import Scripted
from tests.cli.commands import Here
from tests.journeys.house import House, a_number, house, together
from tests.journeys.operator import Desk, carriers_file, files_of

pytestmark = [pytest.mark.journey, pytest.mark.money]


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database_url, tmp_path / "journal", files=files_of("acme")) as opened:
        yield opened


@pytest.fixture
def desk(home: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(home, Here(monkeypatch, capsys), tmp_path)


async def attempt_of(home: House, payment_id: str) -> str:
    [row] = home.evidence.rows("SELECT id FROM attempt WHERE payment_id = :id", id=payment_id)
    return str(row.id)


def balances(home: House) -> dict[str, int]:
    """What is left on each account."""
    legs = home.evidence.rows("SELECT account, sum(amount_minor) AS n FROM leg GROUP BY account")
    return {row.account: int(row.n) for row in legs}


async def test_a_morning_with_a_missing_an_extra_and_a_wrong_row(home: House, desk: Desk, tmp_path: Path) -> None:
    home.expected_breaks = ["amount", "missing_at_carrier", "missing_here", "unknown_outcome"]
    paid: list[str] = []

    async def pays() -> None:
        asked = await home.shop.ask(a_number())
        assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
        paid.append(asked["id"])

    phone = a_number()
    home.world.plan.add(Scripted(point="billing.charge", fault="timeout_charged", msisdn=phone, times=1))
    home.world.plan.add(Scripted(point="billing.inquiry", fault="error_before", msisdn=phone))
    lost = (await home.shop.ask(phone))["id"]
    await together(*(pays() for _ in range(4)))
    await home.until_rows("SELECT id FROM break WHERE kind = 'unknown_outcome'")
    assert (await home.shop.payment(lost))["status"] == "processing"
    dropped, wrong = await attempt_of(home, paid[0]), await attempt_of(home, paid[1])
    path = await carriers_file(home, tmp_path, drop=[dropped], wrong_amount=[wrong], extra=1)
    taken, again, listed = await desk.type(("reconcile", path), ("reconcile", path), ("breaks", "list"))
    assert taken.out.splitlines()[1:] == [
        "state      taken",
        "rows       5, which come to KES 5,010.50",
        "matched    3",
        "resolved   1 outcomes that were unknown or wrong",
        "ignored    0 failures of orders that we do not know",
        f"remittance not in this file; `gateway remittance book {path.name} AMOUNT` says it",
        "breaks     3",
        "  amount                     1              KES 0.50",
        "  missing_at_carrier         1          KES 1,250.00",
        "  missing_here               1             KES 10.00",
    ]
    assert (taken.code, taken.err.splitlines()[-1]) == (1, "gateway: 3 breaks need a person; see `gateway breaks list`")
    assert (again.code, "known; its content was taken" in again.err) == (1, True)
    home.world.plan.clear()
    assert (await home.shop.until_final(lost))["status"] == "succeeded"
    await home.text_with(phone, "PAID ")
    assert len(home.evidence.charges(phone)) == 1, "the file charges nobody"
    await _resolved(home, desk, listed.out.splitlines())


async def _resolved(home: House, desk: Desk, listed: list[str]) -> None:
    """Each break is as old as it is, and a person ends it: after that our books are what the operator will pay."""
    assert listed[-1] == "3 open breaks"
    lines = {line.split()[2]: line for line in listed[:-1]}
    for line in lines.values():
        opened = datetime.fromisoformat(line.split()[1])
        assert timedelta(0) <= datetime.now(UTC) - opened < timedelta(minutes=2), line
    assert {kind: re.findall(r"at risk (KES \S+)", line) for kind, line in lines.items()} == {
        "amount": ["KES -0.50"],
        "missing_at_carrier": ["KES 1,250.00"],
        "missing_here": ["KES 10.00"],
    }
    ids = {kind: line.split()[0] for kind, line in lines.items()}
    assert balances(home)["carrier:acme:receivable"] == 5 * 125_000
    off = ("breaks", "write-off", ids["missing_at_carrier"], "--note", "their system lost it", "--by")
    known = ("breaks", "resolve", ids["missing_here"], "--note", "another shop's", "--by", "amina")
    wrong = ("breaks", "resolve", ids["amount"], "--note", "they corrected the row", "--by", "amina")
    *done, left, verified = await desk.type(
        (*off, "amina"), (*off, "joseph"), known, wrong, ("breaks", "list"), ("ledger", "verify")
    )
    assert [one.code for one in (*done, verified)] == [0] * 5, done
    assert left.out == "0 open breaks\n"
    told = balances(home)
    assert (told["carrier:acme:receivable"], sum(told.values())) == (4 * 125_000, 0)


async def test_a_morning_that_fits_books_what_the_operator_pays(home: House, desk: Desk, tmp_path: Path) -> None:
    asked = await home.shop.ask(a_number())
    await home.shop.until_final(asked["id"])
    path = await carriers_file(home, tmp_path, remitted=True)
    [taken] = await desk.type(("reconcile", path))
    assert (taken.code, "matched    1\n" in taken.out, "KES 1,250.00, booked\n" in taken.out) == (0, True, True)
    told = balances(home)
    assert (told["carrier:acme:receivable"], told["bank:main"]) == (0, 125_000)


async def test_a_file_with_a_bad_trailer_moves_nothing(home: House, desk: Desk, tmp_path: Path) -> None:
    home.expected_breaks = ["control_total"]
    asked = await home.shop.ask(a_number())
    await home.shop.until_final(asked["id"])
    bad = await carriers_file(home, tmp_path, bad_trailer=True)
    [refused] = await desk.type(("reconcile", bad))
    assert (refused.code, "the trailer counts 2 rows, and there are 1" in refused.err) == (1, True)
    [taken] = await desk.type(("reconcile", await carriers_file(home, tmp_path)))
    assert (taken.code, "matched    1\n" in taken.out) == (0, True)
