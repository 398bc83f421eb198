"""An ask that goes to the phone as a screen: the one of the menus on which a PIN pays, in a session that we begin.

The session is written down before the screen leaves, so that whatever the phone types, however soon, finds it. Who has
made no PIN is asked by text: there would be nothing to type that only the owner knows.
"""

from dataclasses import dataclass
from typing import ClassVar

from msgspec.structs import replace

from carriers import base
from gateway.consumer.ussd_screens import Shown, show
from gateway.consumer.ussd_visit import Desk, Visit
from gateway.core.pushes import SESSION_LIVES_MS, Push, PushState, ask_of, is_push
from gateway.core.ussd import Place, Screen, Session
from gateway.engine.pushes import Begun, NotPushed, is_worth_pushing
from gateway.store.identity import new_id
from gateway.store.outbox import OutboxRow
from gateway.store.rows import Consumer
from gateway.store.unit import Needs, Unit


@dataclass(slots=True)
class PushBegun:
    """Writes the push and its session down; the result is `Begun`."""

    row: OutboxRow
    desk: Desk

    action: ClassVar[str] = ""
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        row = self.row
        return Needs(
            payment_ids=(str(row.payment_id),),
            consumer_ids=(str(row.consumer_id),),
            sessions=((row.body["carrier"], row.id),),
        )

    def run(self, unit: Unit) -> Begun:
        row = self.row
        if not is_worth_pushing(unit.payment(str(row.payment_id)), row, unit.now_ms):
            return NotPushed("the payment waits no longer", is_over=True)
        consumer, carrier = unit.consumer_by_id(str(row.consumer_id)), row.body["carrier"]
        written = unit.ussd.session(carrier, row.id, consumer.id)
        if written is not None:  # The process could not start what it had written down, and nothing has left.
            return base.UssdAsk(id=row.id, msisdn=consumer.msisdn, text=written.answer)
        earlier = unit.ussd.live(carrier, consumer.id)
        is_seen = earlier is not None and earlier.goes_on and not earlier.place.is_closed
        if earlier is not None and is_seen and unit.now_ms - earlier.at_ms < SESSION_LIVES_MS:
            return NotPushed("the phone is in another session")
        shown = self._shown(unit, consumer)
        if shown.place.screen is not Screen.PAY:
            return NotPushed("the PIN is locked")
        if shown.place.wants != "pin":
            return NotPushed("the phone has no PIN")
        self._write(unit, consumer, shown)
        return base.UssdAsk(id=row.id, msisdn=consumer.msisdn, text=shown.text)

    def _shown(self, unit: Unit, consumer: Consumer) -> Shown:
        row = self.row
        place = Place(screen=Screen.PAY, payment_id=str(row.payment_id))
        step = base.UssdStep(
            carrier=row.body["carrier"],
            session_id=row.id,
            msisdn=consumer.msisdn,
            service_code="",
            kind="begin",
            read_at_ms=unit.now_ms,
        )
        session = _session(row, consumer, Shown(place, ""), unit.now_ms)
        return show(Visit(unit, consumer, step, self.desk, session), place)

    def _write(self, unit: Unit, consumer: Consumer, shown: Shown) -> None:
        row, now_ms = self.row, unit.now_ms
        unit.ussd.begin(_session(row, consumer, shown, now_ms))
        unit.pushes.begin(
            Push(
                id=row.id,
                payment_id=str(row.payment_id),
                consumer_id=consumer.id,
                carrier=row.body["carrier"],
                state=PushState.BEGUN,
                began_at_ms=now_ms,
                at_ms=now_ms,
            )
        )


def _session(row: OutboxRow, consumer: Consumer, shown: Shown, now_ms: int) -> Session:
    return Session(
        id=new_id("uss_"),
        carrier=row.body["carrier"],
        session_id=row.id,
        consumer_id=consumer.id,
        place=shown.place,
        answer=shown.text,
        began_at_ms=now_ms,
        at_ms=now_ms,
    )


def was_answered(unit: Unit, session: Session) -> None:
    """Something was typed in *session*: if we began it, no text follows."""
    push = unit.pushes.get(session.session_id) if is_push(session.session_id) else None
    if push is not None and push.state is not PushState.ANSWERED:
        unit.pushes.become(push, PushState.ANSWERED)
        unit.complete(ask_of(push.id))


def was_closed(unit: Unit, consumer: Consumer, carrier: str, session_id: str) -> None:
    """The phone or the network ended a session: the phone is busy with it no more.

    If we began it and nobody has typed, the text goes now.
    """
    session = unit.ussd.session(carrier, session_id, consumer.id)
    if session is not None and session.is_live:
        unit.ussd.keep(replace(session, place=replace(session.place, is_closed=True)))
    push = unit.pushes.get(session_id) if is_push(session_id) else None
    is_theirs = push is not None and push.consumer_id == consumer.id
    if push is not None and is_theirs and push.state in (PushState.BEGUN, PushState.SHOWN):
        unit.pushes.become(push, PushState.UNANSWERED)
        unit.pushes.hasten_text(push)
