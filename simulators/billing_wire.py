"""The wire dialect of the operator's billing: shapes, parsing, rendering. OneAPI Payment v1: amounts, reservations."""

import re
from decimal import Decimal
from urllib.parse import parse_qs, quote, unquote

import msgspec

from simulators.billing_book import SVC_INVALID_INPUT, Order, RequestError, Transaction, service_error

_RESOURCE = re.compile(
    r"(?P<base>.*)/payment/(?P<user>[^/?]+)/transactions/"
    r"(?P<family>amount|amountReservation)(?:/(?P<hold>[^/?]+))?(?:\?(?P<query>.*))?"
)
_USER = re.compile(r"tel:\+[1-9][0-9]{6,14}")
_AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,4})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
CORRELATOR_LENGTH_MAX = 128


class _Charging(msgspec.Struct, rename="camel", omit_defaults=True):
    description: str
    currency: str
    amount: str


class _PaymentAmount(msgspec.Struct, rename="camel", omit_defaults=True):
    charging_information: _Charging
    total_amount_charged: str | None = None
    amount_reserved: str | None = None


class _AmountTransaction(
    msgspec.Struct, rename={"notify_url": "notifyURL", "resource_url": "resourceURL"}, kw_only=True
):
    endUserId: str  # noqa: N815 - `rename` takes one mapping, so these carry the dialect's own names.
    transactionOperationStatus: str  # noqa: N815
    clientCorrelator: str  # noqa: N815
    referenceCode: str = ""  # noqa: N815
    paymentAmount: _PaymentAmount  # noqa: N815
    originalClientCorrelator: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    originalServerReferenceCode: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    serverReferenceCode: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    notify_url: str | msgspec.UnsetType = msgspec.UNSET
    resource_url: str | msgspec.UnsetType = msgspec.UNSET
    referenceSequence: int | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class _Envelope(msgspec.Struct, rename="camel", omit_defaults=True):
    amount_transaction: _AmountTransaction | None = None
    amount_reservation_transaction: _AmountTransaction | None = None
    request_error: RequestError | None = None


class _ErrorEnvelope(msgspec.Struct, rename="camel"):
    request_error: RequestError


class OrderError(Exception):
    """The request breaks the dialect; says what was expected and what came."""


class Resource(msgspec.Struct, frozen=True):
    """What the path of a request names."""

    base: str
    user: str
    correlator: str | None
    family: str = "amount"
    hold: str | None = None

    @property
    def msisdn(self) -> str:
        return self.user.removeprefix("tel:")


_decode = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


def parse_path(raw_path: str) -> Resource | None:
    """None: no such resource. Raises `OrderError` for an endUserId that is no telephone number."""
    match = _RESOURCE.fullmatch(raw_path)
    if match is None:
        return None
    user = unquote(match["user"])
    if _USER.fullmatch(user) is None:
        raise OrderError("endUserId must be tel:+ and an international number")
    asked = parse_qs(match["query"]).get("clientCorrelator") if match["query"] else None
    if match["hold"] and match["family"] == "amount":
        return None
    hold = unquote(match["hold"]) if match["hold"] else None
    return Resource(match["base"], user, asked[0] if asked else None, match["family"], hold)


# (family, a reservation is named, status asked for) to the kind of order.
_KINDS = {
    ("amount", False, "Charged"): "charge",
    ("amount", False, "Refunded"): "refund",
    ("amountReservation", False, "Reserved"): "reserve",
    ("amountReservation", True, "Charged"): "capture",
    ("amountReservation", True, "Released"): "release",
}


def parse_order(resource: Resource, body: bytes) -> Order:
    try:
        envelope = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OrderError(str(error)) from error
    in_family = resource.family == "amount"
    asked = envelope.amount_transaction if in_family else envelope.amount_reservation_transaction
    if asked is None:
        raise OrderError(f"no {resource.family} transaction in the body")
    kind = _KINDS.get((resource.family, resource.hold is not None, asked.transactionOperationStatus))
    if kind is None:
        known = " or ".join(status for family, named, status in _KINDS if (family, named) == _place(resource))
        raise OrderError(f"transactionOperationStatus must be {known}, got {asked.transactionOperationStatus}")
    _check(resource, asked, kind)
    charging = asked.paymentAmount.charging_information
    return Order(
        kind=kind,
        correlator=asked.clientCorrelator,
        msisdn=resource.msisdn,
        amount=Decimal(charging.amount),
        amount_text=charging.amount,
        currency=charging.currency,
        description=charging.description,
        reference=asked.referenceCode,
        original=asked.originalClientCorrelator or None,
        original_server_reference=asked.originalServerReferenceCode or None,
        hold=resource.hold,
        sequence=asked.referenceSequence or 0,
        notify_url=asked.notify_url or None,
    )


def _place(resource: Resource) -> tuple[str, bool]:
    return resource.family, resource.hold is not None


def _check(resource: Resource, asked: _AmountTransaction, kind: str) -> None:
    charging = asked.paymentAmount.charging_information
    if asked.endUserId != resource.user:
        raise OrderError("endUserId in the body differs from the one in the path")
    if not 1 <= len(asked.clientCorrelator) <= CORRELATOR_LENGTH_MAX:
        raise OrderError(f"clientCorrelator must have 1 to {CORRELATOR_LENGTH_MAX} characters")
    if _AMOUNT.fullmatch(charging.amount) is None or not Decimal(charging.amount):
        raise OrderError(f"amount must be a decimal above zero in a string, got {charging.amount!r}")
    if _CURRENCY.fullmatch(charging.currency) is None:
        raise OrderError(f"currency must be three capital letters, got {charging.currency!r}")
    if kind == "refund" and not asked.originalClientCorrelator and not asked.originalServerReferenceCode:
        raise OrderError("a refund names its charge by originalClientCorrelator or originalServerReferenceCode")
    first, sequence = kind == "reserve", asked.referenceSequence or 0
    if resource.family != "amount" and (sequence < 1 or first != (sequence == 1)):
        raise OrderError(f"referenceSequence begins with 1 and counts what is done to a reservation, got {sequence}")


def render(transaction: Transaction, *, base: str, status: str | None = None, amount: str | None = None) -> bytes:
    """The transaction as the operator shows it, with `requestError` beside it if it was denied."""
    order = transaction.order
    status = status or transaction.status
    user = f"tel:{order.msisdn}"
    family = "amountReservation" if order.is_of_reservation else "amount"
    resource = (transaction.reservation or transaction).server_reference
    shown = _AmountTransaction(
        endUserId=user,
        transactionOperationStatus=status,
        clientCorrelator=order.correlator,
        referenceCode=order.reference,
        paymentAmount=_amounts(transaction, status, amount),
        originalClientCorrelator=order.original or msgspec.UNSET,
        originalServerReferenceCode=order.original_server_reference or msgspec.UNSET,
        serverReferenceCode=(transaction.reservation or transaction).server_reference,
        notify_url=order.notify_url or msgspec.UNSET,
        resource_url=f"{base}/payment/{quote(user, safe='')}/transactions/{family}/{resource}",
        referenceSequence=order.sequence or msgspec.UNSET,
    )
    error = transaction.error if status == "Denied" else None
    if order.is_of_reservation:
        return _encode(_Envelope(amount_reservation_transaction=shown, request_error=error))
    return _encode(_Envelope(amount_transaction=shown, request_error=error))


def _amounts(transaction: Transaction, status: str, instead: str | None) -> _PaymentAmount:
    """What was asked for, and what was done of it. *instead*: a wrong one."""
    order = transaction.order
    charging = _Charging(order.description, order.currency, instead or order.amount_text)
    if not order.is_of_reservation:
        done = status in ("Charged", "Refunded")
        return _PaymentAmount(charging, charging.amount if done else None)
    reservation = transaction.reservation or transaction
    held, taken = _text(reservation, reservation.held), _text(reservation, reservation.taken)
    if status == "Charged":
        return _PaymentAmount(charging, instead or taken, held)
    return _PaymentAmount(charging, amount_reserved=(instead or held) if status == "Reserved" else None)


def _text(reservation: Transaction, amount: Decimal) -> str:
    order = reservation.order
    return order.amount_text if amount == order.amount else str(amount)


def render_error(error: RequestError) -> bytes:
    return _encode(_ErrorEnvelope(error))


def invalid_input(detail: str) -> bytes:
    return render_error(service_error(SVC_INVALID_INPUT, f"Invalid input value: {detail}", detail))
