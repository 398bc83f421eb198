"""How fast and how soon: the submit rate, the pause of a throttled bind, the pause before the next connection.

Time and chance are arguments.
"""

from typing import Final

from carriers.smpp.settings import Settings
from carriers.smpp.wire.tables import Status

# A bucket of a full second would let twice the rate through within one second of the SMSC's clock.
BURST_S: Final = 0.1

THROTTLES: Final = frozenset({Status.RTHROTTLED, Status.RMSGQFUL})

# A wrong name or password is a person's mistake: some SMSCs lock an account that keeps trying.
CREDENTIALS: Final = frozenset({Status.RINVPASWD, Status.RINVSYSID})

# A link that lasted this long was a good one, so the next failure is the first again.
STABLE_AFTER_S: Final = 10.0
JITTER: Final = 0.5


class TokenBucket:
    """At most *rate* tokens a second, and a short burst after a silence."""

    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._size = self._tokens = max(1.0, rate * BURST_S)
        self._at = now

    def take(self, now: float) -> bool:
        """One token, if there is one."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def next_at(self) -> float:
        """When there is one again."""
        return self._at + max(0.0, 1.0 - self._tokens) / self._rate


class Throttle:
    """The whole bind pauses when the SMSC says that it is too much, longer each time until a text is taken."""

    __slots__ = ("_max_s", "_pause_s", "_start_s", "until")

    def __init__(self, settings: Settings) -> None:
        self._start_s = self._pause_s = settings.throttle_pause_s
        self._max_s = settings.throttle_pause_max_s
        self.until = 0.0

    def struck(self, now: float) -> None:
        """A throttling status came. Those of one window come together and count once."""
        if now < self.until:
            return
        self.until = now + self._pause_s
        self._pause_s = min(self._max_s, self._pause_s * 2)

    def relieved(self) -> None:
        """A text was taken."""
        self._pause_s = self._start_s


class Backoff:
    """The pause before the next connection."""

    __slots__ = ("_failures", "_max_s", "_start_s")

    def __init__(self, settings: Settings) -> None:
        self._start_s = settings.reconnect_delay_s
        self._max_s = settings.reconnect_delay_max_s
        self._failures = 0

    def next_delay_s(self, *, bound_for_s: float, bind_status: int, chance: float) -> float:
        """*chance* from 0 to 1 spreads the connections of many gateways over the second half of the pause."""
        if bound_for_s >= STABLE_AFTER_S:
            self._failures = 0
        delay_s = min(self._max_s, self._start_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        if bind_status in CREDENTIALS:
            delay_s = self._max_s
        return delay_s * (1.0 - JITTER * chance)
