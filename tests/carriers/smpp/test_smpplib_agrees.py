"""smpplib's own generator and parser as a second opinion, where they are to be trusted.

Where they are not (silent cuts, lost TLVs, missing NULs) stands in `tables` and `codec`; here is only what both can do.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smpplib import smpp

from carriers.smpp.wire.codec import Pdu, decode, encode
from carriers.smpp.wire.tables import LAYOUTS, TAGS, Kind
from tests.carriers.smpp.golden import GOLDEN, Golden

UNKNOWN_TO_SMPPLIB = {"outbind", "cancel_sm", "cancel_sm_resp", "replace_sm", "replace_sm_resp"}
# It loses or refuses TLVs by command; those that it can do have a test of their own below.
TRUSTED = [golden for golden in GOLDEN if golden.pdu.command not in UNKNOWN_TO_SMPPLIB and not golden.pdu.tlvs]
NUMBER = b"254700000001"
Value = int | str | bytes


class _Numbered:
    """What smpplib asks its client for: the sequence number, and whether odd TLVs are forgiven."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence

    def next_sequence(self) -> int:
        return self.sequence


def theirs(pdu: Pdu, **tlvs: Value) -> bytes:
    """The PDU as smpplib writes it. Its C-octet strings are str, its octet strings bytes."""
    kinds = {field.name: field.kind for field in LAYOUTS[pdu.command]}
    said: dict[str, Value] = {
        name: value.decode("latin-1") if isinstance(value, bytes) and kinds[name] is Kind.C_STRING else value
        for name, value in pdu.fields.items()
    }
    version = said.pop("interface_version", None)
    made = smpp.make_pdu(pdu.command, client=_Numbered(pdu.sequence), status=pdu.status, **said, **tlvs)
    made.sequence = pdu.sequence
    if version is not None:
        made.interface_version = version  # Its constructor forces 0x34 upon everybody.
    octets: bytes = made.generate()
    return octets


def parsed(octets: bytes) -> Any:  # A class of the library for each command.
    return smpp.parse_pdu(octets, client=_Numbered(0), allow_unknown_opt_params=True)


def shown(value: Any) -> int | bytes:
    """What smpplib has read; None where a field was empty."""
    if value is None:
        return b""
    return value if isinstance(value, int | bytes) else str(value).encode("latin-1")


@pytest.mark.parametrize("golden", TRUSTED, ids=[golden.name for golden in TRUSTED])
def test_smpplib_reads_what_we_write(golden: Golden) -> None:
    read = parsed(encode(golden.pdu))
    assert (read.command, read.status, read.sequence) == (golden.pdu.command, golden.pdu.status, golden.pdu.sequence)
    assert {name: shown(getattr(read, name)) for name in golden.pdu.fields} == golden.pdu.fields


@pytest.mark.parametrize("golden", TRUSTED, ids=[golden.name for golden in TRUSTED])
def test_we_read_what_smpplib_writes(golden: Golden) -> None:
    read = decode(theirs(golden.pdu))
    # With an error status it writes an empty body where we write none; both are read.
    empty = dict.fromkeys(read.fields, b"") if golden.pdu.status else {}
    assert read.fields == (golden.pdu.fields or empty)


def a_submit(**fields: int | bytes) -> Pdu:
    known: dict[str, int | bytes] = {"source_addr": b"22345", "destination_addr": NUMBER, "short_message": b"hello"}
    return Pdu("submit_sm", 0, 7, known | fields)


SUBMITS = [
    pytest.param(a_submit(), id="plain"),
    pytest.param(a_submit(short_message=bytes(range(254))), id="any octets, the longest text"),
    pytest.param(a_submit(short_message=b""), id="no text"),
    pytest.param(a_submit(esm_class=0x43, registered_delivery=0x11, data_coding=8, priority_flag=3), id="integers"),
    pytest.param(a_submit(source_addr_ton=5, source_addr=b"ASHA SHOP", dest_addr_ton=1, dest_addr_npi=1), id="name"),
    pytest.param(a_submit(service_type=b"USSD", validity_period=b"000000001500000R"), id="service and validity"),
    pytest.param(a_submit(source_addr=b"1" * 20, destination_addr=b"2" * 20), id="longest addresses"),
]


@pytest.mark.parametrize("pdu", SUBMITS)
def test_a_submit_is_the_same_octets_from_both(pdu: Pdu) -> None:
    assert encode(pdu) == theirs(pdu)


@pytest.mark.parametrize("command", ["bind_transmitter", "bind_receiver", "bind_transceiver"])
def test_a_bind_is_the_same_octets_from_both(command: str) -> None:
    fields: dict[str, int | bytes] = {
        "system_id": b"PAYGATE",
        "password": b"secret01",
        "system_type": b"SMS",
        "interface_version": 0x34,
        "addr_ton": 1,
        "addr_npi": 1,
        "address_range": b"2547",
    }
    pdu = Pdu(command, 0, 3, fields)
    assert encode(pdu) == theirs(pdu)


@pytest.mark.parametrize(
    ("tlvs", "octets"),
    [
        (
            {"sar_msg_ref_num": 0x1234, "sar_total_segments": 3, "sar_segment_seqnum": 2},
            (b"\x12\x34", b"\x03", b"\x02"),
        ),
        ({"user_message_reference": 0xFFFE}, (b"\xff\xfe",)),
        ({"ussd_service_op": 2}, (b"\x02",)),
        ({"message_payload": b"OK"}, (b"OK",)),
    ],
    ids=["sar", "reference", "ussd", "payload"],
)
def test_tlvs_of_a_submit_are_the_same_octets_from_both(tlvs: dict[str, Value], octets: tuple[bytes, ...]) -> None:
    pdu = a_submit(short_message=b"")  # With a payload there may be no other text.
    ours = {TAGS[name]: value for name, value in zip(tlvs, octets, strict=True)}
    written = decode(theirs(pdu, **tlvs))
    assert dict(written.tlvs) == ours
    pdu.tlvs = written.tlvs
    assert encode(pdu) == theirs(pdu, **tlvs)


def test_smpplib_reads_the_tlvs_of_our_receipt() -> None:
    tlvs = [(TAGS["receipted_message_id"], b"59113978\0"), (TAGS["message_state"], b"\x02")]
    fields: dict[str, int | bytes] = {"esm_class": 4, "source_addr": NUMBER, "short_message": b"id:59113978"}
    read = parsed(encode(Pdu("deliver_sm", 0, 9, fields, tlvs)))
    assert (read.receipted_message_id, read.message_state) == (b"59113978", 2)
    assert (read.short_message, read.source_addr) == (b"id:59113978", NUMBER)


PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
OCTET = st.integers(0, 255)


@settings(max_examples=100, deadline=None)
@given(
    st.text(PRINTABLE, max_size=20),
    st.text(PRINTABLE, max_size=20),
    st.tuples(*[OCTET] * 9),
    st.binary(max_size=254),
)
def test_any_submit_is_the_same_octets_from_both(
    source: str, destination: str, integers: tuple[int, ...], text: bytes
) -> None:
    names = ("source_addr_ton", "source_addr_npi", "dest_addr_ton", "dest_addr_npi", "esm_class", "protocol_id")
    more = ("priority_flag", "registered_delivery", "data_coding")
    fields: dict[str, int | bytes] = dict(zip((*names, *more), integers, strict=True))
    pdu = a_submit(
        **fields, source_addr=source.encode("ascii"), destination_addr=destination.encode("ascii"), short_message=text
    )
    assert encode(pdu) == theirs(pdu)
    read = parsed(encode(pdu))
    assert {name: shown(getattr(read, name)) for name in pdu.fields} == pdu.fields
