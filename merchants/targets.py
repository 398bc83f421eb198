"""Where a webhook may go: https, public addresses, looked up once and connected to as checked (no rebinding).

`wrong_link` judges what a link says by itself; the look-up belongs to the one who sends, and a name that points into a
private network is refused at each try. What is public is said here, range by range: the standard library's
`is_global` differs from one Python to the next, and takes site-local addresses and tunnels for public ones.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import SplitResult, urlsplit

PORTS: Final = (443, 8443)
LOOKUP_TIMEOUT_S: Final = 5.0
LOOKUP_THREADS_MAX: Final = 64
# How long a checked address is good for; a shop that moves is reached at its new place soon enough.
CHECKED_FOR_S: Final = 30.0
CHECKED_MAX: Final = 10_000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

# IANA's special-purpose registries, RFC 6890 and after, and the one public address that is a cloud's inside.
_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
    )
)
_UNICAST_6: Final = ipaddress.IPv6Network("2000::/3")
# Within it: protocols (Teredo among them), documentation, 6to4.
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
# Networks without IPv4 of their own reach it so; what counts is the address inside.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

# The last label begins with a letter, as every top-level domain does: what ends in a number is read as an IPv4 address
# by some (127.1, 0x7f.1, 2130706433).
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME_CHARACTERS_MAX: Final = 253
_INSIDE: Final = (".local", ".localhost", ".localdomain", ".internal", ".home.arpa")


class NoTarget(Exception):
    """The host cannot be looked up, or what it points to may not be connected to."""


def is_public(address: Address) -> bool:
    """Whether *address* is a global unicast one that belongs to nobody's inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(address.packed[12:]))
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


# RFC 3986, section 2: what may stand in a URI; everything else is written with %.
_URI: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")


def wrong_link(url: str, *, development: bool) -> str:
    """What keeps *url* from being called, as far as can be said without a look-up; empty: nothing."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "expected a link"
    if _URI.fullmatch(url) is None or not host:
        return "expected an absolute link, with only the characters that a URI may have"
    if parts.username is not None or parts.password is not None or "#" in url:
        return "expected neither credentials nor a fragment"
    if development:
        return "" if parts.scheme in ("http", "https") else "expected http or https"
    if parts.scheme != "https" or (443 if port is None else port) not in PORTS:
        return "expected https on port 443 or 8443"
    return "" if _may_be_public(host, parts) else "expected a public host, by name or by address"


def _may_be_public(host: str, parts: SplitResult) -> bool:
    if "[" in parts.netloc:
        return _is_public_text(host)
    if host.replace(".", "").isdigit():
        return _is_public_text(host)
    is_name = _NAME.fullmatch(host) is not None and len(host) <= _NAME_CHARACTERS_MAX
    return is_name and not host.endswith(_INSIDE)


def _is_public_text(text: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(text))
    except ValueError:
        return False


class Resolver:
    """The system's resolver, in threads of its own: a name server that does not answer holds one for half a minute.

    The loop's own threads are few; a handful of such names would keep everybody's look-ups waiting.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS_MAX, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of *host*. Raise OSError."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [str(where[0]) for *_, where in found]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Targets:
    """Checked addresses by link."""

    def __init__(self, lookup: Resolve, now_s: Callable[[], float]) -> None:
        self._lookup = lookup
        self._now_s = now_s
        self._checked: dict[str, tuple[float, tuple[str, int]]] = {}

    async def address(self, url: str) -> tuple[str, int]:
        """Where to connect for *url*. Raise NoTarget."""
        known = self._checked.get(url)
        if known is None or known[0] < self._now_s():
            wrong = wrong_link(url, development=False)
            if wrong:  # It was stored in development mode, or by older rules.
                raise NoTarget(wrong)
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or PORTS[0]
            if len(self._checked) >= CHECKED_MAX:
                self._checked.clear()
            known = (self._now_s() + CHECKED_FOR_S, (await self._look_up(host, port), port))
            self._checked[url] = known
        return known[1]

    async def _look_up(self, host: str, port: int) -> str:
        addresses: list[str] = []
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                addresses = await self._lookup(host, port)
        except (OSError, TimeoutError, UnicodeError):
            pass
        # One private address among public ones is a trick or a mistake; either way nothing is sent. A name that is not
        # known gets the same words: whoever names hosts must not learn which of them exist inside.
        if not addresses or not all(_is_public_text(address) for address in addresses):
            raise NoTarget("the host cannot be looked up, or it has an address that is not public")
        return addresses[0]
