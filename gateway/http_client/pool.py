"""The connections to one address: how many there may be, who gets the next one, when an idle one is closed."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from gateway.http_client.connection import Connection, Sockets
from gateway.http_client.message import Limits, NotSent


class Address(NamedTuple):
    """Where connections go: what is pooled together."""

    scheme: str
    host: str
    port: int
    connect_to: tuple[str, int] | None


class Pool:
    """Connections to one address. A slot is the right to have one; who waits for a slot is served in order."""

    def __init__(
        self,
        address: Address,
        *,
        limits: Limits,
        sockets: Sockets,
        tls: Callable[[], ssl.SSLContext],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.limits = limits
        self.loop = loop
        self.sockets = sockets
        self._tls = tls
        self._address = address
        self._is_closed = False
        self._slots_taken = 0
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[asyncio.Future[Connection | None], float]] = deque()

    @property
    def is_empty(self) -> bool:
        return not self._slots_taken and not self._waiting

    async def take(self, deadline: float) -> Connection:
        """A live connection. Raise NotSent if there is none before *deadline*."""
        while True:
            while self._idle:
                # The one used last is the one that the server closes last.
                connection = self._idle.pop()
                if connection.is_fresh():
                    return connection
                connection.end()
            if self._slots_taken < self.limits.connections_per_host_max:
                self._slots_taken += 1
                return await self._connect(deadline)
            handed = await self._wait(deadline)
            if handed is None:
                return await self._connect(deadline)
            if handed.is_fresh():
                return handed
            handed.end()

    async def _wait(self, deadline: float) -> Connection | None:
        """Our turn: a connection, or (None) a slot to open one."""
        if len(self._waiting) >= self.limits.waiting_per_host_max:
            raise NotSent(f"{self.limits.waiting_per_host_max} requests wait for {self._address.host} already")
        turn: asyncio.Future[Connection | None] = self.loop.create_future()
        entry = (turn, deadline)
        self._waiting.append(entry)
        try:
            return await turn
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)
            if not turn.cancelled() and turn.exception() is None:
                self._decline(turn.result())
            raise

    def _decline(self, handed: Connection | None) -> None:
        """Our turn came when we no longer wanted it."""
        if handed is None or handed in self._connections:
            self._hand_on(handed)

    async def _connect(self, deadline: float) -> Connection:
        """Open a connection on a slot that we have; the slot is given back if that fails."""
        address, connection = self._address, None
        host, port = address.connect_to or (address.host, address.port)
        is_tls = address.scheme == "https"
        try:
            async with asyncio.timeout_at(deadline):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self),
                    host,
                    port,
                    ssl=self._tls() if is_tls else None,
                    server_hostname=address.host if is_tls else None,
                )
        except (OSError, UnicodeError) as error:
            raise NotSent(f"cannot connect to {host}:{port}: {str(error) or type(error).__name__}") from error
        finally:
            if connection is None:
                self._hand_on(None)
        connection.adopt()
        if self._is_closed:
            connection.end()
            raise NotSent("the client is closed")
        self._connections.add(connection)
        return connection

    def _hand_on(self, connection: Connection | None) -> None:
        """Give a free connection, or (None) its slot, to whoever waits longest."""
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is None:
            assert self._slots_taken > 0
            self._slots_taken -= 1
        else:
            self._idle.append(connection)

    def give_back(self, connection: Connection) -> None:
        """The answer is complete and the connection can carry another request."""
        connection.idle_since = self.loop.time()
        self._hand_on(connection)

    def lose(self, connection: Connection) -> None:
        """The connection is over; its slot is free. A connection that was taken out before has no slot."""
        if connection in self._connections:
            self._connections.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._hand_on(None)

    def sweep(self, now: float) -> None:
        for connection in tuple(self._connections):
            if connection.deadline is not None:
                if connection.deadline <= now:
                    connection.fail("no whole answer in time")
            elif connection in self._idle and connection.idle_since + self.limits.idle_s <= now:
                connection.end()
        for entry in [entry for entry in self._waiting if entry[1] <= now]:
            self._waiting.remove(entry)
            if not entry[0].done():
                entry[0].set_exception(NotSent(f"no free connection to {self._address.host} in time"))

    def close_idle(self) -> None:
        for connection in tuple(self._idle):
            connection.end()

    def close(self) -> None:
        self._is_closed = True
        for turn, _ in self._waiting:
            if not turn.done():
                turn.set_exception(NotSent("the client is closed"))
        self._waiting.clear()
        for connection in tuple(self._connections):
            connection.fail("the client was closed")
