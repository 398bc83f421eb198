"""Sees every connect and every look-up of this process where Python makes them, and stops those that may not be.

An audit hook cannot be taken out again, so there is one for all tests, which sleeps while nobody spies.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Spy:
    """What was seen."""

    allowed_ports: frozenset[int]
    """On this machine; everything else is refused before a packet leaves."""
    connects: list[tuple[str, int]] = field(default_factory=list)
    """Those to other places than allowed ones, and those to allowed ones in `reached`."""
    reached: list[int] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)

    def see(self, event: str, args: tuple[Any, ...]) -> None:  # Any: what the event carries.
        if event == "socket.getaddrinfo":
            self.lookups.append(str(args[0]))
        elif event == "socket.connect" and isinstance(args[1], tuple):
            host, port = args[1][:2]
            if host == "127.0.0.1" and port in self.allowed_ports:
                self.reached.append(port)
                return
            self.connects.append((host, port))
            raise ConnectionRefusedError("stopped by the spy")


_spies: list[Spy] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:  # Any: what the event carries.
    if _spies and event in ("socket.connect", "socket.getaddrinfo"):
        for spy in _spies:
            spy.see(event, args)


sys.addaudithook(_hook)


@contextmanager
def spying(*allowed_ports: int) -> Iterator[Spy]:
    """Watch for as long as the block lasts."""
    spy = Spy(frozenset(allowed_ports))
    _spies.append(spy)
    try:
        yield spy
    finally:
        _spies.remove(spy)
