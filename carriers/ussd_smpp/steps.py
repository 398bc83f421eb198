"""From the SMSC to the sink, and the screen back: a deliver_sm is acknowledged only after its step is committed.

One `Steps` belongs to one bind. The acknowledgement leaves ahead of the screen.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from carriers import base
from carriers.smpp.incoming import NOT_NOW, Answer, Owed
from carriers.smpp.wire.pdu import Pdu
from carriers.smpp.wire.receipt import is_receipt
from carriers.smpp.wire.tables import RESPONSES, Status
from carriers.ussd import Asked, Asker, typed
from carriers.ussd_smpp.dialect import Dialog, Received, read
from carriers.ussd_smpp.dialogs import Dialogs
from carriers.ussd_smpp.settings import Settings

log = logging.getLogger(__name__)

Show = Callable[[Dialog, base.UssdAnswer], Awaitable[None]]


class Steps:
    """All that one bind brings; implements `carriers.smpp.incoming.Incoming`."""

    def __init__(
        self,
        carrier: str,
        settings: Settings,
        sink: base.UssdSink,
        *,
        asker: Asker,
        dialogs: Dialogs,
        answer: Answer,
        show: Show,
        now_ms: Callable[[], int],
        counters: base.LinkCounts,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self._carrier = carrier
        self._settings = settings
        self._sink = sink
        self._asker = asker
        self._dialogs = dialogs
        self._answer = answer
        self._show = show
        self._now_ms = now_ms
        self._counters = counters
        self._tasks = tasks
        self._is_closing = False

    def receive(self, pdu: Pdu, now: float) -> None:
        if pdu.command not in RESPONSES:
            return  # alert_notification: nobody waits for that, and it has no answer.
        owed = Owed(pdu)
        if self._is_closing:
            self._put_off(owed)
            return
        if is_receipt(pdu):  # None was asked for.
            self._answer(owed, Status.ROK)
            return
        received = read(pdu, self._settings)
        if isinstance(received, str):
            log.warning("%s: what is no USSD step was rejected: %s", self._carrier, received)
            self._counters.rejected += 1
            self._answer(owed, Status.RX_P_APPN)
            return
        owed.is_reply = True
        # A task each, because each waits for a commit; they queue in order of arrival, as in `carriers.smpp.inbound`.
        task = asyncio.ensure_future(self._take(owed, received.dialog, self._step(received, now)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        self._is_closing = True

    def next_deadline(self) -> float | None:
        return None

    def advance(self, now: float) -> None:
        return

    def _step(self, received: Received, now: float) -> base.UssdStep:
        dialog, inputs = received.dialog, typed(received.inputs)
        first: int | None = None
        begun_at_ms: int | None = None
        if received.kind == "begin":
            begun_at_ms = self._dialogs.begin(dialog, len(inputs), now, self._now_ms())
            first = 0
        elif received.kind == "input":
            first = self._dialogs.numbered(dialog, inputs[0], now)
        else:
            self._dialogs.end(dialog)
        return base.UssdStep(
            carrier=self._carrier,
            session_id=self._dialogs.session_id(dialog),
            msisdn=dialog.msisdn,
            service_code=self._settings.service_code,
            kind=received.kind,
            inputs=inputs,
            first=first,
            begun_at_ms=begun_at_ms,
            read_at_ms=self._now_ms(),
        )

    async def _take(self, owed: Owed, dialog: Dialog, step: base.UssdStep) -> None:
        try:
            asked = await self._asker.ask(self._sink, step)
        except base.Overloaded:
            self._put_off(owed)
            return
        if asked.late is None:
            self._stored(owed)
        if step.kind != "end":
            await self._show(dialog, asked.answer)
        if asked.late is not None:
            await self._settle(owed, asked)

    async def _settle(self, owed: Owed, asked: Asked) -> None:
        """The phone was told in time; the SMSC is told once it is true."""
        assert asked.late is not None
        await asyncio.wait({asked.late})
        if asked.late.cancelled() or asked.late.exception() is not None:
            self._put_off(owed)
        else:
            self._stored(owed)

    def _stored(self, owed: Owed) -> None:
        self._counters.received += 1
        self._answer(owed, Status.ROK)

    def _put_off(self, owed: Owed) -> None:
        self._counters.put_off += 1
        self._answer(owed, NOT_NOW)
