"""The configuration: one TOML file and a few secrets from the environment, read once at start into frozen structs.

Every mistake is reported in one go, unknown keys are mistakes. Nothing below the composition root reads a file of
settings or the environment. A setting of an adapter may be written `env:NAME`: the environment's value of that name,
so that passwords need not stand in the file.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo, fields

from gateway.adapters import Port, chosen
from gateway.core import bounds
from gateway.core.bounds import Count, CountOrNone, NotNegative, Positive, Prefix, Words
from gateway.core.caps import Caps
from gateway.core.carrier_files import Files
from gateway.core.country import COUNTRIES, DEFAULT, country_mistake
from gateway.core.limits import PROFILES, Limits, profile_mistake
from gateway.core.money import EXPONENTS
from gateway.core.sim_rule import SimRule

CODE_KEY_BYTES_MIN = 16
# A carrier's name stands in lanes, ledger accounts and the addresses of callbacks.
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
# As browsers write an origin: in small letters, the port only if it is no usual one.
PUBLIC_URL = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")

Section = TypeVar("Section", bound=msgspec.Struct)
# The last pause of a ladder is the one that goes on, so there must be one.
Ladder = Annotated[tuple[Positive, ...], Meta(min_length=1, description="a list of one number or more")]


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]`."""

    database: str
    """`sqlite:///path` or `postgresql+psycopg://user@host/name`."""
    listen: str = "127.0.0.1:8080"
    development: bool = False
    """Allows webhooks to http and loopback addresses."""
    unreviewed_languages: bool = False
    """Lets live carriers speak languages whose texts no native speaker has reviewed."""
    process_name: str = ""
    anchor_file: str = ""
    """Gets the head of the ledger's chain every hour."""
    drain_s: NotNegative = 0.0
    """Between a SIGTERM and the closing of the port: /readyz says 503 already, requests are still served."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """`auto`: words on a terminal, else JSON."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ApiSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[api]`. Each process counts for itself."""

    rate_per_s: NotNegative = 100.0
    burst: Count = 200
    unknown_keys_per_min: CountOrNone = 20
    request_log: bool = True


class PageSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[page]`. The statement page for phones' owners."""

    public_url: str = ""
    """Where browsers find this gateway: `https://pay.example.org`. Empty: there is no page."""
    mode: Literal["live", "test"] = "live"
    """Whose payments it shows: those of real phones, or of simulated ones."""
    country_code: Annotated[
        str, Meta(pattern=r"^(\+[1-9][0-9]{0,2})?\Z", description="+ and 1 to 3 digits, or nothing")
    ] = ""
    """Of numbers that are typed without one: `+254`."""
    proxies: CountOrNone = 0
    """How many proxies of ours add to X-Forwarded-For."""
    codes_per_address: CountOrNone = 20
    """In ten minutes, each process for itself."""


class EngineSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine]`."""

    batch_events_max: Count = 256
    queue_max: Count = 4096
    pace_ms: CountOrNone = 10
    eager_at: Count = 128
    lease_s: Positive = 45.0
    """Longer than the longest request of any lane: a lane starts nothing that could outlive its lease."""
    heartbeat_s: Positive = 3.0
    poll_s: Positive = 1.0
    webhook_lanes: Count = 4
    webhook_concurrency: Count = 32
    webhook_timeout_s: Positive = 15.0
    traces: bool = True


class CarrierSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>]`."""

    mode: Literal["test", "live"]
    prefixes: Annotated[tuple[Prefix, ...], Meta(min_length=1, description="a list of one prefix or more")]
    """Number prefixes in E.164 that this carrier serves; the longest match wins."""
    currency: str
    country: str = DEFAULT
    """A line of `COUNTRIES`: what is asked of a charge here beyond a code."""
    time_zone: str
    language: str = "en"
    short_code: Words
    care_line: str = ""
    brand: Words
    bearer: dict[str, Any]  # Any: each adapter reads its own settings; `type` names it.
    biller: dict[str, Any]  # Any: as above.
    ussd: dict[str, Any] | None = None  # Any: as above.
    """None: its phones have texts only."""
    ask_by: Literal["sms", "ussd"] = "sms"
    """`ussd`: an ask goes as a screen, and as a text where that cannot be."""
    push_answer_s: Positive = 60.0
    """How long such a screen may go unanswered before the text goes."""
    sim_swap: dict[str, Any] | None = None  # Any: as above.
    """None: it is not asked about SIMs."""
    charge_lanes: Count = 1
    charge_concurrency: Count = 32
    code_digits: Annotated[Literal[4, 6], Meta(description="4 or 6")] = 4
    consent_grace_s: NotNegative = 60.0
    reminder_from_s: NotNegative = 0.0
    """An ask that can be answered for at least so long is repeated once, in the middle of that time; 0: never."""
    charge_within_s: Positive = 600.0
    inquiry_ladder_s: Ladder = (10, 30, 60, 120, 300, 900, 3600, 21600, 86400)
    not_found_gap_s: NotNegative = 10.0
    resend_ladder_s: Ladder = (1, 5, 15, 60)
    hold_s: Positive = 604_800
    escrow_ship_within_s: Positive = 604_800
    escrow_release_after_s: Positive = 1_209_600
    limits: Limits | None = None
    caps: Caps | None = None
    """None: those of `Caps` for a live carrier, none for a test carrier."""
    sim_rule: SimRule | None = None
    """None: that of `SimRule`, if there is a `sim_swap`."""
    files: Files | None = None
    """None: it sends no files that we read."""


# Tables in a table, judged setting by setting as it is.
INNER: Mapping[Any, type[msgspec.Struct]] = {
    Limits | None: Limits,
    Caps | None: Caps,
    Files | None: Files,
    SimRule | None: SimRule,
}  # Any: a field's type.


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    gateway: GatewaySection
    api: ApiSection = ApiSection()
    page: PageSection = PageSection()
    engine: EngineSection = EngineSection()
    carriers: dict[str, CarrierSection]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment holds."""

    code_key: bytes
    """Derives one-time codes; the first of `GATEWAY_CODE_KEY`, 32 hexadecimal digits or more each."""
    former_code_keys: tuple[bytes, ...] = ()
    """The others: payments that were begun with one of them keep it."""
    pin_keys: tuple[bytes, ...] = ()
    """PINs are kept by them, new ones by the first; `GATEWAY_PIN_KEY`, written alike. Needed with USSD only."""


ENV = "env:"


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` names each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def read(path: Path, environment: Mapping[str, str] = os.environ) -> tuple[Config, Secrets]:
    """The configuration at *path* and the secrets. Raise ConfigError with every mistake found."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path}: expected TOML: {error}"]) from error
    mistakes: list[str] = []
    config = _config(_with_environment(document, environment, mistakes), mistakes)
    has_pins = config is not None and any(carrier.ussd is not None for carrier in config.carriers.values())
    secrets = _secrets(environment, mistakes, has_pins=has_pins)
    if mistakes or config is None or secrets is None:
        raise ConfigError(mistakes)
    return config, secrets


def _with_environment(value: Any, environment: Mapping[str, str], mistakes: list[str]) -> Any:  # Any: TOML.
    if isinstance(value, dict):
        return {key: _with_environment(inner, environment, mistakes) for key, inner in value.items()}
    if not (isinstance(value, str) and value.startswith(ENV)):
        return value
    name = value.removeprefix(ENV)
    if name not in environment:
        mistakes.append(f"environment {name}: expected, because the file says {value!r}")
    # What is not set is named once, and not judged as a value besides.
    return environment.get(name, msgspec.UNSET)


def _config(document: dict[str, Any], mistakes: list[str]) -> Config | None:  # Any: TOML.
    """*document* as the configuration; None if there are *mistakes*, each of which is added with its key."""
    mistakes += _strangers(Config, document, "")
    gateway = _section(GatewaySection, document.get("gateway", {}), "gateway", mistakes)
    mistakes += _check_gateway(gateway.values)
    api = _section(ApiSection, document.get("api", {}), "api", mistakes)
    page = _section(PageSection, document.get("page", {}), "page", mistakes)
    engine = _section(EngineSection, document.get("engine", {}), "engine", mistakes)
    mistakes += _check_engine(engine.values)
    tables = document.get("carriers", {})
    carriers = {}
    if not isinstance(tables, dict) or not tables:
        mistakes.append("carriers: expected at least one table [carriers.<name>]")
        tables = {}
    for name, table in tables.items():
        if NAME.fullmatch(name) is None:
            mistakes.append(f"carriers.{name}: expected a name of letters, digits, - and _")
        whole_table = _with_country(_with_profile(table, f"carriers.{name}", mistakes), f"carriers.{name}", mistakes)
        carriers[name] = _section(CarrierSection, whole_table, f"carriers.{name}", mistakes)
        mistakes += [f"carriers.{name}.{mistake}" for mistake in _check_carrier(carriers[name].values)]
        mistakes += _check_sim_rule(table, f"carriers.{name}")
    if gateway.values.get("development") and any(carrier.values.get("mode") == "live" for carrier in carriers.values()):
        mistakes.append("gateway.development: expected false with a carrier in live mode")
    mistakes += _check_page(page.values, {carrier.values.get("mode") for carrier in carriers.values()})
    whole = {name: carrier.section for name, carrier in carriers.items() if carrier.section is not None}
    if mistakes or gateway.section is None or api.section is None or engine.section is None or page.section is None:
        return None
    return Config(gateway=gateway.section, api=api.section, page=page.section, engine=engine.section, carriers=whole)


def _with_profile(table: Any, path: str, mistakes: list[str]) -> Any:  # Any: TOML.
    """A carrier's *table* with the limits that its profile has and the file does not say."""
    limits = table.get("limits") if isinstance(table, dict) else None
    if not isinstance(limits, dict) or not isinstance(name := limits.get("profile"), str):
        return table  # What they are instead is judged with the other settings.
    wrong = profile_mistake(name, str(table.get("currency")))
    if wrong is not None:
        mistakes.append(f"{path}.limits.profile: {wrong}")
        return table
    profile = PROFILES.get(name)
    return table if profile is None else {**table, "limits": {**profile.limits, **limits}}


def _with_country(table: Any, path: str, mistakes: list[str]) -> Any:  # Any: TOML.
    """A carrier's *table* with the limits that its country has and nothing else says."""
    if not isinstance(table, dict) or not isinstance(name := table.get("country", DEFAULT), str):
        return table  # What they are instead is judged with the other settings.
    wrong = country_mistake(name, str(table.get("currency")))
    if wrong is not None:
        mistakes.append(f"{path}.country: {wrong}")
        return table
    limits, written = COUNTRIES[name].limits, table.get("limits", {})
    return {**table, "limits": {**limits, **written}} if limits and isinstance(written, dict) else table


class Read(NamedTuple, Generic[Section]):
    """What could be made of a table. `values` has each setting that is right by itself, so that it can be judged."""

    section: Section | None
    values: Mapping[str, Any]  # Any: of each field's own type.


def _section(kind: type[Section], table: Any, path: str, mistakes: list[str]) -> Read[Section]:  # Any: TOML.
    """*table* as a *kind*, if there are no mistakes in it. The library itself would name the first one only."""
    if not isinstance(table, dict):
        mistakes.append(f"{path}: expected a table")
        return Read(None, {})
    found = _strangers(kind, table, f"{path}.")
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = table.get(field.name, field.default)
        inner = INNER.get(field.type)
        if inner is not None:
            if field.name in table:
                _section(inner, value, f"{path}.{field.name}", found)
            continue
        wrong = _wrong(field, value, path)
        found += wrong
        if not wrong and value is not msgspec.UNSET and value is not msgspec.NODEFAULT:
            values[field.name] = msgspec.convert(value, field.type)
    mistakes += found
    if found or _has_unset(table):
        return Read(None, values)
    try:
        return Read(msgspec.convert(table, kind), values)
    except msgspec.ValidationError as error:  # What the section itself says of its values together.
        mistakes.append(f"{path}: {error}")
        return Read(None, values)


def _has_unset(table: Mapping[str, object]) -> bool:
    """Whether a value in *table*, or in a table in it, was to come from the environment and did not."""
    return any(value is msgspec.UNSET or (isinstance(value, dict) and _has_unset(value)) for value in table.values())


def _wrong(field: FieldInfo, value: object, path: str) -> list[str]:
    if value is msgspec.UNSET:
        return []
    if value is msgspec.NODEFAULT:
        return [f"{path}.{field.name}: is missing"] if field.required else []
    return bounds.mistakes(f"{path}.{field.name}", field.type, value)


def _strangers(kind: type[msgspec.Struct], table: Mapping[str, object], path: str) -> list[str]:
    known = [field.name for field in fields(kind)]
    mistakes = []
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            mistakes.append(f"{path}{key}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return mistakes


def _check_gateway(values: Mapping[str, Any]) -> list[str]:  # Any: of each field's own type.
    mistakes = []
    if "database" in values and not _is_database(values["database"]):
        mistakes.append("gateway.database: expected sqlite:///path or postgresql+psycopg://user@host/name")
    if "listen" in values and not _is_address(values["listen"]):
        mistakes.append(f"gateway.listen: expected host:port, got {values['listen']!r}")
    return mistakes


def _is_database(text: str) -> bool:
    # It takes longer to import than all else that `gateway --help` and a wrong call need together.
    from sqlalchemy import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number.
        return False
    # A database in memory would be another one for each connection.
    kept = url.database not in (None, "", ":memory:")
    return kept and (url.drivername == "postgresql+psycopg" or (url.drivername == "sqlite" and not url.host))


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and int(port) <= bounds.PORT_MAX


def _check_page(values: Mapping[str, Any], modes: Collection[object]) -> list[str]:  # Any: of each field's own type.
    url = values.get("public_url")
    if not url:
        return []
    mistakes = []
    if PUBLIC_URL.fullmatch(url) is None:
        mistakes.append("page.public_url: expected https:// and a host, without a path; http:// only on this machine")
    if "mode" in values and values["mode"] not in modes:
        mistakes.append(f"page.mode: expected the mode of a carrier, and none is {values['mode']}")
    return mistakes


def _check_engine(values: Mapping[str, Any]) -> list[str]:  # Any: as above.
    if {"lease_s", "heartbeat_s"} <= values.keys() and values["lease_s"] < 2 * values["heartbeat_s"]:
        return ["engine.lease_s: expected at least twice engine.heartbeat_s"]
    return []


def _check_carrier(values: Mapping[str, Any]) -> list[str]:  # Any: as above.
    mistakes = []
    if "currency" in values and values["currency"] not in EXPONENTS:
        mistakes.append(f"currency: {values['currency']!r} is no ISO 4217 code that we know")
    if "time_zone" in values and not _is_time_zone(values["time_zone"]):
        mistakes.append(f"time_zone: {values['time_zone']!r} is not known")
    mistakes += _check_adapter("Bearer", "bearer", values["bearer"]) if "bearer" in values else []
    mistakes += _check_adapter("Biller", "biller", values["biller"]) if "biller" in values else []
    ussd, sim_swap = values.get("ussd"), values.get("sim_swap")
    if ussd is None and values.get("ask_by") == "ussd":
        mistakes.append("ask_by: expected sms without a table ussd")
    mistakes += [] if ussd is None else _check_adapter("UssdChannel", "ussd", ussd)
    mistakes += [] if sim_swap is None else _check_adapter("SimSwap", "sim_swap", sim_swap)
    return mistakes


def _check_sim_rule(table: Any, path: str) -> list[str]:  # Any: TOML.
    """What a rule about SIMs needs besides itself."""
    rule = table.get("sim_rule") if isinstance(table, dict) else None
    if not isinstance(rule, dict):
        return []
    if "sim_swap" not in table:
        return [f"{path}.sim_rule: expected a table {path}.sim_swap, which says whom to ask"]
    if rule.get("when_fresh") == "pin" and "ussd" not in table:
        return [f"{path}.sim_rule.when_fresh: expected a table {path}.ussd, where PINs are typed"]
    return []


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones.
        return False
    return True


def _check_adapter(port: Port, name: str, table: dict[str, Any]) -> list[str]:  # Any: TOML.
    try:
        kind, rest = chosen(table, port)
    except ValueError as error:
        return [f"{name}: {error}"]
    mistakes: list[str] = []
    _section(kind.settings, rest, name, mistakes)
    return mistakes


def _secrets(environment: Mapping[str, str], mistakes: list[str], *, has_pins: bool) -> Secrets | None:
    codes = _keys("GATEWAY_CODE_KEY", environment.get("GATEWAY_CODE_KEY", ""), mistakes)
    said = environment.get("GATEWAY_PIN_KEY", "")
    pins = _keys("GATEWAY_PIN_KEY", said, mistakes) if said or has_pins else ()
    if codes is None or pins is None:
        return None
    return Secrets(code_key=codes[0], former_code_keys=codes[1:], pin_keys=pins)


def _keys(name: str, said: str, mistakes: list[str]) -> tuple[bytes, ...] | None:
    try:
        keys = tuple(bytes.fromhex(text) for text in said.split(","))
    except ValueError:
        keys = (b"",)
    if min(map(len, keys)) < CODE_KEY_BYTES_MIN:
        wanted = "expected at least 32 hexadecimal digits, or several such keys with commas, the newest first"
        mistakes.append(f"environment {name}: {wanted}")
        return None
    return keys
