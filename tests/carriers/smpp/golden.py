"""Frames typed by hand from the SMPP 3.4 specification, clause by clause, each with the PDU that it means.

No program wrote these octets: they keep encoder and decoder from agreeing only with each other. Spaces part the fields;
a string's closing NUL stands with it.
"""

from typing import NamedTuple

from carriers.smpp.wire.codec import Pdu


class Golden(NamedTuple):
    """`octets` -> `pdu`, and back."""

    name: str
    octets: bytes
    pdu: Pdu


def _golden(name: str, text: str, pdu: Pdu) -> Golden:
    return Golden(name, bytes.fromhex(text.replace(" ", "").replace("\n", "")), pdu)


_BIND_BODY = """
    50415947415445 00
    7365637265743031 00
    534D53 00
    34 01 01
    32353437 00"""
_BIND_FIELDS: dict[str, int | bytes] = {
    "system_id": b"PAYGATE",
    "password": b"secret01",
    "system_type": b"SMS",
    "interface_version": 0x34,
    "addr_ton": 1,
    "addr_npi": 1,
    "address_range": b"2547",
}
_DELIVER_FIELDS: dict[str, int | bytes] = {
    "service_type": b"",
    "source_addr_ton": 1,
    "source_addr_npi": 1,
    "source_addr": b"254700000001",
    "dest_addr_ton": 3,
    "dest_addr_npi": 0,
    "destination_addr": b"40404",
    "esm_class": 0,
    "protocol_id": 0,
    "priority_flag": 0,
    "schedule_delivery_time": b"",
    "validity_period": b"",
    "registered_delivery": 0,
    "replace_if_present_flag": 0,
    "data_coding": 0,
    "sm_default_msg_id": 0,
    "short_message": b"4821",
}

GOLDEN = (
    _golden(  # The specification's own example of a bind_transmitter, §3.2.
        "bind_transmitter",
        """0000002F 00000002 00000000 00000001
        534D50503354455354 00 7365637265743038 00 5355424D495431 00 00 01 01 00""",
        Pdu(
            "bind_transmitter",
            0,
            1,
            {
                "system_id": b"SMPP3TEST",
                "password": b"secret08",
                "system_type": b"SUBMIT1",
                "interface_version": 0,
                "addr_ton": 1,
                "addr_npi": 1,
                "address_range": b"",
            },
        ),
    ),
    _golden(  # §4.1.2
        "bind_transmitter_resp",
        "0000001A 80000002 00000000 00000001 534D5343 00 0210 0001 34",
        Pdu("bind_transmitter_resp", 0, 1, {"system_id": b"SMSC"}, [(0x0210, b"\x34")]),
    ),
    _golden(  # §4.1.3
        "bind_receiver",
        f"0000002D 00000001 00000000 00000002 {_BIND_BODY}",
        Pdu("bind_receiver", 0, 2, _BIND_FIELDS),
    ),
    _golden(
        "bind_receiver_resp",
        "00000015 80000001 00000000 00000002 534D5343 00",
        Pdu("bind_receiver_resp", 0, 2, {"system_id": b"SMSC"}),
    ),
    _golden(  # §4.1.5
        "bind_transceiver",
        f"0000002D 00000009 00000000 00000003 {_BIND_BODY}",
        Pdu("bind_transceiver", 0, 3, _BIND_FIELDS),
    ),
    _golden(
        "bind_transceiver_resp",
        "00000015 80000009 00000000 00000003 534D5343 00",
        Pdu("bind_transceiver_resp", 0, 3, {"system_id": b"SMSC"}),
    ),
    _golden(  # An error status brings no body, §4.1.6.
        "bind_transceiver_resp refused",
        "00000010 80000009 0000000E 00000003",
        Pdu("bind_transceiver_resp", 0x0E, 3),
    ),
    _golden(  # §4.1.7
        "outbind",
        "0000001C 0000000B 00000000 00000001 534D5343 00 73656372747A 00",
        Pdu("outbind", 0, 1, {"system_id": b"SMSC", "password": b"secrtz"}),
    ),
    _golden("unbind", "00000010 00000006 00000000 0000000A", Pdu("unbind", 0, 10)),
    _golden("unbind_resp", "00000010 80000006 00000000 0000000A", Pdu("unbind_resp", 0, 10)),
    _golden("generic_nack", "00000010 80000000 00000003 0000000B", Pdu("generic_nack", 3, 11)),
    _golden("enquire_link", "00000010 00000015 00000000 0000000C", Pdu("enquire_link", 0, 12)),
    _golden("enquire_link_resp", "00000010 80000015 00000000 0000000C", Pdu("enquire_link_resp", 0, 12)),
    _golden(  # §4.4.1: every field has a value of its own, so that none can stand in for another.
        "submit_sm",
        """00000069 00000004 00000000 7FFFFFFF
        434D54 00 05 00 50415953484F50 00 01 01 323534373030303030303031 00
        40 41 02 323631313233303930303030303034 2B 00 303030303030303031353030303030 52 00
        01 00 08 07
        06 050003CC0201
        0204 0002 1234
        1403 0002 FFFF""",
        Pdu(
            "submit_sm",
            0,
            0x7FFFFFFF,
            {
                "service_type": b"CMT",
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": b"PAYSHOP",
                "dest_addr_ton": 1,
                "dest_addr_npi": 1,
                "destination_addr": b"254700000001",
                "esm_class": 0x40,
                "protocol_id": 0x41,
                "priority_flag": 2,
                "schedule_delivery_time": b"261123090000004+",
                "validity_period": b"000000001500000R",
                "registered_delivery": 1,
                "replace_if_present_flag": 0,
                "data_coding": 8,
                "sm_default_msg_id": 7,
                "short_message": bytes.fromhex("050003CC0201"),
            },
            [(0x0204, b"\x12\x34"), (0x1403, b"\xff\xff")],
        ),
    ),
    _golden(  # §4.4.2
        "submit_sm_resp",
        "00000017 80000004 00000000 7FFFFFFF 333866314641 00",
        Pdu("submit_sm_resp", 0, 0x7FFFFFFF, {"message_id": b"38f1FA"}),
    ),
    _golden(
        "submit_sm_resp throttled",
        "00000010 80000004 00000058 00000010",
        Pdu("submit_sm_resp", 0x58, 16),
    ),
    _golden(  # §4.6.1
        "deliver_sm",
        """00000036 00000005 00000000 00000011
        00 01 01 323534373030303030303031 00 03 00 3430343034 00
        00 00 00 00 00 00 00 00 00 04 34383231""",
        Pdu("deliver_sm", 0, 17, _DELIVER_FIELDS),
    ),
    _golden(  # A receipt: message_state, receipted_message_id, network_error_code (§5.3.2.35, .12, .31).
        "deliver_sm receipt",
        """00000046 00000005 00000000 00000012
        00 01 01 323534373030303030303031 00 03 00 3430343034 00
        04 00 00 00 00 00 00 00 00 00
        0427 0001 02
        001E 0004 616263 00
        0423 0003 030000""",
        Pdu(
            "deliver_sm",
            0,
            18,
            {**_DELIVER_FIELDS, "esm_class": 4, "short_message": b""},
            [(0x0427, b"\x02"), (0x001E, b"abc\0"), (0x0423, b"\x03\x00\x00")],
        ),
    ),
    _golden(  # §4.6.2: message_id is there and empty.
        "deliver_sm_resp",
        "00000011 80000005 00000000 00000011 00",
        Pdu("deliver_sm_resp", 0, 17, {"message_id": b""}),
    ),
    _golden(  # §4.7.1
        "data_sm",
        """00000035 00000103 00000000 00000013
        55535344 00 01 01 323534373030303030303031 00 03 00 3430343034 00
        00 01 0F
        0424 0002 4F4B""",
        Pdu(
            "data_sm",
            0,
            19,
            {
                "service_type": b"USSD",
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"254700000001",
                "dest_addr_ton": 3,
                "dest_addr_npi": 0,
                "destination_addr": b"40404",
                "esm_class": 0,
                "registered_delivery": 1,
                "data_coding": 0x0F,
            },
            [(0x0424, b"OK")],
        ),
    ),
    _golden(
        "data_sm_resp",
        "00000018 80000103 00000000 00000013 3737 00 0425 0001 00",
        Pdu("data_sm_resp", 0, 19, {"message_id": b"77"}, [(0x0425, b"\x00")]),
    ),
    _golden(  # §4.8.1
        "query_sm",
        "0000001E 00000003 00000000 00000014 333866314641 00 05 00 5041594D 00",
        Pdu(
            "query_sm",
            0,
            20,
            {"message_id": b"38f1FA", "source_addr_ton": 5, "source_addr_npi": 0, "source_addr": b"PAYM"},
        ),
    ),
    _golden(  # §4.8.2
        "query_sm_resp",
        "0000002A 80000003 00000000 00000014 333866314641 00 323631313233303930313032303034 2B 00 02 09",
        Pdu(
            "query_sm_resp",
            0,
            20,
            {"message_id": b"38f1FA", "final_date": b"261123090102004+", "message_state": 2, "error_code": 9},
        ),
    ),
    _golden(  # §4.9.1
        "cancel_sm",
        """00000031 00000008 00000000 00000015
        434D54 00 333866314641 00 05 00 5041594D 00 01 01 323534373030303030303031 00""",
        Pdu(
            "cancel_sm",
            0,
            21,
            {
                "service_type": b"CMT",
                "message_id": b"38f1FA",
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": b"PAYM",
                "dest_addr_ton": 1,
                "dest_addr_npi": 1,
                "destination_addr": b"254700000001",
            },
        ),
    ),
    _golden("cancel_sm_resp", "00000010 80000008 00000011 00000015", Pdu("cancel_sm_resp", 0x11, 21)),
    _golden(  # §4.10.1
        "replace_sm",
        """00000036 00000007 00000000 00000016
        333866314641 00 05 00 5041594D 00 00 303030303030303031353030303030 52 00 01 00 03 4E6577""",
        Pdu(
            "replace_sm",
            0,
            22,
            {
                "message_id": b"38f1FA",
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": b"PAYM",
                "schedule_delivery_time": b"",
                "validity_period": b"000000001500000R",
                "registered_delivery": 1,
                "sm_default_msg_id": 0,
                "short_message": b"New",
            },
        ),
    ),
    _golden("replace_sm_resp", "00000010 80000007 00000000 00000016", Pdu("replace_sm_resp", 0, 22)),
    _golden(  # §4.12.1
        "alert_notification",
        """0000002E 00000102 00000000 00000017
        01 01 323534373030303030303031 00 00 01 50415947415445 00 0422 0001 00""",
        Pdu(
            "alert_notification",
            0,
            23,
            {
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"254700000001",
                "esme_addr_ton": 0,
                "esme_addr_npi": 1,
                "esme_addr": b"PAYGATE",
            },
            [(0x0422, b"\x00")],
        ),
    ),
)

BY_NAME = {golden.name: golden for golden in GOLDEN}
