"""What the SMSC keeps: texts on their way to phones, joined from parts, and what it hands to an ESME.

Headers of parts and receipt texts are read and written here on purpose, not by the wire's own parser: the gateway must
understand an SMSC that was written by somebody else.
"""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from gateway.core.gsm import decode_text, segment

PARTS_WAITING_MAX = 100_000
E164_DIGITS_MIN = 7
ESM_UDH = 0x40
ESM_RECEIPT = 0x04
TLV_RECEIPTED_MESSAGE_ID = 0x001E
TLV_MESSAGE_STATE = 0x0427
TLV_MESSAGE_PAYLOAD = 0x0424
TLV_SAR_REFERENCE = 0x020C
TLV_SAR_TOTAL = 0x020E
TLV_SAR_NUMBER = 0x020F
TON_INTERNATIONAL, NPI_ISDN = 1, 1
IE_CONCAT_8, IE_CONCAT_16 = 0x00, 0x08
RECEIPT_EXCERPT_LENGTH = 20


class MessageIds(StrEnum):
    """How the ids look; `mixed` is hex in responses and TLV, zero-padded decimal in the receipt's text."""

    DECIMAL = "decimal"
    HEX = "hex"
    MIXED = "mixed"


class State(StrEnum):
    """Message states by their name in a receipt's text."""

    ENROUTE = "ENROUTE"
    DELIVERED = "DELIVRD"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    UNDELIVERABLE = "UNDELIV"


# SMPP 3.4 section 5.2.28.
STATE_OCTETS = {State.ENROUTE: 1, State.DELIVERED: 2, State.EXPIRED: 3, State.DELETED: 4, State.UNDELIVERABLE: 5}
# Free text of the operator; what matters is that it is not always zero.
STATE_ERRORS = {State.DELIVERED: "000", State.EXPIRED: "027", State.DELETED: "000", State.UNDELIVERABLE: "001"}


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """A submit_sm or data_sm as it came."""

    command: str
    system_id: str
    sequence: int
    source: str
    destination: str
    esm_class: int
    data_coding: int
    registered: int
    validity: str
    octets: bytes
    """Short message or payload, user data header included."""
    tlvs: dict[int, bytes]


class Message(msgspec.Struct, kw_only=True):
    """One accepted PDU: a whole text or one part of it."""

    number: int
    system_id: str
    source: str
    msisdn: str
    registered: int
    data_coding: int
    body: bytes
    part: tuple[int, int, int] | None
    """(reference, total, number)"""
    accepted: datetime
    expires: datetime | None
    state: State = State.ENROUTE
    ended: datetime | None = None


class Deliver(msgspec.Struct, kw_only=True):
    """A deliver_sm to hand to an ESME: an MO, or a part of one, or a receipt, or a step of a USSD session."""

    kind: str
    """mo, receipt or ussd"""
    number: int
    """The MO's own number, or that of the message that the receipt is about, or of the session."""
    system_id: str
    source: str
    destination: str
    esm_class: int
    data_coding: int
    octets: bytes
    tlvs: tuple[tuple[int, bytes], ...] = ()
    service_type: str = ""
    attempts: int = 0


def msisdn_of(submit: Submit) -> str:
    digits = submit.destination.lstrip("+")
    return f"+{digits}" if digits.isdigit() and len(digits) >= E164_DIGITS_MIN else submit.destination


def message_id(number: int, ids: MessageIds) -> str:
    return str(number) if ids is MessageIds.DECIMAL else f"{number:x}"


def split_header(submit: Submit) -> tuple[tuple[int, int, int] | None, bytes]:
    """The part's place, from the user data header or the SAR TLVs, and the body without the header."""
    octets = submit.octets
    if submit.esm_class & ESM_UDH and octets and octets[0] < len(octets):
        end = octets[0] + 1
        return _part_in(octets[1:end]), octets[end:]
    tlvs = submit.tlvs
    reference, total, number = (tlvs.get(tag) for tag in (TLV_SAR_REFERENCE, TLV_SAR_TOTAL, TLV_SAR_NUMBER))
    if reference and total and number:
        return (int.from_bytes(reference), total[0], number[0]), octets
    return None, octets


def _part_in(header: bytes) -> tuple[int, int, int] | None:
    at = 0
    while at + 2 <= len(header):
        element, length = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + length]
        if element == IE_CONCAT_8 and len(value) == 3:
            return value[0], value[1], value[2]
        if element == IE_CONCAT_16 and len(value) == 4:
            return int.from_bytes(value[:2]), value[2], value[3]
        at += 2 + length
    return None


class Joiner:
    """Collects parts for the handset; one text comes out when the last part is in."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, str, int, int], dict[int, bytes]] = {}

    def add(self, message: Message) -> str | None:
        """The whole text, or None while parts are missing."""
        if message.part is None or message.part[1] <= 1:
            return decode_text(message.body, message.data_coding)
        reference, total, number = message.part
        key = (message.system_id, message.source, message.msisdn, reference, total)
        parts = self._waiting.setdefault(key, {})
        parts[number] = message.body
        if len(parts) < total:
            if len(self._waiting) > PARTS_WAITING_MAX:
                del self._waiting[next(iter(self._waiting))]
            return None
        del self._waiting[key]
        # Joined before decoding: some ESMEs tear a surrogate pair, and real phones mend it.
        return decode_text(b"".join(parts[at] for at in sorted(parts)), message.data_coding)


def receipt_of(message: Message, ids: MessageIds) -> Deliver:
    """The receipt about a message, in text and in TLVs."""
    shown = message_id(message.number, ids)
    in_text = f"{message.number:010d}" if ids is MessageIds.MIXED else shown
    delivered = 1 if message.state is State.DELIVERED else 0
    ended = message.ended or datetime.now(UTC)
    excerpt = decode_text(message.body[:RECEIPT_EXCERPT_LENGTH], message.data_coding)
    text = (
        f"id:{in_text} sub:001 dlvrd:{delivered:03d} submit date:{message.accepted:%y%m%d%H%M} "
        f"done date:{ended:%y%m%d%H%M} stat:{message.state} err:{STATE_ERRORS.get(message.state, '000')} text:{excerpt}"
    )
    tlvs = (
        (TLV_RECEIPTED_MESSAGE_ID, shown.encode() + b"\0"),
        (TLV_MESSAGE_STATE, bytes([STATE_OCTETS[message.state]])),
    )
    return Deliver(
        kind="receipt",
        number=message.number,
        system_id=message.system_id,
        source=message.msisdn,
        destination=message.source,
        esm_class=ESM_RECEIPT,
        data_coding=0,
        octets=text.encode("ascii", "replace"),
        tlvs=tlvs,
    )


_references = itertools.count(1)


def mo_parts(*, number: int, system_id: str, msisdn: str, to: str, text: str) -> Iterator[Deliver]:
    """The deliver_sm that carry a phone's text; more than one if it is long."""
    cut = segment(text)
    reference = next(_references) & 0xFF if len(cut.parts) > 1 else 0
    for at, octets in enumerate(cut.parts, start=1):
        header = bytes([5, IE_CONCAT_8, 3, reference, len(cut.parts), at]) if len(cut.parts) > 1 else b""
        yield Deliver(
            kind="mo",
            number=number,
            system_id=system_id,
            source=msisdn,
            destination=to,
            esm_class=ESM_UDH if header else 0,
            data_coding=cut.data_coding,
            octets=header + octets,
        )


def expiry_of(validity: str, now: datetime) -> datetime | None:
    """SMPP time, absolute or relative (section 7.1.1); None if empty. Raises ValueError for anything else."""
    if not validity:
        return None
    if len(validity) != 16 or not validity[:15].isdigit():
        raise ValueError(f"expected 16 characters of SMPP time, got {validity!r}")
    years, months, days, hours, minutes, seconds = (int(validity[at : at + 2]) for at in range(0, 12, 2))
    if validity[15] == "R":
        return now + timedelta(days=365 * years + 30 * months + days, hours=hours, minutes=minutes, seconds=seconds)
    if validity[15] not in "+-":
        raise ValueError(f"expected +, - or R at the end, got {validity!r}")
    quarters = int(validity[13:15]) * (1 if validity[15] == "+" else -1)
    local = datetime(2000 + years, months, days, hours, minutes, seconds, tzinfo=UTC)
    return local - timedelta(minutes=15 * quarters)
