"""The wire dialect of CAMARA Carrier Billing and its refunds: requests as they must be, answers, errors, events."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from simulators.camara_book import Item, Order

Json = dict[str, Any]  # A JSON object: its fields depend on what it is.

PAYMENTS: Final = "/carrier-billing/vwip"
REFUNDS: Final = "/carrier-billing-refund/vwip"
TOKEN_PATH: Final = "/oauth2/token"
PER_PAGE_DEFAULT: Final = 10
PER_PAGE_MAX: Final = 50
WRONG_AMOUNT: Final = Decimal(1)
WRONG_MSISDN: Final = "+254700000009"

_PHONE = re.compile(r"\+[1-9][0-9]{4,14}")
_NUMBER = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,3})?")
_SINK = re.compile(r"https://.+")
_CORRELATOR = re.compile(r"[a-zA-Z0-9\-_:;./<>{}]{0,256}")

# Status, code and message of what the definition lets an operator say.
ERRORS: Final[dict[str, tuple[int, str, str]]] = {
    "invalid": (400, "INVALID_ARGUMENT", "Client specified an invalid argument, request body or query param."),
    "known_argument": (400, "INVALID_ARGUMENT", "clientCorrelator already exist on server."),
    "invalid_sink": (400, "INVALID_SINK", "sink not valid for the specified protocol"),
    "unauthenticated": (401, "UNAUTHENTICATED", "Request not authenticated due to missing, invalid, or expired token."),
    "not_found": (404, "NOT_FOUND", "The specified resource is not found."),
    "no_phone": (404, "IDENTIFIER_NOT_FOUND", "phoneNumber not found."),
    "known": (409, "ALREADY_EXISTS", "The resource that a client tried to create already exists."),
    "confirmed": (409, "CARRIER_BILLING.PAYMENT_CONFIRMED", "Payment has been confirmed."),
    "cancelled": (409, "CARRIER_BILLING.PAYMENT_CANCELLED", "Payment has been cancelled."),
    "missing_identifier": (422, "MISSING_IDENTIFIER", "The phone number cannot be identified."),
    "rate_limited": (429, "TOO_MANY_REQUESTS", "Rate limit reached."),
    "denied": (403, "CARRIER_BILLING.PAYMENT_DENIED", "Payment denied by business."),
}
_LIMIT = "Accumulated user mobile payments overpass account amount threshold."
PAYMENT_DECLINES: Final[dict[str, tuple[int, str, str]]] = {
    "insufficient_funds": ERRORS["denied"],
    "limit_exceeded": (422, "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED", f"Unauthorized payment. {_LIMIT}"),
    "unauthorized_amount": (422, "CARRIER_BILLING.UNAUTHORIZED_AMOUNT", "Unauthorized amount requested."),
    "not_subscriber": ERRORS["no_phone"],
    "barred": (422, "SERVICE_NOT_APPLICABLE", "The service is not available for the provided identifier."),
}
_NOT_ELIGIBLE = (403, "CARRIER_BILLING_REFUND.PAYMENT_NOT_ELIGIBLE_FOR_REFUND", "Payment not eligible for refund.")
REFUND_DECLINES: Final[dict[str, tuple[int, str, str]]] = {
    "insufficient_funds": (403, "CARRIER_BILLING_REFUND.REFUND_DENIED", "Refund denied by business."),
    "limit_exceeded": (
        422,
        "CARRIER_BILLING_REFUND.USER_AMOUNT_THRESHOLD_OVERPASSED",
        f"Unauthorized refund request. {_LIMIT}",
    ),
    "unauthorized_amount": (422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT", "Unauthorized amount requested."),
    "not_subscriber": _NOT_ELIGIBLE,
    "barred": _NOT_ELIGIBLE,
    "not_completed": (422, "CARRIER_BILLING_REFUND.INVALID_PAYMENT_STATUS", "Payment is not yet completed."),
    "tax_mismatch": (422, "CARRIER_BILLING_REFUND.TAXES_MANAGEMENT_MISMATCH", "Inconsistent isTaxIncluded value."),
    "over_refund": (422, "CARRIER_BILLING_REFUND.UNAUTHORIZED_AMOUNT", "Unauthorized amount requested."),
}


class WireError(Exception):
    """The request breaks the dialect; `name` is a key of ERRORS."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(detail or name)
        self.name = name


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a path and its method ask for."""

    what: str
    """create, prepare, refund; confirm, cancel; payments, payment, refunds, refund_state, remaining."""
    payment_id: str = ""
    refund_id: str = ""
    query: dict[str, str] = {}


class _Charging(msgspec.Struct, rename="camel"):
    amount: msgspec.Raw
    currency: str
    description: str
    is_tax_included: bool = False


class _Amount(msgspec.Struct, rename="camel"):
    charging_information: _Charging | None = None


class _Transaction(msgspec.Struct, rename="camel"):
    reference_code: str
    phone_number: str | None = None
    client_correlator: str = ""
    payment_amount: _Amount | None = None
    refund_amount: _Amount | None = None


class _Body(msgspec.Struct, rename="camel"):
    amount_transaction: _Transaction
    sink: str | None = None
    type: str = ""


class _Step(msgspec.Struct, rename="camel"):
    phone_number: str | None = None


_ROUTES: Final = tuple(
    (method, re.compile(f"{base}/payments{rest}"), what)
    for method, base, rest, what in (
        ("POST", PAYMENTS, "", "create"),
        ("POST", PAYMENTS, "/prepare", "prepare"),
        ("POST", PAYMENTS, "/(?P<payment_id>[^/]+)/confirm", "confirm"),
        ("POST", PAYMENTS, "/(?P<payment_id>[^/]+)/cancel", "cancel"),
        ("GET", PAYMENTS, "", "payments"),
        ("GET", PAYMENTS, "/(?P<payment_id>[^/]+)", "payment"),
        ("POST", REFUNDS, "/(?P<payment_id>[^/]+)/refunds", "refund"),
        ("GET", REFUNDS, "/(?P<payment_id>[^/]+)/refunds", "refunds"),
        ("GET", REFUNDS, "/(?P<payment_id>[^/]+)/refunds/remaining-amount", "remaining"),
        ("GET", REFUNDS, "/(?P<payment_id>[^/]+)/refunds/(?P<refund_id>[^/]+)", "refund_state"),
    )
)


def parse_path(method: str, raw_path: str) -> Asked:
    path, _, query = raw_path.partition("?")
    for known, pattern, what in _ROUTES:
        found = pattern.fullmatch(path)
        if found is not None and known == method:
            named = {name: unquote(value) for name, value in found.groupdict().items()}
            return Asked(what=what, query={name: values[0] for name, values in parse_qs(query).items()}, **named)
    raise WireError("not_found", path)


def parse_order(asked: Asked, body: bytes, charge: Item | None) -> Order:
    """*charge*: what a refund gives back."""
    said = _decode(body, _Body)
    transaction = said.amount_transaction
    is_total = asked.what == "refund" and said.type == "total"
    if asked.what == "refund" and said.type not in ("total", "partial"):
        raise WireError("invalid", "type must be total or partial")
    amount = transaction.refund_amount if asked.what == "refund" else transaction.payment_amount
    charging = None if amount is None else amount.charging_information
    if charging is None and not is_total:
        raise WireError("invalid", "chargingInformation is missing")
    if said.sink is not None and _SINK.fullmatch(said.sink) is None:
        raise WireError("invalid_sink")
    shared: Json = {"correlator": transaction.client_correlator, "reference": transaction.reference_code}
    if charge is not None:
        was = charge.order
        taken = was.amount if charging is None else _amount(charging)
        currency = was.currency if charging is None else charging.currency
        shared |= {"kind": "refund", "msisdn": was.msisdn, "amount": taken, "currency": currency}
        shared |= {"original": charge.id, "is_total": is_total, "description": "Refund"}
        return Order(**shared, sink=said.sink, is_tax_included=charging is None or charging.is_tax_included)
    assert charging is not None
    return Order(
        **shared,
        kind="reserve" if asked.what == "prepare" else "charge",
        msisdn=_phone(transaction.phone_number),
        amount=_amount(charging),
        currency=charging.currency,
        description=charging.description,
        is_tax_included=charging.is_tax_included,
        sink=said.sink,
    )


def parse_step(body: bytes) -> str:
    """The phone that a confirmation or a cancellation is about."""
    return _phone(_decode(body, _Step).phone_number)


def check_correlator(text: str) -> None:
    if _CORRELATOR.fullmatch(text) is None:
        raise WireError("invalid", "x-correlator")


def page_of(items: list[Item], query: dict[str, str], created: str) -> list[Item]:
    """As the query filters, sorts and cuts; newest first, as the definition wants it."""
    try:
        since = datetime.fromisoformat(query.get(created, "1970-01-01T00:00:00+00:00")).timestamp()
        page, size = int(query.get("page", "1")), int(query.get("perPage", PER_PAGE_DEFAULT))
    except ValueError as error:
        raise WireError("invalid", str(error)) from error
    if page < 1 or size < 1 or query.get("order", "desc") not in ("asc", "desc"):
        raise WireError("invalid", "page, perPage or order")
    size = min(size, PER_PAGE_MAX)
    kept = [one for one in items if one.created_at >= since]
    if query.get("order") != "asc":
        kept.reverse()
    return kept[(page - 1) * size : page * size]


def payment(item: Item, *, status: str = "", spoil: str = "") -> Json:
    order, status = item.order, status or item.seen
    transaction: Json = {
        "phoneNumber": WRONG_MSISDN if spoil == "wrong_number" else order.msisdn,
        "paymentAmount": {"chargingInformation": _charging(order, spoil)},
        "referenceCode": order.reference,
        "serverReferenceCode": f"SR{item.id}",
    }
    if order.correlator and spoil != "nameless":
        transaction["clientCorrelator"] = order.correlator
    shown: Json = {
        "paymentId": item.id,
        "amountTransaction": transaction,
        "paymentStatus": status,
        "paymentCreationDate": _time(item.created_at),
    }
    if item.done_at is not None and status == "succeeded":
        shown["paymentDate"] = _time(item.done_at)
    if status == "pending_validation":
        shown["validationInfo"] = {"action": "validate", "authorizationId": f"AUTH{item.id}"}
    return shown | ({"sink": order.sink} if order.sink else {})


def refund(item: Item, *, status: str = "", spoil: str = "") -> Json:
    order, status = item.order, status or item.seen
    amount: Json = (
        {} if order.is_total and spoil != "wrong_amount" else {"chargingInformation": _charging(order, spoil)}
    )
    transaction: Json = {"refundAmount": amount, "referenceCode": order.reference}
    if order.correlator and spoil != "nameless":
        transaction["clientCorrelator"] = f"{order.correlator}?" if spoil == "wrong_number" else order.correlator
    shown: Json = {
        "refundId": item.id,
        "refundStatus": status,
        "type": "total" if order.is_total else "partial",
        "refundCreationDate": _time(item.created_at),
        "amountTransaction": transaction,
    }
    if item.done_at is not None and status == "succeeded":
        shown["refundDate"] = _time(item.done_at)
    return shown | ({"sink": order.sink} if order.sink else {})


def show(item: Item, *, status: str = "", spoil: str = "") -> Json:
    return (refund if item.order.kind == "refund" else payment)(item, status=status, spoil=spoil)


def remaining(item: Item) -> Json:
    left = item.order.amount - item.refunded if item.status == "succeeded" else Decimal(0)
    return {"amount": _number(left), "currency": item.order.currency, "isTaxIncluded": item.order.is_tax_included}


def error(known: tuple[int, str, str]) -> tuple[int, Json]:
    status, code, message = known
    return status, {"status": status, "code": code, "message": message}


def event(item: Item, number: int, *, status: str = "") -> Json:
    """A CloudEvent about what became of it; *status*: an older one than that which is true."""
    status = status or item.status
    is_refund = item.order.kind == "refund"
    api, noun = ("carrier-billing-refund", "refund") if is_refund else ("carrier-billing", "payment")
    word = {"succeeded": "completed", "pending_validation": "pending-validation"}.get(status, status)
    about: Json = {
        "paymentId": item.order.original if is_refund else item.id,
        "status": "failed" if status == "denied" else "succeeded",
        "description": f"{noun} {word}",
    }
    if is_refund:
        about["refundId"] = item.id
    if status == "succeeded" and item.done_at is not None:
        about[f"{noun}Date"] = _time(item.done_at)
    if status == "denied":
        about["denialReason"] = item.why_not
    return {
        "id": f"event-{number}",
        "source": "https://operator.example",
        "type": f"org.camaraproject.{api}.v0.{noun}-{word}",
        "specversion": "1.0",
        "datacontenttype": "application/json",
        "time": _time(item.done_at or item.created_at),
        "data": about,
    }


def _decode(body: bytes, kind: Any) -> Any:  # Any: msgspec gives what it is told.
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error_:
        raise WireError("invalid", str(error_)) from error_


def _phone(number: str | None) -> str:
    if number is None:
        raise WireError("missing_identifier")
    if _PHONE.fullmatch(number) is None:
        raise WireError("invalid", "phoneNumber")
    return number


def _amount(charging: _Charging) -> Decimal:
    text = bytes(charging.amount)
    if _NUMBER.fullmatch(text) is None or not Decimal(text.decode()):
        raise WireError("invalid", "amount must be a number of thousandths above zero")
    return Decimal(text.decode())


def _charging(order: Order, spoil: str) -> Json:
    return {
        "amount": _number(WRONG_AMOUNT if spoil == "wrong_amount" else order.amount),
        "currency": order.currency,
        "description": order.description,
        "isTaxIncluded": order.is_tax_included,
    }


def _number(amount: Decimal) -> msgspec.Raw:
    """As servers write it: without zeros behind."""
    text = f"{amount:f}"
    return msgspec.Raw((text.rstrip("0").rstrip(".") if "." in text else text).encode())


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.{int(at * 1000) % 1000:03d}Z"
