"""The shapes of the API: what requests may hold and what answers look like. The OpenAPI document is made of these.

Types say what JSON can say; what needs a look at the world (numbers, carriers, links) is checked in `checks`. Requests
refuse fields that they do not know. The payment itself is `gateway.core.public.PublicPayment`, as in feed and webhooks.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from gateway.core.ids import id_pattern
from gateway.core.money import AMOUNT_MINOR_MAX
from gateway.core.payment import METADATA_KEYS_MAX, Capture, EventType, PublicState, Reason
from gateway.core.public import API_VERSION, PublicPayment

PAGE_DEFAULT = 20
PAGE_MAX = 100
EVENTS_DEFAULT = 100
EVENTS_MAX = 1000

MetadataKey = Annotated[str, Meta(min_length=1, max_length=40)]
MetadataValue = Annotated[str, Meta(max_length=500)]


def id_meta(prefix: str) -> Meta:
    """How an id is described. It is checked where it is looked for: whatever is no id is told as one not found."""
    examples = [f"{prefix}01ktz1c4hvf6mvd3gcn4e8xq2m"]
    return Meta(min_length=1, max_length=64, examples=examples, extra_json_schema={"pattern": id_pattern(prefix)})


PaymentId = Annotated[str, id_meta("pay_")]


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's body or query."""


class Nothing(Request, frozen=True, kw_only=True):
    """No fields: an empty body or `{}`."""


class PaymentRequest(Request, frozen=True, kw_only=True):
    """Ask one phone for money."""

    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX, description="Minor units.", examples=[125000])]
    currency: Annotated[str, Meta(description="ISO 4217; the one that the carrier charges in.", examples=["KES"])]
    msisdn: Annotated[
        str,
        Meta(
            description="The phone, in E.164.",
            examples=["+254700000001"],
            extra_json_schema={"pattern": r"^\+[1-9][0-9]{7,14}$"},
        ),
    ]
    description: Annotated[str, Meta(min_length=1, max_length=200, description="What is sold; asks show its start.")]
    reference: (
        Annotated[str, Meta(min_length=1, max_length=64, description="Your order; one live payment at most has it.")]
        | None
    ) = None
    capture: Annotated[Capture, Meta(description="`manual` waits for a capture after the consumer's yes.")] = (
        Capture.AUTOMATIC
    )
    hold: Annotated[
        Literal["required", "if_supported"],
        Meta(description="With `capture: manual`: a carrier that cannot hold money refuses, or goes without."),
    ] = "required"
    carrier: Annotated[str, Meta(max_length=64, description="If the prefix would choose another.")] | None = None
    expires_in_s: Annotated[int, Meta(ge=60, le=86_400, description="How long the phone may take to answer.")] = 600
    language: Annotated[str, Meta(max_length=8, description="Of texts, if the phone chose none.")] | None = None
    consumer_present: Annotated[bool, Meta(description="Its owner stands before you: ask in quiet hours as well.")] = (
        False
    )
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=METADATA_KEYS_MAX)] = {}


class CaptureRequest(Request, frozen=True, kw_only=True):
    """How much of what is held to take; the rest goes back."""

    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX, description="Minor units; without it, all.")] | None = None


class FulfilmentRequest(Request, frozen=True, kw_only=True):
    """What was delivered, and how it can be followed."""

    what: Annotated[str, Meta(min_length=1, max_length=200, description="What the consumer got.")]
    when: (
        Annotated[
            str,
            Meta(
                max_length=40,
                description="RFC 3339; without it, now.",
                extra_json_schema={"format": "date-time"},
            ),
        ]
        | None
    ) = None
    carrier: Annotated[str, Meta(max_length=64, description="Who carries the goods.")] | None = None
    tracking: Annotated[str, Meta(max_length=128)] | None = None


Moment = Annotated[str, Meta(max_length=40, description="RFC 3339.", extra_json_schema={"format": "date-time"})]
Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX, description="Minor units.")]


class PageQuery(Request, frozen=True, kw_only=True):
    """A page of payments, newest first; beside `starting_after` or `ending_before`, not both."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    starting_after: Annotated[PaymentId, Meta(description="The last id of the page before.")] | None = None
    ending_before: Annotated[PaymentId, Meta(description="The first id of the page behind.")] | None = None


class PaymentQuery(PageQuery, frozen=True, kw_only=True):
    """Which payments."""

    created_after: Annotated[Moment, Meta(description="RFC 3339; from this moment on.")] | None = None
    created_before: Annotated[Moment, Meta(description="RFC 3339; up to this moment, without it.")] | None = None
    status: PublicState | None = None
    reason: Reason | None = None
    carrier: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    currency: Annotated[str, Meta(min_length=3, max_length=3)] | None = None
    reference: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    amount_min: Amount | None = None
    amount_max: Amount | None = None


class ConsumerRecordsRequest(PageQuery, frozen=True, kw_only=True):
    """Whose payments with you; the number stands in a body and never in a link."""

    msisdn: Annotated[str, Meta(max_length=64, description="The phone, in E.164.", examples=["+254700000001"])]


class PaymentPage(Struct, frozen=True, kw_only=True):
    """`next` is what to send as `starting_after` (or again as `ending_before`) next; null on the last page.

    With a filter also a short page may have a next one.
    """

    object: Literal["list"] = "list"
    data: list[PublicPayment]
    has_more: bool
    next: str | None


class Step(Struct, frozen=True, kw_only=True):
    """One of the nine steps of a payment. `at` is null while it is not reached."""

    number: Annotated[int, Meta(ge=1, le=9)]
    name: str
    who: Literal["consumer", "merchant", "gateway", "carrier"]
    at: str | None
    detail: str


class TimelineItem(Struct, frozen=True, kw_only=True):
    """One thing that is on record about the payment."""

    at: str
    kind: Literal[
        "order",
        "transition",
        "message",
        "push",
        "reply",
        "consent",
        "attempt",
        "ledger_entry",
        "event",
        "webhook",
        "fulfilment",
    ]
    name: str
    who: Literal["consumer", "merchant", "gateway", "carrier"]
    id: str
    detail: str


class Timeline(Struct, frozen=True, kw_only=True):
    """All that is on record about one payment, oldest first, and the nine steps in it."""

    object: Literal["timeline"] = "timeline"
    payment_id: str
    status: PublicState
    steps: Annotated[list[Step], Meta(min_length=9, max_length=9)]
    items: list[TimelineItem]


class OrderRequest(Struct, frozen=True, kw_only=True):
    """`data` of `order.requested`: a consumer texted `PAY shop amount`. The number is whole."""

    id: str
    object: Literal["order_request"] = "order_request"
    mode: str
    msisdn: str
    msisdn_masked: str
    amount: int
    currency: str
    carrier: str


_EVENT_SHAPES = ("PublicPayment", "OrderRequest", "PublicRefund", "PublicDispute")
_EVENT_DATA: dict[str, Any] = {  # Any: JSON Schema.
    "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in _EVENT_SHAPES]
}


class Event(Struct, frozen=True, kw_only=True):
    """One event of the feed; a webhook's body is the same bytes."""

    id: str
    object: Literal["event"] = "event"
    api_version: str = API_VERSION
    seq: Annotated[int, Meta(ge=1, description="1, 2, 3 … for each merchant and mode, without a gap.")]
    type: EventType
    created_at: str
    mode: str
    data: Annotated[dict[str, Any], Meta(extra_json_schema=_EVENT_DATA)]  # Any: see the schema.


class EventQuery(Request, frozen=True, kw_only=True):
    """Events behind `after_seq`, oldest first. Only a reading without `type` and `payment_id` has no gaps."""

    after_seq: Annotated[int, Meta(ge=0, le=2**53)] = 0
    limit: Annotated[int, Meta(ge=1, le=EVENTS_MAX)] = EVENTS_DEFAULT
    type: EventType | None = None
    payment_id: PaymentId | None = None


class EventPage(Struct, frozen=True, kw_only=True):
    """`next_after_seq` is the `after_seq` of the next request, also when nothing is new."""

    object: Literal["list"] = "list"
    data: list[Event]
    has_more: bool
    next_after_seq: int


class RawEventPage(Struct, frozen=True, kw_only=True):
    """`EventPage` out of bytes that are JSON already."""

    object: Literal["list"] = "list"
    data: list[Raw]
    has_more: bool
    next_after_seq: int


class FieldError(Struct, frozen=True, kw_only=True):
    """What is wrong with one field; the field is empty if it is the whole body."""

    field: str
    message: str


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457, with a stable `code`. `category` says whose turn it is."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    category: Literal["request", "auth", "conflict", "capacity", "gateway"]
    retryable: bool
    request_id: str
    errors: list[FieldError] = []
    payment_id: str | None = None
    payment_status: str | None = None


class Health(Struct, frozen=True, kw_only=True):
    """`parts`: by part, whether it works. A link that is down (its name has a colon) is no reason to be unready."""

    status: Literal["ok", "unready"]
    parts: dict[str, bool] = {}


class Welcome(Struct, frozen=True, kw_only=True):
    """Where things are."""

    name: str
    documentation: str
    openapi: str
