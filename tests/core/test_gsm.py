"""GSM 03.38 against bytes typed from the specification; segments that tear nothing; decoders that never raise."""

from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.gsm import (
    BASE,
    EXTENSION,
    decode_gsm,
    decode_text,
    decode_ucs2,
    degrade,
    encode_gsm,
    encode_ucs2,
    is_gsm,
    pack_septets,
    segment,
    unpack_septets,
)

# 3GPP TS 23.038 section 6.2.1, column by column as printed there: b7 b6 b5 across, b4..b1 down.
COLUMNS = {
    0x00: "0040 00A3 0024 00A5 00E8 00E9 00F9 00EC 00F2 00C7 000A 00D8 00F8 000D 00C5 00E5",
    0x10: "0394 005F 03A6 0393 039B 03A9 03A0 03A8 03A3 0398 039E ---- 00C6 00E6 00DF 00C9",
    0x20: "0020 0021 0022 0023 00A4 0025 0026 0027 0028 0029 002A 002B 002C 002D 002E 002F",
    0x30: "0030 0031 0032 0033 0034 0035 0036 0037 0038 0039 003A 003B 003C 003D 003E 003F",
    0x40: "00A1 0041 0042 0043 0044 0045 0046 0047 0048 0049 004A 004B 004C 004D 004E 004F",
    0x50: "0050 0051 0052 0053 0054 0055 0056 0057 0058 0059 005A 00C4 00D6 00D1 00DC 00A7",
    0x60: "00BF 0061 0062 0063 0064 0065 0066 0067 0068 0069 006A 006B 006C 006D 006E 006F",
    0x70: "0070 0071 0072 0073 0074 0075 0076 0077 0078 0079 007A 00E4 00F6 00F1 00FC 00E0",
}
GOLDEN = [
    (start + row, chr(int(point, 16)))
    for start, points in COLUMNS.items()
    for row, point in enumerate(points.split())
    if point != "----"
]
# Section 6.2.1.1.
GOLDEN_EXTENSION = [
    (0x0A, 0x000C),
    (0x14, 0x005E),
    (0x28, 0x007B),
    (0x29, 0x007D),
    (0x2F, 0x005C),
    (0x3C, 0x005B),
    (0x3D, 0x007E),
    (0x3E, 0x005D),
    (0x40, 0x007C),
    (0x65, 0x20AC),
]
GSM_TEXT = st.text(st.sampled_from(BASE.replace("\x1b", "") + "".join(EXTENSION.values())), max_size=700)
SOME_GSM_SOME_NOT = st.text(st.sampled_from("a1@€^{é\n付\U0001f44d"), max_size=400)


def test_the_golden_table_has_every_septet_but_the_escape() -> None:
    assert sorted(septet for septet, _ in GOLDEN) == [n for n in range(128) if n != 0x1B]


@pytest.mark.parametrize(("septet", "character"), GOLDEN)
def test_the_default_alphabet_is_that_of_the_specification(septet: int, character: str) -> None:
    assert encode_gsm(character) == bytes([septet])
    assert decode_gsm(bytes([septet])) == character


@pytest.mark.parametrize(("septet", "point"), GOLDEN_EXTENSION)
def test_the_extension_table_is_that_of_the_specification(septet: int, point: int) -> None:
    assert encode_gsm(chr(point)) == bytes([0x1B, septet])
    assert decode_gsm(bytes([0x1B, septet])) == chr(point)


def test_the_extension_table_has_nothing_else() -> None:
    assert len(EXTENSION) == len(GOLDEN_EXTENSION)


@pytest.mark.parametrize(
    "character", ["`", "ç", "\x00", "\x1b", "\x80", "\xa0", "\u2019", "付", "\ufffe", "\uffff", "\ud800", "\t"]
)
def test_what_is_in_no_table_is_no_gsm(character: str) -> None:
    for text in (character, "pay " + character, character + "€", "x" * 200 + character):
        assert encode_gsm(text) is None
        assert not is_gsm(text)
        assert segment(text).alphabet == "ucs2"


@given(GSM_TEXT)
def test_gsm_text_comes_back_as_it_was(text: str) -> None:
    octets = encode_gsm(text)
    assert octets is not None
    assert octets.isascii()
    assert decode_gsm(octets) == text


@given(st.text(max_size=200))
def test_ucs2_text_comes_back_as_it_was(text: str) -> None:
    if not text.startswith(("\ufeff", "\ufffe")):  # At the front those are byte order marks.
        assert decode_ucs2(encode_ucs2(text)) == text


@given(GSM_TEXT.map(lambda text: encode_gsm(text) or b""))
def test_packed_septets_come_back_as_they_were(septets: bytes) -> None:
    assert unpack_septets(pack_septets(septets), len(septets)) == septets
    unpacked = unpack_septets(pack_septets(septets))
    # Without a count seven fill bits and a last `@` look the same; nothing else may get lost.
    assert unpacked == septets or (len(septets) % 8 == 0 and septets == unpacked + b"\0")


def test_packing_is_that_of_the_specification() -> None:
    assert pack_septets(b"hellohello").hex() == "e8329bfd4697d9ec37"
    assert unpack_septets(bytes.fromhex("e8329bfd4697d9ec37")) == b"hellohello"
    assert unpack_septets(bytes.fromhex("31d98c56b3dd00")) == b"1234567"
    assert pack_septets(b"1234567").hex() == "31d98c56b3dd00"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1b", " "),
        (b"a\x1b", "a "),
        (b"\x1b\x1b", " "),
        (b"\x1bA", "A"),
        (b"\x1b\x80", "\ufffd"),
        (b"4821\xff", "4821\ufffd"),
    ],
)
def test_septets_without_a_meaning_are_shown_as_the_specification_asks(octets: bytes, text: str) -> None:
    assert decode_gsm(octets) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x00P\x00A\x00Y", "PAY"),
        (b"\xfe\xff\x004", "4"),
        (b"\xff\xfe4\x00", "4"),
        (b"\x004\x008\x00", "48"),
        (b"\xd8\x3d\xdc\x4d", "👍"),
        (b"\xd8\x3d", "\ufffd"),
        (b"", ""),
    ],
)
def test_ucs2_is_read_with_its_marks_and_accidents(octets: bytes, text: str) -> None:
    assert decode_ucs2(octets) == text


def test_half_a_pair_is_sent_as_a_question_mark() -> None:
    assert encode_ucs2("付\ud83d") == "付?".encode("utf-16-be")


@pytest.mark.parametrize(
    ("data_coding", "default", "octets", "text"),
    [
        (0x00, "gsm", b"\x00\x1be", "@€"),
        (0x00, "latin1", b"\xe9@", "é@"),
        (0x00, "ascii", b"@4821", "@4821"),
        (0x00, "gsm_packed", bytes.fromhex("e8329bfd4697d9ec37"), "hellohello"),
        (0x00, "ucs2", b"\x004", "4"),
        (0x01, "gsm", b"@4821\xe9", "@4821\ufffd"),
        (0x02, "gsm", b"4821\xe9", "4821é"),
        (0x03, "gsm", b"\xe9", "é"),
        (0x04, "gsm", b"\xe9", "é"),
        (0x06, "gsm", "нет".encode("iso8859_5"), "нет"),
        (0x08, "gsm", "付款".encode("utf-16-be"), "付款"),
        (0x10, "gsm", b"\x00", "@"),
        (0x18, "gsm", b"\x004", "4"),
        (0x15, "gsm", b"\xe9", "é"),
        (0x90, "gsm", b"\xe9", "é"),
        (0xC8, "gsm", b"\x00", "@"),
        (0xE0, "gsm", b"\x004", "4"),
        (0xF0, "gsm", b"\x00", "@"),
        (0xF1, "latin1", b"\xe9", "é"),
        (0xF4, "gsm", b"\xe9", "é"),
    ],
)
def test_the_data_coding_says_how_octets_are_read(
    data_coding: int, default: Literal["gsm", "gsm_packed", "latin1", "ascii", "ucs2"], octets: bytes, text: str
) -> None:
    assert decode_text(octets, data_coding, default) == text


@given(st.binary(max_size=300), st.integers(0, 255), st.sampled_from(["gsm", "gsm_packed", "latin1", "ascii", "ucs2"]))
def test_no_octets_and_no_coding_ever_raise(
    octets: bytes, data_coding: int, default: Literal["gsm", "gsm_packed", "latin1", "ascii", "ucs2"]
) -> None:
    decode_text(octets, data_coding, default).encode("utf-8")  # Nor may half a pair get further.


@pytest.mark.parametrize(
    ("text", "reference_octets", "alphabet", "units", "sizes"),
    [
        ("", 1, "gsm", 0, [0]),
        ("x" * 160, 1, "gsm", 160, [160]),
        ("x" * 161, 1, "gsm", 161, [153, 8]),
        ("x" * 161, 2, "gsm", 161, [152, 9]),
        ("x" * 306, 1, "gsm", 306, [153, 153]),
        ("x" * 307, 1, "gsm", 307, [153, 153, 1]),
        ("x" * 158 + "€", 1, "gsm", 160, [160]),
        ("x" * 152 + "€" + "y" * 10, 1, "gsm", 164, [152, 12]),
        ("x" * 151 + "€" + "y" * 10, 1, "gsm", 163, [153, 10]),
        ("付" * 70, 1, "ucs2", 70, [140]),
        ("付" * 71, 1, "ucs2", 71, [134, 8]),
        ("付" * 71, 2, "ucs2", 71, [132, 10]),
        ("付" * 66 + "👍" + "付" * 5, 1, "ucs2", 73, [132, 14]),
        ("付" * 65 + "👍" + "付" * 5, 1, "ucs2", 72, [134, 10]),
        ("x" * 70 + "`", 1, "ucs2", 71, [134, 8]),
    ],
)
def test_a_text_is_cut_where_its_alphabet_ends(
    text: str, reference_octets: Literal[1, 2], alphabet: str, units: int, sizes: list[int]
) -> None:
    segments = segment(text, reference_octets=reference_octets)
    assert (segments.alphabet, segments.units) == (alphabet, units)
    assert segments.data_coding == (0 if alphabet == "gsm" else 8)
    assert [len(part) for part in segments.parts] == sizes


@given(st.one_of(GSM_TEXT, SOME_GSM_SOME_NOT, st.text(max_size=300)), st.sampled_from([1, 2]))
@example("€" * 160, 1)
@example("👍" * 80, 2)
def test_every_part_can_be_read_alone_and_together_they_are_the_text(
    text: str, reference_octets: Literal[1, 2]
) -> None:
    segments = segment(text, reference_octets=reference_octets)
    gsm = segments.alphabet == "gsm"
    read = [decode_gsm(part) if gsm else part.decode("utf-16-be") for part in segments.parts]  # Strict: no torn pair.
    assert "".join(read) == text
    assert all(not part.endswith(b"\x1b") for part in segments.parts if gsm)
    header = 0 if len(segments.parts) == 1 else 5 + reference_octets
    assert all(
        (len(part) * 7 + 7) // 8 + header <= 140 if gsm else len(part) + header <= 140 for part in segments.parts
    )
    assert sum(map(len, segments.parts)) == segments.units * (1 if gsm else 2)


def test_more_parts_than_a_header_can_count_are_refused() -> None:
    assert len(segment("x" * 153 * 255).parts) == 255
    with pytest.raises(ValueError, match="expected at most 255 parts, got 256"):
        segment("x" * (153 * 255 + 1))


@pytest.mark.parametrize(
    ("text", "degraded"),
    [
        ("Caf\u00e9 \u00e0 la cr\u00e8me", "Caf\u00e9 \u00e0 la cr\u00e8me"),
        ("gar\u00e7on \u00eatre", "garcon etre"),
        ("\u201cpay\u201d \u2013 it\u2019s\u2026", '"pay" - it\'s...'),
        ("1\u00a0250", "1 250"),
        ("Łódź", "Lodz"),
        ("付款 4821", "?? 4821"),
        ("ﬁne ½", "fine 1/2"),
        ("a\u200bb\u0301", "ab"),
        ("`", "'"),
    ],
)
def test_a_degraded_text_is_gsm_and_still_readable(text: str, degraded: str) -> None:
    assert degrade(text) == degraded


@given(st.text(max_size=100))
def test_any_degraded_text_is_gsm_and_degrades_no_further(text: str) -> None:
    assert is_gsm(degrade(text))
    assert degrade(degrade(text)) == degrade(text)
