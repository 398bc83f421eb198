"""The wire dialect of the operator's billing: shapes, parsing, rendering. OneAPI Payment v1, amount transactions."""

import re
from decimal import Decimal
from urllib.parse import parse_qs, quote, unquote

import msgspec

from simulators.billing_book import SVC_INVALID_INPUT, Order, RequestError, Transaction, service_error

_RESOURCE = re.compile(r"(?P<base>.*)/payment/(?P<user>[^/?]+)/transactions/amount(?:\?(?P<query>.*))?")
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


class _Envelope(msgspec.Struct, rename="camel", omit_defaults=True):
    amount_transaction: _AmountTransaction
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
    return Resource(match["base"], user, asked[0] if asked else None)


def parse_order(resource: Resource, body: bytes) -> Order:
    try:
        asked = _decode(body).amount_transaction
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OrderError(str(error)) from error
    charging = asked.paymentAmount.charging_information
    if asked.endUserId != resource.user:
        raise OrderError("endUserId in the body differs from the one in the path")
    if asked.transactionOperationStatus not in ("Charged", "Refunded"):
        raise OrderError(
            f"transactionOperationStatus must be Charged or Refunded, got {asked.transactionOperationStatus}"
        )
    if not 1 <= len(asked.clientCorrelator) <= CORRELATOR_LENGTH_MAX:
        raise OrderError(f"clientCorrelator must have 1 to {CORRELATOR_LENGTH_MAX} characters")
    if _AMOUNT.fullmatch(charging.amount) is None or not Decimal(charging.amount):
        raise OrderError(f"amount must be a decimal above zero in a string, got {charging.amount!r}")
    if _CURRENCY.fullmatch(charging.currency) is None:
        raise OrderError(f"currency must be three capital letters, got {charging.currency!r}")
    kind = "charge" if asked.transactionOperationStatus == "Charged" else "refund"
    original = asked.originalClientCorrelator or None
    original_reference = asked.originalServerReferenceCode or None
    if kind == "refund" and original is None and original_reference is None:
        raise OrderError("a refund names its charge by originalClientCorrelator or originalServerReferenceCode")
    return Order(
        kind=kind,
        correlator=asked.clientCorrelator,
        msisdn=resource.msisdn,
        amount=Decimal(charging.amount),
        amount_text=charging.amount,
        currency=charging.currency,
        description=charging.description,
        reference=asked.referenceCode,
        original=original,
        original_server_reference=original_reference,
        notify_url=asked.notify_url or None,
    )


def render(transaction: Transaction, *, base: str, status: str | None = None, amount: str | None = None) -> bytes:
    """The transaction as the operator shows it, with `requestError` beside it if it was denied."""
    order = transaction.order
    status = status or transaction.status
    taken = amount or order.amount_text
    done = status in ("Charged", "Refunded")
    user = f"tel:{order.msisdn}"
    shown = _AmountTransaction(
        endUserId=user,
        transactionOperationStatus=status,
        clientCorrelator=order.correlator,
        referenceCode=order.reference,
        paymentAmount=_PaymentAmount(_Charging(order.description, order.currency, taken), taken if done else None),
        originalClientCorrelator=order.original or msgspec.UNSET,
        originalServerReferenceCode=order.original_server_reference or msgspec.UNSET,
        serverReferenceCode=transaction.server_reference,
        notify_url=order.notify_url or msgspec.UNSET,
        resource_url=f"{base}/payment/{quote(user, safe='')}/transactions/amount/{transaction.server_reference}",
    )
    return _encode(_Envelope(shown, transaction.error if status == "Denied" else None))


def render_error(error: RequestError) -> bytes:
    return _encode(_ErrorEnvelope(error))


def invalid_input(detail: str) -> bytes:
    return render_error(service_error(SVC_INVALID_INPUT, f"Invalid input value: {detail}", detail))
