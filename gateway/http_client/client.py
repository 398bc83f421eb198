"""The client: deadlines, one pool an address, one sweep for all of them."""

import asyncio
import ssl
from collections.abc import Mapping

from gateway.http_client.connection import Hook, Sockets
from gateway.http_client.message import HttpAnswer, Limits, NotSent, Url, parse_url, render
from gateway.http_client.pool import Address, Pool


class HttpClient:
    """Requests with a deadline over kept connections. Bound to the loop of its first request."""

    def __init__(self, limits: Limits | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.limits = limits or Limits()
        self._tls = tls
        self._pools: dict[Address, Pool] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._sockets = Sockets()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float,
        connect_to: tuple[str, int] | None = None,
        before_first_byte: Hook | None = None,
        after_first_byte: Hook | None = None,
    ) -> HttpAnswer:
        """One request, one answer. Raise NotSent or NoAnswer; waiting for a connection counts into *timeout_s*.

        *connect_to* says where the connection goes, while Host and the certificate's name stay those of the URL.
        The hooks must not raise.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        where = parse_url(url)
        request = render(method, where, headers, body)
        connection = await self._pool(where, connect_to, loop).take(deadline)
        return await connection.exchange(request, deadline, before_first_byte, after_first_byte)

    async def close(self) -> None:
        """Close every connection and wait until they are closed; whoever waits for an answer gets NoAnswer."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        await self._sockets.gone()

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _pool(self, where: Url, connect_to: tuple[str, int] | None, loop: asyncio.AbstractEventLoop) -> Pool:
        if self._is_closed:
            raise NotSent("the client is closed")
        if self._sweeper is None:
            self._sweeper = loop.call_later(self.limits.sweep_s, self._sweep, loop)
        address = Address(where.scheme, where.host, where.port, connect_to)
        pool = self._pools.get(address)
        if pool is None:
            self._make_room()
            pool = self._pools[address] = Pool(
                address, limits=self.limits, sockets=self._sockets, tls=self._tls_context, loop=loop
            )
        return pool

    def _make_room(self) -> None:
        if len(self._pools) >= self.limits.hosts_max:
            for pool in self._pools.values():
                pool.close_idle()
            self._forget_empty()
        if len(self._pools) >= self.limits.hosts_max:
            raise NotSent(f"requests to {self.limits.hosts_max} hosts are under way already")

    def _forget_empty(self) -> None:
        self._pools = {address: pool for address, pool in self._pools.items() if not pool.is_empty}

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for pool in self._pools.values():
            pool.sweep(now)
        self._forget_empty()
        # A client without connections costs no wake-up.
        self._sweeper = loop.call_later(self.limits.sweep_s, self._sweep, loop) if self._pools else None
