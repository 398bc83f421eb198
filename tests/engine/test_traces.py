"""One row for each exchange about a payment, in the batch that records its outcome, without the number."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from carriers.base import (
    Charged,
    InquiryResult,
    Mo,
    NotFound,
    Receipt,
    Refused,
    SubmitResult,
    Submitted,
    Trace,
    Unknown,
)
from gateway.engine.carrier_jobs import MatchParkedReceipts, OrderDone, ReceiptRead, TextDone
from gateway.engine.merchant_jobs import live_codes
from gateway.engine.traces import OCTETS_MAX, keep_trace
from gateway.store.unit import Unit
from tests.store.bench import PHONE, Odd, a_create, a_store, a_text, applied, count, rows

DIGITS = PHONE.removeprefix("+")


def a_trace(kind: str = "submit_sm", received: bytes = b"") -> Trace:
    wide = DIGITS.encode("utf-16-be")
    return Trace(kind=kind, sent=b"to " + PHONE.encode() + b" " + wide, received=received, at_ms=1)


def kept(url: str) -> Sequence[Any]:  # Any: rows of `trace`.
    return rows(url, "SELECT id, payment_id, carrier, kind, body FROM trace ORDER BY id")


def sent(row: Any) -> bytes:  # Any: as above.
    return bytes.fromhex(msgspec.json.decode(row.body)["sent"])


OUTCOMES = [
    Submitted(message_ids=("7",), segments=1, trace=a_trace()),
    Refused(code="ESME_RTHROTTLED", detail="", retryable=True, trace=a_trace()),
    Refused(code="ESME_RINVDSTADR", detail="", retryable=False, trace=a_trace()),
    Unknown(detail="no answer in time", trace=a_trace()),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_whatever_became_of_a_text_its_octets_are_kept_without_the_number(
    sqlite_url: str, outcome: SubmitResult
) -> None:
    with a_store(sqlite_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        applied(store, TextDone(ask, outcome))
    [row] = kept(sqlite_url)
    assert (row.payment_id, row.carrier, row.kind) == (ask.payment_id, "acme", "submit_sm")
    assert sent(row) == b"to +************ " + b"\0*" * 12


def test_a_text_that_never_left_leaves_none(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        applied(store, TextDone(ask, Refused(code="not_bound", detail="no link", retryable=True)))
        applied(store, TextDone(ask, None))
    assert count(sqlite_url, "trace") == 0


def test_a_reply_is_kept_with_the_payment_that_it_was_about_and_any_other_text_is_not(sqlite_url: str) -> None:
    with a_store(sqlite_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        applied(store, a_text("what?", trace=a_trace("deliver_sm")))
        assert count(sqlite_url, "trace") == 0
        applied(store, a_text("0", trace=a_trace("deliver_sm")))
    [row] = kept(sqlite_url)
    assert (row.payment_id, row.kind) == (ask.payment_id, "deliver_sm")


@pytest.mark.parametrize("is_early", [True, False])
def test_a_receipt_finds_its_payment_also_if_it_came_before_the_answer(database_url: str, is_early: bool) -> None:
    receipt = Receipt(
        carrier="acme", message_ids=("7",), state="delivered", read_at_ms=1, trace=Trace(kind="deliver_sm", at_ms=2)
    )
    with a_store(database_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        if is_early:
            applied(store, ReceiptRead(receipt, "test"))
            assert [row.payment_id for row in kept(database_url)] == [None]
        applied(store, TextDone(ask, Submitted(message_ids=("7",), segments=1)))
        applied(store, MatchParkedReceipts() if is_early else ReceiptRead(receipt, "test"))
    assert [row.payment_id for row in kept(database_url)] == [ask.payment_id]


@pytest.mark.parametrize("before", [None, NotFound(trace=a_trace("http"))])
def test_a_charge_is_kept_with_the_inquiry_that_went_before(sqlite_url: str, before: InquiryResult | None) -> None:
    with a_store(sqlite_url) as store:
        [ask] = applied(store, a_create("k-1")).rows
        applied(store, TextDone(ask, Submitted(message_ids=(), segments=1)))
        code = applied(store, Odd(_live_code)).applied[0].result
        confirmed = applied(store, a_text(str(code), read_at_ms=ask.created_at_ms))
        [order] = [row for row in confirmed.rows if row.kind == "charge"]
        applied(store, OrderDone(order, Charged(carrier_reference="SR1", trace=a_trace("http")), before))
    assert [row.payment_id for row in kept(sqlite_url)] == [ask.payment_id] * (1 if before is None else 2)


def _live_code(unit: Unit) -> str:
    [payment] = unit.conn.exec_driver_sql("SELECT id, consumer_id FROM payment").all()
    unit.payment(payment.id)
    return next(iter(live_codes(unit, payment.consumer_id)))


def test_an_answer_without_end_is_cut_after_it_was_masked(sqlite_url: str) -> None:
    def keep(unit: Unit) -> None:
        octets = b"x" * (OCTETS_MAX - 3) + DIGITS.encode() + b"y" * 100_000
        trace = Trace(kind="http", received=octets, at_ms=1)
        keep_trace(unit, trace, carrier="acme", payment_id="pay_1", msisdn=PHONE)

    with a_store(sqlite_url) as store:
        applied(store, Odd(keep))
    [row] = kept(sqlite_url)
    received = bytes.fromhex(msgspec.json.decode(row.body)["received"])
    assert len(received) == OCTETS_MAX and received.endswith(b"x***")


def test_a_trace_makes_no_difference_between_results_and_shows_nothing_in_a_log() -> None:
    plain, traced = Charged(carrier_reference="S"), Charged(carrier_reference="S", trace=a_trace())
    assert plain == traced and traced == plain and hash(traced) == hash(traced)
    assert traced != Charged(carrier_reference="T", trace=a_trace())
    mo = Mo(carrier="acme", msisdn=PHONE, to="22345", text="0", read_at_ms=1, trace=a_trace("deliver_sm"))
    assert repr(mo.trace) == "<trace of deliver_sm>" and "to +" not in repr(mo)
