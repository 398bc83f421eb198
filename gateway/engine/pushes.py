"""Asks that go to phones as screens of USSD, with a text in their place where that cannot be or nobody answers.

A push is written down before its first byte leaves, and it leaves once: whatever is not known to be shown is followed
by the text at once, and what is shown and not answered by the text later. The payment takes whichever consent comes
first.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, cast

from carriers import base
from gateway.core.payment import AskSubmitted, AskUnknown, Event, Payment
from gateway.core.pushes import Push, PushState, ask_of, push_id
from gateway.engine.batcher import Batcher, Busy
from gateway.engine.carrier_jobs import TextDone
from gateway.engine.executors import ASK_MIN_LEFT_MS, Grant, TextExecutor
from gateway.engine.lane import NotStarted
from gateway.store.apply import Job
from gateway.store.effects import ask_message_id
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Unit

# Of the commit that comes before the first byte: a writer that takes longer is in trouble.
BEGIN_WITHIN_S: Final = 5.0
NOT_PUSHED: Final = "not_pushed"
"""The code of a refusal of our own: the phone has no PIN, or is in a session."""
INHERITED: Final = base.Unknown(detail="another process may have sent it")


@dataclass(frozen=True, slots=True)
class NotPushed:
    """Why no screen goes; `is_over`: the payment waits no more, so no text goes either."""

    why: str
    is_over: bool = False


Begun = base.UssdAsk | NotPushed
"""What the job that writes a push down gives: it may leave, or why it does not."""


def is_worth_pushing(payment: Payment | None, row: OutboxRow, now_ms: int) -> bool:
    """Whether the payment still waits for this ask, for long enough."""
    is_open = payment is not None and payment.is_waiting and ask_message_id(payment) == ask_of(row.id)
    return is_open and row.body["expires_at_ms"] - now_ms >= ASK_MIN_LEFT_MS


def ask_by_text(unit: Unit, payments: Sequence[Payment]) -> None:
    """Let the text follow for those of *payments* whose screen was answered: only the code pays them now."""
    for payment in payments:
        push = unit.pushes.get(push_id(ask_message_id(payment)))
        if push is not None and push.state is PushState.ANSWERED and not payment.needs_pin:
            unit.pushes.become(push, PushState.UNANSWERED)
            unit.effects.ask_by_text(payment)


@dataclass(slots=True)
class PushDone:
    """What became of a push. *result* None: it was dropped before it was sent, because it no longer mattered."""

    row: OutboxRow
    result: base.SubmitResult | None
    action: ClassVar[str] = "ask"
    is_carrier_fact: ClassVar[bool] = True

    def needs(self) -> Needs:
        assert self.row.payment_id is not None and self.row.consumer_id is not None
        return Needs(payment_ids=(self.row.payment_id,), consumer_ids=(self.row.consumer_id,))

    def run(self, unit: Unit) -> None:
        is_first = unit.pushes.end_row(self.row.id)
        push = unit.pushes.get(self.row.id)
        if self.result is None:
            return
        if push is not None:
            self._keep(unit, push, self.result)
        payment_id = self.row.payment_id
        assert payment_id is not None
        fact = self._fact(unit)
        if fact is not None:
            unit.decide(payment_id, fact)
        # After a lost lease two owners end it: the facts of both count, but one text goes.
        if is_first and is_worth_pushing(unit.payment(payment_id), self.row, unit.now_ms):
            self._fall_back(unit, push)

    def _keep(self, unit: Unit, push: Push, result: base.SubmitResult) -> None:
        match result:
            case base.Submitted() if push.state is PushState.BEGUN:
                unit.pushes.become(push, PushState.SHOWN)
            case base.Refused():
                unit.pushes.become(push, PushState.REFUSED, f"{result.code} {result.detail}")
                unit.ussd.forget(push.carrier, push.id, push.consumer_id)
            case base.Unknown() if push.state is PushState.BEGUN:
                unit.pushes.become(push, PushState.UNKNOWN, result.detail)
            case _:  # The phone was quicker than the network's word.
                pass

    def _fact(self, unit: Unit) -> Event | None:
        if isinstance(self.result, base.Submitted):
            return AskSubmitted(at_ms=unit.now_ms, message_id=self.row.id)
        return AskUnknown(at_ms=unit.now_ms) if isinstance(self.result, base.Unknown) else None

    def _fall_back(self, unit: Unit, push: Push | None) -> None:
        now = None if push is None else unit.pushes.get(push.id)
        if now is not None and now.state is PushState.ANSWERED:
            return
        wait_ms = 0
        if now is not None and now.state is PushState.SHOWN:
            wait_ms = unit.policy.pushing.get(now.carrier, 0)
        # A text that would come too late to be answered goes while it still can be.
        latest_ms = self.row.body["expires_at_ms"] - 2 * ASK_MIN_LEFT_MS
        unit.pushes.send_text(self.row, due_at_ms=min(unit.now_ms + wait_ms, latest_ms))


class PushExecutor:
    """Sends the rows of one carrier's lane: those of kind `ussd` by its channel, the others as texts."""

    def __init__(
        self, texts: TextExecutor, channel: base.UssdChannel, batcher: Batcher, begin: Callable[[OutboxRow], Job]
    ) -> None:
        """*begin* makes the job that writes the push down; it gives `Begun`."""
        self._texts = texts
        self._channel = channel
        self._batcher = batcher
        self._begin = begin
        self.concurrency = texts.concurrency
        self.hard_timeout_s = max(texts.hard_timeout_s, channel.hard_timeout_s + BEGIN_WITHIN_S)

    def is_up(self, row: OutboxRow) -> bool:
        # Without a channel a push is refused, and its text goes in its place.
        return row.kind == "ussd" or self._texts.is_up(row)

    def drop(self, row: OutboxRow) -> TextDone | PushDone:
        return PushDone(row, None) if row.kind == "ussd" else self._texts.drop(row)

    async def run(self, row: OutboxRow, grant: Grant) -> TextDone | PushDone:
        if row.kind != "ussd":
            return await self._texts.run(row, grant)
        if row.maybe_sent:
            return PushDone(row, INHERITED)
        begun = await self._begun(row)
        if isinstance(begun, NotPushed):
            refused = base.Refused(code=NOT_PUSHED, detail=begun.why, retryable=False)
            return PushDone(row, None if begun.is_over else refused)
        if not grant.may_start(self._channel.hard_timeout_s):
            raise NotStarted
        return PushDone(row, await self._channel.push(begun))

    async def _begun(self, row: OutboxRow) -> Begun:
        try:
            written: Awaitable[object] = self._batcher.offer(self._begin(row), vital=True)
        except Busy as busy:
            raise NotStarted from busy
        try:
            return cast(Begun, await written)  # As *begin* says.
        except Busy as stopped:
            raise NotStarted from stopped
