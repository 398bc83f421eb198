"""The codec against octets typed from the specification, against every way to break them, and against chance."""

import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carriers.smpp.wire.codec import Framer, Pdu, ProtocolError, decode, encode, frame_header
from carriers.smpp.wire.tables import (
    COMMAND_IDS,
    FRAME_OCTETS_MAX,
    LAYOUTS,
    RESPONSE_BIT,
    Kind,
    Status,
    status_name,
)
from tests.carriers.smpp.golden import BY_NAME, GOLDEN, Golden

SUBMIT = BY_NAME["submit_sm"]
MO = BY_NAME["deliver_sm"]
NAMES = [golden.name for golden in GOLDEN]
FRAMES = st.sampled_from([golden.octets for golden in GOLDEN])


def frame(code: int, body: bytes = b"", *, status: int = 0, sequence: int = 1, length: int | None = None) -> bytes:
    size = 16 + len(body) if length is None else length
    return struct.pack(">IIII", size, code, status, sequence) + body


def read(octets: bytes) -> Pdu | ProtocolError:
    try:
        return decode(octets)
    except ProtocolError as fault:
        return fault


def fault_of(octets: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(octets)
    return caught.value


def refusal_of(pdu: Pdu) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        encode(pdu)
    return caught.value


def changed(golden: Golden, **fields: Any) -> Pdu:  # Any: some are of a wrong type on purpose.
    return Pdu(golden.pdu.command, golden.pdu.status, golden.pdu.sequence, {**golden.pdu.fields, **fields})


# SMPP 3.4 §5.1.2.1, typed by hand.
CODES = {
    "generic_nack": 0x80000000,
    "bind_receiver": 0x00000001,
    "bind_transmitter": 0x00000002,
    "query_sm": 0x00000003,
    "submit_sm": 0x00000004,
    "deliver_sm": 0x00000005,
    "unbind": 0x00000006,
    "replace_sm": 0x00000007,
    "cancel_sm": 0x00000008,
    "bind_transceiver": 0x00000009,
    "outbind": 0x0000000B,
    "enquire_link": 0x00000015,
    "alert_notification": 0x00000102,
    "data_sm": 0x00000103,
}
WITHOUT_RESPONSE = {"generic_nack", "outbind", "alert_notification"}


def test_every_command_has_the_specifications_id_and_its_response_the_same_with_the_top_bit() -> None:
    responses = {f"{name}_resp": code | RESPONSE_BIT for name, code in CODES.items() if name not in WITHOUT_RESPONSE}
    assert CODES | responses == COMMAND_IDS


def test_every_command_has_golden_octets() -> None:
    assert {golden.pdu.command for golden in GOLDEN} == set(LAYOUTS)


@pytest.mark.parametrize("golden", GOLDEN, ids=NAMES)
def test_golden_octets_are_read_as_what_they_mean(golden: Golden) -> None:
    assert decode(golden.octets) == golden.pdu


@pytest.mark.parametrize("golden", GOLDEN, ids=NAMES)
def test_a_pdu_is_written_as_its_golden_octets(golden: Golden) -> None:
    assert encode(golden.pdu) == golden.octets


@pytest.mark.parametrize("golden", GOLDEN, ids=NAMES)
def test_fields_left_out_are_zero_or_empty_and_their_order_does_not_matter(golden: Golden) -> None:
    said = {name: value for name, value in reversed(golden.pdu.fields.items()) if value not in (0, b"")}
    pdu = Pdu(golden.pdu.command, golden.pdu.status, golden.pdu.sequence, said, golden.pdu.tlvs)
    assert encode(pdu) == golden.octets


def test_the_header_is_read_even_if_the_body_cannot_be() -> None:
    assert frame_header(frame(0x99, b"???", status=7, sequence=0xFFFFFFFF)) == (19, 0x99, 7, 0xFFFFFFFF)


@pytest.mark.parametrize("status", [0x00, 0x58, 0x400, 0xFFFFFFFF])
def test_any_status_goes_through(status: int) -> None:
    assert decode(frame(0x80000004, b"id\0", status=status)).status == status


def test_a_status_has_its_name_or_its_number() -> None:
    assert [status_name(number) for number in (0, 0x58, 0x400)] == ["ESME_ROK", "ESME_RTHROTTLED", "0x00000400"]


@pytest.mark.parametrize("golden", GOLDEN, ids=NAMES)
def test_a_body_cut_anywhere_is_refused_or_loses_only_its_tail(golden: Golden) -> None:
    for end in range(16, len(golden.octets)):
        cut = struct.pack(">I", end) + golden.octets[4:end]
        pdu = read(cut)
        if isinstance(pdu, ProtocolError):
            assert (pdu.command, pdu.sequence) == (golden.pdu.command, golden.pdu.sequence)
            continue
        is_bodiless = end == 16 and pdu.command.endswith("_resp")
        assert is_bodiless or pdu.fields == golden.pdu.fields
        assert pdu.tlvs == golden.pdu.tlvs[: len(pdu.tlvs)]


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        pytest.param(b"", Status.RINVCMDLEN, id="nothing"),
        pytest.param(b"\0\0\0\x10" + bytes(11), Status.RINVCMDLEN, id="fifteen octets"),
        pytest.param(frame(0x15, length=0), Status.RINVCMDLEN, id="length 0"),
        pytest.param(frame(0x15, length=15), Status.RINVCMDLEN, id="length 15"),
        pytest.param(frame(0x15, length=17), Status.RINVCMDLEN, id="length more than there is"),
        pytest.param(frame(0x15, length=0x7FFFFFFF), Status.RINVCMDLEN, id="length huge"),
        pytest.param(frame(0x15, length=0xFFFFFFFF), Status.RINVCMDLEN, id="length negative"),
        pytest.param(frame(0x15, bytes(FRAME_OCTETS_MAX)), Status.RINVCMDLEN, id="frame too long"),
        pytest.param(frame(0x99), Status.RINVCMDID, id="unknown request"),
        pytest.param(frame(0x80000099), Status.RINVCMDID, id="unknown response"),
        pytest.param(frame(0x21, bytes(40)), Status.RINVCMDID, id="submit_multi"),
    ],
)
def test_a_broken_frame_is_refused_with_its_status(octets: bytes, status: int) -> None:
    assert fault_of(octets).status == status


# Offsets of the fields in `submit_sm`'s golden octets follow from §4.4.1; a field is grown in its place.
GROWN = {
    "service_type": (b"CMT\0", b"CMTCMT\0", Status.RINVSERTYP),
    "source_addr": (b"PAYSHOP\0", b"P" * 21 + b"\0", Status.RINVSRCADR),
    "destination_addr": (b"254700000001\0", b"2" * 21 + b"\0", Status.RINVDSTADR),
    "schedule_delivery_time": (b"261123090000004+\0", b"261123090000004+0\0", Status.RINVSCHED),
    "validity_period": (b"000000001500000R\0", b"000000001500000R0\0", Status.RINVEXPIRY),
}


@pytest.mark.parametrize("field", GROWN)
def test_a_field_of_a_submit_that_is_too_long_is_named_by_its_status(field: str) -> None:
    old, new, status = GROWN[field]
    grown = SUBMIT.octets.replace(old, new, 1)
    fault = fault_of(struct.pack(">I", len(grown)) + grown[4:])
    assert (fault.status, fault.command, fault.sequence) == (status, "submit_sm", 0x7FFFFFFF)
    assert field in fault.reason


@pytest.mark.parametrize("field", [name for name in GROWN if not name.endswith(("time", "period"))])
def test_a_field_of_a_submit_may_be_as_long_as_the_specification_says(field: str) -> None:
    old, new, _ = GROWN[field]
    grown = SUBMIT.octets.replace(old, new[1:], 1)
    assert decode(struct.pack(">I", len(grown)) + grown[4:]).octets(field) == new[1:-1]


@pytest.mark.parametrize("command", LAYOUTS)
def test_every_string_of_every_pdu_has_its_limit(command: str) -> None:
    for at, field in enumerate(LAYOUTS[command]):
        if field.kind is not Kind.C_STRING:
            continue
        ahead = b"".join(bytes([0]) for _ in LAYOUTS[command][:at])
        behind = bytes(300)
        fault = fault_of(frame(COMMAND_IDS[command], ahead + b"1" * field.octets_max + behind))
        assert fault.command == command
        assert field.name in fault.reason
        assert "too long" in fault.reason


def test_the_limits_of_strings_are_those_of_the_specification() -> None:
    """With the closing NUL, §5.2."""
    common = {"service_type": 6, "source_addr": 21, "destination_addr": 21, "validity_period": 17}
    wanted = {
        "bind_transceiver": {"system_id": 16, "password": 9, "system_type": 13, "address_range": 41},
        "bind_transceiver_resp": {"system_id": 16},
        "outbind": {"system_id": 16, "password": 9},
        "submit_sm": common | {"schedule_delivery_time": 17},
        "submit_sm_resp": {"message_id": 65},
        "data_sm": {"service_type": 6, "source_addr": 65, "destination_addr": 65},
        "query_sm": {"message_id": 65, "source_addr": 21},
        "query_sm_resp": {"message_id": 65, "final_date": 17},
        "alert_notification": {"source_addr": 65, "esme_addr": 65},
    }
    for command, limits in wanted.items():
        strings = {field.name: field.octets_max for field in LAYOUTS[command] if field.kind is Kind.C_STRING}
        assert strings == limits, command


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"CMT", "service_type has no closing NUL", id="first string"),
        pytest.param(b"\0\1\1" + b"254700", "source_addr has no closing NUL", id="address"),
        pytest.param(b"\0\1", "the body ends before source_addr_npi", id="between integers"),
        pytest.param(b"", "the body ends before service_type", id="no body"),
    ],
)
def test_a_missing_nul_is_refused_as_a_wrong_length(body: bytes, reason: str) -> None:
    fault = fault_of(frame(0x04, body))
    assert (fault.status, fault.reason) == (Status.RINVCMDLEN, reason)


@pytest.mark.parametrize("code", [0x04, 0x05, 0x07])
def test_a_text_longer_than_its_frame_is_refused(code: int) -> None:
    body = {0x04: bytes(16), 0x05: bytes(16), 0x07: bytes(8)}[code]
    assert fault_of(frame(code, body + b"\x05" + b"four")).status == Status.RINVMSGLEN
    assert decode(frame(code, body + b"\x04" + b"four")).octets("short_message") == b"four"


def test_a_text_of_255_octets_is_its_senders_fault_but_no_reason_to_lose_a_reply() -> None:
    body = bytes(16) + b"\xff" + bytes(255)
    assert fault_of(frame(0x04, body)).status == Status.RINVMSGLEN
    assert len(decode(frame(0x05, body)).octets("short_message")) == 255


def test_an_address_that_is_too_long_is_found_before_the_text_is_judged() -> None:
    body = b"\0\1\1" + b"2" * 30 + b"\0" + bytes(13) + b"\xff"
    assert fault_of(frame(0x05, body)).status == Status.RINVSRCADR


BROKEN_TAILS = [
    pytest.param(b"\x02", id="one octet"),
    pytest.param(b"\x02\x04\x00", id="half a header"),
    pytest.param(b"\x02\x04\x00\x02\x12", id="value cut"),
    pytest.param(b"\x02\x04\xff\xff\x12", id="length huge"),
]


def with_tail(golden: Golden, tail: bytes) -> bytes:
    octets = golden.octets + tail
    return struct.pack(">I", len(octets)) + octets[4:]


@pytest.mark.parametrize("tail", BROKEN_TAILS)
def test_a_submit_with_a_broken_tlv_is_refused(tail: bytes) -> None:
    assert fault_of(with_tail(SUBMIT, tail)).status == Status.RINVOPTPARSTREAM


@pytest.mark.parametrize("tail", BROKEN_TAILS)
@pytest.mark.parametrize(
    "name", ["deliver_sm", "data_sm", "alert_notification", "submit_sm_resp", "bind_receiver_resp"]
)
def test_what_must_not_be_lost_keeps_its_good_tlvs_before_a_broken_one(name: str, tail: bytes) -> None:
    golden = BY_NAME[name]
    pdu = decode(with_tail(golden, b"\x14\x03\x00\x01\xaa" + tail))
    assert (pdu.fields, pdu.tlvs) == (golden.pdu.fields, [*golden.pdu.tlvs, (0x1403, b"\xaa")])
    assert pdu.tlv_error


@pytest.mark.parametrize("name", ["enquire_link", "unbind"])
def test_octets_behind_an_empty_body_are_refused_unless_they_are_tlvs(name: str) -> None:
    assert fault_of(with_tail(BY_NAME[name], b"\0")).status == Status.RINVOPTPARSTREAM
    assert decode(with_tail(BY_NAME[name], b"\x14\x00\x00\x00")).tlvs == [(0x1400, b"")]


def test_tlvs_of_any_tag_and_number_keep_their_order() -> None:
    tlvs = [(0x1403, b""), (0x0424, b"x" * 300), (0x1403, b"again"), (0xFFFF, b"\0"), (0x0000, b"zero")]
    pdu = Pdu("deliver_sm", 0, 1, MO.pdu.fields, tlvs)
    assert decode(encode(pdu)).tlvs == tlvs
    assert decode(encode(pdu)).tlv(0x1403) == b""
    assert pdu.tlv(0x0001) is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"source_addr": b"P" * 21}, Status.RINVSRCADR, id="sender too long"),
        pytest.param({"destination_addr": b"2" * 21}, Status.RINVDSTADR, id="number too long"),
        pytest.param({"service_type": b"CMTCMT"}, Status.RINVSERTYP, id="service too long"),
        pytest.param({"short_message": b"x" * 255}, Status.RINVMSGLEN, id="text too long"),
        pytest.param({"destination_addr": b"2547\x00001"}, Status.RINVDSTADR, id="NUL inside"),
        pytest.param({"validity_period": b"000000001500000"}, Status.RINVEXPIRY, id="time of 15 characters"),
        pytest.param({"schedule_delivery_time": b"0"}, Status.RINVSCHED, id="time of 1 character"),
        pytest.param({"source_addr_ton": 256}, Status.RSYSERR, id="integer above an octet"),
        pytest.param({"source_addr_ton": -1}, Status.RSYSERR, id="integer below zero"),
        pytest.param({"source_addr_ton": b"a"}, Status.RSYSERR, id="an octet for an integer"),
        pytest.param({"data_coding": 0.5}, Status.RSYSERR, id="float for an integer"),
        pytest.param({"esm_class": None}, Status.RSYSERR, id="nothing for an integer"),
        pytest.param({"source_addr": "PAYSHOP"}, Status.RSYSERR, id="str for bytes"),
        pytest.param({"source_addr": ""}, Status.RSYSERR, id="empty str for bytes"),
        pytest.param({"validity_period": "000000001500000R"}, Status.RSYSERR, id="str for a time"),
        pytest.param({"destination_addr": 254700000001}, Status.RSYSERR, id="integer for bytes"),
        pytest.param({"short_message": "text"}, Status.RSYSERR, id="str for a text"),
        pytest.param({"short_message": 7}, Status.RSYSERR, id="integer for a text"),
        pytest.param({"short_message": None}, Status.RSYSERR, id="nothing for a text"),
        pytest.param({"sm_length": 4}, Status.RSYSERR, id="sm_length is ours to say"),
        pytest.param({"message_id": b"1"}, Status.RSYSERR, id="a field of another command"),
        pytest.param({"user_message_reference": 1}, Status.RSYSERR, id="a TLV by its name"),
    ],
)
def test_what_does_not_fit_is_refused_and_never_cut(fields: dict[str, Any], status: int) -> None:
    refusal = refusal_of(changed(SUBMIT, **fields))
    assert (refusal.status, refusal.command) == (status, "submit_sm")


@pytest.mark.parametrize(("name", "octets"), [("password", 9), ("system_id", 16), ("system_type", 13)])
def test_a_bind_that_does_not_fit_is_refused(name: str, octets: int) -> None:
    golden = BY_NAME["bind_transceiver"]
    refusal_of(changed(golden, **{name: b"x" * octets}))
    assert decode(encode(changed(golden, **{name: b"x" * (octets - 1)}))).octets(name) == b"x" * (octets - 1)


@pytest.mark.parametrize(
    "tlvs",
    [
        [(0x10000, b"")],
        [(-1, b"")],
        [("0424", b"")],
        [(0x0424, "text")],
        [(0x0424, 5)],
        [(0x0424, b"x" * 0x10000)],
        [(0x0424, b"x" * 40_000), (0x0424, b"x" * 40_000)],
    ],
    ids=[
        "tag too big",
        "tag negative",
        "tag of str",
        "value of str",
        "value of int",
        "value too long",
        "frame too long",
    ],
)
def test_tlvs_that_do_not_fit_are_refused(tlvs: list[Any]) -> None:
    refusal_of(Pdu("data_sm", 0, 1, {}, tlvs))


@pytest.mark.parametrize(("status", "sequence"), [(-1, 1), (1 << 32, 1), (0, -1), (0, 1 << 32), ("0", 1), (0, None)])
def test_a_header_that_does_not_fit_is_refused(status: Any, sequence: Any) -> None:
    refusal_of(Pdu("enquire_link", status, sequence))


def test_an_unknown_command_is_refused() -> None:
    assert refusal_of(Pdu("submit_multi", 0, 1)).status == Status.RINVCMDID


def test_no_value_of_the_wire_stands_in_a_reason_or_a_log() -> None:
    bind = BY_NAME["bind_transceiver"].pdu
    assert "secret01" not in repr(bind)
    shown = repr(changed(MO, short_message=b"4821 yes"))
    assert "4821" not in shown
    assert "254700000001" not in shown
    assert "40404" in shown
    assert "2547" in shown
    for fields in ({"source_addr": b"254700000001254700000001"}, {"short_message": b"4821" * 64}):
        assert "4821" not in refusal_of(changed(MO, **fields)).reason
        assert "254700" not in refusal_of(changed(MO, **fields)).reason


def survives(octets: bytes) -> None:
    """Read or refused, and what is read can be written again unless the specification forbids it."""
    pdu = read(octets)
    if isinstance(pdu, ProtocolError):
        return
    assert repr(pdu)
    try:
        again = encode(pdu)
    except ProtocolError:  # A time of odd length or a text of 255 octets is read, as SMSCs send it, and never written.
        return
    if pdu.tlv_error is None and (pdu.fields or not LAYOUTS[pdu.command]):
        assert again == octets


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120))
@example(b"\xff" * 16)
def test_random_octets_raise_nothing_else(octets: bytes) -> None:
    survives(octets)
    survives(struct.pack(">I", len(octets) + 4) + octets)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(COMMAND_IDS.values())), st.binary(max_size=90))
def test_random_bodies_under_every_command_raise_nothing_else(code: int, body: bytes) -> None:
    survives(frame(code, body))


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_changed_octets_raise_nothing_else(octets: bytes, changes: list[tuple[int, int]], mend: bool) -> None:
    mutated = bytearray(octets)
    for at, value in changes:
        mutated[at % len(mutated)] = value
    if mend:  # With its length right the damage reaches the body.
        mutated[:4] = struct.pack(">I", len(mutated))
    survives(bytes(mutated))


@settings(max_examples=100, deadline=None)
@given(FRAMES, st.integers(0, 120), st.integers(0, 120), st.binary(max_size=8))
def test_octets_taken_out_and_put_in_raise_nothing_else(octets: bytes, start: int, stop: int, new: bytes) -> None:
    body = octets[4:]
    spliced = body[: start % len(body)] + new + body[stop % len(body) :]
    survives(struct.pack(">I", len(spliced) + 4) + spliced)


def values_of(command: str) -> st.SearchStrategy[dict[str, int | bytes]]:
    kinds: dict[str, st.SearchStrategy[int | bytes]] = {}
    for field in LAYOUTS[command]:
        if field.kind is Kind.INTEGER:
            kinds[field.name] = st.integers(0, 255)
        elif field.kind is Kind.OCTETS:
            kinds[field.name] = st.binary(max_size=field.octets_max)
        elif field.octets_max == 17:
            kinds[field.name] = st.sampled_from([b"", b"261123090000004+"])
        else:
            text = st.binary(max_size=field.octets_max - 1)
            kinds[field.name] = text.map(lambda octets: octets.replace(b"\0", b"0"))
    return st.fixed_dictionaries(kinds)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(LAYOUTS)))
    fields = data.draw(values_of(command))
    tlvs = data.draw(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=20)), max_size=3))
    pdu = Pdu(command, 0, data.draw(st.integers(0, 0xFFFFFFFF)), fields, tlvs)
    assert decode(encode(pdu)) == pdu


STREAM = b"".join(golden.octets for golden in GOLDEN)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 64, len(STREAM)])
def test_a_stream_in_pieces_of_any_size_is_cut_into_its_frames(size: int) -> None:
    framer = Framer()
    frames = [one for at in range(0, len(STREAM), size) for one in framer.feed(STREAM[at : at + size])]
    assert frames == [golden.octets for golden in GOLDEN]
    assert framer.waiting_octets == 0
    assert framer.fault is None


@pytest.mark.parametrize("length", [0, 1, 4, 15, FRAME_OCTETS_MAX + 1, 0x7FFFFFFF, 0x80000010, 0xFFFFFFFF])
def test_a_bad_length_ends_the_stream_and_nothing_is_kept(length: int) -> None:
    framer = Framer()
    assert framer.feed(MO.octets + struct.pack(">I", length) + bytes(100)) == [MO.octets]
    assert framer.fault is not None
    assert framer.fault.status == Status.RINVCMDLEN
    assert framer.feed(MO.octets) == []
    assert framer.waiting_octets == 0


def test_the_longest_frame_is_taken() -> None:
    longest = frame(0x15, bytes(FRAME_OCTETS_MAX - 16))
    framer = Framer()
    assert framer.feed(longest[:-1]) == []
    assert framer.waiting_octets == FRAME_OCTETS_MAX - 1
    assert framer.feed(longest[-1:]) == [longest]
