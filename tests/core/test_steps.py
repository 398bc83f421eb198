"""What the carrier calls an order, and what begins anew when the order goes out once more."""

import pytest

from gateway.core.decide import decide
from gateway.core.inquiries import ask_again, sent_again
from gateway.core.payment import Charged, OpenBreak, Reverse, Rules, State
from tests.core.factories import NOW, a_charge, a_payment, a_reversal

FULL = "ws_CO_1/SKR31/125000"


def a_yes(reference: str | None) -> Charged:
    return Charged(at_ms=NOW, attempt_id="att_1", carrier_reference=reference)


@pytest.mark.parametrize(
    ("told", "known"),
    [("ws_CO_1", FULL), (None, FULL), (FULL + "/more", FULL + "/more"), ("SR7", "SR7")],
    ids=["shorter", "nothing", "longer", "another"],
)
def test_a_yes_to_an_older_question_forgets_nothing_that_a_callback_told(told: str | None, known: str) -> None:
    charging = a_payment(State.CHARGING, operation=a_charge(reference=FULL))
    assert decide(charging, a_yes(told), Rules()).payment.carrier_reference == known


def test_a_reversal_goes_by_all_that_a_callback_told() -> None:
    charging = a_payment(State.CHARGING, operation=a_charge(reference=FULL), cancel_requested=True)
    effects = decide(charging, a_yes("ws_CO_1"), Rules()).effects
    assert [one.carrier_reference for one in effects if isinstance(one, Reverse)] == [FULL]


def _calls_a_person(unsent: int) -> bool:
    """Whether the first answer about an order that was sent again is the last that is waited for."""
    rules = Rules()
    asked = a_reversal(unsent=unsent, inquiries=len(rules.inquiry_ladder_ms), not_found=3, unknown_since_ms=NOW)
    again = sent_again(asked, rules)
    assert (again.unsent, again.not_found, again.unknown_since_ms) == (unsent + 1, 0, None)
    effects = ask_again(again, NOW, rules, found=True, is_pending=True)[1]
    return any(isinstance(one, OpenBreak) for one in effects)


def test_questions_about_an_order_that_was_sent_again_begin_anew_until_it_is_lost_too_often() -> None:
    often = len(Rules().resend_ladder_ms)
    assert [_calls_a_person(unsent) for unsent in (0, often - 1, often)] == [False, False, True]
