"""Makes docs/states.md out of `table.csv`: `python -m tests.core.states_page > docs/states.md`."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from gateway.core.payment import PUBLIC_STATES, State

TABLE = Path(__file__).with_name("table.csv")
HEAD = """# The payment's states

Every state against every event, as the code decides it and a hand-written table says it (`tests/core/table.csv`, which
the tests hold against the code cell by cell). Made by `python -m tests.core.states_page`; a test fails if it is old.

*same*: a fact that moves nothing and stands in the timeline. *ignored*: it may be dropped, with a reason. *break*: a
fact of the carrier that nobody expects; a person must look. What has no row is ignored or a break.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(State(state), rows) for state, rows in _by_state())


def _by_state() -> Iterator[tuple[str, list[dict[str, str]]]]:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: list(State).index(State(row["state"])))
    for state, of_state in itertools.groupby(rows, key=lambda row: row["state"]):
        yield state, [row for row in of_state if row["next"] not in ("ignored", "break") or row["variant"]]


def _section(state: State, rows: list[dict[str, str]]) -> str:
    lines = [f"| {_event(row)} | {row['next']} | {row['effects']} |" for row in rows]
    head = "| event | next | what is done |\n|-------|------|--------------|"
    return f"\n## {state}\n\nThe merchant sees `{PUBLIC_STATES[state]}`.\n\n{head}\n" + "\n".join(lines) + "\n"


def _event(row: dict[str, str]) -> str:
    return row["event"] + (f", {row['variant']}" if row["variant"] else "")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - it is what this is for
