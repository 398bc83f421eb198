"""The SMSC over a real socket: binds, texts, receipts, MO until acknowledged, and every fault of the link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from carriers.smpp.wire.codec import encode
from carriers.smpp.wire.pdu import Pdu
from gateway.core.gsm import decode_text, segment
from simulators.faults import Fault, FaultPlan, Scripted
from simulators.journal import Journals
from simulators.smsc import Smsc
from simulators.smsc_messages import MessageIds
from simulators.smsc_settings import SmscSettings
from tests.simulators.esme import ASK, SHORT_CODE, Esme, is_receipt

PLAIN = "+254712345100"


class Air:
    """Phones that only listen."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

    def receive(self, msisdn: str, sender: str, text: str) -> None:
        self.heard.put_nowait((msisdn, sender, text))


class Bench:
    def __init__(self, smsc: Smsc, air: Air, plan: FaultPlan, journals: Journals) -> None:
        self.smsc, self.air, self.plan, self.journals = smsc, air, plan, journals
        self.seen: list[dict[str, Any]] = []
        journals.listeners.append(lambda _name, record: self.seen.append(record))

    async def bound(self, command: str = "bind_transceiver") -> Esme:
        return await Esme.bound(self.smsc.port, command)

    def kinds(self, *kinds: str) -> list[str]:
        return [record["kind"] for record in self.seen if record["kind"] in kinds]


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Bench]:
    journals, plan, air = Journals(None), FaultPlan(seed=1), Air()
    chosen = {"retry_delay_s": 0.01, "response_timeout_s": 2.0, "receipt_lead_s": 0.05, **settings}
    smsc = Smsc(SmscSettings(**chosen), plan, journals.smsc, phones=air)
    await smsc.start()
    try:
        yield Bench(smsc, air, plan, journals)
    finally:
        await smsc.stop()
        journals.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with running() as bench:
        yield bench


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"system_id": b"nobody"}, 0x0F), ({"password": b"wrong"}, 0x0E)],
    ids=["unknown system_id", "wrong password"],
)
async def test_a_stranger_is_refused_and_hung_up_on(bench: Bench, fields: dict[str, int | bytes], status: int) -> None:
    esme = await Esme.connect(bench.smsc.port)
    assert (await esme.bind(**fields)).status == status
    assert await esme.ended()
    await esme.close()


async def test_one_bind_too_many_is_refused() -> None:
    async with running(binds_max=2) as bench:
        first, second = await bench.bound(), await bench.bound()
        third = await Esme.connect(bench.smsc.port)
        assert (await third.bind()).status == 0x05
        for esme in (first, second, third):
            await esme.close()


@pytest.mark.parametrize("version", [0x33, 0x34, 0x50])
async def test_binds_of_other_versions_are_taken(bench: Bench, version: int) -> None:
    esme = await Esme.connect(bench.smsc.port)
    answer = await esme.bind(interface_version=version)
    assert answer.status == 0
    assert bool(answer.tlvs) == (version >= 0x34)
    await esme.close()


async def test_a_text_reaches_the_phone_and_its_receipt_comes_after_the_response(bench: Bench) -> None:
    esme = await bench.bound()
    sequence = esme.submit(PLAIN)
    response = await esme.expect("submit_sm_resp")
    assert (response.sequence, response.status) == (sequence, 0)
    receipt = await esme.take()
    assert await bench.air.heard.get() == (PLAIN, SHORT_CODE, ASK)
    shown = response.octets("message_id")
    assert is_receipt(receipt)
    assert receipt.octets("short_message").startswith(b"id:" + shown + b" sub:001 dlvrd:001 submit date:")
    assert b" stat:DELIVRD err:000 text:Asha Shop asks KES" in receipt.octets("short_message")
    assert receipt.tlv(0x001E) == shown + b"\0"
    assert receipt.tlv(0x0427) == b"\x02"
    assert (receipt.octets("source_addr"), receipt.octets("destination_addr")) == (b"254712345100", b"22345")
    await esme.close()


async def test_nothing_was_asked_so_no_receipt_comes(bench: Bench) -> None:
    esme = await bench.bound()
    esme.submit(PLAIN, registered_delivery=0)
    esme.submit(PLAIN, registered_delivery=2)
    for _ in range(2):
        await esme.expect("submit_sm_resp")
        await bench.air.heard.get()
    assert await esme.is_silent()
    await esme.close()


@pytest.mark.parametrize("ids", list(MessageIds))
async def test_message_ids_look_as_chosen(ids: MessageIds) -> None:
    async with running(message_ids=ids, first_message_number=0x38601FA) as bench:
        esme = await bench.bound()
        esme.submit(PLAIN)
        response = await esme.expect("submit_sm_resp")
        receipt = await esme.take()
        in_text = receipt.octets("short_message").split()[0].removeprefix(b"id:")
        wanted = {
            MessageIds.DECIMAL: (b"59113978", b"59113978"),
            MessageIds.HEX: (b"38601fa", b"38601fa"),
            MessageIds.MIXED: (b"38601fa", b"0059113978"),
        }
        assert (response.octets("message_id"), in_text) == wanted[ids]
        await esme.close()


@pytest.mark.parametrize("text", ["jambo " * 60, "付款☕😀" * 40], ids=["gsm", "ucs2"])
@pytest.mark.parametrize("form", ["udh", "sar", "payload"])
async def test_a_long_text_is_one_text_on_the_phone(bench: Bench, text: str, form: str) -> None:
    esme = await bench.bound()
    cut = segment(text)
    total = len(cut.parts)
    if form == "payload":
        whole = b"".join(cut.parts)
        fields: dict[str, int | bytes] = {"destination_addr": PLAIN[1:].encode(), "data_coding": cut.data_coding}
        esme.writer.write(encode(Pdu("data_sm", 0, 77, fields | {"source_addr": b"22345"}, [(0x0424, whole)])))
        assert (await esme.expect("data_sm_resp")).octets("message_id")
    else:
        # The last part first: networks do not keep order.
        for at, part in reversed(list(enumerate(cut.parts, start=1))):
            await _submit_part(esme, part, cut.data_coding, form, total, at)
    assert (await bench.air.heard.get())[2] == text
    assert bench.air.heard.empty()
    await esme.close()


async def _submit_part(esme: Esme, part: bytes, coding: int, form: str, total: int, at: int) -> None:
    if form == "udh":
        header = bytes([5, 0, 3, 9, total, at])
        esme.submit(PLAIN, header + part, esm_class=0x40, data_coding=coding, registered_delivery=0)
    else:
        fields: dict[str, int | bytes] = {
            "source_addr": b"22345",
            "destination_addr": PLAIN[1:].encode(),
            "data_coding": coding,
            "short_message": part,
        }
        tlvs = [(0x020C, b"\0\x09"), (0x020E, bytes([total])), (0x020F, bytes([at]))]
        esme.writer.write(encode(Pdu("submit_sm", 0, 100 + at, fields, tlvs)))
    assert (await esme.expect("submit_sm_resp")).status == 0


async def test_a_phones_text_goes_to_the_account_that_wrote_from_that_short_code(bench: Bench) -> None:
    esme = await bench.bound()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "4831")
    mo = await esme.take()
    assert not is_receipt(mo)
    assert (mo.octets("source_addr"), mo.octets("destination_addr")) == (b"254712345100", b"22345")
    assert mo.octets("short_message") == b"4831"
    await esme.close()


async def test_a_long_mo_is_cut_into_parts_that_join_again(bench: Bench) -> None:
    esme = await bench.bound()
    text = "付款☕" * 60
    bench.smsc.send_mo(PLAIN, SHORT_CODE, text)
    total = len(segment(text).parts)
    parts = [await esme.take() for _ in range(total)]
    assert all(part.integer("esm_class") == 0x40 for part in parts)
    octets = b"".join(part.octets("short_message")[6:] for part in parts)
    assert decode_text(octets, parts[0].integer("data_coding")) == text
    await esme.close()


async def test_an_mo_waits_for_a_bind_and_is_not_given_to_a_transmitter(bench: Bench) -> None:
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "early")
    transmitter = await bench.bound("bind_transmitter")
    assert await transmitter.is_silent()
    receiver = await bench.bound("bind_receiver")
    assert (await receiver.take()).octets("short_message") == b"early"
    await transmitter.close()
    await receiver.close()


async def test_an_mo_that_was_not_acknowledged_comes_again_on_the_next_bind(bench: Bench) -> None:
    first = await bench.bound()
    for text in ("one", "two"):
        bench.smsc.send_mo(PLAIN, SHORT_CODE, text)
    for _ in range(2):
        await first.expect("deliver_sm")
    first.writer.transport.abort()
    second = await bench.bound()
    assert [(await second.take()).octets("short_message") for _ in range(2)] == [b"one", b"two"]
    await second.close()
    await first.close()


@pytest.mark.parametrize("status", [0x64, 0x08, 0x14, 0x58])
async def test_a_temporary_error_brings_the_mo_back(bench: Bench, status: int) -> None:
    esme = await bench.bound()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "again")
    await esme.take(status)
    assert (await esme.take()).octets("short_message") == b"again"
    assert await esme.is_silent()
    assert [r["status"] for r in bench.seen if r["kind"] == "mo.answered"] == [status, 0]
    await esme.close()


@pytest.mark.parametrize("status", [0x65, 0x66])
async def test_a_permanent_refusal_ends_the_mo(bench: Bench, status: int) -> None:
    esme = await bench.bound()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "never")
    await esme.take(status)
    assert await esme.is_silent()
    await esme.close()


async def test_an_mo_without_an_answer_comes_again_and_is_given_up_at_last() -> None:
    async with running(response_timeout_s=0.1, attempts_max=3) as bench:
        esme = await bench.bound()
        bench.smsc.send_mo(PLAIN, SHORT_CODE, "hello?")
        for _ in range(3):
            await esme.expect("deliver_sm")
        assert await esme.is_silent(0.3)
        assert bench.kinds("mo.handed", "mo.abandoned") == ["mo.handed"] * 3 + ["mo.abandoned"]
        await esme.close()


async def test_no_more_are_under_way_than_the_window_allows() -> None:
    async with running(window=2) as bench:
        esme = await bench.bound()
        for number in range(5):
            bench.smsc.send_mo(PLAIN, SHORT_CODE, str(number))
        held = [await esme.expect("deliver_sm") for _ in range(2)]
        assert await esme.is_silent()
        esme.acknowledge(held[0])
        assert (await esme.expect("deliver_sm")).octets("short_message") == b"2"
        await esme.close()


async def test_two_receiving_binds_share_the_load(bench: Bench) -> None:
    first, second = await bench.bound(), await bench.bound("bind_receiver")
    for number in range(4):
        bench.smsc.send_mo(PLAIN, SHORT_CODE, str(number))
    for esme in (first, second):
        await esme.take()
        await esme.take()
        await esme.close()


async def test_query_tells_the_state_and_cancel_ends_what_is_under_way(bench: Bench) -> None:
    esme = await bench.bound()
    bench.plan.set_for_number(PLAIN, "smsc.submit", Fault(name="absent"))
    esme.submit(PLAIN)
    shown = (await esme.expect("submit_sm_resp")).octets("message_id")
    esme.send("query_sm", message_id=shown)
    assert (await esme.expect("query_sm_resp")).integer("message_state") == 1
    esme.send("cancel_sm", message_id=shown)
    cancelled, receipt = await esme.receive(), await esme.take()
    assert cancelled.command == "cancel_sm_resp"
    assert cancelled.status == 0
    assert b"stat:DELETED" in receipt.octets("short_message")
    esme.send("cancel_sm", message_id=shown)
    assert (await esme.expect("cancel_sm_resp")).status == 0x11
    esme.send("query_sm", message_id=shown)
    assert (await esme.expect("query_sm_resp")).integer("message_state") == 4
    esme.send("query_sm", message_id=b"none")
    assert (await esme.expect("query_sm_resp")).status == 0x0C
    await esme.close()


async def test_a_text_for_an_absent_phone_expires_with_its_validity(bench: Bench) -> None:
    esme = await bench.bound()
    esme.submit("+254712345962", validity_period=b"000000000001000R")
    await esme.expect("submit_sm_resp")
    assert b"stat:EXPIRED" in (await esme.take()).octets("short_message")
    assert bench.air.heard.empty()
    await esme.close()


async def test_a_text_that_was_already_invalid_is_not_shown(bench: Bench) -> None:
    esme = await bench.bound()
    esme.submit(PLAIN, validity_period=b"200101000000000+")
    await esme.expect("submit_sm_resp")
    assert b"stat:EXPIRED" in (await esme.take()).octets("short_message")
    esme.submit(PLAIN, validity_period=b"abcdefghijklmnop")
    assert (await esme.expect("submit_sm_resp")).status == 0x62
    await esme.close()


@pytest.mark.parametrize(("digits", "status"), [("950", 0x58), ("951", 0x14), ("952", 0x08)])
async def test_magic_digits_refuse_a_submit_once(bench: Bench, digits: str, status: int) -> None:
    esme = await bench.bound()
    statuses = []
    for _ in range(2):
        esme.submit(f"+254712345{digits}", registered_delivery=0)
        statuses.append((await esme.expect("submit_sm_resp")).status)
    assert statuses == [status, 0]
    await esme.close()


async def test_no_response_still_means_that_the_phone_has_it(bench: Bench) -> None:
    esme = await bench.bound()
    esme.submit("+254712345953")
    assert is_receipt(await esme.take())
    assert (await bench.air.heard.get())[0] == "+254712345953"
    assert await esme.is_silent()
    await esme.close()


async def test_a_receipt_may_come_before_the_response(bench: Bench) -> None:
    esme = await bench.bound()
    esme.submit("+254712345013")
    receipt = await esme.take()
    response = await esme.expect("submit_sm_resp")
    assert receipt.tlv(0x001E) == response.octets("message_id") + b"\0"
    await esme.close()


@pytest.mark.parametrize(("digits", "receipts"), [("012", 0), ("955", 2), ("016", 1)])
async def test_receipts_are_lost_doubled_or_bad_news(bench: Bench, digits: str, receipts: int) -> None:
    esme = await bench.bound()
    esme.submit(f"+254712345{digits}")
    await esme.expect("submit_sm_resp")
    states = [(await esme.take()).octets("short_message").split(b"stat:")[1].split()[0] for _ in range(receipts)]
    assert states == ([b"UNDELIV"] if digits == "016" else [b"DELIVRD"] * receipts)
    assert await esme.is_silent()
    assert bench.air.heard.empty() == (digits == "016")
    await esme.close()


async def test_an_mo_may_come_twice_or_never(bench: Bench) -> None:
    esme = await bench.bound()
    bench.smsc.send_mo("+254712345957", SHORT_CODE, "two")
    assert [(await esme.take()).octets("short_message") for _ in range(2)] == [b"two", b"two"]
    bench.plan.add(Scripted(point="smsc.mo", fault="lost", at=1))
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "lost")
    assert await esme.is_silent()
    await esme.close()


@pytest.mark.parametrize(("digits", "octets"), [("958", "half"), ("959", "garbage"), ("960", "none")])
async def test_a_link_may_break_amid_an_accepted_submit(bench: Bench, digits: str, octets: str) -> None:
    esme = await bench.bound()
    esme.submit(f"+254712345{digits}", registered_delivery=0)
    assert (await bench.air.heard.get())[0].endswith(digits)
    if octets == "garbage":
        assert (await asyncio.wait_for(esme.reader.readexactly(4), 5)) == b"HTTP"
    else:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await esme.receive()
    await esme.close()
    again = await bench.bound()
    again.submit(f"+254712345{digits}", registered_delivery=0)
    assert (await again.expect("submit_sm_resp")).status == 0
    await again.close()


async def test_a_frozen_link_is_silent_and_then_goes_on(bench: Bench) -> None:
    esme = await bench.bound()
    bench.plan.set_for_number(PLAIN, "smsc.submit", Fault(name="freeze", seconds=0.3))
    esme.submit(PLAIN, registered_delivery=0)
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "before")
    await esme.take()
    esme.send("enquire_link")
    assert await esme.is_silent(0.1)
    assert (await esme.receive()).command == "enquire_link_resp"
    await esme.close()


async def test_everything_may_come_one_octet_at_a_time(bench: Bench) -> None:
    esme = await Esme.connect(bench.smsc.port)
    bind: dict[str, int | bytes] = {"system_id": b"gateway", "password": b"secret", "interface_version": 0x34}
    submit: dict[str, int | bytes] = {
        "source_addr": b"22345",
        "destination_addr": b"254712345100",
        "registered_delivery": 1,
        "short_message": b"hello",
    }
    frames = [
        encode(Pdu("bind_transceiver", 0, 1, bind)),
        encode(Pdu("submit_sm", 0, 2, submit)),
        encode(Pdu("enquire_link", 0, 3)),
        encode(Pdu("unbind", 0, 4)),
    ]
    for octet in b"".join(frames):
        esme.writer.write(bytes([octet]))
        await esme.writer.drain()
        await asyncio.sleep(0)
    answered = [(await esme.receive()).command for _ in range(5)]
    responses = ["bind_transceiver_resp", "submit_sm_resp", "enquire_link_resp", "unbind_resp"]
    assert [command for command in answered if command != "deliver_sm"] == responses
    assert await esme.ended()
    await esme.close()


@pytest.mark.parametrize(
    "octets",
    [b"\0\0\0\x0f" + bytes(12), b"\x7f\xff\xff\xff" + bytes(12), b"GET / HTTP/1.1\r\n\r\n"],
    ids=["too short", "too long", "another protocol"],
)
async def test_octets_that_are_no_frame_end_that_link_only(bench: Bench, octets: bytes) -> None:
    good, bad = await bench.bound(), await bench.bound()
    bad.writer.write(octets)
    assert (await bad.expect("generic_nack")).status == 0x02
    assert await bad.ended()
    good.send("enquire_link")
    await good.expect("enquire_link_resp")
    await good.close()
    await bad.close()


async def test_an_unknown_command_is_nacked_and_the_bind_goes_on(bench: Bench) -> None:
    esme = await bench.bound()
    esme.writer.write(bytes.fromhex("00000010 00000099 00000000 00000055"))
    nack = await esme.expect("generic_nack")
    assert (nack.status, nack.sequence) == (0x03, 0x55)
    esme.send("enquire_link")
    await esme.expect("enquire_link_resp")
    await esme.close()


@pytest.mark.parametrize("prepare", [None, "bind_receiver"])
async def test_a_submit_in_the_wrong_state_is_refused(bench: Bench, prepare: str | None) -> None:
    esme = await (bench.bound(prepare) if prepare else Esme.connect(bench.smsc.port))
    esme.submit(PLAIN)
    assert (await esme.expect("submit_sm_resp")).status == 0x04
    await esme.close()


async def test_a_silent_esme_is_asked_and_then_left() -> None:
    async with running(enquire_interval_s=0.05, response_timeout_s=0.2) as bench:
        esme = await bench.bound()
        await esme.expect("enquire_link")
        assert await esme.ended()
        await esme.close()


async def test_stopping_says_unbind(bench: Bench) -> None:
    esme = await bench.bound()
    stopping = asyncio.create_task(bench.smsc.stop())
    unbind = await esme.expect("unbind")
    esme.writer.write(encode(Pdu("unbind_resp", 0, unbind.sequence)))
    await stopping
    assert await esme.ended()
    await esme.close()
