"""One bind to an SMSC, made again whenever it ends, until the gateway stops."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable

from carriers.base import LinkCounts
from carriers.smpp.incoming import Incoming
from carriers.smpp.link import Link
from carriers.smpp.pace import Backoff
from carriers.smpp.settings import Settings

log = logging.getLogger(__name__)


class Bind:
    """`link` is the connection that stands or is being made."""

    def __init__(
        self,
        carrier: str,
        settings: Settings,
        *,
        now_ms: Callable[[], int],
        on_up: Callable[[], None],
        counters: LinkCounts,
    ) -> None:
        self.link: Link | None = None
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._on_up = on_up
        self._counters = counters
        self._ssl = _tls(settings) if settings.tls else None

    def is_up(self) -> bool:
        """Bound, and not told by the SMSC to pause."""
        return self.link is not None and self.link.is_up()

    async def keep(self, incoming: Callable[[Link], Incoming]) -> None:
        """Until cancelled; then let what is under way end, unbind and close."""
        backoff = Backoff(self._settings)
        try:
            while True:
                link = await self._connected(incoming)
                reason = "no connection" if link is None else await asyncio.shield(link.ended)
                delay_s = self._delay_s(backoff, link)
                log.warning("%s: %s; next try in %.1f s", self._carrier, reason, delay_s)
                self.link = None
                self._counters.reconnects += 1
                await asyncio.sleep(delay_s)
        finally:
            link, self.link = self.link, None
            if link is not None:
                await link.leave()

    async def _connected(self, incoming: Callable[[Link], Incoming]) -> Link | None:
        settings = self._settings
        link = Link(self._carrier, settings, incoming, now_ms=self._now_ms, on_up=self._on_up, counters=self._counters)
        name = settings.host if self._ssl is not None else None
        loop = asyncio.get_running_loop()
        # Known before it is bound: cancelled while it binds, it is closed all the same.
        self.link = link
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await loop.create_connection(
                    lambda: link, settings.host, settings.port, ssl=self._ssl, server_hostname=name
                )
        except OSError as trouble:  # TimeoutError and the errors of TLS are of this kind.
            log.warning("%s: no connection to %s:%d: %s", self._carrier, settings.host, settings.port, trouble)
            self.link = None
            return None
        return link

    def _delay_s(self, backoff: Backoff, link: Link | None) -> float:
        bound_at = link.bound_at if link is not None else None
        bound_for_s = 0.0 if bound_at is None else asyncio.get_running_loop().time() - bound_at
        status = link.bind_status if link is not None else 0
        return backoff.next_delay_s(bound_for_s=bound_for_s, bind_status=status, chance=random.random())


def _tls(settings: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.tls_ca_file or None)
