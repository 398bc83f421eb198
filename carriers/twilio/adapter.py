"""Texts through Twilio: Programmable Messaging, API version 2010-04-01.

A text is a POST to `{base_url}/2010-04-01/Accounts/{sid}/Messages.json`, sent once: the API knows no key of ours, so an
answer that did not come leaves it unknown. Phones' texts come by webhook to `/callbacks/{carrier}/incoming`, statuses
of ours to `/callbacks/{carrier}/status`; both are answered with 2xx once they are committed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from carriers import base
from carriers.twilio.inbound import Door, is_final, mo_of, receipt_of
from carriers.twilio.judgement import billed, judge_submit
from carriers.twilio.masks import trace_of_submit
from carriers.twilio.settings import Settings
from gateway import failpoints
from gateway.http_client import NoAnswer, NotSent

if TYPE_CHECKING:
    from carriers.twilio.client import Api

__all__ = ["Bearer", "Settings"]

log = logging.getLogger(__name__)

TEXT_LENGTH_MAX: Final = 1600
VALIDITY_MAX_S: Final = 36_000
# No words of ours: what is answered to a phone leaves by the outbox like every text.
TAKEN: Final = base.Response(
    status=200, body=b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>', content_type="text/xml"
)
FORBIDDEN: Final = base.Response(status=403)
NOT_NOW: Final = base.Response(status=503)
# Anybody may call; the metric counts them all.
WARNED_EVERY_MS: Final = 60_000


def _nothing() -> None:
    return


class Bearer:
    """One account; implements `carriers.base.Bearer`."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], on_up: Callable[[], None] = _nothing
    ) -> None:
        self.counters = base.LinkCounts(window_size=settings.connections_max)
        self.concurrency = settings.connections_max
        self.hard_timeout_s = settings.timeout_s
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._on_up = on_up
        self._api: Api | None = None
        self._sink: base.Sink | None = None
        self._doors = {place: Door(self._url(place), settings.account_sid, settings.auth_token) for place in PLACES}
        self._paused_until = 0.0
        self._warned_at_ms = -WARNED_EVERY_MS
        self._idle = asyncio.Event()
        self._idle.set()

    def _url(self, place: str) -> str:
        return f"{self._settings.callback_base_url.rstrip('/')}/callbacks/{self._carrier}{place}"

    def routes(self) -> Sequence[base.Route]:
        return (
            base.Route(method="POST", path=INCOMING, answer=self._incoming),
            base.Route(method="POST", path=STATUS, answer=self._status),
        )

    def is_up(self) -> bool:
        """Not told to pause, and no connection or credentials refused a moment ago."""
        return self._api is not None and self._pause_s() <= 0

    def _pause_s(self) -> float:
        return self._paused_until - asyncio.get_running_loop().time()

    def counts(self) -> base.LinkCounts:
        return self.counters

    def listen(self, sink: base.Sink) -> None:
        self._sink = sink

    async def run(self, sink: base.Sink) -> None:
        # Here, because it takes a while to load, and most gateways have no such carrier.
        from carriers.twilio.client import connected  # noqa: PLC0415

        self.listen(sink)
        async with connected(self._settings.account_sid, self._settings.auth_token) as api:
            self._api, self.counters.up_since_ms = api, self._now_ms()
            self._on_up()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._api = self.counters.up_since_ms = None
                await self._idle.wait()  # Every submit ends by its own deadline.

    async def submit(self, message: base.Mt) -> base.SubmitResult:
        """Send *message*; ends within `hard_timeout_s`."""
        api, now_ms, left_s = self._api, self._now_ms(), self._pause_s()
        if api is None:
            return base.Refused(code="down", detail="not running", retryable=True, retry_after_s=self._settings.pause_s)
        if left_s > 0:
            return base.Refused(code="paused", detail="Twilio is left alone", retryable=True, retry_after_s=left_s)
        if message.valid_until_ms is not None and message.valid_until_ms <= now_ms:
            return base.Refused(code="expired", detail="its time was over before it was sent", retryable=False)
        if len(message.text) > TEXT_LENGTH_MAX:
            return base.Refused(code="too_long", detail=f"{len(message.text)} characters", retryable=False)
        self.counters.window_used += 1
        self._idle.clear()
        try:
            result = await self._send(api, self._form(message, now_ms), message.text, now_ms)
        finally:
            self.counters.window_used -= 1
            if not self.counters.window_used:
                self._idle.set()
        self._note(result)
        return result

    def _form(self, message: base.Mt, now_ms: int) -> dict[str, str]:
        settings = self._settings
        form = {"To": message.msisdn, "Body": message.text}
        form["MessagingServiceSid" if settings.is_service else "From"] = settings.sender
        if message.want_receipt:
            form["StatusCallback"] = self._url(STATUS)
        if message.valid_until_ms is not None:
            form["ValidityPeriod"] = str(min(VALIDITY_MAX_S, max(1, (message.valid_until_ms - now_ms) // 1000)))
        return form

    async def _send(self, api: "Api", form: dict[str, str], text: str, now_ms: int) -> base.SubmitResult:
        url, settings = f"{self._settings.messages_url}.json", self._settings
        try:
            answer = await api.request("POST", url, form, timeout_s=settings.timeout_s)
        except NotSent as error:
            return base.Refused(code="not_sent", detail=str(error), retryable=True, retry_after_s=settings.pause_s)
        except NoAnswer as error:
            return base.Unknown(detail=str(error), trace=trace_of_submit(url, form, None, now_ms))
        failpoints.hit("ask.after_answer")
        judged = judge_submit(answer, text, settings.pause_s)
        return msgspec.structs.replace(judged, trace=trace_of_submit(url, form, answer, now_ms))

    def _note(self, result: base.SubmitResult) -> None:
        counters = self.counters
        match result:
            case base.Submitted():
                counters.submitted += result.segments
            case base.Unknown():
                counters.timed_out += 1
            case base.Refused():
                counters.refused += 1
                if result.retryable:
                    counters.throttled += 1
                    self._pause(result)

    def _pause(self, refused: base.Refused) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + refused.retry_after_s
        if until <= self._paused_until:
            return
        if self._pause_s() <= 0:
            log.warning("%s: %s; nothing is sent for %.1f s", self._carrier, refused.detail, refused.retry_after_s)
        self._paused_until = until
        loop.call_at(until, self._resume)

    def _resume(self) -> None:
        if self.is_up():
            self._on_up()

    async def _incoming(self, request: base.Request) -> base.Response:
        form = self._doors[INCOMING].form(request)
        if form is None:
            return self._turned_away("a call that does not prove whose it is")
        text = mo_of(form, request.path, self._carrier, self._now_ms())
        if text is None:
            self._turned_away("a text from a sender that is no phone")
            return TAKEN
        return await self._hand_in(text)

    async def _status(self, request: base.Request) -> base.Response:
        form = self._doors[STATUS].form(request)
        if form is None:
            return self._turned_away("a call that does not prove whose it is")
        price = await self._price(form["MessageSid"]) if is_final(form) else None
        return await self._hand_in(receipt_of(form, request.path, self._carrier, self._now_ms(), price))

    async def _price(self, sid: str) -> base.Billed | None:
        """Told once a text has its end, and in no callback; nothing waits long for it."""
        api = self._api
        if api is None:
            return None
        try:
            url = f"{self._settings.messages_url}/{sid}.json"
            return billed(await api.request("GET", url, timeout_s=self._settings.price_timeout_s), sid)
        except (NotSent, NoAnswer):
            return None

    def _turned_away(self, what: str) -> base.Response:
        self.counters.rejected += 1
        now_ms = self._now_ms()
        if now_ms - self._warned_at_ms >= WARNED_EVERY_MS:
            self._warned_at_ms = now_ms
            log.warning("%s: %s was refused", self._carrier, what)
        return FORBIDDEN

    async def _hand_in(self, said: base.Mo | base.Receipt) -> base.Response:
        counters = self.counters
        if self._sink is None:
            return NOT_NOW
        try:
            await self._sink(said)
        except base.Overloaded:
            counters.put_off += 1
            return NOT_NOW
        if isinstance(said, base.Mo):
            counters.received += 1
        else:
            counters.receipts += 1
        return TAKEN


INCOMING: Final = "/incoming"
STATUS: Final = "/status"
PLACES: Final = (INCOMING, STATUS)
