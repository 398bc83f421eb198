"""Twilio's messaging API over HTTP: send, fetch, list, status callbacks, phones' texts by webhook, opt-outs, faults.

Twilio's own client talks to it, and its `RequestValidator` accepts what is signed here. A text that was accepted
reaches the phone whatever the caller sees of it; a fault changes what is seen, never what the journal says. Like Twilio
it keeps stops of its own: after STOP it takes no text for that phone until START.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from simulators import twilio_wire as wire
from simulators.faults import Fault, FaultPlan, seconds_of
from simulators.journal import Journal
from simulators.twilio_calls import Calls, Signed
from simulators.twilio_wire import Message, RequestError
from simulators.web import HttpServer, hang, json_response, reset

MESSAGES_MAX = 200_000
NUMBER_DIGITS = range(8, 16)
# What ends an accepted text, instead of a delivery: fault to status and error code.
ENDS = {"undeliverable": ("undelivered", 30005), "failed": ("failed", 30008), "opted_out_late": ("failed", 21610)}
SIGNED: dict[str, Signed] = {"unsigned": "not", "forged": "wrongly"}


class TwilioSettings(msgspec.Struct, frozen=True, kw_only=True):
    account_sid: str = "AC" + "5" * 32
    auth_token: str = "secret"
    numbers: tuple[str, ...] = ("+15005550006",)
    """The account's; others cannot send, and phones' texts to these come here."""
    webhook_url: str = ""
    """Where phones' texts are posted; empty: nowhere, until control says so."""
    opt_out_words: Mapping[str, str] = {}
    """Advanced Opt-Out, if there are any: words in capitals that mean STOP, START or HELP beside the usual ones. What a
    text was taken for stands in its webhook then."""
    seed: int = 1
    segment_price: Decimal = Decimal("0.0079")
    """In USD; told once the text has its end."""
    status_delay_s: float = 0.0
    late_s: float = 2.0
    slow_s: float = 1.0
    webhook_tries_max: int = 10
    webhook_retry_s: float = 1.0


class Phones(Protocol):
    """Where a text ends."""

    def receive(self, msisdn: str, sender: str, text: str) -> None: ...


class Twilio:
    """The account's server."""

    def __init__(self, settings: TwilioSettings, plan: FaultPlan, journal: Journal, *, phones: Phones) -> None:
        self.settings = settings
        self.webhook_url = settings.webhook_url
        self.opt_out_words = settings.opt_out_words
        self.server = HttpServer(self._answer)
        self.messages: dict[str, Message] = {}
        self.opted_out: set[str] = set()
        self.calls = Calls(
            journal, settings.auth_token, tries_max=settings.webhook_tries_max, retry_s=settings.webhook_retry_s
        )
        self._plan = plan
        self._journal = journal
        self._phones = phones
        self._count = 0
        pair = f"{settings.account_sid}:{settings.auth_token}"
        self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        await self.calls.stop()
        await self.server.stop()

    def reset(self) -> None:
        self.calls.give_up()
        self.messages.clear()
        self.opted_out.clear()

    def serves(self, address: str) -> bool:
        """Phones' texts to *address* come here."""
        return address in self.settings.numbers

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._route(request)
        except RequestError as error:
            headers = {"Retry-After": "1"} if error.refusal[0] == 429 else {}
            response = json_response(wire.error_body(error.refusal), error.refusal[0])
            response.headers.update(headers)
            return response

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") != self._authorization:
            raise RequestError(wire.UNAUTHORIZED)
        root = f"/{wire.API_VERSION}/Accounts/{self.settings.account_sid}/Messages"
        if request.path == f"{root}.json":
            return await self._create(request) if request.method == "POST" else self._list(request)
        found = self.messages.get(request.path.removeprefix(f"{root}/").removesuffix(".json"))
        if found is None or request.method != "GET":
            raise RequestError(wire.NOT_FOUND)
        return await self._fetch(request, found)

    async def _create(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
        to = form.get("To", "")
        fault = self._plan.pick("twilio.submit", to)
        name = fault.name if fault else ""
        refusal = self._refusal(form, name)
        if refusal is not None or name == "timeout_lost":
            self._note(form, "", name, refusal)
            if refusal is None:
                await hang()
                raise AssertionError
            raise RequestError(refusal)
        message = self._accept(form)
        self._note(form, message.sid, name, None)
        # As it is before its first step: that is what Twilio answers, whatever has happened by then.
        answer = json_response(msgspec.json.encode(wire.resource(message, self.settings.account_sid)), 201)
        if name == "receipt_first":
            await self._send_on(message, name)
        else:
            self.calls.do(self._send_on(message, name))
        return await self._spoiled(request, fault, answer)

    def _refusal(self, form: Mapping[str, str], fault: str) -> wire.Refusal | None:
        to, sender, body = form.get("To", ""), form.get("From", ""), form.get("Body", "")
        refusals = (
            (not to, wire.NO_RECIPIENT),
            (not sender, wire.NO_SENDER),
            (not body, wire.NO_BODY),
            (len(body) > wire.TEXT_LENGTH_MAX, wire.TOO_LONG),
            (not self.serves(sender), wire.not_ours(sender)),
            (not _is_number(to) or fault == "invalid_number", wire.no_number(to)),
            (fault == "landline", wire.landline(to)),
            (to in self.opted_out or fault == "opted_out", wire.unsubscribed(to)),
            (fault == "rate_limited", wire.RATE_LIMITED),
            (fault == "queue_full", wire.QUEUE_FULL),
            (fault == "unauthorized", wire.UNAUTHORIZED),
            (fault == "error_before", wire.UNAVAILABLE),
        )
        return next((refusal for is_so, refusal in refusals if is_so), None)

    def _note(self, form: Mapping[str, str], sid: str, fault: str, refusal: wire.Refusal | None) -> None:
        self._journal.write(
            "submit",
            sid=sid,
            source=form.get("From", ""),
            msisdn=form.get("To", ""),
            status=201 if refusal is None else refusal[0],
            code=None if refusal is None else refusal[1],
            fault=fault or None,
        )

    def _accept(self, form: Mapping[str, str]) -> Message:
        message = Message(
            sid=self._sid(),
            sender=form["From"],
            to=form["To"],
            body=form["Body"],
            direction="outbound-api",
            status="queued",
            created=wire.now(),
            callback_url=form.get("StatusCallback", ""),
        )
        self._keep(message)
        return message

    def _keep(self, message: Message) -> None:
        if len(self.messages) >= MESSAGES_MAX:
            del self.messages[next(iter(self.messages))]
        self.messages[message.sid] = message

    def _sid(self) -> str:
        self._count += 1
        return "SM" + hashlib.blake2b(f"{self.settings.seed} {self._count}".encode(), digest_size=16).hexdigest()

    async def _spoiled(self, request: web.BaseRequest, fault: Fault | None, answer: web.Response) -> web.StreamResponse:
        name = fault.name if fault else ""
        if name == "no_response":
            await hang()
        if name == "error_after":
            raise RequestError(wire.BROKEN)
        if name == "slow":
            await asyncio.sleep(seconds_of(fault, self.settings.slow_s))
        if name == "garbage":
            return web.Response(text="<html>Created</html>", status=201)
        if name == "reset":
            response = web.StreamResponse(status=201, headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"sid": "SM')
            reset(request.transport)
            return response
        return answer

    async def _send_on(self, message: Message, fault: str) -> None:
        """To the phone, and what is said about that."""
        message.status, message.error_code = ENDS.get(fault, ("delivered", None))
        message.price = self.settings.segment_price * message.segments
        if message.status == "delivered":
            self._phones.receive(message.to, message.sender, message.body)
        if message.callback_url:
            await self._tell_status(message)

    async def _tell_status(self, message: Message) -> None:
        fault = self._plan.pick("twilio.status", message.to)
        name = fault.name if fault else ""
        steps = {"never": [], "twice": ["sent", message.status, message.status], "disordered": [message.status, "sent"]}
        late_s = seconds_of(fault, self.settings.late_s)
        await asyncio.sleep(late_s if name == "late" else self.settings.status_delay_s)
        for status in steps.get(name, ["sent", message.status]):
            form = wire.status_form(message, self.settings.account_sid, status)
            await self.calls.hand_in(message.callback_url, form, what="status", signed=SIGNED.get(name, "rightly"))

    async def _fetch(self, request: web.BaseRequest, message: Message) -> web.StreamResponse:
        fault = self._plan.pick("twilio.fetch", message.to)
        name = fault.name if fault else ""
        shown = wire.resource(message, self.settings.account_sid)
        if name == "error_before":
            raise RequestError(wire.UNAVAILABLE)
        if name == "timeout_lost":
            await hang()
        if name == "unpriced":
            shown["price"] = None
        return await self._spoiled(request, fault, json_response(msgspec.json.encode(shown)))

    def _list(self, request: web.BaseRequest) -> web.StreamResponse:
        """Newest first, by `To`, `From` and the day of `DateSent`."""
        query = request.query
        found = [
            one
            for one in reversed(self.messages.values())
            if query.get("To", one.to) == one.to
            and query.get("From", one.sender) == one.sender
            and query.get("DateSent", f"{one.created:%Y-%m-%d}")[:10] == f"{one.created:%Y-%m-%d}"
        ]
        size = query.get("PageSize", "")
        return json_response(
            wire.page(found, self.settings.account_sid, int(size) if size.isdecimal() else wire.PAGE_SIZE)
        )

    def send_mo(self, msisdn: str, to: str, text: str) -> None:
        """A phone sends a text."""
        keyword = wire.keyword_of(text, self.opt_out_words)
        if keyword == "STOP":
            self.opted_out.add(msisdn)
        elif keyword == "START":
            self.opted_out.discard(msisdn)
        fault = self._plan.pick("twilio.mo", msisdn)
        name = fault.name if fault else ""
        message = Message(
            sid=self._sid(),
            sender=msisdn,
            to=to,
            body=text,
            direction="inbound",
            status="received",
            created=wire.now(),
            opt_out_type=keyword if self.opt_out_words else "",
        )
        self._keep(message)
        self._journal.write("mo", sid=message.sid, msisdn=msisdn, to=to, text=text, fault=name or None)
        if name != "lost" and self.webhook_url:
            self.calls.do(self._hand_in(message, fault))

    async def _hand_in(self, message: Message, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        if name == "late":
            await asyncio.sleep(seconds_of(fault, self.settings.late_s))
        form = wire.incoming_form(message, self.settings.account_sid)
        for _ in range(1 + (name == "twice")):
            await self.calls.hand_in(self.webhook_url, form, what="mo", signed=SIGNED.get(name, "rightly"))


def _is_number(to: str) -> bool:
    return to.startswith("+") and to[1:].isascii() and to[1:].isdigit() and len(to) - 1 in NUMBER_DIGITS
