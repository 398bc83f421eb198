"""Who may call the Twilio bearer, and what calls are answered: one that is odd in any way is refused, with 403."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from multidict import CIMultiDict
from twilio.request_validator import RequestValidator

from carriers import base
from carriers.twilio.inbound import Door, mo_of, receipt_of
from simulators.twilio_wire import signature
from tests.carriers.twilio_bench import PhonesBench, phones

PHONE = "+254712345100"
SID = "SM" + "ab" * 16
TOKEN = "secret"
ACCOUNT = "AC" + "5" * 32
TEXT = {"AccountSid": ACCOUNT, "MessageSid": SID, "From": PHONE, "To": "+15005550006", "Body": "4711"}
DONE = {"AccountSid": ACCOUNT, "MessageSid": SID, "MessageStatus": "sent", "To": PHONE}
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

Call = tuple[Any, Any]  # Any: a body and headers, as aiohttp takes them.


@pytest.fixture
async def bench() -> AsyncIterator[PhonesBench]:
    async with phones() as opened:
        assert (opened.twilio.settings.account_sid, opened.twilio.settings.auth_token) == (ACCOUNT, TOKEN)
        yield opened


def rightly(bench: PhonesBench, form: dict[str, str], **headers: str) -> Call:
    return form, {**bench.signed("incoming", form), **headers}


def twice(bench: PhonesBench) -> Call:
    right = bench.signed("incoming", TEXT)["X-Twilio-Signature"]
    return TEXT, CIMultiDict([("X-Twilio-Signature", right), ("X-Twilio-Signature", right)])


def repeated_parameter(bench: PhonesBench) -> Call:
    """Twilio's own validator would take it: it looks at each value once."""
    return urlencode([*TEXT.items(), ("From", PHONE)]), {**bench.signed("incoming", TEXT), "Content-Type": FORM}


def forwarded(bench: PhonesBench) -> Call:
    elsewhere = signature(TOKEN, "https://pay.example/callbacks/acme/incoming", TEXT)
    seen = {"X-Forwarded-Host": "pay.example", "X-Forwarded-Proto": "https", "Host": "pay.example"}
    return TEXT, {**seen, "X-Twilio-Signature": elsewhere}


def as_json(bench: PhonesBench) -> Call:
    signed = RequestValidator(TOKEN).compute_signature(bench.address("incoming"), {})
    return json.dumps(TEXT), {"X-Twilio-Signature": signed, "Content-Type": JSON}


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in TEXT.items() if key != name}


REFUSED: dict[str, Callable[[PhonesBench], Call]] = {
    "unsigned": lambda bench: (TEXT, {}),
    "signed with nothing": lambda bench: (TEXT, {"X-Twilio-Signature": ""}),
    "signed with another token": lambda bench: (
        TEXT,
        {"X-Twilio-Signature": signature("other", bench.address("incoming"), TEXT)},
    ),
    "signed for another address": lambda bench: (TEXT, bench.signed("status", TEXT)),
    "signed for what a proxy says": forwarded,
    "signed for other words": lambda bench: (TEXT | {"Body": "4712"}, bench.signed("incoming", TEXT)),
    "signed with no ASCII": lambda bench: (TEXT, {"X-Twilio-Signature": "sign\xe9"}),
    "signed twice": twice,
    "another account": lambda bench: rightly(bench, TEXT | {"AccountSid": "AC" + "0" * 32}),
    "no account": lambda bench: rightly(bench, without("AccountSid")),
    "no message": lambda bench: rightly(bench, without("MessageSid")),
    "an odd message": lambda bench: rightly(bench, TEXT | {"MessageSid": "SM1"}),
    "a parameter twice": repeated_parameter,
    "an odd parameter": lambda bench: rightly(bench, TEXT | {"From+2": ""}),
    "many parameters": lambda bench: rightly(bench, TEXT | {f"P{number}": "" for number in range(200)}),
    "no UTF-8": lambda bench: (
        urlencode(TEXT) + "&Zip=%ff",
        {**bench.signed("incoming", TEXT), "Content-Type": FORM},
    ),
    "no body": lambda bench: (b"", {**bench.signed("incoming", {}), "Content-Type": FORM}),
    "JSON without its hash": as_json,
    "of no kind": lambda bench: rightly(bench, TEXT, **{"Content-Type": "text/plain"}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_call_that_does_not_prove_whose_it_is_is_refused(bench: PhonesBench, case: str) -> None:
    form, headers = REFUSED[case](bench)
    assert await bench.call("incoming", form, headers=headers) == 403
    assert await bench.quiet() == []
    assert bench.bearer.counts().rejected == 1


async def test_a_query_is_refused_even_where_it_is_signed(bench: PhonesBench) -> None:
    """Of the hash of a JSON body, too: texts come as forms."""
    place = "incoming?bodySHA256=" + RequestValidator(TOKEN).compute_hash(json.dumps(TEXT))
    signed = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(bench.address(place), {})}
    assert await bench.call(place, json.dumps(TEXT), headers={**signed, "Content-Type": JSON}) == 403
    form = {"X-Twilio-Signature": signature(TOKEN, bench.address("incoming?x=1"), TEXT)}
    assert await bench.call("incoming?x=1", TEXT, headers=form) == 403
    assert await bench.quiet() == []


async def test_a_call_is_answered_with_no_words_once_it_was_taken(bench: PhonesBench) -> None:
    more = TEXT | {"FromCity": "", "Body": "Ndiyo & «4711» +1"}
    signed = bench.signed("incoming", more) | {"Content-Type": f"{FORM}; charset=UTF-8"}
    bench.refusals = 1
    assert await bench.call("incoming", urlencode(more), headers=signed) == 503
    async with bench.http.post(bench.address("incoming"), data=urlencode(more), headers=signed) as answer:
        assert (answer.status, answer.content_type) == (200, "text/xml")
        assert (await answer.text()).endswith("<Response></Response>")
    [text] = await bench.quiet()
    assert isinstance(text, base.Mo)
    assert (text.carrier, text.msisdn, text.to, text.text) == ("acme", PHONE, "+15005550006", more["Body"])
    assert text.provider_id == SID
    assert bench.bearer.counts().put_off == bench.bearer.counts().received == 1


async def test_a_text_from_no_phone_is_taken_and_goes_nowhere(bench: PhonesBench) -> None:
    for sender in ("22345", "whatsapp:+254712345100", ""):
        form = TEXT | {"From": sender}
        assert await bench.call("incoming", form, headers=bench.signed("incoming", form)) == 200
    assert await bench.quiet() == []
    assert bench.bearer.counts().rejected == 3


async def test_nothing_is_taken_before_somebody_listens(bench: PhonesBench) -> None:
    fresh = bench.a_bearer()
    [incoming, status] = fresh.routes()
    for route, form in ((incoming, TEXT), (status, DONE)):
        headers = {"content-type": FORM, "x-twilio-signature": signature(TOKEN, bench.address(route.path[1:]), form)}
        body = urlencode(form).encode()
        called = base.Request(method="POST", path=route.path, query={}, headers=headers, body=body)
        assert (await route.answer(called)).status == 503
        # In a process that does not keep the link, too.
        fresh.listen(bench.sink)
        assert (await route.answer(called)).status == 200
        fresh._sink = None
    assert len(await bench.quiet()) == len(bench.steps) == 1


@pytest.mark.parametrize(
    ("said", "taken_as"),
    [("STOP", "stop"), ("START", "start"), ("HELP", "help"), ("", ""), ("stop", ""), ("OPT_OUT", ""), (None, "")],
)
async def test_what_twilio_took_a_text_for_is_handed_on(bench: PhonesBench, said: str | None, taken_as: str) -> None:
    form = TEXT | {"Body": "BASTA"} | ({} if said is None else {"OptOutType": said})
    assert await bench.call("incoming", form, headers=bench.signed("incoming", form)) == 200
    [text] = await bench.quiet()
    assert isinstance(text, base.Mo)
    assert (text.text, text.taken_as) == ("BASTA", taken_as)


STATUSES = {
    "queued": "pending",
    "sending": "pending",
    "sent": "pending",
    "accepted": "pending",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undeliverable",
    "failed": "undeliverable",
    "canceled": "undeliverable",
    "of_tomorrow": "pending",
    "": "pending",
}


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_status_means(status: str) -> None:
    read = receipt_of(DONE | {"MessageStatus": status}, "/status", "acme", 7, None)
    assert (read.state, read.detail, read.message_ids) == (STATUSES[status], status, (SID,))
    assert (read.read_at_ms, read.opted_out) == (7, None)


@pytest.mark.parametrize(
    ("status", "code", "to", "stop"),
    [
        ("failed", "21610", PHONE, PHONE),
        ("undelivered", "21610", PHONE, PHONE),
        ("failed", "30008", PHONE, None),
        ("sent", "21610", PHONE, None),
        ("failed", "21610", "client:asha", None),
    ],
)
def test_a_status_may_be_a_stop(status: str, code: str, to: str, stop: str | None) -> None:
    form = DONE | {"MessageStatus": status, "ErrorCode": code, "To": to}
    assert receipt_of(form, "/status", "acme", 7, None).opted_out == stop


ADDRESSES = [
    ("https://pay.example/cb", "https://pay.example/cb", True),
    ("https://pay.example/cb", "https://pay.example:443/cb", True),
    ("https://pay.example:8443/cb", "https://pay.example/cb", True),
    ("https://pay.example:8443/cb", "https://pay.example:8443/cb", True),
    ("http://pay.example/cb", "http://pay.example:80/cb", True),
    ("https://pay.example/cb", "http://pay.example/cb", False),
    ("https://pay.example/cb", "https://pay.example/cb/", False),
]


@pytest.mark.parametrize(("ours", "signed", "is_right"), ADDRESSES)
def test_twilio_signs_with_the_port_or_without(ours: str, signed: str, is_right: bool) -> None:
    headers = {"content-type": FORM, "x-twilio-signature": signature(TOKEN, signed, TEXT)}
    called = base.Request(method="POST", path="/cb", query={}, headers=headers, body=urlencode(TEXT).encode())
    assert Door(ours, ACCOUNT, TOKEN).form(called) == (TEXT if is_right else None)


def test_a_code_in_any_script_is_masked() -> None:
    text = mo_of(TEXT | {"Body": "٤٧١١ or 47 11"}, "/incoming", "acme", 7)
    assert text is not None and text.trace is not None
    assert b"Body=****+or+**+**" in text.trace.received and b"From=%2B************" in text.trace.received
