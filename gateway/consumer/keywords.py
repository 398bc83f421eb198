"""What the keywords do that a plain phone can send: HIST, RECEIPT, HELP, STOP, START and PAY.

Each handler works inside the batch that commits the text, under the consumer's lock, and answers with exactly one
text. It moves no money: PAY only tells the merchant that this phone wants to buy.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select

from gateway.core.asks import Catalogues
from gateway.core.ids import normalise_ref
from gateway.core.keywords import History, Pay, Receipt
from gateway.core.language import Language
from gateway.core.money import Money, format_money, parse_amount
from gateway.core.msisdn import mask
from gateway.core.payment import EventType, Payment, PublicState, State
from gateway.core.reply import Meaning
from gateway.core.statement import StatementLine, pages, receipt_fields
from gateway.engine.inbox import Inbound, KeywordHandler, stop
from gateway.store import tables
from gateway.store.identity import new_id
from gateway.store.queries import consumer_charges, consumer_payment_by_ref, merchant_by_keyword

HISTORY_PAYMENTS = 20
# A repeated `PAY shop amount` within this time is the same wish (design: ten minutes).
SAME_ORDER_MS = 600_000


class Keywords:
    """The handlers, for one set of carriers."""

    def __init__(
        self,
        zones: Mapping[str, ZoneInfo],
        currencies: Mapping[str, str],
        modes: Mapping[str, str],
        catalogues: Mapping[str, Catalogues],
    ) -> None:
        """All by carrier; *currencies* and *modes* say what a bare amount in `PAY` means and which world it buys in."""
        self._zones = zones
        self._currencies = currencies
        self._modes = modes
        self._catalogues = catalogues
        self.handlers: Final[Mapping[Meaning, KeywordHandler]] = {
            Meaning.HISTORY: self._history,
            Meaning.RECEIPT: self._receipt,
            Meaning.HELP: self._help,
            Meaning.STOP: self._stop,
            Meaning.START: self._start,
            Meaning.PAY: self._pay,
        }

    def _history(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, History)
        zone = self._zones[inbound.mo.carrier]
        payments = consumer_charges(
            inbound.unit.conn,
            inbound.consumer.id,
            limit=HISTORY_PAYMENTS,
            between_ms=None if command.month is None else _month_ms(*command.month, zone),
        )
        found = pages([self._line(inbound, payment) for payment in payments], self._language(inbound))
        if not found:
            inbound.answer("statement_empty")
            return
        # Whoever asks for a page that is not there is shown the last one, which says how many there are.
        inbound.answer("statement", lines=found[min(command.page, len(found)) - 1])

    def _language(self, inbound: Inbound) -> Language:
        return self._catalogues[inbound.mo.carrier].language(inbound.language)

    def _line(self, inbound: Inbound, payment: Payment) -> StatementLine:
        return StatementLine(
            at=_local(payment, self._zones[inbound.mo.carrier]),
            shop=payment.shop,
            money=payment.amount,
            ref=payment.ref,
            outcome=_outcome(payment).value,
        )

    def _receipt(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, Receipt)
        ref = normalise_ref(command.ref)
        payment = None if ref is None else consumer_payment_by_ref(inbound.unit.conn, inbound.consumer.id, ref)
        if payment is None:
            inbound.answer("receipt_not_found", ref=command.ref[:12].upper())
            return
        inbound.answer("receipt", **receipt_fields(self._line(inbound, payment), self._language(inbound)))

    def _help(self, inbound: Inbound) -> None:
        inbound.answer("help")

    def _stop(self, inbound: Inbound) -> None:
        ended = stop(inbound)
        inbound.effects.send_text(
            inbound.consumer.id,
            inbound.mo.carrier,
            "stopped",
            inbound.language,
            {"count": str(ended)},
            ends_asks=True,
        )

    def _start(self, inbound: Inbound) -> None:
        consumer = inbound.consumer
        if consumer.stopped_at_ms is not None:
            consumer.stopped_at_ms = None
            inbound.unit.touch(consumer)
        inbound.answer("started")

    def _pay(self, inbound: Inbound) -> None:
        """`PAY shop amount`: the shop is told, and asks for the money as for any other payment."""
        command = inbound.reply.command
        assert isinstance(command, Pay)
        merchant = merchant_by_keyword(inbound.unit.conn, command.shop.upper())
        if merchant is None:
            inbound.answer("shop_unknown", shop=command.shop[:20].upper())
            return
        currency = self._currencies[inbound.mo.carrier]
        minor = parse_amount(command.amount_text, currency)
        if minor is None or minor <= 0:
            inbound.answer("pay_format")
            return
        amount = Money(minor, currency)
        is_new = not _was_requested(inbound, merchant.id, amount)
        if is_new:
            self._request_order(inbound, merchant.id, amount)
        template = "order_passed" if is_new else "duplicate_order"
        inbound.answer(template, shop=merchant.shop, amount=format_money(amount, inbound.language))

    def _request_order(self, inbound: Inbound, merchant_id: str, amount: Money) -> None:
        unit, mode = inbound.unit, self._modes[inbound.mo.carrier]
        order_id = new_id("ord_")
        unit.put(
            tables.order_request,
            {
                "id": order_id,
                "merchant_id": merchant_id,
                "mode": mode,
                "consumer_id": inbound.consumer.id,
                "amount_minor": amount.amount_minor,
                "currency": amount.currency,
                "at_ms": unit.now_ms,
            },
        )
        # The shop needs the number to ask it for money; it is the one event that carries it whole.
        body = {
            "id": order_id,
            "object": "order_request",
            "mode": mode,
            "msisdn": inbound.consumer.msisdn,
            "msisdn_masked": mask(inbound.consumer.msisdn),
            "amount": amount.amount_minor,
            "currency": amount.currency,
            "carrier": inbound.mo.carrier,
        }
        inbound.effects.notify(
            merchant_id, mode, EventType.ORDER_REQUESTED, None, body, consumer_id=inbound.consumer.id
        )


def _outcome(payment: Payment) -> PublicState:
    """What happened to the money: a payment may have failed and its late charge be given back."""
    if payment.operation is not None:
        return PublicState.PROCESSING
    if payment.state is State.ENDED and payment.reversed_attempt_id is not None:
        return PublicState.REVERSED
    return payment.public_state


def _month_ms(year: int, month: int, zone: ZoneInfo) -> tuple[int, int]:
    """A month in local time, from its beginning to the next one's."""
    begins = datetime(year, month, 1, tzinfo=zone)
    ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return int(begins.timestamp()) * 1000, int(ends.timestamp()) * 1000


def _local(payment: Payment, zone: ZoneInfo) -> datetime:
    at_ms = payment.ended_at_ms or payment.created_at_ms
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)


def _was_requested(inbound: Inbound, merchant_id: str, amount: Money) -> bool:
    """Whether this phone ordered the same a short while ago, be it in this very batch."""
    wish = (inbound.consumer.id, merchant_id, amount.amount_minor, amount.currency)
    names = ("consumer_id", "merchant_id", "amount_minor", "currency")
    if any(tuple(row[name] for name in names) == wish for row in inbound.unit.fresh(tables.order_request)):
        return True
    order = tables.order_request.c
    same = (
        (order.consumer_id == inbound.consumer.id)
        & (order.merchant_id == merchant_id)
        & (order.amount_minor == amount.amount_minor)
        & (order.currency == amount.currency)
        & (order.at_ms > inbound.unit.now_ms - SAME_ORDER_MS)
    )
    return inbound.unit.conn.execute(select(order.id).where(same)).first() is not None
