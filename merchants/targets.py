"""Where a webhook may go: https, public addresses, looked up once and connected to as checked (no rebinding).

The look-up belongs to the one who sends; a name that points into a private network is refused at each try.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

PORTS: Final = (443, 8443)
LOOKUP_TIMEOUT_S: Final = 5.0
# How long a checked address is good for; a shop that moves is reached at its new place soon enough.
CHECKED_FOR_S: Final = 30.0
CHECKED_MAX: Final = 10_000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class NoTarget(Exception):
    """The host cannot be looked up, or what it points to may not be connected to."""


def is_public(address: Address) -> bool:
    """Whether *address*, and the IPv4 address that it may wrap, is a global unicast one."""
    inner = _wrapped(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _wrapped(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[12:])
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of *host*, as the system's resolver gives them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(where[0]) for *_, where in found]


class Targets:
    """Checked addresses by host and port."""

    def __init__(self, lookup: Resolve, now_s: Callable[[], float]) -> None:
        self._lookup = lookup
        self._now_s = now_s
        self._checked: dict[tuple[str, int], tuple[float, str]] = {}

    async def address(self, url: str) -> tuple[str, int]:
        """Where to connect for *url*. Raise NoTarget."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        if parts.scheme != "https" or port not in PORTS:
            raise NoTarget("only https on port 443 or 8443 is called")
        known = self._checked.get((host, port))
        if known is None or known[0] < self._now_s():
            if len(self._checked) >= CHECKED_MAX:
                self._checked.clear()
            known = (self._now_s() + CHECKED_FOR_S, await self._look_up(host, port))
            self._checked[host, port] = known
        return known[1], port

    async def _look_up(self, host: str, port: int) -> str:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                addresses = await self._lookup(host, port)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise NoTarget(f"the host cannot be looked up: {error}") from error
        # One private address among public ones is a trick or a mistake; either way nothing is sent.
        if not addresses or not all(is_public(ipaddress.ip_address(address)) for address in addresses):
            raise NoTarget("the host has no public address")
        return addresses[0]
