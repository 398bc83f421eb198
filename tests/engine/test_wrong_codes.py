"""Ten wrong codes of a phone in a day lock it: what waits ends, it is not asked, and no code is taken."""

import pytest

from gateway.core.payment import Reason, State
from tests.consumer.bench import texts_of
from tests.engine.caps_bench import Here, here, just
from tests.store.bench import a_text, rows

HALF_AN_HOUR_S = 1800


def guess(home: Here, times: int) -> list[str]:
    """Send wrong codes, asking anew whenever nothing waits; what the phone got for the last one."""
    told: list[str] = []
    for _ in range(times):
        if not home.waiting():
            assert home.ask() == "asked"
        told = home.text(home.wrong_code())
    return told


LOCKING = {"wrong_codes_per_day": 10, "lock_s": HALF_AN_HOUR_S}


def test_the_tenth_wrong_code_ends_all_that_waits_and_the_phone_is_told_once(database_url: str) -> None:
    with here(database_url, just(**LOCKING)) as home:
        assert guess(home, 9) == ["locked"]  # Three for each request.
        first, second = home.ask("mer_1"), home.ask("mer_2", carrier="other")
        assert (first, second) == ("asked", "asked")
        ids = [payment.id for payment in home.waiting()]
        assert home.text(home.wrong_code()) == ["phone_locked"]
        assert [home.payment(one).reason for one in ids] == [Reason.WRONG_CODE, Reason.WRONG_CODE]


def test_an_ask_that_waits_at_another_carrier_leaves_no_more_once_the_phone_is_locked(database_url: str) -> None:
    with here(database_url, just(wrong_codes_per_day=1, lock_s=HALF_AN_HOUR_S)) as home:
        home.ask()
        home.ask("mer_2", carrier="other")
        queued = [row for row in home.do(a_text(home.wrong_code())).rows if row.body.get("ends_asks")]
    assert {(row.body["carrier"], row.body["is_mute"]) for row in queued} == {("acme", False), ("other", True)}


def test_after_ten_wrong_codes_the_right_one_charges_nothing(database_url: str) -> None:
    with here(database_url, just(**LOCKING)) as home:
        guess(home, 9)
        home.ask()
        right = home.code()
        home.text(home.wrong_code())
        home.text(right)
        assert home.ask() == "unavailable"
    assert rows(database_url, "SELECT id FROM attempt") == []
    assert rows(database_url, "SELECT id FROM outbox WHERE kind = 'charge'") == []


def test_a_phone_is_asked_again_when_the_lock_is_over(database_url: str) -> None:
    with here(database_url, just(**LOCKING)) as home:
        guess(home, 10)
        assert home.ask() == "unavailable"
        home.pass_s(HALF_AN_HOUR_S + 60)
        assert home.ask() == "asked"
        payment = home.waiting()[-1]
        home.text(home.code())
        assert home.payment(payment.id).state is State.CHARGING


def test_each_wrong_code_of_the_day_that_follows_locks_again(database_url: str) -> None:
    with here(database_url, just(**LOCKING)) as home:
        guess(home, 10)
        for _ in range(2):
            home.pass_s(HALF_AN_HOUR_S + 60)
            assert home.ask() == "asked"
            assert home.text(home.wrong_code()) == ["phone_locked"]
        home.pass_s(24 * 3600)
        assert guess(home, 9) == ["locked"]
        assert home.ask() == "asked"


def test_a_second_ask_after_a_low_balance_is_not_answered_by_a_locked_phone(database_url: str) -> None:
    """The charge was under way when the phone was locked, so the request is waiting again."""
    with here(database_url, just(wrong_codes_per_day=1, lock_s=HALF_AN_HOUR_S)) as home:
        home.ask()
        paying = home.waiting()[-1].id
        charge = home.charge(home.code())
        home.ask("mer_2")
        assert home.text(home.wrong_code()) == ["phone_locked"]
        home.decline_for_funds(charge)
        assert home.payment(paying).is_waiting
        assert home.text(home.code()) == ["phone_locked"], "told again, as often as any text that is not understood"
        assert home.text(home.wrong_code()) == []
        assert home.payment(paying).is_waiting
        home.pass_s(HALF_AN_HOUR_S + 60)
    assert len(rows(database_url, "SELECT id FROM attempt")) == 1


@pytest.mark.parametrize("words", ["0", "STOP"])
def test_a_locked_phone_is_heard_when_it_refuses(database_url: str, words: str) -> None:
    with here(database_url, just(wrong_codes_per_day=1, lock_s=HALF_AN_HOUR_S)) as home:
        home.ask()
        paying = home.waiting()[-1].id
        charge = home.charge(home.code())
        home.ask("mer_2")
        home.text(home.wrong_code())
        home.decline_for_funds(charge)
        home.text(words)
        assert home.payment(paying).reason is Reason.REFUSED


def test_where_wrong_codes_are_not_counted_a_phone_is_never_locked(database_url: str) -> None:
    with here(database_url, just(asks_per_day=0)) as home:
        assert guess(home, 12) == ["locked"]
        assert home.ask() == "asked"


TWO_MINUTES_S = 120


def test_the_same_wrong_text_at_once_is_no_further_guess(database_url: str) -> None:
    """An SMSC that got no answer hands a text over once more, and SMPP gives it no id."""
    with here(database_url, just(wrong_codes_per_day=10)) as home:
        home.ask()
        paying, wrong = home.waiting()[-1].id, home.wrong_code()
        assert [home.text(wrong) for _ in range(4)] == [["wrong_code"], [], [], []]
        batch = home.do(a_text(wrong), a_text(wrong))
        assert texts_of(batch) == [] and home.payment(paying).wrong_codes == 1
        [row] = rows(database_url, "SELECT wrong_count FROM consumer")
        assert row.wrong_count == 1
        home.pass_s(TWO_MINUTES_S)
        assert home.text(wrong) == ["wrong_code"] and home.payment(paying).wrong_codes == 2
        assert home.text(home.wrong_code()) == ["locked"], "another one is counted at once"


def test_what_was_tried_before_a_request_was_made_is_a_guess_at_that_one(database_url: str) -> None:
    with here(database_url, just()) as home:
        wrong = home.wrong_code()
        home.text(wrong)
        home.ask()
        assert home.text(wrong) == ["wrong_code"]
        home.ask("mer_2")
        assert home.text(wrong) == ["wrong_code"]
        assert [payment.wrong_codes for payment in home.waiting()] == [2, 1]


def test_what_was_tried_against_the_first_code_is_a_guess_at_the_next_one(database_url: str) -> None:
    with here(database_url, just()) as home:
        home.ask()
        wrong = home.wrong_code()
        home.text(wrong)
        home.decline_for_funds(home.charge(home.code()))
        assert home.text(wrong) == ["wrong_code"]
        assert [payment.wrong_codes for payment in home.waiting()] == [2]


def test_the_first_code_after_a_low_balance_is_no_wrong_one(database_url: str) -> None:
    with here(database_url, just()) as home:
        home.ask()
        first, paying = home.code(), home.waiting()[-1].id
        home.decline_for_funds(home.charge(first))
        assert [home.text(first) for _ in range(4)] == [[]] * 4, "an SMSC's repeat, or the answer is on its way"
        home.pass_s(TWO_MINUTES_S)
        assert [home.text(first) for _ in range(4)] == [["low_balance"], [], [], []]
        assert (home.payment(paying).wrong_codes, home.payment(paying).is_waiting) == (0, True)
        home.charge(home.code())
        home.pass_s(TWO_MINUTES_S)
        home.ask("mer_2")
        home.text(first)
        assert home.waiting()[-1].wrong_codes == 0, "nor is it one for the request after it"
