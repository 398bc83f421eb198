"""Fees: parts sum exactly to the whole, no schedule takes more than there is, and all comes back in the end."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.fees import (
    NO_FEES,
    Fees,
    FeeSchedule,
    Rates,
    Tier,
    fees_on,
    floor_share,
    given_back,
    half_even_share,
    returnable,
)
from gateway.core.money import Money


def a_schedule(**changes: Any) -> FeeSchedule:  # Any: fields of the rates.
    fields: dict[str, Any] = {
        "currency": "KES",
        "carrier_share_basis_points": 2_400,
        "vat_basis_points": 1_600,
        "withholding_basis_points": 300,
        "tiers": (Tier(fixed_minor=500, basis_points=200),),
    }
    return FeeSchedule(name="standard", rates=(Rates(**(fields | changes)),))


def on(schedule: FeeSchedule, amount_minor: int, carrier: str = "acme", currency: str = "KES") -> Fees:
    return fees_on(schedule, carrier, Money(amount_minor, currency))


def test_each_part_is_taken_of_what_the_schedule_says() -> None:
    # The share of 125,000; 500 and 2 % of it; 16 % of that fee; 3 % of the 91,520 that are left.
    assert on(a_schedule(), 125_000) == Fees(
        carrier_share_minor=30_000, fee_minor=3_000, vat_minor=480, withholding_minor=2_746
    )


TIERS = (
    Tier(up_to_minor=1_000, fixed_minor=50),
    Tier(up_to_minor=10_000, basis_points=300, min_minor=100, max_minor=250),
    Tier(basis_points=100),
)


@pytest.mark.parametrize(
    ("amount_minor", "fee_minor"),
    [(1_000, 50), (1_001, 100), (5_000, 150), (10_000, 250), (10_001, 100), (199, 50), (40, 40)],
    ids=[
        "the last of a tier",
        "the minimum",
        "by the rate",
        "the maximum",
        "the next tier",
        "small",
        "no more than all",
    ],
)
def test_the_tier_of_the_amount_says_the_fee(amount_minor: int, fee_minor: int) -> None:
    schedule = FeeSchedule(name="tiers", rates=(Rates(currency="KES", tiers=TIERS),))
    assert on(schedule, amount_minor) == Fees(fee_minor=fee_minor)


def test_a_carriers_own_rates_come_before_those_for_all() -> None:
    own = Rates(currency="KES", carrier="acme", carrier_share_basis_points=1_000)
    schedule = FeeSchedule(name="two", rates=(Rates(currency="KES", carrier_share_basis_points=2_000), own))
    assert on(schedule, 100).carrier_share_minor == 10
    assert on(schedule, 100, carrier="other").carrier_share_minor == 20
    assert on(schedule, 100, currency="UGX") == NO_FEES


@pytest.mark.parametrize(
    ("amount_minor", "basis_points", "floor", "half_even"),
    [(5, 1_000, 0, 0), (15, 1_000, 1, 2), (25, 1_000, 2, 2), (16, 1_000, 1, 2), (14, 1_000, 1, 1), (7, 10_000, 7, 7)],
)
def test_shares_are_rounded_down_and_taxes_half_to_even(
    amount_minor: int, basis_points: int, floor: int, half_even: int
) -> None:
    assert floor_share(amount_minor, basis_points) == floor
    assert half_even_share(amount_minor, basis_points) == half_even


WRONG: list[tuple[dict[str, Any], str]] = [  # Any: as in a file.
    ({"currency": "XXX"}, "currency: 'XXX' is no ISO 4217 code"),
    ({"currency": "KES", "tiers": [{"up_to_minor": 5}]}, "tiers: expected up_to_minor to rise"),
    ({"currency": "KES", "tiers": [{}, {"up_to_minor": 5}]}, "tiers: expected up_to_minor to rise"),
    ({"currency": "KES", "tiers": [{"up_to_minor": 5}, {"up_to_minor": 5}, {}]}, "tiers: expected up_to_minor to rise"),
    ({"currency": "KES", "tiers": [{"min_minor": 5, "max_minor": 4}]}, r"max_minor: expected min_minor \(5\) or more"),
    ({"currency": "KES", "vat_basis_points": 10_001}, "<= 10000"),
    ({"currency": "KES", "vat": 16}, "unknown field `vat`"),
    ({"currency": "KES", "returned": ["vat"]}, "Invalid enum value 'vat'"),
]


@pytest.mark.parametrize(("rates", "complaint"), WRONG, ids=[complaint for _, complaint in WRONG])
def test_a_wrong_schedule_says_what_is_wrong(rates: dict[str, Any], complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        msgspec.convert({"name": "wrong", "rates": [rates]}, FeeSchedule)


def test_two_rates_for_the_same_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one for all carriers in KES, got 2"):
        FeeSchedule(name="twice", rates=(Rates(currency="KES"), Rates(currency="KES")))


points = st.integers(0, 10_000)
minor = st.integers(0, 10**7)


@st.composite
def schedules(draw: st.DrawFn) -> FeeSchedule:
    low = draw(minor)
    tier = Tier(
        fixed_minor=draw(minor),
        basis_points=draw(points),
        min_minor=low,
        max_minor=draw(st.just(0) | st.integers(low, 2 * 10**7)),
    )
    return a_schedule(
        carrier_share_basis_points=draw(points),
        vat_basis_points=draw(points),
        withholding_basis_points=draw(points),
        tiers=draw(st.just(()) | st.just((tier,))),
        returned=tuple(draw(st.sets(st.sampled_from(("carrier_share", "fee", "withholding"))))),
    )


def parts(fees: Fees) -> tuple[int, ...]:
    return msgspec.structs.astuple(fees)


@given(schedules(), st.integers(1, 10**9))
def test_no_part_is_negative_and_all_parts_are_at_most_the_amount(schedule: FeeSchedule, amount_minor: int) -> None:
    fees = on(schedule, amount_minor)
    assert min(parts(fees)) >= 0
    assert fees.total_minor <= amount_minor


@given(schedules(), st.lists(st.integers(1, 10**6), min_size=1, max_size=20))
def test_refunds_give_back_exactly_what_was_taken_and_no_more_on_the_way(
    schedule: FeeSchedule, refunds: list[int]
) -> None:
    captured_minor = sum(refunds)
    total = returnable(schedule, "acme", "KES", on(schedule, captured_minor))
    before_minor, back = 0, [0, 0, 0, 0]
    for refund_minor in refunds:
        more = given_back(total, captured_minor, before_minor, refund_minor)
        assert min(parts(more)) >= 0
        back = [one + another for one, another in zip(back, parts(more), strict=True)]
        before_minor += refund_minor
        share = [part * before_minor // captured_minor for part in parts(total)]
        assert back == share, "never more than the share of what went back"
    assert tuple(back) == parts(total)


def test_the_schedule_says_which_parts_come_back() -> None:
    total = Fees(carrier_share_minor=1, fee_minor=2, vat_minor=3, withholding_minor=4)
    kept = a_schedule(returned=("fee",))
    assert returnable(kept, "acme", "KES", total) == Fees(fee_minor=2, vat_minor=3)
    assert returnable(a_schedule(), "acme", "KES", total) == total
    assert returnable(a_schedule(returned=()), "acme", "KES", total) == NO_FEES
    assert returnable(kept, "acme", "UGX", total) == NO_FEES
