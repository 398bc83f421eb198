"""The statement page below sockets: what is under way, what a month came to, what is reported and what has come."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from carriers import base
from gateway.consumer.page import views
from gateway.consumer.page.jobs import DisputeSent, GoodsCame, ReportSent
from gateway.consumer.page.shown import HEADERS, STYLE, Templates
from gateway.consumer.record import month_ms
from gateway.consumer.status import OPEN_MAX
from gateway.core.asks import WORST_CASE
from gateway.core.money import Money
from gateway.core.payment import Capture
from gateway.engine.carrier_jobs import OrderDone
from gateway.store.apply import Store
from gateway.store.engine import begin_write
from gateway.store.page import SessionRow
from gateway.store.queries import consumer_charges, consumer_sums
from tests.consumer.bench import NAIROBI, TEXTS, Clock, said, texted
from tests.consumer.page_bench import DESK, Browser
from tests.store.bench import (
    a_captured_payment,
    a_create,
    an_engine,
    an_order,
    applied,
    call_reversed,
    charged,
    count,
    rows,
)
from tests.store.refund_bench import a_refund, done, refunded
from tests.stores import reading


@pytest.fixture
def browser(store: Store, database_url: str) -> Browser:
    return Browser(store, database_url)


def inside(browser: Browser) -> SessionRow:
    return browser.session() or browser.log_in()


def listed(browser: Browser, month: views.Month | None = None, after: str | None = None) -> views.Listing:
    session = inside(browser)
    now_ms = rows(browser.url, "SELECT max(updated_at_ms) AS at_ms FROM payment")[0].at_ms
    with reading(browser.url) as conn:
        return views.Reader(conn, DESK, session, DESK.catalogues.language("en"), now_ms).listing(month, after)


def receipt(browser: Browser, ref: str) -> views.Receipt:
    session = inside(browser)
    now_ms = rows(browser.url, "SELECT max(updated_at_ms) AS at_ms FROM payment")[0].at_ms
    with reading(browser.url) as conn:
        found = views.Reader(conn, DESK, session, DESK.catalogues.language("en"), now_ms).receipt(ref)
    assert found is not None
    return found


def keys(one: views.Receipt) -> list[str]:
    return [told.key for told in one.told]


def waits(store: Store) -> None:
    applied(store, a_create("k-1"))


def is_charged(store: Store) -> None:
    an_order(store)


def is_unknown(store: Store) -> None:
    applied(store, OrderDone(an_order(store), base.Unknown(detail="no answer")))


def is_agreed(store: Store) -> None:
    [ask] = applied(store, a_create("k-1", capture=Capture.MANUAL)).rows
    [code] = re.findall("reply ([0-9]{4})", TEXTS.render(ask))
    applied(store, texted(code, read_at_ms=ask.created_at_ms))


def goes_back(store: Store) -> None:
    applied(store, a_refund(a_captured_payment(store).id, 25_000))


def is_disputed(store: Store) -> None:
    said(store, f"DISPUTE {a_captured_payment(store).ref}")


def comes_late(store: Store) -> None:
    """The carrier says no, and then yes after all: the charge is on its way back."""
    order = an_order(store)
    applied(store, OrderDone(order, base.Declined(reason="carrier_declined", detail="")))
    applied(store, charged(order))


@pytest.mark.parametrize(
    ("brings", "key"),
    [
        (waits, "stands_waiting"),
        (is_charged, "stands_charging"),
        (is_unknown, "stands_checking"),
        (is_agreed, "stands_agreed"),
        (goes_back, "stands_refunding"),
        (is_disputed, "dispute_open"),
        (comes_late, "stands_refunding"),
    ],
)
def test_what_is_under_way_is_what_status_tells(
    browser: Browser, store: Store, brings: Callable[[Store], None], key: str
) -> None:
    brings(store)
    [payment] = rows(browser.url, "SELECT ref FROM payment")
    [line] = listed(browser).under_way
    assert (line.ref, line.shop, line.amount, line.told.key) == (payment.ref, "Mama Asha", "KES 1,250.00", key)
    [status] = said(store, "STATUS")
    assert views.TOLD[status.body["template"]] == key
    read = TEXTS.render(status)
    shown = DESK.catalogues.page("en")[key].format_map(line.told.fields)
    # The same moment and the same money; the text of an ask has the hour alone.
    assert [one for one in re.findall(r"[0-9]{2}:[0-9]{2}", shown) if one not in read] == []
    assert [one for one in re.findall(r"KES [0-9,.]+[0-9]", shown) if one not in read] == []
    assert not re.search(r"(?<![0-9:/])[0-9]{4}(?![0-9])", shown), "no code stands here: nobody consents on the page"


def test_what_is_over_is_not_under_way_and_an_older_month_is_asked_for_by_itself(
    browser: Browser, store: Store
) -> None:
    a_captured_payment(store)
    assert listed(browser).under_way == []
    applied(store, a_create("k-2"))
    assert len(listed(browser).under_way) == 1
    assert listed(browser, views.Month(2028, 1)).under_way == []


def test_what_waits_is_told_on_its_receipt_and_may_only_be_reported(browser: Browser, store: Store) -> None:
    waits(store)
    one = receipt(browser, listed(browser).under_way[0].ref)
    assert keys(one) == ["stands_waiting", "pay_by_phone"] and one.may == ["report"] and one.dispute is None


def sums(browser: Browser) -> dict[str, tuple[int, int, int]]:
    session = inside(browser)
    with reading(browser.url) as conn:
        found = consumer_sums(conn, session.consumer_id, month_ms(2028, 1, NAIROBI))
    return {one.currency: (one.paid_minor, one.given_back_minor, one.unsure_minor) for one in found}


@pytest.mark.money
def test_a_month_comes_to_what_was_taken_and_what_went_back(browser: Browser, store: Store) -> None:
    a_captured_payment(store, "k-1")
    partly = a_captured_payment(store, "k-2", amount=Money(20_000, "KES"))
    applied(store, done(refunded(store, partly, 5_000)))
    assert sums(browser) == {"KES": (145_000, 5_000, 0)}
    refunded(store, partly, 1_000, "r-2")
    assert sums(browser) == {"KES": (145_000, 5_000, 0)}, "what is only on its way back is not there yet"
    an_order(store, "k-3", amount=Money(7_000, "KES"))
    assert sums(browser) == {"KES": (145_000, 5_000, 7_000)}, "whether that is taken nobody knows"
    order = an_order(store, "k-4", amount=Money(3_000, "KES"))
    applied(store, OrderDone(order, base.Declined(reason="carrier_declined", detail="")))
    assert sums(browser) == {"KES": (145_000, 5_000, 7_000)}
    late = applied(store, charged(order))
    assert sums(browser) == {"KES": (148_000, 5_000, 7_000)}, "it was taken, and goes back"
    [reverse] = [row for row in late.rows if row.kind == "reverse"]
    applied(store, charged(reverse))
    assert sums(browser) == {"KES": (148_000, 8_000, 7_000)}
    taken_back = a_captured_payment(store, "k-5", amount=Money(400, "KES"))
    with an_engine(browser.url) as engine, begin_write(engine) as conn:
        call_reversed(conn, taken_back.id)
    assert sums(browser) == {"KES": (148_400, 8_400, 7_000)}
    a_captured_payment(store, "k-6", amount=Money(1_500, "USD"))
    a_captured_payment(store, "k-7", msisdn="+254700000099")
    assert sums(browser) == {"KES": (148_400, 8_400, 7_000), "USD": (1_500, 0, 0)}


def test_a_month_of_several_pages_has_one_sum(
    browser: Browser, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "LINES", 2)
    a_captured_payment(store, "k-0", amount=Money(100, "KES"))
    clock.advance(40 * 24 * 3600)
    for number in range(1, 6):
        a_captured_payment(store, f"k-{number}", amount=Money(10_000 * number, "KES"))
    partly = a_captured_payment(store, "k-6", amount=Money(30_000, "KES"))
    applied(store, done(refunded(store, partly, 5_000)))
    first = listed(browser)
    told = {total.key: list(total.amounts) for total in first.totals}
    assert told == {"total_paid": ["KES 1,800.00"], "total_back": ["KES 50.00"], "total_net": ["KES 1,750.00"]}
    assert first.more and first.lines[0].given_back == "KES 50.00"
    assert listed(browser, first.month, first.more).totals == first.totals
    [total, *_] = listed(browser, first.older).totals
    assert total.amounts == ["KES 1.00"]
    assert listed(browser, views.Month(2027, 12)).totals == []


def test_the_sums_are_of_the_payments_that_are_listed(browser: Browser, store: Store) -> None:
    """One knows the other's bounds: whoever adds the lines up by hand gets the same."""
    for number in range(3):
        a_captured_payment(store, f"k-{number}", amount=Money(1_000 + number, "KES"))
    session = inside(browser)
    begins_ms, ends_ms = month_ms(2028, 1, NAIROBI)
    [first, *_] = rows(browser.url, "SELECT ended_at_ms FROM payment ORDER BY id")
    for between_ms in ((begins_ms, ends_ms), (begins_ms, first.ended_at_ms), (first.ended_at_ms, ends_ms)):
        with reading(browser.url) as conn:
            lines = consumer_charges(conn, session.consumer_id, limit=9, between_ms=between_ms)
            found = consumer_sums(conn, session.consumer_id, between_ms)
        assert sum(one.captured_minor for one in lines) == sum(one.paid_minor for one in found)


@pytest.mark.money
def test_a_report_is_that_of_the_keyword_and_its_text_comes_once(browser: Browser, store: Store) -> None:
    payment = a_captured_payment(store)
    session = inside(browser)
    job = ReportSent(browser.session_id, session.consumer_id, payment.ref)
    assert browser.do(job) == "reported"
    [told] = browser.sent
    assert told.body["template"] == "report_disputed"
    [dispute] = rows(browser.url, "SELECT state, reason, amount_minor FROM dispute")
    assert tuple(dispute) == ("open", "not_agreed", 125_000)
    assert count(browser.url, "report") == count(browser.url, "consumer_stop") == 1
    assert browser.do(job) == "reported" and browser.sent == [] and count(browser.url, "dispute") == 1
    one = receipt(browser, payment.ref)
    assert one.is_reported and one.may == [] and one.dispute is not None and one.dispute.key == "dispute_open"
    [again] = said(store, f"REPORT {payment.ref}")
    assert again.body["template"] == "report_disputed"


def test_what_waits_is_closed_by_a_report_and_its_ask_does_not_leave(browser: Browser, store: Store) -> None:
    waits(store)
    [payment] = rows(browser.url, "SELECT ref FROM payment")
    session = inside(browser)
    batch = applied(store, ReportSent(browser.session_id, session.consumer_id, payment.ref))
    assert batch.applied[0].result == "reported"
    [mute] = [row for row in batch.rows if row.body.get("is_mute")]
    assert mute.body["ends_asks"] and mute.body["ends_asks_of"] == "mer_1"
    [ended] = rows(browser.url, "SELECT state, reason FROM payment")
    assert tuple(ended) == ("ended", "refused")
    assert receipt(browser, payment.ref).may == []


@pytest.mark.money
def test_what_was_reported_while_it_was_charged_is_reported_again_afterwards(browser: Browser, store: Store) -> None:
    order = an_order(store)
    [payment] = rows(browser.url, "SELECT ref FROM payment")
    session = inside(browser)
    job = ReportSent(browser.session_id, session.consumer_id, payment.ref)
    assert browser.do(job) == "reported_charging"
    assert [row.body["template"] for row in browser.sent] == ["report_charging"]
    assert receipt(browser, payment.ref).may == []
    applied(store, charged(order))
    assert receipt(browser, payment.ref).may == ["dispute", "report"]
    assert browser.do(job) == "reported"
    assert [row.body["template"] for row in browser.sent] == ["report_disputed"]
    assert count(browser.url, "dispute") == 1


def test_what_went_back_is_reported_and_not_disputed(browser: Browser, store: Store) -> None:
    payment = a_captured_payment(store)
    applied(store, done(refunded(store, payment)))
    session = inside(browser)
    assert browser.do(ReportSent(browser.session_id, session.consumer_id, payment.ref)) == "reported_late"
    assert count(browser.url, "dispute") == 0 and count(browser.url, "report") == 1


@pytest.mark.money
def test_the_buyers_word_pays_the_shop_once(browser: Browser, store: Store) -> None:
    payment = a_captured_payment(store, capture=Capture.ESCROW)
    one = receipt(browser, payment.ref)
    assert one.may == ["received", "dispute", "report"]
    assert keys(one) == ["is_succeeded", "escrow_held", "escrow_silence_back"]
    session = inside(browser)
    job = GoodsCame(browser.session_id, session.consumer_id, payment.ref.lower())
    assert browser.do(job) == "received"
    assert [row.body["template"] for row in browser.sent] == ["escrow_released"]
    assert browser.do(job) == "received" and browser.sent == []
    kinds = [row.kind for row in rows(browser.url, "SELECT kind FROM entry ORDER BY at_ms, id")]
    assert kinds.count("escrow_released") == 1
    after = receipt(browser, payment.ref)
    assert "received" not in after.may and keys(after) == ["is_succeeded", "escrow_released"]


@pytest.mark.money
@pytest.mark.parametrize("what", ["a dispute", "a refund", "no escrow"])
def test_the_buyers_word_pays_nobody_where_something_is_open(browser: Browser, store: Store, what: str) -> None:
    capture = Capture.AUTOMATIC if what == "no escrow" else Capture.ESCROW
    payment = a_captured_payment(store, capture=capture)
    session = inside(browser)
    mine = (browser.session_id, session.consumer_id, payment.ref)
    if what == "a dispute":
        assert browser.do(DisputeSent(*mine, "not_received")) == "dispute_opened"
    elif what == "a refund":
        refunded(store, payment, 1_000)
    one = receipt(browser, payment.ref)
    assert "received" not in one.may and keys(one) == ["is_succeeded"]
    assert browser.do(GoodsCame(*mine)) == "received_impossible" and browser.sent == []
    assert [row.escrow for row in rows(browser.url, "SELECT escrow FROM payment")] != ["released"]


@pytest.mark.parametrize("language", sorted(DESK.catalogues.languages))
def test_the_fullest_page_is_light(language: str) -> None:
    words = DESK.catalogues.page(language)
    shop, ref, amount = "M" * WORST_CASE["shop"], "M" * 8, "TZS 9,999,999.00"
    told = views.Told("stands_checking", {"time": "29/11 11:25"})
    line = views.Line("29/11", shop, amount, "", amount, "line_escrow", ref)
    month = views.Month(2026, 11)
    listing = views.Listing(
        as_of="29/11/26 11:25",
        month=month,
        lines=[line] * views.LINES,
        totals=[views.Total(key, [amount] * 2) for key in ("total_paid", "total_back", "total_net", "total_unsure")],
        under_way=[views.OpenLine(shop, amount, ref, told)] * OPEN_MAX,
        is_asked=True,
        more="pay_" + "0" * 26,
        older=month,
        newer=month,
    )
    session = SessionRow(
        id="", consumer_id="", shown_number="+254*****001", carrier="acme", language="en", is_stopped=False, at_ms=0
    )
    shown_month: Any = month.shown(words)  # Any: what the template shows.
    page = Templates(DESK).page(
        "payments",
        language,
        session=session,
        form="0" * 32,
        list=listing,
        **dict.fromkeys(("month", "older", "newer"), shown_month),
        is_later_page=True,
    )
    assert isinstance(page.body, bytes)
    assert len(page.body) + len(STYLE) + sum(len(name) + len(value) for name, value in HEADERS.items()) < 20_000
