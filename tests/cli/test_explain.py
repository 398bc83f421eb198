"""The commands that explain, as processes of their own: what they say; and junk, pipes and long lines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from carriers.base import Mt
from carriers.smpp.mt import Composer
from carriers.smpp.settings import Settings
from carriers.smpp.wire.codec import Pdu, encode
from carriers.smpp.wire.tables import LAYOUTS, Tlv
from gateway.cli.lines import LINE_OCTETS_MAX
from gateway.cli.pdus import explain_frame
from gateway.cli.replies import waiting_codes
from gateway.cli.sms_text import explain_text
from gateway.core.codes import allowed
from gateway.core.meanings import EVENT_TYPES, REASONS, STATES
from merchants.problems import CATALOGUE
from tests.carriers.smpp.golden import GOLDEN, Golden
from tests.cli.commands import Here
from tests.cli.pages import bash, shown
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
LINK = "00000010 00000015 00000000 00000001"
EXPLAINERS = {
    "pdu": ("pdu", "decode"),
    "sms": ("sms", "explain"),
    "reply": ("reply", "explain", "--code", "4821"),
    "code": ("explain",),
}


def piped(name: str, octets: bytes) -> tuple[int, list[dict[str, Any]], str]:  # Any: JSON of the command.
    """Exit code, rows and complaint of the explainer *name* with *octets* on its standard input."""
    command = (sys.executable, "-m", "gateway.cli", *EXPLAINERS[name], "-")
    ran = subprocess.run(command, input=octets, capture_output=True, check=False, timeout=60)
    assert b"Traceback" not in ran.stderr
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr.decode()


@pytest.mark.parametrize(("command", "output"), shown(PAGE), ids=lambda text: text[:40])
def test_the_page_shows_what_is_printed(command: str, output: str, tmp_path: Path) -> None:
    assert bash(command, tmp_path) == output


def test_fields_have_the_names_of_the_specification() -> None:
    text = bytes((5, 0, 3, 9, 2, 1)) + "多".encode("utf-16-be")
    fields: dict[str, int | bytes] = {"source_addr": b"22345", "esm_class": 0x40, "data_coding": 8}
    pdu = Pdu("submit_sm", 0, 5, {**fields, "short_message": text}, [(0x1400, b"\x01\xff")])
    row = explain_frame(encode(pdu))
    assert {field.name for field in LAYOUTS["submit_sm"]} <= row.keys()
    assert (row["command"], row["command_status"], row["sequence_number"]) == ("submit_sm", 0, 5)
    assert (row["source_addr"], row["sm_length"], row["short_message"]) == ("22345", len(text), text.hex())
    assert (row["tlvs"], row["udh"], row["text"]) == ([[0x1400, "01ff"]], "050003090201", "多")
    assert "error" not in row


def test_the_text_may_stand_in_the_payload() -> None:
    row = explain_frame(encode(Pdu("data_sm", 0, 5, {}, [(Tlv.MESSAGE_PAYLOAD, b"yes")])))
    assert row["text"] == "yes"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_what_the_wire_reads_is_explained(gateway: Here, golden: Golden) -> None:
    ran = gateway("pdu", "decode", golden.octets.hex(":").upper())
    assert (ran.code, ran.err) == (0, "")
    row = json.loads(ran.out)
    assert (row["command"], row["sequence_number"]) == (golden.pdu.command, golden.pdu.sequence)
    for name, value in golden.pdu.fields.items():
        is_hex = name == "short_message"
        assert row[name] == (value if isinstance(value, int) else value.hex() if is_hex else value.decode("latin-1"))


MALFORMED = {
    "zz": "expected hexadecimal digits, blanks and colons, got 'z'",
    "0": "expected two hexadecimal digits for each octet",
    "": "expected two hexadecimal digits for each octet",
    "00": "expected a PDU of 16 to 65536 octets, got 1",
    "00000011 00000015 00000000 00000001": "expected as many octets as command_length says, 17, got 16",
    "00000010 00000099 00000000 00000001": "expected a command of SMPP 3.4 that the gateway speaks",
    "00000011 00000004 00000000 00000001 00": "expected the fields of submit_sm as SMPP 3.4 has them: the body ends",
    "00000012 80000103 00000000 00000001 0001": "expected whole TLVs",
}


@pytest.mark.parametrize("octets", MALFORMED)
def test_a_malformed_pdu_is_told_with_what_was_expected(gateway: Here, octets: str) -> None:
    ran = gateway("pdu", "decode", octets)
    assert ran.code == 2
    assert ran.complaint().startswith(MALFORMED[octets])
    row = json.loads(ran.out)
    assert row["error"] == ran.complaint()
    assert ("sequence_number" in row) == (len(octets) >= 35)


def test_every_byte_cut_of_a_pdu_is_an_error_and_no_traceback() -> None:
    frame = encode(Pdu("deliver_sm", 0, 9, {"source_addr": b"254700000555", "short_message": b"4821"}))
    lines = b"\n".join(frame[:at].hex().encode() for at in range(len(frame))) + b"\n"
    code, rows, complaint = piped("pdu", lines)
    assert (code, len(rows)) == (2, len(frame))
    assert all("error" in row for row in rows)
    assert complaint.count("\n") == 1 and complaint.startswith(f"gateway: {len(frame)} of {len(frame)} lines")


@pytest.mark.parametrize("text", ["Karibu", "€" * 200, "多谢" * 80, "", "a" * 161])
def test_the_parts_of_a_text_are_those_that_leave(text: str) -> None:
    bind = Settings(host="smsc", system_id="a", password="", source_addr="22345")
    message = Mt(id="m", msisdn="+254700000555", text=text)
    sent = [part.fields["short_message"] for part in Composer(bind, first_reference=0).parts(message, 0)]
    row = explain_text(text)
    parts = row["parts"]
    assert isinstance(parts, list)
    assert [part.get("udh", "") + part["hex"] for part in parts] == [
        octets.hex() for octets in sent if isinstance(octets, bytes)
    ]
    assert "".join(part["text"] for part in parts) == text
    assert row["segments"] == len(sent)


@pytest.mark.parametrize("code", ["4821", "123456", "1111"])
def test_the_other_codes_are_the_same_each_time_and_never_the_given_one(code: str) -> None:
    codes = waiting_codes(code, 100)
    assert codes == waiting_codes(code, 100) and len(set(codes)) == 100
    assert codes[0] == code and all(allowed(other) and len(other) == len(code) for other in codes[1:])


REPLIES = [
    ("4821", "1", "confirm"),
    ("4821", "0", "wrong_code"),
    ("0", "0", "refuse"),
    ("4812", "2", "wrong_code"),
    ("don't pay 4821", "1", "refuse"),
    ("4821?", "1", "unclear"),
    ("STOP", "1", "stop"),
    ("help", "1", "help"),
    ("", "1", "unclear"),
    ("\x00\x01", "1", "unclear"),
]


@pytest.mark.parametrize(("text", "waiting", "meaning"), REPLIES)
def test_a_reply_means_what_it_would_mean_to_the_gateway(gateway: Here, text: str, waiting: str, meaning: str) -> None:
    ran = gateway("reply", "explain", text, "--code", "4821", "--waiting", waiting)
    assert (ran.code, json.loads(ran.out)["meaning"]) == (0, meaning)
    assert json.loads(ran.out)["why"]


@pytest.mark.parametrize("code", ["482", "123456789", "48 21", "٤٨٢١", ""])
def test_a_code_that_is_none(gateway: Here, code: str) -> None:
    ran = gateway("reply", "explain", "yes", "--code", code)
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaint().startswith("--code: expected 4 to 8 digits")


@pytest.mark.parametrize("waiting", ["-1", "101", "many"])
def test_a_number_waiting_that_is_none(gateway: Here, waiting: str) -> None:
    ran = gateway("reply", "explain", "yes", "--code", "4821", "--waiting", waiting)
    assert ran.code == 2 and "Traceback" not in ran.err


def test_every_code_is_explained() -> None:
    known = [*CATALOGUE, *REASONS, *STATES, *EVENT_TYPES]
    code, rows, complaint = piped("code", "\n".join(known).encode())
    assert (code, complaint, [row["code"] for row in rows]) == (0, "", known)
    error = rows[0]
    assert error.keys() >= {"status", "category", "retryable", "title", "cause", "fix", "link"}
    assert [row["retryable"] for row in rows if row["kind"] == "reason"] == [row.retryable for row in REASONS.values()]


def test_an_unknown_code_names_near_ones(gateway: Here) -> None:
    ran = gateway("explain", "invalid_requests")
    assert (ran.code, ran.out) == (2, "")
    assert "got 'invalid_requests'; did you mean invalid_request" in ran.complaint()
    assert "docs/api.md lists them" in gateway("explain", "\x1b[2J\n").complaint()


@pytest.mark.parametrize("name", EXPLAINERS)
def test_no_input_is_no_output(name: str) -> None:
    assert piped(name, b"") == (0, [], "")


@pytest.mark.parametrize("name", EXPLAINERS)
def test_junk_gives_one_row_a_line_and_never_a_traceback(name: str) -> None:
    junk = [b"\xff\xfe\x00", b"\0", b"", bytes(range(11, 256)), b"x" * (LINE_OCTETS_MAX + 1), b"4" * 1_000_000]
    code, rows, complaint = piped(name, b"\n".join([*junk, LINK.encode()]))
    assert (code, len(rows)) == (2, len(junk) + 1)
    for number in (1, 4, 5, 6):
        row = rows[number - 1]
        assert row["line"] == number and row["error"].startswith("expected ") and len(row["input"]) <= 200
    assert ("error" in rows[-1]) == (name == "code")
    assert complaint.endswith("lines could not be read, see their `error`\n") and complaint.count("\n") == 1


def test_a_line_as_long_as_may_be_is_read() -> None:
    code, rows, _ = piped("reply", b"0" * LINE_OCTETS_MAX + b"\r\n0\r\n")
    assert (code, [row["meaning"] for row in rows]) == (0, ["refuse", "refuse"])


def test_a_text_of_too_many_parts(gateway: Here) -> None:
    ran = gateway("sms", "explain", "a" * 50_000)
    assert (ran.code, ran.complaint()) == (2, "text: expected at most 255 parts, got 327")


def test_a_reader_that_leaves_early_hears_no_complaint(tmp_path: Path) -> None:
    (tmp_path / "many").write_text(f"{LINK}\n" * 10_000)
    said = bash("set -o pipefail; gateway pdu decode - < many | head -n 1; echo $?", tmp_path)
    assert [line[:1] for line in said.splitlines()] == ["{", "0"]


def test_ten_thousand_lines_with_one_bad_one(tmp_path: Path) -> None:
    code, rows, complaint = piped("pdu", f"{LINK}\n".encode() * 9_999 + b"bad\n")
    assert (code, len(rows), complaint) == (
        2,
        10_000,
        "gateway: 1 of 10000 lines could not be read, see their `error`\n",
    )
    assert rows[-1]["line"] == 10_000 and rows[-1]["input"] == "bad"


@pytest.mark.parametrize(
    ("ends", "complaint"),
    [
        ("0> written", "standard input: cannot be read: Bad file descriptor"),
        ("<&-", "standard input: expected lines, it is closed"),
        ("<<< 0 >&- ", "standard output: expected a place to write to, it is closed"),
        ("<<< 0 > /dev/full", "standard output: cannot be written: No space left on device"),
    ],
)
def test_a_stream_that_cannot_be_used(tmp_path: Path, ends: str, complaint: str) -> None:
    assert bash(f"gateway reply explain - --code 4821 {ends}", tmp_path) == f"gateway: {complaint}\n"


def test_an_argument_that_is_no_utf_8(tmp_path: Path) -> None:
    said = bash("gateway sms explain $'\\xff'; echo $?", tmp_path)
    assert said == "gateway: expected UTF-8\n2\n"
