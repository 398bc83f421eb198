"""Rows that no try can carry out: an order among them may have left, so the carrier is asked, and a person decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carriers import base
from gateway.core.payment import Capture, Rules
from gateway.engine.carrier_facts import OrderResult
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.decisions import EndOrder, Outcome, needs_of
from gateway.engine.given_up import RowGivenUp
from gateway.engine.merchant_jobs import CancelPayment, CapturePayment
from gateway.engine.refund_jobs import RefundDone
from gateway.store.apply import Job
from gateway.store.outbox import OutboxRow
from gateway.store.verify import verify
from tests.engine.file_bench import Bench, a_bench
from tests.store.bench import CARRIERS, a_create, an_order, applied, rows
from tests.store.refund_bench import a_refund

# Two questions, and a person is called.
RULES = Rules(holds=True, partial_capture=True, inquiry_ladder_ms=(1, 1))
HELD = base.Held(carrier_reference="SR1")
CHARGED = base.Charged(carrier_reference="SR1")
KINDS = ("charge", "reserve", "capture", "release", "refund", "reverse")


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path, rules=dict.fromkeys(CARRIERS, RULES)) as opened:
        yield opened


def ordered(bench: Bench, kind: str) -> OutboxRow:
    """An order of *kind*, as the lane has it."""
    capture = Capture.MANUAL if kind in ("reserve", "capture", "release") else Capture.AUTOMATIC
    first = an_order(bench.store, "k-1", capture=capture)
    if kind in ("charge", "reserve"):
        return first
    words: dict[str, Any] = {"merchant_id": "mer_1", "mode": "test", "key": None, "body_hash": ""}  # Any: fields.
    words["payment_id"] = str(first.payment_id)
    if kind == "reverse":  # Cancelled while it is charged.
        applied(bench.store, CancelPayment(**words))
        made = applied(bench.store, OrderDone(first, CHARGED)).rows
    else:
        applied(bench.store, OrderDone(first, CHARGED if kind == "refund" else HELD))
        jobs: dict[str, Job] = {
            "capture": CapturePayment(**words),
            "release": CancelPayment(**words),
            "refund": a_refund(words["payment_id"], 30_000),
        }
        made = applied(bench.store, jobs[kind]).rows
    [order] = [row for row in made if row.kind == kind]
    return order


def given_up(bench: Bench, row: OutboxRow) -> OutboxRow:
    """The inquiry that follows."""
    [inquiry] = [one for one in applied(bench.store, RowGivenUp(row, "KeyError('status')")).rows if one.kind != "sms"]
    assert inquiry.kind == "inquire" and inquiry.body["attempt_id"] == row.body["attempt_id"]
    return inquiry


def breaks(bench: Bench) -> list[str]:
    return [row.kind for row in rows(bench.url, 'SELECT kind FROM "break" WHERE resolved_at_ms IS NULL ORDER BY kind')]


@pytest.mark.money
@pytest.mark.parametrize("kind", KINDS)
def test_of_an_order_that_no_try_could_carry_out_the_carrier_is_asked(bench: Bench, kind: str) -> None:
    order = ordered(bench, kind)
    inquiry = given_up(bench, order)
    answers: dict[str, OrderResult] = {"release": base.Released(), "reserve": HELD}
    done = RefundDone if kind == "refund" else OrderDone
    applied(bench.store, done(inquiry, answers.get(kind, CHARGED)))
    states = {"reserve": "authorized", "release": "ended", "reverse": "ended"}
    [payment] = rows(bench.url, "SELECT state FROM payment")
    assert payment.state == states.get(kind, "captured")
    [attempt] = rows(bench.url, "SELECT status FROM attempt WHERE id = :id", id=order.body["attempt_id"])
    assert attempt.status == "succeeded"
    assert breaks(bench) == ["not_carried_out"]
    with bench.reads.connect() as conn:
        assert verify(conn) == []


@pytest.mark.money
@pytest.mark.parametrize("kind", KINDS)
def test_where_the_questions_break_down_too_a_person_decides(bench: Bench, kind: str) -> None:
    row = order = ordered(bench, kind)
    for _ in range(len(RULES.inquiry_ladder_ms) + 1):
        row = given_up(bench, row)
    assert breaks(bench) == ["not_carried_out", "not_carried_out", "unknown_outcome"], "the order's, and the questions'"
    [case] = rows(bench.url, "SELECT id FROM \"break\" WHERE kind = 'unknown_outcome'")
    with bench.reads.connect() as conn:
        wanted = needs_of(conn, case.id)
    applied(bench.store, EndOrder(case.id, Outcome.HAPPENED, "asha", "ticket 17", "SR1", wanted))
    [attempt] = rows(bench.url, "SELECT status FROM attempt WHERE id = :id", id=order.body["attempt_id"])
    assert attempt.status == "succeeded"


def test_what_is_no_order_is_only_taken_out_of_its_lane(bench: Bench) -> None:
    [ask] = [row for row in applied(bench.store, a_create("k-1")).rows if row.kind == "sms"]
    assert applied(bench.store, RowGivenUp(ask, "KeyError('template')")).rows == []
    assert rows(bench.url, "SELECT id FROM outbox") == []
    assert breaks(bench) == ["not_carried_out"]


def test_an_order_whose_row_is_what_is_broken_is_taken_out_of_its_lane(bench: Bench) -> None:
    order = ordered(bench, "charge")
    order.body = {}
    assert applied(bench.store, RowGivenUp(order, "KeyError('of')")).rows == []
    assert breaks(bench) == ["not_carried_out"]
