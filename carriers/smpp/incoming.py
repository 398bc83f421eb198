"""What a link wants of whoever takes the SMSC's requests, and the answers that are owed for them."""

from collections.abc import Callable
from typing import Final, Protocol

from carriers.smpp.wire.events import Role
from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.rules import PUT_OFF

NOT_NOW: Final = PUT_OFF[Role.ESME]


class Owed:
    """An answer that we owe the SMSC."""

    __slots__ = ("command", "is_held", "is_reply", "octets", "sequence", "ton")

    def __init__(self, pdu: Pdu) -> None:
        self.command = pdu.command
        self.sequence = pdu.sequence
        self.ton = pdu.integer("source_addr_ton")
        self.is_held = True
        """It waits for other parts of its text. False: its answer was given, or depends on a delivery."""
        self.is_reply = False
        """It brought what a phone's owner wrote."""
        self.octets = b""
        """What was read, masked, if it brought one."""


Answer = Callable[[Owed, int], None]
"""Gives an answer, with its status; once for each."""


class Incoming(Protocol):
    """Takes what one bind brings. Time is an argument."""

    def receive(self, pdu: Pdu, now: float) -> None:
        """A request of the SMSC's."""
        ...

    def close(self) -> None:
        """The bind is about to end."""
        ...

    def next_deadline(self) -> float | None:
        """When `advance` has something to do."""
        ...

    def advance(self, now: float) -> None: ...
