"""HIST and MORE: a page goes on where the last one ended, whatever was paid meanwhile."""

import re

import pytest

from gateway.store.apply import Store
from tests.consumer.bench import Clock, answer, changed, said
from tests.store.bench import a_captured_payment, applied
from tests.store.refund_bench import done, refunded

pytestmark = pytest.mark.money

REF = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{8}\b")


def paid(store: Store, count: int, first: int = 0) -> list[str]:
    """The refs of *count* payments, newest first."""
    return [a_captured_payment(store, f"k-{first + n}").ref for n in range(count)][::-1]


def to_the_end(store: Store, clock: Clock, words: str = "HIST") -> list[str]:
    """The pages from *words* on, until there is no more."""
    pages = [answer(store, words)]
    while pages[-1].startswith("statement_more"):
        clock.advance(11)
        pages.append(answer(store, "MORE"))
    assert said(store, "MORE")[0].body["template"] == "more_nothing"
    return pages


def test_more_shows_every_payment_once_beyond_what_hist_alone_can(store: Store, clock: Clock) -> None:
    refs = paid(store, 25)
    pages = to_the_end(store, clock)
    assert REF.findall(" ".join(pages)) == refs
    assert pages[-1].startswith("statement lines=")


def test_payments_made_between_hist_and_more_repeat_and_skip_no_line(store: Store) -> None:
    refs = paid(store, 8)
    first = answer(store, "HIST")
    newer = paid(store, 2, first=8)
    second = answer(store, "MORE")
    shown = REF.findall(f"{first} {second}")
    assert shown == refs[: len(shown)] and len(shown) > 4
    assert REF.findall(answer(store, "HIST"))[:2] == newer


def test_more_goes_on_behind_the_page_that_was_asked_for(store: Store) -> None:
    refs = paid(store, 9)
    shown = REF.findall(f"{answer(store, 'HIST 2')} {answer(store, 'MORE')}")
    assert refs.index(shown[0]) > 0 and shown == refs[refs.index(shown[0]) :][: len(shown)]


def test_more_of_a_month_stays_within_the_month(store: Store, clock: Clock) -> None:
    old = paid(store, 4)
    clock.advance(40 * 24 * 3600)
    paid(store, 1, first=4)
    pages = to_the_end(store, clock, "HIST 1/2028")
    assert len(pages) > 1 and REF.findall(" ".join(pages)) == old


def test_more_is_for_an_hour(store: Store, clock: Clock) -> None:
    paid(store, 8)
    said(store, "HIST")
    clock.advance(3500)
    assert answer(store, "MORE").startswith("statement")
    clock.advance(3602)
    assert answer(store, "MORE") == "more_nothing"


def test_more_with_nothing_before_it_is_told_so(store: Store) -> None:
    assert answer(store, "MORE") == "more_nothing"
    paid(store, 1)
    assert answer(store, "HIST").startswith("statement lines=")
    assert answer(store, "ZAIDI") == "more_nothing"


def test_a_page_that_was_not_sent_is_not_passed_over(store: Store, clock: Clock) -> None:
    refs = paid(store, 9)
    first = answer(store, "HIST")
    said(store, *["HELP"] * 5)
    assert said(store, "MORE") == []
    clock.advance(60)
    shown = REF.findall(f"{first} {answer(store, 'MORE')}")
    assert shown == refs[: len(shown)]


def test_a_line_that_is_gone_leaves_nothing_more(store: Store) -> None:
    paid(store, 1)
    changed(store, lambda consumer: setattr(consumer, "more", '{"older_than":"pay_0","at_ms":9999999999999}'))
    assert answer(store, "MORE") == "more_nothing"


def test_a_line_says_what_was_given_back(store: Store) -> None:
    part, whole, kept = (a_captured_payment(store, f"k-{n}", shop=f"Shop {n}") for n in range(3))
    applied(store, done(refunded(store, part, 25_000)))
    applied(store, done(refunded(store, whole, key="r-2")))
    lines = f"{answer(store, 'HIST')}\n{answer(store, 'HIST 2')}".splitlines()
    assert [line.partition(" Shop ")[2] for line in lines if " Shop " in line] == [
        f"2 KES 1,250.00 {kept.ref}",
        f"1 KES 1,250.00 {whole.ref} GIVEN BACK",
        f"0 KES 1,250.00 {part.ref} PART GIVEN BACK",
    ]
    assert "PART GIVEN BACK" in answer(store, f"RECEIPT {part.ref}")
