"""Arbitrary stories of one payment against a small model of a carrier, judged after every step by the invariants.

The carrier here may be slow, silent, forgetful and late: an attempt that reached it may be charged at any later time,
whatever it said before, and anything it once said may arrive again. What must hold all the same: the letters I… name
the invariants of the reference on payments that the pure core can be held to.
"""

from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from gateway.core import decide as decide_module
from gateway.core.decide import TABLE, Rule, decide, open_payment
from gateway.core.ledger import SUSPENSE, Entry, payment_entry
from gateway.core.payment import (
    FINAL_STATES,
    AskDeclined,
    AskDelivered,
    AskSubmitted,
    AskUndeliverable,
    AskUnknown,
    BreakKind,
    CancelRequested,
    Capture,
    CaptureRequested,
    Charge,
    Charged,
    ChargeDeclined,
    ChargeNotFound,
    ChargeTakenBack,
    ChargeUnknown,
    ChargeUnsent,
    ConsumerStopped,
    DeadlinePassed,
    Decision,
    EndHold,
    EntryKind,
    Event,
    EventType,
    Fulfilled,
    Held,
    HoldEnded,
    HoldOrderDeclined,
    HoldOrderNotDone,
    HoldOrderUnknown,
    HoldOrderUnsent,
    Inquire,
    MoneyFact,
    Notify,
    OpenBreak,
    OperationKind,
    Payment,
    Post,
    PublicState,
    Reason,
    RecordConsent,
    ReplyConfirmed,
    ReplyRefused,
    Reserve,
    Reverse,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
    Rules,
    State,
    WrongCodeReplied,
)
from tests.core.factories import NOW, a_payment, an_event

RULES: Final = Rules()
HOLDING: Final = Rules(holds=True, partial_capture=True, hold_ms=500_000)
PART_MINOR: Final = 100_000
Order = Charge | Reserve | EndHold | Inquire | Reverse

BOUNDS: Final = settings(
    max_examples=300,
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


_OF_ONE_TRY: Final = (
    *(ChargeUnsent, ReverseUnsent, ChargeNotFound, ReverseNotFound, HoldOrderUnsent, HoldOrderNotDone),
    *(HoldOrderUnknown, HoldOrderDeclined),
)


class PaymentStory(RuleBasedStateMachine):
    """One payment, one phone, one merchant, one carrier."""

    @initialize(
        capture=st.sampled_from([Capture.AUTOMATIC, Capture.AUTOMATIC, Capture.MANUAL]),
        begins=st.sampled_from(["asked", "confirmed", "confirmed", "low", "low"]),
        rules=st.sampled_from([RULES, HOLDING, HOLDING]),
    )
    def open(self, capture: Capture, begins: str, rules: Rules) -> None:
        """A new payment; most stories begin where it gets interesting: confirmed, or asked again for lack of funds."""
        self.noise = 0
        self.policy = rules
        self.now_ms = NOW
        self.attempts_made = 0
        self.orders: list[tuple[int, Order]] = []
        self.reached: dict[str, str] = {}
        """What truly became of the attempts that the carrier got: pending, charged, declined, back, held, free."""
        self.captured_minor: dict[str, int] = {}
        self.said: list[MoneyFact] = []
        self.consents: set[str] = set()
        self.may_have_left: set[str] = set()
        self.charges: list[str] = []
        self.posted: list[tuple[EntryKind, str]] = []
        self.entries: list[Entry] = []
        self.told: Counter[EventType] = Counter()
        self.breaks: Counter[BreakKind] = Counter()
        self.alarmed: set[str] = set()
        self.payment = a_payment(capture=capture)
        self._carry_out(self.payment, open_payment(self.payment, "ask"))
        if begins != "asked":
            self.phone_confirms(0)
        if begins == "low":
            self._happen(CaptureRequested)
            self.order_leaves(0, "low")

    def is_lively(self) -> bool:
        """After the end only a little of what changes nothing is of interest; the carrier's facts are."""
        return self.noise < 3

    @rule(late_ms=st.sampled_from([0, 0, 0, 30_000, 400_000]))
    def phone_confirms(self, late_ms: int) -> None:
        self.now_ms += late_ms
        self.attempts_made += 1
        self._happen(ReplyConfirmed, read_at_ms=self.now_ms, next_attempt_id=f"att_{self.attempts_made}")

    @precondition(is_lively)
    @rule(event=st.sampled_from([WrongCodeReplied, WrongCodeReplied, ReplyRefused, ConsumerStopped]))
    def phone_does_something_else(self, event: type[Event]) -> None:
        self._happen(event)

    @precondition(is_lively)
    @rule(event=st.sampled_from([CaptureRequested, CaptureRequested, CancelRequested, Fulfilled]))
    def merchant_asks(self, event: type[Event]) -> None:
        self._happen(event)

    @precondition(lambda self: self.payment.funds_held)
    @rule()
    def merchant_captures_a_part(self) -> None:
        self._happen(CaptureRequested, amount_minor=PART_MINOR)

    @precondition(lambda self: "held" in self.reached.values())
    @rule()
    def hold_expires_at_the_carrier(self) -> None:
        attempt_id = next(attempt for attempt, truth in self.reached.items() if truth == "held")
        self.reached[attempt_id] = "free"
        self._say(HoldEnded, attempt_id)

    @precondition(is_lively)
    @rule(wait_ms=st.sampled_from([1_000, 1_000, 20_000, 61_000, 400_000]))
    def time_passes(self, wait_ms: int) -> None:
        self.now_ms += wait_ms
        self._happen(DeadlinePassed)

    @precondition(is_lively)
    @rule(event=st.sampled_from([AskSubmitted, AskSubmitted, AskDelivered, AskUnknown, AskDeclined, AskUndeliverable]))
    def ask_is_heard_of(self, event: type[Event]) -> None:
        self._happen(event)

    @precondition(lambda self: self.orders)
    @rule(
        which=st.integers(0, 3),
        answer=st.sampled_from(["yes", "no", "low", "silent", "silent yes", "silent no", "unsent", "unsent"]),
    )
    def order_leaves(self, which: int, answer: str) -> None:
        due_ms, order = self.orders.pop(which % len(self.orders))
        self.now_ms = max(self.now_ms, due_ms)
        match order:
            case Charge() | Reserve():
                self._charge_leaves(order.attempt_id, answer, is_hold=isinstance(order, Reserve))
            case EndHold():
                self._hold_order_leaves(order, answer)
            case Inquire(kind=OperationKind.CAPTURE | OperationKind.RELEASE):
                self._hold_is_asked_about(order.attempt_id, answer)
            case Reverse():
                self._reversal_leaves(order, answer)
            case Inquire(kind=OperationKind.CHARGE | OperationKind.RESERVE):
                self._charge_is_asked_about(order.attempt_id, answer)
            case Inquire():
                self._reversal_is_asked_about(order.attempt_id, answer)

    def _hold_order_leaves(self, order: EndHold, answer: str) -> None:
        attempt_id = self.payment.attempt_id
        assert attempt_id is not None
        if answer == "unsent":
            self._say(HoldOrderUnsent, order.attempt_id)
            return
        if answer in ("no", "low"):
            self._say(HoldOrderDeclined, order.attempt_id)
            return
        if self.reached[attempt_id] == "held" and answer != "silent no":
            if order.kind is OperationKind.CAPTURE:
                self.captured_minor[attempt_id] = self.payment.ordered_minor
            self.reached[attempt_id] = "charged" if order.kind is OperationKind.CAPTURE else "free"
        if answer.startswith("silent"):
            self._say(HoldOrderUnknown, order.attempt_id)
        else:
            self._hold_is_asked_about(order.attempt_id, "yes")

    def _hold_is_asked_about(self, order_id: str, answer: str) -> None:
        attempt_id = self.payment.attempt_id
        assert attempt_id is not None
        match self.reached[attempt_id]:
            case _ if answer.startswith("silent"):
                self._say(HoldOrderUnknown, order_id)
            case "charged" | "back":
                self._say(Charged, attempt_id, amount_minor=self.captured_minor[attempt_id])
            case "free":
                self._say(HoldEnded, attempt_id)
            case "held":
                self._say(HoldOrderNotDone, order_id)
            case truth:
                raise AssertionError(f"no order about a hold that is {truth}")

    def _charge_leaves(self, attempt_id: str, answer: str, *, is_hold: bool = False) -> None:
        assert self.payment.charge_not_after_ms is not None
        if answer == "unsent" or self.now_ms > self.payment.charge_not_after_ms:
            self._say(ChargeUnsent, attempt_id)
            return
        self.may_have_left.add(attempt_id)
        if self.reached.get(attempt_id) is None:
            self._charge_arrives(attempt_id, answer, "held" if is_hold else "charged")
        else:  # The same id once more: the carrier deduplicates.
            self._charge_is_asked_about(attempt_id, "yes")

    def _charge_arrives(self, attempt_id: str, answer: str, done: str) -> None:
        truth = {
            "yes": done,
            "silent yes": done,
            "no": "declined",
            "low": "declined",
            "silent no": "declined",
        }
        self.reached[attempt_id] = truth.get(answer, "pending")
        if answer.startswith("silent"):
            self._say(ChargeUnknown, attempt_id)
        else:
            self._say_truth(attempt_id, Reason.INSUFFICIENT_FUNDS if answer == "low" else Reason.CARRIER_DECLINED)

    def _charge_is_asked_about(self, attempt_id: str, answer: str) -> None:
        if answer.startswith("silent"):
            self._say(ChargeUnknown, attempt_id)
        elif attempt_id not in self.reached:
            self._say(ChargeNotFound, attempt_id)
        else:
            self._say_truth(attempt_id, Reason.CARRIER_DECLINED)

    def _say_truth(self, attempt_id: str, reason: Reason) -> None:
        match self.reached[attempt_id]:
            case "charged" | "back":
                self._say(Charged, attempt_id, amount_minor=self.captured_minor.get(attempt_id))
            case "held":
                self._say(Held, attempt_id)
            case "free":
                self._say(HoldEnded, attempt_id)
            case "declined":
                self._say(ChargeDeclined, attempt_id, reason=reason)
            case _:
                self._say(ChargeUnknown, attempt_id)

    def _reversal_leaves(self, order: Reverse, answer: str) -> None:
        if answer == "unsent":
            self._say(ReverseUnsent, order.attempt_id)
        elif answer in ("no", "low"):
            self._say(ReverseDeclined, order.attempt_id)
        else:
            assert self.reached.get(order.charge_attempt_id) in ("charged", "back"), "only a charge can be taken back"
            self.reached[order.charge_attempt_id] = "back"
            if answer == "yes":
                self._say(Reversed, order.attempt_id)
            else:
                self._say(ReverseUnknown, order.attempt_id)

    def _reversal_is_asked_about(self, attempt_id: str, answer: str) -> None:
        charge_id = "att_" + attempt_id.removeprefix("rev_")
        if answer.startswith("silent"):
            self._say(ReverseUnknown, attempt_id)
        elif self.reached[charge_id] == "back":
            self._say(Reversed, attempt_id)
        else:
            self._say(ReverseNotFound, attempt_id)

    @precondition(lambda self: any(truth in ("pending", "declined") for truth in self.reached.values()))
    @rule(which=st.integers(0, 3))
    def charge_succeeds_late(self, which: int) -> None:
        open_ones = [attempt for attempt, truth in self.reached.items() if truth in ("pending", "declined")]
        attempt_id = open_ones[which % len(open_ones)]
        is_hold = self.policy.holds and self.payment.capture is Capture.MANUAL
        self.reached[attempt_id] = "held" if is_hold else "charged"
        self._say(Held if is_hold else Charged, attempt_id)

    @precondition(lambda self: self.said)
    @rule(which=st.integers(0, 30))
    def carrier_repeats_itself(self, which: int) -> None:
        fact = self.said[which % len(self.said)]
        self._move(replace(fact, at_ms=self.now_ms))

    @precondition(lambda self: self.payment.state is State.CAPTURED)
    @rule()
    def carrier_takes_the_money_back(self) -> None:
        assert self.payment.attempt_id is not None
        self._happen(ChargeTakenBack, attempt_id=self.payment.attempt_id)

    def _say(self, event: type[MoneyFact], attempt_id: str, **words: Any) -> None:  # Any: the event's fields.
        fact = an_event(event, at_ms=self.now_ms, attempt_id=attempt_id, **words)
        assert isinstance(fact, MoneyFact)
        # A try that never left says nothing about the attempt for ever, so it is not among what may come again.
        if not isinstance(fact, _OF_ONE_TRY):
            self.said.append(fact)
        self._move(fact)

    def _happen(self, event: type[Event], **words: Any) -> None:  # Any: the event's fields.
        self._move(an_event(event, at_ms=self.now_ms, **words))

    def _move(self, event: Event) -> None:
        before = self.payment
        self.noise += before.state in FINAL_STATES and not isinstance(event, MoneyFact)
        decision = decide(before, event, self.policy)
        after = decision.payment
        self._check_step(before, event, decision)
        self.payment = after
        self._carry_out(before, decision)
        if isinstance(event, Charged):
            self._check_charge_is_explained(event.attempt_id)

    def _check_step(self, before: Payment, event: Event, decision: Decision) -> None:
        after = decision.payment
        moved = after is not before
        assert after.version == before.version + moved, "I12: the version rises by one exactly if something changed"
        if moved:
            assert (before.state, type(event)) in TABLE, "I12: no transition outside the table"
        if before.public_state in (PublicState.SUCCEEDED, PublicState.FAILED, PublicState.REVERSED):
            allowed = {before.public_state}
            if isinstance(event, ChargeTakenBack):
                allowed.add(PublicState.REVERSED)
            assert after.public_state in allowed, "a final state never changes, save succeeded to reversed"
        running = before.operation
        if running is not None and (after.operation is None or after.operation.attempt_id != running.attempt_id):
            evidence = isinstance(event, MoneyFact) and event.attempt_id in (
                running.attempt_id,
                running.charge_attempt_id,
            )
            assert evidence, "what runs at the carrier ends by evidence only"
        if decision.ignored is not None:
            assert not isinstance(event, MoneyFact), "a carrier's fact is never ignored"
            assert not decision.effects

    def _carry_out(self, before: Payment, decision: Decision) -> None:
        # Within one decision the consent is written with the charge: their order in the list does not matter.
        for effect in decision.effects:
            if isinstance(effect, RecordConsent):
                self.consents.add(effect.attempt_id)
        for effect in decision.effects:
            match effect:
                case Charge() | Reserve():
                    self._check_charge_is_allowed(before, effect.attempt_id)
                    self.orders.append((self.now_ms + effect.delay_ms, effect))
                case Inquire() | Reverse() | EndHold():
                    self.orders.append((self.now_ms + effect.delay_ms, effect))
                case Post():
                    self.posted.append((effect.kind, effect.source_id))
                    self.entries.append(payment_entry(self.payment, effect.kind, effect.source_id, effect.amount_minor))
                case Notify():
                    self.told[effect.type] += 1
                case OpenBreak():
                    self.breaks[effect.kind] += 1
                    self.alarmed |= {word for word in effect.detail.split() if word.startswith(("att_", "rev_"))}

    def _check_charge_is_allowed(self, before: Payment, attempt_id: str) -> None:
        assert attempt_id in self.consents, "I16: consent before charge"
        assert before.state not in (*FINAL_STATES, State.REVERSING), "no charge after the end"
        if attempt_id not in self.charges:
            self.charges.append(attempt_id)
            running = before.operation
            assert running is None, f"I11: {attempt_id} starts while {running} runs"
            assert not self._posted(EntryKind.CAPTURE), "I11: one charge that has not failed"
        else:
            assert self.charges[-1] == attempt_id, "I11: only the latest attempt is sent again"
            assert attempt_id not in self.may_have_left, "an unknown outcome is asked about, never repeated"

    def _check_charge_is_explained(self, attempt_id: str) -> None:
        explained = {attempt for kind, attempt in self.posted if kind in (EntryKind.CAPTURE, EntryKind.LATE_CHARGE)}
        assert attempt_id in explained | self.alarmed or self.breaks[BreakKind.UNEXPECTED_FACT], (
            f"{attempt_id} was charged, and is neither captured nor reversed nor alarmed"
        )

    def _posted(self, kind: EntryKind) -> list[str]:
        return [attempt for posted, attempt in self.posted if posted is kind]

    @invariant()
    def entries_sum_to_zero_and_are_unique(self) -> None:
        assert len(set(self.posted)) == len(self.posted), "an entry is unique by attempt and kind"
        for posting in self.entries:
            assert sum(leg.amount_minor for leg in posting.legs) == 0, "I1"

    @invariant()
    def suspense_holds_what_is_being_reversed(self) -> None:
        held = -self._balance(SUSPENSE)
        operation = self.payment.operation
        reversing = operation is not None and operation.kind is OperationKind.REVERSE
        assert held == (self.payment.ordered_minor if reversing else 0), "I6"

    @invariant()
    def the_memorandum_holds_what_is_held(self) -> None:
        operation = self.payment.operation
        lets_go_late = operation is not None and operation.kind is OperationKind.RELEASE
        held = self.payment.amount.amount_minor if self.payment.funds_held or lets_go_late else 0
        assert self._balance("carrier:acme:held") == held, "I8"

    @invariant()
    def no_more_than_the_amount_is_captured(self) -> None:
        merchant = -sum(
            leg.amount_minor
            for posting in self.entries
            for leg in posting.legs
            if leg.account == "merchant:mer_1:pending"
        )
        assert 0 <= merchant <= self.payment.amount.amount_minor, "I9"

    @invariant()
    def captured_means_one_capture_entry(self) -> None:
        captures = self._posted(EntryKind.CAPTURE)
        if self.payment.state in (State.CAPTURED, State.REVERSED):
            assert captures == [self.payment.attempt_id], "I10"
        else:
            assert captures == [], "I10"

    @invariant()
    def the_merchant_is_told_each_end_once(self) -> None:
        state = self.payment.state
        assert self.told[EventType.PAYMENT_FAILED] == (state is State.ENDED)
        assert self.told[EventType.PAYMENT_SUCCEEDED] == (state in (State.CAPTURED, State.REVERSED))
        assert self.told[EventType.PAYMENT_REVERSED] == (state is State.REVERSED)
        assert (self.payment.reason is not None) == (state is State.ENDED)

    @invariant()
    def an_open_payment_is_never_forgotten(self) -> None:
        payment = self.payment
        if payment.state not in FINAL_STATES:
            assert payment.deadline_at_ms is not None or payment.operation is not None, "I14"
        operation = payment.operation
        if operation is not None and not self.breaks[BreakKind.REVERSAL_DECLINED]:
            under_way = {order.attempt_id for _, order in self.orders}
            assert operation.attempt_id in under_way, "I14: a running operation has an order on its way"

    def _balance(self, account: str) -> int:
        return sum(leg.amount_minor for posting in self.entries for leg in posting.legs if leg.account == account)


def test_no_story_breaks_an_invariant() -> None:
    run_state_machine_as_test(PaymentStory, settings=BOUNDS)


def _swallow(payment: Payment, event: Event, rules: Rules) -> Decision:
    """A fact is noted and nothing follows."""
    return Decision(payment)


PLANTED: Final[dict[str, tuple[tuple[State, type[Event]], Rule]]] = {
    "a late success is swallowed": ((State.ENDED, Charged), _swallow),
    "an unknown outcome is not asked about": ((State.CHARGING, ChargeUnknown), _swallow),
    "an unknown outcome is charged again": ((State.CHARGING, ChargeUnknown), TABLE[State.CHARGING, ChargeUnsent]),
    "a second reply starts a second charge": ((State.CHARGING, ReplyConfirmed), TABLE[State.CREATED, ReplyConfirmed]),
    "a reply after the end starts a charge": ((State.ENDED, ReplyConfirmed), TABLE[State.CREATED, ReplyConfirmed]),
    "a repeated success is captured again": ((State.CAPTURED, Charged), TABLE[State.CHARGING, Charged]),
    "a capture needs no consent": ((State.CREATED, CaptureRequested), lambda payment, event, rules: _uncalled(payment)),
    "a cancel does not wait for the carrier": (
        (State.CHARGING, CancelRequested),
        TABLE[State.CREATED, CancelRequested],
    ),
}


def _uncalled(payment: Payment) -> Decision:
    """A charge for which nobody was asked."""
    return Decision(replace(payment, attempt_id="att_0", attempts=1), (Charge(attempt_id="att_0"),))


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, wrong_rule = PLANTED[bug]
    monkeypatch.setitem(decide_module.TABLE, cell, wrong_rule)
    found = settings(BOUNDS, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(PaymentStory, settings=found)
