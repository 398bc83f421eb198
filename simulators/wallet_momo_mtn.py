"""MTN MoMo as the simulator speaks it: collections and, for refunds, disbursements."""

import re

from simulators.billing_book import Order, Transaction
from simulators.wallet_momo_wire import (
    DIGITS,
    TEXT_LENGTH_MAX,
    UUID,
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
    "insufficient_funds": "NOT_ENOUGH_FUNDS",
    "limit_exceeded": "PAYER_LIMIT_REACHED",
    "not_subscriber": "PAYER_NOT_FOUND",
    "refused": "APPROVAL_REJECTED",
    "expired": "EXPIRED",
}
TROUBLES = {
    "invalid": (400, "BAD_REQUEST"),
    "unauthorized": (401, "UNAUTHORIZED"),
    "not_found": (404, "RESOURCE_NOT_FOUND"),
    "duplicate": (409, "RESOURCE_ALREADY_EXIST"),
    "rate_limited": (429, "TOO_MANY_REQUESTS"),
}
PATH = re.compile(r"/(collection/v1_0/requesttopay|disbursement/v1_0/refund)(?:/([^/]+))?")


class MtnWire:
    """Collections and disbursements."""

    callback_method = "PUT"
    refunds_at_once = False

    def __init__(self, subscription_key: str) -> None:
        self._subscription_key = subscription_key

    def parse(self, call: Call) -> Asked:
        need(call.headers.get("ocp-apim-subscription-key") == self._subscription_key, "no subscription")
        if call.path in ("/collection/token/", "/disbursement/token/"):
            return Asked(what="token", product=call.path.split("/")[1])
        found = PATH.fullmatch(call.path)
        need(found, "no such resource")
        assert found is not None
        need(call.headers.get("x-target-environment"), "X-Target-Environment is missing")
        product = found[1].split("/")[0]
        if call.method == "GET":
            need(found[2], "no such resource")
            return Asked(what="inquiry", product=product, key=found[2])
        need(call.method == "POST" and not found[2], "no such resource")
        key = call.headers.get("x-reference-id", "")
        need(UUID.fullmatch(key), "X-Reference-Id must be a UUID of version 4")
        return Asked(what="order", product=product, key=key, order=self._order(call, key, product))

    def _order(self, call: Call, key: str, product: str) -> Order:
        body = decode(call.body)
        amount, text = amount_of(dotted(body, "amount"))
        for name in ("payerMessage", "payeeNote"):
            words = dotted(body, name)
            need(len(words) <= TEXT_LENGTH_MAX and "'" not in words, f"{name} has an apostrophe or is too long")
        is_refund = product == "disbursement"
        msisdn = ""
        if not is_refund:
            need(dotted(body, "payer", "partyIdType") == "MSISDN", "payer.partyIdType must be MSISDN")
            digits = dotted(body, "payer", "partyId")
            need(DIGITS.fullmatch(digits), "payer.partyId must be digits")
            msisdn = f"+{digits}"
        return Order(
            kind="refund" if is_refund else "charge",
            correlator=key,
            msisdn=msisdn,
            amount=amount,
            amount_text=text,
            currency=dotted(body, "currency"),
            description=dotted(body, "payerMessage"),
            reference=dotted(body, "externalId"),
            original=dotted(body, "referenceIdToRefund") if is_refund else None,
            notify_url=call.headers.get("x-callback-url"),
        )

    def token(self, token: str, life_s: float) -> Json:
        return {"access_token": token, "token_type": "access_token", "expires_in": int(life_s)}

    def accepted(self, transaction: Transaction) -> Rendered:
        return 202, None

    def refused_at_once(self) -> Rendered:
        return 400, {"code": "PAYER_NOT_FOUND", "message": "Payer not found"}

    def trouble(self, name: str) -> Rendered:
        status, code = TROUBLES[name]
        return status, {"code": code, "message": name}

    def inquired(self, asked: Asked, shown: Shown) -> Rendered:
        return 200, self.callback(shown)

    def callback(self, shown: Shown) -> Json:
        order = shown.transaction.order
        party = {"partyIdType": "MSISDN", "partyId": shown.msisdn.removeprefix("+")}
        told: Json = {
            "externalId": order.reference,
            "amount": shown.amount,
            "currency": order.currency,
            "payerMessage": order.description,
        }
        if shown.msisdn:  # Nobody is known whom the refund of no charge would go to.
            told["payee" if order.kind == "refund" else "payer"] = party
        if shown.status in ("Charged", "Refunded"):
            return {**told, "status": "SUCCESSFUL", "financialTransactionId": shown.transaction.server_reference}
        if shown.status == "Denied":
            return {**told, "status": "FAILED", "reason": REASONS.get(shown.transaction.why_not, "NOT_ALLOWED")}
        return {**told, "status": "PENDING"}
