"""A wallet by STK push over HTTP, as Daraja is: token, push, query, reversal, callbacks, and all that goes wrong.

What moves money is in `wallet_stk_book`, the shapes are in `wallet_stk_wire`; here are authentication, the answers, the
person at the prompt and the faults. A fault changes what the caller sees, never what the journal says.
"""

import asyncio
import base64
import time
from collections.abc import Coroutine

import aiohttp
import msgspec
from aiohttp import web

from simulators import wallet_stk_wire as wire
from simulators.chance import draw, lognormal_s
from simulators.faults import STK_RESULTS, Fault, FaultPlan, seconds_of
from simulators.journal import Journal
from simulators.wallet_stk_book import DONE, Book, Push, Reversal
from simulators.web import NESTED, HttpServer, hang, json_response, reset

CALLBACK_TIMEOUT_S = 10.0
TASKS_MAX = 10_000
TOKENS_MAX = 1000
WRONG_AMOUNT = 1
CANCELLED, EXPIRED_PROMPT = "1032", "1037"
# Ids of pushes begin with a time, which nobody reads.
ID_STAMP = "25112026090000"
# These strike before anything is begun: fault to (HTTP status, errorCode, errorMessage).
REFUSALS = {
    "busy": wire.BUSY,
    "rate_limited": wire.SPIKE_ARREST,
    "token_expired": wire.NO_TOKEN,
    "bad_request": wire.invalid("PhoneNumber"),
    "wrong_credentials": wire.WRONG_CREDENTIALS,
}


class WalletStkSettings(msgspec.Struct, frozen=True, kw_only=True):
    consumer_key: str = "gateway"
    consumer_secret: str = "secret"
    short_code: str = "174379"
    passkey: str = "bfb279f9aa9bdbcf158e97dd71a467cd"
    initiator: str = "gateway"
    security_credential: str = "c2VjcmV0"
    seed: int = 1
    latency_median_s: float = 0.0
    latency_sigma: float = 0.5
    pays_after_s: float = 0.2
    """How long the owner looks for the PIN."""
    prompt_s: float = 60.0
    """How long a prompt stands that nobody answers."""
    token_s: int = 3599
    slow_s: float = 2.0
    query_lag_s: float = 3.0
    callback_late_s: float = 2.0
    reversal_late_s: float = 5.0


class WalletStk:
    """The wallet's server. Tasks are what it still has to do by itself; what is held waits for control."""

    def __init__(self, settings: WalletStkSettings, plan: FaultPlan, journal: Journal) -> None:
        self.settings = settings
        self.book = Book(journal)
        self.server = HttpServer(self._answer)
        self._plan = plan
        self._journal = journal
        self._tokens: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._numbers = 0
        self._held: dict[str, Push | Reversal] = {}

    @property
    def held(self) -> list[str]:
        """Pushes and reversals that wait to be executed late."""
        return list(self._held)

    async def start(self, port: int = 0) -> None:
        await self.server.start(port)

    async def stop(self) -> None:
        await self._give_up()
        if self._client is not None:
            await self._client.close()
        await self.server.stop()

    async def quiet(self) -> None:
        """Return once it has nothing to do by itself."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def reset(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._held.clear()
        self._tokens.clear()
        self.book.reset()

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def execute_late(self, name: str) -> bool:
        """Execute what is held under that id now and call back. False: nothing is."""
        held = self._held.pop(name, None)
        if isinstance(held, Push):
            self._do(self._end_push(held, None))
        elif held is not None:
            self._do(self._end_reversal(held, None))
        return held is not None

    async def call_back(self, name: str, *, url: str | None = None) -> int | None:
        """Call about a push or a reversal once more, now. The status of the answer."""
        push = self.book.pushes.get(name)
        if push is not None:
            return await self._call(url or push.callback_url, wire.push_callback(push))
        reversal = self.book.reversals[name]
        return await self._call(url or reversal.result_url, wire.reversal_result(reversal))

    async def _give_up(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read() if request.method == "POST" else b""
        try:
            if request.path == "/oauth/v1/generate":
                return await self._token(request)
            route = {
                "/mpesa/stkpush/v1/processrequest": self._push,
                "/mpesa/stkpushquery/v1/query": self._query,
                "/mpesa/reversal/v1/request": self._reversal,
            }.get(request.path)
            if route is None:
                raise wire.RequestError(wire.NO_RESOURCE)
            if request.method != "POST":
                raise wire.RequestError((405, "405.001", "Method Not Allowed"))
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._tokens.get(token, 0.0) <= time.monotonic():
                self._journal.write("request", what="unauthorized")
                raise wire.RequestError(wire.NO_TOKEN)
            return await route(request, body)
        except wire.RequestError as error:
            return self._refused(error.refusal)

    def _refused(self, refusal: wire.Refusal) -> web.Response:
        status, code, message = refusal
        self._journal.write("request", what="refused", detail=message)
        error = {"requestId": f"16813-{self._number()}-1", "errorCode": code, "errorMessage": message}
        return json_response(msgspec.json.encode(error), status)

    async def _token(self, request: web.BaseRequest) -> web.StreamResponse:
        settings = self.settings
        self._journal.write("request", what="token")
        right = base64.b64encode(f"{settings.consumer_key}:{settings.consumer_secret}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {right}":
            raise wire.RequestError((400, "400.008.01", "Invalid Authentication passed"))
        fault = self._plan.pick("stk.token", "")
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "error_before":
            return _unavailable()
        if name == "rate_limited":
            raise wire.RequestError(wire.SPIKE_ARREST)
        token, lives_s = f"token{self._number()}", 1 if name == "short" else settings.token_s
        if name != "wrong":
            while len(self._tokens) >= TOKENS_MAX:
                self._tokens.pop(next(iter(self._tokens)))
            self._tokens[token] = time.monotonic() + lives_s
        body = msgspec.json.encode({"access_token": token, "expires_in": str(lives_s)})
        return await self._spoiled(request, fault, json_response(body))

    async def _push(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        settings = self.settings
        asked = wire.parse(body, wire.PUSH_FIELDS)
        wire.check_password(asked, settings.short_code, settings.passkey)
        msisdn = f"+{asked['PhoneNumber']}"
        self._journal.write(
            "request", what="push", msisdn=msisdn, amount=asked["Amount"], reference=asked["AccountReference"]
        )
        fault = self._plan.pick("stk.push", msisdn)
        await self._begin(fault, msisdn)
        # One prompt a phone; nothing waits between this look and the prompt.
        if self.book.is_prompted(msisdn):
            raise wire.RequestError(wire.BUSY)
        if self._plan.use_magic and msisdn.endswith("010") and not self.book.knows(msisdn):
            self.book.set_balance(msisdn, 0)
        number = self._number()
        push = Push(
            merchant_request_id=f"29115-{number}-1",
            # The real ones end in the phone's number, too.
            id=f"ws_CO_{ID_STAMP}{number:04d}{msisdn[-9:]}",
            msisdn=msisdn,
            amount=int(asked["Amount"]),
            reference=asked["AccountReference"],
            description=asked["TransactionDesc"],
            callback_url=asked["CallBackURL"],
        )
        self.book.open(push)
        plain = json_response(msgspec.json.encode(wire.accepted(push)))
        if fault is not None and fault.name == "callback_before":
            await self._end_push(push, fault)
        elif fault is not None and fault.name == "silent":
            self._hold(push.id, push, msisdn)
        else:
            self._do(self._person(push, fault))
        return await self._spoiled(request, fault, plain)

    async def _person(self, push: Push, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        if name == "prompt_expires":
            await asyncio.sleep(seconds_of(fault, self.settings.prompt_s))
        else:
            await asyncio.sleep(self.settings.pays_after_s)
        await self._end_push(push, fault)

    async def _end_push(self, push: Push, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        result = EXPIRED_PROMPT if name == "prompt_expires" else STK_RESULTS.get(name, DONE)
        if name == "query_lag":
            push.lagging_until = time.monotonic() + seconds_of(fault, self.settings.query_lag_s)
        self.book.execute(push, result)
        if name == "callback_contrary":
            await self._call(push.callback_url, wire.push_callback(push, result=CANCELLED))
        amount = WRONG_AMOUNT if name == "wrong_amount" else None
        body = wire.push_callback(push, amount=amount, is_bare=name == "callback_bare")
        await self._tell(push.callback_url, body, fault)

    async def _query(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        settings = self.settings
        asked = wire.parse(body, wire.QUERY_FIELDS)
        wire.check_password(asked, settings.short_code, settings.passkey)
        push = self.book.pushes.get(asked["CheckoutRequestID"])
        self._journal.write("request", what="query", checkout=asked["CheckoutRequestID"])
        if push is None:
            raise wire.RequestError(wire.invalid("CheckoutRequestID"))
        fault = self._plan.pick("stk.query", push.msisdn)
        await self._begin(fault, push.msisdn)
        name = fault.name if fault else ""
        result = self.book.result_seen(push)
        if result is None or name == "processing":
            raise wire.RequestError(wire.IN_PROCESS)
        answer = wire.queried(push, "7777" if name == "unheard" else result)
        if name == "number":
            answer["ResultCode"] = int(result)
        return await self._spoiled(request, fault, json_response(msgspec.json.encode(answer)))

    async def _reversal(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        settings = self.settings
        asked = wire.parse(body, wire.REVERSAL_FIELDS)
        push = self.book.by_receipt(asked["TransactionID"])
        msisdn = push.msisdn if push else ""
        self._journal.write("request", what="reversal", original=asked["TransactionID"], amount=asked["Amount"])
        fault = self._plan.pick("stk.reversal", msisdn)
        await self._begin(fault, msisdn)
        number = self._number()
        reversal = Reversal(
            conversation_id=f"AG_20261125_{number:020d}",
            originator_conversation_id=f"8521-{number}-1",
            original=asked["TransactionID"],
            amount=int(asked["Amount"]),
            result_url=asked["ResultURL"],
            timeout_url=asked["QueueTimeOutURL"],
            occasion=asked.get("Occasion", ""),
            msisdn=msisdn,
        )
        self.book.reversals[reversal.conversation_id] = reversal
        plain = json_response(msgspec.json.encode(wire.reversal_accepted(reversal)))
        name = fault.name if fault else ""
        if (asked["Initiator"], asked["SecurityCredential"]) != (settings.initiator, settings.security_credential):
            self._do(self._end_reversal(reversal, Fault(name="wrong_initiator")))
        elif name == "callback_before":
            await self._end_reversal(reversal, fault)
        elif name == "silent":
            self._hold(reversal.conversation_id, reversal, msisdn)
        else:
            self._do(self._reverse(reversal, fault))
        return await self._spoiled(request, fault, plain)

    async def _reverse(self, reversal: Reversal, fault: Fault | None) -> None:
        if fault is not None and fault.name == "late":
            await asyncio.sleep(seconds_of(fault, self.settings.reversal_late_s))
        if fault is not None and fault.name == "queue_timeout":
            await self._call(reversal.timeout_url, wire.timed_out(reversal))
            return
        await self._end_reversal(reversal, fault)

    async def _end_reversal(self, reversal: Reversal, fault: Fault | None) -> None:
        name = fault.name if fault else ""
        part = max(1, reversal.amount // 2) if name == "partial" else None
        self.book.execute_reversal(reversal, STK_RESULTS.get(name, DONE), part=part)
        await self._tell(reversal.result_url, wire.reversal_result(reversal), fault)

    async def _begin(self, fault: Fault | None, msisdn: str) -> None:
        """What strikes before anything is begun."""
        await self._think(msisdn)
        name = fault.name if fault else ""
        if name == "timeout_lost":
            await hang()
        if name == "error_before" or len(self._tasks) >= TASKS_MAX:
            raise wire.RequestError(wire.SYSTEM_BUSY)
        if name in REFUSALS:
            raise wire.RequestError(REFUSALS[name])

    async def _think(self, msisdn: str) -> None:
        if self.settings.latency_median_s > 0:
            uniform = draw(self.settings.seed, msisdn, self._number(), "stk.latency")
            median_s, sigma = self.settings.latency_median_s, self.settings.latency_sigma
            await asyncio.sleep(lognormal_s(uniform, median_s=median_s, sigma=sigma))

    def _hold(self, name: str, what: Push | Reversal, msisdn: str) -> None:
        self._held[name] = what
        self._journal.write("held", checkout=name, msisdn=msisdn)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _spoiled(self, request: web.BaseRequest, fault: Fault | None, plain: web.Response) -> web.StreamResponse:
        name = fault.name if fault else ""
        if name == "timeout_begun":
            await hang()
        elif name == "error_after":
            return _unavailable()
        elif name == "garbage":
            return web.Response(body=b'\xff\xfe<html>OK {"ResponseCode": [', status=plain.status)
        elif name == "nested":
            return json_response(NESTED, plain.status)
        elif name == "slow":
            await asyncio.sleep(seconds_of(fault, self.settings.slow_s))
        elif name == "reset":
            return await _torn(request, plain)
        return plain

    async def _tell(self, url: str, body: wire.Json, fault: Fault | None) -> None:
        """The callback that ends a push or a reversal, as the fault would have it."""
        name = fault.name if fault else ""
        if name == "callback_lost":
            return
        if name == "callback_late":
            await asyncio.sleep(seconds_of(fault, self.settings.callback_late_s))
        if name == "wrong_token":
            url = url[:-1] + ("0" if url[-1] != "0" else "1")
        for _ in range(2 if name == "callback_twice" else 1):
            await self._call(url, body)

    async def _call(self, url: str, body: wire.Json) -> int | None:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALLBACK_TIMEOUT_S))
        status, detail = None, ""
        try:
            async with self._client.post(
                url, data=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            detail = type(error).__name__
        self._journal.write("callback", url=url, answered=status, detail=detail)
        return status


def _unavailable() -> web.Response:
    return web.Response(body=b"Service Unavailable", status=503, content_type="text/plain")


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
