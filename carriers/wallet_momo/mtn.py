"""MTN MoMo: collections (requesttopay, version 1.0) and, for refunds, disbursements (refund, version 1.0)."""

from collections.abc import Mapping
from typing import Final

import msgspec

from carriers import base
from carriers.http import basic, read
from carriers.wallet_momo.dialect import (
    MISMATCH,
    Ask,
    Order,
    Product,
    clean,
    is_same_amount,
    key_of,
    otherwise,
    short_amount,
)
from carriers.wallet_momo.settings import Settings
from gateway.core.payment import Reason
from gateway.http_client import HttpAnswer

# `reason` of a FAILED request, and `code` of a request that was refused at once.
REASONS: Final[Mapping[str, Reason]] = {
    "APPROVAL_REJECTED": Reason.REFUSED,
    "EXPIRED": Reason.EXPIRED,
    "PAYER_NOT_FOUND": Reason.NOT_SUBSCRIBER,
    "NOT_ENOUGH_FUNDS": Reason.INSUFFICIENT_FUNDS,
    "LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED": Reason.INSUFFICIENT_FUNDS,
    "PAYER_LIMIT_REACHED": Reason.LIMIT_EXCEEDED,
    "PAYEE_NOT_ALLOWED_TO_RECEIVE": Reason.CARRIER_DECLINED,
    "COULD_NOT_PERFORM_TRANSACTION": Reason.EXPIRED,  # The phone did not answer in time.
    "INTERNAL_PROCESSING_ERROR": Reason.CARRIER_DECLINED,
    "INVALID_CURRENCY": Reason.CARRIER_DECLINED,
    "SERVICE_UNAVAILABLE": Reason.CARRIER_UNAVAILABLE,
}
# At once and with 400, only these are about the order itself.
REFUSED_AT_ONCE: Final = frozenset({"PAYER_NOT_FOUND", "PAYEE_NOT_ALLOWED_TO_RECEIVE", "INVALID_CURRENCY"})


class _Party(msgspec.Struct, frozen=True):
    partyIdType: str  # noqa: N815 - The dialect's own names.
    partyId: str  # noqa: N815


class _Reason(msgspec.Struct, frozen=True):
    code: str


class _Seen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    amount: str
    currency: str
    external_id: str = ""
    status: str
    financial_transaction_id: str = ""
    payer: _Party | None = None
    payee: _Party | None = None
    reason: str | _Reason | None = None


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    code: str


class Mtn:
    """X-Reference-Id is the key of an order and of its inquiry."""

    capabilities = base.Capabilities(client_keyed=True, refund=True, partial_refund=True)
    callback_methods: tuple[str, ...] = ("PUT", "POST")
    callback_status = 200
    refund_needs_reference = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def token(self, product: Product) -> Ask:
        user, password = self._settings.user, self._settings.password
        if product == "disbursement" and self._settings.refund_user:
            user, password = self._settings.refund_user, self._settings.refund_password
        headers = {"Authorization": basic(user, password), **self._subscription(product)}
        return Ask(method="POST", path=f"/{product}/token/", headers=headers, product=product)

    def name_of(self, reference: str | None) -> str | None:
        return reference or None

    def order(self, order: Order, callback_url: str) -> Ask:
        body = {
            "amount": short_amount(self._settings, order.amount),
            "currency": order.amount.currency,
            "externalId": order.attempt_id,
            "payerMessage": clean(order.description),
            "payeeNote": clean(order.reference),
        }
        if order.is_refund:
            body["referenceIdToRefund"] = key_of(order.charge_attempt_id)
            return self._ask(order, "POST", "", body, callback_url)
        payer = {"partyIdType": "MSISDN", "partyId": order.msisdn.removeprefix("+")}
        return self._ask(order, "POST", "", {**body, "payer": payer}, callback_url)

    def judge_order(self, answer: HttpAnswer, order: Order) -> base.ChargeResult:
        if answer.status == 202:
            return base.Pending(detail="accepted")
        code = _code(answer)
        if answer.status == 400 and code in REFUSED_AT_ONCE:
            return base.Declined(reason=REASONS[code], detail=code)
        # 409 is here: the reference is known, and only an inquiry tells of what.
        return otherwise("order", answer, code)

    def inquiry(self, order: Order) -> Ask | base.Unknown:
        return self._ask(order, "GET", f"/{key_of(order.attempt_id)}")

    def judge_inquiry(self, ask: Ask, answer: HttpAnswer, order: Order) -> base.InquiryResult | Ask:
        if answer.status == 404 and _code(answer) == "RESOURCE_NOT_FOUND":
            return base.NotFound()
        seen = read(answer.body, _Seen) if answer.status == 200 else None
        if seen is None:
            return otherwise("inquiry", answer, _code(answer))
        if not self._is_about(seen, order):
            return MISMATCH
        if seen.status == "SUCCESSFUL":
            return base.Charged(
                carrier_reference=seen.financial_transaction_id or key_of(order.attempt_id), amount=order.amount
            )
        if seen.status == "FAILED":
            code = seen.reason.code if isinstance(seen.reason, _Reason) else seen.reason or ""
            return base.Declined(reason=REASONS.get(code, Reason.CARRIER_DECLINED), detail=f"FAILED {code[:60]}")
        if seen.status in ("PENDING", "CREATED", "ONGOING"):
            return base.Pending(detail=seen.status)
        return otherwise("inquiry", answer, seen.status)

    def find_charge(self, order: Order) -> Ask | base.Unknown:
        return base.Unknown(detail="a refund names the charge by our own reference")

    def judge_charge(self, ask: Ask, answer: HttpAnswer, order: Order) -> Ask | str | None:
        return None

    def _is_about(self, seen: _Seen, order: Order) -> bool:
        party = seen.payee if order.is_refund else seen.payer
        # A refund goes back to whoever paid, and need not name the phone again.
        is_phone = order.is_refund if party is None else party.partyId == order.msisdn.removeprefix("+")
        is_order = seen.external_id in ("", order.attempt_id)
        return is_phone and is_order and is_same_amount(seen.amount, seen.currency, order.amount)

    def _ask(
        self, order: Order, method: str, more: str, body: Mapping[str, object] | None = None, callback_url: str = ""
    ) -> Ask:
        product: Product = "disbursement" if order.is_refund else "collection"
        resource = "refund" if order.is_refund else "requesttopay"
        headers = {"X-Target-Environment": self._settings.target_environment, **self._subscription(product)}
        if body is not None:
            headers["X-Reference-Id"] = key_of(order.attempt_id)
        if callback_url:
            headers["X-Callback-Url"] = callback_url
        encoded = b"" if body is None else msgspec.json.encode(body)
        path = f"/{product}/v1_0/{resource}{more}"
        return Ask(method=method, path=path, headers=headers, body=encoded, product=product)

    def _subscription(self, product: Product) -> dict[str, str]:
        key = self._settings.subscription_key
        if product == "disbursement":
            key = self._settings.refund_subscription_key or key
        return {"Ocp-Apim-Subscription-Key": key}


def _code(answer: HttpAnswer) -> str:
    error = read(answer.body, _Error)
    return "" if error is None else error.code
