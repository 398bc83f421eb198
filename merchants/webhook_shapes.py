"""The shapes of what the API says and takes about webhooks: endpoints, the log of tries, replays."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.core.payment import EventType
from gateway.store.outbox import AttemptStatus
from merchants.shapes import PAGE_DEFAULT, PAGE_MAX, Request, id_meta

OVERLAP_DEFAULT_S = 86_400
OVERLAP_MAX_S = 7 * 86_400
SEQ_MAX = 2**53

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        examples=["https://shop.example/hooks/payments"],
        extra_json_schema={"format": "uri", "pattern": r"^https?://[!-~]+$"},
    ),
]
EventTypes = Annotated[list[EventType], Meta(max_length=64)]
EventId = Annotated[str, id_meta("evt_")]
EndpointId = Annotated[str, id_meta("we_")]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]


class EndpointRequest(Request, frozen=True, kw_only=True):
    """Where events are to be posted."""

    url: Url
    types: Annotated[list[EventType], Meta(max_length=64, description="Empty: all.")] = field(default_factory=list)


class EndpointChange(Request, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    url: Url | UnsetType = UNSET
    types: Annotated[EventTypes, Meta(description="Empty: all.")] | UnsetType = UNSET
    disabled: Annotated[bool, Meta(description="`false` takes an endpoint that answered 410 back.")] | UnsetType = UNSET


class SecretRotation(Request, frozen=True, kw_only=True):
    """For how long the secret of before signs, too."""

    overlap_s: Annotated[int, Meta(ge=0, le=OVERLAP_MAX_S)] = OVERLAP_DEFAULT_S


class Endpoint(Struct, frozen=True, kw_only=True):
    """A webhook endpoint. `secret` is shown once, in the answer that makes it."""

    id: str
    object: str = "webhook_endpoint"
    mode: str
    url: str
    types: list[EventType]
    created_at: str
    disabled_at: str | None
    previous_secret_until: Annotated[str | None, Meta(description="Until then the secret of before signs, too.")]
    secret: str | UnsetType = UNSET


class EndpointList(Struct, frozen=True, kw_only=True):
    """All endpoints: there are so few that one page holds them."""

    object: Literal["list"] = "list"
    data: list[Endpoint]
    has_more: bool = False
    next: str | None = None


class EndpointDeleted(Struct, frozen=True, kw_only=True):
    id: str
    deleted: bool = True


class AttemptQuery(Request, frozen=True, kw_only=True):
    """A page of an endpoint's tries, newest first."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: (
        Annotated[str, Meta(min_length=1, max_length=200, description="The last id of the page before.")] | None
    ) = None
    status: AttemptStatus | None = None
    event_id: EventId | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try to deliver an event. `http_status` is null if no answer came."""

    id: str
    object: Literal["webhook_attempt"] = "webhook_attempt"
    event_id: str
    endpoint_id: str
    status: AttemptStatus
    tries: Annotated[int, Meta(ge=0, description="Which try it was.")]
    http_status: int | None
    took_ms: int
    detail: str
    at: str


class AttemptPage(Struct, frozen=True, kw_only=True):
    """`next` is the `starting_after` of the next page; null on the last one."""

    object: Literal["list"] = "list"
    data: list[Attempt]
    has_more: bool
    next: str | None


class EventReplay(Request, frozen=True, kw_only=True):
    """Where an event is to be sent again; without a field, wherever it is sent at all."""

    endpoint_id: EndpointId | None = None


class RangeReplay(Request, frozen=True, kw_only=True):
    """Which events an endpoint is to get again."""

    after_seq: Seq
    through_seq: Seq
    types: Annotated[EventTypes, Meta(min_length=1)] | None = None


class Replay(Struct, frozen=True, kw_only=True):
    """What was queued. `queued` counts deliveries: events times endpoints."""

    object: Literal["replay"] = "replay"
    endpoint_ids: list[str]
    queued: int
