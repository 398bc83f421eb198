"""How a gateway stands, as data, as one screen of text, and what of it needs a person. Reads nothing by itself.

The limits are those of the alerts in docs/monitoring/alerts.yaml.
"""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.store.outbox import EXPORT_LANE

OLDEST_MAX_S = 60.0
# Exports take turns of seconds, and nobody stands and waits for one.
OLDEST_EXPORT_MAX_S = 3600.0
UNKNOWN_MAX_S = 3600.0
SEAL_LAG_MAX_S = 300.0
DEADLINES_LAG_MAX_S = 60.0


class LaneStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One lane. `oldest_s`: how long the oldest row that is due has waited; 0 if none is."""

    name: str
    owner: str
    lease_left_s: float | None
    """None: one process alone holds it, without a lease."""
    waiting: int
    oldest_s: float


class LinkStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One carrier's link. `state`: up, down, or elsewhere (another process has the lane)."""

    carrier: str
    state: str
    up_for_s: float | None = None
    window_used: int = 0
    window_size: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `gateway status` says."""

    version: str
    database: str
    schema: str
    url: str
    ready: str
    """ok, unready, or why nobody answers."""
    processes: dict[str, float]
    """Process → seconds left of its lease."""
    lanes: list[LaneStanding]
    links: list[LinkStanding]
    lately: dict[str, int]
    """Payments asked for in the last five minutes, by their state now."""
    unknown: int
    unknown_oldest_s: float
    breaks: dict[str, int]
    quarantined: int
    seal_lag_s: float
    deadlines_lag_s: float
    webhook_oldest_s: float


def troubles(standing: Standing) -> list[str]:
    """What needs a person, one line each; empty if all is well."""
    return [*_process_troubles(standing), *_lane_troubles(standing), *_money_troubles(standing)]


def _process_troubles(standing: Standing) -> Iterator[str]:
    if standing.ready != "ok":
        yield f"gateway at {standing.url}: {standing.ready}"
    for link in standing.links:
        if link.state == "down":
            yield f"carrier {link.carrier}: the link is down"


def _lane_troubles(standing: Standing) -> Iterator[str]:
    for lane in standing.lanes:
        if not lane.owner or (lane.lease_left_s is not None and lane.lease_left_s <= 0):
            yield f"lane {lane.name}: no process has it"
        if lane.oldest_s > (OLDEST_EXPORT_MAX_S if lane.name == EXPORT_LANE else OLDEST_MAX_S):
            yield f"lane {lane.name}: the oldest of {lane.waiting} has waited {span(lane.oldest_s)}"


def _money_troubles(standing: Standing) -> Iterator[str]:
    if standing.unknown_oldest_s > UNKNOWN_MAX_S:
        yield f"{standing.unknown} unknown outcomes, the oldest for {span(standing.unknown_oldest_s)}"
    for kind, count in standing.breaks.items():
        yield f"{count} open breaks of kind {kind}; see `gateway breaks list`"
    if standing.quarantined:
        yield f"{standing.quarantined} jobs in quarantine; see `gateway quarantine list`"
    if standing.seal_lag_s > SEAL_LAG_MAX_S:
        yield f"the ledger was not sealed for {span(standing.seal_lag_s)}"
    if standing.deadlines_lag_s > DEADLINES_LAG_MAX_S:
        yield f"deadlines are {span(standing.deadlines_lag_s)} late"


def screen(standing: Standing, wrong: list[str]) -> str:
    """One screen."""
    lines = [
        f"gateway   {standing.version} at {standing.url}: {standing.ready}",
        f"database  {standing.database}, schema {standing.schema}",
    ]
    lines += [f"process   {name}, lease {span(left_s)}" for name, left_s in standing.processes.items()]
    lines += [f"link      {_link_words(link)}" for link in standing.links]
    lines += ["", f"{'lane':<24}{'waiting':>8}{'oldest':>8}  owner"]
    lines += [
        f"{lane.name:<24}{lane.waiting:>8}{span(lane.oldest_s):>8}  {_owner_words(lane)}" for lane in standing.lanes
    ]
    lines += [
        "",
        f"payments of the last 5 min  {_counts(standing.lately)}",
        f"unknown outcomes            {standing.unknown}, oldest {span(standing.unknown_oldest_s)}",
        f"open breaks                 {_counts(standing.breaks)}",
        f"quarantine                  {standing.quarantined}",
        f"oldest undelivered webhook  {span(standing.webhook_oldest_s)}",
        f"seal lag, deadlines lag     {span(standing.seal_lag_s)}, {span(standing.deadlines_lag_s)}",
        "",
    ]
    return "\n".join(lines + ([f"! {line}" for line in wrong] or ["healthy"]))


def _link_words(link: LinkStanding) -> str:
    words = f"{link.carrier}: {link.state}"
    if link.up_for_s is not None:
        words += f" for {span(link.up_for_s)}"
    return words + (f", window {link.window_used}/{link.window_size}" if link.window_size else "")


def _owner_words(lane: LaneStanding) -> str:
    if not lane.owner:
        return "nobody"
    return lane.owner if lane.lease_left_s is None else f"{lane.owner}, lease {span(lane.lease_left_s)}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def span(seconds: float) -> str:
    """`0s`, `45s`, `12m`, `5h`, `3d`; a negative one is over: `-4s`."""
    whole = round(seconds)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if abs(whole) >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
