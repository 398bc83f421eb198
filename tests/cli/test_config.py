"""Reading the configuration: every mistake is named at once, with its key; nothing is guessed."""

import math
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import fields

from carriers.loopback import Biller
from carriers.loopback import Settings as LoopbackSettings
from gateway.adapters import Port, kinds
from gateway.app.parts import lane_plan, rules, sim_rules, terms, texts_kept_ms
from gateway.config import CarrierSection, ConfigError, EngineSection, read
from gateway.core.bounds import mistakes as mistakes_of
from gateway.core.sim_rule import SimRule
from tests.cli.commands import CODE_KEY, Here

SECRETS = {"GATEWAY_CODE_KEY": CODE_KEY}
BILLERS = "camara, loopback, opbill, wallet_momo, wallet_stk"


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
    pytest.param(
        ("brand =", 'ask_by = "ussd"\nbrand ='), "carriers.acme.ask_by: expected sms without a table ussd", id="ask"
    ),
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
        "carriers.acme.biller: type: expected one of " + BILLERS + ", got 'loopbck'",
        id="adapter",
    ),
    pytest.param(
        ('biller = { type = "loopback"', 'biller = { type = ["loopback"]'),
        "carriers.acme.biller: type: expected one of " + BILLERS + ", got ['loopback']",
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


ALL_AT_ONCE = """
[gateway]
database = "mysql://host/path"
listen = 8080

[engine]
pace_ms = "slow"
queue_max = 0
lease_s = 5
heartbeat_s = 4
poll_s = -inf

[carriers.acme]
mode = "test"
prefixes = ["+254", "254", "+x", "+1234567890123456", "+"]
currency = "KSH"
time_zone = 3
short_code = ""
brand = ""
charge_lanes = 1.5
inquiry_ladder_s = [1, nan, 0]

[carriers.acme.bearer]
type = "smpp"
host = ""
port = 99999
system_id = ""
password = 123456789
source_addr = "22345"
throughput = nan
throttle_pause_max_s = inf
dest_ton = 256
country_code = "+254"

[carriers.acme.biller]
type = "opbill"
base_url = "billing.example"
timeout_s = inf
max_processing_s = nan
token = "secret"
currency_exponents = { KES = 5 }
callback_key = "secret"
"""


def test_everything_that_is_wrong_is_named_at_once(config: Path) -> None:
    config.write_text(ALL_AT_ONCE, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(config, SECRETS)
    assert caught.value.mistakes == [
        "gateway.listen: Expected `str`, got `int`",
        "gateway.database: expected sqlite:///path or postgresql+psycopg://user@host/name",
        "engine.queue_max: expected a whole number, 1 or more, got 0",
        "engine.pace_ms: expected a whole number, 0 or more",
        "engine.poll_s: expected a number above 0, got -inf",
        "engine.lease_s: expected at least twice engine.heartbeat_s",
        "carriers.acme.prefixes[1]: expected + and 1 to 15 digits",
        "carriers.acme.prefixes[2]: expected + and 1 to 15 digits",
        "carriers.acme.prefixes[3]: expected + and 1 to 15 digits",
        "carriers.acme.prefixes[4]: expected + and 1 to 15 digits",
        "carriers.acme.time_zone: Expected `str`, got `int`",
        "carriers.acme.short_code: expected a text that is not empty",
        "carriers.acme.brand: expected a text that is not empty",
        "carriers.acme.charge_lanes: expected a whole number, 1 or more, got 1.5",
        "carriers.acme.inquiry_ladder_s[1]: expected a number above 0, got nan",
        "carriers.acme.inquiry_ladder_s[2]: expected a number above 0, got 0",
        "carriers.acme.currency: 'KSH' is no ISO 4217 code that we know",
        "carriers.acme.bearer.host: expected a text that is not empty",
        "carriers.acme.bearer.port: expected a port, 1 to 65535, got 99999",
        "carriers.acme.bearer.system_id: expected 1 to 15 characters of Latin-1",
        "carriers.acme.bearer.password: expected 0 to 8 characters of Latin-1",
        "carriers.acme.bearer.dest_ton: expected 0 to 255, got 256",
        "carriers.acme.bearer.country_code: expected digits",
        "carriers.acme.bearer.throughput: expected a number above 0, got nan",
        "carriers.acme.bearer.throttle_pause_max_s: expected a finite number, got inf",
        "carriers.acme.biller.base_url: expected http:// or https:// and a host",
        "carriers.acme.biller.timeout_s: expected a finite number, got inf",
        "carriers.acme.biller.max_processing_s: expected a number above 0, got nan",
        "carriers.acme.biller.currency_exponents: expected 0 to 4 decimal places for each currency",
        "carriers.acme.biller.callback_key: expected an even number of hexadecimal digits, or none",
    ]


def numbers(kind: object) -> bool:
    """Whether a value of this type is or holds a floating-point number."""
    return kind is float or any(numbers(part) for part in get_args(kind))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("port", ["Bearer", "Biller", None])
def test_no_setting_takes_a_number_that_is_none(port: Port | None, number: float) -> None:
    kinds_of: list[type[msgspec.Struct]] = [EngineSection, CarrierSection]
    if port is not None:
        kinds_of = [kind.settings for kind in kinds(port).values()]
    tried = [field for kind in kinds_of for field in fields(kind) if numbers(field.type)]
    assert tried
    for field in tried:
        value = [number] if isinstance(field.default, tuple) else number
        assert mistakes_of(field.name, field.type, value), field.name


URL_MISTAKE = "page.public_url: expected https:// and a host, without a path; http:// only on this machine"


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ('public_url = "https://pay.example"\nmode = "test"\ncountry_code = "+254"\nproxies = 1', []),
        ('public_url = "http://127.0.0.1:8080"\nmode = "test"', []),
        ('public_url = "http://pay.example"\nmode = "test"', [URL_MISTAKE]),
        ('public_url = "https://pay.example/me"\nmode = "test"', [URL_MISTAKE]),
        ('public_url = "https://PAY.example"\nmode = "test"', [URL_MISTAKE]),
        ('public_url = "https://pay.example"', ["page.mode: expected the mode of a carrier, and none is live"]),
        ('country_code = "254"', ["page.country_code: expected + and 1 to 3 digits, or nothing"]),
        ("proxies = -1", ["page.proxies: expected a whole number, 0 or more, got -1"]),
        ('public_ur = ""', ["page.public_ur: no such setting; did you mean public_url?"]),
        ("", []),
    ],
)
def test_a_statement_page_has_a_public_address_and_phones(config: Path, written: str, wrong: list[str]) -> None:
    config.write_text(f"[page]\n{written}\n{config.read_text(encoding='utf-8')}", encoding="utf-8")
    if not wrong:
        assert read(config, SECRETS)[0].page.proxies <= 1
        return
    with pytest.raises(ConfigError) as caught:
        read(config, SECRETS)
    assert caught.value.mistakes == wrong


def test_limits_and_caps_are_judged_setting_by_setting(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    limits = "[carriers.acme.limits]\nphone_day_amuont = 5\npayment_amount = -1\n"
    tables = f"\n{limits}[carriers.acme.caps]\nquiet_hours = '9-10'\n"
    config.write_text(text + tables, encoding="utf-8")
    assert mistakes(config) == [
        "carriers.acme.limits.phone_day_amuont: no such setting; did you mean phone_day_amount?",
        "carriers.acme.limits.payment_amount: expected a whole number, 0 or more, got -1",
        "carriers.acme.caps.quiet_hours: expected HH:MM-HH:MM, or empty for none",
    ]


def in_country(config: Path, name: str, currency: str, limits: str = "") -> Path:
    text = config.read_text(encoding="utf-8").replace('"KES"', f'"{currency}"\ncountry = "{name}"')
    config.write_text(f"{text}\n{limits}", encoding="utf-8")
    return config


def test_a_country_brings_its_rules_and_a_cap_a_month(config: Path) -> None:
    path = in_country(config, "ie_premium", "EUR", "[carriers.acme.limits]\npayment_amount = 2000\n")
    found = read(path, SECRETS)[0]
    limits = terms(found)["acme"].limits
    assert (limits.payment_amount, limits.phone_month_amount) == (2_000, 30_000)
    assert texts_kept_ms(found) == {"acme": 183 * 24 * 3600 * 1000}
    told = rules(found, {"acme": Biller("acme", LoopbackSettings(), now_ms=lambda: 0)})["acme"]
    assert (told.opt_in, told.tax_in_ask, told.asking("ask")) == ("twice_at_first", True, "ask_tax")


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("uk_premium", "uk_premium is in GBP, the carrier's currency is EUR"),
        ("narnia", "expected one of mobile_money, eu_telecom, uk_premium, ie_premium, us_short_code, got 'narnia'"),
    ],
)
def test_a_country_that_is_not_the_carriers_is_named(config: Path, name: str, mistake: str) -> None:
    assert mistakes(in_country(config, name, "EUR")) == [f"carriers.acme.country: {mistake}"]


SIM_SWAP = '[carriers.acme.sim_swap]\ntype = "sim_swap"\nbase_url = "https://sim.example/sim-swap/v1"\ntoken = "t"\n'


@pytest.mark.parametrize(
    ("tables", "mistake"),
    [
        ("[carriers.acme.sim_rule]\n", "sim_rule: expected a table carriers.acme.sim_swap, which says whom to ask"),
        (
            f'{SIM_SWAP}[carriers.acme.sim_rule]\nwhen_fresh = "pin"\n',
            "sim_rule.when_fresh: expected a table carriers.acme.ussd, where PINs are typed",
        ),
        (
            f"{SIM_SWAP}[carriers.acme.sim_rule]\nfresh_h = 2401\n",
            "sim_rule.fresh_h: expected whole hours, 1 to 2400, got 2401",
        ),
        (SIM_SWAP.replace("token =", "tokens ="), "sim_swap.tokens: no such setting; did you mean token?"),
    ],
)
def test_a_rule_about_sims_names_whom_to_ask_and_where_a_pin_is_typed(config: Path, tables: str, mistake: str) -> None:
    config.write_text(config.read_text(encoding="utf-8") + "\n" + tables, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(config, SECRETS)
    assert caught.value.mistakes == [f"carriers.acme.{mistake}"]


def test_who_is_asked_about_sims_has_a_rule_without_writing_one(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8") + "\n" + SIM_SWAP, encoding="utf-8")
    read_back = read(config, SECRETS)[0]
    assert sim_rules(read_back) == {"acme": SimRule()}
    assert "sim:acme:0" in lane_plan(read_back).names()


def with_limits(config: Path, limits: str, currency: str = "EUR") -> Path:
    text = config.read_text(encoding="utf-8").replace('"KES"', f'"{currency}"')
    config.write_text(f"{text}\n[carriers.acme.limits]\n{limits}\n", encoding="utf-8")
    return config


@pytest.mark.parametrize(
    ("written", "payment_amount", "phone_month_amount"),
    [
        ("", 5_000, 30_000),
        ("phone_month_amount = 20000", 5_000, 20_000),
        ("payment_amount = 0", 0, 30_000),
    ],
    ids=["as it is", "with less", "without one"],
)
def test_a_profile_limits_what_is_not_written(
    config: Path, written: str, payment_amount: int, phone_month_amount: int
) -> None:
    path = with_limits(config, f'profile = "eu-telecom"\nmonth_starts_on = 15\n{written}')
    limits = terms(read(path, SECRETS)[0])["acme"].limits
    assert (limits.payment_amount, limits.phone_month_amount) == (payment_amount, phone_month_amount)
    assert (limits.month_starts_on, limits.carrier_day_count) == (15, 0)


@pytest.mark.parametrize(
    ("written", "currency", "mistake"),
    [
        ('profile = "eu"', "EUR", "profile: expected one of eu-telecom, uk-telecom, got 'eu'"),
        ('profile = "eu-telecom"', "KES", "profile: eu-telecom is in EUR, the carrier's currency is KES"),
        ("profile = 5", "EUR", "profile: Expected `str`, got `int`"),
        ("month_starts_on = 29", "EUR", "month_starts_on: expected a day that every month has, 1 to 28, got 29"),
    ],
    ids=["no such profile", "another currency", "no name", "a day that February has not"],
)
def test_a_wrong_profile_or_month_is_named(config: Path, written: str, currency: str, mistake: str) -> None:
    assert mistakes(with_limits(config, written, currency)) == [f"carriers.acme.limits.{mistake}"]


@pytest.mark.parametrize(
    ("mode", "written", "asks_per_hour"),
    [
        ("live", "", 3),
        ("test", "", 0),
        ("test", "[carriers.acme.caps]\n", 3),
        ("live", "[carriers.acme.caps]\nasks_per_hour = 0\n", 0),
    ],
)
def test_caps_are_strict_for_real_phones_and_must_be_written_for_simulated_ones(
    config: Path, mode: str, written: str, asks_per_hour: int
) -> None:
    text = config.read_text(encoding="utf-8").replace('"test"', f'"{mode}"')
    config.write_text(f"{text}\n{written}", encoding="utf-8")
    found, _ = read(config, SECRETS)
    assert terms(found)["acme"].caps.asks_per_hour == asks_per_hour


def test_a_setting_that_is_not_in_the_environment_is_named_once(config: Path) -> None:
    for key in ("short_code", "brand"):
        text = re.sub(
            rf"^{key} = .*$", f'{key} = "env:NOT_SET"', config.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        config.write_text(text, encoding="utf-8")
    assert mistakes(config) == ["environment NOT_SET: expected, because the file says 'env:NOT_SET'"] * 2


@pytest.mark.parametrize(
    "url",
    ["sqlite:///", "sqlite:///:memory:", "sqlite://host/path", "postgresql://a@b/c", "postgresql+psycopg://b", "x", ""],
)
def test_only_databases_that_we_know_are_taken(config: Path, url: str) -> None:
    [written] = re.findall(r"^database = .*$", config.read_text(encoding="utf-8"), re.MULTILINE)
    expected = "gateway.database: expected sqlite:///path or postgresql+psycopg://user@host/name"
    assert mistakes(config, (written, f'database = "{url}"')) == [expected]


def test_webhooks_into_this_machine_and_real_money_do_not_go_together(config: Path) -> None:
    told = mistakes(config, ('"test"', '"live"'), ("[gateway]", "[gateway]\ndevelopment = true"))
    assert told == ["gateway.development: expected false with a carrier in live mode"]


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
    assert secrets.code_key == bytes.fromhex(CODE_KEY) and secrets.former_code_keys == ()
    _, rotated = read(config, {"BRAND": "Zuri", "GATEWAY_CODE_KEY": f"{'cd' * 32},{CODE_KEY}"})
    assert (rotated.code_key, rotated.former_code_keys) == (bytes.fromhex("cd" * 32), (secrets.code_key,))


def test_check_says_what_it_found(gateway: Here, config: Path) -> None:
    checked = gateway("check", "--config", config)
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.endswith("in order; carriers acme (test); languages en, fr, sw, zh-Hant\n")


def test_check_knows_the_languages(gateway: Here, config: Path) -> None:
    config.write_text(config.read_text().replace("brand =", 'language = "xx"\nbrand ='), encoding="utf-8")
    checked = gateway("check", "--config", config)
    assert checked.code == 2
    assert checked.complaint() == "carriers.acme.language: expected one of en, fr, sw, zh-Hant, got 'xx'"


NO_FILES = (
    "acme has no files: merchants that wait for its payment, as those without terms do, are not settled;"
    " `gateway merchant terms --wait acme=DAYS` waits for days instead"
)
UNREVIEWED = "reviewed by no native speaker yet: fr, sw, zh-Hant; live carriers "


def test_check_names_the_languages_that_live_carriers_do_not_speak(gateway: Here, config: Path) -> None:
    live = config.read_text().replace('"test"', '"live"')
    config.write_text(live, encoding="utf-8")
    checked = gateway("check", "--config", config)
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.splitlines()[1:] == [NO_FILES, UNREVIEWED + "speak English instead"]
    config.write_text(live.replace("brand =", 'language = "sw"\nbrand ='), encoding="utf-8")
    checked = gateway("check", "--config", config)
    assert checked.code == 2
    assert checked.complaint() == (
        "carriers.acme.language: a live carrier speaks only what a native speaker has reviewed, or whatever"
        " gateway.unreviewed_languages = true allows: expected one of en, got 'sw'"
    )


def test_an_operator_may_allow_unreviewed_languages(gateway: Here, config: Path) -> None:
    live = config.read_text().replace('"test"', '"live"').replace("brand =", 'language = "zh-Hant"\nbrand =')
    config.write_text(live.replace("[gateway]", "[gateway]\nunreviewed_languages = true"), encoding="utf-8")
    checked = gateway("check", "--config", config)
    assert (checked.code, checked.err) == (0, "")
    words = UNREVIEWED + "speak them all the same: gateway.unreviewed_languages"
    assert checked.out.splitlines()[1:] == [NO_FILES, words]


@pytest.mark.parametrize("has_sum", [False, True], ids=["without the sum", "with it"])
def test_check_names_live_carriers_whose_files_never_say_what_they_pay(
    gateway: Here, config: Path, has_sum: bool
) -> None:
    trailer = 'trailer = "T"\ntrailer_columns = { remitted = "3" }\n' if has_sum else ""
    layout = 'pattern = "a_{date}.csv"\ncolumns = { attempt_id = "id", amount = "amount", status = "result" }\n'
    files = f'\n[carriers.acme.files]\n{layout}statuses = {{ OK = "charged" }}\n{trailer}'
    config.write_text(config.read_text().replace('"test"', '"live"') + files, encoding="utf-8")
    said = [line for line in gateway("check", "--config", config).out.splitlines() if line.startswith("acme ")]
    assert len(said) == (not has_sum)
    assert all("`gateway remittance book` says it, or" in line for line in said)


def test_ussd_wants_a_key_for_pins_and_a_channel_that_there_is(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text + '\n[carriers.acme.ussd]\ntype = "semaphore"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read(config, {"BRAND": "Zuri", **SECRETS})
    [wrong] = refused.value.mistakes
    assert wrong.startswith("carriers.acme.ussd: type: expected one of ") and wrong.endswith("got 'semaphore'")
    config.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="GATEWAY_PIN_KEY: expected at least 32 hexadecimal digits"):
        read(config, {"BRAND": "Zuri", "GATEWAY_PIN_KEY": "ab", **SECRETS})
    _, secrets = read(config, {"BRAND": "Zuri", "GATEWAY_PIN_KEY": f"{'cd' * 32},{'ab' * 32}", **SECRETS})
    assert secrets.pin_keys == (bytes.fromhex("cd" * 32), bytes.fromhex("ab" * 32))
