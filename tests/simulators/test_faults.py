"""The plan of faults: by number, by script (at, every, by chance, times), by magic digits, in that order."""

from typing import Any

import pytest

from simulators.faults import FAULTS, MAGIC, MAGIC_ONCE, POINTS, SCRIPT_MAX, Fault, FaultPlan, Scripted

PLAIN = "+254712345100"
OTHER = "+254712345101"
POINT = "billing.charge"


def a_plan(*lines: Scripted, seed: int = 1, use_magic: bool = True) -> FaultPlan:
    plan = FaultPlan(seed=seed, use_magic=use_magic)
    for line in lines:
        assert line.why_wrong() is None
        plan.add(line)
    return plan


def a_line(**more: Any) -> Scripted:
    return Scripted(**{"point": POINT, "fault": "barred", **more})


def struck(plan: FaultPlan, count: int, msisdn: str = PLAIN, point: str = POINT) -> list[int]:
    """Which events of so many are struck, counted from 1."""
    return [number for number in range(1, count + 1) if plan.pick(point, msisdn) is not None]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        pytest.param({"at": 3}, [3], id="at"),
        pytest.param({"at": 3, "times": 2}, [3, 4], id="at, times"),
        pytest.param({"every": 4}, [4, 8, 12], id="every"),
        pytest.param({"every": 4, "times": 2}, [4, 8], id="every, times"),
        pytest.param({"p": 1.0}, list(range(1, 13)), id="always"),
        pytest.param({"p": 1.0, "times": 2}, [1, 2], id="always, times"),
        pytest.param({"p": 0.0}, [], id="never"),
        pytest.param({"msisdn": PLAIN}, list(range(1, 13)), id="number"),
        pytest.param({"msisdn": PLAIN, "times": 1}, [1], id="number, times"),
        pytest.param({"msisdn": OTHER}, [], id="another number"),
        pytest.param({"at": 1, "point": "billing.refund"}, [], id="another point"),
    ],
)
def test_a_script_strikes_what_it_says(line: dict[str, Any], wanted: list[int]) -> None:
    assert struck(a_plan(a_line(**line)), 12) == wanted


def test_a_line_for_a_number_counts_that_numbers_events_only() -> None:
    plan = a_plan(a_line(msisdn=PLAIN, at=2))
    assert struck(plan, 5, OTHER) == []
    assert struck(plan, 3) == [2]


def test_the_first_line_that_strikes_wins_and_the_others_count_on() -> None:
    plan = a_plan(a_line(at=2, fault="barred"), a_line(every=2, fault="slow", seconds=0.5))
    picked = [plan.pick(POINT, PLAIN) for _ in range(4)]
    assert picked == [None, Fault(name="barred"), None, Fault(name="slow", seconds=0.5)]


def test_chance_is_the_same_for_the_same_seed_and_phone_whatever_others_do() -> None:
    alone, among = a_plan(a_line(p=0.5), seed=3), a_plan(a_line(p=0.5), seed=3)
    struck(among, 20, OTHER)
    struck(among, 20, point="billing.refund")
    first = struck(alone, 200)
    assert first == struck(among, 200)
    assert 70 < len(first) < 130
    assert first != struck(a_plan(a_line(p=0.5), seed=4), 200)
    assert first != struck(a_plan(a_line(p=0.5), seed=3), 200, OTHER)


def test_control_comes_before_the_script_and_the_script_before_the_magic() -> None:
    magic = "+254712345911"
    plan = a_plan(a_line(at=1))
    assert plan.pick(POINT, magic) == Fault(name="barred")
    assert plan.pick(POINT, magic) == Fault(name="limit_exceeded")
    plan.set_for_number(magic, POINT, Fault(name="slow"))
    assert plan.pick(POINT, magic) == Fault(name="slow")
    plan.set_for_number(magic, POINT, None)
    assert plan.pick(POINT, magic) == Fault(name="limit_exceeded")


def test_after_a_clear_everything_begins_anew() -> None:
    plan = a_plan(a_line(p=0.5), seed=3)
    first = struck(plan, 50)
    plan.set_for_number(OTHER, POINT, Fault(name="slow"))
    assert plan.pick("smsc.submit", "+254712345950") == Fault(name="throttle")
    plan.clear()
    assert struck(plan, 5) == struck(plan, 5, OTHER) == []
    plan.add(a_line(p=0.5))
    assert struck(plan, 50) == first
    assert plan.pick("smsc.submit", "+254712345950") == Fault(name="throttle")


@pytest.mark.parametrize(("digits", "point"), [(digits, point) for digits, row in MAGIC.items() for point in row])
def test_magic_digits_strike_at_their_point_and_exist(digits: str, point: str) -> None:
    msisdn = f"+254712345{digits}"
    name = MAGIC[digits][point]
    if point == "balance":
        assert digits == "010"
        return
    assert name in FAULTS[point]
    plan = a_plan()
    again = None if point == "smsc.submit" and name in MAGIC_ONCE else Fault(name=name)
    assert [plan.pick(point, msisdn) for _ in range(2)] == [Fault(name=name), again]
    assert a_plan(use_magic=False).pick(point, msisdn) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ({"point": "nowhere", "at": 1}, "point must be"),
        ({"fault": "nothing", "at": 1}, "knows"),
        ({}, "one of at, every, p, msisdn"),
        ({"at": 0}, "count from 1"),
        ({"every": -1}, "count from 1"),
        ({"at": 1, "times": 0}, "count from 1"),
        ({"p": 1.5}, "between 0 and 1"),
        ({"p": -0.1}, "between 0 and 1"),
        ({"at": 1, "seconds": -1.0}, "negative"),
    ],
)
def test_a_line_that_makes_no_sense_says_why(line: dict[str, Any], word: str) -> None:
    assert word in (a_line(**line).why_wrong() or "")


def test_the_script_is_bounded() -> None:
    plan = a_plan(*[a_line(at=1)] * SCRIPT_MAX)
    with pytest.raises(ValueError, match="at most"):
        plan.add(a_line(at=1))


def test_every_point_has_faults() -> None:
    assert set(POINTS) == set(FAULTS)
