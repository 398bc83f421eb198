"""When money is due and how it is parted: cut-offs in time zones, reserves, the lines of a settlement."""

from datetime import UTC, date, datetime

import pytest

from gateway.core.ledger import DISPUTE_FEE, FEE, VAT, carrier_receivable, carrier_share, merchant_pending
from gateway.core.settling import CutOff, Sum, Terms, last_cut_off, lines_of, reserve_of

HOUR_MS = 3_600_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "minute", "now", "cut_off"),
    [
        pytest.param("UTC", 0, "2026-11-25T00:00", "2026-11-25T00:00", id="at the very moment"),
        pytest.param("UTC", 0, "2026-11-24T23:59", "2026-11-24T00:00", id="a minute before"),
        pytest.param("Africa/Nairobi", 0, "2026-11-24T21:00", "2026-11-24T21:00", id="midnight in Nairobi"),
        pytest.param("Africa/Nairobi", 18 * 60, "2026-11-24T14:59", "2026-11-23T15:00", id="before six in Nairobi"),
        pytest.param("America/New_York", 17 * 60, "2026-11-25T21:59", "2026-11-24T22:00", id="yesterday in New York"),
        pytest.param("Pacific/Auckland", 0, "2026-11-24T12:00", "2026-11-24T11:00", id="already tomorrow in Auckland"),
        pytest.param("Europe/Berlin", 150, "2026-03-29T12:00", "2026-03-29T01:30", id="an hour that is left out"),
        pytest.param("Europe/Berlin", 150, "2026-10-25T12:00", "2026-10-25T00:30", id="an hour that comes twice"),
    ],
)
def test_a_day_ends_at_the_cut_off_of_the_merchants_zone(zone: str, minute: int, now: str, cut_off: str) -> None:
    found = last_cut_off(Terms(zone=zone, cut_off_minute=minute), at(now))
    assert found.at_ms == at(cut_off)


def test_a_day_has_23_or_25_hours_when_the_clocks_change() -> None:
    spring, autumn = (CutOff(day, 0, "Europe/Berlin") for day in (date(2026, 3, 30), date(2026, 10, 26)))
    lengths = [(cut.at_ms - cut.days_before(1).at_ms) // HOUR_MS for cut in (spring, autumn)]
    assert lengths == [23, 25]


def test_nothing_is_settled_beyond_the_day_that_was_asked_for() -> None:
    found = last_cut_off(Terms(), at("2026-11-25T12:00"), until=date(2026, 11, 20))
    assert found.at_ms == at("2026-11-20T00:00")


def test_a_day_that_has_not_ended_is_not_settled() -> None:
    found = last_cut_off(Terms(cut_off_minute=60), at("2026-11-25T00:30"), until=date(2026, 12, 1))
    assert found.at_ms == at("2026-11-24T01:00")


@pytest.mark.parametrize(
    ("net", "bps", "kept"),
    [(10_000, 1_000, 1_000), (9_999, 1_000, 999), (1, 9_999, 0), (-10_000, 1_000, 0), (10_000, 0, 0)],
)
def test_the_reserve_is_rounded_down_and_never_of_a_debt(net: int, bps: int, kept: int) -> None:
    assert reserve_of(net, bps) == kept


def test_the_terms_of_one_carrier_differ_from_those_of_the_others() -> None:
    terms = Terms(waits={"acme": 2, "slow": None, "*": 1})
    assert [terms.wait(carrier) for carrier in ("acme", "slow", "other")] == [2, None, 1]


def test_each_part_is_a_line_and_the_lines_sum_to_what_moved() -> None:
    pending = merchant_pending("mer_1")
    sums = [
        Sum("capture", carrier_receivable("acme"), 10_000),
        Sum("capture", pending, -8_840),
        Sum("capture", carrier_share("acme"), -1_000),
        Sum("capture", FEE, -100),
        Sum("capture", VAT, -60),
        Sum("refund_created", pending, 500),
        Sum("refund_created", "refund_clearing", -500),
        Sum("dispute_fee", pending, 300),
        Sum("dispute_fee", DISPUTE_FEE, -300),
    ]
    lines = lines_of(pending, sums)
    parts = {"carrier_share": -1_000, "fees": -100, "dispute_fees": -300, "vat": -60}
    assert lines == {"gross": 10_000, "refunds": -500, **parts}
    assert sum(lines.values()) == 8_040


def test_a_fee_that_is_given_back_with_a_refund_is_in_the_merchants_favour() -> None:
    pending = merchant_pending("mer_1")
    lines = lines_of(pending, [Sum("refund_succeeded", FEE, 30), Sum("refund_succeeded", pending, -30)])
    assert lines == {"fees": 30}
