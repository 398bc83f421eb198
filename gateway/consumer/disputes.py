"""DISPUTE: the phone's owner says that a payment was wrong."""

from gateway.core.dispute import is_disputable
from gateway.core.ids import normalise_ref
from gateway.core.keywords import Dispute
from gateway.core.payment import Payment
from gateway.engine.inbox import Inbound
from gateway.store.queries import consumer_payment_by_ref
from gateway.store.unit import Unit


def dispute(inbound: Inbound) -> None:
    """`DISPUTE ref`: what is left of the payment is set aside until somebody decides; once for each payment."""
    command, unit = inbound.reply.command, inbound.unit
    assert isinstance(command, Dispute)
    ref = normalise_ref(command.ref)
    found = None if ref is None else consumer_payment_by_ref(unit.conn, inbound.consumer.id, ref)
    payment = None if found is None else unit.payment(found.id)
    if payment is None:
        inbound.answer("receipt_not_found", ref=command.ref[:12].upper())
        return
    template = "dispute_opened" if is_disputed(unit, payment) else "dispute_impossible"
    if inbound.may_answer():
        unit.effects.text_about(payment, template)


def is_disputed(unit: Unit, payment: Payment, reason: str = "") -> bool:
    """Whether *payment* is disputed from now on; a dispute that runs stays as it is, and there is no second one."""
    if not unit.disputes.had(payment.id) and is_disputable(payment, unit.now_ms):
        unit.disputes.open(payment, "consumer", reason=reason)
        return True
    return bool(payment.disputed_minor)
