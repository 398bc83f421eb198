"""Who may send what while bound how, and how each side says "not now". Data; `receiver` and `session` apply it."""

from typing import Final

from carriers.smpp.wire.events import Role, State
from carriers.smpp.wire.tables import Status

MODES: Final = {
    "bind_transmitter": State.BOUND_TX,
    "bind_receiver": State.BOUND_RX,
    "bind_transceiver": State.BOUND_TRX,
}
BOUND: Final = frozenset({State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX})
_TO_SMSC: Final = frozenset({State.BOUND_TX, State.BOUND_TRX})
_TO_ESME: Final = frozenset({State.BOUND_RX, State.BOUND_TRX})

# SMPP 3.4 table 2-1, and 5.0's leave for replace_sm on a transceiver: who may send what while bound how.
MAY_SEND: Final[dict[Role, dict[str, frozenset[State]]]] = {
    Role.ESME: {
        "submit_sm": _TO_SMSC,
        "query_sm": _TO_SMSC,
        "cancel_sm": _TO_SMSC,
        "replace_sm": _TO_SMSC,
        "data_sm": BOUND,
    },
    Role.SMSC: {"deliver_sm": _TO_ESME, "alert_notification": _TO_ESME, "data_sm": BOUND},
}
OTHER: Final = {Role.ESME: Role.SMSC, Role.SMSC: Role.ESME}

# "Not now" in the words of each side: an SMSC throttles its ESME, an ESME has a temporary application error.
PUT_OFF: Final = {Role.ESME: Status.RX_T_APPN, Role.SMSC: Status.RTHROTTLED}
