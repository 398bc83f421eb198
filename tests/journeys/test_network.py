"""What the network does to texts: loses, doubles and delays receipts, refuses, keeps silent, tears the link down."""

import pytest

from simulators.faults import Scripted
from tests.journeys.evidence import ASKS_MAX
from tests.journeys.house import House, a_number, together

pytestmark = pytest.mark.journey

PAST_THE_DEADLINE_S = 700
A_LITTLE_S = 10


async def pays_once(home: House, ending: str) -> None:
    """The ask arrives in spite of all, the code comes back, the phone is charged once and told."""
    phone = a_number(ending)
    asked = await home.shop.ask(phone)
    ended = await home.shop.until_final(asked["id"])
    assert (ended["status"], ended["reason"]) == ("succeeded", None), ending
    assert ended["receipt_ref"] in await home.text_with(phone, "PAID "), ending
    assert len(home.evidence.charges(phone)) == 1, ending
    assert 1 <= home.evidence.asks_of(phone) <= ASKS_MAX, ending


@pytest.mark.money
async def test_receipts_that_are_lost_early_late_or_twice_change_nothing(home: House) -> None:
    await together(*(pays_once(home, ending) for ending in ("012", "013", "955", "956", "957")))
    statuses = home.evidence.rows(
        "SELECT c.msisdn, m.status FROM message m JOIN consumer c ON c.id = m.consumer_id WHERE m.template = 'ask'"
    )
    lost = [row.msisdn for row in statuses if row.msisdn.endswith("012")]
    for row in statuses:
        if row.msisdn not in lost:
            # The one that came before its submit was answered is matched a little later.
            await home.until_rows(
                "SELECT m.id FROM message m JOIN consumer c ON c.id = m.consumer_id"
                " WHERE c.msisdn = :msisdn AND m.template = 'ask' AND m.status = 'delivered'",
                msisdn=row.msisdn,
            )
    assert home.evidence.rows("SELECT id FROM orphan_receipt") == []


async def test_who_cannot_be_reached_is_not_charged(home: House) -> None:
    undeliverable, absent = a_number("016"), a_number("962")
    gone, away = await home.shop.ask(undeliverable), await home.shop.ask(absent)
    failed = await home.shop.until_final(gone["id"])
    assert (failed["status"], failed["reason"]) == ("failed", "unreachable")
    await home.shop.until(away["id"], lambda payment: payment["status"] == "requires_consent")
    home.advance(PAST_THE_DEADLINE_S)
    assert (await home.shop.until_final(away["id"]))["reason"] == "expired"
    assert home.evidence.charges() == []


REFUSED_ONCE = ("950", "951", "952")  # throttled, queue full, system error
UNANSWERED = ("953", "954")  # no answer, an answer after the time-out
LINK_BROKEN = ("958", "959", "960", "961")  # half an answer, garbage, reset, frozen


@pytest.mark.money
async def test_an_ask_that_is_refused_or_not_answered_at_first_is_paid_once(home: House) -> None:
    async def time_passes() -> None:
        await home.until_rows("SELECT min(id) FROM outbox WHERE tries > 0 HAVING count(*) = :n", n=len(REFUSED_ONCE))
        home.advance(A_LITTLE_S)

    await together(*(pays_once(home, ending) for ending in (*REFUSED_ONCE, *UNANSWERED)), time_passes())


@pytest.mark.money
async def test_a_link_that_breaks_at_every_turn_loses_no_payment_and_charges_none_twice(home: House) -> None:
    others = ["555"] * 10
    await together(*(pays_once(home, ending) for ending in (*LINK_BROKEN, *others, *LINK_BROKEN)))


async def test_an_ask_whose_fate_is_unknown_is_sent_once_more_and_then_no_more(home: House) -> None:
    phone = a_number("002")
    home.world.plan.add(Scripted(point="smsc.submit", fault="no_response", msisdn=phone, times=5))
    asked = await home.shop.ask(phone)
    await home.until_rows("SELECT id FROM outbox WHERE payment_id = :id AND id LIKE '%.2'", id=asked["id"])
    await home.settled()
    assert home.evidence.asks_of(phone) == ASKS_MAX
    assert len(set(await home.texts(phone))) == 1, "the same words, and so the same code"
    assert home.evidence.charges() == []


@pytest.mark.money
async def test_nobody_is_asked_again_for_what_is_paid(home: House) -> None:
    phone = a_number("953")
    asked = await home.shop.ask(phone)
    await home.shop.until_final(asked["id"])
    await home.text_with(phone, "PAID ")
    await home.settled()
    assert home.evidence.asks_of(phone) == 1


async def test_a_network_that_takes_nothing_ends_the_request_at_its_deadline(home: House) -> None:
    phone = a_number()
    home.world.plan.add(Scripted(point="smsc.submit", fault="queue_full", msisdn=phone))
    asked = await home.shop.ask(phone, expires_in_s=60)
    await home.until_rows("SELECT id FROM outbox WHERE payment_id = :id AND tries > 0", id=asked["id"])
    home.advance(PAST_THE_DEADLINE_S)
    assert (await home.shop.until_final(asked["id"]))["reason"] in ("expired", "unreachable")
    home.world.plan.clear()
    await home.settled()
    assert home.evidence.asks_of(phone) == 0
    assert home.evidence.charges() == []
