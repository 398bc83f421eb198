"""Payments whose texts go through Twilio: asked, answered, told; forged calls and replays; a STOP that Twilio has."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulators.faults import Fault, Scripted
from simulators.twilio_wire import incoming_form
from simulators.world import World
from tests.journeys.house import House, a_number, house

pytestmark = [pytest.mark.journey, pytest.mark.money]

NUMBER = "+15005550006"


def twilio(world: World) -> dict[str, Any]:  # Any: TOML of a bearer.
    account = world.twilio.settings
    return {
        "type": "twilio",
        "account_sid": account.account_sid,
        "auth_token": account.auth_token,
        "sender": NUMBER,
        "base_url": world.twilio.server.url,
        "timeout_s": 0.6,
        "pause_s": 0.2,
    }


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database_url, tmp_path / "journal", called_back=True, bearer=twilio) as opened:
        yield opened


async def call(home: House, form: dict[str, str], *, signed: bool) -> int | None:
    """Post a phone's text to the gateway, as Twilio or as somebody who only knows the address."""
    calls = home.world.twilio.calls
    return await calls.post(home.world.twilio.webhook_url, form, signed="rightly" if signed else "wrongly")


async def test_a_payment_from_the_ask_to_the_receipt(home: House) -> None:
    phone = a_number()
    home.behave(phone, "silent")
    asked = await home.shop.ask(phone)
    code = await home.code_in(phone)
    await home.until_rows("SELECT id FROM message WHERE template = 'ask' AND status = 'delivered'")
    reply = {"MessageSid": "SM" + "f" * 32, "AccountSid": home.world.twilio.settings.account_sid}
    reply |= {"From": phone, "To": NUMBER, "Body": code}
    assert await call(home, reply, signed=False) == 403
    home.world.handsets.send(phone, NUMBER, code)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.text_with(phone, "PAID")
    assert len(home.evidence.charges(phone)) == 1
    # The very call that confirmed, once more, and again after that.
    [text] = [one for one in home.world.twilio.messages.values() if one.direction == "inbound"]
    for _ in range(2):
        form = incoming_form(text, home.world.twilio.settings.account_sid)
        assert await call(home, form, signed=True) == 200
    stored = home.evidence.rows("SELECT provider_id, text FROM mo")
    assert [tuple(row) for row in stored] == [(text.sid, code)]
    [ask] = await home.until_rows("SELECT segments, billed_segments, price FROM message WHERE price <> ''")
    assert tuple(ask) == (1, 1, "0.00790 USD")
    await home.shop.until_event(lambda one: one["type"] == "payment.succeeded")
    assert await home.shop.event_types(asked["id"]) == [
        *("payment.created", "payment.asked", "payment.confirmed", "payment.succeeded"),
    ]
    traces = home.evidence.rows("SELECT body FROM trace")
    sent = [bytes.fromhex(msgspec.json.decode(row.body)["sent"]) for row in traces]
    assert sum(b"/Messages.json\r\n\r\nTo=%2B************&Body=" in one for one in sent) == 2


async def test_answers_that_are_lost_or_put_off(sqlite_url: str, tmp_path: Path) -> None:
    async with house(sqlite_url, tmp_path / "journal", called_back=True, bearer=twilio) as home:
        lost, busy = a_number(), a_number()
        home.world.plan.add(Scripted(point="twilio.submit", fault="no_response", msisdn=lost, at=1))
        asked = await home.shop.ask(lost)
        # Nobody knows whether it left; but Twilio has it, and the phone's answer settles that.
        assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
        home.world.plan.add(Scripted(point="twilio.submit", fault="queue_full", msisdn=busy, at=1))
        asked = await home.shop.ask(busy)
        assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
        assert [home.evidence.asks_of(phone) for phone in (lost, busy)] == [1, 1]
        refused = [one["code"] for one in home.evidence.records("twilio", "submit") if one["code"]]
        assert refused == [21611]


async def test_a_word_of_the_accounts_own_that_twilio_takes_for_a_stop(home: House) -> None:
    phone = a_number()
    home.behave(phone, "silent")
    home.world.twilio.opt_out_words = {"BASTA": "STOP", "ALTA": "START"}
    waiting = [await home.shop.ask(phone) for _ in range(2)]
    await home.texts(phone, 2)
    home.world.handsets.send(phone, NUMBER, "Basta")
    ended = [await home.shop.until_final(one["id"]) for one in waiting]
    assert [(one["status"], one["reason"]) for one in ended] == [("failed", "refused")] * 2
    assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["reason"] == "unavailable"
    await home.settled()
    assert [one["code"] for one in home.evidence.records("twilio", "submit")] == [None] * 2, "nothing met the stop"
    home.world.handsets.send(phone, NUMBER, "alta")
    await home.text_with(phone, "To return text START")
    home.world.handsets.send(phone, NUMBER, "START")
    await home.text_with(phone, "Welcome back")
    home.behave(phone, "pays")
    assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["status"] == "succeeded"


async def test_a_stop_that_only_twilio_has_heard(home: House) -> None:
    phone, other = a_number(), a_number()
    home.behave(phone, "silent")
    waiting = [await home.shop.ask(phone) for _ in range(2)]
    await home.texts(phone, 2)
    home.world.plan.set_for_number(phone, "twilio.mo", Fault(name="lost"))
    home.world.handsets.send(phone, NUMBER, "STOP")
    told = await home.shop.until_final((await home.shop.ask(phone))["id"])
    assert (told["status"], told["reason"]) == ("failed", "unavailable")
    ended = [await home.shop.until_final(one["id"]) for one in waiting]
    assert [(one["status"], one["reason"]) for one in ended] == [("failed", "refused")] * 2
    # From now on nobody asks Twilio either.
    submits = len(home.evidence.records("twilio", "submit"))
    again = await home.shop.until_final((await home.shop.ask(phone))["id"])
    assert again["reason"] == "unavailable"
    await home.settled()
    assert len(home.evidence.records("twilio", "submit")) == submits
    assert (await home.shop.until_final((await home.shop.ask(other))["id"]))["status"] == "succeeded"
    home.world.plan.set_for_number(phone, "twilio.mo", None)
    home.world.handsets.send(phone, NUMBER, "START")
    await home.text_with(phone, "Welcome back")
    home.behave(phone, "pays")
    assert (await home.shop.until_final((await home.shop.ask(phone))["id"]))["status"] == "succeeded"
