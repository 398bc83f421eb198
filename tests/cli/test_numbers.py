"""What operators type when numbers change hands."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.config import read
from gateway.store.tables import consumer
from tests.cli.commands import CODE_KEY, Here
from tests.consumer.bench import texted
from tests.store.bench import Odd, a_create, a_store, an_order, applied, rows

OTHER, THIRD = "+254700000002", "+254700000003"
A_DAY_MS = 86_400_000


def url_of(config: Path) -> str:
    return read(config, {"GATEWAY_CODE_KEY": CODE_KEY})[0].gateway.database


def test_numbers_are_recycled_by_a_list_that_may_be_given_twice(gateway: Here, config: Path, tmp_path: Path) -> None:
    url = url_of(config)
    with a_store(url) as store:
        applied(store, a_create("k-1"), a_create("k-2"), texted("LANG SW", OTHER))
        an_order(store, "k-3", msisdn=THIRD)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    listed = tmp_path / "list.csv"
    listed.write_text(f"# from the carrier\n+254700000001,{tomorrow:%Y-%m-%d}\n\n+254700000009\n", encoding="utf-8")
    recycle = ("number", "recycle", "--mode", "test", "--config", config)
    done = gateway(*recycle, "--file", listed)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "+254*****001 has a new owner; requests closed: 2\n1 of 2 numbers have a new owner now, 1 were not known\n"
    )
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    done = gateway(*recycle, "+254700000001", OTHER, THIRD, "--changed-on", since)
    lines = done.out.splitlines()
    assert lines[:2] == [f"+254*****00{n} was the new owner's already; nothing was changed" for n in (1, 2)]
    assert lines[2] == "+254*****003 was the new owner's already; nothing was changed" and done.code == 0
    busy = gateway(*recycle, THIRD)
    assert busy.out.startswith("+254*****003 is being charged (pay_") and busy.code == 1
    assert busy.complaint() == "1 numbers are as they were: try again in ten minutes"
    found = rows(url, "SELECT msisdn, generation FROM consumer ORDER BY msisdn, generation")
    assert [tuple(row) for row in found] == [("+254700000001", 1), ("+254700000001", 2), (OTHER, 1), (THIRD, 1)]


def test_what_cannot_be_read_is_named_before_anything_is_done(gateway: Here, config: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    for words, complaint in (
        ("0700000001\n", "line 1: msisdn: expected + and 8 to 15 digits"),
        ("+254700000001\n+254700000002,yesterday\n", "line 2: expected a date, or a time with its offset"),
        ("+254700000001,2026-11-20T14:00:00\n", "line 1: expected a date, or a time with its offset"),
    ):
        listed.write_text(words, encoding="utf-8")
        failed = gateway("number", "recycle", "--file", listed, "--config", config)
        assert failed.code == 2 and complaint in failed.complaint()
    assert gateway("number", "recycle", "--config", config).code == 2
    assert gateway("number", "recycle", "--file", tmp_path / "none", "--config", config).code == 2


def test_silent_numbers_are_those_that_neither_wrote_nor_paid(gateway: Here, config: Path) -> None:
    url, passed_ms = url_of(config), [0]
    with a_store(url) as store:
        store._clock_offset_ms = lambda: passed_ms[0]
        passed_ms[0] = -100 * A_DAY_MS
        applied(store, texted("HELP"), texted("HELP", OTHER))
        passed_ms[0] = -20 * A_DAY_MS
        applied(store, texted("HELP", OTHER), texted("HELP", THIRD))
        # All of them have been known for long.
        applied(store, Odd(lambda unit: unit.conn.exec_driver_sql("UPDATE consumer SET created_at_ms = 1")))
    silent = ("number", "silent", "--mode", "test", "--config", config)
    assert gateway(*silent).out == "+254700000001\n"
    assert gateway(*silent, "--days", "15").out == f"+254700000001\n{OTHER}\n{THIRD}\n"
    assert gateway(*silent, "--mode", "live").out == ""


def test_a_limit_is_set_for_a_phone_by_whoever_has_made_sure_that_its_owner_asks(gateway: Here, config: Path) -> None:
    url = url_of(config)
    limit = ("number", "limit", "+254700000001")
    wanted = ("--carrier", "acme", "--config", config)
    done = gateway(*limit, "500", *wanted)
    assert (done.code, done.out) == (0, "the limit of +254*****001 is KES 500.00 a day from now on\n"), done.err
    done = gateway(*limit, "KES 8,000", *wanted)
    assert (done.code, done.out) == (0, "the limit of +254*****001 rises to KES 8,000.00 a day, 24 hours from now\n")
    found = rows(url, "SELECT limit_minor, limit_next_minor, limit_currency FROM consumer")
    assert [tuple(row) for row in found] == [(50_000, 800_000, "KES")]
    with a_store(url) as store:
        applied(store, Odd(lambda unit: unit.conn.execute(update(consumer).values(limit_currency="TZS"))))
    failed = gateway(*limit, "500", *wanted)
    assert failed.code == 1 and "a limit in another currency than KES" in failed.complaint()


@pytest.mark.parametrize(
    ("number", "amount", "carrier", "complaint"),
    [
        ("0700000001", "500", "acme", "msisdn: expected"),
        ("+254700000001", "lots", "acme", "expected an amount in KES"),
        ("+254700000001", "500", "other", "carrier: expected one of acme"),
    ],
)
def test_a_limit_that_cannot_be_read_is_none(
    gateway: Here, config: Path, number: str, amount: str, carrier: str, complaint: str
) -> None:
    failed = gateway("number", "limit", number, amount, "--carrier", carrier, "--config", config)
    assert failed.code == 2 and complaint in failed.complaint()
