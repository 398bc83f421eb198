"""LIMIT, BAL and LANG: the owner's own settings, what counts when, and what was used today."""

from datetime import datetime, time, timedelta

import pytest

from gateway.consumer.limits import LimitByCare, LimitOutcome, limit_most, set_limit, typed_limit
from gateway.core.codes import choose_code
from gateway.core.money import EXPONENTS, Money, format_money
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs
from tests.consumer.bench import NAIROBI, TEXTS, Clock, answer, changed, filled, said, texted, texts_of, the_consumer
from tests.store.bench import CODE_KEY, SIMULATED, Odd, a_captured_payment, a_create, a_text, applied

A_DAY_S = 24 * 3600
MINE = Needs(phones=(SIMULATED,))


def limit_of(store: Store) -> tuple[int | None, str, int | None]:
    consumer = the_consumer(store)
    return consumer.limit_minor, consumer.limit_currency, consumer.limit_next_minor


def test_a_first_limit_and_a_lower_one_count_at_once(store: Store) -> None:
    assert answer(store, "LIMIT") == "limit_none used=KES 0.00"
    assert answer(store, "LIMIT 500") == "limit_set limit=KES 500.00 used=KES 0.00"
    assert answer(store, "kikomo 300/= kwa siku") == "limit_set limit=KES 300.00 used=KES 0.00"
    assert limit_of(store) == (30_000, "KES", None)
    assert answer(store, "LIMIT") == answer(store, "BAL") == "limit limit=KES 300.00 used=KES 0.00"


def raised(store: Store, minor: int) -> None:
    """As by the PIN on USSD, or by a person at the care line."""
    applied(store, Odd(lambda unit: set_limit(unit, unit.consumer(SIMULATED), minor, "KES"), wants=MINE))


def test_by_text_a_limit_never_rises(store: Store, clock: Clock) -> None:
    said(store, "LIMIT 300")
    assert answer(store, "LIMIT 300.01") == answer(store, "LIMIT 8000") == "limit_higher limit=KES 300.00"
    assert limit_of(store) == (30_000, "KES", None)
    clock.advance(A_DAY_S + 61)
    assert answer(store, "LIMIT") == "limit limit=KES 300.00 used=KES 0.00"


def test_a_higher_limit_counts_a_day_later(store: Store, clock: Clock) -> None:
    said(store, "LIMIT 300")
    raised(store, 100_000)
    assert limit_of(store) == (30_000, "KES", 100_000)
    assert answer(store, "LIMIT 500") == "limit_higher limit=KES 300.00"
    clock.advance(A_DAY_S - 60)
    assert answer(store, "LIMIT") == "limit limit=KES 300.00 used=KES 0.00"
    clock.advance(121)
    assert answer(store, "LIMIT") == "limit limit=KES 1,000.00 used=KES 0.00"
    assert answer(store, "LIMIT 900") == "limit_set limit=KES 900.00 used=KES 0.00"
    assert limit_of(store) == (90_000, "KES", None)


def test_a_higher_limit_asked_for_again_keeps_its_time_and_a_still_higher_one_waits_anew(
    store: Store, clock: Clock
) -> None:
    said(store, "LIMIT 300")
    raised(store, 100_000)
    first_ms = the_consumer(store).limit_next_at_ms
    assert first_ms is not None
    clock.advance(3600)
    raised(store, 100_000)
    assert the_consumer(store).limit_next_at_ms == first_ms
    raised(store, 100_100)
    assert the_consumer(store).limit_next_at_ms == first_ms + 3_600_000


def test_a_lower_limit_takes_back_a_higher_one_that_has_not_begun(store: Store, clock: Clock) -> None:
    said(store, "LIMIT 300")
    raised(store, 100_000)
    said(store, "LIMIT 300")
    clock.advance(A_DAY_S + 61)
    assert answer(store, "LIMIT") == "limit limit=KES 300.00 used=KES 0.00"


@pytest.mark.parametrize("zero", ["0", "KES 0", "0.00", "٠", "00"])
def test_limit_0_is_a_limit_and_no_text_undoes_it(store: Store, zero: str) -> None:
    assert answer(store, f"LIMIT {zero}") == "limit_set limit=KES 0.00 used=KES 0.00"
    assert answer(store, "LIMIT 5") == "limit_higher limit=KES 0.00"
    assert limit_of(store) == (0, "KES", None)


@pytest.mark.parametrize("amount", ["ten", "-5", "1.234", "USD 5", "4821 yes", "99999999999999", "10000000000"])
def test_what_is_no_amount_changes_no_limit(store: Store, amount: str) -> None:
    said(store, "LIMIT 500")
    assert answer(store, f"LIMIT {amount}") == "limit_format"
    assert limit_of(store) == (50_000, "KES", None)


@pytest.mark.parametrize(
    ("currency", "most"), [("KES", "KES 9,999,999.99"), ("UGX", "UGX 999,999,999"), ("KWD", "KWD 999,999.999")]
)
def test_the_highest_limit_is_what_texts_have_room_for(currency: str, most: str) -> None:
    highest = limit_most(currency)
    assert format_money(highest, "en") == most
    assert typed_limit(most, currency) == highest.amount_minor and typed_limit("0", currency) == 0
    assert typed_limit(str(highest.amount_minor // 10 ** EXPONENTS[currency] + 1), currency) is None


def test_a_question_changes_no_limit(store: Store) -> None:
    said(store, "LIMIT 500")
    assert answer(store, "LIMIT 4821?") == "limit limit=KES 500.00 used=KES 0.00"


def test_a_limit_in_another_currency_stays_whatever_is_texted_here(store: Store) -> None:
    said(store, "LIMIT 500")
    changed(store, lambda consumer: setattr(consumer, "limit_currency", "TZS"))
    told = "limit_elsewhere limit=TZS 500.00"
    assert [answer(store, words) for words in ("LIMIT", "BAL", "LIMIT 700")] == [told] * 3
    assert [answer(store, words) for words in ("LIMIT 0", "LIMIT 100000")] == [told] * 2
    assert limit_of(store) == (50_000, "TZS", None)


def by_care(store: Store, minor: int, currency: str = "KES") -> tuple[object, list[str]]:
    """What came of it, and what the phone reads."""
    asked = LimitByCare(phone=SIMULATED, carrier="acme", limit=Money(minor, currency), zone=NAIROBI, language="en")
    batch = applied(store, asked)
    return batch.applied[0].result, [TEXTS.render(row) for row in texts_of(batch)]


def test_a_person_at_the_care_line_raises_it_and_the_phone_reads_so(store: Store, clock: Clock) -> None:
    outcome, [told] = by_care(store, 30_000)
    assert outcome is LimitOutcome.SET and told.startswith("From now on at most KES 300.00 a day can be charged.")
    outcome, [told] = by_care(store, 100_000)
    assert outcome is LimitOutcome.LATER
    assert told.startswith("Your limit rises to KES 1,000.00 a day, but not before 02/01 00:3") and "Not you?" in told
    assert limit_of(store) == (30_000, "KES", 100_000)
    assert by_care(store, 100, "TZS") == (LimitOutcome.ELSEWHERE, [])
    assert limit_of(store) == (30_000, "KES", 100_000)


@pytest.mark.money
def test_what_was_used_counts_what_is_paid_and_what_waits_but_not_what_ended_or_was_yesterday(
    store: Store, clock: Clock
) -> None:
    just_after_midnight(clock)
    a_captured_payment(store, "k-1")
    assert answer(store, "BAL") == "limit_none used=KES 1,250.00"
    applied(store, a_create("k-2"))
    applied(store, a_create("k-3", msisdn="+254700000002"))
    assert answer(store, "BAL") == "limit_none used=KES 2,500.00"
    applied(store, a_text("0"))
    assert answer(store, "BAL") == "limit_none used=KES 1,250.00"
    clock.advance(A_DAY_S)
    assert answer(store, "BAL") == "limit_none used=KES 0.00"


def just_after_midnight(clock: Clock) -> None:
    """One second into tomorrow in Nairobi, hours after the clock by which ids are made."""
    now = datetime.now(NAIROBI)
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(0, 0, 1), NAIROBI)
    clock.offset_ms = int((tomorrow - now).total_seconds() * 1000)


def test_what_was_used_counts_requests_and_refusals_of_the_same_batch(store: Store, clock: Clock) -> None:
    just_after_midnight(clock)
    [_, told] = texts_of(applied(store, a_create("k-1"), texted("BAL")))
    assert filled(told) == "limit_none used=KES 1,250.00"
    [*_, told] = texts_of(applied(store, a_text("0"), texted("BAL")))
    assert filled(told) == "limit_none used=KES 0.00"


def test_a_language_is_remembered_and_wins_over_the_merchants(store: Store) -> None:
    [told] = said(store, "LANG SW")
    assert (told.body["language"], told.body["fields"]) == ("sw", {"choices": "EN, FR, SW, ZH"})
    [ask] = texts_of(applied(store, a_create("k-1", language="en")))
    assert ask.body["language"] == "sw"
    assert said(store, "HELP")[0].body["language"] == "sw"
    assert said(store, "LUGHA KICHINA")[0].body["language"] == "zh-Hant"


@pytest.mark.parametrize("words", ["LANG", "LANG XX", "LANG DE", "lang please", "LANG EN SW"])
def test_a_language_that_is_not_offered_changes_nothing(store: Store, words: str) -> None:
    said(store, "LANG SW")
    [told] = said(store, words)
    assert (told.body["template"], told.body["language"]) == ("language", "sw")
    assert the_consumer(store).language == "sw"


def test_what_waits_already_goes_on_in_its_own_language(store: Store) -> None:
    applied(store, a_create("k-1"))
    said(store, "LANG SW")
    [refused] = texts_of(applied(store, a_text("0")))
    assert refused.body["language"] == "en"


def consent_to(store: Store, ask: OutboxRow) -> list[str]:
    """What becomes of the code: the orders and texts that leave."""
    code = choose_code(CODE_KEY, ask.payment_id or "", ask.body["code_digits"], (), ask.body["code_n"])[0]
    batch = applied(store, texted(code, read_at_ms=ask.created_at_ms))
    return [row.kind if row.kind == "charge" else row.body["template"] for row in batch.rows]


def test_a_code_does_not_charge_more_than_a_limit_that_was_lowered_since_the_ask(store: Store, clock: Clock) -> None:
    just_after_midnight(clock)
    [first, second, third] = texts_of(applied(store, *(a_create(f"k-{n}") for n in range(3))))
    assert answer(store, "LIMIT 2500").startswith("limit_set limit=KES 2,500.00")
    assert consent_to(store, first) == consent_to(store, second) == ["charge"], "what else waits leaves them room"
    assert consent_to(store, third) == ["over_limit"]


def test_a_limit_of_nothing_holds_for_what_was_asked_yesterday(store: Store, clock: Clock) -> None:
    just_after_midnight(clock)
    clock.advance(-120)
    [ask] = texts_of(applied(store, a_create("k-1")))
    clock.advance(120)
    said(store, "LIMIT 0")
    assert consent_to(store, ask) == ["over_limit"]
