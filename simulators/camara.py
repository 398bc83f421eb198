"""An operator that speaks CAMARA Carrier Billing over HTTP: tokens, payments, refunds, and all that goes wrong.

What moves money is in `camara_book`, the shapes are in `camara_wire`, the events to the sink in `camara_events`. A
fault changes what the caller sees, never what the journal says. There is no `validate`: that is the phone's business.
"""

import asyncio
import base64
import itertools
import time

import msgspec
from aiohttp import web

from simulators import camara_wire as wire
from simulators.camara_book import Book, Item, Order
from simulators.camara_events import Events
from simulators.chance import draw, lognormal_s
from simulators.faults import FAULTS, MAGIC, Fault, FaultPlan, seconds_of
from simulators.journal import Journal
from simulators.web import NESTED, HttpServer, hang, json_response, reset

TOKENS_MAX = 10_000
LISTS = frozenset({"payments", "refunds"})
ORDERS = {"create": "charge", "prepare": "reserve", "refund": "refund"}
STEPS = frozenset({"confirm", "cancel"})
DECLINED_IN_SILENCE = "limit_exceeded"


class CamaraSettings(msgspec.Struct, frozen=True, kw_only=True):
    user: str = "gateway"
    password: str = "secret"
    token: str = "operator-token"
    """Taken besides those that are asked for."""
    seed: int = 1
    latency_median_s: float = 0.0
    latency_sigma: float = 0.5
    token_s: float = 3600.0
    late_after_s: float | None = 5.0
    """When a held order executes by itself; None: only when it is told to."""
    hold_s: float | None = None
    """After this a reservation is let go; None: never."""
    expires_after_s: float = 5.0
    slow_s: float = 2.0
    inquiry_lag_s: float = 3.0
    callback_late_s: float = 2.0


class Camara:
    """The operator's server."""

    def __init__(self, settings: CamaraSettings, plan: FaultPlan, journal: Journal) -> None:
        self.settings = settings
        self.book = Book(journal)
        self.server = HttpServer(self._answer)
        self.events = Events(journal)
        self._plan = plan
        self._journal = journal
        self._tokens: dict[str, float] = {}
        self._token_numbers = itertools.count(1)
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        self._quiet: set[str] = set()
        self._expiring: dict[str, asyncio.TimerHandle] = {}
        self._draws = 0

    @property
    def held(self) -> list[str]:
        """Correlators of orders and steps that wait to be executed."""
        return list(self._held)

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        self._cancel_timers()
        await self.events.stop()
        await self.server.stop()

    async def quiet(self) -> None:
        """Return once it has nobody to call."""
        await self.events.idle()

    def reset(self) -> None:
        self._cancel_timers()
        for table in (self._held, self._expiring, self._tokens):
            table.clear()
        self._quiet.clear()
        self.book.reset()

    def execute_late(self, correlator: str) -> bool:
        """Execute what is held now and call back. False: nothing is held under that correlator."""
        if correlator not in self._held:
            return False
        timer = self._held.pop(correlator)
        if timer is not None:
            timer.cancel()
        item = self.book.transactions[correlator]
        self.book.end(item)
        item.hidden = False
        if correlator not in self._quiet:
            self.events.call(item)
        return True

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == wire.TOKEN_PATH:
            return await self._token(request, body)
        correlator = request.headers.get("x-correlator", "")
        try:
            wire.check_correlator(correlator)
            answer = await self._authorized(request, body)
        except wire.WireError as error:
            self._journal.write("request", what="invalid", detail=str(error))
            answer = _trouble(error.name)
        answer.headers["x-correlator"] = correlator
        return answer

    async def _authorized(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        asked = wire.parse_path(request.method, request.raw_path)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token != self.settings.token and time.monotonic() >= self._tokens.get(token, 0.0):
            self._journal.write("request", what="unauthorized")
            return _trouble("unauthenticated")
        if asked.what in ORDERS:
            charge = self._known(asked.payment_id) if asked.what == "refund" else None
            return await self._order(request, wire.parse_order(asked, body, charge))
        if asked.what in STEPS:
            return await self._step(request, asked, wire.parse_step(body))
        return await self._inquiry(request, asked)

    async def _token(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        self._journal.write("request", what="token")
        fault = self._plan.pick("camara.token", "")
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        if name == "garbage":
            return _garbage(200)
        if name == "nested":
            return json_response(NESTED)
        basic = base64.b64encode(f"{self.settings.user}:{self.settings.password}".encode()).decode()
        is_known = request.headers.get("Authorization") == f"Basic {basic}"
        if name == "refused" or not is_known or b"grant_type=client_credentials" not in body.split(b"&"):
            return json_response(b'{"error":"invalid_client"}', 401)
        if len(self._tokens) >= TOKENS_MAX:
            self._tokens.clear()
        token = f"token-{next(self._token_numbers)}"
        self._tokens[token] = time.monotonic() + self.settings.token_s
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": self.settings.token_s}
        return json_response(msgspec.json.encode(granted))

    def _known(self, payment_id: str) -> Item:
        item = self.book.items.get(payment_id)
        if item is None or item.hidden or item.order.kind == "refund":
            raise wire.WireError("not_found", payment_id)
        return item

    async def _order(self, request: web.BaseRequest, order: Order) -> web.StreamResponse:
        self._journal.write(
            "request",
            what=order.kind,
            correlator=order.correlator,
            msisdn=order.msisdn,
            amount=str(order.amount),
            currency=order.currency,
        )
        if order.correlator in self.book.transactions:
            return await self._again(order)
        fault = self._pick(order)
        name = fault.name if fault else ""
        await self._think(order.msisdn)
        early = await self._broken_before(name)
        if early is not None:
            return early
        # The wait above lets a twin in, which may have opened it meanwhile.
        if order.correlator in self.book.transactions:
            return await self._again(order)
        self._prepare_balance(order.msisdn)
        declines = wire.REFUND_DECLINES if order.kind == "refund" else wire.PAYMENT_DECLINES
        why_not = DECLINED_IN_SILENCE if name == "timeout_declined" else name if name in declines else None
        why_not = why_not or self.book.why_not(order)
        if why_not is not None:  # "In case of any error scenario paymentId is not created."
            self.book.refuse(order, why_not)
            if name == "timeout_declined":
                await hang()
            return _error(declines[why_not])
        return await self._opened(request, fault, self.book.open(order))

    async def _opened(self, request: web.BaseRequest, fault: Fault | None, item: Item) -> web.StreamResponse:
        name = fault.name if fault else ""
        if name in ("late", "processing", "silent"):
            self._hold(item, fault, is_hidden=name == "late", is_silent=name == "silent")
            if name == "late":
                await hang()
            return _created(item)
        if name == "pending_validation":
            item.status = name
            return _created(item)
        if name == "denied":
            accepted = _created(item)
            self.book.end(item, decline="insufficient_funds")
            self.events.call(item)
            return accepted
        self.book.end(item)
        if item.status == "reserved":
            self._expire_later(item, fault)
        if name == "callback_before":
            await self.events.post(item)
        return await self._broken_after(request, fault, _created(item), item)

    async def _again(self, order: Order) -> web.StreamResponse:
        known = self.book.transactions[order.correlator]
        if known.order.content() != order.content():
            return _trouble("known")
        if known.hidden:
            await hang()
        return _created(known)

    async def _step(self, request: web.BaseRequest, asked: wire.Asked, msisdn: str) -> web.StreamResponse:
        item, step = self._known(asked.payment_id), asked.what
        self._journal.write("request", what=step, correlator=item.order.correlator, msisdn=msisdn)
        fault = self._plan.pick(f"camara.{step}", msisdn)
        name = fault.name if fault else ""
        await self._think(msisdn)
        early = await self._broken_before(name)
        if early is not None:
            return early
        if name == "refused":
            return _trouble("denied")
        trouble = _step_trouble(item, step, msisdn)
        if trouble is not None:
            return _trouble(trouble)
        item.step = step
        accepted = web.Response(status=202)
        if name == "processing":
            self._hold(item, fault, is_hidden=False, is_silent=False)
            return accepted
        self.book.end(item, decline="insufficient_funds" if name == "denied" else None)
        if name != "callback_lost":
            self.events.call(item, times=2 if name == "callback_twice" else 1)
        return await self._broken_after(request, fault, accepted, item)

    async def _inquiry(self, request: web.BaseRequest, asked: wire.Asked) -> web.StreamResponse:
        self._journal.write("request", what="inquiry", correlator=request.headers.get("x-correlator", ""))
        fault = self._plan.pick("camara.inquiry", "")
        name = fault.name if fault else ""
        early = await self._broken_before(name)
        if early is not None:
            return early
        if name == "not_found":
            return json_response(b"[]") if asked.what in LISTS else _trouble("not_found")
        shown = msgspec.json.encode(self._seen(asked, name))
        return await self._broken_after(request, fault, json_response(shown), None)

    def _seen(self, asked: wire.Asked, spoil: str) -> wire.Json | list[wire.Json]:
        status = "processing" if spoil == "processing" else ""
        if asked.what == "payments":
            items = [one for one in self.book.items.values() if one.order.kind != "refund" and not one.hidden]
            page = wire.page_of(items, asked.query, "paymentCreationDate.gte")
            return [wire.payment(one, status=status, spoil=spoil) for one in page]
        payment = self._known(asked.payment_id)
        if asked.what == "payment":
            return wire.payment(payment, status=status, spoil=spoil)
        if asked.what == "remaining":
            return wire.remaining(payment)
        refunds = [one for one in self.book.items.values() if one.order.original == payment.id and not one.hidden]
        if asked.what == "refunds":
            page = wire.page_of(refunds, asked.query, "refundCreationDate.gte")
            return [wire.refund(one, status=status, spoil=spoil) for one in page]
        found = next((one for one in refunds if one.id == asked.refund_id), None)
        if found is None:
            raise wire.WireError("not_found", asked.refund_id)
        return wire.refund(found, status=status, spoil=spoil)

    def _pick(self, order: Order) -> Fault | None:
        """What was set for it, or what the number's last digits mean at every operator."""
        point = f"camara.{order.kind}"
        found = self._plan.pick(point, order.msisdn)
        if found is not None or not self._plan.use_magic or order.kind == "refund":
            return found
        name = MAGIC.get(order.msisdn[-3:], {}).get("billing.charge", "")
        return Fault(name=name) if name in FAULTS[point] else None

    def _prepare_balance(self, msisdn: str) -> None:
        if self._plan.use_magic and msisdn.endswith("010") and not self.book.knows(msisdn):
            self.book.set_balance(msisdn, self.book.balance(msisdn) * 0)

    async def _think(self, msisdn: str) -> None:
        if self.settings.latency_median_s <= 0:
            return
        self._draws += 1
        uniform = draw(self.settings.seed, msisdn, self._draws, "camara.latency")
        median_s, sigma = self.settings.latency_median_s, self.settings.latency_sigma
        await asyncio.sleep(lognormal_s(uniform, median_s=median_s, sigma=sigma))

    def _hold(self, item: Item, fault: Fault | None, *, is_hidden: bool, is_silent: bool) -> None:
        item.hidden = is_hidden
        correlator = item.order.correlator or item.id
        after_s = seconds_of(fault, self.settings.late_after_s)
        timer = None
        if is_silent:
            self._quiet.add(correlator)
        elif after_s is not None:
            timer = asyncio.get_running_loop().call_later(after_s, self.execute_late, correlator)
        self._held[correlator] = timer
        self._journal.write("held", correlator=correlator, msisdn=item.order.msisdn, hidden=is_hidden)

    def _expire_later(self, item: Item, fault: Fault | None) -> None:
        after_s = self.settings.hold_s
        if fault is not None and fault.name == "expires":
            after_s = seconds_of(fault, self.settings.expires_after_s)
        if after_s is not None:
            self._expiring[item.id] = asyncio.get_running_loop().call_later(
                after_s, self.expire, item.order.correlator or item.id
            )

    def expire(self, correlator: str) -> bool:
        """Let a reservation go now. False: nothing is reserved under that correlator."""
        item = self.book.transactions.get(correlator)
        is_gone = item is not None and self.book.expire(item)
        if item is not None and is_gone:
            self.events.call(item)
        return is_gone

    async def _broken_before(self, name: str) -> web.StreamResponse | None:
        """Nothing was done."""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        if name == "token_expired":
            self._tokens.clear()
            return _trouble("unauthenticated")
        return _trouble("rate_limited") if name == "rate_limited" else None

    async def _broken_after(
        self, request: web.BaseRequest, fault: Fault | None, plain: web.Response, item: Item | None
    ) -> web.StreamResponse:
        """It was done, and the answer does not say so, or something else is wrong; without *item* it is an inquiry."""
        name = fault.name if fault else ""
        if name == "inquiry_lag" and item is not None:
            item.lagging_until = time.monotonic() + seconds_of(fault, self.settings.inquiry_lag_s)
        if name in ("timeout_charged", "timeout_done", "inquiry_lag"):
            await hang()
        if name == "error_after":
            return _unavailable(500)
        if name == "garbage":
            return _garbage(plain.status)
        if name == "nested":
            return json_response(NESTED, plain.status)
        if name in ("duplicate", "duplicate_argument"):
            return _trouble("known" if name == "duplicate" else "known_argument")
        if name == "wrong_amount" and item is not None:
            return _created(item, spoil=name)
        if name == "slow":
            await asyncio.sleep(seconds_of(fault, self.settings.slow_s))
        if name == "reset":
            reset(request.transport)
        if item is not None and not item.step and plain.status == 201:
            self._call_back(item, fault)
        return plain

    def _call_back(self, item: Item, fault: Fault | None) -> None:
        """A payment whose end stands in the answer is called about only where a fault wants it."""
        name = fault.name if fault else ""
        if name in ("callback_once", "callback_twice"):
            self.events.call(item, times=1 + (name == "callback_twice"))
        elif name == "callback_late":
            self.events.call(item, after_s=seconds_of(fault, self.settings.callback_late_s))
        elif name == "callback_forged":
            self.events.call(item, is_forged=True)
        elif name == "callback_disordered":  # What was true before comes last.
            self.events.call(item, older="in-bill" if item.order.kind == "refund" else "pending_validation")

    def _cancel_timers(self) -> None:
        for timer in (*self._held.values(), *self._expiring.values()):
            if timer is not None:
                timer.cancel()


def _step_trouble(item: Item, step: str, msisdn: str) -> str | None:
    """Why a step cannot be taken now, as a key of the dialect's errors."""
    if item.order.msisdn != msisdn:
        return "no_phone"
    if item.step or item.status == "processing":
        return "known"
    if item.status in ("succeeded", "cancelled"):
        return "confirmed" if item.status == "succeeded" else "cancelled"
    if item.status == "reserved":
        return None
    if step == "cancel":
        return None if item.status == "pending_validation" else "cancelled"
    return "denied"


def _created(item: Item, spoil: str = "") -> web.Response:
    return json_response(msgspec.json.encode(wire.show(item, status=item.status, spoil=spoil)), 201)


def _error(known: tuple[int, str, str]) -> web.Response:
    status, body = wire.error(known)
    return json_response(msgspec.json.encode(body), status)


def _trouble(name: str) -> web.Response:
    return _error(wire.ERRORS[name])


def _garbage(status: int) -> web.Response:
    return web.Response(body=b'\xff\xfe<html>OK {"paymentId": [', status=status)


def _unavailable(status: int = 503) -> web.Response:
    return web.Response(body=b"Service Unavailable", status=status, content_type="text/plain")
