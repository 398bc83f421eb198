"""Identifiers: the prefixed ids that merchants see, and the eight-character ref that people read out on the phone.

Both use Crockford's base 32 (no I, L, O, U). That an id is unique is the caller's business: bytes come in,
text goes out.
"""

import hashlib
from typing import Final

PREFIXES: Final = frozenset(
    {
        *("pay_", "att_", "evt_", "ord_", "rev_", "ref_", "con_", "mer_", "key_", "cap_", "rel_"),
        *("we_", "mo_", "msg_", "ent_", "brk_", "bat_", "ful_", "csm_", "fee_"),
        *("obx_", "dlr_", "qua_", "exp_", "rpl_", "trc_", "fil_", "uss_", "lgn_"),
        *("set_", "po_", "pof_", "dsp_"),
        *("itm_", "pcd_"),
    }
)
"""The closed list of what an id can begin with."""

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ID_BYTES: Final = 16
ID_CHARACTERS: Final = 26
REF_CHARACTERS: Final = 8

_LOWER: Final = ALPHABET.lower()
_ID_SET: Final = frozenset(_LOWER)
# Ten bits at a time: half the steps of a five-bit loop on a path that makes ten ids per payment.
_PAIRS: Final = tuple(high + low for high in _LOWER for low in _LOWER)


def encode_id(prefix: str, raw: bytes) -> str:
    """*prefix* and 26 characters for 16 bytes, in an order that keeps the order of the bytes (UUIDv7: of time)."""
    if prefix not in PREFIXES or len(raw) != ID_BYTES:
        raise ValueError(f"id: expected a known prefix and {ID_BYTES} bytes, got {prefix!r} and {len(raw)}")
    number = int.from_bytes(raw, "big")
    return prefix + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def first_id_at(prefix: str, at_ms: int) -> str:
    """An id that sorts before every id made at *at_ms* or later, by the clock of whoever made it."""
    return encode_id(prefix, (at_ms << 80).to_bytes(ID_BYTES, "big"))


def made_at_ms(made: str) -> int:
    """When the id *made* was made, by the clock of whoever made it. Only for ids out of UUIDv7, as all new ones are."""
    number = 0
    for character in made[-ID_CHARACTERS:]:
        number = number << 5 | _LOWER.index(character)
    return number >> 80


def id_pattern(prefix: str) -> str:
    """What `is_id` takes, as a regular expression for documents."""
    return f"^{prefix}[0-7][{_LOWER}]{{{ID_CHARACTERS - 1}}}$"


def is_id(text: str, prefix: str) -> bool:
    """Whether *text* is an id of the kind *prefix*; nothing is said about whether such a thing exists."""
    body = text[len(prefix) :]
    return (
        prefix in PREFIXES
        and text.startswith(prefix)
        and len(body) == ID_CHARACTERS
        and body[0] <= "7"  # 26 characters hold 130 bits, the id has 128.
        and _ID_SET.issuperset(body)
    )


def receipt_ref(payment_id: str) -> str:
    """The ref of a payment as a person reads it: seven characters derived from the id, and a check character.

    It has a letter and a digit that is no look-alike of one: neither a word nor an amount can be taken for a ref. No
    character stands there three times in a row, which readers of hasty texts take for one.
    """
    for n in range(_DRAWS_MAX):
        ref = _ref(payment_id if n == 0 else f"{payment_id}/{n}")
        if not (_LETTERS.isdisjoint(ref) or _CLEAR_DIGITS.isdisjoint(ref) or any(c * 3 in ref for c in ref)):
            return ref
    raise AssertionError("no ref in 64 draws")


# One in six draws has no letter, no clear digit or a threefold character.
_DRAWS_MAX: Final = 64
_CLEAR_DIGITS: Final = frozenset("23456789")
_LETTERS: Final = frozenset(ALPHABET) - frozenset("0123456789")


def _ref(drawn_from: str) -> str:
    digest = hashlib.blake2s(drawn_from.encode(), digest_size=5, person=b"ref").digest()
    number = int.from_bytes(digest, "big")
    values = [number >> shift & 31 for shift in range(30, -1, -5)]
    return "".join([ALPHABET[value] for value in values]) + ALPHABET[_check(values)]


_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}


def normalise_ref(text: str) -> str | None:
    """The ref that *text* means, however it was typed; None if its check character is wrong or it is no ref."""
    # 64: a ref with a dash or blank between all characters is a quarter of that; more is not worth looking at.
    ref = text[:64].upper().translate(_MISREAD)
    if len(ref) != REF_CHARACTERS or any(character not in _VALUES for character in ref):
        return None
    values = [_VALUES[character] for character in ref]
    return ref if _check(values[:-1]) == values[-1] else None


def _times_two(value: int) -> int:
    """Multiply by x in GF(32) with the polynomial x^5 + x^2 + 1."""
    doubled = value << 1
    return doubled ^ 0b100101 if doubled & 32 else doubled


def _check(values: list[int]) -> int:
    """The sum of x^i times the i-th value in GF(32): sees any one wrong character and any two that changed places."""
    total = 0
    for value in values:
        total = _times_two(total ^ value)
    return total
