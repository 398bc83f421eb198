"""A random walk of payments through the real store, held against the carrier's truth and the books.

Every job is the one that production runs; only the carrier is played. `WALK_STEPS` makes the walk longer than a test
run has time for: `make nightly`.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace
from sqlalchemy import text

from carriers import base
from gateway.app.parts import catalogues
from gateway.consumer.keywords import Keywords
from gateway.core.codes import choose_code
from gateway.core.dispute import Act
from gateway.core.payment import Capture, ChargeTakenBack, Payment, Rules, State
from gateway.core.reply import Meaning
from gateway.engine.carrier_jobs import CallbackRead, DeadlineReached, OrderDone
from gateway.engine.inbox import KeywordHandler
from gateway.engine.merchant_jobs import CancelPayment, CapturePayment, ChangePayment, FulfilPayment
from gateway.engine.refund_jobs import CreateRefund, RefundDone
from gateway.store.apply import Job, Store
from gateway.store.engine import connect
from gateway.store.outbox import OutboxRow
from gateway.store.queries import payment_from_row
from gateway.store.seal import seal_next
from gateway.store.unit import Needs, Policy, Unit
from gateway.store.verify import verify
from tests.store.bench import CARRIERS, CODE_KEY, POLICY, Odd, a_create, a_text, applied
from tests.store.walk_truth import ANSWERS, CLAWBACK, Answer, Truth

STEPS_EACH: Final = 50
STEPS: Final = int(os.environ.get("WALK_STEPS", "2000"))
PHONES: Final = ("+254700000001", "+254700000002", "+254700000003")
HOLDING: Final = Rules(holds=True, partial_capture=True, hold_ms=3_600_000, max_processing_ms=1_000)
WALKING: Final[Policy] = replace(POLICY, rules=dict.fromkeys(CARRIERS, HOLDING))
PRICE_MINOR: Final = 125_000
PART_MINOR: Final = 100_000
WAITING: Final = "state IN ('created', 'awaiting_consent')"
ROUNDS_MAX: Final = 40
ORDERS: Final = "('charge', 'reserve', 'capture', 'release', 'reverse', 'refund', 'inquire')"


class House:
    """A store and its carrier, for one walk or for many after each other."""

    def __init__(self, url: str, keywords: dict[Meaning, KeywordHandler]) -> None:
        self.engine = connect(url)
        self.offset_ms = 0
        self.store = Store(self.engine, WALKING, clock_offset_ms=lambda: self.offset_ms)
        self.truth = Truth()
        self.keywords = keywords
        self.created = 0
        self.steps = 0

    def rows(self, statement: str, **values: object) -> list[Any]:  # Any: rows of the walk's own questions.
        with self.engine.connect() as conn:
            return list(conn.execute(text(statement), values))

    def payments(self, where: str) -> list[Payment]:
        return [payment_from_row(row) for row in self.rows(f"SELECT * FROM payment WHERE {where} ORDER BY id")]  # noqa: S608


class Walk(RuleBasedStateMachine):
    """Some payments of three phones and one merchant; each step is one batch."""

    house: House

    def __init__(self) -> None:
        super().__init__()
        # What walks before this one have left is nobody's business any more.
        self.first = self.house.rows("SELECT coalesce(max(id), '') AS id FROM payment")[0].id

    def _mine(self, condition: str = "1 = 1") -> list[Payment]:
        return self.house.payments(f"id > '{self.first}' AND {condition}")

    def _orders(self) -> list[OutboxRow]:
        found = self.house.rows(
            f"SELECT o.*, c.msisdn FROM outbox o JOIN consumer c ON c.id = o.consumer_id"  # noqa: S608
            f" WHERE o.kind IN {ORDERS} AND o.payment_id > :first ORDER BY o.id",
            first=self.first,
        )
        return [OutboxRow(**{**row._mapping, "body": msgspec.json.decode(row.body)}) for row in found]

    @rule(
        capture=st.sampled_from([Capture.AUTOMATIC, Capture.MANUAL, Capture.ESCROW]),
        phone=st.sampled_from(PHONES),
        confirms=st.sampled_from([True, True, True, False]),
    )
    def merchant_asks(self, capture: Capture, phone: str, confirms: bool) -> None:
        self.house.created += 1
        key = f"{self.first}-{self.house.created}"
        applied(self.house.store, a_create(key, capture=capture, msisdn=phone))
        if confirms:
            self._text(self._mine()[-1], self._code_of(self._mine()[-1]))

    def _one(self, found: list[Payment], which: int) -> Payment | None:
        return found[which % len(found)] if found else None

    @precondition(lambda self: self._mine(WAITING))
    @rule(which=st.integers(0, 9), word=st.sampled_from(["code", "code", "code", "code", "0", "1234"]))
    def phone_answers(self, which: int, word: str) -> None:
        payment = self._one(self._mine(WAITING), which)
        assert payment is not None
        self._text(payment, self._code_of(payment) if word == "code" else word)

    def _code_of(self, payment: Payment) -> str:
        return choose_code(CODE_KEY, payment.id, payment.code_digits, (), payment.code_n)[0]

    @precondition(lambda self: self._mine("escrow = 'held'"))
    @rule(which=st.integers(0, 9))
    def buyer_has_the_goods(self, which: int) -> None:
        payment = self._one(self._mine("escrow = 'held'"), which)
        if payment is not None:
            self._text(payment, f"OK {payment.ref}")

    def _text(self, payment: Payment, words: str) -> None:
        msisdn = self.house.rows("SELECT msisdn FROM consumer WHERE id = :id", id=payment.consumer_id)[0].msisdn
        read_at_ms = payment.created_at_ms + 1
        job = a_text(words, msisdn=msisdn, read_at_ms=read_at_ms)
        job.keywords = self.house.keywords
        applied(self.house.store, job)

    @precondition(lambda self: self._mine())
    @rule(
        which=st.integers(0, 9),
        kind=st.sampled_from([CapturePayment, CancelPayment, FulfilPayment, FulfilPayment]),
    )
    def merchant_changes(self, which: int, kind: type[ChangePayment]) -> None:
        payment = self._one(self._mine(), which)
        assert payment is not None
        self._change(payment, kind)

    @precondition(lambda self: self._mine("state = 'authorized'"))
    @rule(which=st.integers(0, 9), part=st.sampled_from([None, None, PART_MINOR, 1, PRICE_MINOR + 1]))
    def merchant_captures(self, which: int, part: int | None) -> None:
        payment = self._one(self._mine("state = 'authorized'"), which)
        assert payment is not None
        self._change(payment, CapturePayment, amount_minor=part)

    @precondition(lambda self: self._mine("state = 'captured'"))
    @rule(which=st.integers(0, 9), part=st.sampled_from([None, 1, 30_000, 60_000, PRICE_MINOR]))
    def merchant_refunds(self, which: int, part: int | None) -> None:
        payment = self._one(self._mine("state = 'captured'"), which)
        assert payment is not None
        self.house.created += 1
        job = CreateRefund(
            merchant_id="mer_1",
            mode="test",
            payment_id=payment.id,
            amount_minor=part,
            reason="",
            key=f"{self.first}-r{self.house.created}",
            body_hash="a hash",
        )
        applied(self.house.store, job)

    @precondition(lambda self: self._mine("state = 'captured'"))
    @rule(which=st.integers(0, 9))
    def buyer_disputes(self, which: int) -> None:
        payment = self._one(self._mine("state = 'captured'"), which)
        assert payment is not None
        self._text(payment, f"DISPUTE {payment.ref}")

    @precondition(lambda self: self._disputes())
    @rule(which=st.integers(0, 9), act=st.sampled_from([Act.ACCEPT, Act.WIN, Act.LOSE]))
    def dispute_is_decided(self, which: int, act: Act) -> None:
        disputes = self._disputes()
        self._decide(disputes[which % len(disputes)], act)

    def _disputes(self) -> list[str]:
        open_ones = "SELECT id FROM dispute WHERE state IN ('open', 'under_review') AND payment_id > :first ORDER BY id"
        return [row.id for row in self.house.rows(open_ones, first=self.first)]

    def _decide(self, dispute_id: str, act: Act) -> None:
        def run(unit: Unit) -> None:
            dispute = unit.disputes.get(dispute_id)
            assert dispute is not None
            unit.disputes.act(dispute, act)

        applied(self.house.store, Odd(run))

    @precondition(lambda self: self._mine("state = 'captured'"))
    @rule(which=st.integers(0, 30))
    def carrier_takes_the_money_back(self, which: int) -> None:
        """Seldom, or there would be nothing left to walk on."""
        payment = self._one(self._mine("state = 'captured'"), which)
        if which or payment is None or payment.attempt_id is None:
            return
        order = self.house.truth.orders[payment.attempt_id]
        order.given_back[CLAWBACK] = order.kept_minor
        event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id)
        wants = Needs(payment_ids=(payment.id,))
        applied(self.house.store, Odd(lambda unit: unit.decide(payment.id, event), wants))

    def _change(self, payment: Payment, kind: type[ChangePayment], **words: Any) -> None:  # Any: fields of the job.
        job = kind(merchant_id="mer_1", mode="test", payment_id=payment.id, key=None, body_hash="a hash", **words)
        applied(self.house.store, job)

    @precondition(lambda self: self._orders())
    @rule(which=st.integers(0, 9), answer=st.sampled_from(ANSWERS))
    def order_leaves(self, which: int, answer: Answer) -> None:
        orders = self._orders()
        row = orders[which % len(orders)]
        self.house.offset_ms += max(0, row.due_at_ms - row.created_at_ms) % 60_000
        if row.kind in ("charge", "reserve") and self._is_too_old(row):
            answer = "unsent"
        applied(self.house.store, self._done(row, answer))

    def _done(self, row: OutboxRow, answer: Answer) -> Job:
        done = RefundDone if row.body["of"] == "refund" else OrderDone
        return done(row, self.house.truth.answer(row, answer))

    def _is_too_old(self, row: OutboxRow) -> bool:
        [found] = self.house.payments(f"id = '{row.payment_id}'")
        return found.updated_at_ms > (row.body["charge_not_after_ms"] or 0)

    @rule(minutes=st.sampled_from([*(1,) * 15, 5, 5, 30, 60 * 24 * 15]))
    def time_passes(self, minutes: int) -> None:
        self.house.offset_ms += minutes * 60_000
        waiting = self._mine("deadline_at_ms IS NOT NULL")
        applied(self.house.store, *(DeadlineReached(payment.id) for payment in waiting))

    def _told_by(self, attempt_id: str) -> None:
        applied(self.house.store, CallbackRead(base.Callback(carrier="acme", attempt_id=attempt_id)))

    def _of_mine(self, attempts: list[str]) -> list[str]:
        return [one for one in attempts if self.house.truth.orders[one].payment_id > self.first]

    @precondition(lambda self: self._of_mine(self.house.truth.open_orders()))
    @rule(which=st.integers(0, 9))
    def charge_succeeds_late(self, which: int) -> None:
        found = self._of_mine(self.house.truth.open_orders())
        attempt_id = found[which % len(found)]
        order = self.house.truth.orders[attempt_id]
        [row] = self.house.rows("SELECT kind FROM attempt WHERE id = :id", id=attempt_id)
        order.place = "held" if row.kind == "reserve" else "charged"
        order.taken_minor = order.amount_minor if order.place == "charged" else 0
        self._told_by(attempt_id)

    @precondition(lambda self: self._of_mine(self.house.truth.held_orders()))
    @rule(which=st.integers(0, 9))
    def hold_ends_by_itself(self, which: int) -> None:
        found = self._of_mine(self.house.truth.held_orders())
        attempt_id = found[which % len(found)]
        self.house.truth.orders[attempt_id].place = "free"
        self._told_by(attempt_id)

    @invariant()
    def a_step_is_made(self) -> None:
        self.house.steps += 1

    def teardown(self) -> None:
        """Everything that is under way comes to its end, and then both sides agree."""
        for attempt_id in self._of_mine(self.house.truth.open_orders()):
            self.house.truth.orders[attempt_id].place = "declined"
        for dispute_id in self._disputes():
            self._decide(dispute_id, Act.WIN)
        for _ in range(ROUNDS_MAX):
            orders, waiting = self._orders(), self._mine("deadline_at_ms IS NOT NULL")
            if not orders and not waiting:
                break
            answers = [self._done(row, "yes") for row in orders]
            applied(self.house.store, *answers, *(DeadlineReached(payment.id) for payment in waiting))
            self.house.offset_ms += 24 * 3_600_000
        self._settle_pending()
        for payment in self._mine():
            self._agree(payment)

    def _settle_pending(self) -> None:
        assert not [row for row in self._orders() if row.kind != "inquire"], "I14: what was ordered has left"

    def _agree(self, payment: Payment) -> None:
        kept = self.house.truth.kept_minor(payment.id)
        breaks = {row.kind for row in self.house.rows("SELECT kind FROM break WHERE payment_id = :id", id=payment.id)}
        books = self.house.rows(
            "SELECT coalesce(sum(l.amount_minor), 0) AS minor FROM entry e JOIN leg l ON l.entry_id = e.id"
            " WHERE e.payment_id = :id AND l.account = 'carrier:acme:receivable'",
            id=payment.id,
        )[0].minor
        if not breaks:
            assert books == kept, f"I6: {payment.id} {payment.state}: the books say {books}, the carrier took {kept}"
            wanted = payment.captured_minor - payment.refunded_minor if payment.state is State.CAPTURED else 0
            assert kept == wanted, f"I5, I9: {payment.id} is {payment.state} and the phone paid {kept}"
        live = [one for one in self.house.truth.orders.values() if one.payment_id == payment.id and one.kept_minor]
        assert len(live) <= 1 or breaks, f"I3: {payment.id} was charged {len(live)} times"


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    spoken = catalogues()
    zones = {name: ZoneInfo("Africa/Nairobi") for name in CARRIERS}
    keywords = Keywords(zones, dict.fromkeys(CARRIERS, "KES"), dict.fromkeys(CARRIERS, spoken)).handlers
    with ExitStack() as stack:
        opened = House(database_url, dict(keywords))
        stack.callback(opened.engine.dispose)
        yield opened


@pytest.mark.money
def test_no_walk_breaks_the_books(house: House) -> None:
    walk = type("WalkOnThis", (Walk,), {"house": house})
    bounds = settings(
        max_examples=STEPS * 6 // (5 * STEPS_EACH) + 5,  # Some walks are a little shorter.
        stateful_step_count=STEPS_EACH,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(walk, settings=bounds)
    assert house.steps >= STEPS
    with house.engine.begin() as conn:
        after_id: str | None = ""
        while after_id is not None:
            after_id = seal_next(conn, after_id=after_id, limit=1_000)[1]
        assert verify(conn) == []
