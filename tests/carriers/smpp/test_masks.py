"""A masked PDU has its lengths and its sense, and neither the phone's number nor a code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carriers.base import Mt
from carriers.smpp.masks import masked_receipt, masked_submit, masked_text
from carriers.smpp.mt import Composer
from carriers.smpp.settings import Settings
from carriers.smpp.wire.codec import Pdu, decode, encode
from carriers.smpp.wire.concat import message_octets
from carriers.smpp.wire.tables import Tlv
from gateway.core.gsm import DefaultAlphabet, decode_text, pack_septets

PHONE = b"254700000555"
ASK = "Mama Asha asks KES 1,250.00. To PAY reply 4821 by 10:15, or 0 to refuse."


def submitted(text: str, **settings: object) -> list[Pdu]:
    """The PDUs of *text*, masked and read again."""
    bind = Settings(host="smsc", system_id="a", password="", source_addr="22345", **settings)  # type: ignore[arg-type]
    parts = Composer(bind, first_reference=0x2F).parts(Mt(id="m", msisdn=f"+{PHONE.decode()}", text=text), 0)
    frames = [encode(Pdu("submit_sm", 0, 7, part.fields, part.tlvs)) for part in parts]
    masked = [masked_submit(frame, part.fields, part.tlvs) for frame, part in zip(frames, parts, strict=True)]
    assert [len(frame) for frame in masked] == [len(frame) for frame in frames]
    return [decode(frame) for frame in masked]


def delivered(text: bytes, *, alphabet: DefaultAlphabet = "gsm", **fields: int | bytes) -> Pdu:
    """A phone's *text*, masked and read again."""
    values: dict[str, int | bytes] = {"source_addr": PHONE, "destination_addr": b"22345", "short_message": text}
    frame = encode(Pdu("deliver_sm", 0, 7, {**values, **fields}))
    masked = masked_text(decode(frame), alphabet)
    assert len(masked) == len(frame)
    return decode(masked)


def test_an_ask_keeps_all_but_the_number_and_the_code() -> None:
    [pdu] = submitted(ASK)
    assert pdu.octets("destination_addr") == b"*" * len(PHONE)
    assert pdu.octets("source_addr") == b"22345"
    text = decode_text(pdu.octets("short_message"), 0)
    assert text == ASK.replace("4821", "****")


def test_an_ask_in_ucs_2() -> None:
    [pdu] = submitted("付款请回复 4821, 10:15")
    assert (
        decode_text(pdu.octets("short_message"), 8) == "付款请回复 ****, 10:**"
    )  # What ends a part may go on in the next.


@pytest.mark.parametrize("concatenation", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize(("letter", "room"), [("a", 153), ("多", 67)])
def test_a_code_that_two_parts_share_stands_in_neither(concatenation: str, letter: str, room: int) -> None:
    for before in range(room - 6, room + 1):
        text = letter * before + "4821" + letter * 100
        pdus = submitted(text, concatenation=concatenation)
        hidden = "".join(decode_text(message_octets(pdu), pdu.integer("data_coding")) for pdu in pdus)
        assert hidden == text.replace("4821", "****")
        assert (len(pdus) == 1) == (concatenation == "payload")


TYPED = [
    pytest.param(b"Yes 48 21!", 0, "Yes ** **!", id="gsm"),
    pytest.param(b"482l \xb2", 3, "***l *", id="latin1"),
    pytest.param("好 4821".encode("utf-16-be"), 8, "好 ****", id="ucs2"),
    pytest.param("٤٨٢١".encode("utf-16-be"), 8, "****", id="arabic"),
    pytest.param("４８２１ ②".encode("utf-16-be"), 8, "**** *", id="full width"),
    pytest.param("𝟒821".encode("utf-16-be"), 8, "*****", id="of two units"),
    pytest.param(b"\xff\xfe" + "4821".encode("utf-16-le"), 8, "****", id="little end first"),
    pytest.param("4821".encode("utf-16-be") + b"\x34", 8, "****", id="half a unit"),
    pytest.param(b"\xd8\x004821", 4, "Ø\x00****", id="binary"),
    pytest.param("4821".encode("shift_jis"), 5, "****", id="shift jis"),
]


@pytest.mark.parametrize(("octets", "coding", "text"), TYPED)
def test_of_what_a_phone_sent_every_digit_is_hidden(octets: bytes, coding: int, text: str) -> None:
    pdu = delivered(octets, data_coding=coding)
    assert pdu.octets("source_addr") == b"*" * len(PHONE)
    assert decode_text(pdu.octets("short_message"), coding) == text


def test_packed_septets_are_hidden_as_a_whole() -> None:
    pdu = delivered(pack_septets(b"yes 4821"), alphabet="gsm_packed")
    assert set(pdu.octets("short_message")) == {ord("*")}


def test_a_part_whose_characters_may_be_cut_is_hidden_behind_its_header() -> None:
    header = bytes((5, 0, 3, 0x30, 2, 2))
    pdu = delivered(header + b"\x34\x00\x38\x00\x32\x00\x31", data_coding=8, esm_class=0x40)
    assert pdu.octets("short_message") == header + b"*" * 7


def test_a_receipt_keeps_its_id_and_hides_the_text_that_it_repeats() -> None:
    text = b"id:0123456789 sub:001 dlvrd:001 submit date:2511250310 stat:DELIVRD err:000 Text:PAY reply 4821"
    tlvs = [(Tlv.RECEIPTED_MESSAGE_ID, b"0123456789\0"), (0x1400, b"tel:" + PHONE)]
    fields: dict[str, int | bytes] = {"esm_class": 4, "source_addr": PHONE, "destination_addr": b"22345"}
    frame = encode(Pdu("deliver_sm", 0, 7, {**fields, "short_message": text}, tlvs))
    pdu = decode(masked_receipt(decode(frame)))
    assert pdu.octets("short_message") == text.replace(b"4821", b"****")
    assert pdu.tlvs == [tlvs[0], (0x1400, b"tel:************")]
    assert pdu.octets("source_addr") == b"*" * len(PHONE)


def test_an_address_of_ours_that_is_as_long_as_a_number_is_hidden_too() -> None:
    assert delivered(b"yes", destination_addr=PHONE).octets("destination_addr") == b"*" * len(PHONE)


def test_a_text_in_data_sm() -> None:
    fields: dict[str, int | bytes] = {"source_addr": PHONE, "destination_addr": b"22345"}
    frame = encode(Pdu("data_sm", 0, 7, fields, [(Tlv.MESSAGE_PAYLOAD, b"yes 4821")]))
    pdu = decode(masked_text(decode(frame), "gsm"))
    assert pdu.tlvs == [(Tlv.MESSAGE_PAYLOAD, b"yes ****")]
    assert pdu.octets("source_addr") == b"*" * len(PHONE)


def test_what_stands_behind_the_last_good_tlv_is_hidden() -> None:
    frame = bytearray(encode(Pdu("deliver_sm", 0, 7, {"short_message": b"yes"})) + b"\x14\x00\x00\xff" + PHONE)
    frame[3] = len(frame)
    masked = masked_text(decode(bytes(frame)), "gsm")
    assert masked.endswith(b"*" * (4 + len(PHONE)))


@given(
    text=st.binary(max_size=160),
    coding=st.integers(0, 255),
    esm_class=st.integers(0, 255),
    alphabet=st.sampled_from(["gsm", "gsm_packed", "latin1", "ascii", "ucs2"]),
    tail=st.binary(max_size=20),
)
def test_whatever_a_phone_sends_is_masked_octet_for_octet(
    text: bytes, coding: int, esm_class: int, alphabet: DefaultAlphabet, tail: bytes
) -> None:
    fields: dict[str, int | bytes] = {"source_addr": PHONE, "esm_class": esm_class, "data_coding": coding}
    frame = bytearray(encode(Pdu("deliver_sm", 0, 7, {**fields, "short_message": text})) + tail)
    frame[2:4] = len(frame).to_bytes(2, "big")
    pdu = decode(bytes(frame))
    for masked in (masked_text(pdu, alphabet), masked_receipt(pdu)):
        assert len(masked) == len(frame) and PHONE not in masked
        assert decode(masked).fields.keys() == pdu.fields.keys()
