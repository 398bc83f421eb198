"""A carrier's file beside everybody else who learns what became of a charge: whoever is first, it is told once.

Two readers of one carrier's files meet between a look and the write that rests on it; they take turns there.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.core.money import Money
from gateway.engine import reconciliation
from gateway.engine.carrier_jobs import CallbackRead, OrderDone
from gateway.engine.reconciliation import Refused, Report
from gateway.store import carrier_files
from gateway.store.apply import Batch
from gateway.store.unit import Needs, Unit
from tests.engine.file_bench import Bench, a_bench, today
from tests.engine.test_reconciliation import named
from tests.store.bench import POLICY, SOMEBODY_WAITS, Odd, a_store, applied, rows

PAYMENTS = 12
# So long one waits for the other at the place where they meet. Who waits for its turn does not come there.
MEETING_S = 0.3


@pytest.mark.money
def test_a_file_and_the_carriers_answers_at_once_capture_each_payment_once(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "ROWS_MAX", 1)
    with a_bench(postgres_url, tmp_path) as bench:
        orders = [bench.order(str(n)) for n in range(1, PAYMENTS + 1)]
        lines = [f"{order.body['attempt_id']},SR{n},1250.00,KES,OK," for n, order in enumerate(orders)]

        def answer() -> None:
            # As another process of the gateway hears it, from inquiries or callbacks.
            with a_store(postgres_url, replace(POLICY, modes={"acme": "test"})) as store:
                for n, order in reversed(list(enumerate(orders))):
                    yes = base.Charged(carrier_reference=f"SR{n}", amount=Money(125_000, "KES"))
                    applied(store, OrderDone(order, yes))

        path = bench.file(*lines, trailer=f"T,{PAYMENTS},,15000.00")
        report, _ = both(lambda: bench.take(path), answer)
        assert (report.found.matched, report.found.breaks.total()) == (PAYMENTS, 0)
    kinds = rows(postgres_url, "SELECT kind, count(*) AS n FROM entry GROUP BY kind ORDER BY kind")
    assert [(row.kind, row.n) for row in kinds] == [("capture", PAYMENTS), ("remittance", 1)]
    told = rows(postgres_url, "SELECT count(*) AS n FROM event WHERE type = 'payment.succeeded'")
    assert told[0].n == PAYMENTS


def test_callbacks_and_a_file_lock_payments_in_one_order(postgres_url: str, tmp_path: Path) -> None:
    """Or each waits for a payment that the other has."""
    with a_bench(postgres_url, tmp_path) as bench, a_store(postgres_url) as other:
        first, second = (bench.order(str(n)) for n in (1, 2))
        of_both = Needs(payment_ids=(str(first.payment_id), str(second.payment_id)))
        ids = [str(row.body["attempt_id"]) for row in (second, first)]
        calls = [CallbackRead(base.Callback(carrier="acme", attempt_id=one)) for one in ids]
        has_one, waits = threading.Event(), threading.Event()

        def meet(unit: Unit) -> None:
            has_one.set()
            while not waits.is_set() and not rows(postgres_url, SOMEBODY_WAITS):
                pass

        def takes_both() -> Batch:
            assert has_one.wait(MEETING_S * 100)
            try:
                return other.apply([Odd(lambda unit: None, of_both)])
            finally:
                waits.set()

        # `apply` itself: whoever is chosen to give way is told so, and tries again elsewhere.
        both(lambda: bench.store.apply([calls[0], Odd(meet), calls[1]]), takes_both)
    asked = rows(postgres_url, "SELECT payment_id FROM outbox WHERE kind = 'inquire'")
    assert {row.payment_id for row in asked} == {first.payment_id, second.payment_id}


@pytest.fixture
def bench(postgres_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(postgres_url, tmp_path) as opened:
        yield opened


def both(*acts: Callable[[], Any]) -> list[Any]:  # Any: what each returned.
    """Do them at once in threads. What one returned or, if it was refused, its refusal."""
    came: dict[int, Any] = {}

    def do(n: int) -> None:
        try:
            came[n] = acts[n]()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread.
            came[n] = error

    threads = [threading.Thread(target=do, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in came.values():
        if isinstance(one, BaseException) and not isinstance(one, Refused):
            raise one
    return [came[n] for n in range(len(acts))]


def taking(bench: Bench, path: Path) -> Callable[[], Report]:
    """Take *path* as a process of its own does it."""

    def take() -> Report:
        with a_bench(bench.url, bench.folder) as own:
            return own.take(path)

    return take


def meet_behind(monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    """The first time that two have looked at the registry by *look*, they go on only together, if both come there."""
    looked, meeting = getattr(carrier_files, look), threading.Barrier(2)

    def look_and_wait(*arguments: Any, **named: Any) -> Any:  # Any: as *look* has them.
        found = looked(*arguments, **named)
        try:
            meeting.wait(MEETING_S)
        except threading.BrokenBarrierError:
            pass
        else:
            meeting.abort()  # They met.
        return found

    monkeypatch.setattr(carrier_files, look, look_and_wait)


@pytest.mark.parametrize("look", ["by_hash", "in_its_place"])
def test_of_two_files_for_one_date_and_number_one_is_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    paths = [bench.file("x,a,0.00,KES,KO,"), bench.folder / "again" / f"acme_{today()}_1.csv"]
    paths[1].parent.mkdir()
    paths[1].write_text(paths[0].read_text().replace("x,a,", "x,b,"))
    meet_behind(monkeypatch, look)
    came = both(*(taking(bench, path) for path in paths))
    [refused] = [one for one in came if isinstance(one, Refused)]
    assert "was taken for that date and number, with another content" in str(refused)
    assert [row.state for row in rows(bench.url, "SELECT state FROM carrier_file")] == ["taken"]


@pytest.mark.money
@pytest.mark.parametrize("look", ["by_hash", "named_orders"])
def test_one_file_that_two_read_is_taken_once_and_neither_finds_another_in_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    lost = bench.lose("1")
    path = bench.file(f"{lost},SR1,1250.00,KES,OK,", trailer="T,1,1250.00,")
    meet_behind(monkeypatch, look)
    came = both(taking(bench, path), taking(bench, path))
    reports = [one for one in came if isinstance(one, Report)]
    assert sum(report.found.resolved for report in reports) == 1
    assert all("known; its content was taken" in str(one) for one in came if isinstance(one, Refused))
    assert bench.breaks() == {} and len(bench.entries("capture")) > 0


def test_a_gap_that_two_files_leave_at_once_closes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.take(bench.file(name=named(0, 1)))
    between, newest = (bench.file(f"x,{n},0.00,KES,KO,", name=named(0, n)) for n in (2, 3))
    meet_behind(monkeypatch, "sequences")
    both(taking(bench, newest), taking(bench, between))
    assert bench.breaks() == {}


@pytest.mark.money
def test_of_two_files_that_tell_of_one_order_at_once_one_has_it_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{bench.charge('1')},SR1,1250.00,KES,OK,"
    paths = [bench.file(line, name=named(0, 1)), bench.file(line, "x,y,0.00,KES,KO,", name=named(0, 2))]
    meet_behind(monkeypatch, "matched")
    came = both(*(taking(bench, path) for path in paths))
    assert sorted((one.found.matched, one.found.breaks["duplicate"]) for one in came) == [(0, 1), (1, 0)]


@pytest.mark.money
def test_what_one_file_tells_while_another_misses_it_is_not_missing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = bench.charge("1")
    without, having = bench.file(name=named(0, 1)), bench.file(f"{paid},SR1,1250.00,KES,OK,", name=named(0, 2))
    looked = carrier_files.untold
    is_told = threading.Event()

    def look_first(*arguments: Any) -> Any:  # Any: as `untold` has them.
        found = list(looked(*arguments))
        if not is_told.is_set():
            is_told.set()
            taking(bench, having)()
        return found

    monkeypatch.setattr(carrier_files, "untold", look_first)
    bench.take(without)
    assert bench.breaks() == {}
