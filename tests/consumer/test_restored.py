"""After a restore nobody hears that nothing was charged before a person has looked."""

import pytest
from sqlalchemy import Connection

from gateway.core.codes import choose_code
from gateway.core.payment import Capture
from gateway.engine.carrier_jobs import DeadlineReached
from gateway.engine.decisions import EndOrder, Outcome
from gateway.engine.merchant_jobs import CancelPayment, CapturePayment, ChangePayment, Problem
from gateway.store.apply import Store
from gateway.store.backup import distrust
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs
from tests.consumer.bench import Clock, filled, texted, texts_of
from tests.consumer.page_bench import Browser
from tests.store.bench import CODE_KEY, Odd, a_create, applied, count, rows

A_DAY_S = 24 * 3600


def code_of(ask: OutboxRow) -> str:
    return choose_code(CODE_KEY, ask.payment_id or "", ask.body["code_digits"], (), ask.body["code_n"])[0]


def restored(store: Store, *, capture: Capture = Capture.AUTOMATIC) -> OutboxRow:
    """A payment that waited in a backup, for a consent or (`manual`) for a capture; its ask."""
    [ask] = applied(store, a_create("k-1", capture=capture)).rows
    if capture is Capture.MANUAL:
        applied(store, texted(code_of(ask)))
    applied(store, Odd(lambda unit: distrusted(unit.conn, unit.now_ms)))
    return ask


def distrusted(conn: Connection, now_ms: int) -> None:
    assert distrust(conn, now_ms).payments == 1


def templates(store: Store, words: str) -> list[str]:
    return [row.body["template"] for row in texts_of(applied(store, texted(words)))]


@pytest.mark.parametrize("capture", Capture)
def test_a_code_is_told_that_nobody_knows_and_a_day_later_the_result(
    store: Store, database_url: str, clock: Clock, capture: Capture
) -> None:
    ask = restored(store, capture=capture)
    assert count(database_url, "outbox") == 0, "no text of before leaves"
    assert templates(store, code_of(ask)) == ["unknown_outcome"]
    clock.advance(A_DAY_S + 1)
    ended = applied(store, DeadlineReached(ask.payment_id or ""))
    assert [row.body["template"] for row in texts_of(ended)] == ["expired"]


@pytest.mark.parametrize("capture", Capture)
@pytest.mark.parametrize("words", ["0", "STOP", "STOP ASHA", "4711"])
def test_nothing_that_the_phone_says_ends_it_or_is_told_that_it_charged_nothing(
    store: Store, database_url: str, words: str, capture: Capture
) -> None:
    restored(store, capture=capture)
    before = rows(database_url, "SELECT state, version FROM payment")
    for row in texts_of(applied(store, texted(words))):
        told = row.body["template"]
        assert told in ("unknown_outcome", "not_understood_nothing_waiting") or filled(row).endswith("count=0")
    assert rows(database_url, "SELECT state, version FROM payment") == before


def test_its_receipt_says_that_it_is_looked_into(store: Store) -> None:
    ask = restored(store)
    [receipt] = texts_of(applied(store, texted(f"RECEIPT {ask.body['ref']}")))
    assert receipt.body["fields"]["outcome"] == "CHECKING"


@pytest.mark.parametrize("change", [CancelPayment, CapturePayment])
def test_its_shop_can_neither_cancel_nor_capture_it(store: Store, change: type[ChangePayment]) -> None:
    ask = restored(store, capture=Capture.MANUAL)
    payment_id = ask.payment_id or ""
    batch = applied(store, change(merchant_id="mer_1", mode="test", payment_id=payment_id, key=None, body_hash=""))
    result = batch.applied[0].result
    assert isinstance(result, Problem) and result.code == "invalid_state"
    assert batch.rows == []


def test_nobody_is_inside_the_page_any_more_and_no_code_of_before_opens_it(store: Store, database_url: str) -> None:
    applied(store, a_create("k-1"))
    inside, outside = Browser(store, database_url), Browser(store, database_url, "other")
    inside.log_in()
    outside.ask()
    applied(store, Odd(lambda unit: distrusted(unit.conn, unit.now_ms)))
    assert inside.session() is None
    assert outside.type(outside.code()).outcome == "old" and outside.session() is None
    inside.log_in()


def test_its_break_names_no_order_that_anybody_could_decide(store: Store, database_url: str) -> None:
    restored(store)
    [case] = rows(database_url, 'SELECT id, payment_id FROM "break"')
    wanted = Needs(payment_ids=(case.payment_id,))
    decide = EndOrder(case.id, Outcome.DID_NOT_HAPPEN, "asha", "ticket 17", wanted=wanted)
    with pytest.raises(ValueError, match="this unknown_outcome names no order: settle it, then"):
        applied(store, decide)
