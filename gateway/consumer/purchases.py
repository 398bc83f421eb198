"""What a phone texts to buy: `PAY ASHA 1250`, `ASHA 12`, `PAY 48217`.

A number behind a shop is that shop's item if the shop sells one under just these digits; with a currency or a decimal
point it is an amount, and so is every other number. Either way the answer names what it was taken for, and nothing is
charged without the code. Amounts only tell the shop; items and pay codes have a price, so the phone is asked at once.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from gateway.consumer.buying import (
    JUST_LOCKED,
    LOCKED,
    STOPPED,
    Bought,
    Buyer,
    Outcome,
    Unsold,
    buy_item,
    pay_by_code,
)
from gateway.consumer.orders import order
from gateway.consumer.status import send_standing, standing_of
from gateway.consumer.stops import told_stopped
from gateway.core.catalogue import Item, wrong_price
from gateway.core.decide import present_ask
from gateway.core.keywords import BuyItem, Pay, PayCode
from gateway.core.money import Money, format_money, parse_amount
from gateway.core.payment import Payment
from gateway.core.sim_swap import how_to_pay
from gateway.engine.inbox import Inbound, not_understood
from gateway.store.bars import is_locked
from gateway.store.catalogue import item_by_number
from gateway.store.merchant_reads import Owner
from gateway.store.queries import MerchantRow, merchant_by_keyword

_BARE_NUMBER: Final = re.compile(r"[0-9]{2,3}")


class Purchases:
    """The handlers, for one set of carriers."""

    def __init__(self, currencies: Mapping[str, str], code_digits: Mapping[str, int]) -> None:
        """By carrier: what a bare amount means, and how long its one-time codes are; four digits if it is not named."""
        self._currencies = currencies
        self._code_digits = code_digits

    def pay(self, inbound: Inbound) -> None:
        """`PAY shop number`: an item if the shop has one of that number; else an amount, which the shop asks for."""
        command = inbound.reply.command
        assert isinstance(command, Pay)
        merchant = merchant_by_keyword(inbound.unit.conn, command.shop.upper())
        if merchant is None:
            inbound.answer("shop_unknown", shop=command.shop[:20].upper())
            return
        if _BARE_NUMBER.fullmatch(command.amount_text):
            item = _item(inbound, merchant, command.amount_text)
            if item is not None:
                self._buy(inbound, merchant, item)
                return
        if told_stopped(inbound, merchant, command.shop.upper()):
            return  # A wish to buy lifts no stop.
        if is_locked(inbound.unit, inbound.consumer):
            if inbound.may_answer():
                inbound.tell_locked()  # The text with the code, for which it would wait, is not sent.
            return
        self._order(inbound, merchant, command.amount_text)

    def _order(self, inbound: Inbound, merchant: MerchantRow, amount_text: str) -> None:
        currency = self._currencies[inbound.mo.carrier]
        minor = parse_amount(amount_text, currency)
        if minor is None or minor <= 0:
            inbound.answer("pay_format")
            return
        if not inbound.may_answer():
            return  # Or a phone could flood a shop.
        amount = Money(minor, currency)
        is_new = order(inbound.unit, inbound.consumer, inbound.mo.carrier, merchant.id, amount)
        template = "order_passed" if is_new else "duplicate_order"
        inbound.send(template, shop=merchant.shop, amount=format_money(amount, inbound.language))

    def item(self, inbound: Inbound) -> None:
        """`shop item`, and nothing that could be an amount."""
        command = inbound.reply.command
        assert isinstance(command, BuyItem)
        merchant = merchant_by_keyword(inbound.unit.conn, command.shop)
        item = None if merchant is None else _item(inbound, merchant, command.number)
        if merchant is None or (item is None and inbound.waiting):
            not_understood(inbound)  # Two words that are no order: perhaps a code with a name before it.
        elif item is None:
            inbound.answer("item_unknown", shop=merchant.shop, item=command.number)
        else:
            self._buy(inbound, merchant, item)

    def _buy(self, inbound: Inbound, merchant: MerchantRow, item: Item) -> None:
        # The ask is the answer, and two machines must not buy from each other for ever.
        if inbound.may_answer():
            _answer(inbound, buy_item(self._buyer(inbound), merchant, item))

    def code(self, inbound: Inbound) -> None:
        """`PAY code`, or `PAY code amount`."""
        command = inbound.reply.command
        assert isinstance(command, PayCode)
        if inbound.may_answer():
            typed = _typed(command.amount_text) if command.amount_text else None
            _answer(inbound, pay_by_code(self._buyer(inbound), command.code, typed), code=command.code)

    def _buyer(self, inbound: Inbound) -> Buyer:
        carrier = inbound.mo.carrier
        return Buyer(
            unit=inbound.unit,
            consumer=inbound.consumer,
            carrier=carrier,
            currency=self._currencies[carrier],
            code_digits=self._code_digits.get(carrier, 4),
            language=inbound.language,
            source="sms",
            step_id=inbound.mo_id,
            tells=True,
        )


def _item(inbound: Inbound, merchant: MerchantRow, number: str) -> Item | None:
    return item_by_number(inbound.unit.conn, Owner(merchant.id, inbound.consumer.mode), number)


def _typed(amount_text: str) -> Callable[[str], Money | None]:
    def read(currency: str) -> Money | None:
        minor = parse_amount(amount_text, currency)
        amount = None if minor is None or minor <= 0 else Money(minor, currency)
        return None if amount is None or wrong_price(amount) else amount

    return read


def _answer(inbound: Inbound, outcome: Outcome, *, code: str = "") -> None:
    """Send what belongs to *outcome*, one text at most; `may_answer` has counted it."""
    if isinstance(outcome, Bought):
        _answer_bought(inbound, outcome)
    elif outcome.text == STOPPED:
        _tell_stopped(inbound, outcome)
    elif outcome.text == LOCKED:
        inbound.tell_locked()
    elif outcome.text != JUST_LOCKED:
        amount = "" if outcome.amount is None else format_money(outcome.amount, inbound.language)
        shop = "" if outcome.merchant is None else outcome.merchant.shop
        # What is no code of anybody's is not said again: it may be a PIN.
        pay_code = "" if outcome.merchant is None else code
        inbound.send(outcome.text, shop=shop, item=outcome.item, amount=amount, pay_code=pay_code)


def _answer_bought(inbound: Inbound, bought: Bought) -> None:
    payment = bought.payment
    if bought.is_new:
        return  # The ask goes out with the payment, or the word that a limit is passed.
    if payment.is_waiting:
        rules = inbound.unit.policy.rules[payment.carrier]
        inbound.effects.text_about(payment, rules.asking(how_to_pay(payment, _ask_again(inbound, payment))))
        return
    standing = standing_of(inbound.unit, payment)
    assert standing is not None, "what is over is not the same wish"
    send_standing(inbound, payment, standing)


def _ask_again(inbound: Inbound, payment: Payment) -> str:
    """The words in which the phone was asked last."""
    ask = present_ask(payment, inbound.unit.policy.rules[payment.carrier])
    return "pay_ask" if ask == "ask" else ask


def _tell_stopped(inbound: Inbound, outcome: Unsold) -> None:
    merchant = outcome.merchant
    assert merchant is not None
    if inbound.consumer.stopped_at_ms is not None:
        inbound.send("stopped", count="0")
    else:
        inbound.send("stopped_shop", shop=merchant.shop, keyword=merchant.keyword, count="0")
