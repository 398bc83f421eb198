"""DISPUTE: the phone's owner says that a payment was wrong."""

from typing import Final

from gateway.core.dispute import decided_by_ms, is_disputable
from gateway.core.ids import normalise_ref
from gateway.core.keywords import Dispute
from gateway.core.payment import Payment
from gateway.engine.inbox import Inbound
from gateway.store.queries import consumer_charges, consumer_payment_by_ref
from gateway.store.unit import Unit

# Where all of these are decided or given back, an older one needs its ref.
LOOKED_AT: Final = 20


def dispute(inbound: Inbound) -> None:
    """`DISPUTE ref`: what is left of the payment is set aside until somebody decides; once for each payment."""
    command, unit = inbound.reply.command, inbound.unit
    assert isinstance(command, Dispute)
    if not command.ref:
        _tell_how(inbound)
        return
    ref = normalise_ref(command.ref)
    found = None if ref is None else consumer_payment_by_ref(unit.conn, inbound.consumer.id, ref)
    payment = None if found is None else unit.payment(found.id)
    if payment is None:
        inbound.answer("receipt_not_found", ref=command.ref[:12].upper())
        return
    is_open = is_disputed(unit, payment)
    if not inbound.may_answer():
        return
    if is_open:
        tell_opened(unit, payment)
    else:
        unit.effects.text_about(payment, "dispute_impossible")


def _tell_how(inbound: Inbound) -> None:
    """`DISPUTE` alone: how to write it, with the newest payment that can be disputed. It opens none."""
    unit = inbound.unit
    charges = consumer_charges(unit.conn, inbound.consumer.id, limit=LOOKED_AT)
    stored = (unit.payment(one.id) for one in charges)
    newest = next((one for one in stored if one is not None and may_dispute(unit, one)), None)
    if newest is None:
        inbound.answer("dispute_none")
    elif inbound.may_answer():
        unit.effects.text_about(newest, "dispute_how", language=inbound.language)


def may_dispute(unit: Unit, payment: Payment) -> bool:
    """Whether *payment* can be disputed now, which it can once."""
    return not unit.disputes.had(payment.id) and is_disputable(payment, unit.now_ms)


def is_disputed(unit: Unit, payment: Payment, reason: str = "") -> bool:
    """Whether *payment* is disputed from now on; a dispute that runs stays as it is, and there is no second one."""
    if may_dispute(unit, payment):
        unit.disputes.open(payment, "consumer", reason=reason)
        return True
    return bool(payment.disputed_minor)


def tell_opened(unit: Unit, payment: Payment) -> None:
    """The text that says that *payment* is disputed, and by when its phone hears what was decided."""
    opened = unit.disputes.newest(payment.id)
    assert opened is not None, f"{payment.id} is disputed"
    until_ms = decided_by_ms(opened)
    unit.effects.text_about(payment, "dispute_opened", amount=opened.amount, until_ms=until_ms)
