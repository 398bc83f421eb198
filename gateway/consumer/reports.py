"""REPORT: the phone's owner says that a request, or a payment, was not their purchase.

A request that waits ends, a payment that was made is disputed, and in each case the shop may ask this phone no more
until START says otherwise. It is told, so that it can look who typed the number; so are the operators.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import select

from gateway.consumer.disputes import is_disputed
from gateway.core.caps import DAY_MS, NO_TERMS
from gateway.core.ids import normalise_ref
from gateway.core.keywords import Report
from gateway.core.money import Money
from gateway.core.payment import (
    AGREED_STATES,
    BreakKind,
    EventType,
    Notify,
    OperationKind,
    Payment,
    Reason,
    ReplyRefused,
    State,
)
from gateway.engine.inbox import Inbound
from gateway.engine.loop_guard import BEYOND_FOR_STOP
from gateway.engine.opt_outs import end_asks, stop_shop
from gateway.store import tables
from gateway.store.queries import consumer_payment_by_ref, consumer_payments
from gateway.store.rows import Consumer
from gateway.store.unit import Unit

# REPORT alone is about the request that was refused or agreed to last, for this long; later it needs the ref.
LATELY_MS: Final = DAY_MS
LOOKED_AT: Final = 10


def report(inbound: Inbound) -> None:
    """`REPORT ref`, or `REPORT` where it is plain which request is meant."""
    command, unit = inbound.reply.command, inbound.unit
    assert isinstance(command, Report)
    if command.ref:
        ref = normalise_ref(command.ref)
        found = None if ref is None else consumer_payment_by_ref(unit.conn, inbound.consumer.id, ref)
        payment = None if found is None else unit.payment(found.id)
        if payment is None:
            inbound.answer("receipt_not_found", ref=command.ref[:12].upper())
            return
    else:
        recent = _recent(unit, inbound.consumer.id)
        undecided = [*unit.waiting(inbound.consumer.id), *(one for one in recent if one.state is State.CHECKING)]
        if len({one.merchant_id for one in undecided}) > 1:
            inbound.answer("report_which")
            return
        payment = undecided[-1] if undecided else _meant(unit, recent)
        if payment is None:
            inbound.answer("report_nothing")
            return
    _report(inbound, payment)


def _recent(unit: Unit, consumer_id: str) -> list[Payment]:
    stored = [unit.payment(one.id) for one in consumer_payments(unit.conn, consumer_id, limit=LOOKED_AT)]
    return [one for one in (*stored, *unit.created_of(consumer_id)) if one is not None]


def _meant(unit: Unit, recent: list[Payment]) -> Payment | None:
    """Where nothing waits: what was refused, or agreed to and not charged yet, last."""
    found = [
        one
        for one in recent
        if (one.reason is Reason.REFUSED or one.state in AGREED_STATES) and unit.now_ms - one.updated_at_ms < LATELY_MS
    ]
    return max(found, key=lambda one: (one.updated_at_ms, one.id), default=None)


def _report(inbound: Inbound, payment: Payment) -> None:
    unit = inbound.unit
    known = Reporter(unit, inbound.consumer, inbound.mo.carrier, inbound.language, inbound.mo_id)
    reported = report_payment(known, payment)
    if reported.template and inbound.may_answer(beyond=BEYOND_FOR_STOP if reported.is_news else 0):
        tell_reported(unit, reported, inbound.language)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Whose phone reports, locked, and where: *carrier* has its texts, *said_id* is by what we know it."""

    unit: Unit
    consumer: Consumer
    carrier: str
    language: str
    said_id: str


class Reported(NamedTuple):
    """`template`: the text that says what came of it; "": one comes by itself. `payment` is as it is now."""

    payment: Payment
    template: str
    is_news: bool

    @property
    def minor(self) -> int:
        """What of the payment is disputed, or goes back by itself; 0: neither is so."""
        return self.payment.disputed_minor or (0 if self.payment.operation is None else self.payment.ordered_minor)


def tell_reported(unit: Unit, reported: Reported, language: str) -> None:
    """The text that says what came of a report; where one comes by itself there is none."""
    amount = Money(reported.minor, reported.payment.amount.currency) if reported.minor else None
    unit.effects.text_about(reported.payment, reported.template, amount=amount, language=language)


def report_payment(by: Reporter, payment: Payment) -> Reported:
    """Put it on record that *payment*, locked and this phone's, was not its owner's purchase, and act on that."""
    unit = by.unit
    is_news = _note(by, payment)
    stopped = stop_shop(unit, by.consumer, payment.merchant_id, by.said_id)
    # As with STOP: asks of that shop which have not left do not leave any more.
    end_asks(unit, by.consumer.id, stopped.carriers | {by.carrier}, merchant_id=payment.merchant_id)
    template = _ended(by, payment)
    [now] = unit.current([payment.id])
    if is_news:
        unit.effects.carry_out(now, Notify(type=EventType.PAYMENT_REPORTED))
    return Reported(now, template, is_news or stopped.is_news)


def _ended(by: Reporter, reported: Payment) -> str:
    """End what can still be ended and dispute what was paid; return the text that says so, "" if one comes by itself.

    What waited is closed already, by the stop of its shop.
    """
    unit = by.unit
    [payment] = unit.current([reported.id])
    if payment.is_in_doubt:
        return "unknown_outcome"
    if payment.state in AGREED_STATES:
        unit.decide(payment.id, ReplyRefused(at_ms=unit.now_ms, mo_id=by.said_id))
        return ""
    operation = payment.operation
    if operation is not None and operation.kind in (OperationKind.REVERSE, OperationKind.RELEASE):
        return "status_refunding"
    if operation is not None:
        return "unknown_outcome" if operation.outcome_unknown else "report_charging"
    if payment.state is State.CAPTURED:
        return "report_disputed" if is_disputed(unit, payment, "not_agreed") else "dispute_impossible"
    return "reported" if payment.reversed_attempt_id is None else "reversed"


def _note(by: Reporter, payment: Payment) -> bool:
    """Put it on record; False if it stands there already."""
    unit, report = by.unit, tables.report
    if any(row["payment_id"] == payment.id for row in unit.fresh(report)):
        return False
    known = select(report.c.payment_id).where(report.c.payment_id == payment.id)
    if unit.conn.execute(known).first() is not None:
        return False
    unit.put(
        report,
        {
            "payment_id": payment.id,
            "consumer_id": payment.consumer_id,
            "merchant_id": payment.merchant_id,
            "mode": payment.mode,
            "carrier": payment.carrier,
            "found": payment.public_state.value,
            "mo_id": by.said_id,
            "at_ms": unit.now_ms,
        },
    )
    _alarm(unit, payment)
    return True


def _alarm(unit: Unit, payment: Payment) -> None:
    """One phone may err; when several report the same shop in a day, a person looks."""
    enough = unit.policy.terms.get(payment.carrier, NO_TERMS).caps.reports_per_day
    if not enough:
        return
    report = tables.report.c
    about = (report.merchant_id == payment.merchant_id) & (report.mode == payment.mode)
    lately = about & (report.at_ms > unit.now_ms - DAY_MS)
    phones = set(unit.conn.scalars(select(report.consumer_id).where(lately).distinct().limit(enough)))
    phones |= {
        row["consumer_id"]
        for row in unit.fresh(tables.report)
        if (row["merchant_id"], row["mode"]) == (payment.merchant_id, payment.mode)
    }
    if len(phones) >= enough:
        day = f"{datetime.fromtimestamp(unit.now_ms // 1000, UTC):%Y-%m-%d}"
        detail = f"{payment.merchant_id} ({payment.mode}): reported by {enough} phones or more within a day, {day} UTC"
        unit.effects.open_break(BreakKind.REPORTED, None, detail)
