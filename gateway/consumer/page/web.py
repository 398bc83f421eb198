"""The statement page as a web application, mounted under `/me`: its addresses, and what each of them answers.

Every answer is a page in words, whatever came; nothing of a request is logged. An address holds no number and no code.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from gateway.consumer.page import asking, deeds, jobs, shown, views
from gateway.consumer.page.asking import Elsewhere, Unheard
from gateway.consumer.page.desk import Counts, PageDesk
from gateway.core.ids import is_id
from gateway.core.logins import SESSION_MS, typed_code, typed_msisdn
from gateway.core.ussd import REASONS
from gateway.engine.batcher import Batcher, Busy
from gateway.engine.buckets import Buckets, network
from gateway.store import page

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_AFTER_S: Final = 0.3
"""Whoever asks for a code is answered after this long, whether one was sent or not."""
SESSION_NOTED_MS: Final = 60_000
"""That a session is used is written no more often."""
REQUESTS_PER_S: Final = 10.0
REQUESTS_AT_ONCE: Final = 60
CODES_WINDOW_S: Final = 600
TRIES_PER_CODE: Final = 4
"""An address may type so many codes for each that it may ask for."""
BUSY_RETRY_AFTER_S: Final = 5
NOTES: Final = frozenset(
    {"over", "logged_out", "is_stopped", "is_allowed", "dispute_opened", "dispute_impossible"}
    | {"dispute_missing", "reported", "reported_charging", "reported_late", "received", "received_impossible"}
    | {"limit_set", "language_set"}
)
"""Texts that an address may ask for, after a form was done."""
LIMIT_WARNINGS: Final = frozenset({"limit_higher", "limit_elsewhere", "limit_format"})
"""The same, on the page of the limit alone: they are filled with what is known there."""


class Reads(Protocol):
    """Runs a function with a connection, outside of batches."""

    async def __call__(self, fn: Callable[[Connection], T]) -> T: ...


def _unheard(error: Exception) -> Unheard:
    if isinstance(error, Unheard):
        return error
    if isinstance(error, web.HTTPException) and error.status < 500:
        return Unheard(error.status, "error_missing")
    if isinstance(error, Busy | OperationalError | InterfaceError):
        return Unheard(503, "error_busy", retry_after_s=BUSY_RETRY_AFTER_S)
    return Unheard(500, "error_failed", kind="failure")


class Visitor(msgspec.Struct, frozen=True):
    """Who asks. `session` None: nobody whom we know; `token` is what the browser keeps of either."""

    session: page.SessionRow | None
    token: str
    language: str
    at: str = ""
    """The page where somebody inside is."""


VISITOR: Final = web.RequestKey("visitor", Visitor)
"""Whoever asks, once that is known."""


class StatementPage:
    """The page. `app()` is mounted by the composition root."""

    def __init__(
        self,
        desk: PageDesk,
        batcher: Batcher,
        reads: Reads,
        now_ms: Callable[[], int],
        now_s: Callable[[], float],
        *,
        answer_after_s: float = ANSWER_AFTER_S,
    ) -> None:
        self.counts = Counts()
        self._desk = desk
        self._batcher = batcher
        self._reads = reads
        self._now_ms = now_ms
        self._answer_after_s = answer_after_s
        self._cookies = asking.Cookies(desk)
        self._templates = shown.Templates(desk)
        self._requests = Buckets(REQUESTS_PER_S, REQUESTS_AT_ONCE, now_s)
        codes = desk.codes_per_address
        self._codes = Buckets(codes / CODES_WINDOW_S, codes, now_s) if codes else None
        tries = codes * TRIES_PER_CODE
        self._tries = Buckets(tries / CODES_WINDOW_S, tries, now_s) if codes else None

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._frame()])
        router = app.router
        router.add_get("", self._payments)
        router.add_get("/", self._home)
        router.add_get(shown.STYLE_PATH, self._style)
        router.add_post("/login", self._ask_code)
        router.add_get("/code", self._code)
        router.add_post("/code", self._type_code)
        router.add_get("/payments/{ref}", self._payment)
        router.add_get("/payments/{ref}/dispute", self._dispute)
        router.add_post("/payments/{ref}/dispute", self._acting(deeds.dispute))
        for kind in deeds.SURE:
            router.add_get(f"/payments/{{ref}}/{kind}", self._sure(kind))
            router.add_post(f"/payments/{{ref}}/{kind}", self._acting(deeds.sure(kind)))
        router.add_get("/shops", self._shops)
        router.add_post("/shops", self._acting(deeds.shops))
        router.add_get("/limit", self._limit)
        router.add_post("/limit", self._acting(deeds.limit))
        router.add_post("/language", self._acting(deeds.language))
        router.add_post("/log-out", self._log_out)
        return app

    def _frame(self) -> Any:  # Any: aiohttp's middleware type is private.
        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._expect_room(request, self._requests)
                response = await handler(request)
            except Elsewhere as elsewhere:
                response = shown.to(elsewhere.path)
            except Exception as error:  # Whatever it is, the person gets a page in words.
                unheard = _unheard(error)
                if unheard.status == 500:
                    log.exception("the statement page failed")
                response = await self._told(request, unheard)
            for name, value in shown.HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return answer

    async def _told(self, request: web.Request, unheard: Unheard) -> web.Response:
        if unheard.kind:
            self.counts.note(unheard.kind)
        visitor = request.get(VISITOR) or Visitor(None, "", self._language_of(request))
        if unheard.status == 404:  # Whoever is inside stays so; an address that there is not asked nobody who it is.
            with suppress(OperationalError, InterfaceError):
                visitor = await self._visitor(request)
        warning = self._templates.words(visitor.language)(unheard.key)
        response = self._page("error", visitor, status=unheard.status, warning=warning)
        if unheard.retry_after_s:
            response.headers["Retry-After"] = str(unheard.retry_after_s)
        if unheard.status in (408, 413, 415):
            response.force_close()
        return response

    def _expect_room(self, request: web.Request, buckets: Buckets | None) -> None:
        if buckets is None:
            return
        left = buckets.take(network(asking.address_of(request, self._desk.proxies)))
        if left < 0:
            raise Unheard(429, "error_often", kind="too_often", retry_after_s=buckets.wait_s(left))

    async def _visitor(self, request: web.Request) -> Visitor:
        token = self._cookies.read(request, "session")
        if token:
            now_ms = self._now_ms()
            found = await self._reads(partial(page.session, session_id=asking.hash_of(token), now_ms=now_ms))
            if found is not None and found.carrier in self._desk.words:
                if now_ms - found.at_ms > SESSION_NOTED_MS:
                    with suppress(Busy):
                        await self._batcher.call(lambda unit: page.use_session(unit.conn, found.id, unit.now_ms))
                language = self._desk.catalogues.language(found.language).code
                request[VISITOR] = Visitor(found, token, language, asking.place_of(request))
                return request[VISITOR]
        return Visitor(None, self._cookies.read(request, "visit"), self._language_of(request))

    async def _inside(self, request: web.Request) -> tuple[Visitor, page.SessionRow]:
        """Whoever is logged in; all others are led to the door."""
        visitor = await self._visitor(request)
        if visitor.session is None:
            raise Elsewhere("?note=over" if self._cookies.read(request, "session") else "")
        return visitor, visitor.session

    def _language_of(self, request: web.Request) -> str:
        """Of somebody whom we do not know: what the address says, else what the browser asks for."""
        offered = self._desk.catalogues.languages
        chosen = request.query.get("lang", "")
        if chosen in offered:
            return chosen
        for one in request.headers.get("Accept-Language", "")[:200].split(","):
            wanted = one.partition(";")[0].strip().lower()
            for code in offered:
                if wanted and wanted.split("-")[0] == code.lower().split("-")[0]:
                    return code
        return self._desk.languages[self._desk.front]

    def _page(self, name: str, visitor: Visitor, **context: Any) -> web.Response:  # Any: what the template shows.
        carrier = visitor.session.carrier if visitor.session is not None else ""
        form = asking.form_token(visitor.token) if visitor.token else ""
        return self._templates.page(
            name, visitor.language, carrier=carrier, session=visitor.session, form=form, at=visitor.at, **context
        )

    def _note(self, request: web.Request, visitor: Visitor) -> str:
        note = request.query.get("note", "")
        return self._templates.words(visitor.language)(note) if note in NOTES else ""

    # What everybody sees.

    async def _home(self, request: web.Request) -> web.StreamResponse:
        return shown.to("")

    async def _style(self, request: web.Request) -> web.StreamResponse:
        return shown.style()

    def _login(self, request: web.Request, visitor: Visitor, warning: str = "") -> web.Response:
        known = visitor if visitor.token else msgspec.structs.replace(visitor, token=asking.new_token())
        response = self._page("login", known, warning=warning, note=self._note(request, visitor))
        self._cookies.keep(response, "visit", known.token, SESSION_MS // 1000)
        return response

    async def _stranger(self, request: web.Request) -> tuple[Visitor, Mapping[str, str]]:
        """A form of somebody who is not inside."""
        form = await asking.form_of(request)
        token = self._cookies.read(request, "visit")
        asking.expect_ours(request, self._desk, token, form)
        said = form.get("lang", "")
        language = said if said in self._desk.catalogues.languages else self._language_of(request)
        request[VISITOR] = Visitor(None, token, language)
        return request[VISITOR], form

    async def _ask_code(self, request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        visitor, form = await self._stranger(request)
        msisdn = typed_msisdn(form.get("phone", ""), self._desk.country_code)
        if msisdn is None:
            return self._login(request, visitor, self._templates.words(visitor.language)("phone_wrong"))
        self._expect_room(request, self._codes)
        found = await self._reads(partial(page.known_phone, msisdn=msisdn, mode=self._desk.mode))
        known = found if found is not None and found.carrier in self._desk.words else None
        is_sent = await self._batcher.offer(jobs.CodeAsked(self._desk, asking.hash_of(visitor.token), known))
        self.counts.note("code_sent" if is_sent else "code_withheld")
        await asyncio.sleep(began_s + self._answer_after_s - loop.time())
        return shown.to(f"/code?lang={visitor.language}")

    async def _code(self, request: web.Request) -> web.StreamResponse:
        visitor = await self._visitor(request)
        if visitor.session is not None or not visitor.token:
            return shown.to("")
        return self._page("code", visitor, is_open=True, address="/code")

    async def _type_code(self, request: web.Request) -> web.StreamResponse:
        visitor, form = await self._stranger(request)
        self._expect_room(request, self._tries)
        token = asking.new_token()
        typed = await self._batcher.offer(
            jobs.CodeTyped(
                desk=self._desk,
                visit=asking.hash_of(visitor.token),
                code=typed_code(form.get("code", "")),
                session_id=asking.hash_of(token),
                language=visitor.language,
            )
        )
        assert isinstance(typed, jobs.Typed)
        self.counts.note("login" if typed.outcome == "right" else f"code_{typed.outcome}")
        if typed.outcome != "right":
            warning = self._templates.words(visitor.language)(f"code_{typed.outcome}", tries=str(typed.left))
            return self._page("code", visitor, is_open=typed.outcome == "wrong", address="/code", warning=warning)
        response = shown.to("")
        self._cookies.keep(response, "session", token, SESSION_MS // 1000)
        self._cookies.drop(response, "visit")
        return response

    # What whoever is inside sees.

    async def _read(self, visitor: Visitor, session: page.SessionRow, look: Callable[[views.Reader], T]) -> T:
        language, now_ms = self._desk.catalogues.language(visitor.language), self._now_ms()
        return await self._reads(lambda conn: look(views.Reader(conn, self._desk, session, language, now_ms)))

    async def _payments(self, request: web.Request) -> web.StreamResponse:
        visitor = await self._visitor(request)
        session = visitor.session
        if session is None:
            return self._login(request, visitor)
        month = views.typed_month(request.query.get("month", ""))
        after = request.query.get("after", "")
        older_than = after if month is not None and is_id(after, "pay_") else None
        listing = await self._read(visitor, session, lambda reader: reader.listing(month, older_than))
        words = self._desk.catalogues.page(visitor.language)
        return self._page(
            "payments",
            visitor,
            here="payments",
            list=listing,
            month=listing.month.shown(words),
            older=listing.older.shown(words) if listing.older is not None else "",
            newer=listing.newer.shown(words) if listing.newer is not None else "",
            is_later_page=older_than is not None,
            note=self._note(request, visitor),
        )

    async def _receipt(self, request: web.Request) -> tuple[Visitor, views.Receipt]:
        visitor, session = await self._inside(request)
        ref = request.match_info["ref"]
        one = await self._read(visitor, session, lambda reader: reader.receipt(ref))
        if one is None:
            raise Unheard(404, "error_missing")
        return visitor, one

    async def _payment(self, request: web.Request) -> web.StreamResponse:
        visitor, one = await self._receipt(request)
        return self._page("payment", visitor, one=one, note=self._note(request, visitor))

    async def _dispute(self, request: web.Request) -> web.StreamResponse:
        visitor, one = await self._receipt(request)
        if "dispute" not in one.may:
            return shown.to(f"/payments/{one.ref}?note=dispute_impossible")
        return self._page("dispute", visitor, one=one, reasons=REASONS, warning=self._note(request, visitor))

    def _sure(self, kind: str) -> Handler:
        async def ask(request: web.Request) -> web.StreamResponse:
            visitor, one = await self._receipt(request)
            if kind not in one.may:
                return shown.to(f"/payments/{one.ref}")
            return self._page("sure", visitor, one=one, kind=kind)

        return ask

    async def _shops(self, request: web.Request) -> web.StreamResponse:
        visitor, session = await self._inside(request)
        shops = await self._reads(partial(page.shops_of, consumer_id=session.consumer_id))
        return self._page("shops", visitor, here="shops", shops=shops, note=self._note(request, visitor))

    async def _limit(self, request: web.Request) -> web.StreamResponse:
        visitor, session = await self._inside(request)
        limit = await self._read(visitor, session, lambda reader: reader.limit())
        told = request.query.get("note", "")
        warning = self._templates.words(visitor.language)(told, **limit.fields) if told in LIMIT_WARNINGS else ""
        return self._page(
            "limit", visitor, here="limit", limit=limit, note=self._note(request, visitor), warning=warning
        )

    # What whoever is inside does.

    def _acting(self, deed_of: deeds.DeedOf) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def act(request: web.Request) -> web.StreamResponse:
            form = await asking.form_of(request)
            visitor, session = await self._inside(request)
            asking.expect_ours(request, self._desk, visitor.token, form)
            deed = deed_of(self._desk, session, form, request)
            told = await self._batcher.offer(deed.job)
            if told == jobs.GONE:
                raise Elsewhere("?note=over")
            if told not in NOTES | LIMIT_WARNINGS:
                raise Unheard(404, str(told))
            self.counts.note(deed.kind)
            return shown.to(f"{deed.leads_to}{'&' if '?' in deed.leads_to else '?'}note={told}")

        return act

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        form = await asking.form_of(request)
        token = self._cookies.read(request, "session")
        asking.expect_ours(request, self._desk, token, form)
        await self._batcher.call(lambda unit: page.end_session(unit.conn, asking.hash_of(token)))
        self.counts.note("logout")
        response = shown.to("?note=logged_out")
        self._cookies.drop(response, "session")
        return response
