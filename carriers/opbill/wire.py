"""The shapes of OneAPI Payment: what is ordered, what the operator answers, and both ways between that and octets.

What an answer proves is told in `judgement`.
"""

from typing import Final, Literal, NamedTuple

import msgspec

from carriers import base
from gateway.core.money import Money

Family = Literal["amount", "amountReservation"]
"""The last part of the resource's address."""
Done = Literal["Charged", "Refunded", "Reserved", "Released"]
"""What an order that was carried out has become."""

# referenceSequence: the place of an order among those about one reservation.
RESERVE: Final = 1
CAPTURE: Final = 2
RELEASE: Final = 3


class Rest(NamedTuple):
    """What of a reservation is still held after its capture."""

    hold_id: str
    amount: Money


class Charging(msgspec.Struct, frozen=True, kw_only=True):
    description: str = ""
    currency: str
    amount: str


class PaymentAmount(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"information": "chargingInformation", "total": "totalAmountCharged", "reserved": "amountReserved"},
):
    information: Charging
    total: str = ""
    reserved: str = ""
    """What is still held."""


class Transaction(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "user": "endUserId",
        "status": "transactionOperationStatus",
        "correlator": "clientCorrelator",
        "reference": "referenceCode",
        "amount": "paymentAmount",
        "original": "originalClientCorrelator",
        "original_server_reference": "originalServerReferenceCode",
        "server_reference": "serverReferenceCode",
        "notify_url": "notifyURL",
        "resource_url": "resourceURL",
        "sequence": "referenceSequence",
    },
):
    user: str
    status: str
    correlator: str
    reference: str = ""
    amount: PaymentAmount
    original: str = ""
    original_server_reference: str = ""
    server_reference: str = ""
    notify_url: str = ""
    resource_url: str = ""
    sequence: int | str = 0


class Fault(msgspec.Struct, frozen=True, kw_only=True, rename={"message_id": "messageId"}):
    message_id: str
    text: str = ""
    variables: tuple[str, ...] = ()


class Error(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    service_exception: Fault | None = None
    policy_exception: Fault | None = None


class Said(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "transaction": "amountTransaction",
        "reservation": "amountReservationTransaction",
        "error": "requestError",
    },
):
    transaction: Transaction | None = None
    reservation: Transaction | None = None
    error: Error | None = None

    def about(self, family: Family) -> Transaction | None:
        return self.transaction if family == "amount" else self.reservation


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever is ordered: the kinds differ in a few fields only."""

    family: Family = "amount"
    done: Done
    attempt_id: str
    msisdn: str
    amount: Money
    description: str
    reference: str
    original: str = ""
    original_server_reference: str = ""
    hold_id: str = ""
    """The operator's name of the reservation that this is about; none for one that is to be made."""
    sequence: int = 0
    is_attempt: bool = True
    """False: the books know no attempt of this id, so nobody may call about it."""

    @classmethod
    def of_charge(cls, order: base.ChargeOrder) -> "Order":
        return cls(
            done="Charged",
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description=order.description,
            reference=order.reference,
        )

    @classmethod
    def of_reversal(cls, order: base.ReverseOrder) -> "Order":
        return cls(
            done="Refunded",
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description="Refund",
            reference=order.charge_attempt_id,
            original=order.charge_attempt_id,
            original_server_reference=order.charge_reference or "",
        )

    @classmethod
    def of_reserve(cls, order: base.ChargeOrder) -> "Order":
        charge = cls.of_charge(order)
        return msgspec.structs.replace(charge, family="amountReservation", done="Reserved", sequence=RESERVE)

    @classmethod
    def of_hold(cls, order: base.HoldOrder, done: Done, sequence: int) -> "Order":
        return cls(
            family="amountReservation",
            done=done,
            attempt_id=order.attempt_id,
            msisdn=order.msisdn,
            amount=order.amount,
            description=order.description,
            reference=order.reference,
            hold_id=order.hold_reference,
            sequence=sequence,
        )

    @classmethod
    def of_rest(cls, hold_attempt_id: str, order: "Order", rest: Rest) -> "Order":
        """Let go of what a capture left. The same id whoever asks, so that it is done once."""
        return msgspec.structs.replace(
            order,
            family="amountReservation",
            done="Released",
            attempt_id=f"{hold_attempt_id}-rest",
            amount=rest.amount,
            hold_id=rest.hold_id,
            sequence=RELEASE,
            is_attempt=False,
        )


encode = msgspec.json.Encoder().encode
