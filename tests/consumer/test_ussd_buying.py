"""Buying in the menus: a shop's items by pages, an amount, a pay code; and what of it leads to the screen that pays."""

from collections.abc import Iterator

import msgspec
import pytest

from gateway.app.parts import catalogues
from gateway.core.gsm import segment
from gateway.core.money import Money
from gateway.core.pay_codes import made
from gateway.core.screens import UNITS_MAX, units
from gateway.engine.loop_guard import ANSWERS_PER_MINUTE
from gateway.store import tables
from gateway.store.apply import Store
from tests.consumer import ussd_bench
from tests.consumer.bench import Clock, add_shops, changed, texted
from tests.consumer.buying_bench import CODE, a_pay_code, an_item, payments, stock, uses
from tests.consumer.ussd_bench import PIN, USSD_POLICY, Caller, with_pin
from tests.store.bench import Odd, an_engine, applied, charged, count

LANGUAGES = ["en", "sw", "fr", "zh-Hant"]
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is decided before the store is asked."""


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        opened = Store(engine, USSD_POLICY, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


@pytest.mark.money
def test_an_item_is_chosen_by_its_name_and_price_and_paid_with_the_pin(store: Store, database_url: str) -> None:
    sugar = an_item(store)
    an_item(store, "13", name="Sold out", stock=0)
    an_item(store, "14", name="Off", is_active=False)
    an_item(store, "15", name="Tea", price=Money(5_000, "KES"), stock=None)
    caller = with_pin(store)
    caller.dial("2")
    assert caller.type("asha") == (
        "Mama Asha\n1 Sugar 2kg KES 320.00\n2 Tea KES 50.00\n7 Type an amount\n0 Back\n00 Exit"
    )
    screen = caller.type("1")
    assert screen.startswith("Mama Asha\nKES 320.00\nSugar 2kg\nEnter your PIN to PAY")
    assert caller.sent() == ["pay_ask"] and stock(store, sugar) == 4 and count(database_url, "attempt") == 0
    assert caller.again() == screen and len(payments(database_url)) == 1
    assert caller.type(PIN).startswith("Thank you. KES 320.00 to Mama Asha is being paid.")
    assert caller.sent() == ["charge"]
    applied(store, charged(caller.rows[0]))
    [payment] = payments(database_url)
    assert payment.order is not None and (payment.order.source, payment.public_state) == ("ussd", "succeeded")
    assert stock(store, sugar) == 4


@ON_SQLITE
def test_refused_on_its_screen_the_goods_are_back(store: Store) -> None:
    sugar, caller = an_item(store), with_pin(store)
    caller.dial("2")
    caller.type("ASHA")
    caller.type("1")
    assert caller.type("0").startswith("Refused: 1.") and stock(store, sugar) == 5


@ON_SQLITE
def test_a_shop_is_told_of_no_more_amounts_than_by_text(store: Store, database_url: str, clock: Clock) -> None:
    caller = Caller(store)
    for amount in range(301, 301 + 2 * ANSWERS_PER_MINUTE):
        caller.dial("2", "ASHA")
        caller.type(str(amount))
    assert count(database_url, "order_request") == ANSWERS_PER_MINUTE
    assert caller.text.startswith("Mama Asha can take no order from this phone just now. Nothing was charged.")
    clock.advance(60)
    caller.dial("2", "ASHA")
    assert caller.type("301.50").startswith("We told Mama Asha that you want to pay KES 301.50.")


@ON_SQLITE
def test_the_same_item_soon_again_is_the_same_request(store: Store, database_url: str) -> None:
    sugar, caller = an_item(store), with_pin(store)
    applied(store, texted("ASHA 12"))
    caller.dial("2")
    caller.type("ASHA")
    assert "KES 320.00\nSugar 2kg" in caller.type("1") and caller.sent() == []
    assert len(payments(database_url)) == 1 and stock(store, sugar) == 4


@ON_SQLITE
def test_a_shop_with_items_takes_an_amount_as_well_and_one_without_asks_for_it(store: Store, database_url: str) -> None:
    an_item(store)
    caller = Caller(store)
    caller.dial("2", "ASHA")
    assert "Type the amount in KES" in caller.type("7")
    assert caller.type("12").startswith("We told Mama Asha that you want to pay KES 12.00."), "no item number here"
    caller.dial("2")
    assert caller.type("JUMA").startswith("Juma Spares\nType the amount in KES")
    assert payments(database_url) == [] and count(database_url, "order_request") == 1


def test_many_items_come_by_pages_that_fit_and_lose_nothing(store: Store) -> None:
    names = [f"Long name no {n:03d}" for n in range(8)]
    for n, name in enumerate(names):
        an_item(store, str(100 + n), name=name, price=Money(999_999_900, "KES"))
    caller = Caller(store)
    caller.dial("2")
    seen, screen = "", caller.type("ASHA")
    for _ in range(8):
        assert segment(screen).units <= 160
        seen += screen
        if "98 More" not in screen:
            break
        screen = caller.type("98")
    assert all(seen.count(name) == 1 for name in names)
    assert caller.type("0") != screen, "back to the page before"


@ON_SQLITE
def test_what_was_sold_meanwhile_cannot_be_bought(store: Store, database_url: str) -> None:
    sugar, caller = an_item(store, stock=1), with_pin(store)
    caller.dial("2")
    caller.type("ASHA")
    applied(store, texted("ASHA 12", "+254700000002"))
    assert caller.type("1").startswith("Mama Asha cannot sell you that at the moment")
    assert stock(store, sugar) == 0 and len(payments(database_url)) == 1


@pytest.mark.money
def test_a_pay_code_can_be_dialled_and_pays_with_the_pin(store: Store, database_url: str) -> None:
    ticket, caller = a_pay_code(store), with_pin(store)
    assert caller.dial(CODE).startswith("Mama Asha\nKES 100.00\nBus ticket\nEnter your PIN to PAY")
    assert uses(store, ticket) == 1 and count(database_url, "attempt") == 0
    assert caller.type(PIN).startswith("Thank you. KES 100.00")
    applied(store, charged(caller.rows[0]))
    caller.dial("2")
    assert caller.type(CODE).startswith("This pay code is not known, used already or too old.")


@ON_SQLITE
def test_nobody_pays_by_dialling_a_code_and_a_pin(store: Store, database_url: str) -> None:
    a_pay_code(store)
    caller = with_pin(store)
    assert "Enter your PIN to PAY" in caller.dial(CODE, PIN) and count(database_url, "consent") == 0


@ON_SQLITE
def test_an_open_amount_is_asked_for(store: Store, database_url: str) -> None:
    a_pay_code(store, amount_minor=None, uses_max=None)
    caller = with_pin(store)
    assert caller.dial(CODE) == "Mama Asha\nType the amount in KES\n0 Back\n00 Exit"
    assert "That is no amount" in caller.type("lots")
    assert caller.type("70").startswith("Mama Asha\nKES 70.00\nBus ticket\nEnter your PIN")
    assert "Enter your PIN" in caller.dial(CODE, "80")
    assert [payment.amount.amount_minor for payment in payments(database_url)] == [7_000, 8_000]
    assert count(database_url, "order_request") == 0


@ON_SQLITE
def test_a_mistyped_code_is_typed_again_on_the_screen_that_says_so(store: Store, database_url: str) -> None:
    a_pay_code(store)
    caller = with_pin(store)
    slip = CODE[1] + CODE[0] + CODE[2:]
    assert caller.dial(slip).startswith("That is no pay code: a digit is wrong. Nothing was charged.")
    assert payments(database_url) == []
    assert caller.type(made(77, 6)).startswith("This pay code is not known")
    assert "KES 100.00\nBus ticket" in caller.type(CODE)


@ON_SQLITE
def test_a_stop_and_a_lock_hold_here_too(store: Store, database_url: str) -> None:
    a_pay_code(store)
    an_item(store)
    caller = Caller(store)
    applied(store, texted("STOP ASHA"))
    assert caller.dial(CODE).startswith("You have stopped requests of Mama Asha.")
    applied(store, texted("START ASHA"))
    caller.dial("2")
    caller.type("ASHA")
    changed(store, lambda consumer: setattr(consumer, "locked_until_ms", 4_000_000_000_000))
    assert caller.type("1").startswith("Too many wrong codes") and not caller.goes_on
    assert payments(database_url) == []


@ON_SQLITE
def test_a_limit_is_told_on_the_screen(store: Store, database_url: str) -> None:
    sugar, caller = an_item(store), Caller(store)
    applied(store, texted("LIMIT 100"))
    caller.dial("2")
    caller.type("ASHA")
    assert caller.type("1").startswith("NOT paid: KES 320.00 to Mama Asha is more than a limit allows.")
    assert caller.sent() == [] and stock(store, sugar) == 5


@ON_SQLITE
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_of_items_at_its_longest_fits_in_each_language(
    store: Store, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    desk = msgspec.structs.replace(ussd_bench.DESK, language=language)
    monkeypatch.setattr(ussd_bench, "DESK", desk)
    for n in range(4):
        an_item(store, str(10 + n), merchant_id="mer_9", name="M" * 16, price=Money(999_999_900, "KES"))
    row = {"id": "mer_9", "name": "x", "shop": "M" * 20, "keyword": "LONG", "created_at_ms": 1}
    applied(store, Odd(lambda unit: unit.put(tables.merchant, row)))
    caller = Caller(store)
    caller.dial("2")
    screen = caller.type("LONG")
    alphabet = catalogues().language(language).alphabet
    assert "M" * 16 in screen and "\n98 " in screen and "\n7 " in screen and "\n0 " in screen
    assert units(screen, alphabet) <= UNITS_MAX[alphabet]
