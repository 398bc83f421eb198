"""What lanes do with outbox rows of their kind: send a text, order the biller. Each returns the job that records it.

An executor keeps no state of its own and decides nothing: what an answer means is the payment's table's business.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

from carriers import base
from gateway.core.ask_templates import WHILE_WAITING
from gateway.core.money import Money
from gateway.core.payment import OperationKind
from gateway.engine.carrier_facts import OrderResult
from gateway.engine.carrier_jobs import OrderDone, TextDone
from gateway.engine.lane import NotStarted
from gateway.engine.refund_jobs import RefundDone
from gateway.engine.texts import Texts
from gateway.store.outbox import OutboxRow
from gateway.store.refunds import OF_REFUND

# An ask with less than this left would only bring a code that is dead before it can be typed.
ASK_MIN_LEFT_MS = 30_000
# What tells to reply a code and was written before that is looked at again: the answer may have come meanwhile.
FRESH_MS = 5_000
STOPPED = base.Refused(code="stopped", detail="the phone takes no requests", retryable=False)


class Grant(Protocol):
    """The lane's word on whether this process may still start something."""

    def may_start(self, hard_timeout_s: float) -> bool: ...


async def number_of(row: OutboxRow, msisdn_of: Callable[[str], Awaitable[str]]) -> str:
    """The phone's number. A database that cannot be read now is no reason to believe that anything was sent."""
    if row.msisdn is not None:
        return row.msisdn
    try:
        return await msisdn_of(str(row.consumer_id))
    except DBAPIError as error:
        raise NotStarted from error


class TextExecutor:
    """Sends rows of kind `sms` through one carrier's bearer."""

    def __init__(
        self,
        bearer: base.Bearer,
        texts: Texts,
        msisdn_of: Callable[[str], Awaitable[str]],
        is_waiting: Callable[[str, int], Awaitable[bool]],
        now_ms: Callable[[], int],
        *,
        is_sim_fresh: Callable[[str], Awaitable[bool]],
        concurrency: int,
        hard_timeout_s: float,
    ) -> None:
        """*is_waiting*: whether this payment still waits for its n-th code; only then is its phone reminded of it.

        *is_sim_fresh*: whether the SIM of this number was changed lately; then no code to log in goes there.
        """
        self._bearer = bearer
        self._texts = texts
        self._msisdn_of = msisdn_of
        self._is_waiting = is_waiting
        self._is_sim_fresh = is_sim_fresh
        self._now_ms = now_ms
        self.concurrency = concurrency
        self.hard_timeout_s = hard_timeout_s

    def is_up(self, row: OutboxRow) -> bool:
        return self._bearer.is_up()

    def drop(self, row: OutboxRow) -> TextDone:
        """A newer text about the same payment makes this one pointless."""
        return TextDone(row, None)

    async def run(self, row: OutboxRow, grant: Grant) -> TextDone:
        body = row.body
        if body.get("is_mute"):
            return TextDone(row, None)
        is_reminder = "reminds_until_ms" in body
        dies_with_payment = body["is_ask"] or is_reminder
        valid_until_ms: int | None = body["expires_at_ms"] if dies_with_payment else body.get("valid_until_ms")
        if body["is_ask"] and body["stopped"]:
            return TextDone(row, STOPPED)
        if valid_until_ms is not None and valid_until_ms - self._now_ms() < ASK_MIN_LEFT_MS:
            return TextDone(row, None)
        if is_reminder and self._now_ms() > body["reminds_until_ms"]:
            return TextDone(row, None)
        if not await self._still_asks(row):
            return TextDone(row, None)
        msisdn = await number_of(row, self._msisdn_of)
        if "login_id" in body and await self._is_sim_fresh(msisdn):
            return TextDone(row, None)
        message = base.Mt(
            id=row.id,
            msisdn=msisdn,
            text=self._texts.render(row),
            valid_until_ms=valid_until_ms,
            want_receipt=bool(body["is_ask"]),
        )
        if not grant.may_start(self.hard_timeout_s):  # The process may have been frozen since the lane looked.
            raise NotStarted
        return TextDone(row, await self._bearer.submit(message))

    async def _still_asks(self, row: OutboxRow) -> bool:
        """False for a text that tells to reply a code, and was written before the phone did or the time was over."""
        body = row.body
        # The ask itself is not looked up: a newer text about its payment takes it out of its lane.
        is_asked_about = body["template"] in WHILE_WAITING and not body["is_ask"]
        if not is_asked_about or self._now_ms() - body["at_ms"] < FRESH_MS:
            return True
        try:
            return await self._is_waiting(body["payment_id"], body["code_n"])
        except DBAPIError as error:
            raise NotStarted from error


class OrderExecutor:
    """Carries out orders of every kind, and inquiries about them, at one carrier's biller."""

    def __init__(
        self,
        biller: base.Biller,
        msisdn_of: Callable[[str], Awaitable[str]],
        is_in_vain: Callable[[str], Awaitable[bool]],
        now_ms: Callable[[], int],
        *,
        concurrency: int,
    ) -> None:
        """*is_in_vain*: whether this order, a refund or a reversal, must not leave any more."""
        self._biller = biller
        self._msisdn_of = msisdn_of
        self._is_in_vain = is_in_vain
        self._now_ms = now_ms
        self.concurrency = concurrency
        self.hard_timeout_s = 2 * biller.timeout_s + 1.0  # An inherited charge is asked about before it is sent.

    def is_up(self, row: OutboxRow) -> bool:
        return True

    def drop(self, row: OutboxRow) -> OrderDone:
        raise AssertionError("an order is never superseded")

    async def run(self, row: OutboxRow, grant: Grant) -> OrderDone | RefundDone:
        msisdn = await number_of(row, self._msisdn_of)
        stays = await self._stays(row)
        if not grant.may_start(self.hard_timeout_s):
            raise NotStarted
        if stays:
            unsent = base.Unsent(detail="told otherwise, or the carrier has taken the whole charge back")
            return RefundDone(row, unsent) if row.body["of"] == OF_REFUND else OrderDone(row, unsent)
        if row.body["of"] == OF_REFUND:
            return RefundDone(row, await self._reverse(row, _reverse_order(row.body, msisdn)))
        order = _charge_order(row.body, msisdn)
        match OperationKind(row.body["of"]):
            case OperationKind.REVERSE:
                return OrderDone(row, await self._reverse(row, _reverse_order(row.body, msisdn)))
            case OperationKind.CAPTURE | OperationKind.RELEASE:
                return OrderDone(row, await self._end_hold(row, msisdn))
            case OperationKind.RESERVE:
                return await self._begin(row, order, self._holding.inquire_hold, self._holding.reserve)
            case OperationKind.CHARGE:
                return await self._begin(row, order, self._biller.inquire, self._biller.charge)

    async def _stays(self, row: OutboxRow) -> bool:
        """Whether *row* has surely not left, and must not: it would give the same money back again."""
        if row.body["of"] not in (OF_REFUND, OperationKind.REVERSE) or row.kind == "inquire" or row.maybe_sent:
            return False
        try:
            return await self._is_in_vain(row.body["attempt_id"])
        except DBAPIError as error:
            raise NotStarted from error

    @property
    def _holding(self) -> base.HoldingBiller:
        assert isinstance(self._biller, base.HoldingBiller), "only where the biller says so is anything reserved"
        return self._biller

    async def _begin(
        self,
        row: OutboxRow,
        order: base.ChargeOrder,
        inquire: Callable[[base.ChargeOrder], Awaitable[base.HoldInquiryResult]],
        send: Callable[[base.ChargeOrder], Awaitable[base.ChargeResult | base.ReserveResult]],
    ) -> OrderDone:
        if row.kind == "inquire":
            return OrderDone(row, await inquire(order))
        if not row.maybe_sent:
            late = base.Unsent(detail="too late to charge on this consent")
            return OrderDone(row, late if self._is_late(row) else await send(order))
        # Another owner may have begun it: it is asked about first. Sent again it is only where the carrier knows it by
        # our id, and so takes it once however often it comes.
        found = await inquire(order)
        may_repeat = isinstance(found, base.NotFound) and self._biller.capabilities.client_keyed
        if self._is_late(row) or not may_repeat:
            return OrderDone(row, found)
        sent = await send(order)
        if isinstance(sent, base.Unsent):  # Of this time only: what the other owner sent may still be on its way.
            sent = base.Unknown(detail=sent.detail, trace=sent.trace)
        return OrderDone(row, sent, found)

    def _is_late(self, row: OutboxRow) -> bool:
        return self._now_ms() > (row.body["charge_not_after_ms"] or 0)

    async def _end_hold(self, row: OutboxRow, msisdn: str) -> OrderResult:
        if row.kind == "inquire" or row.maybe_sent:
            return await self._holding.inquire_hold(_hold_of(row.body, msisdn))
        order = _hold_order(row.body, msisdn)
        if row.body["of"] == OperationKind.CAPTURE:
            return await self._holding.capture(order)
        return await self._holding.release(order)

    async def _reverse(self, row: OutboxRow, order: base.ReverseOrder) -> base.ChargeResult | base.InquiryResult:
        if row.kind == "inquire" or row.maybe_sent:
            return await self._biller.inquire_reverse(order)
        return await self._biller.reverse(order)


def _charge_order(body: Mapping[str, Any], msisdn: str) -> base.ChargeOrder:  # Any: JSON of the outbox row.
    return base.ChargeOrder(
        attempt_id=body["attempt_id"],
        msisdn=msisdn,
        amount=Money(body["amount_minor"], body["currency"]),
        description=body["description"],
        reference=body["ref"],
        carrier_reference=body.get("reference"),
    )


def _hold_of(body: Mapping[str, Any], msisdn: str) -> base.ChargeOrder:  # Any: JSON of the outbox row.
    """The reservation that a capture or a release is about."""
    return base.ChargeOrder(
        attempt_id=body["charge_attempt_id"],
        msisdn=msisdn,
        amount=Money(body["whole_minor"], body["currency"]),
        description=body["description"],
        reference=body["ref"],
        carrier_reference=body["carrier_reference"],
    )


def _hold_order(body: Mapping[str, Any], msisdn: str) -> base.HoldOrder:  # Any: JSON of the outbox row.
    return base.HoldOrder(
        attempt_id=body["attempt_id"],
        hold_attempt_id=body["charge_attempt_id"],
        hold_reference=body["carrier_reference"],
        msisdn=msisdn,
        amount=Money(body["amount_minor"], body["currency"]),
        description=body["description"],
        reference=body["ref"],
    )


def _reverse_order(body: Mapping[str, Any], msisdn: str) -> base.ReverseOrder:  # Any: JSON of the outbox row.
    return base.ReverseOrder(
        attempt_id=body["attempt_id"],
        charge_attempt_id=body["charge_attempt_id"],
        charge_reference=body["carrier_reference"],
        msisdn=msisdn,
        amount=Money(body["amount_minor"], body["currency"]),
        carrier_reference=body.get("reference"),
    )
