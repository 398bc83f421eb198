"""Parts of long messages: headers written and read; joined in any order, twice, late, or never; all within bounds."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carriers.smpp.wire.codec import Pdu
from carriers.smpp.wire.concat import (
    PARTS_MAX,
    Joined,
    Piece,
    Reassembler,
    Repeated,
    Segment,
    message_octets,
    read_segment,
    sar_tlvs,
    udh_8,
    udh_16,
)
from carriers.smpp.wire.tables import Tlv

PHONE = b"254700000001"
FORMS = ["udh8", "udh16", "sar"]


def an_mo(
    text: bytes,
    *,
    esm_class: int = 0,
    tlvs: list[tuple[int, bytes]] | None = None,
    phone: bytes = PHONE,
    coding: int = 0,
) -> Pdu:
    fields: dict[str, int | bytes] = {
        "source_addr": phone,
        "destination_addr": b"22345",
        "esm_class": esm_class,
        "data_coding": coding,
        "short_message": text,
    }
    return Pdu("deliver_sm", 0, 1, fields, tlvs or [])


def a_part(
    text: bytes,
    number: int,
    total: int,
    *,
    form: str = "udh8",
    reference: int = 7,
    phone: bytes = PHONE,
    coding: int = 0,
) -> Pdu:
    if form == "sar":
        return an_mo(text, tlvs=sar_tlvs(reference, total, number), phone=phone, coding=coding)
    header = (udh_8 if form == "udh8" else udh_16)(reference, total, number)
    return an_mo(header + text, esm_class=0x40, phone=phone, coding=coding)


def joined(out: list[Joined | Repeated]) -> Joined:
    (one,) = out
    assert isinstance(one, Joined)
    return one


def text_of(one: Joined) -> bytes:
    return b"".join(piece.payload for piece in one.pieces)


def test_headers_are_the_specifications_octets() -> None:
    """3GPP TS 23.040 §9.2.3.24.1 and .8; SMPP 3.4 §5.3.2.22 to .24."""
    assert udh_8(0xCC, 2, 1) == bytes.fromhex("05 00 03 CC 02 01")
    assert udh_16(0xABCD, 3, 2) == bytes.fromhex("06 08 04 AB CD 03 02")
    assert sar_tlvs(0x1234, 3, 2) == [(0x020C, b"\x12\x34"), (0x020E, b"\x03"), (0x020F, b"\x02")]


@pytest.mark.parametrize(
    ("reference", "total", "number"), [(256, 2, 1), (-1, 2, 1), (1, 2, 3), (1, 2, 0), (1, 256, 1), (1, 0, 0)]
)
def test_a_part_that_cannot_be_is_not_written(reference: int, total: int, number: int) -> None:
    with pytest.raises(ValueError, match="part"):
        udh_8(reference, total, number)


@pytest.mark.parametrize("form", FORMS)
def test_a_part_is_read_as_it_was_written(form: str) -> None:
    segment = read_segment(a_part(b"hello", 2, 3, form=form, coding=8))
    assert segment == Segment(payload=b"hello", data_coding=8, reference_kind=form, reference=7, total=3, number=2)


@pytest.mark.parametrize(
    ("octets", "payload"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"\x00hello", b"hello", id="empty header"),
        pytest.param(b"\x05\x00\x03\x07\x02\x00hello", b"hello", id="part 0"),
        pytest.param(b"\x05\x00\x03\x07\x02\x03hello", b"hello", id="part beyond the total"),
        pytest.param(b"\x05\x00\x03\x07\x00\x00hello", b"hello", id="no parts"),
        pytest.param(b"\x05\x00\x03\x07\x01\x01hello", b"hello", id="one part of one"),
        pytest.param(b"\x05\x00\x09\x07\x02\x01hello", b"hello", id="element longer than the header"),
        pytest.param(b"\x04\x00\x02\x07\x02hello", b"hello", id="element too short"),
        pytest.param(b"\x01\x00hello", b"hello", id="half an element"),
        pytest.param(b"\x06\x05\x04\x0b\x84\x23\xf0hello", b"hello", id="ports only"),
        pytest.param(b"\xffhello", b"\xffhello", id="header longer than the text"),
    ],
)
def test_a_header_that_makes_no_sense_leaves_a_whole_message(octets: bytes, payload: bytes) -> None:
    pdu = an_mo(octets, esm_class=0x40)
    assert read_segment(pdu) == Segment(payload=payload, data_coding=0)
    assert message_octets(pdu) == payload


def test_the_part_stands_behind_other_elements_too() -> None:
    header = bytes.fromhex("0B 05 04 0B84 23F0 00 03 07 02 01")
    assert read_segment(an_mo(header + b"hello", esm_class=0x40)).total == 2


def test_a_header_is_nearer_to_the_phone_than_tlvs_and_a_payload_has_one_too() -> None:
    both = a_part(b"hello", 1, 2)
    both.tlvs = sar_tlvs(9, 4, 4)
    assert read_segment(both).reference_kind == "udh8"
    payload = an_mo(b"", esm_class=0x40, tlvs=[(Tlv.MESSAGE_PAYLOAD, udh_8(7, 2, 1) + b"hello")])
    assert (read_segment(payload).payload, read_segment(payload).total) == (b"hello", 2)


def test_without_the_indicator_a_header_is_text() -> None:
    assert read_segment(an_mo(udh_8(7, 2, 1) + b"hello")).total == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))), ids=str)
def test_parts_in_any_order_are_one_message_with_all_their_tokens(form: str, order: tuple[int, ...]) -> None:
    texts = {1: b"one ", 2: b"two ", 3: b"three"}
    box = Reassembler()
    *first, last = order
    for number in first:
        assert box.add("bind", a_part(texts[number], number, 3, form=form), 0.0, number) == []
    whole = joined(box.add("bind", a_part(texts[last], last, 3, form=form), 1.0, last))
    assert (text_of(whole), whole.is_complete, set(whole.tokens)) == (b"one two three", True, {1, 2, 3})
    assert (whole.source, whole.destination, whole.bind) == (PHONE, b"22345", "bind")
    assert (box.waiting, box.waiting_octets, box.next_deadline()) == (0, 0, None)


def test_a_short_message_passes_at_once() -> None:
    whole = joined(Reassembler().add("bind", an_mo(b"4821", coding=8), 0.0, "t"))
    assert (whole.pieces, whole.is_complete, whole.tokens) == ((Piece(8, b"4821"),), True, ("t",))


def test_a_character_cut_between_two_parts_is_whole_again_and_alphabets_stay_apart() -> None:
    box = Reassembler()
    emoji = "😀".encode("utf-16-be")
    box.add("bind", a_part(emoji[:2], 1, 3, coding=8), 0.0)
    box.add("bind", a_part(emoji[2:], 2, 3, coding=8), 0.0)
    whole = joined(box.add("bind", a_part(b"end", 3, 3, coding=0), 0.0))
    assert whole.pieces == (Piece(8, emoji), Piece(0, b"end"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("other", a_part(b"two", 2, 2)), id="bind"),
        pytest.param(("bind", a_part(b"two", 2, 2, phone=b"254700000002")), id="phone"),
        pytest.param(("bind", a_part(b"two", 2, 2, reference=8)), id="reference"),
        pytest.param(("bind", a_part(b"two", 2, 3)), id="total"),
        pytest.param(("bind", a_part(b"two", 2, 2, form="udh16")), id="kind"),
        pytest.param(("bind", a_part(b"two", 2, 2, form="sar")), id="SAR"),
    ],
)
def test_parts_that_differ_in_anything_but_the_number_are_of_two_messages(other: tuple[str, Pdu]) -> None:
    box = Reassembler()
    assert box.add("bind", a_part(b"one", 1, 2), 0.0) == []
    assert box.add(*other, 0.0) == []
    assert box.waiting == 2


def test_a_part_that_comes_twice_counts_once_and_both_tokens_are_kept() -> None:
    box = Reassembler()
    box.add("bind", a_part(b"one", 1, 2), 0.0, "a")
    assert box.add("bind", a_part(b"one", 1, 2), 1.0, "b") == []
    assert box.waiting_octets == 3
    whole = joined(box.add("bind", a_part(b"two", 2, 2), 2.0, "c"))
    assert (text_of(whole), whole.tokens) == (b"onetwo", ("a", "b", "c"))


def test_a_part_of_a_finished_message_is_a_repetition_unless_that_was_forgotten() -> None:
    box = Reassembler()
    box.add("bind", a_part(b"one", 1, 2), 0.0)
    whole = joined(box.add("bind", a_part(b"two", 2, 2), 0.0))
    assert box.add("bind", a_part(b"one", 1, 2), 1.0, "again") == [Repeated("again")]
    box.forget(whole)
    assert box.add("bind", a_part(b"one", 1, 2), 1.0) == []
    assert text_of(joined(box.add("bind", a_part(b"two", 2, 2), 1.0))) == b"onetwo"


def test_a_reference_that_came_round_is_a_new_message() -> None:
    box = Reassembler()
    box.add("bind", a_part(b"one", 1, 2), 0.0)
    box.add("bind", a_part(b"two", 2, 2), 0.0)
    assert box.add("bind", a_part(b"new", 1, 2), 1.0) == []
    assert text_of(joined(box.add("bind", a_part(b"er", 2, 2), 1.0))) == b"newer"


def test_another_text_under_a_waiting_part_hands_the_old_one_over() -> None:
    box = Reassembler()
    box.add("bind", a_part(b"old", 1, 2), 0.0, "old")
    old = joined(box.add("bind", a_part(b"new", 1, 2), 1.0, "new"))
    assert (text_of(old), old.is_complete, old.tokens) == (b"old", False, ("old",))
    assert box.next_deadline() == 301.0


def test_a_repetition_is_known_for_as_long_as_parts_are_waited_for() -> None:
    box = Reassembler(timeout_s=60.0)
    box.add("bind", a_part(b"one", 1, 2), 0.0)
    box.add("bind", a_part(b"two", 2, 2), 10.0)
    assert box.add("bind", a_part(b"one", 1, 2), 59.0, "t") == [Repeated("t")]
    assert box.add("bind", a_part(b"one", 1, 2), 60.0) == []


def test_a_missing_part_is_not_waited_for_for_ever() -> None:
    box = Reassembler(timeout_s=60.0)
    box.add("bind", a_part(b"three", 3, 3), 10.0, 3)
    box.add("bind", a_part(b"one", 1, 3), 20.0, 1)
    assert box.next_deadline() == 70.0
    assert box.advance(69.9) == []
    (late,) = box.advance(70.0)
    assert (late.is_complete, late.tokens) == (False, (3, 1))
    # Not run together: between them something is missing.
    assert late.pieces == (Piece(0, b"one"), Piece(0, b"three"))
    assert (box.waiting, box.waiting_octets, box.next_deadline()) == (0, 0, None)


def test_a_part_after_the_time_hands_the_old_ones_over_first() -> None:
    box = Reassembler(timeout_s=60.0)
    box.add("bind", a_part(b"one", 1, 2), 0.0, 1)
    assert text_of(joined(box.add("bind", a_part(b"two", 2, 2), 60.0, 2))) == b"one"
    assert box.waiting == 1


def test_more_parts_than_any_reply_has_are_handed_over_one_by_one() -> None:
    box = Reassembler()
    for number in range(1, PARTS_MAX + 2):
        one = joined(box.add("bind", a_part(b"x", number, PARTS_MAX + 1), 0.0, number))
        assert (one.is_complete, one.tokens) == (False, (number,))
    assert box.waiting == 0
    for number in range(1, PARTS_MAX):
        assert box.add("bind", a_part(b"x", number, PARTS_MAX), 0.0) == []


def test_the_oldest_makes_room_and_nothing_is_lost() -> None:
    box = Reassembler(groups_max=100)
    pushed = []
    for number in range(1_000):
        phone = b"2547%08d" % number
        out = box.add("bind", a_part(b"part", 1, 2, phone=phone), 0.0, number)
        pushed += [one for one in out if isinstance(one, Joined)]
        assert box.waiting <= 100
        assert box.waiting_octets <= 400
    assert [one.tokens for one in pushed] == [(number,) for number in range(900)]
    assert [one.tokens for one in box.flush()] == [(number,) for number in range(900, 1_000)]
    assert (box.waiting, box.waiting_octets) == (0, 0)


def test_octets_are_bounded_too() -> None:
    box = Reassembler(octets_max=1_000)
    for number in range(50):
        box.add("bind", a_part(b"x" * 130, 1, 2, phone=b"2547%08d" % number), 0.0)
        assert box.waiting_octets <= 1_000


def test_what_was_finished_is_remembered_within_a_bound() -> None:
    box = Reassembler(groups_max=10)
    for number in range(1_000):
        phone = b"2547%08d" % number
        box.add("bind", a_part(b"one", 1, 2, phone=phone), 0.0)
        box.add("bind", a_part(b"two", 2, 2, phone=phone), 0.0)
    assert len(box._done) <= 11


PART = st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from([2, 3, 4, 12]), st.sampled_from([b"a", b"bb"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(PART, max_size=25), st.lists(st.binary(max_size=20), max_size=5))
def test_every_token_comes_back_exactly_once(parts: list[tuple[int, int, int, bytes]], raw: list[bytes]) -> None:
    box = Reassembler(timeout_s=5.0, groups_max=3)
    back: list[object] = []
    pdus = [a_part(text, min(number, total), total, reference=at) for at, number, total, text in parts]
    pdus += [an_mo(octets, esm_class=0x40) for octets in raw]
    for now, pdu in enumerate(pdus):
        for one in box.add("bind", pdu, float(now), now):
            back += one.tokens if isinstance(one, Joined) else [one.token]
    back += [token for one in box.flush() for token in one.tokens]
    assert sorted(back, key=str) == sorted(range(len(pdus)), key=str)
    assert box.waiting_octets == 0
