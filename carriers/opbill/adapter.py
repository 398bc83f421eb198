"""Operator billing: airtime and bill, over GSMA OneAPI Payment version 1, JSON.

Charges and refunds are POSTs to `{base_url}/payment/{endUserId}/transactions/amount`, reservations to
`…/transactions/amountReservation`, their captures and releases to `…/amountReservation/{id}`; a GET asks. Every order
carries our attempt's id as `clientCorrelator`, by which the operator knows a repeated order and finds it again.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import quote

import msgspec

from carriers import base
from carriers.callbacks import ADDRESS, Callbacks
from carriers.http import ANSWER_BYTES_MAX, Inexpressible, basic, format_amount, trace
from carriers.opbill import wire
from carriers.opbill.judgement import Judged, judge_inquiry, judge_order, rest_in
from carriers.opbill.settings import Settings
from carriers.opbill.wire import Order
from gateway.core.money import exponent
from gateway.core.payment import Reason
from gateway.failpoints import hit
from gateway.http_client import HttpAnswer, HttpClient, Limits, NoAnswer, NotSent

__all__ = ["Biller", "Settings"]


class Biller:
    """Charges at once, or reserves first. Callbacks only say that it is worth asking."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], client: HttpClient | None = None
    ) -> None:
        """A *client* that is brought along stays open."""
        self.capabilities = base.Capabilities(
            client_keyed=True,
            refund=True,
            partial_refund=True,
            holds=settings.holds,
            partial_capture=settings.holds,
            hold_s=settings.hold_s,
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
        self._headers = {
            "Authorization": f"Bearer {settings.token}" if settings.token else basic(settings.user, settings.password),
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    def routes(self) -> Sequence[base.Route]:
        if not self._settings.callback_base_url:
            return ()
        return (base.Route(method="POST", path=ADDRESS, answer=self._called_back),)

    async def run(self, sink: base.Sink) -> None:
        try:
            await self._callbacks.listen(sink)
        finally:
            if self._owned is not None:
                await self._owned.close()

    async def charge(self, order: base.ChargeOrder) -> base.ChargeResult:
        return _of_charge(await self._send(Order.of_charge(order), "charge"))

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        return _of_inquiry((await self._inquire(Order.of_charge(order)))[0])

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        return _of_charge(await self._send(Order.of_reversal(order), "reversal"))

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        return _of_inquiry((await self._inquire(Order.of_reversal(order)))[0])

    async def reserve(self, order: base.ChargeOrder) -> base.ReserveResult:
        result = await self._send(Order.of_reserve(order), "charge")
        assert not isinstance(result, base.Charged | base.Released | base.NotFound)
        return result

    async def capture(self, order: base.HoldOrder) -> base.ChargeResult:
        ends_s = asyncio.get_running_loop().time() + self.timeout_s
        ordered = Order.of_hold(order, "Charged", wire.CAPTURE)
        result, answer = await self._exchange(ordered, "charge", self.timeout_s)
        if isinstance(result, base.Charged):
            await self._let_the_rest_go(ordered, order.hold_attempt_id, answer, ends_s)
        return _of_charge(result)

    async def release(self, order: base.HoldOrder) -> base.ReleaseResult:
        result = await self._send(Order.of_hold(order, "Released", wire.RELEASE), "charge")
        assert not isinstance(result, base.Charged | base.Held | base.NotFound)
        return result

    async def inquire_hold(self, order: base.ChargeOrder) -> base.HoldInquiryResult:
        ends_s = asyncio.get_running_loop().time() + self.timeout_s
        asked = Order.of_reserve(order)
        result, answer = await self._inquire(asked)
        if isinstance(result, base.Charged):
            await self._let_the_rest_go(asked, order.attempt_id, answer, ends_s)
        return result

    async def _let_the_rest_go(
        self, order: Order, hold_attempt_id: str, answer: HttpAnswer | None, ends_s: float
    ) -> None:
        """A capture in part leaves the rest held until it is released.

        Whatever becomes of this, what was taken stays taken; the rest is free at the latest when the reservation ends.
        """
        rest = None if answer is None else rest_in(answer)
        left_s = ends_s - asyncio.get_running_loop().time()
        if rest is not None and left_s > 0:
            await self._exchange(Order.of_rest(hold_attempt_id, order, rest), None, left_s)

    async def _send(self, order: Order, action: str) -> Judged:
        return (await self._exchange(order, action, self.timeout_s))[0]

    async def _exchange(self, order: Order, action: str | None, timeout_s: float) -> tuple[Judged, HttpAnswer | None]:
        """*action* names the fail-points that are passed."""
        try:
            body = self._render(order)
        except Inexpressible as error:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=str(error)), None
        except ValueError as error:  # A currency whose decimal places nobody knows.
            return base.Unsent(detail=str(error)), None
        url, at_ms = self._url(order), self._now_ms()
        try:
            answer = await self._client.request(
                "POST",
                url,
                headers=self._headers,
                body=body,
                timeout_s=timeout_s,
                before_first_byte=partial(_pass, action, "before_first_byte"),
                after_first_byte=partial(_pass, action, "after_first_byte"),
            )
        except NotSent as error:
            return base.Unsent(detail=str(error)), None
        except NoAnswer as error:
            return base.Unknown(detail=str(error), trace=trace("POST", url, body, None, at_ms)), None
        _pass(action, "after_answer")
        traced = trace("POST", url, body, answer, at_ms)
        return msgspec.structs.replace(judge_order(answer, order), trace=traced), answer

    async def _inquire(self, order: Order) -> tuple[base.HoldInquiryResult, HttpAnswer | None]:
        url = f"{self._url(order)}?clientCorrelator={quote(order.attempt_id, safe='')}"
        at_ms = self._now_ms()
        try:
            answer = await self._client.request("GET", url, headers=self._headers, timeout_s=self.timeout_s)
        except (NotSent, NoAnswer) as error:
            traced = trace("GET", url, b"", None, at_ms) if isinstance(error, NoAnswer) else None
            return base.Unknown(detail=str(error), trace=traced), None
        traced = trace("GET", url, b"", answer, at_ms)
        return msgspec.structs.replace(judge_inquiry(answer, order), trace=traced), answer

    def _url(self, order: Order) -> str:
        user = quote(f"tel:{order.msisdn}", safe="")
        family = f"{self._settings.base_url.rstrip('/')}/payment/{user}/transactions/{order.family}"
        return f"{family}/{quote(order.hold_id, safe='')}" if order.hold_id else family

    def _render(self, order: Order) -> bytes:
        """Raise ValueError if the amount cannot be written."""
        amount = format_amount(order.amount, self._exponent(order.amount.currency))
        charging = wire.Charging(description=order.description, currency=order.amount.currency, amount=amount)
        asked = wire.Transaction(
            user=f"tel:{order.msisdn}",
            status=order.done,
            correlator=order.attempt_id,
            reference=order.reference,
            amount=wire.PaymentAmount(information=charging),
            original=order.original,
            original_server_reference=order.original_server_reference,
            notify_url=self._callbacks.url(order.attempt_id) if order.is_attempt else "",
            sequence=order.sequence,
        )
        return wire.encode(wire.Said(transaction=asked) if order.family == "amount" else wire.Said(reservation=asked))

    def _exponent(self, currency: str) -> int:
        places = self._settings.currency_exponents.get(currency)
        return exponent(currency, "opbill") if places is None else places

    async def _called_back(self, request: base.Request) -> base.Response:
        return await self._callbacks.called(request, base.Response(status=200))


def _of_charge(result: Judged) -> base.ChargeResult:
    assert not isinstance(result, base.Held | base.Released | base.NotFound), "no such answer is judged to be one"
    return result


def _of_inquiry(result: base.HoldInquiryResult) -> base.InquiryResult:
    assert not isinstance(result, base.Held | base.Released), "no charge is held"
    return result


def _pass(action: str | None, place: str) -> None:
    if action is not None:
        hit(f"{action}.{place}")
