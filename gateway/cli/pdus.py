"""`gateway pdu decode`: the octets of a PDU as the fields of SMPP 3.4, by the codec that the link itself uses.

As strict as the wire: what it would refuse is an error here, with what was expected and what can be read of the header.
"""

from typing import Final

from carriers.smpp.wire.codec import Pdu, ProtocolError, decode, frame_header
from carriers.smpp.wire.concat import message_octets
from carriers.smpp.wire.tables import (
    COMMAND_NAMES,
    FRAME_OCTETS_MAX,
    FRAME_OCTETS_MIN,
    LAYOUTS,
    Kind,
    Status,
    Tlv,
    status_name,
)
from gateway.cli.lines import Answer, Unreadable
from gateway.core.gsm import decode_text

_BETWEEN: Final = str.maketrans("", "", " \t\r\n:")
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def explain_pdu(text: str) -> Answer:
    """*text*, the hexadecimal form of one PDU, as its fields. Raise Unreadable."""
    return explain_frame(_octets(text))


def explain_frame(frame: bytes) -> Answer:
    """The fields of one PDU: C-octet strings as text, octet strings as hex. Raise Unreadable."""
    header = _header(frame)
    if not FRAME_OCTETS_MIN <= len(frame) <= FRAME_OCTETS_MAX:
        expected = f"expected a PDU of {FRAME_OCTETS_MIN} to {FRAME_OCTETS_MAX} octets, got {len(frame)}"
        raise Unreadable(expected, header)
    try:
        pdu = decode(frame)
    except ProtocolError as fault:
        raise Unreadable(_expected(fault, frame), header) from fault
    row = {**header, **_fields(pdu)}
    if pdu.tlv_error is not None:
        raise Unreadable(f"expected whole TLVs behind the fields of {pdu.command}: {pdu.tlv_error}", row)
    return row


def _octets(text: str) -> bytes:
    digits = text.translate(_BETWEEN)
    stranger = next((character for character in digits if character not in _HEX), None)
    if stranger is not None:
        raise Unreadable(f"expected hexadecimal digits, blanks and colons, got {stranger!a}", {})
    if len(digits) % 2 or not digits:
        raise Unreadable(f"expected two hexadecimal digits for each octet of a PDU, got {len(digits)}", {})
    return bytes.fromhex(digits)


def _header(frame: bytes) -> Answer:
    if len(frame) < FRAME_OCTETS_MIN:
        return {}
    length, code, status, sequence = frame_header(frame)
    return {
        "command": COMMAND_NAMES.get(code, f"0x{code:08X}"),
        "command_length": length,
        "command_status": status,
        "command_status_name": status_name(status),
        "sequence_number": sequence,
    }


def _expected(fault: ProtocolError, frame: bytes) -> str:
    length = frame_header(frame)[0]
    if length != len(frame):
        return f"expected as many octets as command_length says, {length}, got {len(frame)}"
    if fault.status == Status.RINVCMDID:
        return f"expected a command of SMPP 3.4 that the gateway speaks: {fault.reason}"
    return f"expected the fields of {fault.command} as SMPP 3.4 has them: {fault.reason}"


def _fields(pdu: Pdu) -> Answer:
    row: Answer = {}
    for name, kind, _ in LAYOUTS[pdu.command] if pdu.fields else ():
        if kind is Kind.INTEGER:
            row[name] = pdu.integer(name)
        elif kind is Kind.C_STRING:
            row[name] = pdu.octets(name).decode("latin-1")
        else:
            row["sm_length"] = len(pdu.octets(name))
            row[name] = pdu.octets(name).hex()
    row["tlvs"] = [[tag, value.hex()] for tag, value in pdu.tlvs]
    if "short_message" in pdu.fields or pdu.tlv(Tlv.MESSAGE_PAYLOAD) is not None:
        octets = message_octets(pdu)
        whole = pdu.octets("short_message") or pdu.tlv(Tlv.MESSAGE_PAYLOAD) or b""
        if len(octets) < len(whole):
            row["udh"] = whole[: len(whole) - len(octets)].hex()
        row["text"] = decode_text(octets, pdu.integer("data_coding"))
    return row
