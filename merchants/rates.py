"""Rate limits: token buckets in this process's memory, one a key, and one an address for keys that nobody knows.

No lock, no wait, no database: with several processes each has buckets of its own. What protects money is elsewhere.
"""

import ipaddress
import math
from collections.abc import Callable
from typing import Final

import msgspec

from merchants.problems import Refused

NAMES_MAX: Final = 10_000
POLICY_HEADER: Final = "RateLimit-Policy"
LEFT_HEADER: Final = "RateLimit"
# Who has one IPv6 address has its whole network of 64 bits.
_IPV6_NETWORK_BITS: Final = 64


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is let in; 0 switches a limit off."""

    rate_per_s: float = 100.0
    burst: int = 200
    unknown_keys_per_min: int = 20


class Buckets:
    """Token buckets by name: *burst* at once, *rate_per_s* for ever. When they are too many the oldest goes."""

    def __init__(self, rate_per_s: float, burst: int, now_s: Callable[[], float]) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._now_s = now_s
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> float:
        """Take a token. What is left then; negative if there was none, by as much as is missing."""
        now_s = self._now_s()
        level = self._levels.get(name)
        if level is None:
            if len(self._levels) >= NAMES_MAX:
                del self._levels[next(iter(self._levels))]
            tokens = float(self.burst)
        else:
            tokens = min(self.burst, level[0] + (now_s - level[1]) * self.rate_per_s)
        self._levels[name] = (tokens - 1.0 if tokens >= 1.0 else tokens, now_s)
        return tokens - 1.0

    def give_back(self, name: str) -> None:
        """A token that was taken was not needed."""
        tokens, at_s = self._levels.get(name, (float(self.burst), self._now_s()))
        self._levels[name] = (min(self.burst, tokens + 1.0), at_s)

    def wait_s(self, left: float) -> int:
        """After how many whole seconds there is a token again, 1 at least."""
        return max(1, math.ceil(-left / self.rate_per_s))


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
        left = self._buckets.take(_network(address))
        if left < 0:
            raise _rate_limited(self._buckets.wait_s(left))

    def was_known(self, address: str) -> None:
        """The key was good after all."""
        if self._buckets is not None:
            self._buckets.give_back(_network(address))


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        bits = int(ipaddress.IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return f"{bits >> _IPV6_NETWORK_BITS:x}"


def _rate_limited(retry_after_s: int) -> Refused:
    return Refused("rate_limited", headers={"Retry-After": str(retry_after_s)})
