"""Mobile wallets over HTTP: tokens, orders that a phone approves, inquiries, callbacks, and all that goes wrong.

Three dialects on one port, below `/mtn`, `/gsma` and `/airtel`, each with a file for its shapes. What moves money is in
`billing_book`. A fault changes what the caller sees, never what the journal says.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import time

import aiohttp
import msgspec
from aiohttp import web

from simulators.billing_book import Book, Order, Transaction
from simulators.chance import draw, lognormal_s
from simulators.faults import MAGIC, WALLET_FAULTS, Fault, FaultPlan, seconds_of
from simulators.handsets import MAGIC_BEHAVIOURS
from simulators.journal import Journal
from simulators.wallet_momo_airtel import AirtelWire
from simulators.wallet_momo_gsma import GsmaWire, server_key
from simulators.wallet_momo_mtn import MtnWire
from simulators.wallet_momo_wire import (
    WRONG_AMOUNT,
    WRONG_MSISDN,
    Asked,
    Call,
    Json,
    Rendered,
    Shown,
    Wire,
    WireError,
)
from simulators.web import NESTED, HttpServer, hang, json_response, reset

CALLBACK_TIMEOUT_S = 10.0
CALLBACKS_IN_FLIGHT_MAX = 1000
TOKENS_MAX = 10_000
DECLINING = frozenset({"insufficient_funds", "limit_exceeded", "not_subscriber", "barred", "refused", "expired"})
DECLINED_IN_SILENCE = "limit_exceeded"
# What the person of a magic number does when the wallet asks for the PIN.
PROMPT_ANSWERS = {"refuses": "refused", "silent": "expired"}


class WalletSettings(msgspec.Struct, frozen=True, kw_only=True):
    user: str = "gateway"
    password: str = "secret"
    subscription_key: str = "subscription"
    receiver: str = "shop"
    country: str = "KE"
    country_code: str = "254"
    notice_url: str = ""
    """Where Airtel calls, for all orders."""
    notice_key: str = "notice-key"
    """With which it signs."""
    seed: int = 1
    latency_median_s: float = 0.0
    latency_sigma: float = 0.5
    token_s: float = 3600.0
    approve_after_s: float = 0.0
    """How long a person takes for the prompt."""
    late_after_s: float | None = 5.0
    """When a held order executes by itself; None: only when it is told to."""
    slow_s: float = 2.0
    inquiry_lag_s: float = 3.0
    callback_late_s: float = 2.0


class Wallet:
    """The wallets' server."""

    def __init__(self, settings: WalletSettings, plan: FaultPlan, journal: Journal) -> None:
        self.settings = settings
        self.book = Book(journal)
        self.server = HttpServer(self._answer)
        self.notice_url = settings.notice_url
        self.wires: dict[str, Wire] = {
            "mtn": MtnWire(settings.subscription_key),
            "gsma": GsmaWire(settings.receiver),
            "airtel": AirtelWire(settings.country, settings.country_code),
        }
        self._plan = plan
        self._journal = journal
        self._dialects: dict[str, str] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._token_numbers = itertools.count(1)
        self._spoils: dict[str, str] = {}
        self._quiet: set[str] = set()
        self._held: dict[str, asyncio.TimerHandle | None] = {}
        self._found: dict[tuple[str, str], Transaction] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._draws = 0

    @property
    def held(self) -> list[str]:
        """Correlators of orders that wait to be executed."""
        return list(self._held)

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        self._cancel_timers()
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

    def reset(self) -> None:
        self._cancel_timers()
        for table in (self._held, self._dialects, self._tokens, self._spoils, self._found):
            table.clear()
        self._quiet.clear()
        self.book.reset()

    def execute_late(self, correlator: str) -> bool:
        """Execute a held order now and call back. False: nothing is held under that correlator."""
        if correlator not in self._held:
            return False
        timer = self._held.pop(correlator)
        if timer is not None:
            timer.cancel()
        transaction = self.book.transactions[correlator]
        self.book.execute(transaction)
        transaction.hidden = False
        if correlator not in self._quiet:
            self._call_back(transaction)
        return True

    async def post_callback(self, transaction: Transaction, *, status: str = "", is_forged: bool = False) -> int | None:
        """Call about a transaction now; the status of the answer, None if there was none."""
        dialect = self._dialects[transaction.order.correlator]
        wire = self.wires[dialect]
        url = transaction.order.notify_url or (self.notice_url if dialect == "airtel" else "")
        if not url or (wire.refunds_at_once and transaction.order.kind == "refund"):
            return None
        body = wire.callback(self._shown(transaction, status=status or transaction.status))
        if is_forged and dialect != "airtel":
            url = url[:-1] + ("0" if url[-1] != "0" else "1")
        raw = self._signed(body, is_forged=is_forged) if dialect == "airtel" else msgspec.json.encode(body)
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALLBACK_TIMEOUT_S))
        headers = {"Content-Type": "application/json"}
        answered, detail = None, ""
        try:
            async with self._client.request(wire.callback_method, url, data=raw, headers=headers) as answer:
                answered = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            detail = type(error).__name__
        self._journal.write(
            "callback", correlator=transaction.order.correlator, answered=answered, detail=detail, forged=is_forged
        )
        return answered

    def _signed(self, body: Json, *, is_forged: bool) -> bytes:
        raw = msgspec.json.encode(body)
        key = self.settings.notice_key + ("?" if is_forged else "")
        digest = hmac.new(key.encode(), raw, hashlib.sha256).digest()
        return msgspec.json.encode({**body, "hash": base64.b64encode(digest).decode()})

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        dialect, _, path = request.raw_path.removeprefix("/").partition("/")
        wire = self.wires.get(dialect)
        if wire is None:
            return json_response(b"{}", 404)
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(method=request.method, path=f"/{path}", headers=headers, body=await request.read())
        try:
            asked = wire.parse(call)
        except WireError as error:
            self._journal.write("request", what="invalid", detail=str(error), dialect=dialect)
            return _response(wire.trouble("invalid"))
        if asked.what == "token":
            return await self._token(wire, dialect, asked, call)
        if not self._knows_token(dialect, asked, headers):
            self._journal.write("request", what="unauthorized", dialect=dialect)
            return _response(wire.trouble("unauthorized"))
        if asked.order is None:
            return await self._inquiry(request, wire, asked)
        return await self._money(request, wire, dialect, asked.order)

    async def _token(self, wire: Wire, dialect: str, asked: Asked, call: Call) -> web.StreamResponse:
        self._journal.write("request", what="token", dialect=dialect, product=asked.product)
        fault = self._plan.pick("wallet.token", "")
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        if name == "garbage":
            return _garbage()
        if name == "nested":
            return json_response(NESTED)
        if name == "refused" or not self._knows_user(dialect, call):
            return _response(wire.trouble("unauthorized"))
        if len(self._tokens) >= TOKENS_MAX:
            self._tokens.clear()
        token = f"token-{next(self._token_numbers)}"
        self._tokens[token] = (f"{dialect} {asked.product}", time.monotonic() + self.settings.token_s)
        return json_response(msgspec.json.encode(wire.token(token, self.settings.token_s)))

    def _knows_user(self, dialect: str, call: Call) -> bool:
        user, password = self.settings.user, self.settings.password
        if dialect == "airtel":
            told = {"client_id": user, "client_secret": password, "grant_type": "client_credentials"}
            return call.body == msgspec.json.encode(told)
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        return call.headers.get("authorization") == f"Basic {basic}"

    def _knows_token(self, dialect: str, asked: Asked, headers: dict[str, str]) -> bool:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        opens, until = self._tokens.get(token, ("", 0.0))
        return opens == f"{dialect} {asked.product}" and time.monotonic() < until

    async def _inquiry(self, request: web.BaseRequest, wire: Wire, asked: Asked) -> web.StreamResponse:
        transaction = self._found.get((asked.where, asked.key))
        correlator = transaction.order.correlator if transaction else asked.key
        self._journal.write("request", what="inquiry", correlator=correlator)
        msisdn = transaction.order.msisdn if transaction else ""
        fault = self._plan.pick("wallet.inquiry", msisdn)
        name = fault.name if fault else ""
        if name == "token_expired":
            self._tokens.clear()
            return _response(wire.trouble("unauthorized"))
        early = await self._broken_before(wire, name)
        if early is not None:
            return early
        if transaction is None or transaction.hidden or name == "not_found":
            return _response(wire.trouble("not_found"))
        if name in ("processing", "wrong_amount", "wrong_number"):
            self._spoils[correlator] = name
        spoil = self._spoils.get(correlator, "")
        status = "Processing" if spoil == "processing" else self.book.status_seen(transaction)
        shown = self._shown(transaction, status=status, spoil=spoil)
        # A missed response leads on only, and a request's state names neither amount nor number.
        if asked.where != "responses" and (asked.where != "requeststates" or spoil == "processing"):
            self._spoils.pop(correlator, None)
        return await self._broken_after(request, fault, _response(wire.inquired(asked, shown)))

    def _shown(self, transaction: Transaction, *, status: str, spoil: str = "") -> Shown:
        order = transaction.order
        return Shown(
            transaction=transaction,
            status=status,
            amount=WRONG_AMOUNT if spoil == "wrong_amount" else order.amount_text,
            msisdn=WRONG_MSISDN if spoil == "wrong_number" else order.msisdn,
        )

    async def _money(self, request: web.BaseRequest, wire: Wire, dialect: str, order: Order) -> web.StreamResponse:
        original = self._original(order)
        if original is not None:
            order = _of_original(order, original)
        self._journal.write(
            "request",
            what=order.kind,
            correlator=order.correlator,
            msisdn=order.msisdn,
            amount=order.amount_text,
            currency=order.currency,
            dialect=dialect,
        )
        if order.correlator in self.book.transactions:
            return _response(wire.trouble("duplicate"))
        fault = self._pick(order)
        name = fault.name if fault else ""
        await self._think(order.msisdn)
        if name == "token_expired":
            self._tokens.clear()
            return _response(wire.trouble("unauthorized"))
        if name == "refused_at_once":
            return _response(wire.refused_at_once())
        early = await self._broken_before(wire, name)
        if early is not None:
            return early
        # The wait above lets a twin in, which may have opened it meanwhile.
        if order.correlator in self.book.transactions:
            return _response(wire.trouble("duplicate"))
        if dialect == "gsma" and order.kind == "refund" and original is None:
            return _response(wire.trouble("not_found"))
        transaction = self._open(dialect, order)
        return await self._decided(request, wire, fault, transaction)

    async def _decided(
        self, request: web.BaseRequest, wire: Wire, fault: Fault | None, transaction: Transaction
    ) -> web.StreamResponse:
        name = fault.name if fault else ""
        if name in ("late", "processing", "silent"):
            self._hold(transaction, fault, is_hidden=name == "late", is_silent=name == "silent")
            if name == "late":
                await hang()
            return _response(wire.accepted(transaction))
        accepted = _response(wire.accepted(transaction))
        if self.settings.approve_after_s > 0 and not wire.refunds_at_once:
            timer = asyncio.get_running_loop().call_later(
                self.settings.approve_after_s, self._end_held, transaction, fault
            )
            self._held[transaction.order.correlator] = timer
        else:
            self._end(transaction, fault)
            if wire.refunds_at_once:
                accepted = _response(wire.accepted(transaction))
        if name == "callback_before":
            await self.post_callback(transaction)
        if name == "duplicate":
            return _response(wire.trouble("duplicate"))
        return await self._broken_after(request, fault, accepted)

    def _end_held(self, transaction: Transaction, fault: Fault | None) -> None:
        self._held.pop(transaction.order.correlator, None)
        self._end(transaction, fault)

    def _end(self, transaction: Transaction, fault: Fault | None) -> None:
        """The phone's owner has answered the prompt."""
        name = fault.name if fault else ""
        if name == "inquiry_lag":
            transaction.lagging_until = time.monotonic() + seconds_of(fault, self.settings.inquiry_lag_s)
        self.book.execute(transaction, decline=_decline_of(name))
        if name == "callback_before":
            return
        if name != "callback_lost":
            late_s = seconds_of(fault, self.settings.callback_late_s) if name == "callback_late" else 0.0
            self._call_back(transaction, name, after_s=late_s)

    def _open(self, dialect: str, order: Order) -> Transaction:
        if self._plan.use_magic and order.msisdn.endswith("010") and not self.book.knows(order.msisdn):
            self.book.set_balance(order.msisdn, self.book.balance(order.msisdn) * 0)
        transaction = self.book.open(order)
        self._dialects[order.correlator] = dialect
        where = "responses" if dialect == "gsma" else ""
        self._found[where, order.correlator] = transaction
        if dialect == "gsma":
            self._found["requeststates", server_key(order.correlator)] = transaction
            self._found["transactions", transaction.server_reference] = transaction
        return transaction

    def _original(self, order: Order) -> Transaction | None:
        if order.kind != "refund":
            return None
        if order.original is not None:
            return self.book.transactions.get(order.original)
        reference = order.original_server_reference
        return next((one for one in self.book.transactions.values() if one.server_reference == reference), None)

    def _pick(self, order: Order) -> Fault | None:
        """What was set for it, or what the number's last digits mean at the operator, or to the person."""
        found = self._plan.pick(f"wallet.{order.kind}", order.msisdn)
        if found is not None or not self._plan.use_magic or order.kind != "charge":
            return found
        ending = order.msisdn[-3:]
        name = MAGIC.get(ending, {}).get("billing.charge") or PROMPT_ANSWERS.get(MAGIC_BEHAVIOURS.get(ending, ""))
        return Fault(name=name) if name in WALLET_FAULTS else None

    async def _think(self, msisdn: str) -> None:
        if self.settings.latency_median_s <= 0:
            return
        self._draws += 1
        uniform = draw(self.settings.seed, msisdn, self._draws, "wallet.latency")
        median_s, sigma = self.settings.latency_median_s, self.settings.latency_sigma
        await asyncio.sleep(lognormal_s(uniform, median_s=median_s, sigma=sigma))

    def _hold(self, transaction: Transaction, fault: Fault | None, *, is_hidden: bool, is_silent: bool) -> None:
        transaction.hidden = is_hidden
        correlator = transaction.order.correlator
        after_s = seconds_of(fault, self.settings.late_after_s)
        timer = None
        if is_silent:
            self._quiet.add(correlator)
        elif after_s is not None:
            timer = asyncio.get_running_loop().call_later(after_s, self.execute_late, correlator)
        self._held[correlator] = timer
        self._journal.write("held", correlator=correlator, msisdn=transaction.order.msisdn, hidden=is_hidden)

    async def _broken_before(self, wire: Wire, name: str) -> web.StreamResponse | None:
        """Nothing was done."""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        return _response(wire.trouble("rate_limited")) if name == "rate_limited" else None

    async def _broken_after(
        self, request: web.BaseRequest, fault: Fault | None, plain: web.Response
    ) -> web.StreamResponse:
        """It was done, and the answer does not say so."""
        name = fault.name if fault else ""
        if name in ("timeout_charged", "timeout_declined"):
            await hang()
        if name == "error_after":
            return _unavailable(500)
        if name == "garbage":
            return _garbage()
        if name == "nested":
            return json_response(NESTED)
        if name == "slow":
            await asyncio.sleep(seconds_of(fault, self.settings.slow_s))
        if name == "reset":
            reset(request.transport)
        return plain

    def _call_back(self, transaction: Transaction, name: str = "", *, after_s: float = 0.0) -> None:
        if len(self._tasks) >= CALLBACKS_IN_FLIGHT_MAX:
            return
        task = asyncio.create_task(self._call_back_later(transaction, name, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call_back_later(self, transaction: Transaction, name: str, after_s: float) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        await self.post_callback(transaction, is_forged=name == "callback_forged")
        if name == "callback_twice":
            await self.post_callback(transaction)
        if name == "callback_disordered":  # What was true before comes last.
            await self.post_callback(transaction, status="Processing")

    def _cancel_timers(self) -> None:
        for timer in self._held.values():
            if timer is not None:
                timer.cancel()


def _of_original(order: Order, original: Transaction) -> Order:
    """A refund goes to whoever paid; where it names no amount, it is the whole."""
    was = original.order
    amount, text = (order.amount, order.amount_text) if order.amount_text else (was.amount, was.amount_text)
    return msgspec.structs.replace(order, msisdn=was.msisdn, amount=amount, amount_text=text)


def _decline_of(fault: str) -> str | None:
    if fault == "timeout_declined":
        return DECLINED_IN_SILENCE
    return fault if fault in DECLINING else None


def _response(rendered: Rendered) -> web.Response:
    status, body = rendered
    return json_response(b"" if body is None else msgspec.json.encode(body), status)


def _garbage() -> web.Response:
    return web.Response(body=b'\xff\xfe<html>OK {"status": [', status=200)


def _unavailable(status: int = 503) -> web.Response:
    return web.Response(body=b"Service Unavailable", status=status, content_type="text/plain")
