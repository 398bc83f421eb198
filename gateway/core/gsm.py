"""Text as phones carry it: GSM 03.38 (3GPP TS 23.038), UCS-2, and cutting into segments.

Knows no PDU and no user data header: it says which octets go into each part, the carrier's adapter adds the headers.
Everything that decodes takes any octets and never raises: what a phone sent must never be lost over one bad octet.
"""

import codecs
import unicodedata
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

# TS 23.038 section 6.2.1, the default alphabet, by rows of sixteen. 0x1B is the escape to the extension table.
BASE: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
# TS 23.038 section 6.2.1.1, the extension table: what follows the escape.
EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
ESCAPE: Final = 0x1B

GSM_CODING: Final = 0
UCS2_CODING: Final = 8
GSM_UNITS_MAX: Final = 160
UCS2_UNITS_MAX: Final = 70
PARTS_MAX: Final = 255
_MESSAGE_OCTETS: Final = 140

# CPython's charmap encoder is the fastest there is, as long as character 0 stands at 0: so `@` waits at 0x80.
_AT: Final = 0x80
_UNUSED: Final = "\ufffe"
_ENCODE_TABLE: Final = codecs.charmap_build(
    "\0" + BASE[1:ESCAPE] + _UNUSED + BASE[ESCAPE + 1 :] + BASE[0] + _UNUSED * (255 - _AT)
)
# An octet above 0x7F is no septet; an escape that nothing explains is shown as a space, as the clause asks.
_DECODE_TABLE: Final = BASE.replace("\x1b", " ") + "\ufffd" * 128
_SEPTETS: Final = {
    **{character: bytes([at]) for at, character in enumerate(BASE) if at != ESCAPE},
    **{character: bytes([ESCAPE, at]) for at, character in EXTENSION.items()},
}


class Segments(NamedTuple):
    """A text ready to be sent. `parts` are unpacked septets or UTF-16BE, without user data headers."""

    alphabet: Literal["gsm", "ucs2"]
    data_coding: int
    units: int
    """Septets, or 16-bit units, of the whole text."""
    parts: tuple[bytes, ...]


def encode_gsm(text: str) -> bytes | None:
    """One septet an octet; None if a character is in neither table."""
    try:
        octets: bytes = codecs.charmap_encode(text, "strict", _ENCODE_TABLE)[0]
    except UnicodeEncodeError:
        return _encode_with_escapes(text)
    if octets.isascii():
        return None if 0 in octets else octets
    return None if 0 in octets else octets.replace(b"\x80", b"\0")


def _encode_with_escapes(text: str) -> bytes | None:
    try:
        return b"".join([_SEPTETS[character] for character in text])
    except KeyError:
        return None


def is_gsm(text: str) -> bool:
    """Whether every character of *text* is in the base or the extension table."""
    return encode_gsm(text) is not None


def decode_gsm(octets: bytes) -> str:
    """Unpacked septets to text; an octet above 0x7F becomes U+FFFD."""
    if ESCAPE in octets:
        return _decode_with_escapes(octets)
    return codecs.charmap_decode(octets, "replace", _DECODE_TABLE)[0]


def _decode_with_escapes(octets: bytes) -> str:
    text: list[str] = []
    escaped = False
    for octet in octets:
        if escaped:
            # TS 23.038: what the extension table lacks is shown from the base table.
            text.append(EXTENSION.get(octet, _DECODE_TABLE[octet]))
            escaped = False
        elif octet == ESCAPE:
            escaped = True
        else:
            text.append(_DECODE_TABLE[octet])
    return "".join(text) + (" " if escaped else "")


def encode_ucs2(text: str) -> bytes:
    """UTF-16BE; half a surrogate pair, which is no character, becomes a question mark."""
    return text.encode("utf-16-be", "replace")


def decode_ucs2(octets: bytes) -> str:
    """UTF-16BE with surrogate pairs; a byte order mark is obeyed, an odd last octet dropped, nonsense is U+FFFD."""
    whole = octets[: len(octets) & ~1]
    if whole[:2] == b"\xff\xfe":
        return whole[2:].decode("utf-16-le", "replace")
    return whole.removeprefix(b"\xfe\xff").decode("utf-16-be", "replace")


def pack_septets(septets: bytes) -> bytes:
    """Eight septets in seven octets (TS 23.038 section 6.1.2.1), the last octet filled with zero bits."""
    packed = sum((septet & 0x7F) << 7 * at for at, septet in enumerate(septets))
    return packed.to_bytes((len(septets) * 7 + 7) // 8, "little")


def unpack_septets(octets: bytes, count: int | None = None) -> bytes:
    """The septets packed in *octets*. Without *count* a last septet that may be fill bits is dropped."""
    packed = int.from_bytes(octets, "little")
    room = len(octets) * 8 // 7
    septets = bytes([packed >> 7 * at & 0x7F for at in range(room if count is None else min(count, room))])
    fills = count is None and len(octets) % 7 == 0 and septets[-1:] == b"\0"
    return septets[:-1] if fills else septets


DefaultAlphabet = Literal["gsm", "gsm_packed", "latin1", "ascii", "ucs2"]


def decode_text(octets: bytes, data_coding: int, default_alphabet: DefaultAlphabet = "gsm") -> str:
    """The text of a message; *default_alphabet* is what this carrier means by a data_coding of 0. Never raises."""
    match alphabet_of(data_coding, default_alphabet):
        case "gsm":
            return decode_gsm(octets)
        case "gsm_packed":
            return decode_gsm(unpack_septets(octets))
        case "ucs2":
            return decode_ucs2(octets)
        case codec:
            return octets.decode(codec, "replace")


# SMPP 3.4 section 5.2.19. Octets of unknown meaning are read as Latin-1: it keeps the digits of a code.
_SMPP_CODINGS: Final = {
    1: "ascii",
    3: "latin1",
    5: "shift_jis",
    6: "iso8859_5",
    7: "iso8859_8",
    8: "ucs2",
    14: "euc_kr",
}


def alphabet_of(data_coding: int, default_alphabet: str = "gsm") -> str:
    """A `DefaultAlphabet` or the name of a codec: how the octets of a message are to be read."""
    if data_coding == 0:
        return default_alphabet
    if 0 < data_coding < 0x10:
        return _SMPP_CODINGS.get(data_coding, "latin1")
    # From here on it is the data coding scheme of TS 23.038 section 4.
    group = data_coding >> 4 & 0xF
    if group == 0xF:
        return "latin1" if data_coding & 4 else default_alphabet
    if group >= 0xC:
        return "ucs2" if group == 0xE else default_alphabet
    if group >= 8:
        return "latin1"
    return (default_alphabet, "latin1", "ucs2", "latin1")[data_coding >> 2 & 3]


def segment(text: str, *, reference_octets: Literal[1, 2] = 1) -> Segments:
    """Cut *text* into as few parts as it needs, none of which tears a character.

    With one part there is no header; with more, each loses 6 octets (7 with a 16-bit reference) to the header.
    """
    septets = encode_gsm(text)
    if septets is not None:
        units = len(septets)
        if units <= GSM_UNITS_MAX:
            return Segments("gsm", GSM_CODING, units, (septets,))
        room = (_MESSAGE_OCTETS - 5 - reference_octets) * 8 // 7
        return Segments("gsm", GSM_CODING, units, _limited(_cut_septets(septets, room)))
    octets = encode_ucs2(text)
    units = len(octets) // 2
    if units <= UCS2_UNITS_MAX:
        return Segments("ucs2", UCS2_CODING, units, (octets,))
    room = (_MESSAGE_OCTETS - 5 - reference_octets) // 2
    return Segments("ucs2", UCS2_CODING, units, _limited(_cut_units(octets, room)))


def _cut_septets(septets: bytes, room: int) -> Iterator[bytes]:
    start = 0
    while start < len(septets):
        end = start + room
        if end < len(septets) and septets[end - 1] == ESCAPE:
            end -= 1
        yield septets[start:end]
        start = end


def _cut_units(octets: bytes, room: int) -> Iterator[bytes]:
    start = 0
    while start < len(octets):
        end = start + 2 * room
        if end < len(octets) and 0xD8 <= octets[end - 2] <= 0xDB:
            end -= 2
        yield octets[start:end]
        start = end


def _limited(parts: Iterator[bytes]) -> tuple[bytes, ...]:
    cut = tuple(parts)
    if len(cut) > PARTS_MAX:
        raise ValueError(f"text: expected at most {PARTS_MAX} parts, got {len(cut)}")
    return cut


_LOOK_ALIKES: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032`\u00b4\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000\t", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", None),
        "\u2026": "...",
        "\u0153": "oe",
        "\u0152": "OE",
        "\u0142": "l",
        "\u0141": "L",
        "\u0131": "i",
        "\u0111": "d",
        "\u0110": "D",
    }
)


def degrade(text: str) -> str:
    """*text* in characters of the GSM tables: accents that they lack come off, what has no likeness becomes `?`."""
    if is_gsm(text):
        return text
    return "".join([_degraded(c) for c in unicodedata.normalize("NFC", text).translate(_LOOK_ALIKES)])


def _degraded(character: str) -> str:
    if character in _SEPTETS:
        return character
    bare = "".join([c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c)])
    bare = bare.replace("\N{FRACTION SLASH}", "/")
    return bare if is_gsm(bare) else "?"
