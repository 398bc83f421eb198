"""Operator billing over HTTP: charges, reservations, refunds, inquiries, callbacks, and all that goes wrong with them.

What moves money is in `billing_book`, the shapes are in `billing_wire`; here are authentication, the answers and the
faults. A fault changes what the caller sees, never what the journal says.
"""

import asyncio
import base64
import time

import aiohttp
import msgspec
from aiohttp import web

from simulators import billing_wire as wire
from simulators.billing_book import SVC_DUPLICATE_CORRELATOR, SVC_NOT_FOUND, Book, Order, Transaction, service_error
from simulators.chance import draw, lognormal_s
from simulators.faults import Fault, FaultPlan, seconds_of
from simulators.journal import Journal
from simulators.web import NESTED, HttpServer, hang, json_response, reset

CALLBACK_TIMEOUT_S = 10.0
CALLBACKS_IN_FLIGHT_MAX = 1000
WRONG_AMOUNT = "1.00"
DECLINING = frozenset({"insufficient_funds", "limit_exceeded", "not_subscriber", "barred"})
# Kept apart from low balance: this one is final, so the payment ends with the inquiry that finds it.
DECLINED_IN_SILENCE = "limit_exceeded"


class BillingSettings(msgspec.Struct, frozen=True, kw_only=True):
    user: str = "gateway"
    password: str = "secret"
    token: str = "operator-token"
    seed: int = 1
    latency_median_s: float = 0.0
    latency_sigma: float = 0.5
    late_after_s: float | None = 5.0
    """When a held charge executes by itself; None: only when control says so."""
    slow_s: float = 2.0
    inquiry_lag_s: float = 3.0
    callback_late_s: float = 2.0
    hold_s: float | None = None
    """When a reservation that nobody ended lapses; None: only when the fault or a caller says so."""
    hold_short_s: float = 1.0
    """The same for the fault `hold_expires`."""


class Billing:
    """The operator's billing server."""

    def __init__(self, settings: BillingSettings, plan: FaultPlan, journal: Journal) -> None:
        self.settings = settings
        self.book = Book(journal)
        self.server = HttpServer(self._answer)
        self._plan = plan
        self._journal = journal
        basic = base64.b64encode(f"{settings.user}:{settings.password}".encode()).decode()
        self._accepted = frozenset({f"Basic {basic}", f"Bearer {settings.token}"})
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        self._lapses: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._draws = 0
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._paused: asyncio.TimerHandle | None = None
        self._pause_hangs = False

    @property
    def held(self) -> list[str]:
        """Correlators of charges that wait to be executed late."""
        return list(self._held)

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        self.resume()
        for timer in (*self._held.values(), *self._lapses):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        await self.server.stop()

    async def quiet(self) -> None:
        """Return once it has nobody to call."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def pause(self, seconds: float, *, hangs: bool) -> None:
        """An outage: until it is over every request hangs and is then done, or is answered 503 and is not."""
        self.resume()
        if seconds > 0:
            self._is_open.clear()
            self._pause_hangs = hangs
            self._paused = asyncio.get_running_loop().call_later(seconds, self.resume)

    def resume(self) -> None:
        self._is_open.set()
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None

    def reset(self) -> None:
        self.resume()
        for timer in (*self._held.values(), *self._lapses):
            if timer is not None:
                timer.cancel()
        self._held.clear()
        self._lapses.clear()
        self.book.reset()

    def execute_late(self, correlator: str) -> bool:
        """Execute a held charge now and call back. False: nothing is held under that correlator."""
        if correlator not in self._held:
            return False
        timer = self._held.pop(correlator)
        if timer is not None:
            timer.cancel()
        transaction = self.book.transactions[correlator]
        self.book.execute(transaction)
        transaction.hidden = False
        self._call_back(transaction)
        return True

    def expire(self, correlator: str) -> bool:
        """Let a reservation lapse now, without a word. False: nothing is held under that correlator."""
        found = self.book.transactions.get(correlator)
        return found is not None and self.book.expire(found)

    def overturn(self, correlator: str) -> bool:
        """Charge now what was denied for lack of funds, and call back, as some operators do once there are funds.

        False: that was not denied.
        """
        transaction = self.book.transactions.get(correlator)
        if transaction is None or transaction.status != "Denied":
            return False
        transaction.status, transaction.error = "Processing", None
        self.book.execute(transaction)
        self._call_back(transaction)
        return True

    async def call_back(self, correlator: str) -> None:
        """Call about a transaction once more, now; return when the call is answered."""
        await self._post_callback(self.book.transactions[correlator])

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path = request.raw_path
        body = await request.read() if request.method == "POST" else b""
        if not self._is_open.is_set():
            self._journal.write("request", what="paused", hangs=self._pause_hangs)
            if not self._pause_hangs:
                return _unavailable()
            await self._is_open.wait()
        try:
            resource = wire.parse_path(raw_path)
            if resource is None:
                return json_response(wire.invalid_input("no such resource"), 404)
            if request.headers.get("Authorization") not in self._accepted:
                self._journal.write("request", what="unauthorized", msisdn=resource.msisdn)
                return json_response(wire.invalid_input("authentication failed"), 401)
            if request.method == "GET":
                return await self._inquiry(request, resource)
            if request.method != "POST":
                return json_response(wire.invalid_input("use GET or POST"), 405)
            order = wire.parse_order(resource, body)
        except wire.OrderError as error:
            self._journal.write("request", what="invalid", detail=str(error))
            return json_response(wire.invalid_input(str(error)), 400)
        self._journal.write(
            "request",
            what=order.kind,
            correlator=order.correlator,
            msisdn=order.msisdn,
            amount=order.amount_text,
            currency=order.currency,
            original=order.original,
            hold=order.hold,
        )
        return await self._money(request, resource.base, order)

    async def _inquiry(self, request: web.BaseRequest, resource: wire.Resource) -> web.StreamResponse:
        correlator = resource.correlator
        self._journal.write("request", what="inquiry", correlator=correlator, msisdn=resource.msisdn)
        fault = self._plan.pick("billing.inquiry", resource.msisdn)
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        transaction = self.book.transactions.get(correlator or "")
        if (
            transaction is None
            or transaction.hidden
            or transaction.order.msisdn != resource.msisdn
            or transaction.order.is_of_reservation != (resource.family == "amountReservation")
            or name == "not_found"
        ):
            error = service_error(SVC_NOT_FOUND, "No such transaction.", correlator or "")
            return json_response(wire.render_error(error), 404)
        status = "Processing" if name == "processing" else self.book.status_seen(transaction)
        shown = wire.render(transaction, base=self._base(resource.base), status=status)
        return await self._spoiled(request, fault, json_response(shown), transaction)

    async def _money(self, request: web.BaseRequest, base: str, order: Order) -> web.StreamResponse:
        known = self.book.transactions.get(order.correlator)
        if known is not None:
            return await self._again(base, known, order)
        fault = self._plan.pick(f"billing.{order.kind}", order.msisdn)
        name = fault.name if fault else ""
        await self._think(order.msisdn)
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        # The wait above lets a twin in, which may have opened it meanwhile.
        known = self.book.transactions.get(order.correlator)
        if known is not None:
            return await self._again(base, known, order)
        self._prepare_balance(order.msisdn)
        transaction = self.book.open(order)
        if order.kind == "reserve":
            self._let_lapse(order.correlator, fault if name == "hold_expires" else None)
        if name in ("late", "processing"):
            self._hold(transaction, fault, hidden=name == "late")
            if transaction.reservation is not None and not transaction.hidden:
                transaction.reservation.under_way = transaction
            if name == "late":
                await hang()
            return self._result(base, transaction)
        self.book.execute(transaction, decline=_decline_of(name))
        if name == "callback_before":
            await self._post_callback(transaction)
        return await self._spoiled(request, fault, self._result(base, transaction), transaction)

    async def _again(self, base: str, known: Transaction, order: Order) -> web.StreamResponse:
        if known.order.content() != order.content():
            error = service_error(
                SVC_DUPLICATE_CORRELATOR, "Duplicate correlator with other content.", order.correlator
            )
            return json_response(wire.render_error(error), 409)
        if known.hidden:
            await hang()
        return self._result(base, known)

    async def _think(self, msisdn: str) -> None:
        if self.settings.latency_median_s <= 0:
            return
        self._draws += 1
        uniform = draw(self.settings.seed, msisdn, self._draws, "billing.latency")
        median_s, sigma = self.settings.latency_median_s, self.settings.latency_sigma
        await asyncio.sleep(lognormal_s(uniform, median_s=median_s, sigma=sigma))

    def _prepare_balance(self, msisdn: str) -> None:
        if self._plan.use_magic and msisdn.endswith("010") and not self.book.knows(msisdn):
            self.book.set_balance(msisdn, self.book.balance(msisdn) * 0)

    def _base(self, base: str) -> str:
        return f"{self.server.url}{base}"

    def _result(self, base: str, transaction: Transaction) -> web.Response:
        if transaction.status == "Denied":
            assert transaction.error is not None
            return json_response(wire.render_error(transaction.error), 403)
        status = 201 if transaction.is_final else 202
        return json_response(wire.render(transaction, base=self._base(base)), status)

    def _let_lapse(self, correlator: str, fault: Fault | None) -> None:
        short_s = None if fault is None else seconds_of(fault, self.settings.hold_short_s)
        after_s = self.settings.hold_s if short_s is None else short_s
        if after_s is not None:
            self._lapses.append(asyncio.get_running_loop().call_later(after_s, self.expire, correlator))

    def _hold(self, transaction: Transaction, fault: Fault | None, *, hidden: bool) -> None:
        transaction.hidden = hidden
        correlator = transaction.order.correlator
        after_s = seconds_of(fault, self.settings.late_after_s)
        timer = None
        if after_s is not None:
            timer = asyncio.get_running_loop().call_later(after_s, self.execute_late, correlator)
        self._held[correlator] = timer
        self._journal.write("held", correlator=correlator, msisdn=transaction.order.msisdn, hidden=hidden)

    async def _spoiled(
        self, request: web.BaseRequest, fault: Fault | None, plain: web.Response, transaction: Transaction
    ) -> web.StreamResponse:
        if fault is None:
            return plain
        name, settings = fault.name, self.settings
        if name in ("timeout_charged", "timeout_declined", "inquiry_lag"):
            if name == "inquiry_lag":
                lag_s = seconds_of(fault, settings.inquiry_lag_s)
                (transaction.reservation or transaction).lagging_until = time.monotonic() + lag_s
            await hang()
        elif name == "error_after":
            return _unavailable(500)
        elif name == "garbage":
            return web.Response(body=b'\xff\xfe<html>OK {"amountTransaction": [', status=plain.status)
        elif name == "nested":
            return json_response(NESTED, plain.status)
        elif name == "wrong_amount":
            shown = wire.render(transaction, base=self._base(""), amount=WRONG_AMOUNT)
            return json_response(shown, plain.status)
        elif name == "slow":
            await asyncio.sleep(seconds_of(fault, settings.slow_s))
        elif name == "reset":
            return await _torn(request, plain)
        elif name in ("callback_once", "callback_twice"):
            self._call_back(transaction, times=1 + (name == "callback_twice"))
        elif name == "callback_late":
            self._call_back(transaction, after_s=seconds_of(fault, settings.callback_late_s))
        return plain

    def _call_back(self, transaction: Transaction, *, times: int = 1, after_s: float = 0.0) -> None:
        if transaction.order.notify_url is None or len(self._tasks) >= CALLBACKS_IN_FLIGHT_MAX:
            return
        task = asyncio.create_task(self._call_back_later(transaction, times, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call_back_later(self, transaction: Transaction, times: int, after_s: float) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        for _ in range(times):
            await self._post_callback(transaction)

    async def _post_callback(self, transaction: Transaction) -> None:
        url = transaction.order.notify_url
        if url is None:
            return
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALLBACK_TIMEOUT_S))
        body = wire.render(transaction, base=self._base(""))
        correlator = transaction.order.correlator
        try:
            async with self._client.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                self._journal.write("callback", correlator=correlator, answered=answer.status)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._journal.write("callback", correlator=correlator, answered=None, detail=type(error).__name__)


def _decline_of(fault: str) -> str | None:
    if fault == "timeout_declined":
        return DECLINED_IN_SILENCE
    return fault if fault in DECLINING else None


def _unavailable(status: int = 503) -> web.Response:
    return web.Response(body=b"Service Unavailable", status=status, content_type="text/plain")


async def _torn(request: web.BaseRequest, plain: web.Response) -> web.StreamResponse:
    """Half of the answer, then RST."""
    body = plain.body
    assert isinstance(body, bytes)
    answer = web.StreamResponse(status=plain.status, headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    reset(request.transport)
    return answer
