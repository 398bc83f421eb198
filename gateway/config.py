"""The configuration: one TOML file and a few secrets from the environment, read once at start into frozen structs.

Every mistake is reported in one go, unknown keys are mistakes. Nothing below the composition root reads a file of
settings or the environment. A setting of an adapter may be written `env:NAME`: the environment's value of that name,
so that passwords need not stand in the file.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from carriers import loopback, opbill
from carriers.smpp import adapter as smpp
from gateway.core.money import EXPONENTS

CODE_KEY_BYTES_MIN = 16
PORT_MAX = 65_535


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]`."""

    database: str
    """`sqlite:///path` or `postgresql+psycopg://user@host/name`."""
    listen: str = "127.0.0.1:8080"
    public_url: str = ""
    """Where merchants and carriers reach us; empty: http:// and `listen`."""
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
    max_processing_s: float = 60.0
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


class Kind(NamedTuple):
    """An adapter by its name: how its settings look and how it is made."""

    settings: type
    make: Callable[..., Any]  # Any: `parts` puts a Bearer or a Biller behind its port.


BEARERS = {
    "smpp": Kind(smpp.Settings, smpp.Bearer),
    "loopback": Kind(loopback.Settings, loopback.Bearer),
}
BILLERS = {
    "opbill": Kind(opbill.Settings, opbill.Biller),
    "loopback": Kind(loopback.Settings, loopback.Biller),
}
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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    mistakes: list[str] = []
    document = _with_environment(document, environment, mistakes)
    try:
        config = msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise ConfigError([*mistakes, f"{path}: {error}"]) from error
    mistakes += check(config)
    secrets = _secrets(environment, mistakes)
    if mistakes or secrets is None:
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


def check(config: Config) -> list[str]:
    """Every mistake in *config* that its types do not catch."""
    mistakes = []
    if not config.gateway.database.startswith(("sqlite:///", "postgresql+psycopg://")):
        mistakes.append("gateway.database: expected sqlite:///path or postgresql+psycopg://…")
    host, _, port = config.gateway.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > PORT_MAX:
        mistakes.append(f"gateway.listen: expected host:port, got {config.gateway.listen!r}")
    if not config.carriers:
        mistakes.append("carriers: expected at least one")
    if config.engine.lease_s < 2 * config.engine.heartbeat_s:
        mistakes.append("engine.lease_s: expected at least twice engine.heartbeat_s")
    for name, carrier in config.carriers.items():
        mistakes += [f"carriers.{name}.{mistake}" for mistake in _check_carrier(carrier)]
    return mistakes


def _check_carrier(carrier: CarrierSection) -> list[str]:
    mistakes = [f"prefixes: {prefix!r} does not start with +" for prefix in carrier.prefixes if prefix[:1] != "+"]
    if carrier.currency not in EXPONENTS:
        mistakes.append(f"currency: {carrier.currency!r} is no ISO 4217 code that we know")
    if carrier.code_digits not in (4, 6):
        mistakes.append(f"code_digits: expected 4 or 6, got {carrier.code_digits}")
    try:
        ZoneInfo(carrier.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        mistakes.append(f"time_zone: {carrier.time_zone!r} is not known")
    for port, kinds in (("bearer", BEARERS), ("biller", BILLERS)):
        try:
            adapter(getattr(carrier, port), kinds)
        except ValueError as error:
            mistakes.append(f"{port}: {error}")
    return mistakes


def adapter(section: dict[str, Any], kinds: Mapping[str, Kind]) -> tuple[Kind, Any]:  # Any: an adapter's own Settings.
    """The adapter that `type` in *section* names, and its settings. Raise ValueError that says what is wrong."""
    rest = dict(section)
    name = rest.pop("type", None)
    if name not in kinds:
        raise ValueError(f"type: expected one of {', '.join(sorted(kinds))}, got {name!r}")
    try:
        return kinds[name], msgspec.convert(rest, kinds[name].settings)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


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
