"""The operator's file tells what its book has, and is wrong only where it was told to be."""

import csv
import io
from decimal import Decimal

import pytest

from simulators.billing_book import Book, Order
from simulators.billing_file import HEAD, FileKnobs, write_file
from simulators.journal import Journals


def a_book(*correlators: str) -> Book:
    book = Book(Journals(None).billing)
    for correlator in correlators:
        order = Order(
            kind="charge",
            correlator=correlator,
            msisdn="+254700000001",
            amount=Decimal("12.50"),
            amount_text="12.50",
            currency="KES",
            description="Box",
            reference="R",
        )
        book.execute(book.open(order), decline="barred" if correlator == "no" else None)
    return book


def order_about(book: Book, hold: str, kind: str, amount: str) -> None:
    """A step of the reservation *hold*, carried out."""
    reservation = book.transactions.get(hold)
    order = Order(
        kind=kind,
        correlator=hold if reservation is None else f"{hold}.{kind}",
        msisdn="+254700000001",
        amount=Decimal(amount),
        amount_text=amount,
        currency="KES",
        description="Box",
        reference="R",
        hold=None if reservation is None else reservation.server_reference,
    )
    book.execute(book.open(order))


def told(book: Book, **knobs: object) -> list[list[str]]:
    """The lines behind the head, with correlator, amount and result only; then the trailer."""
    head, *lines, trailer = csv.reader(io.StringIO(write_file(book, FileKnobs(**knobs))))  # type: ignore[arg-type]
    assert tuple(head) == HEAD
    return [[line[1], line[3], line[5]] for line in lines] + [trailer]


def test_the_file_is_the_book() -> None:
    lines = [["a", "12.50", "Charged"], ["no", "12.50", "Denied"], ["TRAILER", "2", "12.50", ""]]
    assert told(a_book("a", "no")) == lines


def test_each_knob_does_what_it_says() -> None:
    found = told(a_book("a", "b", "c"), drop=("a",), wrong_amount=("b",), duplicate=("c",), extra=1, remitted=True)
    assert found == [
        ["b", "13.00", "Charged"],
        ["c", "12.50", "Charged"],
        ["c", "12.50", "Charged"],
        ["extra-1", "10.00", "Charged"],
        ["TRAILER", "4", "48.00", "48.00"],
    ]
    assert told(a_book("a"), bad_trailer=True)[-1] == ["TRAILER", "2", "12.50", ""]


def test_only_what_ended_in_the_day_stands_there() -> None:
    assert told(a_book("a"), day="1999-12-31") == [["TRAILER", "0", "0", ""]]


def test_a_reservation_stands_there_once_it_is_captured_and_with_what_was_taken() -> None:
    book = a_book()
    for hold in ("taken", "freed", "stands"):
        order_about(book, hold, "reserve", "12.50")
    order_about(book, "taken", "capture", "5.00")
    order_about(book, "taken", "release", "7.50")
    order_about(book, "freed", "release", "12.50")
    order_about(book, "freed", "capture", "12.50")
    assert told(book) == [["taken", "5.00", "Charged"], ["TRAILER", "1", "5.00", ""]]


def test_too_many_extra_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="extra must be 0 to"):
        FileKnobs(extra=-1)
