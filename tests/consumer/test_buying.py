"""What a phone buys by text: the ask names what it was taken for, stock is never oversold, a mistyped code is none."""

from collections.abc import Iterator

import msgspec
import pytest

from carriers import base
from gateway.core.caps import NO_CAPS, Caps, Terms
from gateway.core.catalogue import wrong_number
from gateway.core.codes import derive_code
from gateway.core.limits import Limits
from gateway.core.money import Money
from gateway.core.pay_codes import is_well_formed, made
from gateway.core.payment import CancelRequested, DeadlinePassed, EventType
from gateway.engine.inbox import MoReceived
from gateway.store import api_keys
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs
from tests.consumer.bench import KEYWORDS, NAIROBI, Clock, add_shops, answer, changed, filled, said, texted
from tests.consumer.buying_bench import CODE, a_pay_code, an_item, payments, sent, stock, uses
from tests.store.bench import CODE_KEY, PHONE, POLICY, Odd, a_create, an_engine, applied, charged, count, rows

OTHER_PHONE = "+254700000002"
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is decided before the store is asked."""


def the_ask(store: Store, words: str) -> OutboxRow:
    """The one text that *words* bring, which is an ask."""
    [row] = said(store, words)
    assert row.body["template"] == "pay_ask" and row.body["is_ask"], row.body
    return row


def code_of(ask: OutboxRow) -> str:
    return derive_code(CODE_KEY, ask.payment_id or "", ask.body["code_n"], ask.body["code_digits"])


def end(store: Store, payment_id: str) -> None:
    """Its merchant takes the request back."""
    cancelled = Odd(
        lambda unit: unit.decide(payment_id, CancelRequested(at_ms=unit.now_ms)),
        wants=Needs(payment_ids=(payment_id,)),
    )
    applied(store, cancelled)


def named(ask: OutboxRow) -> tuple[str, str, int]:
    return ask.body["shop"], ask.body["description"], ask.body["amount_minor"]


@pytest.mark.money
def test_an_item_is_asked_for_at_once_and_paid_by_its_code_only(store: Store, database_url: str) -> None:
    sugar = an_item(store)
    ask = the_ask(store, "ASHA 12")
    assert named(ask) == ("Mama Asha", "Sugar 2kg", 32_000)
    assert stock(store, sugar) == 4
    [created] = rows(database_url, "SELECT type, body FROM event")
    body = msgspec.json.decode(created.body)["data"]
    assert created.type == EventType.PAYMENT_CREATED and count(database_url, "order_request") == 0
    assert body["initiated_by"] == "consumer" and body["order"] == {
        "source": "sms",
        "item_id": sugar.id,
        "item_number": "12",
        "quantity": 1,
        "pay_code_id": None,
        "reference": None,
    }
    assert body["msisdn"] == "*" and PHONE not in created.body, "the number stands in its own table only"
    assert count(database_url, "attempt") == 0
    [order] = [
        row for row in applied(store, texted(code_of(ask), read_at_ms=ask.created_at_ms)).rows if row.kind == "charge"
    ]
    assert order.body["amount_minor"] == 32_000
    [consent] = rows(database_url, "SELECT template, ask_message_id FROM consent")
    assert tuple(consent) == ("pay_ask", ask.id), "the words that were answered"
    applied(store, charged(order))
    assert stock(store, sugar) == 4 and payments(database_url)[0].public_state == "succeeded"


TAKEN_FOR = (
    ("ASHA 12", "Sugar 2kg"),
    ("pay asha 12", "Sugar 2kg"),
    ("LIPA ASHA 12 tafadhali", "Sugar 2kg"),
    ("asha #12", "Sugar 2kg"),
    ("PAY ASHA #12", "Sugar 2kg"),
    ("ASHA TEA", "Tea"),
    ("Pay Asha tea please", "Tea"),
    ("PAY ASHA 1250", "KES 1,250.00"),
    ("PAY ASHA 13", "KES 13.00"),
    ("PAY ASHA KES 12", "KES 12.00"),
    ("PAY ASHA 12.00", "KES 12.00"),
    ("PAY ASHA 12/=", "KES 12.00"),
    ("PAY 12 TO ASHA", "Sugar 2kg"),
    ("PAY KES 12 TO ASHA", "KES 12.00"),
)


@ON_SQLITE
def test_what_is_asked_back_is_what_the_text_was_taken_for(store: Store, database_url: str) -> None:
    an_item(store, stock=None)
    an_item(store, "TEA", name="Tea", price=Money(5_000, "KES"))
    an_item(store, "13", mode="live", name="Of the other world")
    for n, (words, taken_for) in enumerate(TAKEN_FOR):
        [row] = applied(store, texted(words, f"+25470000{n:04d}")).rows
        if taken_for.startswith("KES"):
            assert (row.body["template"], row.body["fields"]["amount"]) == ("order_passed", taken_for), words
        else:
            assert (row.body["template"], row.body["description"]) == ("pay_ask", taken_for), words
    amounts = sum(taken_for.startswith("KES") for _, taken_for in TAKEN_FOR)
    assert (count(database_url, "order_request"), count(database_url, "payment")) == (amounts, len(TAKEN_FOR) - amounts)


CANNOT_BE_HAD = (
    ("ASHA 13", "item_unknown shop=Mama Asha item=13 amount= pay_code="),
    ("ASHA COFFEE", "item_unknown"),
    ("ASHA 14", "item_unavailable shop=Mama Asha item=Sold out"),
    ("PAY ASHA 15", "item_unavailable shop=Mama Asha item=Not on offer"),
    ("ASHA 16", "item_unavailable"),
    ("JUMA 12", "item_unknown shop=Juma Spares item=12"),
    ("ZEBRA 12", "not_understood_nothing_waiting"),
    ("hello there", "not_understood_nothing_waiting"),
    ("no ASHA 12", "not_understood_nothing_waiting"),
    ("ASHA 12?", "not_understood_nothing_waiting"),
)


@ON_SQLITE
def test_what_cannot_be_had_is_said_and_nothing_is_made(store: Store, database_url: str) -> None:
    an_item(store)
    an_item(store, "14", name="Sold out", stock=0)
    an_item(store, "15", name="Not on offer", is_active=False)
    an_item(store, "16", name="In Uganda", price=Money(500, "UGX"))
    for n, (words, told) in enumerate(CANNOT_BE_HAD):
        [row] = applied(store, texted(words, f"+25470000{n:04d}")).rows
        assert filled(row).startswith(told.partition(" amount=")[0]), words
    assert payments(database_url) == [] and count(database_url, "order_request") == 0


def test_stock_is_out_while_a_payment_waits_and_comes_back_when_it_ends_unpaid(store: Store, clock: Clock) -> None:
    sugar = an_item(store, stock=1)
    ask = the_ask(store, "ASHA 12")
    [row] = applied(store, texted("ASHA 12", OTHER_PHONE)).rows
    assert (row.body["template"], stock(store, sugar)) == ("item_unavailable", 0)
    end(store, ask.payment_id or "")
    assert stock(store, sugar) == 1
    again = the_ask(store, "ASHA 12")
    assert again.payment_id != ask.payment_id
    clock.advance(700)
    late = Odd(
        lambda unit: unit.decide(again.payment_id or "", DeadlinePassed(at_ms=unit.now_ms)),
        wants=Needs(payment_ids=(again.payment_id or "",)),
    )
    applied(store, late)
    assert stock(store, sugar) == 1


def test_nobody_counts_goods_without_a_stock(store: Store) -> None:
    air = an_item(store, stock=None)
    ask = the_ask(store, "ASHA 12")
    applied(store, Odd(lambda unit: unit.catalogue.change_item(air.id, stock=3)))
    end(store, ask.payment_id or "")
    assert stock(store, air) == 3, "what was never counted out does not come back"


def test_the_same_wish_within_ten_minutes_is_one_payment(store: Store, clock: Clock, database_url: str) -> None:
    sugar = an_item(store)
    batch = applied(store, texted("ASHA 12"), texted("PAY ASHA 12"), texted("ASHA 12", OTHER_PHONE))
    assert sent(batch) == ["pay_ask"] * 3
    assert len(payments(database_url)) == 2 and stock(store, sugar) == 3
    first, second = (row for row in batch.rows if row.consumer_id == batch.rows[0].consumer_id)
    assert (first.body["is_ask"], second.body["is_ask"]) == (True, False), "the second one only tells the code again"
    assert code_of(first) == code_of(second)
    applied(store, Odd(lambda unit: unit.catalogue.change_item(sugar.id, price_minor=99_000)))
    [told] = applied(store, texted("ASHA 12")).rows
    assert (told.payment_id, told.body["amount_minor"]) == (first.payment_id, 32_000), "at the price that it was told"
    applied(store, texted(code_of(first), read_at_ms=first.created_at_ms))
    [told] = applied(store, texted("ASHA 12")).rows
    assert (told.body["template"], told.payment_id) == ("status_charging", first.payment_id), "it is being charged"
    clock.advance(601)
    assert len(payments(database_url)) == 2
    the_ask(store, "ASHA 12")


@ON_SQLITE
@pytest.mark.parametrize(("word", "told"), [("STOP ASHA", "stopped_shop"), ("STOP", "stopped")])
def test_a_wish_lifts_no_stop(store: Store, database_url: str, word: str, told: str) -> None:
    an_item(store)
    a_pay_code(store)
    applied(store, texted(word))
    for words in ("ASHA 12", "PAY ASHA 12", f"PAY {CODE}"):
        assert [row.body["template"] for row in said(store, words)] == [told]
    assert payments(database_url) == []


@ON_SQLITE
def test_a_locked_phone_buys_nothing(store: Store, clock: Clock, database_url: str) -> None:
    an_item(store)
    until_ms = 10**15
    changed(store, lambda consumer: setattr(consumer, "locked_until_ms", until_ms))
    for words in ("ASHA 12", f"PAY {CODE}"):
        assert [row.body["template"] for row in said(store, words)] == ["phone_locked"]
    assert payments(database_url) == []


def test_a_shop_whose_keys_are_all_revoked_sells_nothing(store: Store, database_url: str) -> None:
    sugar, code = an_item(store), a_pay_code(store, uses_max=None)
    spare = {"id": "spare", "merchant_id": "mer_1", "mode": "test", "sha256": "", "prefix": "sk_test_", "last4": "0000"}
    applied(store, Odd(lambda unit: api_keys.insert_key(unit.conn, spare | {"created_at_ms": 1})))
    revoke(store, "key_test_ASHA")
    the_ask(store, "ASHA 12")
    end(store, payments(database_url)[0].id)
    revoke(store, "spare")
    for words in ("ASHA 12", f"PAY {CODE}"):
        assert [row.body["template"] for row in said(store, words)] == ["order_not_now"], "the live key is none"
    assert len(payments(database_url)) == 1 and (stock(store, sugar), uses(store, code)) == (5, 0)


def revoke(store: Store, key_id: str) -> None:
    applied(store, Odd(lambda unit: api_keys.revoke_key(unit.conn, key_id, unit.now_ms)))


@ON_SQLITE
def test_two_machines_do_not_buy_from_each_other_for_ever(store: Store, database_url: str) -> None:
    for number in range(20, 30):
        an_item(store, str(number), name=f"Thing {number}")
    batch = applied(store, *(texted(f"ASHA {number}") for number in range(20, 30)))
    assert len(sent(batch)) == len(payments(database_url)) == 6


@ON_SQLITE
def test_a_live_code_behind_a_name_is_no_order(store: Store, database_url: str) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    [told] = said(store, f"ASHA {code_of(ask)}")
    assert told.body["template"] == "not_understood" and len(payments(database_url)) == 1


@ON_SQLITE
def test_new_codes_have_neither_the_shape_of_an_item_nor_that_of_a_pay_code(store: Store) -> None:
    """Not by looking up which there are, so whatever is added later cannot equal a code that waits either."""
    for digits in (4, 5, 6):
        creates = [a_create(f"k-{digits}-{n}", msisdn=f"+25470{digits}{n:06d}", code_digits=digits) for n in range(60)]
        codes = [code_of(ask) for ask in applied(store, *creates).rows]
        assert not any(is_well_formed(code) or not wrong_number(code) for code in codes)


def test_a_pay_code_is_asked_for_at_once_and_good_for_one_payment(store: Store, database_url: str) -> None:
    ticket = a_pay_code(store, reference="order-7", metadata={"seat": "12"})
    ask = the_ask(store, f"PAY {CODE}")
    assert named(ask) == ("Mama Asha", "Bus ticket", 10_000) and uses(store, ticket) == 1
    [payment] = payments(database_url)
    assert (payment.reference, payment.metadata) == ("order-7", {"seat": "12"})
    assert payment.order is not None and payment.order.pay_code_id == ticket.id
    [told] = applied(store, texted(f"PAY {CODE}", OTHER_PHONE)).rows
    assert told.body["template"] == "pay_code_gone"
    [told] = said(store, f"lipa {CODE}")
    assert (told.body["template"], told.payment_id) == ("pay_ask", ask.payment_id), "its own phone is asked again"
    end(store, ask.payment_id or "")
    assert uses(store, ticket) == 0
    the_ask(store, f"PAY {CODE}")


def test_a_code_of_a_reference_that_is_being_paid_makes_no_second_payment(store: Store, database_url: str) -> None:
    a_pay_code(store, reference="order-7")
    applied(store, a_create("k-1", reference="order-7", msisdn=OTHER_PHONE))
    assert answer(store, f"PAY {CODE}").startswith("pay_code_gone")
    assert len(payments(database_url)) == 1


def test_a_code_for_many_and_an_item_takes_stock_each_time(store: Store, database_url: str) -> None:
    sugar = an_item(store, stock=5)
    a_pay_code(store, item_id=sugar.id, quantity=2, amount_minor=None, uses_max=None, reference="till 3")
    phones = [f"+25470000001{n}" for n in range(3)]
    batch = applied(store, *(texted(f"PAY {CODE}", phone) for phone in phones))
    assert sent(batch) == ["pay_ask", "pay_ask", "item_unavailable"] and stock(store, sugar) == 1
    bought = payments(database_url)
    assert [one.amount.amount_minor for one in bought] == [64_000] * 2 and bought[0].description == "2x Sugar 2kg"
    assert all(one.order is not None and one.order.reference == "till 3" and one.reference is None for one in bought)


BRINGS: tuple[tuple[dict[str, object], str, str], ...] = (
    ({"amount_minor": None}, "PAY {code}", "pay_code_amount shop=Mama Asha"),
    ({"amount_minor": None}, "PAY {code} 500", "pay_ask 50000"),
    ({"amount_minor": None}, "pay {code} KES 500.50 please", "pay_ask 50050"),
    ({}, "PAY {code} 500", "pay_code_fixed shop=Mama Asha item= amount=KES 100.00"),
    ({}, "PAY {code} 100", "pay_ask 10000"),
    ({"expires_at_ms": 2}, "PAY {code}", "pay_code_gone"),
    ({"ended_at_ms": 2}, "PAY {code}", "pay_code_gone"),
    ({"mode": "live"}, "PAY {code}", "pay_code_gone"),
    ({"currency": "UGX"}, "PAY {code}", "order_not_now"),
    ({"item_id": "itm_gone"}, "PAY {code}", "pay_code_gone"),
)


@ON_SQLITE
def test_what_a_pay_code_brings(store: Store) -> None:
    for n, (changes, words, told) in enumerate(BRINGS):
        code = a_pay_code(store, made(n, 5), **changes).code
        [row] = applied(store, texted(words.format(code=code), f"+25470000{n:04d}")).rows
        shown = filled(row) if "fields" in row.body else f"{row.body['template']} {row.body['amount_minor']}"
        assert shown.startswith(told), (changes, words)


@ON_SQLITE
def test_a_mistyped_code_is_none_and_pays_nothing(store: Store, database_url: str) -> None:
    a_pay_code(store)
    slips = {CODE[:at] + str((int(CODE[at]) + 1) % 10) + CODE[at + 1 :] for at in range(len(CODE))}
    slips |= {CODE[:at] + CODE[at + 1] + CODE[at] + CODE[at + 2 :] for at in range(len(CODE) - 1)} - {CODE}
    for n, slip in enumerate(sorted(slips)):
        [row] = applied(store, texted(f"PAY {slip}", f"+25470000{n:04d}")).rows
        assert row.body["template"] == "pay_code_wrong", slip
    assert payments(database_url) == []


GUARDED = msgspec.structs.replace(POLICY, terms={"acme": Terms(limits=Limits(), caps=Caps(), zone=NAIROBI)})


@pytest.fixture
def guarded(database_url: str, clock: Clock) -> Iterator[Store]:
    """With the caps that live carriers have."""
    with an_engine(database_url) as engine:
        opened = Store(engine, GUARDED, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


def test_whoever_guesses_pay_codes_is_locked_out(guarded: Store, clock: Clock, database_url: str) -> None:
    a_pay_code(guarded)
    guesses = [made(n, 6) for n in range(Caps().wrong_codes_per_day)]
    told = []
    for guess in guesses:
        clock.advance(61)
        told += [row.body["template"] for row in said(guarded, f"PAY {guess}")]
    assert told == ["pay_code_gone"] * (len(guesses) - 1) + ["phone_locked"]
    clock.advance(61)
    assert [row.body["template"] for row in said(guarded, f"PAY {CODE}")] == ["phone_locked"]
    assert payments(database_url) == []


@ON_SQLITE
def test_caps_hold_and_the_phones_owner_is_present_at_night(guarded: Store, database_url: str) -> None:
    """The bench's clock stands half an hour after midnight, in the quiet hours."""
    an_item(guarded)
    an_item(guarded, "13", name="Tea")
    the_ask(guarded, "ASHA 12")
    assert answer(guarded, "ASHA 13").startswith("order_not_now"), "one request of a shop waits at a phone at a time"
    assert len(payments(database_url)) == 1


def test_a_limit_ends_it_at_once_and_gives_the_goods_back(store: Store, database_url: str) -> None:
    sugar = an_item(store)
    applied(store, texted("LIMIT 100"))
    for _ in range(2):
        [told] = said(store, "ASHA 12")
        assert told.body["template"] == "over_limit"
    assert {payment.reason for payment in payments(database_url)} == {"limit_exceeded"}
    assert stock(store, sugar) == 5


@ON_SQLITE
@pytest.mark.parametrize("words", ["{code}", "pay {code}", "Ok {code}"])
def test_a_one_time_code_of_six_digits_still_pays(store: Store, words: str) -> None:
    [ask] = applied(store, a_create("k-1", code_digits=6)).rows
    batch = applied(store, texted(words.format(code=code_of(ask)), read_at_ms=ask.created_at_ms))
    assert "charge" in [row.kind for row in batch.rows]
    assert said(store, f"pay {code_of(ask)}") == [], "the result's own text is about to come"


@ON_SQLITE
def test_other_digits_than_the_ask_has_are_counted_as_a_wrong_code(store: Store) -> None:
    [ask] = applied(store, a_create("k-1", code_digits=6)).rows
    other = next(str(n) for n in range(482_193, 482_300) if not is_well_formed(str(n)) and str(n) != code_of(ask))
    assert [row.body["template"] for row in said(store, f"PAY {other}")] == ["wrong_code"]


@ON_SQLITE
def test_the_language_of_the_phone_is_that_of_the_ask(store: Store) -> None:
    an_item(store)
    applied(store, texted("LANG SW"))
    assert the_ask(store, "ASHA 12").body["language"] == "sw"


@ON_SQLITE
def test_items_of_a_live_shop_are_not_those_of_a_test_phone(store: Store) -> None:
    an_item(store, mode="live")
    assert answer(store, "ASHA 12").startswith("item_unknown")
    mo = base.Mo(carrier="acme", msisdn=PHONE, to="22345", text="ASHA 12", read_at_ms=1)
    assert sent(applied(store, MoReceived(mo, KEYWORDS.handlers, "live"))) == ["pay_ask"]


def test_a_limit_of_the_shop_counts_what_phones_begin(database_url: str, clock: Clock) -> None:
    """Whose counters a text needs is known only once it is read."""
    limits = Limits(merchant_day_count=2)
    policy = msgspec.structs.replace(POLICY, terms={"acme": Terms(limits=limits, caps=NO_CAPS, zone=NAIROBI)})
    with an_engine(database_url) as engine:
        store = Store(engine, policy, clock_offset_ms=lambda: clock.offset_ms)
        applied(store, Odd(add_shops))
        sugar = an_item(store)
        phones = [f"+25470000010{n}" for n in range(3)]
        assert sent(applied(store, *(texted("ASHA 12", phone) for phone in phones))) == [
            "pay_ask",
            "pay_ask",
            "over_limit",
        ]
        assert stock(store, sugar) == 3
        end(store, payments(database_url)[0].id)
        [told] = applied(store, texted("ASHA 12", phones[2])).rows
        assert told.body["template"] == "pay_ask", "what ended unpaid counts no more"
