"""docs/api.md is true: it names every state, reason, type, code, route and test number, and no code that is not one."""

import re

import pytest

from gateway.core.meanings import EVENT_TYPES, REASONS, STATES
from gateway.core.payment import EventType, PublicState, Reason
from merchants.problems import CATALOGUE
from merchants.timeline import STEPS
from simulators.faults import MAGIC
from simulators.handsets import MAGIC_BEHAVIOURS
from tests.house.tree import ROOT
from tests.journeys.test_money import OUTCOMES
from tests.merchants.shop import Shop

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
TEST_NUMBERS = PAGE.partition("\n## Test numbers\n")[2].partition("\n## Errors")[0]
FINAL_STATES = frozenset({"succeeded", "failed", "reversed"})


def rows_under(heading: str) -> set[str]:
    """The first cells, in code style, of the table under *heading*."""
    [part] = re.findall(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {
        name for line in re.findall(r"^\| (`[^|]*)\|", part, re.MULTILINE) for name in re.findall(r"`([^`]+)`", line)
    }


def test_every_state_reason_and_event_type_is_explained() -> None:
    assert rows_under("States") - {"status"} == set(PublicState)
    assert rows_under("Reasons") - {"reason"} == set(Reason)
    assert rows_under("Events").union(rows_under("GET /v1/events")) - {"type"} == set(EventType)


def cells_under(heading: str) -> list[list[str]]:
    """The cells of the table under *heading* whose first is in code style, without the head."""
    [part] = re.findall(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\| (`.*) \|$", part, re.MULTILINE)
    return [[cell.strip() for cell in line.split(" |")] for line in lines][1:]


def test_the_meanings_are_repeated_word_for_word() -> None:
    reasons = [[f"`{r}`", row.cause, row.fix, "yes" if row.retryable else "no"] for r, row in REASONS.items()]
    assert cells_under("Reasons") == reasons
    states = [[f"`{s}`", row.meaning, "yes" if row.is_final else ""] for s, row in STATES.items()]
    assert cells_under("States") == states
    events = [[f"`{event}`", meaning] for event, meaning in EVENT_TYPES.items()]
    assert cells_under("GET /v1/events") == events


def test_every_error_code_has_its_heading_and_every_heading_is_a_code() -> None:
    errors = PAGE.partition("\n## Errors\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", errors, re.MULTILINE) == list(CATALOGUE)


@pytest.mark.parametrize("code", CATALOGUE)
def test_the_catalogue_is_repeated_word_for_word(code: str) -> None:
    row = CATALOGUE[code]
    section = PAGE.partition(f"\n### {code}\n")[2].partition("\n#")[0]
    retryable = "retryable" if row.retryable else "not retryable"
    assert f"`{row.status}` · {row.category} · {retryable}. {row.title}." in section
    assert f"- Cause: {row.cause}\n" in section and f"- Fix: {row.fix}\n" in section


async def test_every_route_is_described(sqlite_shop: Shop) -> None:
    paths = (await sqlite_shop.send("GET", "/openapi.json")).json["paths"]
    for path, methods in paths.items():
        for method in methods:
            assert f"{method.upper()} {path}" in PAGE, f"{method.upper()} {path}"


def test_every_test_number_is_listed() -> None:
    # Those of the wallet that prompts by itself stand with it, in docs/simulators.md.
    here = {ending for ending, faults in MAGIC.items() if not any(point.startswith("stk.") for point in faults)}
    assert set(re.findall(r"`(\d{3})`", TEST_NUMBERS)) == here | set(MAGIC_BEHAVIOURS)


def told_outcomes() -> dict[str, tuple[list[str], list[str]]]:
    """By ending: the final states and the reasons that its row names."""
    told = {}
    for endings, outcome in re.findall(r"^\| ((?:`\d{3}` )+)\|[^|]*\|([^|]*)\|$", TEST_NUMBERS, re.MULTILINE):
        named = re.findall(r"`(\w+)`", outcome)
        states = [name for name in named if name in FINAL_STATES]
        for ending in re.findall(r"\d{3}", endings):
            told[ending] = (states, [name for name in named if name in set(Reason)])
    return told


@pytest.mark.parametrize("ending", OUTCOMES)
def test_a_test_number_ends_as_its_row_says(ending: str) -> None:
    """The journeys play it and see the outcome."""
    status, reason, _ = OUTCOMES[ending]
    assert told_outcomes()[ending] == ([status], [] if reason is None else [reason])


def test_every_step_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name, _ in STEPS)
