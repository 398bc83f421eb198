"""`gateway reconcile` and the words about breaks: what an operator types, and what is answered."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from carriers import base
from gateway.config import read
from gateway.core.payment import Rules
from gateway.engine.carrier_jobs import OrderDone
from gateway.store.engine import hold_alone
from tests.cli.commands import CODE_KEY, Here
from tests.engine.file_bench import a_bench
from tests.store.bench import applied, rows

FILES = """
[carriers.acme.files]
pattern = "acme_{date}.csv"
columns = { attempt_id = "id", amount = "amount", status = "result" }
statuses = { OK = "charged", KO = "failed" }
trailer = "T"
trailer_columns = { rows = "2", remitted = "3" }
grace_s = 0
"""


@pytest.fixture
def url(config: Path) -> str:
    """Of a database whose carrier sends files."""
    config.write_text(config.read_text(encoding="utf-8") + FILES, encoding="utf-8")
    return read(config, {"GATEWAY_CODE_KEY": CODE_KEY})[0].gateway.database


def a_file(folder: Path, *lines: str, paid: str = "") -> Path:
    path = folder / f"acme_{datetime.now(ZoneInfo('Africa/Nairobi')).strftime('%Y%m%d')}.csv"
    path.write_text("\n".join(["id,amount,result", *lines, f"T,{len(lines)},{paid}", ""]), encoding="utf-8")
    return path


@pytest.mark.money
def test_a_day_that_fits_is_reported_and_known_the_second_time(
    gateway: Here, config: Path, url: str, tmp_path: Path
) -> None:
    with a_bench(url, tmp_path) as bench:
        file = a_file(tmp_path, f"{bench.charge('1')},1250.00,OK", f"{bench.lose('2')},1250.00,OK", paid="2500.00")
    tried = gateway("reconcile", file, "--dry-run", "--config", config)
    assert tried.code == 0 and "nothing was written" in tried.out
    report = tmp_path / "report.txt"
    done = gateway("reconcile", file, "--report", report, "--config", config)
    assert (done.code, done.out) == (0, "")
    words = report.read_text(encoding="utf-8")
    assert "matched    2\n" in words and "resolved   1 " in words and "KES 2,500.00, booked\n" in words
    again = gateway("reconcile", file, "--config", config)
    assert again.code == 1 and again.err.splitlines()[-1].endswith(f"known; its content was taken as {file.name}")


@pytest.mark.money
def test_what_needs_a_person_is_named_with_its_money_and_given_up_by_two(
    gateway: Here, config: Path, url: str, tmp_path: Path
) -> None:
    with a_bench(url, tmp_path) as bench:
        bench.charge("1")
    done = gateway("reconcile", a_file(tmp_path), "--json", "--config", config)
    found = json.loads(done.out)["found"]
    assert (done.code, found["at_risk_minor"]) == (1, {"missing_at_carrier": 125_000})
    [row] = rows(url, 'SELECT id FROM "break"')
    assigned = gateway("breaks", "assign", row.id, "--to", "asha", "--config", config)
    assert "| at risk KES 1,250.00 | asha looks at it" in assigned.out
    off = ("breaks", "write-off", row.id, "--note", "their system was down", "--config", config)
    assert "asha would write it off; it is booked once another" in gateway(*off, "--by", "asha").out
    assert gateway(*off, "--by", "asha").complaint().endswith("so another person has to agree")
    assert "by juma: written off, as asha proposed" in gateway(*off, "--by", "juma").out
    assert gateway("breaks", "list", "--config", config).out == "0 open breaks\n"


@pytest.mark.money
def test_what_the_carrier_told_an_operator_ends_an_unknown_outcome(
    gateway: Here, config: Path, url: str, tmp_path: Path
) -> None:
    with a_bench(url, tmp_path, rules={"acme": Rules()}) as bench:
        order = bench.order("1")
        for _ in range(len(Rules().inquiry_ladder_ms) + 1):
            done = applied(bench.store, OrderDone(order, base.Unknown(detail="silence")))
            [order] = [one for one in done.rows if one.kind == "inquire"]
    [row] = rows(url, 'SELECT id FROM "break"')
    words = ("breaks", "decide", row.id, "happened", "--note", "ticket 17", "--by", "asha", "--config", config)
    with hold_alone(url):
        assert gateway(*words).complaint().endswith("; stop it, decide, and start it again")
    assert "as the carrier told asha: ticket 17" in gateway(*words).out
    assert [one.state for one in rows(url, "SELECT state FROM payment")] == ["captured"]
    assert gateway(*words).complaint().endswith("ticket 17")
    assert gateway("breaks", "decide", "brk_x", "happened", "--note", "n", "--config", config).code == 2
    assert gateway("breaks", "decide", row.id, "perhaps", "--note", "n", "--config", config).code == 2


def test_a_file_that_may_not_be_read_is_one_line(
    gateway: Here, config: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert url
    file, whole = a_file(tmp_path), Path.open

    def refuses(path: Path, *words: Any, **more: Any) -> Any:  # Any: as `Path.open`.
        if path == file:
            raise PermissionError(13, "Permission denied")
        return whole(path, *words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuses)
        refused = gateway("reconcile", file, "--config", config)
    assert (refused.code, refused.complaint()) == (2, f"{file}: Permission denied")
    missing = tmp_path / "acme_20261124.csv"
    assert gateway("reconcile", missing, "--config", config).complaint() == f"{missing}: expected a file"


@pytest.mark.money
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(
    gateway: Here, config: Path, url: str, tmp_path: Path
) -> None:
    with a_bench(url, tmp_path) as bench:
        file = a_file(tmp_path, f"{bench.charge('1')},1250.00,OK")
    for report in (tmp_path / "no" / "report.txt", tmp_path):
        refused = gateway("reconcile", file, "--report", report, "--config", config)
        assert refused.code == 2 and refused.complaint().startswith(f"--report: {report}: ")
    assert rows(url, "SELECT id FROM carrier_file") == []
    lost = gateway("reconcile", file, "--report", "/dev/full", "--config", config)
    assert lost.code == 1 and "matched    1\n" in lost.out
    assert lost.err.splitlines()[-1].endswith("No space left on device; it is on standard output")


@pytest.mark.money
def test_what_a_file_does_not_say_two_persons_say(gateway: Here, config: Path, url: str, tmp_path: Path) -> None:
    with a_bench(url, tmp_path) as bench:
        file = a_file(tmp_path, f"{bench.charge('1')},1250.00,OK")
    done = gateway("reconcile", file, "--config", config)
    assert f"remittance not in this file; `gateway remittance book {file.name} AMOUNT` says it\n" in done.out
    words = ("--note", "statement of 25/11", "--config", config)
    book = ("remittance", "book", file.name)
    assert gateway(*book, "1,250.00", *words).complaint() == "amount: expected one in KES, got '1,250.00'"
    assert gateway("remittance", "book", "x.csv", "1", *words).complaint().endswith("got 'x.csv': none was taken")
    first = gateway(*book, "1200.00", "--by", "asha", *words)
    assert (first.code, first.out) == (
        0,
        f"{file.name}: KES 1,200.00 as asha says; another person has to say the same\n",
    )
    differs = gateway(*book, "1200.00", "--by", "juma", *words)
    assert differs.code == 1 and "not booked: our books come to another sum" in differs.complaint()
    [corrected, booked] = (gateway(*book, "1250.00", "--by", person, *words) for person in ("asha", "juma"))
    assert (corrected.code, booked.code) == (0, 0)
    assert (
        booked.out
        == f"{file.name}: KES 1,250.00 on the word of asha (statement of 25/11) and juma (statement of 25/11); booked\n"
    )


def test_a_database_that_is_served_is_left_alone(gateway: Here, config: Path, url: str, tmp_path: Path) -> None:
    with hold_alone(url):
        refused = gateway("reconcile", a_file(tmp_path), "--config", config)
    assert refused.code == 1 and refused.complaint().endswith("; stop it, reconcile, and start it again")
    assert rows(url, "SELECT id FROM carrier_file") == []


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("acme_20261124.csv", ("--carrier", "other"), "--carrier: expected one with files: acme"),
        ("other.csv", (), "other.csv: no carrier has such names; say whose it is by --carrier"),
        ("missing.csv", (), "missing.csv: expected a file"),
    ],
)
@pytest.mark.usefixtures("url")
def test_a_file_that_is_nobodys_is_refused(
    gateway: Here, config: Path, tmp_path: Path, name: str, options: tuple[str, ...], complaint: str
) -> None:
    if name != "missing.csv":
        (tmp_path / name).touch()
    refused = gateway("reconcile", tmp_path / name, *options, "--config", config)
    assert refused.code == 2 and refused.complaint().endswith(complaint)
