"""A carrier's file against the books: what fits, what is evidence, what a person must look at, and what is refused."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.core.fees import FeeSchedule, Rates
from gateway.core.payment import Capture, ChargeTakenBack
from gateway.engine import reconciliation
from gateway.engine.reconciliation import Refused
from gateway.engine.write_offs import WriteOff
from gateway.store.apply import Store
from gateway.store.engine import begin_write
from gateway.store.fee_schedules import add_schedule
from gateway.store.unit import Needs
from tests.engine.file_bench import BY_REFERENCE, LINES, ZONE, Bench, a_bench, today
from tests.store.bench import Odd, a_captured_payment, applied, count, rows
from tests.store.refund_bench import declined, done, refunded


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


def named(day: int, number: int) -> str:
    """A file's name, so many days from today."""
    return f"acme_{(datetime.now(ZONE) + timedelta(days=day)).strftime('%Y%m%d')}_{number}.csv"


@pytest.mark.money
def test_a_day_that_fits_leaves_nothing_to_look_at(bench: Bench) -> None:
    paid, refused = bench.charge("1"), bench.decline("2")
    report = bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", f"{refused},,1250.00,KES,KO,"))
    assert (report.found.matched, report.found.resolved, report.found.breaks.total()) == (2, 0, 0)
    assert report.file.state == "taken" and bench.breaks() == {}


@pytest.mark.money
@pytest.mark.parametrize(("said", "state"), [("OK", "captured"), ("KO", "ended")], ids=["charged", "never charged"])
def test_the_file_ends_what_nobody_knew(bench: Bench, said: str, state: str) -> None:
    paid, lost = bench.charge("1"), bench.lose("2")
    report = bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", f"{lost},SR2,1250.00,KES,{said},"))
    assert (report.found.resolved, bench.breaks()) == (1, {})
    assert bench.state(lost) == state
    told = rows(bench.url, "SELECT kind FROM outbox WHERE kind = 'sms'")
    assert told, "the phone is told"


@pytest.mark.money
def test_a_charge_of_a_payment_that_has_failed_is_given_back(bench: Bench) -> None:
    failed = bench.decline("1")
    assert bench.take(bench.file(f"{failed},SR1,1250.00,KES,OK,")).found.resolved == 1
    assert bench.entries("late_charge") and bench.state(failed) == "ended"
    [order] = rows(bench.url, "SELECT kind FROM outbox WHERE kind = 'reverse'")
    assert order.kind == "reverse"


@pytest.mark.money
def test_a_charge_that_the_carrier_took_back_is_reversed_here(bench: Bench) -> None:
    paid = bench.charge("1")
    bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", f"{paid},SR1,-1250.00,KES,REV,"))
    assert bench.state(paid) == "reversed" and len(bench.entries("clawback")) == 2


@pytest.mark.money
def test_each_kind_of_contradiction_is_a_break_with_its_money_at_risk(bench: Bench) -> None:
    ids = [bench.charge(str(n)) for n in range(1, 8)]
    report = bench.take(
        bench.file(
            f"{ids[0]},SR1,1200.00,KES,OK,",
            f"{ids[1]},SR2,1250.00,UGX,OK,",
            f"{ids[2]},SR3,1250.00,KES,KO,",
            f"{ids[3]},SR4,1250.00,KES,OK,",
            f"{ids[3]},SR4,1250.00,KES,OK,",
            f"{ids[4]},SR5,1250.00,KES,OK,12.50",
            "att_nobody,SR9,77.00,KES,OK,",
            "att_nobody,SR9,77.00,KES,KO,",
        )
    )
    assert dict(report.found.at_risk_minor) == bench.breaks() | {"missing_at_carrier": 4 * 125_000}
    assert dict(report.found.breaks) == {
        **{"amount": 1, "currency": 1, "status": 1, "duplicate": 1, "fee": 1, "missing_here": 1},
        "missing_at_carrier": 4,
    }
    assert {kind: minor for kind, minor in bench.breaks().items() if kind != "missing_at_carrier"} == {
        **{"amount": 5_000, "currency": 125_000, "status": 125_000, "duplicate": 125_000, "fee": 1_250},
        "missing_here": 7_700,
    }
    assert (report.found.ignored, report.found.resolved) == (1, 0)


@pytest.mark.money
def test_a_wrong_amount_ends_no_unknown_outcome(bench: Bench) -> None:
    lost = bench.lose("1")
    paid = bench.charge("2")
    bench.take(bench.file(f"{lost},SR1,1249.99,KES,OK,", f"{paid},SR2,1250.00,KES,OK,"))
    assert bench.state(lost) == "charging" and bench.breaks() == {"amount": 1}


@pytest.mark.money
def test_a_file_with_the_carriers_reference_only_finds_what_it_is_about(bench: Bench) -> None:
    bench.charge("1")
    path = bench.folder / f"ref_{today()}.txt"
    path.write_text("SR1;1250.00;OK\nSR2;1.00;OK\n", encoding="utf-8")
    found = bench.take(path, BY_REFERENCE).found
    assert (found.matched, dict(found.breaks)) == (1, {"missing_here": 1})


@pytest.mark.money
def test_a_file_of_json_lines_ends_what_nobody_knew(bench: Bench) -> None:
    bench.charge("2")
    lost = bench.lose("1")
    path = bench.folder / f"{today()}.jsonl"
    path.write_text(f'{{"id":"{lost}","minor":125000,"state":"OK"}}\n', encoding="utf-8")
    assert bench.take(path, LINES).found.resolved == 1
    assert bench.state(lost) == "captured"


@pytest.mark.money
def test_the_same_content_is_taken_once_whatever_its_name(bench: Bench) -> None:
    line = f"{bench.charge('1')},SR1,1250.00,KES,OK,"
    bench.take(bench.file(line))
    for name in ("", named(1, 2)):
        with pytest.raises(Refused, match="known; its content was taken as acme_"):
            bench.take(bench.file(line, name=name))
    with pytest.raises(Refused, match="was taken for that date and number, with another content"):
        bench.take(bench.file(line, line))
    assert (count(bench.url, "carrier_file"), count(bench.url, "carrier_match")) == (1, 1)


def test_two_quiet_days_are_two_files(bench: Bench) -> None:
    for name in (named(0, 1), named(1, 2)):
        assert bench.take(bench.file(name=name)).file.rows == 0
    with pytest.raises(Refused, match="known"):
        bench.take(bench.file(name=named(1, 2)))
    assert bench.breaks() == {}


@pytest.mark.money
@pytest.mark.parametrize(
    ("trailer", "why"),
    [
        ("T,3,1250.00,", "the trailer counts 3 rows, and there are 1"),
        ("T,1,1250.01,", "the trailer's total is 125001, and the rows come to 125000"),
        ("T,1,,\nx,y,1.00,KES,OK,", "there is something behind the trailer"),
        ("", "the trailer is missing"),
    ],
)
def test_of_a_file_that_is_wrong_in_itself_nothing_counts(bench: Bench, trailer: str, why: str) -> None:
    bench.charge("2")
    lost = bench.lose("1")
    path = bench.file(f"{lost},SR1,1250.00,KES,OK,", trailer=trailer)
    for _ in range(2):
        with pytest.raises(Refused, match=why):
            bench.take(path)
    assert bench.state(lost) == "charging" and list(bench.breaks()) == ["control_total"]
    # The carrier sends it again under the same name, and whole.
    whole = bench.file(f"{lost},SR1,1250.00,KES,OK,", trailer="T,1,1250.00,")
    assert bench.take(whole).found.resolved == 1


def test_a_file_that_should_have_come_is_missed_until_it_comes(bench: Bench) -> None:
    bench.take(bench.file(name=named(-3, 1)))
    report = bench.take(bench.file("x,y,0.00,KES,KO,", name=named(0, 4)))
    assert dict(report.found.breaks) == {"file_missing": 4}, "two days and two numbers"
    bench.take(bench.file("x,z,0.00,KES,KO,", name=named(-2, 2)))
    left = rows(bench.url, 'SELECT detail FROM "break" WHERE resolved_at_ms IS NULL')
    assert len(left) == 2 and any("number 3" in row.detail for row in left)


@pytest.mark.money
def test_what_a_later_file_tells_is_late_and_missing_no_more(bench: Bench) -> None:
    paid = bench.charge("1")
    bench.take(bench.file())
    assert bench.breaks() == {"missing_at_carrier": 125_000}
    bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", name=named(1, 2)))
    assert bench.breaks() == {"late": 0}


@pytest.mark.money
def test_a_dry_run_says_the_same_and_writes_nothing(bench: Bench) -> None:
    paid, lost = bench.charge("1"), bench.lose("2")
    path = bench.file(f"{paid},SR1,1250.00,KES,OK,", f"{lost},SR2,1250.00,KES,OK,", "x,SR3,1.00,KES,OK,")
    tried = bench.take(path, dry_run=True)
    assert (count(bench.url, "carrier_file"), bench.breaks(), bench.state(lost)) == (0, {}, "charging")
    assert bench.take(path).found == tried.found


@pytest.mark.money
def test_a_reader_that_was_stopped_goes_on_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "ROWS_MAX", 1)
    ids = [bench.lose(str(n)) for n in range(1, 4)]
    path = bench.file(*(f"{one},SR{n},1250.00,KES,OK," for n, one in enumerate(ids)))
    whole = Store.apply
    calls = []

    def stops(store: Store, jobs: object) -> object:
        calls.append(jobs)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(store, jobs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Store, "apply", stops)
        with pytest.raises(KeyboardInterrupt):
            bench.take(path)
    assert [bench.state(one) for one in ids] == ["captured", "charging", "charging"]
    assert bench.take(path).file.state == "taken"
    assert [bench.state(one) for one in ids] == ["captured"] * 3 and bench.breaks() == {}


@pytest.mark.money
def test_what_the_carrier_pays_is_booked_when_the_sums_agree(bench: Bench) -> None:
    ids = [bench.charge("1"), bench.charge("2")]
    lines = [f"{one},SR{n},1250.00,KES,OK," for n, one in enumerate(ids, start=1)]
    report = bench.take(bench.file(*lines, trailer="T,2,2500.00,2500.00"))
    assert (report.file.remittance, bench.breaks()) == ("posted", {})
    assert bench.entries("remittance") == [("bank:main", 250_000), ("carrier:acme:receivable", -250_000)]
    assert count(bench.url, "remitted_attempt") == 2


@pytest.mark.money
def test_what_the_carrier_takes_back_later_it_keeps_of_a_later_payment(bench: Bench) -> None:
    taken_back, paid = bench.charge("1"), bench.charge("2")
    bench.take(bench.file(f"{taken_back},SR1,1250.00,KES,OK,", trailer="T,1,,1250.00", name=named(0, 1)))
    lines = (f"{taken_back},SR1,1250.00,KES,REV,", f"{paid},SR2,1250.00,KES,OK,")
    report = bench.take(bench.file(*lines, trailer="T,2,0.00,0.00", name=named(1, 2)))
    assert report.file.remittance == "posted"
    assert rows(bench.url, "SELECT count(*) AS n FROM remitted_attempt")[0].n == 2


@pytest.mark.money
@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "a file each"])
@pytest.mark.parametrize(
    ("returned", "paid"), [(("carrier_share",), (95_000, -53_200)), ((), (95_000, -70_000))], ids=["returned", "kept"]
)
def test_of_what_is_refunded_out_of_escrow_the_carrier_gives_its_share_back(
    bench: Bench, returned: tuple[str, ...], paid: tuple[int, int], is_one_file: bool
) -> None:
    rates = Rates(currency="KES", carrier_share_basis_points=2_400, returned=returned)  # type: ignore[arg-type]
    with begin_write(bench.store._engine) as conn:
        fees = add_schedule(conn, FeeSchedule(name="standard", rates=(rates,)), 1).id
    payment = a_captured_payment(bench.store, capture=Capture.ESCROW, fee_schedule=fees)
    order = refunded(bench.store, payment, 70_000)
    applied(bench.store, done(order))
    charge = f"{payment.attempt_id},SR1,1250.00,KES,OK,"
    refund = f"{order.body['attempt_id']},SR9,-700.00,KES,REFUND,"
    if is_one_file:
        files = [bench.file(charge, refund, trailer=f"T,2,550.00,{Decimal(sum(paid)) / 100}")]
    else:
        files = [
            bench.file(line, name=named(0, n), trailer=f"T,1,,{Decimal(minor) / 100}")
            for n, (line, minor) in enumerate(zip((charge, refund), paid, strict=True), start=1)
        ]
    assert {bench.take(file).file.remittance for file in files} == {"posted"}


@pytest.mark.money
@pytest.mark.parametrize("said", ["REV", "REFUND"])
def test_what_a_carrier_gives_back_beside_a_refund_is_no_part_of_it(bench: Bench, said: str) -> None:
    """The carrier tells both under the charge; only the words are others."""
    payment = a_captured_payment(bench.store)
    order = refunded(bench.store, payment, 30_000)
    applied(bench.store, done(order))
    event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id or "")
    applied(bench.store, Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))
    lines = [f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{order.body['attempt_id']},SR9,-300.00,KES,{said},"]
    last = f"{payment.attempt_id},SR1,-950.00,KES,REV,"
    report = bench.take(bench.file(*lines, last, trailer="T,3,0.00,0.00"))
    # What is less than the charge a person looks at; the sums agree.
    assert (report.file.remittance, bench.breaks()) == ("posted", {"amount": 30_000})


@pytest.mark.money
def test_a_difference_is_a_break_until_two_persons_give_it_up(bench: Bench) -> None:
    paid = bench.charge("1")
    path = bench.file(f"{paid},SR1,1250.00,KES,OK,", trailer="T,1,1250.00,1200.00")
    assert bench.take(path).file.remittance == "open"
    assert (bench.breaks(), bench.entries("remittance")) == ({"remittance": 5_000}, [])
    assert bench.take(path).file.remittance == "open", "a second look finds the same"
    [found] = rows(bench.url, 'SELECT id FROM "break"')
    applied(bench.store, WriteOff(found.id, "asha", "their rounding"))
    with pytest.raises(ValueError, match="asha proposed it, so another person has to agree"):
        applied(bench.store, WriteOff(found.id, "asha", "really"))
    assert bench.entries("write_off") == []
    applied(bench.store, WriteOff(found.id, "juma", "agreed"))
    assert bench.entries("write_off") == [("carrier:acme:receivable", -5_000), ("write_off", 5_000)]
    assert bench.take(path).file.remittance == "posted"
    assert bench.entries("remittance") == [("bank:main", 120_000), ("carrier:acme:receivable", -120_000)]
    with pytest.raises(ValueError, match="was resolved before, by juma"):
        applied(bench.store, WriteOff(found.id, "ali", "me too"))


@pytest.mark.money
def test_a_difference_is_written_off_as_it_is_now(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    order = refunded(bench.store, payment, 30_000)
    event = ChargeTakenBack(at_ms=payment.updated_at_ms, attempt_id=payment.attempt_id or "")
    applied(bench.store, Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))
    lines = (
        f"{payment.attempt_id},SR1,{amount},KES,{said}," for amount, said in (("1250.00", "OK"), ("-1250.00", "REV"))
    )
    path = bench.file(*lines, trailer="T,2,0.00,-50.00")
    bench.take(path)
    assert bench.breaks() == {"remittance": 35_000}, "the refund may still be carried out"
    [found] = rows(bench.url, 'SELECT id FROM "break"')
    applied(bench.store, WriteOff(found.id, "asha", "their rounding"))
    applied(bench.store, declined(order))
    assert bench.take(path).file.remittance == "open"
    assert bench.breaks() == {"remittance": 5_000}
    applied(bench.store, WriteOff(found.id, "juma", "agreed"))
    assert bench.entries("write_off") == [], "nobody has agreed to this sum yet"
    applied(bench.store, WriteOff(found.id, "asha", "still"))
    assert bench.take(path).file.remittance == "posted"


def test_a_name_of_another_layout_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="expected a name like acme_"):
        bench.take(bench.file(name="cdr.csv"))
