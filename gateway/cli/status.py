"""`gateway status`: asks a running gateway and its database how they are, and says what needs a person."""

import contextlib
import http.client
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, make_url

from gateway.app import parts
from gateway.app.build import build_version
from gateway.cli.database import with_database
from gateway.cli.errors import CommandError
from gateway.cli.standing import LaneStanding, LinkStanding, Standing, screen, troubles
from gateway.config import Config, read
from gateway.engine.clock import wall_ms
from gateway.store import migrate
from gateway.store.leases import FOR_EVER_MS
from gateway.store.overview import Overview, Owner, lately, overview, owners, processes

ANSWER_S = 5.0
BODY_BYTES_MAX = 10_000_000
ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


class Health(msgspec.Struct, frozen=True):
    """What `/readyz` answers."""

    status: str
    parts: dict[str, bool] = {}


class Seen(msgspec.Struct, frozen=True):
    """What a running gateway says of itself."""

    ready: str
    parts: Mapping[str, bool] = {}
    metrics: Mapping[tuple[str, str], float] = {}
    """(name, the value of its carrier's label or "") → value."""


def run(path: Path, *, url: str, as_json: bool) -> None:
    """Print how it stands. Raise ConfigError, or CommandError if something needs a person."""
    config, _ = read(path)
    url = url or _address(config)
    seen = _ask(url)

    standing = with_database(config.gateway.database, lambda conn: _read(conn, config, url, seen), read_only=True)
    wrong = troubles(standing)
    if as_json:
        print(msgspec.json.encode({**msgspec.to_builtins(standing), "troubles": wrong}).decode())
    else:
        print(screen(standing, wrong))
    if wrong:
        raise CommandError(f"{len(wrong)} need a person: {'; '.join(wrong)}")


def _address(config: Config) -> str:
    host, port = parts.listen(config)
    if port == 0:
        raise CommandError("--url: expected the gateway's address, because the file says port 0", exit_code=2)
    return f"http://{ANYWHERE.get(host, host)}:{port}"


def _ask(url: str) -> Seen:
    try:
        ready = msgspec.json.decode(_get(url, "/readyz"), type=Health)
        text = _get(url, "/metrics").decode()
    except (OSError, http.client.HTTPException) as error:
        return Seen(f"does not answer ({type(error).__name__})")
    except (ValueError, msgspec.DecodeError):
        return Seen("answers, but not as a gateway does")
    metrics = {
        (sample.name, sample.labels.get("carrier", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Seen(ready.status, ready.parts, metrics)


def _get(url: str, path: str) -> bytes:
    split = urlsplit(url)
    if split.scheme != "http" or not split.netloc:
        raise CommandError(f"--url: expected http://host:port, got {url!r}", exit_code=2)
    with contextlib.closing(http.client.HTTPConnection(split.netloc, timeout=ANSWER_S)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read(BODY_BYTES_MAX)


def _read(conn: Connection, config: Config, url: str, seen: Seen) -> Standing:
    database = make_url(config.gateway.database).render_as_string(hide_password=True)
    now_ms = wall_ms()
    names = parts.lane_plan(config).names()
    found, held = overview(conn, names), owners(conn)
    return Standing(
        version=build_version(),
        database=database,
        schema=migrate.newest(),
        url=url,
        ready=seen.ready,
        processes={name: (until_ms - now_ms) / 1000 for name, until_ms in processes(conn).items()},
        lanes=[_lane(name, found, held.get(name), now_ms) for name in names],
        links=[_link(name, seen) for name in config.carriers],
        lately=lately(conn, now_ms),
        unknown=found.unknown.count,
        unknown_oldest_s=_age_s(found.unknown.since_ms, now_ms),
        breaks={kind: count.count for kind, count in sorted(found.breaks.items())},
        quarantined=found.quarantined.count,
        seal_lag_s=_age_s(found.unsealed_since_ms, now_ms),
        deadlines_lag_s=_age_s(found.deadline_since_ms, now_ms),
        webhook_oldest_s=max(
            _age_s(waiting.written_at_ms, now_ms) for name, waiting in found.waiting.items() if name.startswith("webh")
        ),
    )


def _lane(name: str, found: Overview, owner: Owner | None, now_ms: int) -> LaneStanding:
    waiting = found.waiting[name]
    is_leased = owner is not None and owner.owner and owner.until_ms < FOR_EVER_MS
    return LaneStanding(
        name=name,
        owner=owner.owner if owner is not None else "",
        lease_left_s=(owner.until_ms - now_ms) / 1000 if owner is not None and is_leased else None,
        waiting=waiting.rows,
        oldest_s=_age_s(waiting.due_since_ms, now_ms),
    )


def _link(carrier: str, seen: Seen) -> LinkStanding:
    is_up = seen.parts.get(f"link:{carrier}")
    if is_up is None:
        return LinkStanding(carrier=carrier, state="elsewhere" if seen.parts else "not known")
    since_s = seen.metrics.get(("gateway_bearer_up_since_seconds", carrier), 0.0)
    return LinkStanding(
        carrier=carrier,
        state="up" if is_up else "down",
        up_for_s=time.time() - since_s if is_up and since_s else None,
        window_used=round(seen.metrics.get(("gateway_bearer_window_used", carrier), 0)),
        window_size=round(seen.metrics.get(("gateway_bearer_window_size", carrier), 0)),
    )


def _age_s(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)
