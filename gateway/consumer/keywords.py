"""What the keywords do that a plain phone can send: each with its handler, and HELP itself.

Each handler works inside the batch that commits the text, under the consumer's lock, and answers with at most one
text. It moves no money: whoever wants to buy is asked back, or the merchant is told.
"""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

from gateway.consumer import goods, stops
from gateway.consumer.disputes import dispute
from gateway.consumer.language import Languages
from gateway.consumer.limits import Limits
from gateway.consumer.purchases import Purchases
from gateway.consumer.record import Record
from gateway.consumer.reports import report
from gateway.consumer.status import Statuses
from gateway.core.asks import Catalogues
from gateway.core.reply import Meaning
from gateway.engine.inbox import Inbound, KeywordHandler


class Keywords:
    """The handlers, for one set of carriers."""

    def __init__(
        self,
        zones: Mapping[str, ZoneInfo],
        currencies: Mapping[str, str],
        catalogues: Mapping[str, Catalogues],
        code_digits: Mapping[str, int] | None = None,
    ) -> None:
        """By carrier: *currencies*, what a bare amount means; *catalogues*, which languages its phones may choose.

        *code_digits*, how long one-time codes are; four digits where it says nothing.
        """
        purchases = Purchases(currencies, code_digits or {})
        record, limits = Record(zones, catalogues), Limits(zones, currencies)
        self.handlers: Final[Mapping[Meaning, KeywordHandler]] = {
            Meaning.HISTORY: record.history,
            Meaning.MORE: record.more,
            Meaning.RECEIPT: record.receipt,
            Meaning.RECEIVED: goods.received,
            Meaning.DISPUTE: dispute,
            Meaning.REPORT: report,
            Meaning.STATUS: Statuses(zones, catalogues).status,
            Meaning.LANGUAGE: Languages(catalogues).language,
            Meaning.LIMIT: limits.limit,
            Meaning.BALANCE: limits.balance,
            Meaning.HELP: self._help,
            Meaning.STOP: stops.stop,
            Meaning.START: stops.start,
            Meaning.PAY: purchases.pay,
            Meaning.BUY_ITEM: purchases.item,
            Meaning.PAY_CODE: purchases.code,
        }

    def _help(self, inbound: Inbound) -> None:
        inbound.answer("help")
