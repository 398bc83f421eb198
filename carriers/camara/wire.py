"""What is said to the operator and what it says: CAMARA Carrier Billing and Carrier Billing Refund, JSON.

Amounts are JSON numbers there. Here they are texts on both ways and never floats: written as decimals, read octet for
octet. Only what we look at is read; a field that the definition does not promise may be missing.
"""

from collections.abc import Mapping

import msgspec

from carriers import base
from carriers.camara.settings import Settings
from carriers.http import format_amount, parse_amount
from gateway.core.money import Money, exponent


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A charge, a reservation or a refund; they differ in a few fields only."""

    attempt_id: str
    msisdn: str
    amount: Money
    description: str
    reference: str
    carrier_reference: str | None
    """Of the payment, or of the refund."""

    @classmethod
    def of_charge(cls, order: base.ChargeOrder) -> "Order":
        return cls(
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description=order.description,
            reference=order.reference,
            carrier_reference=order.carrier_reference,
        )

    @classmethod
    def of_hold(cls, order: base.HoldOrder) -> "Order":
        """The reservation that is captured or released; what is ordered of it has no id of its own there."""
        return cls(
            attempt_id=order.hold_attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description=order.description,
            reference=order.reference,
            carrier_reference=order.hold_reference,
        )

    @classmethod
    def of_reversal(cls, order: base.ReverseOrder) -> "Order":
        return cls(
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description="Refund",
            reference=order.charge_attempt_id,
            carrier_reference=order.carrier_reference,
        )

    @classmethod
    def of_reversed(cls, order: base.ReverseOrder) -> "Order":
        """The charge that is given back, as far as it is known here; the amount is not."""
        return cls(
            attempt_id=order.charge_attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description="",
            reference="",
            carrier_reference=order.charge_reference,
        )


class Charging(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    amount: msgspec.Raw
    currency: str
    is_tax_included: bool | None = None


class _PaymentAmount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    charging_information: Charging


class _Transaction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    phone_number: str
    payment_amount: _PaymentAmount
    client_correlator: str | None = None


class Payment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    payment_id: str
    payment_status: str
    amount_transaction: _Transaction

    @property
    def correlator(self) -> str | None:
        return self.amount_transaction.client_correlator

    @property
    def charging(self) -> Charging:
        return self.amount_transaction.payment_amount.charging_information


class _RefundAmount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    charging_information: Charging | None = None


class _RefundTransaction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    client_correlator: str | None = None
    refund_amount: _RefundAmount = _RefundAmount()


class Refund(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    refund_id: str
    refund_status: str
    type: str
    amount_transaction: _RefundTransaction = _RefundTransaction()

    @property
    def correlator(self) -> str | None:
        return self.amount_transaction.client_correlator


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """`status` repeats that of HTTP; without it the body is of something in between."""

    status: int
    code: str


def payment_body(order: Order, settings: Settings, sink: str) -> bytes:
    """Raise ValueError if the amount cannot be said."""
    transaction = {
        "phoneNumber": order.msisdn,
        "clientCorrelator": order.attempt_id,
        "paymentAmount": {"chargingInformation": _charging(order, settings)},
        "referenceCode": order.reference,
    }
    return _encode({"amountTransaction": transaction}, sink)


def refund_body(order: Order, settings: Settings, sink: str, *, is_total: bool) -> bytes:
    """A total refund names no amount and is the last one. Raise ValueError if the amount cannot be said."""
    amount = {} if is_total else {"chargingInformation": _charging(order, settings)}
    transaction = {"clientCorrelator": order.attempt_id, "refundAmount": amount, "referenceCode": order.reference}
    return _encode({"type": "total" if is_total else "partial", "amountTransaction": transaction}, sink)


def step_body(msisdn: str) -> bytes:
    return msgspec.json.encode({"phoneNumber": msisdn})


def amount_of(charging: Charging) -> Money:
    """Raise ValueError for an amount that we cannot compare."""
    if charging.is_tax_included is False:
        raise ValueError("the amount is one without its tax")
    return parse_amount(bytes(charging.amount).decode("ascii", "replace"), charging.currency)


def _charging(order: Order, settings: Settings) -> Mapping[str, object]:
    currency = order.amount.currency
    places = settings.currency_exponents.get(currency)
    if places is None:
        places = exponent(currency, "camara")
    return {
        "amount": msgspec.Raw(format_amount(order.amount, places).encode()),
        "currency": currency,
        "description": order.description,
        # What the phone's owner agreed to is all that may be taken; without this an operator may add tax.
        "isTaxIncluded": True,
    }


def _encode(body: Mapping[str, object], sink: str) -> bytes:
    return msgspec.json.encode({**body, "sink": sink} if sink else body)
