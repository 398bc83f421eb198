"""STOP and START: for everybody, for one shop, in doubt, in one batch, and for a phone that has had its share."""

import pytest

from gateway.engine.lane import _supersedes
from gateway.engine.loop_guard import ANSWERS_PER_MINUTE
from gateway.store.apply import Store
from gateway.store.unit import Consumer
from tests.consumer.bench import Clock, answer, changed, filled, said, texted, texts_of
from tests.store.bench import PHONE, a_create, applied, count, rows

ASHA_STOPPED = "stopped_shop shop=Mama Asha keyword=ASHA count="


def asked(store: Store, key: str, merchant_id: str = "mer_1") -> bool:
    """Whether an ask of a new payment would leave."""
    [row] = texts_of(applied(store, a_create(key, merchant_id=merchant_id)))
    assert row.body["is_ask"]
    return not row.body["stopped"]


def reasons(url: str) -> list[tuple[str, str | None]]:
    found = rows(url, "SELECT merchant_id, reason FROM payment ORDER BY id")
    return [(row.merchant_id, row.reason) for row in found]


def test_stop_with_a_shop_ends_what_waits_of_that_shop_and_what_comes(store: Store, database_url: str) -> None:
    assert asked(store, "k-1") and asked(store, "k-2", "mer_2")
    assert answer(store, "stop asha please") == f"{ASHA_STOPPED}1"
    assert not asked(store, "k-3") and asked(store, "k-4", "mer_2")
    assert reasons(database_url) == [("mer_1", "refused"), ("mer_2", None), ("mer_1", None), ("mer_2", None)]


def test_an_ask_that_has_not_left_is_taken_back_by_the_stop_of_its_shop(store: Store, database_url: str) -> None:
    asked(store, "k-1")
    asked(store, "k-2", "mer_2")
    [told] = said(store, "STOP ASHA")
    assert (told.body["ends_asks"], told.body["ends_asks_of"]) == (True, "mer_1")
    left = rows(database_url, "SELECT p.merchant_id FROM outbox o JOIN payment p ON p.id = o.payment_id ORDER BY o.id")
    assert [row.merchant_id for row in left] == ["mer_2"]


@pytest.mark.parametrize(("words", "shop"), [("STOP", ""), ("STOP ASHA", "mer_1"), ("REPORT", "mer_1")])
def test_an_ask_in_the_lane_of_another_carrier_is_taken_back_as_well(store: Store, words: str, shop: str) -> None:
    """Where a bind is down an ask may wait, and would leave behind the word that nobody may ask."""
    [ask] = texts_of(applied(store, a_create("k-1", carrier="other")))
    ending = [row for row in applied(store, texted(words)).rows if row.body.get("ends_asks")]
    assert [row.body["carrier"] for row in ending if _supersedes(row, ask) and row.lane == ask.lane] == ["other"]
    assert {row.body["ends_asks_of"] for row in ending} == {shop}


def test_a_stop_and_requests_in_one_batch_go_by_their_order(store: Store, database_url: str) -> None:
    jobs = (a_create("k-1"), texted("STOP ASHA"), a_create("k-2"), texted("START ASHA"), a_create("k-3"))
    found = texts_of(applied(store, *jobs))
    assert [row.body["stopped"] for row in found if row.body["is_ask"]] == [True, False]
    assert count(database_url, "consumer_stop") == 0
    applied(store, texted("STOP ASHA"), texted("START ASHA"), texted("STOP ASHA"), texted("STOP JUMA"))
    assert count(database_url, "consumer_stop") == 2


def test_a_stop_of_another_phone_stops_nobody_else(store: Store) -> None:
    applied(store, texted("STOP ASHA", "+254700000002"))
    assert asked(store, "k-1")


def test_start_with_a_shop_lifts_that_stop_only(store: Store) -> None:
    said(store, "STOP ASHA", "STOP JUMA")
    assert answer(store, "START ASHA") == "started_shop shop=Mama Asha keyword=ASHA"
    assert asked(store, "k-1") and not asked(store, "k-2", "mer_2")


def test_start_alone_lifts_every_stop(store: Store, database_url: str) -> None:
    said(store, "STOP ASHA", "STOP JUMA", "STOP")
    assert answer(store, "START") == "started"
    assert asked(store, "k-1") and asked(store, "k-2", "mer_2")
    assert count(database_url, "consumer_stop") == 0


@pytest.mark.parametrize("words", ["STOP XYZ", "STOP ALL", "STOP", "STOP ASHA JUMA", "stop asha 4821", "STOP MESSAGES"])
def test_a_stop_that_names_no_shop_stops_all(store: Store, words: str) -> None:
    assert asked(store, "k-1") and asked(store, "k-2", "mer_2")
    assert answer(store, words) == "stopped count=2"
    assert not asked(store, "k-3") and not asked(store, "k-4", "mer_2")


def test_start_with_a_word_that_is_no_shop_says_so_and_lifts_nothing(store: Store) -> None:
    said(store, "STOP ASHA")
    assert answer(store, "START ZEBRA") == "shop_unknown shop=ZEBRA"
    assert not asked(store, "k-1")


def test_start_with_a_shop_does_not_lift_what_stops_all(store: Store) -> None:
    said(store, "STOP", "STOP ASHA")
    assert answer(store, "START ASHA") == "stopped count=0"
    assert not asked(store, "k-1")


@pytest.mark.parametrize(("stop", "told"), [("STOP ASHA", f"{ASHA_STOPPED}0"), ("STOP", "stopped count=0")])
def test_a_wish_to_buy_lifts_no_stop_and_is_not_passed_on(
    store: Store, database_url: str, stop: str, told: str
) -> None:
    said(store, stop)
    assert answer(store, "PAY ASHA 10") == told
    assert count(database_url, "order_request") == 0
    assert answer(store, "PAY JUMA 10").startswith("order_passed" if stop == "STOP ASHA" else "stopped")


@pytest.mark.parametrize("stop", ["STOP", "STOP ASHA"])
def test_stop_acts_on_a_phone_that_has_had_its_answers_and_is_confirmed_once(
    store: Store, database_url: str, stop: str, clock: Clock
) -> None:
    said(store, *["HELP"] * ANSWERS_PER_MINUTE)
    assert said(store, "HELP") == []
    asked(store, "k-1")
    assert answer(store, stop).startswith("stopped")
    assert said(store, "START") == [], "it acts all the same"
    assert asked(store, "k-2")
    mute = [row for row in applied(store, texted(stop)).rows if row.kind == "sms"]
    assert [(row.body["is_mute"], row.body["ends_asks"]) for row in mute] == [(True, True)], "asks go, no text comes"
    assert {reason for _, reason in reasons(database_url)} == {"refused"}
    clock.advance(60)
    assert filled(said(store, stop)[0]).startswith("stopped")


def test_a_machine_that_answers_each_text_with_start_and_stop_is_soon_alone(store: Store, clock: Clock) -> None:
    answers = 0
    while told := said(store, "START", "STOP"):
        answers += len(told)
        assert answers <= ANSWERS_PER_MINUTE + 1
        clock.advance(0.1)
    assert answers > 2


def test_a_stop_that_changes_nothing_gets_no_answer_beyond_the_share(store: Store) -> None:
    said(store, "STOP ASHA", *["HELP"] * (ANSWERS_PER_MINUTE - 1))
    assert said(store, "STOP ASHA") == []


def test_a_stopped_shop_is_stopped_for_its_phone_whoever_wrote_first(store: Store) -> None:
    """A number that nobody has heard of is stopped with the text that makes it known."""
    applied(store, texted("STOP ASHA", "+254700000009"), a_create("k-1", msisdn="+254700000009"), a_create("k-2"))
    again = texts_of(applied(store, a_create("k-3", msisdn="+254700000009"), a_create("k-4", msisdn=PHONE)))
    assert [row.body["stopped"] for row in again] == [True, False]


@pytest.mark.parametrize("words", ["CANCEL", "BASTA", "STOP ASHA", "yes"])
def test_what_the_channel_took_for_a_stop_stops_all_whatever_the_words(
    store: Store, database_url: str, words: str
) -> None:
    assert asked(store, "k-1") and asked(store, "k-2", "mer_2")
    applied(store, a_create("k-3", carrier="other"))
    batch = applied(store, texted(words, taken_as="stop"))
    assert texts_of(batch) == [], "the channel would carry none"
    ending = {row.body["carrier"]: row.body["ends_asks_of"] for row in batch.rows if row.body.get("ends_asks")}
    assert ending == {"acme": "", "other": ""}
    assert {reason for _, reason in reasons(database_url)} == {"refused"}
    assert not asked(store, "k-4") and not asked(store, "k-5", "mer_2")
    assert [row.meaning for row in rows(database_url, "SELECT meaning FROM mo")] == ["stop"]


def test_what_the_channel_took_for_a_start_lifts_a_stop_by_our_words_only(store: Store) -> None:
    applied(store, texted("STOP"))
    for words in ("yes", "ALTA"):
        changed(store, unheard)
        [told] = texts_of(applied(store, texted(words, taken_as="start")))
        assert filled(told) == "stopped count=0", "it has heard from the channel that it is lifted"
        assert not asked(store, words)
    [told] = texts_of(applied(store, texted("UNSTOP", taken_as="start")))
    assert filled(told) == "started" and asked(store, "k-3")
    [told] = texts_of(applied(store, texted("START ASHA", taken_as="start")))
    assert told.body["template"] == "started_shop"


def test_a_yes_that_the_channel_took_for_a_start_is_told_how_to_pay(store: Store) -> None:
    applied(store, a_create("k-1"))
    [told] = texts_of(applied(store, texted("YES", taken_as="start")))
    assert told.body["template"] == "not_understood"


@pytest.mark.parametrize(("words", "answers"), [("HELP", 0), ("info", 0), ("AYUDA", 0), ("HIST", 1), ("STOP", 1)])
def test_a_help_that_the_channel_has_answered_is_not_answered_twice(store: Store, words: str, answers: int) -> None:
    applied(store, a_create("k-1"))
    assert len(texts_of(applied(store, texted(words, taken_as="help")))) == answers


def unheard(consumer: Consumer) -> None:
    consumer.unclear_at_ms = None
