"""Every state against every event, judged by a table written by hand: `table.csv`. Changing a cell needs both.

The columns: `next` is the state after (`ended:<reason>`), or `same` (a fact that moves nothing), `ignored` (an event
that may be dropped, with a reason) or `break` (a carrier's fact that nobody expects: a person must look).
"""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from gateway.core import decide as decide_module
from gateway.core.decide import TABLE, decide, open_payment
from gateway.core.payment import (
    PUBLIC_STATES,
    Capture,
    CarrierFact,
    Charge,
    CheckSim,
    Decision,
    Effect,
    EndHold,
    Escrow,
    Inquire,
    Notify,
    OpenBreak,
    OperationKind,
    Payment,
    Post,
    Reason,
    RecordConsent,
    RefundAll,
    Reserve,
    Reverse,
    Rules,
    SendAsk,
    SendText,
    SimAge,
    Stage,
    State,
    WithdrawDispute,
)
from gateway.core.sim_rule import SimRule
from tests.core.factories import (
    CHARGE_NOT_AFTER,
    EVENT_AT,
    EVENT_TYPES,
    EXPIRES_AT,
    HELD,
    NOW,
    a_charge,
    a_hold_order,
    a_payment,
    a_reversal,
    an_event,
)
from tests.core.states_page import page

RULES = Rules()
PRICE_MINOR = a_payment().amount.amount_minor
_TWICE = Rules(opt_in="twice")
_HOLDING = Rules(holds=True, partial_capture=True)
_PIN_CONFIRMS = Rules(sim=SimRule(when_fresh="pin"))
# Variant → the rules, where they are others.
OTHER_RULES = {
    "where money is held": _HOLDING,
    "other attempt": _HOLDING,
    "reserving, other attempt": _HOLDING,
    "money is held, other attempt": _HOLDING,
    "where SIMs are checked": Rules(sim=SimRule()),
    "an old PIN where SIMs are checked": Rules(sim=SimRule()),
    "as much as the floor": Rules(sim=SimRule(floor=PRICE_MINOR)),
    "an old PIN where a PIN confirms": _PIN_CONFIRMS,
    "the SIM is fresh and a PIN confirms": _PIN_CONFIRMS,
    "the SIM is fresh and no PIN is old enough": _PIN_CONFIRMS,
    "the SIM is fresh and the time of the ask is over": _PIN_CONFIRMS,
    "a PIN is wanted": _PIN_CONFIRMS,
    "a PIN is wanted and comes": _PIN_CONFIRMS,
    "without an answer it goes": Rules(sim=SimRule(on_error="allow")),
    "the first of two codes": _TWICE,
    "the first of two codes where the ask names the tax": Rules(opt_in="twice", tax_in_ask=True),
    "the first of two codes in the last minute": _TWICE,
    "two codes until the shop is known": Rules(opt_in="twice_at_first"),
    "two codes until the shop is known and it is": Rules(opt_in="twice_at_first"),
    "the second of two codes": _TWICE,
    "the second of two codes and read after the grace": _TWICE,
    "the second of two codes where SIMs are checked": Rules(opt_in="twice", sim=SimRule()),
    "low balance where the ask names the tax": Rules(tax_in_ask=True),
}
PART_MINOR = PRICE_MINOR - 25_000
GRACE_ENDS = EXPIRES_AT + RULES.consent_grace_ms
BELIEVABLE = NOW + RULES.max_processing_ms


class Cell(NamedTuple):
    """One row of the table."""

    state: State
    variant: str
    event: str
    next: str
    effects: str


def _read_table() -> list[Cell]:
    with Path(__file__).with_name("table.csv").open(newline="", encoding="utf-8") as lines:
        return [
            Cell(State(row["state"]), row["variant"], row["event"], row["next"], row["effects"])
            for row in csv.DictReader(lines)
        ]


CELLS = _read_table()

Changes = dict[str, Any]  # Any: fields of every type.
_AFTER_LOW_BALANCE: Changes = {"attempts": 1, "attempt_id": "att_1", "code_n": 7}
_REVERSING_ANOTHER: Changes = {
    "operation": a_reversal(attempt_id="rev_2", charge_attempt_id="att_2"),
    "reversed_attempt_id": "att_2",
}
_LOW: Changes = {"reason": Reason.INSUFFICIENT_FUNDS}

_FRESH: Changes = {"age": SimAge.FRESH}
_OLD_PIN: Changes = {"by_known_pin": True}
_NEXT_CODE: Changes = {"next_code_n": 7}
_SAID_ONCE: Changes = {"stage": Stage(first_code_n=0, follows="att_0"), "code_n": 7}
_WANTS_PIN: Changes = {"stage": Stage(needs_pin=True)}

RESERVING = a_charge(kind=OperationKind.RESERVE)
IN_ESCROW: Changes = {"capture": Capture.ESCROW, "escrow": Escrow.HELD, "deadline_at_ms": CHARGE_NOT_AFTER}

# Variant → what is different about the payment, and about the event.
VARIANTS: dict[str, tuple[Changes, Changes]] = {
    "": ({}, {}),
    "read at the last moment of grace": ({}, {"read_at_ms": GRACE_ENDS, "at_ms": GRACE_ENDS}),
    "read after the grace": ({}, {"read_at_ms": GRACE_ENDS + 1, "at_ms": GRACE_ENDS + 1}),
    "manual capture": ({"capture": Capture.MANUAL}, {}),
    "last wrong code": ({"wrong_codes": RULES.wrong_codes_max - 1}, {}),
    "one too many of this phone": ({}, {"locks": True}),
    "of which the phone is not told": ({}, {"tells": False}),
    "after low balance": (_AFTER_LOW_BALANCE, {}),
    "capture at the last moment": ({}, {"at_ms": CHARGE_NOT_AFTER}),
    "capture too late": ({}, {"at_ms": CHARGE_NOT_AFTER + 1}),
    "cancel requested": ({"cancel_requested": True}, {}),
    "low balance": ({}, _LOW),
    "low balance at the second attempt": ({"attempts": 2}, _LOW),
    "low balance after the time printed in the ask": ({}, _LOW | {"at_ms": EXPIRES_AT}),
    "low balance and cancel requested": ({"cancel_requested": True}, _LOW),
    "second inquiry": ({"operation": a_charge(unknown_since_ms=NOW, inquiries=1)}, {}),
    "outcome unknown": ({"operation": a_charge(unknown_since_ms=NOW, inquiries=1)}, {}),
    "second try unsent": ({"operation": a_charge(unsent=1)}, {}),
    "unsent and too old to try again": ({}, {"at_ms": CHARGE_NOT_AFTER}),
    "not found and believable": ({"operation": a_charge(unknown_since_ms=NOW)}, {"at_ms": BELIEVABLE}),
    "not found the third time": (
        {"operation": a_charge(unknown_since_ms=NOW, inquiries=5, not_found=2)},
        {"at_ms": BELIEVABLE},
    ),
    "not found the third time but too soon": (
        {"operation": a_charge(unknown_since_ms=NOW, inquiries=2, not_found=2)},
        {"at_ms": BELIEVABLE - 1},
    ),
    "not found the third time and cancel requested": (
        {"operation": a_charge(unknown_since_ms=NOW, inquiries=5, not_found=2), "cancel_requested": True},
        {"at_ms": BELIEVABLE},
    ),
    "fulfilled already": ({"fulfilled_at_ms": NOW}, {}),
    "other attempt is being reversed": (_REVERSING_ANOTHER, {"attempt_id": "rev_2"}),
    "third attempt while another is being reversed": (_REVERSING_ANOTHER, {"attempt_id": "att_3"}),
    "declined before": ({"operation": a_reversal(declined=True)}, {}),
    "other reversal": ({}, {"attempt_id": "rev_9"}),
    "late charge is being reversed": ({"operation": a_reversal(), "reversed_attempt_id": "att_1"}, {}),
    "late charge was reversed": ({"reversed_attempt_id": "att_1"}, {}),
    "other attempt while a late charge is being reversed": (
        {"operation": a_reversal(), "reversed_attempt_id": "att_1"},
        {"attempt_id": "att_2", "carrier_reference": "ref_2"},
    ),
    "other attempt after a late charge was reversed": (
        {"reversed_attempt_id": "att_1"},
        {"attempt_id": "att_2", "carrier_reference": "ref_2"},
    ),
    "other attempt": ({}, {"attempt_id": "att_2"}),
    "dispute open": ({"disputed_minor": 25_000}, {}),
    "where money is held": ({"capture": Capture.MANUAL}, {}),
    "in escrow": ({"capture": Capture.ESCROW}, {}),
    "reserving": ({"operation": RESERVING}, {}),
    "reserving and cancel requested": ({"operation": RESERVING, "cancel_requested": True}, {}),
    "reserving and a part was captured": ({"operation": RESERVING}, {"amount_minor": PART_MINOR}),
    "reserving, other attempt": ({"operation": RESERVING, "capture": Capture.MANUAL}, {"attempt_id": "att_2"}),
    "money is held": (HELD | {"deadline_at_ms": CHARGE_NOT_AFTER}, {}),
    "money is held, other attempt": (HELD | {"deadline_at_ms": CHARGE_NOT_AFTER}, {"attempt_id": "att_2"}),
    "a part of what is held": (HELD, {"amount_minor": PART_MINOR}),
    "a part was ordered": ({"operation": a_hold_order(amount_minor=PART_MINOR)}, {}),
    "not done the third time": (
        {"operation": a_hold_order(unknown_since_ms=NOW, inquiries=5, not_found=2)},
        {"at_ms": BELIEVABLE},
    ),
    "release": ({}, {"attempt_id": "rel_1"}),
    "release not done the third time": (
        {"operation": a_hold_order(OperationKind.RELEASE, unknown_since_ms=NOW, inquiries=5, not_found=2)},
        {"at_ms": BELIEVABLE, "attempt_id": "rel_1"},
    ),
    "cancelled": ({"operation": a_hold_order(OperationKind.RELEASE, ends_as=Reason.CANCELLED)}, {}),
    "beside a charge": ({"operation": a_hold_order(OperationKind.RELEASE, ends_as=Reason.CARRIER_DECLINED)}, {}),
    "a part was captured": ({}, {"amount_minor": PART_MINOR}),
    "released late": (
        HELD | {"operation": a_hold_order(OperationKind.RELEASE), "reason": Reason.NOT_CHARGED},
        {},
    ),
    "another name": ({"carrier_reference": "ref_1"}, {"carrier_reference": "ref_9"}),
    "called otherwise": ({"operation": a_charge(reference="ref_1")}, {"carrier_reference": "ref_9"}),
    "where SIMs are checked": ({}, {}),
    "as much as the floor": ({}, {}),
    "an old PIN where a PIN confirms": ({}, _OLD_PIN),
    "an old PIN where SIMs are checked": ({}, _OLD_PIN),
    "a PIN is wanted": (_WANTS_PIN, {}),
    "a PIN is wanted and comes": (_WANTS_PIN, _OLD_PIN),
    "the SIM is fresh": ({}, _FRESH),
    "the SIM is fresh and there is an old PIN": ({}, _FRESH | {"has_known_pin": True}),
    "the SIM is fresh and a PIN confirms": ({}, _FRESH | {"has_known_pin": True}),
    "the SIM is fresh and no PIN is old enough": ({}, _FRESH),
    "the SIM is fresh and the time of the ask is over": (
        {},
        _FRESH | {"has_known_pin": True, "at_ms": EXPIRES_AT},
    ),
    "the carrier does not say": ({}, {"age": SimAge.UNKNOWN}),
    "the first of two codes": ({}, _NEXT_CODE),
    "the first of two codes where the ask names the tax": ({}, _NEXT_CODE),
    "the first of two codes in the last minute": ({}, _NEXT_CODE | {"at_ms": EXPIRES_AT - 59_999}),
    "two codes until the shop is known": ({}, _NEXT_CODE),
    "two codes until the shop is known and it is": ({}, _NEXT_CODE | {"knows_shop": True}),
    "the second of two codes": (_SAID_ONCE, {}),
    "the second of two codes and read after the grace": (
        _SAID_ONCE,
        {"read_at_ms": GRACE_ENDS + 1, "at_ms": GRACE_ENDS + 1},
    ),
    "the second of two codes where SIMs are checked": (_SAID_ONCE, {}),
    "low balance where the ask names the tax": ({}, _LOW),
    "escrow is held": (IN_ESCROW, {}),
    "escrow is held and disputed": (IN_ESCROW | {"deadline_at_ms": None, "disputed_minor": PRICE_MINOR}, {}),
    "escrow is held and the buyer's": (IN_ESCROW | {"deadline_at_ms": None}, {}),
    "delivered into escrow": (IN_ESCROW | {"fulfilled_at_ms": NOW}, {}),
    "delivered into escrow, a part given back": (
        IN_ESCROW | {"fulfilled_at_ms": NOW, "refunded_minor": PRICE_MINOR - PART_MINOR},
        {},
    ),
}


def _setting(cell: Cell) -> tuple[Changes, Changes]:
    """What the variant changes; where the same words mean another moment or another operation, by state and event."""
    if cell.variant == "a millisecond early":
        return {}, {"at_ms": (a_payment(cell.state).deadline_at_ms or 0) - 1}
    if cell.variant == "without an answer it goes":
        return {}, {"age": SimAge.UNKNOWN} if cell.event == "SimChecked" else {}
    if cell.variant == "other attempt is being reversed" and cell.event == "Charged":
        return _REVERSING_ANOTHER, {"attempt_id": "att_2"}
    spent = len(RULES.inquiry_ladder_ms)
    if cell.variant == "ladder spent":
        operation = a_reversal if cell.state is State.REVERSING else a_charge
        return {"operation": operation(unknown_since_ms=NOW, inquiries=spent)}, {}
    if cell.state is State.REVERSING and cell.variant == "second try unsent":
        return {"operation": a_reversal(unsent=1)}, {}
    if cell.state is State.REVERSING and cell.variant == "not found and believable":
        return {"operation": a_reversal(unknown_since_ms=NOW)}, {"at_ms": BELIEVABLE}
    if cell.state is State.REVERSING and cell.variant == "not found the third time":
        return {"operation": a_reversal(unknown_since_ms=NOW, not_found=2)}, {"at_ms": BELIEVABLE}
    return VARIANTS[cell.variant]


def _rules(cell: Cell) -> Rules:
    return OTHER_RULES.get(cell.variant, RULES)


def _show(effect: Effect) -> str:
    """An effect in the table's words."""
    match effect:
        case SendText(template=word, amount_minor=minor):
            words: list[object] = [word, *([minor] if minor not in (None, PRICE_MINOR) else [])]
        case SendAsk(template=word) | RefundAll(reason=word):
            words = [word]
        case Notify(type=word) | OpenBreak(kind=word) | RecordConsent(attempt_id=word) | CheckSim(attempt_id=word):
            words = [word]
        case Charge() | Reserve():
            words = [effect.attempt_id, *_delay(effect.delay_ms)]
        case EndHold():
            words = [effect.attempt_id, effect.kind, *_delay(effect.delay_ms)]
        case WithdrawDispute():
            words = []
        case Inquire():
            words = [effect.attempt_id, effect.kind, effect.delay_ms]
        case Reverse():
            words = [effect.attempt_id, effect.charge_attempt_id, *_delay(effect.delay_ms)]
        case Post():
            words = [effect.kind, effect.source_id]
            if effect.amount_minor != PRICE_MINOR:
                words.append(effect.amount_minor)
        case _:
            raise AssertionError(f"the table has no words for {effect}")
    return f"{type(effect).__name__}({','.join(map(str, words))})"


def _delay(delay_ms: int) -> list[int]:
    return [delay_ms] if delay_ms else []


def _outcome(before: Payment, decision: Decision) -> tuple[str, str]:
    """The `next` and `effects` columns that a decision would have."""
    effects = "; ".join(_show(effect) for effect in decision.effects)
    after = decision.payment
    if decision.ignored is not None:
        assert after is before
        assert not decision.effects
        return "ignored", ""
    if after is not before:
        return f"{after.state}:{after.reason}" if after.state is State.ENDED else str(after.state), effects
    if effects == "OpenBreak(unexpected_fact)" and "while" in getattr(decision.effects[0], "detail", ""):
        return "break", ""
    return "same", effects


def _label(cell: Cell) -> str:
    return f"{cell.state}-{cell.event}" + (f" ({cell.variant})" if cell.variant else "")


@pytest.mark.parametrize("cell", CELLS, ids=_label)
def test_a_cell_of_the_table_says_what_happens(cell: Cell) -> None:
    of_payment, of_event = _setting(cell)
    before = a_payment(cell.state, **of_payment)
    event = an_event(EVENT_TYPES[cell.event], **of_event)
    decision = decide(before, event, _rules(cell))
    assert _outcome(before, decision) == (cell.next, cell.effects)
    moved = decision.payment is not before
    assert decision.payment.version == before.version + moved
    assert decision.payment.updated_at_ms == (event.at_ms if moved else before.updated_at_ms)


def test_the_page_of_states_is_the_table() -> None:
    assert Path("docs/states.md").read_text(encoding="utf-8") == page()


def test_the_table_has_every_state_against_every_event_exactly_once() -> None:
    plain = sorted((cell.state, cell.event) for cell in CELLS if not cell.variant)
    assert plain == sorted((state, event) for state in State for event in EVENT_TYPES)
    assert len({cell[:3] for cell in CELLS}) == len(CELLS)


def test_every_event_type_of_the_core_is_in_the_table() -> None:
    in_code = {event.__name__ for _, event in TABLE}
    assert in_code <= EVENT_TYPES.keys()
    carriers = {name for name, event in EVENT_TYPES.items() if issubclass(event, CarrierFact)}
    assert {cell.event for cell in CELLS if cell.next == "break"} <= carriers
    assert not carriers & {cell.event for cell in CELLS if cell.next == "ignored"}


def test_a_cell_that_only_one_side_lists_is_noticed() -> None:
    listed = {(cell.state, EVENT_TYPES[cell.event]) for cell in CELLS if cell.next not in ("ignored", "break")}
    unlisted_in_csv = set(TABLE) - listed
    # A rule may ignore by itself what it knows; it must then have a variant in which it acts.
    assert unlisted_in_csv == set()
    assert listed - set(TABLE) == set()


@pytest.mark.parametrize("dropped", sorted(TABLE, key=str), ids=lambda pair: f"{pair[0]}-{pair[1].__name__}")
def test_a_rule_taken_out_of_the_code_fails_its_cell(
    dropped: tuple[State, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(decide_module.TABLE, dropped)
    state, event_type = dropped
    failed = 0
    for cell in CELLS:
        if (cell.state, EVENT_TYPES[cell.event]) != (state, event_type):
            continue
        of_payment, of_event = _setting(cell)
        before = a_payment(state, **of_payment)
        failed += _outcome(before, decide(before, an_event(event_type, **of_event), _rules(cell))) != cell[3:]
    assert failed


def test_opening_a_payment_tells_the_feed_and_asks_the_phone() -> None:
    payment = a_payment()
    decision = open_payment(payment, "ask")
    assert decision.payment is payment
    assert [_show(effect) for effect in decision.effects] == ["Notify(payment.created)", "SendAsk(ask)"]


def test_a_cancel_is_remembered_until_the_carrier_has_answered() -> None:
    decision = decide(a_payment(State.CHARGING), an_event(EVENT_TYPES["CancelRequested"]), RULES)
    assert decision.payment.cancel_requested
    assert decision.payment.operation == a_charge()


def test_a_second_consent_makes_a_second_attempt_with_its_own_time() -> None:
    asking = a_payment(State.AWAITING_CONSENT, **_AFTER_LOW_BALANCE)
    charging = decide(asking, an_event(EVENT_TYPES["ReplyConfirmed"]), RULES).payment
    assert (charging.attempts, charging.attempt_id) == (2, "att_new")
    assert charging.charge_not_after_ms == EVENT_AT + RULES.charge_within_ms
    assert charging.operation is not None
    assert charging.operation.attempt_id == "att_new"


def test_after_low_balance_a_new_code_is_asked_for_within_the_same_deadline() -> None:
    declined = an_event(EVENT_TYPES["ChargeDeclined"], reason=Reason.INSUFFICIENT_FUNDS, next_code_n=7)
    asking = decide(a_payment(State.CHARGING), declined, RULES).payment
    assert (asking.code_n, asking.deadline_at_ms, asking.operation) == (7, GRACE_ENDS, None)
    assert asking.charge_not_after_ms is None


def test_only_answers_not_found_in_a_row_count() -> None:
    payment = a_payment(State.CHARGING, operation=a_charge(unknown_since_ms=NOW, inquiries=3, not_found=2))
    knows = decide(payment, an_event(EVENT_TYPES["ChargeUnknown"]), RULES).payment
    assert knows.operation is not None
    assert knows.operation.not_found == 0


def test_the_carrier_has_its_time_from_the_moment_when_the_outcome_was_unknown() -> None:
    waited_ms = 3 * RULES.max_processing_ms
    late = a_charge(unknown_since_ms=NOW + waited_ms, not_found=RULES.not_found_answers - 1)
    payment = a_payment(State.CHARGING, operation=late)
    too_soon = an_event(EVENT_TYPES["ChargeNotFound"], at_ms=NOW + waited_ms + RULES.max_processing_ms - 1)
    assert decide(payment, too_soon, RULES).payment.state is State.CHARGING
    in_time = replace(too_soon, at_ms=too_soon.at_ms + 1)
    assert decide(payment, in_time, RULES).payment.reason is Reason.NOT_CHARGED


def test_inquiries_side_by_side_count_once() -> None:
    payment = a_payment(State.CHARGING, operation=a_charge(unknown_since_ms=NOW))
    for later_ms in (0, 1, 2, RULES.not_found_gap_ms - 1):
        payment = decide(payment, an_event(EVENT_TYPES["ChargeNotFound"], at_ms=BELIEVABLE + later_ms), RULES).payment
    assert payment.operation is not None and payment.operation.not_found == 1


def test_a_reversal_names_the_charge_that_it_takes_back_and_no_other() -> None:
    captured = a_payment(State.CAPTURED, carrier_reference="ref_1")
    decision = decide(captured, an_event(EVENT_TYPES["Charged"], attempt_id="att_2", carrier_reference="ref_2"), RULES)
    (reverse,) = [effect for effect in decision.effects if isinstance(effect, Reverse)]
    assert (reverse.charge_attempt_id, reverse.carrier_reference) == ("att_2", "ref_2")
    again = decide(decision.payment, an_event(EVENT_TYPES["ReverseUnsent"], attempt_id=reverse.attempt_id), RULES)
    assert [effect.carrier_reference for effect in again.effects if isinstance(effect, Reverse)] == ["ref_2"]


def test_the_consent_carries_the_words_and_the_attempt_that_it_permits() -> None:
    decision = decide(a_payment(), an_event(EVENT_TYPES["ReplyConfirmed"]), RULES)
    consent = RecordConsent(
        template="ask", attempt_id="att_new", mo_id="mo_1", reply="4711", read_at_ms=EVENT_AT, code_n=0
    )
    assert consent in decision.effects


def test_two_consents_are_kept_each_with_its_ask_and_its_code() -> None:
    first = decide(a_payment(), an_event(EVENT_TYPES["ReplyConfirmed"], next_code_n=7), _TWICE)
    assert first.payment.stage == Stage(first_code_n=0, follows="att_new")
    [consent] = [effect for effect in first.effects if isinstance(effect, RecordConsent)]
    assert (consent.template, consent.code_n, consent.follows) == ("ask", 0, None)
    event = an_event(EVENT_TYPES["ReplyConfirmed"], next_attempt_id="att_2")
    second = decide(first.payment, event, _TWICE)
    [consent] = [effect for effect in second.effects if isinstance(effect, RecordConsent)]
    assert (consent.template, consent.code_n, consent.follows) == ("second", 7, "att_new")


def test_after_low_balance_both_codes_are_asked_for_again() -> None:
    declined = an_event(EVENT_TYPES["ChargeDeclined"], reason=Reason.INSUFFICIENT_FUNDS, next_code_n=9)
    asking = decide(a_payment(State.CHARGING, **_SAID_ONCE), declined, _TWICE).payment
    assert (asking.stage, asking.code_n) == (None, 9)


def test_the_consent_after_a_low_balance_answers_the_second_ask() -> None:
    asked_again = a_payment(State.AWAITING_CONSENT, attempt_id="att_1", attempts=1, capture=Capture.MANUAL)
    decision = decide(asked_again, an_event(EVENT_TYPES["ReplyConfirmed"]), RULES)
    assert [effect.template for effect in decision.effects if isinstance(effect, RecordConsent)] == ["low_balance"]


def test_time_does_not_go_back_in_a_payment() -> None:
    before = a_payment(updated_at_ms=EVENT_AT + 5)
    after = decide(before, an_event(EVENT_TYPES["AskSubmitted"]), RULES).payment
    assert after.updated_at_ms == EVENT_AT + 5


def test_every_state_has_a_public_face() -> None:
    assert set(PUBLIC_STATES) == set(State)
    for state, public in PUBLIC_STATES.items():
        assert a_payment(state).public_state is public
    assert replace(a_payment(), state=State.AWAITING_CONSENT).is_waiting
