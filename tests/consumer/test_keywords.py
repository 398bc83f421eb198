"""Keywords through the real store: what journeys cannot reach, because it happens in one batch or at New Year."""

import pytest

from carriers import base
from gateway.engine.inbox import MoReceived
from gateway.engine.loop_guard import ANSWERS_PER_MINUTE
from gateway.store.apply import Store
from tests.consumer.bench import KEYWORDS, Clock, changed, said, texted
from tests.store.bench import PHONE, a_captured_payment, a_create, applied, count, rows


@pytest.mark.money
def test_a_month_begins_and_ends_at_the_phones_midnight(store: Store) -> None:
    payment = a_captured_payment(store)
    [old_year] = said(store, "HIST 12/2027")
    assert old_year.body["template"] == "statement_empty"
    [new_year] = said(store, "HIST 1/2028")
    assert new_year.body["fields"]["lines"].startswith("01/01") and payment.ref in new_year.body["fields"]["lines"]
    [receipt] = said(store, f"RECEIPT {payment.ref}")
    assert receipt.body["fields"]["time"].startswith("01/01/28 00:3")


def test_one_wish_in_one_batch_is_one_order(store: Store, database_url: str) -> None:
    answers = [row.body["template"] for row in said(store, "PAY ASHA 10", "PAY ASHA 10", "PAY ASHA 11")]
    assert answers == ["order_passed", "duplicate_order", "order_passed"]
    assert [row.type for row in rows(database_url, "SELECT type FROM event")] == ["order.requested"] * 2


def test_a_locked_phone_that_wants_to_buy_is_told_of_the_lock_and_not_to_wait_for_a_code(
    store: Store, database_url: str
) -> None:
    far_ms = 4_000_000_000_000
    changed(store, lambda consumer: setattr(consumer, "locked_until_ms", far_ms))
    [told] = said(store, "PAY ASHA 10")
    assert (told.body["template"], told.body["until_ms"]) == ("phone_locked", far_ms)
    assert count(database_url, "order_request") == 0


def test_the_same_wish_of_two_phones_is_two_orders(store: Store, database_url: str) -> None:
    applied(store, texted("PAY ASHA 10"), texted("PAY ASHA 10", "+254700000002"))
    assert count(database_url, "order_request") == 2


def test_a_phone_orders_no_more_often_than_it_is_answered(store: Store, database_url: str, clock: Clock) -> None:
    wishes = [f"PAY ASHA {amount}" for amount in range(301, 341)]
    answers = said(store, *wishes)
    assert [row.body["template"] for row in answers] == ["order_passed"] * ANSWERS_PER_MINUTE
    assert count(database_url, "order_request") == ANSWERS_PER_MINUTE
    clock.advance(60)
    assert [row.body["template"] for row in said(store, wishes[-1])] == ["order_passed"]


def test_stop_and_a_request_in_one_batch_go_by_their_order(store: Store, database_url: str) -> None:
    first = applied(store, a_create("k-1"), texted("STOP"), a_create("k-2"))
    stopped = [row.body["stopped"] for row in first.rows if row.body["is_ask"]]
    assert stopped == [True], "the ask of the first never leaves"
    assert [row.reason for row in rows(database_url, "SELECT reason FROM payment ORDER BY id")] == ["refused", None]
    again = applied(store, texted("STOP"), texted("START"), texted("START"), a_create("k-3"))
    assert [row.body["template"] for row in again.rows] == ["stopped", "started", "started", "ask"]
    assert again.rows[-1].body["stopped"] is False


def test_a_reply_counts_only_on_the_carrier_that_asked(store: Store, database_url: str) -> None:
    applied(store, a_create("k-1"))
    elsewhere = base.Mo(carrier="other", msisdn=PHONE, to="22345", text="0", read_at_ms=1)
    [answer] = applied(store, MoReceived(elsewhere, KEYWORDS.handlers, "test")).rows
    assert answer.body["template"] == "not_understood_nothing_waiting"
    assert [row.state for row in rows(database_url, "SELECT state FROM payment")] == ["created"]
