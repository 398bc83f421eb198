"""One step of a USSD session as a job of the batch: what is new in it is done once, and its answer is kept.

Where a channel numbers its steps, what is new is counted. Where it does not, the same input at once is the last step
again: it was posted twice, and a person would need longer.

The consumer is locked first, so that a step, a text and a new request cannot overtake each other. Nothing is charged
here: a consent is recorded, and the charge leaves by the outbox after the commit, as with a text.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from msgspec.structs import replace

from carriers import base
from gateway.consumer.ussd_acts import perform
from gateway.consumer.ussd_push import was_answered, was_closed
from gateway.consumer.ussd_screens import Shown, show
from gateway.consumer.ussd_visit import Desk, Visit
from gateway.core.ussd import (
    DELIBERATE,
    MENU,
    SECRET,
    Act,
    Place,
    Screen,
    Session,
    fresh,
    is_repeat,
    mark_of,
    resumed,
    turn,
)
from gateway.store.identity import new_id
from gateway.store.rows import Consumer
from gateway.store.unit import Needs, Phone, Unit

INPUTS_PER_STEP_MAX: Final = 16
INPUTS_PER_SESSION_MAX: Final = 200
GONE: Final = base.UssdAnswer(text="", goes_on=False)
_OVER: Final = Place(screen=Screen.OVER, text="over")


@dataclass(slots=True)
class UssdStepped:
    """The result is the `UssdAnswer`."""

    step: base.UssdStep
    desk: Desk

    action: ClassVar[str] = "reply"
    is_carrier_fact: ClassVar[bool] = False

    def needs(self) -> Needs:
        return Needs(phones=(self._phone(),), sessions=((self.step.carrier, self.step.session_id),))

    def _phone(self) -> Phone:
        return Phone(self.step.msisdn, self.desk.mode)

    def run(self, unit: Unit) -> base.UssdAnswer:
        step, consumer = self.step, unit.consumer(self._phone())
        if step.kind == "end":
            was_closed(unit, consumer, step.carrier, step.session_id)
            return GONE  # Whoever dials again finds the place.
        session = unit.ussd.session(step.carrier, step.session_id, consumer.id)
        if session is None or self._is_earlier(session):
            return self._begin(unit, consumer)
        if not session.goes_on:
            return _answer(session)
        visit = Visit(unit, consumer, step, self.desk, session)
        if not session.is_live:
            return base.UssdAnswer(text=show(visit, _OVER).text, goes_on=False)
        first = 0 if step.kind == "begin" and step.first is None else step.first
        typed = fresh(session.consumed, first, [one.text for one in step.inputs])
        if not typed or is_repeat(session, self._mark(unit), unit.now_ms):
            return _answer(session)
        was_answered(unit, session)
        consumed = session.consumed + len(typed)
        if consumed > INPUTS_PER_SESSION_MAX:
            return self._keep(visit, consumed, show(visit, _OVER))
        return self._keep(visit, consumed, walk(visit, list(typed), is_shown=True))

    def _is_earlier(self, session: Session) -> bool:
        """Whether *session* had its id before the one that begins."""
        begun_at_ms = self.step.begun_at_ms
        # The database's clock may be behind. Then a begin that comes twice begins twice, before anything was typed.
        return begun_at_ms is not None and session.began_at_ms < begun_at_ms

    def _begin(self, unit: Unit, consumer: Consumer) -> base.UssdAnswer:
        """A session that we do not know. What was dialled with its code is taken; what is typed in one we forgot is
        not, for nobody knows on which screen it was typed.
        """
        step = self.step
        earlier = unit.ussd.live(step.carrier, consumer.id)
        session = Session(
            id=new_id("uss_"),
            carrier=step.carrier,
            session_id=step.session_id,
            consumer_id=consumer.id,
            place=MENU,
            began_at_ms=unit.now_ms,
            at_ms=unit.now_ms,
        )
        unit.ussd.begin(session)
        # A channel that sends all that was typed each time names a first step with inputs no other way.
        is_dialled = step.kind == "begin" or step.first == 0
        dialled = [one.text for one in step.inputs] if is_dialled else []
        place = MENU if dialled else resumed(earlier, unit.now_ms)
        visit = Visit(unit, consumer, step, self.desk, replace(session, place=place))
        consumed = (step.first or 0) + len(step.inputs)
        return self._keep(visit, consumed, walk(visit, dialled, is_shown=False))

    def _mark(self, unit: Unit) -> str:
        """Of an input that has no number; the others have no need of one."""
        step = self.step
        if step.first is not None or step.kind == "begin" or not step.inputs:
            return ""
        return mark_of(unit.policy.pin_keys[0], step.session_id, step.inputs[-1].text)

    def _keep(self, visit: Visit, consumed: int, shown: Shown) -> base.UssdAnswer:
        after = replace(
            visit.session,
            place=replace(shown.place, is_closed=False, mark=self._mark(visit.unit)),
            consumed=consumed,
            answer=shown.text,
            goes_on=shown.goes_on,
            is_live=shown.goes_on,
            at_ms=visit.unit.now_ms,
        )
        visit.unit.ussd.keep(after)
        return _answer(after)


def walk(visit: Visit, typed: list[str], *, is_shown: bool) -> Shown:
    """Take inputs one after the other. *is_shown*: the person saw the screen to which the first one answers."""
    shown = Shown(visit.session.place, visit.session.answer)
    if not is_shown:
        shown = show(visit, shown.place)
    for text in typed[:INPUTS_PER_STEP_MAX]:
        place = shown.place
        if not shown.goes_on or (place.screen in SECRET and not is_shown):
            break
        turned = turn(place, text, visit.facts())
        if isinstance(turned, DELIBERATE) and not is_shown:
            break
        shown = show(visit, perform(visit, place, turned) if isinstance(turned, Act) else turned)
        is_shown = False
    return shown


def _answer(session: Session) -> base.UssdAnswer:
    return base.UssdAnswer(text=session.answer, goes_on=session.goes_on)
