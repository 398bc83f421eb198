"""Where the country wants prices told with their tax: whatever a phone may agree to says so, by text and on screens."""

from collections.abc import Iterator
from typing import Final

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.app.parts import catalogues
from gateway.core.ask_templates import ASKS_AND_REMINDERS
from gateway.core.asks import KEYS
from gateway.core.payment import Rules
from gateway.core.screens import SCREENS
from gateway.core.sim_rule import SimRule
from gateway.engine.sim_checks import SimDone
from gateway.store.apply import Store
from tests.consumer.bench import TEXTS, Clock, add_shops, said, texted
from tests.consumer.ussd_bench import USSD_POLICY, Caller, asked, code_of, with_pin
from tests.store.bench import Odd, an_engine, applied

RULES: Final = Rules(tax_in_ask=True, sim=SimRule(when_fresh="pin"))
WITH_TAX: Final = "KES 1,250.00 incl. tax"


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    lanes = replace(USSD_POLICY.lanes, sim=("acme",))
    policy = replace(USSD_POLICY, rules={**USSD_POLICY.rules, "acme": RULES}, lanes=lanes)
    with an_engine(database_url) as engine:
        opened = Store(engine, policy, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


@pytest.mark.parametrize("words", ["STATUS", "what is this?"])
def test_a_text_that_says_how_to_pay_what_waits(store: Store, words: str) -> None:
    ask = asked(store)
    [row] = said(store, words)
    told = TEXTS.render(row)
    assert WITH_TAX in told and code_of(ask) in told


def test_a_text_about_two_of_which_one_code_pays_one(store: Store) -> None:
    codes = [code_of(asked(store, key)) for key in ("k-1", "k-2")]
    [row] = said(store, "what is this?")
    assert TEXTS.render(row).startswith("Incl. tax: ") and all(code in TEXTS.render(row) for code in codes)


def test_the_screens_on_which_a_phone_pays_and_the_one_that_leads_back_there(store: Store) -> None:
    caller = Caller(store)
    asked(store)
    caller.dial("1")
    assert WITH_TAX in caller.text and "to PAY" in caller.text
    assert WITH_TAX in caller.type("5555") and "Wrong code" in caller.text
    assert WITH_TAX in caller.dial() and "1 Go on" in caller.text


def test_a_text_that_says_that_only_the_pin_pays(store: Store, clock: Clock) -> None:
    with_pin(store)
    clock.advance(73 * 3600)
    ask = asked(store)
    confirmed = applied(store, texted(code_of(ask), read_at_ms=ask.created_at_ms))
    [question] = [row for row in confirmed.rows if row.kind == "sim"]
    [row] = [row for row in applied(store, SimDone(question, base.SimFresh())).rows if row.kind == "sms"]
    for told in (row, *said(store, "STATUS"), *said(store, "what is this?")):
        assert WITH_TAX in TEXTS.render(told) and "use your PIN" in TEXTS.render(told)


def test_nothing_else_names_a_price_to_agree_to() -> None:
    """Every text and screen with a price and a way to agree to it has its tax, or stands here with a reason."""
    asking = {key for key, fields in KEYS.items() if {"code", "amount"} <= fields} | ASKS_AND_REMINDERS
    plain = {key for key in asking if not key.endswith("_tax") and f"{key}_tax" not in KEYS}
    # Where the price is with tax the former has no fee of its own, and `ask_tax` stands for the latter.
    assert plain == {"pay_ask"}
    pays = {key for key, fields in SCREENS.items() if "tax" in fields}
    assert pays == {"pay_pin", "pay_code", "pay_wrong_pin", "pay_wrong_code", "resume_pay"}
    for language in catalogues().languages:
        for key in pays:
            assert " XXX" in catalogues().screen(language, key, 160, **FIELDS), (language, key)


FIELDS: Final = {
    **dict.fromkeys(("shop", "item", "digits", "tries"), "x"),
    **{"amount": "KES 1,250.00", "tax": " XXX"},
}
