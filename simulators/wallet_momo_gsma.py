"""GSMA Mobile Money API 1.2 as the simulator speaks it: merchantpay, reversals, request states, missed responses."""

import re
import uuid

from simulators.billing_book import Order, Transaction
from simulators.wallet_momo_wire import (
    ANY_UUID,
    DIGITS,
    TEXT_LENGTH_MAX,
    Asked,
    Call,
    Json,
    Rendered,
    Shown,
    amount_of,
    decode,
    dotted,
    need,
)

REASONS = {
    "insufficient_funds": ("businessRule", "insufficientFunds"),
    "limit_exceeded": ("businessRule", "dailyValueLimitExceeded"),
    "not_subscriber": ("identification", "identifierError"),
    "barred": ("businessRule", "noMandateAuthority"),
    "refused": ("authorisation", "requestDeclined"),
}
TROUBLES = {
    "invalid": (400, "validation", "formatError"),
    "unauthorized": (401, "authorisation", "requestingPartyAuthorisationError"),
    "not_found": (404, "identification", "identifierError"),
    "duplicate": (400, "businessRule", "duplicateRequest"),
    "rate_limited": (400, "businessRule", "rateLimitError"),
}
REVERSAL = re.compile(r"/transactions/([^/]+)/reversals")
LOOK = re.compile(r"/(responses|requeststates|transactions)/([^/]+)")


class GsmaWire:
    """merchantpay, reversals, request states and missed responses."""

    callback_method = "PUT"
    refunds_at_once = False

    def __init__(self, receiver: str) -> None:
        self._receiver = receiver

    def parse(self, call: Call) -> Asked:
        if call.path == "/accesstoken":
            need(call.body == b"grant_type=client_credentials", "grant_type must be client_credentials")
            return Asked(what="token")
        if call.method == "GET":
            found = LOOK.fullmatch(call.path)
            need(found, "no such resource")
            assert found is not None
            return Asked(what="inquiry", where=found[1], key=found[2])
        reversal = REVERSAL.fullmatch(call.path)
        need(call.method == "POST" and (reversal or call.path == "/transactions/type/merchantpay"), "no such resource")
        key = call.headers.get("x-correlationid", "")
        need(ANY_UUID.fullmatch(key), "X-CorrelationID must be a UUID")
        return Asked(what="order", key=key, order=self._order(call, key, reversal[1] if reversal else None))

    def _order(self, call: Call, key: str, charge_reference: str | None) -> Order:
        body = decode(call.body)
        amount, text = amount_of(dotted(body, "amount"))
        need(len(body.get("descriptionText", "")) <= TEXT_LENGTH_MAX, "descriptionText is too long")
        msisdn = ""
        if charge_reference is None:
            parties = {party["key"]: party["value"] for party in dotted(body, "debitParty")}
            msisdn = parties.get("msisdn", "")
            need(DIGITS.fullmatch(msisdn.removeprefix("+")), "debitParty must have an msisdn")
            need(
                any(party["value"] == self._receiver for party in dotted(body, "creditParty")), "creditParty is nobody"
            )
        else:
            need(dotted(body, "type") == "reversal", "type must be reversal")
        return Order(
            kind="charge" if charge_reference is None else "refund",
            correlator=key,
            msisdn=msisdn,
            amount=amount,
            amount_text=text,
            currency=dotted(body, "currency"),
            description=body.get("descriptionText", ""),
            reference=body.get("requestingOrganisationTransactionReference", ""),
            original_server_reference=charge_reference,
            notify_url=call.headers.get("x-callback-url"),
        )

    def token(self, token: str, life_s: float) -> Json:
        return {"access_token": token, "token_type": "BearerToken", "expires_in": str(int(life_s))}

    def accepted(self, transaction: Transaction) -> Rendered:
        return 202, self._state(transaction, "Processing")

    def refused_at_once(self) -> Rendered:
        return 400, _gsma_error("identification", "identifierError")

    def trouble(self, name: str) -> Rendered:
        status, category, code = TROUBLES[name]
        return status, _gsma_error(category, code)

    def inquired(self, asked: Asked, shown: Shown) -> Rendered:
        if asked.where == "transactions":
            return 200, self._transaction(shown)
        if asked.where == "requeststates":
            return 200, self._state(shown.transaction, shown.status)
        if shown.status in ("Charged", "Refunded"):
            return 200, {"link": f"/transactions/{shown.transaction.server_reference}"}
        return 200, {"link": f"/requeststates/{server_key(shown.transaction.order.correlator)}"}

    def callback(self, shown: Shown) -> Json:
        if shown.status == "Denied":
            return self._why_not(shown.transaction)
        return self._transaction(shown)

    def _why_not(self, transaction: Transaction) -> Json:
        return _gsma_error(*REASONS.get(transaction.why_not, ("businessRule", "genericError")))

    def _state(self, transaction: Transaction, status: str) -> Json:
        state: Json = {
            "serverCorrelationId": server_key(transaction.order.correlator),
            "status": {"Processing": "pending", "Denied": "failed"}.get(status, "completed"),
            "notificationMethod": "callback" if transaction.order.notify_url else "polling",
            "pollLimit": 100,
        }
        if status == "Denied":
            state["error"] = self._why_not(transaction)
        elif status != "Processing":
            state["objectReference"] = transaction.server_reference
        return state

    def _transaction(self, shown: Shown) -> Json:
        order = shown.transaction.order
        phone, shop = [{"key": "msisdn", "value": shown.msisdn}], [{"key": "accountid", "value": self._receiver}]
        is_refund = order.kind == "refund"
        told: Json = {
            "transactionReference": shown.transaction.server_reference,
            "requestingOrganisationTransactionReference": order.reference,
            "type": "reversal" if is_refund else "merchantpay",
            "transactionStatus": {"Processing": "pending", "Denied": "failed"}.get(shown.status, "completed"),
            "amount": shown.amount,
            "currency": order.currency,
            "debitParty": shop if is_refund else phone,
            "creditParty": phone if is_refund else shop,
            "descriptionText": order.description,
            "creationDate": "2026-01-01T00:00:00Z",
        }
        return {**told, "originalTransactionReference": order.original_server_reference} if is_refund else told


def _gsma_error(category: str, code: str) -> Json:
    return {"errorCategory": category, "errorCode": code, "errordescription": code}


def server_key(correlator: str) -> str:
    """The provider's own key of a request."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, correlator))
