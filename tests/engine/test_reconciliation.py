"""A carrier's file against the books: what fits, what is evidence, what a person must look at, and what is refused."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from carriers import base
from gateway.core.fees import FeeSchedule, Rates
from gateway.core.money import Money
from gateway.core.payment import Capture, ChargeTakenBack, Rules
from gateway.engine import reconciliation
from gateway.engine.reconciliation import Refused
from gateway.engine.refund_jobs import RefundDone
from gateway.engine.write_offs import WriteOff
from gateway.store.apply import Store
from gateway.store.cases import resolve
from gateway.store.engine import begin_write
from gateway.store.fee_schedules import add_schedule
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs
from gateway.store.verify import verify
from tests.engine.file_bench import BY_REFERENCE, FILES, LINES, ZONE, Bench, a_bench, today
from tests.store.bench import CARRIERS, Odd, a_captured_payment, an_engine, an_order, applied, count, rows
from tests.store.refund_bench import a_refund, balances, declined, done, refunded

HELD = base.Held(carrier_reference="SR1", amount=Money(125_000, "KES"))


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
@pytest.mark.parametrize("known", [base.Unknown(detail="timed out"), HELD, None], ids=["lost", "held", "declined"])
def test_what_was_to_be_held_only_and_stands_as_charged_goes_back(
    database_url: str, tmp_path: Path, known: base.ReserveResult | None
) -> None:
    with a_bench(database_url, tmp_path, rules=dict.fromkeys(CARRIERS, Rules(holds=True))) as bench:
        order = an_order(bench.store, capture=Capture.MANUAL)
        attempt = str(order.body["attempt_id"])
        bench.answer(order, known or base.Declined(reason="carrier_declined", detail="no"))
        report = bench.take(bench.file(f"{attempt},SR1,1250.00,KES,OK,"))
        assert (report.found.resolved, bench.breaks(), bench.state(attempt)) == (1, {}, "ended")
        back = f"{attempt.replace('att_', 'rev_')},BK1,-1250.00,KES,REV,"
        later = bench.take(bench.file(back, name=named(1, 2)))
        assert (later.found.resolved, bench.breaks(), balances(bench.url)) == (1, {}, {})
        with an_engine(bench.url) as engine, engine.connect() as conn:
            assert verify(conn) == []


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
def test_a_row_in_another_currency_tells_nothing_of_its_order(bench: Bench) -> None:
    """The row that does is not its second, nor is the order told without one."""
    lost, paid = bench.lose("1"), bench.charge("2")
    lines = [f"{one},SR{n},1250.00,UGX,OK," for n, one in enumerate((lost, paid), start=1)]
    path = bench.file(*lines, f"{lost},SR1,1250.00,KES,OK,")
    tried = bench.take(path, dry_run=True).found
    found = bench.take(path).found
    assert (found.resolved, dict(found.breaks)) == (1, {"currency": 2, "missing_at_carrier": 1})
    assert (bench.state(lost), found) == ("captured", tried)


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
def test_a_refund_that_was_declined_and_stands_in_the_file_was_carried_out(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    order = refunded(bench.store, payment, 30_000)
    applied(bench.store, declined(order))
    lines = (f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{order.body['attempt_id']},SR9,-300.00,KES,REFUND,")
    report = bench.take(bench.file(*lines, trailer="T,2,950.00,950.00"))
    assert (report.found.resolved, report.file.remittance, bench.breaks()) == (1, "posted", {})
    assert receivable(bench) == 0


@pytest.mark.money
def test_a_refund_that_was_carried_out_beyond_what_was_taken_is_in_the_report(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    first = refunded(bench.store, payment, 100_000)
    applied(bench.store, declined(first))
    second = refunded(bench.store, payment, 100_000, "r-2")
    applied(bench.store, done(second))
    back = [f"{one.body['attempt_id']},SR9,-1000.00,KES,REFUND," for one in (first, second)]
    file = bench.file(f"{payment.attempt_id},SR1,1250.00,KES,OK,", *back, trailer="T,3,-750.00,-750.00")
    for dry_run in (True, False):
        found = bench.take(file, dry_run=dry_run).found
        assert found.breaks == {"mismatch": 1} | ({} if dry_run else {"remittance": 1})
    assert bench.breaks().keys() == {"mismatch", "remittance"}


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
    assert (report.file.remittance, bench.breaks()) == ("posted", {})


@pytest.mark.money
def test_a_refund_that_was_declined_is_not_meant_when_its_twin_was_carried_out(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    applied(bench.store, declined(refunded(bench.store, payment, 30_000)))
    applied(bench.store, done(refunded(bench.store, payment, 30_000, "r-2")))
    lines = (f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{payment.attempt_id},SR1,-300.00,KES,REFUND,")
    report = bench.take(bench.file(*lines, trailer="T,2,950.00,950.00"))
    assert (report.found.matched, report.file.remittance, bench.breaks()) == (2, "posted", {})
    assert receivable(bench) == 0


@pytest.mark.money
@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "a file each"])
@pytest.mark.parametrize("is_own_id", [True, False], ids=["its own id", "the charge's id"])
def test_one_refund_told_under_both_words_counts_once(
    sqlite_url: str, tmp_path: Path, is_own_id: bool, is_one_file: bool
) -> None:
    with a_bench(sqlite_url, tmp_path) as bench:
        payment = a_captured_payment(bench.store)
        order = refunded(bench.store, payment, 30_000)
        applied(bench.store, done(order))
        told = order.body["attempt_id"] if is_own_id else payment.attempt_id
        first = (f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{told},SR9,-300.00,KES,REFUND,")
        again = f"{told},SR9,-300.00,KES,REV,"
        if is_one_file:
            bench.take(bench.file(*first, again, trailer="T,3,650.00,950.00"))
        else:
            bench.take(bench.file(*first, trailer="T,2,950.00,950.00", name=named(0, 1)))
            bench.take(bench.file(again, trailer="T,1,-300.00,0.00", name=named(1, 2)))
        assert (bench.breaks(), receivable(bench)) == ({"duplicate": 30_000}, 0)
        assert {row.remittance for row in rows(bench.url, "SELECT remittance FROM carrier_file")} == {"posted"}


@pytest.mark.money
def test_one_reversal_told_under_both_words_counts_once(bench: Bench) -> None:
    failed = bench.decline("1")
    bench.take(bench.file(f"{failed},SR1,1250.00,KES,OK,", trailer="T,1,,1250.00", name=named(0, 1)))
    told = (f"{failed},SR1,-1250.00,KES,REFUND,", f"{failed},SR1,-1250.00,KES,REV,")
    bench.take(bench.file(*told, trailer="T,2,,-1250.00", name=named(1, 2)))
    assert (bench.breaks(), receivable(bench)) == ({"duplicate": 125_000}, 0)


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
        applied(bench.store, WriteOff(found.id, "Asha ", "really"))
    assert bench.entries("write_off") == []
    applied(bench.store, WriteOff(found.id, "juma", "agreed"))
    assert bench.entries("write_off") == [("carrier:acme:receivable", -5_000), ("write_off", 5_000)]
    assert bench.entries("remittance") == [("bank:main", 120_000), ("carrier:acme:receivable", -120_000)]
    with pytest.raises(Refused, match="known; its content was taken"):
        bench.take(path)
    with pytest.raises(ValueError, match="was resolved before, by juma"):
        applied(bench.store, WriteOff(found.id, "ali", "me too"))


def gives_up(bench: Bench, break_id: str) -> None:
    """Two persons write the break off. Raise ValueError if nobody may."""
    for person in ("asha", "juma"):
        applied(bench.store, WriteOff(break_id, person, "their mistake"))


def receivable(bench: Bench) -> int:
    statement = "SELECT coalesce(sum(amount_minor), 0) AS n FROM leg WHERE account = 'carrier:acme:receivable'"
    return int(rows(bench.url, statement)[0].n)


def given_up(bench: Bench) -> int:
    return sum(amount_minor for account, amount_minor in bench.entries("write_off") if account == "write_off")


def break_of(bench: Bench, kind: str, amount_minor: int) -> str:
    statement = 'SELECT id FROM "break" WHERE kind = :kind AND amount_minor = :minor'
    return str(rows(bench.url, statement, kind=kind, minor=amount_minor)[0].id)


@pytest.mark.money
@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("amount", "remittance", "was resolved before, by reconcile: the sums agree now"),
        (
            "remittance",
            "amount",
            r"the carrier owes nothing more of pay_\w+, and this would give up 5000; the rest was paid",
        ),
    ],
)
def test_a_difference_of_a_row_and_of_its_file_is_given_up_once(
    bench: Bench, first: str, second: str, why: str
) -> None:
    bench.take(bench.file(f"{bench.charge('1')},SR1,1200.00,KES,OK,", trailer="T,1,1200.00,1200.00"))
    assert bench.breaks() == {"amount": 5_000, "remittance": 5_000}
    other = break_of(bench, second, 5_000)
    gives_up(bench, break_of(bench, first, 5_000))
    assert bench.entries("remittance") == [("bank:main", 120_000), ("carrier:acme:receivable", -120_000)]
    with pytest.raises(ValueError, match=why):
        gives_up(bench, other)
    assert (given_up(bench), receivable(bench)) == (5_000, 0)


@pytest.mark.money
def test_what_is_given_up_of_a_row_makes_the_difference_of_its_file_smaller(bench: Bench) -> None:
    lines = (f"{bench.charge('1')},SR1,1200.00,KES,OK,", f"{bench.charge('2')},SR2,1250.00,KES,OK,")
    path = bench.file(*lines, trailer="T,2,2450.00,2400.00")
    bench.take(path)
    remittance = break_of(bench, "remittance", 10_000)
    applied(bench.store, WriteOff(remittance, "ali", "all of it"))
    gives_up(bench, break_of(bench, "amount", 5_000))
    assert bench.breaks() == {"remittance": 5_000}, "and what ali proposed was another sum"
    assert bench.take(path).file.remittance == "open" and bench.breaks() == {"remittance": 5_000}
    gives_up(bench, remittance)
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, 10_000, 0)
    assert rows(bench.url, "SELECT remittance FROM carrier_file")[0].remittance == "posted"


@pytest.mark.money
def test_what_the_carrier_keeps_too_much_is_given_up_as_its_fee_and_booked(bench: Bench) -> None:
    line = f"{bench.charge('1')},SR1,1250.00,KES,OK,12.50"
    bench.take(bench.file(line, trailer="T,1,1250.00,1237.50"))
    gives_up(bench, break_of(bench, "fee", 1_250))
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, 1_250, 0)


@pytest.mark.money
@pytest.mark.parametrize("order", list(permutations(["amount 5000", "fee 700", "remittance 6000"])))
def test_whatever_is_tried_first_no_more_is_given_up_than_is_lacking(
    sqlite_url: str, tmp_path: Path, order: tuple[str, ...]
) -> None:
    """One row says less, one less, one more than our books; one keeps a fee that we do not know."""
    with a_bench(sqlite_url, tmp_path) as bench:
        told = ("1200.00,KES,OK,", "1230.00,KES,OK,", "1267.00,KES,OK,", "1250.00,KES,OK,7.00")
        lines = [f"{bench.charge(str(n))},SR{n},{said}" for n, said in enumerate(told, start=1)]
        bench.take(bench.file(*lines, trailer="T,4,,4940.00"))
        names = {one: break_of(bench, one.split()[0], int(one.split()[1])) for one in order}
        for one in order:
            with suppress(ValueError):
                gives_up(bench, names[one])
        if "remittance" in bench.breaks():  # What no row's break was given up for.
            gives_up(bench, names["remittance 6000"])
        assert (given_up(bench), receivable(bench)) == (6_000, 0)


@pytest.mark.money
def test_a_payment_is_not_given_up_twice_nor_after_it_was_paid(bench: Bench) -> None:
    paid, given = bench.charge("1"), bench.charge("2")
    bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", trailer="T,1,1250.00,1250.00"))
    gives_up(bench, break_of(bench, "missing_at_carrier", 125_000))
    lines = (f"{paid},SR1,1250.00,KES,KO,", f"{given},SR2,1200.00,KES,OK,")
    bench.take(bench.file(*lines, name=named(1, 2)))
    with pytest.raises(ValueError, match=r"the carrier owes nothing more of pay_\w+, and this would give up 125000"):
        gives_up(bench, break_of(bench, "status", 125_000))
    # What is told after all is owed again, and only what is lacking of it is given up.
    gives_up(bench, break_of(bench, "amount", 5_000))
    assert sum(minor for account, minor in bench.entries("write_off_undone") if account == "write_off") == -125_000
    assert (given_up(bench), receivable(bench)) == (130_000, 120_000)


@pytest.mark.money
def test_what_was_given_back_and_no_file_has_is_not_owed_to_us(bench: Bench) -> None:
    paid = bench.charge("1")
    payment_id = rows(bench.url, "SELECT payment_id FROM attempt WHERE id = :id", id=paid)[0].payment_id
    [order] = [row for row in applied(bench.store, a_refund(payment_id, 25_000)).rows if row.kind == "refund"]
    applied(bench.store, done(order))
    bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,"))
    assert bench.breaks() == {"missing_at_carrier": -25_000}
    with pytest.raises(ValueError, match="expected money that a carrier owes us"):
        gives_up(bench, break_of(bench, "missing_at_carrier", -25_000))


@pytest.mark.money
@pytest.mark.parametrize(
    ("told", "kind", "minor"), [("-250.00,KES,REFUND,", "amount", -5_000), ("-300.00,KES,KO,", "status", -30_000)]
)
def test_what_the_carrier_gave_back_less_of_is_not_owed_to_us(
    sqlite_url: str, tmp_path: Path, told: str, kind: str, minor: int
) -> None:
    with a_bench(sqlite_url, tmp_path) as bench:
        payment = a_captured_payment(bench.store)
        order = refunded(bench.store, payment, 30_000)
        applied(bench.store, done(order))
        bench.take(bench.file(f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{order.body['attempt_id']},SR9,{told}"))
        with pytest.raises(ValueError, match="expected money that a carrier owes us"):
            gives_up(bench, break_of(bench, kind, minor))


@pytest.mark.money
@pytest.mark.parametrize(("line", "kind"), [("", "missing_at_carrier"), ("{},SR1,1250.00,KES,KO,", "status")])
def test_what_was_given_up_and_is_paid_after_all_is_booked_once(bench: Bench, line: str, kind: str) -> None:
    paid, other = bench.charge("1"), bench.charge("2")
    lines = [f"{other},SR2,1250.00,KES,OK,", *([line.format(paid)] if line else [])]
    bench.take(bench.file(*lines, trailer=f"T,{len(lines)},,1250.00", name=named(0, 1)))
    gives_up(bench, break_of(bench, kind, 125_000))
    assert (given_up(bench), receivable(bench)) == (125_000, 0)
    told = f"{paid},SR1,1250.00,KES,OK,"
    later = bench.file(told, told, trailer="T,2,,1250.00", name=named(1, 2))
    assert bench.take(later, dry_run=True).found.breaks["late"] == 1
    assert bench.take(later).file.remittance == "posted"
    assert bench.entries("write_off_undone") == [("carrier:acme:receivable", 125_000), ("write_off", -125_000)]
    assert receivable(bench) == 0
    open_breaks = {name: minor for name, minor in bench.breaks().items() if minor}
    assert open_breaks == {"late": 125_000, "duplicate": 125_000}


@pytest.mark.money
def test_what_is_told_after_it_was_given_up_and_not_paid_is_owed_again(bench: Bench) -> None:
    paid, other = bench.charge("1"), bench.charge("2")
    bench.take(bench.file(f"{other},SR2,1250.00,KES,OK,", trailer="T,1,,1250.00", name=named(0, 1)))
    gives_up(bench, break_of(bench, "missing_at_carrier", 125_000))
    bench.take(bench.file(f"{paid},SR1,1250.00,KES,OK,", trailer="T,1,,0.00", name=named(1, 2)))
    assert bench.breaks() == {"late": 125_000, "remittance": 125_000} and receivable(bench) == 125_000
    gives_up(bench, break_of(bench, "remittance", 125_000))
    assert (bench.breaks(), receivable(bench)) == ({"late": 125_000}, 0)


@pytest.mark.money
def test_what_a_file_tells_both_ways_is_given_up_once(bench: Bench) -> None:
    paid = bench.charge("1")
    path = bench.file(f"{paid},SR1,1250.00,KES,OK,", f"{paid},SR1,1250.00,KES,KO,", trailer="T,2,,0.00")
    bench.take(path)
    assert bench.breaks() == {"remittance": 125_000, "status": 125_000}
    gives_up(bench, break_of(bench, "status", 125_000))
    with pytest.raises(ValueError, match="the carrier owes nothing more for"):
        gives_up(bench, break_of(bench, "remittance", 125_000))
    assert bench.take(path).file.remittance == "posted"
    assert (bench.breaks(), given_up(bench), receivable(bench)) == ({}, 125_000, 0)


def test_nothing_of_a_file_is_given_up_before_it_is_read(bench: Bench) -> None:
    bench.take(bench.file(f"{bench.charge('1')},SR1,1200.00,KES,OK,", trailer="T,1,1200.00,1200.00"))
    with an_engine(bench.url) as engine, begin_write(engine) as conn:
        conn.execute(text("UPDATE carrier_file SET state = 'reading'"))
    with pytest.raises(ValueError, match="is not read to its end; give it to `gateway reconcile` first"):
        gives_up(bench, break_of(bench, "amount", 5_000))


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
    assert rows(bench.url, "SELECT remittance FROM carrier_file")[0].remittance == "posted"


def test_a_file_that_is_read_again_tells_only_of_breaks_that_still_need_a_person(bench: Bench) -> None:
    path = bench.file(f"{bench.charge('1')},SR1,1250.00,KES,OK,", "att_x,SR9,10.00,KES,OK,", trailer="T,2,,1240.00")
    first = bench.take(path).found
    assert dict(first.breaks) == {"missing_here": 1, "remittance": 1} and bench.take(path).found.breaks == first.breaks
    stranger = break_of(bench, "missing_here", 1_000)
    words = "another gateway's"
    job = Odd(lambda unit: resolve(unit.conn, "break", stranger, by="asha", note=words, now_ms=unit.now_ms))
    applied(bench.store, job)
    assert dict(bench.take(path).found.breaks) == {"remittance": 1}


@pytest.mark.parametrize(
    ("encoding", "why"),
    [("utf-8", "expected utf-8: invalid start byte at byte 31"), ("utf-16", "expected utf-16: UTF-16")],
)
def test_a_file_in_another_encoding_is_refused(bench: Bench, encoding: str, why: str) -> None:
    path = bench.file("x,SR1,0.00,KES,KO,")
    path.write_bytes(path.read_bytes().replace(b"SR1", b"\xff"))
    with pytest.raises(Refused, match=why):
        bench.take(path, replace(FILES, encoding=encoding))


def test_a_name_of_another_layout_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="expected a name like acme_"):
        bench.take(bench.file(name="cdr.csv"))


def _nobody_knows(bench: Bench, order: OutboxRow) -> OutboxRow:
    """The carrier says nothing until a person is called, and once more. The next inquiry."""
    for _ in range(len(Rules().inquiry_ladder_ms) + 2):
        batch = applied(bench.store, RefundDone(order, base.Unknown(detail="timed out")))
        [order] = [row for row in batch.rows if row.kind == "inquire"]
    return order


def test_a_row_ends_the_alarm_about_its_own_order_and_no_other(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    told = refunded(bench.store, payment, 30_000)
    untold = refunded(bench.store, payment, 20_000, "r-2")
    waiting = [_nobody_knows(bench, order) for order in (told, untold)][1]
    bench.take(
        bench.file(f"{payment.attempt_id},SR1,1250.00,KES,OK,", f"{told.body['attempt_id']},SR9,-300.00,KES,REFUND,")
    )
    applied(bench.store, RefundDone(waiting, base.Unknown(detail="timed out")))
    statement = "SELECT detail FROM \"break\" WHERE kind = 'unknown_outcome' AND resolved_at_ms IS NULL"
    [found] = rows(bench.url, statement)
    assert untold.body["attempt_id"] in found.detail
