"""The character NUL, which PostgreSQL takes in no text, in whatever carriers hand in: it is taken all the same."""

from itertools import count

import pytest

from carriers import base
from carriers.ussd import typed
from gateway.core.msisdn import parse_msisdn
from gateway.engine.carrier_jobs import CallbackRead, ReceiptRead
from gateway.store.apply import Store
from tests.consumer.bench import texted
from tests.consumer.ussd_bench import a_step
from tests.store.bench import PHONE, applied, rows

NUL = "\0"
TEXTS = (
    NUL,
    *(
        "PAY\0",
        "PAY ASHA\0 10",
        "PAY 48217\0",
        "ASHA\0 12",
        "ASHA 12\0",
        "BUY ASHA\0",
        "HIST\0 2",
        "RECEIPT 7K2M4Q9A\0",
    ),
    *("STOP ASHA\0", "START ASHA\0", "LIMIT 100\0", "DISPUTE 7K2M4Q9A\0", "STATUS 7K2M4Q9A\0", "LANG en\0", "1234\0"),
    *("REPORT ASHA\0", "RECEIVED 7K2M4Q9A\0", "GRANT ASHA\0", "LOGIN\0", "OK\0 1234"),
)


@pytest.mark.parametrize("words", TEXTS)
def test_a_phones_words_may_have_one(store: Store, words: str) -> None:
    for one in (words, words.replace(NUL, " \0 ")):
        applied(store, texted(one))


def test_what_is_typed_on_ussd_may_have_one(store: Store) -> None:
    numbers = count(1)
    for keys in (("1", "ASHA\0"), ("2", "ASHA\0", "1\0"), ("3\0",), ("6", "3947\0")):
        session = f"s-{next(numbers)}"
        applied(store, a_step(session, "begin", first=0))
        for first, key in enumerate(typed(keys)):
            applied(store, a_step(session, "input", key.text, first=first))
        applied(store, a_step(session, "end"))


def test_a_receipt_may_have_one(store: Store) -> None:
    receipt = base.Receipt(
        carrier="acme",
        message_ids=("id\0", NUL),
        state="delivered",
        detail="000\0",
        read_at_ms=1,
        opted_out=parse_msisdn(PHONE),
    )
    applied(store, ReceiptRead(receipt, "test"))


@pytest.mark.parametrize("is_authenticated", [True, False])
def test_only_who_proves_who_calls_is_heard_about_an_order_that_we_never_made(
    store: Store, database_url: str, is_authenticated: bool
) -> None:
    for attempt_id in (NUL, "att_1\0", "att_1"):
        called = base.Callback(
            carrier="acme", attempt_id=attempt_id, authenticated=is_authenticated, carrier_reference="x\0"
        )
        applied(store, CallbackRead(called))
    found = rows(database_url, 'SELECT kind FROM "break"')
    assert [row.kind for row in found] == (["unexpected_fact"] * 3 if is_authenticated else [])
