"""SMPP 3.4's tables: command ids, field layouts, TLV tags and status codes.

The tables are smpplib's. This module reads them once, at import, adds the commands that the library names but does not
describe, and corrects the sizes in which the library differs from the specification. It encodes and decodes nothing.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from smpplib import command as library
from smpplib import command_codes, consts

RESPONSE_BIT: Final = 0x80000000
FRAME_OCTETS_MIN: Final = 16
FRAME_OCTETS_MAX: Final = 65_536
TEXT_OCTETS_MAX: Final = 254
"""SMPP 3.4 §5.2.21. Version 5 allows 255, which is accepted from others and never sent."""


class Kind(IntEnum):
    """How a mandatory field lies in a body. An octet string has its length in the octet before it."""

    INTEGER = 1
    C_STRING = 2
    OCTETS = 3


class Field(NamedTuple):
    """`octets_max` counts the closing NUL of a C-octet string, as the specification does."""

    name: str
    kind: Kind
    octets_max: int


_INTEGER: Final = 1
_DESCRIBED: Final = {
    "bind_transmitter": library.BindTransmitter,
    "bind_receiver": library.BindReceiver,
    "bind_transceiver": library.BindTransceiver,
    "bind_transmitter_resp": library.BindTransmitterResp,
    "bind_receiver_resp": library.BindReceiverResp,
    "bind_transceiver_resp": library.BindTransceiverResp,
    "submit_sm": library.SubmitSM,
    "submit_sm_resp": library.SubmitSMResp,
    "deliver_sm": library.DeliverSM,
    "deliver_sm_resp": library.DeliverSMResp,
    "data_sm": library.DataSM,
    "data_sm_resp": library.DataSMResp,
    "query_sm": library.QuerySM,
    "query_sm_resp": library.QuerySMResp,
    "unbind": library.Unbind,
    "unbind_resp": library.UnbindResp,
    "enquire_link": library.EnquireLink,
    "enquire_link_resp": library.EnquireLinkResp,
    "alert_notification": library.AlertNotification,
    "generic_nack": library.GenericNAck,
}

# SMPP 3.4 §4.7.1 and §4.12.1 allow longer addresses here than in submit_sm; the library copied submit_sm's.
_CORRECTIONS: Final = {
    ("data_sm", "source_addr"): 65,
    ("data_sm", "destination_addr"): 65,
    ("alert_notification", "source_addr"): 65,
    ("alert_notification", "esme_addr"): 65,
}

_SOURCE: Final = (
    Field("source_addr_ton", Kind.INTEGER, 1),
    Field("source_addr_npi", Kind.INTEGER, 1),
    Field("source_addr", Kind.C_STRING, 21),
)
_UNDESCRIBED: Final[dict[str, tuple[Field, ...]]] = {
    # §4.9.1
    "cancel_sm": (
        Field("service_type", Kind.C_STRING, 6),
        Field("message_id", Kind.C_STRING, 65),
        *_SOURCE,
        Field("dest_addr_ton", Kind.INTEGER, 1),
        Field("dest_addr_npi", Kind.INTEGER, 1),
        Field("destination_addr", Kind.C_STRING, 21),
    ),
    "cancel_sm_resp": (),
    # §4.10.1
    "replace_sm": (
        Field("message_id", Kind.C_STRING, 65),
        *_SOURCE,
        Field("schedule_delivery_time", Kind.C_STRING, 17),
        Field("validity_period", Kind.C_STRING, 17),
        Field("registered_delivery", Kind.INTEGER, 1),
        Field("sm_default_msg_id", Kind.INTEGER, 1),
        Field("short_message", Kind.OCTETS, TEXT_OCTETS_MAX),
    ),
    "replace_sm_resp": (),
    # §4.1.7
    "outbind": (Field("system_id", Kind.C_STRING, 16), Field("password", Kind.C_STRING, 9)),
}


def _layout(name: str) -> tuple[Field, ...]:
    """The mandatory fields of one of the library's commands, in order."""
    described = _DESCRIBED[name]
    kept = getattr(described, "mandatory_fields", ())
    fields = []
    for field in described.params_order:
        # What the library calls optional by its name is a TLV, save message_state in query_sm_resp.
        if field in consts.OPTIONAL_PARAMS and field not in kept:
            continue
        parameter = described.params[field]
        if field == "sm_length":  # Part of the octet string that follows it.
            continue
        if parameter.type is int:
            assert parameter.size == _INTEGER, f"{name}.{field}: a mandatory integer of {parameter.size} octets"
            fields.append(Field(field, Kind.INTEGER, 1))
        elif parameter.type is str:
            fields.append(Field(field, Kind.C_STRING, _CORRECTIONS.get((name, field), parameter.max)))
        else:
            fields.append(Field(field, Kind.OCTETS, parameter.max))
    return tuple(fields)


LAYOUTS: Final[dict[str, tuple[Field, ...]]] = {name: _layout(name) for name in _DESCRIBED} | _UNDESCRIBED
"""Every command that is spoken here, with its mandatory fields. submit_multi and broadcasts are deliberately absent."""

COMMAND_IDS: Final[dict[str, int]] = {name: command_codes.get_command_code(name) for name in LAYOUTS}
COMMAND_NAMES: Final[dict[int, str]] = {code: name for name, code in COMMAND_IDS.items()}
RESPONSES: Final[dict[str, str]] = {name: f"{name}_resp" for name in LAYOUTS if f"{name}_resp" in LAYOUTS}
"""Request -> its response. outbind, alert_notification and generic_nack have none."""
BINDS: Final = ("bind_transmitter", "bind_receiver", "bind_transceiver")

TAGS: Final[dict[str, int]] = dict(consts.OPTIONAL_PARAMS)
"""TLV name -> tag, as in SMPP 3.4 §5.3.2."""


class Tlv:
    """The tags that this code itself reads or writes; any other goes through by number."""

    RECEIPTED_MESSAGE_ID: Final[int] = TAGS["receipted_message_id"]
    MESSAGE_STATE: Final[int] = TAGS["message_state"]
    NETWORK_ERROR_CODE: Final[int] = TAGS["network_error_code"]
    MESSAGE_PAYLOAD: Final[int] = TAGS["message_payload"]
    SAR_MSG_REF_NUM: Final[int] = TAGS["sar_msg_ref_num"]
    SAR_TOTAL_SEGMENTS: Final[int] = TAGS["sar_total_segments"]
    SAR_SEGMENT_SEQNUM: Final[int] = TAGS["sar_segment_seqnum"]
    SC_INTERFACE_VERSION: Final[int] = TAGS["sc_interface_version"]


class Status:
    """The statuses that this code itself answers or judges; any other number is legal too (SMPP 3.4 §5.1.3)."""

    ROK: Final[int] = consts.SMPP_ESME_ROK
    RINVMSGLEN: Final[int] = consts.SMPP_ESME_RINVMSGLEN
    RINVCMDLEN: Final[int] = consts.SMPP_ESME_RINVCMDLEN
    RINVCMDID: Final[int] = consts.SMPP_ESME_RINVCMDID
    RINVBNDSTS: Final[int] = consts.SMPP_ESME_RINVBNDSTS
    RALYBND: Final[int] = consts.SMPP_ESME_RALYBND
    RSYSERR: Final[int] = consts.SMPP_ESME_RSYSERR
    RINVSRCADR: Final[int] = consts.SMPP_ESME_RINVSRCADR
    RINVDSTADR: Final[int] = consts.SMPP_ESME_RINVDSTADR
    RINVMSGID: Final[int] = consts.SMPP_ESME_RINVMSGID
    RBINDFAIL: Final[int] = consts.SMPP_ESME_RBINDFAIL
    RINVPASWD: Final[int] = consts.SMPP_ESME_RINVPASWD
    RINVSYSID: Final[int] = consts.SMPP_ESME_RINVSYSID
    RCANCELFAIL: Final[int] = consts.SMPP_ESME_RCANCELFAIL
    RMSGQFUL: Final[int] = consts.SMPP_ESME_RMSGQFUL
    RINVSERTYP: Final[int] = consts.SMPP_ESME_RINVSERTYP
    RSUBMITFAIL: Final[int] = consts.SMPP_ESME_RSUBMITFAIL
    RINVSYSTYP: Final[int] = consts.SMPP_ESME_RINVSYSTYP
    RTHROTTLED: Final[int] = consts.SMPP_ESME_RTHROTTLED
    RINVSCHED: Final[int] = consts.SMPP_ESME_RINVSCHED
    RINVEXPIRY: Final[int] = consts.SMPP_ESME_RINVEXPIRY
    RX_T_APPN: Final[int] = consts.SMPP_ESME_RX_T_APPN
    RX_P_APPN: Final[int] = consts.SMPP_ESME_RX_P_APPN
    RQUERYFAIL: Final[int] = consts.SMPP_ESME_RQUERYFAIL
    RINVOPTPARSTREAM: Final[int] = consts.SMPP_ESME_RINVOPTPARSTREAM


STATUS_NAMES: Final[dict[int, str]] = {
    value: name.removeprefix("SMPP_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_R")
}


def status_name(status: int) -> str:
    """`ESME_RTHROTTLED`, or `0x00000400` for a number that only the carrier knows."""
    return STATUS_NAMES.get(status, f"0x{status:08X}")
