"""Delivery receipts as SMSCs really write them: text, TLVs, both, neither, and ids in every spelling."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carriers.smpp.wire.codec import Pdu
from carriers.smpp.wire.receipt import (
    NUMBER_OF_STATE,
    Receipt,
    ReceiptState,
    build_receipt_text,
    build_receipt_tlvs,
    fold_message_id,
    is_receipt,
    read_receipt,
)
from carriers.smpp.wire.tables import Tlv

S = ReceiptState
PENDING = {S.ENROUTE, S.ACCEPTED}


def a_receipt(
    text: bytes = b"", tlvs: list[tuple[int, bytes]] | None = None, *, esm_class: int = 4, command: str = "deliver_sm"
) -> Pdu:
    return Pdu(command, 0, 1, {"esm_class": esm_class, "short_message": text}, tlvs or [])


def read(pdu: Pdu, **rules: str) -> Receipt:
    receipt = read_receipt(pdu, **rules)
    assert receipt is not None
    return receipt


@pytest.mark.parametrize(
    ("esm_class", "wanted"),
    [
        pytest.param(0x00, False, id="a message"),
        pytest.param(0x04, True, id="SMSC receipt"),
        pytest.param(0x44, True, id="receipt with a header"),
        pytest.param(0x07, True, id="receipt and a mode"),
        pytest.param(0x08, True, id="delivery acknowledgement"),
        pytest.param(0x10, False, id="a person's acknowledgement"),
        pytest.param(0x18, False, id="conversation abort"),
        pytest.param(0x20, True, id="intermediate"),
        pytest.param(0x40, False, id="a part of a message"),
        pytest.param(0x03, False, id="a mode only"),
    ],
)
def test_the_message_type_decides(esm_class: int, wanted: bool) -> None:
    pdu = a_receipt(b"id:1 stat:DELIVRD", esm_class=esm_class)
    assert is_receipt(pdu) is wanted
    assert (read_receipt(pdu) is not None) is wanted


@pytest.mark.parametrize("tag", [Tlv.RECEIPTED_MESSAGE_ID, Tlv.MESSAGE_STATE])
def test_a_tag_that_no_reply_has_decides_too(tag: int) -> None:
    assert is_receipt(a_receipt(tlvs=[(tag, b"\2")], esm_class=0))
    assert is_receipt(a_receipt(tlvs=[(tag, b"\2")], esm_class=0, command="data_sm"))
    assert not is_receipt(a_receipt(tlvs=[(tag, b"\2")], command="submit_sm"))


def test_a_text_that_a_person_typed_is_no_receipt_whatever_it_looks_like() -> None:
    typed = b"id:1 sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 stat:DELIVRD err:000 text:"
    assert not is_receipt(a_receipt(typed, esm_class=0))


TEXTS = [
    pytest.param(
        b"id:0059113978 sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 stat:DELIVRD err:000 text:hello",
        ("59113978", S.DELIVERED, "000", "2601020305"),
        id="appendix B",
    ),
    pytest.param(
        b"id:38601fa sub:1 dlvrd:1 submit date:260102030405 done date:260102030406 stat:DELIVRD err:0 Text:x",
        ("38601fa", S.DELIVERED, "0", "260102030406"),
        id="hex id, dates with seconds, capital Text",
    ),
    pytest.param(
        b"id:7F3B9A sub:001 dlvrd:000 submit date:20260102030405 done date:20260102030406 stat:UNDELIV err:0B text:",
        ("7f3b9a", S.UNDELIVERABLE, "0B", "20260102030406"),
        id="dates with century, hex error, upper-case id",
    ),
    pytest.param(
        b"id:3f2504e0-4f89-11d3-9a0c-0305e82c3301 stat:EXPIRED err:027",
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", S.EXPIRED, "027", ""),
        id="uuid, no sub, dlvrd, dates or text",
    ),
    pytest.param(b"stat:REJECTD", (None, S.REJECTED, "", ""), id="state only"),
    pytest.param(b"id:77", ("77", S.UNKNOWN, "", ""), id="id only"),
    pytest.param(
        b"stat:DELETED err:001 id:99 done date:2601020305", ("99", S.DELETED, "001", "2601020305"), id="order"
    ),
    pytest.param(b"id: 42 stat: ACCEPTD err: 000", ("42", S.ACCEPTED, "000", ""), id="blanks after colons"),
    pytest.param(b"ID:42 STAT:delivrd ERR:000", ("42", S.DELIVERED, "000", ""), id="case the other way round"),
    pytest.param(b"id:42 stat:DELIVERED", ("42", S.DELIVERED, "", ""), id="state in full"),
    pytest.param(b"id:42 stat:UNDELIVERABLE", ("42", S.UNDELIVERABLE, "", ""), id="another state in full"),
    pytest.param(b"id:42 stat:BUFFRED", ("42", S.ENROUTE, "", ""), id="buffered"),
    pytest.param(b"id:42 stat:FAILED", ("42", S.UNDELIVERABLE, "", ""), id="failed"),
    pytest.param(b"id:42 stat:ENROUTE", ("42", S.ENROUTE, "", ""), id="under way"),
    pytest.param(b"id:42 stat:UNKNOWN", ("42", S.UNKNOWN, "", ""), id="unknown"),
    pytest.param(b"id:42 stat:2 err:0", ("42", S.DELIVERED, "0", ""), id="state as a number"),
    pytest.param(b"id:42 stat:SOMETHING", ("42", S.UNKNOWN, "", ""), id="a state of its own"),
    pytest.param(b"id:42,stat:DELIVRD,err:000", ("42", S.DELIVERED, "000", ""), id="commas"),
    pytest.param(b'id:"42" stat:"DELIVRD"', ("42", S.DELIVERED, "", ""), id="quotes"),
    pytest.param(b"id=42 stat=DELIVRD", ("42", S.DELIVERED, "", ""), id="equals signs"),
    pytest.param(b"id:42\nstat:DELIVRD\nerr:000", ("42", S.DELIVERED, "000", ""), id="lines"),
    pytest.param(b"msg id:42 status:DELIVRD error code:12", ("42", S.DELIVERED, "12", ""), id="long keys"),
    pytest.param(b"id:42 submit_date:1 done_date:2 stat:DELIVRD", ("42", S.DELIVERED, "", "2"), id="underscores"),
    pytest.param(b"id:42 stat:DELIVRD err:000 text:\0", ("42", S.DELIVERED, "000", ""), id="NUL at the end"),
    pytest.param(
        b"id:42 stat:DELIVRD err:000 text:\x04\x3f\xff\xfe", ("42", S.DELIVERED, "000", ""), id="octets in the text"
    ),
    pytest.param(
        b"id:42 stat:UNDELIV err:001 text:id:13 stat:DELIVRD", ("42", S.UNDELIVERABLE, "001", ""), id="a text that lies"
    ),
    pytest.param(b"text:hi id:42 stat:DELIVRD", ("42", S.DELIVERED, "", ""), id="text first"),
    pytest.param(
        "id:42 stat:DELIVRD err:000 text:x".encode("utf-16-be"), ("42", S.DELIVERED, "000", ""), id="UTF-16BE"
    ),
    pytest.param(
        "id:42 stat:DELIVRD err:000 text:x".encode("utf-16-le"), ("42", S.DELIVERED, "000", ""), id="UTF-16LE"
    ),
    pytest.param(b"", (None, S.UNKNOWN, "", ""), id="nothing"),
    pytest.param(b"Your message was delivered", (None, S.UNKNOWN, "", ""), id="prose"),
    pytest.param(b"id: stat: err:", (None, S.UNKNOWN, "", ""), id="keys without values"),
    pytest.param(b"id:\x0b stat:\x1c err:\x85", (None, S.UNKNOWN, "", ""), id="values of odd blanks"),
    pytest.param(b"valid:7 id:42 restat:X stat:DELIVRD", ("42", S.DELIVERED, "", ""), id="keys inside other words"),
    pytest.param(b"id:0000 stat:DELIVRD", ("0", S.DELIVERED, "", ""), id="zeros only"),
]


@pytest.mark.parametrize(("text", "wanted"), TEXTS)
def test_texts_of_the_wild(text: bytes, wanted: tuple[str | None, ReceiptState, str, str]) -> None:
    shown, state, error, done = wanted
    receipt = read(a_receipt(text))
    assert receipt.message_ids == (() if shown is None else (shown,))
    assert (receipt.state, receipt.error_code, receipt.done_date) == (state, error, done)


@pytest.mark.parametrize(("text", "wanted"), TEXTS)
def test_a_payload_may_stand_in_for_the_text(text: bytes, wanted: tuple[str | None, ReceiptState, str, str]) -> None:
    payload = read(a_receipt(tlvs=[(Tlv.MESSAGE_PAYLOAD, text + b"\0")]))
    assert (payload.message_ids, payload.state) == (() if wanted[0] is None else (wanted[0],), wanted[1])


@pytest.mark.parametrize(
    ("text", "is_final"),
    [
        (b"id:1 stat:DELIVRD", True),
        (b"id:1 stat:EXPIRED", True),
        (b"id:1 stat:UNDELIV", True),
        (b"id:1 stat:REJECTD", True),
        (b"id:1 stat:DELETED", True),
        (b"id:1 stat:UNKNOWN", True),
        (b"id:1 stat:ACCEPTD", False),
        (b"id:1 stat:ENROUTE", False),
        (b"id:1 stat:BUFFRED", False),
        (b"id:1 stat:SOMETHING", False),
        (b"id:1", False),
    ],
)
def test_what_was_not_said_is_not_final(text: bytes, is_final: bool) -> None:
    assert read(a_receipt(text)).is_final is is_final


def test_an_intermediate_notification_is_never_final() -> None:
    assert not read(a_receipt(b"id:1 stat:UNDELIV", esm_class=0x20)).is_final
    assert read(a_receipt(b"id:1 stat:UNDELIV", esm_class=0x24)).is_final


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (0, S.ENROUTE),
        (1, S.ENROUTE),
        (2, S.DELIVERED),
        (3, S.EXPIRED),
        (4, S.DELETED),
        (5, S.UNDELIVERABLE),
        (6, S.ACCEPTED),
        (7, S.UNKNOWN),
        (8, S.REJECTED),
        (9, S.UNDELIVERABLE),
    ],
)
def test_message_state_is_the_specifications_number(number: int, state: ReceiptState) -> None:
    """SMPP 3.4 §5.2.28, and 5.0 for 0 and 9."""
    receipt = read(a_receipt(tlvs=[(Tlv.MESSAGE_STATE, bytes([number]))]))
    assert (receipt.state, receipt.is_final) == (state, state not in PENDING)
    if 1 <= number <= 8:
        assert NUMBER_OF_STATE[state] == number


def test_tlvs_are_believed_before_the_text_and_both_ids_are_kept() -> None:
    tlvs = [(Tlv.RECEIPTED_MESSAGE_ID, b"38601FA\0"), (Tlv.MESSAGE_STATE, b"\5")]
    receipt = read(a_receipt(b"id:0059113978 stat:DELIVRD", tlvs))
    assert receipt.state is S.UNDELIVERABLE
    assert receipt.raw_message_ids == ("38601FA", "0059113978")
    assert receipt.message_ids == ("38601fa", "59113978")


def test_hex_in_the_tlv_and_decimal_in_the_text_are_one_id() -> None:
    receipt = read(
        a_receipt(b"id:0059113978 stat:DELIVRD", [(Tlv.RECEIPTED_MESSAGE_ID, b"38601fa\0")]),
        tlv_rule="hex",
        text_rule="dec",
    )
    assert receipt.message_ids == ("59113978",)
    assert receipt.message_ids[0] == fold_message_id("0x38601FA", "hex")


@pytest.mark.parametrize("tail", [b"", b"\0", b"\0\0", b" \0", b"\0rubbish"])
def test_an_id_with_or_without_its_nul_is_whole(tail: bytes) -> None:
    assert read(a_receipt(tlvs=[(Tlv.RECEIPTED_MESSAGE_ID, b"abcde" + tail)])).message_ids == ("abcde",)


def test_a_state_that_no_tlv_should_have_falls_back_to_the_text() -> None:
    tlvs = [(Tlv.MESSAGE_STATE, b"\x63"), (Tlv.RECEIPTED_MESSAGE_ID, b"")]
    receipt = read(a_receipt(b"id:1 stat:EXPIRED", tlvs))
    assert (receipt.message_ids, receipt.state) == (("1",), S.EXPIRED)


@pytest.mark.parametrize("state", [b"\2", b"\0\2", b"\0\0\0\2"])
def test_a_state_of_the_wrong_width_is_read(state: bytes) -> None:
    assert read(a_receipt(tlvs=[(Tlv.MESSAGE_STATE, state)])).state is S.DELIVERED


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param(b"\x03\x00\x00", "000", id="no error: the text's word stands"),
        pytest.param(b"\x03\x00\x1b", "27", id="GSM error 27"),
        pytest.param(b"\x03\x01\x00", "256", id="two octets"),
        pytest.param(b"000", "000", id="zeros in digits"),
        pytest.param(b"027", "027", id="digits"),
        pytest.param(b"", "000", id="nothing"),
        pytest.param(b"\x1b", "27", id="one octet"),
    ],
)
def test_the_networks_error_code_in_octets_or_digits(value: bytes, wanted: str) -> None:
    receipt = read(a_receipt(b"id:1 stat:UNDELIV err:000", [(Tlv.NETWORK_ERROR_CODE, value)]))
    assert receipt.error_code == wanted


@pytest.mark.parametrize(
    ("raw", "rule", "folded"),
    [
        ("38601fa", "hex", "59113978"),
        ("0x38601FA", "hex", "59113978"),
        ("00000000038601fa", "hex", "59113978"),
        ("0059113978", "dec", "59113978"),
        ("59113978", "dec", "59113978"),
        ("0000", "dec", "0"),
        ("0059113978", "as_is", "59113978"),
        ("ABC-12", "as_is", "abc-12"),
        ("3F2504E0-4F89-11D3-9A0C-0305E82C3301", "hex", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        ("not a number", "dec", "not a number"),
        ("12a4", "dec", "12a4"),
        (" 42\0\0", "as_is", "42"),
        ("0", "as_is", "0"),
        ("000", "as_is", "0"),
        ("", "as_is", ""),
        ("", "hex", ""),
        ("9" * 40, "dec", "9" * 40),
        ("\u0663", "dec", "\u0663"),
    ],
)
def test_ids_are_folded_into_one_spelling(raw: str, rule: str, folded: str) -> None:
    assert fold_message_id(raw, rule) == folded


def test_a_rule_that_does_not_exist_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ValueError, match="as_is, hex or dec"):
        fold_message_id("1", "octal")


@settings(deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 4))
def test_hex_and_decimal_of_a_number_fold_alike(number: int, zeros: int) -> None:
    assert fold_message_id("0" * zeros + f"{number:X}", "hex") == fold_message_id(f"{number:0{10 + zeros}d}", "dec")


@pytest.mark.parametrize("state", list(ReceiptState))
def test_our_own_receipt_is_read_back_from_text_and_from_tlvs(state: ReceiptState) -> None:
    text = build_receipt_text("1a2b", state, submit_date="2601020304", done_date="2601020305", text=b"id:9 " * 9)
    for pdu in (a_receipt(text), a_receipt(tlvs=list(build_receipt_tlvs("1a2b", state))), a_receipt(text, esm_class=8)):
        receipt = read(pdu)
        assert (receipt.message_ids, receipt.state) == (("1a2b",), state)


TAGS = st.sampled_from([Tlv.RECEIPTED_MESSAGE_ID, Tlv.MESSAGE_STATE, Tlv.NETWORK_ERROR_CODE, Tlv.MESSAGE_PAYLOAD])
PIECES = st.lists(
    st.sampled_from(
        [b"id:", b"stat:", b"err:", b"text:", b"done date:", b" ", b"\0", b"\x0b", b"\x85", b"42", b"DELIV"]
    )
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=80) | PIECES, st.lists(st.tuples(TAGS, st.binary(max_size=8)), max_size=3), st.integers(0, 255)
)
@example(b"id:\x0b", [], 4)
def test_nothing_in_a_receipt_raises(text: bytes, tlvs: list[tuple[int, bytes]], esm_class: int) -> None:
    receipt = read_receipt(a_receipt(text, tlvs, esm_class=esm_class), tlv_rule="hex", text_rule="dec")
    assert receipt is None or all(receipt.message_ids)
