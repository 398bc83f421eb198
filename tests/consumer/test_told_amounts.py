"""What phones are told of a payment of which only a part was taken, or is left: that part, and never the price."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.core.dispute import DAY_MS
from gateway.core.money import Money
from gateway.core.payment import Capture, Payment, Rules
from gateway.engine.carrier_jobs import DeadlineReached, OrderDone
from gateway.engine.merchant_jobs import CancelPayment, CapturePayment
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import TEXTS, Clock, add_shops, said, sent, texts_of
from tests.consumer.ussd_bench import USSD_POLICY, Caller
from tests.store.bench import CARRIERS, Odd, a_captured_payment, an_engine, an_order, applied
from tests.store.refund_bench import done, refunded

pytestmark = pytest.mark.money

HOLDING = replace(USSD_POLICY, rules=dict.fromkeys(CARRIERS, Rules(holds=True, partial_capture=True)))


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        opened = Store(engine, HOLDING, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


def partly_refunded(store: Store, capture: Capture = Capture.AUTOMATIC) -> Payment:
    """KES 1,000.00 of 1,250.00 are left."""
    payment = a_captured_payment(store, capture=capture)
    applied(store, done(refunded(store, payment, 25_000)))
    return payment


def rendered(texts: list[OutboxRow]) -> str:
    [text] = texts
    return TEXTS.render(text)


def a_part_ordered(store: Store) -> tuple[OutboxRow, dict[str, Any]]:  # Any: fields.
    """The capture of KES 300.00 of a hold of 1,250.00, and what names the payment in a merchant's request."""
    order = an_order(store, capture=Capture.MANUAL)
    applied(store, OrderDone(order, base.Held(carrier_reference="SR1", amount=Money(125_000, "KES"))))
    words: dict[str, Any] = {"merchant_id": "mer_1", "mode": "test", "key": None, "body_hash": ""}
    words["payment_id"] = str(order.payment_id)
    [capture] = applied(store, CapturePayment(amount_minor=30_000, **words)).rows
    return capture, words


def test_of_a_part_that_is_captured_in_vain_that_part_is_given_back(store: Store) -> None:
    capture, words = a_part_ordered(store)
    assert "KES 300.00 " in rendered(said(store, "STATUS"))
    assert "Mama Asha\nKES 300.00\nBeing charged now." in Caller(store).dial("3", "1")
    applied(store, CancelPayment(**words))
    part = Money(30_000, "KES")
    batch = applied(store, OrderDone(capture, base.Charged(carrier_reference="SR1", amount=part)))
    assert rendered(said(store, "STATUS")).startswith("KES 300.00 from Mama Asha is on its way back to you.")
    [reversal] = [row for row in batch.rows if row.kind == "reverse"]
    batch = applied(store, OrderDone(reversal, base.Charged(carrier_reference="BK1", amount=part)))
    assert rendered(texts_of(batch)).startswith("GIVEN BACK: KES 300.00 that was charged for Mama Asha is yours again.")


@pytest.mark.parametrize("words", ["0", "HUH"])
def test_whatever_a_phone_says_it_is_told_of_the_part_that_may_have_been_captured(store: Store, words: str) -> None:
    capture, _ = a_part_ordered(store)
    applied(store, OrderDone(capture, base.Unknown(detail="timed out")))
    assert rendered(said(store, words)).startswith("KES 300.00 to Mama Asha: we do not know yet if you were charged")


def test_out_of_escrow_the_shop_gets_what_was_not_given_back(store: Store) -> None:
    payment = partly_refunded(store, Capture.ESCROW)
    assert "It gets the KES 1,000.00 you paid when you text OK" in rendered(sent(store, payment))
    assert "now gets the KES 1,000.00 that you paid" in rendered(said(store, f"OK {payment.ref}"))


def test_silence_gives_the_shop_what_was_not_given_back(store: Store, clock: Clock) -> None:
    payment = partly_refunded(store, Capture.ESCROW)
    sent(store, payment)
    clock.advance(15 * DAY_MS / 1000)
    told = texts_of(applied(store, DeadlineReached(payment.id)))
    assert "now gets the KES 1,000.00 that you paid" in rendered(told)


def test_on_a_screen_the_shop_gets_what_was_not_given_back(store: Store) -> None:
    partly_refunded(store, Capture.ESCROW)
    caller = Caller(store)
    caller.dial("3", "1")
    caller.type("3")
    assert caller.type("8").startswith("Thank you. Mama Asha now gets the KES 1,000.00 that you paid.")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("DISPUTE", "DISPUTE opened: KES 1,000.00 charged for Mama Asha is set aside."),
        ("REPORT", "REPORTED: KES 1,000.00 charged for Mama Asha is set aside until decided"),
    ],
)
def test_what_is_disputed_is_what_was_not_given_back(store: Store, words: str, told: str) -> None:
    payment = partly_refunded(store)
    assert rendered(said(store, f"{words} {payment.ref}")).startswith(told)


def test_on_a_screen_what_is_reported_is_what_was_not_given_back(store: Store) -> None:
    partly_refunded(store)
    caller = Caller(store)
    caller.dial("3", "1")
    assert caller.type("9").startswith("REPORTED: KES 1,000.00 charged for Mama Asha is set aside until decided")
    texts = [row for row in caller.rows if row.kind == "sms" and not row.body.get("is_mute")]
    assert rendered(texts).startswith("DISPUTE opened: KES 1,000.00 charged for Mama Asha is set aside.")
