"""`gateway payment show` tells an operator all about one payment, and touches nothing."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from carriers.smpp.wire.codec import Pdu, encode
from gateway.core.ids import encode_id
from gateway.store import tables
from gateway.store.engine import begin_write, connect
from merchants.timeline import STEPS
from tests.cli.commands import CODE_KEY, Here, dry_run
from tests.cli.pages import bash
from tests.stores import reading

PHONE = "254700000555"
NOBODYS = encode_id("pay_", bytes(16))


def payment_id(folder: Path) -> str:
    with reading(f"sqlite:///{folder / 'gateway.db'}") as conn:
        found: str = conn.execute(text("SELECT id FROM payment")).scalar_one()
        return found


def shown(gateway: Here, folder: Path, *more: str) -> str:
    ran = gateway("payment", "show", payment_id(folder), "--config", folder / "gateway.toml", *more)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


@pytest.mark.money
def test_the_nine_steps_and_everything_on_record(gateway: Here, paid: Path) -> None:
    lines = shown(gateway, paid).splitlines()
    assert lines[0] == f"Payment {payment_id(paid)}: succeeded"
    steps = [line.split()[:3] for line in lines[3:12]]
    assert steps == [[str(number), name, who] for number, (name, who) in enumerate(STEPS, 1)]
    rest = "\n".join(lines[12:])
    for kind in ("transition", "message", "reply", "consent", "attempt", "ledger_entry", "event"):
        assert f"  {kind} " in rest
    assert PHONE not in "".join(lines)


@pytest.mark.money
def test_the_same_as_one_object(gateway: Here, paid: Path) -> None:
    out = shown(gateway, paid, "--json")
    found: dict[str, Any] = json.loads(out)  # Any: JSON of the command.
    assert out.count("\n") == 1 and PHONE not in out
    assert found.keys() == {"payment", "steps", "items", "texts", "traces"}
    assert (found["payment"]["status"], found["payment"]["msisdn"]) == ("succeeded", "+254*****555")
    assert [step["number"] for step in found["steps"]] == list(range(1, 10))
    assert [item["at"] for item in found["items"]] == sorted(item["at"] for item in found["items"])


@pytest.mark.money
def test_what_texts_cost_is_shown(gateway: Here, paid: Path) -> None:
    engine = connect(f"sqlite:///{paid / 'gateway.db'}")
    with begin_write(engine) as conn:
        conn.execute(text("UPDATE message SET billed_segments = 2, price = '0.0158 USD' WHERE template = 'ask'"))
    engine.dispose()
    lines = shown(gateway, paid).partition("Texts\n")[2].splitlines()[:2]
    assert lines[0].endswith(" ask: delivered, 1 part, the carrier counts 2, 0.0158 USD")
    assert lines[1].endswith(" paid: submitted, 1 part")
    texts = json.loads(shown(gateway, paid, "--json"))["texts"]
    told = {key: value for key, value in texts[0].items() if key != "id"}
    counted = {"segments": 1, "billed_segments": 2, "price": "0.0158 USD"}
    assert told == {"template": "ask", "status": "delivered", **counted}


@pytest.mark.money
def test_the_database_stays_as_it_was(gateway: Here, paid: Path) -> None:
    before = hashlib.sha256((paid / "gateway.db").read_bytes()).digest()
    shown(gateway, paid)
    assert hashlib.sha256((paid / "gateway.db").read_bytes()).digest() == before


@pytest.mark.money
def test_what_a_carrier_sent_is_shown_and_does_not_drive_the_terminal(gateway: Here, paid: Path) -> None:
    frame = encode(Pdu("deliver_sm", 0, 7, {"source_addr": b"*", "short_message": b"a\x1b<31m\n\x0c"}))
    html = b"502\r\n\r\n<html>\x1b[2J"
    rows = [("deliver_sm", frame, b""), ("http", b"GET /", html), ("deliver_sm", b"", frame[:-1] + b"\xff" + frame)]
    engine = connect(f"sqlite:///{paid / 'gateway.db'}")
    with begin_write(engine) as conn:
        for number, (kind, sent, received) in enumerate(rows):
            body = json.dumps({"sent": sent.hex(), "received": received.hex()})
            row = {"id": f"trc_{number}", "payment_id": payment_id(paid), "carrier": "acme", "kind": kind}
            conn.execute(insert(tables.trace).values(**row, body=body, at_ms=number))
    engine.dispose()
    out = shown(gateway, paid)
    assert "\x1b" not in out
    lines = [line.strip() for line in out.partition("On the wire\n")[2].splitlines()]
    assert f"sent      {frame.hex()}" in lines and r"text: a[31m\nø" in lines
    assert "start: 502" in lines and r"body: <html>\x1b[2J" in lines
    traces = json.loads(shown(gateway, paid, "--json"))["traces"]
    assert [trace["kind"] for trace in traces] == ["deliver_sm", "http", "deliver_sm"]
    assert traces[0]["sent"]["decoded"][0]["sequence_number"] == 7 and traces[0]["received"] is None


def test_output_that_nobody_takes(config: Path, paid: Path) -> None:
    command = f"GATEWAY_CODE_KEY={CODE_KEY} gateway payment show {payment_id(paid)}"
    full = "standard output: cannot be written: No space left on device"
    assert bash(f"{command} > /dev/full", paid) == f"gateway: {full}\n"
    said = bash(f"set -o pipefail; {command} | head -n 1; echo $?", paid)
    assert said.splitlines()[1:] == ["0"]


@pytest.mark.parametrize("name", ["pay_1", "att_" + NOBODYS[4:], "", "pay_\n", "%s"])
def test_an_id_that_is_none(gateway: Here, config: Path, name: str) -> None:
    ran = gateway("payment", "show", name, "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaint().startswith("ID: expected pay_ and 26 letters and digits, got ")


def test_a_payment_that_nobody_made(gateway: Here, config: Path) -> None:
    ran = gateway("payment", "show", NOBODYS, "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaint() == f"ID: expected a payment of this database, it has no {NOBODYS}"


def test_a_database_that_is_not_there_is_not_made(gateway: Here, tmp_path: Path) -> None:
    config = dry_run(tmp_path, database=tmp_path / "none.db")
    ran = gateway("payment", "show", NOBODYS, "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaint() == f"there is no database {tmp_path / 'none.db'}; run `gateway migrate`"
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database(gateway: Here, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database" * 100)
    ran = gateway("payment", "show", NOBODYS, "--config", dry_run(tmp_path, database=tmp_path / "text.db"))
    assert ran.code == 1
    assert ran.complaint() == "the database cannot be used: file is not a database"
