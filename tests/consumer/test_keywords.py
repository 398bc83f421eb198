"""Keywords through the real store: what journeys cannot reach, because it happens in one batch or at New Year."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from carriers import base
from gateway.app.parts import catalogues
from gateway.consumer.keywords import Keywords
from gateway.engine.inbox import MoReceived
from gateway.store import tables
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Unit
from tests.store.bench import PHONE, POLICY, Odd, a_captured_payment, a_create, an_engine, applied, count, rows

NAIROBI = ZoneInfo("Africa/Nairobi")
KEYWORDS = Keywords({"acme": NAIROBI}, {"acme": "KES"}, {"acme": "test"}, {"acme": catalogues()})
NEW_YEAR = datetime(2027, 12, 31, 21, 30, tzinfo=UTC)
"""Half past midnight of the first of January in Nairobi."""


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    offset_ms = int((NEW_YEAR.timestamp() - time.time()) * 1000)
    with an_engine(database_url) as engine:
        opened = Store(engine, POLICY, clock_offset_ms=lambda: offset_ms)
        applied(opened, Odd(_add_shop))
        yield opened


def _add_shop(unit: Unit) -> None:
    shop = {"id": "mer_1", "name": "Asha Ltd", "shop": "Mama Asha", "keyword": "ASHA", "created_at_ms": 1}
    unit.put(tables.merchant, shop)


def texted(words: str, msisdn: str = PHONE) -> MoReceived:
    mo = base.Mo(carrier="acme", msisdn=msisdn, to="22345", text=words, read_at_ms=1)
    return MoReceived(mo, KEYWORDS.handlers)


@pytest.mark.parametrize(("languages", "spoken"), [(("en",), "en"), (("en", "sw"), "sw"), (None, "sw")])
def test_a_phone_is_answered_in_a_language_that_its_carrier_speaks(
    store: Store, languages: tuple[str, ...] | None, spoken: str
) -> None:
    mo = base.Mo(carrier="acme", msisdn=PHONE, to="22345", text="HELP", read_at_ms=1)
    [row] = applied(store, MoReceived(mo, KEYWORDS.handlers, "sw", languages)).rows
    assert row.body["language"] == spoken


def said(store: Store, *words: str) -> list[OutboxRow]:
    """What is sent back to texts that come in one batch."""
    return [row for row in applied(store, *(texted(one) for one in words)).rows if row.kind == "sms"]


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


def test_the_same_wish_of_two_phones_is_two_orders(store: Store, database_url: str) -> None:
    applied(store, texted("PAY ASHA 10"), texted("PAY ASHA 10", "+254700000002"))
    assert count(database_url, "order_request") == 2


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
    [answer] = applied(store, MoReceived(elsewhere, KEYWORDS.handlers)).rows
    assert answer.body["template"] == "not_understood_nothing_waiting"
    assert [row.state for row in rows(database_url, "SELECT state FROM payment")] == ["created"]
