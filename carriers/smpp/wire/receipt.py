"""Delivery receipts (DLRs): telling them from replies, reading them in all their dialects, writing them as an SMSC.

Whether a deliver_sm is a receipt is decided by esm_class and TLVs, never by what the text looks like: a text that a
person typed must not end a message, and a receipt must not be taken for a reply. What a receipt means for a payment is
decided elsewhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from carriers.smpp.wire.concat import message_octets
from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.tables import Tlv


class ReceiptState(StrEnum):
    """SMPP 3.4 §5.2.28; a closed list."""

    ENROUTE = "ENROUTE"
    DELIVERED = "DELIVERED"
    EXPIRED = "EXPIRED"
    DELETED = "DELETED"
    UNDELIVERABLE = "UNDELIVERABLE"
    ACCEPTED = "ACCEPTED"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTED"


_PENDING: Final = frozenset({ReceiptState.ENROUTE, ReceiptState.ACCEPTED})

# 1 to 8 as in SMPP 3.4; 0 (scheduled) and 9 (skipped) are from 5.0.
_BY_NUMBER: Final = dict(enumerate([ReceiptState.ENROUTE, *ReceiptState, ReceiptState.UNDELIVERABLE]))
NUMBER_OF_STATE: Final = {state: number for number, state in enumerate(ReceiptState, start=1)}
"""message_state of each state, for the TLV and for query_sm_resp."""

# SMSCs abbreviate and spell as they like: the first letters decide.
_BY_PREFIX: Final = {
    "DELIV": ReceiptState.DELIVERED,
    "UNDEL": ReceiptState.UNDELIVERABLE,
    "FAIL": ReceiptState.UNDELIVERABLE,
    "SKIP": ReceiptState.UNDELIVERABLE,
    "EXPIR": ReceiptState.EXPIRED,
    "DELET": ReceiptState.DELETED,
    "CANCEL": ReceiptState.DELETED,
    "ACCEP": ReceiptState.ACCEPTED,
    "ACK": ReceiptState.ACCEPTED,
    "REJ": ReceiptState.REJECTED,
    "ENROU": ReceiptState.ENROUTE,
    "BUFF": ReceiptState.ENROUTE,
    "SCHED": ReceiptState.ENROUTE,
    "PEND": ReceiptState.ENROUTE,
    "QUEUE": ReceiptState.ENROUTE,
    "UNKNO": ReceiptState.UNKNOWN,
}
_IN_TEXT: Final = {
    ReceiptState.ENROUTE: "ENROUTE",
    ReceiptState.DELIVERED: "DELIVRD",
    ReceiptState.EXPIRED: "EXPIRED",
    ReceiptState.DELETED: "DELETED",
    ReceiptState.UNDELIVERABLE: "UNDELIV",
    ReceiptState.ACCEPTED: "ACCEPTD",
    ReceiptState.UNKNOWN: "UNKNOWN",
    ReceiptState.REJECTED: "REJECTD",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`message_ids` are folded, most trusted first, each once; `raw_message_ids` are as they came, TLV before text."""

    message_ids: tuple[str, ...]
    raw_message_ids: tuple[str, ...]
    state: ReceiptState
    is_final: bool
    error_code: str
    done_date: str


# Bits 5-2 of esm_class (§5.2.12). 0x10, a user's acknowledgement, carries a person's words: that is a reply.
_MESSAGE_TYPE: Final = 0x3C
_SMSC_RECEIPT: Final = 0x04
_DELIVERY_ACKNOWLEDGEMENT: Final = 0x08
_INTERMEDIATE: Final = 0x20


def is_receipt(pdu: Pdu) -> bool:
    """True for a deliver_sm or data_sm that reports on a message instead of bringing one."""
    if pdu.command not in ("deliver_sm", "data_sm"):
        return False
    kind = pdu.integer("esm_class") & _MESSAGE_TYPE
    if kind & (_SMSC_RECEIPT | _INTERMEDIATE) or kind == _DELIVERY_ACKNOWLEDGEMENT:
        return True
    # Some SMSCs leave esm_class at 0; no MO has these tags.
    return pdu.tlv(Tlv.RECEIPTED_MESSAGE_ID) is not None or pdu.tlv(Tlv.MESSAGE_STATE) is not None


def read_receipt(pdu: Pdu, *, tlv_rule: str = "as_is", text_rule: str = "as_is") -> Receipt | None:
    """The receipt in *pdu*; None only if it is none. Nothing readable in it gives state UNKNOWN and no id.

    TLVs come before the text. The rules say how the ids of this carrier are written (see `fold_message_id`): carriers
    exist that write hex in the TLV and decimal in the text.
    """
    if not is_receipt(pdu):
        return None
    fields = _text_fields(_as_text(message_octets(pdu)))
    state, is_said = _state(pdu.tlv(Tlv.MESSAGE_STATE), fields.get("stat", ""))
    kind = pdu.integer("esm_class") & _MESSAGE_TYPE
    is_intermediate = bool(kind & _INTERMEDIATE) and not kind & _SMSC_RECEIPT
    ids = [
        (raw, fold_message_id(raw, rule))
        for raw, rule in ((_c_text(pdu.tlv(Tlv.RECEIPTED_MESSAGE_ID)), tlv_rule), (fields.get("id", ""), text_rule))
        if raw
    ]
    return Receipt(
        message_ids=tuple(dict.fromkeys(folded for _, folded in ids)),
        raw_message_ids=tuple(raw for raw, _ in ids),
        state=state,
        is_final=is_said and state not in _PENDING and not is_intermediate,
        error_code=_network_error(pdu.tlv(Tlv.NETWORK_ERROR_CODE)) or fields.get("err", ""),
        done_date=fields.get("done", ""),
    )


_HEX_ID: Final = re.compile(r"(?:0x)?[0-9a-f]{1,32}", re.ASCII)
_DECIMAL_ID: Final = re.compile(r"[0-9]{1,39}", re.ASCII)


def fold_message_id(raw: str, rule: str) -> str:
    """One spelling for an id, so that submit_sm_resp and receipt can be compared.

    *rule* says how *raw* was written: `hex` and `dec` fold into a decimal number without leading zeros; `as_is`, and
    anything that is no such number, is folded by case, blanks and leading zeros alone.
    """
    text = raw.strip("\0 \t\r\n").lower()
    if rule == "hex" and _HEX_ID.fullmatch(text):
        return str(int(text, 16))
    if rule == "dec" and _DECIMAL_ID.fullmatch(text):
        return str(int(text))
    if rule not in ("as_is", "hex", "dec"):
        raise ValueError(f"a message id rule is as_is, hex or dec, not {rule!r}")
    return text.lstrip("0") or text[:1]


# Keys as SMSCs write them; a value runs to the next key, so that order, gaps and empty values do not matter.
_KEY: Final = re.compile(
    r"(?<![A-Za-z0-9_])"
    r"(?:(?P<id>(?:(?:msg|message)[ _]?)?id)|(?P<sub>sub)|(?P<dlvrd>dlvrd|dlvd)|(?P<submit>submit[ _]?date)"
    r"|(?P<done>done[ _]?date)|(?P<stat>stat(?:us|e)?)|(?P<err>err(?:or)?(?:[ _]?code)?)|(?P<text>text))"
    r"\s?[:=]",
    re.IGNORECASE,
)
_AROUND_VALUE: Final = " \t\r\n\0,;|\"'"
_TEXT_CHARACTERS_MAX: Final = 2_000


def _text_fields(text: str) -> dict[str, str]:
    """Key -> value. What follows `text:` is somebody's wording, so it counts only where all else fails."""
    text = text[:_TEXT_CHARACTERS_MAX]
    keys = list(_KEY.finditer(text))
    found: dict[str, str] = {}
    behind: dict[str, str] = {}
    target = found
    for place, key in enumerate(keys):
        name = str(key.lastgroup)
        end = keys[place + 1].start() if place + 1 < len(keys) else len(text)
        if name == "text":
            target = behind
            continue
        value = text[key.end() : end].strip(_AROUND_VALUE)
        if name != "done":  # Ids, states and codes are one word; dates may have a blank inside.
            value = next(iter(value.split()), "").strip(_AROUND_VALUE)
        target.setdefault(name, value)
    return found if found.get("id") or found.get("stat") else {**behind, **found}


def _as_text(octets: bytes) -> str:
    """Latin-1, which reads any octet; UTF-16 if every other octet at the start is NUL."""
    head = octets[:16]
    if len(head) >= 8 and not any(head[0::2]):
        return octets.decode("utf-16-be", "replace")
    if len(head) >= 8 and not any(head[1::2]):
        return octets.decode("utf-16-le", "replace")
    return octets.decode("latin-1")


def _state(tlv: bytes | None, stat: str) -> tuple[ReceiptState, bool]:
    """The state, and whether it was said at all."""
    if tlv and (by_number := _BY_NUMBER.get(int.from_bytes(tlv[:4], "big"))) is not None:
        return by_number, True
    word = stat.upper()
    if word.isascii() and word.isdigit() and len(word) <= 3 and int(word) in _BY_NUMBER:
        return _BY_NUMBER[int(word)], True
    for prefix, state in _BY_PREFIX.items():
        if word.startswith(prefix):
            return state, True
    return ReceiptState.UNKNOWN, False


def _c_text(tlv: bytes | None) -> str:
    """A C-octet string that may lack its NUL, or have more than one."""
    return "" if tlv is None else tlv.split(b"\0", 1)[0].decode("latin-1").strip()


def _network_error(tlv: bytes | None) -> str:
    """network_error_code: a network type and a 16-bit number (§5.3.2.31), or digits as some SMSCs send. "" for none."""
    if not tlv:
        return ""
    shown = tlv.strip(b"\0 ")
    if shown.isdigit() and len(shown) == len(tlv):
        return "" if int(shown) == 0 else shown.decode("ascii")
    number = int.from_bytes(tlv[-2:], "big")
    return str(number) if number else ""


def build_receipt_text(
    message_id: str,
    state: ReceiptState,
    *,
    submit_date: str,
    done_date: str,
    error_code: str = "000",
    text: bytes = b"",
) -> bytes:
    """The form of SMPP 3.4 appendix B. Dates as YYMMDDhhmm; twenty octets of *text* at most."""
    delivered = int(state is ReceiptState.DELIVERED)
    head = (
        f"id:{message_id} sub:001 dlvrd:{delivered:03d} submit date:{submit_date} done date:{done_date}"
        f" stat:{_IN_TEXT[state]} err:{error_code} text:"
    )
    return head.encode("ascii") + text[:20]


def build_receipt_tlvs(message_id: str, state: ReceiptState) -> Sequence[tuple[int, bytes]]:
    """receipted_message_id and message_state."""
    return [
        (Tlv.RECEIPTED_MESSAGE_ID, message_id.encode("ascii") + b"\0"),
        (Tlv.MESSAGE_STATE, bytes([NUMBER_OF_STATE[state]])),
    ]
