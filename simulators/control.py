"""The control API `/sim/v1`: phones, texts, balances, faults, held charges, truth, the stream of events.

It is for tests, demos and people; it is not on any path that is measured. Shapes are in `docs/simulators.md`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from simulators.billing_book import DECLINES
from simulators.billing_file import FileKnobs, write_file
from simulators.faults import FAULTS, MAGIC, Fault, Scripted
from simulators.handsets import BEHAVIOURS, MAGIC_BEHAVIOURS
from simulators.journal import Record
from simulators.merchant import Answer
from simulators.smsc import BIND_FAILED
from simulators.ussd import Style
from simulators.web import HttpServer, json_response

if TYPE_CHECKING:
    from simulators.world import World

EVENTS_BUFFERED_MAX = 10_000
INBOX_WAIT_MAX_S = 60.0
TEXT_LENGTH_MAX = 1600
ADDRESS_LENGTH_MAX = 20
CODE_LENGTH_MAX = 60
# 3GPP TS 23.038: what a phone can send in USSD.
TYPED_LENGTH_MAX = 182
OUTAGE_MAX_S = 86_400.0
STATUS_MAX = 0xFFFFFFFF

Route = Callable[["Control", web.BaseRequest, tuple[str, ...]], Awaitable[web.StreamResponse]]
T = TypeVar("T")


class SendText(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    to: str | None = None
    """The short code; without it the one that last wrote to the phone, or the SMSC's default."""


class SetPhone(msgspec.Struct, forbid_unknown_fields=True):
    balance: str | None = None
    behaviour: str | None = None
    blocked: str | msgspec.UnsetType | None = msgspec.UNSET
    """A decline's name, or null to lift it."""
    faults: dict[str, str | None] = {}
    """Point to fault for this number, null to lift it."""
    seconds: float | None = None

    pin: str | None = None
    """What its owner types where a USSD screen asks for a PIN; empty: the owner leaves screens alone."""
    wishes: list[str] | None = None
    """Words that its owner looks for in USSD menus, one menu after the other."""


class Dial(msgspec.Struct, forbid_unknown_fields=True):
    code: Annotated[str, msgspec.Meta(min_length=1, max_length=CODE_LENGTH_MAX)]


class TypeText(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(max_length=TYPED_LENGTH_MAX)]


class SetUssd(msgspec.Struct, forbid_unknown_fields=True):
    url: str | None = None
    style: Style | None = None
    method: Literal["POST", "GET"] | None = None
    headers: dict[str, str] | None = None
    """Of every call of the aggregator's."""
    dialog: Literal["its_session_info", "user_message_reference"] | None = None
    """Of USSD over SMPP."""


class SetFaults(msgspec.Struct, forbid_unknown_fields=True):
    add: list[Scripted] = []
    clear: bool = False


class SetMerchant(msgspec.Struct, forbid_unknown_fields=True):
    path: str = ""
    secrets: list[str] | None = None
    answers: list[Answer] | None = None


class SetSmsc(msgspec.Struct, forbid_unknown_fields=True):
    drop: bool = False
    """End every connection with RST."""
    refuse_binds_s: float | None = None
    """How long binds are refused; 0 lifts it."""
    status: int = BIND_FAILED
    """What a refused bind is answered."""


class SetTwilio(msgspec.Struct, forbid_unknown_fields=True):
    webhook_url: str | None = None
    """Where phones' texts are posted from now on; empty: nowhere."""
    opt_out_words: Annotated[dict[str, Literal["STOP", "START", "HELP"]], msgspec.Meta(max_length=50)] | None = None
    """Words of Advanced Opt-Out from now on; empty: it is off."""


class SetBilling(msgspec.Struct, forbid_unknown_fields=True):
    pause_s: float
    """How long; 0 ends it."""
    answer: Literal["unavailable", "hang"] = "unavailable"
    """503 at once with nothing done, or no answer until the pause is over."""


class ControlError(Exception):
    """The request cannot be done as asked; answered with 400."""


def ok(body: object = None, status: int = 200) -> web.Response:
    return json_response(msgspec.json.encode({"ok": True} if body is None else body), status)


async def parsed(request: web.BaseRequest, shape: type[T]) -> T:
    return msgspec.json.decode(await request.read() or b"{}", type=shape)


class Control:
    """One server that steers the whole world."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.server = HttpServer(self._answer)

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        await self.server.stop()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = tuple(unquote(part) for part in request.raw_path.partition("?")[0].split("/") if part)
        if parts[:2] != ("sim", "v1"):
            return ok({"error": "everything is below /sim/v1"}, 404)
        for method, pattern, route in ROUTES:
            found = _match(pattern, parts[2:])
            if found is not None and method == request.method:
                try:
                    return await route(self, request, found)
                except (ControlError, msgspec.DecodeError, ValueError, RecursionError) as error:
                    return ok({"error": str(error)}, 400)
        known = [f"{method} /sim/v1/{'/'.join(pattern)}" for method, pattern, _ in ROUTES]
        return ok({"error": "no such thing", "known": known}, 404)

    async def show_phone(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        phone = self.world.handsets.phone(_msisdn(found[0]))
        return ok(
            {
                "msisdn": phone.msisdn,
                "behaviour": phone.behaviour or "mix",
                "balance": str(self.world.billing.book.balance(phone.msisdn)),
                "received": phone.received,
                "asks": phone.asks,
            }
        )

    async def inbox(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        """`?after=N&wait_s=S` waits until a text with a number above N is there."""
        msisdn = _msisdn(found[0])
        after, wait_s = int(request.query.get("after", "0")), float(request.query.get("wait_s", "0"))
        handsets = self.world.handsets
        if wait_s > 0:
            await handsets.wait_for_texts(msisdn, after + 1, min(wait_s, INBOX_WAIT_MAX_S))
        phone = handsets.phone(msisdn)
        texts = [text for text in phone.inbox or () if text.number > after]
        return ok({"msisdn": msisdn, "received": phone.received, "texts": texts})

    async def send_text(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, msisdn = await parsed(request, SendText), _msisdn(found[0])
        if len(asked.text) > TEXT_LENGTH_MAX:
            raise ControlError(f"text may have {TEXT_LENGTH_MAX} characters, got {len(asked.text)}")
        inbox = self.world.handsets.phone(msisdn).inbox
        if asked.to is not None and not (
            1 <= len(asked.to) <= ADDRESS_LENGTH_MAX and asked.to.isascii() and asked.to.isprintable()
        ):
            raise ControlError(f"to must be 1 to {ADDRESS_LENGTH_MAX} printable ASCII characters")
        to = asked.to or (inbox[-1].sender if inbox else self.world.settings.short_code)
        self.world.handsets.send(msisdn, to, asked.text)
        return ok({"ok": True, "to": to}, 202)

    async def answer_late(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        if not self.world.handsets.answer_now(_msisdn(found[0])):
            return ok({"error": "this phone holds no answer back"}, 404)
        return ok()

    async def set_phone(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, msisdn = await parsed(request, SetPhone), _msisdn(found[0])
        if asked.behaviour is not None and asked.behaviour not in BEHAVIOURS:
            raise ControlError(f"behaviour must be one of {', '.join(sorted(BEHAVIOURS))}; got {asked.behaviour!r}")
        if isinstance(asked.blocked, str) and asked.blocked not in DECLINES:
            raise ControlError(f"blocked must be one of {', '.join(sorted(DECLINES))}; got {asked.blocked!r}")
        for point, name in asked.faults.items():
            if name is not None and name not in FAULTS.get(point, ()):
                raise ControlError(f"no fault {name!r} at {point!r}")
        if asked.seconds is not None and asked.seconds < 0:
            raise ControlError(f"seconds must not be negative, got {asked.seconds}")
        balance = _decimal(asked.balance)
        book = self.world.billing.book
        if balance is not None:
            book.set_balance(msisdn, balance)
            self.world.stk.book.set_balance(msisdn, int(balance))
            self.world.wallet.book.set_balance(msisdn, balance)
            self.world.camara.book.set_balance(msisdn, balance)
        phone = self.world.handsets.phone(msisdn)
        phone.behaviour = asked.behaviour or phone.behaviour
        phone.pin = phone.pin if asked.pin is None else asked.pin
        phone.wishes = phone.wishes if asked.wishes is None else asked.wishes
        if asked.blocked is None:
            book.blocked.pop(msisdn, None)
        elif isinstance(asked.blocked, str):
            book.blocked[msisdn] = asked.blocked
        for point, name in asked.faults.items():
            fault = Fault(name=name, seconds=asked.seconds) if name is not None else None
            self.world.plan.set_for_number(msisdn, point, fault)
        return ok()

    async def dial(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, msisdn = await parsed(request, Dial), _msisdn(found[0])
        self.world.handsets.dial(msisdn, asked.code)
        return ok(status=202)

    async def type_text(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, msisdn = await parsed(request, TypeText), _msisdn(found[0])
        if not self.world.handsets.type(msisdn, asked.text):
            return ok({"error": "no screen of this phone waits for an answer"}, 404)
        return ok(status=202)

    async def hang_up(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        if not self.world.handsets.hang_up(_msisdn(found[0])):
            return ok({"error": "this phone has no session"}, 404)
        return ok()

    async def screen(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        """`?after=N&wait_s=S` waits until the phone shows a screen with a number above N."""
        msisdn, handsets = _msisdn(found[0]), self.world.handsets
        after, wait_s = int(request.query.get("after", "0")), float(request.query.get("wait_s", "0"))
        if wait_s > 0:
            await handsets.wait_for_screens(msisdn, after + 1, min(wait_s, INBOX_WAIT_MAX_S))
        screen = handsets.phone(msisdn).screen
        is_new = screen is not None and screen.number > after
        return ok({"msisdn": msisdn, "screen": screen if is_new else None})

    async def set_ussd(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, http, smpp = await parsed(request, SetUssd), self.world.ussd_http, self.world.smsc.ussd
        http.url = http.url if asked.url is None else asked.url
        http.style, http.method = asked.style or http.style, asked.method or http.method
        http.headers = http.headers if asked.headers is None else asked.headers
        if smpp is not None and asked.dialog is not None:
            smpp.dialog = asked.dialog
        return ok()

    async def faults(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked = await parsed(request, SetFaults)
        wrong = [why for line in asked.add if (why := line.why_wrong())]
        if wrong:
            raise ControlError("; ".join(wrong))
        if asked.clear:
            self.world.plan.clear()
        for line in asked.add:
            self.world.plan.add(line)
        return ok({"script": self.world.plan.script})

    async def execute_late(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        operators = (self.world.billing, self.world.wallet, self.world.camara)
        for one in operators:
            if one.execute_late(found[0]):
                return ok({"status": one.book.transactions[found[0]].status})
        held = [correlator for one in operators for correlator in one.held]
        return ok({"error": "nothing is held under that attempt", "held": held}, 404)

    async def billing_file(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        knobs = await parsed(request, FileKnobs)
        return web.Response(text=write_file(self.world.billing.book, knobs), content_type="text/csv")

    async def execute_late_stk(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        if not self.world.stk.execute_late(found[0]):
            return ok({"error": "nothing is held under that id", "held": self.world.stk.held}, 404)
        return ok()

    async def set_smsc(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, smsc = await parsed(request, SetSmsc), self.world.smsc
        if asked.refuse_binds_s is not None:
            if not 1 <= asked.status <= STATUS_MAX:
                raise ControlError(f"status must be a number from 1 to 0xFFFFFFFF, got {asked.status}")
            smsc.refuse_binds(_seconds(asked.refuse_binds_s), asked.status)
        return ok({"ok": True, "dropped": smsc.drop_links() if asked.drop else 0})

    async def set_twilio(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked, twilio = await parsed(request, SetTwilio), self.world.twilio
        if asked.webhook_url and not asked.webhook_url.startswith(("http://", "https://")):
            raise ControlError("webhook_url must begin with http:// or https://")
        if asked.webhook_url is not None:
            twilio.webhook_url = asked.webhook_url
        if asked.opt_out_words is not None:
            twilio.opt_out_words = {word.upper(): kind for word, kind in asked.opt_out_words.items()}
        return ok()

    async def set_billing(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked = await parsed(request, SetBilling)
        self.world.billing.pause(_seconds(asked.pause_s), hangs=asked.answer == "hang")
        return ok()

    async def set_merchant(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        asked = await parsed(request, SetMerchant)
        if asked.secrets is not None:
            self.world.merchant.set_secrets(asked.path, asked.secrets)
        if asked.answers is not None:
            self.world.merchant.set_answers(asked.path, asked.answers)
        return ok()

    async def truth(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        self.world.journals.flush()
        return ok(self.world.truth())

    async def magic(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        rows = {digits: dict(row) for digits, row in MAGIC.items()}
        for digits, behaviour in MAGIC_BEHAVIOURS.items():
            rows.setdefault(digits, {})["person"] = behaviour
        return ok(dict(sorted(rows.items())))

    async def reset(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        self.world.reset()
        return ok()

    async def events(self, request: web.BaseRequest, found: tuple[str, ...]) -> web.StreamResponse:
        """Server-sent events of every journal record from now on; a reader that is too slow loses the newest."""
        queue: asyncio.Queue[tuple[str, Record]] = asyncio.Queue(EVENTS_BUFFERED_MAX)

        def listen(name: str, record: Record) -> None:
            if not queue.full():
                queue.put_nowait((name, record))

        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b": every record of every journal\n\n")
        self.world.journals.listeners.append(listen)
        try:
            while True:
                name, record = await queue.get()
                await response.write(b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(record)))
        finally:
            self.world.journals.listeners.remove(listen)


ROUTES: tuple[tuple[str, tuple[str, ...], Route], ...] = (
    ("GET", ("phones", "*"), Control.show_phone),
    ("POST", ("phones", "*"), Control.set_phone),
    ("GET", ("phones", "*", "inbox"), Control.inbox),
    ("POST", ("phones", "*", "sms"), Control.send_text),
    ("POST", ("phones", "*", "answer"), Control.answer_late),
    ("POST", ("phones", "*", "dial"), Control.dial),
    ("POST", ("phones", "*", "type"), Control.type_text),
    ("POST", ("phones", "*", "hang_up"), Control.hang_up),
    ("GET", ("phones", "*", "screen"), Control.screen),
    ("POST", ("ussd",), Control.set_ussd),
    ("POST", ("faults",), Control.faults),
    ("POST", ("smsc",), Control.set_smsc),
    ("POST", ("twilio",), Control.set_twilio),
    ("POST", ("billing",), Control.set_billing),
    ("POST", ("billing", "file"), Control.billing_file),
    ("POST", ("billing", "late", "*"), Control.execute_late),
    ("POST", ("stk", "late", "*"), Control.execute_late_stk),
    ("POST", ("merchant",), Control.set_merchant),
    ("GET", ("truth",), Control.truth),
    ("GET", ("magic",), Control.magic),
    ("GET", ("events",), Control.events),
    ("POST", ("reset",), Control.reset),
)


def _match(pattern: tuple[str, ...], parts: tuple[str, ...]) -> tuple[str, ...] | None:
    if len(pattern) != len(parts) or any(want not in ("*", part) for want, part in zip(pattern, parts, strict=True)):
        return None
    return tuple(part for want, part in zip(pattern, parts, strict=True) if want == "*")


def _msisdn(part: str) -> str:
    msisdn = part if part.startswith("+") else f"+{part.strip()}"
    if not (msisdn[1:].isascii() and msisdn[1:].isdigit() and 7 <= len(msisdn) - 1 <= 15):
        raise ControlError(f"not an international number: {part!r}")
    return msisdn


def _seconds(seconds: float) -> float:
    if not 0 <= seconds <= OUTAGE_MAX_S:
        raise ControlError(f"expected 0 to {OUTAGE_MAX_S:g} seconds, got {seconds}")
    return seconds


def _decimal(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        balance = Decimal(text)
    except InvalidOperation as error:
        raise ControlError(f"balance must be a decimal in a string, got {text!r}") from error
    if not balance.is_finite():
        raise ControlError("balance must be finite")
    return balance
