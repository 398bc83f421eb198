"""Ids keep the order of their bytes; refs survive being read aloud and typed wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import (
    ALPHABET,
    PREFIXES,
    encode_id,
    first_id_at,
    is_id,
    made_at_ms,
    normalise_ref,
    receipt_ref,
)
from gateway.core.keywords import Receipt, read_command

RAW = st.binary(min_size=16, max_size=16)
REFS = RAW.map(lambda raw: receipt_ref(encode_id("pay_", raw)))


def test_the_alphabet_is_crockfords() -> None:
    assert ALPHABET == "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (bytes(16), "0" * 26),
        (b"\xff" * 16, "7" + "z" * 25),
        (bytes(15) + b"\x01", "0" * 25 + "1"),
        (bytes(15) + b"\x20", "0" * 24 + "10"),
    ],
)
def test_ids_are_the_base_32_of_their_bytes(raw: bytes, body: str) -> None:
    assert encode_id("pay_", raw) == "pay_" + body


@given(RAW, RAW)
def test_ids_sort_as_their_bytes_and_are_different_for_different_bytes(one: bytes, other: bytes) -> None:
    assert (encode_id("evt_", one) < encode_id("evt_", other)) == (one < other)
    assert (encode_id("evt_", one) == encode_id("evt_", other)) == (one == other)


@given(st.integers(min_value=0, max_value=2**48 - 1))
def test_an_id_tells_when_it_was_made(at_ms: int) -> None:
    assert made_at_ms(first_id_at("ent_", at_ms)) == at_ms


@given(RAW, st.sampled_from(sorted(PREFIXES)))
def test_an_id_is_one_of_its_own_kind_only(raw: bytes, prefix: str) -> None:
    made = encode_id(prefix, raw)
    assert [kind for kind in PREFIXES if is_id(made, kind)] == [prefix]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay_",
        "pay_" + "0" * 25,
        "pay_" + "0" * 27,
        "pay_" + "8" + "0" * 25,
        "pay_" + "0" * 25 + "u",
        "pay_" + "0" * 25 + "A",
        "PAY_" + "0" * 26,
        "att_" + "0" * 26,
        "0" * 30,
        "pay_" + "0" * 25 + "\n",
        "pay_" + "٠" * 26,
    ],
)
def test_what_only_resembles_an_id_is_none(text: str) -> None:
    assert not is_id(text, "pay_")


@pytest.mark.parametrize(
    ("prefix", "raw"), [("xxx_", bytes(16)), ("pay", bytes(16)), ("pay_", bytes(15)), ("pay_", b"")]
)
def test_an_unknown_prefix_or_another_length_is_refused(prefix: str, raw: bytes) -> None:
    with pytest.raises(ValueError, match="expected a known prefix and 16 bytes"):
        encode_id(prefix, raw)


def test_refs_stay_what_they_are() -> None:
    """People keep them in their phones: this value may never change."""
    assert receipt_ref("pay_00041061050r3gg28a1c60t3gf") == "H8JTSGRC"


@given(REFS)
def test_a_ref_is_eight_characters_that_nobody_confuses(ref: str) -> None:
    assert len(ref) == 8
    assert set(ref) <= set(ALPHABET)
    assert normalise_ref(ref) == ref


@given(REFS)
def test_a_ref_is_neither_a_word_nor_a_number_however_it_is_typed(ref: str) -> None:
    for typed in (ref, ref.lower().replace("0", "o").replace("1", "l")):
        assert not typed.isalpha() and not typed.isdigit()
        assert read_command(f"receipt {typed}") == Receipt(typed.upper())


@given(REFS, st.integers(1, 7))
def test_a_ref_may_be_typed_in_any_case_with_dashes_and_look_alikes(ref: str, at: int) -> None:
    typed = f" {ref[:at]}-{ref[at:]} ".lower().replace("0", "o").replace("1", "l")
    assert normalise_ref(typed) == ref
    assert normalise_ref(ref.replace("0", "O").replace("1", "I")) == ref


@given(REFS, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_seen(ref: str, at: int, character: str) -> None:
    typed = ref[:at] + character + ref[at + 1 :]
    assert (normalise_ref(typed) == ref) == (typed == ref)
    assert typed == ref or normalise_ref(typed) is None


@given(REFS, st.integers(0, 6))
def test_two_neighbours_that_changed_places_are_seen(ref: str, at: int) -> None:
    typed = ref[:at] + ref[at + 1] + ref[at] + ref[at + 2 :]
    assert typed == ref or normalise_ref(typed) is None


@pytest.mark.parametrize(
    "text", ["", "H8JTSGR", "H8JTSGRCC", "H8JTSGRU", "hello", "H8JTSGR!", "x" * 10_000, "Ħ8JTSGRC"]
)
def test_what_is_no_ref_is_none(text: str) -> None:
    assert normalise_ref(text) is None


def test_ten_thousand_refs_hardly_ever_meet() -> None:
    refs = {receipt_ref(f"pay_{n}") for n in range(10_000)}
    assert len(refs) >= 9_998  # 7 characters: 34 milliards of refs, 0.0015 meetings expected.
