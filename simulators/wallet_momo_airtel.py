"""Airtel Money as the simulator speaks it: payments, enquiry and refund."""

import re
from decimal import Decimal

from simulators.billing_book import Order, Transaction
from simulators.wallet_momo_wire import DIGITS, Asked, Call, Json, Rendered, Shown, amount_of, decode, dotted, need

CODES = {"insufficient_funds": "007", "limit_exceeded": "003", "refused": "008", "expired": "029"}
TROUBLES = {
    "invalid": (400, "004"),
    "unauthorized": (401, "000"),
    "not_found": (200, "025"),
    "duplicate": (409, "000"),
    "rate_limited": (429, "000"),
}
ENQUIRY = re.compile(r"/standard/v1/payments/([^/]+)")
REFERENCE_LENGTH_MAX = 64


class AirtelWire:
    """Payments, enquiry and refund."""

    callback_method = "POST"
    refunds_at_once = True

    def __init__(self, country: str, country_code: str) -> None:
        self._country = country
        self._country_code = country_code

    def parse(self, call: Call) -> Asked:
        if call.path == "/auth/oauth2/token":
            return Asked(what="token")
        need(call.headers.get("x-country") == self._country, "X-Country is missing")
        need(call.headers.get("x-currency"), "X-Currency is missing")
        if call.method == "POST" and call.path == "/standard/v1/payments/refund":
            reference = dotted(decode(call.body), "transaction", "airtel_money_id")
            need(isinstance(reference, str) and reference, "transaction.airtel_money_id must be a text")
            return Asked(what="order", key=f"refund-{reference}", order=self._refund(reference, call))
        if call.method == "POST" and call.path == "/merchant/v1/payments/":
            order = self._order(call)
            return Asked(what="order", key=order.correlator, order=order)
        found = ENQUIRY.fullmatch(call.path)
        need(found and call.method == "GET", "no such resource")
        assert found is not None
        return Asked(what="inquiry", key=found[1])

    def _order(self, call: Call) -> Order:
        body = decode(call.body)
        number = dotted(body, "transaction", "amount")
        need(type(number) in (int, float), "transaction.amount must be a number")
        amount, text = amount_of(str(number))
        local = dotted(body, "subscriber", "msisdn")
        need(DIGITS.fullmatch(local), "subscriber.msisdn must be digits")
        reference = dotted(body, "reference")
        need(len(reference) <= REFERENCE_LENGTH_MAX, "reference is too long")
        currency = dotted(body, "transaction", "currency")
        need(currency == dotted(body, "subscriber", "currency"), "the currencies differ")
        return Order(
            kind="charge",
            correlator=dotted(body, "transaction", "id"),
            msisdn=f"+{self._country_code}{local}",
            amount=amount,
            amount_text=text,
            currency=currency,
            description="",
            reference=reference,
        )

    def _refund(self, reference: str, call: Call) -> Order:
        """Of the whole charge, whose amount the server fills in."""
        return Order(
            kind="refund",
            correlator=f"refund-{reference}",
            msisdn="",
            amount=Decimal(0),
            amount_text="",
            currency=call.headers["x-currency"],
            description="",
            reference="",
            original_server_reference=reference,
        )

    def token(self, token: str, life_s: float) -> Json:
        return {"token_type": "bearer", "access_token": token, "expires_in": str(int(life_s))}

    def accepted(self, transaction: Transaction) -> Rendered:
        if transaction.order.kind == "charge":
            told = {"id": transaction.order.correlator, "status": "Success."}
            return 200, {"data": {"transaction": told}, "status": _status("006")}
        if transaction.status == "Denied":
            return 400, {"status": _status("009")}
        if transaction.status == "Processing":
            return 200, {"status": _status("006")}
        told = {"airtel_money_id": transaction.server_reference, "status": "SUCCESS"}
        return 200, {"data": {"transaction": told}, "status": _status("001")}

    def refused_at_once(self) -> Rendered:
        return 200, {"status": _status("003")}

    def trouble(self, name: str) -> Rendered:
        status, code = TROUBLES[name]
        return status, {"status": _status(code)}

    def inquired(self, asked: Asked, shown: Shown) -> Rendered:
        """It names amount and number only where a fault makes them wrong: the real one does not name them."""
        code = {"Charged": "001", "Processing": "006"}.get(shown.status)
        told = dict(self.callback(shown)["transaction"])
        told["status"] = told.pop("status_code")
        order = shown.transaction.order
        if shown.amount != order.amount_text:
            told["amount"] = shown.amount
        if shown.msisdn != order.msisdn:
            told["msisdn"] = shown.msisdn.removeprefix("+")
        why = CODES.get(shown.transaction.why_not, "009")
        return 200, {"data": {"transaction": told}, "status": _status(code or why)}

    def callback(self, shown: Shown) -> Json:
        told = {
            "id": shown.transaction.order.correlator,
            "message": shown.status,
            "status_code": {"Charged": "TS", "Denied": "TF"}.get(shown.status, "TIP"),
        }
        if shown.status == "Charged":
            told["airtel_money_id"] = shown.transaction.server_reference
        return {"transaction": told}


def _status(code: str) -> Json:
    return {
        "code": "200",
        "message": "",
        "result_code": "ESB000010",
        "response_code": f"DP00800001{code}",
        "success": code in ("001", "006"),
    }
