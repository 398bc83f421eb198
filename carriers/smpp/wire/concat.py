"""Long messages: headers for the parts we send, and the joining of the parts that phones send.

Octets only: which alphabet they are in is told by data_coding and judged elsewhere. Inbound parts come by user data
header (8-bit or 16-bit reference) or by SAR TLVs, in any order, twice, or never.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.tables import Tlv

PARTS_MAX: Final = 10
"""Longer messages than this are no reply to anything; their parts are handed over one by one."""

_UDH_INDICATOR: Final = 0x40
_CONCAT_8: Final = 0x00  # 3GPP TS 23.040 §9.2.3.24.1
_CONCAT_16: Final = 0x08  # §9.2.3.24.8
_FIRST_PART: Final = 1


def udh_8(reference: int, total: int, number: int) -> bytes:
    """The header of part *number* (from 1) of *total*, with an 8-bit reference."""
    _check_part(reference, 0xFF, total, number)
    return bytes((5, _CONCAT_8, 3, reference, total, number))


def udh_16(reference: int, total: int, number: int) -> bytes:
    """The same with a 16-bit reference."""
    _check_part(reference, 0xFFFF, total, number)
    return bytes((6, _CONCAT_16, 4, reference >> 8, reference & 0xFF, total, number))


def sar_tlvs(reference: int, total: int, number: int) -> list[tuple[int, bytes]]:
    """The same as TLVs, for SMSCs that build the header themselves."""
    _check_part(reference, 0xFFFF, total, number)
    return [
        (Tlv.SAR_MSG_REF_NUM, reference.to_bytes(2, "big")),
        (Tlv.SAR_TOTAL_SEGMENTS, bytes([total])),
        (Tlv.SAR_SEGMENT_SEQNUM, bytes([number])),
    ]


def _check_part(reference: int, reference_max: int, total: int, number: int) -> None:
    if not (0 <= reference <= reference_max and _FIRST_PART <= number <= total <= 0xFF):
        raise ValueError(f"part {number} of {total}, reference {reference}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one PDU brings: its payload without header, and which part of what it is. `total` 1: the whole message."""

    payload: bytes
    data_coding: int
    reference_kind: str = ""
    reference: int = 0
    total: int = 1
    number: int = 1


def read_segment(pdu: Pdu) -> Segment:
    """The payload of a deliver_sm, data_sm or submit_sm. A header that makes no sense is taken off and forgotten."""
    elements, payload = _split_header(pdu)
    data_coding = pdu.integer("data_coding")
    for kind, reference, total, number in _claims(pdu, elements):
        if total > 1 and 1 <= number <= total:
            return Segment(
                payload=payload,
                data_coding=data_coding,
                reference_kind=kind,
                reference=reference,
                total=total,
                number=number,
            )
    return Segment(payload=payload, data_coding=data_coding)


def message_octets(pdu: Pdu) -> bytes:
    """short_message, or message_payload in its place; without a user data header."""
    return _split_header(pdu)[1]


def _split_header(pdu: Pdu) -> tuple[list[tuple[int, bytes]], bytes]:
    octets = pdu.octets("short_message") or pdu.tlv(Tlv.MESSAGE_PAYLOAD) or b""
    if not pdu.integer("esm_class") & _UDH_INDICATOR or not octets:
        return [], octets
    end = octets[0] + 1
    if end > len(octets):  # Announced but not there: better an odd character than no text.
        return [], octets
    return list(_elements(octets[1:end])), octets[end:]


def _elements(header: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(header):
        stop = at + 2 + header[at + 1]
        if stop > len(header):
            return
        yield header[at], header[at + 2 : stop]
        at = stop


def _claims(pdu: Pdu, elements: list[tuple[int, bytes]]) -> Iterator[tuple[str, int, int, int]]:
    """(kind, reference, total, number) as the header and the TLVs have it; the header is nearer to the phone."""
    for element, value in elements:
        if element == _CONCAT_8 and len(value) == 3:
            yield "udh8", value[0], value[1], value[2]
        elif element == _CONCAT_16 and len(value) == 4:
            yield "udh16", int.from_bytes(value[:2], "big"), value[2], value[3]
    tlvs = [pdu.tlv(tag) for tag in (Tlv.SAR_MSG_REF_NUM, Tlv.SAR_TOTAL_SEGMENTS, Tlv.SAR_SEGMENT_SEQNUM)]
    if all(tlvs):
        reference, total, number = (int.from_bytes((value or b"")[:4], "big") for value in tlvs)
        yield "sar", reference, total, number


class Piece(NamedTuple):
    """A run of octets in one alphabet."""

    data_coding: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A message, whole or as much of it as came. `tokens` are those of all PDUs that it was made of."""

    bind: str
    source: bytes
    destination: bytes
    segments: tuple[Segment, ...]
    is_complete: bool
    tokens: tuple[object, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Neighbouring parts of one alphabet run together, so that a character cut between two parts is whole again.

        Not for packed septets, whose parts each end on an octet: decode those segment by segment.
        """
        runs: list[Piece] = []
        last_number = 0
        for segment in self.segments:
            follows = bool(runs) and segment.number == last_number + 1
            if follows and runs[-1].data_coding == segment.data_coding:
                runs[-1] = Piece(segment.data_coding, runs[-1].payload + segment.payload)
            else:
                runs.append(Piece(segment.data_coding, segment.payload))
            last_number = segment.number
        return tuple(runs)


@dataclass(frozen=True, slots=True)
class Repeated:
    """A part of a message that has been handed over: acknowledge it as that message was, unless it was `forget`ten."""

    token: object


_Key = tuple[str, bytes, bytes, str, int, int]


class _Group:
    """The parts of one message so far."""

    __slots__ = ("due", "octets", "parts", "tokens")

    def __init__(self, due: float) -> None:
        self.due = due
        self.octets = 0
        self.parts: dict[int, Segment] = {}
        self.tokens: list[object] = []


class Reassembler:
    """Joins parts per (bind, source, destination, kind of reference, reference, total).

    Bounded: a message that would exceed a bound pushes out the oldest, which is handed over as far as it came. A reply
    of which one part is lost is still a reply: nothing is ever dropped.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 300.0,
        parts_max: int = PARTS_MAX,
        groups_max: int = 10_000,
        octets_max: int = 4 * 1024 * 1024,
    ) -> None:
        self._timeout_s = timeout_s
        self._parts_max = parts_max
        self._groups_max = groups_max
        self._octets_max = octets_max
        self._octets = 0
        self._groups: dict[_Key, _Group] = {}
        self._done: dict[_Key, tuple[float, dict[int, int]]] = {}  # Hashes of the parts: enough to know them again.

    @property
    def waiting(self) -> int:
        """Messages of which a part is missing."""
        return len(self._groups)

    @property
    def waiting_octets(self) -> int:
        """Octets held for them."""
        return self._octets

    def add(self, bind: str, pdu: Pdu, now: float, token: object = None) -> list[Joined | Repeated]:
        """Take a PDU that brings a text. What is complete with it, or had to make room; else its token is held."""
        segment = read_segment(pdu)
        source, destination = pdu.octets("source_addr"), pdu.octets("destination_addr")
        out: list[Joined | Repeated] = list(self.advance(now))
        if segment.total == 1 or segment.total > self._parts_max:
            out.append(_alone(bind, source, destination, segment, token))
            return out
        key: _Key = (bind, source, destination, segment.reference_kind, segment.reference, segment.total)
        if key in self._done:
            if self._done[key][1].get(segment.number) == hash(segment):
                out.append(Repeated(token))
                return out
            del self._done[key]  # The phone's counter came round: a new message under an old reference.
        group = self._groups.get(key)
        if group is not None and group.parts.get(segment.number, segment) != segment:
            out.append(self._hand_over(key))
            group = None
        if group is None:
            group = self._groups[key] = _Group(now + self._timeout_s)
        self._put(group, segment, token)
        if len(group.parts) == segment.total:
            self._done[key] = (group.due, {number: hash(part) for number, part in group.parts.items()})
            out.append(self._hand_over(key))
        out.extend(self._make_room())
        return out

    def advance(self, now: float) -> list[Joined]:
        """Hand over, as far as they came, the messages whose missing parts are not waited for any longer."""
        late = []
        for key, group in self._groups.items():
            if now < group.due:
                break
            late.append(key)
        for key in self._old_done(now):
            del self._done[key]
        return [self._hand_over(key) for key in late]

    def next_deadline(self) -> float | None:
        """When `advance` has something to hand over."""
        return next((group.due for group in self._groups.values()), None)

    def forget(self, joined: Joined) -> None:
        """What was handed over could not be kept: its parts, sent again, are no repetition."""
        part = joined.segments[0]
        key = (joined.bind, joined.source, joined.destination, part.reference_kind, part.reference, part.total)
        self._done.pop(key, None)

    def flush(self) -> list[Joined]:
        """Everything held, at the end."""
        return [self._hand_over(key) for key in list(self._groups)]

    def _put(self, group: _Group, segment: Segment, token: object) -> None:
        group.tokens.append(token)
        if segment.number not in group.parts:
            group.parts[segment.number] = segment
            group.octets += len(segment.payload)
            self._octets += len(segment.payload)

    def _make_room(self) -> Iterator[Joined]:
        while len(self._groups) > self._groups_max or self._octets > self._octets_max:
            yield self._hand_over(next(iter(self._groups)))

    def _old_done(self, now: float) -> Sequence[_Key]:
        over = len(self._done) - self._groups_max
        old = []
        for key, (due, _) in self._done.items():
            if over <= 0 and now < due:
                break
            old.append(key)
            over -= 1
        return old

    def _hand_over(self, key: _Key) -> Joined:
        group = self._groups.pop(key)
        self._octets -= group.octets
        bind, source, destination, _, _, total = key
        return Joined(
            bind=bind,
            source=source,
            destination=destination,
            segments=tuple(group.parts[number] for number in sorted(group.parts)),
            is_complete=len(group.parts) == total,
            tokens=tuple(group.tokens),
        )


def _alone(bind: str, source: bytes, destination: bytes, segment: Segment, token: object) -> Joined:
    return Joined(
        bind=bind,
        source=source,
        destination=destination,
        segments=(segment,),
        is_complete=segment.total == 1,
        tokens=(token,),
    )
