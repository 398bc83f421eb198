"""A number that has a new owner: from then on nothing of the former one is known under it.

The former owner's row stays, retired, with all payments, consents and entries that refer to it; the number gets a new
one without language, limits, PIN, stops or record. What waits ends, and no text about the past leaves any more. While
a charge may still leave it is not done: it would be taken from whoever has the number then.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, NamedTuple

from sqlalchemy import delete, select

from gateway.core.payment import AGREED_STATES, OperationKind, Payment, ReplyRefused
from gateway.engine.opt_outs import stop_all
from gateway.store import tables
from gateway.store.queries import consumer_moving_payments
from gateway.store.rows import Consumer
from gateway.store.unit import Needs, Phone, Unit

SAID_ID: Final = "recycled"
"""By what the end of a request is known to have come."""
_MAY_LEAVE: Final = (OperationKind.CHARGE, OperationKind.RESERVE)


class Outcome(StrEnum):
    """What came of it."""

    RECYCLED = "recycled"
    ALREADY = "already"
    """What is known of the number is younger than the change: it is the new owner's."""
    CHARGING = "charging"
    """A charge may still leave; nothing was changed."""


class Recycled(NamedTuple):
    """*closed*: how many requests ended; *payment_id*: what is being charged."""

    outcome: Outcome
    closed: int = 0
    payment_id: str = ""


@dataclass(slots=True, kw_only=True)
class RecycleNumber:
    """The carrier, or an operator, says that a known number has changed hands. Returns `Recycled`.

    *changed_from_ms*, *changed_to_ms*: when, as closely as it was told; both the same if to the moment.
    """

    phone: Phone
    changed_from_ms: int | None = None
    changed_to_ms: int | None = None

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(phones=(self.phone,))

    def run(self, unit: Unit) -> Recycled:
        former = unit.consumer(self.phone)
        if self._is_known_to_be_new(former):
            return Recycled(Outcome.ALREADY)
        moving = _moving(unit, former)
        charging = next((payment for payment in moving if _may_leave(unit, payment)), None)
        if charging is not None:
            return Recycled(Outcome.CHARGING, payment_id=charging.id)
        _hush(unit, former)
        # For ever: nobody can text START for that row, so no ask of it leaves again.
        closed = stop_all(unit, former, SAID_ID).closed
        unit.succeed(former)  # Before the refusals below, whose texts are for nobody any more.
        agreed = [payment for payment in moving if payment.state in AGREED_STATES and not payment.is_in_doubt]
        for payment in agreed:
            unit.decide(payment.id, ReplyRefused(at_ms=unit.now_ms, mo_id=SAID_ID))
        unit.conn.execute(delete(tables.consumer_pin).where(tables.consumer_pin.c.consumer_id == former.id))
        return Recycled(Outcome.RECYCLED, closed + len(agreed))

    def _is_known_to_be_new(self, present: Consumer) -> bool:
        """A list of changes that is read twice must not make the new owner a stranger again."""
        if self.changed_from_ms is None or self.changed_to_ms is None:
            return False
        was_recycled = present.generation > 1
        return present.created_at_ms >= (self.changed_from_ms if was_recycled else self.changed_to_ms)


def _moving(unit: Unit, former: Consumer) -> list[Payment]:
    """What may be agreed to and not ended, oldest first: the database does not know what this batch has moved."""
    ids = {found.id for found in consumer_moving_payments(unit.conn, former.id)}
    ids |= {moved.id for moved in unit.current(unit.changed) if moved.consumer_id == former.id}
    return [payment for payment_id in sorted(ids) if (payment := unit.payment(payment_id)) is not None]


def _may_leave(unit: Unit, payment: Payment) -> bool:
    operation = payment.operation
    is_ordered = operation is not None and operation.kind in _MAY_LEAVE
    return is_ordered and (payment.charge_not_after_ms or 0) >= unit.now_ms


def _hush(unit: Unit, former: Consumer) -> None:
    """Take back the texts that have not left; those that a lane has in its memory go by a mute one."""
    outbox = tables.outbox.c
    waiting = (outbox.consumer_id == former.id) & (outbox.kind == "sms")
    found = unit.conn.execute(select(outbox.id, outbox.lane).where(waiting)).all()
    for row in found:
        unit.complete(row.id)
    fresh = [row for row in unit.outbox.values() if row.kind == "sms" and row.consumer_id == former.id]
    for text in fresh:
        unit.complete(text.id)
    for carrier in sorted({lane.split(":")[1] for lane in (*(row.lane for row in found), *(t.lane for t in fresh))}):
        unit.effects.send_text(former.id, carrier, "stopped", "en", {"count": "0"}, ends_texts=True, is_mute=True)
