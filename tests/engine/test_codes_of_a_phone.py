"""No code of a phone comes again while a reply to the request that had it may still be under way."""

import pytest

from gateway.core.codes import choose_code
from gateway.core.money import Money
from gateway.engine.merchant_jobs import derived, next_code_n, taken_codes
from gateway.store import phone_records
from gateway.store.unit import Needs, Unit
from tests.engine.caps_bench import Here, here, just
from tests.store.bench import CODE_KEY, SIMULATED, Odd

TWO_DAYS_S = 2 * 86_400


def taken(unit: Unit) -> set[str]:
    return taken_codes(unit, unit.consumer(SIMULATED).id, "acme", Money(1, "KES"))


def taken_at(home: Here) -> set[str]:
    found = home.do(Odd(taken, Needs(phones=(SIMULATED,)))).applied[0].result
    assert isinstance(found, set)
    return found


def test_a_code_is_not_given_again_for_two_days(database_url: str) -> None:
    with here(database_url, just()) as home:
        home.ask()
        code = home.code()
        home.cancel()
        home.pass_s(TWO_DAYS_S - 60)
        assert code in taken_at(home), "a late reply would pay another request"
        home.pass_s(120)
        assert code not in taken_at(home)


def test_all_codes_of_a_request_that_was_asked_twice_are_taken(database_url: str) -> None:
    with here(database_url, just()) as home:
        home.ask()
        first = home.code()
        home.decline_for_funds(home.charge(first))
        second = home.code()
        assert taken_at(home) >= {first, second}
        home.cancel()
        assert taken_at(home) >= {first, second}


def test_the_next_code_after_a_low_balance_is_none_of_a_request_that_is_over(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with here(database_url, just()) as home:
        home.ask()
        payment = home.waiting()[-1]
        wished = choose_code(CODE_KEY, payment.id, payment.code_digits, {derived(CODE_KEY, payment)}, 1)[0]
        # As if a request of the day before had had it.
        monkeypatch.setattr("gateway.engine.merchant_jobs.codes_so_far", lambda unit, coded: {wished})
        found = home.do(Odd(lambda unit: next_code_n(unit, payment), Needs(phones=(SIMULATED,)))).applied[0].result
        assert isinstance(found, int)
        assert choose_code(CODE_KEY, payment.id, payment.code_digits, (), found)[0] != wished


def test_codes_do_not_run_out_for_a_phone_that_is_asked_very_often(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phone_records, "CODED_MAX", 2)
    with here(database_url, just()) as home:
        codes = []
        for _ in range(3):
            home.ask()
            codes.append(home.code())
            home.cancel()
        assert {code in taken_at(home) for code in codes[1:]} == {True} and codes[0] not in taken_at(home)
