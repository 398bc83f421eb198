"""Rate limits: token buckets in this process's memory, one a key, and one an address for keys that nobody knows.

No lock, no wait, no database: with several processes each has buckets of its own. What protects money is elsewhere.
"""

import math
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.engine.buckets import Buckets, network
from merchants.problems import Refused

POLICY_HEADER: Final = "RateLimit-Policy"
LEFT_HEADER: Final = "RateLimit"


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is let in; 0 switches a limit off."""

    rate_per_s: float = 100.0
    burst: int = 200
    unknown_keys_per_min: int = 20


class KeyRates:
    """How often each key may ask."""

    def __init__(self, limits: RateLimits, now_s: Callable[[], float]) -> None:
        self._buckets = Buckets(limits.rate_per_s, limits.burst, now_s)
        self.policy = f'"default";q={limits.burst};w={math.ceil(limits.burst / limits.rate_per_s)}'
        """The header `RateLimit-Policy`: so many in so many seconds."""
        self.refused = 0

    def take(self, key_id: str) -> float:
        """How many requests are left to the key; negative: none, and this one is to be refused."""
        return self._buckets.take(key_id)

    def refusal(self, left: float) -> Refused:
        self.refused += 1
        return _rate_limited(self._buckets.wait_s(left))

    def shown(self, left: float) -> str:
        """The header `RateLimit`: what is left, and after how many seconds nothing is missing."""
        whole = max(0, int(left))
        return f'"default";r={whole};t={math.ceil((self._buckets.burst - left) / self._buckets.rate_per_s)}'


class Strangers:
    """How often an address may come with a key that this process has never seen."""

    def __init__(self, per_min: int, now_s: Callable[[], float]) -> None:
        self._buckets = Buckets(per_min / 60, per_min, now_s) if per_min else None

    def expect_room(self, address: str) -> None:
        """Count a key that is not known. Raise Refused when there were too many."""
        if self._buckets is None:
            return
        left = self._buckets.take(network(address))
        if left < 0:
            raise _rate_limited(self._buckets.wait_s(left))

    def was_known(self, address: str) -> None:
        """The key was good after all."""
        if self._buckets is not None:
            self._buckets.give_back(network(address))


def _rate_limited(retry_after_s: int) -> Refused:
    return Refused("rate_limited", headers={"Retry-After": str(retry_after_s)})
