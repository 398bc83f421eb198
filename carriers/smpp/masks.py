"""PDUs about a phone as an operator may see them: `*` for every digit of its number, and for what may be a code.

Octet for octet, so that every length stays right and the PDU can be read as before; nothing is encoded anew. Where it
is not certain what the octets of a text say, all of them are masked. Numbers elsewhere are not looked for here.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.tables import FRAME_OCTETS_MIN, Tlv
from gateway.core.gsm import GSM_CODING, UCS2_CODING, DefaultAlphabet, alphabet_of

_Hide = Callable[[bytes], bytes]

_UDH_INDICATOR: Final = 0x40
_PHONE_OCTETS_MIN: Final = 9
"""Shorter addresses are short codes and sender names: nobody's number."""
# With Latin-1's small digits, which are read as digits.
_STARS: Final = bytes.maketrans(b"0123456789\xb2\xb3\xb9", b"*" * 13)
# In our own texts: whatever is as long as a code, and what may be half of one that two parts share. Amounts and times
# are written with marks between their digits, and stay.
_CODE_LIKE: Final = re.compile(rb"[0-9]{4,}|\A[0-9]+|[0-9]+\Z")
_CODE_LIKE_TEXT: Final = re.compile(r"[0-9]{4,}|\A[0-9]+|[0-9]+\Z")
_NUMBER_LIKE: Final = re.compile(rb"[0-9]{7,}")
_SINGLE_OCTETS: Final = frozenset({"gsm", "ascii", "latin1", "iso8859_5", "iso8859_8"})
# What a receipt repeats of the text comes last, behind what the receipt itself says.
_REPEATED_TEXT: Final = re.compile(rb"text:", re.IGNORECASE)


def masked_submit(frame: bytes, fields: dict[str, int | bytes], tlvs: list[tuple[int, bytes]]) -> bytes:
    """A submit_sm of ours: the number, and in the text what is as long as a code."""
    is_ucs2 = fields.get("data_coding", GSM_CODING) == UCS2_CODING
    hide = _hide_codes_ucs2 if is_ucs2 else _hide_codes
    return _masked(Pdu("submit_sm", 0, 0, fields, tlvs, frame=frame), hide, phone="destination_addr")


def masked_text(pdu: Pdu, default_alphabet: DefaultAlphabet) -> bytes:
    """What a phone sent: its number and every digit of the text, since people write codes in many ways."""
    alphabet = alphabet_of(pdu.integer("data_coding"), default_alphabet)
    is_part = bool(pdu.integer("esm_class") & _UDH_INDICATOR) or pdu.tlv(Tlv.SAR_TOTAL_SEGMENTS) is not None
    if alphabet in _SINGLE_OCTETS:
        hide: _Hide = _hide_digits
    elif alphabet == "ucs2" and not is_part:
        hide = _hide_digits_ucs2
    else:  # Packed, of two octets each, or a character cut between two parts: a digit may hide anywhere.
        hide = _hide_all
    return _masked(pdu, hide, phone="source_addr")


def masked_receipt(pdu: Pdu) -> bytes:
    """A receipt: the number, and what it repeats of the text."""
    return _masked(pdu, _hide_repeated, phone="source_addr")


def _masked(pdu: Pdu, hide: _Hide, *, phone: str) -> bytes:
    out = bytearray(pdu.frame)
    at = FRAME_OCTETS_MIN + len(pdu.octets("service_type")) + 1
    for name in ("source_addr", "destination_addr"):
        start = at + 2
        stop = start + len(pdu.octets(name))
        if name == phone or stop - start >= _PHONE_OCTETS_MIN:
            out[start:stop] = out[start:stop].translate(_STARS)
        at = stop + 1
    has_header = bool(pdu.integer("esm_class") & _UDH_INDICATOR)
    if pdu.command == "data_sm":
        at += 3
    else:
        start = at + 3 + len(pdu.octets("schedule_delivery_time")) + len(pdu.octets("validity_period")) + 7
        at = start + out[start - 1]
        out[start:at] = _hide_text(bytes(out[start:at]), hide, has_header)
    for tag, value in pdu.tlvs:
        start, at = at + 4, at + 4 + len(value)
        if tag == Tlv.MESSAGE_PAYLOAD:
            out[start:at] = _hide_text(value, hide, has_header)
        elif tag != Tlv.RECEIPTED_MESSAGE_ID:
            out[start:at] = _NUMBER_LIKE.sub(_stars, value)
    out[at:] = b"*" * (len(out) - at)  # Behind the last good TLV.
    return bytes(out)


def _hide_text(octets: bytes, hide: _Hide, has_header: bool) -> bytes:
    if not has_header or not octets or octets[0] >= len(octets):
        return hide(octets)
    end = octets[0] + 1
    return octets[:end] + hide(octets[end:])


def _hide_all(octets: bytes) -> bytes:
    return b"*" * len(octets)


def _hide_digits(octets: bytes) -> bytes:
    return octets.translate(_STARS)


def _hide_codes(octets: bytes) -> bytes:
    return _CODE_LIKE.sub(_stars, octets)


def _hide_repeated(octets: bytes) -> bytes:
    found = _REPEATED_TEXT.search(octets)
    return octets if found is None else octets[: found.end()] + _hide_digits(octets[found.end() :])


def _stars(found: re.Match[bytes]) -> bytes:
    return b"*" * len(found[0])


def _hide_codes_ucs2(octets: bytes) -> bytes:
    return _CODE_LIKE_TEXT.sub(lambda found: "*" * len(found[0]), octets.decode("utf-16-be")).encode("utf-16-be")


def _hide_digits_ucs2(octets: bytes) -> bytes:
    codec = "utf-16-le" if octets.startswith(b"\xff\xfe") else "utf-16-be"
    whole = octets[: len(octets) & ~1]
    hidden = "".join([_hidden(character) for character in whole.decode(codec, "surrogatepass")])
    return hidden.encode(codec, "surrogatepass") + b"*" * (len(octets) - len(whole))


def _hidden(character: str) -> str:
    """Digits of every script, also those that are digits only to whoever folds the text."""
    is_digit = any(folded.isdecimal() for folded in unicodedata.normalize("NFKC", character))
    if not is_digit:
        return character
    return "*" if character <= "\uffff" else "**"  # Two units, and two units they stay.
