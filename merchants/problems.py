"""The error catalogue: every code that the API can answer with, as one table, and the document made of it.

`docs/api.md` explains each code under a heading of its own; a test keeps the two equal. Nothing here decides when.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from merchants.shapes import FieldError, ProblemDocument

Category = Literal["request", "auth", "conflict", "capacity", "gateway"]


class Row(NamedTuple):
    """One code. `retryable`: the same request may succeed later without a change."""

    status: int
    category: Category
    retryable: bool
    title: str
    cause: str
    fix: str


CATALOGUE: Final[Mapping[str, Row]] = {
    "malformed_request": Row(
        400,
        "request",
        False,
        "The request is no HTTP that we read",
        "A header is too long or malformed, Expect is not 100-continue, or the request line is not HTTP/1.1.",
        "Use an ordinary HTTP client; keep each header under 8 kB.",
    ),
    "malformed_json": Row(
        400,
        "request",
        False,
        "The body is not strict JSON",
        "It is empty, not UTF-8, cut off, has a key twice, or holds NaN, Infinity or a lone surrogate.",
        "Let a JSON library write it.",
    ),
    "missing_idempotency_key": Row(
        400,
        "request",
        False,
        "The Idempotency-Key header is missing",
        "A request that moves money came without the header that makes repeating it safe.",
        "Send one key per thing that you want to happen, your order's id for instance, and the same on a retry.",
    ),
    "invalid_idempotency_key": Row(
        400,
        "request",
        False,
        "The Idempotency-Key header cannot be used",
        "It is longer than 255 characters, not printable ASCII, or given twice.",
        "Use a UUID or your order's id.",
    ),
    "unsupported_version": Row(
        400,
        "request",
        False,
        "The version in Gateway-Version is not served",
        "The header names a date on which no version began.",
        "Leave the header out, or name a version that the detail lists.",
    ),
    "unauthorized": Row(
        401,
        "auth",
        False,
        "The key is missing or not known",
        "No Authorization header with a Bearer key, a key that was revoked or has expired, or another gateway's.",
        "Send Authorization: Bearer sk_test_… or sk_live_….",
    ),
    "insufficient_scope": Row(
        403,
        "auth",
        False,
        "The key may not do this",
        "The key works, but has not the scope that the detail names.",
        "Use a key that has it, or make one.",
    ),
    "scope_escalation": Row(
        403,
        "auth",
        False,
        "A key cannot give more than it has",
        "A new or rotated key would have a scope that the key that asks has not.",
        "Ask with a key that has these scopes itself, or leave them out.",
    ),
    "not_found": Row(
        404,
        "request",
        False,
        "There is no such thing under this key",
        "The path is wrong, or the id belongs to another merchant or to the other mode.",
        "Check the path, the id, and whether a test key asks for a live object.",
    ),
    "method_not_allowed": Row(
        405,
        "request",
        False,
        "The path does not take this method",
        "For instance GET on a path that only takes POST.",
        "The Allow header names the methods; /openapi.json has all of them.",
    ),
    "request_timeout": Row(
        408,
        "request",
        True,
        "The body did not come in time",
        "The request's body took longer than ten seconds.",
        "Send it again, with the same Idempotency-Key.",
    ),
    "reference_in_use": Row(
        409,
        "conflict",
        False,
        "The reference has a live payment already",
        "A payment with this reference is open, of unknown outcome, or has succeeded; payment_id names it.",
        "Use that payment. A new one for the same reference is possible once it has failed.",
    ),
    "invalid_state": Row(
        409,
        "conflict",
        False,
        "The payment's state does not allow it",
        "For instance a capture before the consumer confirmed; payment_status is the present state.",
        "Read the payment, then decide.",
    ),
    "holds_not_supported": Row(
        422,
        "request",
        False,
        "The carrier cannot hold money",
        "`capture: manual` sets the money aside until you capture it, and this carrier has no such thing.",
        "Send `capture: automatic`, or `hold: if_supported` if a charge at the capture, which may fail, is enough.",
    ),
    "goods_not_allowed": Row(
        403,
        "request",
        False,
        "Your goods are not sold on a phone's bill there",
        "The rules of the carrier's country do not allow what your account is registered to sell.",
        "Offer another way to pay, or ask the operator to register what you sell.",
    ),
    "partial_capture_not_supported": Row(
        422,
        "request",
        False,
        "It cannot be captured in part",
        "The carrier captures all or nothing, or holds no money for this payment.",
        "Capture all of it, or cancel it and ask for the smaller amount.",
    ),
    "capture_exceeds_payment": Row(
        422,
        "request",
        False,
        "The amount is more than the consumer agreed to",
        "A capture is for the payment's amount or less.",
        "Capture at most `amount`; ask for the rest by another payment.",
    ),
    "payment_disputed": Row(
        409,
        "conflict",
        False,
        "A dispute about the payment is open",
        "The phone's owner disputes the payment, and what is disputed is set aside until it is decided.",
        "Answer the dispute, or accept it: then the money goes back by itself.",
    ),
    "dispute_closed": Row(
        409,
        "conflict",
        False,
        "The dispute is decided",
        "Evidence or a giving in came after the dispute had ended; the detail says how.",
        "Read the dispute; nothing is left to do.",
    ),
    "already_fulfilled": Row(
        409,
        "conflict",
        False,
        "The fulfilment is recorded already",
        "The delivery of this payment was recorded under another Idempotency-Key.",
        "Nothing is left to do; a fulfilment is written once.",
    ),
    "too_many_endpoints": Row(
        409,
        "conflict",
        False,
        "There are as many webhook endpoints as may be",
        "A merchant has at most 16 in each mode.",
        "Delete one that is no longer used.",
    ),
    "item_number_in_use": Row(
        409,
        "conflict",
        False,
        "Another item has that number",
        "Phones order by it, so each number stands for one item of yours in each mode.",
        "Choose another number, or delete the item that the detail names.",
    ),
    "too_many_items": Row(
        409,
        "conflict",
        False,
        "There are as many items as may be",
        "A merchant has at most 1,000 in each mode.",
        "Delete what is no longer sold.",
    ),
    "too_many_pay_codes": Row(
        409,
        "conflict",
        False,
        "There are as many pay codes as may be",
        "A merchant has at most 1,000 live ones in each mode, and all merchants share the digits that there are.",
        "End codes that are no longer needed, and give new ones a shorter life.",
    ),
    "too_many_keys": Row(
        409,
        "conflict",
        False,
        "There are as many keys as may be",
        "A merchant has at most 64 keys that work in each mode.",
        "Revoke one that is no longer used; last_used_at tells.",
    ),
    "last_key": Row(
        409,
        "conflict",
        False,
        "Nobody could make keys any more",
        "No other key with the scope keys:write would last as long as this one.",
        "Make or rotate one first. The gateway's operators can revoke it all the same.",
    ),
    "too_many_exports": Row(
        409,
        "conflict",
        False,
        "There are as many exports as may be",
        "A merchant has at most 10 in each mode; each goes by itself after seven days.",
        "Delete one that is no longer needed.",
    ),
    "export_not_ready": Row(
        409,
        "conflict",
        True,
        "The export has no content yet",
        "It is still being written, or it has failed; the detail says which.",
        "Read the export until its status is ready.",
    ),
    "endpoint_disabled": Row(
        409,
        "conflict",
        False,
        "The webhook endpoint is disabled",
        "It answered 410, or you disabled it; nothing is sent there.",
        "Take it back with POST /v1/webhook_endpoints/{id} and disabled: false, then replay.",
    ),
    "replay_running": Row(
        409,
        "conflict",
        True,
        "A replay to this endpoint is under way",
        "A stretch is replayed only after every earlier replay to its endpoint; of single events 16 may wait.",
        "Look at the endpoint's attempts; ask again once it is through.",
    ),
    "body_too_large": Row(
        413,
        "request",
        False,
        "The body is too large",
        "It has more than 65,536 bytes.",
        "Keep metadata small; documents belong into your own system.",
    ),
    "unsupported_media_type": Row(
        415,
        "request",
        False,
        "The body is not declared as JSON",
        "Content-Type is not application/json in UTF-8, or the body is compressed.",
        "Send Content-Type: application/json and no Content-Encoding.",
    ),
    "invalid_request": Row(
        422,
        "request",
        False,
        "A field is missing, unknown or wrong",
        "errors lists the fields.",
        "Correct them; a request refused like this used up no Idempotency-Key.",
    ),
    "invalid_msisdn": Row(
        422,
        "request",
        False,
        "The number is no phone number in E.164",
        "It does not start with +, has blanks or dashes, or no country has numbers of that length.",
        "Write it with country code, for instance +254712345678.",
    ),
    "no_carrier": Row(
        422,
        "request",
        False,
        "No carrier serves this number in this mode",
        "No carrier here has the number's prefix, or the carrier that was named serves another country or mode.",
        "Check the number. A test key reaches simulated carriers only, a live key real ones only.",
    ),
    "currency_not_supported": Row(
        422,
        "request",
        False,
        "The carrier does not charge in this currency",
        "Each carrier charges in one currency.",
        "Ask for the amount in the currency that the detail names.",
    ),
    "refund_exceeds_payment": Row(
        422,
        "request",
        False,
        "More than is left to be refunded",
        "The refund, with those made before it, would be more than was taken from the phone; the detail says how much"
        " is left.",
        "Read the payment and its refunds, then ask for what is left, or leave amount out.",
    ),
    "refunds_not_supported": Row(
        422,
        "request",
        False,
        "The carrier takes no refunds",
        "The carrier that charged this payment cannot give money back.",
        "Settle it with your customer in another way.",
    ),
    "partial_refunds_not_supported": Row(
        422,
        "request",
        False,
        "The carrier refunds only the whole",
        "The carrier that charged this payment cannot give back a part of it.",
        "Refund the whole payment, or settle it with your customer in another way.",
    ),
    "idempotency_mismatch": Row(
        422,
        "conflict",
        False,
        "The Idempotency-Key was used with another body",
        "The same key came before on this route with other fields.",
        "Use a new key for a new thing; repeat a request with exactly the same fields.",
    ),
    "rate_limited": Row(
        429,
        "capacity",
        True,
        "Too many requests",
        "The key, or an address with keys that are not known, asks more often than it may. Nothing was stored.",
        "Repeat it with the same Idempotency-Key after the seconds in Retry-After; RateLimit tells what is left.",
    ),
    "too_many_asks": Row(
        429,
        "capacity",
        True,
        "The phone has enough of your requests for now",
        "A request of yours waits at this phone, or its owner has refused you a short while ago. Nothing was stored.",
        "Wait for the seconds in Retry-After, or cancel the request that waits; the same Idempotency-Key will do.",
    ),
    "quiet_hours": Row(
        429,
        "capacity",
        True,
        "It is night where the phone is",
        "In the carrier's quiet hours a phone is asked only if its owner has just ordered by text or is present.",
        "Wait for the seconds in Retry-After. If the person stands before you, send consumer_present: true.",
    ),
    "asks_paused": Row(
        429,
        "capacity",
        True,
        "Your requests are paused",
        "Too few of your requests were answered within the last hour, as if nobody was there. Nothing was stored.",
        "Wait for the seconds in Retry-After, and tell us what you were doing: a person looks at every such pause.",
    ),
    "internal_error": Row(
        500,
        "gateway",
        True,
        "The gateway made a mistake",
        "A bug of ours. Whether the request took effect is not known from this answer.",
        "Repeat it with the same Idempotency-Key, and tell us the request_id.",
    ),
    "overloaded": Row(
        503,
        "capacity",
        True,
        "The gateway takes no more of these right now",
        "Its queue is full, or the carrier's asks would go out too late to be answered. Nothing was stored.",
        "Repeat it with the same Idempotency-Key after the seconds in Retry-After.",
    ),
}


class Refused(Exception):
    """The request gets the problem *code* for an answer."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        payment_id: str | None = None,
        payment_status: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.payment_id = payment_id
        self.payment_status = payment_status

    @property
    def status(self) -> int:
        return CATALOGUE[self.code].status


def refused_fields(*errors: FieldError) -> Refused:
    """`invalid_request` about these fields."""
    named = "; ".join(f"{error.field}: {error.message}" if error.field else error.message for error in errors)
    return Refused("invalid_request", named, errors=errors)


def document(refused: Refused, docs_url: str, request_id: str) -> bytes:
    """The answer's body."""
    row = CATALOGUE[refused.code]
    return msgspec.json.encode(
        ProblemDocument(
            type=f"{docs_url}#{refused.code}",
            title=row.title,
            status=row.status,
            detail=refused.detail or row.cause,
            code=refused.code,
            category=row.category,
            retryable=row.retryable,
            request_id=request_id,
            errors=list(refused.errors),
            payment_id=refused.payment_id,
            payment_status=refused.payment_status,
        )
    )
