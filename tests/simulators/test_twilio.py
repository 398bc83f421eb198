"""Twilio's own library sends through the simulator and believes its webhooks; what it is told is what Twilio says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from simulators.faults import Fault
from simulators.twilio import Twilio, TwilioSettings
from simulators.web import HttpServer
from simulators.world import World, WorldSettings

# The library's asynchronous client authenticates in a way that aiohttp will give up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]

PHONE = "+254712345100"
SILENT = "+254712345002"
NUMBER = "+15005550006"
WAIT_S = 10.0
TEXT = "Asha Shop asks KES 1,250.00. Reply 4821 to PAY or 0 to refuse."


class Sync(TwilioHttpClient):  # type: ignore[misc]  # The library publishes no types.
    """The library's client, led to the simulator instead of api.twilio.com."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:  # Any: the library's own.
        return super().request(method, url.replace("https://api.twilio.com", self._base), *args, **options)


class Async(AsyncTwilioHttpClient):  # type: ignore[misc]  # As above.
    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    async def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:  # Any: the library's own.
        return await super().request(method, url.replace("https://api.twilio.com", self._base), *args, **options)


class Hook:
    """Whoever is called: keeps each form beside what the library's validator says about it."""

    def __init__(self, token: str) -> None:
        self.server = HttpServer(self._answer)
        self.heard: asyncio.Queue[tuple[dict[str, str], bool]] = asyncio.Queue()
        self.answers: list[int] = []
        """To the next calls; then 200."""
        self._validator = RequestValidator(token)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers.get("X-Twilio-Signature")
        is_right = signature is not None and self._validator.validate(
            f"{self.server.url}{request.path}", form, signature
        )
        self.heard.put_nowait((form, is_right))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def next(self) -> tuple[dict[str, str], bool]:
        return await asyncio.wait_for(self.heard.get(), WAIT_S)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    twilio = TwilioSettings(webhook_retry_s=0.01, late_s=0.01, slow_s=0.01)
    async with World(WorldSettings(twilio=twilio)) as opened:
        yield opened


@pytest.fixture
async def hook(world: World) -> AsyncIterator[Hook]:
    opened = Hook(world.twilio.settings.auth_token)
    await opened.server.start()
    world.twilio.webhook_url = f"{opened.server.url}/incoming"
    yield opened
    await opened.server.stop()


def client(twilio: Twilio, http: Any, token: str = "") -> Any:  # Any: the library publishes no types.
    return Client(twilio.settings.account_sid, token or twilio.settings.auth_token, http_client=http)


async def sent(world: World, **changes: Any) -> Any:  # Any: a message of the library.
    async with Async(world.twilio.server.url) as http:
        fields = {"to": SILENT, "from_": NUMBER, "body": TEXT, **changes}
        return await client(world.twilio, http).messages.create_async(**fields)


async def test_the_librarys_async_client_sends_and_reads_back(world: World) -> None:
    async with Async(world.twilio.server.url) as http:
        api = client(world.twilio, http)
        made = await api.messages.create_async(to=SILENT, from_=NUMBER, body="x" * 161)
        assert (made.status, made.num_segments, made.price, made.price_unit) == ("queued", "2", None, "USD")
        await world.twilio.calls.idle()
        found = await api.messages(made.sid).fetch_async()
        assert (found.status, found.price, found.error_code) == ("delivered", "-0.01580", None)
        listed = await api.messages.list_async(to=SILENT, date_sent=found.date_created)
        assert [one.sid for one in listed] == [made.sid]
        assert await api.messages.list_async(to=PHONE) == []
    assert world.handsets.phone(SILENT).received == 1


async def test_the_librarys_blocking_client_sends_too(world: World) -> None:
    api = client(world.twilio, Sync(world.twilio.server.url))
    made = await asyncio.to_thread(api.messages.create, to=SILENT, from_=NUMBER, body=TEXT)
    assert made.sid.startswith("SM") and len(made.sid) == 34
    assert world.handsets.phone(SILENT).received == 1
    api.http_client.session.close()


WRONG = {
    "no number": ({"to": "12"}, 400, 21211),
    "not ours": ({"from_": "+15005550001"}, 400, 21606),
    "nothing said": ({"body": ""}, 400, 21602),
    "too long": ({"body": "x" * 1601}, 400, 21617),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_twilio_refuses_is_refused(world: World, case: str) -> None:
    changes, status, code = WRONG[case]
    with pytest.raises(TwilioRestException) as caught:
        await sent(world, **changes)
    assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_wrong_token_and_a_message_that_is_none(world: World) -> None:
    async with Async(world.twilio.server.url) as http:
        with pytest.raises(TwilioRestException) as caught:
            await client(world.twilio, http, "wrong").messages.create_async(to=SILENT, from_=NUMBER, body=TEXT)
        assert (caught.value.status, caught.value.code) == (401, 20003)
        with pytest.raises(TwilioRestException) as caught:
            await client(world.twilio, http).messages("SM" + "0" * 32).fetch_async()
        assert (caught.value.status, caught.value.code) == (404, 20404)


async def test_the_librarys_validator_believes_statuses_and_phones_texts(world: World, hook: Hook) -> None:
    made = await sent(world, to=PHONE, status_callback=f"{hook.server.url}/status")
    heard = [await hook.next() for _ in range(3)]
    assert [is_right for _, is_right in heard] == [True] * 3
    statuses = [form["MessageStatus"] for form, _ in heard if "MessageStatus" in form]
    [text] = [form for form, _ in heard if "Body" in form]
    assert statuses == ["sent", "delivered"] and {form["MessageSid"] for form, _ in heard if form != text} == {made.sid}
    assert (text["Body"], text["From"], text["To"]) == ("4821", PHONE, NUMBER)


async def test_a_webhook_is_called_again_until_it_is_taken(world: World, hook: Hook) -> None:
    hook.answers = [503, 500]
    world.handsets.send(PHONE, NUMBER, "YES")
    heard = [(await hook.next())[0]["MessageSid"] for _ in range(3)]
    assert len(set(heard)) == 1
    await world.twilio.calls.idle()
    assert hook.heard.empty()


async def test_after_a_stop_nothing_is_sent_until_a_start(world: World, hook: Hook) -> None:
    world.handsets.send(SILENT, NUMBER, " stop ")
    with pytest.raises(TwilioRestException) as caught:
        await sent(world)
    assert (caught.value.status, caught.value.code) == (400, 21610)
    world.handsets.send(SILENT, NUMBER, "START")
    await sent(world)
    assert world.handsets.phone(SILENT).received == 1


async def test_with_advanced_opt_out_a_webhook_says_what_a_text_was_taken_for(world: World, hook: Hook) -> None:
    for words in ("STOP", "BASTA"):
        world.handsets.send(SILENT, NUMBER, words)
        assert "OptOutType" not in (await hook.next())[0]
        world.handsets.send(SILENT, NUMBER, "START")
        await hook.next()
    world.twilio.opt_out_words = {"BASTA": "STOP", "ALTA": "START", "AYUDA": "HELP"}
    told = {"basta": "STOP", " Cancel ": "STOP", "AYUDA": "HELP", "info": "HELP", "Basta ya": "", "4711": ""}
    for words, kind in told.items():
        world.handsets.send(SILENT, NUMBER, words)
        form, is_right = await hook.next()
        assert (form.get("OptOutType", ""), is_right) == (kind, True), words
    with pytest.raises(TwilioRestException):
        await sent(world)
    world.handsets.send(SILENT, NUMBER, "alta")
    assert (await hook.next())[0]["OptOutType"] == "START"
    await sent(world)


CALLS: dict[tuple[str, str], list[tuple[str, bool]]] = {
    ("status", "never"): [],
    ("status", "twice"): [("sent", True), ("delivered", True), ("delivered", True)],
    ("status", "late"): [("sent", True), ("delivered", True)],
    ("status", "disordered"): [("delivered", True), ("sent", True)],
    ("status", "unsigned"): [("sent", False), ("delivered", False)],
    ("status", "forged"): [("sent", False), ("delivered", False)],
    ("mo", "lost"): [],
    ("mo", "late"): [("YES", True)],
    ("mo", "twice"): [("YES", True), ("YES", True)],
    ("mo", "unsigned"): [("YES", False)],
    ("mo", "forged"): [("YES", False)],
}


@pytest.mark.parametrize(("point", "name"), CALLS)
async def test_webhooks_that_go_wrong(world: World, hook: Hook, point: str, name: str) -> None:
    world.plan.set_for_number(SILENT, f"twilio.{point}", Fault(name=name))
    if point == "mo":
        world.handsets.send(SILENT, NUMBER, "YES")
    else:
        await sent(world, status_callback=f"{hook.server.url}/status")
    await world.twilio.calls.idle()
    heard = [hook.heard.get_nowait() for _ in range(hook.heard.qsize())]
    said = [(form.get("MessageStatus") or form["Body"], is_right) for form, is_right in heard]
    assert said == CALLS[point, name]
