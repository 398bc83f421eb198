"""What the composition root gives to the API."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from carriers.base import Route
from gateway.engine.batcher import Batcher
from merchants.keys import ReadsPort
from merchants.operations import OnRequest
from merchants.routing import CarrierTerms


@dataclass(frozen=True, kw_only=True)
class Api:
    """Everything that `build` needs."""

    batcher: Batcher
    reads: ReadsPort
    carriers: Mapping[str, CarrierTerms]
    languages: Mapping[str, Collection[str]]
    """By mode, those that a request may name."""
    now_ms: Callable[[], int]
    is_ready: Callable[[], Mapping[str, bool]]
    """By part, whether it can work now. One with a colon in its name is a link: shown, but no reason to go away."""
    overloaded: Callable[[str], float | None]
    """By carrier: None, or after how many seconds to come again."""
    callbacks: Sequence[tuple[str, Route]] = ()
    """(carrier, route), mounted at `/callbacks/<carrier><path>`."""
    registry: CollectorRegistry | None = None
    on_request: OnRequest | None = None
    docs_url: str = "docs/api.md"
    development: bool = False
    """Webhook endpoints may be http and on this machine."""
