"""The unit of the wire: one PDU as values, and the one error that reading or writing it can raise.

No bytes are read or written here, and nothing is judged: that is the codec's part.
"""

from dataclasses import dataclass, field
from typing import Final

_SECRET: Final = frozenset({"password", "short_message"})
_ADDRESSES: Final = frozenset({"source_addr", "destination_addr", "esme_addr"})
_HIDDEN: Final = "*****"
_LEGIBLE_OCTETS_MIN: Final = 9
"""Shorter addresses are short codes and sender names: nobody's number."""


@dataclass(slots=True, repr=False)
class Pdu:
    """One PDU. C-octet strings and octet strings are bytes without NUL; `fields` has no `sm_length`.

    TLVs are a list, because tags repeat and vendors invent them.
    """

    command: str
    status: int
    sequence: int
    fields: dict[str, int | bytes] = field(default_factory=dict)
    tlvs: list[tuple[int, bytes]] = field(default_factory=list)
    tlv_error: str | None = None
    """Why the tail after the last good TLV was dropped."""
    body_error: str | None = None
    """Set on a response whose body made no sense: its status still stands, its fields are empty."""
    frame: bytes = field(default=b"", compare=False)
    """The octets that it was read from; empty for one that was made here."""

    def tlv(self, tag: int) -> bytes | None:
        """The value of the first TLV with this tag."""
        for known, value in self.tlvs:
            if known == tag:
                return value
        return None

    def octets(self, name: str) -> bytes:
        """A string field; empty if the PDU has none of that name, as in a response without a body."""
        value = self.fields.get(name, b"")
        return value if isinstance(value, bytes) else b""

    def integer(self, name: str) -> int:
        """An integer field; 0 if the PDU has none of that name."""
        value = self.fields.get(name, 0)
        return value if isinstance(value, int) else 0

    def __repr__(self) -> str:
        """Fit for a log: no password, no text, no TLV value, and of a phone's number only its ends."""
        shown = ", ".join(f"{name}={_legible(name, value)}" for name, value in self.fields.items())
        tags = ", ".join(f"0x{tag:04X}:{len(value)}" for tag, value in self.tlvs)
        return f"<{self.command} {self.sequence} status 0x{self.status:X} {{{shown}}} [{tags}]>"


class ProtocolError(Exception):
    """Bytes that are no PDU, or a PDU that cannot become bytes. `status` is what to answer.

    `command` and `sequence` are None when not even they could be read. The reason never holds a value from the wire.
    """

    def __init__(self, status: int, reason: str, command: str | None = None, sequence: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.command = command
        self.sequence = sequence


def _legible(name: str, value: int | bytes) -> str:
    if isinstance(value, int):
        return str(value)
    if name in _SECRET:
        return f"<{len(value)} octets>"
    text = value.decode("latin-1")
    if name in _ADDRESSES and len(text) >= _LEGIBLE_OCTETS_MIN:
        return f"{text[:4]}{_HIDDEN}{text[-2:]}"
    return repr(text)
