"""One connection of an ESME to the SMSC: frames, binds, responses, timers, and the link's own faults.

It speaks through the wire's codec alone and keeps its own session state, so the gateway's session does not talk to its
own mirror. What happens to messages is decided by the centre.
"""

import asyncio
from typing import Protocol, cast

from carriers.smpp.wire.codec import Framer, ProtocolError, decode, encode
from carriers.smpp.wire.pdu import Pdu
from simulators.journal import Journal
from simulators.smsc_messages import (
    NPI_ISDN,
    STATE_OCTETS,
    TLV_MESSAGE_PAYLOAD,
    TON_INTERNATIONAL,
    Deliver,
    Message,
    State,
    Submit,
)
from simulators.smsc_settings import SmscSettings
from simulators.web import reset as reset_transport

SYSTEM_ID = b"SIMSMSC"
INTERFACE_VERSION = 0x34
TLV_SC_INTERFACE_VERSION = 0x0210
TON_ALPHANUMERIC = 5
SEQUENCE_MAX = 0x7FFFFFFF
UNBIND_WAIT_S = 0.3
HALF_PDU_RESET_S = 1.0
UNBOUND_MAX_S = 10.0
TICK_MAX_S = 1.0

ROK, INVALID_COMMAND_LENGTH, INVALID_COMMAND_ID, WRONG_STATE, ALREADY_BOUND, INVALID_MESSAGE_ID = 0, 2, 3, 4, 5, 0x0C

SENDING = frozenset({"bind_transmitter", "bind_transceiver"})
RECEIVING = frozenset({"bind_receiver", "bind_transceiver"})


class Centre(Protocol):
    """What a link asks of the message centre, and tells it."""

    settings: SmscSettings
    journal: Journal

    def opened(self, link: "Link") -> None: ...
    def closed(self, link: "Link", unanswered: list[Deliver]) -> None: ...
    def bind(self, link: "Link", system_id: str, password: str) -> int: ...
    def bound(self, link: "Link") -> None: ...
    def submit(self, link: "Link", submit: Submit) -> None: ...
    def query(self, link: "Link", shown: str) -> Message | None: ...
    def cancel(self, link: "Link", shown: str) -> int: ...
    def answered(self, link: "Link", deliver: Deliver, status: int) -> None: ...
    def unanswered(self, link: "Link", deliver: Deliver) -> None: ...
    def room_again(self, link: "Link") -> None: ...


class Link(asyncio.Protocol):
    """The SMSC's end of one TCP connection."""

    def __init__(self, centre: Centre) -> None:
        self.system_id = ""
        self._centre = centre
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._framer = Framer()
        self._out: list[bytes] = []
        self._bound_as = ""
        self._is_ending = False
        self._is_mute = False
        self._frozen: asyncio.TimerHandle | None = None
        self._sequence = 0
        self._under_way: dict[int, tuple[Deliver, float]] = {}
        self._opened = self._heard = self._loop.time()
        self._enquired: float | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    @property
    def can_receive(self) -> bool:
        return self._bound_as in RECEIVING and not self._is_ending and self._frozen is None

    @property
    def has_room(self) -> bool:
        return len(self._under_way) < self._centre.settings.window

    def respond(self, submit: Submit, status: int, message_id: str = "") -> None:
        self._send(_submit_response(submit, status, message_id))

    def respond_half(self, submit: Submit, message_id: str) -> None:
        """Half of the response, then silence, then RST."""
        frame = encode(_submit_response(submit, ROK, message_id))
        self._write(frame[: len(frame) // 2])
        self._flush()
        self._is_mute = True
        self._loop.call_later(HALF_PDU_RESET_S, self.reset)

    def send_raw(self, octets: bytes) -> None:
        self._write(octets)

    def freeze(self, seconds: float) -> None:
        """Neither read nor write for a while, with the connection open."""
        if self._transport is None or self._frozen is not None:
            return
        self._flush()
        self._transport.pause_reading()
        self._frozen = self._loop.call_later(seconds, self._thaw)

    def reset(self) -> None:
        reset_transport(self._transport)

    def deliver(self, deliver: Deliver) -> int:
        """Hand it out; the sequence number under which its answer comes."""
        sequence = self._next_sequence()
        self._under_way[sequence] = (deliver, self._loop.time())
        is_name = not deliver.destination.lstrip("+").isdigit()
        fields: dict[str, int | bytes] = {
            "service_type": deliver.service_type.encode(),
            "source_addr_ton": TON_INTERNATIONAL,
            "source_addr_npi": NPI_ISDN,
            "source_addr": deliver.source.removeprefix("+").encode("ascii", "replace"),
            "dest_addr_ton": TON_ALPHANUMERIC if is_name else 0,
            "dest_addr_npi": 0 if is_name else NPI_ISDN,
            "destination_addr": deliver.destination.encode("ascii", "replace"),
            "esm_class": deliver.esm_class,
            "data_coding": deliver.data_coding,
            "short_message": deliver.octets,
        }
        self._send(Pdu("deliver_sm", ROK, sequence, fields, list(deliver.tlvs)))
        return sequence

    async def unbind_and_close(self) -> None:
        """Say goodbye and close, without waiting long for anybody."""
        if self._transport is None:
            return
        if self._bound_as and self._frozen is None:
            self._is_ending = True
            self._send(Pdu("unbind", ROK, self._next_sequence()))
            try:
                await asyncio.wait_for(self._gone.wait(), UNBIND_WAIT_S)
            except TimeoutError:
                self._close()
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast and no check: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._centre.opened(self)
        self._tick()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for timer in (self._ticker, self._frozen):
            if timer is not None:
                timer.cancel()
        unanswered = [deliver for deliver, _ in self._under_way.values()]
        self._under_way.clear()
        self._bound_as = ""
        self._centre.closed(self, unanswered)
        self._gone.set()

    def data_received(self, octets: bytes) -> None:
        self._heard = self._loop.time()
        self._enquired = None
        for frame in self._framer.feed(octets):
            try:
                pdu = decode(frame)
            except ProtocolError as error:
                self._broken(error)
            else:
                self._read(pdu)
        if self._framer.fault is not None and not self._is_ending:
            self._send(Pdu("generic_nack", INVALID_COMMAND_LENGTH, 0))
            self._journal("nack", detail=self._framer.fault.reason)
            self._close()

    def _broken(self, error: ProtocolError) -> None:
        """The header was read, the body makes no sense: answer and stay. Responses are not answered."""
        self._journal("nack", detail=error.reason)
        if error.sequence is None:
            return
        if error.command is None:
            self._send(Pdu("generic_nack", INVALID_COMMAND_ID, error.sequence))
        elif not error.command.endswith("_resp") and error.command != "generic_nack":
            answer = f"{error.command}_resp"
            known = "generic_nack" if error.command in ("outbind", "alert_notification") else answer
            self._send(Pdu(known, error.status, error.sequence))

    def _read(self, pdu: Pdu) -> None:
        command = pdu.command
        if command in ("deliver_sm_resp", "data_sm_resp", "generic_nack"):
            self._answered(pdu)
        elif command in ("submit_sm", "data_sm"):
            self._submit(pdu)
        elif command == "enquire_link":
            self._send(Pdu("enquire_link_resp", ROK, pdu.sequence))
        elif command.startswith("bind_") and not command.endswith("_resp"):
            self._bind(pdu)
        elif command == "unbind":
            self._send(Pdu("unbind_resp", ROK, pdu.sequence))
            self._journal("unbind")
            self._close()
        elif command == "unbind_resp":
            self._close()
        elif command in ("query_sm", "cancel_sm"):
            self._about_message(pdu)
        elif not command.endswith("_resp"):
            self._journal("pdu.in", command=command)
            self._send(Pdu("generic_nack", INVALID_COMMAND_ID, pdu.sequence))

    def _bind(self, pdu: Pdu) -> None:
        system_id = pdu.octets("system_id").decode("latin-1")
        status = ALREADY_BOUND
        if not self._bound_as:
            status = self._centre.bind(self, system_id, pdu.octets("password").decode("latin-1"))
        self._journal("bind", command=pdu.command, claimed=system_id, status=status)
        tlvs = [(TLV_SC_INTERFACE_VERSION, bytes([INTERFACE_VERSION]))]
        if pdu.integer("interface_version") < INTERFACE_VERSION or status != ROK:
            tlvs = []
        fields: dict[str, int | bytes] = {"system_id": SYSTEM_ID} if status == ROK else {}
        self._send(Pdu(f"{pdu.command}_resp", status, pdu.sequence, fields, tlvs))
        if status == ROK:
            self.system_id, self._bound_as = system_id, pdu.command
            self._centre.bound(self)
        elif not self._bound_as:
            self._close()

    def _submit(self, pdu: Pdu) -> None:
        if self._bound_as not in SENDING:
            self._send(Pdu(f"{pdu.command}_resp", WRONG_STATE, pdu.sequence))
            return
        tlvs = dict(pdu.tlvs)
        self._centre.submit(
            self,
            Submit(
                command=pdu.command,
                system_id=self.system_id,
                sequence=pdu.sequence,
                source=pdu.octets("source_addr").decode("latin-1"),
                destination=pdu.octets("destination_addr").decode("latin-1"),
                esm_class=pdu.integer("esm_class"),
                data_coding=pdu.integer("data_coding"),
                registered=pdu.integer("registered_delivery"),
                validity=pdu.octets("validity_period").decode("latin-1"),
                octets=pdu.octets("short_message") or tlvs.get(TLV_MESSAGE_PAYLOAD, b""),
                tlvs=tlvs,
            ),
        )

    def _about_message(self, pdu: Pdu) -> None:
        """query_sm and cancel_sm."""
        shown = pdu.octets("message_id").decode("latin-1")
        answer = Pdu(f"{pdu.command}_resp", WRONG_STATE, pdu.sequence)
        if self._bound_as not in SENDING:
            self._send(answer)
            return
        if pdu.command == "cancel_sm":
            answer.status = self._centre.cancel(self, shown)
        else:
            message = self._centre.query(self, shown)
            answer.status = ROK if message else INVALID_MESSAGE_ID
            answer.fields = {"message_id": shown.encode("latin-1")}
            if message is not None:
                answer.fields |= {"message_state": STATE_OCTETS[message.state], "final_date": _final_date(message)}
        self._journal("pdu.in", command=pdu.command, status=answer.status)
        self._send(answer)

    def _answered(self, pdu: Pdu) -> None:
        found = self._under_way.pop(pdu.sequence, None)
        if found is None:
            self._journal("pdu.stray", command=pdu.command, sequence=pdu.sequence)
            return
        # A nack with status zero would read as a yes; it never is one.
        status = pdu.status if pdu.command != "generic_nack" else pdu.status or INVALID_COMMAND_ID
        self._centre.answered(self, found[0], status)

    def _send(self, pdu: Pdu) -> None:
        self._write(encode(pdu))

    def _write(self, octets: bytes) -> None:
        """Everything that is said in one turn of the loop leaves in one write."""
        if self._transport is None or self._is_mute:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(octets)

    def _flush(self) -> None:
        if self._out and self._frozen is None and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _thaw(self) -> None:
        self._frozen = None
        self._heard = self._loop.time()
        if self._transport is not None:
            self._transport.resume_reading()
            self._flush()
            self._centre.room_again(self)

    def _close(self) -> None:
        self._is_ending = True
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % SEQUENCE_MAX + 1
        return self._sequence

    def _tick(self) -> None:
        settings, now = self._centre.settings, self._loop.time()
        self._ticker = self._loop.call_later(min(TICK_MAX_S, settings.response_timeout_s / 4), self._tick)
        if not self._bound_as and now - self._opened > UNBOUND_MAX_S:
            self._close()
            return
        while self._under_way:
            sequence, (deliver, since) = next(iter(self._under_way.items()))
            if now - since < settings.response_timeout_s:
                break
            del self._under_way[sequence]
            self._centre.unanswered(self, deliver)
        if self._bound_as and self._frozen is None:
            self._keep_alive(settings, now)

    def _keep_alive(self, settings: SmscSettings, now: float) -> None:
        if self._enquired is not None:
            if now - self._enquired > settings.response_timeout_s:
                self._journal("dead")
                self._close()
        elif now - self._heard > settings.enquire_interval_s:
            self._enquired = now
            self._send(Pdu("enquire_link", ROK, self._next_sequence()))

    def _journal(self, kind: str, **fields: str | int) -> None:
        self._centre.journal.write(kind, system_id=self.system_id, **fields)


def _submit_response(submit: Submit, status: int, message_id: str) -> Pdu:
    fields: dict[str, int | bytes] = {"message_id": message_id.encode()} if message_id else {}
    return Pdu(f"{submit.command}_resp", status, submit.sequence, fields)


def _final_date(message: Message) -> bytes:
    if message.ended is None or message.state is State.ENROUTE:
        return b""
    return f"{message.ended:%y%m%d%H%M%S}000+".encode()
