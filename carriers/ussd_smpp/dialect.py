"""The two ways in which SMSCs carry USSD: the same operations, the dialog's id in one TLV or in another.

Both have ussd_service_op (SMPP 3.4 §5.3.2.44) with the values that gateways really use. `its_session_info`
(§5.3.2.43) has two octets, of which the lowest bit says that the session ends; `user_message_reference` (§5.3.2.17)
has the id alone. Plain functions over PDUs.
"""

from hashlib import blake2b
from typing import Final, Literal

import msgspec

from carriers.smpp.mo import sender_of
from carriers.smpp.mt import Part
from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.tables import TAGS, Tlv
from carriers.ussd import dialled
from carriers.ussd_smpp.settings import Settings
from gateway.core.gsm import GSM_CODING, UCS2_CODING, decode_text, encode_gsm, encode_ucs2

TAG_OP: Final[int] = TAGS["ussd_service_op"]
TAG_SESSION: Final[int] = TAGS["its_session_info"]
TAG_REFERENCE: Final[int] = TAGS["user_message_reference"]

OP_NEW: Final = 0x01
OP_ASK: Final = 0x02
OP_RELEASE: Final = 0x11
OP_ANSWER: Final = 0x12
OP_ABORT_MIN: Final = 0x80
"""0x81 is the phone's abort; what else is above is the vendor's way to say that there is no session any more."""

ID_BITS: Final = {"its_session_info": 15, "user_message_reference": 16}
_TAGS: Final = {"its_session_info": TAG_SESSION, "user_message_reference": TAG_REFERENCE}


class Dialog(msgspec.Struct, frozen=True, kw_only=True):
    """A session on the network: its id is used again, and by other phones, so the number belongs to it."""

    number: int
    msisdn: str

    @property
    def session_id(self) -> str:
        """Of its first session. Without the phone's number, as it stands in logs."""
        return f"{self.number:04x}-{blake2b(self.msisdn.encode(), digest_size=8).hexdigest()}"

    def __repr__(self) -> str:
        """Fit for a log."""
        return f"<dialog {self.session_id}>"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What a deliver_sm says."""

    dialog: Dialog
    kind: Literal["begin", "input", "end"]
    inputs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Fit for a log: without what was typed."""
        return f"<USSD {self.kind}>"


def read(pdu: Pdu, settings: Settings) -> Received | str:
    """What *pdu* says, or in words why it is no step of a session."""
    op, place = pdu.tlv(TAG_OP), pdu.tlv(_TAGS[settings.dialog])
    msisdn = sender_of(pdu.octets("source_addr"), pdu.integer("source_addr_ton"), settings.country_code)
    if op is None or len(op) != 1:
        return "expected ussd_service_op of one octet"
    if place is None or len(place) != 2:
        return f"expected {settings.dialog} of two octets"
    if msisdn is None:
        return "expected a phone as the sender"
    number, is_over = int.from_bytes(place), False
    if settings.dialog == "its_session_info":
        number, is_over = number >> 1, bool(number & 1)
    dialog = Dialog(number=number, msisdn=msisdn)
    code = op[0]
    if is_over or code == OP_RELEASE or code >= OP_ABORT_MIN:
        return Received(dialog=dialog, kind="end")
    text = _text(pdu, settings)
    if code == OP_NEW:
        said = text if "*" in text or "#" in text else pdu.octets("destination_addr").decode("latin-1")
        return Received(dialog=dialog, kind="begin", inputs=dialled(said, settings.service_code))
    if code == OP_ANSWER:
        return Received(dialog=dialog, kind="input", inputs=(text,))
    return f"expected another ussd_service_op than 0x{code:02x}"


def _text(pdu: Pdu, settings: Settings) -> str:
    octets = pdu.octets("short_message") or pdu.tlv(Tlv.MESSAGE_PAYLOAD) or b""
    # Some gateways close the text with a NUL; it is nobody's character.
    return decode_text(octets, pdu.integer("data_coding"), settings.default_alphabet).rstrip("\0").replace("\0", "")


def screen(dialog: Dialog, text: str, settings: Settings, *, goes_on: bool) -> Part:
    """The submit_sm that shows *text*."""
    octets, coding = encode_gsm(text), GSM_CODING
    if octets is None:
        octets, coding = encode_ucs2(text), UCS2_CODING
    elif settings.submit_alphabet != "gsm":
        octets = text.encode(settings.submit_alphabet, "replace")
    place = dialog.number
    if settings.dialog == "its_session_info":
        place = place << 1 | (not goes_on)
    fields: dict[str, int | bytes] = {
        "service_type": settings.service_type.encode("latin-1"),
        "source_addr_ton": settings.source_ton,
        "source_addr_npi": settings.source_npi,
        "source_addr": settings.service_code.encode("latin-1"),
        "dest_addr_ton": settings.dest_ton,
        "dest_addr_npi": settings.dest_npi,
        "destination_addr": dialog.msisdn.removeprefix("+").encode("ascii"),
        "data_coding": coding,
        "short_message": octets,
    }
    op = OP_ASK if goes_on else settings.end_op
    return Part(fields, [(TAG_OP, bytes([op])), (_TAGS[settings.dialog], place.to_bytes(2))])
