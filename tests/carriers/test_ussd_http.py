"""USSD over HTTP, call by call: what each style says, who may call, and what becomes of nonsense."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as some

from carriers import base
from carriers.ussd import dialled
from carriers.ussd_http.adapter import Settings, UssdChannel
from carriers.ussd_http.style import BODY_BYTES_MAX, Malformed
from tests.carriers.ussd_bench import CODE, MENU, NOW_MS, PHONE, WAIT_S, Sessions, mounted

TOKEN = "00112233445566778899aabbccddeeff"
SECRET = "a-header-that-is-long-enough-to-be-one"
PIN = "738291"
STYLES = ("form", "hubtel", "nalo", "infobip")


class Desk:
    """An adapter on a socket, and a client that calls it."""

    def __init__(self, sessions: Sessions, http: aiohttp.ClientSession, url: str) -> None:
        self.sessions = sessions
        self.url = f"{url}/{TOKEN}"
        self._http = http

    async def call(self, body: object, *, path: str = "", method: str = "POST", **headers: str) -> tuple[int, str]:
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._http.request(method, self.url + path, data=octets, headers=headers) as answer:
            return answer.status, await answer.text()

    async def form(self, text: str, **more: str) -> tuple[int, str]:
        return await self.call(urlencode(a_form(text=text, **more)).encode())

    async def told(self, body: object, **where: str) -> dict[str, Any]:
        status, text = await self.call(body, **where)
        assert status == 200, text
        return dict(json.loads(text))


@asynccontextmanager
async def desk(style: str = "form", **settings: Any) -> AsyncIterator[Desk]:
    chosen = {"path_token": TOKEN, "service_code": CODE if style == "nalo" else "", **settings}
    sessions = Sessions()
    channel = UssdChannel("ussd", Settings(style=style, **chosen), now_ms=lambda: NOW_MS)  # type: ignore[arg-type]
    running = asyncio.create_task(channel.run(sessions))
    async with mounted(channel.routes(sessions)) as url, aiohttp.ClientSession() as http:
        yield Desk(sessions, http, url)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def a_form(**more: str) -> dict[str, str]:
    known = {"sessionId": "ATUid_1", "phoneNumber": PHONE, "networkCode": "63902", "serviceCode": CODE, "text": ""}
    return {**known, **more}


def a_hubtel(kind: str = "Initiation", sequence: int = 1, **more: object) -> dict[str, object]:
    known = {"Type": kind, "Mobile": PHONE[1:], "SessionId": "h1", "ServiceCode": "384", "Message": CODE}
    return {**known, "Operator": "mtn", "Sequence": sequence, "ClientState": "", "Platform": "USSD", **more}


def a_nalo(is_first: bool, typed: str, **more: object) -> dict[str, object]:
    known = {"USERID": "SHOP", "MSISDN": PHONE[1:], "USERDATA": typed, "MSGTYPE": is_first, "NETWORK": "MTN"}
    return {**known, "SESSIONID": "n1", **more}


def an_infobip(text: str, **more: object) -> dict[str, object]:
    return {"msisdn": PHONE[1:], "imsi": "1", "shortCode": CODE, "text": text, "language": None, **more}


async def test_form_text_is_cumulative_and_the_answer_says_whether_it_goes_on() -> None:
    async with desk() as at:
        assert await at.form("") == (200, f"CON {MENU}")
        assert await at.form("1") == (200, "CON 1 typed")
        assert await at.form(f"1*{PIN}") == (200, "CON 2 typed")
        assert await at.form(f"1*{PIN}*0") == (200, "END 3 typed")
        first, *_, last = at.sessions.steps
        assert (first.kind, first.first, first.inputs, first.service_code) == ("begin", 0, (), CODE)
        assert last.first == 0 and last.inputs == tuple(base.Typed(one) for one in ("1", PIN, "0"))
        assert at.sessions.inputs == {"ATUid_1": ["1", PIN, "0"]}


async def test_form_with_get() -> None:
    async with desk(method="GET") as at:
        status, text = await at.call(b"", method="GET", path=f"?{urlencode(a_form(text='1*2'))}")
        assert (status, text) == (200, "CON 2 typed")


async def test_form_a_repeated_step_is_told_the_same() -> None:
    async with desk() as at:
        await at.form("")
        assert await at.form("1") == await at.form("1")
        assert at.sessions.inputs["ATUid_1"] == ["1"]


async def test_form_the_end_notice_ends_and_its_input_is_not_read() -> None:
    async with desk() as at:
        notice = a_form(status="Incomplete", input=f"1*{PIN}", hopsCount="2", durationInMillis="9000")
        del notice["text"]
        assert await at.call(urlencode(notice).encode()) == (200, "")
        [step] = at.sessions.steps
        assert (step.kind, step.inputs) == ("end", ())


async def test_hubtel_numbers_inputs_behind_what_was_dialled() -> None:
    async with desk("hubtel") as at:
        told = await at.told(a_hubtel(Message="*384*1#"))
        assert (told["Type"], told["Message"], told["SessionId"]) == ("response", "1 typed", "h1")
        told = await at.told(a_hubtel("Response", 2, Message="2", ClientState=told["ClientState"]))
        again = await at.told(a_hubtel("Response", 2, Message="2", ClientState=told["ClientState"]))
        assert again == told and told["Message"] == "2 typed"
        told = await at.told(a_hubtel("Response", 3, Message=PIN, ClientState=told["ClientState"]))
        assert (told["Type"], told["Message"]) == ("release", "3 typed")
        assert at.sessions.inputs == {"h1": ["1", "2", PIN]}
        assert [step.first for step in at.sessions.steps] == [0, 1, 1, 2]


@pytest.mark.parametrize("kind", ["Release", "Timeout"])
async def test_hubtel_a_phone_that_is_gone_ends(kind: str) -> None:
    async with desk("hubtel") as at:
        assert (await at.told(a_hubtel(kind, 3)))["Type"] == "release"
        assert at.sessions.ended == {"h1"}


async def test_nalo_says_back_whose_it_is() -> None:
    async with desk("nalo") as at:
        told = await at.told(a_nalo(True, CODE))
        assert told == {"USERID": "SHOP", "MSISDN": PHONE[1:], "MSG": MENU, "MSGTYPE": True}
        for number in (1, 2, 3):
            told = await at.told(a_nalo(False, str(number)))
        assert (told["MSG"], told["MSGTYPE"]) == ("3 typed", False)
        assert [step.first for step in at.sessions.steps] == [None] * 4
        assert at.sessions.steps[0].service_code == CODE


async def test_infobip_has_three_calls() -> None:
    async with desk("infobip") as at:
        told = await at.told(an_infobip("*384*7#"), path="/session/i1/start")
        assert told == {"responseExitCode": 200, "responseMessage": "", "shouldClose": False, "ussdMenu": "1 typed"}
        for method in ("PUT", "POST"):
            told = await at.told(an_infobip(PIN), path="/session/i1/response", method=method)
        assert told["shouldClose"] is True
        for whose in ({}, {"msisdn": PHONE[1:]}):
            assert not at.sessions.ended
            told = await at.told({"exitCode": 510, **whose}, path="/session/i1/end", method="PUT")
            assert told == {"responseExitCode": 200, "responseMessage": ""}
        assert at.sessions.inputs == {"i1": ["7", PIN, PIN]} and at.sessions.ended == {"i1"}


async def test_nobody_without_the_secrets_is_heard() -> None:
    async with desk(header="X-Caller", header_secret=SECRET) as at:
        body = urlencode(a_form()).encode()
        assert (await at.call(body, **{"X-Caller": SECRET}))[0] == 200
        assert (await at.call(body))[0] == 403
        assert (await at.call(body, **{"X-Caller": SECRET[:-1]}))[0] == 403
        at.url = at.url[:-1] + "0"
        assert (await at.call(body, **{"X-Caller": SECRET}))[0] == 403
        assert len(at.sessions.steps) == 1


async def test_a_header_alone_is_proof() -> None:
    async with desk(path_token="", header="X-Caller", header_secret=SECRET) as at:
        at.url = at.url.removesuffix(TOKEN)
        assert (await at.call(urlencode(a_form()).encode(), **{"X-Caller": SECRET}))[0] == 200
        assert (await at.call(urlencode(a_form()).encode(), **{"X-Caller": "ø"}))[0] == 403


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({}, "path_token: needed"),
        ({"path_token": "ab12"}, "path_token: expected 32"),
        ({"header": "X-Caller"}, "both header and header_secret"),
        ({"header": "X-Caller", "header_secret": "short"}, "header_secret: expected 32"),
        ({"path_token": TOKEN, "style": "nalo"}, "service_code: needed"),
        ({"path_token": TOKEN, "style": "hubtel", "method": "GET"}, "method: GET"),
        ({"path_token": TOKEN, "gsm_units_max": 183}, "gsm_units_max: expected 40 to 182"),
        ({"path_token": TOKEN, "sorry_text": "x" * 161}, "sorry_text: expected at most 160"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        Settings(**{"style": "form", **settings})


BAD_FORMS = {
    "nothing": b"",
    "no text": urlencode({key: value for key, value in a_form().items() if key != "text"}).encode(),
    "a field twice": urlencode(a_form()).encode() + b"&text=1",
    "too many fields": b"&".join(b"a%d=1" % number for number in range(40)),
    "no UTF-8": urlencode(a_form()).encode() + b"%ff",
    "a raw octet": urlencode(a_form()).encode() + b"\xff",
    "huge": urlencode(a_form()).encode() + b"9" * BODY_BYTES_MAX,
    "a long text": urlencode(a_form(text="1" * 3_000)).encode(),
    "many inputs": urlencode(a_form(text="*" * 200)).encode(),
    "no phone": urlencode(a_form(phoneNumber="254")).encode(),
    "no code": urlencode(a_form(serviceCode="#")).encode(),
    "no session": urlencode(a_form(sessionId="")).encode(),
    "an odd session": urlencode(a_form(sessionId="a\nb")).encode(),
    "a long session": urlencode(a_form(sessionId="a" * 129)).encode(),
    "NUL": urlencode(a_form(text=f"{PIN}\0")).encode(),
}
BAD_JSON: dict[str, object] = {
    "nothing": b"",
    "a list": [],
    "nesting": b'{"a":' + b"[" * 8_000 + b"]" * 8_000 + b"}",
    "a field twice": b'{"Type":"Response","Type":"Release"}',
    "huge": b'{"a":"' + b"9" * BODY_BYTES_MAX + b'"}',
    "no number": b'{"Sequence":NaN}',
    "half a pair": a_hubtel("Response", 2, Message="\ud800"),
    "an object": a_hubtel("Response", 2, Message={"a": PIN}),
    "an endless number": b'{"Type":"Response","SessionId":' + b"9" * 400 + b"}",
    "another type": a_hubtel("Pay"),
    "no sequence": a_hubtel("Response", 0),
    "a true sequence": a_hubtel("Response", True),
    "no state": a_hubtel("Response", 2, ClientState="-1"),
    "another state": a_hubtel("Response", 2, ClientState="²"),
}


@pytest.mark.parametrize("name", BAD_FORMS)
async def test_a_form_that_makes_no_sense_is_refused_in_words(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as at:
        status, text = await at.call(BAD_FORMS[name])
        assert status == 400 and "expected" in text
        assert at.sessions.steps == [] and PIN not in text + caplog.text


@pytest.mark.parametrize("name", BAD_JSON)
async def test_json_that_makes_no_sense_is_refused_in_words(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with desk("hubtel") as at:
        status, text = await at.call(BAD_JSON[name])
        assert status == 400 and "expected" in text
        assert at.sessions.steps == [] and PIN not in text + caplog.text


async def test_other_json_styles_refuse_too() -> None:
    async with desk("nalo") as at:
        assert (await at.call(a_nalo(True, CODE, MSGTYPE="true")))[0] == 400
        assert (await at.call(a_nalo(True, CODE, SESSIONID=None)))[0] == 400
    async with desk("infobip") as at:
        assert (await at.call(an_infobip("1", shortCode="x"), path="/session/i1/start"))[0] == 400
        assert (await at.call(an_infobip("1"), path=f"/session/{quote('a/b', safe='')}/start"))[0] == 400


async def test_too_late_an_answer_is_an_apology_and_nothing_is_lost() -> None:
    async with desk(answer_timeout_s=0.05) as at:
        at.sessions.gate.clear()
        status, text = await at.form("1")
        assert status == 200 and text.startswith("END Sorry")
        at.sessions.gate.set()
        step, ending = await at.sessions.until(2)
        assert at.sessions.inputs == {"ATUid_1": ["1"]}
        # The phone was told that it is over, so it is.
        assert (step.kind, ending.kind, ending.inputs) == ("input", "end", ())


async def test_without_room_the_person_is_told_and_an_end_is_told_again() -> None:
    async with desk(steps_max=1, answer_timeout_s=WAIT_S) as at:
        at.sessions.gate.clear()
        entered = asyncio.Event()
        at.sessions.on_step = entered.set
        waiting = asyncio.create_task(at.form(""))
        await entered.wait()
        assert (await at.form("", sessionId="other"))[1].startswith("END Sorry")
        at.sessions.gate.set()
        assert await waiting == (200, f"CON {MENU}")
        at.sessions.troubles.append(base.Overloaded())
        notice = a_form(status="Success")
        del notice["text"]
        assert (await at.call(urlencode(notice).encode()))[0] == 503


@pytest.mark.parametrize(
    ("style", "body", "path", "field"),
    [
        ("hubtel", a_hubtel("Response", 2, Message=PIN), "", "Message"),
        ("nalo", a_nalo(False, PIN), "", "MSG"),
        ("infobip", an_infobip(PIN), "/session/i1/response", "ussdMenu"),
    ],
)
async def test_a_failing_store_is_an_apology_in_every_style_and_no_log_shows_what_was_typed(
    style: str, body: dict[str, object], path: str, field: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with desk(style) as at:
        at.sessions.troubles.append(ValueError(f"cannot store {PIN}"))
        told = await at.told(body, path=path)
        assert str(told[field]).startswith("Sorry")
        assert told.get("Type", "release") == "release" and not told.get("MSGTYPE") and told.get("shouldClose", True)
        assert "ValueError" in caplog.text and PIN not in caplog.text


@pytest.mark.parametrize("text", ["x" * 161, "€" * 81, "錢" * 81])
async def test_a_screen_that_is_too_long_is_not_cut_but_reported(text: str, caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as at:
        at.sessions.menu = text
        assert (await at.form(""))[1].startswith("END Sorry")
        assert "was not sent: expected at most" in caplog.text
        assert [step.kind for step in await at.sessions.until(2)] == ["begin", "end"]


@pytest.mark.parametrize("text", ["x" * 160, "€" * 80, "錢" * 80])
async def test_a_screen_that_just_fits_is_shown(text: str) -> None:
    async with desk() as at:
        at.sessions.menu = text
        assert await at.form("") == (200, f"CON {text}")


async def test_nothing_is_pushed() -> None:
    channel = UssdChannel("ussd", Settings(style="form", path_token=TOKEN), now_ms=lambda: NOW_MS)
    assert channel.is_up() and not channel.pushes
    result = await channel.push(base.UssdAsk(id="1", msisdn=PHONE, text="Pay?"))
    assert isinstance(result, base.Refused) and not result.retryable


PUSHES: dict[str, Any] = {
    "push_url": "http://aggregator.example/push",
    "callback_base_url": "https://gateway.example",
    "service_code": CODE,
}


def test_a_push_needs_an_address_of_ours_and_what_was_dialled() -> None:
    assert UssdChannel("ussd", Settings(style="form", path_token=TOKEN, **PUSHES), now_ms=lambda: NOW_MS).pushes
    with pytest.raises(ValueError, match=r"service_code: needed.*callback_base_url: expected http"):
        Settings(style="form", path_token=TOKEN, push_url=PUSHES["push_url"])
    for wrong, why in ({"push_header": "X-Key"}, "push_header and push_secret"), ({"push_url": "ftp://a"}, "push_url"):
        with pytest.raises(ValueError, match=why):
            Settings(style="form", path_token=TOKEN, **{**PUSHES, **wrong})


async def test_whoever_does_not_know_the_token_answers_no_push() -> None:
    async with desk(**PUSHES) as at:
        status, _ = await at.call(b"", path="x/push/msg_1-0.0")
        assert status in (403, 404) and at.sessions.steps == []
        form = urlencode(a_form(text="3947")).encode()
        assert (await at.call(form, path="/push/msg_1-0.0"))[0] == 200
        assert [step.session_id for step in at.sessions.steps] == ["msg_1-0.0"]


async def test_a_push_that_cannot_leave_is_refused() -> None:
    closed = {**PUSHES, "push_url": "http://127.0.0.1:1/push"}
    channel = UssdChannel("ussd", Settings(style="form", path_token=TOKEN, **closed), now_ms=lambda: NOW_MS)
    result = await channel.push(base.UssdAsk(id="1", msisdn=PHONE, text="Pay?"))
    assert isinstance(result, base.Refused) and result.code == "not_sent"


@pytest.mark.parametrize(
    ("text", "code", "inputs"),
    [
        ("*384#", "*384#", ()),
        ("*384*1*2#", "*384#", ("1", "2")),
        ("*384*5*1#", "*384*5#", ("1",)),
        ("384*1", "384", ("1",)),
        ("*3841#", "*384#", ()),
        ("hello", "*384#", ()),
        ("", "*384#", ()),
        ("*384*#", "*384#", ("",)),
    ],
)
def test_what_was_dialled_behind_the_code(text: str, code: str, inputs: tuple[str, ...]) -> None:
    assert dialled(text, code) == inputs


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS: tuple[str, ...] = (
    "sessionId",
    "text",
    "Type",
    "SessionId",
    "Mobile",
    "Message",
    "ServiceCode",
    "Sequence",
    "ClientState",
)
FIELDS += ("MSISDN", "MSGTYPE", "USERDATA", "USERID", "SESSIONID", "msisdn", "shortCode", "phoneNumber", "serviceCode")
BODIES = (
    some.binary(max_size=200)
    | some.dictionaries(some.sampled_from(FIELDS), JSON).map(lambda found: json.dumps(found).encode())
    | some.dictionaries(some.sampled_from(FIELDS), some.text()).map(
        lambda found: urlencode(found, errors="surrogatepass").encode()
    )
)


@pytest.mark.parametrize("style", STYLES)
@given(body=BODIES, place=some.lists(some.text(max_size=5), max_size=4))
def test_no_body_raises_anything_but_that_it_makes_no_sense(style: str, body: bytes, place: list[str]) -> None:
    settings = Settings(style=style, path_token=TOKEN, service_code=CODE)  # type: ignore[arg-type]
    channel = UssdChannel("ussd", settings, now_ms=lambda: NOW_MS)
    request = base.Request(method="POST", path="/", query={}, headers={}, body=body)
    with contextlib.suppress(Malformed):
        call = channel._style.read(request, place)
        assert call.session_id and (call.msisdn or call.kind == "end")
