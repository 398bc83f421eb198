"""DISPUTE: the phone's owner says that a payment was wrong."""

from gateway.core.dispute import is_disputable
from gateway.core.ids import normalise_ref
from gateway.core.keywords import Dispute
from gateway.engine.inbox import Inbound
from gateway.store.queries import consumer_payment_by_ref


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
    had_one = unit.disputes.had(payment.id)
    if not had_one and is_disputable(payment, unit.now_ms):
        unit.disputes.open(payment, "consumer")
        template = "dispute_opened"
    else:
        template = "dispute_opened" if payment.disputed_minor else "dispute_impossible"
    if inbound.may_answer():
        unit.effects.text_about(payment, template)
