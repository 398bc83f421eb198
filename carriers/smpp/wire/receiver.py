"""The listening half of a session: what each of the peer's PDUs does to the state, and what is answered to nonsense.

Nothing that arrives raises anything: a peer's faults are answered and become events.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from carriers.smpp.wire.codec import Framer, Pdu, ProtocolError, decode, encode, frame_header
from carriers.smpp.wire.events import (
    BindRefused,
    BindRequested,
    Bound,
    Event,
    LateResponse,
    LinkBroken,
    Nacked,
    OutbindReceived,
    ProtocolViolation,
    RequestAbandoned,
    RequestReceived,
    ResponseReceived,
    Role,
    SessionSettings,
    State,
    UnbindRequested,
    Unbound,
)
from carriers.smpp.wire.rules import MAY_SEND, MODES, OTHER, PUT_OFF
from carriers.smpp.wire.tables import BINDS, RESPONSE_BIT, RESPONSES, Status, Tlv, status_name
from carriers.smpp.wire.timers import LinkTimers
from carriers.smpp.wire.window import Window

NO_BODY: Final[Mapping[str, int | bytes]] = {}
_RESPONSE_NAMES: Final = frozenset(RESPONSES.values())


class Receiver:
    """Keeps the state of one bind; `Session` adds the owner's intentions and time."""

    def __init__(self, role: Role | str, settings: SessionSettings | None = None, *, now: float | None = None) -> None:
        self.role = Role(role)
        self.settings = settings or SessionSettings()
        self.state = State.OPEN
        self.peer_version: int | None = None
        """interface_version of the peer, as said at the bind."""
        self.last_request = b""
        """The octets of what was submitted last."""
        self.stray_responses = 0
        """Responses to nothing that was asked; counted and dropped."""
        self._mode = State.OPEN  # How the session is bound, also while it unbinds.
        self._framer = Framer()
        self._out = bytearray()
        self._window = Window(
            size=self.settings.window,
            timeout_s=self.settings.response_timeout_s,
            keep_s=self.settings.late_response_keep_s,
            late_max=self.settings.late_responses_max,
        )
        self._unanswered: dict[tuple[int, str], int] = {}
        self._unanswered_count = 0
        self._bind: Pdu | None = None
        self._unbind_sequence: int | None = None
        self._timers = LinkTimers(self.settings, now)

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take what the socket gave. Events are in the order of the PDUs."""
        if self.state is State.CLOSED:
            return []
        self._timers.begin(now)
        frames = self._framer.feed(data)
        events: list[Event] = []
        if frames:
            self._timers.heard(now)
        for frame in frames:
            self._take(frame, now, events)
            if self._is_over():
                return events
        if self._framer.fault is not None:
            self._answer("generic_nack", self._framer.fault.status, 0)
            self._break(self._framer.fault.reason, events)
        elif len(self._out) > self.settings.send_buffer_octets_max:
            self._break("the peer does not read", events)
        self._timers.in_pieces(now, waiting=self._framer.waiting_octets > 0, moved_on=bool(frames))
        return events

    def data_to_send(self) -> bytes:
        """What is to be written now; given out once."""
        octets = bytes(self._out)
        self._out.clear()
        return octets

    def _take(self, frame: bytes, now: float, events: list[Event]) -> None:
        try:
            pdu = decode(frame)
        except ProtocolError as fault:
            self._take_broken(frame, fault, now, events)
            return
        if pdu.command == "generic_nack" or pdu.command in _RESPONSE_NAMES:
            self._take_response(pdu, now, events)
        else:
            self._take_request(pdu, events)

    def _take_broken(self, frame: bytes, fault: ProtocolError, now: float, events: list[Event]) -> None:
        """The length was right, something inside was not: the stream is in step, so the session goes on."""
        _, code, status, sequence = frame_header(frame)
        if code & RESPONSE_BIT:
            if fault.command is None:
                self.stray_responses += 1
            else:  # What was asked for has its answer, whatever the body holds: to drop it would send a text twice.
                broken = Pdu(fault.command, status, sequence, body_error=fault.reason, frame=frame)
                self._take_response(broken, now, events)
            return
        events.append(ProtocolViolation(fault.reason if fault.command is None else f"{fault.command}: {fault.reason}"))
        if fault.command is None:
            self._answer("generic_nack", fault.status, sequence)
        elif fault.command in RESPONSES:
            self._answer(RESPONSES[fault.command], fault.status, sequence)
        if fault.command in BINDS and self.state is State.OPEN:
            self._break("malformed bind", events)

    def _take_request(self, pdu: Pdu, events: list[Event]) -> None:
        take = _REQUESTS.get(pdu.command)
        if take is not None:
            take(self, pdu, events)
        elif self._mode not in MAY_SEND[OTHER[self.role]].get(pdu.command, ()):
            self._refuse(pdu, Status.RINVBNDSTS, events)
        elif pdu.command not in RESPONSES:
            events.append(RequestReceived(pdu))
        elif self._unanswered_count >= self.settings.unanswered_max:
            self._refuse(pdu, PUT_OFF[self.role], events)
        else:
            key = (pdu.sequence, pdu.command)
            self._unanswered[key] = self._unanswered.get(key, 0) + 1
            self._unanswered_count += 1
            events.append(RequestReceived(pdu))

    def _take_bind(self, pdu: Pdu, events: list[Event]) -> None:
        if self.role is Role.SMSC and self.state is State.OPEN:
            self._bind = pdu
            self.peer_version = pdu.integer("interface_version")
            self.state = State.BINDING
            events.append(BindRequested(pdu))
        else:
            again = self.role is Role.SMSC and self.state is not State.OPEN
            self._refuse(pdu, Status.RALYBND if again else Status.RINVBNDSTS, events)

    def _take_outbind(self, pdu: Pdu, events: list[Event]) -> None:
        if self.role is Role.ESME and self.state is State.OPEN:
            events.append(OutbindReceived(pdu))
        else:
            self._refuse(pdu, Status.RINVBNDSTS, events)

    def _take_enquiry(self, pdu: Pdu, events: list[Event]) -> None:
        if self._mode is State.OPEN:
            self._refuse(pdu, Status.RINVBNDSTS, events)
        else:
            self._answer("enquire_link_resp", Status.ROK, pdu.sequence)

    def _take_unbind(self, pdu: Pdu, events: list[Event]) -> None:
        if self._mode is State.OPEN:
            self._refuse(pdu, Status.RINVBNDSTS, events)
            return
        self._answer("unbind_resp", Status.ROK, pdu.sequence)
        events.append(UnbindRequested())
        self._end(Unbound(), events)

    def _take_response(self, pdu: Pdu, now: float, events: list[Event]) -> None:
        if pdu.command == "enquire_link_resp":
            return  # It was heard: that is all it is for.
        if self.state is State.BINDING and self._answers_bind(pdu):
            self._bind_answered(pdu, events)
        elif self.state is State.UNBINDING and self._answers_unbind(pdu):
            self._end(Unbound(), events)
        else:
            self._resolve(pdu, now, events)

    def _resolve(self, pdu: Pdu, now: float, events: list[Event]) -> None:
        nack = pdu.command == "generic_nack"
        awaited = self._window.awaited(pdu.sequence)
        request = awaited or self._window.late(pdu.sequence, now)
        if request is None:
            self.stray_responses += 1
            if nack:  # Often about a PDU whose sequence the peer could not read: worth a line in the log.
                events.append(ProtocolViolation(f"generic_nack {status_name(pdu.status)} to nothing that waits"))
        elif not nack and pdu.command != RESPONSES[request.command]:
            events.append(ProtocolViolation(f"{pdu.command} in answer to {request.command}"))
        else:
            self._window.resolve(pdu.sequence)
            if awaited is None:
                events.append(LateResponse(pdu.sequence, pdu, request.token))
            elif nack:
                events.append(Nacked(pdu.sequence, pdu.status, request.token))
            else:
                events.append(ResponseReceived(pdu.sequence, pdu, request.token))

    def _answers_bind(self, pdu: Pdu) -> bool:
        if self.role is not Role.ESME or self._bind is None:
            return False
        if pdu.command == "generic_nack":  # Sequence 0 if the SMSC could not make sense of ours.
            return pdu.sequence in (0, self._bind.sequence)
        return pdu.command == RESPONSES[self._bind.command] and pdu.sequence == self._bind.sequence

    def _bind_answered(self, pdu: Pdu, events: list[Event]) -> None:
        assert self._bind is not None
        if pdu.status or pdu.command == "generic_nack":
            self._end(BindRefused(pdu.status or Status.RBINDFAIL), events)  # A nack with status 0 is no yes either.
            return
        self.state = self._mode = MODES[self._bind.command]
        version = pdu.tlv(Tlv.SC_INTERFACE_VERSION)
        self.peer_version = int.from_bytes(version, "big") if version else None
        events.append(Bound(pdu.octets("system_id").decode("latin-1"), self.peer_version))

    def _answers_unbind(self, pdu: Pdu) -> bool:
        return pdu.command == "unbind_resp" or (pdu.command == "generic_nack" and pdu.sequence == self._unbind_sequence)

    def _answer(
        self,
        command: str,
        status: int,
        sequence: int,
        fields: Mapping[str, int | bytes] = NO_BODY,
        tlvs: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        self._out += encode(Pdu(command, status, sequence, dict(fields), list(tlvs)))

    def _refuse(self, pdu: Pdu, status: int, events: list[Event]) -> None:
        if pdu.command in RESPONSES:
            self._answer(RESPONSES[pdu.command], status, pdu.sequence)
        events.append(ProtocolViolation(f"{pdu.command} while {self.state}: {status_name(status)}"))

    def _is_over(self) -> bool:
        return self.state is State.CLOSED

    def _break(self, reason: str, events: list[Event], *, is_unanswered: bool = False) -> None:
        self._end(LinkBroken(reason, is_unanswered), events)

    def _end(self, last: Event, events: list[Event]) -> None:
        self.state = State.CLOSED
        self._unanswered.clear()
        self._unanswered_count = 0
        for sequence, request in self._window.abandon():
            events.append(RequestAbandoned(sequence, request.token))
        events.append(last)


_REQUESTS: Final[dict[str, Callable[[Receiver, Pdu, list[Event]], None]]] = {
    **dict.fromkeys(BINDS, Receiver._take_bind),
    "outbind": Receiver._take_outbind,
    "enquire_link": Receiver._take_enquiry,
    "unbind": Receiver._take_unbind,
}
