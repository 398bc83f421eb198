"""What a phone buys by itself: an item of a shop, or what a pay code stands for. The same by SMS and by USSD.

A wish makes a payment in the shop's name with a price that is known, and the phone is asked back as for any other:
nothing is charged without its code or PIN. Limits, stops and caps hold as for what shops ask; only quiet hours do not,
since the phone's owner is there.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.consumer.orders import SAME_ORDER_MS
from gateway.core.caps import NO_TERMS
from gateway.core.catalogue import Item, PayCode, described, wrong_price
from gateway.core.money import Money
from gateway.core.pay_codes import is_well_formed
from gateway.core.payment import FINAL_STATES, Capture, Order, Payment
from gateway.engine import wrong_codes
from gateway.engine.admission import Admission, Over, Request, admit, is_forbidden
from gateway.engine.merchant_jobs import Wanted, open_request
from gateway.store import api_keys, catalogue
from gateway.store.bars import is_locked
from gateway.store.counters import Spender
from gateway.store.merchant_reads import Owner
from gateway.store.queries import MerchantRow, consumer_payments, merchant_by_id
from gateway.store.rows import Consumer
from gateway.store.unit import Unit

ANSWER_WITHIN_MS: Final = 600_000
# One that is under way is looked for among this many of the phone's newest payments.
RECENT_PAYMENTS: Final = 10


class Buyer(msgspec.Struct, frozen=True, kw_only=True):
    """A locked phone that wants something."""

    unit: Unit
    consumer: Consumer
    carrier: str
    currency: str
    code_digits: int
    language: str
    source: str
    """`sms` or `ussd`."""
    step_id: str
    """The text or the session that says so."""
    tells: bool
    """A text tells it of a limit; otherwise its screen does."""


class Bought(msgspec.Struct, frozen=True):
    """The payment that came of it; not a new one if the same was wished for a short while ago."""

    payment: Payment
    is_new: bool = True


class Unsold(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing came of it. `text` is the key of what the phone is told, by SMS as on a screen."""

    text: str
    merchant: MerchantRow | None = None
    item: str = ""
    amount: Money | None = None
    pay_code_id: str = ""


Outcome = Bought | Unsold
STOPPED: Final = "stopped"
LOCKED: Final = "locked"
JUST_LOCKED: Final = "just_locked"
"""This very try was one too many; a text says so."""


class Goods(msgspec.Struct, frozen=True, kw_only=True):
    """What is bought of whom, and for how much."""

    merchant: MerchantRow
    amount: Money
    description: str
    order: Order
    item: Item | None = None
    pay_code: PayCode | None = None


def buy_item(buyer: Buyer, merchant: MerchantRow, item: Item) -> Outcome:
    """One piece of *item*, at its price of now."""
    order = Order(source=buyer.source, item_id=item.id, item_number=item.number)
    return _buy(buyer, Goods(merchant=merchant, amount=item.price, description=item.name, order=order, item=item))


def pay_by_code(buyer: Buyer, code: str, amount: Callable[[str], Money | None] | None = None) -> Outcome:
    """What *code* stands for.

    *amount* reads what was typed beside it, in the currency that it is given; None: nothing was.
    """
    if not is_well_formed(code):
        return Unsold(text="pay_code_wrong")
    unit = buyer.unit
    if is_locked(unit, buyer.consumer):
        return Unsold(text=LOCKED)
    found = catalogue.held_pay_code(unit.conn, buyer.consumer.mode, code)
    if found is None:
        return _guessed(buyer)
    return pay_for(buyer, found, amount)


def pay_for(buyer: Buyer, code: PayCode, amount: Callable[[str], Money | None] | None = None) -> Outcome:
    """What *code* stands for, as `pay_by_code`."""
    unit = buyer.unit
    merchant = merchant_by_id(unit.conn, code.merchant_id)
    assert merchant is not None, "a code belongs to a merchant"
    if code.is_over(unit.now_ms):
        return Unsold(text="pay_code_gone")
    owner = Owner(code.merchant_id, code.mode)
    item = None if code.item_id is None else catalogue.item(unit.conn, owner, code.item_id)
    if code.item_id is not None and item is None:
        return Unsold(text="pay_code_gone")  # Its merchant sells that no more.
    if buyer.currency != code.currency:
        return Unsold(text="order_not_now", merchant=merchant)
    price = _price(code, item)
    typed = None if amount is None else amount(code.currency)
    if price is None and typed is None:
        return Unsold(text="pay_code_amount", merchant=merchant, pay_code_id=code.id)
    if price is not None and amount is not None and typed != price:
        return Unsold(text="pay_code_fixed", merchant=merchant, amount=price)
    wanted = price or typed
    assert wanted is not None
    order = Order(
        source=buyer.source,
        item_id=code.item_id,
        item_number=None if item is None else item.number,
        quantity=code.quantity,
        pay_code_id=code.id,
        reference=code.reference,
    )
    what = code.description if item is None else described(item, code.quantity)
    return _buy(
        buyer,
        Goods(merchant=merchant, amount=wanted, description=what, order=order, item=item, pay_code=code),
    )


def _price(code: PayCode, item: Item | None) -> Money | None:
    if item is not None:
        return Money(item.price.amount_minor * code.quantity, item.price.currency)
    return None if code.amount_minor is None else Money(code.amount_minor, code.currency)


def _guessed(buyer: Buyer) -> Unsold:
    """A code that nobody holds is counted as a wrong code is: whoever tries all of them is locked out."""
    unit, consumer = buyer.unit, buyer.consumer
    caps = unit.policy.terms.get(buyer.carrier, NO_TERMS).caps
    if not wrong_codes.is_one_too_many(unit, consumer, caps):
        return Unsold(text="pay_code_gone")
    wrong_codes.lock(unit, consumer, carrier=buyer.carrier, language=buyer.language, mo_id=buyer.step_id)
    return Unsold(text=JUST_LOCKED)


def _buy(buyer: Buyer, goods: Goods) -> Outcome:
    outcome = _barred(buyer, goods) or _repeated(buyer, goods) or _not_there(buyer, goods)
    if outcome is not None:
        return outcome
    admission = _admission(buyer, goods)
    if admission is None:
        return Unsold(text="order_not_now", merchant=goods.merchant)
    order = _taken(buyer, goods)
    if isinstance(order, Unsold):
        return order
    merchant, code = goods.merchant, goods.pay_code
    wanted = Wanted(
        merchant_id=merchant.id,
        shop=merchant.shop,
        consumer=buyer.consumer,
        carrier=buyer.carrier,
        amount=goods.amount,
        description=goods.description,
        reference=_reference(goods),
        metadata={} if code is None else code.metadata,
        capture=Capture.AUTOMATIC,
        language=buyer.language,
        expires_in_ms=ANSWER_WITHIN_MS,
        code_digits=buyer.code_digits,
        fee_schedule=merchant.fee_schedule,
        order=order,
    )
    return Bought(open_request(buyer.unit, wanted, admission, is_order=True))


def _barred(buyer: Buyer, goods: Goods) -> Unsold | None:
    if buyer.unit.is_stopped(buyer.consumer.id, goods.merchant.id):
        return Unsold(text=STOPPED, merchant=goods.merchant)  # A wish to buy lifts no stop.
    if is_locked(buyer.unit, buyer.consumer):
        return Unsold(text=LOCKED)
    # Whoever may ask for nothing sells nothing: an operator who revokes the last key has closed the shop.
    owner = Owner(goods.merchant.id, buyer.consumer.mode)
    is_open = api_keys.has_working_key(buyer.unit.conn, owner, buyer.unit.now_ms)
    return None if is_open else Unsold(text="order_not_now", merchant=goods.merchant)


def _repeated(buyer: Buyer, goods: Goods) -> Bought | None:
    """A payment of the same wish that is not over, begun a short while ago."""
    unit = buyer.unit
    fresh = [one.id for one in unit.created_of(buyer.consumer.id)]
    recent = [one.id for one in consumer_payments(unit.conn, buyer.consumer.id, limit=RECENT_PAYMENTS)]
    for payment_id in (*reversed(fresh), *recent):
        payment = unit.payment(payment_id)
        if payment is not None and _is_same(payment, buyer, goods, unit.now_ms):
            return Bought(payment, is_new=False)
    return None


def _not_there(buyer: Buyer, goods: Goods) -> Unsold | None:
    unit, code, reference = buyer.unit, goods.pay_code, _reference(goods)
    if code is not None and code.is_used_up:
        return Unsold(text="pay_code_gone")
    if goods.item is not None and not goods.item.is_sold(goods.order.quantity, buyer.currency):
        return _sold_out(goods)
    if reference is None:
        return None
    unit.learn_reference(goods.merchant.id, buyer.consumer.mode, reference)
    live = unit.live_reference(goods.merchant.id, buyer.consumer.mode, reference)
    return None if live is None else Unsold(text="pay_code_gone")  # The order is being paid in another way.


def _sold_out(goods: Goods) -> Unsold:
    return Unsold(text="item_unavailable", merchant=goods.merchant, item=goods.description)


def _reference(goods: Goods) -> str | None:
    """Of a code for one payment only: at most one live payment has a reference."""
    code = goods.pay_code
    return code.reference if code is not None and code.uses_max == 1 else None


def _admission(buyer: Buyer, goods: Goods) -> Admission | None:
    """None: not now, and the reason stays unsaid as it does to shops."""
    unit, amount = buyer.unit, goods.amount
    if wrong_price(amount):
        return None  # No ask could name it.
    spender = Spender(goods.merchant.id, buyer.consumer.mode, buyer.carrier, amount.currency)
    unit.counters.also_hold(spender)
    request = Request(
        consumer=buyer.consumer,
        spender=spender,
        amount=amount,
        is_present=True,
        goods=goods.merchant.goods,
        is_order=True,
    )
    admission = admit(unit, request)
    if is_forbidden(unit, request) or admission.later is not None or admission.is_barred:
        return None
    if admission.over is not None:
        # However often it was told: whoever asks for something is answered.
        return Admission(over=Over(admission.over.detail, buyer.tells))
    return admission


def _taken(buyer: Buyer, goods: Goods) -> Order | Unsold:
    """The order once its goods are out of stock and its code is used."""
    unit, item, code, order = buyer.unit, goods.item, goods.pay_code, goods.order
    if item is not None and item.stock is not None:
        if not unit.catalogue.take_stock(item, order.quantity):
            return _sold_out(goods)
        order = replace(order, stock_taken=True)
    if code is not None and not unit.catalogue.use_pay_code(code):
        unit.catalogue.give_back(replace(order, pay_code_id=None))
        return Unsold(text="pay_code_gone")
    return order


def _is_same(payment: Payment, buyer: Buyer, goods: Goods, now_ms: int) -> bool:
    order, wish = payment.order, goods.order
    if order is None or payment.state in FINAL_STATES or payment.created_at_ms <= now_ms - SAME_ORDER_MS:
        return False
    if (payment.merchant_id, payment.carrier) != (goods.merchant.id, buyer.carrier):
        return False
    if (order.item_id, order.quantity, order.pay_code_id) != (wish.item_id, wish.quantity, wish.pay_code_id):
        return False
    # An item whose price has changed meanwhile is the same item, at the price that the phone was told.
    return wish.item_id is not None or payment.amount == goods.amount
