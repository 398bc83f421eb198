"""How often a phone is answered: a minute, a day, and the one STOP beyond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.loop_guard import (
    ANSWERS_PER_DAY,
    ANSWERS_PER_MINUTE,
    BEYOND_FOR_STOP,
    DAY_MS,
    MINUTE_MS,
    may_answer,
)
from gateway.store.rows import Consumer

MIDNIGHT_MS = 20_000 * DAY_MS


def a_consumer() -> Consumer:
    return Consumer(id="csm_1", msisdn="+254700000001", mode="live")


def test_six_answers_a_minute_and_then_again() -> None:
    phone = a_consumer()
    assert [may_answer(phone, MIDNIGHT_MS + n) for n in range(8)] == [True] * ANSWERS_PER_MINUTE + [False] * 2
    assert not may_answer(phone, MIDNIGHT_MS + MINUTE_MS - 1)
    assert may_answer(phone, MIDNIGHT_MS + MINUTE_MS)


def test_sixty_answers_a_day_however_they_are_spread() -> None:
    phone = a_consumer()
    told = [may_answer(phone, MIDNIGHT_MS + n * 5 * MINUTE_MS) for n in range(100)]
    assert told == [True] * ANSWERS_PER_DAY + [False] * 40
    assert may_answer(phone, MIDNIGHT_MS + DAY_MS)


@pytest.mark.parametrize("gap_ms", [0, MINUTE_MS])
def test_beyond_is_there_once(gap_ms: int) -> None:
    phone, at_ms = a_consumer(), MIDNIGHT_MS
    while may_answer(phone, at_ms):
        at_ms += gap_ms
    assert [may_answer(phone, at_ms, beyond=BEYOND_FOR_STOP) for _ in range(3)] == [True, False, False]


@given(st.lists(st.integers(0, 4 * 3600 * 1000), max_size=300))
def test_no_day_has_more_answers_than_its_share(gaps_ms: list[int]) -> None:
    phone, at_ms, days, minutes = a_consumer(), MIDNIGHT_MS, dict[int, int](), dict[int, int]()
    for gap_ms in gaps_ms:
        at_ms += gap_ms
        if may_answer(phone, at_ms):
            assert phone.answers_at_ms is not None
            for counts, key in ((days, at_ms // DAY_MS), (minutes, phone.answers_at_ms)):
                counts[key] = counts.get(key, 0) + 1
    assert max(days.values(), default=0) <= ANSWERS_PER_DAY
    assert max(minutes.values(), default=0) <= ANSWERS_PER_MINUTE
