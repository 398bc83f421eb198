"""Tells other processes on the same PostgreSQL that rows wait in their lanes, and hears it from them.

A hint only: a lost one costs no more than the slow poll's pause. Sent after the commit and never inside it, many rows
as one notification.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

import psycopg

from gateway.store.leases import CHANNEL

log = logging.getLogger(__name__)

# PostgreSQL takes payloads below 8,000 bytes.
PAYLOAD_MAX = 7000
RECONNECT_S = 1.0


class LaneNotifier:
    """Listens and notifies over two connections of its own."""

    def __init__(self, conninfo: str, wake: Callable[[str], None]) -> None:
        self._conninfo = conninfo
        self._wake = wake
        self._names: set[str] = set()
        self._wanted = asyncio.Event()
        self.listening = asyncio.Event()
        """Set once this process hears the others."""

    def notify(self, names: Collection[str]) -> None:
        """Tell the owners of these lanes. Returns at once; what comes together leaves together."""
        self._names.update(names)
        self._wanted.set()

    async def run(self) -> None:
        """Listen and send until cancelled, reconnecting by itself."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._keep(self._listen), name="notify: listen")
            both.create_task(self._keep(self._send), name="notify: send")

    async def _keep(self, serve: Callable[[psycopg.AsyncConnection], Awaitable[None]]) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as conn:
                    await serve(conn)
            except psycopg.Error as error:
                log.warning("notifications are interrupted: %s", error)
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self, conn: psycopg.AsyncConnection) -> None:
        await conn.execute(f"LISTEN {CHANNEL}")
        self.listening.set()
        async for heard in conn.notifies():
            for name in heard.payload.split(","):
                self._wake(name)

    async def _send(self, conn: psycopg.AsyncConnection) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            payloads = _payloads(self._names)
            self._names.clear()
            for payload in payloads:
                await conn.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))


def _payloads(names: Collection[str]) -> list[str]:
    """Lane names joined by commas, cut so that each payload fits."""
    payloads = [""]
    for name in sorted(names):
        joined = f"{payloads[-1]},{name}" if payloads[-1] else name
        if len(joined) > PAYLOAD_MAX:
            payloads.append(name)
        else:
            payloads[-1] = joined
    return [payload for payload in payloads if payload]
