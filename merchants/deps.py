"""What the composition root gives to the API."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from aiohttp import web
from prometheus_client import CollectorRegistry

from carriers.base import Capabilities, Route
from gateway.engine.batcher import Batcher
from merchants.frame import Frame
from merchants.keys import KeyRing, ReadsPort
from merchants.operations import OnRequest
from merchants.rates import KeyRates, RateLimits, Strangers
from merchants.request_log import RequestLog
from merchants.routing import CarrierTerms


@dataclass(frozen=True, kw_only=True)
class Api:
    """Everything that `build` needs."""

    batcher: Batcher
    reads: ReadsPort
    """For lists and whatever else merchants look at."""
    lookups: ReadsPort
    """For what every request needs first. Long lists, however many, do not keep it waiting."""
    carriers: Mapping[str, CarrierTerms]
    capabilities: Mapping[str, Capabilities] = field(default_factory=dict)
    """By carrier, what its biller can do."""
    languages: Mapping[str, Collection[str]]
    """By mode, those that a request may name."""
    now_ms: Callable[[], int]
    is_ready: Callable[[], Mapping[str, bool]]
    """By part, whether it can work now. One with a colon in its name is a link: shown, but no reason to go away."""
    overloaded: Callable[[str], float | None]
    """By carrier: None, or after how many seconds to come again."""
    callbacks: Sequence[tuple[str, Route]] = ()
    """(carrier, route), mounted at `/callbacks/<carrier><path>`."""
    pages: Mapping[str, Callable[[], web.Application]] = field(default_factory=dict)
    """Applications for browsers, by the path below which they are mounted."""
    registry: CollectorRegistry | None = None
    on_request: OnRequest | None = None
    docs_url: str = "docs/api.md"
    development: bool = False
    """Webhook endpoints may be http and on this machine."""
    limits: RateLimits = field(default_factory=RateLimits)
    logs_requests: bool = True

    @cached_property
    def frame(self) -> Frame:
        """What stands around every operation; operations on keys have to do with it, too."""
        limits = self.limits
        return Frame(
            KeyRing(self.lookups, self.now_ms, time.monotonic, Strangers(limits.unknown_keys_per_min, time.monotonic)),
            KeyRates(limits, time.monotonic) if limits.rate_per_s else None,
            RequestLog(self.now_ms) if self.logs_requests else None,
        )
