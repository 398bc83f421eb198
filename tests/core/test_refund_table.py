"""The refund's table: hand-written, cell by cell, and that no story of facts loses or makes money."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.money import Money
from gateway.core.payment import (
    Charged,
    ChargeTakenBack,
    Effect,
    EntryKind,
    Escrow,
    Inquire,
    MoneyFact,
    OpenBreak,
    Payment,
    Post,
    Reverse,
    Reversed,
    ReverseDeclined,
    ReverseNotFound,
    ReverseUnknown,
    ReverseUnsent,
    Rules,
    SendText,
    State,
)
from gateway.core.refund import (
    Refund,
    RefundState,
    decide_refund,
    new_refund,
    public_refund,
    reserved,
    settled,
)
from tests.core.factories import a_payment

RULES = Rules()
REFUND = "ref_1"
FACTS: dict[str, MoneyFact] = {
    "done": Reversed(at_ms=10, attempt_id=REFUND, carrier_reference="SR2"),
    "declined": ReverseDeclined(at_ms=10, attempt_id=REFUND, detail="no"),
    "unknown": ReverseUnknown(at_ms=10, attempt_id=REFUND),
    "unsent": ReverseUnsent(at_ms=10, attempt_id=REFUND),
    "not found": ReverseNotFound(at_ms=10, attempt_id=REFUND),
}


def a_captured(**changes: object) -> Payment:
    taken = {"attempt_id": "att_1", "carrier_reference": "SR1", "captured_minor": 125_000}
    return replace(a_payment(State.CAPTURED), **(taken | changes))


def a_refund(amount_minor: int = 50_000, **changes: object) -> Refund:
    made = new_refund(REFUND, a_captured(), amount_minor, reason="torn", at_ms=1).refund
    return replace(made, **changes)


def told(refund: Refund, fact: MoneyFact, payment: Payment | None = None) -> tuple[Refund, tuple[Effect, ...]]:
    decision = decide_refund(refund, payment or reserved(a_captured(), refund), fact, RULES)
    return decision.refund, decision.effects


def names(effects: tuple[Effect, ...]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


@pytest.mark.parametrize(
    ("state", "fact", "after", "effects"),
    [
        ("pending", "done", "succeeded", ["Post", "Notify", "SendText"]),
        ("pending", "declined", "failed", ["Post", "Notify"]),
        ("pending", "unknown", "processing", ["Inquire"]),
        ("pending", "unsent", "pending", ["Reverse"]),
        ("pending", "not found", "processing", ["Inquire"]),
        ("processing", "done", "succeeded", ["Post", "Notify", "SendText"]),
        ("processing", "declined", "failed", ["Post", "Notify"]),
        ("processing", "unknown", "processing", ["Inquire"]),
        ("processing", "unsent", "pending", ["Reverse"]),
        ("processing", "not found", "processing", ["Inquire"]),
        ("succeeded", "done", "succeeded", []),
        ("succeeded", "declined", "succeeded", ["OpenBreak"]),
        ("succeeded", "unknown", "succeeded", []),
        ("succeeded", "unsent", "succeeded", []),
        ("succeeded", "not found", "succeeded", []),
        ("failed", "done", "succeeded", ["Post", "Notify", "SendText"]),
        ("failed", "declined", "failed", []),
        ("failed", "unknown", "failed", []),
        ("failed", "unsent", "failed", []),
        ("failed", "not found", "failed", []),
    ],
)
def test_every_cell_of_the_table(state: str, fact: str, after: str, effects: list[str]) -> None:
    refund, done = told(a_refund(state=RefundState(state)), FACTS[fact])
    assert (refund.state, names(done)) == (after, effects)


@pytest.mark.parametrize("fact", [Charged, ChargeTakenBack])
def test_a_fact_that_is_none_of_its_own_calls_a_person(fact: type[MoneyFact]) -> None:
    made = fact(at_ms=1, attempt_id=REFUND, **({"carrier_reference": "SR1"} if fact is Charged else {}))
    refund, effects = told(a_refund(), made)
    assert refund.state is RefundState.PENDING and names(effects) == ["OpenBreak"]


def test_a_new_refund_sets_money_aside_and_orders_the_carrier_under_its_own_id() -> None:
    decision = new_refund(REFUND, a_captured(), 50_000, reason="torn", at_ms=1)
    [posted, _, order] = decision.effects
    assert posted == Post(kind=EntryKind.REFUND_CREATED, source_id=REFUND, amount_minor=50_000)
    assert order == Reverse(attempt_id=REFUND, charge_attempt_id="att_1", carrier_reference="SR1")
    payment = reserved(a_captured(), decision.refund)
    assert (payment.refund_reserved_minor, payment.refundable_minor) == (50_000, 75_000)


def test_what_a_dispute_took_is_not_taken_again() -> None:
    decision = new_refund(REFUND, a_captured(), 50_000, reason="", at_ms=1, dispute_id="dsp_1")
    assert names(decision.effects) == ["Notify", "Reverse"]


def test_not_found_is_believed_after_the_carriers_time_and_three_answers_and_the_same_id_goes_out_again() -> None:
    refund = told(a_refund(), ReverseUnknown(at_ms=0, attempt_id=REFUND))[0]
    sent = []
    for at_ms in (10_000, 70_000, 80_000, 90_000):
        refund, effects = told(refund, ReverseNotFound(at_ms=at_ms, attempt_id=REFUND))
        sent.append(names(effects))
    assert sent == [["Inquire"], ["Inquire"], ["Inquire"], ["Reverse"]]
    assert refund.state is RefundState.PENDING and refund.operation is not None
    assert refund.operation.attempt_id == REFUND and not refund.operation.outcome_unknown


def test_a_doubt_that_no_inquiry_ends_calls_a_person_and_goes_on() -> None:
    refund = a_refund()
    effects: tuple[Effect, ...] = ()
    for at_ms in range(len(RULES.inquiry_ladder_ms) + 1):
        refund, effects = told(refund, ReverseUnknown(at_ms=at_ms, attempt_id=REFUND))
    assert names(effects) == ["OpenBreak", "Inquire"]
    assert refund.state is RefundState.PROCESSING and public_refund(refund).outcome_unknown
    again = told(refund, ReverseUnknown(at_ms=99_000, attempt_id=REFUND))[1]
    assert again[0] == effects[0], "the same break, however often it is asked"


def test_an_inquiry_that_did_not_leave_proves_nothing() -> None:
    doubtful = told(a_refund(), FACTS["unknown"])[0]
    refund, effects = told(doubtful, FACTS["unsent"])
    assert refund.state is RefundState.PROCESSING and isinstance(effects[-1], Inquire)


def test_a_whole_refund_of_money_in_escrow_ends_the_escrow() -> None:
    held = a_captured(escrow=Escrow.HELD)
    whole = a_refund(125_000)
    done = replace(whole, state=RefundState.SUCCEEDED)
    assert settled(reserved(held, whole), done).escrow is Escrow.REFUNDED
    part = a_refund(1)
    assert settled(reserved(held, part), replace(part, state=RefundState.SUCCEEDED)).escrow is Escrow.HELD


def test_what_fails_after_the_carrier_took_the_charge_back_is_taken_back_too() -> None:
    refund = a_refund()
    gone = replace(reserved(a_captured(), refund), state=State.REVERSED)
    _, failed = told(refund, FACTS["declined"], gone)
    kinds = [effect.kind for effect in failed if isinstance(effect, Post)]
    assert kinds == [EntryKind.REFUND_FAILED, EntryKind.CLAWBACK]
    _, done = told(refund, FACTS["done"], gone)
    assert any(isinstance(effect, OpenBreak) for effect in done)


@pytest.mark.parametrize("fact", ["unsent", "not found"])
def test_what_never_left_is_not_sent_once_the_carrier_took_the_charge_back(fact: str) -> None:
    refund = a_refund()
    assert refund.operation is not None
    if fact == "not found":
        asked = replace(refund.operation, unknown_since_ms=0, not_found=RULES.not_found_answers - 1)
        refund = replace(refund, state=RefundState.PROCESSING, operation=asked)
    gone = replace(reserved(a_captured(), refund), state=State.REVERSED)
    later = replace(FACTS[fact], at_ms=RULES.max_processing_ms + RULES.not_found_gap_ms)
    ended, effects = told(refund, later, gone)
    assert (ended.state, ended.operation) == (RefundState.FAILED, None)
    assert names(effects) == ["Post", "Notify", "Post"], "back to its home, and from there to the carrier"
    assert isinstance(told(refund, later)[1][0], Reverse), "while there is a charge it goes out again"


def test_only_a_success_is_told_to_the_phone() -> None:
    for name, fact in FACTS.items():
        _, effects = told(a_refund(), fact)
        assert [one.template for one in effects if isinstance(one, SendText)] == ["refunded"] * (name == "done")


@pytest.mark.parametrize(
    ("changes", "is_there"),
    [
        ({}, True),
        ({"refunded_minor": 75_000}, True),
        ({"refunded_minor": 75_001}, False),
        ({"refund_reserved_minor": 75_001}, False),
        ({"disputed_minor": 75_001}, False),
        ({"state": State.REVERSED}, False),
    ],
)
def test_what_is_carried_out_after_all_is_taken_of_what_is_left_and_never_of_more(
    changes: dict[str, object], is_there: bool
) -> None:
    declined = a_refund(state=RefundState.FAILED, operation=None, detail="too old")
    after, effects = told(declined, FACTS["done"], a_captured(**changes))
    if is_there:
        assert (after.state, after.detail) == (RefundState.SUCCEEDED, "")
        assert effects[0] == Post(kind=EntryKind.LATE_REFUND, source_id=REFUND, amount_minor=50_000)
    else:
        assert after is declined
        assert names(effects) == ["OpenBreak"]


@given(st.lists(st.sampled_from(sorted(FACTS)), max_size=30), st.integers(1, 125_000))
def test_no_story_of_facts_gives_back_twice_or_loses_what_was_set_aside(story: list[str], amount_minor: int) -> None:
    refund = a_refund(amount_minor)
    payment = reserved(a_captured(), refund)
    posted = []
    for n, name in enumerate(story):
        before = refund
        refund, effects = told(refund, replace(FACTS[name], at_ms=n * 20_000), payment)
        assert refund.version == before.version + (refund is not before)
        orders = [one.attempt_id for one in effects if isinstance(one, Reverse | Inquire)]
        assert set(orders) <= {REFUND} and len(orders) == (refund.is_open)
        posted += [one.kind for one in effects if isinstance(one, Post)]
        if before.state is not refund.state and not refund.is_open:
            payment = settled(payment if before.is_open else reserved(payment, refund), refund)
    ways: dict[RefundState, list[list[EntryKind]]] = {
        RefundState.SUCCEEDED: [[EntryKind.REFUND_SUCCEEDED], [EntryKind.REFUND_FAILED, EntryKind.LATE_REFUND]],
        RefundState.FAILED: [[EntryKind.REFUND_FAILED]],
    }
    assert posted in ways.get(refund.state, [[]])
    assert payment.refund_reserved_minor == amount_minor * refund.is_open
    assert payment.refunded_minor == amount_minor * (refund.state is RefundState.SUCCEEDED)
    assert refund.amount == Money(amount_minor, "KES")
