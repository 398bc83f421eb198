"""Cells of a CSV: what a spreadsheet would run is text, what a parser reads back is what was written."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merchants.csv_cells import COLUMNS, cell, decimal, header, line

FORMULAS = [
    "=1+1",
    "+254*****001",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x","y")',
    "=cmd|'/c calc'!A1",
    "\n=1",
]
FORMULAS += ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_has_an_apostrophe_in_front(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_other_values_stay_as_they_are() -> None:
    assert [cell(value) for value in (None, True, False, 0, 125_000, "sugar = sweet", "")] == [
        *("", "true", "false", "0", "125000", "sugar = sweet", "")
    ]


def test_amounts_have_the_places_of_their_currency() -> None:
    assert decimal(125_000_000, "KES") == "1250000.00"
    assert (decimal(1, "KES"), decimal(700, "JPY"), decimal(1, "TND")) == ("0.01", "700", "0.001")
    assert (decimal(None, "KES"), decimal(1, "???"), decimal(1, None)) == ("", "", "")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=5))
def test_a_parser_reads_back_what_was_written_and_no_cell_begins_a_formula(texts: list[str]) -> None:
    cells = [cell(text) for text in texts]
    written = line(cells)
    assert written.endswith("\r\n")
    assert list(csv.reader(io.StringIO(written, newline=""))) == [cells]
    assert not any(read.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")) for read in cells)


def test_headers_are_the_columns() -> None:
    assert header("payments").startswith("id,created_at,updated_at,status,reason,amount,amount_minor,currency,")
    assert header("events") == ",".join(COLUMNS["events"]) + "\r\n"
