"""The Twilio bearer: the common suite against the simulator's socket, every knob of it, and what answers prove."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import msgspec
import pytest

from carriers import base
from carriers.twilio.adapter import Settings
from carriers.twilio.judgement import Resource as Made
from carriers.twilio.judgement import billed_in, judge_submit
from gateway.http_client import HttpAnswer
from simulators.faults import FAULTS
from simulators.twilio_wire import Refusal
from tests.carriers.conformance import WAIT_S, BearerConformance, an_ask
from tests.carriers.twilio_bench import HASTY_S, NOW_MS, PhonesBench, phones, running

SILENT = "+254712345002"
SID = "SM" + "0" * 32


@pytest.fixture
async def bench() -> AsyncIterator[PhonesBench]:
    async with phones() as opened:
        yield opened


class TestBearer(BearerConformance):
    """What every bearer does; `bench` is the module's."""


def word(result: base.SubmitResult) -> str:
    match result:
        case base.Submitted():
            return "submitted"
        case base.Unknown():
            return "unknown"
        case base.Refused():
            return f"refused {result.code}" + (", later" if result.retryable else "")


def a_text(text: str = "PAID KES 1,250.00", **changes: object) -> base.Mt:
    return msgspec.structs.replace(base.Mt(id="msg_1", msisdn=SILENT, text=text), **changes)


class Knob(NamedTuple):
    answer: str
    texts: int
    """That reached the phone."""
    end: str
    """What is heard of it at last; empty: nothing."""


SUBMIT_KNOBS = {
    "rate_limited": Knob("refused 20429, later", 0, ""),
    "queue_full": Knob("refused 21611, later", 0, ""),
    "unauthorized": Knob("refused 20003, later", 0, ""),
    "invalid_number": Knob("refused 21211", 0, ""),
    "landline": Knob("refused 21614", 0, ""),
    "opted_out": Knob("refused opted_out", 0, ""),
    "opted_out_late": Knob("submitted", 0, "undeliverable failed 21610"),
    "undeliverable": Knob("submitted", 0, "undeliverable undelivered 30005"),
    "failed": Knob("submitted", 0, "undeliverable failed 30008"),
    "error_before": Knob("unknown", 0, ""),
    "error_after": Knob("unknown", 1, "delivered delivered"),
    "timeout_lost": Knob("unknown", 0, ""),
    "no_response": Knob("unknown", 1, "delivered delivered"),
    "garbage": Knob("unknown", 1, "delivered delivered"),
    "reset": Knob("unknown", 1, "delivered delivered"),
    "slow": Knob("submitted", 1, "delivered delivered"),
    "receipt_first": Knob("submitted", 1, "delivered delivered"),
}
HANGS = ("timeout_lost", "no_response")


@pytest.mark.parametrize("name", SUBMIT_KNOBS)
async def test_a_text_that_meets_a_fault(bench: PhonesBench, name: str) -> None:
    knob = SUBMIT_KNOBS[name]
    bench.strike("submit", name)
    async with running(bench, bench.a_bearer(timeout_s=HASTY_S if name in HANGS else WAIT_S)) as bearer:
        result = await bearer.submit(a_text())
        assert word(result) == knob.answer
        # Whatever was answered, one request left: nothing is repeated here or by the library.
        assert bench.twilio._journal.counts["submit"] == 1
        found = await bench.quiet()
        assert bench.handsets.phone(SILENT).received == knob.texts
        heard = [f"{one.state} {one.detail}" for one in found if isinstance(one, base.Receipt)]
        assert heard == ([knob.end] if knob.end else [])
        stops = [one.opted_out for one in found if isinstance(one, base.Receipt)]
        assert [stop for stop in stops if stop] == ([SILENT] if name == "opted_out_late" else [])
        assert bearer.is_up() == (not knob.answer.endswith("later"))


STATUS_KNOBS = {
    "never": ([], []),
    "twice": (["sent"], ["delivered", "delivered"]),
    "late": (["sent"], ["delivered"]),
    "disordered": (["sent"], ["delivered"]),
    "unsigned": ([], []),
    "forged": ([], []),
}
MO_KNOBS = {"twice": 2, "lost": 0, "late": 1, "unsigned": 0, "forged": 0}
FETCH_KNOBS = {
    "error_before": None,
    "timeout_lost": None,
    "garbage": None,
    "unpriced": base.Billed(segments=1),
}


def test_every_knob_is_tried() -> None:
    tried = {
        "submit": SUBMIT_KNOBS.keys(),
        "status": STATUS_KNOBS.keys(),
        "mo": MO_KNOBS.keys(),
        "fetch": FETCH_KNOBS.keys(),
    }
    assert {point: FAULTS[f"twilio.{point}"] for point in tried} == tried


@pytest.mark.parametrize("name", STATUS_KNOBS)
async def test_statuses_that_go_wrong(bench: PhonesBench, name: str) -> None:
    bench.strike("status", name)
    assert word(await bench.bearer.submit(a_text())) == "submitted"
    ends = [one.state for one in await bench.quiet() if isinstance(one, base.Receipt)]
    assert ([one.detail for one in bench.steps], ends) == STATUS_KNOBS[name]


@pytest.mark.parametrize("name", MO_KNOBS)
async def test_phones_texts_that_go_wrong(bench: PhonesBench, name: str) -> None:
    bench.strike("mo", name)
    bench.handsets.send(SILENT, bench.twilio.settings.numbers[0], "ndiyo 4711 \N{SMILING FACE WITH SUNGLASSES}")
    heard = [one for one in await bench.quiet() if isinstance(one, base.Mo)]
    assert [one.text for one in heard] == ["ndiyo 4711 \N{SMILING FACE WITH SUNGLASSES}"] * MO_KNOBS[name]
    # By this name the gateway knows one that comes again.
    assert len({one.provider_id for one in heard}) == min(1, len(heard))


@pytest.mark.parametrize("name", [None, *FETCH_KNOBS])
async def test_what_a_text_costs_is_asked_once_it_has_its_end(bench: PhonesBench, name: str | None) -> None:
    if name is not None:
        bench.strike("fetch", name)
    made = await bench.bearer.submit(a_text("x" * 160))
    assert isinstance(made, base.Submitted)
    assert (made.segments, made.billed) == (1, base.Billed(segments=1))
    [receipt] = await bench.quiet()
    assert isinstance(receipt, base.Receipt)
    priced = base.Billed(segments=1, price="0.00790 USD")
    assert receipt.billed == (priced if name is None else FETCH_KNOBS[name])


async def test_after_a_refusal_of_the_account_nothing_is_sent_for_a_while(bench: PhonesBench) -> None:
    bench.strike("submit", "unauthorized")
    assert word(await bench.bearer.submit(a_text())) == "refused 20003, later"
    paused = await bench.bearer.submit(a_text())
    assert isinstance(paused, base.Refused) and paused.code == "paused" and 0 < paused.retry_after_s <= 0.05
    bench.up.clear()
    await asyncio.wait_for(bench.up.wait(), WAIT_S)
    assert word(await bench.bearer.submit(a_text())) == "submitted"


async def test_how_long_twilio_wants_to_be_left_alone_counts(bench: PhonesBench) -> None:
    bench.strike("submit", "rate_limited")
    refused = await bench.bearer.submit(a_text())
    assert isinstance(refused, base.Refused) and refused.retry_after_s == 1.0


async def test_a_connection_that_never_comes_about_sends_nothing(bench: PhonesBench) -> None:
    """Who listens and says nothing lets TLS wait: no byte of the text has left."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        secure = f"https://127.0.0.1:{mute.getsockname()[1]}"
        async with running(bench, bench.a_bearer(base_url=secure, timeout_s=HASTY_S)) as bearer:
            assert word(await bearer.submit(a_text())) == "refused not_sent, later"


async def test_what_is_under_way_ends_before_the_session_is_closed(bench: PhonesBench) -> None:
    bench.strike("submit", "slow")
    sending = asyncio.create_task(bench.bearer.submit(a_text()))
    await bench.handsets.wait_for_texts(SILENT, 1, WAIT_S)
    bench.running.cancel()
    assert word(await sending) == "submitted"
    assert word(await bench.bearer.submit(a_text())) == "refused down, later"


async def test_what_is_asked_of_twilio(bench: PhonesBench, monkeypatch: pytest.MonkeyPatch) -> None:
    forms: list[Mapping[str, str]] = []
    refusal = bench.twilio._refusal

    def noted(form: Mapping[str, str], fault: str) -> Refusal | None:
        forms.append(form)
        return refusal(form, fault)

    monkeypatch.setattr(bench.twilio, "_refusal", noted)
    # Nobody's shell sends our texts through another region.
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    await bench.bearer.submit(a_text("Ask", valid_until_ms=NOW_MS + 90_500))
    await bench.bearer.submit(a_text("Result", want_receipt=False))
    await bench.bearer.submit(a_text("Ask", valid_until_ms=NOW_MS + 10**9, want_receipt=False))
    common = {"To": SILENT, "From": bench.twilio.settings.numbers[0]}
    assert forms == [
        common | {"Body": "Ask", "StatusCallback": bench.address("status"), "ValidityPeriod": "90"},
        common | {"Body": "Result"},
        common | {"Body": "Ask", "ValidityPeriod": "36000"},
    ]
    for text in (a_text("x" * 1601), a_text(valid_until_ms=NOW_MS)):
        assert word(await bench.bearer.submit(text)) in ("refused too_long", "refused expired")
    assert len(forms) == 3


def test_a_messaging_service_chooses_the_sender() -> None:
    account = {"account_sid": "AC" + "0" * 32, "auth_token": "secret", "callback_base_url": "https://pay.example"}
    assert msgspec.convert({**account, "sender": "MG" + "0" * 32}, Settings).is_service
    assert not msgspec.convert({**account, "sender": "MGM Pay"}, Settings).is_service


async def test_no_number_and_no_code_lies_in_a_trace_or_the_log(
    bench: PhonesBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = await bench.bearer.submit(an_ask(bench, "4711"))
    heard = await bench.quiet()
    bench.strike("submit", "opted_out")
    refused = await bench.bearer.submit(an_ask(bench, "4712"))
    traces = [one.trace for one in (made, refused, *heard, *bench.steps)]
    assert len(traces) == 5
    said = b"\n".join(half for trace in traces if trace is not None for half in (trace.sent, trace.received)).decode()
    assert all(secret not in said + caplog.text for secret in (bench.msisdn[1:], "712345100", "4711", "4712"))
    assert bench.twilio.settings.auth_token not in said.replace("%", "") + caplog.text
    assert "To=%2B************&Body=ASHA+asks+KES+1%2C250.00+for+goats.+To+PAY+reply+****" in said
    assert "Body=****" in said and '"code":21610' in said and "recipient +************" in said
    assert isinstance(made, base.Submitted) and made.message_ids[0] in said


ANSWERS = {
    (201, f'{{"sid": "{SID}"}}'): "submitted",
    (200, f'{{"sid": "{SID}", "num_segments": "1"}}'): "submitted",
    (201, '{"sid": "SM1"}'): "unknown",
    (201, "{}"): "unknown",
    (201, "[" * 2000): "unknown",
    (302, ""): "unknown",
    (400, '{"code": 21211}'): "refused 21211",
    (400, '{"code": "21211"}'): "unknown",
    (400, "<html>"): "unknown",
    (401, '{"code": 20003}'): "refused 20003, later",
    (403, '{"code": 20005}'): "refused 20005, later",
    (404, '{"code": 20404}'): "refused 20404",
    (408, '{"code": 20408}'): "unknown",
    (409, '{"code": 20409}'): "unknown",
    (429, ""): "refused 429, later",
    (500, '{"code": 21610}'): "unknown",
    (503, ""): "unknown",
}


@pytest.mark.parametrize(("status", "body"), ANSWERS)
def test_what_an_answer_proves(status: int, body: str) -> None:
    judged = judge_submit(HttpAnswer(status, {"retry-after": "soon"}, body.encode()), "Text", 5.0)
    assert word(judged) == ANSWERS[status, body]
    assert not isinstance(judged, base.Refused) or judged.retry_after_s == 5.0


BILLS = {
    ("2", "-0.01580", "usd"): base.Billed(segments=2, price="0.01580 USD"),
    ("0", None, "USD"): None,
    ("1", "free", "USD"): base.Billed(segments=1),
    ("1", "-0.1", None): base.Billed(segments=1),
    ("many", "1e9", "USD"): None,
    (None, None, None): None,
}


@pytest.mark.parametrize(("segments", "price", "unit"), BILLS)
def test_what_a_text_is_said_to_cost(segments: str | None, price: str | None, unit: str | None) -> None:
    assert billed_in(Made(sid=SID, num_segments=segments, price=price, price_unit=unit)) == BILLS[segments, price, unit]
