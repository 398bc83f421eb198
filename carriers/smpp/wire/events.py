"""What a session tells its owner, and the settings it keeps to. Plain values; the rules are in `session`."""

from dataclasses import dataclass
from enum import StrEnum

from carriers.smpp.wire.pdu import Pdu


class Role(StrEnum):
    """Which end of the bind a session plays."""

    ESME = "esme"
    SMSC = "smsc"


class State(StrEnum):
    """SMPP 3.4 §2.2, with the two moments in which an answer is awaited."""

    OPEN = "open"
    BINDING = "binding"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Every wait and every store of a session has its maximum here."""

    window: int = 10
    """Own requests without an answer. Many SMSCs grant one only."""
    response_timeout_s: float = 30.0
    late_response_keep_s: float = 600.0
    late_responses_max: int = 10_000
    unanswered_max: int = 1_000
    """The peer's requests that the owner has not answered; more are put off with a temporary error."""
    enquire_link_interval_s: float = 30.0
    """Silence after which the link is tried. Keep it below the idle time of any NAT or VPN on the way."""
    enquire_link_timeout_s: float = 10.0
    pdu_read_timeout_s: float = 10.0
    bind_timeout_s: float = 30.0
    unbind_timeout_s: float = 10.0
    send_buffer_octets_max: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bound:
    """ESME: the SMSC took the bind. `interface_version` is None if it did not say."""

    system_id: str
    interface_version: int | None = None


@dataclass(frozen=True, slots=True)
class BindRefused:
    status: int


@dataclass(frozen=True, slots=True)
class BindRequested:
    """SMSC: answer with `accept_bind` or `refuse_bind`."""

    pdu: Pdu


@dataclass(frozen=True, slots=True)
class OutbindReceived:
    """ESME: the SMSC asks to be bound to. Nothing is answered to it."""

    pdu: Pdu


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """Answer with `respond`, once what it brought is safe. An alert_notification is never answered."""

    pdu: Pdu


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """Any status. `pdu.body_error` is set if its body made no sense; the status still stands."""

    sequence: int
    pdu: Pdu
    token: object


@dataclass(frozen=True, slots=True)
class Nacked:
    """A generic_nack resolved this request."""

    sequence: int
    status: int
    token: object


@dataclass(frozen=True, slots=True)
class ResponseTimedOut:
    """No answer in time: the outcome is unknown. A `LateResponse` may still come."""

    sequence: int
    token: object


@dataclass(frozen=True, slots=True)
class LateResponse:
    """The answer to a request that had timed out; `pdu` may be a generic_nack."""

    sequence: int
    pdu: Pdu
    token: object


@dataclass(frozen=True, slots=True)
class RequestAbandoned:
    """The session ended before the answer: the outcome is unknown, and no answer will come."""

    sequence: int
    token: object


@dataclass(frozen=True, slots=True)
class UnbindRequested:
    """The peer unbinds; it has been answered."""


@dataclass(frozen=True, slots=True)
class Unbound:
    """The session ended in good order. Flush and close."""


@dataclass(frozen=True, slots=True)
class LinkBroken:
    """The session ended otherwise. Flush what there is and close."""

    reason: str
    is_unanswered: bool = False
    """The peer did not answer an enquire_link."""


@dataclass(frozen=True, slots=True)
class ProtocolViolation:
    """The peer sent what it must not; it has been answered, and the session goes on unless `LinkBroken` follows."""

    reason: str


Event = (
    Bound
    | BindRefused
    | BindRequested
    | OutbindReceived
    | RequestReceived
    | ResponseReceived
    | Nacked
    | ResponseTimedOut
    | LateResponse
    | RequestAbandoned
    | UnbindRequested
    | Unbound
    | LinkBroken
    | ProtocolViolation
)


class WindowFull(Exception):
    """As many own requests are unanswered as the window allows, or the peer does not read. Try after the next event."""


class NotBound(Exception):
    """This request may not be sent in this state."""
