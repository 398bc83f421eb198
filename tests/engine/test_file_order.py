"""Files of one carrier beside each other: several a day, numbers and dates that do not go on together, and a file that
was taken before it was whole.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from gateway.engine.reconciliation import Refused
from gateway.engine.remittances import BookRemittance
from gateway.store.cases import resolve
from gateway.store.engine import begin_write
from tests.engine.file_bench import BY_REFERENCE, FILES, Bench, a_bench, today
from tests.engine.test_reconciliation import named
from tests.store.bench import Odd, an_engine, applied, count, rows

DAILY = replace(FILES, sequence="daily")


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


def breaks(bench: Bench) -> list[str]:
    """The kinds of all that was ever opened."""
    return [row.kind for row in rows(bench.url, 'SELECT kind FROM "break" ORDER BY kind')]


@pytest.mark.money
def test_of_several_files_a_day_none_is_the_last_before_the_next_days_first(bench: Bench) -> None:
    *told, untold = (bench.charge(str(n)) for n in range(1, 5))
    for number, paid in enumerate(told, start=1):
        assert bench.take(bench.file(f"{paid},,1250.00,KES,OK,", name=named(0, number)), DAILY).found.matched == 1
    assert breaks(bench) == []
    next_day = (
        bench.file("x,y,0.00,KES,KO,", *more, name=named(1, n)) for n, more in ((1, ()), (2, ("x,z,0,KES,KO,",)))
    )
    first, second = (dict(bench.take(path, DAILY).found.breaks) for path in next_day)
    assert (first, second) == ({"missing_at_carrier": 1}, {}), "once"
    [missing] = rows(bench.url, 'SELECT detail FROM "break"')
    assert untold in missing.detail


@pytest.mark.money
def test_of_a_day_whose_file_comes_after_the_next_days_all_is_looked_for_then(bench: Bench) -> None:
    paid, _ = bench.charge("1"), bench.charge("2")
    bench.take(bench.file("x,y,0.00,KES,KO,", name=named(1, 1)), DAILY)
    assert breaks(bench) == []
    late = bench.file(f"{paid},,1250.00,KES,OK,", name=named(0, 1))
    assert dict(bench.take(late, DAILY).found.breaks) == {"missing_at_carrier": 1}


@pytest.mark.parametrize(
    ("files", "odd"),
    [
        pytest.param([(0, 5), (1, 6), (2, 7)], 0, id="in order"),
        pytest.param([(0, 5), (0, 6), (1, 7)], 0, id="two of a day"),
        pytest.param([(0, 5), (2, 7), (1, 6)], 0, id="one late"),
        pytest.param([(0, 5), (1, 5)], 1, id="a number again"),
        pytest.param([(0, 5), (1, 4)], 1, id="backwards"),
        pytest.param([(0, 5), (-1, 6)], 1, id="an earlier day with a later number"),
        pytest.param([(0, 998), (1, 999), (2, 1), (3, 2)], 1, id="beginning anew: once"),
    ],
)
def test_numbers_grow_with_the_days_or_there_is_a_break(bench: Bench, files: list[tuple[int, int]], odd: int) -> None:
    for n, (day, number) in enumerate(files):
        bench.take(bench.file(f"x,{n},0.00,KES,KO,", name=named(day - 2, number)))
    assert breaks(bench).count("file_order") == odd
    for row in rows(bench.url, "SELECT detail FROM \"break\" WHERE kind = 'file_order'"):
        assert "its number does not fit beside acme_" in row.detail


def test_where_each_day_begins_with_1_numbers_come_again(bench: Bench) -> None:
    for day in range(-2, 1):
        bench.take(bench.file(f"x,{day},0.00,KES,KO,", name=named(day, 1)), DAILY)
    assert breaks(bench) == []


@pytest.mark.money
def test_a_file_whose_layout_was_wrong_here_is_taken_once_that_is_mended(bench: Bench) -> None:
    path = bench.file("x,SR9,0,KES,KO,", f"{bench.lose('1')},SR1,1250.00,KES,GOOD,")
    mended = replace(FILES, statuses=FILES.statuses | {"GOOD": "charged"})
    still_wrong = replace(mended, decimal_point=",")
    for files, why in ((FILES, "status: 'GOOD' is none that we know"), (still_wrong, "amount: expected one in KES")):
        with pytest.raises(Refused, match=why):
            bench.take(path, files)
    assert bench.breaks() == {"control_total": None}
    tried, report = bench.take(path, mended, dry_run=True), bench.take(path, mended)
    assert (report.found, report.found.resolved, report.file.state) == (tried.found, 1, "taken")
    assert (bench.breaks(), count(bench.url, "carrier_file")) == ({}, 1)
    with pytest.raises(Refused, match="known; its content was taken"):
        bench.take(path, FILES)


@pytest.mark.money
def test_so_is_one_whose_very_first_row_was_of_another_layout(bench: Bench) -> None:
    """Of a file without a row the name counts as well as the content; once it is read there are rows."""
    path = bench.file(f"{bench.lose('1')},SR1,1250.00,KES,GOOD,")
    headless = replace(FILES, columns={**FILES.columns, "fee": "commission"})
    mended = replace(FILES, statuses=FILES.statuses | {"GOOD": "charged"})
    later_wrong = replace(mended, trailer_columns={"rows": "1"})
    for files, why in ((headless, "a head with commission"), (FILES, "GOOD"), (later_wrong, "line 3: rows")):
        with pytest.raises(Refused, match=why):
            bench.take(path, files)
    assert bench.breaks() == {"control_total": None} and count(bench.url, "carrier_file") == 1
    tried, report = bench.take(path, mended, dry_run=True), bench.take(path, mended)
    assert (report.found, report.found.resolved, report.file.state) == (tried.found, 1, "taken")
    assert (bench.breaks(), count(bench.url, "carrier_file")) == ({}, 1)
    with pytest.raises(Refused, match="known; its content was taken"):
        bench.take(path, mended)


def test_so_is_one_of_a_quiet_day(bench: Bench) -> None:
    wrong = replace(FILES, columns={**FILES.columns, "fee": "commission"})
    paths = [bench.file(name=named(day, day + 3)) for day in (-1, 0)]
    for path in paths:
        with pytest.raises(Refused, match="a head with commission"):
            bench.take(path, wrong)
    assert breaks(bench) == ["control_total", "control_total"]
    assert [bench.take(path).file.state for path in paths] == ["taken", "taken"] and bench.breaks() == {}


@pytest.mark.money
def test_a_refused_file_does_not_come_back_beside_the_one_in_its_place(bench: Bench) -> None:
    content = "x,SR9,1.00,KES,KO,", f"{bench.lose('1')},SR1,1250.00,KES,GOOD,"
    with pytest.raises(Refused, match="GOOD"):
        bench.take(bench.file(*content))
    bench.take(bench.file(content[1].replace("GOOD", "OK")))
    mended = replace(FILES, statuses=FILES.statuses | {"GOOD": "charged"})
    with pytest.raises(Refused, match="was taken for that date and number, with another content"):
        bench.take(bench.file(*content), mended)
    assert {row.state for row in rows(bench.url, "SELECT state FROM carrier_file")} == {"refused", "taken"}


def test_a_file_that_was_not_read_to_its_end_is_missed_when_the_next_one_comes(bench: Bench) -> None:
    half = bench.file("x,y,0.00,KES,KO,", name=named(0, 1))
    bench.take(half)
    with an_engine(bench.url) as engine, begin_write(engine) as conn:
        conn.execute(text("UPDATE carrier_file SET state = 'reading', at_ms = at_ms - 3700000"))
    assert dict(bench.take(bench.file("x,z,0.00,KES,KO,", name=named(1, 2))).found.breaks) == {"file_missing": 1}
    assert bench.take(half).file.state == "taken" and bench.breaks() == {}


def test_a_half_read_file_that_a_person_has_settled_is_told_of_no_more(bench: Bench) -> None:
    bench.take(bench.file("x,y,0.00,KES,KO,", name=named(-1, 1)))
    with an_engine(bench.url) as engine, begin_write(engine) as conn:
        conn.execute(text("UPDATE carrier_file SET state = 'reading', at_ms = at_ms - 3700000"))
    bench.take(bench.file("x,z,0.00,KES,KO,", name=named(0, 2)))
    [unread] = rows(bench.url, 'SELECT id FROM "break"')
    words = "sent by mistake"
    job = Odd(lambda unit: resolve(unit.conn, "break", unread.id, by="asha", note=words, now_ms=unit.now_ms))
    applied(bench.store, job)
    assert not bench.take(bench.file("x,u,0.00,KES,KO,", name=named(1, 3))).found.breaks


def a_growing_file(bench: Bench, content: str) -> Path:
    path = bench.folder / f"ref_{today()}.txt"
    path.write_text(content, encoding="utf-8")
    return path


BEGINNING, WHOLE = "SR1;1250.00;OK\n", "SR1;1250.00;OK\nSR2;1250.00;OK\n"


@pytest.mark.money
@pytest.mark.parametrize("beginning", ["", BEGINNING], ids=["empty", "one row"])
def test_a_file_that_was_taken_before_it_was_whole_goes_on(bench: Bench, beginning: str) -> None:
    for key in ("1", "2"):
        bench.charge(key)
    bench.take(a_growing_file(bench, beginning), BY_REFERENCE)
    assert bench.breaks() == {"missing_at_carrier": 125_000}
    path = a_growing_file(bench, WHOLE)
    tried = bench.take(path, BY_REFERENCE, dry_run=True)
    report = bench.take(path, BY_REFERENCE)
    assert (tried.found.matched, report.found.matched) == (2, 2)
    assert (report.file.state, report.file.rows, report.file.total_minor) == ("taken", 2, 250_000)
    assert (count(bench.url, "carrier_file"), bench.breaks()) == (1, {}), "no row is late that its own file brings"
    with pytest.raises(Refused, match="known; its content was taken"):
        bench.take(path, BY_REFERENCE)


def test_whoever_leaves_the_rest_of_what_has_grown_unread_is_told_once_more(bench: Bench) -> None:
    for number, content in enumerate((BEGINNING, WHOLE), start=1):
        bench.take(a_growing_file(bench, content), BY_REFERENCE)
        assert bench.breaks().keys() <= {"missing_here"}, "what was not read before has been read"
        with an_engine(bench.url) as engine, begin_write(engine) as conn:
            stopped = "UPDATE carrier_file SET state = 'reading', at_ms = at_ms - 3700000 WHERE sequence IS NULL"
            conn.execute(text(stopped))
        bench.take(bench.file(f"x,{number},0.00,KES,KO,", name=named(0, number)), DAILY)
        assert bench.breaks().keys() == {"missing_here", "file_missing"}
    bench.take(a_growing_file(bench, WHOLE), BY_REFERENCE)
    assert bench.breaks().keys() == {"missing_here"}


@pytest.mark.money
def test_what_begins_otherwise_or_is_paid_for_does_not_go_on(bench: Bench) -> None:
    for key in ("1", "2"):
        bench.charge(key)
    file_id = bench.take(a_growing_file(bench, BEGINNING), BY_REFERENCE).file.id
    with pytest.raises(Refused, match="was taken for that date and number, with another content"):
        bench.take(a_growing_file(bench, WHOLE.replace("SR1", "SR9")), BY_REFERENCE)
    for person in ("asha", "juma"):
        applied(bench.store, BookRemittance(file_id, 125_000, person, "line 7"))
    with pytest.raises(Refused, match=r"its beginning was taken as ref_[0-9]+[.]txt and is paid for"):
        bench.take(a_growing_file(bench, WHOLE), BY_REFERENCE)
