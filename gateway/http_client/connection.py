"""One connection to a server, one request at a time, and the proof of what left on it."""

import asyncio
import select
from collections.abc import Callable
from typing import Final, Protocol, cast

from gateway.http_client.message import HttpAnswer, Limits, NoAnswer, NotSent, Reading

# POLLRDHUP is the other side's FIN; anything readable on an idle connection is one too many as well.
_SPOILED: Final = select.POLLIN | select.POLLRDHUP

Hook = Callable[[], None]


class Owner(Protocol):
    """The pool, as its connections see it."""

    limits: Limits
    loop: asyncio.AbstractEventLoop

    sockets: "Sockets"

    def give_back(self, connection: "Connection") -> None: ...

    def lose(self, connection: "Connection") -> None: ...


class Sockets:
    """How many sockets a client has open, those included that are being closed."""

    def __init__(self) -> None:
        self._open = 0
        self._all_gone: asyncio.Future[None] | None = None

    def opened(self) -> None:
        self._open += 1

    def closed(self) -> None:
        self._open -= 1
        if not self._open and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def gone(self) -> None:
        """Wait until none is open."""
        await asyncio.sleep(0)  # asyncio closes the socket of a connect that was given up in its next turn.
        if self._open:
            if self._all_gone is None or self._all_gone.done():
                self._all_gone = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_gone)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, pool: Owner) -> None:
        self.deadline: float | None = None
        """Set while a request is under way."""
        self.idle_since = 0.0
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._is_counted = False
        self._reading = Reading(pool.limits)
        self._answer: asyncio.Future[HttpAnswer] | None = None

    def adopt(self) -> None:
        """The connect is through: the client's end waits for this socket's end.

        Not sooner: of a connect that is given up, uvloop tells the beginning and not the end.
        """
        if self._transport is not None:
            self._is_counted = True
            self._pool.sockets.opened()

    def is_fresh(self) -> bool:
        """Nothing was heard from the server since the last answer: no end, no reset, no stray byte.

        Asked of the kernel, because the loop may not have looked yet.
        """
        transport = self._transport
        return transport is not None and not transport.is_closing() and not self._poll.poll(0)

    async def exchange(
        self, request: bytes, deadline: float, before_first_byte: Hook | None, after_first_byte: Hook | None
    ) -> HttpAnswer:
        transport, loop = self._transport, self._pool.loop
        if transport is None or transport.is_closing():
            self.end()
            raise NotSent("the connection was lost before the request was written")
        if loop.time() >= deadline:
            self._pool.give_back(self)
            raise NotSent("there was no time left to write the request")
        answer: asyncio.Future[HttpAnswer] = loop.create_future()
        self._answer = answer
        self.deadline = deadline
        if before_first_byte is not None:
            before_first_byte()
        transport.write(request)
        if after_first_byte is not None:
            # A turn later: uvloop writes at the end of this one.
            loop.call_soon(after_first_byte)
        try:
            return await answer
        except asyncio.CancelledError:
            if self._answer is answer:
                self.end()
            elif not answer.cancelled():
                answer.exception()  # Seen, though nobody wants it any more.
            raise

    def fail(self, why: str) -> None:
        """End the connection; whoever waits for an answer gets NoAnswer."""
        answer = self._answer
        self.end()
        if answer is not None and not answer.done():
            answer.set_exception(NoAnswer(why))

    def end(self) -> None:
        """Close without ceremony: nothing is worth sending or reading any more."""
        self._answer, self.deadline = None, None
        self._reading.stop()
        self._pool.lose(self)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), _SPOILED)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.end()  # An answer that nobody asked for must not become that of the next request.
            return
        reading = self._reading
        reading.feed(data)
        if reading.is_whole:
            self._finish(reading.take())
        elif reading.wrong:
            self.fail(reading.wrong)

    def eof_received(self) -> None:
        """The server is done. Returning None closes the connection."""
        if self._answer is not None and self._reading.is_whole_at_end():
            self._finish(self._reading.take())
        else:
            self.fail("the connection was closed before the whole answer")

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(f"the connection was lost before the whole answer: {error}")
        self._transport = None
        if self._is_counted:
            self._pool.sockets.closed()

    def _finish(self, whole: HttpAnswer) -> None:
        answer, transport = self._answer, self._transport
        assert answer is not None and transport is not None
        # An answer that came before the request had left entirely leaves the rest of it on the connection.
        if self._reading.is_reusable and not transport.is_closing() and not transport.get_write_buffer_size():
            self._answer, self.deadline = None, None
            self._reading.start()
            self._pool.give_back(self)
        else:
            self.end()
        if not answer.done():
            answer.set_result(whole)
