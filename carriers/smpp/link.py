"""One TCP connection to the SMSC, from the bind to its end: the wire's machine, its socket and its clock.

What is said in one turn of the loop leaves in one write; one timer serves all deadlines. A link does not come back:
the bearer makes a new one.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from carriers.base import LinkCounts, SubmitResult
from carriers.smpp.incoming import Incoming, Owed
from carriers.smpp.mt import Part, Transfer
from carriers.smpp.outbound import Outbound
from carriers.smpp.settings import Settings
from carriers.smpp.wire.rules import BOUND
from carriers.smpp.wire.session import (
    BindRefused,
    Bound,
    Event,
    LateResponse,
    LinkBroken,
    Nacked,
    ProtocolViolation,
    RequestAbandoned,
    RequestReceived,
    ResponseReceived,
    ResponseTimedOut,
    Role,
    Session,
    State,
    Unbound,
)
from carriers.smpp.wire.tables import Status, status_name
from gateway import failpoints

log = logging.getLogger(__name__)

# A peer that does not read must not keep a dead link open: what it has not taken by then is dropped.
CLOSE_FLUSH_S: Final = 1.0


class Link(asyncio.Protocol):
    """One bind. `ended` resolves with the reason once the socket is gone."""

    def __init__(
        self,
        carrier: str,
        settings: Settings,
        incoming: "Callable[[Link], Incoming]",
        *,
        now_ms: Callable[[], int],
        on_up: Callable[[], None],
        counters: LinkCounts,
    ) -> None:
        """*incoming* makes what takes the SMSC's requests of this link."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.bound_at: float | None = None
        self.bound_at_ms: int | None = None
        """The same moment by the wall's clock."""
        self.bind_status = 0
        """What the SMSC refused the bind with."""
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._on_up = on_up
        self._counters = counters
        self._session = Session(Role.ESME, settings.session(), now=now)
        self._outbound = Outbound(settings, self._session, counters, now)
        self._inbound = incoming(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self._is_flush_due = False
        self._replies_unwritten = 0
        """Answers to phones' texts that wait for the next write to the socket."""
        self._is_stuffed = False
        """The socket takes no more for now."""
        self._quiet: asyncio.Future[None] | None = None
        """While leaving: resolves once nothing is under way."""
        self._reason = "the connection was closed"

    def is_bound(self) -> bool:
        """Bound, and not about to end."""
        return self._session.state in BOUND and not self._is_leaving

    def is_up(self) -> bool:
        """Bound, and not told to be slower."""
        return self.is_bound() and not self._outbound.is_paused(self._loop.time())

    @property
    def window_used(self) -> int:
        """Parts without an answer."""
        return self._outbound.flying

    def is_full(self) -> bool:
        return self._outbound.is_full()

    def retry_after_s(self) -> float:
        return self._outbound.retry_after_s(self._loop.time())

    def send(self, parts: list[Part]) -> Transfer:
        """Take a text; its outcome is in `done`."""
        done: asyncio.Future[SubmitResult] = self._loop.create_future()
        transfer = self._outbound.add(parts, done, self._loop.time())
        self._flush_soon()
        return transfer

    async def leave(self) -> None:
        """Let what is under way end, unbind, close; each within its limit."""
        self._is_leaving = True
        self._inbound.close()
        self._outbound.drop_waiting("the gateway stops", self._loop.time())
        try:
            if self._session.state in BOUND:
                await self._drained()
                await self._unbound()
        finally:
            await self._aborted()

    async def _drained(self) -> None:
        if self._outbound.flying or self._session.unanswered:
            self._quiet = self._loop.create_future()
            await asyncio.wait([self._quiet], timeout=self._settings.drain_timeout_s)

    async def _unbound(self) -> None:
        if self._session.state in BOUND:
            self._session.unbind(self._loop.time())
            self._flush()
            await asyncio.wait([self.ended], timeout=self._settings.unbind_timeout_s)

    async def _aborted(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            # uvloop does not tell the end of a connection whose making was cancelled.
            await asyncio.wait([self.ended], timeout=CLOSE_FLUSH_S)
        if self._timer is not None:
            self._timer.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast and no check: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        if self._is_leaving:  # Cancelled while it connected.
            self._transport.abort()
            return
        settings = self._settings
        fields: dict[str, int | bytes] = {
            "system_id": settings.system_id.encode("latin-1"),
            "password": settings.password.encode("latin-1"),
            "system_type": settings.system_type.encode("latin-1"),
        }
        self._session.bind("bind_transceiver", fields, now=self._loop.time())
        self._flush()

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        for event in self._session.receive_data(data, now):
            self._take(event, now)
        self._outbound.pump(now)
        self._flush_soon()

    def pause_writing(self) -> None:
        self._is_stuffed = True

    def resume_writing(self) -> None:
        self._is_stuffed = False
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if exc is not None:
            self._reason = f"the connection broke: {type(exc).__name__}"
        now = self._loop.time()
        for event in self._session.connection_lost(self._reason):
            self._take(event, now)
        self._outbound.drop_waiting(self._reason, now)
        self._check_quiet()
        self.ended.set_result(self._reason)

    def _take(self, event: Event, now: float) -> None:
        match event:
            case ResponseReceived():
                pdu = event.pdu
                self._outbound.answered(event.token, pdu.status, pdu.octets("message_id"), now, pdu.frame)
                self._check_quiet()
            case RequestReceived():
                self._inbound.receive(event.pdu, now)
            case Nacked():
                # A nack with status 0 is no yes: it says that the PDU made no sense.
                self._outbound.answered(event.token, event.status or Status.RINVCMDID, b"", now)
                self._check_quiet()
            case ResponseTimedOut():
                self._counters.timed_out += 1
                self._outbound.unanswered(event.token, "no answer in time")
                self._check_quiet()
            case RequestAbandoned():
                self._outbound.unanswered(event.token, "the link ended before the answer")
            case LateResponse():
                self._counters.late_responses += 1
                log.info("%s: a late answer, %s", self._carrier, status_name(event.pdu.status))
            case _:
                self._take_change(event, now)

    def _take_change(self, event: Event, now: float) -> None:
        match event:
            case Bound():
                self.bound_at, self.bound_at_ms = now, self._now_ms()
                log.info("%s: bound to %s", self._carrier, event.system_id)
                self._on_up()
            case BindRefused():
                self.bind_status = event.status
                self._reason = f"the bind was refused: {status_name(event.status)}"
            case Unbound():
                self._reason = "unbound"
            case LinkBroken():
                self._reason = event.reason
                self._counters.enquiries_failed += event.is_unanswered
            case ProtocolViolation():
                log.warning("%s: %s", self._carrier, event.reason)
            case _:
                pass  # An outbind, on a link that binds by itself; an unbind, which ends in `Unbound`.

    def answer(self, owed: Owed, status: int) -> None:
        """Give an answer that is owed; once for each."""
        if self._session.respond(owed.sequence, owed.command, status):
            self._replies_unwritten += owed.is_reply
            self._flush_soon()
        self._check_quiet()

    def _check_quiet(self) -> None:
        if self._quiet is None or self._quiet.done():
            return
        if not self._outbound.flying and not self._session.unanswered:
            self._quiet.set_result(None)

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        transport = self._transport
        if transport is None:
            return
        if not self._is_stuffed and (octets := self._session.data_to_send()):
            self._write(transport, octets)
        if self._session.state is State.CLOSED:
            self._close(transport)
        else:
            self._arm()

    def _write(self, transport: asyncio.Transport, octets: bytes) -> None:
        asks, self._outbound.unwritten = self._outbound.unwritten, 0
        replies, self._replies_unwritten = self._replies_unwritten, 0
        _pass_failpoints("before_first_byte", asks, replies)
        transport.write(octets)
        # A turn later: uvloop writes at the end of this one.
        self._loop.call_soon(_pass_failpoints, "after_first_byte", asks, replies)

    def _close(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing():
            transport.close()
            self._loop.call_later(CLOSE_FLUSH_S, self._abort_if_open)

    def _abort_if_open(self) -> None:
        # Python before 3.11.5 fails at the abort of a TLS transport that has ended.
        if self._transport is not None:
            self._transport.abort()

    def _arm(self) -> None:
        """The timer may fire too early, which costs one look; to move it at every change would cost more."""
        due = self._session.next_deadline()
        assert due is not None, "asked only while the session lives"
        for other in (self._inbound.next_deadline(), self._outbound.next_deadline(is_stuffed=self._is_stuffed)):
            if other is not None and other < due:
                due = other
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        for event in self._session.advance(now):
            self._take(event, now)
        self._inbound.advance(now)
        if self._outbound.advance(now):
            self._on_up()
        self._flush()


def _pass_failpoints(place: str, asks: int, replies: int) -> None:
    for _ in range(asks):
        failpoints.hit(f"ask.{place}")
    for _ in range(replies):
        failpoints.hit(f"reply.{place}")
