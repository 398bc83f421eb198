"""Whether a new request may reach its phone: limits of money, caps on asks, quiet hours, alarms.

Runs inside the batch under the consumer's lock, so that no number of processes lets more through than one. It gathers
what the pure judges in `gateway.core.limits` and `gateway.core.caps` need, and only what the carrier's terms call for.
"""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import select

from gateway.core import caps as asking
from gateway.core.caps import NO_TERMS, Later, Terms
from gateway.core.limits import NOTHING, PERIODS, Period, Use, begins_ms, is_over, limited, own_limit
from gateway.core.money import Money
from gateway.core.payment import OverLimit, Payment
from gateway.store import tables
from gateway.store.bars import is_barred
from gateway.store.counters import Spender
from gateway.store.pauses import block_subject, merchant_subject
from gateway.store.phone_records import TOLD
from gateway.store.rows import Consumer
from gateway.store.unit import Unit


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged."""

    consumer: Consumer
    spender: Spender
    amount: Money
    is_present: bool
    """The shop says that the phone's owner stands there."""
    goods: str = ""
    """What the shop sells."""
    is_order: bool = False
    """The phone's owner began it."""


class Over(NamedTuple):
    """The request is over a limit; `detail` names whose, for the timeline."""

    detail: str
    tells: bool = False


class Admission(NamedTuple):
    """`later`: nothing is to be stored. `over`: it fails at once. `is_barred`: it fails like one to a stopped phone."""

    later: Later | None = None
    over: Over | None = None
    is_barred: bool = False


ADMITTED: Final = Admission()


def admit(unit: Unit, request: Request) -> Admission:
    """Judge a request that is new: neither repeated nor with a reference in use."""
    terms = unit.policy.terms.get(request.spender.carrier, NO_TERMS)
    if request.goods in terms.country.of_age and request.consumer.of_age_at_ms is None:
        return Admission(is_barred=True)  # A shop learns of no phone whether it is a child's.
    if terms.is_free and request.consumer.limit_minor is None and request.consumer.limit_next_minor is None:
        return ADMITTED  # Whether the phone takes asks at all is looked at when it is asked.
    later = _later(unit, request, terms)
    if later is not None:
        return Admission(later=later)
    over = _over_a_shared_limit(unit, request, terms)
    if over is not None:
        return Admission(over=over)
    # Before the phone's own limits: a phone that takes no asks is not texted about its limits either.
    if _is_barred(unit, request, terms):
        return Admission(is_barred=True)
    if not _is_over_the_phones_limits(unit, request, terms):
        return ADMITTED
    tells = not _was_told(unit, request.consumer)
    return Admission(over=Over(TOLD if tells else "the phone's limit", tells))


def is_forbidden(unit: Unit, request: Request) -> bool:
    """Whether what the shop sells is charged to no phone of this carrier."""
    return request.goods in unit.policy.terms.get(request.spender.carrier, NO_TERMS).country.refused


def _later(unit: Unit, request: Request, terms: Terms) -> Later | None:
    """What concerns this shop and this phone only, and so may be said."""
    caps, who, now_ms = terms.caps, request.spender, unit.now_ms
    if caps.pumping_asks_min:
        until_ms = unit.records.paused_until_ms(merchant_subject(who.merchant_id, who.mode))
        if until_ms is not None:
            return Later("asks_paused", until_ms, "")
    if caps.open_per_merchant:
        mine = [
            payment.consent_expires_at_ms
            for payment in unit.waiting(request.consumer.id)
            if (payment.merchant_id, payment.mode) == (who.merchant_id, who.mode)
        ]
        later = asking.open_asks(caps, mine)
        if later is not None:
            return later
    if caps.watches_refusals and not _has_ordered(unit, request):
        refused = [
            asked.refused_at_ms
            for asked in unit.records.asks(request.consumer.id)
            if asked.refused_at_ms is not None and (asked.merchant_id, asked.mode) == (who.merchant_id, who.mode)
        ]
        later = asking.refusals(caps, refused, now_ms)
        if later is not None:
            return later
    return _quiet(unit, request, terms)


def _quiet(unit: Unit, request: Request, terms: Terms) -> Later | None:
    until_ms = asking.quiet_until_ms(terms.caps, unit.now_ms, terms.zone)
    if until_ms is None or request.is_present or _has_ordered(unit, request):
        return None
    return Later("quiet_hours", until_ms, "")


def _has_ordered(unit: Unit, request: Request) -> bool:
    return request.is_order or has_ordered(unit, request.consumer, request.spender)


def has_ordered(unit: Unit, consumer: Consumer, who: Spender, amount: Money | None = None) -> bool:
    """Whether this phone sent this shop an order (of this amount) a short while ago, be it in this very batch."""
    since_ms = unit.now_ms - asking.PRESENT_AFTER_ORDER_MS
    if consumer.ordered_at_ms is None or consumer.ordered_at_ms <= since_ms:
        return False
    wish: dict[str, object] = {"consumer_id": consumer.id, "merchant_id": who.merchant_id, "mode": who.mode}
    if amount is not None:
        wish |= {"amount_minor": amount.amount_minor, "currency": amount.currency}
    if any(wish.items() <= row.items() for row in unit.fresh(tables.order_request)):
        return True
    order = tables.order_request.c
    same = [order[name] == value for name, value in wish.items()]
    return unit.conn.execute(select(order.id).where(*same, order.at_ms > since_ms).limit(1)).first() is not None


def _over_a_shared_limit(unit: Unit, request: Request, terms: Terms) -> Over | None:
    minor = request.amount.amount_minor
    if is_over(Use(0, terms.limits.payment_amount), NOTHING, minor):
        return Over("the limit of one payment")
    scope = unit.counters.over(request.spender, minor)
    return None if scope is None else Over(f"the {scope}'s limit")


def _is_barred(unit: Unit, request: Request, terms: Terms) -> bool:
    """Whether the phone is not to be asked, for a cause that is none of the shop's business."""
    caps, who, consumer = terms.caps, request.spender, request.consumer
    if is_barred(unit, consumer, who.merchant_id):
        return True
    if caps.pumping_asks_min and unit.records.paused_until_ms(block_subject(consumer.msisdn, who.mode)) is not None:
        return True
    if not (caps.asks_per_hour or caps.asks_per_day):
        return False
    asked = [asked.at_ms for asked in unit.records.asks(consumer.id) if asked.is_text and asked.mode == who.mode]
    return asking.is_spent(caps, asked, unit.now_ms)


def _is_over_the_phones_limits(unit: Unit, request: Request, terms: Terms) -> bool:
    if _is_over_own_limit(unit, request, terms.zone):
        return True
    phone = limited(terms.limits, "phone")
    if not phone:
        return False
    begins = _begins(unit.now_ms, terms)
    carrier, minor = request.spender.carrier, request.amount.amount_minor
    return any(
        is_over(most, unit.records.used(request.consumer.id, carrier, period, begins), minor)
        for _, period, most in phone
    )


def _begins(now_ms: int, terms: Terms) -> Mapping[Period, int]:
    return {period: begins_ms(period, now_ms, terms.zone, terms.limits.month_starts_on) for period in PERIODS}


def _is_over_own_limit(unit: Unit, request: Request, zone: tzinfo) -> bool:
    consumer, amount = request.consumer, request.amount
    most = _own_limit(unit, consumer, amount.currency)
    if most is None:
        return False
    spent = unit.records.spent(consumer.id, amount.currency, since_ms=begins_ms("day", unit.now_ms, zone))
    return spent + amount.amount_minor > most


def _own_limit(unit: Unit, consumer: Consumer, currency: str) -> int | None:
    if consumer.limit_currency != currency:
        return None
    return own_limit(consumer.limit_minor, consumer.limit_next_minor, consumer.limit_next_at_ms, unit.now_ms)


def over_at_consent(unit: Unit, consumer: Consumer, payment: Payment) -> OverLimit | None:
    """The phone's owner has lowered the own limit since the request, and what is charged today leaves it no room.

    What else waits leaves it room: it is judged by its own consent.
    """
    amount = payment.amount
    most = _own_limit(unit, consumer, amount.currency)
    if most is None:
        return None
    since_ms = begins_ms("day", unit.now_ms, unit.policy.terms.get(payment.carrier, NO_TERMS).zone)
    waiting = sum(
        one.amount.amount_minor
        for one in unit.waiting(consumer.id)
        if one.amount.currency == amount.currency and one.created_at_ms >= since_ms
    )
    charged = unit.records.spent(consumer.id, amount.currency, since_ms=since_ms) - waiting
    return OverLimit(at_ms=unit.now_ms, detail=TOLD, tells=True) if charged + amount.amount_minor > most else None


def _was_told(unit: Unit, consumer: Consumer) -> bool:
    """Once in a while is enough: the text must not become a way to make a phone ring."""
    since_ms = unit.now_ms - asking.OVER_LIMIT_COOL_DOWN_MS
    return any(asked.is_over and asked.at_ms > since_ms for asked in unit.records.asks(consumer.id))
