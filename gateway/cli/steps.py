"""The nine steps of a payment as lines of text: the demo and `gateway payment show` print them alike."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

ROW: Final = "  {:<6}{:<20}{:<10}{:<15}{}"


def step_lines(steps: Iterable[Mapping[str, Any]]) -> list[str]:  # Any: JSON of the API's `Step`.
    """A head and a line for each step; the terminal breaks what is too long, so that it can be copied."""
    lines = [ROW.format("step", "what", "who", "at", "detail")]
    lines += [
        ROW.format(step["number"], step["name"], step["who"], clock(step["at"]), step["detail"] or "") for step in steps
    ]
    return [line.rstrip() for line in lines]


def clock(at: str | None) -> str:
    """`10:15:30.123` of an RFC 3339 time, `-` of none."""
    return (at or "-")[11:23] or "-"
