"""What a carrier pays for a file: whose word books it, and whose does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.engine.reconciliation import Refused
from gateway.engine.remittances import BookRemittance
from gateway.engine.write_offs import WriteOff
from gateway.store.carrier_files import CarrierFile
from gateway.store.cases import Case, resolve
from tests.engine.file_bench import Bench, a_bench
from tests.engine.test_reconciliation import break_of
from tests.store.bench import Odd, applied, rows

pytestmark = pytest.mark.money

WORDS = "statement of 25/11, line 7"


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path) as opened:
        yield opened


def resolved(bench: Bench, break_id: str) -> Case:
    """The word of one person. Raise ValueError if it is not enough."""
    words = "asked the carrier"
    job = Odd(lambda unit: resolve(unit.conn, "break", break_id, by="asha", note=words, now_ms=unit.now_ms))
    result = applied(bench.store, job).applied[0].result
    assert isinstance(result, Case)
    return result


def remittance(bench: Bench) -> str:
    return str(rows(bench.url, "SELECT remittance FROM carrier_file")[0].remittance)


def test_one_person_ends_no_difference_that_keeps_a_payment_from_being_booked(bench: Bench) -> None:
    bench.take(bench.file(f"{bench.charge('1')},SR1,1200.00,KES,OK,", trailer="T,1,1200.00,1200.00"))
    difference = break_of(bench, "remittance", 5_000)
    with pytest.raises(ValueError, match="settle the file's other breaks and give it to `gateway reconcile` again"):
        resolved(bench, difference)
    for person in ("asha", "juma"):
        applied(bench.store, WriteOff(difference, person, "their mistake"))
    assert remittance(bench) == "posted"
    assert resolved(bench, break_of(bench, "amount", 5_000)).resolution == "asked the carrier"
    with pytest.raises(ValueError, match="was resolved before, by juma"):
        resolved(bench, difference)


def said(bench: Bench, amount_minor: int, by: str) -> CarrierFile:
    """What one person saw on the bank's statement."""
    [file] = rows(bench.url, "SELECT id FROM carrier_file")
    job = BookRemittance(file.id, amount_minor, by, WORDS)
    result = applied(bench.store, job).applied[0].result
    assert isinstance(result, CarrierFile)
    return result


def a_file_without_a_word(bench: Bench) -> None:
    """One charge of KES 1,250.00, and nothing about what is paid for it."""
    assert bench.take(bench.file(f"{bench.charge('1')},SR1,1250.00,KES,OK,")).file.remittance == "none"


def test_what_no_file_tells_is_booked_on_the_word_of_two_persons(bench: Bench) -> None:
    a_file_without_a_word(bench)
    first = said(bench, 125_000, "asha")
    assert (first.remitted_minor, first.proposed_by, bench.entries("remittance")) == (None, "asha", [])
    with pytest.raises(ValueError, match="asha proposed it, so another person has to agree"):
        said(bench, 125_000, "asha")
    with pytest.raises(ValueError, match="asha proposed it, so another person has to agree"):
        said(bench, 125_000, "Asha ")  # However it is typed.
    second = said(bench, 125_000, "juma")
    assert (second.remittance, second.remitted_by) == ("posted", f"asha ({WORDS}) and juma ({WORDS})")
    assert bench.entries("remittance") == [("bank:main", 125_000), ("carrier:acme:receivable", -125_000)]
    assert len(rows(bench.url, "SELECT attempt_id FROM remitted_attempt")) == 1
    with pytest.raises(ValueError, match="its payment is booked, on the word of asha"):
        said(bench, 125_000, "ali")


def test_two_persons_who_say_two_sums_have_agreed_on_none(bench: Bench) -> None:
    a_file_without_a_word(bench)
    said(bench, 125_000, "asha")
    assert said(bench, 120_000, "juma").proposed_by == "juma"
    assert (remittance(bench), bench.entries("remittance")) == ("none", [])


def test_a_sum_that_is_not_that_of_the_books_is_a_break_until_it_is_corrected_or_given_up(bench: Bench) -> None:
    a_file_without_a_word(bench)
    for person in ("asha", "juma"):
        said(bench, 120_000, person)
    assert (remittance(bench), bench.breaks()) == ("open", {"remittance": 5_000})
    for person in ("asha", "juma"):
        said(bench, 124_000, person)
    assert (remittance(bench), bench.breaks()) == ("open", {"remittance": 1_000})
    for person in ("asha", "juma"):
        applied(bench.store, WriteOff(break_of(bench, "remittance", 1_000), person, "their fee"))
    assert (remittance(bench), bench.breaks()) == ("posted", {})
    assert ("bank:main", 124_000) in bench.entries("remittance")


def test_what_a_trailer_says_no_person_says_otherwise(bench: Bench) -> None:
    bench.take(bench.file(f"{bench.charge('1')},SR1,1250.00,KES,OK,", trailer="T,1,,1200.00"))
    with pytest.raises(ValueError, match="its trailer says what is paid"):
        said(bench, 125_000, "asha")


def test_nothing_is_booked_for_a_file_of_which_nothing_counts(bench: Bench) -> None:
    with pytest.raises(Refused):
        bench.take(bench.file(f"{bench.charge('1')},SR1,1250.00,KES,OK,", trailer="T,2,,"))
    with pytest.raises(ValueError, match="is not read to its end"):
        said(bench, 0, "asha")
