"""What becomes of payments, texts, orders and webhooks, counted for the metrics: plain numbers, no labels of anybody's.

Every series exists from the start, so that a rate over it is right from its first event on.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from carriers import base
from gateway.consumer.limits import LimitSimDone
from gateway.core.payment import PublicState, Reason, SimAge
from gateway.engine.carrier_jobs import OrderDone, TextDone
from gateway.engine.lane import Executor, Grant
from gateway.engine.pushes import NOT_PUSHED, PushDone
from gateway.engine.refund_jobs import RefundDone
from gateway.engine.sim_checks import AGES, SimDone
from gateway.store.apply import Job
from gateway.store.outbox import OutboxRow
from gateway.store.refunds import OF_REFUND
from gateway.store.times import Times
from gateway.store.unit import Move
from merchants.deliveries import WebhookDone
from merchants.replaying import ReplayDone

TEXT_KINDS: Final = {base.Submitted: "submitted", base.Refused: "refused", base.Unknown: "unknown"}
ORDER_KINDS: Final = {
    base.Charged: "charged",
    base.Held: "held",
    base.Released: "released",
    base.Declined: "declined",
    base.Unsent: "unsent",
    base.Unknown: "unknown",
    base.NotFound: "not_found",
    base.Pending: "pending",
}
DROPPED: Final = "dropped"
TEXTED: Final = "texted"
PUSH_KINDS: Final = (*TEXT_KINDS.values(), NOT_PUSHED, TEXTED, DROPPED)
ORDERS: Final = ("charge", "reserve", "capture", "release", "reverse", "inquire")
SIM_KINDS: Final = tuple(str(age) for age in SimAge)
WEBHOOK_KINDS: Final = ("delivered", "failed", "gone", DROPPED)


class Tally:
    """How often each kind of outcome came, and how long it took."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self.counts = dict.fromkeys(kinds, 0)
        self.times = Times()

    def note(self, kind: str, seconds: float) -> None:
        if kind not in self.counts:  # What is not counted must not fail for that.
            return
        self.counts[kind] += 1
        if kind != DROPPED:  # Nobody was asked, so nobody answered.
            self.times.note(seconds)


class Tallies:
    """Of one process."""

    def __init__(self, carriers: Iterable[str]) -> None:
        names = tuple(carriers)
        self.texts = {name: Tally((*TEXT_KINDS.values(), DROPPED)) for name in names}
        self.pushes = {(name, kind): 0 for name in names for kind in PUSH_KINDS}
        self.orders = {name: {order: Tally(ORDER_KINDS.values()) for order in ORDERS} for name in names}
        self.sims = {name: Tally(SIM_KINDS) for name in names}
        self.webhooks = Tally(WEBHOOK_KINDS)
        self.states = {(name, str(state)): 0 for name in names for state in PublicState}
        self.reports = dict.fromkeys(names, 0)
        self.reasons = {(name, str(reason)): 0 for name in names for reason in Reason}

    def moved(self, moves: Iterable[Move]) -> None:
        """Payments came into other public states."""
        for move in moves:
            self.states[move.carrier, move.state] += 1
            if move.state == PublicState.FAILED and move.reason is not None:
                self.reasons[move.carrier, move.reason] += 1

    def told(self, reported: Iterable[str]) -> None:
        """Phones' owners say of payments of these carriers that they were not their purchase."""
        for carrier in reported:
            self.reports[carrier] += 1

    def watch(self, executors: Mapping[str, Executor]) -> dict[str, Executor]:
        """The same executors, by lane, with every outcome noted."""
        return {lane: Watched(executor, self._note) for lane, executor in executors.items()}

    def _note(self, row: OutboxRow, job: Job, seconds: float) -> None:
        match job:
            case TextDone(result=None):
                self.texts[row.body["carrier"]].note(DROPPED, seconds)
            case TextDone(result=answer) if answer is not None:
                self.texts[row.body["carrier"]].note(TEXT_KINDS[type(answer)], seconds)
                if row.body.get("after_push") and row.tries == 0:
                    self.pushes[row.body["carrier"], TEXTED] += 1
            case PushDone(result=pushed):
                self.pushes[row.body["carrier"], _push_kind(pushed)] += 1
            case OrderDone(result=outcome) | RefundDone(result=outcome):
                # A refund is given back like a reversal, and counted with them.
                order = "reverse" if row.kind == OF_REFUND else row.kind
                self.orders[row.body["carrier"]][order].note(ORDER_KINDS[type(outcome)], seconds)
            case SimDone(answer=said) | LimitSimDone(answer=said):
                self.sims[row.body["carrier"]].note(AGES[type(said)], seconds)
            case WebhookDone(outcome=tried):
                self.webhooks.note(tried.kind, seconds)
            case ReplayDone(tried=page):
                for one in page:
                    self.webhooks.note(one.outcome.kind, one.outcome.took_ms / 1000)
            case _:
                pass


def _push_kind(result: base.SubmitResult | None) -> str:
    if result is None:
        return DROPPED
    is_ours = isinstance(result, base.Refused) and result.code == NOT_PUSHED
    return NOT_PUSHED if is_ours else TEXT_KINDS[type(result)]


class Watched:
    """An executor whose outcomes are noted; it does what the one inside does."""

    def __init__(self, inner: Executor, note: Callable[[OutboxRow, Job, float], None]) -> None:
        self._inner = inner
        self._note = note

    @property
    def concurrency(self) -> int:
        return self._inner.concurrency

    @property
    def hard_timeout_s(self) -> float:
        return self._inner.hard_timeout_s

    def is_up(self, row: OutboxRow) -> bool:
        return self._inner.is_up(row)

    async def run(self, row: OutboxRow, grant: Grant) -> Job:
        began_s = time.perf_counter()
        job = await self._inner.run(row, grant)
        self._note(row, job, time.perf_counter() - began_s)
        return job

    def drop(self, row: OutboxRow) -> Job:
        return self._inner.drop(row)
