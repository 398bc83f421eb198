"""Wallets keyed by our own id: the order is accepted at once, the phone's owner approves it, an inquiry ends it.

What is said to MTN MoMo, GSMA Mobile Money and Airtel Money is in `mtn`, `gsma` and `airtel`; here are the token, the
time-outs, the callbacks, and the rule that only an explicit answer about the same order ends anything.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from carriers import base
from carriers.callbacks import ADDRESS, FORGED, Callbacks
from carriers.http import ANSWER_BYTES_MAX, Inexpressible, read, trace
from carriers.tokens import NoToken, Tokens
from carriers.wallet_momo.airtel import Airtel
from carriers.wallet_momo.dialect import Ask, Dialect, Order, Product
from carriers.wallet_momo.gsma import Gsma
from carriers.wallet_momo.mtn import Mtn
from carriers.wallet_momo.settings import Settings
from gateway.core.payment import Reason
from gateway.failpoints import hit
from gateway.http_client import HttpAnswer, HttpClient, HttpTrouble, Limits, NoAnswer, NotSent

__all__ = ["Biller", "Settings"]

DIALECTS: Final[dict[str, Callable[[Settings], Dialect]]] = {"mtn": Mtn, "gsma": Gsma, "airtel": Airtel}
# Of one inquiry: GSMA leads from the missed response over the request's state to the transaction.
QUESTIONS_MAX: Final = 3
UNAUTHORIZED: Final = 401


class _Notice(msgspec.Struct, frozen=True):
    transaction: msgspec.Raw
    hash: str = ""


class _Noticed(msgspec.Struct, frozen=True):
    id: str


class Biller:
    """Charges and refunds. Callbacks only say that it is worth asking."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], client: HttpClient | None = None
    ) -> None:
        """A *client* that is brought along stays open."""
        self._dialect = DIALECTS[settings.dialect](settings)
        self.capabilities = msgspec.structs.replace(
            self._dialect.capabilities,
            max_processing_s=settings.max_processing_s,
            currency_exponents=settings.currency_exponents,
        )
        self.timeout_s = settings.timeout_s
        self._carrier = carrier
        self._settings = settings
        self._now_ms = now_ms
        self._callbacks = Callbacks(carrier, settings.callback_base_url, settings.callback_key)
        self._owned: HttpClient | None = None
        if client is None:
            limits = Limits(connections_per_host_max=settings.connections_max, body_bytes_max=ANSWER_BYTES_MAX)
            client = self._owned = HttpClient(limits)
        self._client = client
        self._tokens = Tokens(self._fetch_token)

    def routes(self) -> Sequence[base.Route]:
        if not self._dialect.callback_methods:
            return (base.Route(method="POST", path="/notice", answer=self._noticed),)
        if not self._settings.callback_base_url:
            return ()
        return tuple(
            base.Route(method=method, path=ADDRESS, answer=self._called_back)
            for method in self._dialect.callback_methods
        )

    async def run(self, sink: base.Sink) -> None:
        try:
            await self._callbacks.listen(sink)
        finally:
            if self._owned is not None:
                await self._owned.close()

    def names_in_files(self, carrier_reference: str) -> tuple[str, ...]:
        """What is only a way to ask is no name."""
        name = self._dialect.name_of(carrier_reference)
        return () if name is None else (name,)

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        return await self._send(Order.of_charge(order), "charge")

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        return await self._inquire(Order.of_charge(order))

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        return await self._send(self._reversal(order), "reversal")

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        return await self._inquire(self._reversal(order))

    def _reversal(self, order: base.ReverseOrder) -> Order:
        named = self._dialect.name_of(order.charge_reference)
        return Order.of_reversal(msgspec.structs.replace(order, charge_reference=named))

    async def _send(self, order: Order, action: str) -> base.ChargeResult:
        deadline = self._deadline()
        if order.is_refund and self._dialect.refund_needs_reference and order.charge_reference is None:
            reference = await self._find_charge(order, deadline)
            if reference is None:
                return base.Unsent(detail="the charge to give back is not known at the provider, or not now")
            order = msgspec.structs.replace(order, charge_reference=reference)
        try:
            ask = self._dialect.order(order, self._callbacks.url(order.attempt_id))
        except Inexpressible as error:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=str(error))
        except ValueError as error:  # A currency whose decimal places nobody knows.
            return base.Unsent(detail=str(error))
        at_ms = self._now_ms()
        try:
            answer = await self._authorized(ask, deadline, action)
        except (NoToken, NotSent) as error:
            return base.Unsent(detail=str(error))
        except NoAnswer as error:
            return base.Unknown(detail=str(error), trace=self._trace(ask, None, order, at_ms))
        hit(f"{action}.after_answer")
        if _is_unauthorized(answer):
            result: base.ChargeResult = base.Unsent(detail="the provider refused our access token")
        else:
            result = self._dialect.judge_order(answer, order)
        return msgspec.structs.replace(result, trace=self._trace(ask, answer, order, at_ms))

    async def _inquire(self, order: Order) -> base.InquiryResult:
        deadline, asked = self._deadline(), self._dialect.inquiry(order)
        for _ in range(QUESTIONS_MAX):
            if not isinstance(asked, Ask):
                break
            ask, at_ms = asked, self._now_ms()
            try:
                answer = await self._authorized(ask, deadline)
            except NoAnswer as error:
                return base.Unknown(detail=str(error), trace=self._trace(ask, None, order, at_ms))
            except (NoToken, NotSent) as error:
                return base.Unknown(detail=str(error))
            found = self._dialect.judge_inquiry(ask, answer, order)
            if not isinstance(found, Ask):
                return msgspec.structs.replace(found, trace=self._trace(ask, answer, order, at_ms))
            asked = found
        return base.Unknown(detail="too many questions") if isinstance(asked, Ask) else asked

    async def _find_charge(self, order: Order, deadline: float) -> str | None:
        """The provider's reference of the charge that *order* gives back, where its answer was lost."""
        asked = self._dialect.find_charge(order)
        for _ in range(QUESTIONS_MAX):
            if not isinstance(asked, Ask):
                return None
            try:
                answer = await self._authorized(asked, deadline)
            except (NoToken, HttpTrouble):
                return None
            found = self._dialect.judge_charge(asked, answer, order)
            if not isinstance(found, Ask):
                return found
            asked = found
        return None

    async def _authorized(self, ask: Ask, deadline: float, action: str = "") -> HttpAnswer:
        """The answer to *ask*; a token that was refused is renewed once, as a 401 proves that nothing was begun."""
        product: Product = ask.product if self._settings.dialect == "mtn" else "collection"
        token = await self._tokens.get(product, deadline)
        answer = await self._request(ask, deadline, token=token, action=action)
        if not _is_unauthorized(answer):
            return answer
        try:
            token = await self._tokens.get(product, deadline, spent=token)
        except NoToken:
            return answer
        return await self._request(ask, deadline, token=token, action=action)

    async def _fetch_token(self, product: Product, deadline: float) -> HttpAnswer:
        return await self._request(self._dialect.token(product), deadline)

    async def _request(self, ask: Ask, deadline: float, *, token: str = "", action: str = "") -> HttpAnswer:
        headers = {"Accept": "application/json", "Content-Type": "application/json", **ask.headers}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise NotSent("no time is left for the request")
        return await self._client.request(
            ask.method,
            self._url(ask),
            headers=headers,
            body=ask.body,
            timeout_s=left_s,
            before_first_byte=partial(hit, f"{action}.before_first_byte") if action else None,
            after_first_byte=partial(hit, f"{action}.after_first_byte") if action else None,
        )

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.timeout_s

    def _url(self, ask: Ask) -> str:
        return f"{self._settings.base_url.rstrip('/')}{ask.path}"

    def _trace(self, ask: Ask, answer: HttpAnswer | None, order: Order, at_ms: int) -> base.Trace:
        """Without the phone's number, also where the dialect leaves out its country."""
        seen = trace(ask.method, self._url(ask), ask.body, answer, at_ms)
        number = order.msisdn.removeprefix(f"+{self._settings.country_code}").removeprefix("+").encode()
        hidden = b"*" * len(number)
        return msgspec.structs.replace(
            seen, sent=seen.sent.replace(number, hidden), received=seen.received.replace(number, hidden)
        )

    async def _called_back(self, request: base.Request) -> base.Response:
        return await self._callbacks.called(request, base.Response(status=self._dialect.callback_status))

    async def _noticed(self, request: base.Request) -> base.Response:
        """One address for all orders: what is signed is believed to come from the provider, nothing else is."""
        notice = read(request.body, _Notice)
        named = None if notice is None else read(bytes(notice.transaction), _Noticed)
        if notice is None or named is None or not named.id:
            return base.Response(status=400)
        is_signed = bool(self._settings.notice_key)
        if is_signed and not hmac.compare_digest(self._signature(notice), notice.hash.encode()):
            return FORGED
        answer = base.Response(status=self._dialect.callback_status)
        return await self._callbacks.pass_on(named.id, answer, is_authenticated=is_signed)

    def _signature(self, notice: _Notice) -> bytes:
        signed = b'{"transaction":%b}' % bytes(notice.transaction)
        return base64.b64encode(hmac.new(self._settings.notice_key.encode(), signed, hashlib.sha256).digest())


def _is_unauthorized(answer: HttpAnswer) -> bool:
    """In the provider's own words, that is: something in between that refuses does not know what was begun."""
    return answer.status == UNAUTHORIZED and read(answer.body, dict) is not None
