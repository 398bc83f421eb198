"""USSD over SMPP, octet by octet: golden PDUs of both dialects typed from the specification, and hostile ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from carriers import base
from carriers.smpp.wire.pdu import Pdu
from carriers.ussd_smpp.adapter import Settings, UssdChannel
from carriers.ussd_smpp.dialect import Dialog, read
from carriers.ussd_smpp.dialogs import Dialogs
from tests.carriers.ussd_bench import MENU, NOW_MS, PHONE, WAIT_S, Sessions


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


# SMPP 3.4 §4.1.5, §4.1.6: the bind and its answer without TLVs; the sequence number is 1.
BIND = octets("00000022 00000009 00000000 000000017061796777 00736563726574000034 00 00 00")
BIND_RESP = octets("00000015 80000009 00000000 00000001534d534300")

# service_type "USSD", a phone, "*385#", esm_class to registered_delivery, replace_if_present, data_coding, no default.
HEAD = "55535344000101 323534373132333435313030000001 2a3338352300000000 00 00 00 00 00 00"
# The other way: from "*385#" to the phone.
BACK = "55535344000001 2a33383523000101 32353437313233343531303000000000 00 00 00 00 00 00"
MENU_TEXT = "0c 31205061790a322048656c70"  # "1 Pay\n2 Help"
OVER_TEXT = "07 33207479706564"  # "3 typed"

# its_session_info 0x1383 is the dialog's id 0x1234 times two, with the lowest bit for the end.
A = {
    "new": octets("00000048 00000005 00000000 00000007" + HEAD + "07 2a3338352a312305010001 0113830002 2468"),
    "plain": octets("00000046 00000005 00000000 00000008" + HEAD + "05 2a3338352305010001 0113830002 2468"),
    "typed": octets("00000045 00000005 00000000 00000009" + HEAD + "04 3733383205010001 1213830002 2468"),
    "abort": octets("00000041 00000005 00000000 0000000a" + HEAD + "0005010001 8113830002 2469"),
    "ask": octets("0000004d 00000004 00000000 00000002" + BACK + MENU_TEXT + "05010001 0213830002 2468"),
    "end": octets("00000048 00000004 00000000 00000004" + BACK + OVER_TEXT + "05010001 1713830002 2469"),
}
# user_message_reference 0x0204 is the id itself.
B = {
    "new": octets("00000048 00000005 00000000 00000007" + HEAD + "07 2a3338352a312305010001 0102040002 1234"),
    "plain": octets("00000046 00000005 00000000 00000008" + HEAD + "05 2a3338352305010001 0102040002 1234"),
    "typed": octets("00000045 00000005 00000000 00000009" + HEAD + "04 3733383205010001 1202040002 1234"),
    "abort": octets("00000041 00000005 00000000 0000000a" + HEAD + "0005010001 8102040002 1234"),
    "ask": octets("0000004d 00000004 00000000 00000002" + BACK + MENU_TEXT + "05010001 0202040002 1234"),
    "end": octets("00000048 00000004 00000000 00000004" + BACK + OVER_TEXT + "05010001 1702040002 1234"),
}
GOLDEN = pytest.mark.parametrize(
    ("dialog", "pdus"), [("its_session_info", A), ("user_message_reference", B)], ids=["A", "B"]
)


def resp(sequence: int) -> bytes:
    return octets(f"00000011 80000005 00000000 {sequence:08x} 00")


def taken(sequence: int) -> bytes:
    """submit_sm_resp with the message id 1."""
    return octets(f"00000012 80000004 00000000 {sequence:08x} 3100")


def a_settings(port: int = 1, **more: Any) -> Settings:
    known = {"host": "127.0.0.1", "port": port, "system_id": "paygw", "password": "secret", "service_code": "*385#"}
    return Settings(**{**known, **more})


class Smsc:
    """One raw connection, octets in and out."""

    came: "asyncio.Queue[Smsc]"
    """Of the first: those after it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def take_bind(self) -> None:
        assert await self.frame() == BIND
        self.writer.write(BIND_RESP)

    async def gone(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def frame(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            head = await self._reader.readexactly(4)
            return head + await self._reader.readexactly(int.from_bytes(head) - 4)


@asynccontextmanager
async def bound(sessions: Sessions, **more: Any) -> AsyncIterator[tuple[Smsc, UssdChannel]]:
    came: asyncio.Queue[Smsc] = asyncio.Queue()
    server = await asyncio.start_server(lambda *both: came.put_nowait(Smsc(*both)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = a_settings(port, drain_timeout_s=0, unbind_timeout_s=0, **more)
    up = asyncio.Event()
    channel = UssdChannel("ussd", settings, now_ms=lambda: NOW_MS, on_up=up.set)
    running = asyncio.create_task(channel.run(sessions))
    smsc = await came.get()
    smsc.came = came
    await smsc.take_bind()
    await up.wait()
    yield smsc, channel
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    smsc.writer.close()
    server.close()


@GOLDEN
async def test_the_acknowledgement_then_the_screen_under_the_same_dialog(dialog: str, pdus: dict[str, bytes]) -> None:
    sessions = Sessions()
    async with bound(sessions, dialog=dialog) as (smsc, _):
        smsc.writer.write(pdus["plain"])
        assert [await smsc.frame(), await smsc.frame()] == [resp(8), pdus["ask"]]
        [step] = sessions.steps
        assert (step.kind, step.msisdn, step.service_code, step.first) == ("begin", PHONE, "*385#", 0)
        assert step.begun_at_ms == NOW_MS


@GOLDEN
async def test_the_last_screen_ends_the_dialog(dialog: str, pdus: dict[str, bytes]) -> None:
    sessions = Sessions()
    async with bound(sessions, dialog=dialog) as (smsc, _):
        shown = []
        for number, name, sequence in ((2, "new", 7), (3, "typed", 9), (4, "typed", 9)):
            smsc.writer.write(pdus[name])
            assert await smsc.frame() == resp(sequence)
            shown.append(await smsc.frame())
            smsc.writer.write(taken(number))
        assert shown[-1] == pdus["end"]
        assert list(sessions.inputs.values()) == [["1", "7382", "7382"]]


@GOLDEN
async def test_an_abort_ends_and_is_answered_with_no_screen(dialog: str, pdus: dict[str, bytes]) -> None:
    sessions = Sessions()
    async with bound(sessions, dialog=dialog) as (smsc, _):
        smsc.writer.write(pdus["abort"])
        assert await smsc.frame() == resp(10)
        [step] = sessions.steps
        assert step.kind == "end" and sessions.ended


@GOLDEN
async def test_a_push_asks_under_a_dialog_of_ours(dialog: str, pdus: dict[str, bytes]) -> None:
    async with bound(Sessions(), dialog=dialog, pushes=True) as (smsc, channel):
        assert channel.is_up()
        pushing = asyncio.create_task(channel.push(base.UssdAsk(id="1", msisdn=PHONE, text=MENU)))
        frame = await smsc.frame()
        assert frame[:-2] == pdus["ask"][:-2]
        smsc.writer.write(taken(2))
        result = await pushing
        assert isinstance(result, base.Submitted)
        place = int.from_bytes(frame[-2:])
        assert result.message_ids == ("1",)
        assert dialog != "its_session_info" or place & 1 == 0


async def test_without_leave_nothing_is_pushed() -> None:
    channel = UssdChannel("ussd", a_settings(), now_ms=lambda: NOW_MS)
    result = await channel.push(base.UssdAsk(id="1", msisdn=PHONE, text=MENU))
    assert isinstance(result, base.Refused) and result.code == "no_push"
    assert not channel.is_up() and not channel.pushes and channel.routes(Sessions()) == ()


async def test_without_a_link_a_push_is_refused_for_now() -> None:
    channel = UssdChannel("ussd", a_settings(pushes=True), now_ms=lambda: NOW_MS)
    result = await channel.push(base.UssdAsk(id="1", msisdn=PHONE, text=MENU))
    assert isinstance(result, base.Refused) and result.retryable and result.code == "not_bound"


STRANGE = {
    "no operation": "13830002 2468",
    "no dialog": "05010001 12",
    "the other dialect": "05010001 1202040002 1234",
    "a long operation": "05010002 121213830002 2468",
    "a short dialog": "05010001 1213830001 24",
    "an operation of nobody's": "05010001 4013830002 2468",
}


@pytest.mark.parametrize("tlvs", STRANGE.values(), ids=STRANGE.keys())
async def test_what_is_no_step_is_rejected_for_good(tlvs: str) -> None:
    frame = octets(HEAD + "04 37333832" + tlvs)
    sessions = Sessions()
    async with bound(sessions) as (smsc, channel):
        smsc.writer.write((len(frame) + 16).to_bytes(4) + octets("00000005 00000000 00000007") + frame)
        answer = await smsc.frame()
        assert answer[4:16] == octets("80000005 00000065 00000007")
        assert sessions.steps == [] and channel.counts().rejected == 1


async def test_a_receipt_that_nobody_asked_for_is_taken_and_forgotten() -> None:
    head = HEAD.replace("000000 00 00 00 00 00 00", "040000 00 00 00 00 00 00")
    frame = octets(head + "0d" + b"id:1 stat:DEL".hex())
    sessions = Sessions()
    async with bound(sessions) as (smsc, _):
        smsc.writer.write((len(frame) + 16).to_bytes(4) + octets("00000005 00000000 00000007") + frame)
        assert await smsc.frame() == resp(7) and sessions.steps == []


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"service_code": "385"}, "service_code: expected a service code"),
        ({"dialog": "sar"}, "dialog"),
        ({"sorry_text": "錢" * 81}, "sorry_text: expected at most 80"),
        ({"port": 0}, "port: expected a port"),
        ({"password": "far too long"}, "password: expected 0 to 8"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        a_settings(**settings)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(a_settings())


@given(
    op=some.binary(max_size=3),
    place=some.binary(max_size=3),
    text=some.binary(max_size=40),
    coding=some.integers(0, 255),
    source=some.binary(max_size=20).filter(lambda octets: 0 not in octets),
    dialog=some.sampled_from(["its_session_info", "user_message_reference"]),
)
def test_whatever_comes_is_a_step_or_a_reason(
    op: bytes, place: bytes, text: bytes, coding: int, source: bytes, dialog: str
) -> None:
    fields: dict[str, int | bytes] = {"source_addr": source, "source_addr_ton": 1, "data_coding": coding}
    tlvs = [(0x0501, op), (0x1383, place), (0x0204, place)]
    found = read(Pdu("deliver_sm", 0, 1, {**fields, "short_message": text}, tlvs), a_settings(dialog=dialog))
    assert "expected" in found if isinstance(found, str) else found.dialog.number < 1 << 16


DIALOG = Dialog(number=7, msisdn=PHONE)
TAKEN, REFUSED, UNKNOWN = (
    base.Submitted(message_ids=("1",), segments=1),
    base.Refused(code="x", detail="x", retryable=True),
    base.Unknown(detail="x"),
)
# The outcome of our screen, or None: it has none yet; what is typed next; which input it is, after input 1.
NEXT = [
    ("taken", TAKEN, "5", 2),
    ("taken, another", TAKEN, "6", 2),
    ("refused", REFUSED, "5", 1),
    ("refused, another", REFUSED, "6", 1),
    ("unknown", UNKNOWN, "5", 1),
    ("unknown, another", UNKNOWN, "6", 2),
    ("under way", None, "5", 1),
    ("under way, another", None, "6", 2),
]


@pytest.mark.parametrize(("outcome", "text", "number"), [row[1:] for row in NEXT], ids=[row[0] for row in NEXT])
async def test_which_input_it_is(outcome: base.SubmitResult | None, text: str, number: int) -> None:
    dialogs = Dialogs(kind="its_session_info", keep_s=300.0, first_number=0)
    dialogs.begin(DIALOG, 1, now=0.0, at_ms=0)
    assert dialogs.numbered(DIALOG, base.Typed("5"), now=1.0) == 1
    assert dialogs.numbered(DIALOG, base.Typed("5"), now=1.0) == 1  # Nothing was shown in between.
    screen: asyncio.Future[base.SubmitResult] = asyncio.get_running_loop().create_future()
    if outcome is not None:
        screen.set_result(outcome)
    dialogs.sent(DIALOG, screen)
    assert dialogs.numbered(DIALOG, base.Typed(text), now=2.0) == number


def test_of_a_dialog_that_nobody_remembers_no_input_has_a_number() -> None:
    dialogs = Dialogs(kind="its_session_info", keep_s=300.0, first_number=0)
    assert dialogs.numbered(DIALOG, base.Typed("5"), now=0.0) is None
    dialogs.begin(DIALOG, 0, now=0.0, at_ms=0)
    assert dialogs.numbered(DIALOG, base.Typed("5"), now=301.0) is None


async def test_when_a_session_began_tells_it_apart_from_one_before_a_restart() -> None:
    dialogs = Dialogs(kind="its_session_info", keep_s=300.0, first_number=0)
    assert dialogs.begin(DIALOG, 0, now=0.0, at_ms=1_000) == 1_000
    assert dialogs.begin(DIALOG, 0, now=1.0, at_ms=2_000) == 1_000, "handed over again"
    dialogs.numbered(DIALOG, base.Typed("5"), now=2.0)
    assert dialogs.begin(DIALOG, 0, now=3.0, at_ms=4_000) == 4_000


async def test_an_id_that_the_network_uses_again_is_another_session() -> None:
    dialogs = Dialogs(kind="its_session_info", keep_s=300.0, first_number=0)
    dialogs.begin(DIALOG, 0, now=0.0, at_ms=0)
    first = dialogs.session_id(DIALOG)
    dialogs.begin(DIALOG, 0, now=1.0, at_ms=1000)  # Handed over again: nothing was shown yet.
    assert dialogs.session_id(DIALOG) == first == DIALOG.session_id
    assert dialogs.numbered(DIALOG, base.Typed("5"), now=2.0) == 0
    dialogs.begin(DIALOG, 0, now=3.0, at_ms=3000)
    second = dialogs.session_id(DIALOG)
    dialogs.end(DIALOG)
    dialogs.begin(DIALOG, 0, now=4.0, at_ms=4000)
    third = dialogs.session_id(DIALOG)
    screen: asyncio.Future[base.SubmitResult] = asyncio.get_running_loop().create_future()
    screen.set_result(TAKEN)
    dialogs.sent(DIALOG, screen)
    dialogs.begin(DIALOG, 0, now=5.0, at_ms=5000)
    assert len({first, second, third, dialogs.session_id(DIALOG)}) == 4
    assert dialogs.numbered(DIALOG, base.Typed("6"), now=6.0) == 0


@pytest.mark.parametrize(("kind", "numbers"), [("its_session_info", 1 << 15), ("user_message_reference", 1 << 16)])
def test_ids_of_ours_go_round_and_pass_those_that_the_phone_has(kind: str, numbers: int) -> None:
    dialogs = Dialogs(kind=kind, keep_s=300.0, first_number=numbers - 2)
    dialogs.begin(Dialog(number=1, msisdn=PHONE), 0, now=0.0, at_ms=0)
    assert [dialogs.new(PHONE, "1", 0.0).number for _ in range(3)] == [numbers - 1, 2, 3]


async def test_more_steps_than_may_wait_are_put_off() -> None:
    sessions = Sessions()
    sessions.gate.clear()
    async with bound(sessions, inbound_max=1, answer_timeout_s=WAIT_S) as (smsc, _):
        smsc.writer.write(A["plain"])
        smsc.writer.write(A["typed"])
        assert (await smsc.frame())[4:16] == octets("80000005 00000064 00000009")
        sessions.gate.set()
        assert await smsc.frame() == resp(8)


async def test_a_screen_leaves_by_the_link_of_its_step_or_waits_until_that_comes_again() -> None:
    sessions = Sessions()
    async with bound(sessions, reconnect_delay_s=0.01) as (first, _):
        first.writer.write(A["plain"])
        await first.frame()
        await first.frame()
        first.writer.write(taken(2))
        sessions.gate.clear()
        first.writer.write(A["typed"])
        await entered(sessions, 2)
        await first.gone()
        second = await asyncio.wait_for(first.came.get(), WAIT_S)
        await second.take_bind()
        sessions.gate.set()
        await sessions.until(2)
        # Nothing but the answer to this is said on the new link.
        second.writer.write(octets("00000010 00000015 00000000 00000005"))
        assert await second.frame() == octets("00000010 80000015 00000000 00000005")
        second.writer.write(A["typed"])
        assert await second.frame() == resp(9)
        assert (await second.frame())[4:8] == octets("00000004")
        assert [step.first for step in sessions.steps] == [0, 0, 0]
        assert list(sessions.inputs.values()) == [["7382"]]
        await second.gone()


async def entered(sessions: Sessions, count: int) -> None:
    news = asyncio.Event()
    sessions.on_step = news.set
    async with asyncio.timeout(WAIT_S):
        while sessions.entered < count:
            news.clear()
            await news.wait()
