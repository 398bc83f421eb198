"""A carrier's file that does not come is missed by itself, once, and no more when it comes."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from gateway.core.carrier_files import Files, last_due
from gateway.engine.batcher import Batcher, BatchSettings
from gateway.engine.file_watch import Expected, FileWatch
from gateway.engine.reconciliation import Refused
from gateway.store.cases import list_cases, resolve
from gateway.store.engine import begin_write, connect
from gateway.store.quarantine import Quarantine
from gateway.store.reads import Reads
from tests.app.test_gateway import carrier, config, started
from tests.engine.file_bench import FILES, ZONE, Bench, a_bench
from tests.journeys.processes import until
from tests.store.bench import an_engine, rows

NOON = datetime.now(ZONE).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


def taken(bench: Bench, day: int, number: int) -> None:
    """A file of so many days from today, of its own content."""
    name = f"acme_{(NOON + timedelta(days=day)).strftime('%Y%m%d')}_{number}.csv"
    bench.take(bench.file(f"x{day},y,0.00,KES,KO,", name=name))


def missed(bench: Bench) -> list[str]:
    """The days of open breaks, oldest first."""
    statement = "SELECT detail FROM \"break\" WHERE kind = 'file_missing' AND resolved_at_ms IS NULL ORDER BY detail"
    return [row.detail.removeprefix("acme file ") for row in rows(bench.url, statement)]


def day(back: int) -> str:
    return (NOON + timedelta(days=back)).date().isoformat()


@asynccontextmanager
async def watching(
    bench: Bench, at: datetime, owns: Callable[[str], bool] = lambda lane: True, files: Files = FILES
) -> AsyncIterator[FileWatch]:
    reads = Reads(connect(bench.url, read_only=True))
    with an_engine(bench.url) as engine:
        settings = BatchSettings(pace_ms=0, ride_along_ms=0)
        batcher = Batcher(bench.store.apply, settings=settings, quarantine=Quarantine(engine))
        batcher.start()
        try:
            now_ms = round(at.timestamp() * 1000)
            yield FileWatch(batcher, reads, owns, {"acme": Expected(files, ZONE)}, lambda: now_ms)
        finally:
            await batcher.stop()
            reads.close()


@pytest.mark.parametrize("ahead", [2, 366])
async def test_a_date_that_has_not_come_switches_no_alarm_off(bench: Bench, ahead: int) -> None:
    taken(bench, -1, 1)
    with pytest.raises(Refused, match=f"expected a date up to {day(1)} .Africa/Nairobi., got {day(ahead)}; nothing"):
        taken(bench, ahead, 2)
    assert missed(bench) == []
    async with watching(bench, NOON + timedelta(days=1)) as watch:
        await watch.look()
    assert missed(bench) == [day(0)]
    taken(bench, 1, 2)


async def test_a_day_whose_file_does_not_come_is_missed_at_its_hour_and_until_it_comes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    taken(bench, -3, 1)
    async with watching(bench, NOON - timedelta(seconds=1)) as watch:
        await watch.look()
        assert missed(bench) == [day(-2)], "yesterday's has a second left"
    async with watching(bench, NOON) as watch:
        await watch.look()
        await watch.look()
    assert missed(bench) == [day(-2), day(-1)]
    assert caplog.messages == [f"a carrier's file is missing: acme file {day(back)}" for back in (-2, -1)]
    taken(bench, -2, 2)
    assert missed(bench) == [day(-1)], "the late file ends what it was missed by"
    taken(bench, 0, 3)
    assert missed(bench) == [day(-1)], "the next file misses nothing a second time"
    assert len(rows(bench.url, 'SELECT id FROM "break"')) == 2


async def test_what_a_person_has_settled_is_not_missed_again(bench: Bench) -> None:
    taken(bench, -2, 1)
    async with watching(bench, NOON) as watch:
        await watch.look()
        with an_engine(bench.url) as engine, begin_write(engine) as conn:
            [case] = list_cases(conn, "break").items
            resolve(conn, "break", case.id, by="asha", note="a holiday of theirs", now_ms=1)
        await watch.look()
    assert missed(bench) == []


async def test_nothing_is_missed_before_the_first_file_nor_by_a_process_that_does_not_own_the_lane(
    bench: Bench,
) -> None:
    async with watching(bench, NOON) as watch:
        await watch.look()
        assert missed(bench) == []
    taken(bench, -2, 1)
    async with watching(bench, NOON, owns=lambda lane: False) as watch:
        await watch.look()
    assert missed(bench) == []


@pytest.mark.parametrize("is_daily", [True, False])
async def test_a_file_that_was_not_read_to_its_end_is_missed_until_it_is(bench: Bench, is_daily: bool) -> None:
    """Whatever stopped its reader: of the orders in the rest of it nobody would know that they do not fit."""
    taken(bench, -1, 1)
    with an_engine(bench.url) as engine, begin_write(engine) as conn:
        conn.execute(text("UPDATE carrier_file SET state = 'reading'"))
    began = datetime.now(ZONE)
    for later, count in ((timedelta(minutes=59), 0), (timedelta(minutes=61), 1)):
        async with watching(bench, began + later, files=replace(FILES, expected_daily=is_daily)) as watch:
            await watch.look()
        assert len([one for one in missed(bench) if "is not read to its end" in one]) == count
    taken(bench, -1, 1)
    assert not [one for one in missed(bench) if "is not read to its end" in one]


async def test_a_silence_of_months_is_31_breaks(bench: Bench) -> None:
    taken(bench, -200, 1)
    async with watching(bench, NOON) as watch:
        await watch.look()
        await watch.look()
    assert missed(bench) == [day(-200 + n) for n in range(1, 32)]


async def test_a_serving_gateway_misses_what_its_configuration_expects(sqlite_url: str, tmp_path: Path) -> None:
    with a_bench(sqlite_url, tmp_path) as bench:
        taken(bench, -3, 1)
        async with started(config(sqlite_url, acme=carrier("+254", files=FILES))):
            await until(lambda: day(-2) in missed(bench), 10, "the missing file is missed")


async def test_a_serving_gateway_misses_the_rest_of_a_file_though_no_day_is_expected(
    sqlite_url: str, tmp_path: Path
) -> None:
    with a_bench(sqlite_url, tmp_path) as bench:
        taken(bench, -3, 1)
        with an_engine(bench.url) as engine, begin_write(engine) as conn:
            conn.execute(text("UPDATE carrier_file SET state = 'reading', at_ms = at_ms - 3700000"))
        files = replace(FILES, expected_daily=False)
        async with started(config(sqlite_url, acme=carrier("+254", files=files))):
            await until(lambda: missed(bench) != [], 10, "the rest of the file is missed")
        [words] = missed(bench)
        assert words.endswith("is not read to its end; give it to `gateway reconcile` again")


@pytest.mark.parametrize(
    ("now", "within_s", "due"),
    [
        ("2026-11-24T11:59:59+03:00", 43_200, "2026-11-22"),
        ("2026-11-24T12:00:00+03:00", 43_200, "2026-11-23"),
        ("2026-11-24T00:00:00+03:00", 0, "2026-11-23"),
        ("2026-11-23T21:00:00+00:00", 0, "2026-11-23"),
        ("2026-11-24T00:00:00+03:00", 2 * 86_400, "2026-11-21"),
    ],
)
def test_a_file_is_due_so_long_after_the_end_of_its_day_in_the_carriers_zone(
    now: str, within_s: float, due: str
) -> None:
    now_ms = round(datetime.fromisoformat(now).timestamp() * 1000)
    assert last_due(replace(FILES, expected_within_s=within_s), now_ms, ZONE).isoformat() == due
