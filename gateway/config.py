"""The configuration: one TOML file and a few secrets from the environment, read once at start into frozen structs.

Every mistake is reported in one go, unknown keys are mistakes. Nothing below the composition root reads a file of
settings or the environment. A setting of an adapter may be written `env:NAME`: the environment's value of that name,
so that passwords need not stand in the file.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec.structs import fields
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gateway.adapters import Port, chosen
from gateway.core.money import EXPONENTS

CODE_KEY_BYTES_MIN = 16
PORT_MAX = 65_535
# A carrier's name stands in lanes, ledger accounts and the addresses of callbacks.
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")

Section = TypeVar("Section", bound=msgspec.Struct)


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]`."""

    database: str
    """`sqlite:///path` or `postgresql+psycopg://user@host/name`."""
    listen: str = "127.0.0.1:8080"
    development: bool = False
    """Allows webhooks to http and loopback addresses."""
    process_name: str = ""


class EngineSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine]`."""

    batch_events_max: int = 256
    queue_max: int = 4096
    pace_ms: int = 10
    eager_at: int = 128
    lease_s: float = 45.0
    """Longer than the longest request of any lane: a lane starts nothing that could outlive its lease."""
    heartbeat_s: float = 3.0
    poll_s: float = 1.0
    webhook_lanes: int = 4
    webhook_concurrency: int = 32
    webhook_timeout_s: float = 15.0


class CarrierSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[carriers.<name>]`."""

    mode: Literal["test", "live"]
    prefixes: tuple[str, ...]
    """Number prefixes in E.164 that this carrier serves; the longest match wins."""
    currency: str
    time_zone: str
    language: str = "en"
    short_code: str
    care_line: str = ""
    brand: str
    bearer: dict[str, Any]  # Any: each adapter reads its own settings; `type` names it.
    biller: dict[str, Any]  # Any: as above.
    charge_lanes: int = 1
    charge_concurrency: int = 32
    code_digits: int = 4
    consent_grace_s: float = 60.0
    charge_within_s: float = 600.0
    inquiry_ladder_s: tuple[float, ...] = (10, 30, 60, 120, 300, 900, 3600, 21600, 86400)
    not_found_gap_s: float = 10.0
    resend_ladder_s: tuple[float, ...] = (1, 5, 15, 60)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    gateway: GatewaySection
    engine: EngineSection = EngineSection()
    carriers: dict[str, CarrierSection]


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment holds."""

    code_key: bytes
    """Derives one-time codes; `GATEWAY_CODE_KEY`, 32 hexadecimal digits or more."""


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
    secrets = _secrets(environment, mistakes)
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
    return environment.get(name, "")


def _config(document: dict[str, Any], mistakes: list[str]) -> Config | None:  # Any: TOML.
    """*document* as the configuration; None if there are *mistakes*, each of which is added with its key."""
    mistakes += _strangers(Config, document, "")
    gateway = _section(GatewaySection, document.get("gateway", {}), "gateway", mistakes)
    engine = _section(EngineSection, document.get("engine", {}), "engine", mistakes)
    tables = document.get("carriers", {})
    carriers = {}
    if not isinstance(tables, dict) or not tables:
        mistakes.append("carriers: expected at least one table [carriers.<name>]")
    else:
        named = (
            (name, _section(CarrierSection, table, f"carriers.{name}", mistakes)) for name, table in tables.items()
        )
        carriers = {name: carrier for name, carrier in named if carrier is not None}
    mistakes += [] if gateway is None else _check_gateway(gateway)
    mistakes += [] if engine is None else _check_engine(engine)
    for name, carrier in carriers.items():
        if NAME.fullmatch(name) is None:
            mistakes.append(f"carriers.{name}: expected a name of letters, digits, - and _")
        mistakes += [f"carriers.{name}.{mistake}" for mistake in _check_carrier(carrier)]
    if mistakes or gateway is None or engine is None:
        return None
    return Config(gateway=gateway, engine=engine, carriers=carriers)


def _section(kind: type[Section], table: Any, path: str, mistakes: list[str]) -> Section | None:  # Any: TOML.
    """*table* as a *kind*; None if there are mistakes in it. The library itself would name the first one only."""
    if not isinstance(table, dict):
        mistakes.append(f"{path}: expected a table")
        return None
    found = _strangers(kind, table, f"{path}.")
    for field in fields(kind):
        if field.name not in table:
            found += [f"{path}.{field.name}: is missing"] if field.required else []
            continue
        try:
            msgspec.convert(table[field.name], field.type)
        except msgspec.ValidationError as error:
            found.append(f"{path}.{field.name}: {error}")
    if not found:
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:  # What the section itself says of its values together.
            found.append(f"{path}: {error}")
    mistakes += found
    return None


def _strangers(kind: type[msgspec.Struct], table: Mapping[str, object], path: str) -> list[str]:
    known = [field.name for field in fields(kind)]
    mistakes = []
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            mistakes.append(f"{path}{key}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    return mistakes


def _check_gateway(gateway: GatewaySection) -> list[str]:
    mistakes = []
    if not _is_database(gateway.database):
        mistakes.append("gateway.database: expected sqlite:///path or postgresql+psycopg://user@host/name")
    host, _, port = gateway.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > PORT_MAX:
        mistakes.append(f"gateway.listen: expected host:port, got {gateway.listen!r}")
    return mistakes


def _is_database(text: str) -> bool:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number.
        return False
    # A database in memory would be another one for each connection.
    kept = url.database not in (None, "", ":memory:")
    return kept and (url.drivername == "postgresql+psycopg" or (url.drivername == "sqlite" and not url.host))


def _check_engine(engine: EngineSection) -> list[str]:
    mistakes = [f"engine.{mistake}" for mistake in _not_positive(engine, allow_zero=("pace_ms",))]
    if engine.lease_s < 2 * engine.heartbeat_s:
        mistakes.append("engine.lease_s: expected at least twice engine.heartbeat_s")
    return mistakes


def _not_positive(section: msgspec.Struct, *, allow_zero: tuple[str, ...]) -> list[str]:
    """Numbers in *section* that are too small to mean anything."""
    mistakes = []
    for name, value in msgspec.structs.asdict(section).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value < 0 or (value == 0 and name not in allow_zero):
            least = "0 or more" if name in allow_zero else "more than 0"
            mistakes.append(f"{name}: expected {least}, got {value}")
    return mistakes


def _check_carrier(carrier: CarrierSection) -> list[str]:
    mistakes = [f"prefixes: {prefix!r} does not start with +" for prefix in carrier.prefixes if prefix[:1] != "+"]
    mistakes += _not_positive(carrier, allow_zero=("consent_grace_s", "not_found_gap_s"))
    if not carrier.prefixes:
        mistakes.append("prefixes: expected at least one")
    for ladder in ("inquiry_ladder_s", "resend_ladder_s"):
        if not getattr(carrier, ladder) or min(getattr(carrier, ladder)) <= 0:
            mistakes.append(f"{ladder}: expected at least one number, and all of them more than 0")
    if carrier.currency not in EXPONENTS:
        mistakes.append(f"currency: {carrier.currency!r} is no ISO 4217 code that we know")
    if carrier.code_digits not in (4, 6):
        mistakes.append(f"code_digits: expected 4 or 6, got {carrier.code_digits}")
    try:
        ZoneInfo(carrier.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones.
        mistakes.append(f"time_zone: {carrier.time_zone!r} is not known")
    return [*mistakes, *_check_adapter("Bearer", carrier.bearer), *_check_adapter("Biller", carrier.biller)]


def _check_adapter(port: Port, table: dict[str, Any]) -> list[str]:  # Any: TOML.
    try:
        kind, rest = chosen(table, port)
    except ValueError as error:
        return [f"{port.lower()}: {error}"]
    mistakes: list[str] = []
    _section(kind.settings, rest, port.lower(), mistakes)
    return mistakes


def _secrets(environment: Mapping[str, str], mistakes: list[str]) -> Secrets | None:
    text = environment.get("GATEWAY_CODE_KEY", "")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < CODE_KEY_BYTES_MIN:
        mistakes.append("environment GATEWAY_CODE_KEY: expected at least 32 hexadecimal digits")
        return None
    return Secrets(code_key=key)
