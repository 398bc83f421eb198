"""A PIN that is texted: it is not kept, its owner is warned, and nobody learns by text whether it was right."""

from collections.abc import Iterator

import pytest

from gateway.core.pins import HIDDEN
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import TEXTS, Clock, add_shops, texted, texts_of
from tests.consumer.ussd_bench import PIN, USSD_POLICY, code_of, with_pin
from tests.store.bench import PHONE, Odd, a_create, an_engine, applied, rows

WRONG, OTHER = "3948", "+254700000002"


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        opened = Store(engine, USSD_POLICY, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


def kept(url: str) -> list[str]:
    return [row.text for row in rows(url, "SELECT text FROM mo ORDER BY id")]


def answers(store: Store, words: str, msisdn: str = PHONE) -> list[OutboxRow]:
    return texts_of(applied(store, texted(words, msisdn)))


@pytest.mark.parametrize(
    ("form", "template"),
    [
        ("{}", "wrong_code_pin"),
        ("yes {}", "wrong_code_pin"),
        ("my pin is {}", "wrong_code_pin"),
        ("PAY {}", "wrong_code_pin"),
        ("here you are, asha: {} for the bread", "pin_texted"),
    ],
)
def test_where_a_code_is_awaited_the_pin_is_a_wrong_code_and_not_kept(
    store: Store, database_url: str, form: str, template: str
) -> None:
    found = []
    for typed, phone in ((PIN, PHONE), (WRONG, OTHER)):
        with_pin(store, msisdn=phone)
        applied(store, a_create(f"k-{phone[-1]}", msisdn=phone))
        found += [row.body["template"] for row in answers(store, form.format(typed), phone)]
    assert found == [template] * 2, "a right one is no other than a wrong one"
    counted = [row.wrong_codes for row in rows(database_url, "SELECT wrong_codes FROM payment")]
    assert counted == [int(template == "wrong_code_pin")] * 2
    assert kept(database_url) == [form.format(HIDDEN), form.format(WRONG)]


@pytest.mark.parametrize("words", ["{}", "PIN {}", "3 9 4 7", "my pin: ٣٩٤٧"])
def test_where_nothing_waits_the_phone_is_warned_and_the_pin_is_not_kept(
    store: Store, database_url: str, words: str
) -> None:
    with_pin(store)
    [told] = answers(store, words.format(PIN))
    assert told.body["template"] == "pin_texted"
    assert "Never text it: change it on our USSD menu." in TEXTS.render(told)
    [text] = kept(database_url)
    assert HIDDEN in text and not any(c.isdecimal() for c in text)


@pytest.mark.parametrize(
    "words",
    [
        *("LIMIT {}", "PAY ASHA {}", "STOP {}", "{} pay {}", "PAY {}", "PAY {} 500", "HIST {}", "LANG {}", "BAL {}"),
        *("RECEIPT {}", "STATUS {}", "DISPUTE {}", "REPORT {}", "OK {}", "START {}", "ASHA {}", "MORE {}", "HELP {}"),
    ],
)
@pytest.mark.parametrize("pin", [PIN, "73095", "730916"])
def test_whatever_a_text_says_it_is_kept_without_the_pin_in_it(
    store: Store, database_url: str, words: str, pin: str
) -> None:
    with_pin(store, pin)
    answers(store, words.format(pin, pin))
    assert kept(database_url) == [words.format(HIDDEN, HIDDEN)]


@pytest.mark.parametrize("typed", [PIN, WRONG])
def test_as_an_amount_the_pin_is_an_amount_like_any_other(store: Store, database_url: str, typed: str) -> None:
    """Were it held back, the order that does not come would tell whoever tries PINs that this is the one."""
    with_pin(store)
    [told] = answers(store, f"PAY ASHA {typed}")
    assert told.body["template"] == "order_passed"
    assert [row.amount_minor for row in rows(database_url, "SELECT amount_minor FROM order_request")] == [
        int(typed) * 100
    ]


def test_a_live_code_is_told_to_no_shop_as_an_amount(store: Store, database_url: str) -> None:
    [ask] = texts_of(applied(store, a_create("k-1")))
    [told] = answers(store, f"PAY ASHA {code_of(ask)}")
    assert told.body["template"] == "not_understood"
    assert rows(database_url, "SELECT id FROM order_request") == []


def test_a_pin_once_more_in_other_digits_counts_as_any_wrong_code_does(store: Store, database_url: str) -> None:
    """Both are kept as `****`: if they were the same text for that, whoever sends both would learn the PIN."""
    for typed, phone in ((PIN, PHONE), (WRONG, OTHER)):
        with_pin(store, msisdn=phone)
        applied(store, a_create(f"k-{phone[-1]}", msisdn=phone))
        full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in typed)
        assert [len(answers(store, words, phone)) for words in (typed, full_width)] == [1, 1]
    assert [row.wrong_codes for row in rows(database_url, "SELECT wrong_codes FROM payment")] == [2, 2]


def test_a_code_stays_in_the_words_of_its_consent(store: Store, database_url: str) -> None:
    with_pin(store)
    [ask] = texts_of(applied(store, a_create("k-1")))
    code = code_of(ask)
    answers(store, f"yes {code}")
    assert kept(database_url) == [f"yes {code}"]
    assert [row.reply for row in rows(database_url, "SELECT reply FROM consent")] == [f"yes {code}"]


def test_a_phone_without_a_pin_is_told_nothing_of_one(store: Store, database_url: str) -> None:
    [told] = answers(store, PIN)
    assert told.body["template"] == "not_understood_nothing_waiting"
    applied(store, a_create("k-1"))
    [told] = answers(store, PIN)
    assert told.body["template"] == "wrong_code"
    assert kept(database_url) == [PIN, PIN]
