"""USSD over SMPP 3.4: one transceiver bind of its own, kept up until the gateway stops.

The bind is that of `carriers.smpp`; what is peculiar to USSD, and by which document, is in `dialect`. A session that we
begin is a screen under a dialog's id of ours, for which the network looks for the phone.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from carriers import base
from carriers.smpp.bind import Bind, ready
from carriers.smpp.link import Link
from carriers.ussd import Asker
from carriers.ussd_smpp.dialect import Dialog, screen
from carriers.ussd_smpp.dialogs import Dialogs
from carriers.ussd_smpp.settings import Settings
from carriers.ussd_smpp.steps import Steps

__all__ = ["Settings", "UssdChannel"]

log = logging.getLogger(__name__)


def _nothing() -> None:
    return


class UssdChannel:
    """One carrier's USSD over one bind; implements `carriers.base.UssdChannel`."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], on_up: Callable[[], None] = _nothing
    ) -> None:
        bind = settings.bind()
        self.counters = base.LinkCounts()
        self.gsm_units_max = settings.gsm_units_max
        self.ucs2_units_max = settings.ucs2_units_max
        self.pushes = settings.pushes
        self.hard_timeout_s = bind.hard_timeout_s
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._bind = Bind(carrier, bind, now_ms=now_ms, on_up=on_up, counters=self.counters)
        # By chance, so that after a restart no id is that of a session which a phone still looks at.
        self._dialogs = Dialogs(
            kind=settings.dialog, keep_s=settings.dialog_keep_s, first_number=random.randrange(1 << 15)
        )
        self._asker = Asker(
            carrier,
            screen=settings.screen,
            timeout_s=settings.answer_timeout_s,
            steps_max=settings.inbound_max,
            sorry_text=settings.sorry_text,
            now_ms=now_ms,
        )

    def routes(self, sink: base.UssdSink) -> Sequence[base.Route]:
        return ()

    def is_up(self) -> bool:
        """Bound, and not told by the SMSC to pause."""
        return self._bind.is_up()

    def counts(self) -> base.LinkCounts:
        """Since the process began, and how the link stands now."""
        return self._bind.counts()

    async def run(self, sink: base.UssdSink) -> None:
        """Keep one bind until cancelled; then let what is under way end, unbind and close."""

        def incoming(link: Link) -> Steps:
            return Steps(
                self._carrier,
                self._settings,
                sink,
                asker=self._asker,
                dialogs=self._dialogs,
                answer=link.answer,
                show=partial(self._show, link),
                now_ms=self._now_ms,
                counters=self.counters,
                tasks=self._bind.tasks,
            )

        try:
            await self._bind.keep(incoming)
        finally:
            await self._asker.close()

    async def push(self, ask: base.UssdAsk) -> base.SubmitResult:
        """Ends within `hard_timeout_s`."""
        if not self.pushes:
            return base.Refused(code="no_push", detail="this network lets nobody begin a session", retryable=False)
        why_not = self._settings.screen.why_not(ask.text)
        if why_not is not None:
            log.error("%s: a USSD screen of ours was not sent: %s", self._carrier, why_not)
            return base.Refused(code="too_long", detail=why_not, retryable=False)
        dialog = self._dialogs.new(ask.msisdn, ask.id, asyncio.get_running_loop().time())
        result = await self._send(self._bind.link, dialog, base.UssdAnswer(text=ask.text, goes_on=True))
        if isinstance(result, base.Submitted):
            return replace(result, message_ids=(ask.id,))
        if isinstance(result, base.Refused):
            self._dialogs.end(dialog)
        return result

    async def _show(self, link: Link, dialog: Dialog, answer: base.UssdAnswer) -> None:
        """By the *link* of its step: if that is gone the SMSC hands the step over again, and asks for the screen so."""
        result = await self._send(link, dialog, answer)
        if not isinstance(result, base.Submitted):
            log.warning("%s: the screen of %r: %s", self._carrier, dialog, result.detail)

    async def _send(self, link: Link | None, dialog: Dialog, answer: base.UssdAnswer) -> base.SubmitResult:
        way = ready(link, "screens")
        if isinstance(way, base.Refused):
            return way
        transfer = way.send([screen(dialog, answer.text, self._settings, goes_on=answer.goes_on)])
        transfer.at_ms = self._now_ms()
        self._dialogs.sent(dialog, transfer.done)
        return await transfer.done
