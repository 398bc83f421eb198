"""Reading the configuration: every mistake is named at once, with its key; nothing is guessed."""

import re
from pathlib import Path

import pytest

from gateway.config import ConfigError, read
from tests.cli.commands import CODE_KEY, Here

SECRETS = {"GATEWAY_CODE_KEY": CODE_KEY}


def mistakes(config: Path, *changes: tuple[str, str]) -> list[str]:
    """What is wrong with *config* after *changes*."""
    text = config.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(config, SECRETS)
    return caught.value.mistakes


def test_every_unknown_and_missing_key_is_named_at_once(gateway: Here, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("listen", "lisen").replace("brand", "brnd")
    config.write_text(f"colour = 1\n{text}[engine]\npace_ms = 'slow'\nlease = 9\n", encoding="utf-8")
    checked = gateway("check", "--config", config)
    assert checked.code == 2
    assert checked.err.splitlines() == [
        "gateway: colour: no such setting",
        "gateway: gateway.lisen: no such setting; did you mean listen?",
        "gateway: engine.lease: no such setting; did you mean lease_s?",
        "gateway: engine.pace_ms: expected a whole number, 0 or more",
        "gateway: carriers.acme.brnd: no such setting; did you mean brand?",
        "gateway: carriers.acme.brand: is missing",
    ]


WRONG = [
    pytest.param(
        ("[carriers", "[engine]\nlease_s = nan\n\n[carriers"),
        "engine.lease_s: expected a number above 0, got nan",
        id="nan",
    ),
    pytest.param(
        ("[carriers", "[engine]\npoll_s = inf\n\n[carriers"),
        "engine.poll_s: expected a finite number, got inf",
        id="inf",
    ),
    pytest.param(('"test"', '"real"'), "carriers.acme.mode: Invalid enum value 'real'", id="mode"),
    pytest.param(('["+254"]', '["254"]'), "carriers.acme.prefixes[0]: expected + and 1 to 15 digits", id="prefix"),
    pytest.param(('["+254"]', "[]"), "carriers.acme.prefixes: expected a list of one prefix or more", id="no prefix"),
    pytest.param(('"KES"', '"KSH"'), "carriers.acme.currency: 'KSH' is no ISO 4217 code that we know", id="currency"),
    pytest.param(("Africa/Nairobi", "Nairobi"), "carriers.acme.time_zone: 'Nairobi' is not known", id="zone"),
    pytest.param(("Africa/Nairobi", "Africa"), "carriers.acme.time_zone: 'Africa' is not known", id="zones"),
    pytest.param(("127.0.0.1:0", "8080"), "gateway.listen: expected host:port, got '8080'", id="listen"),
    pytest.param(
        ("brand =", "code_digits = 5\nbrand ="), "carriers.acme.code_digits: expected 4 or 6, got 5", id="digits"
    ),
    pytest.param(
        ("brand =", "charge_lanes = 0\nbrand ="),
        "carriers.acme.charge_lanes: expected a whole number, 1 or more, got 0",
        id="no lanes",
    ),
    pytest.param(
        ("brand =", "resend_ladder_s = []\nbrand ="),
        "carriers.acme.resend_ladder_s: expected a list of one number or more",
        id="no ladder",
    ),
    pytest.param(
        ('biller = { type = "loopback"', 'biller = { type = "loopbck"'),
        "carriers.acme.biller: type: expected one of loopback, opbill, got 'loopbck'",
        id="adapter",
    ),
    pytest.param(
        ('biller = { type = "loopback"', 'biller = { type = ["loopback"]'),
        "carriers.acme.biller: type: expected one of loopback, opbill, got ['loopback']",
        id="adapters",
    ),
    pytest.param(
        ('bearer = { type = "loopback"', 'bearer = { type = "loopback", answer = "pays"'),
        "carriers.acme.bearer.answer: no such setting; did you mean answers?",
        id="adapter's key",
    ),
    pytest.param(
        ('biller = { type = "loopback"', 'biller = { type = "loopback", timeout_s = -1'),
        "carriers.acme.biller.timeout_s: expected a number above 0, got -1",
        id="adapter's value",
    ),
    pytest.param(
        ("[carriers.acme]", '[carriers."a,b"]'), "carriers.a,b: expected a name of letters, digits, - and _", id="name"
    ),
    pytest.param(
        ("brand =", 'care_line = "env:NOT_SET"\nbrand ='),
        "environment NOT_SET: expected, because the file says 'env:NOT_SET'",
        id="environment",
    ),
]


@pytest.mark.parametrize(("change", "mistake"), WRONG)
def test_a_wrong_value_is_named_with_its_key(config: Path, change: tuple[str, str], mistake: str) -> None:
    assert mistakes(config, change) == [mistake]


@pytest.mark.parametrize(
    "url",
    ["sqlite:///", "sqlite:///:memory:", "sqlite://host/path", "postgresql://a@b/c", "postgresql+psycopg://b", "x", ""],
)
def test_only_databases_that_we_know_are_taken(config: Path, url: str) -> None:
    [written] = re.findall(r"^database = .*$", config.read_text(encoding="utf-8"), re.MULTILINE)
    expected = "gateway.database: expected sqlite:///path or postgresql+psycopg://user@host/name"
    assert mistakes(config, (written, f'database = "{url}"')) == [expected]


def test_no_carrier_is_a_mistake(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text.partition("[carriers")[0], encoding="utf-8")
    assert mistakes(config) == ["carriers: expected at least one table [carriers.<name>]"]


@pytest.mark.parametrize("key", ["", "ab", "not hexadecimal digits, though long enough"])
def test_a_key_for_codes_must_be_long_enough(config: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_CODE_KEY: expected at least 32 hexadecimal digits"):
        read(config, {"GATEWAY_CODE_KEY": key})


def test_a_setting_may_come_from_the_environment(config: Path) -> None:
    config.write_text(config.read_text().replace('"Acme Pay"', '"env:BRAND"'), encoding="utf-8")
    found, secrets = read(config, {**SECRETS, "BRAND": "Zuri"})
    assert found.carriers["acme"].brand == "Zuri"
    assert secrets.code_key == bytes.fromhex(CODE_KEY)


def test_check_says_what_it_found(gateway: Here, config: Path) -> None:
    checked = gateway("check", "--config", config)
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.endswith("in order; carriers acme (test); languages en, sw\n")


def test_check_knows_the_languages(gateway: Here, config: Path) -> None:
    config.write_text(config.read_text().replace("brand =", 'language = "xx"\nbrand ='), encoding="utf-8")
    checked = gateway("check", "--config", config)
    assert checked.code == 2
    assert checked.complaint() == "carriers.acme.language: expected one of en, sw, got 'xx'"
