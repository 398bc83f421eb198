"""Asking carriers how old a phone's SIM is: the lane's executor, the job that tells a payment, and a question aside.

Nothing here decides what a fresh SIM means. A question changes nothing at the carrier, so an answer that did not come
is asked for again until the time that the payment gives it is over; by then the payment has helped itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from carriers import base
from gateway.core.payment import SimAge, SimChecked
from gateway.core.pins import Pin, present
from gateway.core.sim_rule import SimRule
from gateway.engine.executors import Grant, number_of
from gateway.engine.lane import NotStarted
from gateway.engine.traces import keep_trace_of_payment
from gateway.store.apply import Job
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit

RETRY_S_MIN: Final = 0.2
AGES: Final[Mapping[type[base.SimResult], SimAge]] = {
    base.SimSettled: SimAge.SETTLED,
    base.SimFresh: SimAge.FRESH,
    base.SimUnknown: SimAge.UNKNOWN,
}


Answered = Mapping[str, Callable[[OutboxRow, base.SimResult], Job]]
"""What records the answer, by the row's kind."""


class SimExecutor:
    """Puts the questions of one carrier's lane."""

    def __init__(
        self,
        hook: base.SimSwap,
        rule: SimRule,
        msisdn_of: Callable[[str], Awaitable[str]],
        answered: Answered,
    ) -> None:
        self._hook = hook
        self._rule = rule
        self._msisdn_of = msisdn_of
        self._answered = answered
        self.concurrency = hook.concurrency
        self.hard_timeout_s = hook.timeout_s

    def is_up(self, row: OutboxRow) -> bool:
        return True

    def drop(self, row: OutboxRow) -> Job:
        raise AssertionError("a question is never superseded")

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        msisdn = await number_of(row, self._msisdn_of)
        if not grant.may_start(self.hard_timeout_s):
            raise NotStarted
        return self._answered[row.kind](row, await self._hook.check(msisdn, self._rule.fresh_h))


def asked_again(unit: Unit, row: OutboxRow, answer: base.SimResult) -> bool:
    """Put the question once more, if the carrier did not say and there is time."""
    if not (isinstance(answer, base.SimUnknown) and answer.retryable):
        return False
    due_at_ms = unit.now_ms + round(max(answer.retry_after_s, RETRY_S_MIN) * 1000)
    if due_at_ms >= row.body["answer_by_ms"]:
        return False
    unit.requeue(row, due_at_ms=due_at_ms)
    return True


@dataclass(slots=True)
class SimDone:
    """What the carrier said of the SIM behind a consent."""

    row: OutboxRow
    answer: base.SimResult

    action: ClassVar[str] = "charge"
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        assert self.row.payment_id is not None and self.row.consumer_id is not None
        return Needs(payment_ids=(self.row.payment_id,), consumer_ids=(self.row.consumer_id,))

    def run(self, unit: Unit) -> None:
        payment_id, answer = str(self.row.payment_id), self.answer
        keep_trace_of_payment(unit, answer.trace, payment_id)
        if asked_again(unit, self.row, answer):
            return
        unit.complete(self.row.id)
        payment = unit.payment(payment_id)
        assert payment is not None
        fact = SimChecked(
            at_ms=unit.now_ms,
            attempt_id=self.row.body["attempt_id"],
            age=AGES[type(answer)],
            has_known_pin=known_pin(unit, payment.consumer_id, payment.carrier) is not None,
            detail=answer.detail if isinstance(answer, base.SimUnknown) else AGES[type(answer)],
        )
        unit.decide(payment_id, fact)


def known_pin(unit: Unit, consumer_id: str, carrier: str) -> Pin | None:
    """The PIN of a locked consumer, if it is older than a SIM that counts as fresh at *carrier*.

    Whoever has the new SIM can make a PIN; an older one can only be known.
    """
    rule = unit.policy.rules[carrier].sim
    pin = present(unit.ussd.pin(consumer_id), unit.policy.pin_keys, unit.now_ms)
    if rule is None or pin is None or pin.set_at_ms > unit.now_ms - rule.fresh_ms:
        return None
    return pin


class SimAges:
    """A question aside from payments, for who is about to send something secret to a phone (a code to log in).

    It is asked at once and once, ends within the hook's time-out and writes nothing. Not to be awaited while somebody
    waits for an answer that must not tell whether the phone is known: that would be told by the time it takes.
    """

    def __init__(self, hooks: Mapping[str, base.SimSwap], rules: Mapping[str, SimRule]) -> None:
        """Both by carrier; a carrier without a hook is not asked."""
        self.hooks = hooks
        self.rules = rules

    async def is_fresh(self, carrier: str, msisdn: str) -> bool:
        """Whether nothing secret may go to the phone now: its SIM is fresh, or by the rule an error counts as that."""
        hook = self.hooks.get(carrier)
        if hook is None:
            return False
        rule = self.rules[carrier]
        match await hook.check(msisdn, rule.fresh_h):
            case base.SimFresh():
                return True
            case base.SimSettled():
                return False
            case base.SimUnknown():
                return rule.on_error == "block"
