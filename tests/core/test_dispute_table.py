"""The dispute's table: every act in every state, and the time."""

import pytest
from msgspec.structs import replace

from gateway.core.dispute import (
    ANSWER_WITHIN_MS,
    OPENED_WITHIN_MS,
    Act,
    Dispute,
    DisputeState,
    act,
    is_disputable,
)
from gateway.core.money import Money
from gateway.core.payment import State
from tests.core.factories import a_payment

OPEN = Dispute(
    id="dsp_1",
    payment_id="pay_1",
    merchant_id="mer_1",
    mode="test",
    amount=Money(125_000, "KES"),
    opened_by="consumer",
    due_at_ms=ANSWER_WITHIN_MS,
    created_at_ms=0,
    updated_at_ms=0,
)
ENDED = ("won", "lost", "accepted", "withdrawn")


@pytest.mark.parametrize(
    ("done", "from_open", "from_review"),
    [
        ("answer", "under_review", "under_review"),
        ("accept", "accepted", "accepted"),
        ("win", "won", "won"),
        ("lose", "lost", "lost"),
        ("miss", "lost", None),
        ("withdraw", "withdrawn", "withdrawn"),
    ],
)
def test_every_cell_of_the_table(done: str, from_open: str, from_review: str | None) -> None:
    for state, expected in (("open", from_open), ("under_review", from_review), *((one, None) for one in ENDED)):
        after = act(replace(OPEN, state=DisputeState(state)), Act(done), ANSWER_WITHIN_MS)
        assert (None if after is None else after.state) == expected
        assert after is None or after.version == OPEN.version + 1


def test_the_answer_is_missed_only_once_the_time_is_over() -> None:
    assert act(OPEN, Act.MISS, ANSWER_WITHIN_MS - 1) is None


def test_evidence_stays_when_somebody_decides() -> None:
    answered = act(OPEN, Act.ANSWER, 1, evidence="handed over at the door")
    assert answered is not None
    decided = act(answered, Act.WIN, 2, note="seen the receipt")
    assert decided is not None and (decided.evidence, decided.note) == ("handed over at the door", "seen the receipt")


def test_only_money_that_was_taken_and_is_still_there_can_be_disputed() -> None:
    taken = replace(a_payment(State.CAPTURED), captured_minor=125_000, ended_at_ms=1)
    assert is_disputable(taken, OPENED_WITHIN_MS) and not is_disputable(taken, OPENED_WITHIN_MS + 1)
    assert not is_disputable(replace(taken, refunded_minor=125_000), 1)
    assert not is_disputable(replace(taken, disputed_minor=125_000), 1)
    assert not is_disputable(a_payment(State.ENDED), 1)
