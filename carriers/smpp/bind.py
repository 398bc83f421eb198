"""One bind to an SMSC, made again whenever it ends, until the gateway stops; what every adapter of one needs of it."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable

from carriers.base import LinkCounts, Refused
from carriers.smpp.incoming import Incoming
from carriers.smpp.link import Link
from carriers.smpp.mt import RETRY_AFTER_S
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
        self.tasks: set[asyncio.Task[None]] = set()
        """What is on its way from the SMSC into the sink."""
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._on_up = on_up
        self._counters = counters
        self._ssl = _tls(settings) if settings.tls else None

    def is_up(self) -> bool:
        """Bound, and not told by the SMSC to pause."""
        return self.link is not None and self.link.is_up()

    def counts(self) -> LinkCounts:
        """Since the process began, and how the link stands now."""
        link, counters = self.link, self._counters
        counters.window_size = self._settings.window
        counters.window_used = 0 if link is None else link.window_used
        counters.up_since_ms = link.bound_at_ms if link is not None and link.is_bound() else None
        return counters

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
            try:
                if link is not None:
                    await link.leave()
            finally:
                # What is still on its way into the sink has lost the link that it would be acknowledged on.
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)

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


def ready(link: Link | None, what: str) -> Link | Refused:
    """*link* if it has room for one more of *what* (in the plural), else why nothing is sent."""
    if link is None or not link.is_bound():
        return Refused(code="not_bound", detail="no link", retryable=True, retry_after_s=RETRY_AFTER_S)
    if link.is_full() or not link.is_up():
        detail = f"too many {what} wait, or the SMSC wants a pause"
        return Refused(code="no_room", detail=detail, retryable=True, retry_after_s=link.retry_after_s())
    return link


def _tls(settings: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.tls_ca_file or None)
