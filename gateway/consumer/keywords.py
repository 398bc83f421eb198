"""What the keywords do that a plain phone can send: each with its handler, and PAY and HELP themselves.

Each handler works inside the batch that commits the text, under the consumer's lock, and answers with at most one
text. It moves no money: PAY only tells the merchant that this phone wants to buy.
"""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

from gateway.consumer import goods, stops
from gateway.consumer.disputes import dispute
from gateway.consumer.language import Languages
from gateway.consumer.limits import Limits
from gateway.consumer.orders import order
from gateway.consumer.record import Record
from gateway.core.asks import Catalogues
from gateway.core.keywords import Pay
from gateway.core.money import Money, format_money, parse_amount
from gateway.core.reply import Meaning
from gateway.engine.inbox import Inbound, KeywordHandler
from gateway.store.bars import is_locked
from gateway.store.queries import merchant_by_keyword


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
        is_new = order(inbound.unit, inbound.consumer, inbound.mo.carrier, merchant.id, amount)
        template = "order_passed" if is_new else "duplicate_order"
        inbound.answer(template, shop=merchant.shop, amount=format_money(amount, inbound.language))
