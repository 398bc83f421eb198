"""What the SMSC hands over, read: a phone's text becomes a `Mo`, a report on one of ours a `Receipt`.

Plain functions over PDUs. What is done with it, and when it is acknowledged, is in `inbound`.
"""

from typing import Final

from carriers.base import Mo, Receipt, Trace
from carriers.smpp.masks import masked_receipt
from carriers.smpp.settings import Settings
from carriers.smpp.wire.concat import Joined
from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.receipt import ReceiptState, read_receipt
from gateway.core.gsm import decode_text
from gateway.core.msisdn import parse_msisdn

_TON_INTERNATIONAL: Final = 1
_TON_NATIONAL: Final = 2


def receipt_of(pdu: Pdu, carrier: str, settings: Settings, now_ms: int) -> Receipt:
    """The receipt that *pdu*, which is one, brings."""
    read = read_receipt(pdu, tlv_rule=settings.receipt_tlv_id_rule, text_rule=settings.receipt_text_id_rule)
    assert read is not None, "is_receipt said so"
    if not read.is_final:
        state = "pending"
    elif read.state is ReceiptState.DELIVERED:
        state = "delivered"
    else:
        state = "undeliverable"
    detail = f"{read.state} {read.error_code}".strip()
    return Receipt(
        carrier=carrier,
        message_ids=read.message_ids,
        state=state,
        detail=detail,
        read_at_ms=now_ms,
        trace=Trace(kind=pdu.command, received=masked_receipt(pdu), at_ms=now_ms),
    )


def mo_of(
    joined: Joined, ton: int, carrier: str, settings: Settings, now_ms: int, trace: Trace | None = None
) -> Mo | None:
    """The text that *joined* brings; None if its sender is no phone that could be answered or asked."""
    msisdn = sender_of(joined.source, ton, settings.country_code)
    if msisdn is None:
        return None
    return Mo(
        carrier=carrier,
        msisdn=msisdn,
        to=joined.destination.decode("latin-1"),
        text=text_of(joined, settings),
        read_at_ms=now_ms,
        raw=b"".join([segment.payload for segment in joined.segments]),
        trace=trace,
    )


def text_of(joined: Joined, settings: Settings) -> str:
    """Joined before it is decoded, so that a character cut between two parts is whole again; packed septets are not."""
    alphabet = settings.default_alphabet
    pieces = joined.segments if alphabet == "gsm_packed" else joined.pieces
    return "".join([decode_text(piece.payload, piece.data_coding, alphabet) for piece in pieces])


def sender_of(source: bytes, ton: int, country_code: str) -> str | None:
    """The number in E.164, or None. SMSCs write it with and without +, and some in national form."""
    number = source.decode("latin-1").strip()
    digits = number.removeprefix("+")
    if ton != _TON_INTERNATIONAL and digits == number:
        if digits.startswith("00"):
            digits = digits[2:]
        elif country_code and (ton == _TON_NATIONAL or digits.startswith("0")):
            digits = country_code + digits.removeprefix("0")
    try:
        return parse_msisdn(f"+{digits}")
    except ValueError:
        return None
