"""The bearer against the SMSC simulator over TCP: what phones and networks say, and when it is acknowledged."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from carriers.base import Mo, Overloaded, Receipt
from simulators.faults import Scripted
from simulators.smsc_messages import Deliver, mo_parts
from tests.carriers.smpp.adapter_bench import NOW_MS, PLAIN, SHORT_CODE, Bench, an_mt, bound

ROK, NOT_NOW, NEVER = 0x00, 0x64, 0x65
LONG = "付款确认☕😀 " * 20


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bound() as bench:
        yield bench


def statuses(bench: Bench, kind: str = "mo.answered") -> list[int]:
    return [record["status"] for record in bench.kind(kind)]


async def test_a_text_is_acknowledged_only_after_the_sink_returned(bench: Bench) -> None:
    bench.sink.gate.clear()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "4831")
    mo = await bench.sink.mo()
    assert mo == Mo(carrier="safari", msisdn=PLAIN, to=SHORT_CODE, text="4831", read_at_ms=NOW_MS, raw=b"4831")
    await bench.round_trip()
    assert statuses(bench) == []
    bench.sink.gate.set()
    await bench.happened("mo.answered")
    assert statuses(bench) == [ROK]
    assert bench.bearer.counters.received == 1


async def test_a_receipt_is_acknowledged_only_after_the_sink_returned(bench: Bench) -> None:
    bench.sink.gate.clear()
    await bench.bearer.submit(an_mt())
    await bench.sink.receipt()
    await bench.round_trip()
    assert statuses(bench, "receipt.answered") == []
    bench.sink.gate.set()
    await bench.happened("receipt.answered")
    assert statuses(bench, "receipt.answered") == [ROK]


async def test_a_slow_sink_holds_up_nobody_else(bench: Bench) -> None:
    bench.sink.gate.clear()
    for number in range(20):
        bench.smsc.send_mo(f"+2547123451{number:02d}", SHORT_CODE, str(number))
    assert [(await bench.sink.mo()).text for _ in range(20)] == [str(number) for number in range(20)]


async def test_texts_of_one_phone_are_offered_in_the_order_of_their_arrival(bench: Bench) -> None:
    for number in range(100):
        bench.smsc.send_mo(PLAIN, SHORT_CODE, str(number))
    await bench.happened("mo.answered", 100)
    assert [mo.text for mo in bench.sink.offered if isinstance(mo, Mo)] == [str(number) for number in range(100)]


async def test_without_room_the_text_is_put_off_and_taken_later(bench: Bench) -> None:
    bench.sink.failures = [Overloaded(), Overloaded()]
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "4831")
    assert (await bench.sink.mo()).text == "4831"
    await bench.happened("mo.answered", 3)
    assert statuses(bench) == [NOT_NOW, NOT_NOW, ROK]
    assert (bench.bearer.counters.put_off, bench.bearer.counters.received) == (2, 1)


async def test_a_broken_sink_does_not_break_the_link(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.sink.failures = [KeyError("a bug")]
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "secret 4831")
    assert (await bench.sink.mo()).text == "secret 4831"
    await bench.happened("mo.answered", 2)
    assert statuses(bench) == [NOT_NOW, ROK]
    assert bench.bearer.counters.reconnects == 0
    told = "".join(record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)
    assert "+254*****100" in told
    assert PLAIN not in caplog.text and PLAIN[1:] not in caplog.text and "4831" not in caplog.text


async def test_more_than_may_wait_for_a_commit_is_put_off() -> None:
    async with bound(inbound_max=2) as bench:
        bench.sink.gate.clear()
        for number in range(3):
            bench.smsc.send_mo(PLAIN, SHORT_CODE, str(number))
        await bench.happened("mo.answered")
        assert statuses(bench)[0] == NOT_NOW
        bench.sink.gate.set()
        await bench.until(lambda: statuses(bench).count(ROK) == 3)


async def test_a_text_of_no_phone_is_rejected_for_good(bench: Bench) -> None:
    bench.smsc.send_mo("MPESA", SHORT_CODE, "You won")
    await bench.happened("mo.answered")
    assert statuses(bench) == [NEVER]
    assert bench.sink.offered == []
    assert bench.bearer.counters.rejected == 1


async def test_a_text_under_way_when_the_link_breaks_comes_again(bench: Bench) -> None:
    bench.sink.gate.clear()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "4831")
    await bench.sink.mo()
    await bench.bearer.submit(an_mt(msisdn="+254712345960", want_receipt=False))
    assert (await bench.sink.mo()).text == "4831"
    bench.sink.gate.set()
    await bench.happened("mo.answered")
    assert statuses(bench) == [ROK]


@pytest.mark.parametrize(("digits", "times"), [("955", 2), ("956", 1), ("012", 0)], ids=["twice", "late", "never"])
async def test_receipts_come_as_often_as_the_network_sends_them(digits: str, times: int) -> None:
    async with bound({"receipt_late_s": 0.05}) as bench:
        await bench.bearer.submit(an_mt(msisdn=f"+254712345{digits}"))
        for _ in range(times):
            assert (await bench.sink.receipt()).state == "delivered"
        await bench.happened("receipt.answered", times) if times else await bench.round_trip()
        assert len([one for one in bench.sink.offered if isinstance(one, Receipt)]) == times
        assert bench.bearer.counters.receipts == times


@pytest.mark.parametrize(
    ("stat", "esm_class", "state"),
    [
        (b"DELIVRD", 0x04, "delivered"),
        (b"ENROUTE", 0x04, "pending"),
        (b"ACCEPTD", 0x04, "pending"),
        (b"DELIVRD", 0x20, "pending"),
        (b"UNDELIV", 0x04, "undeliverable"),
        (b"REJECTD", 0x04, "undeliverable"),
        (b"EXPIRED", 0x04, "undeliverable"),
        (b"", 0x04, "pending"),
    ],
)
async def test_the_state_of_a_receipt_is_one_of_three(bench: Bench, stat: bytes, esm_class: int, state: str) -> None:
    bench.smsc._queue(a_deliver(b"id:0042 stat:" + stat + b" err:000", esm_class=esm_class))
    receipt = await bench.sink.receipt()
    assert (receipt.message_ids, receipt.state) == (("42",), state)


async def test_a_receipt_that_names_nothing_is_acknowledged_too(bench: Bench) -> None:
    bench.smsc._queue(a_deliver(b"sorry", esm_class=0x04))
    assert (await bench.sink.receipt()).message_ids == ()
    await bench.happened("receipt.answered")
    assert statuses(bench, "receipt.answered") == [ROK]


def a_deliver(octets: bytes, *, esm_class: int, kind: str = "receipt", data_coding: int = 0) -> Deliver:
    return Deliver(
        kind=kind,
        number=1,
        system_id="gateway",
        source=PLAIN,
        destination=SHORT_CODE,
        esm_class=esm_class,
        data_coding=data_coding,
        octets=octets,
    )


@pytest.mark.parametrize("text", ["kulipa {x} " * 40, LONG], ids=["gsm", "ucs2"])
async def test_the_parts_of_a_long_text_become_one_and_are_acknowledged_together(bench: Bench, text: str) -> None:
    bench.sink.gate.clear()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, text)
    assert (await bench.sink.mo()).text == text
    await bench.round_trip()
    assert statuses(bench) == []
    bench.sink.gate.set()
    parts = len(bench.kind("mo.handed"))
    await bench.happened("mo.answered", parts)
    assert statuses(bench) == [ROK] * parts and parts > 1
    assert len(bench.sink.offered) == 1


async def test_a_long_text_without_room_is_put_off_whole_and_taken_whole(bench: Bench) -> None:
    bench.sink.failures = [Overloaded()]
    bench.smsc.send_mo(PLAIN, SHORT_CODE, LONG)
    assert (await bench.sink.mo()).text == LONG
    parts = len(list(mo_parts(number=1, system_id="gateway", msisdn=PLAIN, to=SHORT_CODE, text=LONG)))
    await bench.until(lambda: statuses(bench).count(ROK) == parts)
    assert statuses(bench) == [NOT_NOW] * parts + [ROK] * parts


async def test_an_smsc_with_a_window_of_one_gets_its_long_text_through() -> None:
    async with bound({"window": 1}, part_hold_s=0.05) as bench:
        bench.smsc.send_mo(PLAIN, SHORT_CODE, "ndio " * 50)
        assert (await bench.sink.mo()).text == "ndio " * 50
        await bench.until(lambda: statuses(bench).count(ROK) == 2)
        # The first part was put off, the second completed the text, then the first was known again.
        assert statuses(bench) == [NOT_NOW, ROK, ROK]
        assert len(bench.sink.offered) == 1


async def test_a_part_that_comes_again_waits_for_the_commit_of_its_text(bench: Bench) -> None:
    first, second = mo_parts(number=7, system_id="gateway", msisdn=PLAIN, to=SHORT_CODE, text="ndio " * 50)
    bench.sink.gate.clear()
    for part in (first, second, first):
        bench.smsc._queue(part)
    await bench.sink.mo()
    await bench.round_trip()
    assert statuses(bench) == []
    bench.sink.gate.set()
    await bench.happened("mo.answered", 3)
    assert statuses(bench) == [ROK, ROK, ROK]
    assert len(bench.sink.offered) == 1


async def test_what_came_of_a_text_is_taken_if_the_rest_does_not_come() -> None:
    async with bound(part_hold_s=60.0, part_wait_s=0.05) as bench:
        first, _ = mo_parts(number=7, system_id="gateway", msisdn=PLAIN, to=SHORT_CODE, text="ndio " * 50)
        bench.smsc._queue(first)
        assert (await bench.sink.mo()).text == ("ndio " * 50)[:153]
        await bench.happened("mo.answered")
        assert statuses(bench) == [ROK]


@pytest.mark.parametrize(
    ("default", "octets", "text"),
    [
        ("gsm", b"\x00\x1b\x65", "@€"),
        ("latin1", b"\xe9t\xe9", "été"),
        ("ascii", b"yes", "yes"),
        ("gsm_packed", b"\xe8\x32\x9b\xfd\x06", "hello"),
        ("ucs2", b"\x4e\xd8", "付"),
    ],
)
async def test_data_coding_0_means_what_the_carrier_means(default: str, octets: bytes, text: str) -> None:
    async with bound(default_alphabet=default) as bench:
        bench.smsc._queue(a_deliver(octets, esm_class=0, kind="mo"))
        assert (await bench.sink.mo()).text == text


async def test_an_mo_sent_twice_is_offered_twice(bench: Bench) -> None:
    bench.plan.add(Scripted(point="smsc.mo", fault="twice", at=1))
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "4831")
    assert [(await bench.sink.mo()).text for _ in range(2)] == ["4831", "4831"]


async def test_what_comes_while_the_gateway_stops_is_put_off(bench: Bench) -> None:
    bench.sink.gate.clear()
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "first")
    await bench.sink.mo()
    bench.running.cancel()
    await asyncio.sleep(0)  # Not to wait: the bearer takes its first step towards the end.
    bench.smsc.send_mo(PLAIN, SHORT_CODE, "second")
    await bench.happened("mo.answered")
    assert statuses(bench) == [NOT_NOW]
    bench.sink.gate.set()
    await bench.happened("unbind")
    assert statuses(bench)[:2] == [NOT_NOW, ROK]


async def test_an_incomplete_text_does_not_hold_up_the_end() -> None:
    async with bound(drain_timeout_s=60.0) as bench:
        first, _ = mo_parts(number=7, system_id="gateway", msisdn=PLAIN, to=SHORT_CODE, text="ndio " * 50)
        bench.smsc._queue(first)
        await bench.round_trip()
        await bench.cancel()
        assert statuses(bench)[0] == NOT_NOW
        assert bench.kind("unbind") and bench.sink.offered == []
