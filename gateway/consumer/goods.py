"""`OK <ref>`: the buyer says that the goods came, and what waits in escrow goes to the shop."""

from gateway.core.ids import normalise_ref
from gateway.core.keywords import Received
from gateway.core.payment import Escrow, GoodsReceived, Payment
from gateway.engine.inbox import Inbound
from gateway.store.queries import consumer_payment_by_ref
from gateway.store.unit import Unit


def received(inbound: Inbound) -> None:
    """Release this phone's own escrow; whatever else is named, nothing happens and the phone is told so."""
    command, unit = inbound.reply.command, inbound.unit
    assert isinstance(command, Received)
    ref = normalise_ref(command.ref)
    found = None if ref is None else consumer_payment_by_ref(unit.conn, inbound.consumer.id, ref)
    # Locked before it is judged: the timer or a dispute may be deciding about it in another process.
    payment = None if found is None else unit.payment(found.id)
    if payment is None or not is_received(unit, payment, inbound.mo_id):
        inbound.answer("escrow_nothing", ref=command.ref[:12].upper())


def is_received(unit: Unit, payment: Payment, said_id: str) -> bool:
    """Release the escrow of a locked *payment*, and tell its phone; False: there is none that the buyer may release."""
    if not may_receive(payment):
        return False
    unit.decide(payment.id, GoodsReceived(at_ms=unit.now_ms, mo_id=said_id))
    return True


def may_receive(payment: Payment) -> bool:
    """Whether the buyer's word pays the shop now."""
    return payment.escrow is Escrow.HELD and not payment.is_undecided
