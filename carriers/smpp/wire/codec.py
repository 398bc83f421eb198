"""PDUs to octets and back, and octets into frames.

Strict both ways: what does not fit is refused with the status that the specification has for it, never cut, and every
fault of a peer becomes one `ProtocolError`. Driven by `tables`; nothing of the library behind them is called here.
Sessions, time and text alphabets are not its business.
"""

import re
import struct
from typing import Final

from carriers.smpp.wire.pdu import Pdu, ProtocolError
from carriers.smpp.wire.tables import (
    COMMAND_IDS,
    COMMAND_NAMES,
    FRAME_OCTETS_MAX,
    FRAME_OCTETS_MIN,
    LAYOUTS,
    RESPONSE_BIT,
    TEXT_OCTETS_MAX,
    Field,
    Kind,
    Status,
)

__all__ = ["Framer", "Pdu", "ProtocolError", "decode", "encode", "frame_header"]

_HEADER: Final = struct.Struct(">IIII")
_TLV: Final = struct.Struct(">HH")
_LENGTH: Final = struct.Struct(">I")
_TLV_OCTETS_MAX: Final = 0xFFFF
_TIME_OCTETS: Final = 16
_TIMES: Final = frozenset({"schedule_delivery_time", "validity_period", "final_date"})

# A string that is too long is that field's fault; any other broken body is one of length.
_STATUS_OF_FIELD: Final = {
    "source_addr": Status.RINVSRCADR,
    "destination_addr": Status.RINVDSTADR,
    "message_id": Status.RINVMSGID,
    "service_type": Status.RINVSERTYP,
    "schedule_delivery_time": Status.RINVSCHED,
    "validity_period": Status.RINVEXPIRY,
    "system_id": Status.RINVSYSID,
    "password": Status.RINVPASWD,
    "system_type": Status.RINVSYSTYP,
    "short_message": Status.RINVMSGLEN,
}

# A reply or an answer must not be lost for a bad tag behind it; a submit_sm with one is its sender's fault.
_KEEPS_GOOD_TLVS: Final = frozenset({"deliver_sm", "data_sm", "alert_notification"})

# SMPP 3.4 §4.1.2 and §4.4.2: the body is not returned with an error status.
_BODILESS_ON_ERROR: Final = frozenset(
    {"bind_transmitter_resp", "bind_receiver_resp", "bind_transceiver_resp", "submit_sm_resp"}
)


def frame_header(frame: bytes) -> tuple[int, int, int, int]:
    """command_length, command_id, command_status, sequence_number of a frame of at least 16 octets."""
    return _HEADER.unpack_from(frame)


def decode(frame: bytes) -> Pdu:
    """One whole frame as a PDU; raise only ProtocolError."""
    size = len(frame)
    if not FRAME_OCTETS_MIN <= size <= FRAME_OCTETS_MAX:
        raise ProtocolError(Status.RINVCMDLEN, f"a frame of {size} octets")
    length, code, status, sequence = _HEADER.unpack_from(frame)
    command = COMMAND_NAMES.get(code)
    if length != size:
        raise ProtocolError(Status.RINVCMDLEN, f"command_length {length} on {size} octets", command, sequence)
    if command is None:
        raise ProtocolError(Status.RINVCMDID, f"unknown command id 0x{code:08X}", None, sequence)
    if (
        size == FRAME_OCTETS_MIN and code & RESPONSE_BIT
    ):  # Many SMSCs leave out the body, some of them without an error.
        return Pdu(command, status, sequence, frame=frame)
    fields: dict[str, int | bytes]
    if command in _MESSAGE_COMMANDS and (match := _MESSAGE.match(frame, FRAME_OCTETS_MIN)) is not None:
        at = match.end()
        stop = at + frame[at - 1]
        if stop > size or stop - at > _TEXT_OCTETS_MAX[command]:
            raise ProtocolError(Status.RINVMSGLEN, f"sm_length {stop - at}", command, sequence)
        fields = _message_fields(match, frame[at:stop])
        at = stop
    else:
        fields, at = _walk(frame, command, sequence)
    if at == size:
        return Pdu(command, status, sequence, fields, frame=frame)
    tlvs, fault = _read_tlvs(frame, at)
    if fault is not None and not (code & RESPONSE_BIT or command in _KEEPS_GOOD_TLVS):
        raise ProtocolError(Status.RINVOPTPARSTREAM, fault, command, sequence)
    return Pdu(command, status, sequence, fields, tlvs, fault, frame=frame)


def _message_pattern(layout: tuple[Field, ...]) -> re.Pattern[bytes]:
    """The layout of submit_sm up to and with sm_length as one expression; what it does not match, `_walk` judges."""
    parts = []
    for field in layout:
        if field.kind is Kind.C_STRING:
            parts.append(b"([^\0]{0,%d})\0" % (field.octets_max - 1))
        else:  # Neighbouring integers share a group; the octet string's place is taken by its length.
            parts.append(b"(.)")
    return re.compile(b"".join(parts).replace(b")(.", b"."), re.DOTALL)


# One octet more than §5.2.21 has is its sender's fault in a submit_sm; a reply is not lost over it.
_TEXT_OCTETS_MAX: Final = {"submit_sm": TEXT_OCTETS_MAX, "deliver_sm": 0xFF}

# The two PDUs that make up the traffic are read by one match instead of a walk: a third of the time.
_MESSAGE_COMMANDS: Final = frozenset({"submit_sm", "deliver_sm"})
_MESSAGE: Final = _message_pattern(LAYOUTS["submit_sm"])
assert LAYOUTS["submit_sm"] == LAYOUTS["deliver_sm"], "one expression reads both"


def _message_fields(match: re.Match[bytes], text: bytes) -> dict[str, int | bytes]:
    service, source, source_addr, dest, destination_addr, modes, schedule, validity, rest = match.groups()
    return {
        "service_type": service,
        "source_addr_ton": source[0],
        "source_addr_npi": source[1],
        "source_addr": source_addr,
        "dest_addr_ton": dest[0],
        "dest_addr_npi": dest[1],
        "destination_addr": destination_addr,
        "esm_class": modes[0],
        "protocol_id": modes[1],
        "priority_flag": modes[2],
        "schedule_delivery_time": schedule,
        "validity_period": validity,
        "registered_delivery": rest[0],
        "replace_if_present_flag": rest[1],
        "data_coding": rest[2],
        "sm_default_msg_id": rest[3],
        "short_message": text,
    }


def _walk(frame: bytes, command: str, sequence: int) -> tuple[dict[str, int | bytes], int]:
    """Field by field; the place after the last one. Names the field that is at fault."""
    at, size = FRAME_OCTETS_MIN, len(frame)
    fields: dict[str, int | bytes] = {}
    for name, kind, octets_max in LAYOUTS[command]:
        if at >= size:
            raise ProtocolError(Status.RINVCMDLEN, f"the body ends before {name}", command, sequence)
        if kind is Kind.INTEGER:
            fields[name] = frame[at]
            at += 1
        elif kind is Kind.C_STRING:
            stop = frame.find(0, at, at + octets_max)
            if stop < 0:
                raise _unclosed(name, size - at < octets_max, command, sequence)
            fields[name] = frame[at:stop]
            at = stop + 1
        else:
            stop = at + 1 + frame[at]
            if stop > size or frame[at] > octets_max:
                raise ProtocolError(Status.RINVMSGLEN, f"sm_length {frame[at]}", command, sequence)
            fields[name] = frame[at + 1 : stop]
            at = stop
    return fields, at


def _unclosed(name: str, at_end: bool, command: str, sequence: int) -> ProtocolError:
    if at_end:
        return ProtocolError(Status.RINVCMDLEN, f"{name} has no closing NUL", command, sequence)
    return ProtocolError(_STATUS_OF_FIELD.get(name, Status.RINVCMDLEN), f"{name} is too long", command, sequence)


def _read_tlvs(frame: bytes, at: int) -> tuple[list[tuple[int, bytes]], str | None]:
    """The good TLVs, and what was wrong with the first bad one."""
    tlvs: list[tuple[int, bytes]] = []
    size = len(frame)
    while at < size:
        if size - at < _TLV.size:
            return tlvs, f"{size - at} octets after the last TLV"
        tag, length = _TLV.unpack_from(frame, at)
        at += _TLV.size
        if at + length > size:
            return tlvs, f"TLV 0x{tag:04X} announces {length} octets, {size - at} are left"
        tlvs.append((tag, frame[at : at + length]))
        at += length
    return tlvs, None


class _Plan:
    """How one command is written: the body as one `%` expression over its values, in the layout's order."""

    __slots__ = ("code", "count", "defaults", "has_text", "integers", "strings", "template")

    def __init__(self, command: str) -> None:
        layout = LAYOUTS[command]
        self.code = COMMAND_IDS[command]
        self.has_text = any(field.kind is Kind.OCTETS for field in layout)
        self.defaults: dict[str, int | bytes] = {}
        pieces = []
        for field in layout:
            if field.kind is Kind.OCTETS:
                self.defaults["sm_length"] = 0
            self.defaults[field.name] = 0 if field.kind is Kind.INTEGER else b""
            pieces.append({Kind.INTEGER: b"%c", Kind.C_STRING: b"%b\0", Kind.OCTETS: b"%c%b"}[field.kind])
        self.template = b"".join(pieces)
        self.count = len(self.defaults)
        self.integers = frozenset(field.name for field in layout if field.kind is Kind.INTEGER)
        self.strings = tuple((field.name, field.octets_max) for field in layout if field.kind is Kind.C_STRING)


_PLANS: Final = {command: _Plan(command) for command in LAYOUTS}


def encode(pdu: Pdu) -> bytes:
    """One frame. Fields that are left out are 0 or empty; raise only ProtocolError."""
    plan = _PLANS.get(pdu.command)
    if plan is None:
        raise ProtocolError(Status.RINVCMDID, f"no command is called {pdu.command!r}", None, pdu.sequence)
    if pdu.status and not pdu.fields and not pdu.tlvs and pdu.command in _BODILESS_ON_ERROR:
        body = b""
    else:
        body = _body(plan, pdu)
    if pdu.tlvs:
        body += _write_tlvs(pdu)
    size = FRAME_OCTETS_MIN + len(body)
    if size > FRAME_OCTETS_MAX:
        raise ProtocolError(Status.RINVCMDLEN, f"a frame of {size} octets", pdu.command, pdu.sequence)
    try:
        return _HEADER.pack(size, plan.code, pdu.status, pdu.sequence) + body
    except (struct.error, TypeError) as trouble:
        raise ProtocolError(
            Status.RINVCMDLEN, "status or sequence is no unsigned 32-bit integer", pdu.command
        ) from trouble


def _body(plan: _Plan, pdu: Pdu) -> bytes:
    fields = pdu.fields
    values = {**plan.defaults, **fields}
    if len(values) != plan.count or "sm_length" in fields:
        unknown = sorted(set(fields) - set(plan.defaults) | (set(fields) & {"sm_length"}))
        raise ProtocolError(Status.RSYSERR, f"{unknown} cannot be set in {pdu.command}", pdu.command, pdu.sequence)
    try:
        for name, value in fields.items():
            if value.__class__ is bytes and name in plan.integers:  # `%c` would take b"a" for 0x61.
                raise TypeError(name)
        for name, octets_max in plan.strings:
            value = values[name]
            # The checker cannot see that a C-string must be bytes: an int or a str ends in the TypeError below.
            if value and (len(value) >= octets_max or 0 in value or name in _TIMES):  # type: ignore[arg-type,operator]
                _check_string(pdu, name, value, octets_max)
        if plan.has_text:
            values["sm_length"] = _text_octets(pdu, values["short_message"])
        return plan.template % tuple(values.values())
    except (TypeError, OverflowError) as trouble:
        raise ProtocolError(Status.RSYSERR, _misfit(plan, values), pdu.command, pdu.sequence) from trouble


def _check_string(pdu: Pdu, name: str, value: object, octets_max: int) -> None:
    if not isinstance(value, bytes):
        raise TypeError(name)  # An int ended there before; this is a str or another stranger.
    status = _STATUS_OF_FIELD.get(name, Status.RSYSERR)
    if len(value) >= octets_max:
        raise ProtocolError(status, f"{name}: {len(value)} octets, {octets_max - 1} at most", pdu.command, pdu.sequence)
    if 0 in value:
        raise ProtocolError(status, f"{name}: a NUL inside", pdu.command, pdu.sequence)
    # §5.2.15 and others: a time is absent or has sixteen characters.
    if name in _TIMES and len(value) != _TIME_OCTETS:
        raise ProtocolError(status, f"{name}: {len(value)} octets instead of {_TIME_OCTETS}", pdu.command, pdu.sequence)


def _text_octets(pdu: Pdu, text: int | bytes) -> int:
    octets_max = next(field.octets_max for field in LAYOUTS[pdu.command] if field.kind is Kind.OCTETS)
    if len(text) > octets_max:  # type: ignore[arg-type]  # As above: an int here ends in a TypeError, caught there.
        raise ProtocolError(
            Status.RINVMSGLEN, f"short_message has more than {octets_max} octets", pdu.command, pdu.sequence
        )
    return len(text)  # type: ignore[arg-type]


def _misfit(plan: _Plan, values: dict[str, int | bytes]) -> str:
    """Which field has a value of the wrong type or size; the slow question after the fast way failed."""
    for name, value in values.items():
        wanted = type(plan.defaults[name])
        if not isinstance(value, wanted) or (isinstance(value, int) and not 0 <= value <= 0xFF):
            return f"{name}: expected {'one octet' if wanted is int else 'bytes'}"
    raise AssertionError("the fields fit and could not be written")


def _write_tlvs(pdu: Pdu) -> bytes:
    parts = []
    for tag, value in pdu.tlvs:
        if type(value) is not bytes or type(tag) is not int or not 0 <= tag <= 0xFFFF:
            raise ProtocolError(Status.RSYSERR, "a TLV is a 16-bit tag and bytes", pdu.command, pdu.sequence)
        if len(value) > _TLV_OCTETS_MAX:
            raise ProtocolError(Status.RSYSERR, f"TLV 0x{tag:04X} is too long", pdu.command, pdu.sequence)
        parts.append(_TLV.pack(tag, len(value)))
        parts.append(value)
    return b"".join(parts)


class Framer:
    """Cuts a stream into frames. Holds less than one frame; a bad length ends it, as the stream is out of step."""

    __slots__ = ("_buffer", "fault")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.fault: ProtocolError | None = None

    @property
    def waiting_octets(self) -> int:
        """Octets of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, octets: bytes) -> list[bytes]:
        """The frames that are now complete. After a bad length `fault` is set and everything later is dropped."""
        if self.fault is not None:
            return []
        buffer = self._buffer
        buffer += octets
        frames: list[bytes] = []
        at, size = 0, len(buffer)
        while size - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if not FRAME_OCTETS_MIN <= length <= FRAME_OCTETS_MAX:
                self.fault = ProtocolError(Status.RINVCMDLEN, f"a frame of {length} octets announced")
                self._buffer = bytearray()
                return frames
            if size - at < length:
                break
            frames.append(bytes(buffer[at : at + length]))
            at += length
        del buffer[:at]
        return frames
