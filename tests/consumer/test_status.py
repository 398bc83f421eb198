"""STATUS: where a payment of this phone stands, from the ask to the decision about it."""

import re
from datetime import UTC, datetime

import pytest

from carriers import base
from gateway.core.dispute import ANSWER_WITHIN_MS, DECIDED_WITHIN_MS, Act
from gateway.core.payment import Capture
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.dispute_jobs import AnswerDispute, DecideDispute
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import NAIROBI, TEXTS, Clock, answer, ref_of, said, sent, texted, texts_of, the_consumer
from tests.store.bench import a_captured_payment, a_create, an_order, applied, charged, rows
from tests.store.refund_bench import a_refund, done

OTHER_PHONE = "+254700000002"


def told(store: Store, words: str = "STATUS") -> str:
    """The one text that *words* are answered with, as the phone reads it."""
    [row] = said(store, words)
    return TEXTS.render(row)


def template(store: Store, words: str = "STATUS") -> str:
    [row] = said(store, words)
    return str(row.body["template"])


def unknown(store: Store, order: OutboxRow) -> None:
    applied(store, OrderDone(order, base.Unknown(detail="no answer")))


def test_nothing_open_is_said_and_does_not_deny_what_was_paid(store: Store) -> None:
    assert template(store) == "status_none"
    ref = a_captured_payment(store).ref
    assert template(store) == "status_none"
    assert told(store, f"status {ref.lower()}").startswith("PAID: KES 1,250.00 to Mama Asha")


def test_a_request_that_waits_is_shown_with_its_code_and_its_end(store: Store) -> None:
    [ask] = applied(store, a_create("k-1")).rows
    asked = TEXTS.render(ask)
    text = told(store)
    assert re.findall("To PAY reply ([0-9]{4})", text) == re.findall("To PAY reply ([0-9]{4})", asked) != []
    assert re.findall("until ([0-9:]{5})", text) == re.findall("Answer by ([0-9:]{5})", asked) != []
    assert "Nothing was charged" in text


def test_what_is_being_charged_what_nobody_knows_and_what_was_taken(store: Store) -> None:
    order = an_order(store)
    ref = ref_of(store)
    assert template(store) == template(store, f"STATUS {ref}") == "status_charging"
    unknown(store, order)
    text = told(store)
    assert "not known yet if you were charged. We ask again 01/01 00:30" in text and "Do NOT pay again" in text
    applied(store, charged(order))
    assert template(store) == "status_none" and template(store, f"STATUS {ref}") == "receipt"


def test_a_consent_that_the_shop_has_not_used_yet(store: Store) -> None:
    [ask] = applied(store, a_create("k-1", capture=Capture.MANUAL)).rows
    code = re.search("reply ([0-9]{4})", TEXTS.render(ask))
    assert code is not None
    applied(store, texted(code[1], read_at_ms=ask.created_at_ms))
    assert "Nothing was charged yet: the shop may take it until 01/01 00:40" in told(store)


def test_a_dispute_tells_its_deadlines_and_how_it_ended(store: Store, database_url: str) -> None:
    payment = a_captured_payment(store)
    [opened] = said(store, f"DISPUTE {payment.ref}")
    opened_at_ms = opened.created_at_ms
    by = {name: day(opened_at_ms + ms) for name, ms in (("shop", ANSWER_WITHIN_MS), ("us", ALL_MS))}
    assert f"Answer by {by['us']}" in TEXTS.render(opened)
    assert f"The shop must answer by {by['shop']}, or you get it back" in told(store)
    [row] = rows(database_url, "SELECT id FROM dispute")
    answered = AnswerDispute(
        merchant_id="mer_1", mode="test", dispute_id=row.id, done=Act.ANSWER, evidence="signed", key="d", body_hash="h"
    )
    applied(store, answered)
    assert f"the shop has answered. We decide by {by['us']}" in told(store)
    applied(store, DecideDispute(dispute_id=row.id, done=Act.WIN, note="seen"))
    assert template(store) == "status_none"
    assert template(store, f"STATUS {payment.ref}") == "dispute_rejected"


ALL_MS = ANSWER_WITHIN_MS + DECIDED_WITHIN_MS


def day(at_ms: int) -> str:
    """A moment as a text of this carrier shows it."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(NAIROBI):%d/%m %H:%M}"


def test_money_that_goes_back_is_told_until_it_is_there(store: Store) -> None:
    payment = a_captured_payment(store)
    order = a_refund(payment.id, 25_000)
    refund_order = next(row for row in applied(store, order).rows if row.kind == "refund")
    assert told(store).startswith("KES 250.00 from Mama Asha is on its way back to you")
    applied(store, done(refund_order))
    assert template(store) == "status_none"
    assert told(store, f"STATUS {payment.ref}").startswith("GIVEN BACK: Mama Asha refunded KES 250.00 to you")


@pytest.mark.money
def test_what_waits_in_escrow_is_told_until_the_shop_has_it(store: Store) -> None:
    payment = a_captured_payment(store, capture=Capture.ESCROW)
    ref = payment.ref
    kept = f"We keep the KES 1,250.00 you paid until Mama Asha has sent your goods and you text OK {ref}."
    assert told(store) == told(store, f"STATUS {ref}") == f"{kept} Nothing sent: you get it back 08/01 00:30"
    [text] = sent(store, payment)
    on_its_way = f"Mama Asha has sent your goods. It gets the KES 1,250.00 you paid when you text OK {ref}, or on"
    assert TEXTS.render(text) == told(store) == f"{on_its_way} 15/01 00:30. Wrong? Text DISPUTE {ref}"
    said(store, f"OK {ref}")
    assert template(store) == "status_none" and template(store, f"STATUS {ref}") == "receipt"


@pytest.mark.money
def test_goods_that_come_while_something_is_disputed_ask_for_no_word(store: Store) -> None:
    payment = a_captured_payment(store, capture=Capture.ESCROW)
    said(store, f"DISPUTE {payment.ref}")
    assert sent(store, payment) == [] and template(store) == "status_dispute_open"


def test_the_newest_of_several_matters_is_told(store: Store, clock: Clock) -> None:
    first = a_captured_payment(store)
    said(store, f"DISPUTE {first.ref}")
    assert template(store) == "status_dispute_open"
    clock.advance(1)
    applied(store, a_create("k-2"))
    assert template(store) == "status_waiting"
    said(store, "0")
    assert template(store) == "status_dispute_open"


def test_another_phones_payment_is_not_there(store: Store) -> None:
    ref = a_captured_payment(store).ref
    applied(store, a_create("k-2"))
    asked = texts_of(applied(store, texted(f"STATUS {ref}", OTHER_PHONE), texted("STATUS", OTHER_PHONE)))
    assert [row.body["template"] for row in asked] == ["receipt_not_found", "status_none"]
    assert answer(store, "STATUS 12345678") == "receipt_not_found ref=12345678"


@pytest.mark.parametrize(
    ("words", "begins"),
    [("hali", "Huna jambo"), ("SUIVI", "Rien en cours"), ("進度", "您沒有進行中"), ("status?", "Nothing of yours")],
)
def test_it_is_asked_and_answered_in_four_languages(store: Store, words: str, begins: str) -> None:
    language = {"H": "SW", "R": "FR", "您": "ZH", "N": "EN"}[begins[0]]
    said(store, f"LANG {language}")
    assert the_consumer(store).language
    assert told(store, words).startswith(begins)
    applied(store, a_create("k-1", language="en"))
    assert said(store, words)[0].body["language"] == the_consumer(store).language


def test_looking_changes_nothing(store: Store, database_url: str) -> None:
    a_captured_payment(store)
    applied(store, a_create("k-2"))
    before = [tuple(row) for row in rows(database_url, "SELECT id, version, state FROM payment ORDER BY id")]
    said(store, "STATUS", f"STATUS {ref_of(store)}")
    assert [tuple(row) for row in rows(database_url, "SELECT id, version, state FROM payment ORDER BY id")] == before


@pytest.mark.parametrize(
    "words",
    [
        *("I am happy with {} please do not dispute it", "OK {} thanks, all goods came today and all good"),
        "Thank you! > PAID KES 1,250.00 to Mama Asha, 25/11 02:39. Ref {}. Wrong? Text DISPUTE {}. We never ask",
    ],
)
def test_no_thanks_open_a_dispute_and_a_complaint_is_told_how(store: Store, database_url: str, words: str) -> None:
    ref = a_captured_payment(store).ref
    assert told(store, words.replace("{}", ref)).startswith(
        "Which payment was wrong? Text DISPUTE and its ref. For KES"
    )
    assert rows(database_url, "SELECT id FROM dispute") == []
    assert [row.disputed_minor for row in rows(database_url, "SELECT disputed_minor FROM payment")] == [0]
    assert template(store, f"the goods never came so I dispute {ref} now") == "dispute_opened"
    assert template(store, words.replace("{}", ref)) == "status_dispute_open"
