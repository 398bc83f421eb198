"""Texts over SMPP 3.4: one transceiver bind to an SMSC, kept up until the gateway stops.

By the "Short Message Peer to Peer Protocol Specification v3.4", Issue 1.2. The protocol's rules are in `wire`, one
connection is in `link`, texts out are in `mt`, what phones and networks say in `mo` and `inbound`. This adapter never
sends anything twice by itself: it says what is known of a text, and whether it may be tried again.
"""

import random
from collections.abc import Callable, Sequence

from carriers.base import LinkCounts, Mt, Refused, Route, Sink, SubmitResult
from carriers.smpp.bind import Bind, ready
from carriers.smpp.inbound import Inbound
from carriers.smpp.link import Link
from carriers.smpp.mt import Composer
from carriers.smpp.settings import Settings
from gateway import failpoints

__all__ = ["Bearer", "Settings"]


def _nothing() -> None:
    return


class Bearer:
    """One carrier's texts over one bind; implements `carriers.base.Bearer`."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], on_up: Callable[[], None] = _nothing
    ) -> None:
        self.counters = LinkCounts()
        self.concurrency = settings.concurrency
        self.hard_timeout_s = settings.hard_timeout_s
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        # By chance, so that a restart does not take up the numbers of texts whose parts are still on their way.
        self._composer = Composer(settings, first_reference=random.randrange(0x100))
        self._bind = Bind(carrier, settings, now_ms=now_ms, on_up=on_up, counters=self.counters)

    def routes(self) -> Sequence[Route]:
        return ()

    def is_up(self) -> bool:
        """Bound, and not told by the SMSC to pause."""
        return self._bind.is_up()

    def counts(self) -> LinkCounts:
        """Since the process began, and how the link stands now."""
        return self._bind.counts()

    async def submit(self, message: Mt) -> SubmitResult:
        """Send *message*; ends within `hard_timeout_s`."""
        link, now_ms = ready(self._bind.link, "texts"), self._now_ms()
        if isinstance(link, Refused):
            return link
        if message.valid_until_ms is not None and message.valid_until_ms <= now_ms:
            return Refused(code="expired", detail="its time was over before it was sent", retryable=False)
        try:
            parts = self._composer.parts(message, now_ms)
        except ValueError as error:
            return Refused(code="too_long", detail=str(error), retryable=False)
        transfer = link.send(parts)
        transfer.at_ms = now_ms
        result = await transfer.done
        if transfer.is_answered:
            failpoints.hit("ask.after_answer")
        return result

    async def run(self, sink: Sink) -> None:
        """Keep one bind until cancelled; then let what is under way end, unbind and close."""

        def incoming(link: Link) -> Inbound:
            return Inbound(
                self._carrier,
                self._settings,
                sink,
                now_ms=self._now_ms,
                answer=link.answer,
                counters=self.counters,
                tasks=self._bind.tasks,
            )

        await self._bind.keep(incoming)
