"""One row beside one order of ours: which order it means, and whether that is agreement, evidence or a break."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.carrier_files import Row, Said
from gateway.core.reconcile import FED, Ours, judge, meant


def ours(**changes: Any) -> Ours:  # Any: fields of an order.
    fields: dict[str, Any] = {
        **{"id": "att_1", "payment_id": "pay_1", "kind": "charge", "charge_attempt_id": "att_1"},
        **{"amount_minor": 1_000, "currency": "KES", "status": "succeeded", "carrier_reference": "SR1"},
    }
    return Ours(**(fields | changes))


def row(said: str = "charged", **changes: Any) -> Row:  # Any: fields of a row.
    fields: dict[str, Any] = {"line": 1, "attempt_id": "att_1", "amount_minor": 1_000, "currency": "KES"}
    return Row(said=Said(said), **(fields | changes))


AGREES, EVIDENCE = "agrees", "evidence"
VERDICTS = [
    ("charge", "succeeded", "charged", AGREES),
    ("charge", "late", "charged", AGREES),
    ("charge", "running", "charged", EVIDENCE),
    ("charge", "failed", "charged", EVIDENCE),
    ("charge", "running", "failed", EVIDENCE),
    ("charge", "failed", "failed", AGREES),
    ("charge", "succeeded", "failed", "status"),
    ("charge", "late", "failed", "status"),
    ("charge", "succeeded", "reversed", EVIDENCE),  # the carrier took it back
    ("charge", "failed", "reversed", "status"),
    ("charge", "succeeded", "refunded", "status"),  # a refund that we never ordered
    ("capture", "running", "charged", EVIDENCE),
    ("capture", "succeeded", "charged", AGREES),
    ("reserve", "running", "charged", EVIDENCE),  # taken, though it was to be held only
    ("reserve", "succeeded", "charged", EVIDENCE),
    ("reserve", "late", "charged", AGREES),
    ("reserve", "running", "failed", EVIDENCE),
    ("reserve", "succeeded", "failed", "status"),
    ("release", "succeeded", "charged", "status"),
    ("reverse", "succeeded", "reversed", AGREES),
    ("reverse", "succeeded", "refunded", AGREES),  # one word for both
    ("reverse", "running", "reversed", EVIDENCE),
    ("reverse", "running", "failed", EVIDENCE),
    ("reverse", "succeeded", "charged", "status"),
    ("refund", "succeeded", "refunded", AGREES),
    ("refund", "running", "refunded", EVIDENCE),
    ("refund", "running", "failed", EVIDENCE),
    ("refund", "succeeded", "failed", "status"),
]


@pytest.mark.parametrize(("kind", "status", "said", "verdict"), VERDICTS)
def test_each_word_about_each_order(kind: str, status: str, said: str, verdict: str) -> None:
    found = judge(row(said), ours(kind=kind, status=status))
    assert (found.kind or (EVIDENCE if found.is_evidence else AGREES)) == verdict
    # What was given back, and the carrier says that it was not, is nothing that it owes us.
    owed_minor = -1_000 if kind in ("reverse", "refund") else 1_000
    assert found.at_risk_minor == (owed_minor if verdict == "status" else 0)


@pytest.mark.parametrize(
    ("kind", "said", "at_risk"),
    [("charge", "charged", 50), ("refund", "refunded", -50), ("reverse", "reversed", -50)],
)
def test_of_a_smaller_amount_the_carrier_owes_us_only_what_it_took(kind: str, said: str, at_risk: int) -> None:
    for sign in (1, -1):
        found = judge(row(said, amount_minor=1_000 - sign * 50), ours(kind=kind))
        assert (found.kind, found.at_risk_minor) == ("amount", sign * at_risk)


TAKEN_BACK = [
    pytest.param(1_000, 0, None, 0, True, id="all of it"),
    pytest.param(700, 300, None, 0, True, id="what a refund left of it"),
    pytest.param(1_000, 300, "amount", 300, True, id="all, and a part had gone back before"),
    pytest.param(1_000, 1_000, "amount", 1_000, True, id="all, and all had gone back before"),
    pytest.param(400, 0, "amount", 400, False, id="a part"),
    pytest.param(400, 300, "amount", 400, False, id="a part of what a refund left"),
    pytest.param(900, 300, "amount", 900, False, id="more than a refund left"),
    pytest.param(0, 1_000, "amount", 0, False, id="nothing of nothing"),
]


@pytest.mark.parametrize(("told", "refunded", "kind", "at_risk", "is_evidence"), TAKEN_BACK)
@pytest.mark.parametrize("of", ["charge", "capture"])
def test_what_the_carrier_took_back_unasked_is_all_that_was_left_or_a_break(
    of: str, told: int, refunded: int, kind: str | None, at_risk: int, is_evidence: bool
) -> None:
    found = judge(row("reversed", amount_minor=told), ours(kind=of), refunded)
    assert (found.kind, found.at_risk_minor, found.is_evidence) == (kind, at_risk, is_evidence)


@pytest.mark.parametrize(
    ("told", "posted", "at_risk"), [(30, 30, None), (-30, 30, None), (30, None, None), (None, 30, None), (50, 30, 20)]
)
def test_the_carriers_share_must_be_the_one_that_was_posted(
    told: int | None, posted: int | None, at_risk: int | None
) -> None:
    found = judge(row(fee_minor=told), ours(share_minor=posted))
    assert (found.kind, found.at_risk_minor) == (None if at_risk is None else "fee", at_risk or 0)


CHARGE = ours()
RESERVE = ours(id="att_2", kind="reserve", charge_attempt_id="att_2")
CAPTURE = ours(id="att_3", kind="capture", charge_attempt_id="att_2", amount_minor=400)
DECLINED = ours(id="cap_1", kind="capture", charge_attempt_id="att_2", amount_minor=400, status="failed")
RUNNING = ours(id="cap_2", kind="capture", charge_attempt_id="att_2", amount_minor=600, status="running")
AS_MUCH = ours(id="cap_2", kind="capture", charge_attempt_id="att_2", amount_minor=400, status="running")
REVERSE = ours(id="rev_1", kind="reverse")
REFUNDS = [ours(id=f"ref_{n}", kind="refund", amount_minor=minor) for n, minor in enumerate((300, 300, 400))]
LOST = ours(id="ref_l", kind="refund", amount_minor=300, status="running")
REFUSED = ours(id="ref_9", kind="refund", status="failed")
AGAIN = ours(id="ref_a", kind="refund")
MEANT = [
    pytest.param(row(), CHARGE, [CHARGE, REVERSE], (), "att_1", id="the charge itself"),
    pytest.param(row("reversed"), CHARGE, [CHARGE, REVERSE], (), "rev_1", id="its reversal"),
    pytest.param(row("refunded"), CHARGE, [CHARGE, REVERSE], (), "rev_1", id="a reversal called a refund"),
    pytest.param(row("reversed"), CHARGE, [CHARGE], (), "att_1", id="nothing of ours"),
    pytest.param(row("refunded", amount_minor=400), CHARGE, [CHARGE, *REFUNDS], (), "ref_2", id="by its amount"),
    pytest.param(row("refunded", amount_minor=300), CHARGE, [CHARGE, *REFUNDS], ("ref_0",), "ref_1", id="the second"),
    pytest.param(row("reversed", amount_minor=700), CHARGE, [CHARGE, REFUNDS[0]], ("ref_0",), "att_1", id="the rest"),
    pytest.param(row("reversed", amount_minor=700), CHARGE, [CHARGE, REFUNDS[0]], (), "att_1", id="the rest first"),
    pytest.param(row("reversed", amount_minor=700), CHARGE, [CHARGE, LOST], (), "att_1", id="beside a lost one"),
    pytest.param(row("reversed", amount_minor=400), CHARGE, [CHARGE, REFUNDS[0], LOST], (), "att_1", id="beside both"),
    pytest.param(row("reversed"), CHARGE, [CHARGE, REFUNDS[0]], (), "att_1", id="all, and no part that we ordered"),
    pytest.param(row("reversed"), CHARGE, [CHARGE, REFUSED], (), "att_1", id="all, after a refusal to refund it"),
    pytest.param(row("refunded"), CHARGE, [CHARGE, REFUSED], (), "ref_9", id="a refund after all"),
    pytest.param(row("refunded"), CHARGE, [CHARGE, REFUSED, AGAIN], (), "ref_a", id="not the one that was declined"),
    pytest.param(row(), RESERVE, [RESERVE, CAPTURE], (), "att_3", id="its capture"),
    pytest.param(row("reversed"), RESERVE, [RESERVE, CAPTURE], (), "att_3", id="its capture, taken back"),
    pytest.param(row("failed"), RESERVE, [RESERVE], (), "att_2", id="no capture"),
    pytest.param(row("failed"), RESERVE, [RESERVE, RUNNING], (), "cap_2", id="no, to the only capture"),
    pytest.param(row("failed", amount_minor=400), RESERVE, [RESERVE, DECLINED, RUNNING], (), "cap_1", id="a no before"),
    pytest.param(row("failed", amount_minor=600), RESERVE, [RESERVE, DECLINED, RUNNING], (), "cap_2", id="a no now"),
    pytest.param(
        row("failed", amount_minor=0), RESERVE, [RESERVE, DECLINED, RUNNING], (), "cap_1", id="a no of nothing"
    ),
    pytest.param(row("failed", amount_minor=400), RESERVE, [RESERVE, DECLINED, AS_MUCH], (), "cap_1", id="one of two"),
    pytest.param(
        row("failed", amount_minor=400), RESERVE, [RESERVE, DECLINED, AS_MUCH], ("cap_1",), "cap_1", id="told again"
    ),
    pytest.param(row(amount_minor=400), RESERVE, [RESERVE, DECLINED, AS_MUCH], (), "cap_2", id="taken the second time"),
    pytest.param(row(amount_minor=400), RESERVE, [RESERVE, DECLINED, RUNNING], (), "cap_2", id="not what was declined"),
    pytest.param(
        row(amount_minor=400),
        RESERVE,
        [RESERVE, DECLINED, replace(RUNNING, status="failed")],
        (),
        "att_2",
        id="declined, and taken after all",
    ),
    pytest.param(
        row("refunded", amount_minor=300), CHARGE, [CHARGE, LOST, REFUNDS[0]], (), "ref_0", id="the known one"
    ),
    pytest.param(
        row("refunded", amount_minor=300), CHARGE, [CHARGE, LOST, REFUNDS[0]], ("ref_0",), "ref_l", id="the lost one"
    ),
    pytest.param(row("reversed"), REVERSE, [CHARGE, REVERSE], (), "rev_1", id="named by its own id"),
]


@pytest.mark.parametrize(("told", "named", "siblings", "before", "order"), MEANT)
def test_what_is_told_under_the_charge_means_the_order_that_we_made(
    told: Row, named: Ours, siblings: list[Ours], before: tuple[str, ...], order: str
) -> None:
    assert meant(told, named, siblings, before).id == order


@given(
    st.sampled_from(list(Said)),
    st.sampled_from(["charge", "reserve", "capture", "release", "reverse", "refund"]),
    st.sampled_from(["running", "succeeded", "failed", "late"]),
    st.sampled_from([("KES", 1_000), ("KES", 999), ("UGX", 1_000)]),
    st.sampled_from([0, 1]),
)
def test_no_row_is_evidence_for_what_we_did_not_order_so(
    said: Said, kind: str, status: str, sum_: tuple[str, int], refunded_minor: int
) -> None:
    found = judge(row(said, currency=sum_[0], amount_minor=sum_[1]), ours(kind=kind, status=status), refunded_minor)
    if found.is_evidence:
        is_rest = said is Said.REVERSED and not found.kind and sum_ == ("KES", 1_000 - refunded_minor)
        assert is_rest or sum_ == ("KES", 1_000) or (said is Said.FAILED and sum_[0] == "KES")
        assert found.kind is None or (said is Said.REVERSED and refunded_minor)
        assert kind in FED or said is Said.REVERSED
