"""`gateway explain`: what an error code, a reason, a state or an event type means, and what to do about it."""

from difflib import get_close_matches
from typing import Final

from gateway.cli.lines import Answer, Unreadable
from gateway.core.meanings import EVENT_TYPES, REASONS, STATES
from merchants.problems import CATALOGUE

NEAR_MAX: Final = 3
_NEAR_ENOUGH: Final = 0.5


def explain_code(text: str) -> Answer:
    """What *text*, a code or the `type` of a problem that ends in one, means. Raise Unreadable."""
    code = text.strip().rpartition("#")[2].lower()
    found = CODES.get(code)
    if found is None:
        near = get_close_matches(code, CODES, n=NEAR_MAX, cutoff=_NEAR_ENOUGH)
        meant = f"did you mean {', '.join(near)}?" if near else "docs/api.md lists them"
        raise Unreadable(f"expected an error code, reason, state or event type, got {code[:40]!a}; {meant}")
    return found


def _codes() -> dict[str, Answer]:
    codes: dict[str, Answer] = {}
    for code, row in CATALOGUE.items():
        codes[code] = {"code": code, "kind": "error", **row._asdict(), "link": f"docs/api.md#{code}"}
    for reason, why in REASONS.items():
        codes[reason] = {"code": reason, "kind": "reason", **why._asdict(), "link": "docs/api.md#reasons"}
    for state, meant in STATES.items():
        codes[state] = {"code": state, "kind": "state", **meant._asdict(), "link": "docs/api.md#states"}
    for event, meaning in EVENT_TYPES.items():
        codes[event] = {"code": event, "kind": "event", "meaning": meaning, "link": "docs/api.md#get-v1events"}
    return codes


CODES: Final = _codes()
"""By code; no two kinds share one."""
