"""The bearer's one bind: how it is made, lost, made again, and ended in good order."""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from carriers.base import Refused, Submitted, Unknown
from carriers.smpp.adapter import Bearer
from simulators.faults import Fault
from tests.carriers.smpp.adapter_bench import NOW_MS, PLAIN, WAIT_S, Sink, an_mt, bound, some_settings


async def test_before_it_runs_nothing_leaves() -> None:
    bearer = Bearer("safari", some_settings()(1), now_ms=lambda: NOW_MS)
    result = await bearer.submit(an_mt())
    assert isinstance(result, Refused) and (result.code, result.retryable) == ("not_bound", True)
    assert not bearer.is_up() and bearer.routes() == ()


async def test_it_binds_as_a_transceiver_and_says_that_it_is_up() -> None:
    async with bound() as bench:
        (record,) = bench.kind("bind")
        assert (record["command"], record["status"]) == ("bind_transceiver", 0)
        assert bench.ups == 1 and bench.bearer.is_up()
        counts = bench.bearer.counts()
        assert (counts.up_since_ms, counts.window_used, counts.window_size) == (NOW_MS, 0, some_settings()(1).window)
    assert bench.bearer.counts().up_since_ms is None


@pytest.mark.parametrize(
    ("wrong", "status"), [({"password": "guess"}, 0x0E), ({"system_id": "nobody"}, 0x0F)], ids=["password", "name"]
)
async def test_wrong_credentials_are_tried_again_and_slowly(
    wrong: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with bound(wait=False, reconnect_delay_s=0.001, reconnect_delay_max_s=0.1, **wrong) as bench:
        binds = await bench.happened("bind", 3)
        assert {record["status"] for record in binds} == {status}
        # The longest pause from the first time on; chance takes off half of it at most.
        gaps_s = [(after["ns"] - before["ns"]) / 1e9 for before, after in itertools.pairwise(binds)]
        assert min(gaps_s) >= 0.05
        assert not bench.bearer.is_up() and bench.ups == 0
        assert isinstance(await bench.bearer.submit(an_mt()), Refused)
    assert "guess" not in caplog.text and "secret" not in caplog.text


async def test_it_comes_back_when_the_smsc_comes_back() -> None:
    async with bound() as bench:
        port = bench.smsc.port
        await bench.smsc.stop()
        assert not bench.bearer.is_up()
        result = await bench.bearer.submit(an_mt())
        assert isinstance(result, Refused) and result.retryable
        await bench.start_smsc(port)
        await bench.up()
        assert isinstance(await bench.bearer.submit(an_mt()), Submitted)
        assert bench.ups == 2


async def test_where_nobody_listens_it_keeps_knocking() -> None:
    async with bound() as bench:
        port = bench.smsc.port
        await bench.smsc.stop()
        with told("carriers.smpp.bind") as lines:
            async with asyncio.timeout(WAIT_S):
                for _ in range(6):  # Each try tells why it failed, and when the next one is.
                    await lines.get()
        assert not bench.bearer.is_up()
        await bench.start_smsc(port)
        await bench.up()


@contextmanager
def told(logger: str) -> Iterator["asyncio.Queue[str]"]:
    """The lines that *logger* is given."""
    lines: asyncio.Queue[str] = asyncio.Queue()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.put_nowait(record.getMessage())

    listener = Listener()
    logging.getLogger(logger).addHandler(listener)
    yield lines
    logging.getLogger(logger).removeHandler(listener)


async def test_cancelled_it_unbinds() -> None:
    async with bound() as bench:
        await bench.cancel()
        assert [record["kind"] for record in bench.seen if record["kind"] in ("unbind", "closed")] == [
            "unbind",
            "closed",
        ]
        assert not bench.bearer.is_up()
        assert isinstance(await bench.bearer.submit(an_mt()), Refused)


async def test_cancelled_it_first_hears_the_answer_to_what_has_left() -> None:
    async with bound({"late_response_s": 0.05}) as bench:
        sending = asyncio.create_task(bench.bearer.submit(an_mt(msisdn="+254712345954", want_receipt=False)))
        await bench.happened("submit")
        await bench.cancel()
        assert isinstance(await sending, Submitted)
        assert bench.kind("unbind")


async def test_cancelled_on_a_dead_link_it_ends_within_its_limits() -> None:
    async with bound(drain_timeout_s=0.05, unbind_timeout_s=0.05) as bench:
        bench.plan.set_for_number(PLAIN, "smsc.submit", Fault(name="freeze", seconds=60.0))
        sending = asyncio.create_task(bench.bearer.submit(an_mt()))
        await bench.happened("submit")
        await bench.cancel()
        assert isinstance(await sending, Unknown)


@pytest.mark.parametrize("steps", range(12))
async def test_it_may_be_cancelled_at_any_step_of_connecting(steps: int) -> None:
    async with bound(wait=False) as bench:
        for _ in range(steps):
            await asyncio.sleep(0)
        await bench.cancel()
        assert bench.running.done() and not bench.bearer.is_up()
        # It may run again; and an SMSC that has taken this connection has seen the one before.
        bench.start_bearer()
        await bench.up()


async def test_a_sink_that_never_returns_does_not_keep_it_from_ending() -> None:
    async with bound(drain_timeout_s=0.05) as bench:
        bench.sink.gate.clear()
        bench.smsc.send_mo(PLAIN, "22345", "4831")
        await bench.sink.mo()
        await bench.cancel()
        assert bench.kind("mo.answered") == []


async def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with bound() as bench:
        await bench.bearer.submit(an_mt(msisdn="+254712345960", text="secret text"))
        await bench.happened("bind", 2)
        bench.smsc.send_mo(PLAIN, "22345", "4831")
        await bench.sink.mo()
    for hidden in ("secret", "4831", "254712345"):
        assert hidden not in caplog.text
    assert "secret" not in repr(some_settings()(1))


async def test_two_bearers_share_one_account() -> None:
    async with bound() as bench:
        other = Bearer("other", some_settings()(bench.smsc.port), now_ms=lambda: NOW_MS, on_up=bench._news.set)
        running = asyncio.create_task(other.run(Sink()))
        await bench.until(other.is_up)
        results = await asyncio.gather(bench.bearer.submit(an_mt()), other.submit(an_mt()))
        assert all(isinstance(result, Submitted) for result in results)
        running.cancel()
        await asyncio.wait([running])
        assert len(bench.kind("unbind")) == 1
