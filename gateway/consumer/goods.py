"""`OK <ref>`: the buyer says that the goods came, and what waits in escrow goes to the shop."""

from gateway.core.ids import normalise_ref
from gateway.core.keywords import Received
from gateway.core.payment import Escrow, GoodsReceived, Payment
from gateway.engine.inbox import Inbound
from gateway.store.queries import consumer_payment_by_ref


def received(inbound: Inbound) -> None:
    """Release this phone's own escrow; whatever else is named, nothing happens and the phone is told so."""
    command, unit = inbound.reply.command, inbound.unit
    assert isinstance(command, Received)
    ref = normalise_ref(command.ref)
    found = None if ref is None else consumer_payment_by_ref(unit.conn, inbound.consumer.id, ref)
    # Locked before it is judged: the timer or a dispute may be deciding about it in another process.
    payment = None if found is None else unit.payment(found.id)
    if payment is None or payment.escrow is not Escrow.HELD or _is_open(payment):
        inbound.answer("escrow_nothing", ref=command.ref[:12].upper())
        return
    unit.decide(payment.id, GoodsReceived(at_ms=unit.now_ms, mo_id=inbound.mo_id))


def _is_open(payment: Payment) -> bool:
    """A dispute or a refund has to end before it is known what is left."""
    return bool(payment.disputed_minor or payment.refund_reserved_minor)
