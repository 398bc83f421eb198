"""The clocks of a process: what time it is for payments, and how long something has truly taken.

`Clock` never goes back, even if the machine's clock is set back. Its offset moves time forward in tests and in test
mode; the store adds the same offset to the database's clock. Deadlines inside a payment are judged by the database's
clock at the batch, never by this one: here it only says when to look.
"""

import time
from collections.abc import Callable


def wall_ms() -> int:
    """The machine's clock, milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


# A lease must not outlive a suspended machine: Linux' monotonic clock stands still while it sleeps, this one does not.
_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds on a clock that nobody sets and no sleep of the machine stops; good for differences only."""
    return time.clock_gettime(_STEADY_CLOCK)


class Clock:
    """Milliseconds since 1970 UTC that never go back."""

    def __init__(self, wall_ms: Callable[[], int] = wall_ms) -> None:
        self._wall_ms = wall_ms
        self._latest_ms = 0
        self._offset_ms = 0

    @property
    def offset_ms(self) -> int:
        """How far this clock was moved forward; read by the writer's thread too."""
        return self._offset_ms

    def now_ms(self) -> int:
        """The time now, or the latest time ever told if the machine's clock stands behind it."""
        self._latest_ms = max(self._latest_ms, self._wall_ms() + self._offset_ms)
        return self._latest_ms

    def advance(self, seconds: float) -> None:
        """Move time forward; for tests and test mode."""
        assert seconds >= 0, f"time does not go back: {seconds} s"
        self._offset_ms += round(seconds * 1000)
