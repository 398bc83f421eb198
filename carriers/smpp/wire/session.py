"""One SMPP bind as a machine without a socket: octets in, events out; intentions in, octets out; time is an argument.

The same class plays ESME and SMSC. It keeps the rules of the protocol (states, window, time-outs, enquire_link, what to
answer to nonsense) and none of the business: it does not reconnect, retry, throttle or decide who may bind. Whatever
arrives, it raises nothing: a peer's faults are answered and become events. Exceptions are for the owner's intentions.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from carriers.smpp.wire.codec import Pdu, ProtocolError, encode
from carriers.smpp.wire.events import (
    BindRefused,
    BindRequested,
    Bound,
    Event,
    LateResponse,
    LinkBroken,
    Nacked,
    NotBound,
    OutbindReceived,
    ProtocolViolation,
    RequestAbandoned,
    RequestReceived,
    ResponseReceived,
    ResponseTimedOut,
    Role,
    SessionSettings,
    State,
    UnbindRequested,
    Unbound,
    WindowFull,
)
from carriers.smpp.wire.receiver import NO_BODY, Receiver
from carriers.smpp.wire.rules import BOUND, MAY_SEND, MODES
from carriers.smpp.wire.tables import BINDS, RESPONSES, Status, Tlv

__all__ = [
    "BindRefused",
    "BindRequested",
    "Bound",
    "Event",
    "LateResponse",
    "LinkBroken",
    "Nacked",
    "NotBound",
    "OutbindReceived",
    "ProtocolViolation",
    "RequestAbandoned",
    "RequestReceived",
    "ResponseReceived",
    "ResponseTimedOut",
    "Role",
    "Session",
    "SessionSettings",
    "State",
    "UnbindRequested",
    "Unbound",
    "WindowFull",
]

INTERFACE_VERSION: Final = 0x34


class Session(Receiver):
    """Feed it octets and the clock, send what `data_to_send` gives, close the socket once `state` is CLOSED.

    `now` is a monotonic clock's time in seconds; hand one to the constructor if the socket is open already.
    """

    @property
    def room(self) -> int:
        """How many requests the window takes now."""
        return self._window.room

    @property
    def unanswered(self) -> int:
        """The peer's requests that still want `respond`."""
        return self._unanswered_count

    def bind(
        self,
        command: str,
        fields: Mapping[str, int | bytes],
        *,
        now: float,
        tlvs: Sequence[tuple[int, bytes]] = (),
    ) -> int:
        """ESME: ask for a bind_transmitter, bind_receiver or bind_transceiver. `Bound` or `BindRefused` follows."""
        if self.role is not Role.ESME or self.state is not State.OPEN or command not in BINDS:
            raise NotBound(f"{command} by {self.role} while {self.state}")
        request = Pdu(command, Status.ROK, self._window.next_sequence(), dict(fields), list(tlvs))
        request.fields.setdefault("interface_version", INTERFACE_VERSION)
        self._out += encode(request)
        self._bind = request
        self.state = State.BINDING
        self._timers.wait_from(now)
        return request.sequence

    def accept_bind(self, system_id: bytes, *, tlvs: Sequence[tuple[int, bytes]] = ()) -> None:
        """SMSC: let the peer in."""
        request = self._bind_in_question()
        answered = list(tlvs)
        if not self._peer_is_old():
            answered.append((Tlv.SC_INTERFACE_VERSION, bytes([INTERFACE_VERSION])))
        self._answer(RESPONSES[request.command], Status.ROK, request.sequence, {"system_id": system_id}, answered)
        self.state = self._mode = MODES[request.command]

    def refuse_bind(self, status: int) -> None:
        """SMSC: turn the peer away; the session is closed, flush and hang up."""
        request = self._bind_in_question()
        self._answer(RESPONSES[request.command], status or Status.RBINDFAIL, request.sequence)
        self.state = State.CLOSED

    def submit(
        self,
        command: str,
        fields: Mapping[str, int | bytes],
        *,
        now: float,
        tlvs: Sequence[tuple[int, bytes]] = (),
        token: object = None,
    ) -> int:
        """Send a request; its sequence number. *token* comes back with the answer.

        Raise WindowFull, NotBound, or ProtocolError if the fields cannot be written; then nothing was sent.
        """
        if not self._may_send(command):
            raise NotBound(f"{command} by {self.role} while {self.state}")
        awaited = command in RESPONSES
        if awaited and not self._window.room:
            raise WindowFull(f"{self._window.size} requests are unanswered")
        if len(self._out) > self.settings.send_buffer_octets_max:
            raise WindowFull("the peer does not read")
        sequence = self._window.next_sequence()
        self.last_request = encode(Pdu(command, Status.ROK, sequence, dict(fields), self._sendable(tlvs)))
        self._out += self.last_request
        if awaited:
            self._window.add(sequence, command, token, now)
        return sequence

    def respond(
        self,
        sequence: int,
        command: str,
        status: int = Status.ROK,
        fields: Mapping[str, int | bytes] = NO_BODY,
        tlvs: Sequence[tuple[int, bytes]] = (),
    ) -> bool:
        """Answer a RequestReceived, named by its command. False: the session has ended, the peer will send it again."""
        if self.state is State.CLOSED:
            return False
        request = command.removesuffix("_resp")
        key = (sequence, request)
        if key not in self._unanswered:
            raise ValueError(f"no {request} with sequence {sequence} waits for an answer")
        # Encoded before it is struck off, so that an answer that cannot be written can be given again.
        self._answer(RESPONSES[request], status, sequence, fields, self._sendable(tlvs))
        self._unanswered_count -= 1
        self._unanswered[key] -= 1
        if not self._unanswered[key]:
            del self._unanswered[key]
        return True

    def unbind(self, now: float) -> None:
        """Say goodbye. Answers still come and go until the peer's unbind_resp; new requests of ours do not."""
        if self.state not in BOUND:
            raise NotBound(f"unbind while {self.state}")
        self._unbind_sequence = self._window.next_sequence()
        self._out += encode(Pdu("unbind", Status.ROK, self._unbind_sequence))
        self.state = State.UNBINDING
        self._timers.wait_from(now)

    def outbind(self, system_id: bytes, password: bytes) -> None:
        """SMSC: ask the peer to bind as a receiver."""
        if self.role is not Role.SMSC or self.state is not State.OPEN:
            raise NotBound(f"outbind by {self.role} while {self.state}")
        fields: dict[str, int | bytes] = {"system_id": system_id, "password": password}
        self._out += encode(Pdu("outbind", Status.ROK, self._window.next_sequence(), fields))

    def connection_lost(self, reason: str = "connection lost") -> list[Event]:
        """The socket is gone: every own request without an answer is abandoned."""
        events: list[Event] = []
        if self.state is not State.CLOSED:
            self._break(reason, events)
        return events

    def advance(self, now: float) -> list[Event]:
        """Let time pass: time-outs become events, a silent link is tried, a dead one is broken."""
        events: list[Event] = []
        if self.state is State.CLOSED:
            return events
        self._timers.begin(now)
        for sequence, request in self._window.expire(now):
            events.append(ResponseTimedOut(sequence, request.token))
        reason = self._timers.broken(self.state, now)
        if reason is not None:
            self._break(reason, events, is_unanswered=self._timers.is_enquiry_overdue(now))
        elif self._timers.wants_enquiry(self.state, now):
            self._out += encode(Pdu("enquire_link", Status.ROK, self._window.next_sequence()))
            self._timers.enquired(now)
        return events

    def next_deadline(self) -> float | None:
        """When `advance` has something to do; 0.0 if it was never told the time, None once closed."""
        if self.state is State.CLOSED:
            return None
        due = self._timers.next_deadline(self.state)
        oldest = self._window.next_deadline()
        return due if oldest is None else min(due, oldest)

    def _may_send(self, command: str) -> bool:
        return self.state in MAY_SEND[self.role].get(command, ())

    def _bind_in_question(self) -> Pdu:
        if self.role is not Role.SMSC or self.state is not State.BINDING or self._bind is None:
            raise NotBound(f"no bind to answer by {self.role} while {self.state}")
        return self._bind

    def _peer_is_old(self) -> bool:
        """An ESME of version 3.3 or before. An SMSC is sent what its configuration asks for, whatever it says."""
        return self.role is Role.SMSC and self.peer_version is not None and self.peer_version < INTERFACE_VERSION

    def _sendable(self, tlvs: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """SMPP 3.4 §3.4: no TLVs to a peer that cannot know them. A text must not vanish with them."""
        if not tlvs or not self._peer_is_old():
            return list(tlvs)
        if any(tag == Tlv.MESSAGE_PAYLOAD for tag, _ in tlvs):
            raise ProtocolError(Status.RSYSERR, "message_payload to a peer of version 3.3")
        return []
