"""docs/simulators.md is kept true: every option, number, fault, behaviour, route and journal kind stands there."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from simulators.cli import app
from simulators.control import ROUTES
from simulators.faults import FAULTS, MAGIC, MAGIC_ONCE, POINTS
from simulators.handsets import BEHAVIOURS, MAGIC_BEHAVIOURS
from simulators.journal import NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulators.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_option_stands_there_and_no_other() -> None:
    options = {
        option for parameter in get_command(app).params for option in (*parameter.opts, *parameter.secondary_opts)
    } - {"--help"}
    assert set(re.findall(r"--[a-z][a-z-]+", section("Options"))) == options


def test_every_magic_person_stands_there_with_its_digits() -> None:
    rows = {
        row[0]: row[1].strip("`") for row in ROWS if len(row) == 3 and row[0] in MAGIC_BEHAVIOURS and "." not in row[1]
    }
    assert rows | {"010": "tops_up"} == MAGIC_BEHAVIOURS


def test_every_magic_number_of_the_network_stands_there_with_its_fault() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `([a-z.]+)` \| `([a-z_]+)`( \*)? \|$", PAGE, re.MULTILINE)
    shown: dict[str, dict[str, str]] = {}
    for digits, point, fault, _ in rows:
        shown.setdefault(digits, {})[point] = fault
    assert shown | {"010": {"balance": "empty"}} == MAGIC
    assert re.search(r"^\| 010 \| account \| empty", PAGE, re.MULTILINE)
    once = {digits for digits, _, _, star in rows if star}
    assert once == {digits for digits, row in MAGIC.items() if MAGIC_ONCE & {row.get("smsc.submit")}}


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_every_behaviour_stands_there(behaviour: str) -> None:
    assert f"`{behaviour}`" in section("Magic numbers: people")


@pytest.mark.parametrize("point", POINTS)
def test_every_fault_stands_under_its_point(point: str) -> None:
    paragraphs = section("Fault points").split("**")
    heads = [at for at, text in enumerate(paragraphs) if f"`{point}`" in text]
    shown = set(re.findall(r"`([a-z_]+)`", "".join(paragraphs[at + 1] for at in heads)))
    assert FAULTS[point] <= shown


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {'/'.join(route[1])}")
def test_every_route_stands_there(route: tuple[str, tuple[str, ...], object]) -> None:
    method, pattern, _ = route
    path = re.escape("/sim/v1/" + "/".join(pattern)).replace(r"\*", r"\{[a-z]+\}")
    assert re.search(rf"`(GET|POST) {path}[`?]", section("Control API")), path
    assert f"`{method}" in section("Control API")


def test_every_journal_and_every_kind_that_is_written_stands_there() -> None:
    shown = section("Journals")
    assert all(f"`{name}.jsonl`" in shown for name in NAMES)
    written = set()
    for file in (ROOT / "simulators").glob("*.py"):
        written |= set(re.findall(r'(?:journal\.write|_journal)\(\s*"([a-z.]+)"', file.read_text("utf-8")))
        for stem in re.findall(r'journal\.write\(\s*f"\{deliver\.kind\}\.([a-z]+)"', file.read_text("utf-8")):
            written |= {f"mo.{stem}", f"receipt.{stem}", f"ussd.{stem}"}
    written |= {"executed.charge", "executed.refund"}
    assert written == set(re.findall(r"`([a-z.]+)`", "".join(row[1] for row in ROWS if row[0] in NAMES))), written
