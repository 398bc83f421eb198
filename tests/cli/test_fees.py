"""Operators and fee schedules: added from a file, looked at, given to merchants."""

import re
from pathlib import Path

import pytest

from tests.cli.commands import Here
from tests.house.tree import ROOT

# The example of the page.
EXAMPLE = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / "fees.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)[
    0
]


@pytest.fixture
def asha(gateway: Here, config: Path) -> str:
    """The keyword of a merchant."""
    added = gateway("merchant", "add", *of(config), "--name", "Asha Ltd", "--shop", "ASHA", "--keyword", "ASHA")
    assert added.code == 0
    return "ASHA"


@pytest.fixture
def schedule(tmp_path: Path) -> Path:
    path = tmp_path / "standard.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def of(config: Path) -> tuple[str, str]:
    return ("--config", str(config))


def test_a_schedule_is_added_listed_and_given_to_a_merchant(
    gateway: Here, config: Path, asha: str, schedule: Path
) -> None:
    assert gateway("fees", "list", *of(config)).out == "no fee schedules: nothing is taken of payments\n"
    added = gateway("fees", "add", schedule, *of(config)).out
    found = re.fullmatch(r"(fee_\w{26})  standard version 1\n", added)
    assert found is not None
    assert gateway("fees", "add", schedule, *of(config)).out == added, "the same once more adds nothing"
    given = gateway("fees", "assign", "asha", "standard", *of(config)).out
    assert given.endswith(f" get {found[1]}, standard version 1, within five seconds\n")
    schedule.write_text(EXAMPLE.replace("2400", "2500"), encoding="utf-8")
    assert gateway("fees", "add", schedule, *of(config)).out.endswith("standard version 2\n")
    newer, older = gateway("fees", "list", *of(config)).out.splitlines()
    assert "version 2  added 20" in newer and newer.endswith("0 merchants")
    assert older.startswith(f"{found[1]}  standard version 1") and older.endswith("1 merchant")
    for _ in range(2):
        taken = gateway("fees", "unassign", "asha", *of(config)).out
        assert re.fullmatch(r"nothing is taken of payments of mer_\w{26} any more, within five seconds\n", taken)
    assert gateway("fees", "list", *of(config)).out.splitlines()[1].endswith("0 merchants")


def test_a_schedule_is_shown_and_tells_what_it_takes(gateway: Here, config: Path, schedule: Path) -> None:
    gateway("fees", "add", schedule, *of(config))
    assert '"up_to_minor": 100000' in gateway("fees", "show", "standard", *of(config)).out
    taken = gateway("fees", "show", "standard", "--amount", "125000", *of(config)).out
    assert taken.splitlines()[1] == (
        "all carriers KES: of 125000 the carrier has 30000, we have 1875 and VAT 300, 2785 is withheld,"
        " the merchant has 90040; a lost dispute costs 50000"
    )


def test_what_is_wrong_is_said_in_one_line(gateway: Here, config: Path, asha: str, schedule: Path) -> None:
    gateway("fees", "add", schedule, *of(config))

    def complaint(*arguments: str | Path) -> str:
        finished = gateway("fees", *arguments, *of(config))
        assert finished.code == 2
        return finished.complaint()

    unknown = "schedule: expected the id or the name of a fee schedule, got 'other'"
    assert complaint("show", "other") == complaint("assign", asha, "other") == unknown
    for command in (("assign", "JUMA", "standard"), ("unassign", "JUMA")):
        assert complaint(*command).startswith("merchant: expected the id or the keyword")
    assert complaint("show", "standard", "--amount", "0").startswith("amount: expected 1 to ")
    assert complaint("add", schedule.parent / "none.toml").endswith("cannot be read: No such file or directory")
    schedule.write_text("name =", encoding="utf-8")
    assert "expected TOML" in complaint("add", schedule)
    schedule.write_text(EXAMPLE.replace("= 1600", "= 16000"), encoding="utf-8")
    assert "vat_basis_points" in complaint("add", schedule)
    schedule.write_text(EXAMPLE.replace("standard", "dollars").replace("KES", "USD", 1), encoding="utf-8")
    gateway("fees", "add", schedule, *of(config))
    assert complaint("assign", asha, "dollars") == (
        "schedule: expected rates for every carrier, dollars version 1 has none for acme (KES)"
    )
