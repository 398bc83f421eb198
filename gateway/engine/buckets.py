"""Token buckets in this process's memory, one a name: how often somebody may do something.

No lock, no wait, no database: with several processes each has buckets of its own. What protects money is elsewhere.
"""

import ipaddress
import math
from collections.abc import Callable
from typing import Final

NAMES_MAX: Final = 10_000
# Who has one IPv6 address has its whole network of 64 bits.
_IPV6_NETWORK_BITS: Final = 64


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


def network(address: str) -> str:
    """By what an address is counted: some proxies write its port behind it, and IPv4 may come dressed as IPv6."""
    host = address.partition("%")[0]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    if ":" not in host:
        return host
    try:
        ip = ipaddress.IPv6Address(host)
    except ValueError:
        return address
    return str(ip.ipv4_mapped or f"{int(ip) >> _IPV6_NETWORK_BITS:x}")
