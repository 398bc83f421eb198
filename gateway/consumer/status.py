"""STATUS: where a payment of this phone stands, in words: whether money moved, and by when an answer comes.

It looks and changes nothing. Another phone's payment is answered like one that does not exist.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.consumer.disputes import may_dispute
from gateway.consumer.goods import may_receive
from gateway.consumer.record import statement_line
from gateway.core.asks import Catalogues
from gateway.core.dispute import Dispute, DisputeState, decided_by_ms
from gateway.core.ids import normalise_ref
from gateway.core.keywords import Status
from gateway.core.money import Money
from gateway.core.payment import AGREED_STATES, OperationKind, Payment, State
from gateway.core.sim_swap import how_to_pay
from gateway.core.statement import receipt_fields
from gateway.engine.inbox import Inbound
from gateway.store.outbox import next_inquiry_ms
from gateway.store.queries import consumer_open_payments, consumer_payment_by_ref
from gateway.store.unit import Unit

# Behind these nobody looks for what is open; they are shown one by one, by their refs.
OPEN_MAX: Final = 20
_DECIDED: Final = {
    DisputeState.WON: "dispute_rejected",
    DisputeState.LOST: "dispute_upheld",
    DisputeState.ACCEPTED: "dispute_upheld",
}


class Standing(NamedTuple):
    """The text that tells it. *until_ms*: the time in it, if that is not the payment's own."""

    template: str
    until_ms: int | None = None
    minor: int | None = None
    """What it is about, in minor units, if not all that was asked for or taken."""


class Statuses:
    """The handler, for one set of carriers."""

    def __init__(self, zones: Mapping[str, ZoneInfo], catalogues: Mapping[str, Catalogues]) -> None:
        """Both by carrier."""
        self._zones = zones
        self._catalogues = catalogues

    def status(self, inbound: Inbound) -> None:
        """`STATUS` is about the newest matter that is open, `STATUS ref` about that payment."""
        command, unit = inbound.reply.command, inbound.unit
        assert isinstance(command, Status)
        if not command.ref:
            newest = _newest_open(unit, inbound.consumer.id)
            if newest is None:
                inbound.answer("status_none")
            else:
                self._tell(inbound, newest)
            return
        ref = normalise_ref(command.ref)
        found = None if ref is None else consumer_payment_by_ref(unit.conn, inbound.consumer.id, ref)
        payment = None if found is None else unit.payment(found.id)
        if payment is None:
            inbound.answer("receipt_not_found", ref=command.ref[:12].upper())
            return
        if command.in_a_sentence and standing_of(unit, payment) is None and may_dispute(unit, payment):
            # It may be a complaint, and does not say so plainly: nothing is set aside, and the text says how.
            if inbound.may_answer():
                unit.effects.text_about(payment, "dispute_how", language=inbound.language)
            return
        self._tell(inbound, payment)

    def _tell(self, inbound: Inbound, payment: Payment) -> None:
        standing = standing_of(inbound.unit, payment)
        if standing is None:
            # It is over, and a receipt says what became of the money.
            carrier = inbound.mo.carrier
            language = self._catalogues[carrier].language(inbound.language)
            fields = receipt_fields(statement_line(payment, self._zones[carrier]), language)
            inbound.answer("receipt", **fields)
        elif inbound.may_answer():
            send_standing(inbound, payment, standing)


def send_standing(inbound: Inbound, payment: Payment, standing: Standing) -> None:
    """Queue the text that tells it, to a phone that `may_answer` counted it for."""
    amount = None if standing.minor is None else Money(standing.minor, payment.amount.currency)
    template = inbound.unit.policy.rules[payment.carrier].asking(standing.template)
    inbound.effects.text_about(payment, template, amount=amount, until_ms=standing.until_ms, language=inbound.language)


def _newest_open(unit: Unit, consumer_id: str) -> Payment | None:
    return max(open_payments(unit, consumer_id), key=lambda one: (one.updated_at_ms, one.id), default=None)


def open_payments(unit: Unit, consumer_id: str) -> list[Payment]:
    """Payments of a locked phone of which something is still to come."""
    stored = (unit.payment(one.id) for one in consumer_open_payments(unit.conn, consumer_id, limit=OPEN_MAX))
    found: Iterable[Payment | None] = [*unit.waiting(consumer_id), *unit.created_of(consumer_id), *stored]
    return [one for one in {one.id: one for one in found if one is not None}.values() if _is_open(one)]


def _is_open(payment: Payment) -> bool:
    """Something is still to come: an answer, money, a decision."""
    is_moving = payment.operation is not None or payment.is_waiting or payment.is_in_doubt
    is_agreed = payment.state in AGREED_STATES
    return is_moving or is_agreed or payment.is_undecided or may_receive(payment)


def standing_of(unit: Unit, payment: Payment) -> Standing | None:
    """Where a locked *payment* stands; None: it is over, and nothing is to be added to its receipt."""
    return standing(unit.conn, payment, unit.now_ms, unit.disputes.newest)


def standing(
    conn: Connection, payment: Payment, now_ms: int, newest_dispute: Callable[[str], Dispute | None]
) -> Standing | None:
    """The same for whoever only looks. *newest_dispute* finds that of a payment by its id."""
    if payment.is_in_doubt:
        return Standing("unknown_outcome")
    if payment.is_waiting:
        return Standing(how_to_pay(payment, "status_waiting"))
    if payment.operation is not None:
        return _moving(conn, payment, now_ms)
    if payment.state is State.CHECKING:
        return Standing("status_charging")  # The order leaves within seconds, or a text says why it does not.
    if payment.state is State.AUTHORIZED:
        return Standing("status_agreed", payment.deadline_at_ms or payment.charge_not_after_ms)
    return _afterwards(payment, newest_dispute(payment.id))


def _afterwards(payment: Payment, dispute: Dispute | None) -> Standing | None:
    """What has become, or is to become, of what was charged."""
    if dispute is not None and dispute.is_open:
        return disputed(dispute)
    if payment.refund_reserved_minor:
        return Standing("status_refunding", minor=payment.refund_reserved_minor)
    if may_receive(payment) and payment.deadline_at_ms is not None:
        template = "status_escrow" if payment.fulfilled_at_ms is None else "goods_sent"
        return Standing(template, payment.deadline_at_ms, payment.captured_minor - payment.refunded_minor)
    if payment.refunded_minor:
        return Standing("refunded", minor=payment.refunded_minor)
    if dispute is not None and dispute.state in _DECIDED:
        return Standing(_DECIDED[dispute.state], minor=dispute.amount.amount_minor)
    return None


def _moving(conn: Connection, payment: Payment, now_ms: int) -> Standing:
    operation = payment.operation
    assert operation is not None
    minor = payment.ordered_minor
    if operation.kind in (OperationKind.REVERSE, OperationKind.RELEASE):
        return Standing("status_refunding", minor=minor)
    if not operation.outcome_unknown:
        return Standing("status_charging", minor=minor)
    asked_ms = next_inquiry_ms(conn, payment.id)
    if asked_ms is None:  # The carrier is being asked at this moment, or a file or a person has the last word.
        return Standing("unknown_outcome", minor=minor)
    return Standing("status_checking", max(asked_ms, now_ms), minor)


def disputed(dispute: Dispute) -> Standing:
    """Where an open dispute stands."""
    minor = dispute.amount.amount_minor
    if dispute.state is DisputeState.OPEN:
        return Standing("status_dispute_open", dispute.due_at_ms, minor)
    return Standing("status_dispute_review", decided_by_ms(dispute), minor)
