"""A bench for caps: a store whose clock a test moves, and a hand that plays merchants, carrier and phone."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from carriers import base
from gateway.consumer import stops
from gateway.core.caps import NO_CAPS, Caps, Terms
from gateway.core.payment import CancelRequested, DeadlinePassed, Payment
from gateway.core.reply import Meaning
from gateway.engine.carrier_jobs import OrderDone, TextDone
from gateway.engine.executors import STOPPED
from gateway.engine.inbox import MoReceived
from gateway.engine.merchant_jobs import Answer, Problem, derived
from gateway.store.apply import Batch, Job, Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs, Policy, Unit
from tests.consumer.bench import texts_of
from tests.store.bench import CODE_KEY, POLICY, SIMULATED, Odd, a_create, a_store, a_text, applied

NAIROBI = ZoneInfo("Africa/Nairobi")
ALWAYS_AWAKE = Caps(quiet_hours="")


def capped_by(caps: Caps) -> Policy:
    return replace(POLICY, terms={"acme": Terms(caps=caps, zone=NAIROBI)})


def just(**caps: Any) -> Policy:  # Any: fields of the caps.
    """These caps and no others."""
    return capped_by(replace(NO_CAPS, **caps))


class Here:
    """One store and its clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.passed_ms = 0
        self.retry_after_s = 0
        store._clock_offset_ms = lambda: self.passed_ms
        self._keys = itertools.count(1)
        self._wrong_codes = itertools.count(1)

    def do(self, *jobs: Job) -> Batch:
        return applied(self.store, *jobs)

    def pass_s(self, seconds: float) -> None:
        self.passed_ms += int(seconds * 1000)

    def ask(self, merchant: str = "mer_1", **changes: Any) -> str:  # Any: fields of the request.
        """What the merchant sees in the end: the problem's code, the reason, or `asked`."""
        batch = self.do(a_create(f"k-{next(self._keys)}", merchant_id=merchant, **changes))
        result = batch.applied[0].result
        if isinstance(result, Problem):
            self.retry_after_s = int(result.extra["retry_after_s"])
            return result.code
        assert isinstance(result, Answer) and result.status == 201
        body = json.loads(result.body)
        for row in batch.rows:
            self.send(row)
        return self.payment(body["id"]).reason or "asked"

    def send(self, row: OutboxRow) -> None:
        """As the lane's executor does."""
        sent = base.Submitted(message_ids=(row.id[-12:],), segments=1)
        self.do(TextDone(row, STOPPED if row.body.get("stopped") else sent))

    def text(self, words: str, **changes: Any) -> list[str]:  # Any: fields of the text.
        """The phone sends *words*; which texts it gets for it."""
        job = MoReceived(a_text(words, **changes).mo, {Meaning.STOP: stops.stop}, "test")
        return [row.body["template"] for row in texts_of(self.do(job))]

    def charge(self, code: str) -> OutboxRow:
        """The phone confirms with *code*; the order that leaves for it."""
        [order] = [row for row in self.do(a_text(code)).rows if row.kind == "charge"]
        return order

    def decline_for_funds(self, order: OutboxRow) -> None:
        for row in self.do(OrderDone(order, base.Declined(reason="insufficient_funds", detail="E51"))).rows:
            if row.kind == "sms":
                self.send(row)

    def cancel(self) -> None:
        """The merchants take back all that waits."""
        self.do(self.cancelling())

    def cancelling(self) -> Odd:
        """The same, as a job."""
        return Odd(_cancel, Needs(phones=(SIMULATED,)))

    def deadlines(self) -> Odd:
        """All that waits is told that its time is over."""
        return Odd(_expire, Needs(phones=(SIMULATED,)))

    def payment(self, payment_id: str) -> Payment:
        needs = Needs(payment_ids=(payment_id,))
        found = self.do(Odd(lambda unit: unit.payment(payment_id), needs)).applied[0].result
        assert isinstance(found, Payment)
        return found

    def waiting(self) -> list[Payment]:
        found = self.do(Odd(_waiting, Needs(phones=(SIMULATED,)))).applied[0].result
        assert isinstance(found, list)
        return found

    def code(self) -> str:
        """The right code of the newest that waits."""
        return derived(CODE_KEY, self.waiting()[-1])

    def wrong_code(self) -> str:
        """Another one each time, since the same text at once is no further guess. No code begins with 0."""
        return f"{next(self._wrong_codes):04d}"


def _waiting(unit: Unit) -> list[Payment]:
    return unit.waiting(unit.consumer(SIMULATED).id)


def _cancel(unit: Unit) -> None:
    for payment in _waiting(unit):
        unit.decide(payment.id, CancelRequested(at_ms=unit.now_ms))


def _expire(unit: Unit) -> None:
    for payment in _waiting(unit):
        unit.decide(payment.id, DeadlinePassed(at_ms=unit.now_ms))


@contextmanager
def here(url: str, policy: Policy) -> Iterator[Here]:
    with a_store(url, policy) as store:
        yield Here(store)
