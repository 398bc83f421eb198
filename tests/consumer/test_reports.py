"""REPORT: what waits ends, what was paid is disputed, the shop stays away, and both sides hear of it once."""

import re

import pytest

from carriers import base
from gateway.core.payment import Capture
from gateway.engine.carrier_jobs import OrderDone
from gateway.store.apply import Store
from tests.consumer.bench import TEXTS, Clock, add_shops, answer, ref_of, said, texted, texts_of
from tests.engine.caps_bench import just
from tests.store.bench import (
    PHONE,
    Odd,
    a_captured_payment,
    a_create,
    a_store,
    an_order,
    applied,
    charged,
    count,
    rows,
)

OTHER_PHONE = "+254700000002"


def reported(store: Store, words: str = "REPORT", msisdn: str = PHONE) -> list[str]:
    return [row.body["template"] for row in texts_of(applied(store, texted(words, msisdn)))]


def stopped(store: Store, key: str, merchant_id: str = "mer_1") -> bool:
    [row] = texts_of(applied(store, a_create(key, merchant_id=merchant_id)))
    return bool(row.body["stopped"])


def events(url: str) -> list[str]:
    return [row.type for row in rows(url, "SELECT type FROM event ORDER BY seq") if row.type != "payment.created"]


@pytest.mark.parametrize("words", ["REPORT", "ripoti {ref}", "SIGNALER {ref}", "舉報 {ref}", "report this please"])
def test_a_request_that_waits_is_ended_and_its_shop_stays_away(store: Store, database_url: str, words: str) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    batch = applied(store, texted(words.format(ref=ask.body["ref"])))
    [row] = texts_of(batch)
    assert (row.body["template"], row.payment_id) == ("reported", ask.payment_id)
    assert "was not charged" in TEXTS.render(row) and row.body["ref"] in TEXTS.render(row)
    [mute] = [row for row in batch.rows if row.body.get("is_mute")]
    assert (mute.body["ends_asks"], mute.body["ends_asks_of"]) == (True, "mer_1")
    assert events(database_url) == ["payment.failed", "payment.reported"]
    [found] = rows(
        database_url, "SELECT p.reason, r.found, r.merchant_id FROM report r JOIN payment p ON p.id = r.payment_id"
    )
    assert tuple(found) == ("refused", "pending", "mer_1") and batch.reported == ["acme"]
    assert stopped(store, "k-2") and not stopped(store, "k-3", "mer_2")
    assert answer(store, "START ASHA").startswith("started_shop") and not stopped(store, "k-4")


def test_a_second_report_changes_nothing_and_is_answered_alike(store: Store, database_url: str) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    again = f"REPORT {ask.body['ref']}"
    assert reported(store) == reported(store, again) == reported(store, "REPORT") == ["reported"]
    assert count(database_url, "report") == 1 and events(database_url).count("payment.reported") == 1
    batch = applied(store, texted(again), texted(again))
    assert batch.reported == [] and [row.body["template"] for row in texts_of(batch)] == ["reported"] * 2


def test_what_was_refused_a_while_ago_is_reported_without_its_ref_for_a_day(store: Store, clock: Clock) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    refused = said(store, "0")
    assert f"Text REPORT {ask.body['ref']}" in TEXTS.render(refused[0])
    clock.advance(23 * 3600)
    assert reported(store) == ["reported"]
    clock.advance(2 * 3600)
    assert reported(store) == ["report_nothing"] and reported(store, f"REPORT {ask.body['ref']}") == ["reported"]


def test_of_two_shops_nobody_guesses_which(store: Store, database_url: str) -> None:
    applied(store, a_create("k-1"), a_create("k-2", merchant_id="mer_2"))
    assert reported(store) == ["report_which"]
    assert count(database_url, "report") == 0
    assert rows(database_url, "SELECT count(*) AS n FROM payment WHERE reason IS NULL")[0].n == 2


@pytest.mark.money
def test_what_was_paid_is_disputed_once(store: Store, database_url: str) -> None:
    payment = a_captured_payment(store)
    assert reported(store) == ["report_nothing"], "what was paid is named by its ref"
    assert reported(store, f"REPORT {payment.ref}") == ["report_disputed"]
    [dispute] = rows(database_url, "SELECT state, reason, amount_minor FROM dispute")
    assert tuple(dispute) == ("open", "not_agreed", 125_000)
    assert reported(store, f"REPORT {payment.ref}") == ["report_disputed"] and count(database_url, "dispute") == 1
    assert reported(store, f"DISPUTE {payment.ref}") == ["dispute_opened"] and count(database_url, "dispute") == 1
    assert events(database_url)[-2:] == ["dispute.opened", "payment.reported"]
    assert stopped(store, "k-2")


@pytest.mark.money
def test_while_it_is_charged_nothing_is_promised_and_afterwards_it_is_disputed(store: Store, database_url: str) -> None:
    order = an_order(store)
    report = f"REPORT {ref_of(store)}"
    assert reported(store, report) == ["report_charging"]
    applied(store, OrderDone(order, base.Unknown(detail="no answer")))
    assert reported(store, report) == ["unknown_outcome"]
    applied(store, charged(order))
    assert reported(store, report) == ["report_disputed"]
    assert [row.found for row in rows(database_url, "SELECT found FROM report")] == ["processing"]


@pytest.mark.parametrize("words", ["REPORT {ref}", "REPORT"])
def test_a_consent_that_the_shop_has_not_used_is_taken_back(store: Store, database_url: str, words: str) -> None:
    [ask] = applied(store, a_create("k-1", capture=Capture.MANUAL)).rows
    [code] = re.findall("reply ([0-9]{4})", TEXTS.render(ask))
    applied(store, texted(code, read_at_ms=ask.created_at_ms))
    assert reported(store, words.format(ref=ask.body["ref"])) == ["refused"], "one text, and it is not the mute one"
    assert events(database_url)[-2:] == ["payment.failed", "payment.reported"]


def test_another_phones_payment_cannot_be_reported(store: Store, database_url: str) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    assert reported(store, f"REPORT {ask.body['ref']}", OTHER_PHONE) == ["receipt_not_found"]
    assert reported(store, "REPORT", OTHER_PHONE) == ["report_nothing"]
    assert count(database_url, "report") == 0 and count(database_url, "consumer_stop") == 0


def test_an_ask_and_its_report_in_one_batch(store: Store, database_url: str) -> None:
    found = texts_of(applied(store, a_create("k-1"), texted("REPORT"), a_create("k-2")))
    assert [row.body["template"] for row in found if not row.body["is_ask"]] == ["reported"]
    assert [row.body["stopped"] for row in found if row.body["is_ask"]] == [True]


def asked_and_reported(store: Store, phone: str, key: str) -> None:
    applied(store, a_create(key, msisdn=phone))
    assert reported(store, msisdn=phone) == ["reported"]


def test_three_phones_that_report_a_shop_in_a_day_raise_one_alarm(database_url: str) -> None:
    with a_store(database_url, just(reports_per_day=3)) as store:
        applied(store, Odd(add_shops))
        for n in range(3):
            asked_and_reported(store, f"+25470000001{n}", f"k-{n}")
            assert count(database_url, "break") == (n == 2)
        asked_and_reported(store, "+254700000013", "k-3")
        applied(store, a_create("k-4", msisdn="+254700000014", merchant_id="mer_2"))
        assert reported(store, msisdn="+254700000014") == ["reported"]
    [alarm] = rows(database_url, 'SELECT kind, detail FROM "break"')
    assert alarm.kind == "reported" and re.fullmatch(
        r"mer_1 \(test\): reported by 3 phones or more within a day, [0-9-]{10} UTC", alarm.detail
    )


def test_one_phone_alone_raises_none(database_url: str) -> None:
    with a_store(database_url, just(reports_per_day=2)) as store:
        for n in range(3):
            [ask] = [row for row in applied(store, a_create(f"k-{n}"), texted("START")).rows if row.body["is_ask"]]
            assert ask.body["ref"] and reported(store) == ["reported"]
    assert count(database_url, "report") == 3 and count(database_url, "break") == 0
