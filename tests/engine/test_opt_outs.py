"""A carrier that refuses a phone's texts because its owner said STOP to it: that is a STOP, whenever it is told."""

from collections.abc import Iterator

import msgspec
import pytest

from carriers.base import OPTED_OUT, Billed, Receipt, Refused, Submitted
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.carrier_jobs import ReceiptRead, TextDone
from gateway.engine.housekeeping import Housekeeping
from gateway.store.apply import Job, Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import add_shops, texted
from tests.store.bench import PHONE, Odd, a_create, a_store, applied, count, rows

REFUSED = Refused(code=OPTED_OUT, detail="HTTP 400, code 21610", retryable=False)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with a_store(database_url) as opened:
        applied(opened, Odd(add_shops))
        yield opened


def ask(store: Store, key: str, *, shop: str = "mer_1", carrier: str = "acme", msisdn: str = PHONE) -> OutboxRow:
    [row] = applied(store, a_create(key, merchant_id=shop, carrier=carrier, msisdn=msisdn)).rows
    assert row.body["is_ask"]
    return row


def told(url: str) -> list[tuple[str, str | None]]:
    found = rows(url, "SELECT state, reason FROM payment ORDER BY id")
    return [(row.state, row.reason) for row in found]


def undeliverable(message_id: str) -> Receipt:
    return Receipt(
        carrier="acme", message_ids=(message_id,), state="undeliverable", detail="failed", read_at_ms=1, opted_out=PHONE
    )


def test_a_text_refused_for_a_stop_ends_what_waits_everywhere(store: Store, database_url: str) -> None:
    first, _, _ = ask(store, "k-1"), ask(store, "k-2", shop="mer_2"), ask(store, "k-3", carrier="other")
    elsewhere = ask(store, "k-4", msisdn="+254700000002")
    mute = [row for row in applied(store, TextDone(first, REFUSED)).rows if row.kind == "sms"]
    assert [(row.body["carrier"], row.body["is_mute"], row.body["ends_asks"]) for row in mute] == [
        ("acme", True, True),
        ("other", True, True),
    ], "asks in the lanes go, and no text comes"
    ended = [("ended", "unavailable"), ("ended", "refused"), ("ended", "refused"), ("created", None)]
    assert told(database_url) == ended
    left = rows(database_url, "SELECT id FROM outbox WHERE kind = 'sms' ORDER BY created_at_ms, id")
    assert {row.id for row in left} == {elsewhere.id, *(row.id for row in mute)}
    assert ask(store, "k-5").body["stopped"], "and nothing is asked any more"
    applied(store, texted("START"))
    assert not ask(store, "k-6").body["stopped"]


def test_a_status_that_comes_later_is_the_same_stop(store: Store, database_url: str) -> None:
    first, _ = ask(store, "k-1"), ask(store, "k-2", shop="mer_2")
    applied(store, TextDone(first, Submitted(message_ids=("SM1",), segments=1)))
    applied(store, ReceiptRead(undeliverable("SM1"), "test"))
    assert told(database_url) == [("ended", "refused"), ("ended", "refused")]
    assert rows(database_url, "SELECT status FROM message")[0].status == "undeliverable"
    assert ask(store, "k-3").body["stopped"]
    assert count(database_url, '"break"') == 0


@pytest.mark.parametrize("times", [1, 2])
async def test_a_status_that_comes_before_the_answer_to_its_text_is_the_same_stop(
    store: Store, database_url: str, times: int
) -> None:
    first, _, _ = ask(store, "k-1"), ask(store, "k-2", shop="mer_2"), ask(store, "k-3", carrier="other")
    ask(store, "k-4", msisdn="+254700000002")
    applied(store, *[ReceiptRead(undeliverable("SM1"), "test")] * times)
    applied(store, TextDone(first, Submitted(message_ids=("SM1",), segments=1)))
    await match_parked(store)
    assert told(database_url) == [("ended", "refused")] * 3 + [("created", None)]
    assert rows(database_url, "SELECT status FROM message")[0].status == "undeliverable"
    assert count(database_url, "orphan_receipt") == 0
    left = rows(database_url, "SELECT body FROM outbox WHERE kind = 'sms' ORDER BY created_at_ms, id")
    muted = {body["carrier"] for body in map(msgspec.json.decode, (row.body for row in left)) if body.get("is_mute")}
    assert muted == {"acme", "other"}, "asks in the lanes go, and no text comes"
    assert ask(store, "k-5").body["stopped"]
    applied(store, texted("START"), ReceiptRead(undeliverable("SM1"), "test"))
    await match_parked(store)
    assert not ask(store, "k-6").body["stopped"], "it was heard, and is no new stop"


async def match_parked(store: Store) -> None:
    """As the engine does it every two seconds."""
    batcher = Batcher(store.apply, settings=BatchSettings(ride_along_ms=1), quarantine=broken)
    batcher.start()
    await Housekeeping(batcher, lambda lane: True)._match_parked()
    await batcher.stop()


def broken(job: Job, error: Exception) -> None:
    raise AssertionError(f"{job} was quarantined") from error


def test_a_status_that_is_told_again_after_a_start_stops_nobody(store: Store, database_url: str) -> None:
    """Whoever has kept a signed call can make it once more; it says no more than it said at first."""
    told_again = ReceiptRead(undeliverable("SM1"), "test")
    applied(store, TextDone(ask(store, "k-1"), Submitted(message_ids=("SM1",), segments=1)))
    applied(store, told_again, texted("START"), told_again)
    waits = ask(store, "k-2")
    assert not waits.body["stopped"]
    applied(store, told_again)
    assert told(database_url)[-1] == ("created", None)
    assert not ask(store, "k-3").body["stopped"]


def test_a_status_of_a_message_that_nobody_knows_stops_nobody_before_the_next_text_is_refused(store: Store) -> None:
    applied(store, ReceiptRead(undeliverable("SM9"), "test"))
    first = ask(store, "k-1")
    assert not first.body["stopped"]
    applied(store, TextDone(first, REFUSED))
    assert ask(store, "k-2").body["stopped"]


def test_a_stop_that_is_known_is_not_noted_again(store: Store, database_url: str) -> None:
    first = ask(store, "k-1")
    applied(store, texted("STOP"))
    assert applied(store, TextDone(first, REFUSED), ReceiptRead(undeliverable("SM1"), "test")).rows == []
    assert told(database_url) == [("ended", "refused")]


def test_what_a_carrier_bills_is_kept_beside_our_own_count(store: Store, database_url: str) -> None:
    first, second = ask(store, "k-1"), ask(store, "k-2")
    counted = Submitted(message_ids=("SM1",), segments=1, billed=Billed(segments=2))
    applied(store, TextDone(first, counted), TextDone(second, Submitted(message_ids=("SM2",), segments=1)))
    priced = Receipt(
        carrier="acme",
        message_ids=("SM1",),
        state="delivered",
        read_at_ms=1,
        billed=Billed(segments=2, price="0.0158 USD"),
    )
    applied(store, ReceiptRead(priced, "test"))
    found = rows(database_url, "SELECT segments, billed_segments, price FROM message ORDER BY id")
    assert [tuple(row) for row in found] == [(1, 2, "0.0158 USD"), (1, 0, "")]
