"""`gateway sms explain`: the parts in which a text would leave, and the octets of each.

As over a bind with the defaults: an 8-bit reference in the user data header, data_coding 0 in the GSM alphabet.
"""

from typing import Final

from carriers.smpp.wire.concat import udh_8
from gateway.cli.lines import Answer, Unreadable
from gateway.core.gsm import GSM_CODING, decode_gsm, decode_ucs2, segment

REFERENCE: Final = 1
"""A bind counts its long texts; this is the number of the first one after 0."""


def explain_text(text: str) -> Answer:
    """*text* cut into parts. Raise Unreadable if it has too many."""
    try:
        cut = segment(text)
    except ValueError as error:
        raise Unreadable(str(error)) from error
    total = len(cut.parts)
    decode = decode_gsm if cut.data_coding == GSM_CODING else decode_ucs2
    parts = [
        # As `pdu decode` shows it: the header apart from the text behind it.
        {"text": decode(part), **({"udh": udh_8(REFERENCE, total, at).hex()} if total > 1 else {}), "hex": part.hex()}
        for at, part in enumerate(cut.parts, start=1)
    ]
    return {
        "alphabet": cut.alphabet,
        "data_coding": cut.data_coding,
        "units": cut.units,
        "segments": total,
        "parts": parts,
    }
