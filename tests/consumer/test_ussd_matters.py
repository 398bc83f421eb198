"""STATUS and REPORT in the menus: where a payment stands, and what was not the owner's purchase; as by text.

Each matter is brought about once, told by text and looked at on the screen.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from carriers import base
from gateway.core.dispute import Act
from gateway.core.payment import Capture
from gateway.engine.carrier_jobs import OrderDone
from gateway.engine.dispute_jobs import AnswerDispute, DecideDispute
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import Clock, add_shops, ref_of, said, sent, texted
from tests.consumer.ussd_bench import USSD_POLICY, Caller, asked, code_of, with_pin
from tests.store.bench import Odd, a_captured_payment, an_engine, an_order, applied, charged, count, rows
from tests.store.refund_bench import done, refunded


@pytest.fixture
def store(database_url: str, clock: Clock) -> Iterator[Store]:
    with an_engine(database_url) as engine:
        opened = Store(engine, USSD_POLICY, clock_offset_ms=lambda: clock.offset_ms)
        applied(opened, Odd(add_shops))
        yield opened


def being_charged(store: Store) -> None:
    an_order(store)


def not_known(store: Store) -> None:
    applied(store, OrderDone(an_order(store), base.Unknown(detail="no answer")))


def agreed(store: Store, key: str = "k-1", **changes: object) -> None:
    ask = asked(store, key, capture=Capture.MANUAL, **changes)
    applied(store, texted(code_of(ask), read_at_ms=ask.created_at_ms))


def paid(store: Store) -> None:
    a_captured_payment(store)


def in_escrow(store: Store) -> None:
    a_captured_payment(store, capture=Capture.ESCROW)


def goods_sent(store: Store) -> None:
    sent(store, a_captured_payment(store, capture=Capture.ESCROW))


def going_back(store: Store) -> None:
    refunded(store, a_captured_payment(store))


def given_back(store: Store) -> None:
    applied(store, done(refunded(store, a_captured_payment(store), 25_000)))


def disputed(store: Store) -> None:
    said(store, f"DISPUTE {a_captured_payment(store).ref}")


def answered(store: Store) -> None:
    disputed(store)
    answer = AnswerDispute(
        merchant_id="mer_1",
        mode="test",
        dispute_id=dispute_id(store),
        done=Act.ANSWER,
        evidence="signed",
        key="d",
        body_hash="h",
    )
    applied(store, answer)


def won(store: Store) -> None:
    answered(store)
    applied(store, DecideDispute(dispute_id=dispute_id(store), done=Act.WIN, note="seen"))


def told(caller: Caller) -> list[OutboxRow]:
    """The texts that the last step queued and that will be read."""
    return [row for row in caller.rows if row.kind == "sms" and not row.body.get("is_mute")]


def dispute_id(store: Store) -> str:
    """Of the only one."""
    found = applied(store, Odd(lambda unit: unit.conn.exec_driver_sql("SELECT id FROM dispute").scalar_one()))
    return str(found.applied[0].result)


Matter = Callable[..., None]
STANDS: Final[dict[Matter, tuple[str, str]]] = {
    being_charged: ("status_charging", "KES 1,250.00\nBeing charged now."),
    not_known: ("status_checking", "KES 1,250.00\nNot known yet if you were charged. We ask again 01/01 00:3"),
    agreed: ("status_agreed", "KES 1,250.00\nYou agreed. Not charged yet: the shop may take it until 01/01 00:4"),
    paid: ("receipt", "KES 1,250.00\n01/01/28 00:3"),
    in_escrow: ("status_escrow", "KES 1,250.00\nPAID, we keep it. Not sent? You get it back 08/01 00:"),
    goods_sent: ("goods_sent", "KES 1,250.00\nGoods sent. The shop gets it by your OK or on 15/01 00:"),
    going_back: ("status_refunding", "KES 1,250.00\nOn its way back to you."),
    given_back: ("refunded", "KES 250.00\nGIVEN BACK by the shop."),
    disputed: ("status_dispute_open", "KES 1,250.00\nDISPUTE: set aside. The shop answers by "),
    answered: ("status_dispute_review", "KES 1,250.00\nDISPUTE: the shop has answered. We decide by "),
    won: ("dispute_rejected", "KES 1,250.00\nDISPUTE decided: the shop keeps it"),
}
"""What STATUS tells by text, and what the screen of the payment says below the shop's name."""


@pytest.mark.parametrize("matter", STANDS, ids=lambda matter: matter.__name__)
def test_the_screen_of_a_payment_tells_what_status_tells(store: Store, matter: Matter) -> None:
    matter(store)
    ref = ref_of(store)
    [text] = said(store, f"STATUS {ref}")
    template, shown = STANDS[matter]
    assert text.body["template"] == template
    caller = Caller(store)
    listed = caller.dial("3")
    assert "Mama Asha KES 1,250.00" in listed, "whatever is under way is found"
    assert caller.type("1").startswith(f"Mama Asha\n{shown}") and ref in caller.text
    assert "\n9 Not me\n0 Back\n00 Exit" in caller.text
    assert caller.type("0") == listed


REPORTED: Final[dict[Matter, tuple[str, list[str]]]] = {
    being_charged: ("REPORTED: Mama Asha can ask no more. KES 1,250.00 may be charged all the same", []),
    not_known: ("REPORTED: Mama Asha can ask no more. KES 1,250.00 may be charged all the same", []),
    agreed: ("REPORTED: Mama Asha can ask you for no more money. KES 1,250.00 was not charged.", ["refused"]),
    paid: ("REPORTED: KES 1,250.00 charged for Mama Asha is set aside until decided", ["dispute_opened"]),
    going_back: ("There is nothing to dispute in ", []),
    given_back: ("REPORTED: KES 1,000.00 charged for Mama Asha is set aside until decided", ["dispute_opened"]),
    disputed: ("REPORTED: KES 1,250.00 charged for Mama Asha is set aside until decided", ["dispute_opened"]),
    won: ("There is nothing to dispute in ", []),
}
"""What the screen says then, and the texts that come beside it."""


@pytest.mark.parametrize("matter", REPORTED, ids=lambda matter: matter.__name__)
def test_9_on_the_screen_of_a_payment_reports_it_wherever_it_stands(
    store: Store, database_url: str, matter: Matter
) -> None:
    matter(store)
    caller = Caller(store)
    caller.dial("3", "1")
    shown, texts = REPORTED[matter]
    assert caller.type("9").startswith(shown) and not caller.goes_on
    assert [row.body["template"] for row in told(caller)] == texts
    assert caller.again().startswith(shown)
    [payment] = rows(database_url, "SELECT p.disputed_minor, r.merchant_id FROM payment p JOIN report r ON 1 = 1")
    assert bool(payment.disputed_minor) == bool(texts == ["dispute_opened"])
    assert [row.merchant_id for row in rows(database_url, "SELECT merchant_id FROM consumer_stop")] == ["mer_1"]
    assert [row.n for row in rows(database_url, "SELECT count(*) n FROM event WHERE type = 'payment.reported'")] == [1]


@pytest.mark.parametrize("has_pin", [True, False])
@pytest.mark.parametrize("is_cut_off", [False, True])
def test_9_on_the_screen_of_the_price_refuses_and_reports(
    store: Store, database_url: str, has_pin: bool, is_cut_off: bool
) -> None:
    caller = with_pin(store) if has_pin else Caller(store)
    asked(store)
    caller.dial("1")
    if is_cut_off:
        assert "0 Refuse\n9 Not me\n00 Exit" in caller.dial()
    assert "9 Not me" in caller.text
    assert caller.type("9").startswith("REPORTED: Mama Asha can ask you for no more money. KES 1,250.00 was not")
    assert told(caller) == []
    assert [tuple(row) for row in rows(database_url, "SELECT reason, found FROM payment, report")] == [
        ("refused", "pending")
    ]
    assert caller.again().startswith("REPORTED") and count(database_url, "report") == 1
    assert "You have stopped requests of Mama Asha" in caller.dial("2", "ASHA")


def test_9_counts_on_a_screen_of_the_price_only_if_it_was_shown(store: Store, database_url: str) -> None:
    caller = Caller(store)
    asked(store)
    assert "9 Not me" in caller.dial("1", "9") and count(database_url, "report") == 0


def test_what_was_agreed_to_is_refused_where_it_stands(store: Store, database_url: str) -> None:
    agreed(store)
    caller = Caller(store)
    caller.dial("3", "1")
    assert "\n7 Refuse\n9 Not me\n" in caller.text
    assert caller.type("7") == "Refused: 1. Nothing was charged, and the shop knows."
    assert [tuple(row) for row in rows(database_url, "SELECT state, reason FROM payment")] == [("ended", "refused")]


@pytest.mark.money
@pytest.mark.parametrize("matter", [in_escrow, goods_sent])
def test_3_and_then_8_give_the_shop_what_waits_in_escrow_once(store: Store, database_url: str, matter: Matter) -> None:
    matter(store)
    caller = Caller(store)
    shown = caller.dial("3", "1")
    assert "\n3 " in shown
    asks = caller.type("3")
    assert asks.startswith("Mama Asha\nKES 1,250.00\nDo you have the goods?") and told(caller) == []
    assert caller.type("3") == asks and caller.type("1") == asks, "nothing of the way there pays"
    assert caller.type("0") == shown and caller.type("3") == asks
    assert caller.type("8").startswith("Thank you. Mama Asha now gets the KES 1,250.00") and not caller.goes_on
    assert [row.body["template"] for row in told(caller)] == ["escrow_released"]
    assert caller.again().startswith("Thank you.")
    entries = "SELECT kind FROM entry WHERE kind = 'escrow_released'"
    assert len(rows(database_url, entries)) == 1
    shown = caller.dial("3", "1")
    assert "\n3 " not in shown and caller.type("3") == shown


@pytest.mark.money
@pytest.mark.parametrize("typed", [(), ("3",)])
def test_8_pays_nobody_where_a_dispute_came_first(store: Store, database_url: str, typed: tuple[str, ...]) -> None:
    in_escrow(store)
    caller = Caller(store)
    caller.dial("3", "1", *typed)
    said(store, f"DISPUTE {ref_of(store)}")
    assert "DISPUTE: set aside." in caller.type("8" if typed else "3") and told(caller) == []
    assert [row.escrow for row in rows(database_url, "SELECT escrow FROM payment")] == ["held"]


@pytest.mark.money
def test_nobody_pays_a_shop_out_of_escrow_by_dialling(store: Store, database_url: str) -> None:
    in_escrow(store)
    caller = Caller(store)
    assert "Do you have the goods?" in caller.dial("3", "1", "3", "8")
    assert [row.escrow for row in rows(database_url, "SELECT escrow FROM payment")] == ["held"]
    assert caller.type("8").startswith("Thank you."), "chosen on the screen that was seen, it counts"


def test_7_means_nothing_where_nothing_can_be_refused(store: Store) -> None:
    being_charged(store)
    caller = Caller(store)
    shown = caller.dial("3", "1")
    assert caller.type("7") == shown and caller.goes_on


def test_what_is_under_way_stands_among_what_was_paid_page_by_page(store: Store, clock: Clock) -> None:
    for number in range(9):
        clock.advance(1)
        if number % 4 == 1:
            agreed(store, f"k-{number}", shop=f"Shop {number}")
        else:
            a_captured_payment(store, f"k-{number}", shop=f"Shop {number}")
    caller = Caller(store)
    pages = [caller.dial("3")]
    while "98 More" in pages[-1]:
        pages.append(caller.type("98"))
    shops = [line.split(" Shop ")[1][0] for page in pages for line in page.splitlines() if " Shop " in line]
    assert shops == [str(number) for number in reversed(range(9))]
    assert sum(page.count("NOT CHARGED YET") for page in pages) == 2


def test_what_waits_is_paid_under_1_and_another_phones_payment_is_not_there(store: Store) -> None:
    asked(store)
    an_order(store, "k-2", msisdn="+254700000002")
    assert Caller(store).dial("3").startswith("You have paid nothing yet")


def test_a_payment_that_is_asked_for_once_more_is_shown_with_its_price(store: Store) -> None:
    order = an_order(store)
    caller = Caller(store)
    caller.dial("3", "1")
    applied(store, OrderDone(order, base.Declined(reason="insufficient_funds", detail="51")))
    assert "Enter the 4 digits of our SMS to PAY" in caller.type("x")
    applied(store, charged(order))


def test_the_code_before_a_low_balance_is_no_wrong_one_on_the_screen(store: Store, database_url: str) -> None:
    ask = asked(store)
    first = code_of(ask)
    [order] = [row for row in applied(store, texted(first)).rows if row.kind == "charge"]
    applied(store, OrderDone(order, base.Declined(reason="insufficient_funds", detail="51")))
    caller = Caller(store)
    caller.dial("1")
    assert "Tries left: 3" in caller.type(first)
    assert rows(database_url, "SELECT wrong_codes FROM payment")[0].wrong_codes == 0
