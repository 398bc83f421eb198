"""The log: whatever is said, one line of JSON comes out, with no number in it, and nobody waits for the disk."""

import io
import json
import logging
import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from gateway.app.logs import LineWriter, formatter, set_up
from gateway.app.masking import masked
from tests.stores import reading

JSON, WORDS = formatter(as_words=False), formatter(as_words=True)
NUMBER = re.compile(r"(\+|%2B)[1-9][0-9]{7,14}", re.IGNORECASE)
NUMBERS = st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True)
ANY_TEXT = st.text() | st.builds(lambda a, number, b: f"{a}{number}{b}", st.text(), NUMBERS, st.text())
VALUES = st.recursive(
    ANY_TEXT | st.integers() | st.floats() | st.none() | st.binary() | st.builds(ValueError, ANY_TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)


def record_of(
    message: object, *arguments: object, fault: Exception | None = None, **fields: object
) -> logging.LogRecord:
    info = None if fault is None else (type(fault), fault, fault.__traceback__)
    record = logging.LogRecord("carriers.smpp", logging.WARNING, "", 0, message, arguments, info)
    record.__dict__.update(fields)
    return record


@given(ANY_TEXT, VALUES, ANY_TEXT)
def test_whatever_is_logged_is_one_line_of_json_without_a_number(said: str, field: object, fault: str) -> None:
    line = JSON.format(record_of("%s said %r", said, field, fault=RuntimeError(fault), field=field))
    assert line.isascii() and line.isprintable(), "a control character could end the line"
    told: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)  # Any: JSON.
    assert (told["level"], told["logger"]) == ("warning", "carriers.smpp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", told["timestamp"])
    assert NUMBER.search(line) is None and NUMBER.search(repr(told)) is None


@given(ANY_TEXT, ANY_TEXT)
def test_words_for_a_person_are_one_line_without_a_number(said: str, fault: str) -> None:
    line = WORDS.format(record_of("%s", said, fault=RuntimeError(fault), field=said))
    assert line.isprintable() and NUMBER.search(line) is None


@given(st.text())
def test_text_without_secrets_stays_as_it_is(said: str) -> None:
    if not re.search(r"[+=@:\[]|%2B|sk_|whsec_|bearer|basic", said, re.IGNORECASE):
        assert masked(said) == said


SECRETS = {
    "to +254700000555 now": "to +254*****555 now",
    "tel%3A%2B254700000555": "tel%3A+254*****555",
    "key sk_live_Zm9v-YmF_y-x, sk_test_-a": "key sk_*****, sk_*****",
    "whsec_MfKQ9r8/GKYq+w==": "whsec_*****",
    "Authorization: Bearer abc.def": "Authorization: Bearer *****",
    "authorization: basic dXNlcjpw": "authorization: basic *****",
    "postgresql+psycopg://pay:s3cr:et@db/x": "postgresql+psycopg://pay:*****@db/x",
    "host=db password=s3cret user=pay": "host=db password=***** user=pay",
    "[SQL: SELECT ?]\n[parameters: ('4821',)]": "[SQL: SELECT ?]\n[parameters: hidden]",
    "duplicate key\nDETAIL:  Key (text)=(4821) exists.\nmore": "duplicate key\nDETAIL: hidden\nmore",
}


@pytest.mark.parametrize("said", SECRETS)
def test_secrets_are_masked(said: str) -> None:
    assert masked(said) == SECRETS[said]


def test_a_traceback_has_neither_values_of_variables_nor_parameters(database_url: str) -> None:
    code = "4821" * 3  # Not as such in the line that fails.
    with reading(database_url) as conn, pytest.raises(DBAPIError) as failed:
        conn.execute(text("SELECT * FROM nowhere WHERE code = :code"), {"code": code})
    line = JSON.format(record_of("failed", fault=failed.value))
    told = json.loads(line)
    assert "nowhere" in told["exception"] and "Traceback" in told["exception"]
    assert code not in line


def test_an_engine_that_shows_parameters_is_masked_all_the_same() -> None:
    engine, code = create_engine("sqlite://"), "4821" * 3  # Not as such in the line that fails.
    with pytest.raises(DBAPIError) as failed, engine.connect() as conn:
        conn.execute(text("SELECT * FROM nowhere WHERE code = :code"), {"code": code})
    engine.dispose()
    assert code in str(failed.value)
    assert code not in JSON.format(record_of("failed", fault=failed.value))


@contextmanager
def logging_to(stream: Any, **options: Any) -> Iterator[LineWriter]:  # Any: something to write to.
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    writer = set_up(stream, **options)
    try:
        yield writer
    finally:
        writer.close()
        root.handlers[:], root.level = handlers, level


def test_a_wrong_call_leaves_a_line_and_raises_nothing() -> None:
    stream = io.StringIO()
    with logging_to(stream, form="json"):
        logging.getLogger("aiohttp.server").error("%d phones", "many")
    assert json.loads(stream.getvalue())["event"] == "a record cannot be formatted"


def test_libraries_and_our_own_loggers_come_out_alike_from_a_level_on() -> None:
    stream = io.StringIO()
    with logging_to(stream, form="json", level="warning"):
        logging.getLogger("aiohttp.server").warning("theirs", extra={"request": "req_1"})
        logging.getLogger("gateway.app").info("too little")
        logging.getLogger("gateway.app").error("ours\nin two lines")
    theirs, ours = map(json.loads, stream.getvalue().splitlines())
    assert (theirs["event"], theirs["request"], theirs["logger"]) == ("theirs", "req_1", "aiohttp.server")
    assert (ours["event"], ours["level"]) == ("ours\nin two lines", "error")


@pytest.mark.parametrize(("on_terminal", "is_json"), [(True, False), (False, True)])
def test_a_terminal_is_told_in_words(on_terminal: bool, is_json: bool) -> None:
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    with open(theirs, "w") as stream:
        with logging_to(stream):
            logging.getLogger("gateway").warning("hello")
        line = os.read(ours, 1_000)
    os.close(ours)
    assert line.startswith(b"{") == is_json and b"hello" in line


def test_a_broken_pipe_is_counted_and_raises_nothing() -> None:
    ours, theirs = os.pipe()
    with open(theirs, "w") as stream, logging_to(stream, form="json") as writer:
        os.close(ours)
        for _ in range(3):
            logging.getLogger("gateway").warning("nobody reads")
        writer.close()
        assert writer.lost == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
def test_a_full_disk_is_counted_and_raises_nothing() -> None:
    with open("/dev/full", "w") as stream, logging_to(stream, form="json") as writer:
        logging.getLogger("gateway").warning("no room")
        writer.close()
        assert writer.lost == 1


def test_a_pipe_that_nobody_reads_holds_nobody_up() -> None:
    ours, theirs = os.pipe()
    with open(theirs, "w") as stream:
        writer = LineWriter(stream, lines_max=10)
        line = "x" * 100_000  # More than a pipe holds.
        for _ in range(50):
            writer.write(line)
        assert writer.lost >= 50 - 10 - 1
        os.close(ours)
        writer.close()
        assert writer.lost == 50


def test_standard_error_of_a_test_is_written_too(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(sys.stderr, form="text"):
        logging.getLogger("gateway").warning("seen by a person")
    assert "warning: seen by a person\n" in capsys.readouterr().err
