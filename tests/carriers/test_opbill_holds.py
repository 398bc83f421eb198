"""What each answer about a reservation proves: only an explicit yes or no about just this order is final."""

from typing import Any

import msgspec
import pytest

from carriers import base
from carriers.opbill.adapter import Biller, Settings
from gateway.core.money import Money
from gateway.http_client import HttpAnswer
from simulators.billing_book import DECLINES
from tests.carriers.conformance import word
from tests.carriers.test_opbill import Canned, error

WHERE = "http://operator.example/oneapi/1/payment/tel%3A%2B254712345100/transactions"
HOLD_URL = f"{WHERE}/amountReservation/R-1"
CHARGING = {"description": "2 goats", "currency": "KES", "amount": "1250.00"}
HELD: dict[str, Any] = {
    "endUserId": "tel:+254712345100",
    "transactionOperationStatus": "Reserved",
    "clientCorrelator": "att_1",
    "paymentAmount": {"chargingInformation": CHARGING, "amountReserved": "1250.00"},
    "referenceSequence": 1,
    "serverReferenceCode": "SR1",
    "resourceURL": HOLD_URL,
}


def shown(status: str = "Reserved", **changes: Any) -> bytes:
    body = {**HELD, "transactionOperationStatus": status, **changes}
    return msgspec.json.encode({"amountReservationTransaction": body})


def amounts(**more: str) -> dict[str, Any]:
    return {"chargingInformation": CHARGING, **more}


def taken(total: str = "1250.00") -> bytes:
    return shown("Charged", paymentAmount=amounts(totalAmountCharged=total))


NOT_RESERVED = msgspec.json.encode({"requestError": DECLINES["not_reserved"]})
BARRED = msgspec.json.encode({"requestError": DECLINES["barred"]})
NO = "declined carrier_declined"
ANSWERS = [
    # status, body, then what a reservation, a capture, a release and an inquiry make of it
    pytest.param(201, shown(), "held", "unknown", "unknown", "held", id="held"),
    pytest.param(200, taken(), "unknown", "charged", "unknown", "charged", id="taken"),
    pytest.param(200, shown("Released"), "unknown", "unknown", "released", "released", id="released"),
    pytest.param(202, shown("Processing"), "unknown", "unknown", "unknown", "pending", id="in process"),
    pytest.param(200, shown("Parked"), *["unknown"] * 4, id="a status nobody knows"),
    pytest.param(200, shown("Refunded"), *["unknown"] * 4, id="a status of the other family"),
    pytest.param(200, shown("Denied"), NO, NO, NO, NO, id="a bare no"),
    pytest.param(500, shown(), *["unknown"] * 4, id="yes in an error"),
    pytest.param(200, shown(clientCorrelator="att_2"), *["unknown"] * 4, id="another attempt"),
    pytest.param(200, shown(endUserId="tel:+254712345101"), *["unknown"] * 4, id="another number"),
    pytest.param(201, shown(resourceURL=""), *["unknown"] * 4, id="a reservation without a name"),
    pytest.param(201, shown(resourceURL=f"{WHERE}/amount/R-1"), *["unknown"] * 4, id="a name of the other family"),
    pytest.param(201, shown(resourceURL=f"{HOLD_URL}%2F..%2F..%2Famount"), *["unknown"] * 4, id="a name that climbs"),
    pytest.param(201, shown(resourceURL=f"{WHERE}/amountReservation/.."), *["unknown"] * 4, id="a name that is none"),
    pytest.param(
        201, shown(paymentAmount=amounts()), "held", "unknown", "unknown", "held", id="amount in the echo only"
    ),
    pytest.param(
        201,
        shown(paymentAmount=amounts(amountReserved="1.00")),
        *("held otherwise", "unknown", "unknown", "held otherwise"),
        id="less is held",
    ),
    pytest.param(201, shown(paymentAmount=amounts(amountReserved="1.001")), *["unknown"] * 4, id="we would round"),
    pytest.param(
        200,
        taken("1.00"),
        *("unknown", "charged otherwise", "unknown", "charged otherwise"),
        id="less is taken",
    ),
    pytest.param(200, shown("Charged", paymentAmount=amounts()), *["unknown"] * 4, id="nobody says how much is taken"),
    pytest.param(403, BARRED, NO, NO, NO, "unknown", id="refused"),
    pytest.param(403, NOT_RESERVED, *["unknown"] * 4, id="nothing is reserved any more"),
    pytest.param(404, error("SVC0004", "att_1"), "unknown", "unknown", "unknown", "not found", id="not found"),
    pytest.param(401, error("SVC0001"), "unsent", "unsent", "unsent", "unknown", id="credentials"),
    pytest.param(409, error("SVC0005", "att_1"), *["unknown"] * 4, id="duplicate"),
    pytest.param(200, b"{}", *["unknown"] * 4, id="empty"),
    pytest.param(200, shown().replace(b"Reservation", b""), *["unknown"] * 4, id="a transaction of the other family"),
]


@pytest.mark.parametrize(("status", "body", "reserved", "captured", "released", "found"), ANSWERS)
async def test_only_an_explicit_yes_or_no_about_the_hold_is_final(
    status: int, body: bytes, reserved: str, captured: str, released: str, found: str
) -> None:
    settings = Settings(base_url="http://operator.example/oneapi/1", token="t")
    biller = Biller("op", settings, now_ms=lambda: 0, client=Canned(HttpAnswer(status, {}, body)))
    amount = Money(125_000, "KES")
    asked = base.ChargeOrder(
        attempt_id="att_1", msisdn="+254712345100", amount=amount, description="2 goats", reference="7K2M4Q9A"
    )
    # The same id for all three orders, so that one answer can be about each of them.
    order = base.HoldOrder(
        attempt_id="att_1",
        hold_attempt_id="att_1",
        hold_reference="R-1",
        msisdn="+254712345100",
        amount=amount,
        description="2 goats",
        reference="7K2M4Q9A",
    )
    assert word(await biller.reserve(asked)) == reserved
    assert word(await biller.capture(order)) == captured
    assert word(await biller.release(order)) == released
    assert word(await biller.inquire_hold(asked)) == found
