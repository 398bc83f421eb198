"""What the keywords do that a plain phone can send: each with its handler, and PAY and HELP themselves.

Each handler works inside the batch that commits the text, under the consumer's lock, and answers with at most one
text. It moves no money: PAY only tells the merchant that this phone wants to buy.
"""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select

from gateway.consumer import goods, stops
from gateway.consumer.disputes import dispute
from gateway.consumer.language import Languages
from gateway.consumer.limits import Limits
from gateway.consumer.record import Record
from gateway.core.asks import Catalogues
from gateway.core.keywords import Pay
from gateway.core.money import Money, format_money, parse_amount
from gateway.core.msisdn import mask
from gateway.core.payment import EventType
from gateway.core.reply import Meaning
from gateway.engine.inbox import Inbound, KeywordHandler
from gateway.store import tables
from gateway.store.bars import is_locked
from gateway.store.identity import new_id
from gateway.store.queries import merchant_by_keyword

# A repeated `PAY shop amount` within this time is the same wish (design: ten minutes).
SAME_ORDER_MS = 600_000


class Keywords:
    """The handlers, for one set of carriers."""

    def __init__(
        self,
        zones: Mapping[str, ZoneInfo],
        currencies: Mapping[str, str],
        catalogues: Mapping[str, Catalogues],
    ) -> None:
        """By carrier: *currencies*, what a bare amount means; *catalogues*, which languages its phones may choose."""
        self._currencies = currencies
        record, limits = Record(zones, catalogues), Limits(zones, currencies, catalogues)
        self.handlers: Final[Mapping[Meaning, KeywordHandler]] = {
            Meaning.HISTORY: record.history,
            Meaning.MORE: record.more,
            Meaning.RECEIPT: record.receipt,
            Meaning.RECEIVED: goods.received,
            Meaning.DISPUTE: dispute,
            Meaning.LANGUAGE: Languages(catalogues).language,
            Meaning.LIMIT: limits.limit,
            Meaning.BALANCE: limits.balance,
            Meaning.HELP: self._help,
            Meaning.STOP: stops.stop,
            Meaning.START: stops.start,
            Meaning.PAY: self._pay,
        }

    def _help(self, inbound: Inbound) -> None:
        inbound.answer("help")

    def _pay(self, inbound: Inbound) -> None:
        """`PAY shop amount`: the shop is told, and asks for the money as for any other payment."""
        command = inbound.reply.command
        assert isinstance(command, Pay)
        merchant = merchant_by_keyword(inbound.unit.conn, command.shop.upper())
        if merchant is None:
            inbound.answer("shop_unknown", shop=command.shop[:20].upper())
            return
        if stops.told_stopped(inbound, merchant, command.shop.upper()):
            return  # A wish to buy lifts no stop.
        if is_locked(inbound.unit, inbound.consumer):
            if inbound.may_answer():
                inbound.tell_locked()  # The text with the code, for which it would wait, is not sent.
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
        unit, mode = inbound.unit, inbound.consumer.mode
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
