"""Operators say what a merchant sells, and whose phone is of age."""

import re
from pathlib import Path

from sqlalchemy import text

from gateway.config import read
from gateway.store.engine import connect
from tests.cli.commands import CODE_KEY, Here


def test_goods_and_age_are_recorded_and_taken_back(gateway: Here, config: Path) -> None:
    of = ("--config", str(config))
    gateway("merchant", "add", *of, "--name", "Asha Ltd", "--shop", "ASHA", "--keyword", "ASHA")
    told = gateway("merchant", "goods", "asha", "adult", *of).out
    assert re.fullmatch(r"mer_\w{26} sells adult, within five seconds\n", told)
    assert _all(config, "SELECT goods FROM merchant") == ["adult"]
    wrong = gateway("merchant", "goods", "asha", "toys", *of)
    assert (wrong.code, "expected one of digital, tickets, charity" in wrong.err) == (2, True)
    assert gateway("of-age", "+254712345678", *of).out == "+254*****678 is of age\n"
    [since] = _all(config, "SELECT of_age_at_ms FROM consumer WHERE mode = 'live'")
    assert since
    assert gateway("of-age", "+254712345678", "--not", *of).out == "+254*****678 is not known to be of age\n"
    assert _all(config, "SELECT of_age_at_ms FROM consumer") == [None]
    assert gateway("of-age", "12", *of).code == 2
    assert gateway("of-age", "+254712345678", "--mode", "real", *of).code == 2


def _all(config: Path, statement: str) -> list[object]:
    engine = connect(read(config, {"GATEWAY_CODE_KEY": CODE_KEY})[0].gateway.database, read_only=True)
    try:
        with engine.connect() as conn:
            return list(conn.execute(text(statement)).scalars())
    finally:
        engine.dispose()
