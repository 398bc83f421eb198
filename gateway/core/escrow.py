"""Rules for `capture: escrow`: the money is taken and waits until the buyer says that the goods came.

The shop never releases it. It tells of the delivery; then the buyer's `OK`, or silence for long enough, pays it. A shop
that never tells of one gives the money back. A dispute stops every timer until it is decided.
"""

from typing import Final

from msgspec.structs import replace

from gateway.core.payment import (
    DeadlinePassed,
    Decision,
    Effect,
    EntryKind,
    Escrow,
    EventType,
    Fulfilled,
    GoodsReceived,
    Notify,
    Payment,
    Post,
    RefundAll,
    Rules,
    SendText,
)

REFUND_PAUSE_MS: Final = 3_600_000
"""So long a timer of escrow waits for a refund under way: only then it is known how much there is to release."""


def goods_sent(payment: Payment, event: Fulfilled, rules: Rules, told: Notify) -> Decision:
    """From now on the buyer's silence counts, and the buyer is told so.

    Without a timer it does not: something is disputed, or the money is the buyer's and has not gone back yet.
    """
    if payment.deadline_at_ms is None:
        return Decision(payment, (told,))
    until_ms = event.at_ms + rules.escrow_release_after_ms
    waits_minor = payment.captured_minor - payment.refunded_minor
    text = SendText(template="goods_sent", until_ms=until_ms, amount_minor=waits_minor)
    return Decision(replace(payment, deadline_at_ms=until_ms), (told, text))


def goods_received(payment: Payment, event: GoodsReceived, rules: Rules) -> Decision:
    """The buyer is content."""
    if payment.escrow is not Escrow.HELD:
        return Decision(payment, ignored="nothing of this payment is in escrow")
    if payment.is_undecided:
        return Decision(payment, ignored="a dispute or a refund of this payment is open")
    return _release_and_tell(payment)


def escrow_deadline(payment: Payment, event: DeadlinePassed, rules: Rules) -> Decision:
    """The buyer's silence after the delivery pays the shop; the shop's silence pays the buyer back."""
    if payment.deadline_at_ms is None or event.at_ms < payment.deadline_at_ms:
        return Decision(payment, ignored="the deadline has not passed")
    if payment.escrow is not Escrow.HELD or payment.disputed_minor:
        return Decision(payment, ignored="no timer of escrow runs")
    if payment.refund_reserved_minor:
        return Decision(replace(payment, deadline_at_ms=event.at_ms + REFUND_PAUSE_MS))
    if payment.fulfilled_at_ms is not None:
        return _release_and_tell(payment)
    return Decision(replace(payment, deadline_at_ms=None), (RefundAll(reason="not_delivered"),))


def _release_and_tell(payment: Payment) -> Decision:
    return release_escrow(payment, SendText(template="escrow_released", amount_minor=payment.left_minor))


def release_escrow(payment: Payment, *told: Effect) -> Decision:
    """What was not given back is the merchant's. A refund under way ends in `refund_clearing`, where its money is."""
    released = replace(payment, escrow=Escrow.RELEASED, deadline_at_ms=None)
    post = Post(kind=EntryKind.ESCROW_RELEASED, source_id=payment.id, amount_minor=payment.left_minor)
    effects: tuple[Effect, ...] = (post,) if payment.left_minor else ()
    return Decision(released, (*effects, Notify(type=EventType.ESCROW_RELEASED), *told))
