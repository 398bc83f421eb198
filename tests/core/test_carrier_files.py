"""Carriers' files: three layouts, what is refused as unreadable, and that what is written so is read so."""

import csv
import io
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.carrier_files import Files, Row, Said, Trailer, UnreadableFile, read_name, read_rows, window_ms

NAIROBI = ZoneInfo("Africa/Nairobi")
WORDS = {"OK": "charged", "REFUND": "refunded", "REV": "reversed", "KO": "failed"}
PLAIN = Files(
    pattern="acme_{date}.csv",
    columns={
        **{"attempt_id": "correlator", "carrier_reference": "ref", "amount": "amount", "currency": "ccy"},
        **{"status": "result", "at": "time", "fee": "fee", "msisdn": "phone"},
    },
    statuses=WORDS,
    trailer="T",
    trailer_columns={"rows": "2", "total": "3", "remitted": "4"},
)
NUMBERED = Files(
    pattern="CDR-{date}-{sequence}.txt",
    date_format="%d%m%y",
    sequence="daily",
    encoding="latin-1",
    delimiter=";",
    quote="'",
    header=False,
    columns={"carrier_reference": "1", "amount": "3", "status": "4", "at": "2"},
    statuses=WORDS,
    decimal_point=",",
    time_format="%d.%m.%Y %H:%M",
)
TOGETHER = replace(PLAIN, pattern="CDR{date}{sequence}.txt")
LINES = Files(
    pattern="{date}.jsonl",
    date_format="%Y-%m-%d",
    format="json_lines",
    columns={"attempt_id": "id", "amount": "minor", "status": "state", "at": "at"},
    statuses=WORDS,
    amounts="minor",
    trailer="summary",
    trailer_columns={"rows": "count", "total": "sum"},
)


def read(files: Files, text: str) -> list[Row | Trailer]:
    lines = io.StringIO(text, newline="")
    return list(read_rows(lines, files, currency="KES", zone=NAIROBI))


def test_a_csv_with_a_head_and_a_trailer_is_read() -> None:
    head = "time,phone,correlator,ref,amount,ccy,result,fee\r\n"
    first = '2026-11-24T10:00:00Z,+254700000001,att_1,"SR,1",1250.00,KES,OK,37.5\r\n'
    second = ",,rev_1,SR2,-12.5,KES,REV,\r\n"
    assert read(PLAIN, f"{head}{first}\r\n{second}T,2,1237.50,1200.00\r\n") == [
        Row(
            line=2,
            said=Said.CHARGED,
            attempt_id="att_1",
            carrier_reference="SR,1",
            amount_minor=125_000,
            currency="KES",
            msisdn="+254700000001",
            at_ms=round(datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp() * 1000),
            fee_minor=3_750,
        ),
        Row(
            line=4, said=Said.REVERSED, attempt_id="rev_1", carrier_reference="SR2", amount_minor=1_250, currency="KES"
        ),
        Trailer(rows=2, total_minor=123_750, remitted_minor=120_000),
    ]


def test_a_csv_without_a_head_that_knows_only_the_carriers_reference_is_read() -> None:
    [row] = read(NUMBERED, "'SR1';24.11.2026 13:00;1250,00;OK\n")
    at_ms = round(datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp() * 1000)
    assert row == Row(
        line=1, said=Said.CHARGED, carrier_reference="SR1", amount_minor=125_000, currency="KES", at_ms=at_ms
    )


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (PLAIN, '"correlator",ref,amount,ccy,result,time,phone,fee\natt_1,,12.50,KES,OK,,,\nT,1,,\n'),
        (NUMBERED, "att_1;;12,50;OK\n"),
        (LINES, '{"id": "att_1", "minor": 1250, "state": "OK"}\n{"summary": {"count": 1}}\n'),
    ],
    ids=["a head", "no head", "json"],
)
def test_a_byte_order_mark_is_no_part_of_the_first_line(files: Files, text: str) -> None:
    assert read(files, "\ufeff" + text) == read(files, text)


def test_lines_of_json_with_minor_units_are_read() -> None:
    text = '{"id": "att_1", "minor": 125000, "state": "OK", "at": null}\n\n{"summary": {"count": 1, "sum": "125000"}}\n'
    assert read(LINES, text) == [
        Row(line=1, said=Said.CHARGED, attempt_id="att_1", amount_minor=125_000, currency="KES"),
        Trailer(rows=1, total_minor=125_000),
    ]


HEAD = "correlator,ref,amount,ccy,result,time,fee,phone\n"
UNREADABLE = [
    pytest.param(PLAIN, "", "the trailer is missing", id="empty"),
    pytest.param(PLAIN, "correlator,ref\n", "line 1: expected a head with amount, ccy", id="head"),
    pytest.param(PLAIN, HEAD + "a,b,1.00,KES,OK,,,\n", "the trailer is missing", id="cut off"),
    pytest.param(PLAIN, HEAD + "T,0,0,0\na,b,1.00,KES,OK,,,\n", "line 3: there is something behind", id="behind"),
    pytest.param(PLAIN, HEAD + "a,b,1.005,KES,OK,,,\n", "line 2: amount: expected one in KES, got '1.005'", id="cents"),
    pytest.param(PLAIN, HEAD + "a,b,1e3,KES,OK,,,\n", "line 2: amount: expected", id="exponent"),
    pytest.param(
        PLAIN,
        HEAD + "a,b,-1.00,KES,OK,,,\n",
        "line 2: amount: less than nothing cannot have been charged",
        id="negative",
    ),
    pytest.param(PLAIN, HEAD + "a,b,1.00,XXX,OK,,,\n", "line 2: currency: expected an ISO 4217 code", id="currency"),
    pytest.param(PLAIN, HEAD + "a,b,1.00,KES,+254700000001,,,\n", "'+…' is none that we know", id="shifted columns"),
    pytest.param(PLAIN, HEAD + ",,1.00,KES,OK,,,\n", "expected an attempt id or", id="nameless"),
    pytest.param(PLAIN, HEAD + "a,b,1.00,KES,OK,noon,,\n", "line 2: Invalid isoformat", id="time"),
    pytest.param(PLAIN, HEAD + "a,b\n", "line 2: expected 8 columns, got 2", id="short"),
    pytest.param(PLAIN, HEAD + 'a,"b"c,1.00\n', "line 2: ", id="quotes"),
    pytest.param(PLAIN, HEAD + "T,many,0,0\n", "line 2: rows: expected a number, got 'many'", id="count"),
    pytest.param(LINES, "[1]\n", "line 1: expected a JSON object", id="no object"),
    pytest.param(LINES, '{"id": ["a"], "minor": 1, "state": {}}\n', "line 1: status", id="nested"),
]


@pytest.mark.parametrize(("files", "text", "why"), UNREADABLE)
def test_what_is_of_another_layout_is_named_with_its_line(files: Files, text: str, why: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read(files, text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [
        (PLAIN, "acme_20261124.csv", (date(2026, 11, 24), None)),
        (PLAIN, "acme_20261324.csv", None),
        (PLAIN, "acme_00010101.csv", None),
        (PLAIN, "acme.20261124.csv", None),
        (NUMBERED, "CDR-241126-007.txt", (date(2026, 11, 24), 7)),
        (NUMBERED, "CDR-241126-.txt", None),
        (LINES, "2026-11-24.jsonl", (date(2026, 11, 24), None)),
        (TOGETHER, "CDR2026112407.txt", (date(2026, 11, 24), 7)),
        (TOGETHER, "CDR20261124107.txt", (date(2026, 11, 24), 107)),
        (TOGETHER, "CDR20261124.txt", None),
        (replace(TOGETHER, date_format="%d%B%Y"), "CDR3May20261.txt", None),
        (replace(PLAIN, date_format="%d%B%Y"), "acme_3May2026.csv", (date(2026, 5, 3), None)),
    ],
)
def test_a_name_tells_the_day_and_the_number(files: Files, name: str, found: tuple[date, int | None] | None) -> None:
    assert read_name(files, name) == found


def test_the_last_hour_of_a_day_is_missed_in_the_next_days_file_only() -> None:
    first = window_ms(PLAIN, date(2026, 11, 24), NAIROBI)
    second = window_ms(PLAIN, date(2026, 11, 25), NAIROBI)
    assert first[1] == second[0] == round(datetime(2026, 11, 24, 20, tzinfo=UTC).timestamp() * 1000)


WRONG: list[tuple[dict[str, Any], str]] = [  # Any: settings.
    ({"columns": {"amount": "a", "status": "s"}}, "expected attempt_id or carrier_reference"),
    ({"columns": {"attempt_id": "a", "colour": "b", "amount": "c"}}, "columns.colour: no such field"),
    ({"columns": {"attempt_id": "a", "amount": "c"}}, "columns: status is missing"),
    ({"statuses": {"OK": "paid"}}, "statuses: 'paid' is none of charged, refunded"),
    ({"pattern": "acme.csv"}, "pattern: expected {date} once"),
    ({"header": False}, "'correlator': expected a column's number"),
    ({"trailer_columns": {"rows": "0"}}, "'0': expected a column's number"),
    ({"date_format": "%d%m"}, "date_format: expected one that tells year, month and day, got '%d%m'"),
    ({"date_format": "%Y%m%"}, "date_format: expected"),
    ({"date_format": "%Q"}, "date_format: expected"),
    ({"encoding": "klingon"}, "encoding: 'klingon' is none that we know"),
    ({"encoding": "base64"}, "encoding: 'base64' is none that we know"),
]


@pytest.mark.parametrize(("changes", "why"), WRONG)
def test_a_layout_that_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:  # Any: settings.
    settings = msgspec.to_builtins(PLAIN) | changes
    with pytest.raises(msgspec.ValidationError, match=why.replace("{", r"\{")):
        msgspec.convert(settings, Files)


IDS = st.text("abcdefXYZ0123456789_;\"' ,", min_size=1, max_size=30).map(str.strip).filter(bool)
ROWS = st.lists(
    st.tuples(IDS, st.integers(0, 10**12), st.sampled_from(sorted(WORDS)), st.one_of(st.none(), st.integers(0, 10**6))),
    max_size=20,
)


@given(ROWS)
def test_what_was_written_is_read_to_the_cent(rows: list[tuple[str, int, str, int | None]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["correlator", "ref", "amount", "ccy", "result", "time", "fee", "phone"])
    for name, minor, word, fee in rows:
        shown = "" if fee is None else f"{fee // 100}.{fee % 100:02}"
        writer.writerow([f"att_{name}", name, f"{minor // 100}.{minor % 100:02}", "KES", word, "", shown, ""])
    writer.writerow(["T", len(rows), "0", ""])
    found = [one for one in read(PLAIN, text.getvalue()) if isinstance(one, Row)]
    assert [(one.carrier_reference, one.amount_minor, one.said, one.fee_minor) for one in found] == [
        (name, minor, WORDS[word], fee) for name, minor, word, fee in rows
    ]


@given(st.text(max_size=200), st.sampled_from([PLAIN, NUMBERED, LINES]))
def test_hostile_text_is_read_or_named(text: str, files: Files) -> None:
    with suppress(UnreadableFile):
        read(files, text)
