"""Operator billing over CAMARA Carrier Billing and Carrier Billing Refund (definitions "wip" behind release 0.5).

One step: `POST /payments`. Two steps: `prepare`, then `confirm` of the whole or `cancel`. Our attempt's id is the
`clientCorrelator`. Afterwards a payment is asked for by the operator's id, or searched in its list if the answer that
would have told it was lost. `validate` is the operator's own code, asked by the operator; here our texts ask.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from carriers import base
from carriers.callbacks import ADDRESS, Callbacks
from carriers.camara import judgement
from carriers.camara.door import Ask, Door, Found, Item, Told
from carriers.camara.settings import Settings
from carriers.camara.wire import Order, Payment, Refund, amount_of, payment_body, refund_body, step_body
from carriers.http import Inexpressible, read
from gateway.core.payment import Reason
from gateway.http_client import HttpAnswer, HttpClient, Limits

__all__ = ["Biller", "Settings"]

# A page of a list is longer than other adapters' answers.
ANSWER_BYTES_MAX: Final = 256 * 1024

NO_REFUNDS: Final = base.Declined(reason=Reason.CARRIER_DECLINED, detail="this operator gives nothing back")


class Biller:
    """Charges, reservations, refunds. Callbacks only say that it is worth asking."""

    def __init__(
        self, carrier: str, settings: Settings, *, now_ms: Callable[[], int], client: HttpClient | None = None
    ) -> None:
        """A *client* that is brought along stays open."""
        self.capabilities = base.Capabilities(
            client_keyed=True,
            refund=bool(settings.refund_url),
            partial_refund=bool(settings.refund_url),
            holds=True,
            partial_capture=False,
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
        self._door = Door(settings, client, now_ms)

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
        asked = Order.of_charge(order)
        told = await self._order(asked, self._door.payment_url(), self._door.deadline())
        if not isinstance(told, Told):
            return told
        seen = _created(told.answer, Payment)
        if seen is None:
            result: base.ChargeResult = _refused("order", told.answer, judgement.PAYMENT_REFUSALS)
        else:
            result = judgement.charge(seen, asked)
        return msgspec.structs.replace(result, trace=told.trace)

    async def inquire(self, order: base.ChargeOrder) -> base.InquiryResult:
        asked = Order.of_charge(order)
        seen = await self._door.find_payment(asked, self._door.deadline())
        if not isinstance(seen, Found):
            return seen
        return msgspec.structs.replace(judgement.charge(seen.item, asked), trace=seen.trace)

    async def reserve(self, order: base.ChargeOrder) -> base.ReserveResult:
        asked, deadline = Order.of_charge(order), self._door.deadline()
        told = await self._order(asked, self._door.payment_url("prepare"), deadline)
        if not isinstance(told, Told):
            return told
        seen = _created(told.answer, Payment)
        if seen is None:
            result: base.ReserveResult = _refused("order", told.answer, judgement.PAYMENT_REFUSALS)
        elif seen.payment_status == "pending_validation":
            result = await self._call_off(seen, asked, deadline)
        else:
            found = judgement.payment(seen, asked)
            if isinstance(found, base.Charged | base.Released):
                found = base.Unknown(detail=f"a new reservation is {seen.payment_status}")
            result = found
        return msgspec.structs.replace(result, trace=told.trace)

    async def inquire_hold(self, order: base.ChargeOrder) -> base.HoldInquiryResult:
        return await self._inquire_hold(Order.of_charge(order), self._door.deadline())

    async def capture(self, order: base.HoldOrder) -> base.ChargeResult:
        """The whole: a confirmation names no amount."""
        asked, deadline = Order.of_hold(order), self._door.deadline()
        told = await self._step("confirm", order, deadline, action="charge")
        if not isinstance(told, Told):
            return told
        if told.answer.status == 202 or judgement.code_of(told.answer) in judgement.CONFIRMED:
            # It is accepted, and what becomes of it is said by the payment only.
            found = await self._inquire_hold(asked, deadline)
            if isinstance(found, base.Charged | base.Declined):
                return found
            return base.Pending(detail="confirmed", carrier_reference=order.hold_reference, trace=told.trace)
        return msgspec.structs.replace(_refused("confirm", told.answer, judgement.CONFIRM_REFUSALS), trace=told.trace)

    async def release(self, order: base.HoldOrder) -> base.ReleaseResult:
        asked, deadline = Order.of_hold(order), self._door.deadline()
        told = await self._step("cancel", order, deadline)
        if not isinstance(told, Told):
            return told
        if judgement.code_of(told.answer) == judgement.CANCELLED:
            return base.Released(detail="cancelled before", trace=told.trace)
        if told.answer.status == 202:
            found = await self._inquire_hold(asked, deadline)
            if isinstance(found, base.Released):
                return found
            return base.Pending(detail="cancelling", carrier_reference=order.hold_reference, trace=told.trace)
        return msgspec.structs.replace(_refused("cancel", told.answer, judgement.CANCEL_REFUSALS), trace=told.trace)

    async def reverse(self, order: base.ReverseOrder) -> base.ChargeResult:
        if not self._settings.refund_url:
            return NO_REFUNDS
        asked, deadline = Order.of_reversal(order), self._door.deadline()
        found = await self._door.find_payment(Order.of_reversed(order), deadline)
        # By its own id the payment is the one; what was captured had another id of ours than its reservation.
        if not isinstance(found, Found) or found.item.amount_transaction.phone_number != order.msisdn:
            return base.Unsent(detail="the charge to give back is not known at the operator, or not now")
        payment = found.item
        try:
            is_total = amount_of(payment.charging) == order.amount
            body = refund_body(asked, self._settings, self._callbacks.url(order.attempt_id), is_total=is_total)
        except Inexpressible as error:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=str(error))
        except ValueError as error:
            return base.Unsent(detail=str(error))
        url = self._door.refund_url(payment.payment_id)
        ask = Ask(method="POST", url=url, correlator=order.attempt_id, body=body, action="reversal")
        told = await self._door.tell(ask, deadline)
        if not isinstance(told, Told):
            return told
        seen = _created(told.answer, Refund)
        if seen is None:
            result: base.ChargeResult = _refused("refund", told.answer, judgement.REFUND_REFUSALS)
        else:
            result = judgement.refund(seen, asked)
        return msgspec.structs.replace(result, trace=told.trace)

    async def inquire_reverse(self, order: base.ReverseOrder) -> base.InquiryResult:
        if not self._settings.refund_url:
            return NO_REFUNDS
        asked, deadline = Order.of_reversal(order), self._door.deadline()
        payment_id = order.charge_reference
        if not payment_id:
            charge = await self._door.find_payment(Order.of_reversed(order), deadline)
            if not isinstance(charge, Found):
                return charge
            payment_id = charge.item.payment_id
        seen = await self._door.find_refund(payment_id, asked, deadline)
        if not isinstance(seen, Found):
            return seen
        return msgspec.structs.replace(judgement.refund(seen.item, asked), trace=seen.trace)

    async def _order(
        self, order: Order, url: str, deadline: float
    ) -> Told | base.Declined | base.Unsent | base.Unknown:
        try:
            body = payment_body(order, self._settings, self._callbacks.url(order.attempt_id))
        except Inexpressible as error:
            return base.Declined(reason=Reason.CARRIER_DECLINED, detail=str(error))
        except ValueError as error:  # A currency whose decimal places nobody knows.
            return base.Unsent(detail=str(error))
        ask = Ask(method="POST", url=url, correlator=order.attempt_id, body=body, action="charge")
        return await self._door.tell(ask, deadline)

    async def _step(
        self, step: Literal["confirm", "cancel"], order: base.HoldOrder, deadline: float, *, action: str = ""
    ) -> Told | base.Unsent | base.Unknown:
        url = self._door.payment_url(order.hold_reference, step)
        body = step_body(order.msisdn)
        return await self._door.tell(
            Ask(method="POST", url=url, correlator=order.attempt_id, body=body, action=action), deadline
        )

    async def _inquire_hold(self, order: Order, deadline: float) -> base.HoldInquiryResult:
        seen = await self._door.find_payment(order, deadline)
        if not isinstance(seen, Found):
            return seen
        return msgspec.structs.replace(judgement.payment(seen.item, order), trace=seen.trace)

    async def _call_off(self, seen: Payment, order: Order, deadline: float) -> base.Declined | base.Unknown:
        """The operator asks the phone for a code of its own, which is not how this is sold: nothing may stay open."""
        url = self._door.payment_url(seen.payment_id, "cancel")
        ask = Ask(method="POST", url=url, correlator=order.attempt_id, body=step_body(order.msisdn))
        told = await self._door.tell(ask, deadline)
        if isinstance(told, Told) and told.answer.status == 202:
            return judgement.WANTS_CODE
        return base.Unknown(detail="the operator wants a code of its own, and cancelling is not answered")

    async def _called_back(self, request: base.Request) -> base.Response:
        return await self._callbacks.called(request, base.Response(status=204))


def _created(answer: HttpAnswer, kind: type[Item]) -> Item | None:
    return read(answer.body, kind) if answer.status == 201 else None


def _refused(what: str, answer: HttpAnswer, known: Mapping[tuple[int, str], Reason]) -> base.Declined | base.Unknown:
    return judgement.refusal(answer, known) or judgement.otherwise(what, answer)
