"""The limit on the statement page below sockets: it is that of LIMIT, it never rises here, and the phone is told."""

import pytest

from gateway.consumer.page import views
from gateway.consumer.page.jobs import LimitTyped
from gateway.core.money import Money
from gateway.engine.loop_guard import ANSWERS_PER_MINUTE
from gateway.store.apply import Store
from tests.consumer.bench import NAIROBI, Clock, answer, changed, filled
from tests.consumer.page_bench import DESK, Browser
from tests.consumer.test_limits import A_DAY_S, just_after_midnight, limit_of, raised
from tests.store.bench import a_captured_payment, rows
from tests.stores import reading


@pytest.fixture
def browser(store: Store, database_url: str, clock: Clock) -> Browser:
    just_after_midnight(clock)
    a_captured_payment(store)
    opened = Browser(store, database_url)
    opened.log_in()
    return opened


def typed(browser: Browser, minor: int, currency: str = "KES") -> tuple[str, list[str]]:
    """What came of it, and what the phone is told."""
    session = browser.session()
    assert session is not None
    limit = Money(minor, currency)
    job = LimitTyped(session.id, session.consumer_id, limit=limit, carrier="acme", zone=NAIROBI, language="en")
    return browser.do(job), [filled(row) for row in browser.sent]


def shown(browser: Browser, language: str = "en") -> tuple[list[str], list[str]]:
    """What the page tells, and what may be done there."""
    session = browser.session()
    assert session is not None
    [row] = rows(browser.url, "SELECT max(updated_at_ms) AS at_ms FROM payment")
    words = DESK.catalogues.page(language)
    with reading(browser.url) as conn:
        limit = views.Reader(conn, DESK, session, DESK.catalogues.language(language), row.at_ms).limit()
    return [words[told.key].format_map(told.fields) for told in limit.told], list(limit.may)


def test_a_limit_is_that_of_the_keyword_and_its_text_comes_once(browser: Browser, store: Store) -> None:
    told = "limit_set limit=KES {}.00 used=KES 1,250.00"
    assert typed(browser, 50_000) == ("limit_set", [told.format(500)])
    assert typed(browser, 50_000) == ("limit_set", []), "a form that is sent twice tells it once"
    assert limit_of(store) == (50_000, "KES", None)
    assert answer(store, "LIMIT 500") == told.format(500), "by text it is the same one"
    assert typed(browser, 30_000) == ("limit_set", [told.format(300)])
    assert typed(browser, 0) == ("limit_set", [told.format(0)])
    assert answer(store, "PAY ASHA 10").startswith("order_passed")
    assert answer(store, "LIMIT") == "limit limit=KES 0.00 used=KES 1,250.00"


@pytest.mark.parametrize("present", [30_000, 0], ids=["a limit", "a block"])
def test_no_page_raises_a_limit(browser: Browser, store: Store, clock: Clock, present: int) -> None:
    typed(browser, present)
    for minor in (present + 1, 999_999_999):
        assert typed(browser, minor) == ("limit_higher", [])
    clock.advance(A_DAY_S + 61)
    assert limit_of(store) == (present, "KES", None)


def test_what_is_set_here_takes_back_a_higher_one_that_waits_and_is_told(browser: Browser, store: Store) -> None:
    typed(browser, 30_000)
    raised(store, 100_000)
    assert typed(browser, 50_000) == ("limit_higher", []), "that waits: 300 counts"
    assert typed(browser, 30_000)[1] == ["limit_set limit=KES 300.00 used=KES 1,250.00"]
    assert limit_of(store) == (30_000, "KES", None)
    assert typed(browser, 30_000) == ("limit_set", [])


def test_a_limit_in_another_currency_stays(browser: Browser, store: Store) -> None:
    typed(browser, 50_000)
    changed(store, lambda consumer: setattr(consumer, "limit_currency", "TZS"))
    for minor in (0, 40_000, 60_000):
        assert typed(browser, minor) == ("limit_elsewhere", [])
    assert limit_of(store) == (50_000, "TZS", None)


def test_whoever_changes_it_on_and_on_makes_the_phone_ring_no_oftener_than_by_text(
    browser: Browser, store: Store
) -> None:
    told = [typed(browser, 50_000 - number)[1] for number in range(ANSWERS_PER_MINUTE + 2)]
    assert [len(texts) for texts in told] == [1] * ANSWERS_PER_MINUTE + [0] * 2
    assert limit_of(store)[0] == 50_000 - ANSWERS_PER_MINUTE - 1


def test_a_session_that_has_ended_sets_no_limit(browser: Browser, store: Store, clock: Clock) -> None:
    session = browser.session()
    assert session is not None
    clock.advance(A_DAY_S)
    limit = Money(0, "KES")
    job = LimitTyped(session.id, session.consumer_id, limit=limit, carrier="acme", zone=NAIROBI, language="en")
    assert browser.do(job) == "gone" and browser.sent == []
    assert limit_of(store) == (None, "", None)


USED = "Used today: KES 1,250.00."


def test_the_page_shows_what_counts_what_waits_and_what_was_used(browser: Browser, store: Store) -> None:
    assert shown(browser) == (["You have set no limit of your own.", USED], ["set", "block"])
    typed(browser, 50_000)
    assert shown(browser) == (["Your limit is KES 500.00 a day.", USED], ["set", "block"])
    raised(store, 100_000)
    told, may = shown(browser)
    assert told[0] == "Your limit is KES 500.00 a day." and may == ["set", "block"]
    assert told[1].startswith("Your limit rises to KES 1,000.00 a day, but not before ") and told[2] == USED
    typed(browser, 0)
    assert shown(browser) == (["You have blocked all charges.", USED], [])
    raised(store, 100_000)
    told, may = shown(browser)
    assert told[0] == "You have blocked all charges." and "rises to KES 1,000.00" in told[1] and may == ["block"]


def test_no_line_ends_within_a_number(browser: Browser) -> None:
    assert shown(browser, "fr")[0][1] == "Utilisé aujourd'hui : KES 1\N{NO-BREAK SPACE}250,00."


def test_the_page_shows_a_limit_in_another_currency_and_offers_nothing(browser: Browser, store: Store) -> None:
    typed(browser, 50_000)
    changed(store, lambda consumer: setattr(consumer, "limit_currency", "TZS"))
    [limit, told], may = shown(browser)
    assert limit == "Your limit is TZS 500.00 a day." and told.startswith("A phone has one limit, in one currency")
    assert may == []
    changed(store, lambda consumer: setattr(consumer, "limit_minor", 0))
    assert shown(browser)[0][0] == "Your limit is TZS 0.00 a day.", "what is in shillings of Kenya is not blocked"


def test_a_higher_limit_is_shown_as_the_present_one_from_its_time_on(
    browser: Browser, store: Store, clock: Clock
) -> None:
    typed(browser, 50_000)
    raised(store, 100_000)
    clock.advance(A_DAY_S + 61)
    a_captured_payment(store, "k-2", amount=Money(10_000, "KES"))
    later = Browser(store, browser.url, "later")
    later.log_in()
    assert shown(later) == (["Your limit is KES 1,000.00 a day.", "Used today: KES 100.00."], ["set", "block"])
