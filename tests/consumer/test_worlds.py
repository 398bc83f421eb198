"""Test keys and simulated phones: what goes on there never reaches the real phone with the same number."""

from zoneinfo import ZoneInfo

import pytest

from carriers import base
from gateway.app.parts import catalogues
from gateway.consumer.keywords import Keywords
from gateway.core.codes import choose_code
from gateway.engine.inbox import MoReceived
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Phone
from tests.consumer.bench import filled, texted, texts_of, the_consumer
from tests.store.bench import CODE_KEY, PHONE, a_captured_payment, a_create, applied, rows

REAL = Phone(PHONE, "live")
NAIROBI, SPOKEN = ZoneInfo("Africa/Nairobi"), catalogues()
LIVE = Keywords({"other": NAIROBI}, {"other": "KES"}, {"other": SPOKEN})


def from_real(words: str) -> MoReceived:
    mo = base.Mo(carrier="other", msisdn=PHONE, to="22345", text=words, read_at_ms=1)
    return MoReceived(mo, LIVE.handlers, "live")


def told(store: Store, words: str) -> str:
    [row] = texts_of(applied(store, from_real(words)))
    return filled(row)


def asked(store: Store) -> OutboxRow:
    """A real shop asks the real phone."""
    [ask] = applied(store, a_create("k-live", mode="live", carrier="other")).rows
    assert ask.body["stopped"] is False
    return ask


@pytest.mark.parametrize("words", ["STOP", "STOP ASHA", "LIMIT 0", "LANG SW", "0", "4711"])
def test_what_a_simulated_phone_says_changes_nothing_at_the_real_one(store: Store, words: str) -> None:
    ask = asked(store)
    applied(store, texted(words))
    real = the_consumer(store, REAL)
    assert (real.stopped_at_ms, real.limit_minor, real.language, real.wrong_count) == (None, None, "", 0)
    code = choose_code(CODE_KEY, ask.payment_id or "", ask.body["code_digits"], (), ask.body["code_n"])[0]
    confirmed = applied(store, from_real(code))
    assert [row.kind for row in confirmed.rows] == ["charge"]


def test_a_real_stop_and_limit_leave_simulated_phones_alone(store: Store) -> None:
    told(store, "LIMIT 0")
    told(store, "STOP")
    [ask] = applied(store, a_create("k-test")).rows
    assert ask.body["stopped"] is False


@pytest.mark.money
def test_what_a_simulated_phone_paid_stands_in_no_statement_of_the_real_one(store: Store) -> None:
    paid = a_captured_payment(store)
    assert told(store, "HIST") == "statement_empty"
    assert told(store, f"RECEIPT {paid.ref}") == f"receipt_not_found ref={paid.ref}"
    assert told(store, "BAL") == "limit_none used=KES 0.00"


def test_both_phones_of_a_number_stand_in_one_table(store: Store, database_url: str) -> None:
    applied(store, texted("HELP"), from_real("HELP"))
    found = rows(database_url, "SELECT mode FROM consumer WHERE msisdn = :msisdn ORDER BY mode", msisdn=PHONE)
    assert [row.mode for row in found] == ["live", "test"]
