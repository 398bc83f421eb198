"""The bearer against the SMSC simulator over TCP: texts that leave, and every fault that can befall them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from carriers.base import Refused, Submitted, Unknown
from gateway import failpoints
from simulators.faults import Fault, Scripted
from simulators.smsc_messages import MessageIds
from tests.carriers.smpp.adapter_bench import NOW_MS, PLAIN, SHORT_CODE, WAIT_S, Bench, an_mt, bound

LONG_GSM = "Jambo, lipa kwa simu yako {leo} " * 8
LONG_UCS2 = "付款确认☕😀 " * 20


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bound() as bench:
        yield bench


async def test_an_ask_reaches_the_phone_and_its_receipt_names_it(bench: Bench) -> None:
    result = await bench.bearer.submit(an_mt())
    assert await bench.heard() == "Reply 4831 to PAY or 0 to refuse"
    receipt = await bench.sink.receipt()
    assert isinstance(result, Submitted) and result.segments == 1
    assert (receipt.message_ids, receipt.state, receipt.carrier) == (result.message_ids, "delivered", "safari")
    assert receipt.read_at_ms == NOW_MS
    assert [record["source"] for record in bench.kind("submit")] == [SHORT_CODE]


async def test_no_receipt_comes_that_was_not_wanted(bench: Bench) -> None:
    await bench.bearer.submit(an_mt(want_receipt=False))
    await bench.heard()
    await bench.round_trip()
    assert bench.kind("receipt.handed") == []


@pytest.mark.parametrize("text", [LONG_GSM, LONG_UCS2], ids=["gsm", "ucs2"])
@pytest.mark.parametrize("form", ["udh8", "udh16", "sar"])
async def test_a_long_text_arrives_as_one(text: str, form: str) -> None:
    async with bound(concatenation=form) as bench:
        result = await bench.bearer.submit(an_mt(text=text))
        assert await bench.heard() == text
        assert isinstance(result, Submitted)
        assert result.segments == len(set(result.message_ids)) >= 2
        receipts = {(await bench.sink.receipt()).message_ids for _ in result.message_ids}
        assert receipts == {(one,) for one in result.message_ids}


async def test_a_long_text_passes_a_window_of_one() -> None:
    async with bound(window=1) as bench:
        result = await bench.bearer.submit(an_mt(text=LONG_GSM))
        assert isinstance(result, Submitted)
        assert await bench.heard() == LONG_GSM


async def test_many_texts_share_the_window_and_all_arrive() -> None:
    async with bound(window=3) as bench:
        results = await asyncio.gather(*(bench.bearer.submit(an_mt(text=str(n))) for n in range(40)))
        assert all(isinstance(result, Submitted) for result in results)
        assert [await bench.heard() for _ in range(40)] == [str(n) for n in range(40)]


async def test_the_throughput_is_kept() -> None:
    async with bound(throughput=40.0, submit_wait_s=2.0) as bench:
        await asyncio.gather(*(bench.bearer.submit(an_mt(text=str(n))) for n in range(12)))
        at_ns = [record["ns"] for record in bench.kind("submit")]
        # A burst of four, then one every 25 ms.
        assert len(at_ns) == 12 and at_ns[-1] - at_ns[0] >= 0.9 * 8 / 40 * 1e9


@pytest.mark.parametrize(
    ("ids", "rules"),
    [
        (MessageIds.DECIMAL, {}),
        (MessageIds.HEX, {}),
        (MessageIds.HEX, dict.fromkeys(("response_id_rule", "receipt_tlv_id_rule", "receipt_text_id_rule"), "hex")),
        (
            MessageIds.MIXED,
            {"response_id_rule": "hex", "receipt_tlv_id_rule": "hex", "receipt_text_id_rule": "dec"},
        ),
    ],
)
async def test_ids_fold_into_one_spelling(ids: MessageIds, rules: dict[str, Any]) -> None:
    async with bound({"message_ids": ids, "first_message_number": 0x38601FA}, **rules) as bench:
        result = await bench.bearer.submit(an_mt())
        assert isinstance(result, Submitted)
        assert (await bench.sink.receipt()).message_ids == result.message_ids


async def test_what_is_too_old_or_too_long_is_refused_for_good(bench: Bench) -> None:
    old = await bench.bearer.submit(an_mt(valid_until_ms=NOW_MS))
    long = await bench.bearer.submit(an_mt(text="x" * 40_000))
    assert isinstance(old, Refused) and (old.code, old.retryable) == ("expired", False)
    assert isinstance(long, Refused) and (long.code, long.retryable) == ("too_long", False)
    assert bench.kind("submit") == []


async def test_the_validity_ends_a_text_for_an_absent_phone() -> None:
    async with bound() as bench:
        result = await bench.bearer.submit(an_mt(msisdn="+254712345962", valid_until_ms=NOW_MS + 1_000))
        receipt = await bench.sink.receipt()
        assert isinstance(result, Submitted) and receipt.message_ids == result.message_ids
        assert (receipt.state, receipt.detail) == ("undeliverable", "EXPIRED 027")


async def test_fail_points_stand_where_they_say(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    monkeypatch.setattr(failpoints, "hit", passed.append)
    sending = asyncio.create_task(bench.bearer.submit(an_mt(want_receipt=False)))
    await bench.happened("submit")
    assert passed == ["ask.before_first_byte", "ask.after_first_byte"]
    await sending
    assert passed[2:] == ["ask.after_answer"]


@pytest.mark.parametrize(
    ("digits", "code"),
    [("950", "ESME_RTHROTTLED"), ("951", "ESME_RMSGQFUL"), ("952", "ESME_RSYSERR")],
)
async def test_a_refusal_of_the_moment_may_be_tried_again(bench: Bench, digits: str, code: str) -> None:
    message = an_mt(msisdn=f"+254712345{digits}", want_receipt=False)
    result = await bench.bearer.submit(message)
    assert isinstance(result, Refused) and (result.code, result.retryable) == (code, True)
    await bench.up()
    assert isinstance(await bench.bearer.submit(message), Submitted)


async def test_a_throttled_bind_pauses_as_a_whole_and_says_when_it_is_over() -> None:
    async with bound(throttle_pause_s=0.1) as bench:
        ups = bench.ups
        result = await bench.bearer.submit(an_mt(msisdn="+254712345950"))
        assert isinstance(result, Refused) and result.retry_after_s == pytest.approx(0.1)
        assert not bench.bearer.is_up()
        turned_away = await bench.bearer.submit(an_mt())
        assert isinstance(turned_away, Refused) and turned_away.retryable
        await bench.until(lambda: bench.ups == ups + 1)
        assert bench.bearer.is_up()
        assert len(bench.kind("submit")) == 1


async def test_an_invalid_number_is_refused_for_good(bench: Bench) -> None:
    result = await bench.bearer.submit(an_mt(msisdn="+12345"))
    assert isinstance(result, Refused) and (result.code, result.retryable) == ("ESME_RINVDSTADR", False)


async def test_a_status_is_retryable_if_the_carrier_says_so() -> None:
    async with bound(retryable_statuses=(0x0B,)) as bench:
        result = await bench.bearer.submit(an_mt(msisdn="+12345"))
        assert isinstance(result, Refused) and result.retryable


async def test_no_answer_is_unknown_and_the_link_lives() -> None:
    async with bound(response_timeout_s=0.1) as bench:
        result = await bench.bearer.submit(an_mt(msisdn="+254712345953"))
        assert isinstance(result, Unknown)
        assert bench.bearer.is_up() and bench.bearer.counters.timed_out == 1
        await bench.heard()
        await bench.round_trip()


async def test_a_late_answer_is_unknown_and_counted() -> None:
    async with bound({"late_response_s": 0.15}, response_timeout_s=0.05) as bench:
        message = an_mt(msisdn="+254712345954", want_receipt=False)
        assert isinstance(await bench.bearer.submit(message), Unknown)
        await bench.heard()
        async with asyncio.timeout(WAIT_S):
            while not bench.bearer.counters.late_responses:
                await bench.round_trip()
        assert bench.bearer.is_up()


async def test_a_receipt_may_run_ahead_of_the_answer(bench: Bench) -> None:
    sending = asyncio.create_task(bench.bearer.submit(an_mt(msisdn="+254712345013")))
    receipt = await bench.sink.receipt()
    assert not sending.done()
    result = await sending
    assert isinstance(result, Submitted) and receipt.message_ids == result.message_ids


async def test_an_undeliverable_text_is_taken_and_its_receipt_says_so(bench: Bench) -> None:
    result = await bench.bearer.submit(an_mt(msisdn="+254712345016"))
    receipt = await bench.sink.receipt()
    assert isinstance(result, Submitted)
    assert (receipt.message_ids, receipt.state) == (result.message_ids, "undeliverable")
    assert receipt.detail == "UNDELIVERABLE 001"


@pytest.mark.parametrize("digits", ["958", "959", "960"], ids=["half a PDU", "garbage", "reset"])
async def test_a_link_that_breaks_leaves_the_text_unknown_and_comes_back(digits: str) -> None:
    async with bound() as bench:
        message = an_mt(msisdn=f"+254712345{digits}", want_receipt=False)
        assert isinstance(await bench.bearer.submit(message), Unknown)
        await bench.heard()
        await bench.happened("bind", 2)
        await bench.up()
        assert isinstance(await bench.bearer.submit(message), Submitted)
        assert bench.bearer.counters.reconnects == 1


async def test_a_frozen_link_is_noticed_and_replaced() -> None:
    async with bound(response_timeout_s=0.3, enquire_link_interval_s=0.1, enquire_link_timeout_s=0.1) as bench:
        bench.plan.set_for_number(PLAIN, "smsc.submit", Fault(name="freeze", seconds=60.0))
        assert isinstance(await bench.bearer.submit(an_mt(want_receipt=False)), Unknown)
        await bench.happened("bind", 2)
        bench.plan.clear()
        await bench.up()
        assert isinstance(await bench.bearer.submit(an_mt()), Submitted)
        assert bench.bearer.counts().enquiries_failed == 1


async def test_a_text_taken_in_part_is_never_called_submitted(bench: Bench) -> None:
    bench.plan.add(Scripted(point="smsc.submit", fault="system_error", at=2))
    result = await bench.bearer.submit(an_mt(text=LONG_GSM, want_receipt=False))
    assert result == Unknown(detail="1 of 2 parts taken: ESME_RSYSERR")


async def test_after_a_refused_part_the_rest_does_not_leave() -> None:
    async with bound(window=1) as bench:
        bench.plan.add(Scripted(point="smsc.submit", fault="system_error", at=1))
        result = await bench.bearer.submit(an_mt(text=LONG_GSM, want_receipt=False))
        assert isinstance(result, Refused) and result.retryable
        await bench.round_trip()
        assert len(bench.kind("submit")) == 2


async def test_what_finds_no_room_in_time_is_handed_back_unsent() -> None:
    async with bound(window=1, submit_wait_s=0.05, response_timeout_s=0.3) as bench:
        stuck = asyncio.create_task(bench.bearer.submit(an_mt(msisdn="+254712345953", want_receipt=False)))
        await bench.happened("submit")
        waiting = await bench.bearer.submit(an_mt(text="later"))
        assert isinstance(waiting, Refused) and (waiting.code, waiting.retryable) == ("not_sent", True)
        assert isinstance(await stuck, Unknown)
        assert len(bench.kind("submit")) == 1


async def test_more_than_may_wait_is_turned_away() -> None:
    async with bound(window=1, submit_queue_max=1) as bench:
        results = await asyncio.gather(*(bench.bearer.submit(an_mt(text=str(n))) for n in range(5)))
        assert sum(isinstance(result, Submitted) for result in results) == 2
        assert all(result.retryable for result in results if isinstance(result, Refused))


async def test_a_caller_that_goes_away_takes_back_only_what_has_not_left() -> None:
    async with bound({"late_response_s": 0.05}, window=1, submit_wait_s=WAIT_S) as bench:
        first = asyncio.create_task(bench.bearer.submit(an_mt(msisdn="+254712345954", text="first")))
        await bench.happened("submit")
        second = asyncio.create_task(bench.bearer.submit(an_mt(text="second")))
        third = asyncio.create_task(bench.bearer.submit(an_mt(text="third")))
        await asyncio.sleep(0)  # Not to wait: each task takes its first step, and its text stands in the queue.
        first.cancel()
        second.cancel()
        assert isinstance(await third, Submitted)
        assert [await bench.heard() for _ in range(2)] == ["first", "third"]
        assert bench.bearer.counters.submitted == 2
