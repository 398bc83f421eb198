"""Named points at which a test may kill this process, to prove that nothing is lost or doubled there.

A point does nothing unless the process was started with `GATEWAY_FAILPOINT=name:k` (die at the k-th pass). A gateway
that serves live keys refuses to start with it set: see `refuse_in_live_mode`.
"""

import os
import signal
from typing import Final

ACTIONS: Final = ("ask", "reply", "charge", "webhook", "reversal")
PLACES: Final = ("before_commit", "after_commit", "before_first_byte", "after_first_byte", "after_answer")
# To a reply we give the answer ourselves. A push is an ask, and is committed as one.
NAMES: Final = frozenset(
    {f"{action}.{place}" for action in ACTIONS for place in PLACES} - {"reply.after_answer"}
    | {f"push.{place}" for place in PLACES if not place.endswith("_commit")}
)

_armed: str | None = None
_passes_left = 0


def arm(setting: str | None) -> None:
    """Arm the one point named in *setting* (`name:k`); None disarms. Raise ValueError on a name that does not exist."""
    global _armed, _passes_left
    if not setting:
        _armed = None
        return
    name, _, count = setting.partition(":")
    if name not in NAMES:
        raise ValueError(f"fail-point {name!r} does not exist; expected one of {', '.join(sorted(NAMES))}")
    _armed, _passes_left = name, int(count or "1")


def refuse_in_live_mode() -> None:
    """Raise RuntimeError if a point is armed; the composition root calls it before it serves a live key."""
    if _armed is not None:
        raise RuntimeError(f"fail-point {_armed} is armed; fail-points do not exist in live mode")


def hit(name: str) -> None:
    """Pass the point *name*; die here with SIGKILL if it is the armed one and its count is used up."""
    global _passes_left
    if _armed is None or name != _armed:
        return
    _passes_left -= 1
    if _passes_left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
