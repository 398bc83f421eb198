"""The statement page below sockets: who is sent a code, which code opens, and what somebody does once inside."""

import asyncio
import re
from collections.abc import Callable

import pytest

from carriers import loopback
from gateway.consumer.page import views
from gateway.consumer.page.jobs import DisputeSent, GoodsCame, LanguageChosen, ReportSent, ShopsSaid
from gateway.core.logins import (
    CODE_LIVES_MS,
    CODES_PER_HOUR,
    IDLE_MS,
    LOCK_MS,
    SESSION_MS,
    TRIES_MAX,
)
from gateway.engine.batcher import Call
from gateway.engine.executors import TextExecutor
from gateway.engine.housekeeping import _forget
from gateway.engine.recycling import Outcome, Recycled, RecycleNumber
from gateway.store import page
from gateway.store.apply import Store
from gateway.store.unit import Consumer
from simulators.reading import wrong_codes
from tests.consumer.bench import Clock, answer, changed, said, the_consumer
from tests.consumer.page_bench import DESK, TEXTS, Browser
from tests.engine.lane_bench import Always
from tests.store.bench import PHONE, SIMULATED, Odd, a_captured_payment, a_create, applied, count, rows
from tests.stores import reading

STRANGER = "+254700000099"


@pytest.fixture
def browser(store: Store, database_url: str) -> Browser:
    a_captured_payment(store)
    return Browser(store, database_url)


def test_the_right_code_opens_once_and_lies_nowhere(browser: Browser) -> None:
    assert browser.ask()
    code = browser.code()
    assert browser.type(code).outcome == "right"
    assert browser.type(code).outcome == "old", "a code that was used is dead"
    session = browser.session()
    assert session is not None and session.shown_number == "+254*****001" and session.carrier == "acme"
    found = [rows(browser.url, "SELECT * FROM page_login"), rows(browser.url, "SELECT * FROM page_session")]
    stored = [str(row) for one in (*found, rows(browser.url, "SELECT * FROM outbox")) for row in one]
    assert stored and not [row for row in stored if code in row or PHONE[1:] in row]


@pytest.mark.parametrize(
    ("left_ms", "is_fresh", "leaves"),
    [(60_000, False, True), (1_000, False, False), (60_000, True, False)],
    ids=["", "the code is dead", "the SIM is fresh"],
)
def test_a_text_with_a_code_leaves_only_for_its_owner_and_in_time(
    browser: Browser, left_ms: int, is_fresh: bool, leaves: bool
) -> None:
    browser.ask()
    [row] = browser.sent

    async def number(_: str) -> str:
        return PHONE

    async def waits(*_: object) -> bool:
        raise AssertionError("it is about no payment")

    async def sim(msisdn: str) -> bool:
        return is_fresh and msisdn == PHONE

    executor = TextExecutor(
        loopback.Bearer("acme", loopback.Settings(), now_ms=lambda: 0),
        TEXTS,
        number,
        waits,
        lambda: row.created_at_ms + CODE_LIVES_MS - left_ms,
        is_sim_fresh=sim,
        concurrency=1,
        hard_timeout_s=1.0,
    )
    done = asyncio.run(executor.run(row, Always()))
    assert (done.result is not None) is leaves


def test_five_wrong_codes_end_it_and_then_the_right_one_is_wrong_too(browser: Browser, clock: Clock) -> None:
    browser.ask()
    right = browser.code()
    typed = [browser.type(code) for code in wrong_codes(right, TRIES_MAX)]
    assert [one.left for one in typed] == [4, 3, 2, 1, 0]
    assert [one.outcome for one in typed] == ["wrong"] * 4 + ["locked"]
    assert browser.type(right).outcome == "locked" and browser.session() is None
    assert not browser.ask(), "no new code either"
    clock.advance((CODE_LIVES_MS + LOCK_MS) / 1000)
    browser.log_in()


def test_a_try_counts_before_it_is_judged(browser: Browser) -> None:
    browser.ask()
    browser.type("000000")
    assert rows(browser.url, "SELECT tries FROM page_login")[0].tries == 1


def test_whoever_tries_at_the_same_time_has_five_tries_in_all(browser: Browser) -> None:
    browser.ask()
    login_id = browser.sent[0].body["login_id"]
    jobs = [Odd(lambda unit: page.take_try(unit.conn, login_id)) for _ in range(TRIES_MAX + 2)]
    taken = [one.result for one in applied(browser.store, *jobs).applied]
    assert taken == [True] * TRIES_MAX + [False] * 2


def test_a_code_is_too_old_after_ten_minutes(browser: Browser, clock: Clock) -> None:
    browser.ask()
    clock.advance(CODE_LIVES_MS / 1000)
    assert browser.type(browser.code()).outcome == "old"


def test_a_newer_code_takes_the_place_of_the_older_one_in_its_own_browser_only(browser: Browser, store: Store) -> None:
    browser.ask()
    first, other = browser.code(), Browser(store, browser.url, "another browser")
    other.ask()
    assert other.type(first).outcome == "wrong"
    assert other.type(other.code()).outcome == "right"
    assert browser.type(first).outcome == "right", "neither a stranger nor she herself ends it elsewhere"
    browser.ask()
    assert browser.type(first).outcome == "wrong"


def test_a_code_opens_in_the_browser_that_asked_for_it_only(browser: Browser, store: Store) -> None:
    browser.ask()
    thief = Browser(store, browser.url, "thief")
    assert thief.type(browser.code()).outcome == "old"
    thief.ask(STRANGER)
    assert thief.type(browser.code()).outcome == "wrong"


def stop(consumer: Consumer) -> None:
    consumer.stopped_at_ms = 1


def lock(consumer: Consumer) -> None:
    consumer.locked_until_ms = 10**14


@pytest.mark.parametrize("bar", [stop, lock])
def test_a_phone_that_takes_nothing_is_sent_nothing_and_looks_like_any_other(
    browser: Browser, store: Store, bar: Callable[[Consumer], None]
) -> None:
    changed(store, bar)
    assert not browser.ask()
    assert browser.type("482913").left == TRIES_MAX - 1


def test_a_number_that_nobody_asked_makes_no_row_of_a_phone_and_looks_like_any_other(browser: Browser) -> None:
    before = count(browser.url, "consumer")
    assert not browser.ask(STRANGER)
    assert count(browser.url, "consumer") == before
    assert [browser.type("482913").outcome for _ in range(6)] == ["wrong"] * 4 + ["locked"] * 2


def test_a_simulated_phone_is_none_of_the_real_ones_page(browser: Browser) -> None:
    assert not browser.ask(PHONE, "live")


def test_a_phone_is_sent_few_codes_an_hour_and_whoever_asks_on_ends_none(
    browser: Browser, store: Store, clock: Clock
) -> None:
    assert [browser.ask() for _ in range(CODES_PER_HOUR)] == [True] * CODES_PER_HOUR
    code = browser.code()
    stranger = Browser(store, browser.url, "stranger")
    assert not stranger.ask()
    assert browser.type(code).outcome == "right"
    clock.advance(3600)
    assert stranger.ask()


def test_a_session_ends_when_it_is_left_and_when_it_is_used_for_long(browser: Browser, clock: Clock) -> None:
    browser.log_in()
    clock.advance(IDLE_MS / 1000 - 1)
    assert browser.session() is not None
    applied(browser.store, Odd(lambda unit: page.use_session(unit.conn, browser.session_id, unit.now_ms)))
    clock.advance(IDLE_MS / 1000 - 1)
    assert browser.session() is not None, "it was used meanwhile"
    clock.advance(1)
    assert browser.session() is None


def test_a_session_lasts_an_hour_at_most_however_often_it_is_used(browser: Browser, clock: Clock) -> None:
    browser.log_in()
    for _ in range(5):
        clock.advance(SESSION_MS / 5000)
        applied(browser.store, Odd(lambda unit: page.use_session(unit.conn, browser.session_id, unit.now_ms)))
    assert browser.session() is None


def test_a_number_with_a_new_owner_ends_the_old_ones_session_and_code(browser: Browser, store: Store) -> None:
    browser.log_in()
    other = Browser(store, browser.url, "other")
    other.ask()
    recycled = applied(store, RecycleNumber(phone=SIMULATED)).applied[0].result
    assert isinstance(recycled, Recycled) and recycled.outcome is Outcome.RECYCLED
    assert browser.session() is None
    assert other.type(other.code()).outcome == "wrong"
    assert not Browser(store, browser.url, "new").ask(), "nobody has asked the new owner for money"


def test_logging_out_ends_it_at_once_and_a_form_that_is_still_open_does_nothing(browser: Browser) -> None:
    session = browser.log_in()
    applied(browser.store, Odd(lambda unit: page.end_session(unit.conn, browser.session_id)))
    assert browser.session() is None
    job = LanguageChosen(browser.session_id, session.consumer_id, "fr")
    assert browser.do(job) == "gone"
    assert the_consumer(browser.store).language == ""


@pytest.mark.money
def test_a_dispute_is_that_of_the_keyword_and_its_text_comes_once(browser: Browser) -> None:
    session = browser.log_in()
    [payment] = rows(browser.url, "SELECT id, ref FROM payment")
    job = DisputeSent(browser.session_id, session.consumer_id, payment.ref.lower(), "not_received")
    assert browser.do(job) == "dispute_opened"
    [told] = browser.sent
    assert told.body["template"] == "dispute_opened"
    assert browser.do(job) == "dispute_opened" and browser.sent == []
    [dispute] = rows(browser.url, "SELECT opened_by, reason, state, created_at_ms FROM dispute")
    assert tuple(dispute)[:3] == ("consumer", "not_received", "open")
    assert told.body["until_ms"] > dispute.created_at_ms, "it names the time by which the phone hears"
    [again] = said(browser.store, f"DISPUTE {payment.ref}")
    same = {name: again.body[name] for name in ("template", "until_ms")}
    assert same == {name: told.body[name] for name in same}, "by text it is the same one"


def test_another_phones_payment_is_neither_shown_nor_judged(browser: Browser, store: Store) -> None:
    other = a_captured_payment(store, "k-2", msisdn=STRANGER)
    session = browser.log_in()
    mine = (browser.session_id, session.consumer_id)
    for job in (DisputeSent(*mine, other.ref, "other"), ReportSent(*mine, other.ref), GoodsCame(*mine, other.ref)):
        assert browser.do(job) == "error_missing" and browser.sent == []
    with reading(browser.url) as conn:
        reader = views.Reader(conn, DESK, session, DESK.catalogues.language("en"), other.updated_at_ms)
        assert reader.receipt(other.ref) is None
        assert other.ref not in {line.ref for line in reader.listing(None, None).lines}


def test_a_shop_is_stopped_and_allowed_as_by_text(browser: Browser, store: Store) -> None:
    applied(store, a_create("k-2"))
    session = browser.log_in()

    def said(*, is_stop: bool, merchant_id: str = "mer_1") -> str:
        return browser.do(ShopsSaid(browser.session_id, session.consumer_id, is_stop=is_stop, merchant_id=merchant_id))

    assert said(is_stop=True) == "is_stopped"
    assert browser.sent == [], "the page has said it"
    assert rows(browser.url, "SELECT state FROM payment ORDER BY id")[-1].state == "ended"
    with reading(browser.url) as conn:
        [shop] = page.shops_of(conn, session.consumer_id)
    assert shop.is_stopped and shop.shop == "Mama Asha"
    assert answer(store, "PAY ASHA 10").startswith("stopped_shop")
    assert said(is_stop=False) == "is_allowed"
    assert answer(store, "PAY ASHA 10").startswith("order_passed")
    assert said(is_stop=True, merchant_id="mer_9") == "error_missing"
    assert said(is_stop=True, merchant_id="") == "is_stopped"
    stopped = browser.session()
    assert stopped is not None and stopped.is_stopped, "whoever is inside stays inside"
    assert said(is_stop=False, merchant_id="") == "is_allowed" and the_consumer(store).stopped_at_ms is None


def test_a_stop_takes_the_asks_that_wait_in_the_lane_with_it(browser: Browser, store: Store) -> None:
    applied(store, a_create("k-2"))
    session = browser.log_in()
    batch = applied(store, ShopsSaid(browser.session_id, session.consumer_id, is_stop=True, merchant_id="mer_1"))
    [mute] = [row for row in batch.rows if row.body.get("is_mute")]
    assert mute.body["ends_asks"] and mute.body["ends_asks_of"] == "mer_1"


def test_a_language_is_that_of_texts_too(browser: Browser) -> None:
    session = browser.log_in()
    assert browser.do(LanguageChosen(browser.session_id, session.consumer_id, "sw")) == "language_set"
    after = browser.session()
    assert after is not None and after.language == "sw" and the_consumer(browser.store).language == "sw"


def test_a_receipt_has_all_the_facts(browser: Browser) -> None:
    session = browser.log_in()
    [payment] = rows(browser.url, "SELECT ref, updated_at_ms FROM payment")
    with reading(browser.url) as conn:
        reader = views.Reader(conn, DESK, session, DESK.catalogues.language("en"), payment.updated_at_ms)
        receipt = reader.receipt(payment.ref)
    assert receipt is not None and receipt.may == ["dispute", "report"]
    assert [told.key for told in receipt.told] == ["is_succeeded"] and receipt.dispute is None
    facts = dict(receipt.facts)
    assert facts | {"asked_at": "", "agreed_at/by_sms": "", "ended_at": ""} == {
        "shop": "Mama Asha",
        "item": "Vegetable box",
        "asked": "KES 1,250.00",
        "charged": "KES 1,250.00",
        "fee": "",
        "asked_at": "",
        "agreed_at/by_sms": "",
        "ended_at": "",
        "ref": payment.ref,
    }
    assert all(re.fullmatch(r"01/01/28 00:3\d", facts[key]) for key in ("asked_at", "agreed_at/by_sms", "ended_at"))


def test_months_are_those_of_the_phones_clock_and_a_page_goes_on_where_the_last_one_ended(
    browser: Browser, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "LINES", 2)
    clock.advance(40 * 24 * 3600)
    refs = [a_captured_payment(store, f"k-{number}").ref for number in range(2, 7)]
    session = browser.log_in()
    now_ms = rows(browser.url, "SELECT max(at_ms) AS at_ms FROM page_session")[0].at_ms
    with reading(browser.url) as conn:
        reader = views.Reader(conn, DESK, session, DESK.catalogues.language("en"), now_ms)
        first = reader.listing(None, None)
        assert first.month == (2028, 2) and first.older == (2028, 1) and first.newer is None
        assert first.month.shown(DESK.catalogues.page("en")) == "February 2028"
        assert first.month.shown(DESK.catalogues.page("zh-Hant")) == "2028年2月"
        shown, after = [line.ref for line in first.lines], first.more
        while after:
            page_of = reader.listing(first.month, after)
            shown, after = shown + [line.ref for line in page_of.lines], page_of.more
        assert shown == refs[::-1]
        january = reader.listing(first.older, None)
        assert len(january.lines) == 1 and january.older is None and january.newer == (2028, 2)
        assert reader.listing(views.Month(2027, 12), None).lines == []


@pytest.mark.parametrize("typed", ["", "2028", "2028-00", "2028-13", "1999-12", "2028-1", "٢٠٢٨-01", "2028-01\n"])
def test_what_is_no_month_is_none(typed: str) -> None:
    assert views.typed_month(typed) is None


def test_what_counts_no_more_is_forgotten(browser: Browser, clock: Clock) -> None:
    browser.log_in()
    clock.advance(1)
    applied(browser.store, Call(_forget))
    assert count(browser.url, "page_login") == count(browser.url, "page_session") == 1
    clock.advance(3 * 24 * 3600)
    applied(browser.store, Call(_forget))
    assert count(browser.url, "page_login") == count(browser.url, "page_session") == 0
